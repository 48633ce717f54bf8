"""Worlds that fail on demand: ``--gym-packages tests.sb3_ext.zoo.worlds --env Failing-v0``."""

import os
import signal
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.callbacks import BaseCallback

BOX = spaces.Box(-1, 1, (2,), np.float32)
SPACES = {
    "box": BOX,
    "discrete": spaces.Discrete(3),
    "binary": spaces.MultiBinary(3),
    "mixed": spaces.Dict(a=BOX, b=spaces.Discrete(3)),
    "nested": spaces.Dict(a=spaces.Dict(b=BOX)),
}
ERRORS = {"runtime": RuntimeError, "key": KeyError, "exit": SystemExit}


class Failing(gym.Env[Any, Any]):
    """Episodes of 20 steps, and one exception.

    Args:
        fails: Where: ``init``, ``reset``, ``step`` or, by default, never.
        at: In ``step``: the first step, of all, that fails.
        error: What it raises.
        space: What is observed.
    """

    action_space = spaces.Discrete(2)

    def __init__(
        self, fails: str = "", at: int = 0, error: str = "runtime", space: str = "box"
    ) -> None:
        self.observation_space = SPACES[space]
        self.fails, self.at, self.error, self.steps = fails, at, error, 0
        self._fail("init")

    def _fail(self, where: str) -> None:
        if where == self.fails:
            raise ERRORS[self.error](f"no simulator\nin {where}")

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._fail("reset")
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        if self.steps > self.at:
            self._fail("step")
        return self.observation_space.sample(), 1.0, self.steps % 20 == 0, False, {}


gym.register("Failing-v0", Failing)


class FailsEveryOther(BaseCallback):
    """Fails in every other training of this process."""

    trainings = 0

    def _on_training_start(self) -> None:
        FailsEveryOther.trainings += 1
        if FailsEveryOther.trainings % 2 == 0:
            raise RuntimeError("no luck\nthis time")

    def _on_step(self) -> bool:
        return True


class PressesCtrlC(BaseCallback):
    """Presses Ctrl-C in the third training of this process."""

    trainings = 0

    def _on_training_start(self) -> None:
        PressesCtrlC.trainings += 1

    def _on_step(self) -> bool:
        if PressesCtrlC.trainings == 3 and self.num_timesteps > 100:
            os.kill(os.getpid(), signal.SIGINT)
        return True
