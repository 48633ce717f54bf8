"""Three passive walkers as ordinary differential equations with impacts, and their limit cycles.

A passive walker falls down a slope from step to step with no motor at all. Between impacts it's a
pendulum of one or two legs; an impact is instantaneous and keeps the angular momentum about the new
foot. A gait is a fixed point of the map from one step's beginning to the next; it's stable if the
map's eigenvalues lie within the unit circle.

Sources:
    `SimplestWalker`: Garcia, Chatterjee, Ruina, Coleman, "The simplest walking model: stability,
        complexity, and scaling", J. Biomech. Eng. 120 (1998).
    `CompassGait`: Goswami, Thuilot, Espiau, "Compass-like biped robot. Part I: stability and
        bifurcation of passive gaits", INRIA report 2996 (1996).
    `RimlessWheel`: McGeer, "Passive dynamic walking", Int. J. Robotics Research 9 (1990).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import solve_ivp
from scipy.optimize import root

Floats = NDArray[np.float64]

_ACCURACY = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-12}
_LONGEST_STEP = 20.0  # in the model's unit of time


class Stride(NamedTuple):
    """One step, from just after an impact to just after the next.

    Attributes:
        state: Just after the next impact, `[n]`.
        period: How long it took.
        times: `[m]`, from 0 to the period.
        path: The states between the impacts, `[m, n]`.
    """

    state: Floats
    period: float
    times: Floats
    path: Floats


class LimitCycle(NamedTuple):
    """A gait that repeats itself with every step.

    Attributes:
        state: Just after an impact, `[n]`.
        period: Of a step.
        step_length: Along the slope.
        speed: step_length / period.
        eigenvalues: Of the map from step to step, complex `[k]`, the largest first.
    """

    state: Floats
    period: float
    step_length: float
    speed: float
    eigenvalues: NDArray[np.complex128]


class Model(Protocol):
    """A passive walker."""

    def derivative(self, state: Floats) -> Floats:
        """Of the state `[n]` with time, between impacts."""
        ...

    def passing(self, state: Floats) -> float:
        """Falls through 0 when the legs pass each other; before that the foot may scuff."""
        ...

    def clearance(self, state: Floats) -> float:
        """Falls through 0 when the swinging foot comes down."""
        ...

    def impact(self, state: Floats) -> Floats:
        """From just before an impact to just after, legs swapped."""
        ...

    def expand(self, section: Floats) -> Floats:
        """The state just after an impact, from the numbers that determine it."""
        ...

    def section(self, state: Floats) -> Floats:
        """The numbers that determine a state just after an impact."""
        ...

    def step_length(self, state: Floats) -> float:
        """Distance of the feet along the slope, just after an impact."""
        ...


def stride(model: Model, state: Floats, n_times: int = 0) -> Stride:
    """Walks one step.

    Args:
        model: The walker.
        state: Just after an impact, `[n]`.
        n_times: How many moments of the path to return, evenly spaced.

    Raises:
        ValueError: The walker falls, or its foot never comes down.
    """

    passed = _until(model, model.passing, 0.0, state)
    landed = _until(model, model.clearance, *passed[:2])
    period = landed[0]
    times = np.linspace(0.0, period, n_times)
    # Each part's own interpolation: there's no better one across their border.
    first, second = times[times <= passed[0]], times[times > passed[0]]
    parts = [part(at).T for (_, _, part), at in ((passed, first), (landed, second)) if len(at)]
    path = np.concatenate(parts) if parts else np.empty((0, len(state)))
    return Stride(model.impact(landed[1]), period, times, path)


def _until(
    model: Model, event: Callable[[Floats], float], start: float, state: Floats
) -> tuple[float, Floats, Callable[[Floats], Floats]]:
    """Time and state when a function of the state falls through 0, and the path until then."""

    def falls(time: float, now: Floats) -> float:
        return event(now)

    falls.terminal = True  # type: ignore[attr-defined]
    falls.direction = -1.0  # type: ignore[attr-defined]
    solution = solve_ivp(
        lambda time, now: model.derivative(now),
        (start, start + _LONGEST_STEP),
        np.asarray(state, np.float64),
        events=falls,
        dense_output=True,
        **_ACCURACY,
    )
    if not len(solution.t_events[0]):
        raise ValueError(f"{model} takes no step from {state}")
    return float(solution.t_events[0][0]), solution.y_events[0][0], solution.sol


def limit_cycle(model: Model, guess: Floats) -> LimitCycle:
    """The gait near a guess.

    Args:
        model: The walker.
        guess: Numbers that determine a state just after an impact, as `model.section` gives them.

    Raises:
        ValueError: There's no gait near the guess.
    """

    def once(section: Floats) -> Floats:
        return model.section(stride(model, model.expand(section)).state)

    found = root(lambda section: once(section) - section, guess, method="hybr", tol=1e-13)
    fixed = found.x
    if np.abs(once(fixed) - fixed).max() > 1e-9:
        raise ValueError(f"{model} has no gait near {guess}")
    state = model.expand(fixed)
    period = stride(model, state).period
    length = model.step_length(state)
    h = 1e-5
    columns = [(once(fixed + d) - once(fixed - d)) / (2 * h) for d in h * np.eye(len(fixed))]
    eigenvalues = np.linalg.eigvals(np.array(columns).T).astype(np.complex128)
    eigenvalues = eigenvalues[np.argsort(-np.abs(eigenvalues), kind="stable")]
    return LimitCycle(state, period, length, length / period, eigenvalues)


@dataclass(frozen=True)
class SimplestWalker:
    """A point mass at the hip, massless feet, two legs of length 1; units of time sqrt(l / g).

    State: stance angle theta from the slope's normal, angle phi between the legs, their rates.

    Attributes:
        slope: rad.
    """

    slope: float

    def derivative(self, state: Floats) -> Floats:
        theta, phi, d_theta, d_phi = state
        dd_theta = math.sin(theta - self.slope)
        swing = d_theta**2 * math.sin(phi) - math.cos(theta - self.slope) * math.sin(phi)
        return np.array([d_theta, d_phi, dd_theta, dd_theta + swing])

    def passing(self, state: Floats) -> float:
        return state[0]

    def clearance(self, state: Floats) -> float:
        return 2.0 * state[0] - state[1]

    def impact(self, state: Floats) -> Floats:
        theta, rate = state[0], state[2]
        c = math.cos(2.0 * theta)
        return np.array([-theta, -2.0 * theta, c * rate, c * (1.0 - c) * rate])

    def expand(self, section: Floats) -> Floats:
        theta, rate = section
        return np.array([theta, 2.0 * theta, rate, (1.0 - math.cos(2.0 * theta)) * rate])

    def section(self, state: Floats) -> Floats:
        return state[[0, 2]]

    def step_length(self, state: Floats) -> float:
        return 2.0 * math.sin(state[0])

    def gait(self) -> LimitCycle:
        """Its longer gait, the stable one at small slopes."""
        theta = 0.963 * self.slope ** (1.0 / 3.0)  # near the paper's expansion at small slopes
        return limit_cycle(self, np.array([theta, -theta]))


@dataclass(frozen=True)
class CompassGait:
    """Two straight legs with masses, and a mass at the hip.

    State: swing and stance angle from the vertical, rad, and their rates.

    Attributes:
        slope: rad.
        leg_mass: kg, at `a` above the foot.
        hip_mass: kg.
        a: From foot to leg mass, m.
        b: From leg mass to hip, m.
        gravity: m/s^2.
    """

    slope: float
    leg_mass: float = 5.0
    hip_mass: float = 10.0
    a: float = 0.5
    b: float = 0.5
    gravity: float = 9.81

    @property
    def length(self) -> float:
        """Of a leg, m."""
        return self.a + self.b

    def derivative(self, state: Floats) -> Floats:
        swing, stance, d_swing, d_stance = state
        m, mh, a, b, l, g = (  # noqa: E741 (the paper's name)
            self.leg_mass,
            self.hip_mass,
            self.a,
            self.b,
            self.length,
            self.gravity,
        )
        c, s = math.cos(stance - swing), math.sin(stance - swing)
        # M qdd + N = 0, solved by hand.
        m11, m12, m22 = m * b * b, -m * l * b * c, (mh + m) * l * l + m * a * a
        n1 = m * l * b * s * d_stance**2 + g * m * b * math.sin(swing)
        n2 = -m * l * b * s * d_swing**2 - g * (mh * l + m * a + m * l) * math.sin(stance)
        det = m11 * m22 - m12 * m12
        return np.array(
            [d_swing, d_stance, (m12 * n2 - m22 * n1) / det, (m12 * n1 - m11 * n2) / det]
        )

    def passing(self, state: Floats) -> float:
        return state[1] - state[0]

    def clearance(self, state: Floats) -> float:
        return state[0] + state[1] + 2.0 * self.slope

    def impact(self, state: Floats) -> Floats:
        swing, stance, d_swing, d_stance = state
        m, mh, a, b, l = self.leg_mass, self.hip_mass, self.a, self.b, self.length  # noqa: E741
        c = math.cos(stance - swing)
        before = np.array([[-m * a * b, -m * a * b + (mh * l * l + 2 * m * a * l) * c], [0, 0]])
        before[1, 1] = -m * a * b
        after = np.array(
            [
                [m * b * (b - l * c), m * l * (l - b * c) + m * a * a + mh * l * l],
                [m * b * b, -m * b * l * c],
            ]
        )
        rates = np.linalg.solve(after, before @ [d_swing, d_stance])
        return np.array([stance, swing, *rates])

    def expand(self, section: Floats) -> Floats:
        half, d_swing, d_stance = section
        return np.array([-self.slope - half, -self.slope + half, d_swing, d_stance])

    def section(self, state: Floats) -> Floats:
        return np.array([(state[1] - state[0]) / 2.0, state[2], state[3]])

    def step_length(self, state: Floats) -> float:
        return 2.0 * self.length * abs(math.sin((state[1] - state[0]) / 2.0))

    def gait(self) -> LimitCycle:
        """Its gait of period one, found from that on 3 degrees by changing the slope slowly.

        With the default masses it's stable up to some 4.3 degrees.
        """
        guess, start = np.array([0.271, -0.377, -1.092]), math.radians(3.0)
        n_between = int(abs(self.slope - start) / math.radians(0.5))
        for slope in np.linspace(start, self.slope, n_between + 1)[:-1]:
            guess = replace(self, slope=float(slope))._fixed(guess)
        return limit_cycle(self, guess)

    def _fixed(self, guess: Floats) -> Floats:
        return self.section(limit_cycle(self, guess).state)


@dataclass(frozen=True)
class RimlessWheel:
    """Spokes without a rim that rolls down a slope, foot by foot.

    State: angle of the standing spoke from the vertical (downhill positive), and its rate.

    Attributes:
        slope: rad.
        spokes: How many.
        length: Of a spoke, m.
        gravity: m/s^2.
    """

    slope: float
    spokes: int = 8
    length: float = 1.0
    gravity: float = 9.81

    @property
    def half_angle(self) -> float:
        """Half the angle between two spokes, rad."""
        return math.pi / self.spokes

    def derivative(self, state: Floats) -> Floats:
        return np.array([state[1], self.gravity / self.length * math.sin(state[0])])

    def passing(self, state: Floats) -> float:
        return -state[0]  # upright

    def clearance(self, state: Floats) -> float:
        return self.slope + self.half_angle - state[0]

    def impact(self, state: Floats) -> Floats:
        angle = self.slope - self.half_angle
        return np.array([angle, math.cos(2.0 * self.half_angle) * state[1]])

    def expand(self, section: Floats) -> Floats:
        return np.array([self.slope - self.half_angle, section[0]])

    def section(self, state: Floats) -> Floats:
        return state[1:]

    def step_length(self, state: Floats) -> float:
        return 2.0 * self.length * math.sin(self.half_angle)

    def gait(self) -> LimitCycle:
        """Its rolling gait."""
        return limit_cycle(self, np.array([1.0]))
