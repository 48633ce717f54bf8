"""Worlds that are played live, in a window that is there: what is asked before, what can't be."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from gymnasium.envs.registration import EnvSpec

from sb3_ext.zoo import registry
from sb3_ext.zoo.errors import ZooError

NO_EVALUATION = "no evaluations: there is one window, and the agent that learns plays in it"


def plays_live(spec: EnvSpec) -> bool:
    """Whether a world is played live: its ``metadata["live"]``."""
    return bool(registry.metadata_of(spec).get("live"))


def live_kwargs(args: argparse.Namespace, spec: EnvSpec) -> dict[str, Any]:
    """What ``--live`` and ``--offline`` add to a world's arguments.

    On a terminal it asks for what ``--offline`` says, if nobody said it.

    Raises:
        ZooError: The world isn't played live.
    """
    live, offline = getattr(args, "live", False), getattr(args, "offline", False)
    if not plays_live(spec):
        if live or offline:
            flag = "--live" if live else "--offline"
            raise ZooError(f"{flag} is for worlds that are played live, and {spec.id} is none")
        return {}
    given = (args.env_kwargs or {}).get("offline", False)
    kwargs: dict[str, Any] = {}
    if live:
        kwargs["live"] = True
    if offline or (not given and _says_offline()):
        kwargs["offline"] = True
    return kwargs


def view_window(spec: EnvSpec) -> bool | None:
    """Whether a live view may open a window; None: where there is a display.

    Without a window manager it would take the focus from the game, and the agent would stop.
    """
    if not plays_live(spec) or not os.environ.get("DISPLAY"):
        return None
    from envs.osu_mania.live.x11 import has_window_manager

    return None if has_window_manager(os.environ["DISPLAY"]) else False


def live_threads(requested: int, spec: EnvSpec) -> int:
    """PyTorch threads: live it's one, as others spin while they wait, on the game's own cores.

    Args:
        requested: Threads; below 1 to choose them.
        spec: The world.
    """
    return 1 if requested < 1 and plays_live(spec) else requested


def _says_offline() -> bool:
    if not sys.stdin.isatty():
        return False  # the world says what is missing
    print(
        "This is for offline play: logged out, unranked, on your own machine; never online, in "
        "multiplayer or for leaderboards."
    )
    return input("Type 'offline' if that is so: ").strip().lower() == "offline"
