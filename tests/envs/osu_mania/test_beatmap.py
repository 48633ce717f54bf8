import zipfile

import numpy as np
import pytest

from benchmarks import fuzz_osu
from envs.osu_mania.beatmap import (
    Beatmap,
    BeatmapError,
    TimingPoint,
)
from envs.osu_mania.osu_file import parse, read, read_archive

SAMPLE = fuzz_osu.WRITTEN_BY_HAND.decode()
"""A hold in column 3, one that ends before it starts, two notes at once, a new combo's bit."""


def sample(old="", new=""):
    assert old in SAMPLE
    return SAMPLE.replace(old, new, 1)


def test_what_a_file_says():
    beatmap = parse(SAMPLE)
    assert beatmap.keys == 4
    assert (beatmap.overall_difficulty, beatmap.drain_rate) == (8.2, 7.5)
    assert beatmap.columns.tolist() == [0, 1, 2, 3, 0]
    assert beatmap.starts.tolist() == [1000, 1000, 1500, 1750, 2000]
    assert beatmap.ends.tolist() == [1000, 1000, 2000, 1750, 2000]
    assert beatmap.holds.tolist() == [False, False, True, False, True]
    assert (beatmap.n_objects, beatmap.n_holds, beatmap.end) == (5, 2, 2000)
    assert beatmap.timing[1] == TimingPoint(2000, -50, False)
    assert beatmap.timing[1].velocity == 2
    assert beatmap.breaks == ((5000, 9000),)
    assert beatmap.label == "Somebody - A song: with a colon (me) [4K Hard]"
    assert beatmap.audio == "song.mp3"


@pytest.mark.parametrize("text", [SAMPLE, SAMPLE.replace("\n", "\r\n"), "\ufeff\n\n" + SAMPLE])
def test_line_ends_and_byte_order_marks(text):
    np.testing.assert_array_equal(parse(text).starts, parse(SAMPLE).starts)


@pytest.mark.parametrize("keys", range(1, 11))
def test_columns_of_x_at_every_key_count(keys):
    edges = [(0, 0), (-50, 0), (511, keys - 1), (512, keys - 1), (600, keys - 1)]
    edges += [(512 * c / keys + 0.01, c) for c in range(keys)]
    edges += [(512 * c / keys - 0.01, c - 1) for c in range(1, keys)]
    objects = "\n".join(f"{x},192,{1000 * i},1,0,0:0:0:0:" for i, (x, _) in enumerate(edges))
    head = sample("CircleSize:4", f"CircleSize:{keys}").partition("[HitObjects]")[0]
    beatmap = parse(f"{head}[HitObjects]\n{objects}")
    assert beatmap.columns.tolist() == [column for _, column in edges]


@pytest.mark.parametrize(("size", "keys"), [("0", 1), ("0.4", 1), ("6.6", 7), ("4.5", 4)])
def test_key_counts_are_rounded_circle_sizes(size, keys):
    text = sample("CircleSize:4", f"CircleSize:{size}").partition("192,192,1000")[0]
    assert parse(text).keys == keys


@pytest.mark.parametrize("keys", range(1, 11))
def test_written_and_read_back(keys, tmp_path):
    rng = np.random.default_rng(keys)
    starts = np.sort(rng.integers(0, 10**6, 400)) + 0.0
    starts[::7] += 0.25  # of lazer's editor
    columns = rng.integers(0, keys, 400)
    ends = starts.copy()
    for column in range(keys):
        own = np.flatnonzero(columns == column)
        ends[own[:-1]] = np.minimum(starts[own[1:]], starts[own[:-1]] + 300)
    first = np.ones(400, bool)
    for column in range(keys):  # nothing twice at one time
        own = np.flatnonzero(columns == column)
        first[own[1:]] = starts[own[1:]] > starts[own[:-1]]
    beatmap = Beatmap(
        keys=keys,
        columns=columns[first],
        starts=starts[first],
        ends=ends[first],
        holds=rng.random(first.sum()) < 0.5,
        overall_difficulty=7.3,
        drain_rate=6.5,
        timing=(TimingPoint(100, 333.25, True, 3), TimingPoint(1500.5, -62.5, False, 3)),
        breaks=((7000, 9000),),
        title="täst\nof lines",
    )
    beatmap.write(tmp_path / "map.osu")
    again = read(tmp_path / "map.osu")
    for name in ("columns", "starts", "ends", "holds"):
        np.testing.assert_array_equal(getattr(again, name), getattr(beatmap, name))
    for name in ("keys", "overall_difficulty", "drain_rate", "timing", "breaks", "md5"):
        assert getattr(again, name) == getattr(beatmap, name)
    assert again.title == "täst of lines"
    assert [file.name for file in tmp_path.iterdir()] == ["map.osu"]


ERRORS = [
    ("osu file format v14", "hello", "line 1: an .osu file begins with"),
    ("v14", "v3", "line 1: format version '3' isn't read"),
    ("Mode: 3", "Mode: 0", "line 6: a map of osu!: only osu!mania's"),
    ("Mode: 3", "Mode: mania", "line 6: Mode must be a number, got 'mania'"),
    ("Mode: 3\n", "", "a map of osu!"),
    ("CircleSize:4", "CircleSize:18", "line 19: 18 keys: at most 10"),
    ("CircleSize:4", "CircleSize:1e308", "line 19: 1e+308 keys: at most 10"),
    ("CircleSize:4", "CircleSize:inf", "line 19: CircleSize must be a number"),
    ("CircleSize:4", "nothing", "line 19: expected 'Name: value', got 'nothing'"),
    ("OverallDifficulty:8.2", "OverallDifficulty:x", "line 20: OverallDifficulty must be a"),
    ("2,5000,9000", "2,5000", "line 25: a break needs"),
    ("0,500,4,1,0,100,1,0", "0", "line 28: a timing point needs"),
    ("0,500,4,1", "0,0,4,1", "line 28: an uninherited point's beat length must be positive: 0"),
    ("0,500,4,1", "0,nan,4,1", "line 28: a beat length must be a number, got 'nan'"),
    ("64,192,1000,1,0,0:0:0:0:", "64,192", "line 33: an object needs x, y, time and type"),
    ("64,192,1000", "a,192,1000", "line 33: an object's x must be a number, got 'a'"),
    ("64,192,1000", "64,192,1_000", "line 33: an object's time must be a number"),
    ("64,192,1000", "64,192,9e9", "line 33: an object's time is more than a day away from 0"),
    ("1000,1,0", "1000,one,0", "line 33: an object's type must be a whole number, got 'one'"),
    ("1000,1,0", "1000,2,0", "line 33: a slider: only notes and holds can be played"),
    ("1000,1,0", "1000,12,0", "line 33: a spinner: only"),
    ("1000,1,0", "1000,64,0", "line 33: an object of type 64: only"),
    ("1500,128,0,2000:0:0:0:0:", "1500,128,0", "line 35: a hold needs an end time"),
    ("1500,128,0,2000:", "1500,128,0,soon:", "line 35: a hold's end must be a number"),
    ("511,192,1750", "320,192,1750", "line 36: the object at 1750 ms in column 3 overlaps the"),
    ("192,192,1000,5", "64,192,1000,5", "line 34: the object at 1000 ms in column 1 overlaps"),
    (SAMPLE[SAMPLE.index("64,192") :], "", "the map has no objects"),
]


@pytest.mark.parametrize(("old", "new", "message"), ERRORS, ids=[e[2][:40] for e in ERRORS])
def test_errors_name_the_file_and_the_line(old, new, message, tmp_path):
    path = tmp_path / "broken.osu"
    path.write_text(sample(old, new), encoding="utf-8")
    with pytest.raises(BeatmapError) as error:
        read(path)
    assert str(error.value).startswith(f"{path}, line ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keys": 11}, "keys must lie in 1 to 10"),
        ({"columns": [0, 4]}, "columns must lie in 0 to 3"),
        ({"columns": [0]}, "as long as each other"),
        ({"ends": [0, 1500]}, "can't last from 1000 to 0"),
        ({"starts": [float("nan"), 5]}, "can't last"),
        ({"columns": [1, 1], "starts": [1000, 1100]}, "overlaps the one from 1000 to 1500"),
        ({"overall_difficulty": 11}, "OD must lie in"),
        ({"drain_rate": -1}, "HP must lie in"),
    ],
)
def test_a_beatmap_without_a_file_is_checked_too(changes, message):
    fields = {
        "keys": 4,
        "columns": [0, 1],
        "starts": [1000, 1000],
        "ends": [1500, 1500],
        "holds": [True, True],
    }
    Beatmap(**fields)
    with pytest.raises(BeatmapError, match=message):
        Beatmap(**{**fields, **changes})


def test_scroll_is_velocity_times_beat_rate():
    """500 ms a beat for 2 s; then velocity 2; then 250 ms a beat, as fast again, velocity 1."""
    text = sample("511,192,1750", "511,192,4500")
    scroll = parse(text).scroll
    # 500 ms hold from 0 to 4000, 250 ms from 4000 to 4500: 500 is the main beat length.
    np.testing.assert_allclose(scroll([-100, 0, 1000, 2000]), [-100, 0, 1000, 2000])
    np.testing.assert_allclose(scroll([3000, 4000, 4500]), [4000, 6000, 7000])


def test_scroll_without_timing_points_is_time():
    beatmap = Beatmap(keys=1, columns=[0], starts=[10], ends=[10], holds=[False])
    np.testing.assert_array_equal(beatmap.scroll([-5, 0, 99]), [-5, 0, 99])


def test_archives(tmp_path):
    path = tmp_path / "set.osz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.osu", SAMPLE)
        archive.writestr("standard.osu", sample("Mode: 3", "Mode: 0"))
        archive.writestr("song.mp3", b"la la")
    (beatmap,) = read_archive(path)
    assert beatmap.n_objects == 5
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("b.osu", sample("1000,1,0", "1000,2,0"))
    with pytest.raises(BeatmapError, match=r"set.osz, b.osu, line 33: a slider"):
        read_archive(path)
    path.write_bytes(b"PK\x03\x04 and nothing else")
    with pytest.raises(BeatmapError, match="not an archive"):
        read_archive(path)


def test_mutated_files_are_read_or_refused():
    outcomes = fuzz_osu.fuzz(1500)
    assert min(outcomes["read"], outcomes["refused"]) > 300


def test_a_large_map_is_read():
    assert parse(fuzz_osu.large_map()).n_objects == 100_000
