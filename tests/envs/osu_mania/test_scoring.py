import math

import numpy as np
import pytest

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.judgement import make_rules
from envs.osu_mania.play import JUDGEMENTS
from envs.osu_mania.scoring import (
    COMBO_WEIGHTS,
    accuracies,
    best_combo,
    health_changes,
    recovery_multiplier,
)
from envs.osu_mania.session import Session

# Errors that are judged MAX, 300, 200, 100, 50 and miss at OD 5, by early presses
ERRORS = dict(zip(JUDGEMENTS, (0, -30, -70, -100, -130, -150), strict=True))


def play(beatmap, judgements, ruleset, **options):
    """A session in which the notes of column 0 have had these judgements, in turn."""
    session = Session(beatmap, ruleset, **options)
    for start, name in zip(beatmap.starts.tolist(), judgements, strict=False):
        session.press(0, start + ERRORS[name])
        assert JUDGEMENTS[session.newest[-1].judgement] == name
        session.release(0, start + ERRORS[name] + 5)
    return session


@pytest.fixture
def notes(make_beatmap):
    """n notes in column 0, a second apart."""
    return lambda n, **fields: make_beatmap(*((0, 1000.0 * (i + 1)) for i in range(n)), **fields)


# ScoreV1: (judgements of ten notes) -> points, worked out by hand from the wiki's table.
# A note's base is 50,000 * value / 320; its bonus 50,000 * bonus value * sqrt(bonus) / 320.
SCORE_V1 = [
    (["max"], 50_000 + 50_000),
    (["max"] * 10, 1_000_000),
    (["300"] * 10, 10 * (50_000 * 300 / 320) + 10 * 50_000),
    (["200"], 50_000 * 200 / 320 + 50_000 * 16 * math.sqrt(92) / 320),
    (["100"], 50_000 * 100 / 320 + 50_000 * 8 * math.sqrt(76) / 320),
    (["50"], 50_000 * 50 / 320 + 50_000 * 4 * math.sqrt(56) / 320),
    (["miss"], 0),
    (["miss", "max"], 50_000 + 50_000 * 32 * math.sqrt(2) / 320),
    (["miss", "300"], 50_000 * 300 / 320 + 50_000 * 32 * math.sqrt(1) / 320),
    (
        ["50", "50", "50"],
        3 * 50_000 * 50 / 320 + 50_000 * 4 * (math.sqrt(56) + math.sqrt(12)) / 320,
    ),
    (["200", "max"], 81_250 + 50_000 * (16 * math.sqrt(92) + 32 * math.sqrt(94)) / 320),
]


@pytest.mark.parametrize(("judgements", "points"), SCORE_V1)
def test_score_v1(judgements, points, notes):
    assert play(notes(10), judgements, "stable").score == math.floor(points + 0.5)


def test_score_v1_of_other_rates(notes):
    """Slower is worth a half; faster takes less of the bonus, and windows are wider in the song."""
    assert play(notes(10), ["max"] * 10, "stable", rate=0.75).score == 500_000
    session = Session(notes(10), "stable", rate=1.5)
    session.press(0, 1000 - 110)
    points = 50_000 * 200 / 320 + 50_000 * 16 * math.sqrt(100 - 8 / 1.1) / 320
    assert session.score == math.floor(points + 0.5)


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("n", [1, 7, 399, 1003])
def test_all_max_is_a_million(ruleset, n, notes):
    session = play(notes(n), ["max"] * n, ruleset)
    assert session.score == 1_000_000
    assert session.accuracy == 1
    assert session.combo == session.max_combo == n


def lazer_score(judgements, n):
    """The formula, note by note."""
    values = dict(zip(JUDGEMENTS, (305, 300, 200, 100, 50, 0), strict=True))

    def weight(combo):
        return min(max(0.5, math.log(combo, 4)), math.log(400, 4)) if combo else 0.5

    combo, portion, base = 0, 0.0, 0
    for name in judgements:
        combo = 0 if name == "miss" else combo + 1
        portion += min(values[name], 300) * weight(combo)
        base += values[name]
    best = sum(300 * weight(i + 1) for i in range(n))
    accuracy = base / (305 * len(judgements))
    progress = len(judgements) / n
    return 150_000 * portion / best + 850_000 * accuracy ** (2 + 2 * accuracy) * progress


@pytest.mark.parametrize(
    "judgements",
    [
        ["max"],
        ["300"] * 10,
        ["miss"] * 3,
        ["max", "300", "200", "100", "50", "miss", "max", "300"],
        ["100"] * 5 + ["max"] * 5,
    ],
)
def test_lazer_score(judgements, notes):
    session = play(notes(10), judgements, "lazer")
    assert session.score == round(lazer_score(judgements, 10))


def test_lazer_score_of_slower_songs(notes):
    assert play(notes(3), ["max"] * 3, "lazer", rate=0.75).score == 300_000
    assert play(notes(3), ["max"] * 3, "lazer", rate=0.9).score == 500_000
    assert play(notes(3), ["max"] * 3, "lazer", rate=1.5).score == 1_000_000


def test_lazer_weighs_combos_up_to_400():
    assert COMBO_WEIGHTS[[0, 1, 2, 4, 16, 400]].tolist() == pytest.approx(
        [0.5, 0.5, 0.5, 1, 2, math.log(400, 4)]
    )


@pytest.mark.parametrize(
    ("counts", "stable", "lazer"),
    [
        ([0, 0, 0, 0, 0, 0], 1, 1),
        ([1, 0, 0, 0, 0, 0], 1, 1),
        ([0, 1, 0, 0, 0, 0], 1, 300 / 305),
        ([0, 0, 1, 0, 0, 0], 200 / 300, 200 / 305),
        ([0, 0, 0, 1, 0, 0], 100 / 300, 100 / 305),
        ([0, 0, 0, 0, 1, 0], 50 / 300, 50 / 305),
        ([0, 0, 0, 0, 0, 1], 0, 0),
        ([3, 4, 1, 1, 0, 1], 2400 / 3000, (915 + 1200 + 300) / 3050),
    ],
)
def test_accuracy(counts, stable, lazer):
    assert accuracies(np.array(counts), False) == pytest.approx(stable)
    assert accuracies(np.array([counts, counts]), True).tolist() == pytest.approx([lazer] * 2)


def test_best_combos(make_beatmap):
    """A stable hold counts one and one for each 100 ms, a lazer hold two."""
    beatmap = make_beatmap((0, 0, 99), (1, 0, 100), (2, 0, 1234), (3, 0))
    assert best_combo(beatmap, lazer=False) == 1 + 2 + 13 + 1
    assert best_combo(beatmap, lazer=True) == 7


# Health


@pytest.mark.parametrize("hp", [0, 3, 5, 8, 10])
@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
def test_health_of_each_judgement(hp, ruleset, notes):
    beatmap = notes(40, hp=hp)
    multiplier = recovery_multiplier(beatmap, ruleset == "lazer")
    expected = {
        "max": multiplier * (0.0055 - 0.0005 * hp),
        "300": multiplier * (0.005 - 0.0005 * hp),
        "200": multiplier * (0.004 - 0.0004 * hp),
        "100": 0,
        "50": -(hp + 1) * 0.0016,
        "miss": -(hp + 1) * 0.0075,
    }
    for name, change in expected.items():
        session = play(beatmap, ["miss"] * 4 + [name], ruleset)
        before = 1 - 4 * (hp + 1) * 0.0075
        assert session.health == pytest.approx(min(before + change, 1), abs=1e-12)
    assert play(beatmap, ["max"] * 3, ruleset).health == 1


def test_a_missed_part_of_a_lazer_hold_costs_half(make_beatmap):
    beatmap = make_beatmap((0, 1000, 2000), hp=7)
    session = Session(beatmap, "lazer")
    session.advance(1500)
    assert session.health == pytest.approx(1 - 8 * 0.00375)
    session.finish()
    assert session.health == pytest.approx(1 - 8 * 0.0075)
    session = Session(beatmap, "stable")
    session.finish()
    assert session.health == pytest.approx(1 - 8 * 0.0075)


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
def test_failing(ruleset, notes):
    """At HP 9 a miss costs 0.075: the fourteenth is the last. With can_fail it ends there."""
    beatmap = notes(30, hp=9)
    assert not play(beatmap, ["miss"] * 13, ruleset).failed
    session = play(beatmap, ["miss"] * 14 + ["max"] * 5, ruleset)
    assert session.failed
    assert session.counts["max"] == 5
    assert session.health > 0
    session = play(beatmap, ["miss"] * 14, ruleset, can_fail=True)
    assert (session.failed, session.health) == (True, 0)
    score = session.score
    session.press(0, 15_000)
    session.finish()
    assert (session.counts["max"], session.health, session.score) == (0, 0, score)


def walked_through(beatmap, drop, gains, lowest):
    """Health and unbounded health at the end, object by object; None if it sinks too low."""
    health = unbounded = 1.0
    last = beatmap.starts[0]
    breaks = list(beatmap.breaks)
    for start, end, gain in zip(beatmap.starts, beatmap.ends, gains, strict=True):
        while breaks and breaks[0][1] <= start:
            last = start
            breaks.pop(0)
        unbounded = max(0, unbounded - drop * (start - last))
        health = max(0, health - drop * (start - last))
        last = end
        if health <= lowest:
            return None
        overkill = max(0, drop * (end - start) - health)
        unbounded = max(0, unbounded - drop * (end - start)) + gain
        health = min(1, max(0, health - drop * (end - start)) + gain)
        if overkill > 0 and health - overkill <= lowest:
            return None
    return health, unbounded


def searched_multiplier(beatmap, lazer):
    """The game's search, as the game does it."""

    def by_difficulty(low, middle, high):
        part = (beatmap.drain_rate - 5) / 5
        return middle + part * ((high - middle) if beatmap.drain_rate > 5 else (middle - low))

    lowest_ever, lowest_end = by_difficulty(0.975, 0.8, 0.3), by_difficulty(0.99, 0.9, 0.4)
    recovery = by_difficulty(0.04, 0.02, 0)
    drop, multiplier = 0.00025, 1.0
    while True:
        gain = multiplier * (0.0055 - 0.0005 * beatmap.drain_rate)
        gains = [gain * (1 + (hold and lazer)) for hold in beatmap.holds]
        result = walked_through(beatmap, drop, gains, lowest_ever)
        if result is None:
            drop *= 0.96
        elif result[0] < lowest_end:
            drop, multiplier = drop * 0.94, multiplier * 1.01
        elif (result[1] - 1) / beatmap.n_objects < recovery:
            drop, multiplier = drop * 0.96, multiplier * 1.01
        else:
            return multiplier


@pytest.mark.parametrize("hp", [0, 4, 5, 7.5, 10])
@pytest.mark.parametrize("lazer", [False, True])
def test_recovery_multiplier_is_what_the_games_search_finds(hp, lazer):
    rng = np.random.default_rng(round(hp))
    starts = np.cumsum(rng.integers(0, 400, 300)) + 0.0
    columns = np.arange(300) % 4
    lengths = np.where(rng.random(300) < 0.3, rng.integers(0, 3, 300) * 150.0, 0)
    nearest = np.concatenate((starts[4:], [np.inf] * 4))
    ends = np.minimum(starts + lengths, nearest)
    beatmap = Beatmap(
        keys=4,
        columns=columns[starts < nearest],
        starts=starts[starts < nearest],
        ends=ends[starts < nearest],
        holds=(ends > starts)[starts < nearest],
        drain_rate=hp,
        breaks=((starts[100] + 1, starts[101] - 1),) if starts[101] > starts[100] + 2 else (),
    )
    assert recovery_multiplier(beatmap, lazer) == pytest.approx(searched_multiplier(beatmap, lazer))
    assert health_changes(beatmap, lazer)[0] > 0 or hp == 10


def test_a_map_on_which_the_search_finds_nothing(make_beatmap):
    assert recovery_multiplier(make_beatmap((0, 0), hp=0), lazer=False) > 0
    assert make_rules().rate == 1
