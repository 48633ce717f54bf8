"""Steps of many rows at once in NumPy: the rules of `judgement`, an array operation at a time.

A lane is a row's column, numbered row * K + column. The few rows in which a press passes over an
object are left to the scalar rules. What costs here is the number of calls, not their size: hence
operations on all lanes where on some of them nothing comes of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.judgement import TICK, apply_keys
from envs.osu_mania.play import (
    BASE,
    BEST_PORTION,
    BODY,
    BONUS,
    COMBO,
    COMBO_BREAK,
    COMBO_GAIN,
    DROPPED,
    DUE,
    FAILED,
    HEAD_ERROR,
    HEAD_LIMITS,
    HEAD_MISSED,
    HEALTH,
    HEALTH_CHANGES,
    HELD,
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
    MAX_COMBO,
    MEH,
    MILESTONE,
    MISS,
    N_JUDGED,
    N_JUDGEMENTS,
    POINTS,
    PORTION,
    SCORE,
    SPAM,
    STAGE,
    STRAY,
    SUM_LIMITS,
    TAIL_LATE,
    TIME,
    Chart,
    Play,
    Rules,
)
from envs.osu_mania.scoring import (
    ACCURACY_VALUES,
    BONUS_CHANGES,
    BONUS_VALUES,
    COMBO_CAP,
    COMBO_WEIGHTS,
    LAZER_VALUES,
    MAX_SCORE,
    MILESTONES,
    SHARES,
    STABLE_VALUES,
)

Ints = NDArray[np.intp]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

_IS_MILESTONE = np.isin(np.arange(int(max(MILESTONES)) + 2), MILESTONES)


class Lanes(NamedTuple):
    """Some lanes of a play: their numbers, rows, and next objects; and the time, `[L]` each."""

    lane: Ints
    row: Ints
    target: Ints
    time: Floats


class Outcome(NamedTuple):
    """What follows for the rows, `[L]` each.

    Attributes:
        judgement: -1 for none.
        change: The judgement's change of the health, an index of HEALTH_CHANGES.
        breaks: The combo breaks without a judgement.
        gains: It grows by one without a judgement.
    """

    judgement: Ints
    change: Ints
    breaks: Bools
    gains: Bools


def step_rows(
    chart: Chart, play: Play, rules: Rules, keys: Bools, switch: Floats, until: Floats
) -> None:
    """Lets every row play on with other keys: see `scalar_kernels.step_rows`."""
    play.events[:] = 0.0
    judged = play.rows[:, N_JUDGED].copy()
    if (switch > play.rows[:, TIME]).any():
        _expire_until(chart, play, rules, switch)
    _apply_keys(chart, play, rules, keys, switch)
    _expire_until(chart, play, rules, until)
    _count_holding(chart, play, rules, until)
    _count_stray(play, rules, until)
    play.rows[:, TIME] = until
    rows = (play.rows[:, N_JUDGED] != judged).nonzero()[0]
    if rows.size:
        _update_scores(play, rules, rows)


# Time passes


def _expire_until(chart: Chart, play: Play, rules: Rules, until: Floats) -> None:
    """In each row what becomes due happens in order of time, then of column."""
    due = play.lanes[DUE]
    keys = due.shape[1]
    overdue = (due <= until[:, None]).ravel().nonzero()[0]
    if not overdue.size:
        return
    rows = overdue // keys
    rows = rows[_fresh(rows)]
    while rows.size:
        first = due[rows].argmin(axis=1)
        lane = rows * keys + first
        lanes = Lanes(lane, rows, play.next.ravel()[lane], due.ravel()[lane])
        _record(play, rules, rows, _expire(chart, play, rules, lanes))
        rows = rows[(due[rows] <= until[rows, None]).any(axis=1)]


def _expire(chart: Chart, play: Play, rules: Rules, lanes: Lanes) -> Outcome:
    """What is due happens, in lanes of different rows."""
    expire_bodies = _expire_lazer_bodies if rules.lazer else _expire_stable_bodies
    body = play.lanes[STAGE].ravel()[lanes.lane] == BODY
    bodies = body.nonzero()[0]
    if not bodies.size:
        return _expire_heads(chart, play, rules, lanes)
    if bodies.size == body.size:
        return expire_bodies(chart, play, lanes)
    heads = (~body).nonzero()[0]
    outcome = _outcome(len(body), -1, 0)
    _put(outcome, heads, _expire_heads(chart, play, rules, _some(lanes, heads)))
    _put(outcome, bodies, expire_bodies(chart, play, _some(lanes, bodies)))
    return outcome


def _expire_heads(chart: Chart, play: Play, rules: Rules, lanes: Lanes) -> Outcome:
    play.events[lanes.row, IDLE] += 1.0
    hold = chart.hold[lanes.target]
    outcome = _outcome(len(hold), MISS, MISS)
    error = lanes.time - chart.start[lanes.target]
    if not hold.any():
        _remember(play, lanes, outcome.judgement, error)
        _advance(chart, play, lanes)
        return outcome
    if rules.lazer:
        outcome.change[hold] = HOLD_PART_MISS
        _remember(play, lanes, outcome.judgement, error)
    else:
        outcome.judgement[hold] = -1
        outcome.breaks[hold] = True
        _remember(play, _some(lanes, ~hold), outcome.judgement[~hold], error[~hold])
    _advance(chart, play, _some(lanes, ~hold))
    _begin_body(chart, play, _some(lanes, hold), False, True)
    return outcome


def _expire_lazer_bodies(chart: Chart, play: Play, lanes: Lanes) -> Outcome:
    outcome = _outcome(len(lanes.lane), MISS, HOLD_PART_MISS)
    _remember(play, lanes, outcome.judgement, lanes.time - chart.end[lanes.target])
    _advance(chart, play, lanes)
    return outcome


def _expire_stable_bodies(chart: Chart, play: Play, lanes: Lanes) -> Outcome:
    holding = play.lanes[HOLDING].ravel()[lanes.lane] > 0
    tick = holding & (lanes.time <= chart.end[lanes.target])
    outcome = _outcome(len(tick), -1, 0)
    outcome.gains[:] = tick
    ticks = tick.nonzero()[0]
    if ticks.size:
        some = _some(lanes, ticks)
        play.lanes[DUE].ravel()[some.lane] = _next_tick(chart, play, some)
    if ticks.size < len(tick):
        over = (~tick).nonzero()[0]
        some, held = _some(lanes, over), holding[over]
        error = some.time - chart.end[some.target]
        judgement = np.where(held, _hold_judgement(play, some, error), MISS)
        play.events[some.row, HOLD_TAIL] += np.where(held, _tail_share(play, some, error), 0.0)
        outcome.judgement[over] = outcome.change[over] = judgement
        _remember(play, some, judgement, error)
        _advance(chart, play, some)
    return outcome


# Keys change


def _apply_keys(chart: Chart, play: Play, rules: Rules, keys: Bools, switch: Floats) -> None:
    """Presses and releases what changes, within each row in order of column."""
    lane = (keys != play.lanes[KEY]).ravel().nonzero()[0]
    if not lane.size:
        return
    row = lane // keys.shape[1]
    lanes = Lanes(lane, row, play.next.ravel()[lane], switch[row])
    down = keys.ravel()[lane]
    if rules.lazer:
        slow = _passing_over(chart, play, lanes, down)
        if slow.size:
            for each in slow.tolist():
                apply_keys(chart, play, rules, each, keys[each], switch[each])
            quick = ~np.isin(row, slow)
            lanes, down = _some(lanes, quick), down[quick]
    play.lanes[KEY] = keys
    outcome = _outcome(len(down), -1, 0)
    pressed = down.nonzero()[0]
    if pressed.size:
        press = _press_lazer if rules.lazer else _press_stable
        _put(outcome, pressed, press(chart, play, _some(lanes, pressed)))
    released = (~down & (play.lanes[HOLDING].ravel()[lanes.lane] > 0)).nonzero()[0]
    if released.size:
        some = _some(lanes, released)
        play.lanes[HOLDING].ravel()[some.lane] = 0.0
        if rules.lazer:
            _put(outcome, released, _release_lazer(chart, play, rules, some))
        else:
            _put(outcome, released, _release_stable(chart, play, some))
    _record_in_turn(play, rules, lanes.row, outcome)


def _passing_over(chart: Chart, play: Play, lanes: Lanes, down: Bools) -> Ints:
    """The rows in which a press hits another object than the column's next, or locked ones are."""
    lanes = _some(lanes, down.nonzero()[0])
    body = play.lanes[STAGE].ravel()[lanes.lane] == BODY
    candidate = lanes.target + body
    start = chart.start[candidate]
    odd = chart.start[candidate + 1] <= lanes.time
    odd |= start + play.limits[lanes.row, LATE] <= lanes.time
    odd |= body & (lanes.time - start >= -play.limits[lanes.row, MEH] - 0.5)
    return np.unique(lanes.row[odd]) if odd.any() else lanes.row[:0]


def _press_lazer(chart: Chart, play: Play, lanes: Lanes) -> Outcome:
    """Presses that hit the column's next object, take up a hold, or hit nothing."""
    body = play.lanes[STAGE].ravel()[lanes.lane] == BODY
    limits = play.limits[lanes.row]
    error = lanes.time - chart.start[lanes.target]
    resumed = body & (lanes.time - chart.end[lanes.target] <= limits[:, MEH] + 0.5)
    nothing = body | (error < -limits[:, MISS] - 0.5)
    play.lanes[HOLDING].ravel()[lanes.lane[resumed]] = 1.0
    _count(play, lanes.row, SPAM, nothing & ~resumed)
    outcome = _outcome(len(error), -1, 0)
    hit = (~nothing).nonzero()[0]
    if hit.size:
        some, error = _some(lanes, hit), error[hit]
        judgement = _timing_judgement(limits[hit], np.abs(error))
        hold = chart.hold[some.target]
        outcome.judgement[hit] = judgement
        outcome.change[hit] = np.where(hold & (judgement == MISS), HOLD_PART_MISS, judgement)
        _remember(play, some, judgement, error)
        _advance(chart, play, _some(some, ~hold))
        if hold.any():
            heads, judgement = _some(some, hold), judgement[hold]
            _count(play, heads.row, HOLD_HEAD, SHARES[judgement])
            _begin_body(chart, play, heads, True, judgement == MISS)
    return outcome


def _press_stable(chart: Chart, play: Play, lanes: Lanes) -> Outcome:
    """Presses that hit the column's next object, take up a hold, or hit nothing."""
    body = play.lanes[STAGE].ravel()[lanes.lane] == BODY
    limits = play.limits[lanes.row]
    error = lanes.time - chart.start[lanes.target]
    nothing = ~body & (error < -limits[:, MISS] - 0.5)
    _count(play, lanes.row, SPAM, nothing)
    hold = chart.hold[lanes.target]
    outcome = _outcome(len(error), -1, 0)
    note = (~(hold | nothing)).nonzero()[0]
    if note.size:
        some = _some(lanes, note)
        judgement = _timing_judgement(limits[note], np.abs(error[note]))
        outcome.judgement[note] = outcome.change[note] = judgement
        _remember(play, some, judgement, error[note])
        _advance(chart, play, some)
    held = (hold & ~nothing).nonzero()[0]
    if held.size:
        head = held[~body[held]]
        some, error = _some(lanes, head), error[head]
        judgement = _timing_judgement(limits[head], np.abs(error))
        _count(play, some.row, HOLD_HEAD, SHARES[judgement])
        _begin_body(chart, play, some, True, False)
        play.lanes[HEAD_ERROR].ravel()[some.lane] = _whole(error)
        some = _some(lanes, held)
        play.lanes[HOLDING].ravel()[some.lane] = 1.0
        play.lanes[DUE].ravel()[some.lane] = _next_tick(chart, play, some)
    return outcome


def _release_lazer(chart: Chart, play: Play, rules: Rules, lanes: Lanes) -> Outcome:
    limits = play.limits[lanes.row]
    error = lanes.time - chart.end[lanes.target]
    lenient = np.abs(error) / rules.tail_leniency
    dropped = lenient > limits[:, MISS] + 0.5
    outcome = _outcome(len(error), -1, 0)
    drops = play.lanes[DROPPED].ravel()
    outcome.breaks[:] = dropped & (drops[lanes.lane] == 0)
    drops[lanes.lane[dropped]] = 1.0
    judged = (~dropped).nonzero()[0]
    if judged.size:
        some = _some(lanes, judged)
        judgement = _timing_judgement(limits[judged], lenient[judged])
        _count(play, some.row, HOLD_TAIL, SHARES[judgement])
        capped = np.where(_is_broken(play, some), np.maximum(judgement, MEH), judgement)
        outcome.judgement[judged] = capped
        outcome.change[judged] = np.where(capped == MISS, HOLD_PART_MISS, capped)
        _remember(play, some, capped, error[judged])
        _advance(chart, play, some)
    return outcome


def _release_stable(chart: Chart, play: Play, lanes: Lanes) -> Outcome:
    error = lanes.time - chart.end[lanes.target]
    dropped = error < -play.limits[lanes.row, MEH] - 0.5
    outcome = _outcome(len(error), -1, 0)
    outcome.breaks[:] = dropped
    drops = dropped.nonzero()[0]
    if drops.size:
        some = _some(lanes, drops)
        late = play.limits[some.row, TAIL_LATE]
        play.lanes[DROPPED].ravel()[some.lane] = 1.0
        play.lanes[DUE].ravel()[some.lane] = chart.end[some.target] + late
    judged = (~dropped).nonzero()[0]
    if judged.size:
        some, error = _some(lanes, judged), error[judged]
        _count(play, some.row, HOLD_TAIL, _tail_share(play, some, error))
        judgement = _hold_judgement(play, some, error)
        outcome.judgement[judged] = outcome.change[judged] = judgement
        _remember(play, some, judgement, error)
        _advance(chart, play, some)
    return outcome


# Lanes


def _some(lanes: Lanes, which: Ints | Bools) -> Lanes:
    return Lanes(lanes.lane[which], lanes.row[which], lanes.target[which], lanes.time[which])


def _advance(chart: Chart, play: Play, lanes: Lanes) -> None:
    """Makes the next object but one the next."""
    lane, target = lanes.lane, lanes.target + 1
    play.next.ravel()[lane] = target
    play.lanes.reshape(10, -1)[STAGE : DROPPED + 1, lane] = 0.0  # HEAD, and nothing held
    play.lanes[DUE].ravel()[lane] = chart.start[target] + play.limits[lanes.row, LATE]


def _begin_body(
    chart: Chart, play: Play, lanes: Lanes, holding: bool, head_missed: bool | Bools
) -> None:
    lane = lanes.lane
    play.lanes[STAGE].ravel()[lane] = BODY
    play.lanes[HOLDING].ravel()[lane] = holding
    play.lanes[HEAD_MISSED].ravel()[lane] = head_missed
    play.lanes[DROPPED].ravel()[lane] = 0.0
    play.lanes[DUE].ravel()[lane] = chart.end[lanes.target] + play.limits[lanes.row, TAIL_LATE]


def _remember(play: Play, lanes: Lanes, judgement: Ints, error: Floats) -> None:
    play.lanes[LAST_JUDGEMENT].ravel()[lanes.lane] = judgement
    play.lanes[LAST_ERROR].ravel()[lanes.lane] = error
    play.lanes[LAST_TIME].ravel()[lanes.lane] = lanes.time


def _is_broken(play: Play, lanes: Lanes) -> Bools:
    head_missed, dropped = play.lanes[HEAD_MISSED].ravel(), play.lanes[DROPPED].ravel()
    return head_missed[lanes.lane] + dropped[lanes.lane] > 0


def _timing_judgement(limits: Floats, error: Floats) -> Ints:
    """Judgements of errors without their signs: how many windows they are beyond."""
    return (error[:, None] > limits[:, :MISS] + 0.5).sum(axis=1)


def _hold_judgement(play: Play, lanes: Lanes, error: Floats) -> Ints:
    """Judgements of stable's holds: the first whose limits both errors keep, else a 50."""
    head, tail = play.lanes[HEAD_ERROR].ravel()[lanes.lane], _whole(error)
    limits = play.limits[lanes.row]
    exceeded = head[:, None] > limits[:, HEAD_LIMITS:SUM_LIMITS]
    exceeded |= (head + tail)[:, None] > limits[:, SUM_LIMITS:HEALTH_CHANGES]
    # Limits grow from MAX on, so those that are exceeded come first.
    return np.where(_is_broken(play, lanes), MEH, exceeded.sum(axis=1))


def _tail_share(play: Play, lanes: Lanes, error: Floats) -> Floats:
    return SHARES[_timing_judgement(play.limits[lanes.row], np.abs(error))]


def _next_tick(chart: Chart, play: Play, lanes: Lanes) -> Floats:
    start, end = chart.start[lanes.target], chart.end[lanes.target]
    past = np.floor((lanes.time - start) / TICK)
    tick = start + TICK * (np.maximum(past, 0.0) + 1.0)
    return np.where(tick <= end, tick, end + play.limits[lanes.row, TAIL_LATE])


def _whole(error: Floats) -> Floats:
    return np.ceil(np.abs(error) - 0.5)


# Rows


def _fresh(rows: Ints) -> Bools:
    """Where rows that are in order are mentioned for the first time."""
    fresh = np.empty(len(rows), bool)
    fresh[0] = True
    np.not_equal(rows[1:], rows[:-1], out=fresh[1:])
    return fresh


def _count(play: Play, rows: Ints, term: int, amounts: Floats | Bools) -> None:
    """Counts events of rows that may be mentioned several times."""
    np.add.at(play.events.ravel(), rows * play.events.shape[1] + term, amounts)


def _outcome(size: int, judgement: int, change: int) -> Outcome:
    numbers, flags = np.empty((2, size), np.intp), np.zeros((2, size), bool)
    numbers[0], numbers[1] = judgement, change
    return Outcome(numbers[0], numbers[1], flags[0], flags[1])


def _put(outcome: Outcome, where: Ints, part: Outcome) -> None:
    for whole, some in zip(outcome, part, strict=True):
        whole[where] = some


def _record_in_turn(play: Play, rules: Rules, rows: Ints, outcome: Outcome) -> None:
    """Records what happened to rows that are mentioned several times, in order."""
    matters = ((outcome.judgement >= 0) | outcome.breaks).nonzero()[0]
    if not matters.size:
        return
    if matters.size < rows.size:
        rows = rows[matters]
        outcome = Outcome._make(array[matters] for array in outcome)
    fresh = _fresh(rows)
    if fresh.all():
        _record(play, rules, rows, outcome)
        return
    position = np.arange(len(rows))
    turn = position - np.maximum.accumulate(np.where(fresh, position, 0))
    for i in range(int(turn.max()) + 1):
        now = (turn == i).nonzero()[0]
        _record(play, rules, rows[now], Outcome._make(array[now] for array in outcome))


def _record(play: Play, rules: Rules, rows: Ints, outcome: Outcome) -> None:
    """Counts judgements, breaks and gains of different rows: see `scoring.record`."""
    state, events = play.rows[rows], play.events[rows]
    counted = outcome.judgement >= 0
    if rules.can_fail:
        counted &= state[:, FAILED] == 0
    judgement = np.where(counted, outcome.judgement, MISS)
    row = np.arange(len(rows))
    state[row, judgement] += counted
    events[row, judgement] += counted
    state[:, N_JUDGED] += counted
    _change_combo(
        state,
        events,
        outcome.gains | (counted & (judgement != MISS)),
        outcome.breaks | (counted & (judgement == MISS)),
    )
    if rules.lazer:
        state[:, BASE] += LAZER_VALUES[judgement]
        weight = COMBO_WEIGHTS[np.minimum(state[:, COMBO], COMBO_CAP).astype(np.intp)]
        state[:, PORTION] += ACCURACY_VALUES[judgement] * weight
    else:
        state[:, BASE] += STABLE_VALUES[judgement]
        change = BONUS_CHANGES[judgement]
        change = np.where(change < 0.0, change / rules.bonus_divider, change)
        bonus = np.minimum(np.maximum(state[:, BONUS] + change, 0.0), 100.0)
        state[:, PORTION] += BONUS_VALUES[judgement] * np.sqrt(bonus)
        state[:, BONUS] = np.where(counted, bonus, state[:, BONUS])
    change = play.limits[rows, HEALTH_CHANGES + outcome.change] * counted
    health = np.minimum(np.maximum(state[:, HEALTH] + change, 0.0), 1.0)
    state[:, HEALTH] = health
    state[:, FAILED] = np.maximum(state[:, FAILED], health <= 0.0)
    play.rows[rows], play.events[rows] = state, events


def _change_combo(state: Floats, events: Floats, gains: Bools, breaks: Bools) -> None:
    before = state[:, COMBO]
    events[:, COMBO_BREAK] += breaks & (before > 0)
    combo = np.where(breaks, 0.0, before + gains)
    state[:, COMBO] = combo
    state[:, MAX_COMBO] = np.maximum(state[:, MAX_COMBO], combo)
    events[:, COMBO_GAIN] += gains
    capped = np.minimum(combo, len(_IS_MILESTONE) - 1).astype(np.intp)
    events[:, MILESTONE] += gains & _IS_MILESTONE[capped]


def _update_scores(play: Play, rules: Rules, rows: Ints) -> None:
    """See `scoring.update_score`."""
    state, limits = play.rows[rows], play.limits[rows]
    total, judged = limits[:, N_JUDGEMENTS], state[:, N_JUDGED]
    if rules.lazer:
        accuracy = state[:, BASE] / (305.0 * np.maximum(judged, 1))
        points = 150_000.0 * (state[:, PORTION] / limits[:, BEST_PORTION])
        points += 850_000.0 * accuracy ** (2.0 + 2.0 * accuracy) * judged / total
    else:
        points = (state[:, BASE] + state[:, PORTION]) * MAX_SCORE / (640.0 * total)
    score = np.floor(points * rules.score_multiplier + 0.5)
    play.events[rows, SCORE] += score - state[:, POINTS]
    play.rows[rows, POINTS] = score


def _count_holding(chart: Chart, play: Play, rules: Rules, until: Floats) -> None:
    lanes = (play.lanes[HOLDING] > 0).ravel().nonzero()[0]
    if not lanes.size:
        return
    row = lanes // play.next.shape[1]
    well = play.lanes[HEAD_MISSED].ravel()[lanes] + play.lanes[DROPPED].ravel()[lanes] == 0
    well &= until[row] <= chart.end[play.next.ravel()[lanes]]
    held = np.bincount(row, well, minlength=len(until))
    play.events[:, HELD] = held * (until - play.rows[:, TIME]) / (1000.0 * rules.rate)


def _count_stray(play: Play, rules: Rules, until: Floats) -> None:
    lanes = (play.lanes[KEY] > play.lanes[HOLDING]).ravel().nonzero()[0]
    if not lanes.size:
        return
    stray = np.bincount(lanes // play.next.shape[1], minlength=len(until))
    play.events[:, STRAY] = stray * (until - play.rows[:, TIME]) / (1000.0 * rules.rate)
