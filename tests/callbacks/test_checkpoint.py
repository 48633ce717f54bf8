"""Checkpoints are whole or absent, and have their normalizer beside them."""

import pickle
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from callbacks import CheckpointCallback, save_atomically


def test_every_so_many_steps(model: PPO, tmp_path: Path) -> None:
    model.learn(256, callback=CheckpointCallback(100, tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {
        "rl_model_100_steps.zip",
        "rl_model_200_steps.zip",
    }
    loaded = PPO.load(tmp_path / "rl_model_200_steps.zip")
    assert loaded.num_timesteps == 200


def test_the_normalizer_belongs_to_the_step(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=1))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1)
    model.learn(256, callback=CheckpointCallback(100, tmp_path))
    counts = []
    for path in sorted(tmp_path.glob("rl_model_vecnormalize_*_steps.pkl")):
        with open(path, "rb") as file:
            counts.append(pickle.load(file).obs_rms.count)
    assert np.diff(counts) == pytest.approx(100)


def test_replay_buffer(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=200, learning_starts=500)
    model.learn(100, callback=CheckpointCallback(50, tmp_path, save_replay_buffer=True))
    model.load_replay_buffer(tmp_path / "rl_model_replay_buffer_100_steps.pkl")
    assert model.replay_buffer is not None
    assert model.replay_buffer.pos in (99, 100)


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    save_atomically(path, lambda file: file.write(b"old"))

    def fail(file: BufferedIOBase) -> None:
        file.write(b"half of the n")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        save_atomically(path, fail)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
