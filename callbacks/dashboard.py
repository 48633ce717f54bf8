"""Draws what an agent sees and does beside how well it goes; needs no display."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

SIZE = (960, 540)  # px
BACKGROUND, PANEL = (18, 18, 24), (30, 31, 40)
TEXT, DIM = (225, 225, 230), (140, 142, 155)
BLUE, ORANGE = (86, 180, 233), (230, 159, 0)  # told apart by everybody
_VIEW = pygame.Rect(12, 12, 516, 516)
_SIDE = pygame.Rect(540, 12, 408, 516)
_MOST_BARS = 24


class Dashboard:
    """A picture of 960 x 540 px: on the left what the agent sees, on the right the rest."""

    def __init__(self) -> None:
        pygame.font.init()
        self._font = pygame.font.Font(None, 22)
        self._small = pygame.font.Font(None, 18)
        self.surface = pygame.Surface(SIZE, depth=32)

    def draw(
        self,
        view: NDArray,
        action: NDArray,
        action_range: tuple[float, float],
        numbers: Mapping[str, str],
        metrics: Mapping[str, float],
        returns: Sequence[float],
    ) -> None:
        """Draws anew.

        Args:
            view: A frame ``[height, width, 3]`` uint8 or any observation.
            action: The chosen action, any shape.
            action_range: Ends of its bars.
            numbers: Lines to print, by name.
            metrics: The algorithm's latest metrics, by name.
            returns: Of the episodes so far.
        """
        self.surface.fill(BACKGROUND)
        for panel in (_VIEW, _SIDE):
            pygame.draw.rect(self.surface, PANEL, panel, border_radius=6)
        self._view(view)
        y = self._lines(numbers, _SIDE.top + 10)
        y = self._bars("action", action, action_range, pygame.Rect(_SIDE.left + 12, y, 384, 90))
        y = self._metrics(metrics, y + 6)
        self._curve(returns, pygame.Rect(_SIDE.left + 12, y + 8, 384, _SIDE.bottom - y - 20))

    def frame(self) -> NDArray[np.uint8]:
        """The picture, ``[540, 960, 3]``."""
        return np.ascontiguousarray(pygame.surfarray.array3d(self.surface).swapaxes(0, 1))

    # Parts

    def _view(self, view: NDArray) -> None:
        picture = as_picture(view)
        if picture is None:
            numbers = np.asarray(view, np.float64).reshape(-1)
            span = float(np.abs(numbers).max(initial=1.0))
            self._bars("observation", numbers, (-span, span), _VIEW.inflate(-24, -24))
            return
        height, width = picture.shape[:2]
        factor = min(_VIEW.width / width, _VIEW.height / height)
        size = (max(1, int(width * factor)), max(1, int(height * factor)))
        image = pygame.surfarray.make_surface(picture.swapaxes(0, 1))
        # Enlarged pixels keep their edges: they are what the agent sees.
        scale = pygame.transform.scale if factor > 1 else pygame.transform.smoothscale
        scaled = scale(image, size)
        self.surface.blit(scaled, scaled.get_rect(center=_VIEW.center))

    def _lines(self, numbers: Mapping[str, str], y: int) -> int:
        for name, value in numbers.items():
            self._write(self._font, name, DIM, _SIDE.left + 12, y)
            self._write(self._font, value, TEXT, _SIDE.left + 150, y)
            y += 22
        return y + 4

    def _bars(
        self, name: str, values: NDArray, limits: tuple[float, float], place: pygame.Rect
    ) -> int:
        """One bar for each number, from the middle (or the lower end) on; returns the y below."""
        numbers = np.asarray(values, np.float64).reshape(-1)
        shown = numbers[:_MOST_BARS]
        more = f", {len(shown)} of {len(numbers)}" if len(numbers) > len(shown) else ""
        self._write(self._small, name + more, DIM, place.left, place.top)
        low, high = limits
        zero = (np.clip(0.0, low, high) - low) / (high - low)
        row = max(3, min(22, (place.height - 18) // max(1, len(shown))))
        for k, value in enumerate(shown):
            top = place.top + 18 + k * row
            at = (np.clip(value, low, high) - low) / (high - low)
            left, right = sorted((zero, at))
            track = pygame.Rect(place.left, top, place.width - 70, max(2, row - 3))
            pygame.draw.rect(self.surface, BACKGROUND, track)
            bar = pygame.Rect(track.left + left * track.width, top, 0, track.height)
            bar.width = max(2, int((right - left) * track.width))
            pygame.draw.rect(self.surface, BLUE, bar)
            if row >= 14:
                self._write(self._small, f"{value:.3g}", TEXT, track.right + 8, top)
        return place.top + 22 + len(shown) * row

    def _metrics(self, metrics: Mapping[str, float], y: int) -> int:
        for k, (name, value) in enumerate(metrics.items()):
            x = _SIDE.left + 12 + (k % 2) * 198
            self._write(self._small, name, DIM, x, y)
            self._write(self._small, f"{value:.4g}", TEXT, x + 128, y)
            y += 18 * (k % 2)
        return y + 18 * (len(metrics) % 2)

    def _curve(self, returns: Sequence[float], place: pygame.Rect) -> None:
        self._write(self._small, f"return of {len(returns):,} episodes", DIM, *place.topleft)
        area = pygame.Rect(place.left, place.top + 18, place.width, place.height - 20)
        if area.height < 20 or len(returns) < 2:
            return
        # As many points as fit, each the mean of its share of the episodes.
        n = min(len(returns), area.width // 2)
        parts = np.array_split(np.asarray(returns, np.float64), n)
        points = np.array([part.mean() for part in parts])
        low, high = points.min(), points.max()
        x = np.linspace(area.left, area.right - 60, n)
        y = area.bottom - 4 - (points - low) / max(high - low, 1e-9) * (area.height - 8)
        pygame.draw.lines(self.surface, ORANGE, False, list(zip(x, y, strict=True)), 2)
        self._write(self._small, f"{high:.4g}", DIM, area.right - 52, area.top)
        self._write(self._small, f"{low:.4g}", DIM, area.right - 52, area.bottom - 14)

    def _write(self, font: Any, text: str, color: Any, x: int, y: int) -> None:
        self.surface.blit(font.render(text, True, color), (x, y))


def as_picture(view: NDArray) -> NDArray[np.uint8] | None:
    """An image observation as ``[height, width, 3]``; None if it's none.

    Of stacked frames the newest is shown, whichever axis they are stacked along.
    """
    array = np.asarray(view)
    if array.ndim not in (2, 3) or min(array.shape[:2] if array.ndim == 2 else array.shape) < 1:
        return None
    if array.ndim == 3 and array.shape[0] < min(array.shape[1:]):  # channels first
        array = array.transpose(1, 2, 0)
    if min(array.shape[:2]) < 8:  # a matrix of numbers
        return None
    if array.dtype != np.uint8:
        array = (np.clip(array, 0.0, 1.0) * 255).astype(np.uint8)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] != 3:
        array = np.repeat(array[:, :, -1:], 3, axis=2)
    return np.ascontiguousarray(array)
