"""Pickles for a worker: closures and lambdas too, and Gymnasium's classes as its own."""

from __future__ import annotations

import io
from typing import Any

import cloudpickle
import gymnasium as gym

from sb3_ext.vec_env.episodes import name_of

__all__ = ["dumps"]


def dumps(content: Any) -> bytes:
    """What a worker unpickles with :mod:`pickle` alone.

    RL Zoo, once imported, stands in Gymnasium's place with its own ``TimeLimit``. The one behind
    it would be pickled by value, which it doesn't survive, and RL Zoo's would bring torch along. A
    worker takes what stands in that place in its own interpreter.
    """
    file = io.BytesIO()
    _Pickler(file).dump(content)
    return file.getvalue()


class _Pickler(cloudpickle.Pickler):
    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, type) and name_of(obj) == "gymnasium.wrappers.common.TimeLimit":
            return _time_limit, ()
        return super().reducer_override(obj)


def _time_limit() -> type[gym.Wrapper]:
    return gym.wrappers.TimeLimit
