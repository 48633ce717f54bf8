"""What an agent sees of its plays as pictures: the highway in grey frames, as the client draws it.

Objects come down to the judgement line, holds with a body behind their heads; what has been judged
is gone, and the head of a hold that is held stays on the line. Below the line a column is lit while
its key is down.
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


class Geometry(NamedTuple):
    """How the highway lies in a frame.

    Attributes:
        height, width: Of a frame, px.
        line: Row of the judgement line: what is due ends on it.
        note: Height of a note, px.
        scale: px per ms of scrolled distance.
        edges: First pixels of the columns, and the frame's width, `[keys + 1]`. The first pixel of
            a column but the first is the gap before it.
    """

    height: int
    width: int
    line: int
    note: int
    scale: float
    edges: NDArray[np.int64]


def make_geometry(height: int, width: int, keys: int, scroll_speed: float) -> Geometry:
    """The highway in frames of some size, px.

    Args:
        height, width: Of a frame.
        keys: Number of columns.
        scroll_speed: The game's setting: from the top to the line takes 11,485 ms over it.
    """
    line = round(height * 0.88)
    edges = np.arange(keys + 1) * width // keys
    note = max(2, round(height / 20))
    return Geometry(height, width, line, note, line * scroll_speed / 11_485.0, edges)


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


def background(geometry: Geometry) -> Frames:
    """A frame without objects and with no key down, `[height * width]`."""
    frame = np.full((geometry.height, geometry.width), BACKGROUND, np.uint8)
    frame[geometry.line] = LINE
    frame[geometry.line + 1 :] = KEY_UP
    frame[:, geometry.edges[1:-1]] = GAP
    return frame.ravel()


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
        empty: The `background`.
        now: Where the highway stands, `[n]`.
        film: The frames, uint8 `[n, stack, height * width]`.
        slot: Which frame of each row is drawn.
    """
    n_rows, keys = play.next.shape
    height = geometry.height
    # A strip is a column of pixels; all of those within a column of the highway are alike.
    inside = np.minimum(geometry.edges[:-1] + 1, geometry.edges[1:] - 1)
    strips = np.repeat(empty.reshape(height, -1)[:, inside].T[None], n_rows, axis=0)
    zone = strips[:, :, geometry.line + 1 :]
    zone[play.lanes[KEY] > 0] = KEY_DOWN
    flat = strips.reshape(-1, height)
    line = geometry.line
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
        bottom = _pixel(line, geometry.scale, away)
        level = np.full(len(lanes), BODY)
        if first:
            held, broken = holding[lanes], broken[lanes]
            bottom = np.where(held, np.minimum(bottom, line), bottom)
            level = np.where(broken, BROKEN, np.where(held, HELD, BODY))
        hold = chart.hold[index].nonzero()[0]
        if hold.size:
            ends = positions.end[index[hold]] - now[lanes[hold] // keys]
            top = _pixel(line, geometry.scale, ends)
            _paint(flat, lanes[hold], top, bottom[hold], level[hold])
        _paint(flat, lanes, bottom - geometry.note, bottom, np.full(len(lanes), NOTE))
        index = index + 1
        first = False
    _spread(flat.reshape(n_rows, keys, height), geometry, film[:, slot])


def _pixel(line: int, scale: float, away: Floats) -> NDArray[np.int64]:
    """The row of pixels under something that is still some distance away."""
    return line + 1 - np.floor(away * scale + 0.5).astype(np.int64)


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
    """Makes frames `[n, height * width]` of strips `[n, keys, height]`."""
    pixels = np.repeat(strips.transpose(0, 2, 1), np.diff(geometry.edges), axis=2)
    pixels[:, :, geometry.edges[1:-1]] = GAP
    frames[:] = pixels.reshape(len(frames), -1)
