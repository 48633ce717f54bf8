"""Loops over rows, one after the other, for `numba_kernels` to compile.

`step_rows` goes by the rules as they are written in `judgement`; as it stands it is also the
quickest way to step a single row without a compiler. The others are `observation.compact`,
`rewards.pay` and `highway.draw` once more, value by value.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.charts import Positions
from envs.osu_mania.highway import BODY, BROKEN, GAP, HELD, KEY_DOWN, NOTE, Geometry
from envs.osu_mania.judgement import apply_keys, expire_until, is_broken
from envs.osu_mania.observation import FAR_AWAY, NEAR
from envs.osu_mania.play import DUE, HOLDING, KEY, N_JUDGED, STRAY, TIME, Chart, Play, Rules
from envs.osu_mania.play import HELD as HELD_SECONDS
from envs.osu_mania.scoring import update_score


def step_rows(
    chart: Chart,
    play: Play,
    rules: Rules,
    keys: NDArray[np.bool_],
    switch: NDArray[np.float64],
    until: NDArray[np.float64],
) -> None:
    """Lets every row play on with other keys.

    Args:
        chart: The objects.
        play: n rows; everything but their limits is brought up to date.
        rules: The rules.
        keys: The keys that are down from `switch` on, `[n, K]`.
        switch: When that is, ms, `[n]`; not before the rows' times.
        until: When the step ends, ms, `[n]`; not before `switch`.
    """
    for row in range(keys.shape[0]):
        play.events[row] = 0.0
        changes, holding, due = False, False, until[row] + 1.0
        for column in range(keys.shape[1]):
            changes |= keys[row, column] != play.lanes[KEY, row, column]
            holding |= play.lanes[HOLDING, row, column] > 0.0
            due = min(due, play.lanes[DUE, row, column])
        if changes or holding or due <= until[row]:
            step_row(chart, play, rules, row, keys[row], switch[row], until[row])
        stray = 0
        for column in range(keys.shape[1]):
            if play.lanes[KEY, row, column] > play.lanes[HOLDING, row, column]:
                stray += 1
        elapsed = until[row] - play.rows[row, TIME]
        play.events[row, STRAY] = stray * elapsed / (1000.0 * rules.rate)
        play.rows[row, TIME] = until[row]


def step_row(
    chart: Chart,
    play: Play,
    rules: Rules,
    row: int,
    keys: NDArray[np.bool_],
    switch: float,
    until: float,
) -> None:
    """A step of a row in which something happens."""
    judged = play.rows[row, N_JUDGED]
    if switch > play.rows[row, TIME]:
        expire_until(chart, play, rules, row, switch)
    apply_keys(chart, play, rules, row, keys, switch)
    expire_until(chart, play, rules, row, until)
    if play.rows[row, N_JUDGED] != judged:
        update_score(play, rules, row)
    # The real time in which holds are held as they should be, s for each hold
    held = 0
    for column in range(play.next.shape[1]):
        well = play.lanes[HOLDING, row, column] > 0.0 and not is_broken(play, row, column)
        if well and until <= chart.end[play.next[row, column]]:
            held += 1
    if held > 0:
        elapsed = until - play.rows[row, TIME]
        play.events[row, HELD_SECONDS] = held * elapsed / (1000.0 * rules.rate)


def compact_rows(
    object_times: NDArray[np.float64],
    play: Play,
    rate: float,
    times: NDArray[np.float64],
    keys: NDArray[np.bool_],
    away: NDArray[np.float32],
    out: NDArray[np.float32],
) -> None:
    """Writes each row's `observation.compact` to `out`, `[n, features]`.

    Args:
        object_times: The objects' starts and ends, flat, `[2 * m]`.
        play: n rows.
        rate: Song time over real time.
        times: The song's time that is shown, ms, `[n]`.
        keys: The keys that the player holds, `[n, K]`.
        away: Scratch for the times, `[n, 2 * K * lookahead]`. Gathering and arithmetic in loops of
            their own, over slices from 0 on, are done several values at once.
        out: The result.
    """
    n_rows, n_keys = keys.shape
    block = away.shape[1]
    width = block // n_keys
    scale = 1.0 / rate
    for row in range(n_rows):
        now = times[row]
        for column in range(n_keys):
            first = 2 * play.next[row, column]
            found = object_times[first : first + width]
            place = away[row, column * width : (column + 1) * width]
            for k in range(width):
                place[k] = (found[k] - now) * scale
    near, far = np.float32(NEAR), np.float32(FAR_AWAY)
    for row in range(n_rows):
        times_away = away[row]
        out_near, out_far = out[row, :block], out[row, block : 2 * block]
        for k in range(block):
            out_near[k] = times_away[k] / (abs(times_away[k]) + near)
        for k in range(block):
            out_far[k] = times_away[k] / (abs(times_away[k]) + far)
        for column in range(n_keys):
            at = 2 * block + column
            out[row, at] = 1.0 if keys[row, column] else 0.0
            out[row, at + n_keys] = play.lanes[HOLDING, row, column]
            out[row, at + 2 * n_keys] = 1.0 if is_broken(play, row, column) else 0.0


def pay_rows(
    events: NDArray[np.float64],
    weights: NDArray[np.float64],
    sums: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Adds each row's events to `sums`, and writes what they are worth to `out`, `[n]`."""
    for row in range(events.shape[0]):
        happened, so_far = events[row], sums[row]
        for term in range(len(happened)):
            so_far[term] += happened[term]
        total = 0.0
        for term in range(len(happened)):
            total += happened[term] * weights[term]
        out[row] = total


def draw_rows(
    chart: Chart,
    positions: Positions,
    play: Play,
    geometry: Geometry,
    empty: NDArray[np.uint8],
    now: NDArray[np.float64],
    film: NDArray[np.uint8],
    slot: int,
    empty_frame: NDArray[np.uint8],
    strip: NDArray[np.uint8],
) -> None:
    """Draws a frame of each row: see `highway.draw`.

    Args:
        chart, positions, play, geometry, empty, now, film, slot: As there.
        empty_frame: The frame without anything.
        strip: Scratch for the drawing of a column, `[height * fineness]`.
    """
    for row in range(film.shape[0]):
        frame = film[row, slot]
        for k in range(len(frame)):
            frame[k] = empty_frame[k]
        for column in range(play.next.shape[1]):
            for k in range(len(strip)):
                strip[k] = empty[k]
            if play.lanes[KEY, row, column] > 0.0:
                paint(strip, geometry, frame, column, geometry.below, len(strip), KEY_DOWN)
            draw_column(chart, positions, play, geometry, now[row], strip, frame, row, column)
        blend(geometry, frame)


def draw_column(
    chart: Chart,
    positions: Positions,
    play: Play,
    geometry: Geometry,
    now: float,
    strip: NDArray[np.uint8],
    frame: NDArray[np.uint8],
    row: int,
    column: int,
) -> None:
    """Draws the objects of a column."""
    reach = geometry.line / geometry.scale
    first = play.next[row, column]
    index = first
    while positions.start[index] - now <= reach:
        bottom = row_under(geometry, positions.start[index] - now)
        level = BODY
        if index == first and play.lanes[HOLDING, row, column] > 0.0:
            bottom = min(bottom, geometry.line)
            level = HELD
        if index == first and is_broken(play, row, column):
            level = BROKEN
        if chart.hold[index]:
            top = row_under(geometry, positions.end[index] - now)
            paint(strip, geometry, frame, column, top, bottom, level)
        paint(strip, geometry, frame, column, bottom - geometry.note, bottom, NOTE)
        index += 1


def row_under(geometry: Geometry, away: float) -> int:
    """The row of the drawing under something that is still some distance away."""
    return geometry.below - int(np.floor(away * geometry.scale + 0.5))


def paint(
    strip: NDArray[np.uint8],
    geometry: Geometry,
    frame: NDArray[np.uint8],
    column: int,
    top: int,
    bottom: int,
    level: int,
) -> None:
    """Paints the rows of a drawing from top up to bottom, and the pixels in which they are."""
    top, bottom = max(top, 0), min(bottom, len(strip))
    for k in range(top, bottom):
        strip[k] = level
    fineness, width = geometry.fineness, geometry.width
    left, right = geometry.left[column], geometry.right[column]
    for y in range(top // fineness, (bottom + fineness - 1) // fineness):
        shade = level
        first = y * fineness
        if first < top or first + fineness > bottom:
            total = 0
            for k in range(first, first + fineness):
                total += strip[k]
            shade = (total + fineness // 2) // fineness
        pixels = frame[y * width + left : y * width + right]
        for k in range(len(pixels)):
            pixels[k] = shade


def blend(geometry: Geometry, frame: NDArray[np.uint8]) -> None:
    """Fills the pixels that are no column's alone, after those that are."""
    for k in range(len(geometry.seams)):
        gap, before, after = geometry.shares[k]
        if before + after == 0:
            continue
        left, right = geometry.left[geometry.sides[k, 0]], geometry.left[geometry.sides[k, 1]]
        for y in range(geometry.height):
            at = y * geometry.width
            mixed = gap * GAP + before * frame[at + left] + after * frame[at + right]
            frame[at + geometry.seams[k]] = (mixed + 128) >> 8


def stack_rows(film: NDArray[np.uint8], newest: int, out: NDArray[np.uint8]) -> None:
    """Copies each row's frames, `[n, stack, pixels]`, to `out` with the newest last."""
    stack = film.shape[1]
    for row in range(film.shape[0]):
        for k in range(stack):
            source, target = film[row, (newest + 1 + k) % stack], out[row, k]
            for i in range(len(source)):
                target[i] = source[i]
