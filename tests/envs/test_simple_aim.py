import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers
from envs.simple_aim import SimpleAim, SimpleAimParams, SimpleAimState
from envs.world import override_params, step

NO_NOISE = np.zeros(0, np.float32)


def one_step(mouse, target, velocity, action, params=None):
    arrays = [np.array(values, np.float32) for values in (mouse, target, velocity, action)]
    state = SimpleAimState(*arrays[:3])
    return step(SimpleAim(), np, state, arrays[3], NO_NOISE, params or SimpleAimParams())


def test_a_plain_transition_by_hand():
    result = one_step([400, 300], [430, 340], [3, -4], [0.5, -0.25])
    np.testing.assert_array_equal(result.state.mouse, [425, 287.5])
    np.testing.assert_array_equal(result.state.target, [433, 336])
    np.testing.assert_array_equal(result.state.velocity, [3, -4])
    np.testing.assert_allclose(result.observation, [8 / 800, 48.5 / 600, 0.6, -0.8], rtol=1e-6)
    distance = np.hypot(8, 48.5)
    effort = -0.01 * np.hypot(0.5, 0.25)
    terms = result.reward_terms
    assert terms["proximity"] == pytest.approx(np.exp(-0.01 * distance), rel=1e-6)
    assert terms["hit"] == 0
    assert terms["effort"] == pytest.approx(effort, rel=1e-6)
    assert result.reward == pytest.approx(np.exp(-0.01 * distance) + effort, rel=1e-6)
    assert not result.terminated
    assert not result.truncated


@pytest.mark.parametrize(
    ("target", "velocity", "moved", "turned"),
    [
        ([798, 300], [5, 1], [800, 301], [-5, 1]),
        ([2, 300], [-5, 1], [0, 301], [5, 1]),
        ([400, 599], [1, 2], [401, 600], [1, -2]),
        ([799, 1], [2, -3], [800, 0], [-2, 3]),
        ([795, 300], [5, 0], [800, 300], [5, 0]),  # arrives exactly at the wall: turns next step
    ],
)
def test_the_target_turns_at_walls(target, velocity, moved, turned):
    result = one_step([400, 300], target, velocity, [0, 0])
    np.testing.assert_array_equal(result.state.target, moved)
    np.testing.assert_array_equal(result.state.velocity, turned)


def test_actions_and_the_mouse_are_clipped():
    result = one_step([790, 10], [100, 100], [0, 0], [7, -0.5])
    np.testing.assert_array_equal(result.state.mouse, [800, 0])
    assert result.reward_terms["effort"] == pytest.approx(-0.01 * np.hypot(1, 0.5), rel=1e-6)


@pytest.mark.parametrize(("distance", "hit"), [(20.0, 0.0), (19.999, 1.0), (0.0, 1.0)])
def test_a_hit_is_strictly_within_its_radius(distance, hit):
    result = one_step([400, 300], [400 + distance, 300], [0, 0], [0, 0])
    assert result.reward_terms["hit"] == hit


def test_start():
    state = SimpleAim().initial(np, np.array([0, 0.5, 0.25, 0], np.float32), SimpleAimParams())
    np.testing.assert_array_equal(state.mouse, [400, 300])
    np.testing.assert_array_equal(state.target, [0, 300])
    np.testing.assert_array_equal(state.velocity, [-2.5, -5])


def test_everything_stays_float32_and_broadcasts_over_any_leading_axes():
    world, params = SimpleAim(), SimpleAimParams()
    noise = np.random.default_rng(0).random((3, 5, 4), dtype=np.float32)
    state = world.initial(np, noise, params)
    action = np.ones((3, 5, 2), np.float32)
    result = step(world, np, state, action, np.zeros((3, 5, 0), np.float32), params)
    floats = [*result.state, result.observation, result.reward, *result.reward_terms.values()]
    assert {array.dtype for array in floats} == {np.dtype(np.float32)}
    assert result.observation.shape == (3, 5, 4)
    assert result.reward.shape == result.terminated.shape == result.truncated.shape == (3, 5)


def zero(state, rng):
    return np.zeros_like(state.mouse)


def unit_noise(state, rng):
    return rng.standard_normal(state.mouse.shape, np.float32)


def intercept(state, rng):
    return np.clip((state.target + state.velocity - state.mouse) / 50, -1, 1)


@pytest.mark.parametrize(
    ("controller", "mean_return", "tolerance"),
    [(zero, 23.7, 1.1), (unit_noise, 16.1, 0.9), (intercept, 393.4, 0.5)],
)
def test_yardsticks(controller, mean_return, tolerance):
    """Against a plain float64 restatement of the rules, and the means it has over many episodes.

    Tolerances are about four standard errors of 4,000 episodes.
    """
    env = gym.make_vec("SimpleAim-v0", num_envs=4000)
    env.reset(seed=0)
    rng = np.random.default_rng(0)
    mouse, target, velocity = (leaf.astype(np.float64) for leaf in env.state)
    returns, restated = np.zeros(4000), np.zeros(4000)
    for t in range(200):
        action = controller(env.state, rng)
        _, rewards, terminated, truncated, infos = env.step(action)
        returns += rewards
        assert not terminated.any()
        assert (truncated == (t == 199)).all()

        action = np.clip(action, -1, 1)
        mouse = np.clip(mouse + 50 * action, 0, [800, 600])
        moved = target + velocity
        target = np.clip(moved, 0, [800, 600])
        velocity = np.where(target == moved, velocity, -velocity)
        distance = np.linalg.norm(target - mouse, axis=1)
        restated += np.exp(-0.01 * distance) + (distance < 20)
        restated -= 0.01 * np.linalg.norm(action, axis=1)
    # A hit by a hair's breadth differs between float32 and float64, in few episodes.
    assert np.mean(np.abs(returns - restated) < 0.01) > 0.99
    assert returns.mean() == pytest.approx(mean_return, abs=tolerance)
    terms = infos["final_info"]["reward_terms"]
    total = terms["proximity"] + terms["hit"] + terms["effort"]
    np.testing.assert_allclose(total, returns, rtol=1e-4, atol=1e-4)


def test_parameters_that_make_no_world_are_refused():
    for bad in ({"target_speed": 0}, {"size": [800, 0]}):
        with pytest.raises(ValueError, match="must be positive"):
            override_params(SimpleAim(), bad)
