"""The MLX backend: an ``mlx.nn`` network, ``nn.value_and_grad`` and ``mlx.optimizers``."""

import math
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
import numpy as np
from mlx.utils import tree_flatten, tree_map, tree_map_with_path
from numpy.typing import NDArray

from sb3_ext.backends.autograd import (
    AutogradActorCritic,
    Outputs,
    loss_of,
    predictions_of,
    raise_not_finite,
)
from sb3_ext.backends.base import Batch, Rates
from sb3_ext.backends.mlx_network import OwnNetwork
from sb3_ext.backends.parameters import check_names_and_shapes, is_value_parameter, shapes
from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec
from sb3_ext.functional.losses import Coefficients, Predictions

__all__ = ["MlxActorCritic", "Network"]

Layer = Callable[[mx.array], mx.array]
Named = dict[str, mx.array]
Sizes = Mapping[str, tuple[int, ...]]


def _leaky_relu(x: mx.array) -> mx.array:
    """MLX's own has the derivative 1 at 0, torch's has 0.01."""
    return mx.where(x > 0, x, 0.01 * x)


def _elu(x: mx.array) -> mx.array:
    """MLX's own has a NaN for a derivative above 88, where the branch not taken overflows."""
    return mx.where(x > 0, x, mx.expm1(mx.where(x > 0, 0.0, x)))


ACTIVATIONS: dict[str, Layer] = {
    "tanh": mx.tanh,
    "relu": nn.relu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "sigmoid": mx.sigmoid,
    "silu": nn.silu,
    "softplus": nn.softplus,
    "identity": lambda x: x,
}


# The network. A parameter's path in MLX's tree is its canonical name: attributes have those names,
# and lists count the activations too.


def _linear(sizes: Sizes, name: str) -> nn.Linear:
    n_out, n_in = sizes[f"{name}.weight"]
    return nn.Linear(n_in, n_out)


def _chain(layers: Iterable[Layer], x: mx.array) -> mx.array:
    for layer in layers:
        x = layer(x)
    return x


def _flatten(x: mx.array) -> mx.array:
    return x.reshape(len(x), -1)


class NatureCNN(nn.Module):
    """Three convolutions and a linear layer, a ReLU after each (Mnih et al. 2015)."""

    def __init__(self, sizes: Sizes, name: str, scale: float) -> None:
        super().__init__()
        self.scale = scale
        self.cnn: list[Layer] = []
        for k, (n_filters, size, stride) in enumerate(NATURE_CNN):
            n_channels = sizes[f"{name}.cnn.{2 * k}.weight"][1]
            self.cnn += [nn.Conv2d(n_channels, n_filters, size, stride), nn.relu]
        self.linear: list[Layer] = [_linear(sizes, f"{name}.linear.0"), nn.relu]

    def __call__(self, x: mx.array) -> mx.array:
        # MLX convolves with channels last, the linear layer's weights count them first.
        x = _chain(self.cnn, x.transpose(0, 2, 3, 1).astype(mx.float32) * self.scale)
        return _chain(self.linear, _flatten(x.transpose(0, 3, 1, 2)))


class Combined(nn.Module):
    """Images through a NatureCNN each, the rest flattened, side by side."""

    def __init__(self, sizes: Sizes, name: str, spec: NetworkSpec) -> None:
        super().__init__()
        self.extractors = {
            key: NatureCNN(sizes, f"{name}.extractors.{key}", spec.image_scale(key))
            for key in spec.images
        }

    def __call__(self, x: dict[str, mx.array]) -> mx.array:
        parts = [self.extractors.get(key, _flatten)(part) for key, part in x.items()]
        return mx.concatenate(parts, axis=1)


def _extractor(sizes: Sizes, name: str, spec: NetworkSpec) -> Callable[[Any], mx.array]:
    if spec.extractor == "combined":
        return Combined(sizes, name, spec)
    return NatureCNN(sizes, name, spec.image_scale("")) if spec.images else _flatten


def _tower(sizes: Sizes, name: str, n_layers: int, activation: str) -> list[Layer]:
    linear = (_linear(sizes, f"mlp_extractor.{name}.{2 * k}") for k in range(n_layers))
    return [layer for each in linear for layer in (each, ACTIVATIONS[activation])]


class Network(nn.Module):
    """Actor and critic, from encoded observations to :class:`Outputs`."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        sizes = shapes(spec)
        if "log_std" in sizes:
            self.log_std = mx.zeros(sizes["log_std"])
        self.features_extractor = _extractor(sizes, "features_extractor", spec)
        if not spec.share_features_extractor:
            self.vf_features_extractor = _extractor(sizes, "vf_features_extractor", spec)
        self.mlp_extractor = {
            "policy_net": _tower(sizes, "policy_net", len(spec.pi), spec.activation),
            "value_net": _tower(sizes, "value_net", len(spec.vf), spec.activation),
        }
        self.action_net = _linear(sizes, "action_net")
        self.value_net = _linear(sizes, "value_net")

    def __call__(self, x: Any, actor_only: bool = False) -> Outputs:
        features = self.features_extractor(x)
        latent = _chain(self.mlp_extractor["policy_net"], features)
        actions, log_std = self.action_net(latent), self.get("log_std")
        if actor_only:
            return Outputs(actions, latent, None, log_std)
        if "vf_features_extractor" in self:
            features = self.vf_features_extractor(x)
        values = self.value_net(_chain(self.mlp_extractor["value_net"], features))[:, 0]
        return Outputs(actions, latent, values, log_std)


# One optimizer step, as a pure function. Parameters and gradients are flat dictionaries here, under
# canonical names. MLX takes them for trees too, and unlike `tree_unflatten` and `MultiOptimizer`
# they don't stumble over a camera that is called "0" or "front.left".


def _named(tree: Any) -> Named:
    return dict(tree_flatten(tree))


def _parts(named: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What belongs to the policy and what to the value function; each has its own optimizer."""
    parts: dict[str, dict[str, Any]] = {"policy": {}, "value": {}}
    for name, array in named.items():
        parts["value" if is_value_parameter(name) else "policy"][name] = array
    return parts


def _optimizer(spec: NetworkSpec) -> optim.Optimizer:
    """Without a state; every step brings its learning rate along."""
    if spec.optimizer == "adam":
        return optim.Adam(0.0, bias_correction=True, **spec.optimizer_kwargs)
    return optim.SGD(0.0, **spec.optimizer_kwargs)


def _norm(arrays: Iterable[mx.array]) -> mx.array:
    return mx.sqrt(mx.sum(mx.stack([mx.sum(array * array) for array in arrays])))


def _step(
    spec: NetworkSpec,
    parameters: Named,
    states: Mapping[str, Any],
    gradient: Named,
    rates: Rates,
    limits: Rates,
) -> tuple[Named, dict[str, Any], mx.array]:
    """Clip the gradient, move the parameters; the last result is the norm before clipping."""
    norm = _norm(gradient.values())
    moved: Named = {}
    new_states = {}
    for own, part in _parts(gradient).items():
        rate, limit, own_norm = rates.policy, limits.policy, norm
        if rates.value is not None:
            rate = getattr(rates, own)
        if limits.value is not None:
            limit, own_norm = getattr(limits, own), _norm(part.values())
        factor = mx.minimum(limit / (own_norm + 1e-6), 1.0)
        optimizer = _optimizer(spec)
        # The optimizer writes into the dictionaries of its state: these are copies.
        optimizer.state = tree_map(lambda leaf: leaf, states[own]) | {"learning_rate": rate}
        clipped = {name: array * factor for name, array in part.items()}
        moved |= optimizer.apply_gradients(clipped, parameters)
        new_states[own] = optimizer.state
    return moved, new_states, norm


class MlxActorCritic(AutogradActorCritic):
    """PPO's network in MLX, on its default device; without convolutions it acts in NumPy on any.

    Canonical arrays and MLX's differ in the weights of convolutions, where MLX has the channels
    last; a network of the user's own keeps its arrays as they are.

    Only the optimizer's step is compiled. On a CPU that means running g++ for every new kernel: the
    step's few serve all networks, but each network's gradient would need a dozen of its own.

    Args:
        spec: The network to build.
        parameters: Canonical initial parameters; None: the user's own network's.
    """

    name = "mlx"

    def __init__(self, spec: NetworkSpec, parameters: dict[str, NDArray] | None) -> None:
        super().__init__(spec, parameters)
        make: Any = Network if spec.network is None else OwnNetwork
        self.network = make(spec)
        named = _named(self.network.parameters())
        self.shapes = (
            shapes(spec)
            if spec.network is None
            else {name: tuple(array.shape) for name, array in named.items()}
        )
        self._states: dict[str, Any] = {}  # of the policy's and of the value function's optimizer
        if parameters is not None:
            self.load_parameters(parameters)
        self.load_optimizer_state({"step": 0})

        def loss(batch: Batch, coefs: Coefficients) -> tuple[mx.array, Predictions]:
            predictions = predictions_of(self.xp, spec, self.network(batch.obs), batch.actions)
            return loss_of(self.xp, predictions, batch, coefs), predictions

        self._gradient = nn.value_and_grad(self.network, loss)
        learns = _named(self.network.trainable_parameters())
        self._frozen = {n: mx.zeros_like(a) for n, a in named.items() if n not in learns}
        self._step = mx.compile(partial(_step, spec))

    @property
    def own_network(self) -> Any:
        """The user's module, or None."""
        return None if self.spec.network is None else self.network.network

    def set_training_mode(self, mode: bool) -> None:
        """For dropout and the like in a network of the user's own."""
        self.network.train(mode)

    def tensor(self, array: NDArray) -> mx.array:
        """NumPy to MLX."""
        return mx.array(array)

    def _from_canonical(self, array: NDArray) -> mx.array:
        array = np.asarray(array, np.float32)
        is_turned = array.ndim == 4 and self.spec.network is None
        return mx.array(array.transpose(0, 2, 3, 1) if is_turned else array)

    def _canonical(self, array: mx.array) -> NDArray:
        """A copy: what NumPy makes of an MLX array by itself shares its memory."""
        is_turned = array.ndim == 4 and self.spec.network is None
        return np.array(array.transpose(0, 3, 1, 2) if is_turned else array, order="C")

    def infer(self, x: Any, actor_only: bool) -> Outputs:
        """One forward pass."""
        return self.network(x, actor_only)

    # The update

    def loss_and_grad(self, minibatch: Batch, coefs: Coefficients) -> tuple[Predictions, Named]:
        """A minibatch's predictions and gradient, the latter under canonical names."""
        (_, predictions), gradient = self._gradient(self.minibatch_tensors(minibatch), coefs)
        mx.eval(predictions, gradient)
        found = Predictions(*(None if p is None else np.asarray(p) for p in predictions))
        return found, self._frozen | _named(gradient)

    def named_gradients(self, gradient: Named) -> dict[str, NDArray]:
        """A gradient in NumPy."""
        return {name: self._canonical(gradient[name]) for name in self.shapes}

    def combine(self, total: Named | None, gradient: Named, weight: float) -> Named:
        """``total + weight * gradient``."""
        if total is None:
            return {name: array * weight for name, array in gradient.items()}
        return {name: total[name] + array * weight for name, array in gradient.items()}

    def apply_gradients(self, gradient: Named, learning_rate: Rates, max_grad_norm: Rates) -> float:
        """Clip by the norm and step."""
        # As arrays: a compiled function is compiled again for every new Python number.
        rates, limits = (
            Rates(*(None if x is None else mx.array(x) for x in pair))  # type: ignore[arg-type]
            for pair in (learning_rate, max_grad_norm)
        )
        before = _named(self.network.parameters())
        parameters, states, norm = self._step(before, self._states, gradient, rates, limits)
        mx.eval(parameters, states, norm)
        if not math.isfinite(norm):
            raise_not_finite(self.named_gradients(gradient))
        self._set(parameters)
        self._states = states
        return float(norm)

    # Canonical dictionaries

    def _set(self, parameters: Named) -> None:
        tree = self.network.parameters()
        self.network.update(tree_map_with_path(lambda name, _: parameters[name], tree))
        self._is_twin_old = True

    def parameters(self) -> dict[str, NDArray]:
        """Copies of the parameters."""
        return self.named_gradients(_named(self.network.parameters()))

    def load_parameters(self, parameters: dict[str, NDArray]) -> None:
        """Set all parameters."""
        check_names_and_shapes(self.shapes, parameters)
        self._set({name: self._from_canonical(array) for name, array in parameters.items()})

    def _moments(self) -> dict[str, str]:
        """MLX's names for the optimizer's moments by ours, which are torch's."""
        if self.spec.optimizer == "adam":
            return {"exp_avg": "m", "exp_avg_sq": "v"}
        return {"momentum_buffer": "v"} if self.spec.optimizer_kwargs.get("momentum") else {}

    def optimizer_state(self) -> dict[str, Any]:
        """``{"step": int, moment: {name: array}}``."""
        result: dict[str, Any] = {"step": int(self._states["policy"]["step"].item())}
        if result["step"]:
            found = self._states["policy"] | self._states["value"]
            for moment, key in self._moments().items():
                result[moment] = {name: self._canonical(found[name][key]) for name in self.shapes}
        return result

    def load_optimizer_state(self, state: dict[str, Any]) -> None:
        """Set what :meth:`optimizer_state` gave."""
        step = max(int(state["step"]), int("momentum_buffer" in state))
        self._states = {}
        for own, part in _parts(_named(self.network.parameters())).items():
            optimizer = _optimizer(self.spec)
            optimizer.init(part)
            optimizer.state["step"] = mx.array(step, mx.uint64)
            for moment, key in self._moments().items():
                for name in part if moment in state else ():
                    optimizer.state[name][key] = self._from_canonical(state[moment][name])
            self._states[own] = optimizer.state
