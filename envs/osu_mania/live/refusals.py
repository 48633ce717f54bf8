"""When not to play, and the words that are said at the start."""

from __future__ import annotations

from collections.abc import Collection

from envs.osu_mania.beatmap import MANIA
from envs.osu_mania.live.messages import CONNECTED, GameState
from envs.osu_mania.live.readers import Reading

PLAYING = 2

HONEST_USE = (
    "OsuManiaLive-v0 is for offline play: logged out, unranked, on your own machine. Never use it "
    "online, in multiplayer or for leaderboards. It does nothing to pass for a person."
)

_PLACES = {0: "menu", 1: "editor", 5: "song select", 7: "results", 11: "lobby", 12: "match"}


def refusal(
    reading: Reading,
    now: float,
    stands_for: float,
    max_age: float,
    keys: int,
    md5s: Collection[str] | None,
) -> str:
    """Why no key may be pressed now; empty where keys may be pressed.

    Args:
        reading: What is known of the game.
        now: s of `time.monotonic`.
        stands_for: For how long the song's time hasn't changed, s.
        max_age: How old a state may be, and how long the song may stand, s.
        keys: The number of columns that is played.
        md5s: The .osu files that may be played; None: any.
    """
    state = reading.state
    if state is None:
        return reading.problem
    if reading.age(now) > max_age:
        why = f" ({reading.problem})" if reading.problem else ""
        return f"the game's state is {reading.age(now):.1f} s old{why}"
    return wrong_state(state, keys, md5s) or (
        f"the song stands still for {stands_for:.1f} s" if stands_for > max_age else ""
    )


def wrong_state(state: GameState, keys: int, md5s: Collection[str] | None) -> str:
    """What is wrong with a state, if anything."""
    if state.login == CONNECTED:
        return "the game is logged in: log out, and play offline"
    if state.number != PLAYING:
        place = _PLACES.get(state.number, f"state {state.number}")
        return f"the game isn't in a play but in: {place}"
    if state.mode != MANIA:
        return f"the game plays mode {state.mode}, not osu!mania ({MANIA})"
    if state.keys != keys:
        return f"the map has {state.keys} keys, and {keys} are played"
    if md5s is not None and state.md5 not in md5s:
        return f"{state.label} isn't one of the maps to be played"
    if state.failed:
        return "the play has failed"
    if state.paused:
        return "the game is paused"
    return ""
