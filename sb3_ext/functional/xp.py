"""The closed list of array functions in which the mathematics is written, for four frameworks.

The distributions and the loss take ``xp``, one of the namespaces below, and use nothing of a
framework but these functions, arithmetic operators, comparison, ``.shape`` and basic slicing.
Written this way one formula runs under NumPy, PyTorch, JAX and MLX, whose own functions differ
in small, annoying ways (PyTorch has no ``maximum(x, 0.0)``, MLX no boolean indexing, ...).

This module imports no framework by itself: :func:`namespace` imports the one it is asked for.
"""

import importlib
from functools import cache
from types import SimpleNamespace
from typing import Any

__all__ = ["FUNCTIONS", "namespace"]

FUNCTIONS = (
    "abs",  # (x)
    "arctanh",  # (x)
    "argmax",  # (x) over the last axis
    "clip",  # (x, low, high), the limits are Python numbers
    "concatenate",  # ([x, ...]) along the last axis
    "exp",  # (x)
    "log",  # (x)
    "log1p",  # (x)
    "logaddexp",  # (x, y)
    "matmul",  # (x, y)
    "max_last",  # (x) over the last axis, which is kept
    "mean",  # (x) over everything
    "minimum",  # (x, y)
    "ones_like",  # (x)
    "one_hot",  # (index, n, like): a new last axis in the dtype of ``like``
    "round",  # (x)
    "sqrt",  # (x)
    "stack",  # ([x, ...]) along a new last axis
    "stop_gradient",  # (x): the identity without a derivative
    "sum",  # (x) over everything
    "sum_last",  # (x) over the last axis, which is dropped
    "take_last",  # (x, index): x[..., index[...]], the last axis is dropped
    "tanh",  # (x)
    "transpose",  # (x): the last two axes swapped
    "where",  # (condition, x, y), x and y may be Python numbers
    "zeros_like",  # (x)
)


@cache
def namespace(name: str) -> Any:
    """The functions of :data:`FUNCTIONS` for ``"numpy"``, ``"torch"``, ``"jax"`` or ``"mlx"``.

    Raises:
        ValueError: for any other name.
    """
    makers = {"numpy": _numpy, "torch": _torch, "jax": _jax, "mlx": _mlx}
    if name not in makers:
        raise ValueError(f"unknown array framework {name!r}: choose from {', '.join(makers)}")
    functions = makers[name]()
    missing = set(FUNCTIONS).symmetric_difference(functions)
    assert not missing, f"the {name} namespace and FUNCTIONS differ in {missing}"
    return SimpleNamespace(**functions)


def _common(module: Any, names: str) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names.split()}


def _numpy() -> dict[str, Any]:
    np = importlib.import_module("numpy")
    add, maximum = np.add.reduce, np.maximum.reduce  # np.sum without its Python wrapper

    def take_last(x: Any, index: Any) -> Any:
        if x.ndim == 2 and index.ndim == 1:
            return x[np.arange(len(index)), index]
        return np.take_along_axis(x, index[..., None], axis=-1)[..., 0]

    return _common(
        np,
        "abs arctanh exp log log1p logaddexp matmul minimum ones_like sqrt tanh where zeros_like",
    ) | {
        "argmax": lambda x: x.argmax(-1),
        "clip": lambda x, low, high: np.minimum(np.maximum(x, low), high),  # np.clip: 3x slower
        "concatenate": lambda arrays: np.concatenate(arrays, axis=-1),
        "max_last": lambda x: maximum(x, -1, keepdims=True),
        "mean": lambda x: add(x, None) / x.size,
        "one_hot": lambda index, n, like: (index[..., None] == np.arange(n)).astype(like.dtype),
        "round": np.rint,
        "stack": lambda arrays: np.stack(arrays, axis=-1),
        "stop_gradient": lambda x: x,
        "sum": lambda x: add(x, None),
        # As a product: NumPy's own sum is slow along an axis as short as an action.
        "sum_last": lambda x: x @ np.ones(x.shape[-1], x.dtype),
        "take_last": take_last,
        "transpose": lambda x: np.swapaxes(x, -1, -2),
    }


def _torch() -> dict[str, Any]:
    torch = importlib.import_module("torch")

    def one_hot(index: Any, n: int, like: Any) -> Any:
        return (index[..., None] == torch.arange(n, device=index.device)).to(like.dtype)

    return _common(
        torch,
        "abs exp log log1p logaddexp matmul minimum ones_like round sqrt tanh where zeros_like",
    ) | {
        "arctanh": torch.atanh,
        "argmax": lambda x: x.argmax(dim=-1),
        "clip": torch.clamp,
        "concatenate": lambda arrays: torch.cat(arrays, dim=-1),
        "max_last": lambda x: x.max(dim=-1, keepdim=True).values,
        "mean": torch.mean,
        "one_hot": one_hot,
        "stack": lambda arrays: torch.stack(arrays, dim=-1),
        "stop_gradient": lambda x: x.detach(),
        "sum": torch.sum,
        "sum_last": lambda x: x.sum(dim=-1),
        "take_last": lambda x, index: x.gather(-1, index.long()[..., None])[..., 0],
        "transpose": lambda x: x.transpose(-1, -2),
    }


def _numpy_like(module: Any) -> dict[str, Any]:
    return _common(
        module,
        "abs arctanh clip exp log log1p logaddexp matmul mean minimum ones_like round sqrt sum tanh"
        " where zeros_like",
    ) | {
        "argmax": lambda x: module.argmax(x, axis=-1),
        "concatenate": lambda arrays: module.concatenate(arrays, axis=-1),
        "max_last": lambda x: module.max(x, axis=-1, keepdims=True),
        "one_hot": lambda index, n, like: (index[..., None] == module.arange(n)).astype(like.dtype),
        "stack": lambda arrays: module.stack(arrays, axis=-1),
        "sum_last": lambda x: module.sum(x, axis=-1),
        "take_last": lambda x, index: module.take_along_axis(
            x, index[..., None].astype(module.int32), axis=-1
        )[..., 0],
        "transpose": lambda x: module.swapaxes(x, -1, -2),
    }


def _jax() -> dict[str, Any]:
    jax = importlib.import_module("jax")
    return _numpy_like(importlib.import_module("jax.numpy")) | {
        "stop_gradient": jax.lax.stop_gradient
    }


def _mlx() -> dict[str, Any]:
    core = importlib.import_module("mlx.core")
    return _numpy_like(core) | {
        "argmax": lambda x: core.argmax(x, axis=-1).astype(core.int32),  # its own are unsigned
        "stop_gradient": core.stop_gradient,
    }
