"""What every renderer shares: a surface for frames, a window for people, a caption and a clock.

Frames are drawn on plain surfaces and need no display. Each Screen has a window of its own, so
that a training and an evaluation environment can be watched side by side in one process.
"""

from __future__ import annotations

import importlib
import os
import weakref
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

# pygame greets on standard output when it's imported, and frames are drawn by batch jobs too.
os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
try:
    import pygame
except ImportError as error:  # pragma: no cover
    raise ImportError("rendering needs pygame-ce: pip install pygame-ce") from error

BACKGROUND = (18, 18, 24)
CAPTION = (200, 200, 205)
_CAPTION_HEIGHT = 20  # px


class Renderer(Protocol):
    """Draws the state of one world.

    Attributes:
        size: Width and height of the picture, px.
    """

    size: tuple[int, int]

    def __init__(self, params: Any) -> None: ...

    def draw(self, surface: pygame.Surface, state: Any) -> None:
        """Draws a single row's state over a surface of the background's color."""
        ...


class _Display:
    """The windows open in this process; pygame has one event queue for all of them."""

    def __init__(self) -> None:
        self._screens: weakref.WeakSet[Screen] = weakref.WeakSet()
        self._started = False

    def open(self, screen: Screen, title: str, size: tuple[int, int]) -> pygame.Window:
        if not pygame.display.get_init():
            _start_video()
            self._started = True
        window = pygame.Window(title=title, size=size)
        self._screens.add(screen)
        return window

    def pump(self) -> None:
        """Answers the window manager, and closes the windows whose users closed them."""
        closed = [e.window for e in pygame.event.get() if e.type == pygame.WINDOWCLOSE]
        for screen in [s for s in self._screens if s.window in closed]:
            screen.close()

    def forget(self, screen: Screen) -> None:
        self._screens.discard(screen)
        # Only what we started: the host program may have a display of its own.
        if self._started and not self._screens:
            pygame.display.quit()
            self._started = False


def _start_video() -> None:
    """Starts SDL's video.

    Without a display SDL takes its driver "offscreen", whose last window takes EGL away from the
    whole process, and so from MuJoCo's renderers. Its "dummy" shows as little and does no harm.
    """
    pygame.display.init()
    if pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ:
        pygame.display.quit()
        os.environ["SDL_VIDEODRIVER"] = "dummy"
        try:
            pygame.display.init()
        finally:
            del os.environ["SDL_VIDEODRIVER"]


_DISPLAY = _Display()


class Screen:
    """Pictures of one environment.

    Args:
        renderer: `"module:Class"` of a Renderer.
        params: The world's constants.
        title: The window's title.
        fps: Frames per second that `show` waits for.
    """

    def __init__(self, renderer: str, params: Any, title: str, fps: int) -> None:
        module, name = renderer.split(":")
        self._renderer: Renderer = getattr(importlib.import_module(module), name)(params)
        pygame.font.init()
        self._font = pygame.font.Font(None, _CAPTION_HEIGHT)
        self._surface = pygame.Surface(self._renderer.size, depth=32)
        self._title = title
        self._fps = fps
        self._clock = pygame.time.Clock()
        self._shown: Any = None
        self.window: pygame.Window | None = None
        self.closed = False

    def frame(self, state: Any, caption: str) -> NDArray[np.uint8]:
        """A picture of a single row's state, `[height, width, 3]`; opens no window."""
        self._draw(self._surface, state, caption)
        pixels = pygame.surfarray.array3d(self._surface)  # [width, height, 3]
        return np.ascontiguousarray(pixels.swapaxes(0, 1))

    def show(self, state: Any, caption: str, moment: Any) -> None:
        """Shows a single row's state in the window, which the first call opens.

        Waits so that frames come at `fps`. Once closed, by the user or by `close`, it shows nothing
        more.

        Args:
            state: The state, without leading axes.
            caption: A line of text.
            moment: An object that stands for this moment. Showing it again only answers the window
                manager: environments show every step by themselves, and callers often call
                render() too.
        """
        if self.closed:
            return
        if self.window is None:
            self.window = _DISPLAY.open(self, self._title, self._renderer.size)
        _DISPLAY.pump()
        if self.window is None or moment is self._shown:
            return
        self._draw(self.window.get_surface(), state, caption)
        self.window.flip()
        self._shown = moment
        self._clock.tick(self._fps)

    def close(self) -> None:
        """Closes the window, if there is one; may be called again."""
        self.closed = True
        self._shown = None
        if self.window is not None:
            self.window.destroy()
            self.window = None
            _DISPLAY.forget(self)

    def _draw(self, surface: pygame.Surface, state: Any, caption: str) -> None:
        surface.fill(BACKGROUND)
        self._renderer.draw(surface, state)
        surface.blit(self._font.render(caption, True, CAPTION), (8, 8))
