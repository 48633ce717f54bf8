"""What was asked for on the command line, checked before anything is begun."""

from __future__ import annotations

import argparse
import itertools
import math
import os
from collections.abc import Sequence

from sb3_ext.zoo import registry, workers
from sb3_ext.zoo.commands import train
from sb3_ext.zoo.comparison.grid import Cell, Plan, plain, settings_of
from sb3_ext.zoo.errors import ZooError, nearest
from sb3_ext.zoo.streams import held_warnings

DEFAULT_SEEDS = 5


def check_statistics() -> None:
    """Before hours of training, not after them.

    Raises:
        ZooError: If rliable is missing.
    """
    try:
        import rliable.library  # noqa: F401
    except ImportError as error:
        raise ZooError(
            f"the report's statistics need rliable ({error}): pip install 'sb3_ext[plots]'"
        ) from error


def check_once(args: argparse.Namespace) -> None:
    """Refuses names and seeds that stand in a list twice.

    Raises:
        ZooError: If one does.
    """
    for flag, values in (("algos", args.algos), ("env", args.env), ("seeds", args.seeds or [])):
        for value in values:
            if values.count(value) > 1:
                raise ZooError(f"--{flag}: {value!r} stands there twice")


def read_seeds(asked: Sequence[int]) -> list[int]:
    """The seeds that ``--seeds`` means: one number counts them, several are they.

    Raises:
        ZooError: If there is none, or one that is none.
    """
    if len(asked) == 1 and asked[0] < 1:
        raise ZooError(f"--seeds {asked[0]}: at least one seed is needed")
    for seed in asked:
        if not 0 <= seed < 2**32:
            raise ZooError(f"--seeds: {seed} is no seed (0 to 2**32 - 1)")
    return list(range(asked[0])) if len(asked) == 1 else list(asked)


def read_thresholds(asked: Sequence[str], env_ids: Sequence[str]) -> dict[str, float]:
    """The return that ``--threshold`` names for each world, if it does.

    Raises:
        ZooError: If one is no number, or not clearly of one of the worlds.
    """
    found: dict[str, float] = {}
    for text in asked:
        env_id, colon, number = text.rpartition(":")
        if not colon and len(env_ids) > 1:
            raise ZooError(f"--threshold {text}: of which world? Write e.g. {env_ids[0]}:{text}")
        env_id = env_id if colon else env_ids[0]
        if env_id not in env_ids:
            raise ZooError(
                f"--threshold {text}: {env_id!r} is not compared{nearest(env_id, env_ids)}"
            )
        if env_id in found:
            raise ZooError(f"--threshold: {env_id} has two")
        found[env_id] = _finite(text, number)
    return found


def _finite(text: str, number: str) -> float:
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ZooError(f"--threshold {text}: {number!r} is not a number")
    return value


def read_n_jobs(args: argparse.Namespace) -> int:
    """How many runs there may be at a time: by default as many as there are cores for.

    Raises:
        ZooError: If that is none, or more than there are cores.
    """
    cores = n_cores()
    if args.n_jobs is None:
        return max(1, cores // max(1, args.train.num_threads))
    if not 1 <= args.n_jobs <= cores:
        raise ZooError(f"--n-jobs must be 1 to {cores}, this machine's cores, not {args.n_jobs}")
    return int(args.n_jobs)


def n_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_plan(args: argparse.Namespace) -> Plan:
    """Checks every algorithm on every world by building it, so that a grid begins that can run.

    Raises:
        ZooError: If one cannot be trained.
    """
    from sb3_ext.zoo.preparation import prepare

    if not args.algos or not args.env:
        raise ZooError("--algos and --env are needed, or --from with runs that exist")
    seeds = read_seeds(args.seeds or [DEFAULT_SEEDS])
    registry.import_packages(args.train.gym_packages)
    env_arguments = {registry.find_env(env).id: env for env in args.env}
    if len(env_arguments) < len(args.env):
        raise ZooError("--env: a world stands there twice")
    configs = {}
    for env_id, env in env_arguments.items():
        for algo in args.algos:
            flags = [*args.train_flags, "--algo", algo, "--env", env, "--seed", str(seeds[0])]
            with held_warnings():
                experiment = prepare(train.build_parser().parse_all(flags))
            workers.close(experiment.env)
            configs[algo, env_id] = plain(experiment.settings.saved)
    grid = itertools.product(seeds, env_arguments, args.algos)
    return Plan(
        [Cell(algo, env_id, seed) for seed, env_id, algo in grid],
        env_arguments,
        args.train_flags,
        settings_of(args.train),
        configs,
        max(1, args.train.num_threads),
    )
