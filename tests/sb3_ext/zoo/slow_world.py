"""A world whose steps take their time; worker processes build it."""

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space

SPACE = spaces.Box(-1, 1, (2,), np.float32)


class Slow(gym.Env[Any, Any]):
    """Episodes of 20 steps.

    Args:
        seconds: Of a step.
    """

    observation_space = SPACE
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


class SlowRows(gym.vector.VectorEnv[Any, Any, Any]):
    """A vector form without a single one, each of whose rows takes its time.

    Args:
        num_envs: Rows.
        seconds: Of a step, for each row.
    """

    metadata: dict[str, Any] = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, seconds: float = 0.002) -> None:
        self.num_envs, self.seconds = num_envs, seconds
        self.single_observation_space, self.single_action_space = SPACE, spaces.Discrete(2)
        self.observation_space = batch_space(SPACE, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.render_mode = None

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        return np.zeros((self.num_envs, 2), np.float32), {}

    def step(self, actions: Any) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        time.sleep(self.seconds * self.num_envs)
        never = np.zeros(self.num_envs, bool)
        return self.reset()[0], actions.astype(float), never, never, {}


gym.register("Slow-v0", Slow)
gym.register("SlowRows-v0", vector_entry_point="tests.sb3_ext.zoo.slow_world:SlowRows")
