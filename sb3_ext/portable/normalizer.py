"""VecNormalize as plain numbers: its statistics and its options."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize

from sb3_ext.portable import strict
from sb3_ext.portable.errors import ModelFileError
from sb3_ext.portable.plain_spaces import describe_space, read_space

__all__ = ["Moments", "Normalizer"]

PREFIX = "normalizer."
_AT_LEAST_0 = strict.number(0.0)
_ABOVE_0 = strict.number(float(np.finfo(np.float64).tiny))
_OPTIONS: dict[str, strict.Reader] = {
    "norm_reward": strict.boolean,
    "clip_obs": _ABOVE_0,
    "clip_reward": _ABOVE_0,
    "gamma": strict.number(0.0, 1.0),
    "epsilon": _ABOVE_0,
}
_RETURNS: dict[str, strict.Reader] = {
    "mean": strict.number(),
    "var": _AT_LEAST_0,
    "count": _AT_LEAST_0,
}


class Moments(NamedTuple):
    """Running statistics: mean and variance of the observation's shape, and how many count."""

    mean: NDArray[np.float64]
    var: NDArray[np.float64]
    n_seen: float

    @classmethod
    def of(cls, running: RunningMeanStd) -> Self:
        """A copy of SB3's."""
        return cls(np.array(running.mean), np.array(running.var), float(running.count))

    def running(self) -> RunningMeanStd:
        """And back."""
        running = RunningMeanStd(shape=self.mean.shape)
        running.mean, running.var, running.count = self.mean.copy(), self.var.copy(), self.n_seen
        return running


@dataclass(frozen=True)
class Normalizer:
    """A VecNormalize without its env.

    Attributes:
        observation_space: What it shows.
        options: ``norm_reward``, ``clip_obs``, ``clip_reward``, ``gamma``, ``epsilon``.
        returns: Of discounted returns.
        obs: Of observations, by key; the key is ``""`` if the space is no Dict. Empty if they are
            left as they are.
    """

    observation_space: spaces.Space
    options: dict[str, Any]
    returns: Moments
    obs: dict[str, Moments] = field(default_factory=dict)

    @classmethod
    def of(cls, env: VecNormalize) -> Self:
        """A copy of SB3's, with or without an env in it."""
        statistics: Any = env.obs_rms if env.norm_obs else {}
        if not isinstance(statistics, dict):
            statistics = {"": statistics}
        return cls(
            observation_space=env.observation_space,
            options={name: _plain(getattr(env, name)) for name in _OPTIONS},
            returns=Moments.of(env.ret_rms),
            obs={key: Moments.of(running) for key, running in statistics.items()},
        )

    # In a file

    def description(self) -> dict[str, Any]:
        """What goes into a file besides :meth:`arrays`."""
        mean, var, n_seen = self.returns
        return {
            "observation_space": describe_space(self.observation_space),
            **self.options,
            "returns": {"mean": float(mean), "var": float(var), "count": n_seen},
            "observations_seen": {key: moments.n_seen for key, moments in self.obs.items()},
        }

    def arrays(self) -> dict[str, NDArray]:
        """Mean and variance of the observations, float64."""
        return {
            _name(what, key): getattr(moments, what)
            for key, moments in self.obs.items()
            for what in ("mean", "var")
        }

    @classmethod
    def reader(cls, most_elements: int) -> strict.Reader:
        """A reader of :meth:`description`; the arrays are zeros until :meth:`filled`.

        Args:
            most_elements: How many numbers an observation may have.
        """

        def space(value: Any, where: str) -> Any:
            return read_space(value, where, most_elements)

        def counts(value: Any, where: str) -> dict[str, float]:
            keys = value if isinstance(value, dict) else ()
            return strict.record(value, where, dict.fromkeys(keys, _AT_LEAST_0))

        fields: dict[str, strict.Reader] = {
            "observation_space": space,
            "returns": lambda value, where: strict.record(value, where, _RETURNS),
            "observations_seen": counts,
            **_OPTIONS,
        }
        return lambda value, where: cls._made_of(strict.record(value, where, fields), where)

    @classmethod
    def _made_of(cls, found: dict[str, Any], where: str) -> Self:
        parts = _parts(found["observation_space"])
        obs = {}
        for key, n_seen in found["observations_seen"].items():
            part = parts.get(key)
            if not isinstance(part, spaces.Box):
                raise ModelFileError(f"{where}.observations_seen: {key!r} is no Box observed")
            obs[key] = Moments(np.zeros(part.shape), np.zeros(part.shape), n_seen)
        mean, var, count = (found["returns"][name] for name in ("mean", "var", "count"))
        return cls(
            observation_space=found["observation_space"],
            options={name: found[name] for name in _OPTIONS},
            returns=Moments(np.array(mean), np.array(var), count),
            obs=obs,
        )

    def filled(self, arrays: Mapping[str, NDArray]) -> Self:
        """The same with the arrays of a file, whose names and shapes are as :meth:`arrays` has it.

        Raises:
            ModelFileError: a variance is negative.
        """
        obs = {}
        for key, moments in self.obs.items():
            mean, var = (arrays[_name(what, key)].astype(float) for what in ("mean", "var"))
            if np.any(var < 0):
                raise ModelFileError(f"{_name('var', key)} has a negative variance")
            obs[key] = Moments(mean, var, moments.n_seen)
        return replace(self, obs=obs)

    # At work

    def around(self, venv: VecEnv) -> VecNormalize:
        """SB3's wrapper with these statistics, which don't change: ``training`` is off.

        Raises:
            ModelFileError: the env observes something else.
        """
        is_dict = isinstance(venv.observation_space, spaces.Dict)
        shapes = {key: part.shape for key, part in _parts(venv.observation_space).items()}
        for key, moments in self.obs.items():
            if shapes.get(key) != moments.mean.shape:
                raise ModelFileError(
                    f"its normalizer is one of {self.observation_space}, not of "
                    f"{venv.observation_space}"
                )
        wrapped = VecNormalize(
            venv,
            training=False,
            norm_obs=bool(self.obs),
            norm_obs_keys=list(self.obs) if is_dict and self.obs else None,
            **self.options,
        )
        running: Any = {key: moments.running() for key, moments in self.obs.items()}
        if self.obs:
            wrapped.obs_rms = running if is_dict else running[""]
        wrapped.ret_rms = self.returns.running()
        return wrapped

    def alone(self, action_space: spaces.Space) -> VecNormalize:
        """SB3's wrapper around an env that only has spaces: to normalize by hand, or to pickle."""
        env: gym.Env = _OnlySpaces()
        env.observation_space, env.action_space = self.observation_space, action_space
        return self.around(DummyVecEnv([lambda: env]))


class _OnlySpaces(gym.Env[Any, Any]):
    """Nothing happens here."""


def _name(what: str, key: str) -> str:
    return f"{PREFIX}obs_{what}" + (f".{key}" if key else "")


def _parts(space: spaces.Space) -> dict[str, spaces.Space]:
    return dict(space.spaces) if isinstance(space, spaces.Dict) else {"": space}


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
