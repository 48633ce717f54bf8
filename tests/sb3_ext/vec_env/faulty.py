"""Envs that go wrong in every way; worker processes build them, so nothing heavy is imported."""

import ctypes
import os
import signal
import threading
import time
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces


class CannotBeMadeAgainError(Exception):
    """Pickles, but can't be unpickled."""

    def __init__(self, first: str, second: str) -> None:
        super().__init__(f"{first} {second}")


class Faulty(gym.Env[Any, Any]):
    """Goes wrong in a step whose action is 1.

    Args:
        fault: What it does then.
    """

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, fault: str = "") -> None:
        self.fault = fault
        self.goes_wrong("init")

    def goes_wrong(self, where: str) -> None:
        if self.fault == where:
            raise ValueError(f"no simulator in {where}")

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.goes_wrong("reset")
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        info: dict[str, Any] = {}
        if action == 1:
            if self.fault == "lock":
                info["lock"] = threading.Lock()
            else:
                getattr(self, self.fault)()
        return np.ones(2, np.float32), 1.0, False, False, info

    def raises(self) -> None:
        raise ValueError("the physics exploded")

    def hangs_up(self) -> None:
        raise BrokenPipeError("the game has gone")

    def exits(self) -> None:
        raise SystemExit("enough")

    def puzzles(self) -> None:
        raise CannotBeMadeAgainError("one", "two")

    def dies(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def leaves(self) -> None:
        os._exit(3)

    def crashes(self) -> None:
        ctypes.string_at(0)

    def hangs(self) -> None:
        time.sleep(600)

    def hangs_in_c(self) -> None:
        ctypes.PyDLL(None).sleep(600)  # with the interpreter's lock

    def pid(self) -> int:
        return os.getpid()


def faulty(fault: str) -> Any:
    """A builder."""
    return lambda: Faulty(fault)
