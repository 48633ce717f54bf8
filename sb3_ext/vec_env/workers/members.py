"""What a worker steps: single envs, one row each, and vector envs, a row for each of theirs.

A member writes observations, rewards and flags into the shared block; what else there is to tell,
infos, it returns as *news*: ``(row, info, reset_info)``, with ``reset_info`` None where no episode
began.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv

from envs.rows import RowsVectorEnv, is_match
from sb3_ext.vec_env.episodes import Snapshot, TellsEpisodes, name_of
from sb3_ext.vec_env.infos import ends_of, rows_of
from sb3_ext.vec_env.workers.block import Block

__all__ = ["GymRow", "Member", "News", "VectorRows", "member_of"]

News = tuple[int, dict[str, Any], dict[str, Any] | None]


class Member:
    """What both have in common.

    Args:
        env: The env.
        n_rows: Of it.
        spaces: (observation space, action space) of one row.

    Attributes:
        first: Its first row in the block.
        may_be_inactive: Whether nobody may be in a row.
    """

    may_be_inactive = False

    def __init__(
        self, env: Any, n_rows: int, spaces: tuple[spaces.Space[Any], spaces.Space[Any]]
    ) -> None:
        self.env, self.n_rows, self.spaces = env, n_rows, spaces
        self.first = 0
        self.block: Block

    def attach(self, block: Block, first: int) -> None:
        """Gives it its rows of the block, from ``first`` on."""
        self.block, self.first = block, first
        block.active[self.rows] = True

    @property
    def rows(self) -> slice:
        """Its rows in the block."""
        return slice(self.first, self.first + self.n_rows)

    def reset(self, seeds: list[int | None], options: list[dict[str, Any]]) -> list[News]:
        """Starts an episode in every row."""
        raise NotImplementedError

    def step(self, news: list[News]) -> None:
        """Steps every row with the block's actions; a row that is done is reset."""
        raise NotImplementedError

    def get_attr(self, name: str) -> Any:
        """An attribute of the env or of one of its wrappers."""
        return self.env.get_wrapper_attr(name)

    def set_attr(self, name: str, value: Any) -> None:
        """Sets an attribute, as stable-baselines3 does."""
        setattr(self.env, name, value)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        """Calls a method; one answer per row."""
        raise NotImplementedError

    def is_wrapped(self, name: str) -> bool:
        """Whether a wrapper of this class, or of one derived from it, is around the env."""
        env = self.env
        while isinstance(env, gym.Wrapper):
            if any(name_of(cls) == name for cls in type(env).__mro__):
                return True
            env = env.env
        return False

    def render(self) -> list[Any]:
        """The rows' frames."""
        raise NotImplementedError

    def snapshot(self) -> Any:
        """The episodes under way, or None."""
        return self.env.snapshot() if hasattr(self.env, "snapshot") else None

    def restore(self, taken: Any) -> None:
        """Goes on within them."""
        self.env.restore(taken)

    def close(self) -> None:
        """Closes the env."""
        self.env.close()

    def _store(self, row: int | slice, observation: Any) -> None:
        stored = self.block.observations
        if isinstance(stored, dict):
            for key, array in stored.items():
                array[row] = observation[key]
        else:
            stored[row] = observation


class GymRow(Member):
    """A single env."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env, 1, (env.observation_space, env.action_space))

    def reset(self, seeds: list[int | None], options: list[dict[str, Any]]) -> list[News]:
        given = {"options": options[0]} if options[0] else {}
        observation, info = self.env.reset(seed=seeds[0], **given)
        self._store(self.first, observation)
        return [(self.first, {}, info)]

    def step(self, news: list[News]) -> None:
        row, block = self.first, self.block
        action = block.actions[row]
        if block.actions.ndim > 1:  # a view, which the env might keep
            action = action.copy()
        observation, reward, terminated, truncated, info = self.env.step(action)
        done = bool(terminated or truncated)
        block.rewards[row], block.dones[row] = reward, done
        if done:
            end = {
                "TimeLimit.truncated": bool(truncated and not terminated),
                "terminal_observation": deepcopy(observation),  # reset() may overwrite it
            }
            observation, reset_info = self.env.reset()
            news.append((row, {**info, **end}, reset_info))
        elif info:
            news.append((row, info, None))
        self._store(row, observation)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        return [self.env.get_wrapper_attr(name)(*args, **kwargs)]

    def render(self) -> list[Any]:
        return [self.env.render()]

    def snapshot(self) -> Snapshot | None:
        return TellsEpisodes(self.env).snapshot_episode()

    def restore(self, taken: Snapshot) -> None:
        TellsEpisodes(self.env).restore_episode(taken)


class VectorRows(Member):
    """A Gymnasium vector env that resets a row within the step that ends it.

    Raises:
        ValueError: It resets otherwise.
    """

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        if env.metadata.get("autoreset_mode") is not AutoresetMode.SAME_STEP:
            raise ValueError(
                f"{env} in a worker must reset in autoreset mode SAME_STEP, not "
                f"{env.metadata.get('autoreset_mode')}: build single envs, or use GymnasiumVecEnv"
            )
        super().__init__(env, env.num_envs, (env.single_observation_space, env.single_action_space))
        self.may_be_inactive = bool(getattr(env.unwrapped, "may_be_inactive", False))

    def reset(self, seeds: list[int | None], options: list[dict[str, Any]]) -> list[News]:
        # With one int a vector env seeds row i with seed + i, as stable-baselines3 lists them.
        observations, infos = self.env.reset(seed=seeds[0], options=options[0] or None)
        self._store(self.rows, observations)
        self._tell_who_is_there()
        return [(self.first + i, {}, info) for i, info in enumerate(rows_of(infos, self.n_rows))]

    def step(self, news: list[News]) -> None:
        block, rows, first = self.block, self.rows, self.first
        observations, rewards, terminated, truncated, infos = self.env.step(
            block.actions[rows].copy()
        )
        ended = np.logical_or(terminated, truncated)
        block.rewards[rows], block.dones[rows] = rewards, ended
        self._store(rows, observations)
        self._tell_who_is_there()
        if not infos and not ended.any():
            return
        told = rows_of(infos, self.n_rows)
        ends = ends_of(infos, np.flatnonzero(ended), self.n_rows)
        for i, (observation, info) in ends.items():
            end = {
                "TimeLimit.truncated": bool(truncated[i] and not terminated[i]),
                "terminal_observation": observation,
            }
            news.append((first + i, {**info, **end}, told[i]))
        news.extend((first + i, row, None) for i, row in enumerate(told) if row and i not in ends)

    def restore(self, taken: Any) -> None:
        super().restore(taken)
        self._tell_who_is_there()

    def _tell_who_is_there(self) -> None:
        if self.may_be_inactive:
            self.block.active[self.rows] = self.env.unwrapped.active_rows()

    def get_attr(self, name: str) -> Any:
        return getattr(self.env, name)

    def call(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Any]:
        answer = getattr(self.env, name)(*args, **kwargs)
        if answer is None:
            return [None] * self.n_rows
        if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != self.n_rows:
            raise ValueError(
                f"{name!r} of {self.env} answered {type(answer)}, not one entry per row"
            )
        return list(answer)

    def render(self) -> list[Any]:
        return list(self.env.render())


def member_of(env: Any) -> Member:
    """What a builder has built, as a member.

    Raises:
        TypeError: It's no env.
    """
    if isinstance(env, gym.Env):
        return GymRow(env)
    if isinstance(env, VectorEnv):
        return VectorRows(env)
    if is_match(env):
        return VectorRows(RowsVectorEnv([lambda: env]))
    if not hasattr(env, "step"):
        raise TypeError(f"an env's builder returned {env!r}, which is no env")
    # An old Gym's: only stable-baselines3 knows how to read it.
    from stable_baselines3.common.vec_env.patch_gym import _patch_env

    return GymRow(_patch_env(env))
