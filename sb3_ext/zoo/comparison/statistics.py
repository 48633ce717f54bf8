"""What several seeds say about an algorithm, by rliable: IQM, intervals, who beats whom.

Agarwal et al., Deep Reinforcement Learning at the Edge of the Statistical Precipice (2021),
https://arxiv.org/abs/2108.13264. Intervals are percentiles of a bootstrap over runs, stratified by
world.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import scipy.stats
from rliable import library

RESAMPLES = 2000
CONFIDENCE = 0.95
# Stands for "never" while steps are resampled: whatever is averaged with it is never, too.
NEVER = 1e18


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval.

    Attributes:
        value: The point estimate, a number or an array ``[n]``.
        low: The interval's lower end; NaN where a single run allows none.
        high: Its upper end.
    """

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


def iqm(scores: np.ndarray) -> Estimate:
    """The interquartile mean: of the middle half of the runs (of all runs for fewer than four).

    Args:
        scores: Of several worlds on one scale ``[n_runs, n_worlds]``, or of one ``[n_runs]``.
    """
    return _estimate(lambda *x: trimmed_mean(x[0].ravel()), _columns(scores))


def iqm_curve(curves: np.ndarray) -> Estimate:
    """The interquartile mean at each point of a curve, with pointwise intervals.

    Args:
        curves: ``[n_runs, n_points]``.
    """
    return _estimate(lambda *x: trimmed_mean(x[0]), curves)


def median(values: np.ndarray) -> Estimate:
    """The median of runs, of which some may be infinite: they never came to it.

    Args:
        values: ``[n_runs]``.
    """
    finite = np.where(np.isinf(values), NEVER, values)
    found = _estimate(lambda *x: np.median(x[0], axis=0), _columns(finite))

    def never_again(array: np.ndarray) -> np.ndarray:
        return np.where(array >= NEVER / 1e6, np.inf, array)

    return Estimate(never_again(found.value), never_again(found.low), never_again(found.high))


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> Estimate:
    """P(a run of X scores higher than one of Y), ties counted half, averaged over worlds.

    Args:
        x: Scores of X, ``[n_runs_of_x, n_worlds]`` or ``[n_runs_of_x]``.
        y: Scores of Y.
    """
    return _estimate(share_of_wins, _columns(x), _columns(y))


def mann_whitney_p(x: np.ndarray, y: np.ndarray) -> float:
    """How often runs of equal algorithms would differ so much: two-sided, exact without ties.

    Where every run of X beats every one of Y, a bootstrap's interval is but a point, however few
    the runs; this tells what that is worth.

    Args:
        x: Scores of X on one world, ``[n_runs_of_x]``.
        y: Scores of Y.
    """
    if np.ptp(np.r_[x, y]) == 0:
        return 1.0
    return float(scipy.stats.mannwhitneyu(x, y).pvalue)


def trimmed_mean(scores: np.ndarray) -> np.ndarray:
    """The mean without the lowest and the highest quarter, rounded down: rliable's IQM, faster.

    Args:
        scores: ``[n]`` or ``[n, ...]``.

    Returns:
        ``[1]`` or ``[...]``.
    """
    n_cut = len(scores) // 4
    middle = np.sort(scores, axis=0)[n_cut : len(scores) - n_cut]
    return np.atleast_1d(middle.mean(axis=0))


def share_of_wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How many of all pairs of runs X wins, ties half: rliable's, faster.

    Args:
        x: ``[n_runs_of_x, n_worlds]``.
        y: ``[n_runs_of_y, n_worlds]``.

    Returns:
        The mean over worlds, ``[1]``.
    """
    return np.atleast_1d((np.sign(x[:, None] - y[None]).mean() + 1) / 2)


def _columns(scores: np.ndarray) -> np.ndarray:
    return scores[:, None] if scores.ndim == 1 else scores


def _estimate(statistic: Callable[..., np.ndarray], *samples: np.ndarray) -> Estimate:
    value = statistic(*samples)
    if min(len(sample) for sample in samples) < 2:
        unknown = np.full_like(value, np.nan, dtype=float)
        return Estimate(value, unknown, unknown)
    scores = {"": samples[0] if len(samples) == 1 else list(samples)}
    with _reproducible():
        _, intervals = library.get_interval_estimates(
            scores, statistic, reps=RESAMPLES, confidence_interval_size=CONFIDENCE
        )
    low, high = intervals[""]
    return Estimate(value, low, high)


@contextlib.contextmanager
def _reproducible() -> Iterator[None]:
    """rliable draws from NumPy's global generator, whatever generator it is given."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.seed(0)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
