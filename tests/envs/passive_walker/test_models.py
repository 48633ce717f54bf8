"""Published limit cycles, recomputed."""

import math

import numpy as np
import pytest

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
