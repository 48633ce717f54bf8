"""Training speed of our PPO beside stable-baselines3's, on SimpleAim-v0, in one run.

    python benchmarks/ppo_speed.py [--backends numpy torch jax mlx] [--peers sbx]
                                   [--rounds 5] [--clock wall|cpu] [--settings 1 8 64]

One thread each; the contestants take turns and each figure is the median of the rounds. Everyone
runs as a user would: SB3 (and SBX, if it is asked for and installed) on ``make_vec_env``
(DummyVecEnv), ours on ``gym.make_vec``; "same env" is ours on SB3's DummyVecEnv. Ratios are taken
per round and their median is shown, because a disturbance hits neighbors alike. ``--clock cpu``
counts this process's CPU time, for a machine that others use too. Compiling isn't counted: the
column "first" tells the seconds of the first rollout and update, on the wall clock.

The second table says where our time goes, and what sgemm alone would take of a minibatch.
"""

# ruff: noqa: E402 (the threads are set before NumPy is loaded)

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
if hasattr(os, "sched_setaffinity"):  # XLA has threads of its own: they share one core too
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import importlib
import itertools
import operator
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import gymnasium as gym
import numpy as np
import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env

import envs  # noqa: F401 (registers SimpleAim-v0)
from sb3_ext import PPO
from sb3_ext.backends import BACKENDS
from sb3_ext.vec_env import GymnasiumVecEnv

ENV = "SimpleAim-v0"
SETTINGS = {1: (2048, 64), 8: (256, 64), 64: (256, 512)}  # n_envs: (n_steps, batch_size)


def vector_env(n_envs: int) -> GymnasiumVecEnv:
    """The world's own vector env."""
    return GymnasiumVecEnv(gym.make_vec(ENV, num_envs=n_envs))


Contestant = tuple[Callable, Callable]  # (algorithm, env builder)


def contestants(n_envs: int, backends: list[str], peers: list[str]) -> dict[str, Contestant]:
    """Everybody by name, SB3 first."""
    result: dict[str, Contestant] = {
        "SB3": (stable_baselines3.PPO, partial(make_vec_env, ENV, n_envs))
    }
    for peer in peers:
        algorithm = importlib.import_module(peer).PPO
        result[peer] = (algorithm, partial(make_vec_env, ENV, n_envs))
    for backend in backends:
        ours = partial(PPO, backend=backend)
        result[backend] = (ours, partial(vector_env, n_envs))
        result[f"{backend}, same env"] = (ours, partial(make_vec_env, ENV, n_envs))
    return result


class Speeds(NamedTuple):
    """Of one contestant."""

    first: float  # seconds of the first rollout and update
    rounds: list[float]  # env steps per second


def measure(
    n_envs: int, everybody: dict[str, Contestant], rounds: int, clock: Callable[[], float]
) -> dict[str, Speeds]:
    """Let the contestants take turns."""
    n_steps, batch_size = SETTINGS[n_envs]
    n = n_steps * n_envs
    models, speeds = {}, {}
    for name, (algorithm, build) in everybody.items():
        model = algorithm(
            "MlpPolicy", build(), n_steps=n_steps, batch_size=batch_size, seed=0, device="cpu"
        )
        start = time.perf_counter()
        model.learn(n)  # warms up
        models[name] = model
        speeds[name] = Speeds(time.perf_counter() - start, [])
    for _ in range(rounds):
        for name, model in models.items():
            start = clock()
            model.learn(2 * n)
            speeds[name].rounds.append(2 * n / (clock() - start))
    return speeds


def shares(n_envs: int, backend: str, clock: Callable[[], float]) -> dict[str, float]:
    """Microseconds per env step of our acting, env, advantages and update, least of 5."""
    n_steps, batch_size = SETTINGS[n_envs]
    model = PPO(
        "MlpPolicy",
        vector_env(n_envs),
        n_steps=n_steps,
        batch_size=batch_size,
        seed=0,
        backend=backend,
    )
    model.learn(n_steps * n_envs)
    n = n_steps * n_envs
    spent = {"env": 0.0, "gae": 0.0, "update": 0.0, "all": 0.0}

    def timed(name: str, function: Callable) -> Callable:
        def wrapper(*args):
            start = clock()
            result = function(*args)
            spent[name] += clock() - start
            return result

        return wrapper

    model.env.step = timed("env", model.env.step)  # type: ignore[method-assign, union-attr]
    buffer = model.rollout_buffer
    buffer.compute_returns_and_advantage = timed("gae", buffer.compute_returns_and_advantage)  # type: ignore[method-assign]
    model.train = timed("update", model.train)  # type: ignore[method-assign]
    results = []
    for _ in range(5):
        spent |= dict.fromkeys(spent, 0.0)
        start = clock()
        model.learn(n)
        spent["all"] = clock() - start
        results.append({name: seconds / n * 1e6 for name, seconds in spent.items()})
    best = min(results, key=lambda result: result["all"])
    best["acting"] = best["all"] - best["env"] - best["gae"] - best["update"]
    best["minibatch"] = best["update"] / model.n_epochs * batch_size
    best["gemm"] = gemm_microseconds(batch_size, clock)
    return best


def gemm_microseconds(batch_size: int, clock: Callable[[], float]) -> float:
    """The matrix products alone of one minibatch, 64x64 towers for actor and critic.

    Forward, weights' derivative and inputs' derivative (the first layer's input needs none).
    """
    rng = np.random.default_rng(0)

    def product(rows: int, inner: int, columns: int) -> float:
        a = rng.standard_normal((2, rows, inner), dtype=np.float32)
        b = rng.standard_normal((2, inner, columns), dtype=np.float32)
        out = np.empty((2, rows, columns), np.float32)
        best = float("inf")
        for _ in range(7):
            start = clock()
            for _ in range(200):
                np.matmul(a, b, out=out)
            best = min(best, (clock() - start) / 200)
        return best * 1e6

    n, width, n_obs = batch_size, 64, 4
    return (
        product(n, n_obs, width)
        + product(width, n, n_obs)
        + product(n, width, width) * 2
        + product(width, n, width)
    )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=["numpy"])
    parser.add_argument("--peers", nargs="*", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--settings", type=int, nargs="+", choices=SETTINGS, default=list(SETTINGS))
    args = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.perf_counter if args.clock == "wall" else time.process_time

    print(f"env steps per second ({args.clock} clock, medians of {args.rounds})")
    print("| n_envs, n_steps, batch | who | env steps/s | times SB3 | first |")
    print("|---|---|---|---|---|")
    for n_envs in args.settings:
        everybody = contestants(n_envs, args.backends, args.peers)
        speeds = measure(n_envs, everybody, args.rounds, clock)
        n_steps, batch_size = SETTINGS[n_envs]
        theirs = speeds["SB3"].rounds
        for name, found in speeds.items():
            ratio = statistics.median(map(operator.truediv, found.rounds, theirs))
            print(
                f"| {n_envs}, {n_steps}, {batch_size} | {name} "
                f"| {statistics.median(found.rounds):,.0f} | {ratio:.1f}x | {found.first:.1f} s |",
                flush=True,
            )

    print("\nmicroseconds per env step, and per minibatch")
    print("| n_envs | backend | acting | env | GAE | update | minibatch | its sgemm alone |")
    print("|---|---|---|---|---|---|---|---|")
    for n_envs, backend in itertools.product(args.settings, args.backends):
        part = shares(n_envs, backend, clock)
        per_step = " | ".join(
            f"{part[name]:.1f} ({part[name] / part['all']:.0%})"
            for name in ("acting", "env", "gae", "update")
        )
        print(
            f"| {n_envs} | {backend} | {per_step} | {part['minibatch']:.0f} | {part['gemm']:.0f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
