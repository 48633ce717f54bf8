import time

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from callbacks import ThroughputCallback


class Sleepy(BaseCallback):
    """Takes its time at every step."""

    def _on_step(self):
        time.sleep(0.002)
        return True

    def _on_rollout_end(self):
        self.logged = dict(self.logger.name_to_value)


def make():
    return PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=64, n_epochs=1, device="cpu")


def test_the_shares_add_up_and_follow_the_time():
    model, throughput, sleepy = make(), ThroughputCallback(), Sleepy()
    model.learn(192, callback=[throughput, sleepy])
    assert sum(throughput.shares.values()) == pytest.approx(1.0)
    assert throughput.shares["acting"] > 0.5  # the sleep is outside of the env
    assert sleepy.logged["throughput/acting"] == throughput.shares["acting"]
    assert 0 < sleepy.logged["throughput/steps_per_second"] < 1 / 0.002


def test_a_slow_env_shows_and_the_env_is_left_as_it_was():
    model, throughput = make(), ThroughputCallback()
    env = model.get_env()
    real = env.step_wait
    env.step_wait = lambda: (time.sleep(0.005), real())[1]
    model.learn(128, callback=throughput)
    assert throughput.shares["env"] > 0.5
    assert "step" not in env.__dict__
