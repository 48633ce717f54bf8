"""How good a policy is, in figures that can be compared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecEnv


@dataclass(frozen=True)
class Score:
    """Returns of an evaluation.

    Attributes:
        returns: One undiscounted return per episode, ``[n_episodes]``.
    """

    returns: np.ndarray

    @property
    def mean(self) -> float:
        return float(self.returns.mean())

    @property
    def std(self) -> float:
        return float(self.returns.std())

    @property
    def ci95(self) -> list[float]:
        """The 95 % confidence interval of the mean (normal approximation), low and high."""
        n = len(self.returns)
        half = 1.96 * float(self.returns.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
        return [self.mean - half, self.mean + half]

    def as_summary(self, name: str) -> dict[str, float | int | list[float]]:
        """The entries of summary.json under a name such as ``final``."""
        return {
            f"{name}_mean_return": self.mean,
            f"{name}_mean_return_std": self.std,
            f"{name}_mean_return_episodes": len(self.returns),
            f"{name}_mean_return_ci95": self.ci95,
        }


def evaluate(
    model: BaseAlgorithm, env: VecEnv, n_episodes: int, deterministic: bool = True
) -> Score:
    """Plays whole episodes and counts their returns.

    Every row plays the same number of episodes: had the first ``n_episodes`` to end been taken,
    short episodes would be favored.

    Args:
        model: The agent.
        env: With episode statistics in its infos; at most ``n_episodes`` rows.
        n_episodes: Episodes in all.
        deterministic: Whether the policy's most likely action is taken.
    """
    returns, _ = evaluate_policy(
        model, env, n_episodes, deterministic=deterministic, return_episode_rewards=True
    )
    return Score(np.asarray(returns, dtype=np.float64))
