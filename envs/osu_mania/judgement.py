"""The rules of judgement: hit windows, and what a press, a release and the passing of time do.

Two rulesets: stable with ScoreV1, and lazer. Sources:
https://osu.ppy.sh/wiki/en/Gameplay/Judgement/osu%21mania for stable, with its late 50s that are
impossible; lazer's drawable objects and its policy of ordered hits.

The functions of rows and columns are written for one row and column of a `Play`, in plain scalar
code that numba can compile; `numpy_kernels` says the same for many at once. All of them take the
chart, the play, the rules, row, column and time, ms. Time must not run backwards, and what is due
must have expired before a key is touched: `expire_until`, then `apply_keys`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.play import (
    BODY,
    DROPPED,
    DUE,
    GOOD,
    GREAT,
    HEAD,
    HEAD_ERROR,
    HEAD_LIMITS,
    HEAD_MISSED,
    HOLD_HEAD,
    HOLD_PART_MISS,
    HOLD_TAIL,
    HOLDING,
    IDLE,
    KEY,
    LAST_ERROR,
    LAST_JUDGEMENT,
    LAST_TIME,
    LATE,
    MAX,
    MEH,
    MISS,
    OK,
    SPAM,
    STAGE,
    SUM_LIMITS,
    TAIL_LATE,
    Chart,
    Play,
    Rules,
)
from envs.osu_mania.scoring import SHARES, break_combo, gain_combo, record

RULESETS = ("stable", "lazer")
TICK = 100.0
"""A stable hold adds one to the combo after each such time that it's held, ms."""


class Windows(NamedTuple):
    """Hit windows of a map.

    Attributes:
        errors: Whole ms that an error may have for MAX to MISS, `[6]`. Errors are rounded.
        late: From when on an object can't be pressed any more, after its start, ms.
        tail_late: From when on a hold can't be released any more, after its end, ms.
        head_limits: Stable: largest error at a hold's head for MAX, 300, 200 and 100, whole ms.
        sum_limits: Stable: largest sum of the errors at its head and its tail for them.
    """

    errors: NDArray[np.float64]
    late: float
    tail_late: float
    head_limits: NDArray[np.float64]
    sum_limits: NDArray[np.float64]


def make_rules(ruleset: str = "stable", rate: float = 1.0, can_fail: bool = False) -> Rules:
    """The rules that don't depend on the map.

    Args:
        ruleset: "stable" (ScoreV1) or "lazer".
        rate: Song time over real time: 1.5 for double time, 0.75 for half time.
        can_fail: Nothing counts any more once the health is used up.

    Raises:
        ValueError: There is no such ruleset, or the rate isn't within 0.5 to 2.
    """
    if ruleset not in RULESETS:
        raise ValueError(f"ruleset must be one of {', '.join(RULESETS)}, got {ruleset!r}")
    if not 0.5 <= rate <= 2:
        raise ValueError(f"rate must lie in 0.5 to 2, got {rate!r}")
    if ruleset == "lazer":
        # Lazer's multiplier of slower songs, by whole tenths of the rate.
        multiplier = 1.0 if rate >= 1 else 0.6 + (int(rate * 10) / 10 - 1.0)
        return Rules(True, 1.5, 1.0, multiplier, can_fail, float(rate))
    return Rules(
        False, 1.0, 1.1 if rate > 1 else 1.0, 0.5 if rate < 1 else 1.0, can_fail, float(rate)
    )


def hit_windows(overall_difficulty: float, rules: Rules) -> Windows:
    """The hit windows of a map, in song time: they last as long in real time at any rate.

    Args:
        overall_difficulty: The map's OD.
        rules: The rules.
    """
    od = overall_difficulty
    widest = 16.0
    if rules.lazer:
        widest = 22.4 - 0.6 * od if od <= 5 else 24.9 - 1.1 * od
    bases = [widest, *(base - 3.0 * od for base in (64.0, 97.0, 127.0, 151.0, 188.0))]
    errors = np.array([_floor(base * rules.rate) for base in bases])
    whole = errors.astype(np.int64)
    heads = [whole[MAX] * 12 // 10, whole[GREAT] * 11 // 10, whole[GOOD], whole[OK]]
    sums = [whole[MAX] * 24 // 10, whole[GREAT] * 22 // 10, 2 * whole[GOOD], 2 * whole[OK]]
    # In stable a late 100's edge is a miss already.
    late = errors[MEH] + 0.5 if rules.lazer else errors[OK] - 0.5
    return Windows(
        errors,
        float(late),
        float(late * rules.tail_leniency),
        np.array(heads, np.float64),
        np.array(sums, np.float64),
    )


def _floor(base: float) -> float:
    """Rounded down, but not for a rounding error: 24.9 - 1.1 * 9 is 15."""
    return math.floor(base + 1e-9)


def expire_until(chart: Chart, play: Play, rules: Rules, row: int, until: float) -> None:
    """Lets time pass in a row: what becomes due happens in order of time, then of column."""
    keys = play.next.shape[1]
    while True:
        column = 0
        for other in range(1, keys):
            if play.lanes[DUE, row, other] < play.lanes[DUE, row, column]:
                column = other
        if play.lanes[DUE, row, column] > until:
            return
        expire(chart, play, rules, row, column)


def apply_keys(
    chart: Chart, play: Play, rules: Rules, row: int, keys: NDArray[np.bool_], time: float
) -> None:
    """Sets a row's keys `[K]`, and presses and releases those that change, in order of column."""
    for column in range(play.next.shape[1]):
        if keys[column] != play.lanes[KEY, row, column]:
            play.lanes[KEY, row, column] = keys[column]
            if keys[column]:
                press(chart, play, rules, row, column, time)
            else:
                release(chart, play, rules, row, column, time)


def press(chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float) -> None:
    """A key goes down."""
    if rules.lazer:
        press_lazer(chart, play, rules, row, column, time)
    else:
        press_stable(chart, play, rules, row, column, time)


def release(chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float) -> None:
    """A key goes up: nothing but a hold that is being held cares."""
    if not play.lanes[HOLDING, row, column]:
        return
    play.lanes[HOLDING, row, column] = False
    if rules.lazer:
        release_lazer(chart, play, rules, row, column, time)
    else:
        release_stable(chart, play, rules, row, column, time)


def expire(chart: Chart, play: Play, rules: Rules, row: int, column: int) -> None:
    """What is due in a column happens, at the time when it's due."""
    if play.lanes[STAGE, row, column] == BODY:
        if rules.lazer:
            miss_part(chart, play, rules, row, column, play.lanes[DUE, row, column])
            advance(chart, play, row, column, play.next[row, column] + 1)
        else:
            expire_body_stable(chart, play, rules, row, column)
        return
    play.events[row, IDLE] += 1.0
    target = play.next[row, column]
    time = play.lanes[DUE, row, column]
    if not chart.hold[target]:
        record(play, rules, row, MISS, MISS)
        remember(play, row, column, MISS, time - chart.start[target], time)
        advance(chart, play, row, column, target + 1)
        return
    if rules.lazer:
        miss_part(chart, play, rules, row, column, time)
    else:
        break_combo(play, row)
    begin_body(chart, play, row, column, target, False, True)


# What both rulesets share


def timing_judgement(play: Play, row: int, error: float) -> int:
    """The judgement of an error without its sign, ms; MISS for the largest too."""
    for judgement in range(MISS):
        if error <= play.limits[row, judgement] + 0.5:
            return judgement
    return MISS


def remember(play: Play, row: int, column: int, judgement: int, error: float, time: float) -> None:
    """Keeps a column's last judgement for whoever shows it."""
    play.lanes[LAST_JUDGEMENT, row, column] = judgement
    play.lanes[LAST_ERROR, row, column] = error
    play.lanes[LAST_TIME, row, column] = time


def advance(chart: Chart, play: Play, row: int, column: int, target: int) -> None:
    """Makes `target` the column's next object."""
    play.next[row, column] = target
    play.lanes[STAGE, row, column] = HEAD
    play.lanes[HOLDING, row, column] = False
    play.lanes[HEAD_MISSED, row, column] = 0.0
    play.lanes[DROPPED, row, column] = 0.0
    play.lanes[DUE, row, column] = chart.start[target] + play.limits[row, LATE]


def begin_body(
    chart: Chart,
    play: Play,
    row: int,
    column: int,
    target: int,
    holding: bool,
    head_missed: bool,
) -> None:
    """A hold's head is decided: its body is next."""
    play.next[row, column] = target
    play.lanes[STAGE, row, column] = BODY
    play.lanes[HOLDING, row, column] = holding
    play.lanes[HEAD_MISSED, row, column] = head_missed
    play.lanes[DROPPED, row, column] = 0.0
    play.lanes[DUE, row, column] = chart.end[target] + play.limits[row, TAIL_LATE]


def is_broken(play: Play, row: int, column: int) -> bool:
    """Whether a hold can't be judged better than a 50 any more."""
    return play.lanes[HEAD_MISSED, row, column] != 0 or play.lanes[DROPPED, row, column] != 0


# Lazer


def press_lazer(chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float) -> None:
    """Hits the object that note lock leaves: no object after the next one's start.

    A press in a hold's body takes the hold up again, and may hit the object after it as well.
    """
    first = play.next[row, column]
    target = first
    resumed = False
    if play.lanes[STAGE, row, column] == BODY:
        target += 1
        overtime = time - chart.end[first]
        if chart.start[target] > time and overtime <= play.limits[row, MEH] + 0.5:
            play.lanes[HOLDING, row, column] = True
            resumed = True
    while chart.start[target + 1] <= time or chart.start[target] + play.limits[row, LATE] <= time:
        target += 1
    error = time - chart.start[target]
    judgement = timing_judgement(play, row, abs(error))
    # An object behind an undecided one is never missed for being pressed too early.
    too_early = judgement == MISS and target != first
    if too_early or error < -play.limits[row, MISS] - 0.5:
        if not resumed:
            play.events[row, SPAM] += 1.0
        return
    if chart.hold[target]:
        play.events[row, HOLD_HEAD] += SHARES[judgement]
        record(play, rules, row, judgement, part_change(judgement))
    else:
        record(play, rules, row, judgement, judgement)
    skip(chart, play, rules, row, column, target)
    remember(play, row, column, judgement, error, time)
    if chart.hold[target]:
        begin_body(chart, play, row, column, target, True, judgement == MISS)
    else:
        advance(chart, play, row, column, target + 1)


def release_lazer(
    chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float
) -> None:
    """Judges a hold's tail, or, if that is still too far, breaks the hold."""
    target = play.next[row, column]
    error = time - chart.end[target]
    lenient = abs(error) / rules.tail_leniency
    if lenient > play.limits[row, MISS] + 0.5:
        if not play.lanes[DROPPED, row, column]:
            play.lanes[DROPPED, row, column] = 1.0
            break_combo(play, row)
        return
    judgement = timing_judgement(play, row, lenient)
    play.events[row, HOLD_TAIL] += SHARES[judgement]
    if is_broken(play, row, column):
        judgement = max(judgement, MEH)
    record(play, rules, row, judgement, part_change(judgement))
    remember(play, row, column, judgement, error, time)
    advance(chart, play, row, column, target + 1)


def skip(chart: Chart, play: Play, rules: Rules, row: int, column: int, target: int) -> None:
    """Misses what is undecided before the object that was hit."""
    for passed in range(play.next[row, column], target):
        if not chart.hold[passed]:
            record(play, rules, row, MISS, MISS)
            continue
        if passed != play.next[row, column] or play.lanes[STAGE, row, column] == HEAD:
            record(play, rules, row, MISS, HOLD_PART_MISS)
        record(play, rules, row, MISS, HOLD_PART_MISS)


def miss_part(chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float) -> None:
    """Misses a hold's head or tail."""
    target = play.next[row, column]
    at = chart.end[target] if play.lanes[STAGE, row, column] == BODY else chart.start[target]
    record(play, rules, row, MISS, HOLD_PART_MISS)
    remember(play, row, column, MISS, time - at, time)


def part_change(judgement: int) -> int:
    """The change of the health by a judgement of a hold's head or tail."""
    return HOLD_PART_MISS if judgement == MISS else judgement


# Stable, ScoreV1


def press_stable(
    chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float
) -> None:
    """Hits the first undecided object, or takes a hold up again."""
    target = play.next[row, column]
    if play.lanes[STAGE, row, column] == BODY:
        play.lanes[HOLDING, row, column] = True
        play.lanes[DUE, row, column] = next_tick(chart, play, row, column, time)
        return
    error = time - chart.start[target]
    if error < -play.limits[row, MISS] - 0.5:
        play.events[row, SPAM] += 1.0
        return
    judgement = timing_judgement(play, row, abs(error))
    if chart.hold[target]:
        # Not judged yet. Even one that is too early for a 50 can still be held for one.
        play.events[row, HOLD_HEAD] += SHARES[judgement]
        begin_body(chart, play, row, column, target, True, False)
        play.lanes[HEAD_ERROR, row, column] = whole(error)
        play.lanes[DUE, row, column] = next_tick(chart, play, row, column, time)
        return
    record(play, rules, row, judgement, judgement)
    remember(play, row, column, judgement, error, time)
    advance(chart, play, row, column, target + 1)


def release_stable(
    chart: Chart, play: Play, rules: Rules, row: int, column: int, time: float
) -> None:
    """Ends a hold, or drops it if its end is further away than a 50."""
    target = play.next[row, column]
    error = time - chart.end[target]
    if error < -play.limits[row, MEH] - 0.5:
        play.lanes[DROPPED, row, column] = 1.0
        play.lanes[DUE, row, column] = chart.end[target] + play.limits[row, TAIL_LATE]
        break_combo(play, row)
        return
    finish_stable(chart, play, rules, row, column, error, time)


def expire_body_stable(chart: Chart, play: Play, rules: Rules, row: int, column: int) -> None:
    """A tick of a hold that is held, or the end of the time in which it can be released."""
    target = play.next[row, column]
    time = play.lanes[DUE, row, column]
    if not play.lanes[HOLDING, row, column]:
        record(play, rules, row, MISS, MISS)
        remember(play, row, column, MISS, time - chart.end[target], time)
        advance(chart, play, row, column, target + 1)
    elif time <= chart.end[target]:
        gain_combo(play, row)
        play.lanes[DUE, row, column] = next_tick(chart, play, row, column, time)
    else:
        finish_stable(chart, play, rules, row, column, time - chart.end[target], time)


def finish_stable(
    chart: Chart, play: Play, rules: Rules, row: int, column: int, error: float, time: float
) -> None:
    """Judges a hold by the errors at its head and its tail."""
    play.events[row, HOLD_TAIL] += SHARES[timing_judgement(play, row, abs(error))]
    judgement = MEH
    if not is_broken(play, row, column):
        judgement = hold_judgement(play, row, play.lanes[HEAD_ERROR, row, column], whole(error))
    record(play, rules, row, judgement, judgement)
    remember(play, row, column, judgement, error, time)
    advance(chart, play, row, column, play.next[row, column] + 1)


def hold_judgement(play: Play, row: int, head: float, tail: float) -> int:
    """The judgement of a hold that was never let go, from its two errors in whole ms."""
    for judgement in range(MEH):
        if (
            head <= play.limits[row, HEAD_LIMITS + judgement]
            and head + tail <= play.limits[row, SUM_LIMITS + judgement]
        ):
            return judgement
    return MEH


def next_tick(chart: Chart, play: Play, row: int, column: int, time: float) -> float:
    """When the first tick after `time` is due, or if there is none, when the hold is over."""
    target = play.next[row, column]
    past = math.floor((time - chart.start[target]) / TICK)
    tick = chart.start[target] + TICK * (max(past, 0) + 1)
    if tick <= chart.end[target]:
        return tick
    return chart.end[target] + play.limits[row, TAIL_LATE]


def whole(error: float) -> float:
    """An error without its sign, rounded to whole ms; halves are rounded down."""
    return math.ceil(abs(error) - 0.5)
