"""PPO's networks in NumPy alone: every layer's gradient is written out beside its formula."""

from sb3_ext.backends.numpy_backend.actor_critic import NumpyActorCritic

__all__ = ["NumpyActorCritic"]
