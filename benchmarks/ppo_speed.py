"""Training speed of our PPO beside SB3's and other peers', on SimpleAim-v0, in one run.

    python benchmarks/ppo_speed.py [--backends numpy torch jax mlx] [--peers sbx pure_jax]
                                   [--envs vector dummy jitted] [--settings 1 8 64] [--rounds 5]
                                   [--clock wall|cpu] [--returns]

One thread and one core each, the same hyperparameters and network (64x64 tanh); the contestants
take turns and each figure is the median of the rounds. Ratios are taken round by round before
their median, because a disturbance hits neighbors alike. ``--clock cpu`` counts this process's CPU
time, for a machine that others use too. Compiling isn't counted: its column is what the first
rollout and update took longer than a later one, with no compiled program kept on disk.

The world comes in three forms, see contestants.py: vectorized, as SB3's DummyVecEnv of single envs,
and as a part of the training program where there is one. The ratios are to SB3 on the first two; a
DummyVecEnv is what its user has by default.

The second table says where the time goes. ``--returns`` instead trains each contestant with the
world's entry in hyperparams/ppo.yml and evaluates it on 100 episodes.
"""

# ruff: noqa: E402 (the threads are set before NumPy is loaded)

import os

for variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"
if hasattr(os, "sched_setaffinity"):  # XLA's pool has a thread for each core that it may use
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"

import argparse
import operator
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from contestants import ENV_FORMS, PEERS, Contestant, contestants, make_env, zoo_entry
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_ext import PPO
from sb3_ext.backends import BACKENDS

SETTINGS = {1: (2048, 64), 8: (256, 64), 64: (256, 512)}  # n_envs: (n_steps, batch_size)
Clock = Callable[[], float]


def settings_for(n_envs: int) -> dict[str, Any]:
    """Hyperparameters of a setting; the others are SB3's defaults."""
    n_steps, batch_size = SETTINGS[n_envs]
    return {"n_envs": n_envs, "n_steps": n_steps, "batch_size": batch_size}


# Speed


class Speeds(NamedTuple):
    """Of one contestant."""

    who: Contestant
    first: float  # seconds of the first rollout and update
    rounds: list[float]  # env steps per second

    @property
    def median(self) -> float:
        """Env steps per second."""
        return statistics.median(self.rounds)

    def ratio(self, other: "Speeds") -> float:
        """How many times as fast as another one, round by round."""
        return statistics.median(map(operator.truediv, self.rounds, other.rounds))


def measure(
    n_envs: int, everybody: list[Contestant], rounds: int, clock: Clock
) -> tuple[list[Speeds], int]:
    """Let the contestants take turns; also returns the env steps of a rollout."""
    settings = settings_for(n_envs)
    n = settings["n_steps"] * n_envs
    models, speeds = [], []
    for who in everybody:
        model = who.build(settings)
        start = clock()
        model.learn(n)
        models.append(model)
        speeds.append(Speeds(who, clock() - start, []))
    for _ in range(rounds):
        for model, found in zip(models, speeds, strict=True):
            start = clock()
            model.learn(2 * n)
            found.rounds.append(2 * n / (clock() - start))
    return speeds, n


def print_speeds(everybody: list[Contestant], args: argparse.Namespace, clock: Clock) -> None:
    """The table, and a line for each setting about the best of ours."""
    print(f"env steps per second ({args.clock} clock, medians of {args.rounds})")
    ratios_to = "SB3, vector | SB3, dummy"
    print(f"| n_envs, n_steps, batch | who | env | env steps/s | {ratios_to} | compiling |")
    print("|---|---|---|---|---|---|---|")
    verdicts = []
    for n_envs in args.settings:
        speeds, n = measure(n_envs, everybody, args.rounds, clock)
        label = ", ".join(map(str, settings_for(n_envs).values()))
        sb3 = {found.who.env: found for found in speeds if found.who.name == "SB3"}
        for found in speeds:
            ratios = [
                f"{found.ratio(sb3[form]):.1f}x" if form in sb3 else ""
                for form in ("vector", "dummy")
            ]
            compiling = max(0.0, found.first - n / found.median)
            print(
                f"| {label} | {found.who.name} | {found.who.env} | {found.median:,.0f} "
                f"| {' | '.join(ratios)} | {compiling:.1f} s |",
                flush=True,
            )
        verdicts.append(f"{label}: {verdict(speeds, sb3)}")
    print("\n" + "\n".join(verdicts))


def verdict(speeds: list[Speeds], sb3: dict[str, Speeds]) -> str:
    """The fastest of ours beside SB3 and beside the fastest peer."""
    ours = max((s for s in speeds if s.who.is_ours), key=lambda s: s.median, default=None)
    if ours is None:
        return "none of ours took part"
    others = [s for s in speeds if not s.who.is_ours and s.who.name != "SB3"]
    parts = [f"{ours.ratio(found):.1f}x SB3 ({form})" for form, found in sb3.items()]
    for peer in sorted(others, key=lambda s: s.median, reverse=True):
        parts.append(f"{ours.ratio(peer):.2f}x {peer.who.name} ({peer.who.env})")
    return f"the best of ours is {ours.who.name} ({ours.who.env}): " + ", ".join(parts)


# Where the time goes


class Parts:
    """Microseconds per env step of a model's parts, for each round."""

    def __init__(self, n_envs: int, clock: Clock) -> None:
        self.settings = settings_for(n_envs)
        self.n = self.settings["n_steps"] * n_envs
        self.clock = clock
        self.rounds: list[dict[str, float]] = []

    def best(self) -> dict[str, float]:
        """The round that took least."""
        found = min(self.rounds, key=lambda parts: sum(parts.values()))
        found["minibatch"] = found["update"] / 10 * self.settings["batch_size"]
        return found


class OurParts(Parts):
    """Of one of our backends, on the vector env."""

    def __init__(self, n_envs: int, clock: Clock, backend: str) -> None:
        super().__init__(n_envs, clock)
        sizes = {key: self.settings[key] for key in ("n_steps", "batch_size")}
        env = make_env("vector", n_envs)
        self.model = model = PPO("MlpPolicy", env, seed=0, backend=backend, **sizes)
        model.learn(self.n)
        self.spent = dict.fromkeys(("env", "gae", "update"), 0.0)
        buffer = model.rollout_buffer
        self._time("env", model.env, "step")
        self._time("gae", buffer, "compute_returns_and_advantage")
        self._time("update", model, "train")

    def _time(self, part: str, owner: Any, name: str) -> None:
        function = getattr(owner, name)

        def wrapper(*args: Any) -> Any:
            start = self.clock()
            result = function(*args)
            self.spent[part] += self.clock() - start
            return result

        setattr(owner, name, wrapper)

    def take_turn(self) -> None:
        """One rollout and update."""
        self.spent.update(dict.fromkeys(self.spent, 0.0))
        start = self.clock()
        self.model.learn(self.n)
        acting = self.clock() - start - sum(self.spent.values())
        parts = {"acting": acting, **self.spent}
        self.rounds.append({part: seconds / self.n * 1e6 for part, seconds in parts.items()})


class PureParts(Parts):
    """Of pure_jax: its three stages, each as a program of its own. Acting includes the env."""

    def __init__(self, n_envs: int, clock: Clock) -> None:
        import jax
        from peers.pure_jax import PurePPO, settings_of

        super().__init__(n_envs, clock)
        model = PurePPO("SimpleAim-v0", settings_of(self.settings))
        key, run = jax.random.key(1), model.run
        network = model.unravel(run.parameters)
        collect, judge, improve = map(jax.jit, (model.collect, model.judge, model.improve))
        run, transitions = collect(run, key)
        batch = judge(network, transitions)
        self.stages = {
            "acting": lambda: jax.block_until_ready(collect(run, key)),
            "gae": lambda: jax.block_until_ready(judge(network, transitions)),
            "update": lambda: jax.block_until_ready(improve(run, batch, 3e-4, key)),
        }
        for stage in self.stages.values():
            stage()

    def take_turn(self) -> None:
        """Each stage once."""
        parts = {"env": 0.0}
        for name, stage in self.stages.items():
            start = self.clock()
            stage()
            parts[name] = (self.clock() - start) / self.n * 1e6
        self.rounds.append(parts)


def print_parts(args: argparse.Namespace, clock: Clock) -> None:
    """The second table: of the rounds the one that took least."""
    print("\nmicroseconds per env step, and per minibatch")
    print("| n_envs | who | acting | env | GAE | update | minibatch | its sgemm alone |")
    print("|---|---|---|---|---|---|---|---|")
    for n_envs in args.settings:
        everybody: dict[str, Any] = {name: OurParts(n_envs, clock, name) for name in args.backends}
        if "pure_jax" in args.peers:
            everybody["pure_jax"] = PureParts(n_envs, clock)
        for _ in range(args.rounds):
            for parts in everybody.values():
                parts.take_turn()
        sgemm = gemm_microseconds(SETTINGS[n_envs][1], clock)
        for name, parts in everybody.items():
            best = parts.best()
            total = sum(best.values()) - best["minibatch"]
            shares = " | ".join(
                f"{best[part]:.1f} ({best[part] / total:.0%})"
                for part in ("acting", "env", "gae", "update")
            )
            print(
                f"| {n_envs} | {name} | {shares} | {best['minibatch']:.0f} | {sgemm:.0f} |",
                flush=True,
            )


def gemm_microseconds(batch_size: int, clock: Clock) -> float:
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


# What is learned


def print_returns(everybody: list[Contestant], clock: Clock) -> None:
    """Each one trained with the world's entry, then played without noise."""
    settings, n_timesteps = zoo_entry()
    print(f"{n_timesteps:,} steps with {settings}")
    print("| who | env | training, compiling included | return, 100 episodes |")
    print("|---|---|---|---|")
    for who in everybody:
        model = who.build(settings)
        start = clock()
        model.learn(n_timesteps)
        seconds = clock() - start
        env = make_env("dummy", 10)
        env.seed(1000)
        mean, deviation = evaluate_policy(model, env, n_eval_episodes=100)
        print(
            f"| {who.name} | {who.env} | {seconds:.1f} s | {mean:.2f} ± {deviation:.2f} |",
            flush=True,
        )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backends", nargs="*", choices=BACKENDS, default=["numpy"])
    parser.add_argument("--peers", nargs="*", choices=PEERS, default=[])
    parser.add_argument("--envs", nargs="+", choices=ENV_FORMS, default=list(ENV_FORMS))
    parser.add_argument("--settings", type=int, nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    parser.add_argument("--returns", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    clock = time.perf_counter if args.clock == "wall" else time.process_time
    everybody = contestants(args.backends, args.peers, args.envs)
    if args.returns:
        print_returns(everybody, clock)
        return
    print_speeds(everybody, args, clock)
    print_parts(args, clock)


if __name__ == "__main__":
    main()
