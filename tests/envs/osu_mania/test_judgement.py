"""The game's own tables: hit windows, holds, note lock.

Restated from https://osu.ppy.sh/wiki/en/Gameplay/Judgement/osu%21mania and from what lazer's test
scenes of legacy replays, replay stability, hold notes and out-of-order hits say happens.
"""

import math

import pytest

from envs.osu_mania.judgement import hit_windows, make_rules
from envs.osu_mania.play import JUDGEMENTS, MISS
from envs.osu_mania.session import Session

START = 1000


def judged(session, column=0):
    return [JUDGEMENTS[j.judgement] for j in session.newest if j.column == column]


def counts(session):
    return {name: count for name, count in session.counts.items() if count}


# (ruleset, OD, rate) -> largest whole ms of error for MAX, 300, 200, 100 and 50
EDGES = {
    ("stable", 5, 1.0): (16, 49, 82, 112, 136),
    ("stable", 9.3, 1.0): (16, 36, 69, 99, 123),
    ("stable", 3.1, 1.0): (16, 54, 87, 117, 141),
    ("stable", 5, 1.5): (24, 73, 123, 168, 204),
    ("stable", 5, 0.75): (12, 36, 61, 84, 102),
    ("lazer", 5, 1.0): (19, 49, 82, 112, 136),
    ("lazer", 9.3, 1.0): (14, 36, 69, 99, 123),
}

EDGE_CASES = [
    (ruleset, od, rate, sign * (edge + beyond), JUDGEMENTS[k + beyond])
    for (ruleset, od, rate), edges in EDGES.items()
    for k, edge in enumerate(edges)
    for beyond in (0, 1)
    for sign in (-1, 1)
    if sign < 0 or k < 3  # what's late of stable's 100 has tests of its own
]


@pytest.mark.parametrize(("ruleset", "od", "rate", "error", "judgement"), EDGE_CASES)
def test_edges_of_the_windows(ruleset, od, rate, error, judgement, make_beatmap):
    session = Session(make_beatmap((0, START), od=od), ruleset, rate)
    session.press(0, START + error)
    assert judged(session) == [judgement]
    assert session.newest[0].error == error
    assert session.finished


@pytest.mark.parametrize(
    ("od", "rate", "edge"),
    [(od, rate, edges[3]) for (ruleset, od, rate), edges in EDGES.items() if ruleset == "stable"],
)
def test_stable_knows_no_late_50_and_the_late_100s_edge_is_a_miss(od, rate, edge, make_beatmap):
    beatmap = make_beatmap((0, START), od=od)
    session = Session(beatmap, "stable", rate)
    session.press(0, START + edge - 1)
    assert judged(session) == ["100"]
    session = Session(beatmap, "stable", rate)
    session.press(0, START + edge)
    assert judged(session) == ["miss"]
    assert session.newest[0].time == START + edge - 0.5  # by itself, before the key came down


@pytest.mark.parametrize("od", [5, 9.3])
def test_lazer_knows_late_50s(od, make_beatmap):
    edge = EDGES["lazer", od, 1.0][4]
    for error, judgement in ((edge - 1, "50"), (edge, "50"), (edge + 1, "miss")):
        session = Session(make_beatmap((0, START), od=od), "lazer")
        session.press(0, START + error)
        assert judged(session) == [judgement]


# Fractions of a ms: a window reaches to half a ms beyond its whole number.
FRACTIONS = [
    (5, -19.2, "max"),
    (5, -19.7, "300"),
    (5, -48.7, "300"),
    (5, -49.2, "300"),
    (5, -49.7, "200"),
    (5, -82.2, "200"),
    (5, -82.7, "100"),
    (5, -112.2, "100"),
    (5, -112.7, "50"),
    (5, -136.2, "50"),
    (5, -136.7, "miss"),
    (9.3, 14.2, "max"),
    (9.3, 14.7, "300"),
    (9.3, 36.3, "300"),
    (9.3, 36.7, "200"),
    (9.3, 69.25, "200"),
    (9.3, 69.85, "100"),
    (9.3, 99.3, "100"),
    (9.3, 99.7, "50"),
    (9.3, 123.45, "50"),
    (9.3, 123.95, "miss"),
]


@pytest.mark.parametrize(("od", "error", "judgement"), FRACTIONS)
def test_fractions_in_lazer(od, error, judgement, make_beatmap):
    session = Session(make_beatmap((0, START), od=od), "lazer")
    session.press(0, START + error)
    assert judged(session) == [judgement]


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize("od", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 7.3])
def test_windows_are_the_published_formulas(ruleset, od):
    widest = 16 if ruleset == "stable" else 22.4 - 0.6 * od if od <= 5 else 24.9 - 1.1 * od
    formulas = [widest] + [base - 3 * od for base in (64, 97, 127, 151, 188)]
    windows = hit_windows(od, make_rules(ruleset))
    assert windows.errors.tolist() == [math.floor(round(w, 9)) for w in formulas]


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
@pytest.mark.parametrize(("od", "edge"), [(0, 188), (5, 173), (8, 164), (10, 158)])
def test_a_press_before_the_miss_window_does_nothing(ruleset, od, edge, make_beatmap):
    session = Session(make_beatmap((0, START), od=od), ruleset)
    session.press(0, START - edge - 1)
    assert session.newest == []
    session.release(0, START - edge)
    session.press(0, START)
    assert judged(session) == ["max"]
    session = Session(make_beatmap((0, START), od=od), ruleset)
    session.press(0, START - edge)
    assert judged(session) == ["miss"]


@pytest.mark.parametrize("ruleset", ["stable", "lazer"])
def test_what_is_never_pressed_is_missed_and_what_stays_down_too(ruleset, make_beatmap):
    session = Session(make_beatmap((0, START), (1, START), (1, START + 500)), ruleset)
    session.press(1, START)
    session.finish()
    assert counts(session) == {"max": 1, "miss": 2}
    assert session.finished


def test_unknown_rulesets_and_rates_are_refused(make_beatmap):
    with pytest.raises(ValueError, match="ruleset must be one of stable, lazer, got 'taiko'"):
        make_rules("taiko")
    with pytest.raises(ValueError, match="rate must lie in"):
        make_rules("stable", rate=3)
    session = Session(make_beatmap((0, START)))
    session.advance(500)
    with pytest.raises(ValueError, match="time runs backwards"):
        session.advance(499)
    with pytest.raises(ValueError, match="there must be 4 keys"):
        session.set_keys([True], 600)


# Note lock


def test_lazer_locks_a_note_once_the_next_has_started(make_beatmap):
    """Seven notes 100 ms apart, the first is left out, the others come 10 ms late."""
    notes = [(0, START + 100 * i) for i in range(7)]
    session = Session(make_beatmap(*notes), "lazer")
    for _, start in notes[1:]:
        session.press(0, start + 10)
        assert session.newest[-1].error == 10
        session.release(0, start + 11)
    assert counts(session) == {"max": 6, "miss": 1}


def test_stable_hits_the_first_undecided_note(make_beatmap):
    """The same keys: each press is a late one of the note before, until that one has expired."""
    notes = [(0, START + 100 * i) for i in range(7)]
    session = Session(make_beatmap(*notes), "stable")
    errors = []
    for _, start in notes[1:]:
        session.press(0, start + 10)
        errors.append(session.newest[-1].error)
        session.release(0, start + 11)
    session.finish()
    assert errors == [110] * 6
    assert counts(session) == {"100": 6, "miss": 1}


@pytest.mark.parametrize(
    ("time", "error", "misses"),
    [(1049, 49, 0), (1050, 0, 1), (1080, 30, 1), (999, -1, 0)],
)
def test_who_is_hit_in_lazer_of_two_notes_50_ms_apart(time, error, misses, make_beatmap):
    session = Session(make_beatmap((0, 1000), (0, 1050)), "lazer")
    session.press(0, time)
    assert session.newest[-1].error == error
    assert [j.judgement for j in session.newest[:-1]] == [MISS] * misses


def test_a_hit_in_lazer_breaks_the_combo_by_what_it_skips(make_beatmap):
    session = Session(make_beatmap((1, 900), (0, 1000), (0, 1050)), "lazer")
    session.press(1, 900)
    session.press(0, 1050)
    assert counts(session) == {"max": 2, "miss": 1}
    assert (session.combo, session.max_combo) == (0, 2)


# Lazer's holds: head 1500, tail 4000, OD 5

HEAD, TAIL = 1500, 4000


def play_hold(make_beatmap, ruleset, presses, *others, od=5.0, hold=(HEAD, TAIL)):
    """What comes of a hold in column 0 if its key goes down and up at these times, in turn."""
    session = Session(make_beatmap((0, *hold), *others, od=od), ruleset)
    results = []
    for i, time in enumerate(presses):
        (session.release if i % 2 else session.press)(0, time)
        results += judged(session)
    session.finish()
    return results + judged(session), session


LAZER_HOLDS = {
    "no input": ([], ["miss", "miss"]),
    "as it should be": ([HEAD, TAIL], ["max", "max"]),
    "held past the end": ([HEAD, 5250], ["max", "miss"]),
    "pressed too early, held past the end": ([250, 5250], ["miss", "miss"]),
    "pressed too early, released at the tail": ([250, TAIL], ["miss", "miss"]),
    "pressed too early, then right, past the end": ([250, 260, HEAD, 5250], ["max", "miss"]),
    "pressed too early, then right": ([250, 260, HEAD, TAIL], ["max", "max"]),
    "dropped": ([HEAD, HEAD + 10], ["max", "miss"]),
    "dropped, taken up at once": ([HEAD, HEAD + 1, HEAD + 2, TAIL], ["max", "50"]),
    "dropped, taken up, past the end": ([HEAD, HEAD + 10, 2500, 5250], ["max", "miss"]),
    "dropped, taken up": ([HEAD, HEAD + 10, 2500, TAIL], ["max", "50"]),
    "dropped twice": ([HEAD, 1600, 1700, 1800, 1900, TAIL], ["max", "50"]),
    "pressed in the body, past the end": ([2500, 5250], ["miss", "miss"]),
    "pressed in the body": ([2500, TAIL], ["miss", "50"]),
    "pressed at the tail": ([TAIL, TAIL + 10], ["miss", "50"]),
    "head early enough for a miss, held": ([HEAD - 150, TAIL], ["miss", "50"]),
    "head late": ([HEAD + 100, TAIL], ["100", "max"]),
    "tail early, a 300 by the leniency": ([HEAD, TAIL - 30], ["max", "300"]),
    "tail early, the last MAX": ([HEAD, TAIL - 29], ["max", "max"]),
    "tail early, the last 300": ([HEAD, TAIL - 74], ["max", "300"]),
    "tail early, the first 200": ([HEAD, TAIL - 75], ["max", "200"]),
    "tail late, the last 200": ([HEAD, TAIL + 123], ["max", "200"]),
    "tail late, a 100": ([HEAD, TAIL + 124], ["max", "100"]),
    "tail late, the last 50": ([HEAD, TAIL + 204], ["max", "50"]),
    "tail late, missed": ([HEAD, TAIL + 205], ["max", "miss"]),
    "tail early, the last 50": ([HEAD, TAIL - 204], ["max", "50"]),
    "tail early, a miss": ([HEAD, TAIL - 205], ["max", "miss"]),
    "tail early, the last miss": ([HEAD, TAIL - 260], ["max", "miss"]),
    "dropped just before that, taken up": ([HEAD, TAIL - 261, 3800, TAIL], ["max", "50"]),
}


@pytest.mark.parametrize("case", LAZER_HOLDS)
def test_lazer_holds(case, make_beatmap):
    presses, expected = LAZER_HOLDS[case]
    results, session = play_hold(make_beatmap, "lazer", presses)
    assert results == expected
    assert session.finished


def test_dropping_a_lazer_hold_breaks_the_combo_once(make_beatmap):
    session = Session(make_beatmap((1, 1000), (1, 1200), (0, HEAD, TAIL), (1, 2600)), "lazer")
    combos = []
    for time, column, down in [
        (1000, 1, True),
        (1010, 1, False),
        (1200, 1, True),
        (1210, 1, False),
        (HEAD, 0, True),
        (HEAD + 100, 0, False),  # dropped
        (2000, 0, True),
        (2600, 1, True),
        (2700, 0, False),  # dropped again: the combo goes on
        (2800, 0, True),
        (TAIL, 0, False),
    ]:
        (session.press if down else session.release)(column, time)
        combos.append(session.combo)
    assert combos == [1, 1, 2, 2, 3, 0, 0, 1, 1, 1, 2]
    assert counts(session) == {"max": 4, "50": 1}


def test_lazer_hold_with_a_note_near_its_tail_pressed_before_it(make_beatmap):
    """The press takes the hold up and hits the note, which ends the hold."""
    results, session = play_hold(make_beatmap, "lazer", [TAIL - 10, TAIL], (0, TAIL + 50))
    assert results == ["miss", "miss", "200"]  # the head, and by the hit the tail
    assert session.newest == []
    assert counts(session) == {"200": 1, "miss": 2}


def test_lazer_hold_with_a_note_near_its_tail_pressed_after_it(make_beatmap):
    results, session = play_hold(make_beatmap, "lazer", [TAIL + 10, TAIL + 20], (0, TAIL + 50))
    assert results == ["miss", "miss", "300"]
    assert counts(session) == {"300": 1, "miss": 2}


def test_short_lazer_hold_pressed_at_its_tail_before_a_note(make_beatmap):
    hold = (HEAD, HEAD + 50)
    presses = [HEAD + 50, HEAD + 60]
    results, _ = play_hold(make_beatmap, "lazer", presses, (0, HEAD + 60), hold=hold)
    assert results == ["200", "max", "miss"]


def test_lazer_hold_released_after_the_next_has_started(make_beatmap):
    results, _ = play_hold(
        make_beatmap, "lazer", [1000, 1030, 1040, 1050], (0, 1020, 1030), hold=(1000, 1010)
    )
    assert results == ["max", "max", "300", "max"]


def test_lazer_hold_missed_and_the_next_one_hit(make_beatmap):
    second = (0, 1500 + 158 + 10, 2200)
    results, session = play_hold(
        make_beatmap, "lazer", [second[1], second[2]], second, od=10, hold=(1000, 1500)
    )
    assert results[-2:] == ["max", "max"]
    assert counts(session) == {"max": 2, "miss": 2}


def test_lazer_hold_without_length(make_beatmap):
    assert play_hold(make_beatmap, "lazer", [1000, 1001], hold=(1000, 1000))[0] == ["max", "max"]


def test_taking_up_a_lazer_hold_is_not_a_miss_of_what_comes_next(make_beatmap):
    """Here we are milder than lazer, which misses a note that is 137 to 173 ms away."""
    results, _ = play_hold(make_beatmap, "lazer", [TAIL - 100, TAIL], (0, TAIL + 60))
    assert results == ["miss", "50", "miss"]


# Stable's holds: one judgement of both errors. OD 5: windows 16, 49, 82, 112, 136.

STABLE_HOLDS = {
    "no input": ([], "miss"),
    "as it should be": ([HEAD, TAIL], "max"),
    "MAX head limit 19 = 1.2 * 16": ([HEAD + 19, TAIL], "max"),
    "beyond the MAX head limit": ([HEAD + 20, TAIL], "300"),
    "MAX sum limit 38 = 2.4 * 16": ([HEAD, TAIL + 38], "max"),
    "beyond the MAX sum limit": ([HEAD, TAIL + 39], "300"),
    "MAX sum of both": ([HEAD - 19, TAIL - 19], "max"),
    "beyond the MAX sum of both": ([HEAD - 19, TAIL - 20], "300"),
    "300 head limit 53 = 1.1 * 49": ([HEAD - 53, TAIL], "300"),
    "beyond the 300 head limit": ([HEAD - 54, TAIL], "200"),
    "300 sum limit 107 = 2.2 * 49": ([HEAD, TAIL - 107], "300"),
    "beyond the 300 sum limit": ([HEAD, TAIL - 108], "200"),
    "200 head limit 82": ([HEAD - 82, TAIL], "200"),
    "beyond the 200 head limit": ([HEAD - 83, TAIL], "100"),
    "200 sum limit 164": ([HEAD - 60, TAIL - 104], "200"),
    "beyond the 200 sum limit": ([HEAD - 60, TAIL - 105], "100"),
    "100 head limit 112": ([HEAD - 112, TAIL], "100"),
    "beyond the 100 head limit": ([HEAD - 113, TAIL], "50"),
    "100 sum limit 224": ([HEAD - 112, TAIL - 112], "100"),
    "beyond the 100 sum limit": ([HEAD - 112, TAIL - 113], "50"),
    "head too early for a 50, held": ([HEAD - 150, TAIL], "50"),
    "the latest head": ([HEAD + 111, TAIL], "100"),
    "head missed, taken up": ([HEAD + 112, TAIL], "50"),
    "head missed, not held": ([HEAD + 112, HEAD + 300], "miss"),
    "pressed in the body": ([2500, TAIL], "50"),
    "dropped": ([HEAD, 2500], "miss"),
    "dropped, taken up": ([HEAD, 2500, 2600, TAIL], "50"),
    "dropped at once, taken up": ([HEAD, HEAD + 1, HEAD + 2, TAIL], "50"),
    "the earliest tail": ([HEAD, TAIL - 136], "200"),
    "a ms before it is a drop": ([HEAD, TAIL - 137], "miss"),
    "the latest tail": ([HEAD, TAIL + 111], "200"),
    "held past the end": ([HEAD, TAIL + 112], "200"),
    "held far past the end": ([HEAD, TAIL + 900], "200"),
    "held past the end after a 200 head": ([HEAD - 60, TAIL + 900], "100"),
    "held past the end after a drop": ([HEAD, 2500, 2600, TAIL + 900], "50"),
    "pressed in the tail's window": ([TAIL - 100, TAIL], "50"),
    "pressed after the tail": ([TAIL + 50, TAIL + 60], "50"),
    "pressed before the miss window and kept": ([HEAD - 174, TAIL], "miss"),
}


@pytest.mark.parametrize("case", STABLE_HOLDS)
def test_stable_holds(case, make_beatmap):
    presses, expected = STABLE_HOLDS[case]
    results, session = play_hold(make_beatmap, "stable", presses)
    assert results == [expected]
    assert session.finished


@pytest.mark.parametrize(
    ("presses", "combo", "best"),
    [
        ([HEAD, TAIL], 26, 26),  # one for each 100 ms, and one
        ([HEAD + 50, TAIL], 26, 26),
        ([HEAD, TAIL + 99], 26, 26),  # none after its end
        ([HEAD, TAIL - 1], 25, 25),
        ([HEAD, 2500, 2650, TAIL], 15, 15),  # dropped after 10, taken up for 14
        ([HEAD, 2549, 2550, 2560], 0, 10),
        ([], 0, 0),
    ],
)
def test_combo_of_a_stable_hold(presses, combo, best, make_beatmap):
    _, session = play_hold(make_beatmap, "stable", presses)
    assert (session.combo, session.max_combo) == (combo, best)


def test_stable_hold_limits_with_the_song_faster(make_beatmap):
    """Windows 24, 73, 123, 168: MAX up to 28 at the head and 57 in sum."""
    for presses, expected in (
        ([HEAD + 28, TAIL + 29], "max"),
        ([HEAD + 29, TAIL], "300"),
        ([HEAD, TAIL + 57], "max"),
        ([HEAD, TAIL + 58], "300"),
    ):
        session = Session(make_beatmap((0, HEAD, TAIL)), "stable", rate=1.5)
        session.press(0, presses[0])
        session.release(0, presses[1])
        assert judged(session) == [expected]
