"""One monitor.csv for a whole VecEnv, whatever stands below it."""

from __future__ import annotations

import os
import time
from typing import Any

import numpy as np
from stable_baselines3.common.monitor import ResultsWriter
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn


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
        if path is not None:
            self.open(path)

    def open(self, path: str | os.PathLike[str]) -> None:
        """Starts writing to a file; an existing one is replaced."""
        header: dict[str, float | str] = {"t_start": time.time()}
        self._writer = ResultsWriter(os.fspath(path), header, extra_keys=self._columns[3:])

    def reset(self) -> VecEnvObs:
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        observations, rewards, dones, infos = self.venv.step_wait()
        if self._writer is not None:
            for row in np.flatnonzero(dones):
                episode: dict[str, Any] | None = infos[row].get("episode")
                if episode is not None:
                    self._writer.write_row({key: episode[key] for key in self._columns})
        return observations, rewards, dones, infos

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        super().close()
