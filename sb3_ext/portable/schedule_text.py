"""Schedules as plain data: a number, or text such as ``lin_3e-4``."""

from typing import Any

import numpy as np
from stable_baselines3.common import utils as sb3

from sb3_ext import schedules
from sb3_ext.portable.errors import ModelFileError

__all__ = ["schedule_text"]


def schedule_text(value: Any, name: str) -> float | str | None:
    """What :func:`sb3_ext.schedules.from_string` reads back as the same schedule.

    Args:
        value: A number, a schedule of ours, stable-baselines3's or RL Zoo's, or None.
        name: The argument's, for the message.

    Raises:
        ModelFileError: a function of somebody's own.
    """
    match value:
        case None | str():
            return value
        case sb3.FloatSchedule():
            return schedule_text(value.value_schedule, name)
        case sb3.ConstantSchedule():
            return schedule_text(value.val, name)
        case schedules.ConstantSchedule():
            return float(value.value)
        case schedules.LinearSchedule():
            return f"lin_{float(value.initial)!r}"
        case schedules.CosineSchedule():
            return f"cosine_{float(value.initial)!r}"
        case sb3.LinearSchedule(end=0, end_fraction=1):
            return f"lin_{float(value.start)!r}"
        case int() | float() | np.integer() | np.floating():
            return float(value)
    if type(value).__name__ == "SimpleLinearSchedule":  # RL Zoo's; nobody needs to import it
        return f"lin_{float(value.initial_value)!r}"
    raise ModelFileError(
        f"{name} is a function, which a file of plain data can't hold: give a number, const_X, "
        f"lin_X or cosine_X, or save(..., exclude=[{name!r}])"
    )
