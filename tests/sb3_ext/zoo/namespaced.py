"""A world in a namespace, as Atari's are: ``ALE/Pong-v5``."""

import gymnasium as gym

CARTS = "gymnasium.envs.classic_control.cartpole:CartPoleEnv"
gym.register("carts/Short-v0", CARTS, max_episode_steps=50)
