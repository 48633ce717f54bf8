"""Env steps per second of the worlds: make_vec, stable-baselines3's DummyVecEnv, bare arithmetic.

Run it on one thread: `OPENBLAS_NUM_THREADS=1 python benchmarks/worlds.py --env SimpleAim-v0`.

The contestants take turns, and each figure is the median over the turns, so that what else the
machine does weighs on all of them alike. Actions are drawn beforehand; episodes end as usual.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np

try:
    import envs
except ModuleNotFoundError:  # run from a checkout that isn't installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import envs
from envs.world import World, step

gym.register_envs(envs)

SIZES = (1, 8, 64, 1024, 4096)
N_ACTIONS = 16

Step = Callable[[Any], Any]


def rows_of(env_id: str, n_envs: int) -> Step:
    """`gym.make_vec`'s step."""
    env = gym.make_vec(env_id, num_envs=n_envs)
    env.reset(seed=0)
    return env.step


def dummy_of(env_id: str, n_envs: int) -> Step:
    """The step of SB3's DummyVecEnv over `gym.make`."""
    from stable_baselines3.common.vec_env import DummyVecEnv

    env = DummyVecEnv([lambda: gym.make(env_id)] * n_envs)
    env.seed(0)
    env.reset()
    return env.step


def arithmetic_of(env_id: str, n_envs: int) -> Step:
    """The world's own functions over one state again and again: no adapter, no episodes."""
    adapter: Any = gym.make_vec(env_id, num_envs=n_envs).unwrapped
    adapter.reset(seed=0)
    world: World = adapter.world
    state, params = adapter.state, adapter.params
    noise = np.zeros((n_envs, world.n_step_noise), np.float32)
    return lambda actions: step(world, np, state, actions, noise, params)


def seconds_per_call(call: Step, actions: list[Any], budget: float) -> float:
    """Mean time of a call over about `budget` seconds, at least one pass over the actions."""
    calls = 0
    start = time.perf_counter()
    while True:
        for action in actions:
            call(action)
        calls += len(actions)
        elapsed = time.perf_counter() - start
        if elapsed > budget:
            return elapsed / calls


def measure(env_id: str, n_envs: int, max_dummy: int, repeats: int, budget: float) -> str:
    """One line of the table."""
    space = gym.make_vec(env_id, num_envs=n_envs).action_space
    space.seed(0)
    actions = [space.sample() for _ in range(N_ACTIONS)]
    steps = {"make_vec": rows_of(env_id, n_envs), "arithmetic": arithmetic_of(env_id, n_envs)}
    if n_envs <= max_dummy:
        steps["DummyVecEnv"] = dummy_of(env_id, n_envs)
    # Rows in Fortran order are what the adapter hands to the world.
    inputs = {name: actions for name in steps}
    inputs["arithmetic"] = [np.asfortranarray(action) for action in actions]
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(repeats + 1):
        for name, call in steps.items():
            seconds = seconds_per_call(call, inputs[name], budget)
            if turn:  # the first turn warms up
                times[name].append(seconds)
    line = f"{n_envs:>6}"
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name in ("make_vec", "DummyVecEnv", "arithmetic"):
        if name in medians:
            line += f" | {medians[name] * 1e6:>9.1f} us {n_envs / medians[name] / 1e3:>9,.0f} k/s"
        else:
            line += f" | {'-':>24}"
    if "DummyVecEnv" in medians:
        line += f" | {medians['DummyVecEnv'] / medians['make_vec']:>6.1f}x"
    return line


def main() -> None:
    """Parses the arguments and prints a table per world."""
    parser = argparse.ArgumentParser(description="Env steps per second of the worlds.")
    parser.add_argument("--env", nargs="+", default=["SimpleAim-v0", "TargetReach-v0"])
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES, help="numbers of rows")
    parser.add_argument("--max-dummy", type=int, default=64, help="DummyVecEnv up to these rows")
    parser.add_argument("--repeats", type=int, default=5, help="turns of which medians are taken")
    parser.add_argument("--budget", type=float, default=0.1, help="seconds per turn")
    arguments = parser.parse_args()
    for env_id in arguments.env:
        print(f"{env_id}: time per call, and env steps per second")
        print(f"{'rows':>6} | {'make_vec':>24} | {'DummyVecEnv':>24} | {'arithmetic':>24} | ratio")
        for n_envs in arguments.sizes:
            print(
                measure(
                    env_id,
                    n_envs,
                    arguments.max_dummy,
                    arguments.repeats,
                    arguments.budget,
                ),
                flush=True,
            )


if __name__ == "__main__":
    main()
