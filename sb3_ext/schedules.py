"""Schedules: a value as a function of the remaining progress (1 at the start, 0 at the end).

Progress is clamped to [0, 1]. The last rollout usually overshoots ``total_timesteps``, and an
unclamped linear schedule would then hand the optimizer a negative learning rate.

Schedules are small classes and not closures, so that a saved model can be pickled, compared and
printed. They follow stable-baselines3's convention for callables (``f(progress_remaining)``).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

__all__ = [
    "ConstantSchedule",
    "CosineSchedule",
    "LinearSchedule",
    "Schedule",
    "as_schedule",
    "clamp_progress",
    "from_string",
]

Schedule = Callable[[float], float]


def clamp_progress(progress_remaining: float) -> float:
    """Return ``progress_remaining`` limited to [0, 1]."""
    return min(1.0, max(0.0, float(progress_remaining)))


@dataclass(frozen=True)
class ConstantSchedule:
    """``value``, whatever the progress."""

    value: float

    def __call__(self, progress_remaining: float) -> float:
        return self.value


@dataclass(frozen=True)
class LinearSchedule:
    """``initial * p``: from ``initial`` down to 0 in a straight line."""

    initial: float

    def __call__(self, progress_remaining: float) -> float:
        return self.initial * clamp_progress(progress_remaining)


@dataclass(frozen=True)
class CosineSchedule:
    """``initial * (1 + cos(pi (1 - p))) / 2``: from ``initial`` down to 0 along half a cosine."""

    initial: float

    def __call__(self, progress_remaining: float) -> float:
        done = 1.0 - clamp_progress(progress_remaining)
        return 0.5 * self.initial * (1.0 + math.cos(math.pi * done))


_PREFIXES: dict[str, Callable[[float], Schedule]] = {
    "const": ConstantSchedule,
    "lin": LinearSchedule,
    "cosine": CosineSchedule,
}


def from_string(text: str) -> Schedule:
    """Read a schedule as YAML files write it: ``const_3e-4``, ``lin_3e-4``, ``cosine_0.1``.

    A plain number in quotes (``"3e-4"``, which YAML 1.1 reads as text) is that constant.

    Raises:
        ValueError: for any other prefix, or when what follows is not a finite number >= 0.
    """
    prefix, separator, number = text.strip().partition("_")
    if not separator:
        prefix, number = "const", text
    if prefix not in _PREFIXES:
        raise ValueError(
            f"unknown schedule {text!r}: write const_X, lin_X or cosine_X, for example 'lin_3e-4'"
        )
    try:
        value = float(number)
    except ValueError:
        raise ValueError(
            f"schedule {text!r}: {number!r} is not a number; write for example 'lin_3e-4'"
        ) from None
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"schedule {text!r}: the value must be finite and >= 0, not {value}")
    return _PREFIXES[prefix](value)


def as_schedule(value: float | str | Schedule, name: str = "schedule") -> Schedule:
    """Turn a number, a string (see :func:`from_string`) or a callable into a schedule.

    Raises:
        ValueError: when ``value`` is none of these; the message says ``name``.
    """
    if isinstance(value, str):
        return from_string(value)
    if callable(value):
        return value
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise ValueError(
            f"{name} must be a number, a string like 'lin_3e-4' or a callable, not {value!r}"
        )
    return ConstantSchedule(float(value))
