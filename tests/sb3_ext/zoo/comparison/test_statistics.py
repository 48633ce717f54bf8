"""Estimates against figures worked out by hand, rliable's metrics and brute force."""

import itertools

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from rliable import metrics

from sb3_ext.zoo.comparison import statistics
from sb3_ext.zoo.comparison.statistics import (
    iqm,
    iqm_curve,
    mann_whitney_p,
    median,
    probability_of_improvement,
    share_of_wins,
    trimmed_mean,
)

FINITE = st.floats(-1e3, 1e3)


@pytest.mark.parametrize(
    ("scores", "expected"),
    [([7], 7), ([1, 3], 2), ([0, 1, 5], 2), ([0, 1, 2, 99], 1.5), ([-50, 1, 2, 3, 100], 2)],
)
def test_iqm_is_the_mean_of_the_middle_half(scores: list[float], expected: float) -> None:
    assert iqm(np.array(scores, dtype=float)).value == pytest.approx([expected])


@given(arrays(float, st.integers(1, 12), elements=FINITE))
def test_trimmed_mean_is_rliables(scores: np.ndarray) -> None:
    assert trimmed_mean(scores)[0] == pytest.approx(metrics.aggregate_iqm(scores), abs=1e-6)


@given(
    arrays(float, st.tuples(st.integers(2, 6), st.just(2)), elements=st.integers(0, 4)),
    arrays(float, st.tuples(st.integers(2, 6), st.just(2)), elements=st.integers(0, 4)),
)
def test_share_of_wins_is_rliables(x: np.ndarray, y: np.ndarray) -> None:
    assert share_of_wins(x, y)[0] == pytest.approx(metrics.probability_of_improvement(x, y))


def test_probability_of_improvement_counts_pairs() -> None:
    x, y = np.array([1.0, 2.0, 3.0, 3.0]), np.array([2.0, 0.0])
    wins = [1.0 if a > b else 0.5 if a == b else 0.0 for a, b in itertools.product(x, y)]
    assert probability_of_improvement(x, y).value == pytest.approx([np.mean(wins)])
    assert probability_of_improvement(x, x).value == [0.5]


def test_a_single_run_has_no_interval() -> None:
    for estimate in (
        iqm(np.array([3.0])),
        median(np.array([3.0])),
        probability_of_improvement(np.array([3.0]), np.array([1.0, 2.0])),
    ):
        assert np.isnan(estimate.low).all()
        assert np.isnan(estimate.high).all()
    assert np.isnan(iqm_curve(np.ones((1, 4))).low).all()


def test_intervals_hold_the_estimate_and_shrink_with_more_runs() -> None:
    few = np.random.default_rng(0).normal(size=5)
    many = np.tile(few, 20)
    narrow, wide = iqm(many), iqm(few)
    assert wide.low[0] < wide.value[0] < wide.high[0]
    assert narrow.high[0] - narrow.low[0] < 0.5 * (wide.high[0] - wide.low[0])
    assert min(few) <= wide.low[0], "a bootstrap never leaves the data"


def test_the_interval_of_a_mean_is_near_its_textbook_one() -> None:
    # For three runs, nothing is trimmed; for 60 the percentile bootstrap is close to normal.
    scores = np.random.default_rng(1).normal(10, 2, size=(60, 1))
    found = statistics._estimate(lambda *x: x[0].mean(axis=0), scores)
    half = 1.96 * scores.std() / np.sqrt(60)
    assert found.low[0] == pytest.approx(scores.mean() - half, abs=0.1)
    assert found.high[0] == pytest.approx(scores.mean() + half, abs=0.1)


def test_worlds_are_resampled_apart() -> None:
    # Runs of one world are not those of another: 0 and 1 in one world, 0 in the other.
    scores = np.array([[0.0, 0.0], [1.0, 0.0]])
    found = statistics._estimate(lambda *x: np.atleast_1d(x[0].mean()), scores)
    assert (found.low[0], found.high[0]) == (0.0, 0.5)


def test_curves_are_estimated_point_by_point() -> None:
    curves = np.array([[0.0, 5.0, 1.0], [0.0, 5.0, 3.0]])
    found = iqm_curve(curves)
    assert found.value.tolist() == [0, 5, 2]
    assert found.low.tolist() == [0, 5, 1]
    assert found.high.tolist() == [0, 5, 3]


def test_medians_of_runs_that_never_came_to_it() -> None:
    assert median(np.array([1.0, 2.0, np.inf])).value == [2]
    assert median(np.array([1.0, np.inf, np.inf])).value == [np.inf]
    assert median(np.array([1.0, np.inf])).value == [np.inf], "half way to never is never"
    found = median(np.array([1.0, 2.0, 2.0, 3.0, np.inf]))
    assert found.value == [2]
    assert found.high == [np.inf]
    assert np.isfinite(found.low[0])


def test_mann_whitney() -> None:
    # Three against three, all on one side: 2 of 20 orders are so extreme.
    assert mann_whitney_p(np.array([4.0, 5, 6]), np.array([1.0, 2, 3])) == pytest.approx(0.1)
    assert mann_whitney_p(np.ones(5), np.ones(4)) == 1
    x, y = np.array([1.0, 4.0, 6.0]), np.array([2.0, 3.0, 9.0, 11.0])
    exact = scipy.stats.mannwhitneyu(x, y, method="exact").pvalue
    assert mann_whitney_p(x, y) == pytest.approx(exact)


def test_the_same_numbers_every_time_and_no_trace_in_numpys_generator() -> None:
    scores = np.random.default_rng(0).normal(size=7)
    np.random.seed(5)  # noqa: NPY002
    expected = np.random.random()  # noqa: NPY002
    np.random.seed(5)  # noqa: NPY002
    first = iqm(scores)
    assert np.random.random() == expected  # noqa: NPY002
    second = iqm(scores)
    assert (first.low, first.high) == (second.low, second.high)
