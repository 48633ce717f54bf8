"""Reading .osu files, and .osz archives of them.

What a play needs is kept, the rest (colors, storyboards, sounds, editor settings) is passed over.
The format is documented at https://osu.ppy.sh/wiki/en/Client/File_formats/osu_%28file_format%29.
"""

from __future__ import annotations

import hashlib
import math
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np

from envs.osu_mania.beatmap import (
    HOLD,
    MANIA,
    MAX_KEYS,
    MAX_TIME,
    NOTE,
    WIDTH,
    Beatmap,
    BeatmapError,
    TimingPoint,
    find_problem,
)

VERSIONS = (*range(5, 15), 128)
"""Versions of the format that are read; 14 is written. Before 5, times were shifted by 24 ms."""

_SLIDER, _SPINNER = 2, 8  # further bits of an object's type
_OTHER_MODES = {0: "osu!", 1: "osu!taiko", 2: "osu!catch"}
_BEAT_LENGTHS = (6.0, 60_000.0)  # ms, as the game bounds them
_MAX_FILE = 64 * 2**20  # bytes of a file in an archive


def read(path: str | Path) -> Beatmap:
    """Reads an .osu file.

    Raises:
        BeatmapError: It isn't one of osu!mania, or something in it is wrong.
        OSError: It can't be read.
    """
    return parse(Path(path).read_bytes(), str(path))


def read_archive(path: str | Path) -> list[Beatmap]:
    """Reads the osu!mania beatmaps of an .osz archive; those of other modes are passed over.

    Raises:
        BeatmapError: It isn't an archive, or something in a beatmap is wrong.
        OSError: It can't be read.
    """
    beatmaps = []
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                if not member.filename.lower().endswith(".osu"):
                    continue
                name = f"{path}, {member.filename}"
                if member.file_size > _MAX_FILE:
                    raise BeatmapError(f"{name}: larger than {_MAX_FILE >> 20} MiB")
                content = archive.read(member)
                if mode_of(content) == MANIA:
                    beatmaps.append(parse(content, name))
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, EOFError) as error:
        raise BeatmapError(f"{path}: not an archive that can be read ({error})") from error
    return beatmaps


def mode_of(content: bytes) -> int:
    """The game mode that an .osu file says it's of: 3 is osu!mania; 0 where it says nothing."""
    for line in content.split(b"\n"):
        name, _, value = line.partition(b":")
        if name.strip() == b"Mode":
            return int(value) if value.strip().isdigit() else 0
        if line.strip() == b"[HitObjects]":
            break
    return 0


def parse(content: bytes | str, name: str = "beatmap") -> Beatmap:
    """Reads an .osu file's content.

    Args:
        content: The bytes, or the text.
        name: What errors call the file.

    Raises:
        BeatmapError: It isn't one of osu!mania, or something in it is wrong.
    """
    raw = content.encode() if isinstance(content, str) else content
    # A stray byte in a title is no reason to refuse a map; in a number it's found there.
    text = raw.decode("utf-8-sig", errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    return _Parser(name).beatmap(text, hashlib.md5(raw).hexdigest())


class _Parser:
    """Reads line by line; `_line` is the number of the line under way, for errors."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line = 0
        self._values: dict[str, tuple[str, int]] = {}  # of General, Metadata and Difficulty
        self._timing: list[TimingPoint] = []
        self._breaks: list[tuple[float, float]] = []
        self._objects: list[tuple[float, float, float, bool, int]] = []

    def beatmap(self, text: str, md5: str) -> Beatmap:
        lines = text.split("\n")
        self._read_header(lines)
        readers: dict[str, Callable[[str], None]] = {
            "[General]": self._read_value,
            "[Metadata]": self._read_value,
            "[Difficulty]": self._read_value,
            "[Events]": self._read_event,
            "[TimingPoints]": self._read_timing_point,
            "[HitObjects]": self._read_object,
        }
        read_line: Callable[[str], None] = self._skip
        start = self._line
        for number, line in enumerate(lines[start:], start + 1):
            line = line.strip()
            if not line or line.startswith("//"):
                continue
            self._line = number
            if line[0] == "[" and line[-1] == "]":
                read_line = readers.get(line, self._skip)
            else:
                read_line(line)
        return self._finish(md5)

    def _finish(self, md5: str) -> Beatmap:
        mode = self._value("Mode", 0.0)
        if mode != MANIA:
            kind = _OTHER_MODES.get(int(mode), f"mode {mode:g}")
            self._fail(f"a map of {kind}: only osu!mania's (Mode: 3) are read")
        keys = self._keys()
        xs, starts, ends, holds, numbers = map(
            np.array, zip(*self._objects, strict=True) if self._objects else ([],) * 5
        )
        columns = np.minimum(np.clip(xs, 0, WIDTH) * keys // WIDTH, keys - 1).astype(np.int64)
        problem = find_problem(keys, columns, starts, ends)
        if problem is not None:
            index, message = problem
            self._line = self._line if index is None else int(numbers[index])
            self._fail(message)
        return Beatmap(
            keys=keys,
            columns=columns,
            starts=starts,
            ends=ends,
            holds=holds,
            overall_difficulty=self._difficulty("OverallDifficulty"),
            drain_rate=self._difficulty("HPDrainRate"),
            timing=tuple(self._timing),
            breaks=tuple(self._breaks),
            title=self._text("Title", "untitled"),
            artist=self._text("Artist", "unknown"),
            creator=self._text("Creator", "unknown"),
            version=self._text("Version", "normal"),
            audio=self._text("AudioFilename", ""),
            source_md5=md5,
        )

    def _read_header(self, lines: list[str]) -> None:
        prefix = "osu file format v"
        first = next((i for i, line in enumerate(lines) if line.strip()), 0)
        self._line = first + 1
        header = lines[first].strip()
        if not header.startswith(prefix):
            self._fail(f"an .osu file begins with '{prefix}14'")
        version = header[len(prefix) :]
        if version not in map(str, VERSIONS):
            self._fail(f"format version {version[:20]!r} isn't read, only 5 to 14 and 128")

    def _skip(self, line: str) -> None:
        """Lines of the sections that aren't needed."""

    def _read_value(self, line: str) -> None:
        name, colon, value = line.partition(":")
        if not colon:
            self._fail(f"expected 'Name: value', got {line[:40]!r}")
        self._values[name.strip()] = (value.strip(), self._line)

    def _read_event(self, line: str) -> None:
        fields = line.split(",")
        if fields[0] not in ("2", "Break"):
            return
        if len(fields) < 3:
            self._fail("a break needs a start and an end")
        start = self._time(fields[1], "a break's start")
        self._breaks.append((start, max(start, self._time(fields[2], "a break's end"))))

    def _read_timing_point(self, line: str) -> None:
        fields = line.split(",")
        if len(fields) < 2:
            self._fail("a timing point needs a time and a beat length")
        time = self._time(fields[0], "a timing point's time")
        beat_length = self._number(fields[1], "a beat length")
        meter = self._number(fields[2], "a meter") if len(fields) > 2 else 4.0
        uninherited = fields[6].strip() != "0" if len(fields) > 6 else beat_length > 0
        if uninherited:
            if beat_length <= 0:
                self._fail(f"an uninherited point's beat length must be positive: {beat_length:g}")
            beat_length = min(max(beat_length, _BEAT_LENGTHS[0]), _BEAT_LENGTHS[1])
        elif beat_length >= 0:
            beat_length = -100.0  # the game takes it for velocity 1
        meter = int(min(max(meter, 1.0), 64.0))
        self._timing.append(TimingPoint(time, beat_length, uninherited, meter))

    def _read_object(self, line: str) -> None:
        fields = line.split(",", 5)
        if len(fields) < 4:
            self._fail(f"an object needs x, y, time and type, got {line[:40]!r}")
        x = self._number(fields[0], "an object's x")
        start = self._time(fields[2], "an object's time")
        try:
            kind = int(fields[3])
        except ValueError:
            self._fail(f"an object's type must be a whole number, got {fields[3][:40]!r}")
        if kind & NOTE:
            self._objects.append((x, start, start, False, self._line))
        elif kind & HOLD and not kind & (_SLIDER | _SPINNER):
            if len(fields) < 6:
                self._fail("a hold needs an end time")
            end = self._time(fields[5].partition(":")[0], "a hold's end")
            # The game takes a hold that ends before it starts for one without length.
            self._objects.append((x, start, max(start, end), True, self._line))
        else:
            name = {_SLIDER: "a slider", _SPINNER: "a spinner"}.get(
                kind & (_SLIDER | _SPINNER), f"an object of type {kind}"
            )
            self._fail(f"{name}: only notes and holds can be played")

    def _keys(self) -> int:
        size = self._value("CircleSize", 5.0)
        keys = max(1, round(size))
        if keys > MAX_KEYS:
            self._fail(f"{keys:g} keys: at most {MAX_KEYS} are played")
        return keys

    def _difficulty(self, name: str) -> float:
        return min(max(self._value(name, 5.0), 0.0), 10.0)

    def _value(self, name: str, default: float) -> float:
        """A number of the sections of names and values; errors name its line from here on."""
        if name not in self._values:
            return default
        text, self._line = self._values[name]
        return self._number(text, name)

    def _text(self, name: str, default: str) -> str:
        return self._values.get(name, (default, 0))[0]

    def _time(self, text: str, what: str) -> float:
        time = self._number(text, what)
        if abs(time) > MAX_TIME:
            self._fail(f"{what} is more than a day away from 0: {time:g} ms")
        return time

    def _number(self, text: str, what: str) -> float:
        try:
            number = float(text)
        except ValueError:
            self._fail(f"{what} must be a number, got {text[:40]!r}")
        if not math.isfinite(number) or "_" in text:
            self._fail(f"{what} must be a number, got {text[:40]!r}")
        return number

    def _fail(self, message: str) -> NoReturn:
        raise BeatmapError(f"{self._name}, line {self._line}: {message}")
