"""What watches a run is not broken by what breaks the run off."""

import signal
from pathlib import Path

import pytest

from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.observers import _TensorBoard


def test_a_signal_does_not_break_off_what_tensorboard_is_told(tmp_path: Path) -> None:
    told = []
    with Interruption() as interruption:
        board = _TensorBoard(tmp_path, None, interruption)
        write = board.writer.add_scalar

        def interrupted(key: str, *args: float) -> None:
            signal.raise_signal(signal.SIGTERM)
            write(key, *args)
            told.append(key)

        board.writer.add_scalar = interrupted
        with pytest.raises(KeyboardInterrupt), interruption.answering():
            board.write({"a": 1.0, "b": 2.0}, {"a": ("",), "b": ("",)}, step=1)
            pytest.fail("it is answered afterwards")
        board.close()
    assert told == ["a", "b"]
