"""What can be trained, by name: algorithms without importing them, worlds once they are asked for.

The names stand here as text so that ``--help`` and a misspelt flag answer at once: importing
stable-baselines3, and PyTorch with it, takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from sb3_ext.zoo.errors import ZooError, nearest, reason

if TYPE_CHECKING:
    from gymnasium.envs.registration import EnvSpec

# RL Zoo's algorithms under RL Zoo's names (rl_zoo3.ALGOS; a test holds the two equal).
ALGORITHMS: dict[str, str] = {
    "a2c": "stable_baselines3:A2C",
    "ars": "sb3_contrib:ARS",
    "crossq": "sb3_contrib:CrossQ",
    "ddpg": "stable_baselines3:DDPG",
    "dqn": "stable_baselines3:DQN",
    "ppo": "stable_baselines3:PPO",
    "ppo_lstm": "sb3_contrib:RecurrentPPO",
    "qrdqn": "sb3_contrib:QRDQN",
    "sac": "stable_baselines3:SAC",
    "td3": "stable_baselines3:TD3",
    "tqc": "sb3_contrib:TQC",
    "trpo": "sb3_contrib:TRPO",
}

# Our own PPO, one name per backend. They read ppo.yml unless they have a file of their own.
OWN_ALGORITHMS: dict[str, str] = {
    "ppo_jax": "sb3_ext:JaxPPO",
    "ppo_mlx": "sb3_ext:MlxPPO",
    "ppo_numpy": "sb3_ext:NumpyPPO",
    "ppo_torch": "sb3_ext:TorchPPO",
}


def algorithm_names() -> list[str]:
    """All names that ``--algo`` takes."""
    return sorted(ALGORITHMS | OWN_ALGORITHMS)


def load_algorithm(name: str) -> type[Any]:
    """The algorithm's class.

    Raises:
        ZooError: If there is no such algorithm, or a package that it needs is missing.
    """
    target = (ALGORITHMS | OWN_ALGORITHMS).get(name)
    if target is None:
        raise ZooError(f"unknown algorithm {name!r}{nearest(name, algorithm_names())}")
    module, _, attribute = target.partition(":")
    algorithm = getattr(importlib.import_module(module), attribute)
    if name in OWN_ALGORITHMS:
        _check_framework(name, algorithm)
    return algorithm


def _check_framework(name: str, algorithm: type[Any]) -> None:
    """Our PPO would import its backend's framework only when it builds its network."""
    from sb3_ext.backends import backend_class

    backend = getattr(algorithm, "own_backend", None)
    if backend is None:
        return
    try:
        backend_class(backend)
    except ImportError as error:
        raise ZooError(f"--algo {name}: {error}") from error


def hyperparameter_files(algo: str) -> list[str]:
    """The stems of the YAML files in which an algorithm's entries may stand, nearest first."""
    return [algo, "ppo"] if algo in OWN_ALGORITHMS else [algo]


def import_packages(packages: list[str]) -> None:
    """Imports packages that register environments (``--gym-packages``)."""
    for package in packages:
        try:
            importlib.import_module(package)
        except (Exception, SystemExit) as error:  # somebody's code: anything may happen
            raise ZooError(f"cannot import the package {package!r}: {reason(error)}") from error


def find_env(env_id: str) -> EnvSpec:
    """The spec of an environment: ours, Gymnasium's, or one that an installed package registers.

    Args:
        env_id: An id such as ``SimpleAim-v0``, or ``package:Id-v0`` to import the package first.

    Raises:
        ZooError: If nothing of that name is registered; the nearest names are suggested.
    """
    import gymnasium as gym

    import envs  # noqa: F401  (registers our worlds)

    module, _, name = env_id.rpartition(":")
    if module:
        import_packages([module])
    if name not in gym.registry:
        _import_optional_worlds()
    spec = gym.registry.get(name)
    if spec is None:
        raise ZooError(
            f"unknown environment {env_id!r}{nearest(name, gym.registry)} "
            "(`list` shows the worlds; --gym-packages PACKAGE imports others)"
        )
    return spec


def metadata_of(spec: EnvSpec) -> dict[str, Any]:
    """What the class of a world says of itself; nothing if a function makes it.

    Raises:
        ZooError: If its module cannot be imported.
    """
    from gymnasium.envs.registration import load_env_creator

    creator = spec.entry_point or spec.vector_entry_point
    try:
        if isinstance(creator, str):
            creator = load_env_creator(creator)
    except Exception as error:  # somebody's code: anything may happen
        raise ZooError(f"cannot import {spec.id} ({creator}): {reason(error)}") from error
    return getattr(creator, "metadata", None) or {}


def _import_optional_worlds() -> None:
    """RL Zoo registers what third parties installed (Atari, PyBullet, MiniGrid, ...)."""
    import importlib.util
    import warnings

    if importlib.util.find_spec("rl_zoo3") is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            importlib.import_module("rl_zoo3.import_envs")


def own_worlds() -> list[EnvSpec]:
    """The specs of the worlds in our ``envs`` package, by id."""
    import gymnasium as gym

    import envs  # noqa: F401  (registers our worlds)

    def is_ours(spec: EnvSpec) -> bool:
        points = (spec.entry_point, spec.vector_entry_point)
        return any(isinstance(point, str) and point.startswith("envs.") for point in points)

    return sorted(filter(is_ours, gym.registry.values()), key=lambda spec: spec.id)
