"""The game at one moment, for whoever asks from another thread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from envs.osu_mania.beatmap import Beatmap


class Stage(IntEnum):
    """Where the game is, by tosu's numbers."""

    MENU = 0
    PLAY = 2
    SELECT = 5
    RESULTS = 7


@dataclass(frozen=True)
class Report:
    """What the game has to tell.

    Attributes:
        stage: Where it is.
        beatmap: The map that is chosen or played.
        time: The song's, ms.
        rate: Song time over real time.
        focused: Whether the window has the keyboard's focus.
        paused, failed: Of the play.
        score, accuracy, combo, max_combo, health: Of the play; accuracy and health from 0 to 1.
        counts: Judgements by name.
        errors: Of the hits so far, whole ms, late is positive. The list of the play itself, which
            only grows: `n_errors` of them belong to this report.
        n_errors: How many.
        keys: Which keys are down.
        presses: How often each was pressed.
    """

    stage: Stage
    beatmap: Beatmap
    time: float
    rate: float
    focused: bool
    paused: bool
    failed: bool
    score: int
    accuracy: float
    combo: int
    max_combo: int
    health: float
    counts: dict[str, int]
    errors: Sequence[int]
    n_errors: int
    keys: tuple[bool, ...]
    presses: tuple[int, ...]
