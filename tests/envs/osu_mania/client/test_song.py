"""The song's clock and its click track."""

import numpy as np
import pytest

from envs.osu_mania.client.song import SAMPLE_RATE, SongClock, click_track


@pytest.mark.parametrize("rate", [1.0, 1.5, 0.75])
def test_clock_runs_at_its_rate_and_stands_while_paused(rate):
    clock = SongClock(-500.0, rate, now=10.0)
    assert clock.time(10.0) == -500.0
    assert clock.time(12.0) == pytest.approx(-500.0 + 2000.0 * rate)
    clock.toggle_pause(12.0)
    assert clock.paused
    assert clock.time(99.0) == clock.time(12.0)
    clock.toggle_pause(99.0)
    assert clock.time(99.0) == pytest.approx(-500.0 + 2000.0 * rate)
    assert clock.time(100.0) == pytest.approx(-500.0 + 3000.0 * rate)


@pytest.mark.parametrize("rate", [1.0, 1.5])
def test_clicks_are_where_something_is_pressed(make_beatmap, rate):
    beatmap = make_beatmap((0, 1000), (1, 1000), (2, 1600, 1900), (3, 2500))
    track = click_track(beatmap, 400.0, rate)
    loud = np.flatnonzero(np.abs(track) > 1000) / SAMPLE_RATE
    beginnings = loud[np.diff(loud, prepend=-1.0) > 0.05]
    expected = (np.array([1000.0, 1600.0, 2500.0]) - 400.0) / 1000.0 / rate
    np.testing.assert_allclose(beginnings, expected, atol=0.002)
    assert len(track) / SAMPLE_RATE > (2500.0 - 400.0) / 1000.0 / rate + 0.5
