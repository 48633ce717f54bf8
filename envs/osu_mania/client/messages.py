"""A report as JSON: tosu's v2 and v1, and gosumemory's, whose v1 it is.

The fields are those that have a meaning here, under the names and at the places at which the two
servers have them; https://github.com/tosuapp/tosu documents them.
"""

from __future__ import annotations

from typing import Any

from envs.osu_mania.beatmap import MANIA, Beatmap
from envs.osu_mania.client.game import unstable_rate
from envs.osu_mania.client.report import Report, Stage

NOT_READY = {"tosu": "not_ready", "gosumemory": "osu! is not fully loaded!"}
"""What a server says while there is no game, by its name."""

_NAMES = {
    Stage.MENU: "menu",
    Stage.PLAY: "play",
    Stage.SELECT: "selectPlay",
    Stage.RESULTS: "resultScreen",
}
_GUEST = 256  # the login status of who isn't logged in
_GRADES = ((0.95, "S"), (0.9, "A"), (0.8, "B"), (0.7, "C"))
_MODS = {1.5: (64, "DT"), 0.75: (256, "HT")}


def not_ready(server: str) -> dict[str, str]:
    """The message of a server whose game isn't there yet."""
    return {"error": NOT_READY[server]}


def tosu_v2(report: Report) -> dict[str, Any]:
    """`/json/v2` and `/websocket/v2`."""
    beatmap, mode = report.beatmap, {"number": MANIA, "name": "mania"}
    return {
        "client": "sb3_ext",
        "server": "",
        "game": {"focused": report.focused, "paused": report.paused},
        "state": {"number": int(report.stage), "name": _NAMES[report.stage]},
        "profile": {
            "userStatus": {"number": _GUEST, "name": "guest"},
            "banchoStatus": {"number": 0, "name": "idle"},
            "name": "Guest",
            "mode": mode,
        },
        "beatmap": {
            "time": {
                "live": round(report.time),
                "firstObject": round(float(beatmap.starts.min())),
                "lastObject": round(beatmap.end),
                "mp3Length": round(beatmap.end),
            },
            "checksum": beatmap.md5,
            "mode": mode,
            "artist": beatmap.artist,
            "title": beatmap.title,
            "mapper": beatmap.creator,
            "version": beatmap.version,
            "stats": {
                "cs": _twice(beatmap.keys),
                "od": _twice(beatmap.overall_difficulty),
                "hp": _twice(beatmap.drain_rate),
                "bpm": _bpm(beatmap, report),
                "objects": _objects(beatmap),
            },
        },
        "play": {
            "failed": report.failed,
            "playerName": "Guest",
            "mode": mode,
            "score": report.score,
            "accuracy": _percent(report),
            "healthBar": _health(report),
            "hits": _hits(report),
            "hitErrorArray": _errors(report),
            "combo": {"current": report.combo, "max": report.max_combo},
            "mods": {
                "number": _mods(report)[0],
                "name": _mods(report)[1],
                "rate": report.rate,
            },
            "rank": {"current": grade(report)},
            "unstableRate": unstable_rate(_errors(report)),
        },
    }


def tosu_v2_precise(report: Report) -> dict[str, Any]:
    """`/json/v2/precise` and `/websocket/v2/precise`."""
    return {"keys": _overlay(report), "hitErrors": _errors(report), "tourney": []}


def v1(report: Report) -> dict[str, Any]:
    """`/json` and `/ws`."""
    beatmap = report.beatmap
    stats = {
        "CS": beatmap.keys,
        "OD": beatmap.overall_difficulty,
        "HP": beatmap.drain_rate,
        "memoryCS": beatmap.keys,
        "memoryOD": beatmap.overall_difficulty,
        "memoryHP": beatmap.drain_rate,
        "BPM": _bpm(beatmap, report),
    }
    return {
        "menu": {
            "state": int(report.stage),
            "gameMode": MANIA,
            "bm": {
                "time": {
                    "firstObj": round(float(beatmap.starts.min())),
                    "current": round(report.time),
                    "full": round(beatmap.end),
                    "mp3": round(beatmap.end),
                },
                "md5": beatmap.md5,
                "metadata": {
                    "artist": beatmap.artist,
                    "title": beatmap.title,
                    "mapper": beatmap.creator,
                    "difficulty": beatmap.version,
                },
                "stats": stats,
                "path": {"full": "", "folder": "", "file": "", "bg": "", "audio": beatmap.audio},
            },
            "mods": {"num": _mods(report)[0], "str": _mods(report)[1]},
        },
        "gameplay": {
            "gameMode": MANIA,
            "name": "Guest",
            "score": report.score,
            "accuracy": _percent(report),
            "combo": {"current": report.combo, "max": report.max_combo},
            "hp": _health(report),
            "hits": {
                **_hits(report),
                "sliderBreaks": 0,
                "grade": {"current": grade(report)},
                "unstableRate": unstable_rate(_errors(report)),
                "hitErrorArray": _errors(report),
            },
            "keyOverlay": _overlay(report),
        },
        "userProfile": {"rawLoginStatus": _GUEST, "name": "Guest", "playMode": MANIA},
    }


def grade(report: Report) -> str:
    """The letter of an accuracy: X is perfect."""
    if report.accuracy >= 1.0:
        return "X"
    return next((letter for above, letter in _GRADES if report.accuracy > above), "D")


def _percent(report: Report) -> float:
    return round(100.0 * report.accuracy, 2)


def _health(report: Report) -> dict[str, float]:
    """The bar of tosu and gosumemory is 200 long."""
    health = round(200.0 * report.health, 3)
    return {"normal": health, "smooth": health}


def _hits(report: Report) -> dict[str, int]:
    counts = report.counts
    names = {"geki": "max", "300": "300", "katu": "200", "100": "100", "50": "50", "0": "miss"}
    return {theirs: counts.get(ours, 0) for theirs, ours in names.items()}


def _errors(report: Report) -> list[int]:
    return list(report.errors[: report.n_errors])


def _overlay(report: Report) -> dict[str, dict[str, Any]]:
    """The servers show four keys, whatever the mode."""
    names = ("k1", "k2", "m1", "m2")
    pairs = [*zip(report.keys, report.presses, strict=True), *[(False, 0)] * 4]
    return {
        name: {"isPressed": down, "count": count}
        for name, (down, count) in zip(names, pairs[:4], strict=True)
    }


def _twice(value: float) -> dict[str, float]:
    return {"original": value, "converted": value}


def _bpm(beatmap: Beatmap, report: Report) -> dict[str, float]:
    beats = [60_000.0 / p.beat_length * report.rate for p in beatmap.timing if p.uninherited]
    found = [round(bpm, 2) for bpm in beats] or [0.0]
    return {"realtime": found[0], "common": found[0], "min": min(found), "max": max(found)}


def _objects(beatmap: Beatmap) -> dict[str, int]:
    notes = beatmap.n_objects - beatmap.n_holds
    return {"circles": notes, "holds": beatmap.n_holds, "total": beatmap.n_objects}


def _mods(report: Report) -> tuple[int, str]:
    return _MODS.get(report.rate, (0, ""))
