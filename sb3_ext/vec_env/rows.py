"""Rows in which nobody may be: an agent that has left, or that this match doesn't have.

A VecEnv with such rows has ``may_be_inactive`` and ``active_rows()``, which tells for each row
whether somebody acts on its newest observation. What is in the others counts for nothing: not for a
loss, not for statistics, not as a step. ``present_rows()`` tells the same to wrappers, whose asking
says nothing of the algorithm above them.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecMonitor, VecNormalize
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

__all__ = [
    "RowVecNormalize",
    "UnknownMaskError",
    "active_rows",
    "learn_and_normalize",
    "refuse_unless",
]

Mask = Callable[[], NDArray[np.bool_]]


class UnknownMaskError(ValueError):
    """Somebody steps rows without asking in which of them anybody is."""


def refuse_unless(asked: bool) -> None:
    """What a VecEnv with such rows does at a step, unless ``active_rows()`` has been called.

    Raises:
        UnknownMaskError: It hasn't.
    """
    if not asked:
        raise UnknownMaskError(
            "rows of this env may be inactive (an agent leaves, or a match has fewer), and nobody "
            "asks active_rows() which: the algorithm would learn from rows in which nobody is. Use "
            "sb3_ext's PPO, or an env whose agents are always all there"
        )


def active_rows(env: VecEnv, *, asks: bool = True) -> Mask | None:
    """A function that tells which rows are active now, ``[n_envs]``; None: all of them, always.

    Args:
        env: The env, or the outermost wrapper around it.
        asks: Whether the caller is the algorithm, which leaves the others out; False: a wrapper,
            which only keeps them out of its own numbers.

    Raises:
        ValueError: A wrapper counts rows in which nobody is.
    """
    base: Any = env
    wrappers = []
    while isinstance(base, VecEnvWrapper) and not hasattr(type(base), "active_rows"):
        wrappers.append(base)
        base = base.venv
    if not getattr(base, "may_be_inactive", False):
        return None
    for wrapper in wrappers:
        if isinstance(wrapper, VecMonitor):
            raise ValueError(
                "VecMonitor counts steps of rows in which nobody is: leave it out, episodes are "
                "counted without it"
            )
        is_plain = isinstance(wrapper, VecNormalize) and not isinstance(wrapper, RowVecNormalize)
        if is_plain and wrapper.training:
            raise ValueError(
                "VecNormalize learns from rows in which nobody is: use "
                "sb3_ext.vec_env.RowVecNormalize"
            )
    return base.active_rows if asks else getattr(base, "present_rows", base.active_rows)


class RowVecNormalize(VecNormalize):
    """SB3's ``VecNormalize``, whose statistics leave out rows in which nobody is."""

    @classmethod
    def of(cls, normalizer: VecNormalize) -> "RowVecNormalize":
        """A ``VecNormalize`` as one of these."""
        made = cls.__new__(cls)
        vars(made).update(vars(normalizer))
        return made

    def reset(self) -> Any:
        obs: Any = self.venv.reset()
        self.old_obs = obs
        self.returns = np.zeros(self.num_envs)
        _learn_observations(self, obs, self._who())
        return self.normalize_obs(obs)

    def step_async(self, actions: NDArray) -> None:
        self._acted = self._who()
        super().step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        obs, rewards, dones, infos = self.venv.step_wait()
        everybody = np.arange(self.num_envs)
        obs, rewards = learn_and_normalize(
            self, everybody, obs, rewards, dones, infos, self._acted, self._who()
        )
        return obs, rewards, dones, infos

    def _who(self) -> NDArray[np.bool_]:
        mask = active_rows(self.venv, asks=False)
        return np.ones(self.num_envs, bool) if mask is None else mask()


def learn_and_normalize(
    normalizer: VecNormalize,
    rows: NDArray[np.intp],
    obs: Any,
    rewards: NDArray,
    dones: NDArray[np.bool_],
    infos: list[dict[str, Any]],
    acted: NDArray[np.bool_],
    present: NDArray[np.bool_],
) -> tuple[Any, NDArray[np.float32]]:
    """What ``VecNormalize.step_wait`` does, for some rows of n.

    Args:
        normalizer: Its statistics learn, if it's in training.
        rows: ``[m]``.
        obs: Their new observations, ``[m, ...]`` or a dict of such.
        rewards: ``[m]``.
        dones: ``[m]``.
        infos: m of them; terminal observations are normalized in place.
        acted: ``[m]``, whether somebody acted in the row: its reward counts.
        present: ``[m]``, whether somebody is to act on its new observation, which counts then.

    Returns:
        Observations and rewards, normalized.
    """
    normalizer.old_obs, normalizer.old_reward = obs, rewards
    _learn_observations(normalizer, obs, present)
    obs = normalizer.normalize_obs(obs)
    if normalizer.training:
        normalizer.returns[rows] = normalizer.returns[rows] * normalizer.gamma + rewards
        _learn(normalizer.ret_rms, normalizer.returns[rows], acted)
    rewards = normalizer.normalize_reward(rewards)
    for row in np.flatnonzero(dones):
        if "terminal_observation" in infos[row]:
            end = infos[row]["terminal_observation"]
            infos[row]["terminal_observation"] = normalizer.normalize_obs(end)
    normalizer.returns[rows[dones]] = 0
    return obs, rewards


def _learn_observations(normalizer: VecNormalize, obs: Any, counted: NDArray[np.bool_]) -> None:
    if not (normalizer.training and normalizer.norm_obs):
        return
    statistics: Any = normalizer.obs_rms
    if isinstance(statistics, dict):
        for key, each in statistics.items():
            _learn(each, obs[key], counted)
    else:
        _learn(statistics, obs, counted)


def _learn(statistics: RunningMeanStd, numbers: NDArray, counted: NDArray[np.bool_]) -> None:
    if counted.all():  # in the order and the memory in which VecNormalize adds them up
        statistics.update(numbers)
    elif counted.any():
        statistics.update(numbers[counted])
