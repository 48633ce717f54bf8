"""Envs in processes: ours beside stable-baselines3's and Gymnasium's, in one run.

    python benchmarks/workers.py [speed] [--costs 0 100 1000] [--envs 8] [--rounds 5]
    python benchmarks/workers.py ready     PPO acting on whoever is ready, and in lockstep
    python benchmarks/workers.py crowd     16 workers and 2 on the same cores
    python benchmarks/workers.py leaks     100 starts and stops

Envs have Rocket League's spaces and cost so many microseconds of CPU time. Everybody takes turns of
a second and a half; each figure is the median of the rounds. The ceiling is what the cores would do
if nothing but the envs' own steps cost anything: the rate of one bare env, times the cores. What
the machine itself takes for waking, bare pipes show: a process per core steps its envs without
actions or observations, and a byte goes each way.

``ready`` collects rollouts with a network of 256x256 from envs whose steps sleep for 5 ms once in a
hundred; lockstep is measured with few workers and with many.

Memory is the proportional set size (PSS: what processes share is divided among them) of the worker
processes, and of whoever minds them.
"""

# ruff: noqa: E402 (the threads are set before NumPy is loaded)

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import psutil
from busy_env import BusyEnv
from gymnasium.vector import AsyncVectorEnv
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_ext import NumpyPPO
from sb3_ext.rollout_buffer import StepLocals
from sb3_ext.vec_env import SharedMemoryVecEnv
from sb3_ext.vec_env.shared_memory import n_cores

SECONDS = 1.5  # of a turn


class Contestant(NamedTuple):
    """Rows that somebody steps."""

    name: str
    step: Callable[[Any], Any]
    close: Callable[[], None]
    n_processes: int
    pss: float  # MB, of all of them


def contestant(name: str, build: Callable[[], Any]) -> Contestant:
    """Builds, resets and warms it up."""
    before = set(psutil.Process().children(recursive=True))
    env = build()
    env.reset()
    actions = np.zeros(env.num_envs, np.int64)
    for _ in range(20):
        env.step(actions)
    own = set(psutil.Process().children(recursive=True)) - before
    pss = sum(process.memory_full_info().pss for process in own) / 1e6
    return Contestant(name, env.step, env.close, len(own), pss)


def rate(step: Callable[[Any], Any], n_envs: int, seconds: float = SECONDS) -> float:
    """Env steps per second."""
    rng = np.random.default_rng(0)
    actions = rng.integers(0, 90, (64, n_envs))
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < seconds:
        for row in actions[:16]:
            step(row)
        n += 16
    return n * n_envs / (time.perf_counter() - start)


def bare_step(cost: float) -> Callable[[Any], Any]:
    """The step of an env that nobody stands around."""
    env = BusyEnv(cost)
    env.reset(seed=0)

    def step(actions: Any) -> None:
        for action in actions:
            if env.step(action)[3]:
                env.reset()

    return step


class BarePipes:
    """What waking costs: a process per core steps its envs, told by a byte and telling by one."""

    def __init__(self, cost: float, n_envs: int) -> None:
        self.num_envs = n_envs
        self._pipes: list[tuple[int, int]] = []
        for part in np.array_split(np.zeros(n_envs, np.int64), n_cores()):
            (orders, to_child), (from_child, answers) = os.pipe(), os.pipe()
            if os.fork() == 0:
                os.close(to_child)
                for pipe in self._pipes:
                    os.close(pipe[0])
                step = bare_step(cost)
                while os.read(orders, 1):
                    step(part)
                    os.write(answers, b"d")
                os._exit(0)
            os.close(orders)
            os.close(answers)
            self._pipes.append((to_child, from_child))

    def reset(self) -> None:
        """Nothing; the others have one."""

    def step(self, actions: Any) -> None:
        """One step of every env."""
        for to_child, _ in self._pipes:
            os.write(to_child, b"s")
        for _, from_child in self._pipes:
            os.read(from_child, 1)

    def close(self) -> None:
        """Ends the processes."""
        for pipe in self._pipes:
            os.close(pipe[0])
            os.close(pipe[1])
        for _ in self._pipes:
            os.wait()


def speed(costs: list[int], n_envs: int, rounds: int) -> None:
    """Prints a table for each cost."""
    for cost in costs:
        everybody = contestants(cost * 1e-6, n_envs)
        bare = bare_step(cost * 1e-6)
        rates: dict[str, list[float]] = {}
        for _ in range(rounds):
            of_cores = n_cores() * rate(bare, n_envs, SECONDS / 2)
            rates.setdefault("ceiling", []).append(of_cores)
            for each in everybody:
                rates.setdefault(each.name, []).append(rate(each.step, n_envs))
        for each in everybody:
            each.close()
        report(cost, everybody, {name: statistics.median(found) for name, found in rates.items()})


def contestants(cost: float, n_envs: int) -> list[Contestant]:
    """Everybody, with envs of a cost in seconds."""
    make, cores = [partial(BusyEnv, cost)] * n_envs, n_cores()
    many, few = f"ours, {n_envs} workers", f"ours, {cores} workers"
    return [
        contestant("SB3 DummyVecEnv", lambda: DummyVecEnv(make)),
        contestant("SB3 SubprocVecEnv", lambda: SubprocVecEnv(make)),
        contestant("Gymnasium AsyncVectorEnv", lambda: AsyncVectorEnv(make)),
        contestant(many, lambda: SharedMemoryVecEnv(make, n_envs)),
        contestant(few, lambda: SharedMemoryVecEnv(make, cores)),
        contestant(f"bare pipes, {cores} processes", lambda: BarePipes(cost, n_envs)),
    ]


def report(cost: int, everybody: list[Contestant], rates: dict[str, float]) -> None:
    """Prints a table."""
    ceiling, subproc = rates["ceiling"], rates["SB3 SubprocVecEnv"]
    print(f"\n{cost} us per step; ceiling {ceiling:,.0f} steps/s", flush=True)
    print("| | steps/s | x Subproc | of the ceiling | processes | PSS, MB | MB each |")
    print("|---|---|---|---|---|---|---|")
    for name, _, _, n, pss in everybody:
        found = rates[name]
        each = f"{pss / n:.0f}" if n else ""
        print(
            f"| {name} | {found:,.0f} | {found / subproc:.2f} | {found / ceiling:.0%} | {n} "
            f"| {pss:.0f} | {each} |",
            flush=True,
        )


def ready(n_envs: int, rounds: int) -> None:
    """Prints how many steps PPO collects in lockstep, and from whoever is ready first."""
    make = [partial(BusyEnv, 100e-6, 5e-3)] * n_envs
    few, many = n_cores(), n_envs
    everybody = {
        f"lockstep, {few} workers": (few, None),
        f"lockstep, {many} workers": (many, None),
        **{f"ready first, {many} workers, {m} rows": (many, m) for m in (1, many // 2)},
    }
    models = {}
    for name, (n_workers, min_rows) in everybody.items():
        model = NumpyPPO(
            "MlpPolicy",
            SharedMemoryVecEnv(make, n_workers),
            n_steps=1024 // n_envs,
            policy_kwargs={"net_arch": [256, 256]},
            extensions={"min_inference_size": min_rows},
            seed=0,
        )
        _, callback = model._setup_learn(10**9, None)
        callback.on_training_start(StepLocals({}, model._locals_makers()), {})
        models[name] = (model, callback)
    rates: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, (model, callback) in models.items():
            before, start = model.num_timesteps, time.perf_counter()
            while time.perf_counter() - start < SECONDS:
                model.collect_rollouts(model.env, callback, model.rollout_buffer, model.n_steps)
            seconds = time.perf_counter() - start
            rates[name].append((model.num_timesteps - before) / seconds)
    best = max(statistics.median(rates[name][1:]) for name in rates if "lockstep" in name)
    print("| | steps/s | x the best lockstep |\n|---|---|---|")
    for name, found in rates.items():
        median = statistics.median(found[1:])
        print(f"| {name} | {median:,.0f} | {median / best:.2f} |")
        models[name][0].env.close()


def crowd(n_envs: int, rounds: int, cost: float = 100e-6) -> None:
    """Prints the rates of many more workers than cores, and of as many."""
    make = partial(BusyEnv, cost)
    few, many = n_cores(), 16
    envs = {n: SharedMemoryVecEnv([make] * max(n_envs, many), n) for n in (few, many)}
    rates: dict[int, list[float]] = {n: [] for n in envs}
    for env in envs.values():
        env.reset()
    for _ in range(rounds):
        for n, env in envs.items():
            rates[n].append(rate(env.step, env.num_envs))
    for env in envs.values():
        env.close()
    medians = {n: statistics.median(found) for n, found in rates.items()}
    print(
        f"{many} workers: {medians[many]:,.0f} steps/s, {few} workers: {medians[few]:,.0f} "
        f"({medians[many] / medians[few]:.0%})"
    )


def leaks(n: int = 100) -> None:
    """Prints what is held before and after."""
    me = psutil.Process()

    def held() -> tuple[int, int, set[str]]:
        return me.num_fds(), len(me.children(recursive=True)), set(os.listdir("/dev/shm"))

    before, start = held(), time.perf_counter()
    for _ in range(n):
        env = SharedMemoryVecEnv([BusyEnv] * 4, 2)
        env.reset()
        env.step(np.zeros(4, np.int64))
        env.close()
    seconds = (time.perf_counter() - start) / n
    after = held()
    print(
        f"{n} starts and stops, {seconds:.2f} s each: descriptors {before[0]} -> {after[0]}, "
        f"processes {before[1]} -> {after[1]}, /dev/shm {len(before[2])} -> {len(after[2])}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("what", nargs="?", choices=("speed", "ready", "crowd", "leaks"), default="speed")
    add("--costs", type=int, nargs="+", default=[0, 100, 1000], help="us per step")
    add("--envs", type=int, default=8)
    add("--rounds", type=int, default=5)
    args = parser.parse_args()
    if args.what == "speed":
        speed(args.costs, args.envs, args.rounds)
    elif args.what == "ready":
        ready(args.envs, args.rounds)
    elif args.what == "crowd":
        crowd(args.envs, args.rounds)
    else:
        leaks()


if __name__ == "__main__":
    main()
