import copy
import pickle
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers import TimeLimit

from envs.gym_env import WorldEnv
from envs.vector_env import WorldVectorEnv

WORLDS = [
    ("envs.simple_aim:SimpleAim", 60),
    ("envs.target_reach:TargetReach", 15),
    ("drift", 6),
    ("drift", None),
]


@pytest.fixture(autouse=True)
def gymnasium_s_own_time_limit(monkeypatch):
    """RL Zoo's, which takes its place when it's imported, truncates no episode that has ended."""
    own = TimeLimit.__base__ if TimeLimit.__module__.startswith("rl_zoo3") else TimeLimit
    monkeypatch.setattr(gym.wrappers, "TimeLimit", own)


def pair(world, limit, drift, n_rows=3):
    """The vector env, and SyncVectorEnv over single envs of the same world and time limit."""
    world = drift if world == "drift" else world

    def single():
        env = WorldEnv(world)
        return env if limit is None else gym.wrappers.TimeLimit(env, limit)

    sync = SyncVectorEnv([single] * n_rows, autoreset_mode="SameStep")
    return WorldVectorEnv(world, num_envs=n_rows, max_episode_steps=limit), sync


def assert_same(ours, theirs):
    """Equality bit for bit, of structures of dicts and arrays."""
    assert type(ours) is type(theirs)
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys()
        for key in ours:
            assert_same(ours[key], theirs[key])
    elif ours.dtype == object:
        for a, b in zip(ours, theirs, strict=True):
            assert (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))
    else:
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def assert_same_step(ours, theirs):
    assert_same(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])  # float32 here, float64 there
    assert_same(ours[2], theirs[2])
    assert_same(ours[3], theirs[3])
    # The single envs report running sums at every step, the rows at an episode's end.
    final = {key: value for key, value in theirs[4].items() if "final" in key}
    assert_same(ours[4], final)


@pytest.mark.parametrize(("world", "limit"), WORLDS)
def test_equals_sync_vector_env_bit_for_bit(world, limit, drift):
    ours, theirs = pair(world, limit, drift)
    np.testing.assert_array_equal(ours.reset(seed=40)[0], theirs.reset(seed=40)[0])
    ours.action_space.seed(0)
    n_ends = 0
    for t in range(1000):
        if t == 500:  # new episodes of the same streams, in the middle of some
            np.testing.assert_array_equal(ours.reset()[0], theirs.reset()[0])
        if t == 600:  # one row anew from a seed, while the others' streams go on
            seeds = [None, 9, None]
            np.testing.assert_array_equal(ours.reset(seed=seeds)[0], theirs.reset(seed=seeds)[0])
        if t == 700:
            mask = np.array([True, False, True])
            arguments = [{"options": {"reset_mask": mask.copy()}} for _ in range(2)]
            results = [
                env.reset(**kw)[0] for env, kw in zip((ours, theirs), arguments, strict=True)
            ]
            np.testing.assert_array_equal(*results)
        actions = ours.action_space.sample()
        result = ours.step(actions)
        assert_same_step(result, theirs.step(actions))
        n_ends += int((result[2] | result[3]).sum())
    assert n_ends >= 40


@pytest.mark.parametrize("env_id", ["SimpleAim-v0", "TargetReach-v0"])
def test_make_vec_equals_sync_vector_env_over_make(env_id):
    """Through the registry, whose time limits are long: actions that keep episodes going."""
    ours = gym.make_vec("envs:" + env_id, num_envs=2)
    theirs = SyncVectorEnv([partial(gym.make, env_id)] * 2, autoreset_mode="SameStep")
    assert ours.single_observation_space == theirs.single_observation_space
    assert ours.action_space == theirs.action_space
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    ours.action_space.seed(3)
    for _ in range(410):
        actions = ours.action_space.sample()
        assert_same_step(ours.step(actions), theirs.step(actions))


def test_row_i_is_the_single_env_seeded_s_plus_i(drift):
    rows = WorldVectorEnv(drift, num_envs=4)
    first, _ = rows.reset(seed=20)
    singles = [WorldEnv(drift) for _ in range(4)]
    for i, env in enumerate(singles):
        np.testing.assert_array_equal(env.reset(seed=20 + i)[0], first[i])
    rows.action_space.seed(0)
    for _ in range(1000):
        actions = rows.action_space.sample()
        observations, rewards, terminated, truncated, infos = rows.step(actions)
        for i, env in enumerate(singles):
            observation, reward, *flags, info = env.step(actions[i])
            assert reward == rewards[i]
            assert flags == [terminated[i], truncated[i]]
            if any(flags):
                np.testing.assert_array_equal(infos["final_obs"][i], observation)
                for name, total in info["reward_terms"].items():
                    assert infos["final_info"]["reward_terms"][name][i] == total
                observation, _ = env.reset()
            np.testing.assert_array_equal(observations[i], observation)


def test_the_contract_of_make_vec():
    env = gym.make_vec("envs:SimpleAim-v0", num_envs=3)
    assert isinstance(env, WorldVectorEnv)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    assert env.max_episode_steps == 200
    assert gym.make_vec("SimpleAim-v0", max_episode_steps=7).max_episode_steps == 7
    assert gym.make_vec("SimpleAim-v0", max_episode_steps=-1).max_episode_steps is None
    observations, infos = env.reset(seed=0)
    assert observations.dtype == np.float32
    assert observations.flags.c_contiguous
    assert infos == {}
    observations, rewards, terminated, truncated, infos = env.step(np.zeros((3, 2)))
    assert observations.flags.c_contiguous
    assert rewards.shape == terminated.shape == truncated.shape == (3,)
    assert terminated.dtype == truncated.dtype == bool
    assert infos == {}
    assert env.np_random_seed == 0


def test_states_stay_in_fortran_order():
    """What makes broadcasting a [2] constant fast; nothing would fail if it were lost."""
    env = gym.make_vec("envs:SimpleAim-v0", num_envs=5, max_episode_steps=3)
    env.reset(seed=0)
    for _ in range(10):
        env.step(np.zeros((5, 2), np.float32))
        assert all(leaf.flags.f_contiguous for leaf in env.state)


def test_misuse_is_refused(drift):
    env = WorldVectorEnv(drift, num_envs=2)
    with pytest.raises(gym.error.ResetNeeded):
        env.step(np.zeros((2, 3)))
    with pytest.raises(gym.error.ResetNeeded, match="all rows"):
        env.reset(options={"reset_mask": np.array([True, False])})
    for seed, message in ([[1], "a seed for each"], [[1, -2], "non-negative"], [-5, "non-neg"]):
        with pytest.raises(ValueError, match=message):
            env.reset(seed=seed)
    with pytest.raises(ValueError, match="only reset option"):
        env.reset(options={"level": 3})
    with pytest.raises(ValueError, match="reset_mask must be"):
        env.reset(options={"reset_mask": np.zeros(2, bool)})
    env.reset(seed=0)
    with pytest.raises(ValueError, match="must have shape"):
        env.step(np.zeros((3, 3)))
    with pytest.raises(ValueError, match="names no renderer"):
        WorldVectorEnv(drift, render_mode="human")
    with pytest.raises(ValueError, match="num_envs must be positive"):
        WorldVectorEnv(drift, num_envs=0)
    with pytest.raises(ValueError, match="max_episode_steps must be positive"):
        WorldVectorEnv(drift, max_episode_steps=0)


def test_copies_go_on_by_themselves():
    env = gym.make_vec("envs:TargetReach-v0", num_envs=4)
    env.reset(seed=1)
    for twin in (copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        reference = copy.deepcopy(env)
        for _ in range(120):
            actions = reference.action_space.sample()
            assert_same(reference.step(actions)[0], twin.step(actions)[0])


def test_results_are_the_callers_own(drift):
    env = WorldVectorEnv("envs.target_reach:TargetReach", num_envs=3)
    twin = copy.deepcopy(env)
    mine, _ = env.reset(seed=1)
    theirs, _ = twin.reset(seed=1)
    for _ in range(100):
        mine[:] = 99.0
        actions = env.action_space.sample()
        mine, rewards, terminated, truncated, infos = env.step(actions)
        theirs, *_ = twin.step(actions)
        np.testing.assert_array_equal(mine, theirs)
        rewards[:] = 99.0
        terminated[:] = truncated[:] = True
        for array in infos.get("final_info", {}).get("reward_terms", {}).values():
            array[:] = 1


def test_an_unseeded_env_has_rows_of_its_own(drift):
    env, other = WorldVectorEnv(drift, num_envs=2), WorldVectorEnv(drift, num_envs=2)
    first, _ = env.reset()
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, other.reset()[0])
    np.testing.assert_array_equal(first, other.reset(seed=env.np_random_seed)[0])


@pytest.mark.parametrize(("world", "limit"), WORLDS)
def test_a_snapshot_goes_on_exactly(world, limit, drift):
    world = drift if world == "drift" else world
    env = WorldVectorEnv(world, num_envs=3, max_episode_steps=limit)
    env.reset(seed=11)
    env.action_space.seed(0)
    for _ in range(77):
        env.step(env.action_space.sample())
    snapshot = env.snapshot()
    taken = pickle.dumps(snapshot)
    steps = [(actions := env.action_space.sample(), env.step(actions)) for _ in range(150)]
    assert pickle.dumps(snapshot) == taken, "later steps do not reach it"

    other = WorldVectorEnv(world, num_envs=3, max_episode_steps=limit)
    for _ in range(2):  # in another env, and in one that has gone on
        other.restore(pickle.loads(taken))
        for actions, (observations, rewards, terminated, truncated, infos) in steps:
            result = other.step(actions)
            for ours, theirs in zip(result, (observations, rewards, terminated), strict=False):
                assert_same(ours, theirs)
            assert_same(result[3], truncated)
            assert_same(result[4], infos)
        np.testing.assert_array_equal(other.reset()[0], env.reset()[0])
        env.restore(snapshot)
        for actions, _ in steps:
            env.step(actions)


def test_no_snapshot_before_a_reset(drift):
    with pytest.raises(ResetNeeded):
        WorldVectorEnv(drift, num_envs=2).snapshot()
