"""Where an environment's maps come from: files, a list, or the generator."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from gymnasium import logger

from envs.osu_mania.beatmap import MANIA, Beatmap, BeatmapError
from envs.osu_mania.generate import make_map
from envs.osu_mania.osu_file import mode_of, parse, read_archive

MapSource = str | Path | Beatmap | Sequence[str | Path | Beatmap]
"""An .osu or .osz file, a folder of them, a beatmap, or several of all these."""

_MAX_SEED = 2**32 - 1


class Maps(Protocol):
    """Beatmaps of one key count by index; the same index is the same map."""

    @property
    def keys(self) -> int:
        """Number of columns of all maps."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Beatmap: ...


@dataclass(frozen=True)
class GeneratedMaps:
    """Maps of the generator; each is made when it's asked for.

    Args:
        count: How many maps.
        seed: Of the whole, 0 to 2**32 - 1; no two seeds have a map in common.
        keys: Number of columns.
        patterns: Each map has one of these.
        difficulty: Each map has one within this range.
        seconds: How long each map is.
        overall_difficulty: Their OD.
        drain_rate: Their HP.

    Raises:
        ValueError: An argument makes no sense.
    """

    count: int
    seed: int
    keys: int
    patterns: tuple[str, ...]
    difficulty: tuple[float, float]
    seconds: float
    overall_difficulty: float
    drain_rate: float

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError(f"n_maps must be positive, got {self.count}")
        if not 0 <= self.seed <= _MAX_SEED:
            raise ValueError(f"map_seed must lie in 0 to 2**32 - 1, got {self.seed}")
        if not self.patterns:
            raise ValueError("there must be a pattern")
        low, high = self.difficulty
        if low > high:
            raise ValueError(f"difficulty must be a range from low to high, got {low}, {high}")
        for pattern in self.patterns:  # errors now rather than in the middle of a training
            for difficulty in (low, high):
                self._make(0, pattern, difficulty)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Beatmap:
        # Beside the generator's own streams, whose second numbers are small
        bits = np.random.Philox(key=np.array([self.seed, 2**32 + index], np.uint64))
        which, where = np.random.Generator(bits).random(2)
        low, high = self.difficulty
        pattern = self.patterns[int(which * len(self.patterns))]
        return self._make(index, pattern, low + where * (high - low))

    def _make(self, index: int, pattern: str, difficulty: float) -> Beatmap:
        return make_map(
            self.seed * 2**32 + index,
            self.keys,
            pattern,
            difficulty,
            self.seconds,
            self.overall_difficulty,
            self.drain_rate,
        )


@dataclass(frozen=True)
class ListedMaps:
    """Beatmaps in a list.

    Args:
        beatmaps: At least one; all of them have as many keys.
    """

    beatmaps: tuple[Beatmap, ...]

    @property
    def keys(self) -> int:
        """Number of columns of all maps."""
        return self.beatmaps[0].keys

    def __len__(self) -> int:
        return len(self.beatmaps)

    def __getitem__(self, index: int) -> Beatmap:
        return self.beatmaps[index]


def listed_maps(source: MapSource, keys: int | None = None) -> ListedMaps:
    """Beatmaps of a source.

    Of a folder, files of other modes are passed over, and files that can't be used with a warning;
    a file that is named has to be usable.

    Args:
        source: See MapSource.
        keys: Only maps of so many columns; None: all maps, which must have as many then.

    Raises:
        BeatmapError: A named file can't be used.
        OSError: A named file can't be read.
        ValueError: There is no map, or maps differ in their numbers of columns.
    """
    one = isinstance(source, (str, Path, Beatmap))
    sources: Iterable[str | Path | Beatmap] = [source] if one else source  # type: ignore[list-item, assignment]
    found = [beatmap for each in sources for beatmap in _beatmaps(each)]
    counts = sorted({beatmap.keys for beatmap in found})
    if keys is None and len(counts) > 1:
        raise ValueError(f"the maps have {_list(counts)} keys: choose with keys=")
    beatmaps = tuple(b for b in found if keys is None or b.keys == keys)
    if not beatmaps:
        wanted = "osu!mania" if keys is None else f"{keys} keys"
        there = f", only of {_list(counts)}" if counts else ""
        raise ValueError(f"there's no map of {wanted} in {source}{there}")
    return ListedMaps(beatmaps)


def _beatmaps(source: str | Path | Beatmap) -> list[Beatmap]:
    if isinstance(source, Beatmap):
        return [source]
    path = Path(source)
    if path.is_dir():
        return _in_folder(path)
    if path.suffix.lower() == ".osz":
        return read_archive(path)
    return [parse(path.read_bytes(), str(path))]


def _in_folder(folder: Path) -> list[Beatmap]:
    beatmaps, problems = [], []
    for path in sorted(folder.rglob("*")):
        try:
            if path.suffix.lower() == ".osz":
                beatmaps += read_archive(path)
            elif path.suffix.lower() == ".osu":
                content = path.read_bytes()
                if mode_of(content) == MANIA:
                    beatmaps.append(parse(content, str(path)))
        except BeatmapError as error:
            problems.append(error)
    if problems:
        others = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        logger.warn(f"left out: {problems[0]}{others}")
    return beatmaps


def _list(counts: list[int]) -> str:
    return " and ".join(map(str, counts))
