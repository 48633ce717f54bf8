"""Where the time of a training goes: choosing actions, stepping the env, updating."""

from __future__ import annotations

import time
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback


class ThroughputCallback(BaseCallback):
    """Logs steps per second and the shares of acting, env and update, each over one iteration.

    ``throughput/steps_per_second`` is the latest iteration's alone (SB3's ``time/fps`` is the mean
    since the beginning); ``throughput/acting``, ``/env`` and ``/update`` are shares that add up to
    1. Acting is all of a rollout outside of the env's ``step``: the network, the buffer and the
    callbacks.

    Attributes:
        shares: The latest ones, by name.

    Example:
        >>> model.learn(100_000, callback=ThroughputCallback())
    """

    def __init__(self) -> None:
        super().__init__()
        self.shares: dict[str, float] = {}
        self._spent = dict.fromkeys(("acting", "env", "update"), 0.0)
        self._mark = 0.0
        self._first_step = 0

    def _on_training_start(self) -> None:
        env = self.training_env
        step = env.step

        def timed_step(actions: Any) -> Any:
            self._turn("acting")
            try:
                return step(actions)
            finally:
                self._turn("env")

        env.step = timed_step  # type: ignore[method-assign]
        self._mark, self._first_step = time.perf_counter(), self.num_timesteps

    def _turn(self, name: str) -> None:
        """What passed since the last turn belongs to ``name``."""
        now = time.perf_counter()
        self._spent[name] += now - self._mark
        self._mark = now

    def _on_rollout_start(self) -> None:
        self._turn("update")
        n, total = self.num_timesteps - self._first_step, sum(self._spent.values())
        if n > 0:
            self.shares = {name: seconds / total for name, seconds in self._spent.items()}
            self.logger.record("throughput/steps_per_second", n / total)
            for name, share in self.shares.items():
                self.logger.record(f"throughput/{name}", share)
        self._spent = dict.fromkeys(self._spent, 0.0)
        self._first_step = self.num_timesteps

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._turn("acting")

    def _on_training_end(self) -> None:
        self.training_env.__dict__.pop("step", None)
