"""Menu, play and results: what happens in the client, without a window or a server.

Every method is told the real time, in seconds of one clock that runs evenly.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.client.report import Report, Stage
from envs.osu_mania.client.song import SongClock
from envs.osu_mania.play import MISS
from envs.osu_mania.session import Session

AFTER = 1000.0
"""How long the highway stays after the last object, or after failing, ms of real time."""


@dataclass(frozen=True)
class Choices:
    """How maps are played.

    Attributes:
        ruleset: "stable" or "lazer".
        rate: Song time over real time.
        can_fail: A play ends when the health is used up.
        lead_in: Song time before the first object, ms.
        auto: After so many seconds each screen but the play itself goes on by itself; None: never.
        plays: The client closes after the results of so many plays; None: never.
    """

    ruleset: str = "stable"
    rate: float = 1.0
    can_fail: bool = False
    lead_in: float = 2000.0
    auto: float | None = None
    plays: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.lead_in <= 60_000:
            raise ValueError(f"the lead-in must lie in 0 to 60,000 ms, got {self.lead_in:g}")
        if self.auto is not None and not 0 <= self.auto <= 3600:
            raise ValueError(f"auto must lie in 0 to 3600 s, got {self.auto:g}")
        if self.plays is not None and self.plays < 1:
            raise ValueError(f"there must be at least one play, got {self.plays}")


@dataclass
class Performance:
    """A play under way or over.

    Attributes:
        session: The rules' view of it.
        clock: The song's.
        errors: Of the hits, whole ms; it only grows.
        touches: What the keyboard did: song time in ms, column, whether down.
        failed_at: Real time at which it failed, s.
    """

    session: Session
    clock: SongClock
    errors: list[int] = field(default_factory=list)
    touches: list[tuple[float, int, bool]] = field(default_factory=list)
    failed_at: float | None = None

    def results(self) -> dict[str, Any]:
        """What came of it, for a file."""
        session = self.session
        return {
            "map": session.beatmap.label,
            "md5": session.beatmap.md5,
            "passed": session.finished and self.failed_at is None,
            "accuracy": session.accuracy,
            "score": session.score,
            "max_combo": session.max_combo,
            "judgements": session.counts,
            "unstable_rate": unstable_rate(self.errors),
            "errors": self.errors,
            "touches": self.touches,
        }


def unstable_rate(errors: Sequence[int]) -> float:
    """Ten times the errors' standard deviation, ms."""
    return 10.0 * float(np.std(errors)) if errors else 0.0


class Game:
    """A client's course: a menu, a list of maps, a play, its results, the list again.

    Args:
        maps: At least one.
        choices: How they are played.
        now: Real time, s.

    Attributes:
        stage: Where it is.
        index: Which map is chosen.
        performance: The play under way, or the one whose results are shown.
        finished: Plays that are over.
        closed: Whether the window is to be closed.
    """

    def __init__(self, maps: Sequence[Beatmap], choices: Choices, now: float) -> None:
        self.maps = maps
        self.choices = choices
        self.stage = Stage.MENU
        self.index = 0
        self.performance: Performance | None = None
        self.finished: list[Performance] = []
        self.closed = False
        self._since = now
        self._keys = [False] * maps[0].keys
        self._presses = [0] * maps[0].keys

    @property
    def beatmap(self) -> Beatmap:
        """The map that is chosen or played."""
        return self.maps[self.index]

    @property
    def keys(self) -> list[bool]:
        """Which keys are down."""
        return list(self._keys)

    def confirm(self, now: float) -> None:
        """Enter: goes on to the next screen, or on with a paused play."""
        if self.stage == Stage.MENU:
            self._enter(Stage.SELECT, now)
        elif self.stage == Stage.SELECT:
            self._begin(now)
        elif self.stage == Stage.RESULTS:
            plays = self.choices.plays
            self.closed = plays is not None and len(self.finished) >= plays
            self._enter(Stage.SELECT, now)
        elif self._play.clock.paused:
            self._play.clock.toggle_pause(now)

    def back(self, now: float) -> None:
        """Escape: to the screen before; of a play, first a pause."""
        if self.stage == Stage.MENU:
            self.closed = True
        elif self.stage == Stage.SELECT:
            self._enter(Stage.MENU, now)
        elif self.stage == Stage.PLAY and not self._play.clock.paused:
            self._play.clock.toggle_pause(now)
        else:
            self._enter(Stage.SELECT, now)

    def choose(self, step: int) -> None:
        """Up and down in the list of maps."""
        if self.stage == Stage.SELECT:
            self.index = (self.index + step) % len(self.maps)

    def touch(self, column: int, down: bool, now: float) -> None:
        """A column's key goes down or up; that it does so again changes nothing."""
        if self._keys[column] == down:
            return
        self.tick(now)
        self._keys[column] = down
        self._presses[column] += down
        if self.stage == Stage.PLAY:
            play = self._play
            time = play.clock.time(now)
            play.touches.append((round(time, 3), column, down))
            if play.failed_at is None:
                play.session.set_keys(self._keys, time)
                self._note_errors(play)

    def tick(self, now: float) -> None:
        """Lets time pass."""
        if self.stage != Stage.PLAY:
            auto = self.choices.auto
            if auto is not None and now - self._since >= auto:
                self._go_on(now)
            return
        play = self._play
        if play.failed_at is not None:
            if now - play.failed_at >= AFTER / 1000.0:
                self._enter(Stage.RESULTS, now)
            return
        time = play.clock.time(now)
        play.session.advance(time)
        self._note_errors(play)
        if self.choices.can_fail and play.session.failed:
            play.failed_at = now
        elif play.session.finished and time >= self.beatmap.end + AFTER * self.choices.rate:
            self._enter(Stage.RESULTS, now)

    def report(self, now: float, focused: bool) -> Report:
        """The game at this moment."""
        play = self.performance
        session = play.session if play else None
        return Report(
            stage=self.stage,
            beatmap=self.beatmap,
            time=play.clock.time(now) if play and self.stage == Stage.PLAY else 0.0,
            rate=self.choices.rate,
            focused=focused,
            paused=bool(play and self.stage == Stage.PLAY and play.clock.paused),
            failed=bool(play and play.failed_at is not None),
            score=session.score if session else 0,
            accuracy=session.accuracy if session else 0.0,
            combo=session.combo if session else 0,
            max_combo=session.max_combo if session else 0,
            health=session.health if session else 1.0,
            counts=session.counts if session else {},
            errors=play.errors if play else (),
            n_errors=len(play.errors) if play else 0,
            keys=tuple(self._keys),
            presses=tuple(self._presses),
        )

    @property
    def _play(self) -> Performance:
        assert self.performance is not None
        return self.performance

    def _go_on(self, now: float) -> None:
        if self.stage == Stage.RESULTS:
            self.index = (self.index + 1) % len(self.maps)
        self.confirm(now)

    def _begin(self, now: float) -> None:
        choices, beatmap = self.choices, self.beatmap
        session = Session(beatmap, choices.ruleset, choices.rate, choices.can_fail)
        start = float(beatmap.starts.min()) - choices.lead_in
        self._presses = [0] * beatmap.keys
        session.set_keys(self._keys, start)
        self.performance = Performance(session, SongClock(start, choices.rate, now))
        self._enter(Stage.PLAY, now)

    def _enter(self, stage: Stage, now: float) -> None:
        if stage == Stage.RESULTS:
            self.finished.append(self._play)
        elif stage != Stage.PLAY:
            self.performance = None
        self.stage, self._since = stage, now

    @staticmethod
    def _note_errors(play: Performance) -> None:
        play.errors += [
            round(judged.error) for judged in play.session.newest if judged.judgement < MISS
        ]
