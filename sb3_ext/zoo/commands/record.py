"""``zoo.py record``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, add_common, add_model_choice, add_opponent, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py record",
        description="Records a video of an agent, or of its training: an episode per checkpoint.",
    )
    add = parser.add_argument
    add_common(parser)
    add_model_choice(parser, "record")
    add(
        "-o",
        "--output",
        "--output-folder",
        default=None,
        metavar="FILE",
        help="the video, .mp4 or .gif (default: videos/ in the run's folder)",
    )
    add("-n", "--n-timesteps", type=int, default=1000, metavar="N", help="steps of a model at most")
    add("--episodes", type=int, default=1, metavar="N", help="episodes of a model (default: 1)")
    add("--training", action="store_true", help="one after the other: all checkpoints, the end")
    add("--stochastic", action="store_true", help="sampled actions")
    add_opponent(parser, "itself")
    return parser


def run(args: argparse.Namespace) -> int:
    """Records a video."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.record import record

    return record(args)
