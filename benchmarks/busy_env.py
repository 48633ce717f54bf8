"""An env that costs what it's told to; worker processes build it, so nothing heavy is imported."""

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

__all__ = ["BusyEnv"]

_EPISODE = 300  # steps, of a match of Rocket League that ends early
_BLOCK = 64  # observations drawn beforehand


class BusyEnv(gym.Env[Any, Any]):
    """Rocket League's numbers, 92 floats and 90 actions, and nothing but costs behind them.

    Args:
        cost: Seconds of CPU time per step.
        hiccup: Seconds that some steps sleep on top.
        every: One step in so many has a hiccup, on average.
    """

    observation_space = spaces.Box(-1.0, 1.0, (92,), np.float32)
    action_space = spaces.Discrete(90)

    def __init__(self, cost: float = 0.0, hiccup: float = 0.0, every: int = 100) -> None:
        self.cost, self.hiccup, self.every = cost, hiccup, every
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._seen = self.np_random.random((_BLOCK, 92), np.float32)
        self._hiccups = self.np_random.random(_EPISODE) * self.every < 1.0
        self._steps = 0
        return self._seen[0], {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.cost:
            end = time.thread_time() + self.cost
            while time.thread_time() < end:
                pass
        if self.hiccup and self._hiccups[self._steps]:
            time.sleep(self.hiccup)
        self._steps += 1
        return self._seen[self._steps % _BLOCK], 0.5, False, self._steps >= _EPISODE, {}
