"""PPO's networks in NumPy alone: every layer's gradient is written out beside its formula."""

from sb3_ext.backends.numpy_backend.activations import ACTIVATIONS
from sb3_ext.backends.numpy_backend.actor_critic import NumpyActorCritic
from sb3_ext.backends.numpy_backend.layers import Conv2d, Linear, Tower
from sb3_ext.backends.numpy_backend.module import Module

__all__ = ["ACTIVATIONS", "Conv2d", "Linear", "Module", "NumpyActorCritic", "Tower"]
