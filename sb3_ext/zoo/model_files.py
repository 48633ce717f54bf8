"""Models in other files than stable-baselines3's ``.zip``, and what is said of them in one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import stable_baselines3

from sb3_ext.portable.errors import ModelFileError
from sb3_ext.portable.model_file import SUFFIXES, ModelFile
from sb3_ext.zoo.errors import ZooError

ONNX = ".onnx"


@contextlib.contextmanager
def told(what: str = "") -> Iterator[None]:
    """Around what reads or makes a model's file.

    Args:
        what: The file, where errors don't name it.

    Raises:
        ZooError: If the file is damaged, or a library for it is missing.
    """
    try:
        yield
    except (ModelFileError, ImportError, OSError) as error:
        raise ZooError(f"{what}: {error}" if what else str(error)) from error


def read_model_file(path: Path) -> ModelFile:
    """What is in a ``.safetensors`` or an ``.npz``.

    Raises:
        ZooError: If it is damaged, or a library for it is missing.
    """
    with told():
        return ModelFile.read(path)


def own_ppo(algorithm: type[Any], path: Path) -> type[Any]:
    """The class that plays a ``.safetensors`` or an ``.npz``: ours also for SB3's PPO.

    Raises:
        ZooError: If the algorithm is another.
    """
    from sb3_ext import PPO

    if issubclass(algorithm, PPO):
        return algorithm
    if algorithm is stable_baselines3.PPO:
        return PPO
    raise ZooError(
        f"{path}: files of the kinds {' and '.join(SUFFIXES)} hold a PPO, no "
        f"{algorithm.__name__}: use --algo ppo or one of our own"
    )


def leaves_open(path: Path, policy_kwargs: dict[str, Any] | None) -> bool:
    """Whether a file holds parameters alone, so that ``--policy-kwargs`` has something to say.

    Raises:
        ZooError: If it says something all the same.
    """
    if path.suffix == ".npz" and read_model_file(path).description is None:
        return True
    if policy_kwargs:
        raise ZooError(f"--policy-kwargs: {path} says itself what its network is")
    return False
