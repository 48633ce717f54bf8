"""What an agent is paid for: named terms, each with a weight, each counted by itself.

A step's reward is the sum over the terms of how much of each happened times its weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from envs.osu_mania.play import TERMS

WEIGHTS: dict[str, float] = {
    "max": 1.0,
    "300": 0.7,
    "200": 0.3,
    "100": 0.0,
    "50": -0.3,
    "miss": -1.0,
    "hold_head": 0.5,
    "holding": 0.5,
    "hold_tail": 0.5,
    "combo_gain": 0.0,
    "combo_break": -0.2,
    "score": 0.0,
    "spam": -0.05,
    "stray": -0.5,
    "idle": -0.1,
    "milestone": 0.0,
}
"""The terms and their weights.

    max, 300, 200, 100, 50, miss: per judgement (lazer has two of a hold, stable one at its end).
    hold_head: per head of a hold, by how well it was pressed: 1, 1, 2/3, 1/3, 1/6 for what would be
        a MAX, 300, 200, 100 or 50 of a note, 0 for more.
    holding: per second and hold that is held as it should be, from its head to its tail.
    hold_tail: per release that ends a hold, as hold_head.
    combo_gain: per point of combo; stable's holds give some while they are held.
    combo_break: per combo that is lost, whatever its length.
    score: per point of the score, of which a map has a million.
    spam: per press that hits nothing.
    stray: per second and key that is down and holds nothing, by how it is when a step ends. Without
        it an agent that lets go by chance while it explores needn't learn to.
    idle: per object whose time for a press went by without one; it's missed as well.
    milestone: per combo of 10, 25, 50, 100 and 200 that is reached.
"""


def reward_weights(overrides: Mapping[str, float] | None = None) -> NDArray[np.float64]:
    """The weights in the order of `play.TERMS`, some of them replaced.

    Raises:
        ValueError: There is no such term, or a weight isn't a finite number.
    """
    weights = dict(WEIGHTS)
    for name, weight in (overrides or {}).items():
        if name not in weights:
            raise ValueError(f"there's no reward term {name!r}: it's one of {', '.join(TERMS)}")
        if not isinstance(weight, (int, float)) or not np.isfinite(weight):
            raise ValueError(f"the weight of {name!r} must be a number, got {weight!r}")
        weights[name] = float(weight)
    return np.array([weights[name] for name in TERMS])


def pay(
    events: NDArray[np.float64], weights: NDArray[np.float64], sums: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Adds events `[n, terms]` to `sums` and returns what they are worth, `[n]`."""
    sums += events
    products = np.multiply(events.T, weights[:, None], order="C")
    total = products[0]
    for product in products[1:]:  # in the order of the terms, which sum() wouldn't keep
        total += product
    return total.astype(np.float32)
