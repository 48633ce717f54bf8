"""The command line, run in a folder of its own."""

import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sb3_ext.zoo.cli import main
from sb3_ext.zoo.interruption import SIGNALS


@dataclass
class Result:
    """What a command answered."""

    code: int
    out: str
    err: str


Zoo = Callable[..., Result]


@pytest.fixture(autouse=True)
def _answers_ctrl_c() -> Iterator[None]:
    """A shell's background jobs, and what they start, ignore SIGINT; the zoo respects that.

    An interrupted command leaves all its signals ignored, which other processes would inherit.
    """
    before = {number: signal.getsignal(number) for number in SIGNALS}
    if before[signal.SIGINT] is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def zoo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Zoo:
    """Runs ``zoo.py`` with these arguments in an empty folder, inside this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)

    def run(*arguments: object) -> Result:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Result(code, captured.out, captured.err)

    return run
