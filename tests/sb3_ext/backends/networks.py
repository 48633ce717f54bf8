"""Networks, minibatches and their stable-baselines3 twins, for the tests of the backends."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.policies import (
    ActorCriticCnnPolicy,
    ActorCriticPolicy,
    MultiInputActorCriticPolicy,
)

from sb3_ext.backends.parameters import aliases
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.losses import Coefficients

BOX = spaces.Box(-2, 2, (3,), np.float32)
ACTION_BOX = spaces.Box(-1, 1, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (2, 36, 36), np.uint8)
DICT = spaces.Dict({"camera": IMAGE, "speed": BOX, "gear": spaces.Discrete(3)})


@dataclass(frozen=True)
class Case:
    """A network of ours and how SB3 is told to build the same."""

    spec: NetworkSpec
    sb3_class: Any = ActorCriticPolicy
    sb3_kwargs: dict[str, Any] = field(default_factory=dict)  # None: SB3 has no such network

    def sb3_policy(self, parameters):
        """SB3's policy with these parameters."""
        spec = self.spec
        policy = self.sb3_class(
            spec.observation_space,
            spec.action_space,
            lambda _: 3e-4,
            net_arch={"pi": list(spec.pi), "vf": list(spec.vf)},
            **self.sb3_kwargs,
        )
        state = {name: torch.as_tensor(value.copy()) for name, value in parameters.items()}
        state |= {alias: state[name] for alias, name in aliases(spec).items()}
        policy.load_state_dict(state)
        return policy


SMALL = {"pi": (8, 6), "vf": (8, 6)}
CASES = {
    "gaussian": Case(NetworkSpec(BOX, ACTION_BOX, **SMALL)),
    "categorical": Case(NetworkSpec(BOX, spaces.Discrete(3), **SMALL)),
    "multi-categorical": Case(NetworkSpec(BOX, spaces.MultiDiscrete([2, 3]), **SMALL)),
    "bernoulli": Case(NetworkSpec(BOX, spaces.MultiBinary(3), **SMALL)),
    "towers of their own": Case(NetworkSpec(BOX, ACTION_BOX, pi=(5,), vf=(8, 4))),
    "linear": Case(NetworkSpec(BOX, ACTION_BOX, pi=(), vf=())),
    "no critic layers": Case(NetworkSpec(BOX, ACTION_BOX, pi=(4,), vf=())),
    "discrete observation": Case(NetworkSpec(spaces.Discrete(4), ACTION_BOX, **SMALL)),
    "multi-discrete observation": Case(
        NetworkSpec(spaces.MultiDiscrete([2, 4]), ACTION_BOX, **SMALL)
    ),
    "gsde": Case(
        NetworkSpec(BOX, ACTION_BOX, use_sde=True, log_std_init=-1.0, **SMALL),
        sb3_kwargs={"use_sde": True},
    ),
    "gsde, expln, few stds": Case(
        NetworkSpec(BOX, ACTION_BOX, use_sde=True, full_std=False, use_expln=True, **SMALL),
        sb3_kwargs={"use_sde": True, "full_std": False, "use_expln": True},
    ),
    "gsde, expln": Case(
        NetworkSpec(BOX, ACTION_BOX, use_sde=True, use_expln=True, **SMALL),
        sb3_kwargs={"use_sde": True, "use_expln": True},
    ),
    "gsde, squashed": Case(
        NetworkSpec(BOX, ACTION_BOX, use_sde=True, squash_output=True, **SMALL),
        sb3_kwargs={"use_sde": True, "squash_output": True},
    ),
    "cnn": Case(
        NetworkSpec(IMAGE, spaces.Discrete(3), extractor="nature_cnn", cnn_features=5, **SMALL),
        ActorCriticCnnPolicy,
        {"features_extractor_kwargs": {"features_dim": 5}},
    ),
    "cnn without layers, not shared": Case(
        NetworkSpec(
            IMAGE,
            ACTION_BOX,
            extractor="nature_cnn",
            cnn_features=5,
            pi=(),
            vf=(),
            share_features_extractor=False,
        ),
        ActorCriticCnnPolicy,
        {"features_extractor_kwargs": {"features_dim": 5}, "share_features_extractor": False},
    ),
    "cnn, not shared": Case(
        NetworkSpec(
            IMAGE,
            ACTION_BOX,
            extractor="nature_cnn",
            cnn_features=5,
            share_features_extractor=False,
            **SMALL,
        ),
        ActorCriticCnnPolicy,
        {"features_extractor_kwargs": {"features_dim": 5}, "share_features_extractor": False},
    ),
    "dict": Case(
        NetworkSpec(DICT, spaces.Discrete(3), extractor="combined", cnn_features=5, **SMALL),
        MultiInputActorCriticPolicy,
        {"features_extractor_kwargs": {"cnn_output_dim": 5}},
    ),
}
OURS = {
    "tanh mean": NetworkSpec(BOX, ACTION_BOX, mean="tanh", **SMALL),
    "fixed std": NetworkSpec(BOX, ACTION_BOX, std="fixed", log_std_init=-0.5, **SMALL),
    "state std": NetworkSpec(BOX, ACTION_BOX, std="state", std_range=(0.1, 1.0), **SMALL),
    "state std, tanh mean": NetworkSpec(BOX, ACTION_BOX, std="state", mean="tanh", **SMALL),
}
ACTIVATION_NAMES = ("tanh", "relu", "leaky_relu", "elu", "sigmoid", "silu", "softplus", "identity")
COEFS = {
    "plain": Coefficients(0.2),
    "all": Coefficients(0.2, 0.3, 0.01, 0.7),
}


def sb3_loss(policy, batch, coefs):
    """SB3's loss, as its ``PPO.train`` computes it, and its terms."""
    obs = batch.obs
    tensors = (
        {k: torch.as_tensor(v) for k, v in obs.items()}
        if isinstance(obs, dict)
        else torch.as_tensor(obs)
    )
    actions = torch.as_tensor(batch.actions)
    if actions.dtype == torch.int8:
        actions = actions.float()
    values, log_prob, entropy = policy.evaluate_actions(tensors, actions)
    values = values.flatten()
    old_log_prob, old_values, advantages, returns = map(torch.as_tensor, batch[2:])
    ratio = torch.exp(log_prob - old_log_prob)
    clipped = torch.clamp(ratio, 1 - coefs.clip_range, 1 + coefs.clip_range)
    policy_loss = -torch.min(advantages * ratio, advantages * clipped).mean()
    if coefs.clip_range_vf is not None:
        change = torch.clamp(values - old_values, -coefs.clip_range_vf, coefs.clip_range_vf)
        values = old_values + change
    value_loss = torch.nn.functional.mse_loss(returns, values)
    entropy_loss = -torch.mean(-log_prob if entropy is None else entropy)
    loss = policy_loss + coefs.ent_coef * entropy_loss + coefs.vf_coef * value_loss
    return loss, (policy_loss.item(), value_loss.item(), entropy_loss.item())
