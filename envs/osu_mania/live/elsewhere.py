"""Where there is no X11: keys through pynput, and the windows of Windows.

The keyboard is tested on X11, where pynput works as well; the windows of Windows are written from
the documentation of its functions alone.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from envs.osu_mania.live.desktop import Area
from envs.osu_mania.live.errors import StoppedError


class PynputKeyboard:
    """Injects key events through pynput.

    Args:
        keys: The only keys that can be injected.

    Raises:
        ImportError: pynput isn't installed.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        try:
            from pynput import keyboard
        except ImportError as error:
            raise ImportError("live play needs pynput here: pip install pynput") from error
        self._keyboard = keyboard
        self._controller = keyboard.Controller()
        self._codes = {key: self._code(key) for key in keys}
        self._seen: set[Any] = set()
        # pynput can't be asked for a key's state: it tells of changes, in a thread of its own.
        self._listener = keyboard.Listener(on_press=self._went_down, on_release=self._went_up)
        self._listener.start()
        self._listener.wait()

    def press(self, key: str) -> None:
        """Presses one of the keys."""
        self._controller.press(self._codes[key])

    def release(self, key: str) -> None:
        """Releases one of the keys."""
        self._controller.release(self._codes[key])

    def down(self) -> list[str]:
        """Those of the keys that went down since this was made, and all others, to be safe."""
        return list(self._codes)

    def is_down(self, key: str) -> bool:
        """Whether any key of the keyboard went down since this was made, and not up again."""
        return self._code(key) in self._seen

    def close(self) -> None:
        """Stops listening."""
        self._listener.stop()

    def _went_down(self, code: Any) -> None:
        self._seen.add(code)

    def _went_up(self, code: Any) -> None:
        self._seen.discard(code)

    def _code(self, key: str) -> Any:
        if len(key) == 1:
            return self._keyboard.KeyCode.from_char(key)
        return self._keyboard.Key["esc" if key == "escape" else key]


class Win32Windows:
    """Looks at the windows of Windows through user32."""

    def __init__(self) -> None:
        self._user32 = ctypes.windll.user32  # type: ignore[attr-defined]
        # Else a scaled display answers in other pixels than those that are captured.
        self._user32.SetProcessDPIAware()

    def find(self, name: str) -> int:
        """The one visible window with this title.

        Raises:
            StoppedError: There is none, or there are several.
        """
        found: list[int] = []
        callback = ctypes.WINFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_void_p)  # type: ignore[attr-defined]

        def look(window: int, _: int) -> bool:
            if self._user32.IsWindowVisible(window) and self._title(window) == name.lower():
                found.append(window)
            return True

        self._user32.EnumWindows(callback(look), 0)
        if len(found) != 1:
            raise StoppedError(f"there are {len(found)} windows with the title {name!r}, not one")
        return found[0]

    def area(self, window: int) -> Area | None:
        """A window's inside on the screen; None: it's gone, hidden or minimized."""
        if not self._user32.IsWindowVisible(window) or self._user32.IsIconic(window):
            return None
        rectangle, origin = (ctypes.c_long * 4)(), (ctypes.c_long * 2)()
        if not self._user32.GetClientRect(window, rectangle):
            return None
        self._user32.ClientToScreen(window, origin)
        return Area(origin[0], origin[1], rectangle[2], rectangle[3])

    def screen(self) -> Area:
        """The whole of all screens."""
        left, top, width, height = (self._user32.GetSystemMetrics(n) for n in (76, 77, 78, 79))
        return Area(left, top, width, height)

    def has_focus(self, window: int) -> bool:
        """Whether keys go to this window."""
        return self._user32.GetForegroundWindow() == window

    def close(self) -> None:
        """There's nothing to give back."""

    def _title(self, window: int) -> str:
        text = ctypes.create_unicode_buffer(256)
        self._user32.GetWindowTextW(window, text, 256)
        return text.value.lower()
