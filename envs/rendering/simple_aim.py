"""SimpleAim's picture: a red target, the reach of a hit, and the green crosshair."""

from __future__ import annotations

import pygame

from envs.simple_aim import SimpleAimParams, SimpleAimState

TARGET = (225, 55, 55)
CROSSHAIR = (60, 220, 90)
REACH = (60, 60, 74)
_TARGET_RADIUS = 10  # px
_ARM = 14  # px, length of the crosshair's arms
_GAP = 4  # px, from the center to where an arm begins


class SimpleAimRenderer:
    """Draws the screen pixel for pixel; y points down, as on a screen.

    Args:
        params: The world's constants.
    """

    def __init__(self, params: SimpleAimParams) -> None:
        self.size = (round(float(params.size[0])), round(float(params.size[1])))
        self._hit_radius = params.hit_radius

    def draw(self, surface: pygame.Surface, state: SimpleAimState) -> None:
        """Draws one row's state."""
        x, y = (float(value) for value in state.target)
        pygame.draw.aacircle(surface, REACH, (x, y), self._hit_radius, 1)
        pygame.draw.aacircle(surface, TARGET, (x, y), _TARGET_RADIUS)
        x, y = (round(float(value)) for value in state.mouse)
        for dx, dy in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start = (x + dx * _GAP, y + dy * _GAP)
            pygame.draw.line(surface, CROSSHAIR, start, (x + dx * _ARM, y + dy * _ARM), 3)
        pygame.draw.rect(surface, CROSSHAIR, (x - 1, y - 1, 2, 2))
