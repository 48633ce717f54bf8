"""Trajectories of an agent at play, as plain arrays in one file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv, unwrap_vec_normalize

from callbacks.checkpoint import save_atomically


def collect(
    model: BaseAlgorithm,
    env: VecEnv,
    n_episodes: int,
    deterministic: bool,
    each_step: Callable[[VecEnv], None] | None = None,
    max_steps: int | None = None,
) -> dict[str, np.ndarray]:
    """Plays whole episodes, one after the other.

    Args:
        model: The agent.
        env: One row, with episode statistics in its infos, or one match: then its first row's
            trajectory is told, and the agent plays all of them.
        n_episodes: How many.
        deterministic: Whether the policy's most likely action is taken.
        each_step: Called before each step, to draw the env, say: after an episode's last one it
            shows the next.
        max_steps: Breaks off after so many steps in all; None: no limit.

    Returns:
        With T steps in all and E episodes begun: ``observations [T, ...]`` (what the action was
        chosen from, not normalized; one entry ``observations.KEY`` for each part of a Dict),
        ``actions [T, ...]``, ``rewards [T]``, ``terminated [T]``, ``truncated [T]``, ``episode
        [T]`` (counted from 0), ``last_observations [E', ...]`` of the E' episodes that ended, and
        ``returns [E']``, ``lengths [E']``.
    """
    normalizer = unwrap_vec_normalize(env)
    columns: dict[str, list[Any]] = {
        name: [] for name in ("actions", "rewards", "terminated", "truncated", "episode")
    }
    seen: list[Any] = []
    last: list[Any] = []
    returns: list[float] = []
    lengths: list[int] = []
    state, starts = None, np.ones(env.num_envs, bool)
    obs: Any = env.reset()
    while len(returns) < n_episodes and (max_steps is None or len(seen) < max_steps):
        if each_step is not None:
            each_step(env)
        seen.append(_row(obs if normalizer is None else normalizer.get_original_obs()))
        actions, state = model.predict(
            obs, state=state, episode_start=starts, deterministic=deterministic
        )
        obs, rewards, starts, infos = env.step(actions)
        given = normalizer.get_original_reward() if normalizer is not None else rewards
        timed_out = bool(starts[0]) and bool(infos[0].get("TimeLimit.truncated", False))
        row = (actions[0], given[0], bool(starts[0]) and not timed_out, timed_out, len(returns))
        for column, value in zip(columns.values(), row, strict=True):
            column.append(value)
        if starts[0]:
            end = infos[0]["terminal_observation"]
            # Infos carry it normalized.
            last.append(end if normalizer is None else normalizer.unnormalize_obs(end))
            returns.append(float(infos[0]["episode"]["r"]))
            lengths.append(int(infos[0]["episode"]["l"]))
    arrays = {name: np.asarray(column) for name, column in columns.items()}
    arrays |= _stacked("observations", seen) | _stacked("last_observations", last)
    return arrays | {"returns": np.asarray(returns), "lengths": np.asarray(lengths)}


def save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Writes them as a compressed ``.npz``, whole or not at all."""
    entries: dict[str, Any] = dict(arrays)
    save_atomically(path, lambda file: np.savez_compressed(file, **entries))


def _row(obs: Any) -> Any:
    if isinstance(obs, dict):
        return {key: np.array(part[0]) for key, part in obs.items()}
    return np.array(obs[0])


def _stacked(name: str, rows: list[Any]) -> dict[str, np.ndarray]:
    if rows and isinstance(rows[0], dict):
        return {f"{name}.{key}": np.stack([row[key] for row in rows]) for key in rows[0]}
    return {name: np.stack(rows) if rows else np.empty(0)}
