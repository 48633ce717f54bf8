"""The episodes that are under way in a VecEnv, so that a training can go on within them.

An env that can tell them has ``snapshot()``, which returns something that pickles, and
``restore(snapshot)``, which goes on exactly there: our functional worlds do. stable-baselines3's
and Gymnasium's own wrappers around it are known here. Where anything else stands between, there is
no snapshot: a training that goes on begins with fresh episodes.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
    VecTransposeImage,
)

from sb3_ext.vec_env.episode_log import EpisodeLog

__all__ = ["Snapshot", "TellsEpisodes", "restore", "snapshot"]


def _unpatched(cls: type) -> type:
    """Gymnasium's TimeLimit where RL Zoo, once imported, has put its own, which remembers alike."""
    patched = cls.__module__ == "rl_zoo3.gym_patches" and cls.__base__ is not None
    return cls.__base__ if patched else cls  # type: ignore[return-value]


# What wrappers remember of the episode under way, by exactly their class: a derived one may
# remember more. VecNormalize's statistics outlive episodes and are not here; EpisodeLog's file
# neither.
_VEC_WRAPPERS: dict[type, tuple[str, ...]] = {
    EpisodeLog: (),
    VecFrameStack: ("stacked_obs",),
    VecMonitor: ("episode_count", "episode_lengths", "episode_returns"),
    VecNormalize: ("returns",),
    VecTransposeImage: (),
}
_WRAPPERS: dict[type, tuple[str, ...]] = {
    Monitor: ("current_reset_info", "needs_reset", "rewards", "total_steps"),
    OrderEnforcing: ("_has_reset",),
    PassiveEnvChecker: ("checked_data_reuse", "checked_reset", "checked_step"),
    _unpatched(TimeLimit): ("_elapsed_steps",),
}


class Snapshot(NamedTuple):
    """Where a stack of wrappers and the env below it were.

    Attributes:
        layers: Each wrapper's attributes, from the outside in.
        base: What the env's own ``snapshot()`` gave; one entry per row for separate envs.
    """

    layers: list[dict[str, Any]]
    base: Any


def snapshot(env: VecEnv) -> Snapshot | None:
    """The episodes under way in every row, or None if something between can't tell."""
    layers, base = _layers(env, "venv", _VEC_WRAPPERS)
    if layers is None:
        return None
    if isinstance(base, DummyVecEnv | SubprocVecEnv):
        if not base.has_attr("snapshot_episode"):
            return None
        rows = base.env_method("snapshot_episode")
        return None if None in rows else Snapshot(layers, rows)
    told = base.snapshot() if hasattr(base, "snapshot") else None
    return None if told is None else Snapshot(layers, told)


def restore(env: VecEnv, taken: Snapshot) -> None:
    """Goes on within the episodes of a snapshot, in an env that is built alike."""
    _, base = _layers(env, "venv", _VEC_WRAPPERS)
    _set_layers(env, "venv", taken.layers)
    if isinstance(base, DummyVecEnv | SubprocVecEnv):
        for row, told in enumerate(taken.base):
            base.env_method("restore_episode", told, indices=row)
    else:
        base.restore(taken.base)


class TellsEpisodes(gym.Wrapper):
    """Outermost around a single env, so that a VecEnv can ask for its whole stack's snapshot."""

    def snapshot_episode(self) -> Snapshot | None:
        """The episode under way, or None if something in the stack can't tell."""
        layers, base = _layers(self.env, "env", _WRAPPERS)
        if layers is None or not hasattr(base, "snapshot"):
            return None
        return Snapshot(layers, base.snapshot())

    def restore_episode(self, taken: Snapshot) -> None:
        """Goes on within it."""
        _, base = _layers(self.env, "env", _WRAPPERS)
        _set_layers(self.env, "env", taken.layers)
        base.restore(taken.base)


def _layers(
    env: Any, inner: str, known: dict[type, tuple[str, ...]]
) -> tuple[list[dict[str, Any]] | None, Any]:
    """What each wrapper remembers (None: one is unknown), and the env below them all."""
    layers: list[dict[str, Any]] | None = []
    while inner in vars(env):
        names = known.get(_unpatched(type(env)))
        if names is None:
            layers = None
        elif layers is not None:
            layers.append({name: deepcopy(getattr(env, name)) for name in names})
        env = getattr(env, inner)
    return layers, env


def _set_layers(env: Any, inner: str, layers: list[dict[str, Any]]) -> None:
    for values in layers:
        for name, value in values.items():
            setattr(env, name, deepcopy(value))
        env = getattr(env, inner)
