"""MusicalChairs' picture: the field from above, free chairs, and players in their colors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pygame

if TYPE_CHECKING:
    from envs.musical_chairs import MusicalChairs

EDGE = (60, 60, 72)
CHAIR = (222, 184, 90)
BACK = (160, 120, 50)
PLAYERS = (
    (90, 160, 250),
    (250, 120, 90),
    (110, 220, 120),
    (220, 120, 230),
    (240, 220, 90),
    (110, 220, 220),
    (200, 200, 205),
    (160, 130, 250),
)
_SCALE = 200  # px per length
_MARGIN = 40  # px, around the field


class MusicalChairsRenderer:
    """Draws the square field.

    Args:
        params: There are none.
    """

    size = (2 * (_SCALE + _MARGIN), 2 * (_SCALE + _MARGIN))

    def __init__(self, params: Any) -> None:
        pass

    def draw(self, surface: pygame.Surface, state: MusicalChairs) -> None:
        """Draws a match as it is."""
        field = (_MARGIN, _MARGIN, 2 * _SCALE, 2 * _SCALE)
        pygame.draw.rect(surface, EDGE, field, width=2, border_radius=4)
        for chair in state.chairs:
            x, y = _pixel(chair)
            pygame.draw.rect(surface, CHAIR, (x - 13, y - 13, 26, 26), border_radius=4)
            pygame.draw.rect(surface, BACK, (x - 15, y - 19, 30, 9), border_radius=4)
        for agent, place in state.places.items():
            color = PLAYERS[state.possible_agents.index(agent)]
            pygame.draw.aacircle(surface, color, _pixel(place), 11)


def _pixel(place: tuple[float, float]) -> tuple[int, int]:
    """Column and row of a place; y points up."""
    return (
        round(_MARGIN + _SCALE * (1.0 + place[0])),
        round(_MARGIN + _SCALE * (1.0 - place[1])),
    )
