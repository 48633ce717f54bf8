"""Judgements, combo and score as rewards: what changed between two snapshots of the game.

The counts of a state are the truth, but they come every 100 ms or so, which is many steps. Errors
of hits come every few ms where tosu v2 sends them by themselves. So a hit is paid as soon as its
error is known, by the hit window that the error lies in, and settled when counts come that contain
it: what was paid too much (a hold is not judged by one error alone) is taken back. Whatever was
paid in between, a play's judgements add up to the game's own counts.

What happens to keys and holds the game doesn't tell. Where the map is known, the rules are played
along with the keys that were set, at the song's times, and say it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania import scalar_kernels
from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.charts import Charts
from envs.osu_mania.judgement import hit_windows, make_rules
from envs.osu_mania.live.errors import StoppedError
from envs.osu_mania.live.messages import GameState
from envs.osu_mania.live.readers import Reading
from envs.osu_mania.play import (
    COMBO_BREAK,
    COMBO_GAIN,
    HELD,
    HOLD_HEAD,
    HOLD_TAIL,
    IDLE,
    JUDGEMENTS,
    MILESTONE,
    MISS,
    SCORE,
    SPAM,
    STRAY,
    TERMS,
    TIME,
    blank_play,
)
from envs.osu_mania.scoring import MILESTONES

UNTOLD = (HOLD_HEAD, HELD, HOLD_TAIL, SPAM, STRAY, IDLE)
"""The terms that the game doesn't tell."""


class Ledger:
    """What was paid for a play so far, and what is to be paid.

    Args:
        state: The play at its beginning.
        ruleset: "stable" or "lazer".
        stale: Errors that were sent by themselves before; they may be another play's.

    Attributes:
        state: The newest state that is settled.
    """

    def __init__(self, state: GameState, ruleset: str, stale: Sequence[float] | None) -> None:
        rules = make_rules(ruleset, min(max(state.rate, 0.5), 2.0))
        self._limits = hit_windows(state.overall_difficulty, rules).errors + 0.5
        self.state = state
        self._number = -1
        self._n_settled = len(state.errors)
        self._stale = stale
        self._advances: list[int] = []  # judgements paid on the errors after those

    def settle(self, reading: Reading, over: bool = False) -> NDArray[np.float64]:
        """What happened since the last time, by `play.TERMS`, `[terms]`.

        Args:
            reading: What is known of the game.
            over: The play was left: a state that is no continuation of it says nothing of it.

        Raises:
            StoppedError: The play was begun anew.
        """
        events = np.zeros(len(TERMS))
        state = reading.state
        if state is not None and reading.number != self._number:
            self._number = reading.number
            if self._goes_on(state):
                self._settle(state, events)
            elif not over:
                raise StoppedError("the play was begun anew")
        if not over:
            self._advance(reading.errors or (), events)
        return events

    def _goes_on(self, state: GameState) -> bool:
        fewer = any(now < then for now, then in zip(state.counts, self.state.counts, strict=True))
        return state.md5 == self.state.md5 and not fewer and len(state.errors) >= self._n_settled

    def _settle(self, state: GameState, events: NDArray[np.float64]) -> None:
        before = self.state
        changes = np.subtract(state.counts, before.counts)
        n_known = len(state.errors) - self._n_settled
        events[: len(JUDGEMENTS)] += changes
        for judgement in self._advances[:n_known]:
            events[judgement] -= 1.0
        del self._advances[:n_known]
        self._n_settled = len(state.errors)
        broken = state.combo < before.combo
        events[COMBO_BREAK] += broken
        events[COMBO_GAIN] += state.combo if broken else state.combo - before.combo
        lowest = 0 if broken else before.combo
        events[MILESTONE] += sum(lowest < m <= state.combo for m in MILESTONES)
        events[SCORE] += state.score - before.score
        self.state = state

    def _advance(self, errors: Sequence[float], events: NDArray[np.float64]) -> None:
        """Pays the hits whose errors are younger than the counts."""
        if errors == self._stale:
            return
        self._stale = None
        for error in errors[self._n_settled + len(self._advances) :]:
            judgement = min(int((abs(error) > self._limits).sum()), MISS - 1)
            self._advances.append(judgement)
            events[judgement] += 1.0


class Shadow:
    """The rules, played along with the keys that were set.

    Args:
        beatmap: The map.
        ruleset: "stable" or "lazer".
        rate: Song time over real time.
    """

    def __init__(self, beatmap: Beatmap, ruleset: str, rate: float) -> None:
        self._rules = make_rules(ruleset, rate)
        charts = Charts(self._rules, beatmap.keys)
        charts.add(beatmap)
        self._chart = charts.chart
        self._play = blank_play(1, beatmap.keys)
        charts.begin(self._play, np.zeros(1, np.intp), np.zeros(1, np.intp))
        self._play.rows[0, TIME] = -np.inf

    def step(self, keys: Sequence[bool], switch: float, until: float) -> NDArray[np.float64]:
        """What the game doesn't tell of a step, by `play.TERMS`, `[terms]`.

        Args:
            keys: The keys that are down.
            switch: Since when, ms of the song.
            until: When the step is over, ms of the song.
        """
        before = float(self._play.rows[0, TIME])
        if not np.isfinite(before):
            before = self._play.rows[0, TIME] = switch
        switch = max(switch, before)
        until = max(until, switch)
        scalar_kernels.step_rows(
            self._chart,
            self._play,
            self._rules,
            np.array([keys], bool),
            np.array([switch]),
            np.array([until]),
        )
        events = np.zeros(len(TERMS))
        events[list(UNTOLD)] = self._play.events[0, list(UNTOLD)]
        return events
