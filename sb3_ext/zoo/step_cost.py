"""Whether a world's rows are worth worker processes: its steps are timed."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium as gym
import numpy as np

from sb3_ext.zoo.one_env import OneEnv

__all__ = ["Form", "choose_vector_workers", "choose_workers", "seconds_per_step"]

# Below this a step's way to a worker and back costs more than another core brings.
LEAST = 50e-6
# The same of a step of all rows of a vector env, and how much faster workers must really be.
LEAST_VECTOR = 150e-6
FASTER = 1.2
# Seconds that workers must save, over what it takes to start them.
WORTH = 3.0
_TURNS = 5  # of the trial, each with at least so many seconds and steps:
_TURN = 0.01
_TURN_STEPS = 5


class Form(NamedTuple):
    """How rows are run, and why."""

    name: str
    reason: str


def choose_workers(build: OneEnv, n_envs: int, n_timesteps: int, n_cores: int) -> Form:
    """``shm`` where worker processes save time, else ``dummy``.

    Args:
        build: Builds one row.
        n_envs: Rows.
        n_timesteps: Steps to train for, over all rows.
        n_cores: Cores there are.
    """
    if n_envs == 1 or n_cores == 1:
        return Form("dummy", f"{'one row' if n_envs == 1 else 'one core'} gains nothing by workers")
    try:
        cost = seconds_per_step(build())
    except Exception:  # it will say so itself when the rows are built
        return Form("dummy", "a step couldn't be timed")
    told = f"a step takes {_told(cost)}"
    if cost < LEAST:
        return Form("dummy", f"{told}, less than its way to a worker and back")
    saved = cost * n_timesteps * (1.0 - 1.0 / min(n_envs, n_cores))
    if saved < WORTH:
        return Form("dummy", f"{told}, so workers would save {saved:.1f} s of this run at most")
    return Form("shm", f"{told}, so workers on {n_cores} cores save up to {saved:.0f} s")


def choose_vector_workers(
    build: Callable[[str, int], Any], n_envs: int, n_timesteps: int, n_cores: int
) -> Form:
    """``shm``, parts of a vector env in workers, where that is faster; else ``vector``.

    Args:
        build: Makes a VecEnv of so many envs in a form, ``vector`` or ``shm``.
        n_envs: Envs, each of one row or more.
        n_timesteps: Steps to train for, over all rows.
        n_cores: Cores there are.
    """
    if n_envs == 1 or n_cores == 1:
        return Form("vector", "")
    share = 1.0 - 1.0 / min(n_envs, n_cores)
    try:
        for n in (1, n_envs):  # a few rows tell quickly that it isn't worth while
            cost, n_rows = _seconds_per_vector_step(build("vector", n))
            if cost * n_timesteps / n_rows * share < WORTH:
                return Form("vector", "")
        if cost < LEAST_VECTOR:
            return Form("vector", "")
        in_workers, _ = _seconds_per_vector_step(build("shm", n_envs))
    except Exception:  # it will say so itself when the rows are built
        return Form("vector", "")
    told = f"a step of all rows takes {_told(cost)}, in workers {_told(in_workers)}"
    return Form("shm" if in_workers * FASTER < cost else "vector", told)


def seconds_per_step(env: gym.Env[Any, Any]) -> float:
    """The cost of a step with random actions, resets included; closes the env."""

    def step() -> None:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()

    try:
        env.reset(seed=0)
        return _seconds(step)
    finally:
        env.close()


def _seconds_per_vector_step(env: Any) -> tuple[float, int]:
    """The same of a VecEnv, and its rows; closes it."""
    try:
        env.reset()
        env.active_rows()  # empty rows cost what they cost
        drawn = [[env.action_space.sample() for _ in range(env.num_envs)] for _ in range(16)]
        actions = itertools.cycle(map(np.array, drawn))
        return _seconds(lambda: env.step(next(actions))), env.num_envs
    finally:
        env.close()


def _seconds(step: Callable[[], Any]) -> float:
    # Whatever else the machine does only makes a turn longer.
    return min(_turn(step) for _ in range(_TURNS))


def _turn(step: Callable[[], Any]) -> float:
    n_steps, start, spent = 0, time.perf_counter(), 0.0
    while spent < _TURN or n_steps < _TURN_STEPS:
        step()
        n_steps, spent = n_steps + 1, time.perf_counter() - start
    return spent / n_steps


def _told(cost: float) -> str:
    return f"{cost * 1e6:.0f} us" if cost < 1e-3 else f"{cost * 1e3:.1f} ms"
