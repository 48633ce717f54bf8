import copy
import pickle

import gymnasium as gym
import numpy as np
import pytest

from envs.gym_env import WorldEnv


def test_seed_none_goes_on_to_new_episodes(drift):
    env = WorldEnv(drift)
    first, info = env.reset(seed=5)
    assert info == {}
    second, _ = env.reset()
    again, _ = env.reset(seed=5)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, second)


def test_an_unseeded_env_tells_the_seed_it_took(drift):
    env = WorldEnv(drift)
    first, _ = env.reset()
    again, _ = WorldEnv(drift).reset(seed=env.np_random_seed)
    np.testing.assert_array_equal(first, again)


def test_reward_terms_sum_to_the_return(drift):
    env = WorldEnv(drift)
    for seed in (0, None):
        env.reset(seed=seed)
        total, ended, infos = 0.0, False, []
        while not ended:
            _, reward, terminated, truncated, info = env.step(env.action_space.sample())
            total += reward
            infos.append(info)
            ended = terminated or truncated
        assert set(info["reward_terms"]) == {"far", "age"}
        assert sum(info["reward_terms"].values()) == pytest.approx(total, rel=1e-6)
        assert infos[0]["reward_terms"]["age"] == 1.0  # earlier infos are not written to


def test_the_last_info_has_the_terms_under_any_time_limit():
    env = gym.make("envs:SimpleAim-v0", max_episode_steps=3)
    env.reset(seed=0)
    rewards = [env.step(np.ones(2, np.float32)) for _ in range(3)]
    assert rewards[-1][3]
    total = sum(step[1] for step in rewards)
    assert sum(rewards[-1][4]["reward_terms"].values()) == pytest.approx(total, rel=1e-6)


def test_misuse_is_refused(drift):
    env = WorldEnv(drift)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros(3))
    with pytest.raises(gym.error.ResetNeeded):
        WorldEnv("envs.simple_aim:SimpleAim", render_mode="rgb_array").render()
    with pytest.raises(ValueError, match="no reset options"):
        env.reset(options={"level": 3})
    with pytest.raises(ValueError, match="must have shape"):
        env.reset(seed=0)
        env.step(np.zeros(2))
    with pytest.raises(ValueError, match="Drift names no renderer"):
        WorldEnv(drift, render_mode="rgb_array")
    with pytest.raises(ValueError, match="render_mode must be one of"):
        WorldEnv("envs.simple_aim:SimpleAim", render_mode="ansi")
    with pytest.raises(gym.error.Error, match="greater or equal to zero"):
        env.reset(seed=-1)


def test_a_refused_action_changes_nothing(drift):
    env, other = WorldEnv(drift), WorldEnv(drift)
    env.reset(seed=0)
    other.reset(seed=0)
    with pytest.raises(ValueError, match="finite"):
        env.step(np.full(3, np.nan))
    assert env.step(np.ones(3))[1] == other.step(np.ones(3))[1]


def test_copies_go_on_by_themselves():
    env = WorldEnv("envs.simple_aim:SimpleAim", render_mode="rgb_array")
    env.reset(seed=1)
    action = np.ones(2, np.float32)
    env.step(action)
    env.render()
    twins = [copy.deepcopy(env), pickle.loads(pickle.dumps(env))]
    expected = env.step(action)
    expected_frame = env.render()
    expected_start = env.reset()[0]
    for twin in twins:
        np.testing.assert_array_equal(twin.step(action)[0], expected[0])
        np.testing.assert_array_equal(twin.render(), expected_frame)
        np.testing.assert_array_equal(twin.reset()[0], expected_start)


def test_observations_are_the_callers_own():
    env = WorldEnv("envs.target_reach:TargetReach")
    observation, _ = env.reset(seed=1)
    before = env.state.position
    observation[:] = 9
    assert env.state.position == before
    observation = env.step(0)[0]
    before = env.state.position
    observation[:] = 9
    assert env.state.position == before


def test_a_snapshot_goes_on_exactly(drift):
    env = WorldEnv(drift)
    env.reset(seed=3)
    env.action_space.seed(0)

    def played(env, actions):
        seen = []
        for action in actions:
            observation, reward, terminated, truncated, info = env.step(action)
            seen.append((observation.tobytes(), reward, terminated, truncated, info))
            if terminated or truncated:
                seen.append(env.reset()[0].tobytes())
        return seen

    played(env, [env.action_space.sample() for _ in range(70)])
    taken = pickle.dumps(env.snapshot())
    actions = [env.action_space.sample() for _ in range(150)]
    expected = played(env, actions)
    for other in (WorldEnv(drift), env):
        other.restore(pickle.loads(taken))
        assert played(other, actions) == expected
