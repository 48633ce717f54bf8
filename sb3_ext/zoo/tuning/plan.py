"""What makes a trial's score: equal plans give equal hyperparameters equal scores.

A study keeps its plan, so that whoever goes on with it, in another process or another week, trains
and judges as its first trial did.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from gymnasium.envs.registration import EnvSpec

from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.hyperparams import SNIPPET_KEYS, find_entry
from sb3_ext.zoo.literals import read_literal, write_literal
from sb3_ext.zoo.preparation import chosen_seed, is_atari

# RL Zoo evaluates once in so many steps while tuning; short trainings get a few evaluations too,
# or there would be nothing to prune by.
STEPS_PER_EVALUATION = 100_000
FEWEST_EVALUATIONS = 5
# What the entry comes from; the other flags have a field of their own.
ENTRY_FLAGS = ("preset", "conf_file", "hyperparams", "n_timesteps", "env_kwargs")


@dataclass(frozen=True)
class Plan:
    """How a study's trials are trained and judged.

    Attributes:
        algo: The algorithm's name.
        env: The world's id.
        values: The entry that trials vary: plain YAML values, command line included.
        pinned: Keys that trials may not vary: those that ``-params`` set.
        eval_env_kwargs: Arguments of the evaluation world, where they differ.
        seed: Governs the draws and is the first seed of every trial.
        n_seeds: Trainings of a trial.
        n_evaluations: Evaluations of a training; the last is of the final policy.
        eval_episodes: Episodes of an evaluation on the way.
        final_eval_episodes: Episodes of the final one.
        n_eval_envs: Rows of the evaluation env; None chooses.
    """

    algo: str
    env: str
    values: dict[str, Any]
    pinned: list[str]
    eval_env_kwargs: dict[str, Any] | None
    seed: int
    n_seeds: int
    n_evaluations: int
    eval_episodes: int
    final_eval_episodes: int
    n_eval_envs: int | None

    @property
    def seeds(self) -> list[int]:
        """The seeds of every trial, ``[n_seeds]``: the same for all, so that they can be compared.

        Others than the first are spread out: rows are seeded ``seed + i``.
        """
        others = np.random.SeedSequence(self.seed).generate_state(self.n_seeds - 1) >> 2
        return [self.seed, *map(int, others)]

    def as_attribute(self) -> dict[str, Any]:
        """What is stored with the study."""
        return asdict(self)

    @staticmethod
    def from_attribute(attribute: dict[str, Any]) -> Plan:
        """What :meth:`as_attribute` gave."""
        return Plan(**{field.name: attribute[field.name] for field in fields(Plan)})


def plan_of(args: argparse.Namespace, spec: EnvSpec, stored: Plan | None = None) -> Plan:
    """The plan that a command line asks for.

    Args:
        args: The command line; flags that were not given are None.
        spec: The world.
        stored: The plan of the study that it is to go on with. Its entry is meant where the
            command line says nothing of one: the files may have changed since.

    Raises:
        ZooError: If there is no entry, or what it holds cannot be stored.
    """
    if stored is not None and not _names_entry(args):
        values, pinned = stored.values, stored.pinned
    else:
        values, pinned = _entry_values(args, spec), sorted(args.hyperparams or {})
    default_evaluations = max(FEWEST_EVALUATIONS, _steps(values) // STEPS_PER_EVALUATION)
    return Plan(
        algo=args.algo,
        env=spec.id,
        values=values,
        pinned=pinned,
        eval_env_kwargs=json.loads(json.dumps(args.eval_env_kwargs)),  # tuples become lists
        seed=chosen_seed(-1 if args.seed is None else args.seed),
        n_seeds=args.n_seeds or 1,
        n_evaluations=args.n_evaluations or default_evaluations,
        eval_episodes=args.eval_episodes or 5,
        final_eval_episodes=args.final_eval_episodes or 20,
        n_eval_envs=args.n_eval_envs,
    )


def _names_entry(args: argparse.Namespace) -> bool:
    return any(getattr(args, flag) is not None for flag in ENTRY_FLAGS)


def _entry_values(args: argparse.Namespace, spec: EnvSpec) -> dict[str, Any]:
    entry = find_entry(
        args.algo, spec.id, preset=args.preset, config=args.conf_file, is_atari=is_atari(spec)
    )
    values = entry.values | (args.hyperparams or {})
    if args.n_timesteps is not None:
        values["n_timesteps"] = args.n_timesteps
    if args.env_kwargs:
        values["env_kwargs"] = mapping_of(values, "env_kwargs") | args.env_kwargs
    return {key: plain_value(key, value) for key, value in sorted(values.items())}


def _steps(values: dict[str, Any]) -> int:
    try:
        return int(float(values["n_timesteps"]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return 0  # which the entry's own check refuses


def mapping_of(values: dict[str, Any], key: str) -> dict[str, Any]:
    """A mapping that an entry holds, as YAML or as a Python snippet; empty without it.

    Raises:
        ZooError: If it is none.
    """
    value = values.get(key)
    try:
        value = read_literal(value) if isinstance(value, str) else value
    except ValueError as error:
        raise ZooError(f"{key}: {error}") from error
    if not isinstance(value, dict | None):
        raise ZooError(f"{key} must be a mapping or None, not {value!r}")
    return dict(value or {})


def plain_value(key: str, value: Any) -> Any:
    """A hyperparameter as YAML and JSON hold it: classes as the text that RL Zoo's files write.

    Raises:
        ZooError: If it is an object that no file can hold.
    """
    if key in SNIPPET_KEYS and isinstance(value, dict | type):
        try:
            text = write_literal(value)
        except ValueError as error:
            raise ZooError(f"{key}: cannot be tuned around: {error}") from error
        return value if _is_plain(value) else text
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, tuple):
        value = list(value)
    if not _is_plain(value):
        raise ZooError(
            f"{key}: cannot be tuned around: a {type(value).__name__} cannot be written to a file"
        )
    return value


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_plain(item) for key, item in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)


def check_same(stored: Plan, args: argparse.Namespace, wanted: Plan, study_name: str) -> None:
    """Checks that what a command line says about trials is what the study's trials are like.

    What it does not say is the study's.

    Args:
        stored: The study's plan.
        args: The command line; flags that were not given are None.
        wanted: The plan that it would have made.
        study_name: For the message.

    Raises:
        ZooError: If they differ; it says in what.
    """
    different = []
    for field in fields(Plan):
        name = field.name
        given = name in ("algo", "env") or getattr(args, name, None) is not None
        if name in ("values", "pinned"):
            given = _names_entry(args)
        if not given or getattr(stored, name) == getattr(wanted, name):
            continue
        if name == "values":
            different += _differences(stored.values, wanted.values)
        else:
            flag = name.replace("_", "-")
            different.append(f"--{flag} {getattr(stored, name)}, not {getattr(wanted, name)}")
    if different:
        raise ZooError(
            f"the study {study_name!r} was begun with {'; '.join(different)}: leave these flags "
            "out to go on with it, or choose another --study-name"
        )


def _differences(stored: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    return [
        f"{key} {stored.get(key)!r}, not {wanted.get(key)!r}"
        for key in sorted(stored.keys() | wanted.keys())
        if stored.get(key) != wanted.get(key)
    ]
