"""Arguments that come from a command line or a file: refused by name where they make no sense."""

from __future__ import annotations

import math
from numbers import Real
from typing import Any


def finite_number(name: str, value: Any) -> float:
    """An argument that must be a finite number.

    Raises:
        ValueError: It isn't.
    """
    if not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"{name} must be a finite number, got {value!r}")
    return float(value)
