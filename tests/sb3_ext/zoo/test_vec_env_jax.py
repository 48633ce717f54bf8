"""``--vec-env jax``: the same logs and files; what it can't serve is refused by name."""

import json

import numpy as np
import pytest

AIM = ("--env", "SimpleAim-v0", "--seed", "1", "-n", "4096", "--vec-env", "jax")


def test_it_leaves_the_files_that_every_run_leaves(zoo, tmp_path):
    result = zoo(*AIM, "--algo", "ppo_jax", "--eval-freq", "2048", "--final-eval-episodes", "4")
    assert result.code == 0, result.err
    folder = tmp_path / "logs/ppo_jax/SimpleAim-v0_1"
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["vec_env"] == "jax"
    assert summary["steps"] == 4096
    assert len((folder / "monitor.csv").read_text().splitlines()) > 2
    assert np.load(folder / "evaluations.npz")["timesteps"].tolist() == [2048, 4096]
    names = {path.name for path in folder.iterdir()}
    assert {"SimpleAim-v0.zip", "best_model.zip", "curve.png"} <= names
    assert zoo("enjoy", "--algo", "ppo_jax", *AIM[:2], "--no-render").code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--algo", "ppo_numpy"), "it is ppo_jax's alone"),
        (("--algo", "sac"), "it is ppo_jax's alone"),
        (("--algo", "ppo_jax", "-params", "normalize:True"), "'normalize' stands between"),
        (("--algo", "ppo_jax", "-params", "frame_stack:2"), "'frame_stack' stands between"),
        (("--algo", "ppo_jax", "--env", "Pendulum-v1"), "has no vector form"),
        (("--algo", "ppo_jax", "--env", "CartPole-v1"), "no functional definition"),
    ],
)
def test_what_it_cannot_serve_is_one_line(zoo, tmp_path, arguments, said):
    result = zoo(*AIM, *arguments)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert not (tmp_path / "logs").exists()
