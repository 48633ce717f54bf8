"""bfloat16: the same PPO with coarser products, and nothing but torch takes it."""

import gymnasium as gym
import numpy as np
import pytest
import torch

import envs  # noqa: F401
from sb3_ext import PPO, NumpyPPO, TorchPPO
from sb3_ext.vec_env import GymnasiumVecEnv


def make(cls=TorchPPO, **kwargs):
    env = GymnasiumVecEnv(gym.make_vec("TargetReach-v0", num_envs=8))
    return cls("MlpPolicy", env, n_steps=64, batch_size=128, n_epochs=2, seed=3, **kwargs)


def test_it_is_near_float32_and_not_equal():
    fine, coarse = make(), make(extensions={"bf16": True})
    obs = fine.env.reset()
    np.testing.assert_allclose(
        coarse.actor_critic.values(obs), fine.actor_critic.values(obs), atol=0.05
    )
    for model in (fine, coarse):
        model.learn(512)
    for name, value in fine.actor_critic.parameters().items():
        found = coarse.actor_critic.parameters()[name]
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, value, atol=0.02)
    assert any(
        (coarse.actor_critic.parameters()[name] != value).any()
        for name, value in fine.actor_critic.parameters().items()
    )


def test_its_products_are_bfloat16_and_its_distribution_is_not():
    model = make(extensions={"bf16": True})
    seen = []
    hook = model.policy.action_net.register_forward_hook(lambda *args: seen.append(args[2].dtype))
    outputs = model.actor_critic.infer(torch.zeros(2, 1), actor_only=False)
    hook.remove()
    assert seen == [torch.bfloat16]
    assert outputs.actions.dtype == outputs.values.dtype == torch.float32


def test_only_torch_takes_it():
    assert make(PPO, extensions={"bf16": True}).actor_critic.name == "torch"
    with pytest.raises(ValueError, match="bf16=True is not available without torch"):
        make(NumpyPPO, extensions={"bf16": True})
