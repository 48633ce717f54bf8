"""Beatmaps from a seed.

A map is a course of rows on a grid of sixteenths, which the seed and the pattern decide, at a
speed, which the difficulty decides. So with one seed a harder map is the same course, faster and
further, and its stars grow with the difficulty.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.beatmap import MAX_KEYS, Beatmap, TimingPoint

PATTERNS = ("stream", "jump", "jack", "chord", "hold", "mixed")
MAX_DIFFICULTY = 10.0

_FIRST = 2000.0  # ms, when the first row is due
_SECTION = 16  # rows of one pattern in a mixed map
_RELEASE = 60.0  # ms, between a hold's end and the next row of the grid, if there's room
_SLOWEST = 1.5  # rows per second, below which speed is proportional to difficulty

# Stars of a map are close to linear in its rows per second: intercepts, then slopes, for 1 to 10
# keys, of a least-squares fit of rosu-pp's stars. `benchmarks/osu_mania.py calibrate` prints them.
_STARS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "stream": (
        (0.32, 0.35, 0.37, 0.39, 0.39, 0.4, 0.4, 0.41, 0.42, 0.41),
        (0.319, 0.23, 0.221, 0.212, 0.206, 0.203, 0.2, 0.195, 0.191, 0.188),
    ),
    "jump": (
        (0.32, 0.36, 0.46, 0.47, 0.48, 0.49, 0.49, 0.5, 0.51, 0.51),
        (0.319, 0.23, 0.304, 0.3, 0.294, 0.289, 0.286, 0.279, 0.276, 0.275),
    ),
    "jack": (
        (0.32, 0.42, 0.57, 0.53, 0.57, 0.64, 0.61, 0.66, 0.66, 0.62),
        (0.319, 0.258, 0.306, 0.321, 0.307, 0.302, 0.304, 0.291, 0.29, 0.293),
    ),
    "chord": (
        (0.35, 0.46, 0.47, 0.6, 0.71, 0.71, 0.72, 0.69, 0.73, 0.74),
        (0.156, 0.229, 0.224, 0.273, 0.313, 0.306, 0.304, 0.306, 0.291, 0.287),
    ),
    "hold": (
        (0.38, 0.6, 0.67, 0.61, 0.64, 0.57, 0.67, 0.62, 0.63, 0.64),
        (0.142, 0.214, 0.266, 0.292, 0.295, 0.292, 0.28, 0.282, 0.283, 0.279),
    ),
    "mixed": (
        (0.32, 0.43, 0.45, 0.61, 0.52, 0.68, 0.66, 0.59, 0.56, 0.66),
        (0.312, 0.246, 0.284, 0.291, 0.306, 0.298, 0.284, 0.298, 0.295, 0.286),
    ),
}


def make_map(
    seed: int,
    keys: int = 4,
    pattern: str = "mixed",
    difficulty: float = 2.0,
    seconds: float = 30.0,
    overall_difficulty: float = 8.0,
    drain_rate: float = 5.0,
) -> Beatmap:
    """A beatmap, the same for the same arguments on every machine.

    Args:
        seed: A whole number, not negative.
        keys: Number of columns, 1 to 10.
        pattern: "stream" (single notes, no column twice in a row), "jump" (a pair before every
            single note), "jack" (columns repeated two to four times), "chord" (two to four notes
            at once), "hold" (overlapping holds and some notes) or "mixed" (all of these in turn).
        difficulty: About the stars the map will have, above 0 and up to 10.
        seconds: From the first object to the last.
        overall_difficulty: The map's OD.
        drain_rate: The map's HP.

    Raises:
        ValueError: An argument makes no sense.
    """
    _check(seed, keys, pattern, difficulty, seconds)
    speed = rows_per_second(keys, pattern, difficulty)
    step = 1000.0 / speed
    n_rows = max(1, math.ceil(seconds * speed))
    columns, starts, ends = [], [], []
    for column, first, length in _Course(seed, keys, pattern, n_rows).objects():
        start = round(_FIRST + first * step)
        columns.append(column)
        starts.append(start)
        if length:
            end = _FIRST + (first + length) * step
            ends.append(round(max(end - _RELEASE, (start + end) / 2)))
        else:
            ends.append(start)
    return Beatmap(
        keys=keys,
        columns=np.array(columns),
        starts=np.array(starts, np.float64),
        ends=np.array(ends, np.float64),
        holds=np.array(ends) > np.array(starts),
        overall_difficulty=overall_difficulty,
        drain_rate=drain_rate,
        timing=(TimingPoint(0.0, round(4 * step, 6)),),
        title=f"{pattern} {seed}",
        artist="generated",
        creator="sb3_ext",
        version=f"{keys}K {difficulty:.2f}",
    )


def rows_per_second(keys: int, pattern: str, difficulty: float) -> float:
    """The speed at which a map of some difficulty runs; it grows with the difficulty."""
    intercept, slope = (values[keys - 1] for values in _STARS[pattern])
    slowest = intercept + slope * _SLOWEST
    if difficulty < slowest:
        return _SLOWEST * difficulty / slowest
    return (difficulty - intercept) / slope


def _check(seed: int, keys: int, pattern: str, difficulty: float, seconds: float) -> None:
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be a whole number, not negative, got {seed!r}")
    if not 1 <= keys <= MAX_KEYS:
        raise ValueError(f"keys must lie in 1 to {MAX_KEYS}, got {keys!r}")
    if pattern not in PATTERNS:
        raise ValueError(f"pattern must be one of {', '.join(PATTERNS)}, got {pattern!r}")
    if not 0 < difficulty <= MAX_DIFFICULTY:
        raise ValueError(f"difficulty must lie above 0 and up to 10, got {difficulty!r}")
    if not 0 < seconds <= 3600:
        raise ValueError(f"seconds must lie above 0 and up to an hour, got {seconds!r}")


class _Course:
    """What begins at each point of the grid.

    Row i takes its random numbers from the i-th of the seed's, so that a longer course begins as a
    shorter one does.
    """

    def __init__(self, seed: int, keys: int, pattern: str, n_rows: int) -> None:
        self._keys = keys
        self._pattern = pattern
        key = np.array([seed % 2**64, PATTERNS.index(pattern) * 16 + keys], np.uint64)
        bits = np.random.Philox(key=key)
        # Uniforms only: their bits are the same in every version of NumPy.
        self._uniforms = np.random.Generator(bits).random((n_rows, keys + 3))
        self._section = pattern
        self._free_from = [0] * keys  # the row from which on a column is free
        self._previous: list[int] = []
        self._jack: list[int] = []
        self._jacks_left = 0
        self._rows: dict[str, Callable[[int, list[int], NDArray], list[tuple[int, int]]]] = {
            "stream": self._stream,
            "jump": self._jump,
            "jack": self._jack_row,
            "chord": self._chord,
            "hold": self._hold,
        }

    def objects(self) -> list[tuple[int, int, int]]:
        """Column, row and length in rows (0: a note) of every object."""
        objects = []
        for i, uniforms in enumerate(self._uniforms):
            if self._pattern == "mixed" and i % _SECTION == 0:
                self._section = PATTERNS[int(uniforms[-1] * (len(PATTERNS) - 1))]
            shuffled = np.argsort(uniforms[: self._keys]).tolist()
            free = [column for column in shuffled if self._free_from[column] <= i]
            row = self._rows[self._section](i, free, uniforms[self._keys :])
            for column, length in row:
                self._free_from[column] = i + length
                objects.append((column, i, length))
            self._previous = [column for column, _ in row]
        return objects

    def _others(self, free: list[int]) -> list[int]:
        """The free columns that the row before left out, or if there are none, all free ones."""
        return [column for column in free if column not in self._previous] or free

    def _stream(self, i: int, free: list[int], uniforms: NDArray) -> list[tuple[int, int]]:
        return _notes(self._others(free)[:1])

    def _jump(self, i: int, free: list[int], uniforms: NDArray) -> list[tuple[int, int]]:
        return _notes(self._others(free)[: 2 - i % 2])

    def _jack_row(self, i: int, free: list[int], uniforms: NDArray) -> list[tuple[int, int]]:
        if not self._jacks_left or not set(self._jack) <= set(free):
            self._jack = self._others(free)[: 1 + (uniforms[0] < 0.3)]
            self._jacks_left = 2 + int(3 * uniforms[1])
        self._jacks_left -= 1
        return _notes(self._jack)

    def _chord(self, i: int, free: list[int], uniforms: NDArray) -> list[tuple[int, int]]:
        largest = min(max(2, self._keys - 1), 4)
        return _notes(free[: 2 + int((largest - 1) * uniforms[0])] if i % 2 == 0 else [])

    def _hold(self, i: int, free: list[int], uniforms: NDArray) -> list[tuple[int, int]]:
        length = 2 + int(5 * uniforms[0]) if uniforms[1] < 0.75 else 0
        return [(column, length) for column in self._others(free)[:1]]


def _notes(columns: list[int]) -> list[tuple[int, int]]:
    return [(column, 0) for column in columns]
