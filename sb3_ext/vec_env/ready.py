"""Single rows of a VecEnv through its wrappers, in whatever order they are ready."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecEnvWrapper,
    VecNormalize,
    VecTransposeImage,
)

from sb3_ext.vec_env.episode_log import EpisodeLog
from sb3_ext.vec_env.rows import RowVecNormalize, active_rows, learn_and_normalize
from sb3_ext.vec_env.shared_memory import Ready, SharedMemoryVecEnv

__all__ = ["ReadyRows"]


class ReadyRows:
    """``send`` and ``recv`` of a :class:`SharedMemoryVecEnv`, seen through the wrappers around it.

    Args:
        env: The outermost wrapper.

    Raises:
        ValueError: At the bottom is another env, or in between a wrapper that steps all rows at
            once; it says which.
    """

    def __init__(self, env: VecEnv) -> None:
        self._through: list[Callable[[Ready], Ready]] = []
        mask = active_rows(env)
        everybody = np.ones(env.num_envs, bool)
        self._present = (lambda: everybody) if mask is None else mask
        while isinstance(env, VecEnvWrapper):
            through = _THROUGH.get(type(env))
            if through is None:
                raise ValueError(
                    f"min_inference_size: {type(env).__name__} steps all rows at once; without it, "
                    "or without min_inference_size"
                )
            self._through.insert(0, through(env, self))
            env = env.venv
        if not isinstance(env, SharedMemoryVecEnv):
            raise ValueError(
                f"min_inference_size: the rows of a {type(env).__name__} step together; it needs a "
                "SharedMemoryVecEnv (--vec-env shm)"
            )
        self._env = env
        self.acted = self._present().copy()

    def send(self, rows: NDArray[np.intp], actions: NDArray) -> None:
        """Lets rows act; ``actions [m, ...]``."""
        self.acted[rows] = self._present()[rows]
        self._env.send(rows, actions)

    def recv(self, min_rows: int) -> Ready:
        """At least so many of the rows that have been sent, stepped."""
        ready = self._env.recv(min_rows)
        for through in self._through:
            ready = through(ready)
        return ready

    def present(self, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether somebody is to act on the newest observations of rows that aren't under way."""
        return self._present()[rows]

    def fitting(
        self, rows: NDArray[np.intp], active: NDArray[np.bool_], room: int
    ) -> NDArray[np.intp]:
        """Those rows that may act when only so many transitions are wanted: whole envs.

        Args:
            rows: ``[m]`` of n.
            active: ``[n]``, rows whose step is a transition.
            room: How many transitions are wanted.
        """
        if np.count_nonzero(active[rows]) <= room:
            return rows if room else rows[:0]
        chosen = []
        envs = self._env.env_of_row[rows]
        for env in np.unique(envs):
            own = rows[envs == env]
            needed = int(np.count_nonzero(active[own]))
            if needed <= room:
                room -= needed
                chosen.append(own)
        return np.concatenate([rows[:0], *chosen])


def _normalized(normalizer: Any, rows: ReadyRows) -> Callable[[Ready], Ready]:
    def through(ready: Ready) -> Ready:
        acted, present = rows.acted[ready.rows], rows.present(ready.rows)
        obs, rewards = learn_and_normalize(normalizer, *ready, acted, present)
        return ready._replace(observations=obs, rewards=rewards)

    return through


def _logged(log: Any, rows: ReadyRows) -> Callable[[Ready], Ready]:
    def through(ready: Ready) -> Ready:
        log.write(ready.dones, ready.infos)
        return ready

    return through


def _transposed(transposer: Any, rows: ReadyRows) -> Callable[[Ready], Ready]:
    def through(ready: Ready) -> Ready:
        for row in np.flatnonzero(ready.dones):
            end = ready.infos[row]["terminal_observation"]
            ready.infos[row]["terminal_observation"] = transposer.transpose_observations(end)
        return ready._replace(observations=transposer.transpose_observations(ready.observations))

    return through


# By exactly their class: a derived one may do more.
_THROUGH: dict[type, Callable[[Any, ReadyRows], Callable[[Ready], Ready]]] = {
    EpisodeLog: _logged,
    RowVecNormalize: _normalized,
    VecNormalize: _normalized,
    VecTransposeImage: _transposed,
}
