"""What an agent sees of its plays as pictures: the highway in grey frames, as the client draws it.

Objects come down to the judgement line, holds with a body behind their heads; what has been judged
is gone, and the head of a hold that is held stays on the line. Below the line a column is lit while
its key is down. Frames of any size show the same picture: a small one is a large one averaged over
the areas of its pixels, which is what becomes of a window that is captured and made smaller.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.charts import Charts, Positions
from envs.osu_mania.play import DROPPED, HEAD_MISSED, HOLDING, KEY, Chart, Floats, Play

Frames = NDArray[np.uint8]

BACKGROUND, GAP, KEY_UP, BROKEN, LINE, BODY, HELD, KEY_DOWN, NOTE = (
    0, 30, 50, 80, 100, 150, 190, 220, 255,
)  # fmt: skip
"""Grey levels."""

FINE = 336
"""Rows that a drawing has at least; the frame is what averaging makes of it."""

_LINE, _BELOW, _NOTE = 37 / 42, 75 / 84, 1 / 21
"""Where the line begins and ends, and the height of a note, as parts of a frame's height."""

_GAP = 21
"""A gap is a column's width divided by this."""


class Geometry(NamedTuple):
    """How the highway lies in a frame.

    Attributes:
        height, width: Of a frame, px.
        fineness: Rows of the drawing for each row of pixels.
        line: Row of the drawing at which the judgement line begins.
        below: Row after the line: what is due ends here.
        note: Height of a note in rows of the drawing.
        scale: Rows of the drawing per ms of scrolled distance.
        left, right: First pixel that is a column's alone, and the one after its last, `[keys]`.
        seams: The pixels from left to right that are no column's alone, `[s]`.
        sides: The columns before and after each of these, `[s, 2]`.
        shares: How many 256ths of it are gap, and each of the two columns, `[s, 3]`.
    """

    height: int
    width: int
    fineness: int
    line: int
    below: int
    note: int
    scale: float
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    seams: NDArray[np.int64]
    sides: NDArray[np.int64]
    shares: NDArray[np.int64]


def make_geometry(height: int, width: int, keys: int, scroll_speed: float) -> Geometry:
    """The highway in frames of some size, px.

    A small frame is a large one averaged over the areas of its pixels, as a window that is captured
    and made smaller.

    Args:
        height, width: Of a frame.
        keys: Number of columns.
        scroll_speed: The game's setting: from the top to the line takes 11,485 ms over it.
    """
    fineness = -(-FINE // height)
    rows = height * fineness
    line = round(rows * _LINE)
    # In units of 1 / (_GAP * keys) px, in which all edges are whole numbers
    columns = np.arange(keys)
    starts = (_GAP * columns + (columns > 0)) * width
    ends = _GAP * (columns + 1) * width
    unit = _GAP * keys
    left, right = -(-starts // unit), ends // unit
    x = np.arange(width)[:, None]
    alone = ((x >= left) & (x < right)).any(axis=1)
    seams = x[~alone, 0]
    after = (seams[:, None] >= left).sum(axis=1)
    of_columns = np.stack((ends[after - 1] - seams * unit, (seams + 1) * unit - starts[after]), 1)
    shares = np.round(np.maximum(of_columns, 0) * 256 / unit).astype(np.int64)
    return Geometry(
        height,
        width,
        fineness,
        line,
        round(rows * _BELOW),
        round(rows * _NOTE),
        line * scroll_speed / 11_485.0,
        left,
        right,
        seams,
        np.stack((after - 1, after), axis=1),
        np.concatenate((256 - shares.sum(axis=1, keepdims=True), shares), axis=1),
    )


class Course:
    """Where the highway stands in each of n rows.

    Args:
        charts: The maps.
        n_rows: How many rows.
    """

    def __init__(self, charts: Charts, n_rows: int) -> None:
        self._charts = charts
        self._first = np.zeros(n_rows, np.intp)
        self._piece = np.zeros(n_rows, np.intp)

    def begin(self, rows: NDArray[np.intp], maps: NDArray[np.intp]) -> None:
        """Puts rows at the beginning of maps."""
        first = np.array(self._charts.first_pieces, np.intp)[maps]
        self._first[rows] = self._piece[rows] = first

    def arrays(self) -> dict[str, NDArray[np.intp]]:
        """What changes from step to step, by name."""
        return {"first_pieces": self._first, "pieces": self._piece}

    def positions(self, times: Floats) -> Floats:
        """Scrolled distances at the rows' times, ms at velocity 1, `[n]`."""
        time, position, velocity = self._charts.courses
        piece = self._piece
        while (ahead := time[piece + 1] <= times).any():
            piece += ahead
        while (behind := (time[piece] > times) & (piece > self._first)).any():
            piece -= behind
        return position[piece] + velocity[piece] * (times - time[piece])


def background(geometry: Geometry) -> tuple[Frames, Frames]:
    """What there is without objects and with no key down.

    Returns:
        The drawing of a column, `[height * fineness]`, and the frame, `[height * width]`.
    """
    strip = np.full(geometry.height * geometry.fineness, BACKGROUND, np.uint8)
    strip[geometry.line : geometry.below] = LINE
    strip[geometry.below :] = KEY_UP
    frame = np.empty((1, geometry.height * geometry.width), np.uint8)
    _spread(np.broadcast_to(strip, (1, len(geometry.left), len(strip))), geometry, frame)
    return strip, frame[0]


def draw(
    chart: Chart,
    positions: Positions,
    play: Play,
    geometry: Geometry,
    empty: Frames,
    now: Floats,
    film: Frames,
    slot: int,
) -> None:
    """Draws a frame of each row.

    Args:
        chart: The objects.
        positions: Where they stand.
        play: n rows.
        geometry: How the highway lies in a frame.
        empty: The drawing of a column without anything, from `background`.
        now: Where the highway stands, `[n]`.
        film: The frames, uint8 `[n, stack, height * width]`.
        slot: Which frame of each row is drawn.
    """
    n_rows, keys = play.next.shape
    # A strip is the drawing of a column, in which all pixels of a row are alike.
    strips = np.repeat(empty[None], n_rows * keys, axis=0)
    line = geometry.line
    strips[(play.lanes[KEY] > 0).ravel(), geometry.below :] = KEY_DOWN
    lanes = np.arange(n_rows * keys)
    index = play.next.ravel()
    holding = play.lanes[HOLDING].ravel() > 0
    broken = play.lanes[HEAD_MISSED].ravel() + play.lanes[DROPPED].ravel() > 0
    reach = line / geometry.scale
    first = True
    while True:
        away = positions.start[index] - now[lanes // keys]
        visible = (away <= reach).nonzero()[0]
        if not visible.size:
            break
        lanes, index, away = lanes[visible], index[visible], away[visible]
        bottom = _row(geometry, away)
        level = np.full(len(lanes), BODY)
        if first:
            held, broken = holding[lanes], broken[lanes]
            bottom = np.where(held, np.minimum(bottom, line), bottom)
            level = np.where(broken, BROKEN, np.where(held, HELD, BODY))
        hold = chart.hold[index].nonzero()[0]
        if hold.size:
            ends = positions.end[index[hold]] - now[lanes[hold] // keys]
            _paint(strips, lanes[hold], _row(geometry, ends), bottom[hold], level[hold])
        _paint(strips, lanes, bottom - geometry.note, bottom, np.full(len(lanes), NOTE))
        index = index + 1
        first = False
    _spread(strips.reshape(n_rows, keys, -1), geometry, film[:, slot])


def _row(geometry: Geometry, away: Floats) -> NDArray[np.int64]:
    """The row of the drawing under something that is still some distance away."""
    return geometry.below - np.floor(away * geometry.scale + 0.5).astype(np.int64)


def _paint(
    strips: Frames,
    lanes: NDArray[np.intp],
    top: NDArray[np.int64],
    bottom: NDArray[np.int64],
    level: NDArray,
) -> None:
    """Paints the rows from top up to bottom of some strips; each lane is mentioned once."""
    y = np.arange(strips.shape[1])
    within = (y >= top[:, None]) & (y < bottom[:, None])
    strips[lanes] = np.where(within, level[:, None], strips[lanes])


def _spread(strips: Frames, geometry: Geometry, frames: Frames) -> None:
    """Makes frames `[n, height * width]` of strips `[n, keys, height * fineness]`."""
    n_rows, keys, _ = strips.shape
    fineness = geometry.fineness
    sums = strips.reshape(n_rows, keys, geometry.height, fineness).sum(axis=3, dtype=np.int64)
    levels = (sums + fineness // 2) // fineness
    pixels = frames.reshape(n_rows, geometry.height, geometry.width)
    for column in range(keys):
        pixels[:, :, geometry.left[column] : geometry.right[column]] = levels[:, column, :, None]
    gap, before, after = geometry.shares.T[:, :, None]
    mixed = GAP * gap + before * levels[:, geometry.sides[:, 0]]
    mixed += after * levels[:, geometry.sides[:, 1]]
    pixels[:, :, geometry.seams] = ((mixed + 128) >> 8).transpose(0, 2, 1)
