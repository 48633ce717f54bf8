"""The episode that is under way in a single env, whatever wrappers stand around it.

It's what :mod:`sb3_ext.vec_env.snapshots` asks of each row. Worker processes do too, so nothing
here imports stable-baselines3: its wrappers are known by name.
"""

from __future__ import annotations

import time
from copy import deepcopy
from typing import Any, NamedTuple

import gymnasium as gym
from gymnasium.wrappers import OrderEnforcing, PassiveEnvChecker, TimeLimit

__all__ = ["CountsEpisodes", "Snapshot", "TellsEpisodes", "layers_of", "name_of", "set_layers"]


def name_of(cls: type) -> str:
    """A wrapper's name; RL Zoo, once imported, has put its own TimeLimit, which remembers alike."""
    if cls.__module__ == "rl_zoo3.gym_patches" and cls.__base__ is not None:
        cls = cls.__base__
    return f"{cls.__module__}.{cls.__qualname__}"


class CountsEpisodes(gym.Wrapper):
    """Writes ``info["episode"]`` as SB3's ``Monitor`` does, without bringing torch along.

    Args:
        env: The env.
        info_keywords: Entries of the last info to note too.
    """

    def __init__(self, env: gym.Env[Any, Any], info_keywords: tuple[str, ...] = ()) -> None:
        super().__init__(env)
        self._info_keywords = info_keywords
        self._start = time.time()
        self._rewards: list[float] = []

    def reset(self, **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        self._rewards = []
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._rewards.append(float(reward))
        if terminated or truncated:
            info["episode"] = {
                "r": round(sum(self._rewards), 6),
                "l": len(self._rewards),
                "t": round(time.time() - self._start, 6),
                **{key: info[key] for key in self._info_keywords},
            }
        return observation, reward, terminated, truncated, info


_WRAPPERS: dict[str, tuple[str, ...]] = {
    name_of(CountsEpisodes): ("_rewards",),
    "stable_baselines3.common.monitor.Monitor": (
        "current_reset_info",
        "needs_reset",
        "rewards",
        "total_steps",
    ),
    name_of(OrderEnforcing): ("_has_reset",),
    name_of(PassiveEnvChecker): ("checked_data_reuse", "checked_reset", "checked_step"),
    name_of(TimeLimit): ("_elapsed_steps",),
}


class Snapshot(NamedTuple):
    """Where a stack of wrappers and the env below it were.

    Attributes:
        layers: Each wrapper's attributes, from the outside in.
        base: What the env's own ``snapshot()`` gave; one entry per row for separate envs.
    """

    layers: list[dict[str, Any]]
    base: Any


class TellsEpisodes(gym.Wrapper):
    """Outermost around a single env, so that a VecEnv can ask for its whole stack's snapshot."""

    def snapshot_episode(self) -> Snapshot | None:
        """The episode under way, or None if something in the stack can't tell."""
        layers, base = layers_of(self.env, "env", _WRAPPERS)
        if layers is None or not hasattr(base, "snapshot"):
            return None
        return Snapshot(layers, base.snapshot())

    def restore_episode(self, taken: Snapshot) -> None:
        """Goes on within it."""
        _, base = layers_of(self.env, "env", _WRAPPERS)
        set_layers(self.env, "env", taken.layers)
        base.restore(taken.base)


def layers_of(
    env: Any, inner: str, known: dict[str, tuple[str, ...]]
) -> tuple[list[dict[str, Any]] | None, Any]:
    """What each wrapper remembers (None: one is unknown), and the env below them all.

    Args:
        env: The outermost wrapper.
        inner: The attribute under which each holds the next.
        known: What wrappers remember of the episode under way, by exactly their class's name.
    """
    layers: list[dict[str, Any]] | None = []
    while inner in vars(env):
        names = known.get(name_of(type(env)))
        if names is None:
            layers = None
        elif layers is not None:
            layers.append({name: deepcopy(getattr(env, name)) for name in names})
        env = getattr(env, inner)
    return layers, env


def set_layers(env: Any, inner: str, layers: list[dict[str, Any]]) -> None:
    """Gives each wrapper back what it remembered."""
    for values in layers:
        for name, value in values.items():
            setattr(env, name, deepcopy(value))
        env = getattr(env, inner)
