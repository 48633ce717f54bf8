"""Learning curves of several runs on one axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from callbacks.curves import smoothed
from sb3_ext.zoo.comparison.statistics import Estimate, iqm_curve
from sb3_ext.zoo.history import History

# Points of an axis that the runs do not share by themselves.
N_POINTS = 100


@dataclass(frozen=True)
class RunCurve:
    """How good one run was when.

    Attributes:
        steps: Ascending, ``[n]``.
        returns: ``[n]``.
        seconds: Wall time at the same points, ``[n]``, or None if nothing tells.
    """

    steps: np.ndarray
    returns: np.ndarray
    seconds: np.ndarray | None


@dataclass(frozen=True)
class Curve:
    """Several runs' learning curve: the interquartile mean at each point, with its interval.

    Attributes:
        x: Steps or seconds, ``[n]``.
        returns: At these points.
    """

    x: np.ndarray
    returns: Estimate


def evaluation_curve(run: History) -> RunCurve:
    """Mean returns of the periodic evaluations."""
    assert run.evaluations is not None
    steps = run.evaluations.steps.astype(float)
    return RunCurve(steps, run.evaluations.returns.mean(axis=1), run.seconds_at(steps))


def training_curve(run: History) -> RunCurve:
    """Returns of the training episodes, smoothed as in a run's curve.png."""
    steps = run.episodes["steps"].to_numpy(dtype=float)
    returns = smoothed(run.episodes["return"].to_numpy())
    return RunCurve(steps, returns, run.episodes["seconds"].to_numpy())


def over_steps(curves: Sequence[RunCurve]) -> Curve:
    """The curve of runs over their steps: at the points they share, or at even ones.

    Where runs do not share their points, even ones are taken from where all have values.
    """
    axes = [curve.steps for curve in curves]
    x = axes[0]
    if any(len(axis) != len(x) or not np.allclose(axis, x) for axis in axes):
        first, last = max(axis[0] for axis in axes), min(axis[-1] for axis in axes)
        x = np.linspace(first, max(first, last), N_POINTS)
    return Curve(x, iqm_curve(np.stack([np.interp(x, c.steps, c.returns) for c in curves])))


def over_seconds(by_steps: Curve, curves: Sequence[RunCurve]) -> Curve | None:
    """The same over the median wall time after which runs had taken so many steps.

    Args:
        by_steps: The curve over steps.
        curves: Its runs.

    Returns:
        None where a run tells no times.
    """
    times = [
        np.interp(by_steps.x, curve.steps, curve.seconds)
        for curve in curves
        if curve.seconds is not None
    ]
    if len(times) < len(curves):
        return None
    return Curve(np.median(times, axis=0), by_steps.returns)


def first_reached(curve: RunCurve, threshold: float) -> tuple[float, float]:
    """Steps and seconds after which a run's curve first is at a threshold; infinite if never."""
    reached = np.flatnonzero(curve.returns >= threshold)
    if not len(reached):
        return np.inf, np.inf
    first = reached[0]
    return float(curve.steps[first]), np.nan if curve.seconds is None else curve.seconds[first]
