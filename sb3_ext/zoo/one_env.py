"""Envs as a worker process builds them: nothing here imports stable-baselines3 or torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import EnvSpec

from sb3_ext.vec_env.episodes import CountsEpisodes

__all__ = ["OneEnv", "OneVectorEnv"]


@dataclass(frozen=True)
class OneEnv:
    """Builds a world with its wrappers, as stable-baselines3's ``make_vec_env`` does.

    Attributes:
        spec: The world.
        kwargs: Arguments of its constructor.
        seed: Of its action space.
        wrappers: Each with its arguments, from the inside out.
        monitor: What counts episodes, closest to the world.
    """

    spec: EnvSpec
    kwargs: dict[str, Any]
    seed: int = 0
    wrappers: list[tuple[Callable[..., gym.Env[Any, Any]], dict[str, Any]]] = field(
        default_factory=list
    )
    monitor: Callable[[gym.Env[Any, Any]], gym.Env[Any, Any]] = CountsEpisodes

    def __call__(self) -> gym.Env[Any, Any]:
        """The env."""
        env = self.spec.make(**self.kwargs)
        env.action_space.seed(self.seed)
        env = self.monitor(env)
        for wrapper, kwargs in self.wrappers:
            env = wrapper(env, **kwargs)
        return env


@dataclass(frozen=True)
class OneVectorEnv:
    """Builds a world's own vector form.

    Attributes:
        spec: The world.
        n_envs: Its rows, or matches.
        kwargs: Arguments of its constructor.
    """

    spec: EnvSpec
    n_envs: int
    kwargs: dict[str, Any]

    def __call__(self) -> gym.vector.VectorEnv:
        """The vector env."""
        return gym.make_vec(self.spec, num_envs=self.n_envs, **self.kwargs)
