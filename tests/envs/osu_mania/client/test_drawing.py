"""The highway in the window is the one that agents are trained on."""

import cv2
import numpy as np
import pytest

from envs.osu_mania import highway
from envs.osu_mania.charts import Positions
from envs.osu_mania.client.drawing import Drawing
from envs.osu_mania.client.game import Choices, Game
from envs.osu_mania.client.identity import NOTE_AREA
from envs.osu_mania.generate import make_map
from envs.osu_mania.key_layouts import LAYOUTS
from envs.rendering.screen import pygame


@pytest.fixture
def game():
    """A play with holds, some of them held, some broken, some notes missed."""
    beatmap = make_map(3, keys=4, pattern="hold", difficulty=3.0, seconds=15.0)
    game = Game([beatmap], Choices(lead_in=2000.0), now=0.0)
    game.confirm(0.0)
    game.confirm(0.0)
    return game


def play_until(game, seconds, rng):
    for column, start, end in zip(
        game.beatmap.columns, game.beatmap.starts, game.beatmap.ends, strict=True
    ):
        press, release = start / 1000.0, max(end, start + 30.0) / 1000.0
        if release < seconds and rng.random() < 0.8:
            yield (press, int(column), True)
            yield (release - rng.choice([0.0, 0.2]), int(column), False)
        elif press < seconds <= release:
            yield (press, int(column), True)


@pytest.mark.parametrize(("height", "width"), [(588, 588), (336, 420), (700, 500)])
@pytest.mark.parametrize("frame", [(84, 84), (42, 42)])
def test_scaled_down_it_is_the_simulators_frame(game, height, width, frame):
    rng = np.random.default_rng(1)
    drawing = Drawing(20.0, LAYOUTS[4])
    surface = pygame.Surface((width, height), depth=32)
    touches = sorted(play_until(game, 9.0, rng))
    small = highway.make_geometry(*frame, 4, 20.0)
    empty, _ = highway.background(small)
    performance = game.performance
    session = performance.session
    scroll, chart = session.beatmap.scroll, session.chart
    positions = Positions(scroll(chart.start), scroll(chart.end))
    seen = set()
    for k in range(60):
        now = 1.0 + k * 0.13
        while touches and touches[0][0] <= now:
            touch, column, down = touches.pop(0)
            game.touch(column, down, touch)
        game.tick(now)
        time = performance.clock.time(now)
        drawing.draw_highway(surface, performance, time)
        drawn = pygame.surfarray.array3d(surface).swapaxes(0, 1)
        grey = cv2.cvtColor(np.ascontiguousarray(drawn), cv2.COLOR_RGB2GRAY)
        captured = cv2.resize(grey, frame[::-1], interpolation=cv2.INTER_AREA)
        film = np.zeros((1, 1, frame[0] * frame[1]), np.uint8)
        highway.draw(
            chart, positions, session.play, small, empty, scroll(np.array([time])), film, 0
        )
        expected = film.reshape(frame)
        difference = np.abs(captured.astype(int) - expected)
        # Whole sizes give the same picture; others move an edge by less than a pixel.
        whole = height % frame[0] == 0 and width % frame[1] == 0
        assert difference.mean() < (1.0 if whole else 3.0)
        seen |= set(np.unique(expected))
    assert {highway.NOTE, highway.BODY, highway.HELD, highway.BROKEN, highway.KEY_DOWN} <= seen


def test_nothing_is_written_over_the_highway(game):
    drawing = Drawing(20.0, LAYOUTS[4])
    surface = pygame.Surface((840, 588), depth=32)
    alone = pygame.Surface((588, 588), depth=32)
    for now in (0.5, 2.1, 3.3, 6.0):
        game.tick(now)
        report = game.report(now, True)
        drawing.draw(surface, game, report)
        drawing.draw_highway(alone, game.performance, report.time)
        drawn = pygame.surfarray.array3d(surface)
        right = round(NOTE_AREA[2] * 840)
        np.testing.assert_array_equal(drawn[:right], pygame.surfarray.array3d(alone))
        assert len(np.unique(drawn[right:].reshape(-1, 3), axis=0)) > 10


def test_every_screen_is_drawn(game):
    drawing = Drawing(20.0, LAYOUTS[4])
    surface = pygame.Surface((840, 588), depth=32)
    pictures = []
    fresh = Game(game.maps, Choices(), now=0.0)
    for step in range(4):
        drawing.draw(surface, fresh, fresh.report(float(step), True))
        pictures.append(pygame.surfarray.array3d(surface))
        fresh.confirm(float(step))
        if step == 2:
            fresh.back(float(step))  # a pause, which the panel tells
    fresh.confirm(4.0)
    fresh.tick(60.0)
    drawing.draw(surface, fresh, fresh.report(60.0, True))
    pictures.append(pygame.surfarray.array3d(surface))
    for index, one in enumerate(pictures):
        assert one.max() > 200
        for other in pictures[:index]:
            assert not np.array_equal(one, other)
