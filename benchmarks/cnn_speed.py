"""Frames per second with CnnPolicy on 84x84x4 images: stable-baselines3's PPO and our backends.

    python benchmarks/cnn_speed.py [--backends torch jax numpy] [--rounds 3]

One thread each, 8 envs, rollouts of 256 frames, minibatches of 64, 4 epochs; the contestants take
turns, medians of the rounds. Counts this process's CPU time.
"""

# ruff: noqa: E402 (the threads are set before NumPy is loaded)

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
if hasattr(os, "sched_setaffinity"):  # XLA has threads of its own: they share one core too
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"

import argparse
import statistics
import time
from functools import partial
from typing import Any

import stable_baselines3
import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv

from sb3_ext import PPO
from sb3_ext.backends import BACKENDS

N_ENVS, N_STEPS = 8, 32


def images() -> FakeImageEnv:
    """Random pictures: the env costs next to nothing."""
    return FakeImageEnv(screen_height=84, screen_width=84, n_channels=4)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--backends", nargs="*", choices=BACKENDS, default=["torch", "jax", "numpy"]
    )
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    algorithms: dict[str, Any] = {"SB3": stable_baselines3.PPO}
    algorithms |= {name: partial(PPO, backend=name) for name in args.backends}
    n = N_ENVS * N_STEPS
    models, speeds = {}, {}
    for name, algorithm in algorithms.items():
        env = make_vec_env(images, N_ENVS)
        options = {"n_steps": N_STEPS, "batch_size": 64, "n_epochs": 4, "seed": 0, "device": "cpu"}
        models[name], speeds[name] = algorithm("CnnPolicy", env, **options).learn(n), []
    for _ in range(args.rounds):
        for name, model in models.items():
            start = time.process_time()
            model.learn(2 * n)
            speeds[name].append(2 * n / (time.process_time() - start))
    print("| who | frames/s | times SB3 |\n|---|---|---|")
    theirs = statistics.median(speeds["SB3"])
    for name, found in speeds.items():
        middle = statistics.median(found)
        print(f"| {name} | {middle:.0f} | {middle / theirs:.2f}x |")


if __name__ == "__main__":
    main()
