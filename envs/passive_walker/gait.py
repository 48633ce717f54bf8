"""Gaits: how the body walks by itself, and the measures of any walk.

`passive_walk` lets the MuJoCo body walk with no torque at the hip, as the theory in
`envs.passive_walker.models` says it must. `measure` gives what a legged-robotics user expects of a
walk, whoever walked it.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.passive_walker import physics
from envs.passive_walker.models import CompassGait, RimlessWheel, SimplestWalker
from envs.passive_walker.task import fallen

__all__ = [
    "CompassGait",
    "Measures",
    "RimlessWheel",
    "SimplestWalker",
    "Strikes",
    "Walk",
    "heel_strikes",
    "measure",
    "passive_policy",
    "passive_walk",
]

Floats = NDArray[np.float64]

_AHEAD = 0.1  # rad between the legs from which a touching foot counts as a step
_BOUNCE = 0.001  # m over the ground
_FLICKER = 0.07  # s between contacts of a foot that stands all the while
_SETTLING = 5  # steps left out of means: the start isn't the gait


class Walk(NamedTuple):
    """A walk, sampled T times.

    Attributes:
        slope: rad.
        time: s, `[T]`.
        qpos: x, z, left leg, left foot, right leg, right foot, `[T, 6]`.
        qvel: Their rates, `[T, 6]`.
        torque: Of the hip, N m, `[T]`.
        touch: Forces on left and right foot, N, `[T, 2]`.
    """

    slope: float
    time: Floats
    qpos: Floats
    qvel: Floats
    torque: Floats
    touch: Floats


class Strikes(NamedTuple):
    """Heel strikes: alternately left (0) and right (1).

    Attributes:
        time: s, `[k]`.
        leg: 0 or 1, `[k]`.
        x: Where the foot came down, m along the slope, `[k]`.
    """

    time: Floats
    leg: NDArray[np.intp]
    x: Floats


@dataclass(frozen=True)
class Measures:
    """Of a walk; lengths in m, times in s, means without the first five steps.

    Attributes:
        steps: Heel strikes.
        distance: Down the slope.
        seconds: Until it ended.
        fell: Whether it ended with a fall.
        speed: distance / seconds.
        step_length: Mean distance from one heel strike to the next.
        step_length_std: Its standard deviation.
        period: Mean time from one heel strike to the next.
        period_std: Its standard deviation.
        asymmetry: |left - right| / mean of the steps' lengths.
        hip_cost_of_transport: sum |torque * rate between the legs| dt / (m g distance).
        gravity_cost_of_transport: sin(slope): what gravity spends in the same measure.
        duty_factor: Share of the time that a foot stands on the ground, mean of both.
        clearance: Mean over steps of how high the swinging foot is lifted off the ground.
    """

    steps: int
    distance: float
    seconds: float
    fell: bool
    speed: float
    step_length: float
    step_length_std: float
    period: float
    period_std: float
    asymmetry: float
    hip_cost_of_transport: float
    gravity_cost_of_transport: float
    duty_factor: float
    clearance: float

    def as_dict(self) -> dict[str, Any]:
        """By name."""
        return asdict(self)


def passive_walk(slope_deg: float, seconds: float, hz: float = 100.0) -> Walk:
    """Lets the body walk down a slope with no torque at the hip, from the compass gait's cycle.

    Only the swinging foot is drawn up while it passes the other, since straight legs would scuff.

    Args:
        slope_deg: Degrees; the gait is stable up to some 4.
        seconds: How long; it ends early with a fall.
        hz: How often the feet are looked at, and the walk is sampled.

    Raises:
        ValueError: The slope or the rate can't be.
    """
    slope = physics.check_slope(slope_deg)
    n_substeps = physics.timing(hz)[0]
    model = physics.load_model(hz, slope)
    data = mujoco.MjData(model)
    one = np.ones(1)
    qpos, qvel = physics.gait_start(slope * one, one, np.zeros(1, bool))
    data.qpos[:], data.qvel[:] = qpos[0], qvel[0]
    mujoco.mj_forward(model, data)
    rows: list[tuple[Any, ...]] = []
    swing = 1
    for _ in range(round(seconds * hz)):
        ahead = data.qpos[2 + 2 * swing] - data.qpos[4 - 2 * swing]
        if data.sensordata[swing] > 0.0 and ahead > 3 * _AHEAD:
            swing, ahead = 1 - swing, -ahead
        data.ctrl[:] = 0.0
        data.ctrl[1 + swing] = 0.05 if ahead < 2.5 * _AHEAD else 0.0
        mujoco.mj_step(model, data, n_substeps)
        now = (data.time, data.qpos.copy(), data.qvel.copy(), 0.0, data.sensordata[:2].copy())
        rows.append(now)
        if fallen(data.qpos[None])[0]:
            break
    return Walk(slope, *(np.array(column) for column in zip(*rows, strict=True)))


def passive_policy(observations: NDArray[np.floating]) -> Floats:
    """What `passive_walk` does, as actions `[n, 3]` for observations `[n, 12]`: no torque."""
    angles, rates = 0.5 * observations[:, [1, 3]], observations[:, [7, 8]]
    ahead = angles - angles[:, ::-1]
    swings = (rates > rates[:, ::-1]) & (ahead < 2.5 * _AHEAD)
    # Before a heel strike the standing leg is behind, too; but then the other foot is in the air.
    other_is_down = (ahead > -2.5 * _AHEAD) | (observations[:, [10, 9]] > 0.0)
    lifts = np.where(swings & other_is_down, 0.5, 0.0)
    return np.concatenate([np.zeros((len(observations), 1)), lifts], axis=1)


def heel_strikes(walk: Walk) -> Strikes:
    """When a foot comes down ahead of the other, legs taking turns."""
    legs = walk.qpos[:, [2, 4]]
    ahead = legs[:, 0] - legs[:, 1]
    # A foot that has just come down may bounce while it's looked at.
    down = (walk.touch > 0.0) | (foot_heights(walk) < _BOUNCE)
    found: list[tuple[float, int, float]] = []
    for t in np.flatnonzero((down[:, 0] & (ahead > _AHEAD)) | (down[:, 1] & (ahead < -_AHEAD))):
        leg = 0 if ahead[t] > 0 else 1
        if found and found[-1][1] == leg:
            continue
        x = walk.qpos[t, 0] + physics.LEG * math.sin(legs[t, leg])
        found.append((float(walk.time[t]), leg, x))
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    return Strikes(np.array(columns[0]), np.array(columns[1], np.intp), np.array(columns[2]))


def measure(walk: Walk) -> Measures:
    """The measures of a walk of at least two samples."""
    strikes = heel_strikes(walk)
    seconds = float(walk.time[-1] - walk.time[0])
    distance = float(walk.qpos[-1, 0] - walk.qpos[0, 0])
    keep = slice(min(_SETTLING, max(0, len(strikes.time) - 3)), None)
    lengths, periods = np.diff(strikes.x)[keep], np.diff(strikes.time)[keep]
    by_leg = [lengths[strikes.leg[1:][keep] == leg] for leg in (0, 1)]
    asymmetry = math.nan
    if all(len(part) for part in by_leg):
        left, right = (float(part.mean()) for part in by_leg)
        asymmetry = abs(left - right) / max(abs(left + right) / 2.0, 1e-9)
    rate = walk.qvel[:, 4] - walk.qvel[:, 2]
    # A control's torque acts until the sample at its end.
    work = float(np.sum(np.abs(walk.torque * rate)[1:] * np.diff(walk.time)))
    weight = physics.MASS * physics.GRAVITY
    return Measures(
        steps=len(strikes.time),
        distance=distance,
        seconds=seconds,
        fell=bool(fallen(walk.qpos[-1:])[0]),
        speed=distance / seconds,
        step_length=_mean(lengths),
        step_length_std=_std(lengths),
        period=_mean(periods),
        period_std=_std(periods),
        asymmetry=asymmetry,
        hip_cost_of_transport=work / (weight * distance) if distance > 0 else math.inf,
        gravity_cost_of_transport=math.sin(walk.slope),
        duty_factor=float(standing(walk).mean()),
        clearance=_mean(swing_clearance(walk, strikes)[0]),
    )


def standing(walk: Walk) -> NDArray[np.bool_]:
    """Whether left and right foot stand, `[T, 2]`.

    Contact flickers under a standing foot, because the ground and its actuator are stiff: gaps up
    to 0.07 s count as standing.
    """
    touches = walk.touch > 0.0
    stands = touches.copy()
    for leg in (0, 1):
        at = np.flatnonzero(touches[:, leg])
        for before, after in itertools.pairwise(at.tolist()):
            if walk.time[after] - walk.time[before] < _FLICKER:
                stands[before:after, leg] = True
    return stands


def foot_heights(walk: Walk) -> Floats:
    """How high the feet are over the ground, m, `[T, 2]`."""
    return physics.foot_heights(walk.qpos)


def swing_clearance(walk: Walk, strikes: Strikes) -> tuple[Floats, NDArray[np.intp]]:
    """How high the swinging foot was lifted off the ground on the way to each heel strike.

    Returns:
        Heights in m and legs, both `[k - 1]` for k heel strikes.
    """
    heights = foot_heights(walk)
    ends = np.searchsorted(walk.time, strikes.time)
    swings = zip(ends, ends[1:], strikes.leg[1:], strict=False)
    highest = [heights[start + 1 : end + 1, leg].max() for start, end, leg in swings]
    return np.array(highest, np.float64), strikes.leg[1:]


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


def _std(values: Floats) -> float:
    return float(values.std()) if len(values) else math.nan
