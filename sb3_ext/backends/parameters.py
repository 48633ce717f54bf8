"""Canonical parameters: names as stable-baselines3 gives them, shapes as PyTorch lays them out.

Every backend speaks ``dict[name, array]`` with these names and shapes, so a checkpoint moves
between backends and to and from SB3, and one initializer starts all from identical weights.

===========================================  =====================================================
``log_std``                                  ``[A]``; ``[latent, A]`` or ``[latent, 1]`` for gSDE
``features_extractor.cnn.0.weight`` ...      NatureCNN: cnn.0, cnn.2, cnn.4, linear.0
``features_extractor.extractors.KEY.cnn...``  the same for each image of a Dict
``vf_features_extractor...``                 the critic's own extractor, if it isn't shared
``mlp_extractor.policy_net.0.weight`` ...    ``[out, in]``; indices count activations too: 0, 2, 4
``mlp_extractor.value_net.0.weight`` ...
``action_net.weight``, ``value_net.weight``  and every ``.bias``
===========================================  =====================================================

A network of the user's own has ``log_std`` and ``network.<path>``, named and shaped as its
framework has it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.spec import NATURE_CNN, NetworkSpec

__all__ = [
    "FlatParameters",
    "aliases",
    "check_names_and_shapes",
    "initialize",
    "orthogonal",
    "shapes",
]

Shapes = dict[str, tuple[int, ...]]


def _linear(name: str, n_in: int, n_out: int) -> Shapes:
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


def _tower(name: str, n_in: int, widths: Sequence[int]) -> Shapes:
    result: Shapes = {}
    for k, width in enumerate(widths):
        result |= _linear(f"mlp_extractor.{name}.{2 * k}", n_in, width)
        n_in = width
    return result


def _cnn(prefix: str, image_shape: tuple[int, ...], n_out: int) -> Shapes:
    channels, height, width = image_shape
    result: Shapes = {}
    for k, (n_filters, size, stride) in enumerate(NATURE_CNN):
        result[f"{prefix}cnn.{2 * k}.weight"] = (n_filters, channels, size, size)
        result[f"{prefix}cnn.{2 * k}.bias"] = (n_filters,)
        channels = n_filters
        height, width = (height - size) // stride + 1, (width - size) // stride + 1
    return result | _linear(f"{prefix}linear.0", channels * height * width, n_out)


def _extractor(spec: NetworkSpec, name: str) -> Shapes:
    result: Shapes = {}
    for key, space in spec.images.items():
        inner = f"extractors.{key}." if key else ""
        result |= _cnn(f"{name}.{inner}", space.shape, spec.cnn_features)
    return result


def shapes(spec: NetworkSpec) -> Shapes:
    """Names and shapes of all parameters, in the order in which SB3's optimizer numbers them."""
    latent_pi = spec.pi[-1] if spec.pi else spec.n_features
    latent_vf = spec.vf[-1] if spec.vf else spec.n_features
    result: Shapes = {}
    if spec.log_std_shape is not None:
        result["log_std"] = spec.log_std_shape
    result |= _extractor(spec, "features_extractor")
    if not spec.share_features_extractor:
        result |= _extractor(spec, "vf_features_extractor")
    result |= _tower("policy_net", spec.n_features, spec.pi)
    result |= _tower("value_net", spec.n_features, spec.vf)
    result |= _linear("action_net", latent_pi, spec.n_action_outputs)
    return result | _linear("value_net", latent_vf, 1)


def aliases(spec: NetworkSpec) -> dict[str, str]:
    """Names that SB3's state dict has besides the canonical ones, and what each stands for.

    SB3 lists a shared extractor three times, and the actor's own one twice.
    """
    result: dict[str, str] = {}
    if spec.network is not None:
        return result
    for name in _extractor(spec, "features_extractor"):
        tail = name.removeprefix("features_extractor")
        result[f"pi_features_extractor{tail}"] = name
        if spec.share_features_extractor:
            result[f"vf_features_extractor{tail}"] = name
    return result


def is_value_parameter(name: str) -> bool:
    """Whether a parameter belongs to the critic alone."""
    return name.startswith(("value_net.", "mlp_extractor.value_net.", "vf_features_extractor."))


def initialize(spec: NetworkSpec, rng: np.random.Generator) -> dict[str, NDArray[np.float32]]:
    """Initial parameters, float32.

    With ``ortho_init``: orthogonal weights and zero biases, gain sqrt(2) for hidden layers, 0.01
    for the action head (so that the first policy hardly depends on the state), 1 for the value
    head. Without: ``U(-1, 1) / sqrt(n_in)`` for weights and biases, PyTorch's own default.
    """
    result: dict[str, NDArray[np.float32]] = {}
    bound = 0.0
    for name, shape in shapes(spec).items():
        if name == "log_std":
            value = np.full(shape, spec.log_std_init)
        elif not spec.ortho_init:
            if name.endswith("weight"):  # the bias follows its weight and shares its limit
                bound = 1.0 / math.sqrt(math.prod(shape[1:]))
            value = rng.uniform(-bound, bound, shape)
        elif name.endswith("bias"):
            value = np.zeros(shape)
        else:
            gain = {"action_net.weight": 0.01, "value_net.weight": 1.0}.get(name, math.sqrt(2.0))
            value = gain * orthogonal(rng, shape)
        result[name] = value.astype(np.float32)
    return result


def orthogonal(rng: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Rows (or columns, if there are more rows) are orthonormal; uniform over such matrices."""
    n_rows, n_columns = shape[0], math.prod(shape[1:])
    gaussian = rng.standard_normal((max(n_rows, n_columns), min(n_rows, n_columns)))
    q, r = np.linalg.qr(gaussian)
    q *= np.sign(np.diag(r))  # makes the decomposition unique, hence q uniform
    return (q if n_rows >= n_columns else q.T).reshape(shape)


def check_names_and_shapes(expected: Shapes, parameters: Mapping[str, Any]) -> None:
    """Compare canonical parameters with what a network has.

    Raises:
        KeyError: a name is missing or unknown.
        ValueError: a shape differs.
    """
    missing = expected.keys() - parameters.keys()
    unknown = parameters.keys() - expected.keys()
    if missing or unknown:
        raise KeyError(f"parameters missing: {sorted(missing)}, unknown: {sorted(unknown)}")
    for name, shape in expected.items():
        if np.shape(parameters[name]) != shape:
            raise ValueError(
                f"{name} has shape {np.shape(parameters[name])}, the network's is {shape}"
            )


class FlatParameters:
    """One vector with a named view for every parameter.

    Norms, clipping and the optimizer then are a few operations on one vector, whatever the network.

    Args:
        shapes: Names and shapes.
        order: The names in the order in which they lie in the vector.
        dtype: Of the vector.

    Attributes:
        vector: All numbers, ``[n]``.
        views: Each parameter, a view into the vector.
    """

    def __init__(
        self,
        shapes: Mapping[str, tuple[int, ...]],
        order: Iterable[str] | None = None,
        dtype: type | np.dtype = np.float32,
    ) -> None:
        self.shapes = dict(shapes)
        self.order = list(order or shapes)
        assert sorted(self.order) == sorted(self.shapes)
        self.vector = np.zeros(sum(map(math.prod, self.shapes.values())), dtype)
        self.views = self.views_of(self.vector)

    def views_of(self, vector: NDArray) -> dict[str, NDArray]:
        """Named views into another vector of the same layout, in canonical order."""
        views, start = {}, 0
        for name in self.order:
            stop = start + math.prod(self.shapes[name])
            views[name] = vector[start:stop].reshape(self.shapes[name])
            start = stop
        return {name: views[name] for name in self.shapes}

    def stacked(self, names: Sequence[str]) -> NDArray:
        """One view ``[len(names), ...]`` of equally shaped parameters that lie side by side."""
        first = self.order.index(names[0])
        assert self.order[first : first + len(names)] == list(names), f"{names} aren't neighbors"
        shape = self.shapes[names[0]]
        start = sum(math.prod(self.shapes[name]) for name in self.order[:first])
        stop = start + len(names) * math.prod(shape)
        return self.vector[start:stop].reshape(len(names), *shape)

    def load(self, parameters: Mapping[str, Any]) -> None:
        """Copy canonical parameters in.

        Raises:
            KeyError: a name is missing or unknown.
            ValueError: a shape differs.
        """
        check_names_and_shapes(self.shapes, parameters)
        for name, view in self.views.items():
            view[...] = parameters[name]

    def copy(self) -> dict[str, NDArray]:
        """The parameters as arrays of their own."""
        return {name: view.copy() for name, view in self.views.items()}

    def where(self, vector: NDArray, bad: NDArray[np.bool_]) -> str:
        """Name of the first parameter that has an element marked in ``bad [n]``."""
        return next(name for name, view in self.views_of(bad).items() if view.any())
