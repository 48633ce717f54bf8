"""The only way to a key: checks before it goes down, and many ways for it to come up."""

from __future__ import annotations

import atexit
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from envs.osu_mania.live.desktop import check_keys, open_keyboard
from envs.osu_mania.live.errors import LiveError, StoppedError
from envs.osu_mania.live.watchdog import SILENCE, Watchdog


class Hands:
    """Holds the columns' keys as it's told.

    Whatever happens, the keys come up: by `release`, which every step that can't go on calls, when
    the process ends or gets SIGINT or SIGTERM, and by the watchdog.

    Args:
        keys: The columns' keys, from the left.
        panic_key: The key that stops the agent for good.
        max_hold: How long a key is held at most, s; then it's released until it's asked for anew.

    Attributes:
        held: Which keys are down, by column.
        n_overheld: How many keys were released for being held too long.

    Raises:
        LiveError: There is no keyboard, it lacks a key, or the watchdog doesn't start.
        ValueError: A key isn't allowed.
    """

    def __init__(self, keys: Sequence[str], panic_key: str, max_hold: float) -> None:
        check_keys(keys, panic_key)
        self._keys, self._panic_key, self._max_hold = tuple(keys), panic_key, max_hold
        self._keyboard = open_keyboard(keys)
        try:
            self._watchdog = Watchdog(keys, panic_key)
        except BaseException:
            self._keyboard.close()
            raise
        self.held = [False] * len(keys)
        self.n_overheld = 0
        self._since = [0.0] * len(keys)
        self._refused = [False] * len(keys)  # was held too long, and is still asked for
        self._last_beat = 0.0
        self._closed = False
        atexit.register(self.close)
        self._handlers = _release_on_signals(self._watchdog)

    @property
    def watchdog(self) -> Watchdog:
        """The process that releases the keys when this one can't."""
        return self._watchdog

    def set(self, wanted: Sequence[bool], has_focus: Callable[[], bool]) -> None:
        """Presses and releases what isn't as it's wanted.

        Args:
            wanted: Which keys are to be down, by column.
            has_focus: Is asked while keys are held, which would go on to type in another window,
                and right before each key goes down: whether the game has the focus.

        Raises:
            StoppedError: The game hasn't got the focus. All keys are released.
            LiveError: The panic key was pressed, or the watchdog is gone. All keys are released.
        """
        now = time.monotonic()
        if now - self._last_beat > SILENCE:
            self._release_quietly()  # as the watchdog has done meanwhile
        self._check_watchdog()
        self._last_beat = now
        if any(self.held):
            self._check_focus(has_focus)
        for column, want in enumerate(wanted):
            if self.held[column] and now - self._since[column] > self._max_hold:
                self._lift(column)
                self.n_overheld += 1
                self._refused[column] = True
            self._refused[column] &= want
            if self.held[column] and not want:
                self._lift(column)
            elif want and not self.held[column] and not self._refused[column]:
                self._check_focus(has_focus)
                self.held[column] = True
                self._since[column] = now
                self._keyboard.press(self._keys[column])

    def release(self) -> None:
        """Releases all keys, and tells the watchdog that no others follow for now."""
        if self._closed:
            return
        try:
            self._release_quietly()
        finally:
            self._watchdog.rest()
            self._last_beat = 0.0

    def check(self) -> None:
        """Raises LiveError if the panic key was pressed or the watchdog is gone."""
        if not self._watchdog.is_well():
            self.release()
            if self._watchdog.panicked:
                raise LiveError(
                    f"the panic key ({self._panic_key}) was pressed: all keys are released, and "
                    "the agent plays no more"
                )
            raise LiveError("the watchdog is gone, and without it no key is pressed")

    def close(self) -> None:
        """Releases all keys and ends the watchdog; may be called again."""
        if self._closed:
            return
        self.release()
        self._closed = True
        atexit.unregister(self.close)
        for number, (ours, before) in self._handlers.items():
            if signal.getsignal(number) is ours:
                signal.signal(number, before)
        self._watchdog.close()
        self._keyboard.close()

    def _check_focus(self, has_focus: Callable[[], bool]) -> None:
        if not has_focus():
            self.release()
            raise StoppedError("another window has the focus: all keys are released")

    def _check_watchdog(self) -> None:
        self.check()
        if not self._watchdog.beat():
            self.release()
            raise LiveError("the watchdog is gone, and without it no key is pressed")

    def _lift(self, column: int) -> None:
        self._keyboard.release(self._keys[column])
        self.held[column] = False

    def _release_quietly(self) -> None:
        for column, held in enumerate(self.held):
            if held:
                self._lift(column)
        self._refused = [False] * len(self.held)


def _release_on_signals(watchdog: Watchdog) -> dict[int, tuple[Any, Any]]:
    """Has the keys released before whatever SIGINT and SIGTERM do anyway.

    The watchdog does it: a signal may come in the middle of a word to the desktop.

    Returns:
        By signal, the new handler and the one before it.
    """
    if threading.current_thread() is not threading.main_thread():
        return {}  # only there can handlers be set; the watchdog watches all the same
    handlers: dict[int, tuple[Any, Any]] = {}
    for number in (signal.SIGINT, signal.SIGTERM):
        before = signal.getsignal(number)

        def handle(number: int, frame: Any, before: Any = before) -> None:
            watchdog.rest()
            if callable(before):
                before(number, frame)
            elif before == signal.SIG_DFL:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)

        signal.signal(number, handle)
        handlers[number] = (handle, before)
    return handlers
