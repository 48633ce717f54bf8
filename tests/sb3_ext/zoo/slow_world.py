"""A world whose steps take their time; worker processes build it."""

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class Slow(gym.Env[Any, Any]):
    """Episodes of 20 steps.

    Args:
        seconds: Of a step.
    """

    observation_space = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, seconds: float = 0.002) -> None:
        self.seconds, self.steps = seconds, 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._look(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.seconds:  # even sleep(0) lets others go first
            time.sleep(self.seconds)
        self.steps += 1
        info = {"kind": self.steps % 3}
        return self._look(), float(action), False, self.steps % 20 == 0, info

    def _look(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


class Doubles(gym.RewardWrapper[Any, Any]):
    """Rewards that monitor.csv is not to show."""

    def reward(self, reward: Any) -> float:
        return 2.0 * float(reward)


gym.register("Slow-v0", Slow)
