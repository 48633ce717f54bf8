"""The client's picture: the highway on the left, as agents know it, and the numbers beside it.

The highway is `highway`'s own picture, so that a capture of it, scaled down, is what agents are
trained on. Nothing else is drawn over it: what people want to read stands in the panel beside it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
import pygame

from envs.osu_mania import highway
from envs.osu_mania.charts import Positions
from envs.osu_mania.client.game import Game, Performance, unstable_rate
from envs.osu_mania.client.identity import NOTE_AREA
from envs.osu_mania.client.messages import grade
from envs.osu_mania.client.report import Report, Stage
from envs.osu_mania.play import JUDGEMENTS, LAST_ERROR, LAST_JUDGEMENT, LAST_TIME

Color = tuple[int, int, int]

_PANEL = (18, 18, 24)
_TEXT = (235, 235, 240)
_FAINT = (140, 140, 150)
_COLORS: dict[str, Color] = {
    "max": (250, 235, 140),
    "300": (250, 205, 70),
    "200": (90, 220, 110),
    "100": (90, 160, 250),
    "50": (170, 130, 220),
    "miss": (235, 70, 70),
}
_HEALTH, _EMPTY = (60, 220, 90), (50, 50, 60)
_SHOWN = 600.0  # ms, how long a judgement is shown


class Drawing:
    """Draws a game.

    Args:
        scroll_speed: The game's: an object takes 11,485 ms over it from the top to the line.
        names: What the columns' keys are called.
    """

    def __init__(self, scroll_speed: float, names: Sequence[str]) -> None:
        self._scroll_speed = scroll_speed
        self._names = names
        self._play: Performance | None = None
        self._fit(highway.FINE, highway.FINE)
        self._fonts: dict[int, pygame.font.Font] = {}
        self._texts: dict[tuple[str, int, Color], pygame.Surface] = {}
        pygame.font.init()

    def draw(self, surface: pygame.Surface, game: Game, report: Report) -> None:
        """Draws a game at the moment of a report."""
        width, height = surface.get_size()
        area = pygame.Rect(
            round(NOTE_AREA[0] * width),
            round(NOTE_AREA[1] * height),
            round(NOTE_AREA[2] * width),
            round(NOTE_AREA[3] * height),
        )
        surface.fill(_PANEL)
        play = game.performance
        if play is not None and report.stage == Stage.PLAY:
            self.draw_highway(surface.subsurface(area), play, report.time)
        else:
            self._draw_screen(surface.subsurface(area), game, report)
        panel = pygame.Rect(area.right, 0, width - area.right, height)
        self._draw_panel(surface.subsurface(panel), play, report)

    def draw_highway(self, surface: pygame.Surface, play: Performance, time: float) -> None:
        """Draws the highway over a whole surface.

        Args:
            surface: Where.
            play: The play.
            time: The song's, ms.
        """
        width, height = surface.get_size()
        if (height, width) != (self._geometry.height, self._geometry.width):
            self._fit(height, width)
        session = play.session
        scroll, chart = session.beatmap.scroll, session.chart
        if play is not self._play:
            self._play = play
            self._positions = Positions(scroll(chart.start), scroll(chart.end))
        highway.draw(
            chart,
            self._positions,
            session.play,
            self._geometry,
            self._empty,
            scroll(np.array([time])),
            self._frame,
            0,
        )
        surface.blit(self._picture, (0, 0))

    def _fit(self, height: int, width: int) -> None:
        """Makes room for a highway of another size."""
        keys = len(self._names)
        self._geometry = highway.make_geometry(height, width, keys, self._scroll_speed)
        self._empty, _ = highway.background(self._geometry)
        self._frame = np.zeros((1, 1, height * width), np.uint8)
        # It shows the frame's own memory, whose bytes are greys.
        self._picture = pygame.image.frombuffer(self._frame.data, (width, height), "P")
        self._picture.set_palette([(level, level, level) for level in range(256)])

    def _draw_screen(self, surface: pygame.Surface, game: Game, report: Report) -> None:
        """Whatever isn't a play: a few lines of text."""
        size = surface.get_height() / 30
        lines: list[tuple[str, float, Color]] = []
        if report.stage == Stage.MENU:
            lines = [
                ("osu!mania reference client", 1.8, _TEXT),
                (f"keys: {' '.join(self._names)}", 1.0, _TEXT),
                ("Enter: the maps    Esc: quit", 1.0, _FAINT),
                ("It plays and serves its state on this machine only.", 1.0, _FAINT),
            ]
        elif report.stage == Stage.SELECT:
            first = max(0, min(game.index - 8, len(game.maps) - 18))
            lines = [("Enter: play    up, down: choose    Esc: back", 1.0, _FAINT)]
            for index in range(first, min(first + 18, len(game.maps))):
                color = _TEXT if index == game.index else _FAINT
                lines.append((game.maps[index].label, 1.0, color))
        elif game.performance is not None:
            lines = _results(game.performance, report)
        y = surface.get_height() * 0.1
        for text, factor, color in lines:
            image = self._text(text, round(size * factor), color)
            surface.blit(image, (surface.get_width() * 0.06, y))
            y += size * factor * 1.4

    def _draw_panel(
        self, surface: pygame.Surface, play: Performance | None, report: Report
    ) -> None:
        width, height = surface.get_size()
        unit = height / 30
        x = round(0.12 * width)
        for row, (name, value) in enumerate(
            (
                ("score", str(report.score)),
                ("combo", str(report.combo)),
                ("accuracy", f"{100 * report.accuracy:.2f} %"),
            )
        ):
            y = (1.5 + 3.6 * row) * unit
            surface.blit(self._text(name, round(unit), _FAINT), (x, y))
            surface.blit(self._text(value, round(2 * unit), _TEXT), (x, y + 1.1 * unit))
        for row, name in enumerate(JUDGEMENTS):
            count = f"{name.upper()}  {report.counts.get(name, 0)}"
            place = (x, (13 + 1.3 * row) * unit)
            surface.blit(self._text(count, round(unit), _COLORS[name]), place)
        if play is not None and report.stage == Stage.PLAY:
            self._draw_judgement(surface, play, report, x)
        bar = pygame.Rect(round(0.03 * width), round(unit), max(round(0.03 * width), 3), 0)
        bar.height = round(28 * unit)
        surface.fill(_EMPTY, bar)
        filled = round(bar.height * report.health)
        surface.fill(_HEALTH, (bar.left, bar.bottom - filled, bar.width, filled))

    def _draw_judgement(
        self, surface: pygame.Surface, play: Performance, report: Report, x: int
    ) -> None:
        lanes = play.session.play.lanes[:, 0]
        latest = int(lanes[LAST_TIME].argmax())
        judgement = int(lanes[LAST_JUDGEMENT, latest])
        unit = surface.get_height() / 30
        if judgement >= 0 and report.time - lanes[LAST_TIME, latest] < _SHOWN:
            name, error = JUDGEMENTS[judgement], lanes[LAST_ERROR, latest]
            shown = name.upper() + (f"  {error:+.0f} ms" if np.isfinite(error) else "")
            surface.blit(self._text(shown, round(1.3 * unit), _COLORS[name]), (x, 22.5 * unit))
        if report.paused:
            lines = ("paused", "Enter: go on", "Esc: give up")
            for row, line in enumerate(lines):
                place = (x, (25 + 1.3 * row) * unit)
                surface.blit(self._text(line, round(unit), _TEXT), place)

    def _text(self, text: str, size: int, color: Color) -> pygame.Surface:
        """A line of text; the newest are kept, for most frames say what the last one said."""
        key = (text, size, color)
        if key not in self._texts:
            if len(self._texts) > 256:
                self._texts.clear()
            if size not in self._fonts:
                self._fonts[size] = pygame.font.Font(None, max(round(size * 1.35), 8))
            self._texts[key] = self._fonts[size].render(text, True, color)
        return self._texts[key]


def _results(play: Performance, report: Report) -> list[tuple[str, float, Color]]:
    session = play.session
    title = "failed" if play.failed_at is not None else f"grade {grade(report)}"
    return [
        (session.beatmap.label, 1.0, _FAINT),
        (title, 2.2, _TEXT),
        (f"accuracy  {100 * session.accuracy:.2f} %", 1.3, _TEXT),
        (f"score  {session.score}", 1.3, _TEXT),
        (f"largest combo  {session.max_combo}", 1.3, _TEXT),
        (f"unstable rate  {unstable_rate(play.errors):.0f}", 1.3, _TEXT),
        *(
            (f"{name.upper()}  {count}", 1.0, _COLORS[name])
            for name, count in session.counts.items()
        ),
        ("Enter: the maps", 1.0, _FAINT),
    ]
