"""Collecting and learning in one jitted program, for worlds with a functional definition.

PPO's loop stays what it is: the program runs where a rollout begins, the loop then goes through
what it collected, with callbacks and logs, and where it would learn it takes over what the program
has learned. If a callback has changed a setting in between, it learns from the rollout once more.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from envs.vector_env import WorldVectorEnv
from envs.world import Rows, Transition, step_autoreset
from sb3_ext.backends.autograd import predictions_of, sample
from sb3_ext.backends.base import Batch, UpdateSettings, UpdateStats
from sb3_ext.backends.jax_backend import (
    JaxActorCritic,
    Learned,
    Learner,
    Plan,
    make_plan,
    numbers_of,
)
from sb3_ext.backends.observations import encode
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional.xp import namespace
from sb3_ext.rollout_buffer import RolloutBuffer

__all__ = ["Ahead", "FusedProgram"]

_XP = namespace("jax")
_EPISODES = 4  # that a row may begin within a rollout, at first


class Rollout(NamedTuple):
    """What a program collects, fields ``[n_steps, n_envs, ...]``."""

    obs: Any
    actions: Any
    values: Any
    log_prob: Any
    transitions: Transition


class Collected(NamedTuple):
    """A rollout with what follows from it."""

    rollout: Rollout
    rows: Rows  # after the last step
    last_obs: Any  # [n_envs, ...]
    last_values: Any  # [n_envs]
    rewards: Any  # [n_steps, n_envs], with what lies beyond a time limit
    advantages: Any
    most_episodes: Any  # begun by a single row
    learned: Learned | None


@dataclass
class Ahead:
    """A rollout that PPO's loop is about to go through.

    Attributes:
        actions: ``[n_steps, n_envs, ...]``, before clipping, counted from 0.
        collected: The rest.
        settings: With which the program has learned; None: it hasn't.
        plan: Which rows in which step.
        learner: From which it began.
        backend: Whose network it is.
    """

    actions: NDArray
    collected: Collected
    settings: UpdateSettings | None
    plan: Plan | None
    learner: Learner
    backend: JaxActorCritic

    def action(self, step: int, obs: Any) -> NDArray:
        """What the rows do at a step of the rollout."""
        return self.actions[step]

    def finish(self, buffer: RolloutBuffer) -> NDArray:
        """Fill in what a buffer lacks once all steps are in it; the last values ``[n_envs]``."""
        collected, rollout = self.collected, self.collected.rollout
        buffer.values[:] = rollout.values
        buffer.log_probs[:] = rollout.log_prob
        buffer.rewards[:] = collected.rewards
        buffer.advantages[:] = collected.advantages
        np.add(buffer.advantages, buffer.values, out=buffer.returns)
        return np.array(collected.last_values)

    def take_over(self, rows: Batch, settings: UpdateSettings) -> UpdateStats | None:
        """Go on from what the program has learned; None if it has learned something else.

        Args:
            rows: The rollout's transitions.
            settings: With which to learn.
        """
        learned, plan = self.collected.learned, self.plan
        if learned is None or plan is None:
            return None
        if self.settings != settings or self.backend.learner is not self.learner:
            return None
        return self.backend.accept(learned, plan, rows, settings)


class FusedProgram:
    """Runs a backend's network in a world.

    Args:
        backend: The network and its optimizer.
        env: The world's rows.
        gamma: Discount factor.
        gae_lambda: lambda of generalized advantage estimation.
    """

    def __init__(
        self, backend: JaxActorCritic, env: WorldVectorEnv, gamma: float, gae_lambda: float
    ) -> None:
        self.backend, self.env = backend, env
        self._n_episodes = _EPISODES
        program = partial(_iterate, backend, env, gamma, gae_lambda)
        self._program = jax.jit(program, static_argnames=("size", "normalized"))

    def serves(self, backend: Any, env: Any) -> bool:
        """Whether this is the program for them."""
        return self.backend is backend and self.env is env

    def run(
        self,
        noise: NDArray,
        draws: NDArray,
        settings: UpdateSettings | None,
        order: Callable[[int], NDArray],
    ) -> Ahead:
        """Collect a rollout and, if settings are given, learn from it; the env replays it.

        Args:
            noise: The distribution's, ``[n_draws, n_envs, ...]``.
            draws: Which of them a step takes, ``[n_steps]``.
            settings: How to learn; None: collect only.
            order: The rows' permutation in an epoch.
        """
        env, n_steps = self.env, len(draws)
        world_noise = env.noise_ahead(n_steps)
        plan, numbers, options = None, None, {"size": 0, "normalized": False}
        if settings is not None:
            plan, numbers = make_plan(n_steps * env.num_envs, settings, order), numbers_of(settings)
            options = {"size": settings.batch_size, "normalized": settings.normalize_minibatch}
        learner = self.backend.learner
        while True:  # until the noise was enough for all the episodes that began
            resets = env.reset_noise_ahead(self._n_episodes)
            given = (learner, env.rows, noise, draws, world_noise, resets, plan, numbers)
            collected = self._program(*given, **options)
            if int(collected.most_episodes) <= self._n_episodes:
                break
            self._n_episodes *= 2
        # To the host, but for what only the network needs.
        learned = collected.learned
        collected = jax.tree.map(np.asarray, collected._replace(learned=None))
        collected = collected._replace(learned=learned)
        rollout = collected.rollout
        observations = np.concatenate([rollout.obs[1:], collected.last_obs[None]])
        env.replay(rollout.transitions, observations, collected.rows)
        actions = rollout.actions
        if actions.dtype.kind == "i":
            actions = actions.astype(np.int64)
        return Ahead(actions, collected, settings, plan, learner, self.backend)


def _iterate(
    backend: JaxActorCritic,
    env: WorldVectorEnv,
    gamma: float,
    gae_lambda: float,
    learner: Learner,
    rows: Rows,
    noise: jax.Array,
    draws: jax.Array,
    world_noise: jax.Array,
    reset_noise: jax.Array,
    plan: Plan | None,
    numbers: Any,
    *,
    size: int,
    normalized: bool,
) -> Collected:
    """One iteration of PPO: collect, advantages, learn."""
    network = backend.network_of(learner.parameters)
    acting, to_env = partial(_act, network, backend), partial(_env_actions, backend.spec)
    (rows, last_obs, begun), rollout = _collect(
        acting, to_env, env, rows, noise, draws, world_noise, reset_noise
    )
    steps = rollout.transitions
    # What lies beyond a time limit is worth gamma V(terminal observation).
    ends = steps.observation.reshape(-1, *steps.observation.shape[2:])
    worth = network(_encoded(backend.spec, ends)).values.reshape(steps.reward.shape)
    cut = steps.truncated & ~steps.terminated
    rewards = steps.reward + jnp.where(cut, gamma * worth, 0.0)
    last_values = network(_encoded(backend.spec, last_obs)).values
    done = steps.terminated | steps.truncated
    advantages = _gae(rewards, rollout.values, done, last_values, gamma, gae_lambda)
    learned = None
    if plan is not None:
        batch = _as_rows(backend, rollout, advantages)
        learned = backend.learn(learner, batch, plan, *numbers, size=size, normalized=normalized)
    return Collected(
        rollout, rows, last_obs, last_values, rewards, advantages, begun.max(), learned
    )


def _act(network: Any, backend: JaxActorCritic, obs: Any, noise: Any) -> Any:
    """Actions as the distribution has them, and what the network says of them."""
    outputs = network(_encoded(backend.spec, obs))
    actions = sample(_XP, backend.spec, outputs, noise)
    return actions, predictions_of(_XP, backend.spec, outputs, actions)


def _collect(
    acting: Callable,
    to_env: Callable,
    env: WorldVectorEnv,
    rows: Rows,
    noise: jax.Array,
    draws: jax.Array,
    world_noise: jax.Array,
    reset_noise: jax.Array,
) -> tuple[Any, Rollout]:
    world, params, limit = env.world, env.params, env.max_episode_steps
    columns = jnp.arange(env.num_envs)
    last = reset_noise.shape[1] - 1

    def step(carry: Any, inputs: Any) -> Any:
        rows, obs, begun = carry
        draw, step_noise = inputs
        actions, found = acting(obs, noise[draw])
        rows, next_obs, transition = step_autoreset(
            world,
            jnp,
            rows,
            to_env(actions),
            step_noise,
            reset_noise[columns, jnp.minimum(begun, last)],
            params,
            limit,
        )
        begun = begun + (transition.terminated | transition.truncated)
        # A state may be anything, the loop has no use for it.
        seen = Rollout(obs, actions, found.values, found.log_prob, transition._replace(state=None))
        return (rows, next_obs, begun), seen

    first = world.observation(jnp, rows.state, params)
    begin = (rows, first, jnp.zeros(env.num_envs, jnp.int32))
    return jax.lax.scan(step, begin, (draws, world_noise))


def _env_actions(spec: NetworkSpec, actions: jax.Array) -> Any:
    """``policy.env_actions`` in JAX."""
    space = spec.action_space
    if isinstance(space, spaces.Box):
        actions = actions.reshape(-1, *space.shape)
        if spec.squash_output:
            return space.low + 0.5 * (actions + 1.0) * (space.high - space.low)
        return jnp.minimum(jnp.maximum(actions, space.low), space.high)
    if isinstance(space, spaces.Discrete):
        return actions + int(space.start)
    if isinstance(space, spaces.MultiDiscrete):
        return actions + space.start
    return actions.astype(space.dtype)


def _gae(
    rewards: jax.Array,
    values: jax.Array,
    done: jax.Array,
    last_values: jax.Array,
    gamma: float,
    gae_lambda: float,
) -> jax.Array:
    """``functional.advantages.gae`` as a scan."""
    going_on = 1.0 - done
    next_values = jnp.concatenate([values[1:], last_values[None]])
    delta = rewards + gamma * next_values * going_on - values

    def step(later: jax.Array, inputs: Any) -> Any:
        delta, decay = inputs
        here = delta + decay * later
        return here, here

    decay = gamma * gae_lambda * going_on
    return jax.lax.scan(step, jnp.zeros_like(last_values), (delta, decay), reverse=True)[1]


def _encoded(spec: NetworkSpec, obs: Any) -> Any:
    """As the network reads them; it makes floats of images itself."""
    return (
        obs if spec.images else encode(spec.observation_space, obs, spec.normalize_images, xp=jnp)
    )


def _as_rows(backend: JaxActorCritic, rollout: Rollout, advantages: jax.Array) -> Batch:
    def flat(column: Any) -> Any:
        return column.reshape(-1, *column.shape[2:])

    return Batch(
        _encoded(backend.spec, flat(rollout.obs)),
        flat(rollout.actions),
        flat(rollout.log_prob),
        flat(rollout.values),
        flat(advantages),
        flat(advantages + rollout.values),
    )
