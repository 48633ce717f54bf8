"""Numbers from the last infos of episodes, in the logs of a real training."""

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

from callbacks import BeforeUpdateCallback, ResultsCallback


class Numbered(gym.Env):
    """Episodes of four steps; the k-th ends with numbers of k."""

    observation_space = gym.spaces.Box(0, 1, (1,))
    action_space = gym.spaces.Discrete(2)

    def __init__(self):
        self.episode, self.age, self.told = -1, 0, []

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.age = self.episode + 1, 0
        return np.zeros(1, np.float32), {}

    def step(self, action):
        self.age += 1
        info = {
            "accuracy": float(self.episode),
            "judgements": {"max": 2 * self.episode, "miss": np.int64(self.age)},
            "map": "a text",
        }
        return np.zeros(1, np.float32), 0.0, self.age == 4, False, info

    def before_update(self):
        self.told.append((self.episode, self.age))


class Seen(BaseCallback):
    """What is in the logger when a rollout is over."""

    def __init__(self):
        super().__init__()
        self.logs = []

    def _on_rollout_end(self):
        self.logs.append(dict(self.logger.name_to_value))

    def _on_step(self):
        return True


def test_means_of_a_rollouts_episodes():
    env, seen = Numbered(), Seen()
    model = PPO("MlpPolicy", Monitor(env), n_steps=10, batch_size=10, n_epochs=1)
    names = ["accuracy", "judgements", "map", "nothing"]
    model.learn(20, callback=[ResultsCallback(names), BeforeUpdateCallback(), seen])
    first, second = seen.logs
    assert first["results/accuracy"] == np.mean([0, 1])  # episodes 0 and 1 ended in ten steps
    assert first["results/judgements/max"] == np.mean([0, 2])
    assert first["results/judgements/miss"] == 4
    assert second["results/accuracy"] == np.mean([2, 3, 4])
    assert not any("map" in name or "nothing" in name for name in first)
    assert env.told == [(2, 2), (5, 0)]  # once per rollout, before its update


def test_worlds_that_do_not_ask_are_not_told():
    model = PPO("MlpPolicy", "CartPole-v1", n_steps=8, batch_size=8, n_epochs=1)
    model.learn(8, callback=BeforeUpdateCallback())


def test_a_text_is_no_list_of_names():
    with pytest.raises(TypeError, match="list of keys"):
        ResultsCallback("accuracy")
