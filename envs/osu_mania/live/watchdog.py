"""A process that lifts the keys when the agent can't: it has died, hangs, or is told to stop.

A key that was injected stays down when its injector is killed. So the agent tells a second process
at every step that it's well. That process releases the columns' keys when the agent's end of the
pipe closes, whatever closed it, and when nothing was heard for 250 ms while keys might be down. It
also watches for the panic key, all the time and however busy the agent is.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from envs.osu_mania.live.desktop import Keyboard, open_keyboard
from envs.osu_mania.live.errors import LiveError

SILENCE = 0.25
"""For how long an agent that may hold keys can be silent, s."""

_PLAYING, _RESTING = b"+", b"-"
_READY, _PANIC = b"r", b"p"
_LOOK = 0.02  # s, between two looks at the keyboard
_FAREWELL = 0.2  # s, for which keys are still released when the agent is gone


class Watchdog:
    """The agent's side of the process.

    Args:
        keys: The columns' keys.
        panic_key: See `desktop.PANIC_KEYS`.

    Raises:
        LiveError: The process doesn't start.
    """

    def __init__(self, keys: Sequence[str], panic_key: str) -> None:
        command = [sys.executable, "-m", "envs.osu_mania.live.watchdog", "--panic-key", panic_key]
        # A session of its own: Ctrl-C on the agent's terminal is not meant for it.
        self._process = subprocess.Popen(
            [*command, *keys],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": _python_path()},
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._pipe, self._answers = self._process.stdin, self._process.stdout
        self.panicked = self._gone = False
        self._listener = threading.Thread(target=self._listen, name="watchdog", daemon=True)
        if self._answers.read(1) != _READY:
            self.close()
            raise LiveError("the watchdog did not start, and without it no key is pressed")
        self._listener.start()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def is_well(self) -> bool:
        """Whether the process runs and saw no panic key so far."""
        return not self.panicked and not self._gone

    def beat(self) -> bool:
        """Says that the agent is well and may hold keys. False: nobody hears it."""
        return self._tell(_PLAYING)

    def rest(self) -> bool:
        """Has all keys released; until the next beat silence is right. Safe in signal handlers."""
        return self._tell(_RESTING)

    def close(self) -> None:
        """Ends the process, which releases all keys once more."""
        self._pipe.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:  # pragma: no cover
            self._process.kill()
            self._process.wait()
        if self._listener.is_alive():
            self._listener.join()
        self._answers.close()

    def _listen(self) -> None:
        """A thread of its own, as pipes can't be looked into everywhere."""
        while answer := self._answers.read(1):
            self.panicked |= answer == _PANIC
        self._gone = True

    def _tell(self, word: bytes) -> bool:
        try:
            os.write(self._pipe.fileno(), word)
        except (OSError, ValueError):  # it's gone, or was closed
            return False
        return True


def _python_path() -> str:
    """With the folder that this package is in, wherever the agent was started."""
    here = str(Path(__file__).resolve().parents[3])
    return os.pathsep.join(filter(None, (here, os.environ.get("PYTHONPATH"))))


def watch(keyboard: Keyboard, panic_key: str, words: IO[bytes], answers: IO[bytes]) -> None:
    """The process's own life.

    Args:
        keyboard: Of the columns' keys.
        panic_key: The key that stops the agent.
        words: What the agent says.
        answers: What it's told.
    """
    playing, heard = False, time.monotonic()
    panicked, agent = False, os.getppid()
    said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(words, said), daemon=True).start()
    answers.write(_READY)
    while os.getppid() == agent:  # a child of a dead agent may still hold its end of the pipe
        with contextlib.suppress(queue.Empty):
            word = said.get(timeout=_LOOK)
            if not word:
                break
            heard, playing = time.monotonic(), word.endswith(_PLAYING)
            if not playing:
                release_all(keyboard)
        if not panicked and keyboard.is_down(panic_key):
            panicked = True
            with contextlib.suppress(OSError):  # first, so that the agent presses nothing after it
                answers.write(_PANIC)
            release_all(keyboard)
        if playing and (panicked or time.monotonic() - heard > SILENCE):
            release_all(keyboard)
    # What the agent sent to the desktop just before its end may still come.
    until = time.monotonic() + _FAREWELL
    while time.monotonic() < until:
        release_all(keyboard)
        time.sleep(0.005)


def _listen(words: IO[bytes], said: queue.SimpleQueue[bytes]) -> None:
    """Passes on what the agent says; nothing at the end."""
    word = b"?"
    while word:
        word = os.read(words.fileno(), 4096)
        said.put(word)


def release_all(keyboard: Keyboard) -> None:
    """Releases the columns' keys that are down."""
    for key in keyboard.down():
        keyboard.release(key)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the process; its words come from standard input, its answers go to standard output."""
    parser = argparse.ArgumentParser(prog="watchdog", description="Releases keys.")
    parser.add_argument("keys", nargs="+")
    parser.add_argument("--panic-key", required=True)
    args = parser.parse_args(argv)
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, name):  # it ends when the agent does, and not before
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    try:
        keyboard = open_keyboard(args.keys)
    except (LiveError, ImportError) as error:
        print(f"watchdog: {error}", file=sys.stderr)
        return 2
    words = os.fdopen(0, "rb", buffering=0)
    answers = os.fdopen(1, "wb", buffering=0)
    try:
        watch(keyboard, args.panic_key, words, answers)
    except BrokenPipeError:  # the agent ended while it was told something
        release_all(keyboard)
    return 0


if __name__ == "__main__":
    sys.exit(main())
