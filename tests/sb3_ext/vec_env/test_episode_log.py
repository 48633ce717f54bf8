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
from sb3_ext.vec_env.episode_log import Position


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


def test_a_log_goes_on_where_it_was(tmp_path: Path) -> None:
    path = tmp_path / "monitor.csv"
    rng = np.random.default_rng(0)
    log = EpisodeLog(make_vec_env("TargetReach-v0", 2), path)
    log.reset()
    for step in range(300):
        if step == 150:
            position, before = log.position, path.read_bytes()
        log.step(rng.integers(0, 2, size=2))
    log.close()
    assert position is not None
    assert position.size == len(before) < path.stat().st_size
    path.write_bytes(path.read_bytes() + b"1.5,2")  # killed in mid-row

    again = EpisodeLog(make_vec_env("TargetReach-v0", 2))
    assert again.position is None
    again.go_on(path, position)
    assert path.read_bytes() == before
    again.reset()
    for _ in range(150):
        again.step(rng.integers(0, 2, size=2))
    again.close()
    assert path.read_bytes().startswith(before)
    rows = load_results(str(tmp_path))
    assert len(rows) > before.count(b"\n") - 2
    assert (np.diff(rows["t"]) >= 0).all()
    assert rows["t"].max() < position.seconds + 60


@pytest.mark.parametrize("left", [None, b"", b'#{"t_start": 1.0}\nr,l,t\n1.0,5,0.1\n2.0,'])
def test_a_log_that_lost_its_end(tmp_path: Path, left: bytes | None) -> None:
    path = tmp_path / "monitor.csv"
    if left is not None:
        path.write_bytes(left)
    log = EpisodeLog(make_vec_env("TargetReach-v0", 1))
    log.go_on(path, Position(1000, 7.0))
    log.reset()
    while path.read_text().count("\n") < 4:
        log.step(np.zeros(1, int))
    log.close()
    rows = load_results(str(tmp_path))
    assert list(rows["l"][: 1 if left else 0]) == [5] * bool(left)
    assert 7 <= rows["t"].iloc[-1] < 60
