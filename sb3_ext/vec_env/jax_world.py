"""A functional world whose rollouts a jitted program may collect (:mod:`sb3_ext.fused`)."""

from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor

from envs.vector_env import WorldVectorEnv
from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.vec_env.gymnasium import GymnasiumVecEnv

__all__ = ["JaxWorldVecEnv", "NeedsEnvError", "jax_world"]


class NeedsEnvError(RuntimeError):
    """Something asked for an env whose rows are already a rollout ahead."""


class JaxWorldVecEnv(GymnasiumVecEnv):
    """Rows of a functional world; PPO on the JAX backend steps them within its own program.

    It collects a rollout and learns from it in one jitted program, then goes through the rollout
    with the callbacks. They see every step as ever (``locals``, ``infos``, ``num_timesteps``), but
    not the env, which has moved on: what asks for its attributes, its methods or a picture then is
    refused. For any other algorithm this is a plain :class:`GymnasiumVecEnv`.

    Args:
        vector_env: What ``gym.make_vec`` makes of a world with a functional definition.

    Raises:
        TypeError: it isn't such a world, or it's wrapped.
    """

    def __init__(self, vector_env: gym.vector.VectorEnv) -> None:
        if not isinstance(vector_env, WorldVectorEnv):
            raise TypeError(
                f"{vector_env} has no functional definition (envs.world.World), or is wrapped: "
                "a jitted program can't step it; use GymnasiumVecEnv"
            )
        self.world_env = vector_env
        super().__init__(vector_env)

    def play_out(self) -> None:
        """Go through what is left of a rollout that a callback has stopped."""
        while self.world_env.replayed:
            self.step_async(self.world_env.action_space.sample())  # any will do
            self.step_wait()

    def skip(self) -> list[dict[str, Any]]:
        """Go through the rollout at once; what Monitor says of the episodes that ended in it."""
        steps = self.world_env.skip()
        done = steps.terminated | steps.truncated
        first, episodes = np.zeros(self.num_envs, np.intp), []  # of the episode under way
        for t, row in np.argwhere(done).tolist():
            rewards = steps.reward[first[row] : t + 1, row]
            self._returns[row] += rewards.sum(dtype=np.float64)
            self._lengths[row] += len(rewards)
            info: dict[str, Any] = {}
            self._finish(row, info, None, bool(steps.truncated[t, row]))
            episodes.append(info["episode"])
            first[row] = t + 1
        under_way = np.arange(len(done))[:, None] >= first
        self._returns += steps.reward.sum(axis=0, where=under_way, dtype=np.float64)
        self._lengths += len(done) - first
        return episodes

    def _check_not_ahead(self, what: str) -> None:
        if self.world_env.replayed:
            raise NeedsEnvError(
                f"{what} needs the env itself, which is {self.world_env.replayed} steps ahead: "
                "the rollout was collected in one program"
            )

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """As SB3's; refused while callbacks go through a rollout."""
        self._check_not_ahead(f"get_attr({attr_name!r})")
        return super().get_attr(attr_name, indices)

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """As SB3's; refused while callbacks go through a rollout."""
        self._check_not_ahead(f"set_attr({attr_name!r})")
        super().set_attr(attr_name, value, indices)

    def env_method(self, method_name: str, *args: Any, **kwargs: Any) -> list[Any]:
        """As SB3's; refused while callbacks go through a rollout."""
        self._check_not_ahead(f"env_method({method_name!r})")
        return super().env_method(method_name, *args, **kwargs)

    def get_images(self) -> Any:
        """As SB3's; refused while callbacks go through a rollout."""
        self._check_not_ahead("a picture")
        return super().get_images()

    def render(self, mode: str | None = None) -> Any:
        """As SB3's; refused while callbacks go through a rollout."""
        self._check_not_ahead("render()")
        return super().render(mode)


def jax_world(env: VecEnv | None) -> JaxWorldVecEnv | None:
    """The :class:`JaxWorldVecEnv` below an env's wrappers, or None.

    Raises:
        ValueError: a wrapper in between changes what the program would have to see.
    """
    changes = None
    while isinstance(env, VecEnvWrapper):
        if not isinstance(env, EpisodeLog | VecMonitor):
            changes = changes or type(env).__name__
        env = env.venv
    if not isinstance(env, JaxWorldVecEnv):
        return None
    if changes:
        raise ValueError(
            f"{changes} changes observations or rewards outside of the program that collects and "
            "learns: use GymnasiumVecEnv in place of JaxWorldVecEnv"
        )
    return env


def culprit(error: BaseException) -> str:
    """The class of the callback in which an error was raised."""
    name, frame = "a callback", error.__traceback__
    while frame is not None:
        owner = frame.tb_frame.f_locals.get("self")
        if isinstance(owner, BaseCallback):
            name = type(owner).__name__
        frame = frame.tb_next
    return name
