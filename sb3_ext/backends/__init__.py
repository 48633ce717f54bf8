"""The array frameworks in which PPO runs: each holds a network, its gradient and its optimizer."""

import importlib
from typing import Any

from sb3_ext.backends.base import ActorCritic
from sb3_ext.backends.spec import NetworkSpec

__all__ = ["BACKENDS", "backend_class", "create"]

BACKENDS = {
    "numpy": "sb3_ext.backends.numpy_backend:NumpyActorCritic",
    "torch": "sb3_ext.backends.torch_backend:TorchActorCritic",
    "jax": "sb3_ext.backends.jax_backend:JaxActorCritic",
    "mlx": "sb3_ext.backends.mlx_backend:MlxActorCritic",
}


def backend_class(name: str) -> type[ActorCritic]:
    """A backend's class.

    Raises:
        ValueError: no such backend.
        ImportError: its framework isn't installed; the message names the extra that brings it.
    """
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}: choose from {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        if (error.name or "").startswith("sb3_ext"):
            raise
        raise ImportError(
            f"the {name} backend needs {error.name}: pip install 'sb3_ext[{name}]'",
            name=error.name,
        ) from error


def create(name: str, spec: NetworkSpec, parameters: dict[str, Any] | None) -> ActorCritic:
    """Build a backend's network, starting from canonical parameters, or from its own (None).

    Raises:
        ValueError, ImportError: see :func:`backend_class`.
    """
    return backend_class(name)(spec, parameters)
