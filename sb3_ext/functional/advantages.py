"""Generalized advantage estimation (Schulman et al. 2016, https://arxiv.org/abs/1506.02438).

::

    delta_t = r_t + gamma V(s_t+1) (1 - done_t) - V(s_t)
    A_t     = delta_t + gamma lambda (1 - done_t) A_t+1
    R_t     = A_t + V(s_t)

``done`` ends a trajectory, by termination or by truncation. A truncated one is worth something
beyond its end: the caller adds ``gamma V(terminal observation)`` to its last reward.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["gae", "gae_of_segments", "normalize"]

Floats = NDArray[np.floating]


def gae(
    rewards: Floats,
    values: Floats,
    dones: NDArray,
    last_values: Floats,
    gamma: float,
    gae_lambda: float,
) -> Floats:
    """Advantages of rows that step together.

    Args:
        rewards: ``[n_steps, n_rows]``.
        values: V(s_t), ``[n_steps, n_rows]``.
        dones: Whether step t ended the row's trajectory, ``[n_steps, n_rows]``.
        last_values: V of the observation after the last step, ``[n_rows]``; unused where done.
        gamma: Discount factor.
        gae_lambda: lambda.

    Returns:
        ``[n_steps, n_rows]`` in ``values``' dtype.
    """
    assert rewards.shape == values.shape == dones.shape, (rewards.shape, values.shape, dones.shape)
    assert last_values.shape == rewards.shape[1:], (last_values.shape, rewards.shape)
    going_on = np.subtract(1.0, dones, dtype=values.dtype)
    next_values = np.concatenate([values[1:], last_values[None].astype(values.dtype)])
    delta = rewards + gamma * next_values * going_on - values
    return _discounted_sum(delta, gamma * gae_lambda * going_on)


def _discounted_sum(delta: Floats, decay: Floats) -> Floats:
    """``A_t = delta_t + decay_t A_t+1``, from the last step to the first."""
    result = np.empty_like(delta)
    if delta.shape[1] == 1:  # Python floats are several times faster than arrays of one number
        numbers, total = [], 0.0
        for d, c in zip(delta[::-1, 0].tolist(), decay[::-1, 0].tolist(), strict=True):
            total = d + c * total
            numbers.append(total)
        result[::-1, 0] = numbers
        return result
    later = np.zeros_like(delta[0])
    for here, d, c in zip(result[::-1], delta[::-1], decay[::-1], strict=True):
        np.multiply(c, later, out=here)
        here += d
        later = here
    return result


def gae_of_segments(
    rewards: Floats,
    values: Floats,
    dones: NDArray,
    segments: Sequence[NDArray[np.integer]],
    last_values: Floats,
    gamma: float,
    gae_lambda: float,
) -> Floats:
    """Advantages of a flat store whose rows were collected each at its own pace.

    Args:
        rewards: ``[n]``, in any order.
        values: ``[n]``.
        dones: ``[n]``.
        segments: For each piece of one row's path, the indices of its transitions in time order.
            An index in no segment (a row that was inactive) gets advantage 0.
        last_values: ``[n_segments]``, V of the observation after each segment's last transition;
            unused where that transition is done.
        gamma: Discount factor.
        gae_lambda: lambda.

    Returns:
        ``[n]``.
    """
    advantages = np.zeros_like(values)
    if not segments:
        return advantages
    longest = max(map(len, segments))
    # Segments end together in the padded block, so that each one's bootstrap is its last row's.
    where = np.full((longest, len(segments)), -1)
    for column, indices in enumerate(segments):
        where[longest - len(indices) :, column] = indices
    inside = where >= 0
    block = gae(
        np.where(inside, rewards[where], 0.0),
        np.where(inside, values[where], 0.0),
        np.where(inside, dones[where], True),
        last_values,
        gamma,
        gae_lambda,
    )
    advantages[where[inside]] = block[inside]
    return advantages


def normalize(advantages: Floats, starts: Sequence[int] = (0,), epsilon: float = 1e-8) -> Floats:
    """``(A - mean) / (std + epsilon)`` within each minibatch, with the unbiased std.

    Args:
        advantages: ``[n]``, in the order of the minibatches.
        starts: Index at which each minibatch begins; the first is 0.
        epsilon: Keeps equal advantages finite.

    Returns:
        ``[n]``. A minibatch of one transition is left as it is: it has no deviation.
    """
    bounds = np.asarray(starts)
    counts = np.diff(bounds, append=len(advantages))
    means = np.add.reduceat(advantages, bounds) / counts
    centered = advantages - np.repeat(means, counts).astype(advantages.dtype)
    variances = np.add.reduceat(centered * centered, bounds) / np.maximum(counts - 1, 1)
    scale = 1.0 / (np.sqrt(variances) + epsilon)
    result = centered * np.repeat(scale, counts).astype(advantages.dtype)
    lonely = np.repeat(counts == 1, counts)
    return np.where(lonely, advantages, result)
