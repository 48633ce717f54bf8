"""The game's state from the JSON of tosu v2, tosu v1 and gosumemory v1.

Fields as https://github.com/tosuapp/tosu has them. What a state is made of is copied out of the
message, and nothing in it can change any more.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

NOT_READY = ("not_ready", "osu! is not fully loaded!", "osu is not ready/running")
"""What tosu and gosumemory say while there is no game."""

CONNECTED = 65793
"""The login status of who is logged in."""

_MISSING = object()
_HITS = ("geki", "300", "katu", "100", "50", "0")  # as JUDGEMENTS
_RATES = {64: 1.5, 512: 1.5, 256: 0.75}  # by bits of the mods: double time, nightcore, half time


class MessageError(ValueError):
    """A message that says nothing about a play; it tells why."""


class NotReadyError(MessageError):
    """The server has no game yet."""


@dataclass(frozen=True)
class GameState:
    """The game at one moment.

    Attributes:
        number: Where it is: 0 menu, 2 play, 5 song select, 7 results.
        mode: 3 is osu!mania.
        paused, failed: None where the server doesn't tell.
        login: The login status; None where the server doesn't tell.
        md5: Of the .osu file that is chosen or played.
        label: The map's line for people.
        keys: The map's number of columns.
        overall_difficulty: The map's OD.
        rate: Song time over real time.
        first_object: When the first object is due, ms.
        time: The song's, ms.
        score, combo, max_combo: So far.
        accuracy, health: From 0 to 1.
        counts: Judgements in the order of `play.JUDGEMENTS`.
        errors: Of the hits so far, ms.
    """

    number: int
    mode: int
    paused: bool | None
    failed: bool | None
    login: int | None
    md5: str
    label: str
    keys: int
    overall_difficulty: float
    rate: float
    first_object: float
    time: float
    score: int
    accuracy: float
    combo: int
    max_combo: int
    health: float
    counts: tuple[int, ...]
    errors: tuple[float, ...]


def read_v2(text: str | bytes) -> GameState:
    """A state from tosu's `/json/v2`.

    Raises:
        NotReadyError: There is no game.
        MessageError: It isn't such a message.
    """
    message = _object(text)
    number = _whole(message, "state.number")
    play, beatmap = "play", "beatmap"
    return GameState(
        number=number,
        mode=_whole(message, "play.mode.number"),
        paused=_flag(message, "game.paused"),
        failed=_flag(message, "play.failed"),
        login=_optional(message, "profile.userStatus.number"),
        md5=_text(message, f"{beatmap}.checksum"),
        label=_label(message, "beatmap", ("artist", "title", "mapper", "version")),
        keys=round(_number(message, f"{beatmap}.stats.cs.converted")),
        overall_difficulty=_number(message, f"{beatmap}.stats.od.original"),
        rate=_positive(message, f"{play}.mods.rate", 1.0),
        first_object=_number(message, f"{beatmap}.time.firstObject"),
        time=_number(message, f"{beatmap}.time.live"),
        score=_whole(message, f"{play}.score"),
        accuracy=_number(message, f"{play}.accuracy") / 100.0,
        combo=_whole(message, f"{play}.combo.current"),
        max_combo=_whole(message, f"{play}.combo.max"),
        health=_number(message, f"{play}.healthBar.normal") / 200.0,
        counts=tuple(_whole(message, f"{play}.hits.{name}") for name in _HITS),
        errors=_errors(message, f"{play}.hitErrorArray"),
    )


def read_v1(text: str | bytes) -> GameState:
    """A state from tosu's and gosumemory's `/json`.

    Raises:
        NotReadyError: There is no game.
        MessageError: It isn't such a message.
    """
    message = _object(text)
    number = _whole(message, "menu.state")
    play, beatmap = "gameplay", "menu.bm"
    mods = _optional(message, "menu.mods.num") or 0
    return GameState(
        number=number,
        # Outside of a play the mode of the last one stays.
        mode=_whole(message, "gameplay.gameMode" if number == 2 else "menu.gameMode"),
        paused=None,
        failed=None,
        login=_optional(message, "userProfile.rawLoginStatus"),
        md5=_text(message, f"{beatmap}.md5"),
        label=_label(message, f"{beatmap}.metadata", ("artist", "title", "mapper", "difficulty")),
        keys=round(_number(message, f"{beatmap}.stats.CS")),
        overall_difficulty=_number(message, f"{beatmap}.stats.memoryOD"),
        rate=next((rate for bit, rate in _RATES.items() if mods & bit), 1.0),
        first_object=_number(message, f"{beatmap}.time.firstObj"),
        time=_number(message, f"{beatmap}.time.current"),
        score=_whole(message, f"{play}.score"),
        accuracy=_number(message, f"{play}.accuracy") / 100.0,
        combo=_whole(message, f"{play}.combo.current"),
        max_combo=_whole(message, f"{play}.combo.max"),
        health=_number(message, f"{play}.hp.normal") / 200.0,
        counts=tuple(_whole(message, f"{play}.hits.{name}") for name in _HITS),
        errors=_errors(message, f"{play}.hits.hitErrorArray"),
    )


def read_precise(text: str | bytes) -> tuple[float, ...]:
    """The errors of the hits so far, ms, from tosu's `/json/v2/precise`.

    Raises:
        NotReadyError: There is no game.
        MessageError: It isn't such a message.
    """
    return _errors(_object(text), "hitErrors")


READERS: dict[str, Callable[[str | bytes], GameState]] = {"v1": read_v1, "v2": read_v2}
"""By the API's version."""


def _object(text: str | bytes) -> dict[str, Any]:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the server sends no JSON: {error}") from error
    if not isinstance(message, dict):
        raise MessageError(f"the server sends no object but {type(message).__name__}")
    if "error" in message:
        if message["error"] in NOT_READY:
            raise NotReadyError("the server has no game yet")
        raise MessageError(f"the server says: {str(message['error'])[:200]}")
    return message


def _find(message: dict[str, Any], path: str) -> Any:
    found: Any = message
    for part in path.split("."):
        found = found.get(part, _MISSING) if isinstance(found, dict) else _MISSING
    return found


def _number(message: dict[str, Any], path: str) -> float:
    found = _find(message, path)
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        shown = "is missing" if found is _MISSING else f"isn't a number but {str(found)[:40]!r}"
        raise MessageError(f"in the server's message {path} {shown}")
    return found


def _whole(message: dict[str, Any], path: str) -> int:
    return int(_number(message, path))


def _positive(message: dict[str, Any], path: str, default: float) -> float:
    if _find(message, path) is _MISSING:
        return default
    number = _number(message, path)
    return number if number > 0 else default


def _optional(message: dict[str, Any], path: str) -> int | None:
    return None if _find(message, path) in (_MISSING, None) else _whole(message, path)


def _flag(message: dict[str, Any], path: str) -> bool | None:
    found = _find(message, path)
    return found if isinstance(found, bool) else None


def _text(message: dict[str, Any], path: str) -> str:
    found = _find(message, path)
    if not isinstance(found, str):
        raise MessageError(f"in the server's message {path} is no text")
    return found


def _label(message: dict[str, Any], place: str, names: tuple[str, ...]) -> str:
    found = (_find(message, f"{place}.{name}") for name in names)
    artist, title, mapper, version = (f if isinstance(f, str) else "?" for f in found)
    return f"{artist} - {title} ({mapper}) [{version}]"


def _errors(message: dict[str, Any], path: str) -> tuple[float, ...]:
    """Errors; gosumemory has null where there are none."""
    found = _find(message, path)
    if found is None:
        return ()
    if not isinstance(found, list) or not all(
        isinstance(e, int | float) and not isinstance(e, bool) for e in found
    ):
        raise MessageError(f"in the server's message {path} is no list of numbers")
    return tuple(found)
