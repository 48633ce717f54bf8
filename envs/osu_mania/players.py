"""A player who knows the map: the yardstick for those who have to learn it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.play import BODY, KEY, STAGE, TIME
from envs.osu_mania.simulator import Simulator


def perfect_keys(
    simulator: Simulator, delay: NDArray[np.float64] | float = 0.0
) -> NDArray[np.bool_]:
    """The keys to set now so that everything is pressed and released as close as steps allow.

    A note's key goes up at the next chance; one that is still down when the column's next object
    comes up is late by a step. A hold that was let go or missed is taken up again.

    Args:
        simulator: The plays.
        delay: The song time that passes until keys arrive, ms, for all rows or for each, `[n]`.

    Returns:
        bool `[n, K]`.
    """
    play, chart = simulator.play, simulator.charts.chart
    now = (play.rows[:, TIME] + delay)[:, None]
    following = (simulator.next_times + delay)[:, None]

    def due(times: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether now is closer than the next chance, or it's late already."""
        return times - now <= following - times

    body = play.lanes[STAGE] == BODY
    press = ~body & (play.lanes[KEY] == 0) & due(chart.start[play.next])
    return press | (body & ~due(chart.end[play.next]))
