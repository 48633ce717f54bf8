"""What a picture of a play shows, for `envs.rendering.osu_mania` and for clients."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from envs.osu_mania.beatmap import Scroll
from envs.osu_mania.charts import Charts
from envs.osu_mania.options import Options
from envs.osu_mania.play import (
    COMBO,
    DROPPED,
    HEAD_MISSED,
    HEALTH,
    HOLDING,
    KEY,
    LAST_ERROR,
    LAST_JUDGEMENT,
    LAST_TIME,
    POINTS,
    TIME,
    Play,
)
from envs.osu_mania.rows import Rows
from envs.osu_mania.scoring import accuracies

BELOW = 300.0
"""How far behind the line objects are shown, ms at velocity 1."""


class Layout(NamedTuple):
    """What doesn't change from picture to picture.

    Attributes:
        keys: Number of columns.
        reach: From the top of the highway to the line, ms at velocity 1.
    """

    keys: int
    reach: float


class Shown(NamedTuple):
    """An object on the highway.

    Attributes:
        column: From 0.
        start: How far its start is above the line, ms at velocity 1.
        end: How far its end is; a note's is its start.
        hold: Whether it's a hold.
        held: Whether it's being held.
        broken: Whether it can't be judged better than a 50 any more.
    """

    column: int
    start: float
    end: float
    hold: bool
    held: bool
    broken: bool


class Picture(NamedTuple):
    """A play at one moment.

    Attributes:
        time: ms of the song.
        objects: What is on the highway.
        keys: Which keys are down.
        judgement: The last one, -1 before there is one.
        error: Its signed error, ms.
        age: ms since then.
        flashes: For each column the judgement that it had within the last 150 ms, or -1.
        combo, accuracy, score, health: So far.
        title: The map's.
    """

    time: float
    objects: list[Shown]
    keys: list[bool]
    judgement: int
    error: float
    age: float
    flashes: list[int]
    combo: int
    accuracy: float
    score: int
    health: float
    title: str


def take_picture(
    charts: Charts, play: Play, row: int, scroll: Scroll, reach: float, title: str
) -> Picture:
    """A picture of a row.

    Args:
        charts: The loaded maps.
        play: The plays.
        row: Which.
        scroll: How its map's highway moves.
        reach: See Layout.
        title: The map's.
    """
    time = float(play.rows[row, TIME])
    now = float(scroll(time))
    lanes = play.lanes[:, row]
    objects: list[Shown] = []
    for column, index in enumerate(play.next[row].tolist()):
        held = bool(lanes[HOLDING, column])
        broken = bool(lanes[HEAD_MISSED, column] or lanes[DROPPED, column])
        while (start := charts.positions.start[index] - now) <= reach:
            end = charts.positions.end[index] - now
            if end > -BELOW:
                hold = bool(charts.chart.hold[index])
                objects.append(Shown(column, float(start), float(end), hold, held, broken))
            held = broken = False
            index += 1
    latest = int(lanes[LAST_TIME].argmax())
    ages = time - lanes[LAST_TIME]
    judgements = lanes[LAST_JUDGEMENT].astype(int)
    return Picture(
        time=time,
        objects=objects,
        keys=(lanes[KEY] > 0).tolist(),
        judgement=int(judgements[latest]),
        error=float(lanes[LAST_ERROR, latest]),
        age=float(ages[latest]),
        flashes=np.where(ages < 150, judgements, -1).tolist(),
        combo=int(play.rows[row, COMBO]),
        accuracy=float(accuracies(play.counts[row], charts.rules.lazer)),
        score=int(play.rows[row, POINTS]),
        health=float(play.rows[row, HEALTH]),
        title=title,
    )


def picture_of(rows: Rows, row: int) -> tuple[Picture, str]:
    """A picture of a row of OsuMania-v0, and its caption."""
    beatmap = rows.beatmap(row)
    reach = 11_485.0 / rows.options.scroll_speed
    simulator = rows.simulator
    picture = take_picture(
        simulator.charts, simulator.play, row, beatmap.scroll, reach, beatmap.label
    )
    total = float(rows.reward_terms()[row].sum())
    return picture, f"{picture.time / 1000:.2f} s   return {total:.2f}"


def open_screen(rows: Rows) -> Any:
    """The Screen that draws rows; pygame is imported here and not before."""
    from envs.rendering.screen import Screen

    options: Options = rows.options
    layout = Layout(rows.maps.keys, 11_485.0 / options.scroll_speed)
    renderer = "envs.rendering.osu_mania:OsuManiaRenderer"
    return Screen(renderer, layout, "OsuMania", round(options.hz))
