"""What a car is paid for: named terms, each with a weight, each counted by itself.

A step's reward is the sum over the terms of how much of each happened times its weight.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from rlgym.rocket_league.common_values import BACK_NET_Y, BALL_MAX_SPEED, CAR_MAX_SPEED

from envs.rocket_league.scene import Scene

WEIGHTS: dict[str, float] = {
    "goal": 10.0,
    "touch": 0.2,
    "hit": 3.0,
    "to_ball": 0.5,
    "face_ball": 0.1,
    "ball_to_goal": 1.0,
    "boost": 0.05,
    "air": 0.0,
    "demolished": -1.0,
}
"""The terms and their weights.

    goal: 1 where the car's team scores, -1 where the other one does.
    touch: per touch of the ball: a step in which the car touches it after one in which it didn't.
    hit: per touch, by how much faster the ball goes toward the other team's goal after that step,
        of its top speed; slower is less than 0. By its direction, so that juggling earns nothing.
    to_ball: per second, speed toward the ball, of a car's top speed.
    face_ball: per second, cosine of the angle between the car's front and the ball.
    ball_to_goal: per second, the ball's speed toward the other team's goal, of its top speed.
    boost: per second, square root of the boost there is, of a full tank.
    air: per second off the ground.
    demolished: per time that the car is demolished.
"""

TERMS = tuple(WEIGHTS)


def weights_of(overrides: Mapping[str, float] | None = None) -> NDArray[np.float64]:
    """The weights in the order of `TERMS`, some of them replaced.

    Raises:
        ValueError: There is no such term, or a weight isn't a finite number.
    """
    if overrides is not None and not isinstance(overrides, Mapping):
        raise ValueError(
            f"reward_weights must be a mapping such as dict(goal=20), not {overrides!r}"
        )
    weights = dict(WEIGHTS)
    for name, weight in (overrides or {}).items():
        if name not in weights:
            raise ValueError(f"there's no reward term {name!r}: it's one of {', '.join(TERMS)}")
        if not isinstance(weight, (int, float)) or not np.isfinite(weight):
            raise ValueError(f"the weight of {name!r} must be a number, got {weight!r}")
        weights[name] = float(weight)
    return np.array([weights[name] for name in TERMS])


def events(
    before: Scene, scene: Scene, seconds: float, scored: NDArray[np.int64]
) -> NDArray[np.float64]:
    """How much of each term a step had for each seat, `[M, N, terms]`; 0 for an empty one.

    Args:
        before: The moment before the step.
        scene: The moment after it.
        seconds: Between the two.
        scored: The team that has scored in each match, `[M]`: 0, 1, or -1 where none has.
    """
    happened = np.zeros((*scene.present.shape, len(TERMS)))
    ball = scene.ball[:, 0]
    to_ball = ball[:, None, 0:3] - scene.positions
    to_ball /= np.maximum(np.sqrt((to_ball * to_ball).sum(axis=2, keepdims=True)), 1.0)
    touched = (scene.touches > 0) & (before.touches == 0)
    speed, speed_before = goalward_speed(scene), goalward_speed(before)  # [M, N]
    happened[..., 0] = np.where(scored[:, None] == scene.teams, 1.0, -1.0)
    happened[scored < 0, :, 0] = 0.0
    happened[..., 1] = touched
    happened[..., 2] = touched * ((speed - speed_before) / BALL_MAX_SPEED)
    happened[..., 3] = (scene.velocities * to_ball).sum(axis=2) * (seconds / CAR_MAX_SPEED)
    happened[..., 4] = (scene.axes[..., 0, :] * to_ball).sum(axis=2) * seconds
    happened[..., 5] = speed * (seconds / BALL_MAX_SPEED)
    happened[..., 6] = np.sqrt(scene.boost / 100.0) * seconds
    happened[..., 7] = (1.0 - scene.on_ground) * seconds
    happened[..., 8] = (scene.demolished > 0) & (before.demolished == 0)
    happened[~scene.present] = 0.0
    return happened


def goalward_speed(scene: Scene) -> NDArray[np.float32]:
    """The ball's speed toward the goal that each seat attacks, uu/s, `[M, N]`."""
    # It's up the field, as each team sees it.
    away = np.array([0.0, BACK_NET_Y], np.float32) - scene.ball[..., 0:2]  # [M, 2, 2]
    speed = (scene.ball[..., 7:9] * away).sum(axis=2)
    speed /= np.maximum(np.sqrt((away * away).sum(axis=2)), 1.0)
    return speed[:, scene.teams]
