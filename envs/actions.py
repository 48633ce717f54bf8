"""The border where actions enter: conversion to arrays of the space's type, with clear errors.

A Box's bounds are not checked. What an action beyond them does is the world's business (both of
ours clip it), and a Gaussian policy's samples lie beyond them all the time.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


def single_action(space: spaces.Space, action: Any) -> NDArray:
    """One action as an array of its space's dtype and shape.

    Raises:
        ValueError: The shape is wrong, a number isn't finite, or a discrete action is out of range.
    """
    if isinstance(space, spaces.Box):
        array = _cast(action, space, None)
        if array.shape != space.shape:
            raise ValueError(f"the action must have shape {space.shape}, got {array.shape}")
        _check_finite(array)
        return array
    if not space.contains(action):
        raise ValueError(f"the action must lie in {space}, got {action!r}")
    return np.asarray(action, dtype=space.dtype)


def batch_actions(space: spaces.Space, actions: Any, n_rows: int) -> NDArray:
    """Actions of n rows, `[n_rows, *shape]` in Fortran order: NumPy then iterates along rows.

    Raises:
        ValueError: The shape is wrong, a number isn't finite, or a discrete action is out of range.
    """
    array = _cast(actions, space, "F")
    shape = (n_rows, *(space.shape or ()))
    if array.shape != shape:
        raise ValueError(f"the actions must have shape {shape}, got {array.shape}")
    if isinstance(space, spaces.Box):
        _check_finite(array)
    elif isinstance(space, spaces.Discrete):
        # Offset to unsigned, whatever lies below the range lands far above it: one comparison.
        if np.count_nonzero((array - space.start).view(np.uint64) >= space.n):
            raise ValueError(f"every action must lie in {space}, got {actions!r}")
    elif not all(space.contains(row) for row in array):
        raise ValueError(f"every action must lie in {space}, got {actions!r}")
    return array


def _cast(actions: Any, space: spaces.Space, order: Any) -> NDArray:
    array = np.asarray(actions)
    if array.dtype == space.dtype:
        return np.asarray(array, order=order)
    if array.dtype.kind not in "biuf" or (array.dtype.kind == "f" and space.dtype.kind != "f"):  # type: ignore[union-attr]
        raise ValueError(f"actions must be of a type like {space.dtype}, got {array.dtype}")
    return np.asarray(array, dtype=space.dtype, order=order)


def _check_finite(array: NDArray) -> None:
    # One product tells NaN and infinity without a temporary or a floating-point warning; large
    # finite numbers may overflow it, hence the second look.
    flat = array.T if array.flags.f_contiguous else array
    if not math.isfinite(np.vdot(flat, flat)) and not np.isfinite(array).all():
        raise ValueError(f"actions must be finite, got {array!r}")
