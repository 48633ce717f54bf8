"""A torch policy behind ``ActorCritic``.

The network is a stable-baselines3 policy, so whatever SB3 takes works here: feature extractors,
optimizer classes and policies of one's own. Where a policy acts and judges actions as SB3's does,
actions are drawn from our noise and the mathematics is that of ``functional/``. A policy that does
it in its own way is asked, as SB3's PPO asks it; its randomness is then torch's.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.policies import ActorCriticPolicy, BasePolicy

from sb3_ext.backends.autograd import (
    AutogradActorCritic,
    Outputs,
    loss_of,
    predictions_of,
    raise_not_finite,
)
from sb3_ext.backends.base import Batch, Rates
from sb3_ext.backends.parameters import check_names_and_shapes, is_value_parameter
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.backends.torch_backend.own_network import NetworkPolicy
from sb3_ext.backends.torch_backend.policies import canonical_policy, is_ours, torch_optimizer
from sb3_ext.functional.losses import Coefficients, Predictions

__all__ = ["TorchActorCritic"]

_WAYS = (
    "forward",
    "evaluate_actions",
    "predict_values",
    "get_distribution",
    "_get_action_dist_from_latent",
)
"""Where a policy may act and judge in a way of its own."""


class TorchActorCritic(AutogradActorCritic):
    """PPO's network in PyTorch.

    Args:
        spec: The network to build; for a policy of one's own, what of it is known.
        parameters: Canonical initial parameters; None: the policy's own.
        policy: An SB3 policy; None: the one that the spec describes.
    """

    name = "torch"
    no_gradient = torch.no_grad

    def __init__(
        self,
        spec: NetworkSpec,
        parameters: dict[str, NDArray] | None = None,
        policy: BasePolicy | None = None,
    ) -> None:
        self.policy: Any = policy
        if policy is None and spec.network is None:
            self.policy = canonical_policy(spec)
        elif policy is None:
            self.policy = NetworkPolicy(spec, **torch_optimizer(spec))
        self.names = {name: p for name, p in self.policy.named_parameters()}
        if parameters is not None:
            self.load_parameters(parameters)
        cls = type(self.policy)
        self._asks_policy = not (is_ours(cls) or issubclass(cls, NetworkPolicy)) and any(
            getattr(cls, method) is not getattr(ActorCriticPolicy, method) for method in _WAYS
        )
        if spec.bf16 and self._asks_policy:
            raise ValueError(
                f"extensions: bf16 can't go with {cls.__qualname__}, which computes its "
                "log-probabilities itself: use torch.autocast in its methods"
            )
        super().__init__(spec, self.parameters())

    def __reduce__(self) -> tuple[Any, ...]:
        # With the policy itself: a copy of a model shares one policy with its network.
        return type(self), (self.spec, None, self.policy)

    def _acts_in_numpy(self) -> bool:
        # A layer of one's own can't be foreseen: only what a spec describes is known to NumPy.
        canonical = self.spec.is_canonical and not self._asks_policy and not self.spec.bf16
        return canonical and self.policy.device.type == "cpu" and super()._acts_in_numpy()

    @property
    def _is_twin_old(self) -> bool:
        return True  # the policy belongs to the user, who may change it at any time

    @_is_twin_old.setter
    def _is_twin_old(self, value: bool) -> None:
        pass

    # The network

    @property
    def own_network(self) -> torch.nn.Module | None:
        """The user's module, or None."""
        return None if self.spec.network is None else self.policy.network

    def set_training_mode(self, mode: bool) -> None:
        """For dropout and the like."""
        self.policy.set_training_mode(mode)

    def tensor(self, array: NDArray) -> torch.Tensor:
        """NumPy to torch, on the policy's device."""
        return torch.as_tensor(array, device=self.policy.device)

    def array(self, tensor: torch.Tensor) -> NDArray:
        """And back."""
        return tensor.detach().cpu().numpy()

    def encoded(self, obs: Any) -> Any:
        """As they are: SB3's policy encodes observations itself."""
        if isinstance(obs, dict):
            return {key: self.tensor(part) for key, part in obs.items()}
        return self.tensor(obs)

    def _network(self, x: Any, actor_only: bool) -> Outputs:
        if not self.spec.bf16:
            return self._float32_network(x, actor_only)
        with torch.autocast(self.policy.device.type, torch.bfloat16):
            found = self._float32_network(x, actor_only)
        # Distributions and the loss need more digits than matrices do.
        return Outputs(*(None if part is None else part.float() for part in found))

    def _float32_network(self, x: Any, actor_only: bool) -> Outputs:
        policy = self.policy
        if self.spec.network is not None:
            return policy.outputs(x)
        features: Any = policy.extract_features(x)
        pi_features = vf_features = features
        if not policy.share_features_extractor:
            pi_features, vf_features = features
        latent = policy.mlp_extractor.forward_actor(pi_features)
        log_std = getattr(policy, "log_std", None)
        values = None
        if not actor_only:
            values = policy.value_net(policy.mlp_extractor.forward_critic(vf_features))[:, 0]
        return Outputs(policy.action_net(latent), latent, values, log_std)

    def infer(self, x: Any, actor_only: bool) -> Outputs:
        """A forward pass without a gradient."""
        with torch.no_grad():
            return self._network(x, actor_only)

    def act(self, obs: Any, noise: NDArray | None) -> NDArray:
        """Actions ``[B, ...]``; a policy that acts in its own way draws its own noise."""
        if not self._asks_policy:
            return super().act(obs, noise)
        with torch.no_grad():
            actions = self.policy(self.encoded(obs), deterministic=noise is None)[0]
        return self._as_actions(actions)

    def actor(self, noise: NDArray) -> Callable[[int, Any], NDArray]:
        """``act`` for a rollout; a policy that acts in its own way is asked at every step."""
        if not self._asks_policy:
            return super().actor(noise)
        drawn = -1

        def act(k: Any, obs: Any) -> NDArray:
            nonlocal drawn
            step = k[0].max() if isinstance(k, tuple) else k
            if self.spec.use_sde and step > drawn:  # its own matrices, as often as ours
                self.policy.reset_noise(noise.shape[1])
                drawn = step
            return self.act(obs, noise[k])

        return act

    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""
        if not self._asks_policy:
            return super().values(obs)
        with torch.no_grad():
            return self.array(self.policy.predict_values(self.encoded(obs))).reshape(-1)

    def predictions(self, x: Any, actions: torch.Tensor) -> Predictions:
        """What the policy says of given actions."""
        if not self._asks_policy:
            return predictions_of(self.xp, self.spec, self._network(x, False), actions)
        values, log_prob, entropy = self.policy.evaluate_actions(x, actions)
        return Predictions(log_prob, entropy, values.flatten())

    def judge(self, x: Any, actions: torch.Tensor) -> Predictions:
        """The same without a gradient."""
        with torch.no_grad():
            return self.predictions(x, actions)

    # The update

    def loss_and_grad(self, minibatch: Batch, coefs: Coefficients) -> tuple[Predictions, Any]:
        """Forward, and backward by autograd; a parameter without a part in it has None."""
        batch = self.minibatch_tensors(minibatch)
        predictions = self.predictions(batch.obs, batch.actions)  # type: ignore[arg-type]
        loss = loss_of(self.xp, predictions, batch, coefs)
        wanted = [p for p in self.names.values() if p.requires_grad]
        found = iter(torch.autograd.grad(loss, wanted, allow_unused=True))
        gradient = [next(found) if p.requires_grad else None for p in self.names.values()]
        return Predictions(*(None if p is None else self.array(p) for p in predictions)), gradient

    def named_gradients(self, gradient: Any) -> dict[str, NDArray]:
        """A gradient under the parameters' names."""
        return {
            name: np.zeros(p.shape, np.float32) if g is None else self.array(g).copy()
            for (name, p), g in zip(self.names.items(), gradient, strict=True)
        }

    def combine(self, total: Any, gradient: Any, weight: float) -> Any:
        """``total + weight * gradient``."""
        if total is None:
            return [None if g is None else g * weight for g in gradient]
        return [None if g is None else t + g * weight for t, g in zip(total, gradient, strict=True)]

    def apply_gradients(self, gradient: Any, learning_rate: Rates, max_grad_norm: Rates) -> float:
        """Clip by the norm and step."""
        norm = self._norm(gradient)
        if learning_rate.value is None:
            self._step(gradient, norm, learning_rate.policy, max_grad_norm.policy)
            return norm
        # One optimizer with a state for each parameter: two steps, each of its own parameters.
        assert max_grad_norm.value is not None
        for is_value, rate, limit in (
            (False, learning_rate.policy, max_grad_norm.policy),
            (True, learning_rate.value, max_grad_norm.value),
        ):
            part = [
                g if is_value_parameter(name) == is_value else None
                for name, g in zip(self.names, gradient, strict=True)
            ]
            self._step(part, self._norm(part), rate, limit)
        return norm

    def _norm(self, gradient: list[Any]) -> float:
        norm = float(torch.nn.utils.get_total_norm([g for g in gradient if g is not None]))
        if not np.isfinite(norm):
            raise_not_finite(self.named_gradients(gradient))
        return norm

    def _step(
        self, gradient: list[Any], norm: float, learning_rate: float, max_grad_norm: float
    ) -> None:
        if norm > max_grad_norm:
            present = [g for g in gradient if g is not None]
            torch._foreach_mul_(present, max_grad_norm / (norm + 1e-6))
        for p, g in zip(self.names.values(), gradient, strict=True):
            p.grad = g
        optimizer = self.policy.optimizer
        for group in optimizer.param_groups:
            group["lr"] = learning_rate
            unset = group.get("foreach") is None and group.get("fused") is None
            if isinstance(optimizer, torch.optim.Adam) and unset:
                group["fused"] = True  # one kernel for each parameter instead of a dozen
        optimizer.step()

    # Canonical dictionaries

    def parameters(self) -> dict[str, NDArray]:
        """Copies of the parameters."""
        return {name: self.array(p).copy() for name, p in self.names.items()}

    def load_parameters(self, parameters: dict[str, NDArray]) -> None:
        """Set all parameters."""
        expected = {name: tuple(p.shape) for name, p in self.names.items()}
        check_names_and_shapes(expected, parameters)
        with torch.no_grad():
            for name, p in self.names.items():
                p.copy_(torch.as_tensor(np.asarray(parameters[name])))

    def optimizer_state(self) -> dict[str, Any]:
        """``{"step": int, moment: {name: array}}``; parameters never moved have moments of 0."""
        result: dict[str, Any] = {"step": 0}
        states = self.policy.optimizer.state
        moments = {
            key for state in states.values() for key, v in state.items() if v is not None
        } - {"step"}
        for key in sorted(moments):
            result[key] = {
                name: self.array(states[p][key]).copy()
                if key in states.get(p, {})
                else np.zeros(p.shape, np.float32)
                for name, p in self.names.items()
            }
        result["step"] = max([int(state.get("step", 1)) for state in states.values()], default=0)
        return result

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Set what :meth:`optimizer_state` gave."""
        optimizer = self.policy.optimizer
        optimizer.state.clear()
        moments = [key for key in state if key != "step"]
        for name, p in self.names.items() if moments else ():
            entry: dict[str, Any] = {
                key: torch.as_tensor(np.array(state[key][name]), device=p.device) for key in moments
            }
            if "exp_avg" in moments:
                entry = {"step": torch.tensor(float(state["step"])), **entry}
            optimizer.state[p] = entry
