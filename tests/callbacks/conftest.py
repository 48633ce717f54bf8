"""A small agent to call back from."""

import pytest
from stable_baselines3 import PPO


@pytest.fixture
def model() -> PPO:
    return PPO("MlpPolicy", "CartPole-v1", n_steps=64, batch_size=64, n_epochs=1, seed=1)
