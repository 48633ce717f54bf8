"""``.safetensors`` and ``.npz``: what of a PPO is in the file, and the model made of it.

Both hold arrays by name and one description. The names:

=================================  =================================================
the canonical parameters'          float32, see ``sb3_ext/backends/parameters.py``
``optimizer.MOMENT.PARAMETER``     float32, on request: a training can go on
``normalizer.obs_mean``, ``_var``  float64, where it was trained on a VecNormalize
=================================  =================================================

An ``.npz`` may also be bare: parameters without a description. Then the network is told by their
names and shapes, and what these don't tell is as SB3 has it by default.
"""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.utils import check_for_correct_spaces

from sb3_ext.backends.extensions import PPOExtensions
from sb3_ext.backends.parameters import shapes
from sb3_ext.portable import npz, safetensors_format
from sb3_ext.portable.bare import infer
from sb3_ext.portable.description import Description, default_arguments
from sb3_ext.portable.errors import ModelFileError
from sb3_ext.portable.normalizer import Normalizer
from sb3_ext.portable.schema import ARGUMENTS

__all__ = ["SUFFIXES", "ModelFile", "is_model_file", "load_model", "save_model"]

SUFFIXES = (".safetensors", ".npz")

_MOST_BYTES = 2**32
_OPTIMIZER = "optimizer."
_INCLUDED = "policy.optimizer"  # SB3's name for the optimizer's state


def is_model_file(path: Any) -> bool:
    """Whether a path's ending says that the file is one of these."""
    return isinstance(path, str | os.PathLike) and str(path).endswith(SUFFIXES)


@dataclass(frozen=True)
class ModelFile:
    """The content of a file.

    Attributes:
        parameters: By their canonical names.
        description: None for a bare ``.npz``.
        moments: Of the optimizer, ``{moment: {name: array}}``; empty if they aren't there.
    """

    parameters: dict[str, NDArray]
    description: Description | None
    moments: dict[str, dict[str, NDArray]] = field(default_factory=dict)

    @property
    def normalizer(self) -> Normalizer | None:
        """What its observations have to go through."""
        return None if self.description is None else self.description.normalizer

    # From a model and back

    @classmethod
    def of(cls, model: Any, exclude: Collection[str] = (), with_optimizer: bool = False) -> Self:
        """What of a PPO goes into a file.

        Args:
            model: The model.
            exclude: Arguments of its constructor that are left out: they will be the default.
            with_optimizer: Take the optimizer's moments along.

        Raises:
            ModelFileError: it has something that such a file can't hold; the message names it.
        """
        state: dict[str, Any] = {}
        if with_optimizer:
            state = model.actor_critic.optimizer_state()
        description = Description.of(model, exclude, state.get("step"))
        moments = {key: dict(named) for key, named in state.items() if key != "step"}
        return cls(model.actor_critic.parameters(), description, moments)

    def build(self, cls: type[Any], env: Any = None, device: Any = "auto", **arguments: Any) -> Any:
        """The model.

        Args:
            cls: PPO or one derived from it.
            env: An env to train on; None: the model only predicts.
            device: As PPO has it.
            **arguments: Of PPO's constructor; they win over the file's. A bare ``.npz`` takes
                ``policy_kwargs`` for what its arrays don't tell.

        Raises:
            ModelFileError: file, env and arguments don't go together.
        """
        if env is not None:
            env = cls._wrap_env(env, arguments.get("verbose", 0))
        told = self.description
        if told is None:
            told = self._inferred(env, arguments)
        elif "policy_kwargs" in arguments:
            raise ModelFileError("the file says what the network is: no policy_kwargs beside it")
        elif env is not None:
            check_for_correct_spaces(env, told.spec.observation_space, told.spec.action_space)
        options = {
            **told.arguments,
            "policy_kwargs": told.policy_kwargs,
            "extensions": told.extensions,
            **arguments,
        }
        model = cls(told.policy, env, device=device, _init_setup_model=False, **options)
        model.observation_space = told.spec.observation_space
        model.action_space = told.spec.action_space
        model.n_envs = 1 if env is None else env.num_envs
        done = told.progress
        model.num_timesteps, model._n_updates = done["num_timesteps"], done["n_updates"]
        model._noise_seed, model._noise_step, model._noise_update = done["noise"]
        try:
            model._setup_model()
        except MemoryError as error:
            raise ModelFileError(f"it needs too much memory: {error}") from error
        model.actor_critic.load_parameters(self.parameters)
        if told.optimizer_step is not None:
            model.actor_critic.load_optimizer_state({"step": told.optimizer_step, **self.moments})
        return model

    def _inferred(self, env: Any, arguments: dict[str, Any]) -> Description:
        if env is None:
            raise ModelFileError(
                "an .npz of parameters alone doesn't tell the spaces: give an env (--env)"
            )
        kwargs = arguments.pop("policy_kwargs", None)
        if kwargs is None:
            raise ModelFileError(
                "an .npz of parameters alone doesn't tell its activation: give policy_kwargs"
            )
        extensions = PPOExtensions.of(arguments.pop("extensions", None))
        spec = infer(self.parameters, env.observation_space, env.action_space, extensions, kwargs)
        defaults = default_arguments() | {"use_sde": spec.use_sde}
        progress = {"num_timesteps": 0, "n_updates": 0, "noise": [-1, 0, 0]}
        extensions = replace(extensions, std=spec.std, std_range=_range(spec))
        return Description(spec, extensions, defaults, progress)

    # From bytes and back

    def pack(self, suffix: str) -> bytes:
        """The file's bytes.

        Args:
            suffix: ``.safetensors`` or ``.npz``.

        Raises:
            ModelFileError: a parameter isn't finite, or an argument is none that can be read back.
            ImportError: ``safetensors`` isn't installed.
        """
        assert self.description is not None, "what is written is described"
        arrays = {name: np.asarray(value) for name, value in self.parameters.items()}
        for moment, named in self.moments.items():
            arrays |= {f"{_OPTIMIZER}{moment}.{name}": value for name, value in named.items()}
        if self.normalizer is not None:
            arrays |= self.normalizer.arrays()
        text = self.description.text()
        _sorted_out(arrays, Description.read(text, 2**62))  # what is written can be read
        module = safetensors_format if suffix == ".safetensors" else npz
        return module.pack(arrays, text)

    @classmethod
    def unpack(cls, data: bytes, suffix: str) -> Self:
        """What :meth:`pack` packed.

        Raises:
            ModelFileError: it is damaged; the message says where.
            ImportError: ``safetensors`` isn't installed.
        """
        module: Any = safetensors_format if suffix == ".safetensors" else npz
        arrays, text = module.unpack(data)
        if text is None:
            _check_finite(arrays)
            return cls(arrays, None)
        # An observation's size shows in the weights: a few kilobytes don't describe a gigabyte.
        return cls(*_sorted_out(arrays, Description.read(text, 8 * len(data))))

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file; nothing in it is executed.

        Raises:
            ModelFileError: it is damaged, or not one of a model; the message names the file.
            OSError: it can't be read.
            ImportError: ``safetensors`` isn't installed.
        """
        path = Path(path)
        if path.stat().st_size > _MOST_BYTES:
            raise ModelFileError(f"{path}: larger than any model of ours")
        try:
            return cls.unpack(path.read_bytes(), path.suffix)
        except ModelFileError as error:
            raise ModelFileError(f"{path}: {error}") from error


def _range(spec: Any) -> tuple[float, float] | None:
    return spec.std_range if spec.std == "state" else None


def _sorted_out(
    arrays: Mapping[str, NDArray], description: Description
) -> tuple[dict[str, NDArray], Description, dict[str, dict[str, NDArray]]]:
    """Parameters, description with the normalizer's arrays in it, and moments.

    Raises:
        ModelFileError: a name is missing or unknown, a shape differs, or a number isn't finite.
    """
    parameters = shapes(description.spec)
    expected: dict[str, tuple[int, ...]] = dict(parameters)
    names = _moments(description, arrays)
    for moment in names:
        expected |= {f"{_OPTIMIZER}{moment}.{name}": shape for name, shape in parameters.items()}
    normalizer = description.normalizer
    if normalizer is not None:
        expected |= {name: array.shape for name, array in normalizer.arrays().items()}
    if unknown := sorted(arrays.keys() - expected.keys()):
        raise ModelFileError(f"it holds {unknown[0]!r}, which the model it describes has not")
    if missing := sorted(expected.keys() - arrays.keys()):
        raise ModelFileError(f"it lacks {missing[0]!r}, which the model it describes has")
    for name, shape in expected.items():
        if arrays[name].shape != shape:
            raise ModelFileError(
                f"{name} is {arrays[name].shape}; in the model it describes it is {shape}"
            )
    _check_finite(arrays)
    if normalizer is not None:
        description = replace(description, normalizer=normalizer.filled(arrays))
    moments = {
        moment: {name: arrays[f"{_OPTIMIZER}{moment}.{name}"] for name in parameters}
        for moment in names
    }
    return {name: arrays[name] for name in parameters}, description, moments


def _moments(description: Description, arrays: Mapping[str, NDArray]) -> tuple[str, ...]:
    """Which ones belong into a file; only SGD can do without."""
    if not description.optimizer_step:
        return ()
    if description.spec.optimizer == "adam":
        return ("exp_avg", "exp_avg_sq")
    momentum = "momentum_buffer"
    return (momentum,) if any(name.startswith(_OPTIMIZER + momentum) for name in arrays) else ()


def _check_finite(arrays: Mapping[str, NDArray]) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ModelFileError(f"{name} has numbers that are not finite")


def save_model(
    model: Any,
    path: str | os.PathLike[str],
    exclude: Collection[str] = (),
    include: Collection[str] = (),
) -> None:
    """``PPO.save`` for these files; a network of somebody's own makes a bare ``.npz``.

    Raises:
        ModelFileError: such a file can't hold the model; the message says what of it.
        OSError: the file can't be written; one that was there stays as it was.
    """
    from callbacks.checkpoint import save_atomically  # brings all callbacks along

    path = Path(path)
    if unknown := sorted(set(include) - {_INCLUDED}):
        raise ModelFileError(
            f"include: {unknown[0]!r} can't go into {path.name}: {_INCLUDED!r} can"
        )
    is_told = model.actor_critic.spec.is_canonical or exclude or include
    if path.suffix == ".npz" and not is_told:
        content = npz.pack(model.actor_critic.parameters())
    else:
        content = ModelFile.of(model, exclude, bool(include)).pack(path.suffix)
    save_atomically(path, content)


def load_model(
    cls: type[Any],
    path: str | os.PathLike[str],
    env: Any,
    device: Any,
    replacements: Mapping[str, Any],
    **arguments: Any,
) -> Any:
    """``PPO.load`` for these files.

    Args:
        cls: PPO or one derived from it.
        path: The file.
        env: See :meth:`ModelFile.build`.
        device: As PPO has it.
        replacements: SB3's ``custom_objects``; arguments of the constructor among them count.
        **arguments: Of the constructor; they win over the file's.

    Raises:
        ModelFileError: the file is damaged, or doesn't go with the env; the message names it.
    """
    replaced = {name: value for name, value in replacements.items() if name in ARGUMENTS}
    content = ModelFile.read(path)
    try:
        return content.build(cls, env, device, **{**replaced, **arguments})
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
