import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers
from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.play import TIME
from envs.rendering.osu_mania import INNER, JUDGEMENTS, OUTER

LINE_Y, TOP, NOTE = 610, 34, 22


@pytest.fixture
def env():
    """A note in the first column at 2000 ms, a hold in the second from 2600 to 3000."""
    beatmap = Beatmap(
        keys=4, columns=[0, 1], starts=[2000, 2600], ends=[2000, 3000], holds=[False, True]
    )
    env = gym.make("OsuMania-v0", render_mode="rgb_array", maps=beatmap, hz=250)
    env.reset(seed=0)
    return env


def walk(env, until, keys=(0, 0, 0, 0)):
    """Steps to just before a time; the picture and the time there."""
    simulator = env.unwrapped.rows.simulator
    while simulator.next_times[0] <= until:
        env.step(np.array(keys, np.int8))
    return env.render(), float(simulator.play.rows[0, TIME])


def rows_of(frame, column, color):
    """The rows of pixels where the middle of a column has a color, above the keys."""
    x = 24 + 70 * column + 35
    return np.flatnonzero((frame[TOP : LINE_Y + 8, x] == color).all(axis=1)) + TOP


def test_notes_and_holds_are_where_they_are_due(env):
    scale = (LINE_Y - TOP) / (11_485 / 20)
    for until in (1600, 1800, 1950):
        frame, now = walk(env, until)
        assert frame.shape == (720, 530, 3)
        rows = rows_of(frame, 0, OUTER)
        assert rows.max() == pytest.approx(LINE_Y - (2000 - now) * scale, abs=2)
        assert len(rows) == pytest.approx(NOTE, abs=1)
    walk(env, 2600)
    frame, now = walk(env, 2700, (0, 1, 0, 0))
    held = rows_of(frame, 1, INNER)  # from its head on the line up to its tail
    assert held.min() == pytest.approx(LINE_Y - (3000 - now) * scale, abs=2)
    assert held.max() >= LINE_Y - 4


def test_a_judgement_flashes_and_numbers_change(env):
    before, _ = walk(env, 2000)
    after, _ = walk(env, 2020, (1, 0, 0, 0))
    flash = (after[LINE_Y] == JUDGEMENTS[0][1]).all(axis=1)
    assert flash[24 + 35]
    assert not flash[24 + 70 + 35]
    assert not (before[LINE_Y] == JUDGEMENTS[0][1]).all(axis=1).any()
    numbers = slice(24 + 280 + 36, None)
    assert not np.array_equal(before[120:180, numbers], after[120:180, numbers])  # the score
    missed, _ = walk(env, 3400)
    assert (missed[:, numbers] == JUDGEMENTS[5][1]).all(axis=2).any()


@pytest.mark.parametrize("keys", range(1, 11))
def test_every_number_of_columns_is_drawn(keys):
    env = gym.make("OsuMania-v0", render_mode="rgb_array", keys=keys, seconds=2, lead_in=100)
    env.reset(seed=0)
    frame = env.render()
    assert frame.shape[0] == 720
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 5
