"""The MuJoCo body walks as the theory says, with no torque at all."""

import math

import numpy as np
import pytest

from envs.passive_walker import gait, physics


@pytest.mark.parametrize("degrees", [2.0, 3.0, 4.0])
def test_the_passive_walk_is_the_compass_gait(degrees):
    walk = gait.passive_walk(degrees, 30.0)
    measures = gait.measure(walk)
    theory = gait.CompassGait(math.radians(degrees)).gait()
    assert not walk.torque.any()
    assert measures.steps >= 30
    assert not measures.fell
    assert measures.period == pytest.approx(theory.period, rel=0.04)
    assert measures.step_length == pytest.approx(theory.step_length, rel=0.04)
    assert measures.speed == pytest.approx(theory.speed, rel=0.02)
    assert measures.asymmetry < 0.05
    assert measures.hip_cost_of_transport == 0.0
    assert measures.gravity_cost_of_transport == pytest.approx(math.sin(math.radians(degrees)))


@pytest.mark.parametrize("hz", [50.0, 200.0])
def test_at_other_rates_too(hz):
    assert gait.measure(gait.passive_walk(3.0, 10.0, hz)).steps >= 12


def test_on_the_level_it_stops_or_falls():
    measures = gait.measure(gait.passive_walk(0.0, 20.0))
    assert measures.fell or measures.speed < 0.2


def test_measures_of_a_walk_made_by_hand():
    """Feet alternate every 0.5 s, left steps of 0.6 m and right ones of 0.4 m."""
    time = np.arange(1, 601) / 100.0
    legs = np.zeros((600, 2))
    touch = np.zeros((600, 2))
    qpos, qvel = np.zeros((600, 6)), np.zeros((600, 6))
    x = 0.0
    for k in range(600):
        leg = (k // 50) % 2
        legs[k, leg], legs[k, 1 - leg] = 0.25, -0.25
        touch[k, leg] = 100.0
        if k % 50 == 0:
            x += 0.6 if leg == 0 else 0.4
        qpos[k, 0] = x
    qpos[:, 1] = 0.97
    qpos[:, 2], qpos[:, 4] = legs.T
    qvel[:, 4], qvel[:, 2] = 0.3, -0.2  # between the legs: 0.5 rad/s
    measures = gait.measure(gait.Walk(0.0, time, qpos, qvel, np.full(600, 2.0), touch))
    assert measures.steps == 12
    assert measures.step_length == pytest.approx(0.5, abs=0.02)
    assert measures.period == pytest.approx(0.5)
    assert measures.asymmetry == pytest.approx(0.4, abs=1e-6)
    assert measures.duty_factor == pytest.approx(0.5)
    work = 2.0 * 0.5 * (time[-1] - time[0])
    weight = physics.MASS * physics.GRAVITY
    assert measures.hip_cost_of_transport == pytest.approx(work / (weight * measures.distance))


def test_bad_input():
    with pytest.raises(ValueError, match="slope"):
        gait.passive_walk(-1.0, 5.0)
    with pytest.raises(ValueError, match="hz"):
        gait.passive_walk(3.0, 5.0, hz=5.0)
