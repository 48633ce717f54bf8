"""TargetReach's picture: the line with its ends, the zone around the origin and the position."""

from __future__ import annotations

import pygame

from envs.target_reach import LIMIT, TargetReachParams, TargetReachState

LINE = (120, 120, 130)
ZONE = (60, 220, 90)
POSITION = (90, 160, 250)
_MARGIN = 40  # px, beside the line's ends
_Y = 90  # px, of the line


class TargetReachRenderer:
    """Draws the line across the picture, the origin in its middle.

    Args:
        params: The world's constants.
    """

    size = (720, 160)

    def __init__(self, params: TargetReachParams) -> None:
        self._radius = params.radius

    def draw(self, surface: pygame.Surface, state: TargetReachState) -> None:
        """Draws one row's state."""
        left, right = self._x(-self._radius), self._x(self._radius)
        pygame.draw.rect(surface, ZONE, (left, _Y - 22, max(right - left, 2), 44), border_radius=3)
        pygame.draw.line(surface, LINE, (self._x(-LIMIT), _Y), (self._x(LIMIT), _Y), 2)
        for tick in (-LIMIT, -1.0, -0.5, 0.0, 0.5, 1.0, LIMIT):
            half = 14 if abs(tick) == LIMIT else 6
            pygame.draw.line(surface, LINE, (self._x(tick), _Y - half), (self._x(tick), _Y + half))
        pygame.draw.aacircle(surface, POSITION, (self._x(float(state.position)), _Y), 9)

    def _x(self, position: float) -> int:
        """Column of a position, px."""
        scale = (self.size[0] - 2 * _MARGIN) / (2 * LIMIT)
        return round(_MARGIN + (position + LIMIT) * scale)
