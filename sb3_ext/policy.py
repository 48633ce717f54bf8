"""The policy as stable-baselines3 knows it, over a backend's network.

SB3's callbacks, evaluation and files ask a policy for tensors: they get CPU tensors under SB3's
names, made from the canonical parameters when asked for. The network itself never sees one.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common import policies as sb3
from stable_baselines3.common.distributions import Distribution, make_proba_distribution

from sb3_ext.backends import create
from sb3_ext.backends.base import ActorCritic
from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.options import (
    NeedsTorchError,
    custom_spec,
    network_spec,
    own_network_spec,
)
from sb3_ext.backends.parameters import aliases, initialize
from sb3_ext.backends.sb3_format import OptimizerFace, sb3_policy_kwargs
from sb3_ext.functional import noise
from sb3_ext.rollout_buffer import all_finite, as_network_actions

__all__ = [
    "ActorCriticCnnPolicy",
    "ActorCriticPolicy",
    "MultiInputActorCriticPolicy",
    "env_actions",
    "make_policy",
    "sb3_policy",
]


class ActorCriticPolicy(sb3.BasePolicy):
    """Actor and critic behind SB3's policy interface; arguments as SB3's, and:

    Args:
        observation_space: Of one row.
        action_space: Of one row.
        lr_schedule: Learning rate by remaining progress.
        backend: Name of the array framework.
        extensions: Our additions.
        noise_seed: Of the initial parameters and of ``predict(deterministic=False)``.
        policy_kwargs: SB3's ``policy_kwargs``.
    """

    default_extractor = "flatten"

    def __init__(
        self,
        observation_space: spaces.Space,
        action_space: spaces.Space,
        lr_schedule: Any = lambda _: 3e-4,
        *,
        backend: str = "numpy",
        extensions: PPOExtensions | Mapping[str, Any] | None = None,
        noise_seed: int = 0,
        **policy_kwargs: Any,
    ) -> None:
        self._constructor = dict(policy_kwargs)
        if backend != "numpy":
            self._constructor["backend"] = backend
        extensions = PPOExtensions.of(extensions)
        where = (observation_space, action_space, extensions)
        if _has_own_network(policy_kwargs):
            spec, start = own_network_spec(*where, seed=noise_seed, **policy_kwargs), None
        else:
            policy_kwargs.setdefault("features_extractor_class", self.default_extractor)
            spec = network_spec(*where, **policy_kwargs)
            start = initialize(spec, noise.generator(noise_seed, noise.INITIAL))
        super().__init__(
            observation_space,
            action_space,
            normalize_images=spec.normalize_images,
            squash_output=spec.squash_output,
        )
        if changed := extensions.changed():
            self._constructor["extensions"] = changed
        self.spec = spec
        self.use_sde = spec.use_sde
        self.log_std_init = spec.log_std_init
        if spec.is_canonical:
            self.share_features_extractor = spec.share_features_extractor
            self.ortho_init, self.features_dim = spec.ortho_init, spec.n_features
            self.net_arch = {"pi": list(spec.pi), "vf": list(spec.vf)}
        self.noise_seed = noise_seed
        self.n_draws = 0
        self.backend = create(backend, spec, start)
        self.optimizer = OptimizerFace(self.backend, float(lr_schedule(1.0)))  # type: ignore[assignment]
        self._exploration: NDArray | None = None

    # Acting

    def _draw(self, n_rows: int) -> NDArray:
        """Fresh noise for one call of forward or predict; for gSDE the matrices in force."""
        if self.use_sde:
            if self._exploration is None:
                self.reset_noise()
            assert self._exploration is not None
            if len(self._exploration) == n_rows:
                return self._exploration
            return np.broadcast_to(self._exploration[:1], (n_rows, *self.spec.noise_shape))
        self.n_draws += 1
        kind = self.spec.distribution.noise_kind
        return noise.draw(
            kind, self.noise_seed, noise.PREDICT, self.n_draws, 1, n_rows, self.spec.noise_shape
        )[0]

    def reset_noise(self, n_envs: int = 1) -> None:
        """Draw gSDE's exploration matrices, one per row."""
        assert self.use_sde, "reset_noise() is only available when using gSDE"
        self.n_draws += 1
        self._exploration = noise.draw(
            "normal",
            self.noise_seed,
            noise.PREDICT,
            self.n_draws,
            1,
            n_envs,
            self.spec.noise_shape,
        )[0]

    def _act(self, obs: Any, deterministic: bool) -> NDArray:
        rows = _arrays(obs)
        if not all_finite(rows):
            raise ValueError("the observation has a NaN or an infinity in it")
        n_rows = len(next(iter(rows.values())) if isinstance(rows, dict) else rows)
        return self.backend.act(rows, None if deterministic else self._draw(n_rows))

    def _predict(self, observation: Any, deterministic: bool = False) -> torch.Tensor:
        actions = self._act(observation, deterministic)
        space = self.action_space
        if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
            actions = actions + space.start
        return torch.as_tensor(actions)

    def forward(
        self, obs: Any, deterministic: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Actions ``[B, ...]``, values ``[B, 1]`` and log-probabilities ``[B]``."""
        actions = self._act(obs, deterministic)
        predictions = self.backend.evaluate(_arrays(obs), actions)
        shaped = actions.reshape(-1, *self.action_space.shape)  # type: ignore[misc]
        return (
            torch.as_tensor(shaped),
            torch.as_tensor(predictions.values[:, None]),
            torch.as_tensor(predictions.log_prob),
        )

    def evaluate_actions(
        self, obs: Any, actions: Any
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Values ``[B, 1]``, log-probabilities and entropies ``[B]``, without gradients."""
        rows = as_network_actions(_arrays(actions), self.action_space)
        result = self.backend.evaluate(_arrays(obs), rows)
        entropy = None if result.entropy is None else torch.as_tensor(result.entropy)
        return (
            torch.as_tensor(result.values[:, None]),
            torch.as_tensor(result.log_prob),
            entropy,
        )

    def predict_values(self, obs: Any) -> torch.Tensor:
        """Values ``[B, 1]``."""
        return torch.as_tensor(self.backend.values(_arrays(obs))[:, None])

    def get_distribution(self, obs: Any) -> Distribution:
        """SB3's own distribution object, without gradients."""
        if self.use_sde:
            raise NotImplementedError("get_distribution() is not available with gSDE")
        distribution = make_proba_distribution(self.action_space)
        params = self.backend.distribution_params(_arrays(obs))
        return distribution.proba_distribution(*map(torch.as_tensor, params))

    # Parameters

    def set_training_mode(self, mode: bool) -> None:
        """Whether layers such as dropout shall behave as while learning."""
        super().set_training_mode(mode)
        self.backend.set_training_mode(mode)

    def use(self, backend: ActorCritic) -> None:
        """Go on with another network, which has the same parameters."""
        self.backend = backend
        self.optimizer.backend = backend  # type: ignore[attr-defined]

    @property
    def device(self) -> torch.device:
        """Tensors that leave here are on the CPU."""
        return torch.device("cpu")

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """The policy itself: its tensors are on the CPU. Raises ValueError for another device."""
        wanted = kwargs.get("device", args[0] if args else "cpu")
        if isinstance(wanted, str | torch.device) and torch.device(wanted).type != "cpu":
            raise ValueError(f"the {self.backend.name} backend can't run on device {wanted!r}")
        return self

    @property
    def log_std(self) -> torch.Tensor:
        """The parameter of that name. Raises AttributeError when the distribution has none."""
        if self.spec.log_std_shape is None:
            raise AttributeError("this policy has no log_std")
        return torch.as_tensor(self.backend.parameters()["log_std"])

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:  # type: ignore[override]
        """Copies of the parameters as CPU tensors, with all of SB3's names."""
        parameters = self.with_aliases(self.backend.parameters())
        return {name: torch.as_tensor(value) for name, value in parameters.items()}

    def with_aliases(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Canonical parameters together with SB3's further names for them."""
        more = {alias: parameters[name] for alias, name in aliases(self.spec).items()}
        return {**parameters, **more}

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Set parameters by SB3's names; returns the missing and the unexpected ones.

        Raises:
            RuntimeError: a shape differs; or, if ``strict``, a name is missing or unknown.
        """
        other = aliases(self.spec)
        current = self.backend.parameters()
        missing = [name for name in [*current, *other] if name not in state_dict]
        unknown = [name for name in state_dict if name not in current and name not in other]
        problems = []
        if strict and missing:
            problems.append(f"Missing key(s) in state_dict: {missing}.")
        if strict and unknown:
            problems.append(f"Unexpected key(s) in state_dict: {unknown}.")
        for name in current.keys() & state_dict.keys():
            value = np.asarray(state_dict[name])
            if value.shape != current[name].shape:
                problems.append(
                    f"size mismatch for {name}: {value.shape} in the file, "
                    f"{current[name].shape} in the network."
                )
            current[name] = value
        if problems:
            raise RuntimeError("Error(s) in loading state_dict: " + " ".join(problems))
        self.backend.load_parameters(current)
        return torch.nn.modules.module._IncompatibleKeys(missing, unknown)

    def named_parameters(self, *args: Any, **kwargs: Any) -> Iterator[Any]:
        """Names and parameters in the order of SB3's optimizer.

        With the NumPy backend they share its memory: changes in place reach the network. JAX's and
        MLX's arrays can't be changed: there they are copies.
        """
        for name, value in self.backend.live_parameters().items():
            yield name, torch.nn.Parameter(torch.as_tensor(value), requires_grad=False)

    def parameters(self, recurse: bool = True) -> Iterator[Any]:
        """The parameters, as :meth:`named_parameters` gives them."""
        return (parameter for _, parameter in self.named_parameters())

    def load_from_vector(self, vector: NDArray) -> None:
        """Set all parameters from one vector, as :meth:`parameters_to_vector` gives it."""
        current, start = self.backend.parameters(), 0
        if len(vector) != sum(value.size for value in current.values()):
            raise ValueError(f"{len(vector)} numbers don't fill this network's parameters")
        for name, value in current.items():
            current[name] = np.asarray(vector[start : start + value.size]).reshape(value.shape)
            start += value.size
        self.backend.load_parameters(current)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        """SB3's arguments, and of ours those that differ from the default: SB3 opens the rest."""
        return {
            "observation_space": self.observation_space,
            "action_space": self.action_space,
            "lr_schedule": self._dummy_schedule,
            **sb3_policy_kwargs(self._constructor),
        }

    def set_noise_seed(self, seed: int) -> None:
        """Begin ``predict``'s noise anew."""
        self.noise_seed, self.n_draws, self._exploration = seed, 0, None

    @property
    def noise_drawn(self) -> tuple[int, NDArray | None]:
        """Where ``predict``'s noise is: its place in the stream, and gSDE's matrices in force."""
        return self.n_draws, self._exploration

    @noise_drawn.setter
    def noise_drawn(self, drawn: tuple[int, NDArray | None]) -> None:
        self.n_draws, self._exploration = drawn


class ActorCriticCnnPolicy(ActorCriticPolicy):
    """Reads images through a NatureCNN."""

    default_extractor = "nature_cnn"


class MultiInputActorCriticPolicy(ActorCriticPolicy):
    """Reads a Dict of observations."""

    default_extractor = "combined"


# Ours for theirs: a zip file names SB3's classes, so that stable_baselines3.PPO opens it too.
_POLICIES: dict[type, type[ActorCriticPolicy]] = {
    sb3.ActorCriticPolicy: ActorCriticPolicy,
    sb3.ActorCriticCnnPolicy: ActorCriticCnnPolicy,
    sb3.MultiInputActorCriticPolicy: MultiInputActorCriticPolicy,
}


def _our_policy(cls: type) -> type[ActorCriticPolicy]:
    """Our class for SB3's or for one derived from ours."""
    if cls in _POLICIES:
        return _POLICIES[cls]
    if isinstance(cls, type) and issubclass(cls, ActorCriticPolicy):
        return cls
    if isinstance(cls, type) and issubclass(cls, sb3.ActorCriticPolicy):
        raise NeedsTorchError(f"the policy {cls.__qualname__}", "MlpPolicy with policy_kwargs, or ")
    raise ValueError(
        f"the policy {getattr(cls, '__qualname__', cls)} is none that PPO can train: use "
        "MlpPolicy, CnnPolicy, MultiInputPolicy or a class derived from SB3's ActorCriticPolicy"
    )


def sb3_policy(cls: type) -> Any:
    """SB3's class for one of ours; a class of the user's own stays."""
    return {ours: theirs for theirs, ours in _POLICIES.items()}.get(cls, cls)


def _has_own_network(policy_kwargs: Mapping[str, Any]) -> bool:
    return "network" in policy_kwargs or "network_kwargs" in policy_kwargs


def make_policy(
    cls: type,
    observation_space: spaces.Space,
    action_space: spaces.Space,
    lr_schedule: Any,
    *,
    backend: str,
    extensions: PPOExtensions,
    noise_seed: int,
    device: Any = "cpu",
    **policy_kwargs: Any,
) -> tuple[Any, ActorCritic]:
    """A policy and the network behind it; with torch the policy is SB3's own.

    Raises:
        NeedsBackendError: an option that the backend can't honor, but another can.
    """
    where = (observation_space, action_space)
    if backend != "torch":
        if extensions.bf16:
            raise NeedsTorchError("extensions: bf16=True")
        policy = _our_policy(cls)(
            *where,
            lr_schedule,
            backend=backend,
            extensions=extensions,
            noise_seed=noise_seed,
            **policy_kwargs,
        )
        return policy, policy.backend
    from sb3_ext.backends.torch_backend import NetworkPolicy, TorchActorCritic, with_additions

    cls, start = sb3_policy(cls), None
    kwargs = sb3_policy_kwargs(policy_kwargs)
    if _has_own_network(kwargs):
        if cls not in _POLICIES:
            raise ValueError(f"policy_kwargs: network can't go with the policy {cls.__qualname__}")
        names = ("optimizer_class", "optimizer_kwargs")  # any of torch's
        optimizer = {name: kwargs.pop(name) for name in names if name in kwargs}
        spec = own_network_spec(*where, extensions, seed=noise_seed, **kwargs)
        module = NetworkPolicy(spec, lr_schedule, **optimizer).to(device)
        return module, TorchActorCritic(spec, None, module)
    try:
        named = {"features_extractor_class": _our_policy(cls).default_extractor} | kwargs
        spec = network_spec(*where, extensions, **named)
        start = initialize(spec, noise.generator(noise_seed, noise.INITIAL))
    except NeedsTorchError:
        spec = custom_spec(*where, extensions, **kwargs)
    module = with_additions(cls, spec)(*where, lr_schedule, **kwargs).to(device)
    if start is None:
        latent = module.mlp_extractor
        spec = replace(spec, pi=(latent.latent_dim_pi,), vf=(latent.latent_dim_vf,))
    return module, TorchActorCritic(spec, start, module)


def env_actions(policy: sb3.BasePolicy, actions: NDArray) -> NDArray:
    """A distribution's actions ``[B, ...]`` as the env takes them.

    Box: within the limits, clipped or scaled from tanh. Discrete: counted from ``start``.
    """
    space = policy.action_space
    if isinstance(space, spaces.Box):
        actions = actions.reshape(-1, *space.shape)
        if policy.squash_output:
            return policy.unscale_action(actions)
        return np.minimum(np.maximum(actions, space.low), space.high)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return actions + space.start
    return actions.astype(space.dtype)


def _arrays(obs: Any) -> Any:
    """Tensors (or arrays) as arrays."""
    if isinstance(obs, Mapping):
        return {key: _arrays(value) for key, value in obs.items()}
    return obs.detach().cpu().numpy() if isinstance(obs, torch.Tensor) else np.asarray(obs)
