"""What ``zoo.py diff``'s two arguments name: algorithms, or models in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stable_baselines3
from stable_baselines3.common.save_util import load_from_zip_file

from sb3_ext import ppo
from sb3_ext.zoo import registry, runs
from sb3_ext.zoo.errors import ZooError, nearest, reason
from sb3_ext.zoo.hyperparams import import_object
from sb3_ext.zoo.yaml_files import ForeignLoader, read_mapping

PPOS = ("ppo", *registry.OWN_ALGORITHMS)


@dataclass(frozen=True)
class Algorithm:
    """A PPO by name.

    Attributes:
        name: As it was given.
        cls: Its class.
    """

    name: str
    cls: type[Any]

    @property
    def entries(self) -> str:
        """Under which algorithm's name its hyperparameters stand."""
        return self.name if self.name in PPOS else "ppo"


@dataclass(frozen=True)
class ModelFile:
    """A saved PPO.

    Attributes:
        path: The ``.zip``.
        algorithm: Which PPO goes on with it.
        data: What stands in the file beside parameters.
        env_id: The world of the run that it lies in, or None.
    """

    path: Path
    algorithm: Algorithm
    data: dict[str, Any]
    env_id: str | None

    @property
    def name(self) -> str:
        """For messages."""
        return str(self.path)


def read_side(text: str) -> Algorithm | ModelFile:
    """Reads one of the two arguments.

    Args:
        text: ``ppo_numpy``, ``package.module:Class``, ``model.zip``, a run's folder, or
            ``ALGORITHM:model.zip`` for a file that another PPO is to go on with.

    Raises:
        ZooError: If it is none of these, or no PPO.
    """
    head, colon, tail = text.rpartition(":")
    if Path(text).exists() or (text.endswith(".zip") and not colon):
        return _model_file(Path(text), None)
    if colon and (Path(tail).exists() or tail.endswith(".zip")):
        return _model_file(Path(tail), _algorithm(head))
    return _algorithm(text)


def _algorithm(name: str) -> Algorithm:
    if name in registry.algorithm_names():
        if name not in PPOS:
            raise ZooError(f"{name} is no PPO: diff replays PPO's updates ({', '.join(PPOS)})")
        return Algorithm(name, registry.load_algorithm(name))
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ZooError(
            f"{name!r} is neither an algorithm ({', '.join(PPOS)}, package.module:Class) nor a "
            f"model that exists{nearest(name, PPOS)}"
        )
    cls = import_object(f"{module}.{attribute}", name)
    if not isinstance(cls, type) or not issubclass(cls, ppo.PPO | stable_baselines3.PPO):
        raise ZooError(
            f"{name} is no PPO: diff replays classes derived from sb3_ext.PPO or "
            "stable_baselines3.PPO"
        )
    return Algorithm(name, cls)


def _model_file(path: Path, algorithm: Algorithm | None) -> ModelFile:
    path = _final_model(path) if path.is_dir() else path
    if not path.is_file():
        raise ZooError(f"there is no file {str(path)!r}")
    try:
        data, parameters, _ = load_from_zip_file(path, device="cpu")
    except Exception as error:  # a foreign file may fail anywhere inside a pickle
        raise ZooError(f"{path}: not a model ({reason(error)})") from error
    folder = runs.parameters_of(path)
    if data is None or "policy" not in parameters:
        raise ZooError(f"{path}: not a model of stable-baselines3's kind")
    _check_is_ppo(path, data, folder)
    known = algorithm or _algorithm_of(data, folder)
    return ModelFile(path, known, data, folder.name if folder else None)


def _final_model(folder: Path) -> Path:
    files = sorted(folder.glob("*/config.yml"))
    if not files:
        raise ZooError(f"{folder} is no run: it has no <world>/config.yml")
    return runs.Run(folder, files[0].parent.name).model


def _check_is_ppo(path: Path, data: dict[str, Any], folder: Path | None) -> None:
    policy = data.get("policy_class")
    foreign = getattr(policy, "__module__", "").startswith("sb3_contrib.")  # recurrent, masked
    if "clip_range" in data and "gae_lambda" in data and not foreign:
        return
    algo = _recorded_algorithm(folder) or getattr(policy, "__module__", "unknown")
    raise ZooError(f"{path} is no PPO's model but one of {algo}: diff replays PPO's updates")


def _recorded_algorithm(folder: Path | None) -> str | None:
    if folder is None or not (folder / "args.yml").is_file():
        return None
    return read_mapping(folder / "args.yml", ForeignLoader).get("algo")


def _algorithm_of(data: dict[str, Any], folder: Path | None) -> Algorithm:
    """Which PPO a model was trained with: as its run says, else ours if its file has our keys."""
    recorded = _recorded_algorithm(folder)
    if recorded in PPOS:
        return _algorithm(recorded)
    return Algorithm("sb3_ext.PPO", ppo.PPO) if "extensions" in data else _algorithm("ppo")
