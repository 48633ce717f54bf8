"""The walker's body in MuJoCo: its model, its control rate, its slope, and states to start from."""

from __future__ import annotations

import math
from pathlib import Path

import mujoco
import numpy as np
from numpy.typing import NDArray

from envs.passive_walker.checks import finite_number

Floats = NDArray[np.float64]

XML = Path(__file__).with_name("walker.xml")
GRAVITY = 9.81
"""m/s^2."""
MASS = 20.0
"""Of the whole walker, kg."""
TORQUE = 20.0
"""At the hip for an action of 1, N m."""
LIFT = 0.1
"""How far a foot is drawn up for an action of 1, m."""
LARGEST_SLOPE = 12.0
"""Degrees."""
LEG = 0.99
"""From the hip to the middle of the foot, m."""
FOOT = 0.01
"""Radius of the foot, m."""

_ASTRIDE = 0.2  # rad, both legs' angles of a walker that stands
_LONGEST_TIMESTEP = 0.002  # s; beyond it the stiff feet don't hold
_RATES = (20.0, 1000.0)  # control rates, Hz
_VERSIONS = ((3, 17), (5, 0))  # of MuJoCo: from the first, below the second

# The compass gait's limit cycle (models.CompassGait) just after an impact, by slope in degrees:
# half the angle between the legs (rad), rates of the stance and the swing leg (rad/s).
_LIMIT_CYCLES = np.array(
    [
        [0.25, 0.11728424, -0.58115367, -0.51549849],
        [0.5, 0.14806060, -0.71361821, -0.58332716],
        [1.0, 0.18699225, -0.86171396, -0.60573941],
        [2.0, 0.23626336, -1.01263810, -0.51918905],
        [3.0, 0.27102868, -1.09238359, -0.37737395],
        [4.0, 0.29889843, -1.13989911, -0.21641142],
        [5.0, 0.32262184, -1.16893398, -0.04794253],
        [6.0, 0.34353937, -1.18603054, 0.12305101],
        [8.0, 0.37972706, -1.19755098, 0.46393025],
    ]
)


def check_version() -> None:
    """Refuses a MuJoCo that the walker wasn't tried with.

    Raises:
        ImportError: It's older than 3.17, or 5 or newer.
    """
    version = tuple(int(part) for part in mujoco.__version__.split(".")[:2])
    if not _VERSIONS[0] <= version < _VERSIONS[1]:
        raise ImportError(
            f"PassiveWalker-v0 needs MuJoCo 3.17 or newer and below 5, not {mujoco.__version__}: "
            "pip uninstall -y mujoco, then pip install 'mujoco>=3.17,<5' (never upgrade in place)"
        )


def timing(hz: float) -> tuple[int, float]:
    """Physics steps per control step, and their length in seconds.

    The longest timestep up to 2 ms that divides a control step evenly.

    Raises:
        ValueError: The control rate can't be met.
    """
    low, high = _RATES
    if not low <= finite_number("hz", hz) <= high:
        raise ValueError(f"hz must lie between {low:g} and {high:g}, got {hz}")
    n_steps = math.ceil(1.0 / (hz * _LONGEST_TIMESTEP) - 1e-9)
    return n_steps, 1.0 / (hz * n_steps)


def check_slope(degrees: float) -> float:
    """A slope in rad.

    Raises:
        ValueError: It isn't between 0 and 12 degrees.
    """
    if not 0.0 <= finite_number("slope", degrees) <= LARGEST_SLOPE:
        raise ValueError(f"slope must lie between 0 and {LARGEST_SLOPE:g} degrees, got {degrees}")
    return math.radians(degrees)


def gravity(slope: Floats | float) -> Floats:
    """Gravity in the slope's frame, `[..., 3]`, m/s^2: x points down, z away from the slope."""
    slope = np.asarray(slope, np.float64)
    return GRAVITY * np.stack([np.sin(slope), np.zeros_like(slope), -np.cos(slope)], axis=-1)


def load_model(hz: float, slope: float) -> mujoco.MjModel:
    """The model with a control rate's timestep, on a slope in rad."""
    model = mujoco.MjModel.from_xml_path(str(XML))
    model.opt.timestep = timing(hz)[1]
    incline(model, slope)
    return model


def incline(model: mujoco.MjModel, slope: float) -> None:
    """Puts a model on a slope in rad: tilts gravity, and the camera, so that down is down."""
    model.opt.gravity[:] = gravity(slope)
    level, turned = (0.5**0.5, 0.5**0.5, 0.0, 0.0), np.zeros(4)  # from the side
    about_y = np.array([math.cos(-slope / 2.0), 0.0, math.sin(-slope / 2.0), 0.0])
    mujoco.mju_mulQuat(turned, about_y, np.array(level))
    model.camera("track").quat[:] = turned


def gait_start(slope: Floats, pace: Floats, mirrored: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """States just after a heel strike of the passive gait.

    Between the slopes of the table it's interpolated; below and beyond, its end is taken.

    Args:
        slope: rad, `[n]`.
        pace: Factor on all velocities, `[n]`.
        mirrored: Whether the right leg stands, `[n]`.

    Returns:
        qpos and qvel, `[n, 6]` each: x, z, left leg, left foot, right leg, right foot.
    """
    degrees, table = np.degrees(slope), _LIMIT_CYCLES.T
    half, d_stance, d_swing = (np.interp(degrees, table[0], column) for column in table[1:])
    n = len(half)
    qpos, qvel = np.zeros((n, 6)), np.zeros((n, 6))
    stance, swing = np.where(mirrored, 4, 2), np.where(mirrored, 2, 4)
    rows = np.arange(n)
    # The foot stands, and the hip turns about it.
    along, up = LEG * np.sin(half), LEG * np.cos(half)
    qpos[:, 0], qpos[:, 1] = -along, up + FOOT
    qvel[:, 0], qvel[:, 1] = -up * d_stance, -along * d_stance
    qpos[rows, stance], qpos[rows, swing] = half, -half
    qvel[rows, stance], qvel[rows, swing] = d_stance, d_swing
    return qpos, qvel * pace[:, None]


def rest_start(mirrored: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    """States that stand still with the legs apart, the hip over the middle between the feet.

    Args:
        mirrored: Whether the right leg is ahead, `[n]`.
    """
    n = len(mirrored)
    qpos = np.zeros((n, 6))
    qpos[:, 1] = LEG * np.cos(_ASTRIDE) + FOOT
    qpos[:, 2] = np.where(mirrored, -_ASTRIDE, _ASTRIDE)
    qpos[:, 4] = -qpos[:, 2]
    return qpos, np.zeros((n, 6))


def foot_heights(qpos: Floats) -> Floats:
    """How high left and right foot are over the ground, m, `[n, 2]`, in states `[n, 6]`."""
    legs, feet = qpos[:, 2:5:2], qpos[:, 3:6:2]
    return qpos[:, 1:2] - (LEG - feet) * np.cos(legs) - FOOT
