"""Loaded maps: their objects in one chart, and for each of them the play at its beginning."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.judgement import hit_windows
from envs.osu_mania.play import (
    BONUS,
    DUE,
    FAR,
    HEALTH,
    LAST_JUDGEMENT,
    LATE,
    Chart,
    Floats,
    Play,
    Rules,
    blank_play,
    copy_rows,
)
from envs.osu_mania.scoring import best_portion, health_changes, n_judgements


class Positions(NamedTuple):
    """Where objects stand on the highway, in ms at velocity 1, in the chart's order.

    Attributes:
        start, end: `[m]`.
    """

    start: Floats
    end: Floats


class Courses(NamedTuple):
    """The maps' courses in linear pieces: a run of pieces per map, and one that never begins.

    Attributes:
        time: When a piece begins, ms, `[p]`.
        position: Where the highway stands then, `[p]`.
        velocity: `[p]`.
    """

    time: Floats
    position: Floats
    velocity: Floats


class Charts:
    """Maps of one key count under one set of rules; more can be added at any time.

    Args:
        rules: The rules.
        keys: How many columns all of the maps have.
        lookahead: How many objects beyond its next one a reader of a column may look at.

    Attributes:
        chart: The objects of all maps.
        times: Their starts and ends in pairs, of which the chart's are views, `[m, 2]`.
        positions: Where they stand on the highway.
        courses: How the highway moves.
        first_pieces: Each map's first piece of its course.
        begun: A row per map (and spare ones): its play before anything has happened.
    """

    def __init__(self, rules: Rules, keys: int, lookahead: int = 4) -> None:
        self.rules = rules
        self.keys = keys
        self._n_sentinels = lookahead + 2  # `judgement` looks at the one after the next
        self.clear()

    def clear(self) -> None:
        """Forgets all maps."""
        self.begun: Play = blank_play(1, self.keys)
        self.first_pieces: list[int] = []
        # By object: its times, whether it's a hold, and its positions
        self._objects = _Columns(np.empty((0, 2)), np.empty(0, bool), np.empty((0, 2)))
        self._pieces = _Columns(*(np.empty(0) for _ in Courses._fields))
        self._refresh()

    def __len__(self) -> int:
        return len(self.first_pieces)

    def add(self, beatmap: Beatmap) -> int:
        """Loads a map and returns its index.

        Raises:
            ValueError: The map has another number of columns.
        """
        if beatmap.keys != self.keys:
            raise ValueError(f"{beatmap.label} has {beatmap.keys} keys, not {self.keys}")
        index = len(self)
        if index == len(self.begun.next):
            larger, kept = blank_play(2 * index, self.keys), np.arange(index)
            copy_rows(self.begun, kept, larger, kept)
            self.begun = larger
        self._set_limits(index, beatmap)
        for column in range(self.keys):
            self.begun.next[index, column] = self._add_column(beatmap, beatmap.columns == column)
        scroll = beatmap.scroll
        never = (np.append(piece, end) for piece, end in zip(scroll, (FAR, 0, 0), strict=True))
        self.first_pieces.append(self._pieces.append(*never))
        self._refresh()
        first = self.chart.start[self.begun.next[index]]
        self.begun.lanes[DUE, index] = first + self.begun.limits[index, LATE]
        return index

    def begin(self, play: Play, rows: NDArray[np.intp], maps: NDArray[np.intp]) -> None:
        """Puts rows of a play at the beginning of maps."""
        copy_rows(self.begun, maps, play, rows)

    def _refresh(self) -> None:
        self.times, hold, positions = self._objects.arrays()
        self.chart = Chart(self.times[:, 0], self.times[:, 1], hold)
        self.positions = Positions(positions[:, 0], positions[:, 1])
        self.courses = Courses(*self._pieces.arrays())

    def _set_limits(self, index: int, beatmap: Beatmap) -> None:
        windows = hit_windows(beatmap.overall_difficulty, self.rules)
        lazer = self.rules.lazer
        self.begun.limits[index] = np.concatenate(
            (
                windows.errors,
                (windows.late, windows.tail_late),
                windows.head_limits,
                windows.sum_limits,
                health_changes(beatmap, lazer),
                (n_judgements(beatmap, lazer), best_portion(beatmap, lazer)),
            )
        )
        self.begun.lanes[LAST_JUDGEMENT, index] = -1.0
        self.begun.rows[index, BONUS] = 100.0
        self.begun.rows[index, HEALTH] = 1.0

    def _add_column(self, beatmap: Beatmap, own: NDArray[np.bool_]) -> int:
        """Appends a column's objects and its sentinels, and returns where it starts."""
        times = np.stack((beatmap.starts[own], beatmap.ends[own]), axis=1)
        far = np.full((self._n_sentinels, 2), FAR)
        return self._objects.append(
            np.concatenate((times, far)),
            np.concatenate((beatmap.holds[own], np.zeros(len(far), bool))),
            np.concatenate((beatmap.scroll(times), far)),
        )


class _Columns:
    """Arrays of equal length that grow at their ends, from empty ones."""

    def __init__(self, *arrays: NDArray[Any]) -> None:
        self._arrays: list[NDArray[Any]] = list(arrays)
        self._size = 0

    def append(self, *parts: NDArray[Any]) -> int:
        """Appends a part to each array and returns where it starts."""
        start = self._size
        self._size += len(parts[0])
        if self._size > len(self._arrays[0]):
            room = max(1024, self._size, len(self._arrays[0]))
            self._arrays = [
                np.concatenate((a, np.empty((room, *a.shape[1:]), a.dtype))) for a in self._arrays
            ]
        for array, part in zip(self._arrays, parts, strict=True):
            array[start : self._size] = part
        return start

    def arrays(self) -> list[NDArray[Any]]:
        """The arrays as far as they are filled."""
        return [array[: self._size] for array in self._arrays]
