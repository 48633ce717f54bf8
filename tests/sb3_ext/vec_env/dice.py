"""An env of every space; worker processes build it, so nothing heavy is imported here."""

import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

OBSERVATIONS: dict[str, spaces.Space] = {
    "box": spaces.Box(-10.0, 10.0, (3,), np.float32),
    "image": spaces.Box(0, 255, (8, 8, 3), np.uint8),
    "discrete": spaces.Discrete(50),
    "multidiscrete": spaces.MultiDiscrete([5, 7]),
    "multibinary": spaces.MultiBinary(4),
    "dict": spaces.Dict(
        {
            "camera": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "speed": spaces.Box(-1.0, 1.0, (2,), np.float32),
            "gear": spaces.Discrete(6),
        }
    ),
}
ACTIONS: dict[str, spaces.Space] = {
    "box": spaces.Box(-1.0, 1.0, (2,), np.float32),
    "discrete": spaces.Discrete(3),
    "multidiscrete": spaces.MultiDiscrete([2, 4]),
    "multibinary": spaces.MultiBinary(3),
}


class Dice(gym.Env):
    """Observations, rewards, ends and infos are thrown from the env's own generator."""

    metadata = {"render_modes": ["rgb_array", "human"], "render_fps": 7}  # noqa: RUF012

    def __init__(self, obs: str = "box", action: str = "discrete", render_mode=None) -> None:
        self.observation_space = OBSERVATIONS[obs]
        self.action_space = ACTIONS[action]
        self.render_mode = render_mode
        self.difficulty = 1
        self.n_steps = 0
        self.options: Any = None

    def _observation(self) -> Any:
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n_steps = 0
        self.options = options
        return self._observation(), {"start": float(self.np_random.random())}

    def step(self, action):
        assert self.action_space.contains(action), action
        self.n_steps += 1
        throw = self.np_random.random()
        info: dict[str, Any] = {
            "n_steps": self.n_steps,
            "throw": float(throw),
            "lucky": bool(throw > 0.5),
            "position": self.np_random.random(2).astype(np.float32),
            "name": f"step {self.n_steps}",
            "nested": {"half": float(throw / 2), "deeper": {"third": float(throw / 3)}},
        }
        if throw > 0.7:
            info["rare"] = float(throw)
            info["nested"]["rare"] = np.full((2, 2), throw)
        if self.n_steps % 2:
            info["odd"] = {"action": float(np.sum(action))}
        terminated, truncated = bool(throw < 0.08), bool(throw < 0.04 or throw > 0.93)
        return self._observation(), float(throw + np.sum(action)), terminated, truncated, info

    def render(self):
        if self.render_mode == "human":
            self.shown = True
            return None
        return np.full((4, 6, 3), self.n_steps, np.uint8)

    def set_difficulty(self, difficulty: int) -> int:
        self.difficulty = difficulty
        return 10 * difficulty

    def shape_of(self) -> tuple[int, ...] | None:
        return self.observation_space.shape


class Wide(Dice):
    """An observation that no pipe would hold, in float64."""

    def __init__(self) -> None:
        super().__init__()
        self.observation_space = spaces.Box(0.0, 1.0, (300, 100), np.float64)


class SlowDice(Dice):
    """Takes its time, and may break.

    Args:
        seconds: Of a step.
    """

    breaks_at = -1

    def __init__(self, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds, self.total = seconds, 0

    def step(self, action):
        self.total += 1
        if self.total == self.breaks_at:
            raise ValueError("the dice are gone")
        if self.seconds:
            time.sleep(self.seconds)
        return super().step(action)
