"""Runs that differ by their seed belong together; others are told apart by what differs."""

from pathlib import Path

from sb3_ext.zoo.comparison.groups import group
from sb3_ext.zoo.history import read_history
from tests.sb3_ext.zoo.comparison.records import write_run


def test_seeds_are_one_group_in_order(tmp_path: Path) -> None:
    runs = [read_history(write_run(tmp_path, seed=seed)) for seed in (3, 1, 2)]
    (found,) = group(runs)
    assert found.label == "ppo"
    assert [run.seed for run in found.runs] == [1, 2, 3]


def test_algorithms_and_worlds_are_apart(tmp_path: Path) -> None:
    cells = [("ppo", "A-v0"), ("sac", "A-v0"), ("ppo", "B-v0")]
    runs = [read_history(write_run(tmp_path, algo, env)) for algo, env in cells]
    assert [(found.label, found.env_id) for found in group(runs)] == cells


def test_hyperparameters_that_differ_name_the_groups(tmp_path: Path) -> None:
    configs = [{"gamma": 0.9, "n_steps": 8}, {"gamma": 0.99, "n_steps": 8}]
    runs = [read_history(write_run(tmp_path, config=config)) for config in configs]
    longer = read_history(write_run(tmp_path, config=configs[0], args={"n_timesteps": 5000}))
    assert [found.label for found in group(runs)] == ["ppo (gamma=0.9)", "ppo (gamma=0.99)"]
    assert [found.label for found in group([runs[0], longer])] == [
        "ppo (n_timesteps=None)",
        "ppo (n_timesteps=5000)",
    ]


def test_the_default_written_out_is_no_difference(tmp_path: Path) -> None:
    given = {"gamma": 0.9, "n_timesteps": 5000}
    runs = [
        read_history(write_run(tmp_path, config=given)),
        read_history(write_run(tmp_path, config=given, args={"n_timesteps": 5000})),
        read_history(write_run(tmp_path, config=given, args={"n_timesteps": -1})),
    ]
    assert len(group(runs)) == 1
