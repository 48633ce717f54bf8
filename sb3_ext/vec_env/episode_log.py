"""One monitor.csv for a whole VecEnv, whatever stands below it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from stable_baselines3.common.monitor import ResultsWriter
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


class Position(NamedTuple):
    """How far a monitor.csv has come.

    Attributes:
        size: Of the file, in bytes.
        seconds: Since it was opened, on the clock that its rows tell.
    """

    size: int
    seconds: float


class EpisodeLog(VecEnvWrapper):
    """Writes each finished episode's ``info["episode"]`` as a row of SB3's monitor format.

    Args:
        venv: A VecEnv whose infos carry episode statistics (Monitor-wrapped envs, VecMonitor or
            :class:`~sb3_ext.vec_env.GymnasiumVecEnv`).
        path: The file to write, ending in ``monitor.csv``; None writes nothing (an evaluation
            env, which must be wrapped like the training env).
        info_keywords: Further keys of ``info["episode"]`` to log, as Monitor has them.
    """

    def __init__(
        self,
        venv: VecEnv,
        path: str | os.PathLike[str] | None = None,
        info_keywords: tuple[str, ...] = (),
    ) -> None:
        super().__init__(venv)
        self._columns = ("r", "l", "t", *info_keywords)
        self._writer: ResultsWriter | None = None
        self._start = 0.0
        if path is not None:
            self.open(path)

    def open(self, path: str | os.PathLike[str]) -> None:
        """Starts writing to a file; an existing one is replaced."""
        self._start = time.time()
        header: dict[str, float | str] = {"t_start": self._start}
        self._writer = ResultsWriter(os.fspath(path), header, extra_keys=self._columns[3:])

    def go_on(self, path: str | os.PathLike[str], position: Position) -> None:
        """Goes on writing to a file; what was written after this position is cut off.

        The time in between counts as none. A file that is missing or has lost its end begins anew,
        or with the last whole row that there is.
        """
        file = Path(path)
        written = file.read_bytes()[: position.size] if file.is_file() else b""
        if written.count(b"\n") < 2:  # not even the two lines of its head
            self.open(path)
        else:
            os.truncate(file, written.rfind(b"\n") + 1)
            keys = self._columns[3:]
            self._writer = ResultsWriter(os.fspath(path), extra_keys=keys, override_existing=False)
        self._start = time.time() - position.seconds

    @property
    def position(self) -> Position | None:
        """How far the file has come; None if none is written."""
        if self._writer is None:
            return None
        size = os.fstat(self._writer.file_handler.fileno()).st_size
        return Position(size, time.time() - self._start)

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        self.write(dones, infos)
        return observations, rewards, dones, infos

    def write(self, dones: np.ndarray, infos: list[dict[str, Any]]) -> None:
        """Writes the episodes that some rows have ended, ``dones [m]`` and m infos."""
        if self._writer is None:
            return
        for row in np.flatnonzero(dones):
            episode: dict[str, Any] | None = infos[row].get("episode")
            if episode is not None:
                # One clock for all rows, whichever process they are in and whenever it began.
                seconds = round(time.time() - self._start, 6)
                told = episode | {"t": seconds}
                self._writer.write_row({key: told[key] for key in self._columns})

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        super().close()
