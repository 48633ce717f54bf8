"""What reset() of a vector env is given: which rows, and each row's seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

__all__ = ["fresh_seed", "reset_mask", "row_seeds"]


def fresh_seed() -> int:
    """A seed from the operating system's entropy, for environments that were given none."""
    entropy = np.random.SeedSequence().entropy
    assert isinstance(entropy, int)
    return entropy % 2**63


def reset_mask(options: dict[str, Any] | None, n_rows: int, started: bool) -> NDArray[np.bool_]:
    """The rows to reset, bool `[n]`.

    Args:
        options: What `reset` was given: `reset_mask`, or nothing for all rows.
        n_rows: How many there are.
        started: Whether there was a reset of all rows.

    Raises:
        ValueError: An unknown option, or a wrong mask.
        gymnasium.error.ResetNeeded: A first reset of some rows only.
    """
    options = options or {}
    if unknown := sorted(set(options) - {"reset_mask"}):
        raise ValueError(f"the only reset option is 'reset_mask', got {unknown}")
    if "reset_mask" not in options:
        return np.ones(n_rows, bool)
    mask = options["reset_mask"]
    if (
        not isinstance(mask, np.ndarray)
        or mask.shape != (n_rows,)
        or mask.dtype != np.bool_
        or not mask.any()
    ):
        raise ValueError(
            f"reset_mask must be a bool array of shape {(n_rows,)} that has a True, got {mask!r}"
        )
    if not started and not mask.all():
        raise ResetNeeded("the first reset() must be of all rows")
    return mask


def row_seeds(seed: Any, n_rows: int, started: bool) -> list[int | None]:
    """Each row's seed, or None where its streams go on.

    Args:
        seed: An int seeds row i with `seed + i`; a list has each row's own.
        n_rows: How many there are.
        started: Whether streams are under way; before that a row without a seed gets a fresh one.

    Raises:
        ValueError: They aren't n non-negative ints or None.
    """
    if seed is None or isinstance(seed, (int, np.integer)):
        seeds: list[Any] = [None if seed is None else int(seed) + row for row in range(n_rows)]
    else:
        seeds = list(seed)
    if len(seeds) != n_rows:
        raise ValueError(f"there must be a seed for each of {n_rows} rows: {seed!r}")
    if any(s is not None and (not isinstance(s, (int, np.integer)) or s < 0) for s in seeds):
        raise ValueError(f"seeds must be non-negative integers or None, got {seed!r}")
    if started or None not in seeds:
        return [None if s is None else int(s) for s in seeds]
    entropy = fresh_seed()
    return [entropy + row if s is None else int(s) for row, s in enumerate(seeds)]
