"""Many rows at once see what a single environment sees, to the end of each first episode."""

import numpy as np
import pytest

from envs.passive_walker import gait, trials
from envs.passive_walker.env import PassiveWalkerEnv
from envs.passive_walker.gait import passive_policy


def falling(observations):
    """All the torque there is."""
    return np.tile([1.0, 0.0, 0.0], (len(observations), 1))


@pytest.mark.parametrize("policy", [passive_policy, falling])
def test_an_episode_is_the_single_environment_s(policy):
    options = {"seconds": 3.0, "pace": 0.01}
    episodes = trials.play(policy, 3, seed=5, **options)
    expected = "fall" if policy is falling else "time limit"
    assert {episode.end for episode in episodes} == {expected}
    env = PassiveWalkerEnv(**options)
    for number, episode in enumerate(episodes):
        observation, _ = env.reset(seed=5 + number)
        moments, over = [], False
        while not over:
            action = policy(observation[None])[0]
            observation, _, terminated, truncated, info = env.step(action)
            moments.append(env.trajectory_record())
            over = terminated or truncated
        assert episode.end == info["end"]
        walk = trials.walk_of({name: np.stack([m[name] for m in moments]) for name in moments[0]})
        for seen, expected in zip(episode.walk, walk, strict=True):
            np.testing.assert_array_equal(seen, expected)
        np.testing.assert_array_equal(episode.terms, [m["reward_terms"] for m in moments])
        assert gait.measure(walk).fell == (policy is falling)


def test_the_passive_gait_survives_its_own_slopes_only():
    survival = trials.survive_slopes(passive_policy, (0.0, 3.0, 9.0), 4, seconds=8.0, pace=0.01)
    assert survival.survived.tolist() == [0, 4, 0]
    assert (survival.kind, survival.n) == ("slope", 4)


def test_a_hard_push_fells_it_and_none_does_not():
    survival = trials.survive_pushes(passive_policy, (-10.0, 0.0, 10.0), 4, seconds=10.0, pace=0.01)
    assert survival.survived.tolist() == [0, 4, 0]


def test_a_push_comes_once_and_moves_the_hip_by_its_impulse():
    env = PassiveWalkerEnv(slope=0.0, start="rest")
    velocities = []
    for impulse in (0.0, 2.0):
        env.reset(seed=0)
        env.data.qpos[1] += 0.1  # off the ground: nothing else holds it
        env.push(impulse)
        env.step(np.zeros(3))
        velocities.append(env.data.qvel.copy())
        assert not env.task.pushes().any()
    leg = (4.98 * 0.5 + 0.02 * 0.99) * np.cos(0.2)  # kg m
    momentum = np.dot([20.0, 0.0, leg, 0.0, leg, 0.0], velocities[1] - velocities[0])
    assert momentum == pytest.approx(2.0, rel=0.001)


def test_without_a_time_limit_there_is_no_trial():
    with pytest.raises(ValueError, match="time limit"):
        trials.play(passive_policy, 1, seconds=None)
