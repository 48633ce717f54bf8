"""What ``backend="auto"`` decides.

* Torch for what only torch has (a policy or feature extractor of one's own, other optimizers, a
  GPU), and for images: its convolutions are the fastest of the four on a CPU.
* Else JAX where it's installed and the run is long enough to earn back its compilation.
* Else NumPy, which starts at once.

MLX is never chosen: on Linux it is slow, and on a Mac's GPU nobody has measured it here.
"""

import importlib.util

__all__ = ["for_run"]

_SECONDS_TO_COMPILE = 4.0  # importing JAX and compiling an update, on one slow core
_SAVED_PER_MINIBATCH = 70e-6  # seconds; 64 rows through 64-64 towers: 160 us in NumPy, 80 in JAX


def for_run(n_minibatches: int) -> tuple[str, str]:
    """The faster backend for a network without images on a CPU, and why.

    Args:
        n_minibatches: Of the whole run.
    """
    worth = n_minibatches * _SAVED_PER_MINIBATCH > _SECONDS_TO_COMPILE
    if worth and all(map(importlib.util.find_spec, ("jax", "equinox", "optax"))):
        return "jax", f"{n_minibatches:,} minibatches are worth a compilation"
    return "numpy", ""
