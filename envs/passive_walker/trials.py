"""Trials of a policy: whole episodes of many rows at once, and who survives slopes and pushes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.passive_walker.env import Policy
from envs.passive_walker.gait import Walk
from envs.passive_walker.vector_env import PassiveWalkerVectorEnv

Floats = NDArray[np.float64]

PUSHES = tuple(float(impulse) for impulse in range(-10, 11, 2))
"""Impulses at the hip, N s; below 0 up the slope."""
SLOPES = tuple(float(degrees) for degrees in range(7))
"""Degrees."""

_PUSH_AT = 4.0  # s after the start
_STEP = 0.75  # s, about the time of a step: pushes meet every part of it alike


class Episode(NamedTuple):
    """One episode, T steps long.

    Attributes:
        walk: What was seen after each step.
        terms: Of the reward, in the order of `rewards.TERMS`, `[T, 6]`.
        end: "fall", "no progress" or "time limit".
    """

    walk: Walk
    terms: Floats
    end: str


class Survival(NamedTuple):
    """How many episodes of each kind came to the time limit.

    Attributes:
        kind: "slope" (degrees) or "push" (N s; one after 4 s, below 0 up the slope).
        levels: `[k]`.
        survived: Of n, `[k]`.
        n: Episodes at each level.
    """

    kind: str
    levels: Floats
    survived: NDArray[np.intp]
    n: int


def play(policy: Policy, n_episodes: int = 10, seed: int = 0, **options: Any) -> list[Episode]:
    """Plays episodes, all at once.

    Args:
        policy: Who walks.
        n_episodes: How many.
        seed: Episode i is the first one of the environment seeded `seed + i`.
        **options: The environment's.
    """
    env = PassiveWalkerVectorEnv(n_episodes, **options)
    moments: list[dict[str, NDArray]] = []
    lengths, ends = np.zeros(n_episodes, np.intp), [""] * n_episodes
    for running, infos in _first_episodes(env, policy, seed):
        moments.append(env.trajectory_record())
        lengths += running
        _note_ends(ends, running, infos)
    arrays = {name: np.stack([moment[name] for moment in moments]) for name in moments[0]}
    episodes = []
    for row, (length, end) in enumerate(zip(lengths.tolist(), ends, strict=True)):
        mine = {name: values[:length, row] for name, values in arrays.items()}
        episodes.append(Episode(walk_of(mine), mine["reward_terms"], end))
    return episodes


def walk_of(arrays: dict[str, NDArray]) -> Walk:
    """The walk that an episode's trajectory records, each stacked `[T, ...]`, tell."""
    columns = (arrays[name] for name in ("time", "qpos", "qvel", "torque", "touch"))
    return Walk(float(arrays["slope"][0]), *columns)


def survive_slopes(
    policy: Policy,
    slopes: Sequence[float] = SLOPES,
    n_episodes: int = 10,
    seed: int = 0,
    **options: Any,
) -> Survival:
    """Sends a policy down slopes of so many degrees, `n_episodes` times each."""
    survived = []
    for degrees in slopes:
        env = PassiveWalkerVectorEnv(n_episodes, **{**options, "slope": degrees})
        survived.append(sum(_survivors(env, policy, seed)))
    return Survival("slope", np.array(slopes, np.float64), np.array(survived), n_episodes)


def survive_pushes(
    policy: Policy,
    impulses: Sequence[float] = PUSHES,
    n_episodes: int = 10,
    seed: int = 0,
    **options: Any,
) -> Survival:
    """Pushes a policy once, `n_episodes` times at each impulse, in every part of a step alike."""
    n_rows = len(impulses) * n_episodes
    env = PassiveWalkerVectorEnv(n_rows, **{**options, "push": 0.0})
    at = _PUSH_AT + _STEP * np.tile(np.arange(n_episodes) / n_episodes, len(impulses))
    plan = np.repeat(np.array(impulses, np.float64), n_episodes)
    alive = np.array(_survivors(env, policy, seed, (np.round(at * env.task.hz), plan)))
    survived = alive.reshape(len(impulses), n_episodes).sum(axis=1)
    return Survival("push", np.array(impulses, np.float64), survived, n_episodes)


def _survivors(
    env: PassiveWalkerVectorEnv,
    policy: Policy,
    seed: int,
    pushes: tuple[Floats, Floats] | None = None,
) -> list[bool]:
    ends = [""] * env.num_envs
    for running, infos in _first_episodes(env, policy, seed, pushes):
        _note_ends(ends, running, infos)
    return [end == "time limit" for end in ends]


def _first_episodes(
    env: PassiveWalkerVectorEnv,
    policy: Policy,
    seed: int,
    pushes: tuple[Floats, Floats] | None = None,
) -> Iterator[tuple[NDArray[np.bool_], dict[str, Any]]]:
    """Steps until every row's first episode is over.

    Args:
        env: With a time limit.
        policy: Who walks.
        seed: Of row 0.
        pushes: At which step each row is pushed, and how hard, `[n]` both.

    Yields:
        After each step, which rows' first episodes were still under way during it, and the infos.

    Raises:
        ValueError: There's no time limit.
    """
    if env.task.max_episode_steps is None:
        raise ValueError("trials need a time limit: seconds must be a number")
    observations, _ = env.reset(seed=seed)
    running = np.ones(env.num_envs, bool)
    n_steps = 0
    while running.any():
        if pushes is not None:
            env.push(np.where(pushes[0] == n_steps, pushes[1], 0.0))
        observations, _, terminated, truncated, infos = env.step(policy(observations))
        n_steps += 1
        yield running, infos
        running = running & ~(terminated | truncated)
    env.close()


def _note_ends(ends: list[str], running: NDArray[np.bool_], infos: dict[str, Any]) -> None:
    if not infos:
        return
    for row in np.flatnonzero(running & infos["_final_info"]).tolist():
        ends[row] = infos["final_info"]["end"][row]
