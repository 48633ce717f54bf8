"""From an actor network's outputs to a Gaussian's parameters, in four frameworks.

A categorical, multi-categorical or Bernoulli distribution takes the outputs as they are: logits.
These are the ways to a mean and a standard deviation. ``xp`` as in ``functional/xp.py``; frameworks
that differentiate by themselves need nothing else, NumPy's derivatives stand in
``backends/numpy_backend/heads.py``.
"""

from typing import Any

from sb3_ext.functional.distributions import GaussianParams

__all__ = ["EPSILON", "exploration", "exploration_std", "gaussian", "state_gaussian"]

Array = Any
EPSILON = 1e-6


def gaussian(xp: Any, outputs: Array, log_std: Array, mean: str = "linear") -> GaussianParams:
    """Mean ``[B, A]`` from the outputs ``[B, A]``; the log std ``[A]`` is a parameter."""
    return GaussianParams(xp.tanh(outputs) if mean == "tanh" else outputs, log_std)


def state_gaussian(
    xp: Any, outputs: Array, std_range: tuple[float, float], mean: str = "linear"
) -> GaussianParams:
    """Mean and log std, ``[B, A]`` each, from the two halves of the outputs ``[B, 2 A]``.

    ``std = low + (high - low) (tanh(h) + 1) / 2``.
    """
    n = outputs.shape[-1] // 2
    low, high = std_range
    std = (high + low) / 2.0 + (high - low) / 2.0 * xp.tanh(outputs[..., n:])
    return gaussian(xp, outputs[..., :n], xp.log(std), mean)


def exploration_std(xp: Any, log_std: Array, use_expln: bool) -> Array:
    """The standard deviations S ``[latent, A]`` of gSDE's exploration matrix.

    ``exp(log_std)``; with expln ``log1p(log_std) + 1`` above 0, which grows more slowly.
    """
    if not use_expln:
        return xp.exp(log_std)
    zeros = xp.zeros_like(log_std)
    below = xp.exp(xp.where(log_std > 0, zeros, log_std))
    above = xp.log1p(xp.where(log_std > 0, log_std, zeros) + EPSILON) + 1.0
    return xp.where(log_std > 0, above, below)


def exploration(
    xp: Any, outputs: Array, latent: Array, log_std: Array, use_expln: bool
) -> GaussianParams:
    """gSDE's distribution over draws of the matrix: variance ``latent^2 S^2 + eps``.

    The latent features ``[B, latent]`` get no gradient through the variance. A log std
    ``[latent, 1]`` serves all actions alike.
    """
    std = exploration_std(xp, log_std, use_expln)
    latent = xp.stop_gradient(latent)
    variance = xp.matmul(latent * latent, std * std) + xp.zeros_like(outputs)
    return GaussianParams(outputs, 0.5 * xp.log(variance + EPSILON))
