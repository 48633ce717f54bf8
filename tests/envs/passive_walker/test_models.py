"""Published limit cycles, recomputed."""

import math

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from envs.passive_walker import physics
from envs.passive_walker.models import (
    CompassGait,
    RimlessWheel,
    SimplestWalker,
    limit_cycle,
    stride,
)


@pytest.mark.parametrize(
    ("slope", "theta", "rate", "period"),
    [(0.009, 0.2003109, -0.1998325, 3.88246), (0.004, 0.1533896, -0.1560802, 3.85261)],
)
def test_simplest_walker(slope, theta, rate, period):
    cycle = SimplestWalker(slope).gait()
    assert cycle.state[0] == pytest.approx(theta, abs=1e-6)
    assert cycle.state[2] == pytest.approx(rate, abs=1e-6)
    assert cycle.period == pytest.approx(period, abs=1e-5)


def test_simplest_walker_s_stability():
    cycle = SimplestWalker(0.009).gait()
    assert np.abs(cycle.eigenvalues) == pytest.approx(0.5891, abs=1e-4)
    assert sorted(cycle.eigenvalues, key=lambda z: z.imag) == pytest.approx(
        [-0.19010 - 0.55760j, -0.19010 + 0.55760j], abs=1e-4
    )


def test_compass_gait_on_three_degrees():
    cycle = CompassGait(math.radians(3.0)).gait()
    np.testing.assert_allclose(
        cycle.state, [-0.32338856, 0.21866880, -0.37737395, -1.09238359], atol=1e-6
    )
    assert cycle.period == pytest.approx(0.73435, abs=1e-5)
    assert cycle.step_length == pytest.approx(0.53545, abs=1e-5)
    assert cycle.speed == pytest.approx(0.72915, abs=1e-5)
    assert np.abs(cycle.eigenvalues) == pytest.approx([0.580, 0.580, 0.132], abs=5e-4)


@pytest.mark.parametrize(
    ("degrees", "period", "length", "speed"),
    [(2.0, 0.7197, 0.4681, 0.6505), (4.0, 0.7482, 0.5889, 0.7871)],
)
def test_compass_gait_on_other_slopes(degrees, period, length, speed):
    cycle = CompassGait(math.radians(degrees)).gait()
    found = (cycle.period, cycle.step_length, cycle.speed)
    assert found == pytest.approx((period, length, speed), abs=6e-5)


def test_rimless_wheel_has_a_closed_form():
    """Energy gained between impacts is what they lose: w = cot(2a) sqrt(4 g/l sin a sin s)."""
    wheel = RimlessWheel(0.08)
    cycle = wheel.gait()
    a = math.pi / 8
    exact = math.sqrt(4.0 * 9.81 * math.sin(a) * math.sin(0.08)) / math.tan(2 * a)
    assert cycle.state[1] == pytest.approx(exact, abs=1e-9)
    assert exact == pytest.approx(1.0955, abs=1e-4)
    assert (cycle.period, cycle.speed) == pytest.approx((1.0345, 0.7398), abs=1e-4)
    assert cycle.eigenvalues == pytest.approx([math.cos(2 * a) ** 2])


def test_between_impacts_energy_is_kept_and_impacts_lose_some():
    walker = CompassGait(math.radians(3.0))
    walk = stride(walker, walker.gait().state, n_times=50)

    def energy(state):
        swing, stance, d_swing, d_stance = state
        m, mh, a, b, l, g = 5.0, 10.0, 0.5, 0.5, 1.0, 9.81  # noqa: E741
        kinetic = 0.5 * ((mh + m) * l**2 + m * a**2) * d_stance**2 + 0.5 * m * (b * d_swing) ** 2
        kinetic -= m * l * b * math.cos(stance - swing) * d_swing * d_stance
        height = (mh * l + m * a + m * l) * math.cos(stance) - m * b * math.cos(swing)
        return kinetic + g * height

    energies = np.array([energy(state) for state in walk.path])
    assert np.ptp(energies) < 1e-9
    assert walk.times[-1] == walk.period
    # The next step begins lower by the slope's drop, and the impact took what the drop gave.
    assert energy(walk.state) == pytest.approx(energies[0], abs=1e-9)


def test_no_gait_is_said():
    with pytest.raises(ValueError, match="takes no step"):
        stride(RimlessWheel(0.0), np.array([-math.pi / 8, 0.1]))  # rolls back


def test_the_environment_s_table_is_these_gaits():
    table = physics._LIMIT_CYCLES
    for degrees, half, d_stance, d_swing in table:
        slope = math.radians(degrees)
        state = limit_cycle(CompassGait(slope), np.array([half, d_swing, d_stance])).state
        np.testing.assert_allclose(
            [state[1] + slope, state[3], state[2]], [half, d_stance, d_swing], atol=2e-8
        )


def points(angles, rates):
    """Positions and velocities `[3, 2]` of the standing leg's mass, the hip and the swinging one's.

    Angles from the vertical, of the swinging and the standing leg, the foot that stands at 0.
    """
    (swing, stance), (d_swing, d_stance) = angles, rates

    def up(angle):
        return np.array([-math.sin(angle), math.cos(angle)])

    def turning(angle, rate):
        return -rate * np.array([math.cos(angle), math.sin(angle)])

    hip, d_hip = up(stance), turning(stance, d_stance)
    swung = 0.5 * up(swing), 0.5 * turning(swing, d_swing)
    return (
        np.array([0.5 * hip, hip, hip - swung[0]]),
        np.array([0.5 * d_hip, d_hip, d_hip - swung[1]]),
    )


def jacobian(angles):
    """Of the points with the angles, `[6, 2]`."""
    return np.stack([points(angles, unit)[1].ravel() for unit in np.eye(2)], axis=1)


def step_of_points(section, slope):
    """The compass gait's step from Newton's laws for three masses on rods, and nothing else.

    Returns:
        The next step's section, and how long this one took, s.
    """
    masses = np.array([5.0, 10.0, 5.0])
    half, d_swing, d_stance = section
    start = np.array([-slope - half, -slope + half, d_swing, d_stance])

    def derivative(_, state):
        angles, rates, h = state[:2], state[2:], 1e-6
        j = jacobian(angles)
        turning = (jacobian(angles + h * rates) - jacobian(angles - h * rates)) / (2 * h) @ rates
        m = np.repeat(masses, 2)
        forces = -m * turning - m * np.tile([0.0, 9.81], 3)
        return np.concatenate([rates, np.linalg.solve(j.T @ (m[:, None] * j), j.T @ forces)])

    def lands(time, state):
        return state[0] + state[1] + 2 * slope if time > 0.3 else 1.0

    lands.terminal = True
    accuracy = {"rtol": 1e-10, "atol": 1e-10}
    path = solve_ivp(derivative, (0.0, 2.0), start, "LSODA", events=lands, **accuracy)
    angles, rates = path.y_events[0][0][:2], path.y_events[0][0][2:]
    where, before = points(angles, rates)
    foot = where[1] - np.array([-math.sin(angles[0]), math.cos(angles[0])])

    def momenta(velocities):
        """Of all about the new foot, and of the leg that stood about the hip."""
        about = [where - foot, where - where[1]]
        turns = [masses * (r[:, 0] * velocities[:, 1] - r[:, 1] * velocities[:, 0]) for r in about]
        return np.array([turns[0].sum(), turns[1][0]])

    swapped = angles[::-1]

    def after(rates):
        return points(swapped, rates)[1][::-1]  # the leg that stood is now the last

    columns = np.stack([momenta(after(unit)) for unit in np.eye(2)], axis=1)
    d_swing, d_stance = np.linalg.solve(columns, momenta(before))
    return np.array([(swapped[1] - swapped[0]) / 2, d_swing, d_stance]), path.t_events[0][0]


def test_the_compass_gait_follows_from_newton_s_laws():
    slope = math.radians(3.0)
    model = CompassGait(slope)
    cycle = model.gait()
    fixed = model.section(cycle.state)
    again, period = step_of_points(fixed, slope)
    np.testing.assert_allclose(again, fixed, atol=1e-6)
    assert period == pytest.approx(cycle.period, abs=1e-6)
    h = 1e-4
    columns = [
        (step_of_points(fixed + d, slope)[0] - step_of_points(fixed - d, slope)[0]) / (2 * h)
        for d in h * np.eye(3)
    ]
    expected = np.sort(np.abs(np.linalg.eigvals(np.array(columns).T)))[::-1]
    np.testing.assert_allclose(np.abs(cycle.eigenvalues), expected, atol=1e-4)
