"""``zoo.py record``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, StoreDict, add_common, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py record",
        description="Records a video of an agent, or of its training: an episode per checkpoint.",
    )
    add = parser.add_argument
    add_common(parser)
    add(
        "-f",
        "--folder",
        "--log-folder",
        dest="folder",
        default="logs",
        metavar="DIR",
        help="where runs are (default: logs)",
    )
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
    add("--model", default=None, metavar="FILE", help="play this model instead of a run's")
    add(
        "--policy-kwargs",
        nargs="+",
        action=StoreDict,
        metavar="KEY:VALUE",
        help="what a bare .npz leaves open, e.g. activation_fn:relu",
    )
    add(
        "--exp-id",
        type=int,
        default=0,
        metavar="N",
        help="the run's number (default 0: the newest; -1: no run folder)",
    )
    add("--load-best", action="store_true", help="play the best model instead of the last")
    add("--load-checkpoint", type=int, default=None, metavar="STEPS", help="play this checkpoint")
    add("--load-last-checkpoint", action="store_true", help="play the newest checkpoint")
    add("--stochastic", action="store_true", help="sampled actions")
    return parser


def run(args: argparse.Namespace) -> int:
    """Records a video."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.record import record

    return record(args)
