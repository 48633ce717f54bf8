import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from callbacks import EvaluationCallback, SolvedCallback


class Returns(BaseCallback):
    """Keeps all episodes' returns."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def _on_step(self):
        self.seen += [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
        return True


def make():
    return PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=256, seed=0, device="cpu")


def test_it_stops_when_the_last_episodes_reach_the_score():
    solved, returns = SolvedCallback(30.0, episodes=10), Returns()
    model = make().learn(20_000, callback=[returns, solved])
    assert solved.solved_at == model.num_timesteps < 20_000
    means = [np.mean(returns.seen[k - 10 : k]) for k in range(10, len(returns.seen) + 1)]
    assert means[-1] >= 30.0
    assert max(means[:-1]) < 30.0


def test_too_few_episodes_do_not_count():
    solved = SolvedCallback(0.0, episodes=1000)
    assert make().learn(512, callback=solved).num_timesteps == 512
    assert solved.solved_at is None


def test_it_can_judge_by_the_evaluation(tmp_path):
    evaluation = EvaluationCallback(make_vec_env("CartPole-v1"), tmp_path, every=512, n_episodes=3)
    solved = SolvedCallback(60.0, evaluation=evaluation)
    model = make().learn(20_000, callback=[evaluation, solved])
    assert evaluation.last_mean_reward >= 60.0
    assert solved.solved_at == model.num_timesteps < 20_000


def test_bad_arguments():
    with pytest.raises(ValueError, match="episodes"):
        SolvedCallback(1.0, episodes=0)
