"""Rocket League's picture: the field from above, orange's goal to the right.

Height is told by size and by shadows: what flies is drawn larger, away from its shadow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pygame
from numpy.typing import NDArray

from envs.rocket_league.view import Picture

GRASS, LINE, OUTSIDE = (30, 62, 40), (92, 128, 102), (18, 18, 24)
TEAMS = ((70, 140, 255), (255, 150, 50))  # blue, orange
BALL, TRAIL, SHADOW, NOSE = (240, 240, 245), (120, 150, 130), (14, 34, 22), (255, 255, 255)
PAD, PAD_TAKEN = (235, 200, 60), (60, 84, 62)
_SCALE = 0.074  # px per uu
_HALF_LENGTH, _HALF_WIDTH, _CORNER = 5120.0, 4096.0, 1152.0  # uu
_GOAL_DEPTH, _GOAL_HALF_WIDTH = 880.0, 893.0
_BALL_RADIUS = 91.25
_HALF_CAR = (59.0, 42.1)  # length and width of an Octane; uu
_CAR_SCALE = 2.2  # cars and ball are drawn larger than they are, to be seen
_MARGIN, _TOP = 20, 30  # px
_BIG_PADS = frozenset({3, 4, 15, 18, 29, 30})


class RocketLeagueRenderer:
    """Draws a match.

    Args:
        params: Nothing: a picture tells all.
    """

    size = (
        round(2 * (_HALF_LENGTH + _GOAL_DEPTH) * _SCALE) + 2 * _MARGIN & ~1,
        round(2 * _HALF_WIDTH * _SCALE) + _MARGIN + _TOP & ~1,
    )

    def __init__(self, params: Any) -> None:
        from rlgym.rocket_league.common_values import BOOST_LOCATIONS

        self._pads = [self._at(x, y) for x, y, _ in BOOST_LOCATIONS]
        self._field = self._drawn_field()

    def draw(self, surface: pygame.Surface, state: Picture) -> None:
        """Draws a moment."""
        surface.blit(self._field, (0, 0))
        for i, (place, there) in enumerate(zip(self._pads, state.pads, strict=True)):
            radius = 7 if i in _BIG_PADS else 3
            pygame.draw.aacircle(surface, PAD if there else PAD_TAKEN, place, radius)
        points = [self._at(x, y) for x, y, _ in [*state.trail, state.ball]]
        if len(points) > 1:
            pygame.draw.aalines(surface, TRAIL, False, points)
        shown = [i for i in range(len(state.teams)) if not state.demolished[i]]
        for i in shown:
            self._shadow(surface, state.cars[i], 70.0)
        self._shadow(surface, state.ball, _BALL_RADIUS)
        for i in sorted(shown, key=lambda i: state.cars[i][2]):
            self._car(surface, state, i)
        x, y, z = (float(number) for number in state.ball)
        size = _BALL_RADIUS * _SCALE * _CAR_SCALE * 0.75 * _nearness(z)
        pygame.draw.aacircle(surface, BALL, self._at(x, y, z), round(size))
        self._tanks(surface, state)

    def _car(self, surface: pygame.Surface, state: Picture, i: int) -> None:
        x, y, z = (float(number) for number in state.cars[i])
        grow = _CAR_SCALE * _nearness(z)
        front, right = state.axes[i, 0], state.axes[i, 1]
        half_length, half_width = _HALF_CAR
        corners = []
        for along, across in ((1, 0.75), (1, -0.75), (-1, -1), (-1, 1)):
            offset = front * (along * half_length) + right * (across * half_width)
            corners.append(self._at(x + offset[0] * grow, y + offset[1] * grow, z))
        pygame.draw.polygon(surface, TEAMS[int(state.teams[i])], corners)
        pygame.draw.line(surface, NOSE, corners[0], corners[1], 2)
        upside_down = state.axes[i, 2, 2] < 0
        pygame.draw.aalines(surface, SHADOW if upside_down else NOSE, True, corners)

    def _tanks(self, surface: pygame.Surface, state: Picture) -> None:
        """Boost, as a bar for each car: blue's on the left, orange's on the right."""
        counts = [0, 0]
        for team, boost in zip(state.teams, state.boost, strict=True):
            nth = counts[int(team)]
            counts[int(team)] += 1
            left = 300 + 70 * nth if team == 0 else self.size[0] - 88 - 70 * nth
            pygame.draw.rect(surface, PAD_TAKEN, (left, 10, 60, 8), border_radius=3)
            width = round(60 * float(boost) / 100.0)
            if width:
                bar = (left, 10, width, 8)
                pygame.draw.rect(surface, TEAMS[int(team)], bar, border_radius=3)

    def _shadow(self, surface: pygame.Surface, place: NDArray[np.float32], radius: float) -> None:
        center = self._at(float(place[0]), float(place[1]))
        pygame.draw.aacircle(surface, SHADOW, center, round(radius * _SCALE * _CAR_SCALE * 0.75))

    def _drawn_field(self) -> pygame.Surface:
        field = pygame.Surface(self.size, depth=32)
        field.fill(OUTSIDE)
        length, width, cut = _HALF_LENGTH, _HALF_WIDTH, _CORNER
        outline = [
            self._at(x, y)
            for x, y in (
                (width, length - cut),
                (width - cut, length),
                (cut - width, length),
                (-width, length - cut),
                (-width, cut - length),
                (cut - width, -length),
                (width - cut, -length),
                (width, cut - length),
            )
        ]
        for team, side in ((0, -1), (1, 1)):
            goal = [
                self._at(x, side * y)
                for x, y in (
                    (-_GOAL_HALF_WIDTH, length - 20),
                    (_GOAL_HALF_WIDTH, length - 20),
                    (_GOAL_HALF_WIDTH, length + _GOAL_DEPTH),
                    (-_GOAL_HALF_WIDTH, length + _GOAL_DEPTH),
                )
            ]
            pygame.draw.polygon(field, tuple(c // 3 for c in TEAMS[team]), goal)
            pygame.draw.polygon(field, TEAMS[team], goal, 2)
        pygame.draw.polygon(field, GRASS, outline)
        pygame.draw.polygon(field, LINE, outline, 2)
        pygame.draw.line(field, LINE, self._at(-width, 0), self._at(width, 0), 2)
        pygame.draw.circle(field, LINE, self._at(0, 0), round(950 * _SCALE), 2)
        for team, side in ((0, -1), (1, 1)):
            left, right = (self._at(x * _GOAL_HALF_WIDTH, side * length) for x in (-1, 1))
            pygame.draw.line(field, TEAMS[team], left, right, 5)
        return field

    def _at(self, x: float, y: float, z: float = 0.0) -> tuple[int, int]:
        """A place of the field in the picture, px; orange's side to the right."""
        column = self.size[0] / 2 + y * _SCALE
        row = _TOP + (_HALF_WIDTH - x) * _SCALE - 0.35 * z * _SCALE
        return round(column), round(row)


def _nearness(height: float) -> float:
    """How much larger something looks that is so high, uu."""
    return 1.0 + max(height, 0.0) / 2500.0
