"""Arguments of the world that have to be read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rlgym.rocket_league.common_values import TICKS_PER_SECOND

MOST_CARS = 4  # of a team
RENDER_MODES = ("human", "rgb_array", "rlviser")


def team_sizes(asked: Any) -> list[tuple[int, int]]:
    """The pairs (blue, orange) that `team_size` means.

    Raises:
        ValueError: It means none.
    """
    several = list(asked) if isinstance(asked, Sequence) and not isinstance(asked, str) else [asked]
    pairs = [tuple(size) if isinstance(size, Sequence) else (size, size) for size in several]
    for pair in pairs:
        is_pair = len(pair) == 2 and all(type(size) is int for size in pair)
        if not (is_pair and 1 <= pair[0] <= MOST_CARS and 0 <= pair[1] <= MOST_CARS):
            raise ValueError(
                f"team_size must be 1 to {MOST_CARS}, or a list of sizes and [blue, orange] pairs, "
                f"of which orange may be 0; not {asked!r}"
            )
    if not pairs:
        raise ValueError("team_size must name at least one size, not an empty list")
    return pairs


def seats(sizes: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """The team of each seat that these sizes need, blue's first, `[N]`."""
    blue, orange = (max(size[team] for size in sizes) for team in (0, 1))
    return np.repeat(np.array([0, 1], np.int64), [blue, orange])


def check_number(name: str, value: Any, low: float, high: float, whole: bool = False) -> None:
    """Raises ValueError if an argument isn't a number, or whole number, within these limits."""
    kinds, what = (int, "a whole number") if whole else ((int, float), "a number")
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        raise ValueError(f"{name} must be {what} from {low:g} to {high:g}, not {value!r}")


def ticks(name: str, seconds: float | None) -> float:
    """A limit in ticks; infinity for None.

    Raises:
        ValueError: It isn't positive.
    """
    if seconds is None:
        return np.inf
    check_number(name, seconds, 1.0 / TICKS_PER_SECOND, np.inf)
    return seconds * TICKS_PER_SECOND


def check_render_mode(asked: str | None) -> None:
    """Raises ValueError if there's no such render mode."""
    if asked not in (None, *RENDER_MODES):
        raise ValueError(f"render_mode must be one of {RENDER_MODES} or None, not {asked!r}")
