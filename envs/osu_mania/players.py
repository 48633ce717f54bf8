"""A player who knows the map: the yardstick for those who have to learn it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.play import BODY, HOLDING, KEY, STAGE, TIME
from envs.osu_mania.simulator import Simulator


def perfect_keys(simulator: Simulator) -> NDArray[np.bool_]:
    """The keys to set now so that everything is pressed and released as close as steps allow.

    A note's key goes up at the next chance; one that is still down when the column's next object
    comes up is late by a step.

    Returns:
        bool `[n, K]`.
    """
    play, chart = simulator.play, simulator.charts.chart
    now, following = play.rows[:, TIME, None], simulator.next_times[:, None]

    def due(times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether now is closer than the next chance, or it's late already."""
        return times - now <= following - times

    holding = play.lanes[HOLDING] > 0
    press = (play.lanes[STAGE] != BODY) & (play.lanes[KEY] == 0) & due(chart.start[play.next])
    return press | (holding & ~due(chart.end[play.next]))
