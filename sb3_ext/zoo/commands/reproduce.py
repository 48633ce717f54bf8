"""``zoo.py reproduce``."""

from __future__ import annotations

import argparse

from sb3_ext.zoo.flags import Parser, limit_blas_threads


def build_parser() -> Parser:
    """The flags."""
    parser = Parser(
        prog="zoo.py reproduce",
        description="Trains a run again from its folder alone and compares the parameters' hash "
        "with that in its summary.json.\nExit code 0: equal, bit for bit; 1: different, and what "
        "differs is named; 2: wrong input.",
    )
    add = parser.add_argument
    add("run", metavar="RUN", help="the run's folder, or its name in the log folder")
    add("-f", "--log-folder", default="logs", metavar="DIR", help="where runs are (default: logs)")
    add(
        "--keep",
        metavar="DIR",
        help="keep the run that is trained for it under this folder (default: removed again)",
    )
    add(
        "--num-threads",
        type=int,
        default=None,
        metavar="N",
        help="PyTorch and BLAS threads (default: the run's)",
    )
    add(
        "--verbose",
        type=int,
        default=1,
        metavar="N",
        help="0: the verdict alone, 1: progress, 2: the traceback of an error, too",
    )
    add("-P", "--progress", action="store_true", help="show the bar though this is no terminal")
    return parser


def run(args: argparse.Namespace) -> int:
    """Trains again and compares."""
    from sb3_ext.zoo.recorded import read_run

    recorded = read_run(args.run, args.log_folder, "RUN")
    if args.num_threads is None:
        args.num_threads = recorded.args.get("num_threads", -1)
    limit_blas_threads(args.num_threads)
    from sb3_ext.zoo.reproduce import reproduce

    return reproduce(recorded, args)
