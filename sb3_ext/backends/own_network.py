"""A network of the user's own as actor and critic, in the framework that it is written in.

It is named by ``policy_kwargs=dict(network=..., network_kwargs=...)`` and made by::

    network(observation_space, n_outputs, **network_kwargs)

a class, a function or the dotted path of one. The type of what comes of it says which backend runs
it. It maps a batch of observations to ``(outputs [B, n_outputs], values [B] or [B, 1])``; the
outputs are logits, or a Gaussian's means, with ``std="state"`` followed by as many numbers for the
standard deviations.
"""

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from gymnasium import spaces

from sb3_ext.backends.observations import encode
from sb3_ext.backends.options import NeedsBackendError
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional import noise

__all__ = [
    "PREFIX",
    "as_read",
    "build",
    "check_answer",
    "check_parameters",
    "example",
    "framework_of",
    "seed_of",
]

PREFIX = "network."
"""What the names of its parameters begin with."""

_BASES = {
    "numpy": ("sb3_ext.backends.numpy_backend.module", "Module"),
    "torch": ("torch.nn", "Module"),
    "jax": ("equinox", "Module"),
    "mlx": ("mlx.nn", "Module"),
}
_NAMES = {
    "torch": "a torch.nn.Module",
    "jax": "an equinox.Module",
    "mlx": "an mlx.nn.Module",
    "numpy": "a Module of sb3_ext.backends.numpy_backend",
}


# Making it


def framework_of(cls: type) -> str | None:
    """The backend that runs objects of a class; None: no backend does."""
    for framework, (module, name) in _BASES.items():
        # Whoever has such a class has imported its base: none needs to be imported here.
        base = getattr(sys.modules.get(module), name, None)
        if base is not None and issubclass(cls, base):
            return framework
    return None


def build(spec: NetworkSpec, framework: str) -> Any:
    """Make the network that a spec names.

    Args:
        spec: With a ``network``.
        framework: The backend that wants it.

    Raises:
        NeedsBackendError: it belongs to another backend.
        ValueError: it can't be imported, or is none of the four frameworks'.
    """
    name, make = _name(spec.network), _resolved(spec.network)
    known = framework_of(make) if isinstance(make, type) else None
    _check_framework(name, known or framework, framework)
    network = make(
        spec.observation_space,
        spec.n_action_outputs,
        **_randomness(make, known, spec),
        **spec.network_kwargs,
    )
    found = framework_of(type(network))
    if found is None:
        raise ValueError(
            f"policy_kwargs: network={name} makes a {type(network).__qualname__}; what a backend "
            f"can run is {', '.join(list(_NAMES.values())[:-1])} or {_NAMES['numpy']}"
        )
    _check_framework(name, found, framework)
    return network


def seed_of(spec: NetworkSpec) -> int:
    """For a framework's own generator."""
    return int(noise.generator(spec.network_seed, noise.INITIAL).integers(2**31))


def _name(network: Any) -> str:
    return network if isinstance(network, str) else getattr(network, "__qualname__", repr(network))


def _resolved(network: Any) -> Callable[..., Any]:
    make = network
    if isinstance(network, str):
        try:
            make = pkgutil.resolve_name(network)
        except (ImportError, AttributeError, ValueError) as error:
            raise ValueError(f"policy_kwargs: network={network!r}: {error}") from error
    if not isinstance(make, type) and framework_of(type(make)) is not None:
        raise ValueError(
            f"policy_kwargs: network is a {type(make).__qualname__}: give what makes it, the class "
            "or a function, so that the same seed makes the same network"
        )
    if not callable(make):
        raise ValueError(
            f"policy_kwargs: network={network!r} is no class, function or dotted path of one"
        )
    return make


def _randomness(make: Callable[..., Any], framework: str | None, spec: NetworkSpec) -> Any:
    """``rng`` for NumPy, ``key`` for JAX, where the signature asks for it; others are seeded."""
    try:
        asked = inspect.signature(make).parameters.keys() - spec.network_kwargs.keys()
    except (TypeError, ValueError):  # built-in code has none
        return {}
    result: dict[str, Any] = {}
    if "rng" in asked and framework in (None, "numpy"):
        result["rng"] = noise.generator(spec.network_seed, noise.INITIAL)
    if "key" in asked and framework in (None, "jax"):
        result["key"] = importlib.import_module("jax").random.key(seed_of(spec))
    return result


def _check_framework(name: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise NeedsBackendError(
            f"policy_kwargs: network={name}",
            f"is {_NAMES[found]}: it needs backend={found!r}, not {wanted!r}",
            backend=found,
        )


# What it reads


def as_read(spec: NetworkSpec, x: Any, raw_images: bool) -> Any:
    """Encoded observations as it reads them: a Box in its own shape, images as floats.

    Args:
        spec: With a ``network``.
        x: As the built-in networks read them, arrays of any framework.
        raw_images: Images are still as the env gave them.
    """

    def part(key: str, space: spaces.Space, x: Any) -> Any:
        if raw_images and key in spec.images:
            return x * spec.image_scale(key)
        if isinstance(space, spaces.Box | spaces.MultiBinary):
            return x.reshape(x.shape[0], *space.shape)
        return x.reshape(x.shape[0], -1)

    space = spec.observation_space
    if isinstance(space, spaces.Dict):
        return {key: part(key, inner, x[key]) for key, inner in space.spaces.items()}
    return part("", space, x)


def example(spec: NetworkSpec, n_rows: int = 2, dtype: type | np.dtype = np.float32) -> Any:
    """Some observations, encoded as :func:`as_read` gives them, in NumPy."""
    space = spec.observation_space
    rows = encode(space, _observation(space, n_rows), spec.normalize_images, dtype)
    return as_read(spec, rows, raw_images=False)


def _observation(space: spaces.Space, n_rows: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _observation(part, n_rows) for key, part in space.spaces.items()}
    row: Any = getattr(space, "start", 0)
    if isinstance(space, spaces.Box):
        row = np.clip(0, space.low, space.high)
    return np.broadcast_to(row, (n_rows, *space.shape)).astype(space.dtype)  # type: ignore[misc]


# What it has and says


def check_parameters(spec: NetworkSpec, parameters: Mapping[str, Any]) -> None:
    """Whether there are any, all of them float32.

    Raises:
        ValueError: it says which isn't.
    """
    name = _name(spec.network)
    if not parameters:
        raise ValueError(f"policy_kwargs: network={name} has no parameters to learn")
    for path, array in parameters.items():
        if not str(array.dtype).endswith("float32"):
            raise ValueError(f"policy_kwargs: network={name}: {path} is {array.dtype}, not float32")


def check_answer(spec: NetworkSpec, answer: Any, n_rows: int = 2) -> None:
    """Whether a network's answer is what PPO needs.

    Args:
        spec: With a ``network``.
        answer: What it gave for some observations: arrays, or anything with a shape and a dtype.
        n_rows: How many observations.

    Raises:
        ValueError: it isn't.
    """
    n = spec.n_action_outputs
    found = repr(type(answer).__name__)
    if isinstance(answer, tuple | list) and all(hasattr(part, "shape") for part in answer):
        shapes = [tuple(part.shape) for part in answer]
        if shapes in ([(n_rows, n), (n_rows,)], [(n_rows, n), (n_rows, 1)]):
            if all(str(part.dtype).endswith(("float32", "float64")) for part in answer):
                return
            found = f"arrays of {' and '.join(str(part.dtype) for part in answer)}, not float32"
        else:
            found = f"shapes {', '.join(map(str, shapes))}"
    raise ValueError(
        f"policy_kwargs: network={_name(spec.network)} must give (outputs [B, {n}], values [B] or "
        f"[B, 1]); for B = {n_rows} observations it gave {found}"
    )
