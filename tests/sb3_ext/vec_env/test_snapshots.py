"""A training's rows go on exactly where a snapshot was taken, through every known wrapper."""

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import (
    DummyVecEnv,
    SubprocVecEnv,
    VecCheckNan,
    VecEnv,
    VecFrameStack,
    VecMonitor,
    VecNormalize,
)

import envs  # noqa: F401
from sb3_ext.vec_env import EpisodeLog, GymnasiumVecEnv
from sb3_ext.vec_env.snapshots import Snapshot, TellsEpisodes, restore, snapshot

ENV = "TargetReach-v0"


def rows(form: str) -> VecEnv:
    if form == "vector":
        return GymnasiumVecEnv(gym.make_vec(ENV, num_envs=3))
    cls = DummyVecEnv if form == "dummy" else SubprocVecEnv
    # Named with its package: a worker process has imported nothing that registers it.
    return make_vec_env(f"envs:{ENV}", 3, vec_env_cls=cls, wrapper_class=TellsEpisodes)


def played(env: VecEnv, actions: np.ndarray) -> list[Any]:
    seen = []
    for row_actions in actions:
        observations, rewards, dones, infos = env.step(row_actions)
        episodes = [(i["episode"]["r"], i["episode"]["l"]) for i in infos if "episode" in i]
        terms = [info["reward_terms"] for info in infos if "episode" in info]
        seen.append((observations.tobytes(), rewards.tobytes(), dones.tolist(), episodes, terms))
    return seen


def snapshot_of(env: VecEnv) -> Snapshot:
    taken = snapshot(env)
    assert taken is not None
    copied = pickle.loads(pickle.dumps(taken))
    assert isinstance(copied, Snapshot)
    return copied


@pytest.mark.parametrize(
    "form", ["vector", "dummy", pytest.param("subproc", marks=pytest.mark.slow)]
)
def test_rows_go_on_exactly(form: str) -> None:
    rng = np.random.default_rng(1)
    env, other = rows(form), rows(form)
    env.seed(5)
    env.reset()
    played(env, rng.integers(0, 2, (37, 3)))
    taken = snapshot_of(env)
    actions = rng.integers(0, 2, (150, 3))
    expected = played(env, actions)
    assert sum(len(step[3]) for step in expected) > 6
    for again in (other, env):
        restore(again, taken)
        assert played(again, actions) == expected
        again.close()


WRAPPERS: list[Callable[[VecEnv], VecEnv]] = [
    EpisodeLog,
    VecNormalize,
    lambda env: VecFrameStack(env, 3),
    lambda env: VecFrameStack(VecNormalize(EpisodeLog(VecMonitor(rows("vector")))), 2),
]


@pytest.mark.filterwarnings("ignore:The environment is already wrapped:UserWarning")
@pytest.mark.parametrize("wrap", WRAPPERS)
def test_wrappers_of_the_vec_env(wrap: Callable[[VecEnv], VecEnv]) -> None:
    rng = np.random.default_rng(2)
    env, other = wrap(rows("vector")), wrap(rows("vector"))
    env.seed(5)
    env.reset()
    played(env, rng.integers(0, 2, (37, 3)))
    taken = snapshot_of(env)
    inner, statistics = env, {}
    while hasattr(inner, "venv"):
        if isinstance(inner, VecNormalize):
            statistics = pickle.loads(pickle.dumps(vars(inner)["ret_rms"])), inner.obs_rms.copy()
        inner = inner.venv
    restore(other, taken)
    if statistics:  # they outlive episodes: saved elsewhere
        inner = other
        while not isinstance(inner, VecNormalize):
            inner = inner.venv
        inner.ret_rms, inner.obs_rms = statistics
    actions = rng.integers(0, 2, (100, 3))
    assert played(other, actions) == played(env, actions)


def other_wrapper(env: gym.Env) -> gym.Env:
    return TellsEpisodes(gym.wrappers.ClipReward(env, 0, 1))


@pytest.mark.parametrize(
    "make",
    [
        lambda: make_vec_env("CartPole-v1", 2, wrapper_class=TellsEpisodes),
        lambda: make_vec_env(ENV, 2),  # nothing to ask the rows' wrappers with
        lambda: make_vec_env(ENV, 2, wrapper_class=other_wrapper),
        lambda: VecCheckNan(rows("vector")),
        lambda: GymnasiumVecEnv(gym.make_vec("CartPole-v1", 2, vectorization_mode="sync")),
    ],
)
def test_what_cannot_tell_says_so(make: Callable[[], VecEnv]) -> None:
    env = make()
    env.reset()
    assert snapshot(env) is None


@pytest.mark.slow
@pytest.mark.parametrize("first", ["rl_zoo3", "sb3_ext.vec_env.snapshots"])
def test_rl_zoo_s_time_limit_is_known_whoever_comes_first(first: str) -> None:
    """It replaces Gymnasium's own when it is imported."""
    code = f"""
import {first}
import gymnasium as gym
import envs
before = gym.make({ENV!r})
import rl_zoo3, sb3_ext.vec_env.snapshots as snapshots
for env in (before, gym.make({ENV!r})):
    env.reset(seed=0)
    assert snapshots.TellsEpisodes(env).snapshot_episode() is not None, env
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
