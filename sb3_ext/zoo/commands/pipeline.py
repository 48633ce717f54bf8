"""``zoo.py pipeline``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.commands import train
from sb3_ext.zoo.flags import Parser, limit_blas_threads


def build_parser() -> Parser:
    """Train's flags, and what comes after training."""
    parser = train.build_parser()
    parser.prog = "zoo.py pipeline"
    parser.description = (
        "Trains, evaluates, draws the curve, saves trajectories and shows the agent: one command, "
        "one folder, any algorithm and world. All of train's flags, and:"
    )
    add = parser.add_argument
    add(
        "--sim-duration",
        type=float,
        default=30.0,
        metavar="S",
        help="seconds of the demo (default: 30; 0: none)",
    )
    add("--hz", type=float, default=None, metavar="N", help="control rate of the world, if it has")
    add("--episodes", type=int, default=10, metavar="N", help="episodes in trajectories.npz")
    add("--gpu", action="store_true", help="train on the backend's GPU")
    add("--gui", action="store_true", help="show the demo in a window, if one can be opened")
    return parser


def run(args: argparse.Namespace) -> int:
    """Runs all of it."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.pipeline import pipeline

    return pipeline(args)
