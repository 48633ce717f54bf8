"""What the walker is asked to do, over rows: starts, pushes, observations, rewards, ends.

It knows nothing of how the physics is stepped, so that the single environment and the vector form
share every number.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.passive_walker import physics, rewards
from envs.passive_walker.checks import finite_number

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

N_NOISE = 24
"""Uniforms that the start of an episode takes."""

LOWEST_HIP = 0.75
"""m; below it the walker has fallen."""
IN_THE_AIR = 0.005
"""m over the ground; a foot that stands bounces by less."""
WIDEST_LEG = 0.9
"""rad from the slope's normal; beyond it the walker has fallen."""
PATIENCE = 2.0
"""Seconds within which it must come forward by `LEAST_PROGRESS`."""
LEAST_PROGRESS = 0.1
"""m."""
PUSH_EVERY = 4.0
"""Seconds between pushes."""
STARTS = ("gait", "rest", "mixed")

_FULL_SCALE = np.array([physics.TORQUE, physics.LIFT, physics.LIFT])
_LOWEST_ACTION = np.array([-1.0, 0.0, 0.0])
_PER_UNIT = np.array([10, 2, 1 / physics.LIFT, 2, 1 / physics.LIFT, 1, 1, 0.5, 0.5, 1, 1, 10.0])
_N_PUSHES = 16  # drawn for an episode; they repeat after 64 s
_REST_SHARE = 0.25  # of mixed starts


class Options(NamedTuple):
    """What may differ from episode to episode.

    Attributes:
        slope: Degrees, lowest and highest.
        friction: Of feet and ground, lowest and highest.
        mass: By which share each of hip and legs may be lighter or heavier.
        push: Largest impulse at the hip, along the slope, N s; one comes every 4 s.
        start: "gait" (just after a heel strike of the passive gait, mirrored or not, its velocities
            within `pace` of theirs), "rest" (standing, either leg ahead), or "mixed" (a quarter
            from rest).
        pace: Share.
    """

    slope: tuple[float, float] = (3.0, 3.0)
    friction: tuple[float, float] = (1.0, 1.0)
    mass: float = 0.0
    push: float = 0.0
    start: str = "gait"
    pace: float = 0.05

    @classmethod
    def of(cls, slope: Any, friction: Any, **others: Any) -> Options:
        """From an environment's arguments: a number is a range without extent.

        Raises:
            ValueError: One of them makes no sense.
        """
        low, high = _range("slope", slope)
        physics.check_slope(low)
        physics.check_slope(high)
        options = cls((low, high), _range("friction", friction), **others)
        if options.friction[0] <= 0.0:
            raise ValueError(f"friction must be positive, got {friction}")
        for name, limit in (("mass", 0.9), ("pace", 1.0), ("push", 1000.0)):
            value = getattr(options, name)
            if not 0.0 <= finite_number(name, value) <= limit:
                raise ValueError(f"{name} must lie between 0 and {limit:g}, got {value}")
        if options.start not in STARTS:
            raise ValueError(f"start must be one of {', '.join(STARTS)}, got {options.start!r}")
        return options


def _range(name: str, value: Any) -> tuple[float, float]:
    try:
        pair = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        pair = np.full(3, np.nan)
    if pair.shape not in ((), (2,)) or not np.isfinite(pair).all():
        raise ValueError(f"{name} must be a number or (lowest, highest), got {value!r}")
    low, high = (float(pair), float(pair)) if pair.ndim == 0 else map(float, pair)
    if low > high:
        raise ValueError(f"{name} must be a number or (lowest, highest), got {value!r}")
    return low, high


class Start(NamedTuple):
    """How an episode begins, `[k, ...]` for k rows.

    Attributes:
        qpos: `[k, 6]`.
        qvel: `[k, 6]`.
        gravity: `[k, 3]`.
        friction: `[k]`.
        masses: Factors of hip, left and right leg, `[k, 3]`.
    """

    qpos: Floats
    qvel: Floats
    gravity: Floats
    friction: Floats
    masses: Floats


class Outcome(NamedTuple):
    """What a control step led to, `[n, ...]`."""

    observation: NDArray[np.float32]
    reward: Floats
    terms: Floats  # in the order of `rewards.TERMS`, `[6, n]`
    terminated: Bools
    truncated: Bools
    speed: Floats


class Task:
    """The rows' episodes.

    Args:
        n_rows: How many.
        hz: Control rate.
        options: What may differ from episode to episode.
        weights: Of the reward.
        max_episode_steps: The time limit in steps; None: none.
    """

    observation_space = spaces.Box(-20.0, 20.0, (12,), np.float32)
    action_space = spaces.Box(-1.0, 1.0, (3,), np.float32)

    def __init__(
        self,
        n_rows: int,
        hz: float,
        options: Options,
        weights: rewards.Weights,
        max_episode_steps: int | None = None,
    ) -> None:
        self.hz, self.options, self.weights = hz, options, weights
        self.max_episode_steps = max_episode_steps
        self._limit = np.inf if max_episode_steps is None else max_episode_steps
        self._slopes = np.radians(options.slope)
        self.slope = np.zeros(n_rows)
        self.elapsed = np.zeros(n_rows, np.int64)
        self._pushes = np.zeros((n_rows, _N_PUSHES))
        self._first_push = np.zeros(n_rows, np.int64)
        self._asked = np.zeros(n_rows)  # impulses beside the drawn ones, N s
        self._push_every = max(1, round(PUSH_EVERY * hz))
        self._patience = max(1, round(PATIENCE * hz))
        self._last_x = np.zeros(n_rows)  # at the last step
        self._mark_x = np.zeros(n_rows)  # at the last check of progress
        self._on_the_ground = np.zeros(n_rows, bool)  # for rewards that don't ask

    def begin(self, rows: NDArray[np.intp], noise: NDArray[np.floating]) -> Start:
        """Starts episodes.

        Args:
            rows: Indices of the rows, `[k]`.
            noise: Uniforms in [0, 1), `[k, N_NOISE]`.
        """
        u, options = noise.astype(np.float64), self.options
        low, high = self._slopes
        slope = low + (high - low) * u[:, 0]
        pace = 1.0 + options.pace * (2.0 * u[:, 1] - 1.0)
        mirrored = u[:, 2] < 0.5
        qpos, qvel = physics.gait_start(slope, pace, mirrored)
        if options.start != "gait":
            rest = u[:, 3] < (_REST_SHARE if options.start == "mixed" else 1.0)
            for ours, other in zip((qpos, qvel), physics.rest_start(mirrored), strict=True):
                ours[rest] = other[rest]
        self.slope[rows], self.elapsed[rows] = slope, 0
        self._last_x[rows] = self._mark_x[rows] = qpos[:, 0]
        self._asked[rows] = 0.0
        if options.push:
            self._pushes[rows] = options.push * (2.0 * u[:, 8:] - 1.0)
            # Not all rows at once, and never within the first second.
            first = self.hz + u[:, 7] * (self._push_every - 1)
            self._first_push[rows] = first.astype(np.int64)
        low, high = options.friction
        friction, masses = low + (high - low) * u[:, 4], np.ones((len(rows), 3))
        if options.mass:
            masses = u[:, [3, 5, 6]]
            masses[:, 0] = masses[:, 0] / _REST_SHARE % 1.0  # whatever start that number chose
            masses = 1.0 + options.mass * (2.0 * masses - 1.0)
        return Start(qpos, qvel, physics.gravity(slope), friction, masses)

    def snapshot(self) -> dict[str, NDArray]:
        """All rows' episodes, for :meth:`restore`."""
        arrays = {name: each for name, each in vars(self).items() if isinstance(each, np.ndarray)}
        return copy.deepcopy(arrays)

    def restore(self, snapshot: dict[str, NDArray]) -> None:
        """Goes on where :meth:`snapshot` was taken."""
        vars(self).update(copy.deepcopy(snapshot))

    def controls(self, actions: Floats) -> Floats:
        """Torque of the hip in N m and lifts of the feet in m, `[n, 3]`, from clipped actions."""
        return actions * _FULL_SCALE

    def push(self, impulse: Floats | float) -> None:
        """Pushes the hips along the slope during the next control step: N s, `[n]` or all alike."""
        self._asked += impulse

    def pushes(self) -> Floats:
        """Force on the hip along the slope during the next control step, N, `[n]`."""
        impulse, self._asked = self._asked, np.zeros_like(self._asked)
        if self.options.push:
            since = self.elapsed - self._first_push
            number, rest = np.divmod(since, self._push_every)
            drawn = self._pushes[np.arange(len(since)), number % _N_PUSHES]
            impulse += np.where((since >= 0) & (rest == 0), drawn, 0.0)
        return impulse * self.hz

    def step(self, qpos: Floats, qvel: Floats, touch: Floats, actions: Floats) -> Outcome:
        """What the rows' new states, `[n, 6]`, mean.

        Args:
            qpos: Positions.
            qvel: Velocities.
            touch: Forces on the feet, `[n, 2]`.
            actions: That led there, clipped, `[n, 3]`.
        """
        self.elapsed += 1
        x = qpos[:, 0]
        speed = (x - self._last_x) * self.hz
        self._last_x[:] = x
        terminated = fallen(qpos) | self._stands_still(x)
        flies = flying(qpos) if self.weights.flight else self._on_the_ground
        terms = rewards.reward_terms(self.weights, speed, actions, flies, terminated, 1.0 / self.hz)
        truncated = self.elapsed >= self._limit
        seen = observe(qpos, qvel, touch, self.slope)
        return Outcome(seen, terms.sum(axis=0), terms, terminated, truncated, speed)

    def _stands_still(self, x: Floats) -> Bools:
        stands = self.elapsed % self._patience == 0
        if np.count_nonzero(stands):
            checked = stands.copy()
            stands &= x - self._mark_x < LEAST_PROGRESS
            self._mark_x[checked] = x[checked]
        return stands


def observe(qpos: Floats, qvel: Floats, touch: Floats, slope: Floats) -> NDArray[np.float32]:
    """What the policy sees, `[n, 12]`, each of order one and clipped at 20.

    Height of the hip over 0.95 m (in 0.1 m); angle of the left leg (0.5 rad) and lift of its foot
    (`LIFT`), the same of the right; the hip's velocity along and off the slope (m/s); the legs'
    rates (2 rad/s); whether the feet touch the ground; the slope (0.1 rad).

    Args:
        qpos: Positions, `[n, 6]`.
        qvel: Velocities, `[n, 6]`.
        touch: Forces on the feet, `[n, 2]`.
        slope: rad, `[n]`.
    """
    seen = np.empty((len(qpos), 12))
    seen[:, :5] = qpos[:, 1:]
    seen[:, 0] -= 0.95
    seen[:, 5:8] = qvel[:, :3]
    seen[:, 8] = qvel[:, 4]
    np.greater(touch, 0.0, out=seen[:, 9:11])
    seen[:, 11] = slope
    seen *= _PER_UNIT
    return np.minimum(np.maximum(seen, -20.0, out=seen), 20.0, out=seen).astype(np.float32)


def clip_actions(actions: Any, n_rows: int) -> Floats:
    """Actions of n rows, clipped to what they can do: a foot isn't drawn down.

    Returns:
        Hip torque in [-1, 1] and the feet's lifts in [0, 1], `[n, 3]`.

    Raises:
        ValueError: Their shape is wrong, or one isn't finite.
    """
    array = np.array(actions, np.float64)
    if array.shape != (n_rows, 3):
        raise ValueError(f"actions must have shape {(n_rows, 3)}, got {array.shape}")
    if not np.isfinite(array).all():
        row = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise ValueError(f"actions must be finite, got {array[row].tolist()} in row {row}")
    return np.minimum(np.maximum(array, _LOWEST_ACTION, out=array), 1.0, out=array)


def fallen(qpos: Floats) -> Bools:
    """Whether rows, `[n, 6]`, lie on the ground or have their legs too wide apart."""
    legs = np.abs(qpos[:, 2:5:2])
    return (qpos[:, 1] < LOWEST_HIP) | (np.maximum(legs[:, 0], legs[:, 1]) > WIDEST_LEG)


def flying(qpos: Floats) -> Bools:
    """Whether rows, `[n, 6]`, have no foot on the ground."""
    heights = physics.foot_heights(qpos)
    return np.minimum(heights[:, 0], heights[:, 1]) > IN_THE_AIR


def end_of(terminated: bool, truncated: bool, qpos: Floats) -> str:
    """Why an episode ended: "fall", "no progress" or "time limit"; "" if it goes on."""
    if terminated:
        return "fall" if bool(fallen(qpos[None])[0]) else "no progress"
    return "time limit" if truncated else ""
