"""``zoo.py plot``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, algorithm

DESCRIPTION = """\
Draws the training of one run or of many into a file: returns, evaluations, episode lengths.

  zoo.py plot logs/ppo/SimpleAim-v0_1
  zoo.py plot --algo ppo sac --env SimpleAim-v0 -x time -o curves.svg
  zoo.py plot logs --y-axis reward -w 50
"""


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(prog="zoo.py plot", description=DESCRIPTION)
    add = parser.add_argument
    add(
        "runs",
        nargs="*",
        default=[],
        metavar="RUN",
        help="run folders, or folders in which all runs are drawn (default: the log folder)",
    )
    add(
        "-a",
        "--algo",
        nargs="+",
        type=algorithm,
        default=[],
        metavar="NAME",
        help="draw runs of these algorithms only",
    )
    add("-e", "--env", nargs="+", default=[], metavar="ID", help="draw runs on these worlds only")
    add(
        "-f",
        "--exp-folder",
        "--log-folder",
        dest="log_folder",
        default="logs",
        metavar="DIR",
        help="where runs are (default: logs)",
    )
    add(
        "-x",
        "--x-axis",
        choices=("steps", "episodes", "time"),
        default="steps",
        help="what returns are drawn over (default: steps)",
    )
    add(
        "-y",
        "--y-axis",
        nargs="+",
        choices=("reward", "evaluation", "length", "success"),
        default=[],
        help="what is drawn: a row of panels each (default: reward, evaluation and length, as far "
        "as the runs have them)",
    )
    add(
        "-w",
        "--episode-window",
        type=int,
        default=None,
        metavar="N",
        help="draw means of so many episodes (default: of a fiftieth of a run's)",
    )
    add(
        "-max",
        "--max-timesteps",
        type=int,
        default=None,
        metavar="N",
        help="draw a run's first N steps only",
    )
    add(
        "-o",
        "--output",
        default="plot.png",
        metavar="FILE",
        help="the picture: .png, .svg or .pdf (default: plot.png)",
    )
    add("--verbose", type=int, default=1, metavar="N", help="0: quiet")
    return parser


def run(args: argparse.Namespace) -> int:
    """Draws the picture."""
    from sb3_ext.zoo.plots import plot

    return plot(args)
