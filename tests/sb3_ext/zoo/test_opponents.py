"""Agents that play against each other are judged against somebody who doesn't learn."""

import json
import sys

import numpy as np
import pytest

pytest.importorskip("rlgym.rocket_league.sim", reason="Rocket League isn't installed")

# Short matches of few rows.
SMALL = ["--env-kwargs", "seconds:0.6", "actions:'ground'", "-params", "n_envs:2", "n_steps:8"]
SMALL += ["batch_size:32", "n_epochs:1", "policy_kwargs:dict(net_arch=[8])"]
QUICK = ["--eval-freq", "32", "--eval-episodes", "2", "--final-eval-episodes", "2", "-tb", ""]
PPO = ["--algo", "ppo_numpy", "--env", "RocketLeague-v0", "--seed", "1"]


def test_a_run_is_judged_against_random_actions_or_whom_one_names(zoo, tmp_path):
    result = zoo(*PPO, "-n", "64", *SMALL, *QUICK)
    assert result.code == 0, result.err
    run = tmp_path / "logs/ppo_numpy/RocketLeague-v0_1"
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["steps"], summary["vec_env"]) == (64, "vector")
    evaluations = np.load(run / "evaluations.npz")
    # A row of each match: orange's returns aren't among them.
    assert evaluations["results"].shape == (2, 2)
    assert (run / "best_model.zip").is_file()

    play = ["enjoy", *PPO, "--no-render", "-n", "30"]
    episodes = {}
    for opponent in ("random", "itself", "ppo_numpy/RocketLeague-v0_1", run / "best_model.zip"):
        result = zoo(*play, "--opponent", opponent)
        assert result.code == 0, result.err
        episodes[opponent] = result.out.count("\nepisode")
    # Without an opponent both rows are the agent's.
    assert list(episodes.values()) == [3, 6, 3, 3]

    result = zoo("record", *PPO, "-n", "3", "-o", "match.gif")
    assert result.code == 0, result.err
    assert "3 frames" in result.out

    result = zoo(*PPO, "-n", "32", *SMALL, *QUICK, "--opponent", "ppo_numpy/RocketLeague-v0_1")
    assert result.code == 0, result.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--env", "SimpleAim-v0", "--opponent", "random"], "don't play against each other"),
        (["--env", "RocketLeague-v0", "--opponent", "nobody"], "--opponent: there is no run"),
        (["--env", "RocketLeague-v0", "--vec-env", "dummy"], "has no single form"),
        (["--env", "RocketLeague-v0", "--env-kwargs", "team_size:9"], "team_size must be 1 to 4"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(zoo, arguments, told):
    result = zoo("--algo", "ppo_numpy", "-n", "64", *arguments)
    assert result.code == 2
    assert told in result.err
    assert result.err.count("\n") == 1


def test_a_world_that_is_not_installed_says_how_to(zoo, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("envs.rocket_league")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rlgym", None)
    line = "pip install --no-deps rlgym-api rlgym-rocket-league rocketsim"
    result = zoo("--algo", "ppo_numpy", "--env", "RocketLeague-v0", "-n", "64")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert result.err.endswith(f"{line}\n")
    result = zoo("list")
    assert result.code == 0
    assert line in result.out
    assert "SimpleAim-v0" in result.out
