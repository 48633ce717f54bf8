"""Metrics of one's own: measured where a match is played, reported where the agent learns."""

from typing import Any

import gymnasium as gym
from numpy.typing import NDArray

from envs.old_style import OldStyleMatch
from envs.rows import RLGymMatch

__all__ = ["METRICS", "MeasuredEnv", "MeasuredMatch", "MetricsLogger"]

METRICS = "metrics"
"""The key of an info that carries a step's metrics of a match to the trainer."""


class MetricsLogger:
    """To be derived: what to measure in a match, and what to make of it.

    Example:
        >>> class Speed(MetricsLogger):
        ...     def _collect_metrics(self, game_state):
        ...         return [car.physics.linear_velocity for car in game_state.cars.values()]
        ...
        ...     def _report_metrics(self, collected_metrics, wandb_run, cumulative_timesteps):
        ...         speeds = [np.linalg.norm(v) for step in collected_metrics for v in step]
        ...         print(np.mean(speeds))
    """

    def _collect_metrics(self, game_state: Any) -> list[NDArray]:
        """In a worker, after each step of a match: arrays.

        Args:
            game_state: RLGym's state; of other environments, what their info has as ``state``.
        """
        raise NotImplementedError

    def _report_metrics(
        self, collected_metrics: list[list[NDArray]], wandb_run: Any, cumulative_timesteps: int
    ) -> None:
        """In the trainer, after each iteration.

        Args:
            collected_metrics: What was measured in each step of each match since the last report.
            wandb_run: The W&B run, or None.
            cumulative_timesteps: Steps so far.
        """
        raise NotImplementedError


class MeasuredMatch:
    """A match whose first agent's infos carry the metrics.

    Args:
        match: In PettingZoo's parallel form.
        logger: What measures.
    """

    def __init__(self, match: Any, logger: Any) -> None:
        self._match, self._logger = match, logger

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self._match, name)

    def step(self, actions: Any) -> tuple[Any, ...]:
        """A step, measured."""
        acting = list(actions)
        *told, infos = self._match.step(actions)
        info = infos.get(acting[0]) or {}
        metrics = self._logger._collect_metrics(_state_of(self._match, info))
        return *told, {**infos, acting[0]: {**info, METRICS: metrics}}


def _state_of(match: Any, info: Any) -> Any:
    if isinstance(match, RLGymMatch):
        return match.env.state
    return match.state if isinstance(match, OldStyleMatch) else info.get("state")


class MeasuredEnv(gym.Wrapper):
    """The same of a single env.

    Args:
        env: The env.
        logger: What measures.
    """

    def __init__(self, env: gym.Env, logger: Any) -> None:
        super().__init__(env)
        self._logger = logger

    def step(self, action: Any) -> Any:
        """A step, measured."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        measured = {**info, METRICS: self._logger._collect_metrics(info.get("state"))}
        return observation, reward, terminated, truncated, measured
