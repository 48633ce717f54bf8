"""PassiveWalker-v0: env steps per second of its forms, and what a trained model can do.

`python benchmarks/passive_walker.py speed` lets the forms take turns: MuJoCo's own `mj_step` in the
states and with the controls of the vector form's rows (nothing can be faster), the vector form on
one and on two threads, and stable-baselines3's DummyVecEnv and SubprocVecEnv of single
environments. Figures are medians over the turns, by wall time and, where one thread does the work,
by its CPU time, which other processes disturb less.

`python benchmarks/passive_walker.py gait MODEL.zip` plays episodes with the most likely actions and
prints their measures, then the shares that survive slopes, standing starts and pushes.
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
import mujoco
import numpy as np

try:
    import envs
except ModuleNotFoundError:  # run from a checkout that isn't installed
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    import envs
from envs.passive_walker import physics, trials
from envs.passive_walker.env import PassiveWalkerEnv, Policy
from envs.passive_walker.gait import measure
from envs.passive_walker.vector_env import PassiveWalkerVectorEnv

gym.register_envs(envs)

N_SINGLE = 8  # rows of DummyVecEnv and SubprocVecEnv
N_CALLS = 25  # steps in a turn
CALM = 0.3  # actions are drawn within this

Times = tuple[float, float]  # CPU and wall, s


class RawPhysics:
    """`mj_step` alone, one MjData per row, in the states that the vector form's rows are in."""

    def __init__(self, rows: PassiveWalkerVectorEnv) -> None:
        self._rows = rows
        self._n_substeps = physics.timing(rows.task.hz)[0]
        self._datas = [mujoco.MjData(rows.model) for _ in range(rows.num_envs)]

    def step(self, actions: np.ndarray) -> Times:
        """Steps copies of the rows; what it returns is the time of the physics alone."""
        record = self._rows.trajectory_record()
        controls = self._rows.task.controls(np.clip(actions, [-1.0, 0.0, 0.0], 1.0))
        for row, data in enumerate(self._datas):
            data.qpos[:], data.qvel[:] = record["qpos"][row], record["qvel"][row]
            data.ctrl[:] = controls[row]
        model, n_substeps = self._rows.model, self._n_substeps
        return timed(lambda: [mujoco.mj_step(model, data, n_substeps) for data in self._datas])


def timed(call: Callable[[], Any]) -> Times:
    """CPU and wall time of a call."""
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def speed(n_rows: int, hz: float, turns: int, threads: list[int]) -> None:
    """Prints env steps per second of every form."""
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    rows = {n: PassiveWalkerVectorEnv(n_rows, threads=n, hz=hz) for n in threads}
    for env in rows.values():
        env.reset(seed=0)
    raw = RawPhysics(rows[threads[0]])
    singles: dict[str, Any] = {
        cls.__name__: make_vec_env(
            "PassiveWalker-v0", N_SINGLE, seed=0, vec_env_cls=cls, env_kwargs={"hz": hz}
        )
        for cls in (DummyVecEnv, SubprocVecEnv)
    }
    for venv in singles.values():
        venv.reset()
    rng = np.random.default_rng(0)
    forms: dict[str, tuple[int, Callable[[np.ndarray], Times]]] = {"mj_step": (n_rows, raw.step)}
    for n, env in rows.items():
        forms[_threads(n)] = (n_rows, lambda actions, env=env: timed(lambda: env.step(actions)))
    for name, venv in singles.items():
        forms[name] = (N_SINGLE, lambda actions, venv=venv: timed(lambda: venv.step(actions)))
    found: dict[str, list[Times]] = {name: [] for name in forms}
    for turn in range(turns + 1):
        for name, (n, step) in forms.items():
            actions = rng.uniform(-CALM, CALM, (N_CALLS, n, 3)).astype(np.float32)
            spent = np.sum([step(each) for each in actions], axis=0)
            if turn:  # the first one warms up
                found[name].append((spent[0] / N_CALLS / n, spent[1] / N_CALLS / n))
    for venv in singles.values():
        venv.close()
    _print_speeds(found, {name: n for name, (n, _) in forms.items()}, hz)


def _threads(n: int) -> str:
    return f"vector, {n} thread{'s' * (n > 1)}"


def _print_speeds(found: dict[str, list[Times]], sizes: dict[str, int], hz: float) -> None:
    n_substeps, timestep = physics.timing(hz)
    print(f"{hz:g} Hz, {n_substeps} physics steps of {1000 * timestep:g} ms, {len(found)} forms")
    print(f"{'form':<20} {'rows':>4} {'CPU, steps/s':>14} {'wall, steps/s':>14}  of mj_step")
    cpu, wall = (
        {name: statistics.median(times[k] for times in each) for name, each in found.items()}
        for k in (0, 1)
    )
    for name, n in sizes.items():
        one_thread = name in ("mj_step", _threads(1), "DummyVecEnv")
        by_cpu = f"{1 / cpu[name]:,.0f}" if one_thread else "-"
        ratios = (
            f"{100 * cpu['mj_step'] / cpu[name]:.0f} % CPU, " if one_thread else ""
        ) + f"{100 * wall['mj_step'] / wall[name]:.0f} % wall"
        print(f"{name:<20} {n:>4} {by_cpu:>14} {1 / wall[name]:>14,.0f}  {ratios}")


def load_policy(path: Path, algo: str, hz: float) -> Policy:
    """A model's most likely actions.

    A normalizer of observations isn't read: none of the walker's presets has one.
    """
    from sb3_ext.zoo.registry import load_algorithm

    model = load_algorithm(algo).load(path, device="cpu")
    expected = PassiveWalkerEnv(hz=hz).observation_space
    if model.observation_space != expected:
        raise SystemExit(f"{path} sees {model.observation_space}, not {expected}")
    return lambda observations: model.predict(observations, deterministic=True)[0]


def gait(policy: Policy, n_episodes: int, **options: Any) -> None:
    """Prints measures of walks, and survival on slopes, from rest and after pushes."""
    print("episode  s      m      m/s   steps  step m  period s  asym %  hip CoT  end")
    for number, episode in enumerate(trials.play(policy, n_episodes, seed=1000, **options)):
        one = measure(episode.walk)
        print(
            f"{number:>7}  {len(episode.walk.time) / options['hz']:<5.1f}  {one.distance:<5.2f}  "
            f"{one.speed:<.3f}  {one.steps:>4}   {one.step_length:.3f}   {one.period:.3f}     "
            f"{100 * one.asymmetry:>4.1f}    {one.hip_cost_of_transport:.4f}   {episode.end}"
        )
    slopes = trials.survive_slopes(policy, n_episodes=n_episodes, seed=2000, **options)
    for degrees, survived in zip(slopes.levels, slopes.survived, strict=True):
        print(f"slope {degrees:g} deg: {survived} of {slopes.n}")
    standing = trials.play(policy, n_episodes, seed=3000, **{**options, "start": "rest"})
    survived = sum(episode.end == "time limit" for episode in standing)
    print(f"from rest: {survived} of {n_episodes}")
    pushes = trials.survive_pushes(policy, n_episodes=n_episodes, seed=4000, **options)
    for impulse, survived in zip(pushes.levels, pushes.survived, strict=True):
        print(f"push {impulse:g} N s: {survived} of {pushes.n}")


def main() -> None:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    of_speed = commands.add_parser("speed", help="env steps per second")
    of_speed.add_argument("--rows", type=int, default=64)
    of_speed.add_argument("--hz", type=float, default=50.0)
    of_speed.add_argument("--turns", type=int, default=15)
    of_speed.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    of_gait = commands.add_parser("gait", help="what a model can do")
    of_gait.add_argument("model", type=Path)
    of_gait.add_argument("--algo", default="ppo_numpy")
    of_gait.add_argument("--episodes", type=int, default=10)
    of_gait.add_argument("--hz", type=float, default=50.0)
    of_gait.add_argument("--seconds", type=float, default=20.0)
    of_gait.add_argument("--slope", type=float, default=3.0)
    arguments = parser.parse_args()
    if arguments.command == "speed":
        speed(arguments.rows, arguments.hz, arguments.turns, arguments.threads)
        return
    options = {"hz": arguments.hz, "seconds": arguments.seconds, "slope": arguments.slope}
    gait(load_policy(arguments.model, arguments.algo, arguments.hz), arguments.episodes, **options)


if __name__ == "__main__":
    main()
