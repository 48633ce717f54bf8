"""Ctrl-C, and a job scheduler's farewell, end a training once; the rest waits until it is saved."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType, TracebackType
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]


class Interruption:
    """While entered, the first signal interrupts what is :meth:`answering`; others are held.

    Attributes:
        received: Whether a signal has come.
    """

    def __init__(self) -> None:
        self.received = False
        self._answers = False
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Interruption:
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup sets it
                self._previous[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            # One that has come ends the process: others may not change its exit code.
            signal.signal(number, signal.SIG_IGN if self.received else handler)

    @contextlib.contextmanager
    def answering(self) -> Iterator[None]:
        """A part of the work that a signal may break off, with KeyboardInterrupt.

        Raises:
            KeyboardInterrupt: At once if a signal has come before.
        """
        self._answers = True
        try:
            if self.received:
                raise KeyboardInterrupt
            yield
        finally:
            self._answers = False

    @contextlib.contextmanager
    def holding(self) -> Iterator[None]:
        """Inside a part that is answering: what must not be broken off half-way.

        Raises:
            KeyboardInterrupt: Afterwards, if a signal has come meanwhile.
        """
        answers, self._answers = self._answers, False
        try:
            yield
        finally:
            self._answers = answers
        if answers and self.received:
            raise KeyboardInterrupt

    def _receive(self, number: int, frame: FrameType | None) -> None:
        again, self.received = self.received, True
        if self._answers and not again:
            raise KeyboardInterrupt
