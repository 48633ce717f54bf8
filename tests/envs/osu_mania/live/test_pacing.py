"""A fixed rate: order and counts, as a test can't rely on milliseconds."""

import time

import pytest

from envs.osu_mania.live.pacing import Pacer, Timings


def test_periods_follow_each_other():
    pacer = Pacer(100.0)
    pacer.restart()
    begun = time.monotonic()
    for _ in range(20):
        pacer.wait()
    assert time.monotonic() - begun >= 0.2 - 0.001
    assert pacer.n_steps >= 20


def test_what_was_missed_is_counted_and_not_caught_up():
    pacer = Pacer(50.0)
    pacer.restart()
    begun = time.monotonic()
    time.sleep(0.07)  # three periods and a half
    assert pacer.wait() > 0.04
    assert pacer.n_missed >= 3
    missed, steps = pacer.n_missed, pacer.n_steps
    assert steps == missed
    for _ in range(5):
        pacer.wait()
    elapsed = time.monotonic() - begun
    # Periods that were waited for and periods that were missed make up all the time there was.
    assert pacer.n_steps <= elapsed * 50.0 + 1e-6
    assert pacer.n_steps >= missed + 5


def test_percentiles():
    timings = Timings()
    for k in range(101):
        timings.add("a", k / 1000.0)
    timings.add("b", 0.5)
    assert timings.milliseconds()["a"] == pytest.approx((50.0, 95.0, 99.0))
    assert timings.milliseconds((0, 100))["b"] == pytest.approx((500.0, 500.0))
