"""rlgym-ppo's Learner, by its keywords, on this PPO; see docs/from-rlgym-ppo.md.

Names are loaded when they are used: worker processes build matches from here, and need no torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ext.learner.learner import Learner
    from sb3_ext.learner.metrics import MetricsLogger

__all__ = ["Learner", "MetricsLogger"]

_HOMES = {"Learner": "sb3_ext.learner.learner", "MetricsLogger": "sb3_ext.learner.metrics"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
