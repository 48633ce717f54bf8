"""The data of a play: the objects to hit, and how far each row has come.

Everything is an array, a row per play, so that the rules of `judgement` and `scoring` are plain
functions of arrays, rows and columns. They run as they stand, or compiled by numba, which takes
long over many arrays: hence a few of them with named indices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FAR = 1e9
"""When the sentinels behind a column's last object start, ms: never."""

JUDGEMENTS = ("max", "300", "200", "100", "50", "miss")
MAX, GREAT, GOOD, OK, MEH, MISS = range(6)

# Indices of `Play.rows`, after those of the judgements, which count them
TIME, N_JUDGED, COMBO, MAX_COMBO, BASE, BONUS, PORTION, POINTS, HEALTH, FAILED = range(6, 16)

# Indices of `Play.lanes`
STAGE, HOLDING, HEAD_MISSED, DROPPED, HEAD_ERROR, DUE, KEY = range(7)
LAST_JUDGEMENT, LAST_ERROR, LAST_TIME = range(7, 10)

HEAD, BODY = 0, 1
"""Stages of the next object: to be pressed, or a hold whose head is decided."""

# Indices of `Play.limits`, after those of the judgements, which are the hit windows
LATE, TAIL_LATE = 6, 7
HEAD_LIMITS, SUM_LIMITS = 8, 12  # four each, for MAX to 100
HEALTH_CHANGES = 16  # seven, by judgement, and HOLD_PART_MISS
N_JUDGEMENTS, BEST_PORTION = 23, 24

HOLD_PART_MISS = 6
"""The change of the health by a miss of a hold's head or tail where each is judged."""

TERMS = (
    *JUDGEMENTS,
    "hold_head",
    "holding",
    "hold_tail",
    "combo_gain",
    "combo_break",
    "score",
    "spam",
    "stray",
    "idle",
    "milestone",
)
"""What is counted in a step, and may be paid for: see `rewards`."""

# Indices of `Play.events`, after those of the judgements
HOLD_HEAD, HELD, HOLD_TAIL, COMBO_GAIN, COMBO_BREAK, SCORE, SPAM, STRAY = range(6, 14)
IDLE, MILESTONE = 14, 15


class Chart(NamedTuple):
    """The objects of all loaded maps, in one run per map and column, ordered by time.

    Behind each run stand sentinels that start at FAR, at least two of them.

    Attributes:
        start: When to press, ms, `[m]`.
        end: When to release, ms, `[m]`; a note's is its start.
        hold: bool `[m]`.
    """

    start: Floats
    end: Floats
    hold: NDArray[np.bool_]


class Rules(NamedTuple):
    """What doesn't depend on the map.

    Attributes:
        lazer: The rules of lazer, or else of stable with ScoreV1.
        tail_leniency: Factor of a hold's hit windows at its tail, where it's judged by itself.
        bonus_divider: Of what ScoreV1's bonus loses by bad judgements.
        score_multiplier: Of the whole score.
        can_fail: Nothing counts any more once the health is used up.
        rate: Song time over real time: 1.5 for double time, 0.75 for half time.
    """

    lazer: bool
    tail_leniency: float
    bonus_divider: float
    score_multiplier: float
    can_fail: bool
    rate: float


class Play(NamedTuple):
    """State of n plays on maps of K columns. Times are the song's, in ms; flags are 0 or 1.

    Attributes:
        limits: What the map decides, float64 `[n, 25]`.
            MAX to MISS: largest error of each judgement, whole ms.
            LATE: from when on an object can't be pressed any more, after its start.
            TAIL_LATE: from when on a hold can't be released any more, after its end.
            HEAD_LIMITS: largest error at the head of a stable hold, for MAX to 100, whole ms.
            SUM_LIMITS: largest sum of its two errors for these, whole ms.
            HEALTH_CHANGES: by judgement, and by HOLD_PART_MISS.
            N_JUDGEMENTS: how many there are.
            BEST_PORTION: what PORTION comes to in a perfect play.
        rows: What there is one of, float64 `[n, 16]`.
            MAX to MISS: how many of each judgement.
            TIME.
            N_JUDGED: how many judgements.
            COMBO, MAX_COMBO.
            BASE: sum of the judgements' values.
            BONUS: ScoreV1's, from 0 to 100.
            PORTION: ScoreV1's bonus score, or lazer's combo score, before scaling.
            POINTS: the score.
            HEALTH: from 0 to 1.
            FAILED: the health was used up at some time.
        lanes: What there is one of in each column, float64 `[10, n, K]`.
            STAGE: HEAD or BODY.
            HOLDING: a hold is being held.
            HEAD_MISSED, DROPPED: what is wrong with the hold.
            HEAD_ERROR: of a stable hold, whole ms.
            DUE: when something happens there without a key being touched.
            KEY: the key is down.
            LAST_JUDGEMENT: -1 before there is one.
            LAST_ERROR: its signed error, late is positive.
            LAST_TIME.
        next: Where in the chart the first undecided object is, int64 `[n, K]`.
        events: What happened in this step, by TERMS, float64 `[n, 16]`.
    """

    limits: Floats
    rows: Floats
    lanes: Floats
    next: NDArray[np.int64]
    events: Floats

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many of each judgement, `[n, 6]`."""
        return self.rows[:, : len(JUDGEMENTS)].astype(np.int64)


def blank_play(n_rows: int, keys: int) -> Play:
    """n plays of which nothing is set yet: every array zero."""
    return Play(
        limits=np.zeros((n_rows, 25)),
        rows=np.zeros((n_rows, 16)),
        lanes=np.zeros((10, n_rows, keys)),
        next=np.zeros((n_rows, keys), np.int64),
        events=np.zeros((n_rows, len(TERMS))),
    )


def some_rows(play: Play, rows: NDArray[np.intp]) -> Play:
    """A copy of some rows as a play of their own."""
    part = blank_play(len(rows), play.next.shape[1])
    copy_rows(play, rows, part, np.arange(len(rows)))
    return part


def copy_rows(
    source: Play, source_rows: NDArray[np.intp], target: Play, target_rows: NDArray[np.intp]
) -> None:
    """Copies some rows of a play over some of another."""
    target.limits[target_rows] = source.limits[source_rows]
    target.rows[target_rows] = source.rows[source_rows]
    target.lanes[:, target_rows] = source.lanes[:, source_rows]
    target.next[target_rows] = source.next[source_rows]
    target.events[target_rows] = source.events[source_rows]
