"""One play of one map at times of one's own: for a client, a live game or a replay."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.charts import Charts
from envs.osu_mania.judgement import expire, make_rules, press, release
from envs.osu_mania.play import (
    COMBO,
    DUE,
    FAILED,
    HEALTH,
    JUDGEMENTS,
    KEY,
    LAST_ERROR,
    LAST_JUDGEMENT,
    LAST_TIME,
    MAX_COMBO,
    MISS,
    N_JUDGED,
    N_JUDGEMENTS,
    POINTS,
    TIME,
    blank_play,
)
from envs.osu_mania.scoring import accuracies, update_score


class Judged(NamedTuple):
    """What a column's object was judged.

    Attributes:
        column: From 0.
        judgement: MAX to MISS, of `play`.
        error: ms, late is positive; of a stable hold that at its tail. NaN
            for what a hit passed over.
        time: ms.
    """

    column: int
    judgement: int
    error: float
    time: float


class Session:
    """A play by the game's rules. Times are the song's, in ms, and must not run backwards.

    Args:
        beatmap: The map.
        ruleset: "stable" (ScoreV1) or "lazer".
        rate: Song time over real time.
        can_fail: Nothing counts any more once the health is used up.

    Attributes:
        play: The state, a row of it.
        newest: What was judged in the last call, in order.
    """

    def __init__(
        self,
        beatmap: Beatmap,
        ruleset: str = "stable",
        rate: float = 1.0,
        can_fail: bool = False,
    ) -> None:
        self.beatmap = beatmap
        self.rules = make_rules(ruleset, rate, can_fail)
        charts = Charts(self.rules, beatmap.keys)
        charts.add(beatmap)
        self.chart = charts.chart
        self.play = blank_play(1, beatmap.keys)
        charts.begin(self.play, np.zeros(1, np.intp), np.zeros(1, np.intp))
        self.play.rows[0, TIME] = -np.inf
        self.newest: list[Judged] = []

    def advance(self, time: float) -> None:
        """Lets time pass with the keys as they are.

        Raises:
            ValueError: Time would run backwards.
        """
        self._act(None, time)

    def set_keys(self, keys: ArrayLike, time: float) -> None:
        """Lets time pass, then sets the keys that are down, bool `[keys]`.

        Raises:
            ValueError: Time would run backwards.
        """
        self._act(keys, time)

    def press(self, column: int, time: float) -> None:
        """Presses a key."""
        self._set_key(column, True, time)

    def release(self, column: int, time: float) -> None:
        """Releases a key."""
        self._set_key(column, False, time)

    def finish(self) -> None:
        """Lets time pass until everything is judged; the keys stay as they are."""
        last = self.beatmap.end + 2 * float(self.play.limits[0, MISS]) + 1.0
        self.advance(max(last, float(self.play.rows[0, TIME])))

    @property
    def counts(self) -> dict[str, int]:
        """Judgements so far, by name."""
        return dict(zip(JUDGEMENTS, self.play.counts[0].tolist(), strict=True))

    @property
    def combo(self) -> int:
        """The combo."""
        return int(self.play.rows[0, COMBO])

    @property
    def max_combo(self) -> int:
        """The largest combo so far."""
        return int(self.play.rows[0, MAX_COMBO])

    @property
    def accuracy(self) -> float:
        """Accuracy so far, from 0 to 1."""
        return float(accuracies(self.play.counts[0], self.rules.lazer))

    @property
    def score(self) -> int:
        """The score."""
        return int(self.play.rows[0, POINTS])

    @property
    def health(self) -> float:
        """The health, from 0 to 1."""
        return float(self.play.rows[0, HEALTH])

    @property
    def failed(self) -> bool:
        """Whether the health was used up at some time."""
        return bool(self.play.rows[0, FAILED])

    @property
    def finished(self) -> bool:
        """Whether everything is judged."""
        return bool(self.play.rows[0, N_JUDGED] == self.play.limits[0, N_JUDGEMENTS])

    def _set_key(self, column: int, down: bool, time: float) -> None:
        keys = self.play.lanes[KEY, 0] > 0
        keys[column] = down
        self.set_keys(keys, time)

    def _act(self, keys: ArrayLike | None, time: float) -> None:
        play = self.play
        if time < play.rows[0, TIME]:
            raise ValueError(f"time runs backwards: {time} ms after {play.rows[0, TIME]} ms")
        self.newest = []
        play.events[0] = 0.0
        while play.lanes[DUE, 0].min() <= time:
            self._do(expire, int(play.lanes[DUE, 0].argmin()))
        if keys is not None:
            wanted = np.asarray(keys, bool)
            if wanted.shape != play.next.shape[1:]:
                raise ValueError(f"there must be {play.next.shape[1]} keys, got {wanted.shape}")
            for column in np.flatnonzero(wanted != play.lanes[KEY, 0]).tolist():
                play.lanes[KEY, 0, column] = wanted[column]
                self._do(press if wanted[column] else release, column, time)
        play.rows[0, TIME] = time
        update_score(play, self.rules, 0)

    def _do(self, action: Callable[..., None], column: int, *time: float) -> None:
        """Does something in a column, and notes what was judged."""
        play = self.play
        before = int(play.rows[0, N_JUDGED])
        action(self.chart, play, self.rules, 0, column, *time)
        n_judged = int(play.rows[0, N_JUDGED]) - before
        if not n_judged:
            return
        last = Judged(
            column,
            int(play.lanes[LAST_JUDGEMENT, 0, column]),
            float(play.lanes[LAST_ERROR, 0, column]),
            float(play.lanes[LAST_TIME, 0, column]),
        )
        # All before it were passed over by a hit.
        self.newest += [Judged(column, MISS, np.nan, last.time)] * (n_judged - 1) + [last]
