"""A comparison's figures, worked out by hand from runs that rise evenly to a known level."""

from pathlib import Path

import numpy as np
import pytest

from sb3_ext.zoo.comparison.groups import group
from sb3_ext.zoo.comparison.measures import compare
from sb3_ext.zoo.comparison.results import Comparison
from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.history import find_runs, read_history
from tests.sb3_ext.zoo.comparison.records import write_run


def compared(folder: Path, kind: str = "auto", **thresholds: float) -> Comparison:
    runs = [read_history(path) for path in find_runs([str(folder)])]
    return compare(group(runs), kind, {key.replace("_", "-"): v for key, v in thresholds.items()})


def test_finals_threshold_and_efficiency(tmp_path: Path) -> None:
    for seed, level in enumerate([90, 100, 110]):
        write_run(tmp_path, "ppo", seed=seed, level=level)
    for seed, level in enumerate([40, 50, 120]):
        write_run(tmp_path, "sac", seed=seed, level=level, steps_per_second=level)
    comparison = compared(tmp_path)
    (world,) = comparison.worlds
    ppo, sac = world.results
    assert comparison.overall is None, "one world needs no scores over all"
    assert comparison.curve_kind == "evaluation"
    assert "100 episodes" in world.final_source
    assert ppo.final.values.tolist() == [90, 100, 110]
    assert ppo.final_iqm.value == pytest.approx([100])
    assert sac.final_iqm.value == pytest.approx([70])
    # Ten episodes of each run: 5.5 % of its level.
    assert world.untrained == pytest.approx(0.055 * (90 + 100 + 110 + 40 + 50 + 120) / 6)
    assert world.threshold == pytest.approx(world.untrained + 0.9 * (100 - world.untrained))
    # About 90.5: an evaluation of the run to 90 never is so high; to 100 or 110 at 1000 steps.
    assert ppo.steps_to_threshold.values.tolist() == [np.inf, 1000, 1000]
    assert ppo.seconds_to_threshold.values[1:] == pytest.approx([10, 10])
    assert ppo.steps_to_threshold.estimate is not None
    assert ppo.steps_to_threshold.estimate.value == [1000]
    assert sac.steps_to_threshold.values.tolist() == [np.inf, np.inf, 800]
    assert sac.steps_per_second.values.tolist() == [40, 50, 120]
    assert sac.wall_seconds.values.tolist() == [12, 12, 12]
    (pair,) = world.improvements
    assert (pair.x, pair.y) == ("ppo", "sac")
    assert pair.probability.value == pytest.approx([6 / 9])
    assert pair.probability.low < pair.probability.value < pair.probability.high


def test_the_better_of_a_pair_stands_first(tmp_path: Path) -> None:
    for seed in range(3):
        write_run(tmp_path, "a2c", seed=seed, level=seed)
        write_run(tmp_path, "ppo", seed=seed, level=seed + 1.5)
    (pair,) = compared(tmp_path).worlds[0].improvements
    assert (pair.x, pair.y) == ("ppo", "a2c")
    assert pair.probability.value == pytest.approx([8 / 9])
    assert pair.probability.low <= pair.probability.value <= pair.probability.high


def test_a_threshold_of_ones_own(tmp_path: Path) -> None:
    write_run(tmp_path)
    (world,) = compared(tmp_path, CartPole_v1=41).worlds
    assert world.threshold == 41
    assert world.results[0].steps_to_threshold.values == [600]


def test_training_curves_where_a_run_has_no_evaluations(tmp_path: Path) -> None:
    write_run(tmp_path)
    (write_run(tmp_path, seed=1) / "evaluations.npz").unlink()
    comparison = compared(tmp_path)
    assert comparison.curve_kind == "training"
    assert comparison.worlds[0].results[0].by_steps.x[-1] == 1000
    with pytest.raises(ZooError, match=r"CartPole-v1_2 has no evaluations\.npz"):
        compared(tmp_path, "evaluation")


def test_runs_that_no_summary_tells_of(tmp_path: Path) -> None:
    run = write_run(tmp_path, level=100)
    (run / "summary.json").unlink()
    (world,) = compared(tmp_path).worlds
    (result,) = world.results
    assert result.final.values == pytest.approx([100])
    assert "last evaluation" in world.final_source
    assert result.wall_seconds.values == pytest.approx([10])
    assert result.steps_per_second.values == pytest.approx([100])
    (run / "evaluations.npz").unlink()
    (world,) = compared(tmp_path).worlds
    assert world.results[0].final.values == pytest.approx([50.5]), "of the last hundred episodes"


def test_worlds_are_brought_to_one_scale(tmp_path: Path) -> None:
    for seed in range(2):
        write_run(tmp_path, "ppo", "A-v0", seed=seed, level=100)
        write_run(tmp_path, "sac", "A-v0", seed=seed, level=50)
        write_run(tmp_path, "ppo", "B-v0", seed=seed, level=-10)
        write_run(tmp_path, "sac", "B-v0", seed=seed, level=-5)
        write_run(tmp_path, "ppo", "C-v0", seed=seed, level=3)
        write_run(tmp_path, "sac", "C-v0", seed=seed, level=1)
    comparison = compared(tmp_path)
    overall = comparison.overall
    assert overall is not None
    # On B returns only fall: nothing there is better than before learning.
    assert [note for note in comparison.notes if note.startswith("B-v0 is left out")]
    assert overall.scores["ppo"] == pytest.approx(np.ones((2, 2)))
    low = 0.055 * 75
    assert overall.scores["sac"][:, 0] == pytest.approx((50 - low) / (100 - low))
    assert overall.iqm["ppo"].value == pytest.approx([1])
    (pair,) = overall.improvements
    assert (pair.x, pair.y, pair.probability.value) == ("ppo", "sac", 1)
    assert np.isnan(pair.p_value)


def test_fewer_runs_on_one_world_are_told(tmp_path: Path) -> None:
    for env_id, n_runs in (("A-v0", 3), ("B-v0", 2)):
        for seed in range(n_runs):
            write_run(tmp_path, "ppo", env_id, seed=seed)
    write_run(tmp_path, "sac", "A-v0")
    comparison = compared(tmp_path)
    assert comparison.overall is not None
    assert list(comparison.overall.scores) == ["ppo"], "sac has none on B"
    assert comparison.overall.scores["ppo"].shape == (2, 2)
    assert any("first 2 runs" in note for note in comparison.notes)
    assert comparison.labels == ["ppo", "sac"]
