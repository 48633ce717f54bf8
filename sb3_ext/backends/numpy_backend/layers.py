"""Layers: forward, and right below it backward, as one derives it on paper.

``forward(x)`` returns y and keeps what backward needs; ``backward(d_y)`` writes the derivatives of
the parameters into the arrays it was given and returns d_x. Here ``d_x`` is d loss / d x, B is the
number of rows, and a leading axis of towers (actor and critic side by side) may stand before it.

Results lie in preallocated workspaces: the next call overwrites them.

``Linear`` and ``Conv2d`` are made from arrays; ``Linear.orthogonal`` and ``Conv2d.orthogonal`` draw
them, for networks of one's own.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from sb3_ext.backends.numpy_backend.activations import Activation
from sb3_ext.backends.numpy_backend.module import Module
from sb3_ext.backends.parameters import orthogonal

__all__ = ["Conv2d", "Linear", "Tower", "Workspace"]

_MOST_SHAPES = 64
_ROWS_WORTH_A_COPY = 32  # small products are twice as fast when both matrices lie row by row


class Workspace:
    """Arrays by name and shape, allocated at first use."""

    def __init__(self, dtype: type | np.dtype) -> None:
        self.dtype = dtype
        self._arrays: dict[tuple[str, tuple[int, ...]], NDArray] = {}

    def __call__(self, name: str, shape: tuple[int, ...]) -> NDArray:
        """An array whose contents are whatever its last user left there."""
        array = self._arrays.get((name, shape))
        if array is None:
            if len(self._arrays) >= _MOST_SHAPES:  # batch sizes that keep changing
                self._arrays.clear()
            array = self._arrays[name, shape] = np.empty(shape, self.dtype)
        return array


class Linear(Module):
    """``y = x W^T + b``.

    Backward: ``d_W = d_y^T x``, ``d_b = sum over rows of d_y``, ``d_x = d_y W``.

    Args:
        weight: ``[..., out, in]``; a leading axis makes several layers side by side.
        bias: ``[..., out]``.
        d_weight: Receives the weight's derivative; None: an array of the layer's own.
        d_bias: Receives the bias's derivative; None: an array of the layer's own.
    """

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(
        self,
        weight: NDArray,
        bias: NDArray,
        d_weight: NDArray | None = None,
        d_bias: NDArray | None = None,
    ) -> None:
        self.weight, self.bias = weight, bias
        self.d_weight = np.zeros_like(weight) if d_weight is None else d_weight
        self.d_bias = np.zeros_like(bias) if d_bias is None else d_bias
        self.x: Any = None
        self.bound()

    @classmethod
    def orthogonal(
        cls, rng: np.random.Generator, n_in: int, n_out: int, gain: float = math.sqrt(2.0)
    ) -> Self:
        """A layer with orthogonal weights times ``gain`` and zero biases, as PPO's usual ones."""
        return cls(gain * orthogonal(rng, (n_out, n_in)), np.zeros(n_out))

    def bound(self) -> None:
        """Views that forward and backward need, and fresh workspaces."""
        self.weight_t = self.weight.swapaxes(-1, -2)
        self.bias_row, self.d_bias_row = self.bias[..., None, :], self.d_bias[..., None, :]
        self.workspace = Workspace(self.weight.dtype)
        self.ones = np.ones((1, 1), self.weight.dtype)

    def forward(self, x: NDArray) -> NDArray:
        """``[..., B, in]`` to ``[..., B, out]``."""
        self.x = x
        shape = (*self.weight.shape[:-2], x.shape[-2], self.weight.shape[-2])
        y = self.workspace("y", shape)
        weight_t = self.weight_t
        if x.shape[-2] >= _ROWS_WORTH_A_COPY:
            weight_t = self.workspace("weight_t", weight_t.shape)
            np.copyto(weight_t, self.weight_t)
        np.matmul(x, weight_t, out=y)
        return np.add(y, self.bias_row, out=y)

    def laid_out_for(self, n_rows: int) -> tuple[NDArray, NDArray, NDArray]:
        """Copies for many forward passes of few rows: W^T, a bias for each row, room for y."""
        biases = np.broadcast_to(self.bias_row, (n_rows, self.weight.shape[0])).copy()
        return self.weight_t.copy(), biases, np.empty_like(biases)

    def backward(
        self, d_y: NDArray, needs_d_x: bool = True, d_x: NDArray | None = None
    ) -> NDArray | None:
        """``[..., B, out]`` to ``[..., B, in]``, or to None if nobody needs it."""
        n_rows = d_y.shape[-2]
        if self.ones.shape[-1] != n_rows:
            self.ones = np.ones((1, n_rows), d_y.dtype)
        np.matmul(d_y.swapaxes(-1, -2), self.x, out=self.d_weight)
        np.matmul(self.ones, d_y, out=self.d_bias_row)  # a sum over rows, faster as a product
        if not needs_d_x:
            return None
        if d_x is None:
            d_x = self.workspace("d_x", (*d_y.shape[:-1], self.weight.shape[-1]))
        # With a single output the product is an outer one, which BLAS is slow at.
        times = np.multiply if d_y.shape[-1] == 1 else np.matmul
        return times(d_y, self.weight, out=d_x)


class Tower(Module):
    """Linear layers, an activation after each; no layer at all is the identity."""

    def __init__(self, layers: Sequence[Linear], activation: Activation) -> None:
        self.layers = list(layers)
        self.activation = activation
        self.outputs: list[tuple[NDArray, NDArray]] = []
        self.bound()

    def bound(self) -> None:
        """Fresh workspaces."""
        self.workspace = Workspace(self.layers[0].weight.dtype if self.layers else np.float32)

    def forward(self, x: NDArray) -> NDArray:
        """``h_k = f(h_k-1 W_k^T + b_k)``."""
        self.outputs.clear()
        for k, layer in enumerate(self.layers):
            z = layer.forward(x)
            kept = z
            if self.activation.needs_input:
                kept = self.workspace(f"z{k}", z.shape)
                np.copyto(kept, z)
            x = self.activation.forward(z)
            self.outputs.append((kept, x))
        return x

    def backward(self, d_h: NDArray, needs_d_x: bool = False) -> NDArray | None:
        """From the last layer to the first; ``d_h`` is overwritten."""
        d_x: NDArray | None = d_h
        for k in reversed(range(len(self.layers))):
            assert d_x is not None
            z, h = self.outputs[k]
            scratch = self.workspace("scratch", h.shape)
            d_z = self.activation.backward(d_x, z, h, scratch)
            d_x = self.layers[k].backward(d_z, needs_d_x or k > 0)
        return d_x


class Conv2d(Module):
    """A convolution without padding, as one matrix product.

    Each output pixel sees a window of ``size * size * C`` inputs. With the windows as rows of a
    matrix, ``y = windows W^T + b`` is a linear layer; backward adds each window's derivative back
    to where it was read.

    Images are ``[B, H, W, C]`` in here, so that a window's rows are contiguous; weights keep their
    canonical ``[out, C, size, size]``.
    """

    arrays: ClassVar[tuple[str, ...]] = ("weight", "bias")

    def __init__(
        self,
        stride: int,
        weight: NDArray,
        bias: NDArray,
        d_weight: NDArray | None = None,
        d_bias: NDArray | None = None,
    ) -> None:
        self.weight, self.bias = weight, bias
        self.d_weight = np.zeros_like(weight) if d_weight is None else d_weight
        self.d_bias = np.zeros_like(bias) if d_bias is None else d_bias
        self.n_out, self.n_in, self.size, _ = weight.shape
        self.stride = stride
        self.windows: Any = None
        self.matrix: Any = None
        self.input_shape: tuple[int, ...] = ()
        self.bound()

    @classmethod
    def orthogonal(
        cls,
        rng: np.random.Generator,
        n_in: int,
        n_out: int,
        size: int,
        stride: int = 1,
        gain: float = math.sqrt(2.0),
    ) -> Self:
        """A convolution with orthogonal weights times ``gain`` and zero biases."""
        return cls(stride, gain * orthogonal(rng, (n_out, n_in, size, size)), np.zeros(n_out))

    def bound(self) -> None:
        """Fresh workspaces."""
        self.workspace = Workspace(self.weight.dtype)

    def forward(self, x: NDArray) -> NDArray:
        """``[B, H, W, C]`` to ``[B, H', W', out]``."""
        b, height, width, channels = self.input_shape = x.shape
        size, stride = self.size, self.stride
        rows, columns = (height - size) // stride + 1, (width - size) // stride + 1
        s = x.strides
        view = np.lib.stride_tricks.as_strided(
            x,
            (b, rows, columns, size, size, channels),
            (s[0], s[1] * stride, s[2] * stride, s[1], s[2], s[3]),
            writeable=False,
        )
        windows = self.workspace("windows", view.shape)
        np.copyto(windows, view)
        self.windows = windows.reshape(b * rows * columns, -1)
        self.matrix = self.weight.transpose(0, 2, 3, 1).reshape(self.n_out, -1)
        y = self.workspace("y", (b * rows * columns, self.n_out))
        np.matmul(self.windows, self.matrix.T, out=y)
        np.add(y, self.bias, out=y)
        return y.reshape(b, rows, columns, self.n_out)

    def backward(self, d_y: NDArray, needs_d_x: bool = True) -> NDArray | None:
        """``[B, H', W', out]`` to ``[B, H, W, C]``."""
        b, rows, columns, _ = d_y.shape
        size, stride = self.size, self.stride
        flat = d_y.reshape(-1, self.n_out)
        d_matrix = flat.T @ self.windows
        self.d_weight[...] = d_matrix.reshape(self.n_out, size, size, self.n_in).transpose(
            0, 3, 1, 2
        )
        np.matmul(np.ones(len(flat), flat.dtype), flat, out=self.d_bias)
        if not needs_d_x:
            return None
        d_windows = self.workspace("d_windows", self.windows.shape)
        np.matmul(flat, self.matrix, out=d_windows)
        pieces = d_windows.reshape(b, rows, columns, size, size, self.n_in)
        d_x = self.workspace("d_x", self.input_shape)
        d_x.fill(0.0)
        for i in range(size):
            for j in range(size):
                target = d_x[:, i : i + stride * rows : stride, j : j + stride * columns : stride]
                target += pieces[:, :, :, i, j]
        return d_x
