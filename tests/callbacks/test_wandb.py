"""W&B offline: the real package writes real files, nothing leaves the machine."""

import sys

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from callbacks import WandbCallback


def test_offline_it_logs_what_sb3_logs(tmp_path, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    callback = WandbCallback("tests", name="first", config={"seed": 3}, folder=tmp_path)
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=64, device="cpu")
    seen = {}
    monkeypatch.setattr(
        wandb.Run, "log", lambda self, values, step: seen.update({step: dict(values)})
    )
    model.learn(192, callback=callback)
    assert list(seen) == [64, 128, 192]  # an update is logged with the rollout after it
    assert "train/approx_kl" in seen[192]
    assert "rollout/ep_rew_mean" in seen[64]
    assert callback.run is None
    assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))
    assert [type(f).__name__ for f in model.logger.output_formats] == []


def test_without_wandb_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ImportError, match=r"sb3-ext\[wandb\]"):
        WandbCallback("tests")
