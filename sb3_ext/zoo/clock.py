"""How long a training has taken, in this process and in those that began it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator


class Clock:
    """Counts the seconds of a training.

    Args:
        learned: Seconds spent learning before this process.
        lived: Seconds spent in all before this process.

    Attributes:
        evaluated: Tells the seconds spent evaluating in this process, which are no learning.
    """

    def __init__(self, learned: float = 0.0, lived: float = 0.0) -> None:
        self._learned, self._lived = learned, lived
        self._start = time.perf_counter()
        self._learning_since: float | None = None
        self.evaluated: Callable[[], float] = lambda: 0.0

    @contextlib.contextmanager
    def learning(self) -> Iterator[None]:
        """The part that learns."""
        self._learning_since = time.perf_counter()
        try:
            yield
        finally:
            self._learned, self._learning_since = self.learning_seconds, None

    @property
    def learning_seconds(self) -> float:
        """Spent learning so far, without the evaluations."""
        if self._learning_since is None:
            return self._learned
        spent = time.perf_counter() - self._learning_since - self.evaluated()
        return self._learned + max(spent, 1e-9)

    @property
    def wall_seconds(self) -> float:
        """Spent in all so far."""
        return self._lived + time.perf_counter() - self._start
