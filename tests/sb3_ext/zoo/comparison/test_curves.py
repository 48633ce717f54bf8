"""Curves of several runs on one axis."""

from pathlib import Path

import numpy as np
import pytest

from sb3_ext.zoo.comparison.curves import (
    RunCurve,
    evaluation_curve,
    first_reached,
    over_seconds,
    over_steps,
    training_curve,
)
from sb3_ext.zoo.history import read_history
from tests.sb3_ext.zoo.comparison.records import write_run


def curve(steps: list[float], returns: list[float], seconds: list[float] | None = None) -> RunCurve:
    return RunCurve(
        np.array(steps), np.array(returns), None if seconds is None else np.array(seconds)
    )


def test_runs_with_the_same_points_keep_them() -> None:
    found = over_steps([curve([10, 20], [0, 2]), curve([10, 20], [2, 8])])
    assert found.x.tolist() == [10, 20]
    assert found.returns.value.tolist() == [1, 5]


def test_other_runs_are_compared_where_all_have_values() -> None:
    found = over_steps([curve([0, 100], [0, 100]), curve([20, 60], [0, 0])])
    assert (found.x[0], found.x[-1]) == (20, 60)
    assert found.returns.value == pytest.approx(found.x / 2)


def test_a_run_that_ends_before_another_begins() -> None:
    found = over_steps([curve([0, 10], [1, 1]), curve([20, 30], [3, 3])])
    assert set(found.x) == {20}
    assert set(found.returns.value) == {2}


def test_over_seconds_takes_the_median_time_of_each_point() -> None:
    curves = [curve([1, 2], [0, 1], [5, 9 + late]) for late in (0, 1, 7)]
    by_steps = over_steps(curves)
    found = over_seconds(by_steps, curves)
    assert found is not None
    assert found.x.tolist() == [5, 10]
    assert found.returns is by_steps.returns


def test_over_seconds_needs_all_runs_to_tell_them() -> None:
    curves = [curve([1, 2], [0, 1], [5, 9]), curve([1, 2], [0, 1])]
    assert over_seconds(over_steps(curves), curves) is None


def test_first_reached() -> None:
    run = curve([10, 20, 30], [1, 5, 4], [1.5, 2.5, 3.5])
    assert first_reached(run, 1) == (10, 1.5)
    assert first_reached(run, 4.5) == (20, 2.5)
    assert first_reached(run, 6) == (np.inf, np.inf)
    steps, seconds = first_reached(curve([10], [1]), 0)
    assert steps == 10
    assert np.isnan(seconds)


def test_curves_of_a_run(tmp_path: Path) -> None:
    run = read_history(write_run(tmp_path))
    evaluation = evaluation_curve(run)
    assert evaluation.steps.tolist() == [200, 400, 600, 800, 1000]
    assert evaluation.returns == pytest.approx([20, 40, 60, 80, 100])
    assert evaluation.seconds == pytest.approx([2, 4, 6, 8, 10])
    training = training_curve(run)
    assert training.steps[[0, -1]].tolist() == [10, 1000]
    # A hundred episodes are smoothed over two neighbors: half an episode's rise.
    assert training.returns[50] == pytest.approx(50.5)
