"""Rewards from snapshots: early from errors, right in the end by the game's counts."""

import numpy as np
import pytest

from envs.osu_mania.generate import make_map
from envs.osu_mania.live.errors import StoppedError
from envs.osu_mania.live.ledger import UNTOLD, Ledger, Shadow
from envs.osu_mania.live.messages import GameState
from envs.osu_mania.live.readers import Reading
from envs.osu_mania.options import Options
from envs.osu_mania.play import COMBO_BREAK, COMBO_GAIN, MILESTONE, MISS, SCORE, TERMS, TIME
from envs.osu_mania.players import perfect_keys
from envs.osu_mania.rows import Rows


def state(counts=(0,) * 6, errors=(), combo=0, score=0, md5="a map"):
    """A state of an OD 5 map: MAX to 16 ms, 300 to 49, 200 to 82, 100 to 112, 50 to 136."""
    return GameState(
        2, 3, False, False, 256, md5, "label", 4, 5.0, 1.0, 1000.0, 0.0, score, 1.0, combo, combo,
        1.0, tuple(counts), tuple(errors),
    )  # fmt: skip


@pytest.fixture
def settle():
    ledger = Ledger(state(), "stable", ())
    number = 0

    def settle(new=None, errors=(), over=False):
        nonlocal number
        number += new is not None
        return ledger.settle(Reading(new or ledger.state, 0.0, number, tuple(errors)), over)

    settle()
    return settle


def judged(events):
    return events[:6].tolist()


def test_a_hit_is_paid_once_and_at_once(settle):
    assert judged(settle(errors=[3])) == [1, 0, 0, 0, 0, 0]
    assert judged(settle(errors=[3])) == [0] * 6
    assert judged(settle(errors=[3, -60, 100])) == [0, 0, 1, 1, 0, 0]
    new = state([1, 0, 1, 0, 0, 0], [3, -60])  # counts of a moment ago
    assert judged(settle(new, errors=[3, -60, 100])) == [0] * 6
    new = state([1, 0, 1, 1, 0, 1], [3, -60, 100])
    assert judged(settle(new, errors=[3, -60, 100])) == [0, 0, 0, 0, 0, 1]


@pytest.mark.parametrize(
    ("error", "judgement"),
    [(0, 0), (16, 0), (-16, 0), (17, 1), (49, 1), (50, 2), (-82, 2), (112, 3), (136, 4), (150, 4)],
)
def test_by_the_windows(settle, error, judgement):
    assert judged(settle(errors=[error])).index(1) == judgement


def test_what_the_errors_did_not_tell_is_put_right(settle):
    """A hold is judged by both of its ends, and its error is that of its tail."""
    assert judged(settle(errors=[5])) == [1, 0, 0, 0, 0, 0]
    assert judged(settle(state([0, 0, 0, 0, 1, 0], [5]), errors=[5])) == [-1, 0, 0, 0, 1, 0]


def test_without_errors_of_their_own_counts_do(settle):
    assert judged(settle(state([2, 1, 0, 0, 0, 3], [1, 2, 30]))) == [2, 1, 0, 0, 0, 3]
    assert judged(settle()) == [0] * 6


def test_whatever_comes_when_the_sum_is_the_games():
    rng = np.random.default_rng(0)
    for _ in range(50):
        errors = np.round(rng.normal(0, 50, 40)).tolist()
        limits = np.array([16.5, 49.5, 82.5, 112.5, 136.5])
        hits = [min(int((abs(e) > limits).sum()), 4) for e in errors]
        hits = [h if rng.random() < 0.8 else int(rng.integers(0, 5)) for h in hits]  # holds
        ledger, total, seen = Ledger(state(), "stable", None), np.zeros(len(TERMS)), 0
        for number in range(100):
            known = int(rng.integers(seen, min(seen + 3, 40) + 1))
            seen = known if rng.random() < 0.3 else seen  # the state lags behind
            if number == 99:
                seen = known = 40
            counts = np.bincount(hits[:seen], minlength=6)
            reading = Reading(state(counts, errors[:seen]), 0.0, number, tuple(errors[:known]))
            total += ledger.settle(reading)
        assert total[:6].tolist() == np.bincount(hits, minlength=6).tolist()


def test_combo_score_and_milestones(settle):
    events = settle(state(combo=12, score=500))
    assert (events[COMBO_GAIN], events[COMBO_BREAK], events[SCORE]) == (12, 0, 500)
    assert events[MILESTONE] == 1
    events = settle(state(combo=55, score=800))
    assert (events[COMBO_GAIN], events[MILESTONE], events[SCORE]) == (43, 2, 300)
    events = settle(state(combo=3, score=900))
    assert (events[COMBO_GAIN], events[COMBO_BREAK], events[MILESTONE]) == (3, 1, 0)


@pytest.mark.parametrize("other", [state(md5="another"), state([0, 0, 0, 0, 0, 1])])
def test_another_play_is_no_continuation(settle, other):
    settle(state([0, 0, 0, 0, 0, 2]))
    with pytest.raises(StoppedError, match="begun anew"):
        settle(other)


def test_a_play_that_was_left_keeps_what_it_had(settle):
    settle(state([2, 0, 0, 0, 0, 0], [1, 2]))
    assert judged(settle(state(), over=True)) == [0] * 6
    assert judged(settle(state([3, 0, 0, 0, 0, 0], [1, 2, 3]), over=True)) == [1, 0, 0, 0, 0, 0]


def test_errors_of_the_play_before_are_not_paid():
    old = (5.0, 6.0)
    ledger = Ledger(state(), "stable", old)
    assert judged(ledger.settle(Reading(state(), 0.0, 1, old))) == [0] * 6
    assert judged(ledger.settle(Reading(state(), 0.0, 1, ()))) == [0] * 6
    assert judged(ledger.settle(Reading(state(), 0.0, 1, (5.0,)))) == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
def test_what_the_game_does_not_tell_is_what_the_simulator_says(ruleset):
    beatmap = make_map(5, keys=4, pattern="hold", difficulty=2.0, seconds=6.0)
    rows = Rows(1, Options(maps=beatmap, ruleset=ruleset))
    rows.begin(np.zeros(1, np.intp), np.zeros((1, 5), np.float32))
    shadow = Shadow(beatmap, ruleset, 1.0)
    total = np.zeros(len(TERMS))
    rng = np.random.default_rng(1)
    for step in range(500):
        keys = perfect_keys(rows.simulator) ^ (rng.random((1, 4)) < 0.02)
        keys &= not 200 < step < 240  # and lets some pass by
        switch = float(rows.simulator.play.rows[0, TIME])
        rows.step(keys, np.zeros((1, 0), np.float32))
        total += shadow.step(keys[0].tolist(), switch, float(rows.simulator.play.rows[0, TIME]))
    untold = list(UNTOLD)
    np.testing.assert_allclose(total[untold], rows.sums[0, untold], atol=1e-6)
    assert (total[untold] > 0).all()
    assert total[MISS] == 0  # that it does tell
