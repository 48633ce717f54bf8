"""X11: windows, the focus, and keys through the XTest extension."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from envs.osu_mania.live.desktop import Area
from envs.osu_mania.live.errors import LiveError, StoppedError

try:
    from Xlib import XK, X, display, error
    from Xlib.ext import xtest
except ImportError as problem:  # pragma: no cover
    raise ImportError("live play needs python-xlib: pip install 'sb3_ext[osu]'") from problem

_KEYSYMS = {
    ";": "semicolon",
    "pause": "Pause",
    "scroll_lock": "Scroll_Lock",
    "escape": "Escape",
    **{f"f{n}": f"F{n}" for n in range(1, 13)},
}
_GONE = (error.BadWindow, error.BadDrawable, error.BadMatch)


def connect(name: str) -> Any:
    """A connection to a display.

    Raises:
        LiveError: There is no such display.
    """
    try:
        return display.Display(name)
    except (error.DisplayError, OSError) as problem:
        raise LiveError(f"cannot open the display {name}: {problem}") from problem


def has_window_manager(name: str) -> bool:
    """Whether a window manager runs on a display: without one, new windows take the focus.

    Raises:
        LiveError: There is no such display.
    """
    connection = connect(name)
    check = connection.intern_atom("_NET_SUPPORTING_WM_CHECK")
    found = connection.screen().root.get_full_property(check, X.AnyPropertyType)
    connection.close()
    return found is not None


class XTestKeyboard:
    """Injects key events through XTest.

    Args:
        name: The display's name.
        keys: The only keys that can be injected.

    Raises:
        LiveError: There is no such display, it hasn't got XTest, or its keyboard lacks a key.
    """

    def __init__(self, name: str, keys: Sequence[str]) -> None:
        self._display = connect(name)
        if not self._display.query_extension("XTEST").present:
            raise LiveError(f"the display {name} has no XTest extension")
        self._codes = {key: self._code(key) for key in keys}

    def press(self, key: str) -> None:
        """Presses one of the keys."""
        self._inject(X.KeyPress, key)

    def release(self, key: str) -> None:
        """Releases one of the keys."""
        self._inject(X.KeyRelease, key)

    def down(self) -> list[str]:
        """Which of the keys are down, whoever pressed them."""
        keymap = self._display.query_keymap()
        return [key for key, code in self._codes.items() if _is_set(keymap, code)]

    def is_down(self, key: str) -> bool:
        """Whether any key of the keyboard is down."""
        return _is_set(self._display.query_keymap(), self._code(key))

    def close(self) -> None:
        """Closes the connection."""
        self._display.close()

    def _inject(self, event: int, key: str) -> None:
        xtest.fake_input(self._display, event, self._codes[key])
        # A round trip: when this returns, the event is on its way to the window.
        self._display.sync()

    def _code(self, key: str) -> int:
        keysym = XK.string_to_keysym(_KEYSYMS.get(key, key))
        code = self._display.keysym_to_keycode(keysym)
        if not code:
            raise LiveError(f"the keyboard has no key {key!r}")
        return code


class X11Windows:
    """Looks at a display's windows.

    Args:
        name: The display's name.

    Raises:
        LiveError: There is no such display.
    """

    def __init__(self, name: str) -> None:
        self._display = connect(name)
        self._root = self._display.screen().root

    def find(self, name: str) -> int:
        """The one visible window of this WM_CLASS (either part of it, upper or lower case).

        Raises:
            StoppedError: There is none, or there are several.
        """
        found = [window.id for window in self._visible(self._root) if _is_of_class(window, name)]
        if not found:
            raise StoppedError(f"there is no window of the class {name!r}: is the game open?")
        if len(found) > 1:
            raise StoppedError(
                f"there are {len(found)} windows of the class {name!r}: close all but one"
            )
        return found[0]

    def area(self, window: int) -> Area | None:
        """A window's inside on the screen; None: it's gone or hidden."""
        drawable = self._window(window)
        try:
            geometry = drawable.get_geometry()
            if drawable.get_attributes().map_state != X.IsViewable:
                return None
            origin = self._root.translate_coords(drawable, 0, 0)
        except _GONE:
            return None
        return Area(origin.x, origin.y, geometry.width, geometry.height)

    def screen(self) -> Area:
        """The whole screen."""
        geometry = self._root.get_geometry()
        return Area(0, 0, geometry.width, geometry.height)

    def has_focus(self, window: int) -> bool:
        """Whether the focus is on this window or on one within it."""
        focus = self._display.get_input_focus().focus
        try:
            while not isinstance(focus, int):
                if focus.id == window:
                    return True
                focus = focus.query_tree().parent  # 0 above the root
        except _GONE:
            pass
        return False

    def close(self) -> None:
        """Closes the connection."""
        self._display.close()

    def _window(self, window: int) -> Any:
        return self._display.create_resource_object("window", window)

    def _visible(self, window: Any) -> Iterator[Any]:
        try:
            children = window.query_tree().children
        except _GONE:
            return
        for child in children:
            try:
                shown = child.get_attributes().map_state == X.IsViewable
            except _GONE:
                continue
            if shown:
                yield child
                yield from self._visible(child)


def _is_of_class(window: Any, name: str) -> bool:
    try:
        found = window.get_wm_class()
    except _GONE:
        return False
    return found is not None and name.lower() in (part.lower() for part in found)


def _is_set(keymap: Sequence[int], code: int) -> bool:
    return bool(keymap[code // 8] >> (code % 8) & 1)
