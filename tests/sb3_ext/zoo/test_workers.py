"""``--vec-env shm``, ``--workers`` and what ``--vec-env auto`` makes of a world's cost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from sb3_ext.zoo import step_cost
from sb3_ext.zoo.one_env import OneEnv
from sb3_ext.zoo.registry import find_env
from tests.sb3_ext.zoo.conftest import Zoo
from tests.sb3_ext.zoo.slow_world import Slow

SLOW = ("--gym-packages", "tests.sb3_ext.zoo.slow_world", "--env", "Slow-v0", "--seed", "1")
TINY = ("--algo", "ppo_numpy", "--eval-freq", "-1", "--final-eval-episodes", "2", "-tb", "")
ROWS = ("-params", "n_envs:4", "n_steps:32", "batch_size:64", "n_epochs:1")


def summary(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "summary.json").read_text())


def test_auto_measures_and_says_why(zoo: Zoo, tmp_path: Path, monkeypatch: Any) -> None:
    """Many slow steps go into workers, few of them don't; a run that goes on keeps its form."""
    monkeypatch.setattr(step_cost, "WORTH", 0.1)
    monkeypatch.setattr("sb3_ext.zoo.preparation.n_cores", lambda: 2)
    result = zoo(*SLOW, *TINY, "-n", "256", *ROWS)
    assert result.code == 0, result.err
    assert "rows: shm (Slow-v0 has no vector form; a step takes 2." in result.out
    run = tmp_path / "logs/ppo_numpy/Slow-v0_1"
    assert summary(run)["vec_env"] == "shm"
    assert yaml.safe_load((run / "Slow-v0/args.yml").read_text())["vec_env"] == "shm"
    monkeypatch.setattr(step_cost, "WORTH", 1e9)
    result = zoo("--resume", run, "-n", "384", "--workers", "1")
    assert result.code == 0, result.err
    assert summary(run)["vec_env"] == "shm"
    assert summary(run)["steps"] == 384
    result = zoo(*SLOW, *TINY, "-n", "128", *ROWS)
    assert "rows: dummy (Slow-v0 has no vector form; a step takes 2." in result.out
    assert "would save 0.1 s of this run" in result.out
    assert (
        "rows: dummy (Slow-v0 has no vector form)"
        in zoo(*SLOW, *TINY, "-n", "128", *ROWS, "--workers", "0").out
    )


@pytest.mark.parametrize(
    ("kwargs", "n_envs", "n_timesteps", "n_cores", "form", "reason"),
    [
        ({"seconds": 0.001}, 8, 10**6, 2, "shm", "so workers on 2 cores save up to"),
        ({"seconds": 0.0}, 8, 10**9, 2, "dummy", "less than its way to a worker and back"),
        ({"seconds": 0.001}, 8, 1000, 2, "dummy", "s of this run at most"),
        ({"seconds": 0.001}, 1, 10**6, 2, "dummy", "one row gains nothing"),
        ({"seconds": 0.001}, 8, 10**6, 1, "dummy", "one core gains nothing"),
        ({"no": "such"}, 8, 10**6, 2, "dummy", "couldn't be timed"),
    ],
)
def test_what_is_worth_workers(
    kwargs: dict[str, Any], n_envs: int, n_timesteps: int, n_cores: int, form: str, reason: str
) -> None:
    assert Slow  # registers it
    single = OneEnv(find_env("Slow-v0"), kwargs)
    chosen = step_cost.choose_workers(single, n_envs, n_timesteps, n_cores)
    assert chosen.name == form
    assert reason in chosen.reason


def test_auto_measures_vector_forms_too(zoo: Zoo, tmp_path: Path, monkeypatch: Any) -> None:
    """Both ways where it might pay; parts of the vector form are the rows of the workers."""
    monkeypatch.setattr(step_cost, "WORTH", 0.1)
    for module in ("preparation", "make_env"):
        monkeypatch.setattr(f"sb3_ext.zoo.{module}.n_cores", lambda: 2)
    command = (*SLOW[:2], "--env", "SlowRows-v0", *TINY, "-n", "256", *ROWS)
    endless = ("--final-eval-episodes", "0")  # its episodes have no end
    result = zoo(*command, *endless, "--env-kwargs", "seconds:0.001")
    assert result.code == 0, result.err
    assert "rows: shm (SlowRows-v0 has a vector form; a step of all rows takes 4." in result.out
    assert summary(tmp_path / "logs/ppo_numpy/SlowRows-v0_1")["vec_env"] == "shm"
    monkeypatch.setattr(step_cost, "FASTER", 1e9)
    result = zoo(*command, *endless, "--env-kwargs", "seconds:0.001")
    assert "rows: vector (SlowRows-v0 has a vector form; a step of all rows takes" in result.out
    monkeypatch.setattr(step_cost, "WORTH", 1e9)
    result = zoo(*command, *endless)
    assert "rows: vector (SlowRows-v0 has a vector form)" in result.out
    for form in ("dummy", "subproc"):
        result = zoo(*command, "--vec-env", form)
        assert (result.code, result.err.count("\n")) == (2, 1)
        assert f"--vec-env {form}: SlowRows-v0 has no single form" in result.err


def test_matches_in_workers(zoo: Zoo, tmp_path: Path) -> None:
    """n_envs counts matches, whatever the number of workers; an uneven number of them, too."""
    command = ("--algo", "ppo_numpy", "--env", "MusicalChairs-v0", "--seed", "3", *TINY[2:])
    entry = ("-params", "n_envs:5", "n_steps:16", "batch_size:20", "n_epochs:1", "normalize:True")
    everybody = ("--env-kwargs", "players:(2,4)")
    for form in (("vector",), ("shm", "--workers", "2"), ("shm", "--workers", "3")):
        result = zoo(*command, "-n", "900", *entry, *everybody, "--vec-env", *form)
        assert result.code == 0, result.err
    runs = [tmp_path / f"logs/ppo_numpy/MusicalChairs-v0_{n}" for n in (1, 2, 3)]
    told = [summary(run) for run in runs]
    assert {one["n_envs"] for one in told} == {5}
    assert len({one["parameters_sha256"] for one in told}) == 1
    assert 900 <= told[0]["steps"] < 900 + 16 * 20
    assert told[0]["steps"] % 20  # empty rows don't count
    assert np.isfinite(told[0]["final_mean_return"])
    # Going on with other parts of the matches is another training, and says so.
    result = zoo("--resume", runs[1], "-n", "1500", "--workers", "3")
    assert result.code == 0, result.err
    (resumed,) = summary(runs[1])["resumed"]
    wanted = "these are the episodes of 2 envs, here are 3: it begins with fresh ones"
    assert resumed["inexact"][-1] == wanted
    result = zoo(*command[2:], "--algo", "a2c", "-n", "900", *everybody)
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert "rows of this env may be inactive" in result.err
    assert not (tmp_path / "logs/a2c").exists()


def test_workers_build_what_one_process_builds(zoo: Zoo, tmp_path: Path) -> None:
    """Wrappers, what monitor.csv counts beneath them, normalizer and agent."""
    entry = (
        "normalize:True",
        "env_wrapper:['tests.sb3_ext.zoo.slow_world.Doubles',"
        "{'gymnasium.wrappers.FrameStackObservation':{'stack_size':2}}]",
        "monitor_kwargs:dict(info_keywords=('kind',))",
    )
    command = (*SLOW, *TINY, "-n", "512", *ROWS, *entry, "--env-kwargs", "seconds:0.0")
    for form in (("dummy",), ("shm", "--workers", "3"), ("shm", "--n-eval-envs", "2")):
        result = zoo(*command, "--vec-env", *form)
        assert result.code == 0, result.err
    runs = [tmp_path / f"logs/ppo_numpy/Slow-v0_{n}" for n in (1, 2, 3)]
    logs = [pd.read_csv(run / "monitor.csv", skiprows=1) for run in runs]
    assert list(logs[0].columns) == ["r", "l", "t", "kind"]
    assert logs[0]["r"].max() <= 20 and set(logs[0]["kind"]) == {20 % 3}
    for log in logs[1:]:
        np.testing.assert_array_equal(log.drop(columns="t"), logs[0].drop(columns="t"))
    hashes = {summary(run)["parameters_sha256"] for run in runs}
    assert len(hashes) == 1


def test_resume_with_workers_is_exact(zoo: Zoo, tmp_path: Path) -> None:
    command = ("--algo", "ppo_numpy", "--env", "TargetReach-v0", "--seed", "1", *TINY[2:], *ROWS)
    whole = (*command, "--vec-env", "shm", "--workers", "2", "--save-freq", "128")
    assert zoo(*whole, "-n", "512").code == 0
    assert zoo(*whole, "-n", "512").code == 0
    first, again = (tmp_path / f"logs/ppo_numpy/TargetReach-v0_{n}" for n in (1, 2))
    assert yaml.safe_load((again / "TargetReach-v0/args.yml").read_text())["workers"] == 2
    result = zoo("--resume", again / "rl_model_256_steps.zip")
    assert result.code == 0, result.err
    told = summary(again)
    assert told["resumed"] == [{"steps": 256, "inexact": []}]
    assert told["parameters_sha256"] == summary(first)["parameters_sha256"]


def test_acting_on_whoever_is_ready(zoo: Zoo, tmp_path: Path) -> None:
    entry = ("normalize:True", "extensions:dict(min_inference_size=2)")
    command = (*SLOW, *TINY, "-n", "512", *ROWS, *entry, "--env-kwargs", "seconds:0.001")
    result = zoo(*command, "--vec-env", "shm", "--workers", "4")
    assert result.code == 0, result.err
    run = tmp_path / "logs/ppo_numpy/Slow-v0_1"
    assert summary(run)["steps"] == 512
    episodes = pd.read_csv(run / "monitor.csv", skiprows=1)
    assert set(episodes["l"]) == {20}
    assert 512 // 20 - 4 <= len(episodes) <= 512 // 20
    assert zoo("--resume", run, "-n", "640").code == 0
    assert "who is ready first depends on the time" in str(summary(run)["resumed"])
    result = zoo(*command, "--vec-env", "dummy")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "min_inference_size: the rows of a DummyVecEnv step together" in result.err
