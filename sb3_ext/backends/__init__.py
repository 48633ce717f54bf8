"""The array frameworks in which PPO runs: each holds a network, its gradient and its optimizer."""

import importlib
from typing import Any

from sb3_ext.backends.base import ActorCritic
from sb3_ext.backends.spec import NetworkSpec

__all__ = ["BACKENDS", "create"]

BACKENDS = {
    "numpy": "sb3_ext.backends.numpy_backend:NumpyActorCritic",
}


def create(name: str, spec: NetworkSpec, parameters: dict[str, Any]) -> ActorCritic:
    """Build a backend's network, starting from canonical parameters.

    Raises:
        ValueError: no such backend.
    """
    if name not in BACKENDS:
        raise ValueError(f"unknown backend {name!r}: choose from {', '.join(BACKENDS)}")
    module, _, attribute = BACKENDS[name].partition(":")
    cls: type[ActorCritic] = getattr(importlib.import_module(module), attribute)
    return cls(spec, parameters)
