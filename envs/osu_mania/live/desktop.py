"""What live play needs of a desktop: windows, the focus, keys. One implementation per platform."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from envs.osu_mania.live.errors import LiveError

COLUMN_KEYS = (*"abcdefghijklmnopqrstuvwxyz0123456789;", "space")
"""The only keys that can be injected: none of them is a modifier or leaves a game."""

PANIC_KEYS = (*(f"f{n}" for n in range(1, 13)), "pause", "scroll_lock", "escape")
"""Keys that can stop an agent; none of them can be a column's."""


class Area(NamedTuple):
    """A rectangle of the screen, px."""

    left: int
    top: int
    width: int
    height: int

    def part(self, fractions: Sequence[float]) -> Area:
        """A part of it: left, top, width and height as parts of its own."""
        left, top, width, height = fractions
        x, y = round(self.left + left * self.width), round(self.top + top * self.height)
        right = round(self.left + (left + width) * self.width)
        bottom = round(self.top + (top + height) * self.height)
        return Area(x, y, right - x, bottom - y)

    def within(self, other: Area) -> bool:
        """Whether all of it lies in another."""
        return (
            other.left <= self.left
            and other.top <= self.top
            and self.left + self.width <= other.left + other.width
            and self.top + self.height <= other.top + other.height
        )


class Keyboard(Protocol):
    """Injects key events, of some keys alone."""

    def press(self, key: str) -> None:
        """Presses one of them."""
        ...

    def release(self, key: str) -> None:
        """Releases one of them."""
        ...

    def down(self) -> list[str]:
        """Which of them are down, as far as the platform tells."""
        ...

    def is_down(self, key: str) -> bool:
        """Whether any key of the keyboard is down, such as the panic key."""
        ...

    def close(self) -> None:
        """Gives it back; nothing is released by that."""
        ...


class Windows(Protocol):
    """Looks at the windows of a desktop."""

    def find(self, name: str) -> int:
        """The one visible window of this class (or on Windows, title).

        Raises:
            StoppedError: There is none, or there are several.
        """
        ...

    def area(self, window: int) -> Area | None:
        """A window's inside on the screen; None: it's gone or hidden."""
        ...

    def screen(self) -> Area:
        """The whole screen."""
        ...

    def has_focus(self, window: int) -> bool:
        """Whether keys go to this window."""
        ...

    def close(self) -> None:
        """Gives the connection back."""
        ...


def check_keys(keys: Sequence[str], panic_key: str) -> None:
    """Checks the keys that are to be injected.

    Raises:
        ValueError: One isn't allowed, is mentioned twice, or is the panic key.
    """
    for key in keys:
        if key not in COLUMN_KEYS:
            raise ValueError(
                f"{key!r} is no key for a column: it's one of a-z, 0-9, ';' and 'space'"
            )
    if len(set(keys)) != len(keys):
        raise ValueError(f"two columns can't have one key: {' '.join(keys)}")
    if panic_key not in PANIC_KEYS:
        raise ValueError(f"the panic key must be one of {', '.join(PANIC_KEYS)}, got {panic_key!r}")


def uses_x11() -> bool:
    """Whether this machine's desktop is X11."""
    return sys.platform.startswith("linux") or "bsd" in sys.platform


def open_keyboard(keys: Sequence[str]) -> Keyboard:
    """The keyboard, for these keys alone.

    Raises:
        LiveError: There is none, or it lacks a key.
    """
    if uses_x11():
        from envs.osu_mania.live.x11 import XTestKeyboard

        return XTestKeyboard(_display(), keys)
    from envs.osu_mania.live.elsewhere import PynputKeyboard

    return PynputKeyboard(keys)


def open_windows() -> Windows:
    """The desktop's windows.

    Raises:
        LiveError: There is no desktop.
    """
    if uses_x11():
        from envs.osu_mania.live.x11 import X11Windows

        return X11Windows(_display())
    if sys.platform == "win32":
        from envs.osu_mania.live.elsewhere import Win32Windows

        return Win32Windows()
    raise LiveError(
        f"live play knows the windows of X11 and of Windows, not those of {sys.platform}"
    )


def _display() -> str:
    name = os.environ.get("DISPLAY", "")
    if not name:
        raise LiveError("live play needs a display: DISPLAY is not set")
    return name
