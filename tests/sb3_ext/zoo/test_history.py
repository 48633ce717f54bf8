"""A run's records are read as they were written: by us, by RL Zoo, by a process that was killed."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor, load_results

from sb3_ext.zoo.errors import ZooError
from sb3_ext.zoo.history import find_runs, read_episodes, read_history
from tests.sb3_ext.zoo.comparison.records import write_run
from tests.sb3_ext.zoo.conftest import Zoo


def test_a_run_of_ours(zoo: Zoo, tmp_path: Path) -> None:
    command = ("--algo", "ppo_numpy", "--env", "CartPole-v1", "-n", "512", "--seed", "7")
    assert zoo(*command, "--verbose", "0", "--final-eval-episodes", "3").code == 0
    (folder,) = find_runs([str(tmp_path)])
    run = read_history(folder)
    assert (run.algo, run.env_id, run.seed, run.name) == (
        "ppo_numpy",
        "CartPole-v1",
        7,
        "ppo_numpy_1",
    )
    assert run.flaw == ""
    assert run.summary["final_mean_return_episodes"] == 3
    assert run.config["n_envs"] == run.summary["n_envs"]
    assert run.evaluations is not None
    assert run.evaluations.returns.shape == run.evaluations.lengths.shape
    assert run.episodes["steps"].iloc[-1] <= run.summary["steps"]
    # A cart's return is its episode's length.
    assert (run.episodes["return"] == run.episodes["length"]).all()
    seconds = run.seconds_at(np.array([0, 256]))
    assert seconds is not None
    assert 0 == seconds[0] < seconds[1] < run.summary["wall_seconds"]


def test_several_monitor_files_of_sb3(tmp_path: Path) -> None:
    for rank in range(2):
        env = Monitor(gym.make("CartPole-v1"), str(tmp_path / str(rank)))
        for _ in range(3):
            env.reset(seed=rank)
            while not any(env.step(env.action_space.sample())[2:4]):
                pass
        env.close()
    episodes, expected = read_episodes(tmp_path), load_results(str(tmp_path))
    assert len(episodes) == 6
    assert episodes["return"].tolist() == expected["r"].tolist()
    assert episodes["steps"].tolist() == expected["l"].cumsum().tolist()
    assert episodes["seconds"].to_numpy() == pytest.approx(expected["t"].to_numpy(), abs=1e-5)


def test_rl_zoos_own_files(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run / "summary.json").unlink()
    (run / "CartPole-v1/config.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n- - - gamma\n    - 0.9\n"
    )
    (run / "CartPole-v1/args.yml").write_text(
        "!!python/object/apply:collections.OrderedDict\n"
        "- - - algo\n    - ppo\n  - - env\n    - CartPole-v1\n  - - seed\n    - 12\n"
    )
    assert "no final model" in read_history(run).flaw
    (run / "CartPole-v1.zip").touch()
    found = read_history(run)
    assert (found.flaw, found.seed, found.config) == ("", 12, {"gamma": 0.9})


@pytest.mark.parametrize("ending", ["30.0,10", "30.0,10,", "3"])
def test_a_line_half_written_is_left_out(tmp_path: Path, ending: str) -> None:
    run = write_run(tmp_path)
    with (run / "monitor.csv").open("a") as file:
        file.write(ending)
    assert len(read_history(run).episodes) == 100


def test_flaws(tmp_path: Path) -> None:
    def flaw(**summary: object) -> str:
        return read_history(write_run(tmp_path, **summary)).flaw  # type: ignore[arg-type]

    assert flaw() == ""
    assert flaw(interrupted=True) == "was interrupted after 1,000 steps"
    assert flaw(error="KeyError: 3") == "failed after 1,000 steps: KeyError: 3"
    assert "diverged" in flaw(final_mean_return=float("nan"))


def test_runs_are_found_below_a_folder_in_order(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "logs") for _ in range(11)]
    assert find_runs([str(tmp_path)]) == runs, "the eleventh comes after the second"
    assert find_runs([str(runs[3]), str(tmp_path / "logs/ppo")]) == [
        runs[3],
        *runs[:3],
        *runs[4:],
    ]


def test_until(tmp_path: Path) -> None:
    run = read_history(write_run(tmp_path)).until(450)
    assert len(run.episodes) == 45
    assert run.evaluations is not None
    assert run.evaluations.steps.tolist() == [200, 400]
    assert run.until(50).evaluations is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("monitor.csv", "no header\n1,2,3\n"),
        ("monitor.csv", '#{"t_start": 0}\na,b\n1,2\n'),
        ("monitor.csv", ""),
        ("evaluations.npz", "PK"),
        ("summary.json", "{"),
        ("summary.json", "[]"),
        ("CartPole-v1/config.yml", "a: [1"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    run = write_run(tmp_path)
    (run / name).write_text(content)
    with pytest.raises(ZooError, match=name.rpartition("/")[2]):
        read_history(run)
