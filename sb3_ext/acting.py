"""How a rollout's actions come about: its noise is drawn as one block, then rows act by steps."""

from collections.abc import Generator
from functools import partial
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext import ahead
from sb3_ext.collectors import Step, lockstep, ready_first
from sb3_ext.functional import noise
from sb3_ext.policy import env_actions

__all__ = ["begin", "begin_acting"]


def begin(model: Any, env: VecEnv, n_steps: int) -> Generator[Step]:
    """The steps of a rollout, as they come about."""
    min_rows = model.extensions.min_inference_size
    if min_rows is None:
        act = begin_acting(model, env, n_steps)
        return lockstep(model, env, n_steps, act, _prepared(model.policy, env.num_envs))
    act, to_env = _acting_at_any_pace(model, n_steps), partial(env_actions, model.policy)
    return ready_first(model, env, n_steps * env.num_envs, act, to_env, min_rows)


def begin_acting(model: Any, env: VecEnv, n_steps: int) -> Any:
    """A function of (step, observations) that acts; its noise is drawn here, as one block.

    In place of the step it takes (steps, rows) of some rows.
    """
    draws = np.arange(n_steps) // (every := _steps_per_draw(model, n_steps))
    block = _draw(model, int(draws[-1]) + 1)
    model._ahead = ahead.collect(model, env, block, draws)
    if model._ahead is not None:
        return model._ahead.action
    act: Any = model.actor_critic.actor(block)
    return act if every == 1 else lambda at, obs: act(_drawn(at, every), obs)


def _acting_at_any_pace(model: Any, n_steps: int) -> Any:
    """A function of (steps that rows have taken, rows) and observations that acts."""
    every = _steps_per_draw(model, n_steps)
    n_draws = (n_steps - 1) // every + 1
    actor: Any = model.actor_critic.actor(_draw(model, n_draws))

    def act(at: tuple[NDArray, NDArray], obs: Any) -> NDArray:
        nonlocal n_draws, actor
        if at[0].max() // every >= n_draws:  # a row is far ahead of the others
            n_draws *= 2
            actor = model.actor_critic.actor(_draw(model, n_draws))
        return actor(_drawn(at, every), obs)

    return act


def _steps_per_draw(model: Any, n_steps: int) -> int:
    if not model.use_sde:
        return 1
    return model.sde_sample_freq if model.sde_sample_freq > 0 else n_steps


def _draw(model: Any, n_draws: int) -> NDArray:
    """The noise of a rollout that begins now, ``[n_draws, n_envs, ...]``."""
    spec = model.actor_critic.spec
    stream = noise.EXPLORATION if model.use_sde else noise.ACTION
    at = (model._noise_seed, stream, model._noise_step)
    return noise.draw(spec.distribution.noise_kind, *at, n_draws, model.n_envs, spec.noise_shape)


def _drawn(at: Any, every: int) -> Any:
    """Which draw of noise a step takes, or (steps, rows) of some rows."""
    return (at[0] // every, at[1]) if isinstance(at, tuple) else at // every


def _prepared(policy: Any, n_envs: int) -> Any:
    """``env_actions`` for a rollout: limits of the actions' shape spare NumPy the broadcasting."""
    space = policy.action_space
    if not isinstance(space, spaces.Box) or policy.squash_output:
        return partial(env_actions, policy)
    shape = (n_envs, *space.shape)
    low, high = (np.broadcast_to(limit, shape).copy() for limit in (space.low, space.high))
    return lambda actions: np.minimum(np.maximum(actions.reshape(shape), low), high)
