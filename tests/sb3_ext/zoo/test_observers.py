"""What watches a run is not broken by what breaks the run off."""

import signal
from pathlib import Path

import pytest

from sb3_ext.zoo.interruption import Interruption
from sb3_ext.zoo.observers import _TensorBoard, evaluation_freq


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


@pytest.mark.parametrize(
    ("n_timesteps", "every"),
    [(5, 1), (1000, 100), (250_000, 25_000), (2_500_000, 25_000), (8_000_000, 80_000)],
)
def test_how_often_a_run_is_judged(n_timesteps: int, every: int) -> None:
    assert evaluation_freq(n_timesteps) == every
