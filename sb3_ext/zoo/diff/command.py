"""Dispatch: two algorithms, or two files."""

from __future__ import annotations

import argparse

from sb3_ext.zoo import registry
from sb3_ext.zoo.diff.algorithms import replay_algorithms
from sb3_ext.zoo.diff.files import compare_files
from sb3_ext.zoo.diff.report import show_files, show_replay
from sb3_ext.zoo.diff.sides import Algorithm, ModelFile, read_side
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.streams import held_warnings

OF_ALGORITHMS = {"preset": "--preset", "conf_file": "-conf", "hyperparams": "-params"}


def diff(args: argparse.Namespace) -> int:
    """Compares, and prints what it has found (``zoo.py diff``).

    Returns:
        The process's exit code: 0 if both agree, 1 if they differ.
    """
    with held_warnings() as release_warnings:
        registry.import_packages(args.gym_packages)
        agree = _compared(args)
        release_warnings()
    return 0 if agree else 1


def _compared(args: argparse.Namespace) -> bool:
    a, b = read_side(args.a), read_side(args.b)
    if isinstance(a, Algorithm) and isinstance(b, Algorithm):
        report, notes = replay_algorithms(args, a, b)
        show_replay(report, notes, args.verbose)
        return report.agree
    if not isinstance(a, ModelFile) or not isinstance(b, ModelFile):
        raise ZooError(
            f"{args.a} and {args.b} are an algorithm and a model: name two of a kind "
            "(ALGO:model.zip goes on with a model in another algorithm)"
        )
    for name, flag in OF_ALGORITHMS.items():
        if getattr(args, name) is not None:
            raise ZooError(f"{flag} is for algorithms: a model has its own hyperparameters")
    found = compare_files(args, a, b)
    show_files(a, b, found, args.verbose)
    return found.agree
