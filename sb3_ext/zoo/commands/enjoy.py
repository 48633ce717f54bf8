"""``zoo.py enjoy``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, add_common, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py enjoy",
        description="Plays a trained agent in a window; without a display it records a video.",
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
    add("-n", "--n-timesteps", type=int, default=1000, metavar="N", help="steps to play")
    add("--model", default=None, metavar="FILE", help="play this model instead of a run's")
    add(
        "--exp-id",
        type=int,
        default=0,
        metavar="N",
        help="the run's number (default 0: the newest; -1: no run folder)",
    )
    add("--n-envs", type=int, default=1, metavar="N", help="rows to play at once")
    add("--load-best", action="store_true", help="play the best model instead of the last")
    add("--load-checkpoint", type=int, default=None, metavar="STEPS", help="play this checkpoint")
    add("--load-last-checkpoint", action="store_true", help="play the newest checkpoint")
    add("--no-render", action="store_true", help="no window: print the returns")
    actions = parser.add_mutually_exclusive_group().add_argument
    actions("--deterministic", action="store_true", help="most likely actions (default, but Atari)")
    actions("--stochastic", action="store_true", help="sampled actions")
    add("--norm-reward", action="store_true", help="show normalized rewards where trained so")
    add("--reward-log", default="", metavar="DIR", help="write a monitor.csv there")
    add("--video", default=None, metavar="FILE", help="record a video (.mp4, .gif) to this file")
    add("-P", "--progress", action="store_true", help="show a progress bar")
    return parser


def run(args: argparse.Namespace) -> int:
    """Plays a trained agent."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.enjoy import enjoy

    return enjoy(args)
