"""An osu!mania beatmap, and the .osu file that says it. `osu_file` reads such files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

MAX_KEYS = 10
MAX_TIME = 86_400_000.0
"""Nothing in a beatmap may be further than a day from its time 0, ms."""

MANIA = 3
"""The game's number of this mode."""

WIDTH = 512
"""Of the playfield that an object's x is given in."""

NOTE, HOLD = 1, 128
"""Bits of an object's type."""

_VELOCITIES = (0.01, 10.0)


class BeatmapError(ValueError):
    """A beatmap that can't be used; the message names the file and the line where it has them."""


class TimingPoint(NamedTuple):
    """A point from which on a beat length or a scroll velocity holds.

    Attributes:
        time: ms.
        beat_length: Of an uninherited point the length of a beat in ms; of an inherited one
            -100 over the scroll velocity.
        uninherited: Whether it sets the beat (and velocity 1) rather than the velocity.
        meter: Beats in a measure.
    """

    time: float
    beat_length: float
    uninherited: bool = True
    meter: int = 4

    @property
    def velocity(self) -> float:
        """Scroll velocity, a factor."""
        if self.uninherited:
            return 1.0
        return min(max(-100.0 / self.beat_length, _VELOCITIES[0]), _VELOCITIES[1])


class Scroll(NamedTuple):
    """Where things stand on the highway: piecewise linear in time.

    Attributes:
        times: Where the pieces begin, ms, `[n_pieces]`; the first piece reaches back forever.
        positions: Scrolled distance there, in ms at velocity 1, `[n_pieces]`.
        velocities: `[n_pieces]`.
    """

    times: NDArray[np.float64]
    positions: NDArray[np.float64]
    velocities: NDArray[np.float64]

    def __call__(self, times: ArrayLike) -> NDArray[np.float64]:
        """Scrolled distance at some times, in the times' shape."""
        at = np.asarray(times, np.float64)
        piece = np.maximum(np.searchsorted(self.times, at, side="right") - 1, 0)
        return self.positions[piece] + self.velocities[piece] * (at - self.times[piece])


@dataclass(frozen=True, eq=False)
class Beatmap:
    """A map to play: objects by column, and what the rules need to know.

    Objects come in any order and are kept by time, then column.

    Args:
        keys: Number of columns, 1 to 10.
        columns: Each object's column from 0, `[n_objects]`.
        starts: When it's to be pressed, ms, `[n_objects]`.
        ends: When a hold is to be released, ms, `[n_objects]`; a note ends as it starts.
        holds: Which objects are holds, bool `[n_objects]`; a hold may be without length.
        overall_difficulty: OD, sets the hit windows.
        drain_rate: HP, sets what misses cost.
        timing: Timing points in order of time.
        breaks: Start and end of the breaks, ms.
        title, artist, creator, version, audio: Song, mapper, difficulty's name, sound file.
        source_md5: Of the file that it was read from.

    Raises:
        BeatmapError: There are no objects, or two overlap within a column, or a number makes no
            sense.
    """

    keys: int
    columns: NDArray[np.int64]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    holds: NDArray[np.bool_]
    overall_difficulty: float = 8.0
    drain_rate: float = 5.0
    timing: tuple[TimingPoint, ...] = ()
    breaks: tuple[tuple[float, float], ...] = ()
    title: str = "untitled"
    artist: str = "unknown"
    creator: str = "unknown"
    version: str = "normal"
    audio: str = ""
    source_md5: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        starts = np.array(self.starts, np.float64)
        holds = np.array(self.holds, bool)
        ends = np.where(holds, np.array(self.ends, np.float64), starts)
        columns = np.array(self.columns, np.int64)
        if not starts.shape == ends.shape == holds.shape == columns.shape == (starts.size,):
            raise BeatmapError("columns, starts, ends and holds must be as long as each other")
        problem = find_problem(self.keys, columns, starts, ends)
        if problem is not None:
            raise BeatmapError(problem[1])
        for name, value in (("OD", self.overall_difficulty), ("HP", self.drain_rate)):
            if not 0 <= value <= 10:
                raise BeatmapError(f"{name} must lie in [0, 10], got {value}")
        order = np.lexsort((columns, starts))
        for name, array in {
            "columns": columns,
            "starts": starts,
            "ends": ends,
            "holds": holds,
        }.items():
            ordered = array[order]
            ordered.flags.writeable = False
            object.__setattr__(self, name, ordered)
        # Of two points at one time the velocity's comes after the beat's, which sets it to 1.
        timing = sorted(self.timing, key=lambda point: (point.time, not point.uninherited))
        object.__setattr__(self, "timing", tuple(timing))

    @property
    def n_objects(self) -> int:
        """Notes and holds."""
        return len(self.starts)

    @property
    def n_holds(self) -> int:
        """Holds."""
        return int(self.holds.sum())

    @property
    def end(self) -> float:
        """When the last object ends, ms."""
        return float(self.ends.max())

    @property
    def label(self) -> str:
        """The line by which players know it."""
        return f"{self.artist} - {self.title} ({self.creator}) [{self.version}]"

    @cached_property
    def md5(self) -> str:
        """MD5 of its .osu file, by which replays know it."""
        return self.source_md5 or hashlib.md5(self.to_osu().encode()).hexdigest()

    @cached_property
    def scroll(self) -> Scroll:
        """The highway's course: scroll velocity times beat rate over the map's main beat rate."""
        beats = [point for point in self.timing if point.uninherited]
        main = _main_beat_length(beats, self.end)
        beat_length = beats[0].beat_length if beats else main
        times, velocities = [0.0], [main / beat_length]
        for point in self.timing:
            if point.uninherited:
                beat_length = point.beat_length
            times.append(point.time)
            velocities.append(point.velocity * main / beat_length)
        if self.timing:  # what holds at the first point has always held
            times[0] = min(times[0], times[1])
            velocities[0] = velocities[1]
        lengths = np.diff(times)
        positions = times[0] + np.concatenate(([0.0], np.cumsum(lengths * velocities[:-1])))
        return Scroll(np.array(times), positions, np.array(velocities))

    def to_osu(self) -> str:
        """The .osu file's text, version 14."""
        lines = [
            "osu file format v14",
            "",
            "[General]",
            f"AudioFilename: {_one_line(self.audio)}",
            f"Mode: {MANIA}",
            "",
            "[Metadata]",
            f"Title:{_one_line(self.title)}",
            f"Artist:{_one_line(self.artist)}",
            f"Creator:{_one_line(self.creator)}",
            f"Version:{_one_line(self.version)}",
            "",
            "[Difficulty]",
            f"HPDrainRate:{_exact(self.drain_rate)}",
            f"CircleSize:{self.keys}",
            f"OverallDifficulty:{_exact(self.overall_difficulty)}",
            "ApproachRate:5",
            "SliderMultiplier:1.4",
            "SliderTickRate:1",
            "",
            "[Events]",
            *(f"2,{_exact(start)},{_exact(end)}" for start, end in self.breaks),
            "",
            "[TimingPoints]",
            *(
                f"{_exact(p.time)},{_exact(p.beat_length)},{p.meter},1,0,100,{p.uninherited:d},0"
                for p in self.timing
            ),
            "",
            "[HitObjects]",
        ]
        objects = zip(
            self.columns.tolist(),
            self.starts.tolist(),
            self.ends.tolist(),
            self.holds.tolist(),
            strict=True,
        )
        for column, start, end, hold in objects:
            x = int((column + 0.5) * WIDTH / self.keys)
            if hold:
                lines.append(f"{x},192,{_exact(start)},{HOLD},0,{_exact(end)}:0:0:0:0:")
            else:
                lines.append(f"{x},192,{_exact(start)},{NOTE},0,0:0:0:0:")
        return "\n".join(lines) + "\n"

    def write(self, path: str | Path) -> None:
        """Writes the .osu file."""
        path = Path(path)
        partial = path.with_name(path.name + ".part")
        partial.write_bytes(self.to_osu().encode())
        partial.replace(path)


def find_problem(
    keys: int,
    columns: NDArray[np.int64],
    starts: NDArray[np.float64],
    ends: NDArray[np.float64],
) -> tuple[int | None, str] | None:
    """What is wrong with the objects, if anything: which one (None: all of them), and why."""
    if not 1 <= keys <= MAX_KEYS:
        return None, f"keys must lie in 1 to {MAX_KEYS}, got {keys}"
    if not starts.size:
        return None, "the map has no objects"
    bad = ~(np.abs(starts) <= MAX_TIME) | ~(ends >= starts) | ~(ends <= MAX_TIME)
    if bad.any():
        index = int(bad.argmax())
        return index, f"an object can't last from {starts[index]:g} to {ends[index]:g} ms"
    if ((columns < 0) | (columns >= keys)).any():
        return None, f"columns must lie in 0 to {keys - 1}"
    order = np.lexsort((starts, columns))
    before, after = order[:-1], order[1:]
    overlap = (columns[before] == columns[after]) & (
        (starts[after] < ends[before]) | (starts[after] == starts[before])
    )
    if overlap.any():
        index = int(after[overlap.argmax()])
        earlier = int(before[overlap.argmax()])
        return index, (
            f"the object at {starts[index]:g} ms in column {columns[index] + 1} overlaps the one "
            f"from {starts[earlier]:g} to {ends[earlier]:g} ms"
        )
    return None


def _main_beat_length(beats: Iterable[TimingPoint], end: float) -> float:
    """The beat length that holds for the longest time, ms."""
    points = list(beats)
    lasting: dict[float, float] = {}
    for i, point in enumerate(points):
        until = points[i + 1].time if i + 1 < len(points) else end
        length = round(point.beat_length, 3)
        lasting[length] = lasting.get(length, 0.0) + max(0.0, until - point.time)
    return max(lasting, key=lasting.__getitem__, default=500.0)


def _exact(number: float) -> str:
    """A number in the fewest digits that are read back as the same."""
    return str(int(number)) if number == int(number) else repr(float(number))


def _one_line(text: str) -> str:
    return " ".join(text.split())
