"""osu!mania's picture: the highway, judgements, combo, accuracy, score and health."""

from __future__ import annotations

import pygame

from envs.osu_mania.picture import Layout, Picture, Shown

Color = tuple[int, int, int]

LANE = (26, 26, 34)
LANE_PRESSED = (52, 52, 70)
GAP = (60, 60, 74)
LINE = (210, 210, 220)
TEXT = (235, 235, 240)
FAINT = (140, 140, 150)
OUTER = (235, 235, 240)
INNER = (90, 160, 250)
MIDDLE = (250, 205, 70)
BROKEN = (90, 90, 100)
HEALTH = (60, 220, 90)
JUDGEMENTS: tuple[tuple[str, Color], ...] = (
    ("MAX", (250, 235, 140)),
    ("300", (250, 205, 70)),
    ("200", (90, 220, 110)),
    ("100", (90, 160, 250)),
    ("50", (170, 130, 220)),
    ("MISS", (235, 70, 70)),
)

_HEIGHT = 720
_LINE_Y = 610  # px, where what is due stands
_TOP = 34  # px, above it stands the caption
_NOTE = 22  # px, height of a note
_PANEL = 190  # px, width of the numbers beside the highway
_SHOWN = 600.0  # ms, how long a judgement is shown


class OsuManiaRenderer:
    """Draws the highway on the left and the numbers beside it.

    Args:
        layout: Number of columns, and how far one sees.
    """

    def __init__(self, layout: Layout) -> None:
        self._keys = layout.keys
        self._scale = (_LINE_Y - _TOP) / layout.reach  # px per ms
        self._lane = max(34, 280 // layout.keys)
        self._left = 24
        width = self._lane * layout.keys
        self.size = (self._left + width + 36 + _PANEL, _HEIGHT)
        self._numbers = self._left + width + 36
        pygame.font.init()
        self._small = pygame.font.Font(None, 22)
        self._large = pygame.font.Font(None, 44)

    def draw(self, surface: pygame.Surface, state: Picture) -> None:
        """Draws a play at one moment."""
        self._draw_lanes(surface, state)
        highway = pygame.Rect(self._left, _TOP, self._lane * self._keys, _HEIGHT - _TOP)
        surface.set_clip(highway)
        # From afar to near, so that what is played first lies on top
        for shown in sorted(state.objects, key=lambda o: -o.start):
            self._draw_object(surface, shown)
        surface.set_clip(None)
        pygame.draw.rect(surface, LINE, (self._left, _LINE_Y, self._lane * self._keys, 3))
        for column in range(self._keys):
            self._draw_key(surface, state, column)
        self._draw_judgement(surface, state)
        self._draw_numbers(surface, state)

    def _x(self, column: int) -> int:
        return self._left + column * self._lane

    def _y(self, away: float) -> int:
        return round(_LINE_Y - away * self._scale)

    def _color(self, column: int) -> Color:
        """The middle one of an odd number has its own, the others alternate from the outside."""
        if self._keys % 2 and column == self._keys // 2:
            return MIDDLE
        outside = min(column, self._keys - 1 - column)
        return INNER if outside % 2 else OUTER

    def _draw_lanes(self, surface: pygame.Surface, state: Picture) -> None:
        height = _HEIGHT - _TOP
        for column in range(self._keys):
            color = LANE_PRESSED if state.keys[column] else LANE
            pygame.draw.rect(surface, color, (self._x(column), _TOP, self._lane, height))
        for column in range(self._keys + 1):
            x = self._x(column)
            pygame.draw.line(surface, GAP, (x, _TOP), (x, _HEIGHT))

    def _draw_object(self, surface: pygame.Surface, shown: Shown) -> None:
        x, width = self._x(shown.column) + 2, self._lane - 3
        color = BROKEN if shown.broken else self._color(shown.column)
        bottom = self._y(shown.start)
        if shown.hold:
            if shown.held:
                bottom = min(bottom, _LINE_Y)
            top = self._y(shown.end)
            body = tuple(part * 3 // 5 for part in color) if not shown.held else color
            inset = self._lane // 6
            area = (x + inset, top, width - 2 * inset, max(bottom - top, 1))
            pygame.draw.rect(surface, body, area)
            pygame.draw.rect(surface, color, (x + inset, top, width - 2 * inset, 4))
        head = (x, bottom - _NOTE, width, _NOTE)
        pygame.draw.rect(surface, color, head, border_radius=4)

    def _draw_key(self, surface: pygame.Surface, state: Picture, column: int) -> None:
        x, width = self._x(column) + 3, self._lane - 5
        key = (x, _LINE_Y + 10, width, _HEIGHT - _LINE_Y - 18)
        if state.keys[column]:
            pygame.draw.rect(surface, self._color(column), key, border_radius=6)
        else:
            pygame.draw.rect(surface, GAP, key, width=2, border_radius=6)
        flash = state.flashes[column]
        if flash >= 0:
            color = JUDGEMENTS[flash][1]
            pygame.draw.rect(surface, color, (x, _LINE_Y - 3, width, 9), border_radius=3)

    def _draw_judgement(self, surface: pygame.Surface, state: Picture) -> None:
        center = self._left + self._lane * self._keys // 2
        if state.combo:
            self._write(surface, self._large, str(state.combo), TEXT, (center, 230))
        if state.judgement >= 0 and state.age < _SHOWN:
            name, color = JUDGEMENTS[state.judgement]
            self._write(surface, self._large, name, color, (center, 280))

    def _draw_numbers(self, surface: pygame.Surface, state: Picture) -> None:
        x = self._numbers
        for y, name, value in (
            (60, "accuracy", f"{100 * state.accuracy:.2f} %"),
            (130, "score", f"{state.score:,}"),
            (200, "combo", f"{state.combo}x"),
        ):
            surface.blit(self._small.render(name, True, FAINT), (x, y))
            surface.blit(self._large.render(value, True, TEXT), (x, y + 18))
        if state.judgement >= 0:
            name, color = JUDGEMENTS[state.judgement]
            late = f"{name}  {state.error:+.0f} ms"
            surface.blit(self._small.render(late, True, color), (x, 278))
        full = _LINE_Y - _TOP
        height = round(full * state.health)
        bar = self._numbers - 22
        pygame.draw.rect(surface, LANE, (bar, _TOP, 10, full))
        pygame.draw.rect(surface, HEALTH, (bar, _TOP + full - height, 10, height))
        for row, line in enumerate(self._wrapped(state.title)):
            surface.blit(self._small.render(line, True, FAINT), (x, 330 + 20 * row))

    def _wrapped(self, text: str) -> list[str]:
        """Lines that fit beside the highway; what is too long for one is cut off."""
        lines = [""]
        for word in text.split():
            longer = f"{lines[-1]} {word}".strip()
            if self._small.size(longer)[0] <= _PANEL - 10:
                lines[-1] = longer
            else:
                lines.append(word)
        return lines[:8]

    @staticmethod
    def _write(
        surface: pygame.Surface,
        font: pygame.font.Font,
        text: str,
        color: Color,
        center: tuple[int, int],
    ) -> None:
        image = font.render(text, True, color)
        surface.blit(image, image.get_rect(center=center))
