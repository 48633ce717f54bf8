"""Steps at a fixed rate, and how long their parts took."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence

import numpy as np

_KEPT = 100_000


class Pacer:
    """Waits for the end of one period after the other.

    Args:
        hz: Periods per second.

    Attributes:
        n_steps: Periods that were waited for.
        n_missed: Periods that had ended before they were waited for.
    """

    def __init__(self, hz: float) -> None:
        self._period = 1.0 / hz
        self.n_steps = 0
        self.n_missed = 0
        self._deadline = 0.0

    def restart(self) -> None:
        """Begins a period now."""
        self._deadline = time.monotonic() + self._period

    def wait(self) -> float:
        """Waits until the period ends and begins the next; of missed ones it catches up none.

        Returns:
            How late it's over, s.
        """
        missing = time.monotonic() - self._deadline
        self.n_steps += 1
        if missing > 0.0:
            periods = math.ceil(missing / self._period)
            self.n_missed += periods
            self.n_steps += periods - 1
            self._deadline += periods * self._period
            return missing
        time.sleep(-missing)
        late = time.monotonic() - self._deadline
        self._deadline += self._period
        return late


class Timings:
    """How long things took; the last 100,000 of each."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def add(self, name: str, seconds: float) -> None:
        """Notes how long something took, s."""
        self._seconds.setdefault(name, deque(maxlen=_KEPT)).append(seconds)

    def milliseconds(
        self, percentiles: Sequence[float] = (50, 95, 99)
    ) -> dict[str, tuple[float, ...]]:
        """Percentiles of each, ms."""
        return {
            name: tuple(1000.0 * float(p) for p in np.percentile(list(seconds), percentiles))
            for name, seconds in self._seconds.items()
        }
