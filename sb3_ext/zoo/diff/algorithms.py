"""Two algorithms on one world, from the same hyperparameters."""

from __future__ import annotations

import argparse
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.utils import set_random_seed
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.parity.replay import Report, replay
from sb3_ext.zoo import registry, workers
from sb3_ext.zoo.agents import make_agent
from sb3_ext.zoo.diff.progress import Progress
from sb3_ext.zoo.diff.sides import Algorithm
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.hyperparams import Entry, Settings, find_entry, resolve
from sb3_ext.zoo.make_env import EnvBuilder, choose_form
from sb3_ext.zoo.preparation import chosen_seed, is_atari, set_threads


def replay_algorithms(
    args: argparse.Namespace, a: Algorithm, b: Algorithm
) -> tuple[Report, list[str]]:
    """Builds both as ``train`` would and replays a's updates with b.

    Returns:
        The report, and what the user should know of how it came about.

    Raises:
        ZooError: If anything the user gave does not fit.
    """
    if args.env is None:
        raise ZooError("two algorithms need a world: --env ID")
    spec = registry.find_env(args.env)
    entry = find_entry(
        a.entries, spec.id, preset=args.preset, config=args.conf_file, is_atari=is_atari(spec)
    )
    settings = [resolve(entry, each.cls, each.name, args.hyperparams) for each in (a, b)]
    form, _ = choose_form("auto", spec, settings[0])
    env_kwargs = settings[0].env_kwargs | (args.env_kwargs or {})
    builder = EnvBuilder(spec, settings[0], form, env_kwargs)
    seed = chosen_seed(args.seed)
    set_random_seed(seed)
    set_threads(args.num_threads, settings[0])
    env = builder.train(settings[0].n_envs, seed)
    try:
        models = [
            _agent(args, spec.id, each, own, env, seed)
            for each, own in zip((a, b), settings, strict=True)
        ]
        notes = [f"hyperparameters: {entry.source}, entry {entry.key!r}; seed {seed}"]
        notes += [entry.notice] if entry.notice else []
        notes += _other_entry(args, spec.id, entry, a, b)
        with Progress(models[0], args.updates, args.verbose) as progress:
            try:
                report = replay(
                    *models,
                    names=_names(a.name, b.name),
                    n_updates=args.updates,
                    tolerance=args.tolerance,
                    free=args.free,
                    total_timesteps=settings[0].n_timesteps,
                    seen=progress.step,
                )
            except (FloatingPointError, KeyError, ValueError) as error:
                raise ZooError(f"cannot replay {a.name} on {spec.id}: {reason(error)}") from error
        return report, notes
    finally:
        workers.close(env)


def _names(a: str, b: str) -> tuple[str, str]:
    """So that an algorithm can be held against itself."""
    return (a, b) if a != b else (f"{a} (A)", f"{b} (B)")


def _agent(
    args: argparse.Namespace,
    env_id: str,
    algorithm: Algorithm,
    settings: Settings,
    env: VecEnv,
    seed: int,
) -> BaseAlgorithm:
    chosen = {"algo": algorithm.name, "env": env_id, "verbose": 0}
    return make_agent(
        argparse.Namespace(**{**vars(args), **chosen}), algorithm.cls, settings, env, seed, None
    )


def _other_entry(
    args: argparse.Namespace, env_id: str, entry: Entry, a: Algorithm, b: Algorithm
) -> list[str]:
    """A note where the second algorithm would train with other hyperparameters than the first."""
    if args.conf_file is not None or a.entries == b.entries:
        return []
    try:
        other = find_entry(b.entries, env_id, preset=args.preset)
    except ZooError:
        return []
    if other.values == entry.values:
        return []
    keys: set[Any] = other.values.keys() | entry.values.keys()
    names = sorted(str(k) for k in keys if other.values.get(k) != entry.values.get(k))
    return [f"{b.name} has an entry of its own, with another {', '.join(names)}: left aside here"]
