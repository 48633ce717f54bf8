"""Checkpoints are whole or absent, and have their normalizer beside them."""

import pickle
import subprocess
import sys
import zipfile
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import pytest
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from callbacks import CheckpointCallback, save_atomically
from callbacks.checkpoint import save_model, save_together


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_at_the_end_of_the_rollout_in_which_it_is_due(model: PPO, tmp_path: Path) -> None:
    model.learn(256, callback=CheckpointCallback(100, tmp_path))
    assert names(tmp_path) == {"rl_model_128_steps.zip", "rl_model_256_steps.zip"}
    loaded = PPO.load(tmp_path / "rl_model_128_steps.zip")
    assert loaded.num_timesteps == 128
    assert loaded._n_updates == 2, "what it has seen it has learned from"


def test_the_newest_are_kept(tmp_path: Path) -> None:
    (tmp_path / "rl_model_9000_steps.zip").touch()  # another training's
    (tmp_path / "rl_model_vecnormalize_64_steps.pkl").touch()  # killed before its model came
    env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=1))
    model = PPO("MlpPolicy", env, n_steps=16, batch_size=32, n_epochs=1)
    model.learn(320, callback=CheckpointCallback(32, tmp_path, keep=2))
    assert names(tmp_path) == {
        "rl_model_9000_steps.zip",
        "rl_model_288_steps.zip",
        "rl_model_320_steps.zip",
        "rl_model_vecnormalize_288_steps.pkl",
        "rl_model_vecnormalize_320_steps.pkl",
    }
    with pytest.raises(ValueError, match="keep must be at least 1"):
        CheckpointCallback(32, tmp_path, keep=0)


def test_the_normalizer_belongs_to_the_step(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 2, seed=1))
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1)
    model.learn(384, callback=CheckpointCallback(100, tmp_path))
    counts = []
    for steps in (128, 256, 384):
        with open(tmp_path / f"rl_model_vecnormalize_{steps}_steps.pkl", "rb") as file:
            counts.append(pickle.load(file).obs_rms.count)
    assert np.diff(counts) == pytest.approx(128)


def test_replay_buffer(tmp_path: Path) -> None:
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=200, learning_starts=500)
    model.learn(100, callback=CheckpointCallback(50, tmp_path, save_replay_buffer=True))
    model.load_replay_buffer(tmp_path / "rl_model_replay_buffer_100_steps.pkl")
    assert model.replay_buffer is not None
    assert model.replay_buffer.pos == 100


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


def test_files_that_belong_together_change_together(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    save_together({first: b"old", second: b"old"})

    def fail(file: BufferedIOBase) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        save_together({first: b"new", second: fail})
    assert caught.value.filename == str(second)
    assert first.read_bytes() == second.read_bytes() == b"old"
    assert names(tmp_path) == {"first", "second"}


FULL_DISK = """
import resource, sys
from pathlib import Path
from stable_baselines3 import PPO
from callbacks import CheckpointCallback

class Fuller(CheckpointCallback):
    def _on_rollout_start(self):
        super()._on_rollout_start()
        if self._saved:  # from now on no file may be larger than half of the one just written
            size = (self.folder / "rl_model_64_steps.zip").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, size // 2))

model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, n_epochs=1, seed=1)
try:
    model.learn(256, callback=Fuller(64, sys.argv[1], keep=1))
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file sizes are limited by POSIX means")
def test_a_write_that_the_system_refuses_keeps_the_old_checkpoint(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout == f"[Errno 27] File too large: '{tmp_path / 'rl_model_128_steps.zip'}'\n"
    assert names(tmp_path) == {"rl_model_64_steps.zip"}
    assert PPO.load(tmp_path / "rl_model_64_steps.zip").num_timesteps == 64


def test_a_models_zip_may_hold_more(model: PPO, tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    save_model(model, path, tmp_path / "none.pkl", members={"state.pkl": b"what for"})
    assert names(tmp_path) == {"a.zip"}, "without a normalizer none is saved"
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert archive.read("state.pkl") == b"what for"
    assert PPO.load(path).observation_space == model.observation_space
