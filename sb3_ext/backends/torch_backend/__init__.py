"""The Torch backend: stable-baselines3's own policy as the network, torch.optim, autograd."""

from sb3_ext.backends.torch_backend.actor_critic import TorchActorCritic
from sb3_ext.backends.torch_backend.own_network import NetworkPolicy
from sb3_ext.backends.torch_backend.policies import canonical_policy, with_additions

__all__ = ["NetworkPolicy", "TorchActorCritic", "canonical_policy", "with_additions"]
