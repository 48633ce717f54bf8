import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers
from envs.target_reach import TargetReach, TargetReachParams, TargetReachState
from envs.world import override_params, step


def one_step(position, action):
    state = TargetReachState(np.array(position, np.float32))
    action = np.array(action)
    return step(TargetReach(), np, state, action, np.zeros(0, np.float32), TargetReachParams())


def test_plain_transitions_by_hand():
    for action, expected in ((0, 0.4), (1, 0.6)):
        result = one_step(0.5, action)
        assert result.state.position == pytest.approx(expected, rel=1e-6)
        np.testing.assert_array_equal(result.observation, [result.state.position])
        assert result.reward == pytest.approx(-expected, rel=1e-6)
        assert not result.terminated
        assert not result.truncated


def test_reaching_terminates_and_pays_ten():
    result = one_step(0.125, 0)
    assert result.terminated
    assert result.reward_terms["reached"] == 10
    assert result.reward == pytest.approx(10 - 0.025, rel=1e-5)


def test_the_radius_itself_is_outside():
    state = TargetReachState(np.array([0.25, 0.2499], np.float32))
    params = override_params(TargetReach(), {"radius": 0.25})
    assert TargetReach().terminated(np, state, params).tolist() == [False, True]


@pytest.mark.parametrize(("position", "action", "expected"), [(1.45, 1, 1.5), (-1.5, 0, -1.5)])
def test_the_line_has_ends(position, action, expected):
    assert one_step(position, action).state.position == expected


def test_everything_stays_float32():
    result = one_step([[0.5, -0.1]], [[0, 1]])
    floats = [*result.state, result.observation, result.reward, *result.reward_terms.values()]
    assert {array.dtype for array in floats} == {np.dtype(np.float32)}
    assert result.observation.shape == (1, 2, 1)


def test_the_greedy_controller_is_the_yardstick():
    env = gym.make_vec("TargetReach-v0", num_envs=4000)
    observations, _ = env.reset(seed=0)
    returns, finished = np.zeros(4000), np.zeros(4000, bool)
    for _ in range(12):
        actions = (observations[:, 0] < 0).astype(np.int64)
        observations, rewards, terminated, _, _ = env.step(actions)
        returns += np.where(finished, 0, rewards)
        finished |= terminated
    # Strides of 0.1 meet a zone 0.1 wide: at most one start in a great many steps over it.
    assert finished.mean() > 0.999
    assert returns[finished].mean() == pytest.approx(8.6, abs=0.1)


def test_the_time_limit_truncates():
    env = gym.make("TargetReach-v0")
    env.reset(seed=0)
    for t in range(50):
        _, _, terminated, truncated, _ = env.step(1 if env.unwrapped.state.position > 0 else 0)
        assert not terminated
        assert truncated == (t == 49)


def test_starts_beyond_the_line_are_refused():
    with pytest.raises(ValueError, match="start must lie in"):
        override_params(TargetReach(), {"start": 2})
