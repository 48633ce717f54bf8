"""Activations: each function beside its derivative.

``forward(z)`` works in place. ``backward(d_y, z, y, scratch)`` multiplies ``d_y`` in place by the
derivative, taken from the output y where that is possible (``tanh' = 1 - y^2``) and from the input
z where it isn't (then ``needs_input`` is True and z is a copy; otherwise z is y itself).
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIVATIONS", "Activation"]

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Activation:
    """A function and its derivative."""

    forward: Callable[[Array], Array]
    backward: Callable[[Array, Array, Array, Array], Array]
    needs_input: bool = False


def _tanh(z: Array) -> Array:
    return np.tanh(z, out=z)


def _d_tanh(d_y: Array, _z: Array, y: Array, scratch: Array) -> Array:
    """``1 - y^2``."""
    np.multiply(y, y, out=scratch)
    np.subtract(1.0, scratch, out=scratch)
    return np.multiply(d_y, scratch, out=d_y)


def _relu(z: Array) -> Array:
    return np.maximum(z, 0.0, out=z)


def _d_relu(d_y: Array, _z: Array, y: Array, _scratch: Array) -> Array:
    """1 where the output is positive."""
    return np.multiply(d_y, y > 0.0, out=d_y)


def _leaky_relu(z: Array) -> Array:
    return np.maximum(z, z * 0.01, out=z)


def _d_leaky_relu(d_y: Array, _z: Array, y: Array, _scratch: Array) -> Array:
    """1 where the output is positive, else 0.01."""
    return np.multiply(d_y, 0.01, out=d_y, where=y <= 0.0)


def _elu(z: Array) -> Array:
    np.copyto(z, np.expm1(np.minimum(z, 0.0)), where=z < 0.0)
    return z


def _d_elu(d_y: Array, _z: Array, y: Array, _scratch: Array) -> Array:
    """1 above 0, ``e^z = y + 1`` below."""
    return np.multiply(d_y, np.minimum(y, 0.0) + 1.0, out=d_y)


def _sigmoid_of(z: Array) -> Array:
    return 0.5 * (np.tanh(0.5 * z) + 1.0)  # never overflows


def _sigmoid(z: Array) -> Array:
    np.copyto(z, _sigmoid_of(z))
    return z


def _d_sigmoid(d_y: Array, _z: Array, y: Array, _scratch: Array) -> Array:
    """``y (1 - y)``."""
    return np.multiply(d_y, y * (1.0 - y), out=d_y)


def _silu(z: Array) -> Array:
    return np.multiply(z, _sigmoid_of(z), out=z)


def _d_silu(d_y: Array, z: Array, _y: Array, _scratch: Array) -> Array:
    """``s + z s (1 - s)`` with ``s = sigmoid(z)``."""
    s = _sigmoid_of(z)
    return np.multiply(d_y, s * (1.0 + z * (1.0 - s)), out=d_y)


def _softplus(z: Array) -> Array:
    return np.logaddexp(z, 0.0, out=z)


def _d_softplus(d_y: Array, _z: Array, y: Array, _scratch: Array) -> Array:
    """``sigmoid(z) = 1 - e^-y``."""
    return np.multiply(d_y, -np.expm1(-y), out=d_y)


def _identity(z: Array) -> Array:
    return z


def _d_identity(d_y: Array, _z: Array, _y: Array, _scratch: Array) -> Array:
    """1."""
    return d_y


ACTIVATIONS = {
    "tanh": Activation(_tanh, _d_tanh),
    "relu": Activation(_relu, _d_relu),
    "leaky_relu": Activation(_leaky_relu, _d_leaky_relu),
    "elu": Activation(_elu, _d_elu),
    "sigmoid": Activation(_sigmoid, _d_sigmoid),
    "silu": Activation(_silu, _d_silu, needs_input=True),
    "softplus": Activation(_softplus, _d_softplus),
    "identity": Activation(_identity, _d_identity),
}
