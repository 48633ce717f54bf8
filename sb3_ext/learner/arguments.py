"""The Learner's arguments: what makes no sense is a ValueError that has the keyword's name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["check_range", "check_within", "count", "counts"]


def count(least: int = 1, **named: Any) -> int:
    """A whole number; 1e9 is one."""
    ((name, value),) = named.items()
    if not _is_number(value) or value != int(value) or value < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {value!r}")
    return int(value)


def counts(**named: Any) -> list[int]:
    """A sequence of whole numbers, each at least 1."""
    ((name, values),) = named.items()
    if isinstance(values, str) or not isinstance(values, Iterable):
        raise ValueError(f"{name} must be a sequence of sizes, not {values!r}")
    return [count(**{f"each of {name}": value}) for value in values]


def check_range(limits: Any) -> None:
    """The limits of a standard deviation."""
    is_pair = isinstance(limits, Sequence | np.ndarray) and len(limits) == 2
    if not is_pair or not all(map(_is_number, limits)) or not 0 < limits[0] <= limits[1]:
        raise ValueError(
            "continuous_var_range must be the least and the largest standard deviation, both "
            f"above 0, not {limits!r}"
        )


def check_within(low: float, high: float = math.inf, **named: Any) -> None:
    """Numbers between two others, which they may equal."""
    for name, value in named.items():
        if not _is_number(value) or not low <= value <= high:
            limits = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
            wanted = "a number" if low == -math.inf else f"a number {limits}"
            raise ValueError(f"{name} must be {wanted}, not {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and math.isfinite(value)
