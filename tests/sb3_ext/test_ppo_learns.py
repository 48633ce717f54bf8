"""Learning, determinism over time, memory: what only a run of some length shows."""

import gc
import runpy
import subprocess
import sys
import tracemalloc
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import torch
from stable_baselines3.common.evaluation import evaluate_policy

import envs  # noqa: F401 (registers the worlds)
from sb3_ext import PPO
from sb3_ext.vec_env import GymnasiumVecEnv

torch.set_num_threads(1)
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs" / "examples" / "numpy_only.py"
BLOCKED = """
import runpy, sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "stable_baselines3", "jax", "mlx"):
            raise ImportError(f"{name} is blocked")
sys.meta_path.insert(0, Block())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


# As hyperparams/ppo.yml has it. A constant rate leaves one seed in twenty a little short.
TARGET_REACH = {"learning_rate": "lin_2e-3", "n_steps": 64, "batch_size": 128, "gamma": 0.95}


def vector_env(env_id, n_envs):
    return GymnasiumVecEnv(gym.make_vec(env_id, num_envs=n_envs))


def final_return(model, env_id, episodes=50):
    env = vector_env(env_id, 10)
    env.seed(10_000)
    return evaluate_policy(model, env, episodes, warn=False)[0]


def test_the_numpy_example_needs_numpy_only():
    command = [sys.executable, "-c", BLOCKED, str(EXAMPLE), "0"]
    done = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True)
    assert float(done.stdout.split("return ")[1].split()[0]) >= 8.2, done.stdout


@pytest.mark.slow
def test_the_numpy_example_solves_target_reach_on_every_seed():
    example = runpy.run_path(str(EXAMPLE))
    returns = [example["evaluate"](example["train"](seed)) for seed in range(20)]
    assert min(returns) >= 8.2, returns


@pytest.mark.slow
def test_target_reach_on_every_seed():
    returns = []
    for seed in range(20):
        model = PPO("MlpPolicy", vector_env("TargetReach-v0", 8), seed=seed, **TARGET_REACH)
        returns.append(final_return(model.learn(24_576), "TargetReach-v0"))
    assert min(returns) >= 8.2, returns


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["torch", "jax", "mlx"])
def test_every_backend_solves_target_reach(backend):
    pytest.importorskip({"torch": "torch", "jax": "equinox", "mlx": "mlx.core"}[backend])
    env = vector_env("TargetReach-v0", 8)
    model = PPO("MlpPolicy", env, seed=0, backend=backend, **TARGET_REACH)
    assert final_return(model.learn(24_576), "TargetReach-v0") >= 8.2


@pytest.mark.slow
def test_simple_aim():
    model = PPO(
        "MlpPolicy",
        vector_env("SimpleAim-v0", 16),
        "lin_1e-3",
        gamma=0.9,
        n_steps=128,
        batch_size=256,
        seed=0,
    )
    assert final_return(model.learn(499_712), "SimpleAim-v0") >= 380


@pytest.mark.slow
@pytest.mark.parametrize(
    "extensions",
    [
        {"value_learning_rate": "lin_4e-3"},
        {"accumulate_minibatches": 2, "advantage_normalization": "rollout"},
        {"n_rollouts_kept": 2},
    ],
)
def test_target_reach_with_extensions(extensions):
    env = vector_env("TargetReach-v0", 8)
    model = PPO("MlpPolicy", env, seed=0, extensions=extensions, **TARGET_REACH)
    assert final_return(model.learn(24_576), "TargetReach-v0") >= 8.2


def test_memory_does_not_grow():
    model = PPO("MlpPolicy", vector_env("TargetReach-v0", 2), n_steps=8, batch_size=8, n_epochs=1)
    _, callback = model._setup_learn(10)

    def iterate(n):
        for _ in range(n):
            model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
            model.train()

    iterate(100)
    tracemalloc.start()
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    iterate(1000)
    gc.collect()
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert after - before < 100_000  # bytes


def test_two_runs_are_identical_to_the_bit():
    results = []
    for _ in range(2):
        model = PPO("MlpPolicy", vector_env("SimpleAim-v0", 4), n_steps=64, seed=3)
        results.append(model.learn(2048).policy.parameters_to_vector())
    np.testing.assert_array_equal(*results)


def test_acting_does_not_depend_on_the_number_of_rows():
    """Row i of many gets the noise of row i of few."""
    few = PPO("MlpPolicy", vector_env("SimpleAim-v0", 1), n_steps=16, batch_size=16, seed=5)
    many = PPO("MlpPolicy", vector_env("SimpleAim-v0", 3), n_steps=16, batch_size=16, seed=5)
    for model in (few, many):
        _, callback = model._setup_learn(10)
        model.collect_rollouts(model.env, callback, model.rollout_buffer, 16)
    np.testing.assert_allclose(
        few.rollout_buffer.actions[:, 0], many.rollout_buffer.actions[:, 0], rtol=1e-5, atol=1e-5
    )
