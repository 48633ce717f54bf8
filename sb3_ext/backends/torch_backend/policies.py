"""stable-baselines3's policies as the Torch backend's networks, and what we add to them."""

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common import policies as sb3
from stable_baselines3.common.distributions import Distribution

from sb3_ext.backends.autograd import Outputs, action_params
from sb3_ext.backends.sb3_format import sb3_policy_kwargs
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.xp import namespace

__all__ = [
    "canonical_policy",
    "from_start",
    "from_zero",
    "is_ours",
    "torch_optimizer",
    "with_additions",
]


class _FromZero(sb3.BasePolicy):
    """Observations counted from 0, as SB3's one-hot vectors are; stands behind SB3's policies."""

    def extract_features(self, obs: Any, features_extractor: Any) -> Any:
        return super().extract_features(from_zero(self.observation_space, obs), features_extractor)


class _Additions(sb3.ActorCriticPolicy, _FromZero):
    """SB3's policy with our ways to a Gaussian, and discrete spaces that don't start at 0.

    Args:
        spec: Says which; everything else is SB3's.
    """

    spec: NetworkSpec
    mlp_extractor: Any

    def __init__(self, *args: Any, spec: NetworkSpec, **kwargs: Any) -> None:
        object.__setattr__(self, "spec", spec)  # before torch's Module is ready
        super().__init__(*args, **kwargs)

    def _build(self, lr_schedule: Any) -> None:
        super()._build(lr_schedule)
        if self.spec.std == "state":
            del self.log_std
            latent = self.mlp_extractor.latent_dim_pi
            self.action_net = torch.nn.Linear(latent, self.spec.n_action_outputs)
            make: Any = self.optimizer_class
            self.optimizer = make(self.parameters(), lr=lr_schedule(1), **self.optimizer_kwargs)

    def _get_action_dist_from_latent(self, latent_pi: torch.Tensor) -> Distribution:
        if self.spec.std != "state" and self.spec.mean == "linear":
            return super()._get_action_dist_from_latent(latent_pi)
        log_std = getattr(self, "log_std", None)
        outputs = Outputs(self.action_net(latent_pi), latent_pi, None, log_std)
        return self.action_dist.proba_distribution(
            *action_params(namespace("torch"), self.spec, outputs)
        )

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        return from_start(self.action_space, super()._predict(observation, deterministic))


class _CnnAdditions(_Additions, sb3.ActorCriticCnnPolicy):
    pass


class _MultiInputAdditions(_Additions, sb3.MultiInputActorCriticPolicy):
    pass


_WITH_ADDITIONS: dict[type, type[_Additions]] = {
    sb3.ActorCriticPolicy: _Additions,
    sb3.ActorCriticCnnPolicy: _CnnAdditions,
    sb3.MultiInputActorCriticPolicy: _MultiInputAdditions,
}
_BY_EXTRACTOR = {
    "flatten": sb3.ActorCriticPolicy,
    "nature_cnn": sb3.ActorCriticCnnPolicy,
    "combined": sb3.MultiInputActorCriticPolicy,
}


def from_start(space: spaces.Space, actions: torch.Tensor) -> torch.Tensor:
    """Actions counted from 0 as the space counts them."""
    start = getattr(space, "start", None)
    return actions if start is None else actions + torch.as_tensor(start, device=actions.device)


def from_zero(space: spaces.Space, obs: Any) -> Any:
    """Observations counted from 0."""
    if isinstance(space, spaces.Dict):
        return {key: from_zero(part, obs[key]) for key, part in space.spaces.items()}
    start = getattr(space, "start", None)
    if start is None or not np.any(start):
        return obs
    return obs - torch.as_tensor(start, device=obs.device)


def _starts_elsewhere(space: spaces.Space) -> bool:
    if isinstance(space, spaces.Dict):
        return any(map(_starts_elsewhere, space.spaces.values()))
    return bool(np.any(getattr(space, "start", 0)))


def with_additions(cls: type, spec: NetworkSpec) -> Any:
    """SB3's own class where it can do what the spec asks for, else ours derived from it.

    Raises:
        ValueError: a policy of one's own can't learn to do it.
    """
    needed = spec.std == "state" or spec.mean != "linear"
    elsewhere = any(map(_starts_elsewhere, (spec.observation_space, spec.action_space)))
    if cls in _WITH_ADDITIONS and (needed or elsewhere):
        return lambda *args, **kwargs: _WITH_ADDITIONS[cls](*args, spec=spec, **kwargs)
    if needed:
        raise ValueError(
            f"extensions: std={spec.std!r}, mean={spec.mean!r} need MlpPolicy, CnnPolicy or "
            f"MultiInputPolicy, not a {cls.__qualname__}"
        )
    return cls


def is_ours(cls: type) -> bool:
    """Whether a policy class is one that :func:`with_additions` made."""
    return issubclass(cls, _Additions)


def canonical_policy(spec: NetworkSpec) -> sb3.ActorCriticPolicy:
    """SB3's policy for a network specification."""
    sizes = {"nature_cnn": "features_dim", "combined": "cnn_output_dim"}
    kwargs: dict[str, Any] = {}
    if spec.extractor in sizes:
        kwargs = {
            sizes[spec.extractor]: spec.cnn_features,
            "normalized_image": spec.normalized_image,
        }
    return with_additions(_BY_EXTRACTOR[spec.extractor], spec)(
        spec.observation_space,
        spec.action_space,
        lambda _: 3e-4,
        net_arch={"pi": list(spec.pi), "vf": list(spec.vf)},
        ortho_init=False,  # the parameters are given
        use_sde=spec.use_sde,
        log_std_init=spec.log_std_init,
        full_std=spec.full_std,
        use_expln=spec.use_expln,
        squash_output=spec.squash_output,
        features_extractor_kwargs=kwargs,
        share_features_extractor=spec.share_features_extractor,
        normalize_images=spec.normalize_images,
        **sb3_policy_kwargs({"activation_fn": spec.activation}),
        **torch_optimizer(spec),
    )


def torch_optimizer(spec: NetworkSpec) -> dict[str, Any]:
    """A spec's optimizer as SB3's policies are told of it."""
    options = {"optimizer_class": spec.optimizer, "optimizer_kwargs": dict(spec.optimizer_kwargs)}
    return sb3_policy_kwargs(options)
