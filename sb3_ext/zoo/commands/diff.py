"""``zoo.py diff``."""

from __future__ import annotations

import argparse
import math

from sb3_ext.zoo.flags import Parser, add_common, add_entry, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py diff",
        description="Replays the updates of one PPO with another from a common state, and names "
        "the first\nminibatch and the term in which they differ; or does so with two saved "
        "models, whose\nsettings, parameters and optimizers it compares first. Exit code: 0 if "
        "all agrees, 1 if not.",
    )
    add = parser.add_argument
    what = "ppo, ppo_numpy, package.module:Class, model.zip, a run's folder, or ALGO:model.zip"
    add("a", metavar="A", help=f"the reference: {what}")
    add("b", metavar="B", help="what is held against it: the same")
    add_common(parser, needs_env=False, takes_algo=False)
    add_entry(parser)
    add("--updates", type=_positive, default=3, metavar="N", help="updates (default: 3)")
    add(
        "--tolerance",
        type=_tolerance,
        default=1e-4,
        metavar="X",
        help="how far apart numbers may be, relative to the largest of their array (default: 1e-4)",
    )
    add(
        "--free",
        action="store_true",
        help="B goes on from its own state; else from A's before every minibatch",
    )
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)


def _tolerance(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text!r}")
    return value


def run(args: argparse.Namespace) -> int:
    """Compares, and prints what it has found."""
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.diff.command import diff

    return diff(args)
