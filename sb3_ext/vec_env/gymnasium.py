"""Any Gymnasium vector environment as a stable-baselines3 ``VecEnv``.

SB3 expects that a finished row is reset within the step that ends it. Gymnasium knows three
autoreset modes and only one of them (``SAME_STEP``) is that; ``GymnasiumVecEnv`` turns the
other two into it, see the class for what is exact and what cannot be.
"""

import time
import warnings
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.vector import (
    AsyncVectorEnv,
    AutoresetMode,
    SyncVectorEnv,
    VectorEnv,
    VectorObservationWrapper,
    VectorWrapper,
)
from gymnasium.wrappers.vector import NormalizeObservation, NormalizeReward
from stable_baselines3.common.env_util import is_wrapped
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import (
    VecEnvIndices,
    VecEnvObs,
    VecEnvStepReturn,
)

from sb3_ext.vec_env.infos import ends_of, rows_of, scatter
from sb3_ext.vec_env.rows import refuse_unless

_PLAIN_SPACES = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


class GymnasiumVecEnv(VecEnv):
    """A Gymnasium ``VectorEnv`` behind SB3's ``VecEnv`` interface.

    What a row's end looks like, by the vector env's ``metadata["autoreset_mode"]``:

    * ``SAME_STEP``: already SB3's form; the ended episode's last observation and info come from
      ``infos["final_obs"]`` and ``infos["final_info"]``.
    * ``DISABLED``, and ``NEXT_STEP`` on Gymnasium's own ``SyncVectorEnv``/``AsyncVectorEnv``:
      ended rows are reset at once through ``reset(options={"reset_mask": mask})``.
    * Any other ``NEXT_STEP`` engine resets in a step of its own, which a lockstep ``VecEnv``
      cannot skip. ``done`` is then delivered one step late: step k returns the terminal
      observation with its reward and ``done=False``; step k + 1 (its action is ignored, its
      reward 0) returns ``done=True``. The extra transition says that a terminal state is worth
      0, which is true; that a truncated state is worth ``gamma`` times its own value, which is
      a bias of ``1 - gamma``. So is a wrapper handled that defines its own ``reset``
      (``RecordEpisodeStatistics``, ...): those forget or refuse the mask.

    Every row counts as monitored: ``infos[i]["episode"]`` holds ``Monitor``'s ``r``, ``l``,
    ``t`` of the real steps when an episode ends, so ``Monitor`` and ``VecMonitor`` are not
    needed. Nothing that is returned shares memory with the vector env.

    Args:
        vector_env: The vector env, wrapped or not; its observation space is a Box, Discrete,
            MultiDiscrete, MultiBinary or a flat Dict of them.

    Attributes:
        vector_env: The vector env that was passed in.
        exact: Whether transitions equal those of SB3's ``DummyVecEnv``; False only in the
            late form above.

    Raises:
        TypeError: ``vector_env`` is not a Gymnasium ``VectorEnv``, or a space isn't SB3's.
        ValueError: A wrapper that cannot be combined with masked resets, in mode ``DISABLED``.
    """

    def __init__(self, vector_env: VectorEnv) -> None:
        if not isinstance(vector_env, VectorEnv):
            raise TypeError(
                f"GymnasiumVecEnv needs a gymnasium.vector.VectorEnv, got {type(vector_env)}; "
                "a single env goes into SyncVectorEnv([lambda: env]) first"
            )
        self.vector_env = vector_env
        self._layers: list[VectorEnv] = [vector_env]
        while isinstance(layer := self._layers[-1], VectorWrapper):
            self._layers.append(layer.env)
        self._base = self._layers[-1]
        observation_space = vector_env.single_observation_space
        check_spaces(observation_space, vector_env.single_action_space)
        super().__init__(vector_env.num_envs, observation_space, vector_env.single_action_space)
        self.metadata = dict(vector_env.metadata)

        mode = self._autoreset_mode()
        self._same_step = mode is AutoresetMode.SAME_STEP
        self.exact = mode is not AutoresetMode.NEXT_STEP or self._mask_clears_autoreset()
        if mode is AutoresetMode.DISABLED:
            self._refuse_normalizers()
        # These two hand out copies already; anything else might reuse its buffers.
        copied = isinstance(vector_env, SyncVectorEnv | AsyncVectorEnv) and vector_env.copy
        self._take = np.asarray if copied else np.array

        n = self.num_envs
        self._actions: np.ndarray = np.empty(0)
        self._closed = False
        self._start_time = time.time()
        self._returns = np.zeros(n)
        self._lengths = np.zeros(n, dtype=np.int64)
        self._late_dones = np.zeros(n, dtype=bool)
        self._late_ends: dict[int, tuple[dict[str, Any], Any, bool]] = {}
        self.may_be_inactive = bool(getattr(self._base, "may_be_inactive", False))
        self._acted: np.ndarray | None = None  # rows in which somebody does, if not in all
        self._is_asked = False

    # Stepping

    def reset(self) -> VecEnvObs:
        """Reset every row and return the observations, ``[n_envs, ...]`` (a dict of such)."""
        # A vector env that is given one int seeds row i with seed + i, as SB3 lists them.
        seed = None if self._seeds[0] is None else int(self._seeds[0])
        options = deepcopy(self._options[0]) or None
        obs, infos = self.vector_env.reset(seed=seed, options=options)
        self.reset_infos = self._rows_of(infos)
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0.0
        self._lengths[:] = 0
        self._acted = None
        self._late_dones[:] = False
        self._late_ends.clear()
        return self._own(obs)

    def active_rows(self) -> np.ndarray:
        """Rows on whose newest observation somebody must act, bool ``[n_envs]``."""
        self._is_asked = True
        return self.present_rows()

    def present_rows(self) -> np.ndarray:
        """The same for those who only look: they needn't leave the others out."""
        if not self.may_be_inactive:
            return np.ones(self.num_envs, dtype=bool)
        base: Any = self._base
        return base.active_rows()

    def step_async(self, actions: np.ndarray) -> None:
        """Take the next step's actions, ``[n_envs, ...]``; ``step_wait`` steps.

        Raises:
            UnknownMaskError: Rows may be inactive, and nobody has ever asked which are.
        """
        if self.may_be_inactive:
            refuse_unless(self._is_asked)
            self._acted = self.active_rows()
        self._actions = np.asarray(actions, dtype=self.action_space.dtype)

    def step_wait(self) -> VecEnvStepReturn:
        """Step every row.

        Returns:
            Observations ``[n_envs, ...]``, rewards ``[n_envs]`` in float32, dones ``[n_envs]``
            and a list of one info dict per row.
        """
        obs, rewards, terminated, truncated, infos = self.vector_env.step(self._actions)
        obs = self._own(obs)
        rewards = np.asarray(rewards)
        ended = np.logical_or(terminated, truncated)
        if not self.exact:
            timed_out = np.logical_and(truncated, np.logical_not(terminated))
            return self._step_late(obs, rewards, ended, timed_out, self._rows_of(infos))
        self._returns += rewards
        self._lengths += 1 if self._acted is None else self._acted
        if not np.count_nonzero(ended):  # any() takes ten times as long
            return obs, rewards.astype(np.float32), ended, self._rows_of(infos)
        timed_out = np.logical_and(truncated, np.logical_not(terminated))
        if self._same_step:
            row_infos, terminal_obs = self._final_rows(infos, np.flatnonzero(ended))
        else:
            row_infos = self._rows_of(infos)
            terminal_obs = {i: _row(obs, i) for i in np.flatnonzero(ended).tolist()}
            self._reset_rows(ended, obs)
        for i, row_obs in terminal_obs.items():
            self._finish(i, row_infos[i], row_obs, bool(timed_out[i]))
        return obs, rewards.astype(np.float32), ended, row_infos

    def _step_late(
        self,
        obs: Any,
        rewards: np.ndarray,
        ended: np.ndarray,
        timed_out: np.ndarray,
        row_infos: list[dict[str, Any]],
    ) -> VecEnvStepReturn:
        """Deliver the dones of the step before; keep this step's for the next one."""
        dones = self._late_dones
        rewards = np.where(dones, 0.0, rewards)
        self._returns += rewards
        self._lengths += ~dones
        for i, (info, terminal_obs, row_timed_out) in self._late_ends.items():
            # What the engine says at its reset step belongs to the new episode.
            self.reset_infos[i], row_infos[i] = row_infos[i], info
            self._finish(i, info, terminal_obs, row_timed_out)
        self._late_ends.clear()
        for i in np.flatnonzero(ended).tolist():
            # SB3 counts an "episode" wherever it sees one: a wrapper's would be the second.
            row_infos[i].pop("episode", None)
            self._late_ends[i] = (dict(row_infos[i]), _row(obs, i), bool(timed_out[i]))
        self._late_dones = ended
        return obs, rewards.astype(np.float32), dones, row_infos

    def _final_rows(
        self, infos: dict[str, Any], ended: np.ndarray
    ) -> tuple[list[dict[str, Any]], dict[int, Any]]:
        """Split a SAME_STEP step's infos into the ended episodes' and the new ones'."""
        row_infos = self._rows_of(infos)
        terminal_obs = {}
        for i, (last_obs, last_info) in ends_of(infos, ended, self.num_envs).items():
            terminal_obs[i] = last_obs
            self.reset_infos[i], row_infos[i] = row_infos[i], last_info
        return row_infos, terminal_obs

    def _reset_rows(self, ended: np.ndarray, obs: Any) -> None:
        """Reset the rows of the mask ``[n_envs]`` and put their first observations into obs."""
        first, infos = self.vector_env.reset(options={"reset_mask": ended.copy()})
        if isinstance(obs, dict):
            for key, value in obs.items():
                value[ended] = first[key][ended]
        else:
            obs[ended] = first[ended]
        rows = np.flatnonzero(ended)
        reset_infos: dict[int, dict[str, Any]] = {i: {} for i in rows.tolist()}
        scatter(infos, reset_infos, rows, self.num_envs)
        for i, info in reset_infos.items():
            self.reset_infos[i] = info

    def _finish(self, i: int, info: dict[str, Any], terminal_obs: Any, timed_out: bool) -> None:
        """Write what SB3 reads at an episode's end into the row's info; start the next."""
        info["TimeLimit.truncated"] = timed_out
        info["terminal_observation"] = terminal_obs
        info["episode"] = {
            "r": round(float(self._returns[i]), 6),
            "l": int(self._lengths[i]),
            "t": round(time.time() - self._start_time, 6),
        }
        self._returns[i] = 0.0
        self._lengths[i] = 0

    # Going on elsewhere

    def snapshot(self) -> dict[str, Any] | None:
        """All rows' episodes under way, or None if the vector env can't tell them.

        One that can has ``snapshot()`` and ``restore(snapshot)``, and no wrapper around it.
        """
        if self._base is not self.vector_env or not hasattr(self._base, "snapshot"):
            return None
        told = self._base.snapshot()
        if told is None:
            return None
        return {
            "vector_env": told,
            "returns": self._returns.copy(),
            "lengths": self._lengths.copy(),
            "late_dones": self._late_dones.copy(),
            "late_ends": deepcopy(self._late_ends),
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go on within the episodes of :meth:`snapshot`, in this process or in another."""
        base: Any = self._base
        base.restore(snapshot["vector_env"])
        self._returns, self._lengths = snapshot["returns"].copy(), snapshot["lengths"].copy()
        self._late_dones = snapshot["late_dones"].copy()
        self._late_ends = deepcopy(snapshot["late_ends"])

    # Autoreset

    def _autoreset_mode(self) -> AutoresetMode:
        for layer in self._layers:
            if "autoreset_mode" in (layer.metadata or {}):
                return AutoresetMode(layer.metadata["autoreset_mode"])
        warnings.warn(
            f'{self._base} has no metadata["autoreset_mode"]: assuming NEXT_STEP, Gymnasium\'s '
            "default. If that is wrong, so are the episodes: set it to an AutoresetMode",
            stacklevel=3,
        )
        return AutoresetMode.NEXT_STEP

    def _mask_clears_autoreset(self) -> bool:
        """Whether a masked reset also cancels the reset that NEXT_STEP has in store."""
        # A wrapper with a reset of its own forgets its state of every row, or refuses the mask.
        passed_on = (VectorWrapper.reset, VectorObservationWrapper.reset)
        if any(type(layer).reset not in passed_on for layer in self._layers[:-1]):
            return False
        if isinstance(self._base, AsyncVectorEnv):
            # Gymnasium's worker clears its flag only where it writes to shared memory.
            return self._base.shared_memory and self._base.worker is None
        return isinstance(self._base, SyncVectorEnv)

    def _refuse_normalizers(self) -> None:
        for layer in self._layers:
            if isinstance(layer, NormalizeObservation | NormalizeReward):
                raise ValueError(
                    f"{type(layer).__name__} cannot reset single rows, which autoreset mode "
                    "DISABLED needs: use SB3's VecNormalize around GymnasiumVecEnv"
                )

    # Observations and infos

    def _own(self, obs: Any) -> Any:
        """Observations ``[n_envs, ...]`` in the space's dtype, in memory of our own."""
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return {k: self._take(obs[k], dtype=sub.dtype) for k, sub in space.spaces.items()}
        return self._take(obs, dtype=space.dtype)

    def _rows_of(self, infos: dict[str, Any]) -> list[dict[str, Any]]:
        return rows_of(infos, self.num_envs)

    # Seeds, options, attributes

    def set_options(self, options: list[dict] | dict | None = None) -> None:
        """Set the options of the next reset; a vector env takes the same for all rows.

        Raises:
            ValueError: The rows' options differ, or they hold a ``reset_mask``.
        """
        rows = options if isinstance(options, list) else [options or {}]
        if any(row != rows[0] for row in rows):
            raise ValueError("a Gymnasium vector env takes one set of options for all its rows")
        if "reset_mask" in rows[0]:
            raise ValueError("reset() resets every row: `reset_mask` is not an option here")
        super().set_options(rows[0])

    def has_attr(self, attr_name: str) -> bool:
        """Whether every row has the attribute."""
        if isinstance(self._base, AsyncVectorEnv) and attr_name != "render_mode":
            # Asking is safe; getting what is missing would end the worker.
            rows = list(range(self.num_envs))
            return all(self._ask_workers(rows, "_call", ("has_wrapper_attr", (attr_name,), {})))
        return super().has_attr(attr_name)

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Get an attribute per row: the sub-envs', or the vector env's own for every row.

        Raises:
            AttributeError: There is no such attribute.
        """
        rows = list(self._get_indices(indices))
        if attr_name == "render_mode":
            return [self.vector_env.render_mode for _ in rows]
        if isinstance(self._base, SyncVectorEnv):
            return [self._base.envs[i].get_wrapper_attr(attr_name) for i in rows]
        if isinstance(self._base, AsyncVectorEnv):
            if not self.has_attr(attr_name):
                raise AttributeError(f"the sub-envs of {self._base} have no {attr_name!r}")
            # Through get_wrapper_attr, since Gymnasium's own would call what is callable.
            return self._ask_workers(rows, "_call", ("get_wrapper_attr", (attr_name,), {}))
        return [getattr(self._layer_with(attr_name), attr_name) for _ in rows]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Set an attribute of the sub-envs where they have it, or of the vector env itself.

        Raises:
            ValueError: Some rows only, of a vector env without sub-envs.
        """
        rows = list(self._get_indices(indices))
        if isinstance(self._base, SyncVectorEnv):
            for i in rows:
                self._base.envs[i].set_wrapper_attr(attr_name, value)
        elif isinstance(self._base, AsyncVectorEnv):
            self._ask_workers(rows, "_setattr", (attr_name, value))
        else:
            self._refuse_some_rows(rows, f"attribute {attr_name!r}")
            known = any(hasattr(layer, attr_name) for layer in self._layers)
            setattr(self._layer_with(attr_name) if known else self._base, attr_name, value)

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs
    ) -> list[Any]:
        """Call a method of the sub-envs, or the vector env's own once for all rows.

        Raises:
            AttributeError: There is no such method.
            ValueError: Without sub-envs: some rows only, or an answer that is neither None nor
                one entry per row.
        """
        rows = list(self._get_indices(indices))
        if isinstance(self._base, SyncVectorEnv):
            methods = [self._base.envs[i].get_wrapper_attr(method_name) for i in rows]
            return [method(*method_args, **method_kwargs) for method in methods]
        if isinstance(self._base, AsyncVectorEnv):
            if not self.has_attr(method_name):
                raise AttributeError(f"the sub-envs of {self._base} have no {method_name!r}")
            return self._ask_workers(rows, "_call", (method_name, method_args, method_kwargs))
        self._refuse_some_rows(rows, f"method {method_name!r}")
        answer = getattr(self._layer_with(method_name), method_name)(*method_args, **method_kwargs)
        if answer is None:
            return [None] * len(rows)
        if not isinstance(answer, list | tuple | np.ndarray) or len(answer) != self.num_envs:
            raise ValueError(
                f"{method_name!r} of {self._base} answered {type(answer)}, not one entry per "
                f"row; call it on `vector_env` itself"
            )
        return [answer[i] for i in rows]

    def env_is_wrapped(
        self, wrapper_class: type[gym.Wrapper], indices: VecEnvIndices = None
    ) -> list[bool]:
        """Whether the rows' envs have this wrapper; always so for ``Monitor``."""
        rows = list(self._get_indices(indices))
        if wrapper_class is Monitor or not isinstance(self._base, SyncVectorEnv):
            return [wrapper_class is Monitor for _ in rows]
        return [is_wrapped(self._base.envs[i], wrapper_class) for i in rows]

    def _layer_with(self, attr_name: str) -> VectorEnv:
        for layer in self._layers:
            if hasattr(layer, attr_name):
                return layer
        raise AttributeError(f"{self._base} has no attribute {attr_name!r}")

    def _refuse_some_rows(self, rows: list[int], what: str) -> None:
        if len(set(rows)) != self.num_envs:
            raise ValueError(
                f"{what} of {self._base} belongs to all {self.num_envs} rows, it has no sub-envs: "
                f"leave out `indices` (got {rows})"
            )

    def _ask_workers(self, rows: Sequence[int], command: str, data: tuple) -> list[Any]:
        # AsyncVectorEnv.call asks every worker; a method with effects must reach these only.
        env = self._base
        assert isinstance(env, AsyncVectorEnv)
        env._assert_is_running()
        for i in rows:
            env.parent_pipes[i].send((command, data))
        answers = [env.parent_pipes[i].recv() for i in rows]
        succeeded = [True] * self.num_envs
        for i, (_, success) in zip(rows, answers, strict=True):
            succeeded[i] = succeeded[i] and success
        env._raise_if_errors(succeeded)
        return [answer for answer, _ in answers]

    # Rendering and the end

    def get_images(self) -> Sequence[np.ndarray | None]:
        """The rows' frames, ``[height, width, 3]`` each; None without ``rgb_array``."""
        if self.render_mode != "rgb_array":
            warnings.warn(
                f"images need render_mode 'rgb_array', this one is {self.render_mode!r}",
                stacklevel=2,
            )
            return [None] * self.num_envs
        frames: Any = self.vector_env.render()
        return list(frames)

    def render(self, mode: str | None = None) -> np.ndarray | None:
        """Let a ``human`` vector env draw itself; else SB3's picture of all rows, tiled."""
        if self.render_mode == "human" and mode in (None, "human"):
            self.vector_env.render()
            return None
        return super().render(mode)

    def close(self) -> None:
        """Close the vector env; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self.vector_env.close()


def _row(obs: Any, i: int) -> Any:
    """A copy of row i of observations ``[n_envs, ...]``."""
    if isinstance(obs, dict):
        return {key: value[i].copy() for key, value in obs.items()}
    return obs[i].copy()


def check_spaces(observation_space: spaces.Space, action_space: spaces.Space) -> None:
    """Refuse spaces that stable-baselines3 doesn't know.

    Raises:
        TypeError: It names the space.
    """
    named = {"": observation_space}
    if isinstance(observation_space, spaces.Dict):
        named = {f" {key!r}": space for key, space in observation_space.spaces.items()}
    for name, space in named.items():
        if not isinstance(space, _PLAIN_SPACES):
            raise TypeError(
                f"stable-baselines3 has no {type(space).__name__} observations{name}: use Box, "
                "Discrete, MultiDiscrete, MultiBinary or a flat Dict of them"
            )
    if not isinstance(action_space, _PLAIN_SPACES):
        raise TypeError(
            f"stable-baselines3 has no {type(action_space).__name__} actions: use Box, Discrete, "
            "MultiDiscrete or MultiBinary"
        )
