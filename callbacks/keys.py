"""Keys that steer a training from its terminal; without a terminal they simply aren't there."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from stable_baselines3.common.callbacks import BaseCallback

HELP = "keys: p pause or go on, c checkpoint, q stop and save"


class KeysCallback(BaseCallback):
    """``p`` pauses and goes on, ``c`` saves a checkpoint, ``q`` ends the training cleanly.

    Keys are read where standard input is a terminal and this process stands in its foreground;
    else the callback does nothing, so it may always be there. The terminal is as before when
    training ends, however it ends.

    Args:
        checkpoint: Called by ``c``; None: ``model.save("checkpoint_<steps>_steps")``.
        source: The terminal; standard input by default.
        stream: Where it answers; standard error by default.

    Example:
        >>> model.learn(1_000_000, callback=KeysCallback())
    """

    def __init__(
        self,
        checkpoint: Callable[[], Any] | None = None,
        source: TextIO | None = None,
        stream: TextIO | None = None,
    ) -> None:
        super().__init__()
        self.checkpoint = checkpoint or self._save
        self.source, self.stream = source or sys.stdin, stream or sys.stderr
        self._terminal: _Terminal | None = None

    def _on_training_start(self) -> None:
        self._terminal = _Terminal.of(self.source)
        if self._terminal is not None:
            self._say(HELP)

    def _on_step(self) -> bool:
        if self._terminal is None:
            return True
        goes_on = True
        while goes_on and (key := self._terminal.key()):
            goes_on = self._answer(key)
        return goes_on

    def _answer(self, key: str) -> bool:
        if key == "c":
            self.checkpoint()
            self._say(f"checkpoint at step {self.num_timesteps:,}")
        elif key == "p":
            self._say("paused: p goes on, q stops")
            return self._wait()
        elif key == "q":
            self._say("stopping")
            return False
        return True

    def _wait(self) -> bool:
        assert self._terminal is not None
        while True:
            key = self._terminal.key()
            if key == "p":
                self._say("going on")
                return True
            if key == "q":
                return self._answer(key)
            if key == "c":
                self._answer(key)
            time.sleep(0.05)

    def _save(self) -> None:
        self.model.save(f"checkpoint_{self.num_timesteps}_steps")

    def _say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def _on_training_end(self) -> None:
        if self._terminal is not None:
            self._terminal.close()
            self._terminal = None


class _Terminal:
    """A POSIX terminal that hands out keys as they are pressed."""

    def __init__(self, descriptor: int) -> None:
        import atexit
        import termios
        import tty

        self._descriptor = descriptor
        self._before: Any = termios.tcgetattr(descriptor)
        tty.setcbreak(descriptor)  # keys come at once; Ctrl-C stays Ctrl-C
        atexit.register(self.close)

    @classmethod
    def of(cls, source: Any) -> _Terminal | None:
        """The terminal that ``source`` is, or None."""
        try:
            descriptor = source.fileno()
            if not os.isatty(descriptor) or os.tcgetpgrp(descriptor) != os.getpgrp():
                return None
            return cls(descriptor)
        except (ImportError, OSError, ValueError, AttributeError):
            return None  # no POSIX terminal (Windows), a closed one, or none at all

    def key(self) -> str:
        """The next key pressed, or "" if there is none."""
        import select

        try:
            if not select.select([self._descriptor], [], [], 0)[0]:
                return ""
            return os.read(self._descriptor, 1).decode(errors="ignore").lower()
        except (OSError, ValueError):  # the terminal is gone
            return ""

    def close(self) -> None:
        """Puts the terminal back as it was."""
        import atexit
        import contextlib
        import termios

        atexit.unregister(self.close)
        with contextlib.suppress(termios.error):
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._before)
