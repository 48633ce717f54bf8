"""What a step of the walker is worth: named terms, and presets of their weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Weights(NamedTuple):
    """Of the reward's terms, per control step at 50 Hz (others are scaled by 50 / hz).

    Attributes:
        progress: Per m/s of the hip's speed down the slope.
        top_speed: m/s, beyond which there's nothing more to gain.
        alive: For every step without a fall.
        hip: For the squared hip action (1 is the largest torque).
        lift: For the feet's lifts (1 is the highest).
        fall: Once, for falling or standing still; not scaled.
    """

    progress: float
    top_speed: float
    alive: float
    hip: float
    lift: float
    fall: float = 0.0


PRESETS = {
    # Gravity walks, the hip only helps: the passive gait's speed on 3 degrees is 0.73 m/s.
    "efficient": Weights(progress=0.5, top_speed=0.73, alive=0.5, hip=1.0, lift=0.02),
    "speed": Weights(progress=1.0, top_speed=1.2, alive=0.5, hip=0.02, lift=0.02),
}


def weights_of(preset: str, changes: dict[str, Any]) -> Weights:
    """A preset's weights, some of them changed.

    Raises:
        ValueError: There's no such preset, or a weight isn't a finite number.
        TypeError: There's no such weight.
    """
    if preset not in PRESETS:
        raise ValueError(f"reward must be one of {', '.join(PRESETS)}, got {preset!r}")
    for name, value in changes.items():
        if name not in Weights._fields:
            raise TypeError(f"there is no reward weight {name!r}: {', '.join(Weights._fields)}")
        if not np.isfinite(value):
            raise ValueError(f"reward weight {name} must be finite, got {value}")
    return PRESETS[preset]._replace(**changes)


def reward_terms(
    weights: Weights,
    speed: NDArray[np.float64],
    actions: NDArray[np.float64],
    failed: NDArray[np.bool_],
    seconds: float,
) -> dict[str, NDArray[np.float64]]:
    """The terms of a control step, `[n]` each; their sum is the reward.

    Args:
        weights: Of the terms.
        speed: Mean speed of the hip down the slope over the step, m/s, `[n]`.
        actions: Hip torque and the feet's lifts, clipped, `[n, 3]`.
        failed: Whether the walker has fallen or stood still, `[n]`.
        seconds: Length of a control step.
    """
    scale = seconds * 50.0
    lifts = np.maximum(actions[:, 1], 0.0) + np.maximum(actions[:, 2], 0.0)
    hip = actions[:, 0]
    return {
        "progress": scale * weights.progress * np.minimum(speed, weights.top_speed),
        "alive": np.where(failed, 0.0, scale * weights.alive),
        "hip": -scale * weights.hip * hip * hip,
        "lift": -scale * weights.lift * lifts,
        "fall": np.where(failed, -weights.fall, 0.0),
    }
