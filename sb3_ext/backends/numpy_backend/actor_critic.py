"""The NumPy backend: the network, the loss's gradient and the optimizer, behind ``ActorCritic``."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ext.backends.base import ActorCritic, Batch, Rates, take
from sb3_ext.backends.numpy_backend import threads
from sb3_ext.backends.numpy_backend.heads import GaussianHead
from sb3_ext.backends.numpy_backend.network import Network
from sb3_ext.backends.numpy_backend.optimizers import make_optimizer
from sb3_ext.backends.numpy_backend.own_network import OwnNetwork
from sb3_ext.backends.observations import encode
from sb3_ext.backends.parameters import is_value_parameter
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.losses import Coefficients, Predictions, ppo_gradient
from sb3_ext.functional.xp import namespace

__all__ = ["NumpyActorCritic"]

_ROWS_AT_ONCE = 512  # of an evaluation without a gradient: workspaces that stay in the cache
_IMAGES_AT_ONCE = 64
_THREADED = 1 << 18  # multiplications: a product of fewer is one thread's anyway (OpenBLAS)


class NumpyActorCritic(ActorCritic):
    """PPO's network in NumPy with hand-written gradients.

    Args:
        spec: The network to build.
        parameters: Canonical initial parameters; None: the user's own network's.
        dtype: float32, or float64 for checks against finite differences.
    """

    name = "numpy"

    def __init__(
        self,
        spec: NetworkSpec,
        parameters: dict[str, NDArray] | None,
        dtype: type | np.dtype = np.float32,
    ) -> None:
        super().__init__(spec, parameters)
        self.xp = namespace("numpy")
        self.dtype = dtype
        make: Any = Network if spec.network is None else OwnNetwork
        self.network = make(spec, dtype)
        if parameters is not None:
            self.network.params.load(parameters)
        size = self.network.params.vector.size
        self.optimizer = make_optimizer(spec.optimizer, size, dtype, dict(spec.optimizer_kwargs))
        self._is_value = np.zeros(size, bool)
        for name, view in self.network.params.views_of(self._is_value).items():
            view[...] = is_value_parameter(name)

    def _encode(self, obs: Any) -> Any:
        return encode(self.spec.observation_space, obs, self.spec.normalize_images, self.dtype)

    def _chunks(self, obs: Any) -> Iterator[slice]:
        n = len(next(iter(obs.values())) if isinstance(obs, dict) else obs)
        size = _IMAGES_AT_ONCE if self.spec.images else _ROWS_AT_ONCE
        return (slice(start, start + size) for start in range(0, n, size))

    # The network

    @property
    def own_network(self) -> Any:
        """The user's module, or None."""
        return getattr(self.network, "module", None)

    def act(self, obs: Any, noise: NDArray | None) -> NDArray:
        """Actions ``[B, ...]``, sampled with ``noise [B, ...]``; the mode if it's None."""
        if noise is not None:
            return self.actor(noise[None])(0, obs)
        params, _ = self.network.forward_policy(self._encode(obs))
        return self.distribution.mode(self.xp, params).copy()

    def actor(self, noise: NDArray) -> Callable[[int, Any], NDArray]:
        """``act`` for a rollout, with the noise scaled once."""
        network, head, xp = self.network, self.network.head, self.xp
        mode, prepared = self.distribution.mode, head.prepare(noise)

        def act(k: Any, obs: Any) -> NDArray:
            params, latent = network.forward_policy(self._encode(obs))
            return mode(xp, head.add_noise(params, latent, prepared[k]))

        plain = self._plain_actor(prepared) or act
        return threads.on_one(plain) if self._acts_alone(noise.shape[1]) else plain

    def _acts_alone(self, n_rows: int) -> bool:
        """Whether rows are too few for threads, which spin on after each product.

        They would do so on the cores of envs in worker processes.
        """
        largest = max(part.size for part in self.network.params.views.values())
        few = n_rows < _ROWS_AT_ONCE
        return few and n_rows * largest > _THREADED and threads.n_threads() > 1

    def _plain_actor(self, scaled: Any) -> Callable[[Any, Any], NDArray] | None:
        """A few calls of NumPy, for what acting nearly always is: float rows, a Gaussian's mean."""
        network, space = self.network, self.spec.observation_space
        if not isinstance(network, Network) or not isinstance(space, spaces.Box):
            return None
        head = network.head
        if type(head) is not GaussianHead or head.tanh:
            return None
        if len(space.shape) != 1 or space.dtype != self.dtype:
            return None
        activation = network.pi_tower.activation.forward
        layers: list[Any] = [*network.pi_tower.layers, head.layer]
        laid_out: dict[int, Any] = {}

        def lay_out(n: int) -> Any:
            *hidden, (weight_t, biases, _) = [layer.laid_out_for(n) for layer in layers]
            laid_out[n] = found = (hidden, weight_t, biases)
            return found

        def act(k: Any, obs: Any) -> NDArray:
            hidden, weight_t, biases = laid_out.get(len(obs)) or lay_out(len(obs))
            x = obs
            for w, b, y in hidden:
                np.dot(x, w, y)
                x = activation(np.add(y, b, y))
            actions = np.dot(x, weight_t)
            actions += biases
            actions += scaled[k]
            return actions

        return act

    def values(self, obs: Any) -> NDArray:
        """V(obs), ``[B]``."""
        return np.concatenate(
            [
                self.network.forward_values(self._encode(take(obs, chunk))).copy()  # of a workspace
                for chunk in self._chunks(obs)
            ]
        )

    def evaluate(self, obs: Any, actions: NDArray) -> Predictions:
        """Log-probabilities, entropies and values, chunk by chunk."""
        parts = [self._predict(take(obs, chunk), actions[chunk])[0] for chunk in self._chunks(obs)]
        log_prob, entropy, values = zip(*parts, strict=True)
        whole = None
        if entropy[0] is not None:
            whole = np.concatenate(
                [np.broadcast_to(e, len(v)) for e, v in zip(entropy, values, strict=True)]
            )
        return Predictions(np.concatenate(log_prob), whole, np.concatenate(values))

    def distribution_params(self, obs: Any) -> tuple[NDArray, ...]:
        """Logits, or mean and log std, ``[B, n]`` each."""
        params, _ = self.network.forward_policy(self._encode(obs))
        parts = params if isinstance(params, tuple) else (params,)
        return tuple(np.broadcast_to(part, parts[0].shape).copy() for part in parts)

    # The update

    def _predict(self, obs: Any, actions: NDArray) -> tuple[Predictions, Any]:
        params, values = self.network.forward(self._encode(obs))
        evaluation = self.distribution.evaluate(self.xp, params, actions)
        return Predictions(evaluation.log_prob, evaluation.entropy, values.copy()), evaluation

    def loss_and_grad(self, minibatch: Batch, coefs: Coefficients) -> tuple[Predictions, NDArray]:
        """Forward; then the chain rule, from the loss through the distribution to the parameters.

        The gradient is the network's own flat vector.
        """
        predictions, evaluation = self._predict(minibatch.obs, minibatch.actions)
        d_log_prob, d_entropy, d_values = ppo_gradient(
            self.xp,
            predictions.log_prob,
            predictions.entropy is not None,
            predictions.values,
            *minibatch[2:],
            coefs=coefs,
        )
        d_params = self.distribution.gradient(self.xp, evaluation, d_log_prob, d_entropy)
        self.network.backward(d_params, d_values)
        return predictions, self.network.grads.vector

    def named_gradients(self, gradient: NDArray) -> dict[str, NDArray]:
        """Copies of the vector's parts under the parameters' names."""
        named = self.network.grads.views_of(gradient)
        return {name: part.copy() for name, part in named.items()}

    def combine(self, total: NDArray | None, gradient: NDArray, weight: float) -> NDArray:
        """``total + weight * gradient``."""
        if total is None:
            return gradient * weight
        total += gradient * weight
        return total

    def apply_gradients(
        self, gradient: NDArray, learning_rate: Rates, max_grad_norm: Rates
    ) -> float:
        """Clip by the norm and step."""
        norm = float(np.sqrt(gradient @ gradient))
        if not np.isfinite(norm):
            # A huge but finite gradient may overflow float32's dot product: its limit is 1e19.
            name = self.network.params.where(gradient, ~(np.abs(gradient) < 1e19))
            raise FloatingPointError(f"the gradient of {name} is not finite")
        rate: float | NDArray = learning_rate.policy
        if learning_rate.value is None:
            if norm > max_grad_norm.policy:
                gradient *= max_grad_norm.policy / (norm + 1e-6)
        else:
            rate = np.where(self._is_value, learning_rate.value, rate).astype(self.dtype)
            self._clip_separately(gradient, max_grad_norm)
        self.optimizer.step(self.network.params.vector, gradient, rate)
        return norm

    def _clip_separately(self, gradient: NDArray, limits: Rates) -> None:
        assert limits.value is not None
        for limit, part in ((limits.policy, ~self._is_value), (limits.value, self._is_value)):
            norm = float(np.linalg.norm(gradient[part]))
            if norm > limit:
                gradient[part] *= limit / (norm + 1e-6)

    # Canonical dictionaries

    def parameters(self) -> dict[str, NDArray]:
        """Copies of the parameters."""
        return self.network.params.copy()

    def live_parameters(self) -> dict[str, NDArray]:
        """The parameters themselves: views into the network's vector."""
        return self.network.params.views

    def load_parameters(self, parameters: dict[str, NDArray]) -> None:
        """Set all parameters."""
        self.network.params.load(parameters)

    def optimizer_state(self) -> dict[str, Any]:
        """``{"step": int, moment: {name: array}}``."""
        state = self.optimizer.state()
        views = self.network.params.views_of
        return {key: value if key == "step" else views(value) for key, value in state.items()}

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Set what :meth:`optimizer_state` gave."""
        flat: dict[str, Any] = {"step": state["step"]}
        for moment, named in state.items():
            if moment == "step":
                continue
            flat[moment] = np.zeros_like(self.network.params.vector)
            for name, view in self.network.params.views_of(flat[moment]).items():
                view[...] = named[name]
        self.optimizer.load(flat)
