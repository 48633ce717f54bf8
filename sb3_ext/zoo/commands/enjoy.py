"""``zoo.py enjoy``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import (
    Parser,
    add_common,
    add_live,
    add_model_choice,
    add_opponent,
    limit_blas_threads,
)


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py enjoy",
        description="Plays a trained agent in a window; without a display it records a video.",
    )
    add = parser.add_argument
    add_common(parser)
    add_model_choice(parser, "play")
    add_live(parser)
    add("-n", "--n-timesteps", type=int, default=1000, metavar="N", help="steps to play")
    add("--n-envs", type=int, default=1, metavar="N", help="rows to play at once")
    add("--no-render", action="store_true", help="no window: print the returns")
    actions = parser.add_mutually_exclusive_group().add_argument
    actions("--deterministic", action="store_true", help="most likely actions (default, but Atari)")
    actions("--stochastic", action="store_true", help="sampled actions")
    add("--norm-reward", action="store_true", help="show normalized rewards where trained so")
    add("--reward-log", default="", metavar="DIR", help="write a monitor.csv there")
    add("--video", default=None, metavar="FILE", help="record a video (.mp4, .gif) to this file")
    add("-P", "--progress", action="store_true", help="show a progress bar")
    add_opponent(parser, "itself")
    return parser


def run(args: argparse.Namespace) -> int:
    """Plays a trained agent."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.enjoy import enjoy

    return enjoy(args)
