import itertools

import numpy as np
import pytest

from envs.osu_mania.generate import PATTERNS, make_map
from envs.osu_mania.osu_file import parse
from envs.osu_mania.scoring import best_combo

rosu = pytest.importorskip("rosu_pp_py")


def read_by_rosu(beatmap):
    return rosu.Beatmap(content=beatmap.to_osu())


def stars(beatmap):
    return rosu.Difficulty().calculate(read_by_rosu(beatmap)).stars


def maps_of(count):
    """Maps of every key count and pattern, over and over, of growing difficulty."""
    for i in range(count):
        pattern, keys = PATTERNS[i % len(PATTERNS)], 1 + i % 10
        yield make_map(i, keys, pattern, difficulty=0.5 + 6 * i / count, seconds=8)


def test_rosu_counts_the_same():
    n_holds = 0
    for beatmap in maps_of(200):
        theirs = read_by_rosu(beatmap)
        assert theirs.n_objects == beatmap.n_objects
        assert theirs.n_holds == beatmap.n_holds
        attributes = rosu.Difficulty().calculate(theirs)
        # Its rule is stable's: one for each object, and one for each 100 ms of a hold.
        assert attributes.max_combo == best_combo(beatmap, lazer=False)
        assert np.isfinite(attributes.stars)
        n_holds += beatmap.n_holds
    assert n_holds > 1000


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("keys", [1, 4, 7, 10])
def test_stars_grow_with_the_difficulty(pattern, keys):
    difficulties = np.array([0.3, 0.7, 1, 1.5, 2, 2.5, 3, 4, 5, 7, 10])
    for seed in range(2):
        found = np.array([stars(make_map(seed, keys, pattern, d)) for d in difficulties])
        assert (np.diff(found) > 0).all(), found
        assert np.isfinite(found).all()
        playable = (difficulties >= 1) & (difficulties <= 5)
        np.testing.assert_allclose(found[playable], difficulties[playable], rtol=0.25)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_maps_are_their_arguments(pattern):
    first, again = (make_map(5, 7, pattern, 2.5) for _ in range(2))
    assert first.to_osu() == again.to_osu()
    assert make_map(6, 7, pattern, 2.5).md5 != first.md5
    assert make_map(5, 7, pattern, 2.6).md5 != first.md5
    assert parse(first.to_osu()).md5 == first.md5


def test_a_map_stays_what_it_is():
    """Scores are compared by seeds: on any machine and with any NumPy this seed is this map."""
    beatmap = make_map(1, 4, "stream", 2.0, seconds=1.2)
    assert beatmap.columns.tolist() == [3, 1, 2, 3, 1, 0, 2, 0, 2, 1]
    # (2.0 - 0.39) / 0.212 rows per second
    steps = 2000 + np.arange(10) * 1000 * 0.212 / 1.61
    np.testing.assert_array_equal(beatmap.starts, np.round(steps))


def rows(beatmap):
    """The columns that begin at each time, in order of time."""
    return [set(beatmap.columns[beatmap.starts == t]) for t in np.unique(beatmap.starts)]


def test_stream():
    found = rows(make_map(3, 4, "stream", 3))
    assert all(len(row) == 1 for row in found)
    assert all(not a & b for a, b in itertools.pairwise(found))


def test_jump():
    found = rows(make_map(3, 5, "jump", 3))
    assert {len(row) for row in found[::2]} == {2}
    assert {len(row) for row in found[1::2]} == {1}
    assert all(not a & b for a, b in itertools.pairwise(found))


def test_jack():
    found = rows(make_map(3, 4, "jack", 3))
    repeats = sum(a == b for a, b in itertools.pairwise(found))
    assert 0.5 < repeats / len(found) < 0.75


def test_chord():
    assert {len(row) for row in rows(make_map(3, 7, "chord", 3))} == {2, 3, 4}
    assert {len(row) for row in rows(make_map(3, 2, "chord", 3))} == {2}


@pytest.mark.parametrize("difficulty", [1, 3, 6])
def test_hold(difficulty):
    beatmap = make_map(3, 4, "hold", difficulty)
    assert 0.6 < beatmap.n_holds / beatmap.n_objects < 0.9
    starts, ends = beatmap.starts, beatmap.ends
    together = (starts[:, None] < ends) & (starts < ends[:, None]) & beatmap.holds
    assert (together & ~np.eye(len(starts), dtype=bool)).any()
    for column in range(4):
        own = beatmap.columns == column
        gaps = starts[own][1:] - ends[own][:-1]
        assert gaps.min() >= 30


def test_mixed_has_everything():
    found = rows(make_map(3, 4, "mixed", 3, seconds=60))
    assert {1, 2, 3} <= {len(row) for row in found}
    assert make_map(3, 4, "mixed", 3, seconds=60).n_holds > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"keys": 11}, "keys must lie"),
        ({"pattern": "triplet"}, "pattern must be one of stream, jump"),
        ({"difficulty": 0}, "difficulty must lie"),
        ({"difficulty": 11}, "difficulty must lie"),
        ({"seconds": 0}, "seconds must lie"),
        ({"overall_difficulty": 11}, "OD must lie"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_map(**{"seed": 0, **arguments})
