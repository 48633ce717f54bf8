"""Vector environments in stable-baselines3's form.

Names are loaded when they are used: worker processes live here too, and need no
stable-baselines3.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ext.vec_env.episode_log import EpisodeLog
    from sb3_ext.vec_env.gymnasium import GymnasiumVecEnv
    from sb3_ext.vec_env.jax_world import JaxWorldVecEnv
    from sb3_ext.vec_env.rows import RowVecNormalize
    from sb3_ext.vec_env.shared_memory import SharedMemoryVecEnv

__all__ = [
    "EpisodeLog",
    "GymnasiumVecEnv",
    "JaxWorldVecEnv",
    "RowVecNormalize",
    "SharedMemoryVecEnv",
]

_HOMES = {
    "EpisodeLog": "sb3_ext.vec_env.episode_log",
    "GymnasiumVecEnv": "sb3_ext.vec_env.gymnasium",
    "JaxWorldVecEnv": "sb3_ext.vec_env.jax_world",
    "RowVecNormalize": "sb3_ext.vec_env.rows",
    "SharedMemoryVecEnv": "sb3_ext.vec_env.shared_memory",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
