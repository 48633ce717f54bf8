"""Builds the VecEnv that an experiment trains, evaluates or plays on."""

from __future__ import annotations

import contextlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.envs.registration import EnvSpec
from gymnasium.vector import AutoresetMode
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecEnv,
    VecFrameStack,
    VecNormalize,
    VecTransposeImage,
)

from sb3_ext.portable.model_file import is_model_file
from sb3_ext.vec_env import EpisodeLog, GymnasiumVecEnv, JaxWorldVecEnv, SharedMemoryVecEnv
from sb3_ext.vec_env.episodes import CountsEpisodes
from sb3_ext.vec_env.rows import RowVecNormalize, active_rows
from sb3_ext.vec_env.shared_memory import n_cores
from sb3_ext.vec_env.snapshots import TellsEpisodes
from sb3_ext.zoo.errors import ZooError, reason
from sb3_ext.zoo.hyperparams import Settings, import_object
from sb3_ext.zoo.model_files import read_model_file
from sb3_ext.zoo.one_env import OneEnv, OneVectorEnv
from sb3_ext.zoo.opponents import AT_RANDOM, Rival
from sb3_ext.zoo.workers import hang_up_at_exit, leave_signals_to_the_trainer


@dataclass(frozen=True)
class EnvBuilder:
    """Builds VecEnvs of one world, all wrapped alike.

    Attributes:
        spec: The world.
        settings: The hyperparameter entry (wrappers, normalization, frame stack).
        form: ``dummy``, ``subproc``, ``shm``, ``vector`` or ``jax``, as :func:`choose_form` gave
            it.
        env_kwargs: Arguments of the world's constructor.
        workers: Worker processes of ``shm``; None: one for each core.
        rival: Who plays the other team where an agent is judged; None: the agent itself.
        judged_kwargs: Arguments of the world where an agent is judged; None: the same.
    """

    spec: EnvSpec
    settings: Settings
    form: str
    env_kwargs: dict[str, Any] = field(default_factory=dict)
    workers: int | None = None
    rival: Rival | None = AT_RANDOM
    judged_kwargs: dict[str, Any] | None = None

    def train(
        self,
        n_envs: int,
        seed: int,
        normalizer: Path | None = None,
        render_mode: str | None = None,
    ) -> VecEnv:
        """The training env: rewards and observations normalized if the entry says so.

        Args:
            n_envs: Rows.
            seed: Row i is seeded with ``seed + i``.
            normalizer: Saved VecNormalize statistics to go on with.
            render_mode: As Gymnasium has it.
        """
        rows = self._base(n_envs, seed, render_mode)
        return self._wrap(rows, training=True, normalizer=normalizer)

    def evaluation(
        self,
        n_envs: int,
        seed: int,
        *,
        normalizer: Path | None = None,
        render_mode: str | None = None,
    ) -> VecEnv:
        """An env for judging or watching an agent: rewards as the world gives them.

        Args:
            n_envs: Rows.
            seed: Row i is seeded with ``seed + i``.
            normalizer: Saved VecNormalize statistics to use; None takes fresh ones, which a
                callback keeps in step with the training env's.
            render_mode: As Gymnasium has it.
        """
        builder = self.step_by_step()
        if self.judged_kwargs is not None:
            builder = replace(builder, env_kwargs=self.judged_kwargs)
        if n_envs == 1 and self.form == "shm":  # one row gains nothing by a worker
            builder = builder.in_one_process()
        rows = builder._base(n_envs, seed, render_mode, self.rival)
        if (mask := active_rows(rows)) is not None:
            mask()  # whoever only plays may look at empty rows
        return self._wrap(rows, training=False, normalizer=normalizer)

    def in_one_process(self) -> EnvBuilder:
        """The same world without worker processes."""
        alone = "vector" if self.spec.entry_point is None else "dummy"
        return replace(self, form=alone) if self.form in ("subproc", "shm") else self

    def step_by_step(self) -> EnvBuilder:
        """The same world without a program that collects whole rollouts."""
        return replace(self, form="vector") if self.form == "jax" else self

    def _base(
        self,
        n_envs: int,
        seed: int,
        render_mode: str | None = None,
        rival: Rival | None = None,
    ) -> VecEnv:
        kwargs = dict(self.env_kwargs)
        if render_mode is not None:
            kwargs["render_mode"] = render_mode
        try:
            venv = self._rows(n_envs, seed, kwargs)
        except ZooError:
            raise
        except Exception as error:  # somebody's constructor: anything may happen
            raise ZooError(
                f"cannot make {self.spec.id} with {kwargs or 'no'} arguments: {reason(error)}"
            ) from error
        if rival is not None:
            with _closed_if_it_fails(venv, "opponent"):
                venv = rival.against(venv)
        wrapper = self.settings.vec_env_wrapper
        with _closed_if_it_fails(venv, "vec_env_wrapper"):
            if wrapper:
                venv = apply_wrappers(wrapper, "vec_env_wrapper")(venv)
            keywords = tuple(self.settings.monitor_kwargs.get("info_keywords", ()))
            return EpisodeLog(venv, info_keywords=keywords)

    def _rows(self, n_envs: int, seed: int, kwargs: dict[str, Any]) -> VecEnv:
        if self.form not in ("vector", "jax"):
            return self._separate_envs(n_envs, seed, kwargs)
        cls = JaxWorldVecEnv if self.form == "jax" else GymnasiumVecEnv
        venv = cls(gym.make_vec(self.spec, num_envs=n_envs, **kwargs))
        venv.seed(seed)
        return venv

    def one_env(self, seed: int = 0, kwargs: dict[str, Any] | None = None) -> OneEnv:
        """Builds a single row, in whatever process.

        Args:
            seed: Of its action space.
            kwargs: Arguments of the world's constructor; None: this builder's.
        """
        wrapper, monitoring = self.settings.env_wrapper, dict(self.settings.monitor_kwargs)
        wrappers = named_wrappers(wrapper, "env_wrapper") if wrapper else []
        monitor: Any = partial(Monitor, **monitoring)
        if not set(monitoring) - {"info_keywords"}:
            monitor = partial(CountsEpisodes, **monitoring)
        return OneEnv(
            self.spec, self.env_kwargs if kwargs is None else kwargs, seed, wrappers, monitor
        )

    def _separate_envs(self, n_envs: int, seed: int, kwargs: dict[str, Any]) -> VecEnv:
        if self.form == "shm":
            return self._in_workers(n_envs, seed, kwargs)
        spec, wrapper = self.spec, self.settings.env_wrapper
        wrapped = apply_wrappers(wrapper, "env_wrapper") if wrapper else lambda env: env

        def make(**kwargs: Any) -> gym.Env:
            if multiprocessing.parent_process() is not None:
                leave_signals_to_the_trainer()
            return spec.make(**kwargs)

        options: dict[str, Any] = {
            "seed": seed,
            "env_kwargs": kwargs,
            "wrapper_class": lambda env: TellsEpisodes(wrapped(env)),
            "monitor_kwargs": self.settings.monitor_kwargs,
        }
        if self.form != "subproc":
            return make_vec_env(make, n_envs, vec_env_cls=DummyVecEnv, **options)
        # A world that cannot be made or reset says why here; a worker would only hang up.
        probe = make_vec_env(make, 1, vec_env_cls=DummyVecEnv, **options)
        probe.reset()
        probe.close()
        venv = make_vec_env(make, n_envs, vec_env_cls=SubprocVecEnv, **options)
        assert isinstance(venv, SubprocVecEnv)
        hang_up_at_exit(venv)
        return venv

    def _in_workers(self, n_envs: int, seed: int, kwargs: dict[str, Any]) -> VecEnv:
        n_workers = min(self.workers or n_cores(), n_envs)
        builders: list[Any] = [self.one_env(seed + row, kwargs) for row in range(n_envs)]
        if goes_into_workers(self.spec, self.settings):
            parts = np.array_split(np.arange(n_envs), n_workers)
            builders = [OneVectorEnv(self.spec, len(part), kwargs) for part in parts]
        workers = SharedMemoryVecEnv(builders, n_workers)
        workers.seed(seed)
        return workers

    def bare(self, n_envs: int) -> VecEnv:
        """The rows with nothing around them, to see what they cost."""
        return self._rows(n_envs, 0, self.env_kwargs)

    def _wrap(self, venv: VecEnv, *, training: bool, normalizer: Path | None = None) -> VecEnv:
        with _closed_if_it_fails(venv, "normalize"):
            if normalizer is not None:
                venv = load_normalizer(normalizer, venv)
                venv.training, venv.norm_reward = training, training and venv.norm_reward
            elif self.settings.normalize is not None:
                kwargs = dict(self.settings.normalize)
                if not training:
                    kwargs |= {"training": False, "norm_reward": False}
                known = active_rows(venv) is None
                venv = (VecNormalize if known else RowVecNormalize)(venv, **kwargs)
        with _closed_if_it_fails(venv, "frame_stack"):
            if self.settings.frame_stack is not None:
                venv = VecFrameStack(venv, self.settings.frame_stack)
            return VecTransposeImage(venv) if _holds_channels_last_images(venv) else venv


@contextlib.contextmanager
def _closed_if_it_fails(venv: VecEnv, key: str) -> Iterator[None]:
    """Wrapping an env, as a key of the entry asks: no half-wrapped one is left open."""
    try:
        yield
    except Exception as error:
        venv.close()
        if isinstance(error, ZooError):
            raise
        raise ZooError(f"{key}: {reason(error)}") from error


def load_normalizer(path: Path, venv: VecEnv) -> VecNormalize:
    """Saved VecNormalize statistics around an env: a pickle's, or a model file's own.

    Raises:
        ZooError: If the file is damaged or belongs to other observations.
    """
    try:
        if is_model_file(path) and (told := read_model_file(path).normalizer) is not None:
            normalizer = told.around(venv)
        else:
            normalizer = VecNormalize.load(str(path), venv)
        return normalizer if active_rows(venv) is None else RowVecNormalize.of(normalizer)
    except Exception as error:  # a damaged pickle may fail in any way
        raise ZooError(f"{path}: not the normalizer of this world ({reason(error)})") from error


def _holds_channels_last_images(venv: VecEnv) -> bool:
    space = venv.observation_space
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return any(
        isinstance(part, spaces.Box)
        and is_image_space(part)
        and not is_image_space_channels_first(part)
        for part in parts
    )


def choose_form(
    requested: str, spec: EnvSpec, settings: Settings, algo: str = ""
) -> tuple[str, str]:
    """Chooses how the rows of a VecEnv are run.

    Args:
        requested: What ``--vec-env`` said.
        spec: The world.
        settings: Its entry: wrappers of single envs rule the vector form out.
        algo: The algorithm, where it matters.

    Returns:
        The form and, where ``auto`` chose, why; else an empty string.

    Raises:
        ZooError: If ``vector`` or ``jax`` is asked for and cannot be had.
    """
    reason = _no_vector_form(spec, settings)
    if requested in ("vector", "jax") and reason:
        raise ZooError(f"--vec-env {requested}: {reason}; use --vec-env dummy or shm")
    if requested == "jax":
        _check_jax(spec, settings, algo)
    if spec.entry_point is None and requested in ("dummy", "subproc"):
        raise ZooError(f"--vec-env {requested}: {spec.id} has no single form; use vector or shm")
    if requested != "auto":
        return requested, ""
    if reason:
        return "dummy", reason
    if not is_exact(spec):
        return "dummy", f"{spec.id}'s vector form ends episodes one step late"
    return "vector", f"{spec.id} has a vector form"


def goes_into_workers(spec: EnvSpec, settings: Settings) -> bool:
    """Whether parts of a world's own vector form can be the rows of worker processes."""
    if _no_vector_form(spec, settings):
        return False
    probe = gym.make_vec(spec, num_envs=1)
    try:
        return probe.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP
    finally:
        probe.close()


def _no_vector_form(spec: EnvSpec, settings: Settings) -> str:
    """Why a world's rows can't be run as its vector form, or nothing."""
    if spec.vector_entry_point is None:
        return f"{spec.id} has no vector form"
    if settings.env_wrapper:
        return "'env_wrapper' wraps single envs"
    if set(settings.monitor_kwargs) - {"info_keywords"}:
        return "'monitor_kwargs' belong to single envs"
    if spec.additional_wrappers:
        return f"{spec.id} is registered with wrappers of single envs"
    return ""


def _check_jax(spec: EnvSpec, settings: Settings, algo: str) -> None:
    if algo != "ppo_jax":
        raise ZooError(f"--vec-env jax: {algo} steps envs from outside; it is ppo_jax's alone")
    for key in ("normalize", "frame_stack", "vec_env_wrapper"):
        if getattr(settings, key) not in (None, [], ""):
            raise ZooError(
                f"--vec-env jax: {key!r} stands between the world and the jitted program; use "
                "--vec-env vector"
            )
    probe = gym.make_vec(spec, num_envs=1)
    try:
        JaxWorldVecEnv(probe)
    except TypeError:
        raise ZooError(
            f"--vec-env jax: {spec.id} has no functional definition; use --vec-env vector"
        ) from None
    finally:
        probe.close()


def is_exact(spec: EnvSpec) -> bool:
    """Whether the world's vector form shows stable-baselines3 exactly what its single form does.

    Raises:
        ZooError: If what the world needs isn't installed.
    """
    try:
        probe = GymnasiumVecEnv(gym.make_vec(spec, num_envs=1))
    except ImportError as error:
        raise ZooError(f"cannot make {spec.id}: {reason(error)}") from error
    try:
        return probe.exact
    finally:
        probe.close()


def apply_wrappers(names: Any, what: str) -> Callable[[Any], Any]:
    """RL Zoo's way of naming wrappers, as one function.

    Args:
        names: A dotted path, a mapping of one path to its keyword arguments, or a list of these.
        what: The key they stand under, for messages.

    Raises:
        ZooError: If one cannot be imported or is malformed.
    """
    wrappers = named_wrappers(names, what)

    def wrap(env: Any) -> Any:
        for wrapper, kwargs in wrappers:
            env = wrapper(env, **kwargs)
        return env

    return wrap


def named_wrappers(names: Any, what: str) -> list[tuple[Any, dict[str, Any]]]:
    """RL Zoo's way of naming wrappers, each with its keyword arguments.

    Args:
        names: A dotted path, a mapping of one path to its keyword arguments, or a list of these.
        what: The key they stand under, for messages.

    Raises:
        ZooError: If one cannot be imported or is malformed.
    """
    return [named_object(item, what) for item in as_list(names)]


def as_list(value: Any) -> Sequence[Any]:
    """The value itself if it is a list, else a list of it."""
    return value if isinstance(value, list) else [value]


def named_object(item: Any, what: str) -> tuple[Any, dict[str, Any]]:
    """Imports ``path`` or ``{path: kwargs}``.

    Raises:
        ZooError: If it is neither, or cannot be imported.
    """
    if isinstance(item, dict) and len(item) == 1:
        path, kwargs = next(iter(item.items()))
        if isinstance(kwargs, dict):
            return import_object(str(path), what), kwargs
    if isinstance(item, str):
        return import_object(item, what), {}
    raise ZooError(f"{what}: expected a dotted path or one path with its arguments, got {item!r}")
