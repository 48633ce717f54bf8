"""Env steps per second of OsuMania-v0 by kernels, observation and number of rows.

    OPENBLAS_NUM_THREADS=1 python benchmarks/osu_mania.py speed
    OPENBLAS_NUM_THREADS=1 python benchmarks/osu_mania.py accuracy MODEL
    python benchmarks/osu_mania.py calibrate

`speed` steps whole environments, 4K with holds, as `gym.make` and `gym.make_vec` give them: rules,
observation, reward terms, episodes that end and begin. Its keys are a perfect player's of the same
maps, recorded beforehand, or keys that go up or down at random with probability 0.1 each. Turns are
interleaved; a figure is the median over them, in CPU time of the one thread that it takes.

`accuracy` lets an agent play maps that it has not seen, pattern by pattern, and prints the mean and
the lowest accuracy, and how its judgements are spread. Environment options are given as on the
zoo's command line, such as `--env-kwargs observation:highway`.

`calibrate` fits rosu-pp's stars of generated maps by their speed, for `generate._STARS`.
"""

from __future__ import annotations

import argparse
import ast
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

try:
    import envs
except ModuleNotFoundError:  # run from a checkout that isn't installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import envs
from envs.osu_mania import generate
from envs.osu_mania.play import JUDGEMENTS
from envs.osu_mania.players import perfect_keys

gym.register_envs(envs)

Keys = NDArray[np.int8]


def make(n_rows: int, kernels: str, **options: Any) -> Any:
    """`gym.make` of one row, `gym.make_vec` of more."""
    if n_rows == 1:
        return gym.make("OsuMania-v0", kernels=kernels, **options)
    return gym.make_vec("OsuMania-v0", num_envs=n_rows, kernels=kernels, **options)


def player_keys(n_rows: int, n_steps: int, options: dict[str, Any]) -> list[Keys]:
    """What a perfect player does in each step, `[n, keys]`."""
    env = make(max(n_rows, 2), "auto", **options)
    env.reset(seed=0)
    steps = []
    for _ in range(n_steps):
        steps.append(perfect_keys(env.unwrapped.rows.simulator).astype(np.int8))
        env.step(steps[-1])
    return [keys[:n_rows] for keys in steps]


def random_keys(n_rows: int, n_steps: int) -> list[Keys]:
    """Keys that change with probability 0.1 each, `[n, keys]` per step."""
    flips = np.random.default_rng(0).random((n_steps, n_rows, 4)) < 0.1
    return list((np.cumsum(flips, axis=0) % 2).astype(np.int8))


def seconds(env: Any, steps: list[Keys], n_rows: int) -> float:
    """CPU time of stepping through the recorded keys from the beginning, s."""
    env.reset(seed=0)
    actions = [keys[0] for keys in steps] if n_rows == 1 else steps
    start = time.process_time()
    if n_rows == 1:
        for action in actions:
            if env.step(action)[2]:
                env.reset()
    else:
        for action in actions:
            env.step(action)
    return time.process_time() - start


def speed(arguments: argparse.Namespace) -> None:
    """Prints the table."""
    for observation in arguments.observations:
        for n_rows in arguments.rows:
            options = {"observation": observation, "ruleset": arguments.ruleset}
            work = arguments.work // (10 if observation == "highway" else 1)
            n_steps = max(60, min(arguments.steps, work // n_rows))
            inputs = {
                "player": player_keys(n_rows, n_steps, options),
                "random": random_keys(n_rows, n_steps),
            }
            rows = {k: make(n_rows, k, **options) for k in arguments.kernels}
            if n_rows > 8:
                rows.pop("python", None)
            times: dict[tuple[str, str], list[float]] = {}
            for turn in range(arguments.turns + 1):
                for kernels, env in rows.items():
                    for name, steps in inputs.items():
                        spent = seconds(env, steps, n_rows)
                        if turn:  # the first turn compiles and warms up
                            times.setdefault((kernels, name), []).append(spent)
            for kernels in rows:
                figures = "  ".join(
                    f"{name} {n_rows * n_steps / statistics.median(times[kernels, name]):>12,.0f}/s"
                    for name in inputs
                )
                print(f"{observation:>8} {n_rows:>5} rows  {kernels:<6} {figures}", flush=True)


def play_maps(predict: Any, n_maps: int, options: dict[str, Any]) -> tuple[Any, Any]:
    """One episode on each of n maps, no two of them the same.

    Args:
        predict: Actions `[n, ...]` of observations `[n, ...]`.
        n_maps: How many.
        options: The environment's.

    Returns:
        Accuracies `[n]`, and judgements by kind `[n, 6]`.
    """
    env = gym.make_vec("OsuMania-v0", num_envs=n_maps, n_maps=10**6, **options)
    observations, _ = env.reset(seed=0)
    accuracies, counts = np.full(n_maps, np.nan), np.zeros((n_maps, len(JUDGEMENTS)))
    while np.isnan(accuracies).any():
        observations, _, terminated, _, infos = env.step(predict(observations))
        for row in np.flatnonzero(terminated & np.isnan(accuracies)):
            result = infos["final_info"]
            accuracies[row] = result["accuracy"][row]
            counts[row] = [result["judgements"][name][row] for name in JUDGEMENTS]
    return accuracies, counts


def literal_or_text(value: str) -> Any:
    """As the zoo's command line reads it: what is no literal of Python's stays text."""
    try:
        return ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return value


def accuracy(arguments: argparse.Namespace) -> None:
    """Prints an agent's accuracy by pattern."""
    from sb3_ext import PPO

    model = PPO.load(arguments.model, device="cpu")
    options = {"map_seed": arguments.map_seed, "difficulty": arguments.difficulty}
    for pair in arguments.env_kwargs:
        name, _, value = pair.partition(":")
        options[name] = literal_or_text(value)
    print(f"{'pattern':<8} {'mean':>8} {'lowest':>8}   " + " ".join(f"{j:>6}" for j in JUDGEMENTS))
    for pattern in arguments.patterns:
        found, counts = play_maps(
            lambda observations: model.predict(observations, deterministic=True)[0],
            arguments.maps,
            options | {"pattern": pattern},
        )
        shares = counts.sum(axis=0) / counts.sum()
        figures = " ".join(f"{share:>6.1%}" for share in shares)
        print(f"{pattern:<8} {found.mean():>8.2%} {found.min():>8.2%}   {figures}", flush=True)


def calibrate(arguments: argparse.Namespace) -> None:
    """Prints intercepts and slopes of stars over rows per second, for 1 to 10 keys."""
    import rosu_pp_py as rosu

    speeds = np.array([1.5, 3, 5, 8, 12, 16, 20, 25])
    original = generate.rows_per_second
    for pattern in generate.PATTERNS:
        fits = []
        for keys in range(1, 11):
            stars = []
            for rate in speeds:
                generate.rows_per_second = lambda *_, rate=rate: rate
                maps = [generate.make_map(s, keys, pattern, 1.0) for s in range(arguments.seeds)]
                found = [
                    rosu.Difficulty().calculate(rosu.Beatmap(content=m.to_osu())).stars
                    for m in maps
                ]
                stars.append(np.mean(found))
            usual = np.array(stars) < 10
            some = np.array(stars)[usual]
            slope, intercept = np.polyfit(speeds[usual], some, 1, w=1 / some)
            fits.append((round(float(intercept), 2), round(float(slope), 3)))
        print(pattern, *zip(*fits, strict=True), sep="\n    ", flush=True)
    generate.rows_per_second = original


def main() -> None:
    """Parses the arguments and runs a command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("speed", help="env steps per second")
    command.add_argument("--rows", nargs="+", type=int, default=[1, 64, 1024])
    command.add_argument("--kernels", nargs="+", default=["python", "numpy", "numba"])
    command.add_argument("--observations", nargs="+", default=["compact", "highway"])
    command.add_argument("--ruleset", default="stable", choices=["stable", "lazer"])
    command.add_argument("--steps", type=int, default=2400, help="steps per turn; a map has 1900")
    command.add_argument(
        "--work", type=int, default=2_500_000, help="env steps per turn at most; of frames a tenth"
    )
    command.add_argument("--turns", type=int, default=5)
    command = commands.add_parser("accuracy", help="an agent's accuracy by pattern")
    command.add_argument("model", help="a file of sb3_ext.PPO or of stable-baselines3's")
    command.add_argument("--maps", type=int, default=20, help="of each pattern")
    command.add_argument("--map-seed", type=int, default=99, help="any but 0, that of training")
    command.add_argument("--difficulty", nargs=2, type=float, default=[1.0, 3.0])
    command.add_argument("--patterns", nargs="+", default=generate.PATTERNS)
    command.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE")
    command = commands.add_parser("calibrate", help="stars of generated maps by their speed")
    command.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    {"speed": speed, "accuracy": accuracy, "calibrate": calibrate}[arguments.command](arguments)


if __name__ == "__main__":
    main()
