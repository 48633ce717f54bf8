"""Vector environments in stable-baselines3's form."""

from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.vec_env.gymnasium import GymnasiumVecEnv
from sb3_ext.vec_env.jax_world import JaxWorldVecEnv

__all__ = ["EpisodeLog", "GymnasiumVecEnv", "JaxWorldVecEnv"]
