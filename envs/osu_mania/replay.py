"""Replays: .osr files in and out through osrparse, and what our rules make of them.

A file that is written here can be watched in the game. Its player is always named as a bot: it
shows what an agent did, and isn't there to be submitted.
"""

from __future__ import annotations

import hashlib
import lzma
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.beatmap import Beatmap
from envs.osu_mania.play import JUDGEMENTS
from envs.osu_mania.session import Session

_GAME_VERSION = 20250401  # of stable, whose rules such a file is played back by
_RATES = {1.0: 0, 1.5: 1 << 6, 0.75: 1 << 8}  # normal, double time, half time: bits of the mods
_END = -12345  # the time of the frame that carries the seed


class ReplayError(ValueError):
    """A replay that can't be used; the message names the file where there is one."""


@dataclass(frozen=True, eq=False)
class Replay:
    """The keys of a play, and what the file says about it.

    Attributes:
        times: When the keys change, whole ms of song time, not falling, `[n_frames]`.
        keys: Keys that are down from then on, a bit for each column, `[n_frames]`.
        beatmap_md5: MD5 of the .osu file that it was played on.
        player: The player's name.
        rate: Song time over real time.
        counts: Judgements by name.
        score: The score.
        max_combo: The largest combo.
        source: What errors call it.
    """

    times: NDArray[np.int64]
    keys: NDArray[np.int64]
    beatmap_md5: str
    player: str = "sb3_ext (bot)"
    rate: float = 1.0
    counts: dict[str, int] = field(default_factory=dict)
    score: int = 0
    max_combo: int = 0
    source: str = "replay"

    def with_results(self, session: Session, player: str = "sb3_ext") -> Replay:
        """The replay with what a session came to, in the name of a bot."""
        return replace(
            self,
            player=f"{player.removesuffix(' (bot)')} (bot)",
            counts=session.counts,
            score=session.score,
            max_combo=session.max_combo,
        )


class Recorder:
    """Takes down the keys of a play as it goes.

    Args:
        times: What was taken down before, ms.
        keys: The keys that were down from these times on, a bit for each column.
    """

    def __init__(self, times: Iterable[int] = (), keys: Iterable[int] = ()) -> None:
        self._times = list(times)
        self._keys = list(keys)

    def add(self, time: float, keys: Iterable[Any]) -> None:
        """Notes which keys are down from a time on, ms; a replay has whole ones."""
        mask = sum(1 << column for column, down in enumerate(keys) if down)
        if not self._keys or mask != self._keys[-1]:
            self._times.append(round(time))
            self._keys.append(mask)

    def snapshot(self) -> tuple[list[int], list[int]]:
        """What was taken down, for another recorder to go on."""
        return list(self._times), list(self._keys)

    def replay(self, beatmap: Beatmap, rate: float = 1.0) -> Replay:
        """The keys as a replay, without results yet."""
        return Replay(
            times=np.array(self._times, np.int64),
            keys=np.array(self._keys, np.int64),
            beatmap_md5=beatmap.md5,
            rate=rate,
        )


def judge(replay: Replay, beatmap: Beatmap, ruleset: str = "stable") -> Session:
    """Plays a replay through our rules.

    Args:
        replay: The replay.
        beatmap: The map it was played on.
        ruleset: "stable" or "lazer".

    Returns:
        The finished session.

    Raises:
        ReplayError: It was played on another map.
    """
    if replay.beatmap_md5 != beatmap.md5:
        raise ReplayError(f"{replay.source} was not played on {beatmap.label}")
    session = Session(beatmap, ruleset, replay.rate)
    columns = np.arange(beatmap.keys)
    for time, keys in zip(replay.times.tolist(), replay.keys.tolist(), strict=True):
        session.set_keys((keys >> columns) & 1, time)
    session.finish()
    return session


def write_replay(replay: Replay, path: str | Path) -> None:
    """Writes an .osr file.

    The game plays nothing before time 0, so keys that are down there go down at 0.

    Raises:
        ReplayError: The rate isn't one that the game has a mod for, the name isn't a bot's or not
            plain ASCII, or a count is more than a file can say.
        ImportError: osrparse isn't installed.
    """
    osrparse = _osrparse()
    if replay.rate not in _RATES:
        raise ReplayError(f"a replay's rate must be 1, 1.5 or 0.75, got {replay.rate:g}")
    if not replay.player.endswith("(bot)"):
        raise ReplayError(f"a replay is written in a bot's name, '... (bot)': {replay.player!r}")
    if not replay.player.isascii():  # osrparse would write a wrong length
        raise ReplayError(f"a replay's player needs a name in ASCII: {replay.player!r}")
    first = max(int(np.searchsorted(replay.times, 0, side="right")) - 1, 0)
    deltas = np.diff(np.maximum(replay.times[first:], 0), prepend=0)
    counts = {name: replay.counts.get(name, 0) for name in JUDGEMENTS}
    identity = f"{replay.player}{replay.beatmap_md5}{replay.score}{replay.times.tolist()}"
    content = osrparse.Replay(
        mode=osrparse.GameMode.MANIA,
        game_version=_GAME_VERSION,
        beatmap_hash=replay.beatmap_md5,
        username=replay.player,
        replay_hash=hashlib.md5(identity.encode()).hexdigest(),
        count_300=counts["300"],
        count_100=counts["100"],
        count_50=counts["50"],
        count_geki=counts["max"],
        count_katu=counts["200"],
        count_miss=counts["miss"],
        score=replay.score,
        max_combo=replay.max_combo,
        perfect=not counts["miss"],
        mods=osrparse.Mod(_RATES[replay.rate]),
        life_bar_graph=None,
        timestamp=datetime.now(UTC),
        replay_data=[
            osrparse.ReplayEventMania(delta, osrparse.KeyMania(keys))
            for delta, keys in zip(deltas.tolist(), replay.keys[first:].tolist(), strict=True)
        ],
        replay_id=0,
        rng_seed=0,
    )
    path = Path(path)
    partial = path.with_name(path.name + ".part")
    try:
        packed = content.pack()
    except struct.error as error:
        raise ReplayError(f"{path}: a number is too large for a replay ({error})") from error
    partial.write_bytes(packed)
    partial.replace(path)


def read_replay(path: str | Path) -> Replay:
    """Reads an .osr file of osu!mania.

    Raises:
        ReplayError: It isn't one.
        ImportError: osrparse isn't installed.
        OSError: It can't be read.
    """
    osrparse = _osrparse()

    class Unpacker(osrparse.replay._Unpacker):  # type: ignore[name-defined]
        """Osrparse leaves out the frames before a skipped intro, and with them its length."""

        @staticmethod
        def parse_replay_data(text: str, mode: Any) -> tuple[list[tuple[int, int]], None]:
            return _frames(text), None

    content = Path(path).read_bytes()
    try:
        read = Unpacker(content).unpack()
    except (ValueError, IndexError, struct.error, lzma.LZMAError, OverflowError) as error:
        raise ReplayError(f"{path}: not a replay that can be read ({error})") from error
    if read.mode is not osrparse.GameMode.MANIA:
        raise ReplayError(f"{path}: a replay of {read.mode.name}, not of osu!mania")
    rates = {bit: rate for rate, bit in _RATES.items()}
    return Replay(
        times=np.array([time for time, _ in read.replay_data], np.int64),
        keys=np.array([keys for _, keys in read.replay_data], np.int64),
        beatmap_md5=read.beatmap_hash or "",
        player=read.username or "",
        rate=rates.get(int(read.mods) & (_RATES[1.5] | _RATES[0.75]), 1.0),
        counts={
            "max": read.count_geki,
            "300": read.count_300,
            "200": read.count_katu,
            "100": read.count_100,
            "50": read.count_50,
            "miss": read.count_miss,
        },
        score=read.score,
        max_combo=read.max_combo,
        source=str(path),
    )


def _frames(text: str) -> list[tuple[int, int]]:
    """Times and keys of the frames `delta|keys|y|unused,...`, as the game reads them.

    Time goes on by every frame's delta. The two frames at the beginning whose place is (256, -500)
    say no more than that, and the game doesn't go back in time.
    """
    frames: list[tuple[int, int]] = []
    time = 0
    for i, frame in enumerate(text.rstrip(",").split(",")):
        delta, x, y, _ = frame.split("|")
        if int(delta) == _END:
            continue
        time += int(delta)
        leading = i < 2 and float(x) == 256 and float(y) == -500
        if not leading and int(delta) >= 0 and (not frames or time >= frames[-1][0]):
            frames.append((time, int(float(x))))
    return frames


def _osrparse() -> Any:
    try:
        import osrparse
    except ImportError as error:
        raise ImportError("replays need osrparse: pip install 'sb3_ext[osu]'") from error
    return osrparse
