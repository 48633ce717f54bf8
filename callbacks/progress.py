"""How far training is, and how well it goes: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from typing import Any, TextIO

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from tqdm import tqdm


class ProgressCallback(BaseCallback):
    """Shows steps, steps per second and the mean return of the latest episodes.

    Args:
        stream: Where to write; standard error by default.
        bar: True for a bar, False for lines; None looks whether the stream is a terminal.
        seconds_between_lines: Lines are no closer than this, except the last.

    Example:
        >>> model.learn(100_000, callback=ProgressCallback())
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        bar: bool | None = None,
        seconds_between_lines: float = 5.0,
    ) -> None:
        super().__init__()
        self.stream = stream or sys.stderr
        self.bar = self.stream.isatty() if bar is None else bar
        self.seconds_between_lines = seconds_between_lines
        self._tqdm: tqdm[Any] | None = None
        self._first_step = 0
        self._shown_step = 0
        self._start = self._shown = 0.0

    def _on_training_start(self) -> None:
        self._start = self._shown = time.perf_counter()
        self._first_step = self._shown_step = self.num_timesteps
        if self.bar:
            self._tqdm = tqdm(
                total=self.model._total_timesteps,
                initial=self.num_timesteps,
                unit=" steps",
                unit_scale=True,
                file=self.stream,
                dynamic_ncols=True,
                mininterval=0.2,
            )

    def _on_step(self) -> bool:
        now = time.perf_counter()
        if now - self._shown >= (0.2 if self.bar else self.seconds_between_lines):
            self._show(now)
        return True

    def _on_training_end(self) -> None:
        if self.num_timesteps > self._shown_step:
            self._show(time.perf_counter())
        self.close()

    def close(self) -> None:
        """Ends the bar's line; for a training that failed before it ended."""
        if self._tqdm is not None:
            self._tqdm.close()
            self._tqdm = None

    def _show(self, now: float) -> None:
        self._shown = now
        if self._tqdm is not None:
            self._tqdm.set_postfix_str(self._returns(), refresh=False)
            done = min(self.num_timesteps, self.model._total_timesteps)
            self._tqdm.update(done - min(self._shown_step, self.model._total_timesteps))
        else:
            total = self.model._total_timesteps
            speed = (self.num_timesteps - self._first_step) / max(now - self._start, 1e-9)
            print(
                f"{self.num_timesteps:>11,} / {total:,} steps ({self.num_timesteps / total:4.0%})"
                f"  {speed:,.0f} steps/s  {self._returns()}",
                file=self.stream,
                flush=True,
            )
        self._shown_step = self.num_timesteps

    def _returns(self) -> str:
        episodes = self.model.ep_info_buffer
        if not episodes:
            return "no episode ended yet"
        return f"mean return {np.mean([episode['r'] for episode in episodes]):.2f}"
