"""The block of memory in which a VecEnv and its workers meet, as arrays over all rows."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

__all__ = ["Block", "anonymous_file"]

_ALIGNMENT = 64  # bytes of a cache line: no two arrays share one


class Block:
    """Arrays of all rows, in the same places for every process that maps the same file.

    Args:
        file: Descriptor of the file to map; it's made large enough.
        observation_space: Of one row; a Dict's parts get an array each.
        action_space: Of one row.
        n_rows: n.

    Attributes:
        observations: ``[n, ...]`` in the space's dtype, or a dict of such.
        actions: ``[n, ...]``.
        rewards: ``[n]``, float64 as envs give them.
        dones: ``[n]``, bool.
        active: ``[n]``, bool: rows whose observation somebody must act on.
        wanted: ``[n]``, bool: rows to step, where not all of a worker's are.
    """

    def __init__(
        self, file: int, observation_space: spaces.Space, action_space: spaces.Space, n_rows: int
    ) -> None:
        parts: dict[Any, spaces.Space[Any]] = {None: observation_space}
        if isinstance(observation_space, spaces.Dict):
            parts = dict(observation_space.spaces)
        arrays: list[tuple[tuple[int, ...], Any]] = [
            ((n_rows, *_shape(space)), space.dtype) for space in (*parts.values(), action_space)
        ]
        arrays += [((n_rows,), np.float64), *[((n_rows,), np.bool_)] * 3]
        size = sum(_size(shape, dtype) for shape, dtype in arrays)
        if os.fstat(file).st_size < size:
            os.ftruncate(file, size)
        memory = mmap.mmap(file, size)
        *observed, self.actions, self.rewards, self.dones, self.active, self.wanted = _laid_out(
            memory, arrays
        )
        named = dict(zip(parts, observed, strict=True))
        self.observations: Any = named.get(None, named)


def _laid_out(
    memory: mmap.mmap, arrays: list[tuple[tuple[int, ...], Any]]
) -> Iterator[NDArray[Any]]:
    offset = 0
    for shape, dtype in arrays:
        yield np.ndarray(shape, dtype, memory, offset)
        offset += _size(shape, dtype)


def _shape(space: spaces.Space) -> tuple[int, ...]:
    if space.shape is None:
        raise TypeError(f"rows of a {type(space).__name__} space have no fixed size")
    return space.shape


def _size(shape: tuple[int, ...], dtype: Any) -> int:
    n_bytes = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    return max(-(-n_bytes // _ALIGNMENT), 1) * _ALIGNMENT


def anonymous_file(name: str) -> int:
    """Descriptor of an empty file in memory without a path: it's gone when nobody has it open."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create(name)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
