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


def evaluations(folder: Path) -> dict[str, np.ndarray]:
    with np.load(folder / "evaluations.npz") as file:
        return dict(file)


def test_a_seeded_evaluation_depends_on_its_number_alone(model: PPO, tmp_path: Path) -> None:
    found = []
    for played in (0, 7):
        env = make_vec_env("CartPole-v1", 1)
        env.seed(played)
        for _ in range(played):
            env.reset()
        model.learn(128, callback=EvaluationCallback(env, tmp_path, every=64, seed=5))
        model = PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, n_epochs=1, seed=1)
        found.append(evaluations(tmp_path)["results"])
    np.testing.assert_array_equal(*found)
    assert {path.name for path in tmp_path.iterdir()} == {"evaluations.npz", "best_model.zip"}


def test_it_goes_on_from_a_snapshot(model: PPO, tmp_path: Path) -> None:
    def callback() -> EvaluationCallback:
        return EvaluationCallback(make_vec_env("CartPole-v1", 1), tmp_path, every=70, seed=5)

    first = callback()
    model.learn(192, callback=first)
    snapshot, file = first.snapshot(), evaluations(tmp_path)
    model.learn(128, callback=first, reset_num_timesteps=False)
    assert len(evaluations(tmp_path)["timesteps"]) > len(file["timesteps"]) == 2

    again = callback()
    again.restore(snapshot)
    assert evaluations(tmp_path).keys() == file.keys()
    for name, value in evaluations(tmp_path).items():
        np.testing.assert_array_equal(value, file[name])
    assert again.snapshot() == snapshot
    assert again.best_mean_reward == file["results"].mean(axis=1).max()

    again.restore(callback().snapshot())
    assert not (tmp_path / "evaluations.npz").exists(), "before the first there was none"
