"""What a step of the walker is worth: named terms, and presets of their weights."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from envs.passive_walker.checks import finite_number

TERMS = ("progress", "alive", "hip", "lift", "flight", "fall")
"""Names of the reward's terms, in order."""


class Weights(NamedTuple):
    """Of the reward's terms; all but the last are per second, whatever the control rate.

    Attributes:
        progress: Per m/s of the hip's speed down the slope.
        top_speed: m/s, beyond which there's nothing more to gain.
        alive: For not having fallen.
        hip: For the squared hip action (1 is the largest torque).
        lift: For the feet's lifts (1 is the highest).
        flight: For having no foot on the ground.
        fall: Once, for falling or standing still.
    """

    progress: float
    top_speed: float
    alive: float
    hip: float
    lift: float
    flight: float = 0.0
    fall: float = 0.0


PRESETS = {
    # Gravity walks, the hip only helps. In each step the passive gait on 3 degrees slows down to
    # 0.39 m/s: it isn't rushed, so that it loses little against a gait that takes torque.
    "efficient": Weights(progress=0.8, top_speed=0.45, alive=0.5, hip=5.0, lift=0.02),
    "speed": Weights(progress=1.0, top_speed=1.2, alive=0.5, hip=0.02, lift=0.02),
    # As the trainer that the walker comes from means it: progress, being upright, little effort.
    "original": Weights(progress=1.0, top_speed=1.5, alive=0.5, hip=0.1, lift=0.1),
}


def weights_of(preset: str, changes: dict[str, Any]) -> Weights:
    """A preset's weights, some of them changed.

    Raises:
        ValueError: There's no such preset, or a weight isn't a finite number.
        TypeError: There's no such weight, or they have no names.
    """
    if preset not in PRESETS:
        raise ValueError(f"reward must be one of {', '.join(PRESETS)}, got {preset!r}")
    if not isinstance(changes, dict):
        raise TypeError(f"reward_weights must be a dict of names and weights, got {changes!r}")
    for name, value in changes.items():
        if name not in Weights._fields:
            raise TypeError(f"there is no reward weight {name!r}: {', '.join(Weights._fields)}")
        finite_number(f"reward weight {name}", value)
    return PRESETS[preset]._replace(**changes)


def reward_terms(
    weights: Weights,
    speed: NDArray[np.float64],
    actions: NDArray[np.float64],
    flies: NDArray[np.bool_],
    failed: NDArray[np.bool_],
    seconds: float,
) -> NDArray[np.float64]:
    """The terms of a control step in the order of `TERMS`, `[6, n]`; their sum is the reward.

    Args:
        weights: Of the terms.
        speed: Mean speed of the hip down the slope over the step, m/s, `[n]`.
        actions: Hip torque in [-1, 1] and the feet's lifts in [0, 1], `[n, 3]`.
        flies: Whether it has no foot on the ground, `[n]`.
        failed: Whether the walker has fallen or stood still, `[n]`.
        seconds: Length of a control step.
    """
    hip, left, right = actions.T
    terms = np.empty((len(TERMS), len(speed)))
    terms[0] = weights.progress * np.minimum(speed, weights.top_speed)
    terms[1] = weights.alive * ~failed
    terms[2] = -weights.hip * hip * hip
    terms[3] = -weights.lift * (left + right)
    terms[4] = -weights.flight * flies
    terms[5] = -weights.fall / seconds * failed
    terms *= seconds
    return terms
