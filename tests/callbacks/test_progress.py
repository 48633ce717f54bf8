"""Progress is a bar on a terminal and plain lines elsewhere."""

import contextlib
import fcntl
import io
import os
import pty
import struct
import termios

from stable_baselines3 import PPO

from callbacks import ProgressCallback


def test_lines(model: PPO) -> None:
    stream = io.StringIO()
    model.learn(512, callback=ProgressCallback(stream, seconds_between_lines=0.0))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 512
    assert "512 / 512 steps (100%)" in lines[-1]
    assert "steps/s" in lines[-1]
    assert "mean return" in lines[-1]
    assert "no episode ended yet" in lines[0]


def test_the_last_line_comes_even_when_time_is_short(model: PPO) -> None:
    stream = io.StringIO()
    model.learn(128, callback=ProgressCallback(stream, seconds_between_lines=1e9))
    assert len(stream.getvalue().splitlines()) == 1


def test_bar_on_a_terminal(model: PPO) -> None:
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("4H", 24, 120, 0, 0))
    with os.fdopen(child, "w") as terminal:
        callback = ProgressCallback(terminal)
        assert callback.bar
        model.learn(256, callback=callback)
    shown = ""
    with contextlib.suppress(OSError):  # how a closed terminal ends
        while chunk := os.read(parent, 4096):
            shown += chunk.decode()
    os.close(parent)
    assert "100%" in shown
    assert "mean return" in shown
