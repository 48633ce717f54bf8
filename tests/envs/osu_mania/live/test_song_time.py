"""Following a song by states that are late, by various times."""

import math

import numpy as np
import pytest

from envs.osu_mania.live.song_time import SongTime


def follow(song, times, refresh=0.1, delay=0.0, rng=None):
    """Feeds states of a song, a function of real time; late by up to `delay` s."""
    song_time = SongTime()
    received = []
    for moment in np.arange(0.0, times, refresh):
        late = delay * (rng.random() if rng is not None else 0.0)
        song_time.update(round(song(moment)), 1.0, moment + late)
        received.append(moment + late)
    return song_time, received[-1]


def test_nothing_is_known_at_first():
    assert math.isnan(SongTime().at(3.0))


@pytest.mark.parametrize("rate", [1.0, 1.5, 0.75])
def test_it_goes_on_between_states(rate):
    song_time = SongTime()
    for moment in np.arange(10.0, 14.0, 0.1):
        song_time.update(1000.0 * rate * (moment - 10.0), rate, moment)
        assert song_time.at(moment + 0.08) == pytest.approx(1000.0 * rate * (moment - 9.92), abs=1)
    assert song_time.stands_for(14.0) < 0.2


def test_late_states_hardly_matter():
    rng = np.random.default_rng(0)
    song_time, now = follow(lambda t: 1000.0 * t, 8.0, delay=0.09, rng=rng)
    # Late by 0 to 90 ms; the least late of the last 30 says where the song is.
    assert song_time.at(now) == pytest.approx(1000.0 * now, abs=15.0)


@pytest.mark.parametrize("to", [-2000.0, 30_000.0])
def test_a_jump_is_followed_at_once(to):
    song_time, now = follow(lambda t: 1000.0 * t, 3.0)
    song_time.update(to, 1.0, now + 0.1)
    assert song_time.at(now + 0.15) == pytest.approx(to + 50.0, abs=1)


def test_a_song_that_stands_is_seen_to_and_goes_on():
    song_time, _ = follow(lambda t: 1000.0 * min(t, 2.0), 4.0)
    assert song_time.at(4.5) == 2000.0
    assert song_time.stands_for(4.0) == pytest.approx(2.0, abs=0.15)
    song_time.update(2100.0, 1.0, 4.1)
    song_time.update(2200.0, 1.0, 4.2)
    assert song_time.stands_for(4.2) == 0.0
    assert song_time.at(4.25) == pytest.approx(2250.0, abs=1)
