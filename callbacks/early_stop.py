"""Stops a training that has reached what it was meant to reach."""

from __future__ import annotations

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback


class SolvedCallback(BaseCallback):
    """Stops once the mean return is at least ``score``.

    Args:
        score: The mean return to reach.
        episodes: Over how many of the latest training episodes; fewer don't count as solved.
        evaluation: Judge by this callback's last evaluation instead, which acts without
            exploration; put it before this one.

    Attributes:
        solved_at: The step at which it was reached; None: it wasn't.

    Example:
        >>> model.learn(1_000_000, callback=SolvedCallback(475.0))
    """

    def __init__(
        self, score: float, episodes: int = 100, evaluation: EvalCallback | None = None
    ) -> None:
        super().__init__()
        if episodes < 1:
            raise ValueError(f"episodes must be at least 1, not {episodes}")
        self.score, self.episodes, self.evaluation = score, episodes, evaluation
        self.solved_at: int | None = None
        self._returns: list[float] = []

    def _on_step(self) -> bool:
        mean = self._mean()
        if mean < self.score:
            return True
        self.solved_at = self.num_timesteps
        if self.verbose >= 1:
            print(f"solved: mean return {mean:.2f} at step {self.num_timesteps:,}")
        return False

    def _mean(self) -> float:
        if self.evaluation is not None:
            return float(self.evaluation.last_mean_reward)
        ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        self._returns = [*self._returns, *ended][-self.episodes :]
        return float(np.mean(self._returns)) if len(self._returns) == self.episodes else -np.inf
