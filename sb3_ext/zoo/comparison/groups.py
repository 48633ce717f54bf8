"""Runs that differ by their seed alone belong together, under one label."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sb3_ext.zoo.history import History

# Arguments of a run that change what is trained, besides its hyperparameters.
TELLING_ARGUMENTS = ("env_kwargs", "trained_agent")
LONGEST_VALUE = 40


@dataclass(frozen=True)
class Group:
    """The runs of one algorithm on one world, with one set of hyperparameters.

    Attributes:
        label: The algorithm's name; where the same algorithm was run with several sets of
            hyperparameters on this world, with those in which they differ.
        env_id: The world.
        runs: Ordered by seed.
    """

    label: str
    env_id: str
    runs: list[History]


def group(histories: Iterable[History]) -> list[Group]:
    """Groups runs; worlds and algorithms stay in the order in which they come."""
    cells: dict[tuple[str, str], list[History]] = defaultdict(list)
    for history in histories:
        cells[history.env_id, history.algo].append(history)
    groups = []
    for (env_id, algo), runs in cells.items():
        for label, members in _variants(algo, runs).items():
            members.sort(key=lambda run: -1 if run.seed is None else run.seed)
            groups.append(Group(label, env_id, members))
    return groups


def _variants(algo: str, runs: list[History]) -> dict[str, list[History]]:
    settings = [_settings(run) for run in runs]
    keys = sorted({key for setting in settings for key in setting})
    differing = [
        key for key in keys if any(setting.get(key) != settings[0].get(key) for setting in settings)
    ]
    variants: dict[str, list[History]] = defaultdict(list)
    for run, setting in zip(runs, settings, strict=True):
        values = ", ".join(f"{key}={_brief(setting.get(key))}" for key in differing)
        variants[f"{algo} ({values})" if values else algo].append(run)
    return dict(variants)


def _settings(run: History) -> dict[str, Any]:
    arguments = {key: run.args[key] for key in TELLING_ARGUMENTS if run.args.get(key)}
    if isinstance(run.args.get("n_timesteps"), int) and run.args["n_timesteps"] > 0:
        arguments["n_timesteps"] = run.args["n_timesteps"]
    return run.config | arguments


def _brief(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= LONGEST_VALUE else text[:LONGEST_VALUE] + "…"
