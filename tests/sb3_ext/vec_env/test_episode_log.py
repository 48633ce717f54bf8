"""One monitor.csv, whatever VecEnv is below."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import load_results
from stable_baselines3.common.vec_env import VecEnv

import envs  # noqa: F401
from sb3_ext.vec_env import EpisodeLog, GymnasiumVecEnv


def played(venv: VecEnv, steps: int) -> list[float]:
    """Steps at random and returns the returns that the infos told."""
    rng = np.random.default_rng(0)
    venv.seed(3)
    venv.reset()
    returns = []
    for _ in range(steps):
        _, _, _, infos = venv.step(rng.integers(0, 2, size=venv.num_envs))
        returns += [info["episode"]["r"] for info in infos if "episode" in info]
    venv.close()
    return returns


@pytest.mark.parametrize("vector", [True, False])
def test_every_episode_is_a_row(tmp_path: Path, vector: bool) -> None:
    if vector:
        base: VecEnv = GymnasiumVecEnv(gym.make_vec("TargetReach-v0", num_envs=3))
    else:
        base = make_vec_env("TargetReach-v0", 3)
    returns = played(EpisodeLog(base, tmp_path / "monitor.csv"), 200)
    rows = load_results(str(tmp_path))
    assert len(returns) > 10
    assert sorted(rows["r"]) == pytest.approx(sorted(returns))
    assert (rows["l"] <= 50).all()


def test_without_a_path_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert played(EpisodeLog(make_vec_env("TargetReach-v0", 1)), 60)
    assert not list(tmp_path.iterdir())
