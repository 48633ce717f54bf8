"""Whether a world's rows are worth worker processes: its steps are timed."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import gymnasium as gym

from sb3_ext.zoo.one_env import OneEnv

__all__ = ["Form", "choose_workers", "seconds_per_step"]

# Below this a step's way to a worker and back costs more than another core brings.
LEAST = 50e-6
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


def seconds_per_step(env: gym.Env[Any, Any]) -> float:
    """The cost of a step with random actions, resets included; closes the env."""
    try:
        env.reset(seed=0)
        # Whatever else the machine does only makes a turn longer.
        return min(_turn(env) for _ in range(_TURNS))
    finally:
        env.close()


def _turn(env: gym.Env[Any, Any]) -> float:
    n_steps, start, spent = 0, time.perf_counter(), 0.0
    while spent < _TURN or n_steps < _TURN_STEPS:
        _, _, terminated, truncated, _ = env.step(env.action_space.sample())
        if terminated or truncated:
            env.reset()
        n_steps, spent = n_steps + 1, time.perf_counter() - start
    return spent / n_steps


def _told(cost: float) -> str:
    return f"{cost * 1e6:.0f} us" if cost < 1e-3 else f"{cost * 1e3:.1f} ms"
