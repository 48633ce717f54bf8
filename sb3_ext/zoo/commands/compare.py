"""``zoo.py compare``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NoReturn

from sb3_ext.zoo.commands import train
from sb3_ext.zoo.errors import nearest
from sb3_ext.zoo.flags import Parser, algorithm, limit_blas_threads

DESCRIPTION = """\
Trains several algorithms with several seeds, in parallel, and reports who is better and how sure
that is; or reports over runs that exist already (--from).

  zoo.py compare --algos ppo ppo_numpy --env SimpleAim-v0 --seeds 5
  zoo.py compare --algos ppo sac --env SimpleAim-v0 Pendulum-v1 -n 20000
  zoo.py compare --from logs --algos ppo sac

The same command again goes on where a killed one stopped. All further flags of `zoo.py train`
(-n, -params, --preset, --env-kwargs, --eval-freq, ...) are handed to every run alike.
"""
# Flags of train that a grid sets for each run itself, and what to say to who gives them.
SET_BY_THE_GRID = {
    "algo": "--algos takes the algorithms",
    "seed": "--seeds takes the seeds",
    "log_folder": "-o/--output takes the folder",
    "tensorboard_log": "TensorBoard's logs go to the comparison's folder, tb/",
    "tb_log_name": "TensorBoard's runs are named <algo>_seed<k>",
    "uuid": "runs are found by their seed",
    "progress": "the runs' output goes to files",
    "resume": "the same command again goes on where it stopped",
}


class CompareParser(Parser):
    """Takes train's flags besides its own."""

    def parse_all(self, argv: Sequence[str]) -> argparse.Namespace:
        """Parses; what is left must be flags of train: as text, and as train reads them."""
        args, rest = self.parse_known_args(argv)
        args.argv, args.train_flags = list(argv), rest
        parser = train.build_parser()
        parser.prog = self.prog
        own, unknown = parser.parse_known_args([*rest, "--env", "any"])
        if unknown:
            first = unknown[0].partition("=")[0]
            actions = [*self._actions, *parser._actions]
            flags = [
                flag
                for action in actions
                if action.dest not in SET_BY_THE_GRID
                for flag in action.option_strings
            ]
            self.error(f"unknown argument {first!r}{nearest(first, flags)}")
        args.train = own
        return args


class _SetByTheGrid(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> NoReturn:
        parser.error(f"argument {option_string}: not here: {SET_BY_THE_GRID[self.dest]}")


def build_parser() -> CompareParser:
    """The flags."""
    parser = CompareParser(prog="zoo.py compare", description=DESCRIPTION)
    add = parser.add_argument
    add("--algos", nargs="+", type=algorithm, default=[], metavar="NAME", help="the algorithms")
    add("--env", nargs="+", default=[], metavar="ID", help="the worlds")
    add(
        "--seeds",
        nargs="+",
        type=int,
        default=None,
        metavar="N",
        help="one number: so many seeds, 0 to N-1; several: these very seeds (default: 5)",
    )
    add(
        "--from",
        dest="runs",
        nargs="+",
        default=[],
        metavar="RUNS",
        help="train nothing: report over these runs, or all runs below these folders; --algos, "
        "--env and --seeds choose among them",
    )
    add(
        "-o",
        "--output",
        metavar="DIR",
        help="the comparison's folder (default: logs/compare/<env>_<n>, with --from report_<n>)",
    )
    add(
        "--n-jobs",
        type=int,
        default=None,
        metavar="N",
        help="runs at the same time (default: as many as there are cores, a thread each)",
    )
    add(
        "--curves",
        choices=("auto", "evaluation", "training"),
        default="auto",
        help="draw the periodic evaluations or the training episodes (auto: evaluations, where "
        "all runs have them)",
    )
    add(
        "--threshold",
        nargs="+",
        default=[],
        metavar="RETURN",
        help="sample efficiency is counted to this return; with several worlds ENV:RETURN "
        "(default: 90%% of the way from the untrained level to the best final IQM)",
    )
    add("--verbose", type=int, default=1, metavar="N", help="0: quiet, 1: progress")
    for action in train.build_parser()._actions:
        if action.dest in SET_BY_THE_GRID:
            add(
                *action.option_strings,
                dest=action.dest,
                nargs="?",
                action=_SetByTheGrid,
                help=argparse.SUPPRESS,
            )
    return parser


def run(args: argparse.Namespace) -> int:
    """Runs what is missing of the grid, and writes the report."""
    limit_blas_threads(args.train.num_threads)
    from sb3_ext.zoo.comparison.compare import compare

    return compare(args)
