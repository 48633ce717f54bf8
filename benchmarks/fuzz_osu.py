"""Reads mutated .osu files: each is a valid map or is refused in one line that says where and why.

    python benchmarks/fuzz_osu.py --files 20000 --seed 0

Whatever is read is used as well: written and read back to the same objects, scrolled over, and
loaded for both rulesets. Anything else than a BeatmapError is a defect, and ends the run with the
seed of the file that showed it; so does a file that takes longer than `--limit` seconds. It then
reads a map of 100,000 objects and prints how long that took.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np

try:
    import envs  # noqa: F401
except ModuleNotFoundError:  # run from a checkout that isn't installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from envs.osu_mania.beatmap import BeatmapError
from envs.osu_mania.charts import Charts
from envs.osu_mania.generate import make_map
from envs.osu_mania.judgement import RULESETS, make_rules
from envs.osu_mania.osu_file import parse

WRITTEN_BY_HAND = b"""osu file format v14

[General]
AudioFilename: song.mp3
AudioLeadIn: 0
Mode: 3

[Editor]
BeatDivisor: 4

[Metadata]
Title:A song: with a colon
Artist:Somebody
Creator:me
Version:4K Hard

[Difficulty]
HPDrainRate:7.5
CircleSize:4
OverallDifficulty:8.2

[Events]
//Background
0,0,"bg.jpg",0,0
2,5000,9000

[TimingPoints]
0,500,4,1,0,100,1,0
2000,-50,4,1,0,100,0,0
4000,250,4,1,0,100,1,0

[HitObjects]
64,192,1000,1,0,0:0:0:0:
192,192,1000,5,2,0:0:0:0:
320,192,1500,128,0,2000:0:0:0:0:
511,192,1750,1,0,0:0:0:0:
64,192,2000,128,0,1900:0:0:0:0:
"""

ODD = (b"", b"-1", b"-0", b"nan", b"inf", b"1e308", b"9" * 5000, b"2", b"128", b"0x10", b"\xff")
"""What stands in a field's place."""


def originals() -> list[bytes]:
    """The files that are mutated: one by hand, and generated ones of 1, 4 and 10 keys."""
    maps = [make_map(keys, keys, "mixed", 2.0, seconds=4.0) for keys in (1, 4, 10)]
    return [WRITTEN_BY_HAND, *(beatmap.to_osu().encode() for beatmap in maps)]


def mutated(rng: random.Random, content: bytes) -> bytes:
    """The content after one to four changes: a byte, the end, a line, two lines, a field."""
    for _ in range(rng.randint(1, 4)):
        content = rng.choice((_change_byte, _cut, _repeat_line, _swap_lines, _change_field))(
            rng, content
        )
    return content


def _change_byte(rng: random.Random, content: bytes) -> bytes:
    if not content:
        return content
    at = rng.randrange(len(content))
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: rng.randrange(len(content) + 1)]


def _repeat_line(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at : at + 1] = [lines[at]] * rng.randrange(3)  # or leave it out
    return b"\n".join(lines)


def _swap_lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    i, j = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[i], lines[j] = lines[j], lines[i]
    return b"\n".join(lines)


def _change_field(rng: random.Random, content: bytes) -> bytes:
    lines = content.split(b"\n")
    at = rng.randrange(len(lines))
    separator = rng.choice((b",", b":"))
    fields = lines[at].split(separator)
    fields[rng.randrange(len(fields))] = rng.choice(ODD)
    lines[at] = separator.join(fields)
    return b"\n".join(lines)


def read_or_refuse(content: bytes) -> bool:
    """Whether a file was read; it is used then.

    Raises:
        AssertionError: It was refused without saying where, or isn't what is written of it.
        Exception: Whatever else a defect raises.
    """
    try:
        beatmap = parse(content, "fuzz.osu")
    except BeatmapError as error:
        message = str(error)
        assert message.startswith("fuzz.osu, line "), message
        assert "\n" not in message, message
        assert len(message) < 300, message
        return False
    again = parse(beatmap.to_osu(), "again.osu")
    for name in ("columns", "starts", "ends", "holds"):
        np.testing.assert_array_equal(getattr(again, name), getattr(beatmap, name))
    assert np.isfinite(beatmap.scroll(beatmap.starts)).all()
    for ruleset in RULESETS:
        Charts(make_rules(ruleset), beatmap.keys).add(beatmap)
    return True


def fuzz(files: int, seed: int = 0, limit: float = 10.0) -> Counter[str]:
    """Reads so many mutated files.

    Args:
        files: How many.
        seed: File i is that of `seed + i`.
        limit: Seconds that one may take.

    Returns:
        How many were "read" and how many "refused".

    Raises:
        AssertionError: A defect; it names the seed.
    """
    unharmed = originals()
    outcomes: Counter[str] = Counter()
    for number in range(seed, seed + files):
        rng = random.Random(number)
        content = mutated(rng, rng.choice(unharmed))
        start = time.perf_counter()
        try:
            read = read_or_refuse(content)
        except Exception as error:
            raise AssertionError(f"seed {number}: {type(error).__name__}: {error}") from error
        took = time.perf_counter() - start
        assert took < limit, f"seed {number}: took {took:.1f} s"
        outcomes["read" if read else "refused"] += 1
    return outcomes


def large_map(objects: int = 100_000) -> bytes:
    """A file with so many objects, every third of them a hold."""
    lines = []
    for i in range(objects):
        x, time_ms = i % 4 * 128 + 64, i * 50
        if i % 3:
            lines.append(f"{x},192,{time_ms},1,0,0:0:0:0:\n")
        else:
            lines.append(f"{x},192,{time_ms},128,0,{time_ms + 150}:0:0:0:0:\n")
    head = WRITTEN_BY_HAND.partition(b"[HitObjects]\n")[0]
    return head + b"[HitObjects]\n" + "".join(lines).encode()


def main() -> None:
    """Parses the arguments, reads files and prints what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=10.0, help="seconds that a file may take")
    arguments = parser.parse_args()
    start = time.perf_counter()
    outcomes = fuzz(arguments.files, arguments.seed, arguments.limit)
    took = time.perf_counter() - start
    print(
        f"{arguments.files} files: {outcomes['read']} read, {outcomes['refused']} refused", end=""
    )
    print(f", in {took:.0f} s")
    content = large_map()
    start = time.perf_counter()
    beatmap = parse(content)
    print(f"{beatmap.n_objects} objects read in {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
