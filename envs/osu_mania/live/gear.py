"""What live play has in use: the screen, the windows, the keys, the game's state."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

from filelock import FileLock, Timeout

from envs.osu_mania.live.capture import Capture
from envs.osu_mania.live.desktop import open_windows
from envs.osu_mania.live.errors import LiveError
from envs.osu_mania.live.hands import Hands
from envs.osu_mania.live.options import LiveOptions
from envs.osu_mania.live.readers import StateReader
from envs.osu_mania.live.refusals import HONEST_USE


class Gear:
    """Opens everything that live play uses.

    Args:
        options: The choices.

    Attributes:
        windows: The desktop's windows.
        capture: The screen.
        hands: The keys; None in a dry run.
        reader: The game's state.

    Raises:
        LiveError: Nobody said that the game is offline, another agent plays, or something that it
            takes isn't there.
    """

    def __init__(self, options: LiveOptions) -> None:
        if not options.offline:
            raise LiveError(
                f"{HONEST_USE} Say that this is so with offline=True (in the zoo: --offline)"
            )
        say(HONEST_USE)
        self.hands: Hands | None = None
        with contextlib.ExitStack() as stack:
            self.windows = open_windows()
            stack.callback(self.windows.close)
            self.capture = Capture(options.frame_size)
            stack.callback(self.capture.close)
            self.reader = StateReader(options.port, options.host, options.api, options.transport)
            stack.callback(self.reader.close)
            if options.live:
                stack.callback(_alone().release)
                self.hands = Hands(options.chosen_keys, options.panic_key, options.max_hold)
                stack.callback(self.hands.close)
            self._closing = stack.pop_all()
        if options.live:
            say(f"live: keys are pressed, and {options.panic_key} stops that")
        else:
            say("dry run: no key is pressed (live=True, in the zoo --live, presses them)")

    def close(self) -> None:
        """Releases all keys and gives everything back; may be called again."""
        self._closing.close()


def _alone() -> FileLock:
    """A lock for the keyboard: two agents would lift each other's keys."""
    display = "".join(c for c in os.environ.get("DISPLAY", "") if c.isalnum())
    lock = FileLock(Path(tempfile.gettempdir()) / f"osu-mania-live-{display}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise LiveError("another agent has the keyboard: only one can play at a time") from None
    return lock


def say(text: str) -> None:
    """Tells the user something."""
    print(text, file=sys.stderr, flush=True)
