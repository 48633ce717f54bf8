"""stable-baselines3 extended: PPO in four array frameworks, worlds and a zoo.

Importing this package imports no array framework: its names are loaded when they are used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ext.backends.extensions import PPOExtensions
    from sb3_ext.learner import Learner
    from sb3_ext.ppo import PPO, JaxPPO, MlxPPO, NumpyPPO, TorchPPO

__version__ = "0.1.0"

__all__ = [
    "PPO",
    "JaxPPO",
    "Learner",
    "MlxPPO",
    "NumpyPPO",
    "PPOExtensions",
    "TorchPPO",
    "register",
]

_HOMES = {
    "PPO": "sb3_ext.ppo",
    "JaxPPO": "sb3_ext.ppo",
    "MlxPPO": "sb3_ext.ppo",
    "NumpyPPO": "sb3_ext.ppo",
    "TorchPPO": "sb3_ext.ppo",
    "PPOExtensions": "sb3_ext.backends.extensions",
    "Learner": "sb3_ext.learner.learner",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])


def register() -> None:
    """Make our PPOs known to RL Zoo as ``ppo_numpy``, ``ppo_torch``, ``ppo_jax`` and ``ppo_mlx``.

    They get the hyperparameter sampler of its ``ppo``.
    """
    import rl_zoo3
    from rl_zoo3 import hyperparams_opt

    from sb3_ext import ppo

    sampler, converter = hyperparams_opt.HYPERPARAMS_SAMPLER, hyperparams_opt.HYPERPARAMS_CONVERTER
    for cls in (ppo.NumpyPPO, ppo.TorchPPO, ppo.JaxPPO, ppo.MlxPPO):
        name = f"ppo_{cls.own_backend}"
        rl_zoo3.ALGOS[name] = cls
        sampler[name], converter[name] = sampler["ppo"], converter["ppo"]
