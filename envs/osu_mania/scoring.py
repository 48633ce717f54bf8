"""Combo, accuracy, score and health, by the rules of stable (ScoreV1) and of lazer.

Sources: https://osu.ppy.sh/wiki/en/Gameplay/Score/ScoreV1/osu%21mania for ScoreV1; lazer's
ManiaScoreProcessor and ManiaHealthProcessor, which has stable's health too, for the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.play import (
    BASE,
    BEST_PORTION,
    BONUS,
    COMBO,
    COMBO_BREAK,
    COMBO_GAIN,
    FAILED,
    HEALTH,
    HEALTH_CHANGES,
    MAX,
    MAX_COMBO,
    MILESTONE,
    MISS,
    N_JUDGED,
    N_JUDGEMENTS,
    POINTS,
    PORTION,
    SCORE,
    Play,
    Rules,
)

MAX_SCORE = 1_000_000

STABLE_VALUES = np.array([320.0, 300.0, 200.0, 100.0, 50.0, 0.0])
"""ScoreV1's hit values, by judgement."""

BONUS_VALUES = np.array([32.0, 32.0, 16.0, 8.0, 4.0, 0.0])
"""ScoreV1's hit bonus values."""

BONUS_CHANGES = np.array([2.0, 1.0, -8.0, -24.0, -44.0, -math.inf])
"""What a judgement does to ScoreV1's bonus, which stays between 0 and 100."""

LAZER_VALUES = np.array([305.0, 300.0, 200.0, 100.0, 50.0, 0.0])
"""Lazer's values for accuracy; for combo a MAX has 300."""

ACCURACY_VALUES = np.array([300.0, 300.0, 200.0, 100.0, 50.0, 0.0])
"""ScoreV1's values for accuracy, out of 300."""

SHARES = ACCURACY_VALUES / 300.0
"""Each judgement's part of the best."""

COMBO_CAP = 400
COMBO_WEIGHTS = np.clip(
    np.log(np.maximum(np.arange(COMBO_CAP + 1), 1)) / math.log(4),
    0.5,
    math.log(COMBO_CAP) / math.log(4),
)
"""Lazer's weight of a judgement by the combo after it, `[COMBO_CAP + 1]`."""

MILESTONES = (10.0, 25.0, 50.0, 100.0, 200.0)
"""Combos that are worth a mention when they are reached."""


def gain_combo(play: Play, row: int) -> None:
    """One more."""
    combo = play.rows[row, COMBO] + 1.0
    play.rows[row, COMBO] = combo
    if combo > play.rows[row, MAX_COMBO]:
        play.rows[row, MAX_COMBO] = combo
    play.events[row, COMBO_GAIN] += 1.0
    if combo in MILESTONES:
        play.events[row, MILESTONE] += 1.0


def break_combo(play: Play, row: int) -> None:
    """Back to 0."""
    if play.rows[row, COMBO] > 0:
        play.events[row, COMBO_BREAK] += 1.0
        play.rows[row, COMBO] = 0.0


def record(play: Play, rules: Rules, row: int, judgement: int, health_change: int) -> None:
    """Counts a judgement.

    Args:
        play: Its row is changed.
        rules: The rules.
        row: The row.
        judgement: MAX to MISS.
        health_change: Which change of the health: the judgement's own, or HOLD_PART_MISS.
    """
    if rules.can_fail and play.rows[row, FAILED] > 0.0:
        return
    play.rows[row, judgement] += 1
    play.rows[row, N_JUDGED] += 1
    play.events[row, judgement] += 1.0
    if judgement == MISS:
        break_combo(play, row)
    else:
        gain_combo(play, row)
    if rules.lazer:
        play.rows[row, BASE] += LAZER_VALUES[judgement]
        weight = COMBO_WEIGHTS[int(min(play.rows[row, COMBO], COMBO_CAP))]
        play.rows[row, PORTION] += ACCURACY_VALUES[judgement] * weight
    else:
        play.rows[row, BASE] += STABLE_VALUES[judgement]
        change = BONUS_CHANGES[judgement]
        if change < 0.0:
            change = change / rules.bonus_divider
        bonus = min(max(play.rows[row, BONUS] + change, 0.0), 100.0)
        play.rows[row, BONUS] = bonus
        play.rows[row, PORTION] += BONUS_VALUES[judgement] * math.sqrt(bonus)
    health = min(
        max(play.rows[row, HEALTH] + play.limits[row, HEALTH_CHANGES + health_change], 0.0), 1.0
    )
    play.rows[row, HEALTH] = health
    if health <= 0.0:
        play.rows[row, FAILED] = 1.0


def update_score(play: Play, rules: Rules, row: int) -> None:
    """Works the score out anew, from what `record` has counted.

    ScoreV1: of every note, 500,000 / N * (value + bonus value * sqrt(bonus)) / 320. Lazer:
    150,000 * combo progress + 850,000 * accuracy ** (2 + 2 accuracy) * accuracy progress.
    """
    total = play.limits[row, N_JUDGEMENTS]
    judged = play.rows[row, N_JUDGED]
    if rules.lazer:
        accuracy = play.rows[row, BASE] / (305.0 * max(judged, 1))
        points = (
            150_000.0 * (play.rows[row, PORTION] / play.limits[row, BEST_PORTION])
            + 850_000.0 * accuracy ** (2.0 + 2.0 * accuracy) * judged / total
        )
    else:
        points = (play.rows[row, BASE] + play.rows[row, PORTION]) * MAX_SCORE / (640.0 * total)
    score = math.floor(points * rules.score_multiplier + 0.5)
    play.events[row, SCORE] += score - play.rows[row, POINTS]
    play.rows[row, POINTS] = score


def accuracies(counts: NDArray[np.int64], lazer: bool) -> NDArray[np.float64]:
    """Accuracy of what has been judged so far, from 0 to 1; 1 before anything was.

    Args:
        counts: Judgements by kind, `[..., 6]`.
        lazer: By lazer's rules.

    Returns:
        `[...]`.
    """
    values = LAZER_VALUES if lazer else ACCURACY_VALUES
    judged = counts.sum(axis=-1)
    best = values[MAX] * np.maximum(judged, 1)
    return np.where(judged > 0, counts @ values / best, 1.0)


def accuracy(counts: Sequence[int], lazer: bool) -> float:
    """Accuracy of a single play's counts `[6]`, as `accuracies`."""
    values = (LAZER_VALUES if lazer else ACCURACY_VALUES).tolist()
    judged = sum(counts)
    if not judged:
        return 1.0
    return sum(count * value for count, value in zip(counts, values, strict=True)) / (
        values[MAX] * judged
    )


def n_judgements(beatmap: Beatmap, lazer: bool) -> int:
    """How many judgements a map has: lazer judges a hold's head and tail."""
    return beatmap.n_objects + (beatmap.n_holds if lazer else 0)


def best_portion(beatmap: Beatmap, lazer: bool) -> float:
    """What `Play.portion` comes to in a perfect play."""
    count = n_judgements(beatmap, lazer)
    if not lazer:
        return count * BONUS_VALUES[MAX] * 10.0
    combos = np.minimum(np.arange(1, count + 1), COMBO_CAP)
    # A running sum adds in the order of play; sum() would not, and be off by a rounding error.
    return float(np.cumsum(ACCURACY_VALUES[MAX] * COMBO_WEIGHTS[combos])[-1])


def best_combo(beatmap: Beatmap, lazer: bool) -> int:
    """The combo of a perfect play.

    In lazer each judgement counts one. In stable a hold counts one, and one for each 100 ms.
    """
    if lazer:
        return n_judgements(beatmap, lazer)
    lengths = (beatmap.ends - beatmap.starts)[beatmap.holds]
    return beatmap.n_objects + int((lengths // 100).sum())


def health_changes(beatmap: Beatmap, lazer: bool) -> NDArray[np.float64]:
    """Change of the health by judgement, then by a missed part of a hold, `[7]`."""
    drain = beatmap.drain_rate
    multiplier = recovery_multiplier(beatmap, lazer)
    return np.array(
        [
            multiplier * (0.0055 - 0.0005 * drain),
            multiplier * (0.005 - 0.0005 * drain),
            multiplier * (0.004 - 0.0004 * drain),
            0.0,
            -0.0016 * (drain + 1),
            -0.0075 * (drain + 1),
            -0.00375 * (drain + 1),
        ]
    )


def recovery_multiplier(beatmap: Beatmap, lazer: bool) -> float:
    """Factor of what good judgements restore, from the game's own search.

    The game looks for a passive drain that a perfect play just survives, and raises this factor
    while it finds none. In osu!mania it then leaves the drain out, but keeps the factor.
    """
    drain = beatmap.drain_rate
    lowest_ever = _by_difficulty(drain, 0.975, 0.8, 0.3)
    lowest_end = _by_difficulty(drain, 0.99, 0.9, 0.4)
    least_recovery = _by_difficulty(drain, 0.04, 0.02, 0.0)
    before, during = _drained_times(beatmap)
    hits = np.where(beatmap.holds & lazer, 2.0, 1.0)
    drop, multiplier = 0.00025, 1.0  # per ms
    while math.isfinite(multiplier):
        gains = hits * multiplier * (0.0055 - 0.0005 * drain)
        lowest, end, unbounded = _survival(drop * before, drop * during, gains)
        if lowest <= lowest_ever:
            drop *= 0.96
        elif end < lowest_end:
            drop *= 0.94
            multiplier *= 1.01
        elif (unbounded - 1.0) / beatmap.n_objects < least_recovery:
            drop *= 0.96
            multiplier *= 1.01
        else:
            return multiplier
    return 1.0  # where nothing helps, the game gives up too


def _drained_times(beatmap: Beatmap) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """For each object, ms since the one before it ended (0 over a break), and ms that it lasts."""
    ends = np.concatenate((beatmap.starts[:1], beatmap.ends[:-1]))
    before = beatmap.starts - ends
    for _, end in beatmap.breaks:
        after = int(np.searchsorted(beatmap.starts, end))
        if after < beatmap.n_objects:
            before[after] = 0.0
    return before, beatmap.ends - beatmap.starts


def _survival(
    before: NDArray[np.float64], during: NDArray[np.float64], gains: NDArray[np.float64]
) -> tuple[float, float, float]:
    """Health under a drain: its lowest, its last, and its last if it weren't bounded by 1.

    Health never rises above 1, so it's the unbounded sum less the most by which that sum has
    exceeded 1: a walk below a reflecting wall.
    """
    unbounded = 1.0 + np.cumsum(gains - before - during)
    excess = np.maximum.accumulate(np.maximum(unbounded - 1.0, 0.0))
    health = unbounded - excess
    drained = np.concatenate(([1.0], health[:-1])) - before
    lowest = float(drained.min())
    # The game looks only before an object, unless the drain within it uses up all there is.
    if (during > drained).any():
        lowest = 0.0
    return lowest, float(health[-1]), float(unbounded[-1])


def _by_difficulty(value: float, low: float, middle: float, high: float) -> float:
    """The game's map of a difficulty from 0 over 5 to 10 to a range in two linear pieces."""
    end = high if value > 5 else 2 * middle - low
    return middle + (end - middle) * (value - 5) / 5
