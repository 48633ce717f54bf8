"""Periodic evaluation keeps the best model and tells its own time."""

from pathlib import Path

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import VecNormalize

from callbacks import EvaluationCallback


def test_evaluations_and_best_model(model: PPO, tmp_path: Path) -> None:
    env = make_vec_env("CartPole-v1", 1, seed=9)
    callback = EvaluationCallback(env, tmp_path, every=200, n_episodes=3)
    model.learn(640, callback=callback)
    with np.load(tmp_path / "evaluations.npz") as file:
        assert list(file["timesteps"]) == [200, 400, 600]
        assert file["results"].shape == (3, 3)
        best = file["results"].mean(axis=1).max()
    assert callback.best_mean_reward == best
    assert 0 < callback.seconds < 60
    mean, _ = evaluate_policy(PPO.load(tmp_path / "best_model.zip"), env, 3)
    assert mean > 0


def test_the_best_model_has_its_normalizer(tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("CartPole-v1", 1))
    judge = VecNormalize(make_vec_env("CartPole-v1", 1), training=False, norm_reward=False)
    model = PPO("MlpPolicy", env, n_steps=64, batch_size=64, n_epochs=1)
    model.learn(128, callback=EvaluationCallback(judge, tmp_path, every=64, n_episodes=1))
    saved = VecNormalize.load(
        str(tmp_path / "best_model_vecnormalize.pkl"), make_vec_env("CartPole-v1", 1)
    )
    assert saved.obs_rms.count > 1
