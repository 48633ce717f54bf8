"""Whatever `envs` registers is tested here, without being named."""

import copy
import pickle
import subprocess
import sys

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

import envs  # noqa: F401 - registers


def ours(entry_point):
    return isinstance(entry_point, str) and entry_point.split(":")[0].split(".")[0] == "envs"


# What plays in somebody's window begins nothing here: tests/envs/osu_mania/live has a window.
IDS = sorted(
    spec.id
    for spec in gym.registry.values()
    if ours(spec.entry_point) and ".live." not in spec.entry_point
)


@pytest.fixture(autouse=True)
def no_display(monkeypatch):
    """Gymnasium's checker draws in every mode, windows included."""
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")


def rollout(env, seed, n_steps=60):
    env.action_space.seed(seed)
    trace = [env.reset(seed=seed)[0]]
    for _ in range(n_steps):
        observation, reward, terminated, truncated, _ = env.step(env.action_space.sample())
        trace += [observation, reward, terminated, truncated]
        if terminated or truncated:
            trace.append(env.reset()[0])
    return pickle.dumps(trace)


def test_there_are_worlds():
    assert {"SimpleAim-v0", "TargetReach-v0"} <= set(IDS)


@pytest.mark.parametrize("env_id", IDS)
def test_registered_world(env_id):
    spec = gym.spec(env_id)
    env = gym.make(env_id)
    # The checkers
    needs_no_server = spec.entry_point == "envs.gym_env:WorldEnv"  # their window is SDL's
    check_env(env.unwrapped, skip_render_check=not needs_no_server)
    sb3_checker = pytest.importorskip("stable_baselines3.common.env_checker")
    sb3_checker.check_env(gym.make(env_id))
    # Seeding and copies
    traces = {seed: rollout(env, seed) for seed in (0, 1)}
    assert traces[0] != traces[1]
    for copied in (gym.make(env_id), copy.deepcopy(env), pickle.loads(pickle.dumps(env))):
        assert rollout(copied, 0) == traces[0]
    assert gym.make(pickle.loads(pickle.dumps(spec))).spec == env.spec
    # Pictures
    drawn = gym.make(env_id, render_mode="rgb_array")
    drawn.reset(seed=0)
    frame = drawn.render()
    assert frame.dtype == np.uint8
    assert frame.ndim == 3
    assert frame.shape[2] == 3
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) > 2
    drawn.step(drawn.action_space.sample())
    assert not np.array_equal(frame, drawn.render())
    drawn.close()
    # The vector form
    rows = gym.make_vec(env_id, num_envs=2, render_mode="rgb_array")
    assert rows.single_observation_space == env.observation_space
    assert rows.single_action_space == env.action_space
    observations, _ = rows.reset(seed=0)
    assert observations in rows.observation_space
    for row in range(2):
        np.testing.assert_array_equal(observations[row], env.reset(seed=row)[0])
    frames = rows.render()
    assert len(frames) == 2
    np.testing.assert_array_equal(frames[0], frame)
    rows.close()


def test_importing_the_worlds_is_light_and_twice_is_once():
    code = (
        "import importlib, sys, warnings; warnings.simplefilter('error')\n"
        "import envs; importlib.reload(envs)\n"
        "import gymnasium as gym; gym.make_vec('SimpleAim-v0', num_envs=2).reset(seed=0)\n"
        "heavy = {'pygame', 'torch', 'jax', 'stable_baselines3', 'sb3_ext', 'envs.target_reach'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
