"""Rows of plays, stepped together at a fixed rate by interchangeable kernels."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.charts import Charts
from envs.osu_mania.play import LAST_TIME, N_JUDGED, N_JUDGEMENTS, TIME, Rules, blank_play

KERNELS = ("auto", "numba", "numpy", "python")
_FEW_ROWS = 8  # up to here the scalar rules are quicker than array operations, even interpreted


def choose_kernels(kernels: str, n_rows: int) -> str:
    """The kernels that "auto" stands for: numba's if it's installed.

    Raises:
        ValueError: There are no such kernels.
        ImportError: They need numba, which isn't installed.
    """
    if kernels not in KERNELS:
        raise ValueError(f"kernels must be one of {', '.join(KERNELS)}, got {kernels!r}")
    if kernels == "auto":
        if importlib.util.find_spec("numba"):
            return "numba"
        return "python" if n_rows <= _FEW_ROWS else "numpy"
    if kernels == "numba" and not importlib.util.find_spec("numba"):
        raise ImportError("the numba kernels need numba: pip install 'sb3_ext[fast]'")
    return kernels


@cache
def load_step(kernels: str) -> Callable[..., None]:
    """The function that steps rows, of kernels by their name."""
    if kernels == "numba":
        from envs.osu_mania.numba_kernels import compiled

        return compiled().step_rows
    if kernels == "numpy":
        from envs.osu_mania import numpy_kernels

        return numpy_kernels.step_rows
    from envs.osu_mania import scalar_kernels

    return scalar_kernels.step_rows


class Simulator:
    """n plays at once.

    Keys change and steps end at whole ms of song time, as in the game and in its replays.

    Args:
        n_rows: How many plays.
        keys: Number of columns of all maps.
        rules: The rules.
        hz: Steps per second of real time.
        kernels: "numba", "numpy" (many rows at once), "python" (the rules as they are written, for
            few rows) or "auto". All of them give the same results.
        lookahead: How many objects of a column an observation may look at.

    Attributes:
        charts: The loaded maps.
        play: The state.
    """

    def __init__(
        self,
        n_rows: int,
        keys: int,
        rules: Rules,
        hz: float = 60.0,
        kernels: str = "auto",
        lookahead: int = 4,
    ) -> None:
        self.rules = rules
        self.kernels = choose_kernels(kernels, n_rows)
        self.charts = Charts(rules, keys, lookahead)
        self.play = blank_play(n_rows, keys)
        self._step_ms = 1000.0 / hz * rules.rate
        self._origin = np.zeros(n_rows)
        self._n_steps = np.zeros(n_rows)

    @property
    def finished(self) -> NDArray[np.bool_]:
        """Which rows have had all of their judgements, `[n]`."""
        return self.play.rows[:, N_JUDGED] == self.play.limits[:, N_JUDGEMENTS]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What changes from step to step, by name."""
        return {**self.play._asdict(), "origin": self._origin, "n_steps": self._n_steps}

    @property
    def next_times(self) -> NDArray[np.float64]:
        """When the next step of each row ends, ms of song time, `[n]`."""
        return np.floor(self._origin + (self._n_steps + 1.0) * self._step_ms + 0.5)

    def begin(
        self, rows: NDArray[np.intp], maps: NDArray[np.intp], times: NDArray[np.float64]
    ) -> None:
        """Puts rows at the beginning of maps.

        Args:
            rows: Which rows, `[k]`.
            maps: Indices that `charts.add` gave, `[k]`.
            times: Song time at which each of them begins, ms, `[k]`; before anything can be due.
        """
        self.charts.begin(self.play, rows, maps)
        self._origin[rows] = times
        self._n_steps[rows] = 0.0
        self.play.rows[rows, TIME] = np.floor(times + 0.5)
        self.play.lanes[LAST_TIME, rows] = -np.inf

    def step(
        self, keys: NDArray[np.bool_], delay: NDArray[np.float64] | float | None = None
    ) -> None:
        """Lets every row play on.

        Args:
            keys: The keys that are down, `[n, K]`.
            delay: How much of the step passes before they are, from 0 to below 1, `[n]`.
        """
        play = self.play
        until = self.next_times
        self._n_steps += 1.0
        switch = play.rows[:, TIME].copy()
        if delay is not None:
            switch = np.minimum(np.floor(switch + delay * self._step_ms + 0.5), until)
        # Not kept in an attribute: compiled functions can't be copied.
        load_step(self.kernels)(self.charts.chart, play, self.rules, keys, switch, until)
