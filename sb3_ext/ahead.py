"""Rollouts of a JAX world that were collected, and learned from, in one program beforehand."""

from functools import partial
from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.vec_env import VecEnv

from sb3_ext.functional import noise
from sb3_ext.rollout_buffer import RolloutBuffer
from sb3_ext.schedules import clamp_progress
from sb3_ext.vec_env.jax_world import jax_world

__all__ = ["collect", "skip"]


def collect(model: Any, env: VecEnv, block: NDArray, draws: NDArray) -> Any:
    """Collect and learn in one program where the env allows it (:mod:`sb3_ext.fused`)."""
    world = jax_world(env)
    if world is None or model.actor_critic.name != "jax":
        return None
    from sb3_ext.fused import FusedProgram

    world.play_out()
    if model._program is None or not model._program.serves(model.actor_critic, world.world_env):
        backend: Any = model.actor_critic
        model._program = FusedProgram(backend, world.world_env, model.gamma, model.gae_lambda)
    n_rows = len(draws) * env.num_envs
    after = model.num_timesteps + n_rows
    settings = model._update_settings(clamp_progress(1.0 - after / model._total_timesteps))
    alone = model.extensions.n_rollouts_kept == 1 and model._normalization() != "rollout"
    order = partial(noise.permutation, model._noise_seed, model._noise_update, n=n_rows)
    return model._program.run(block, draws, settings if alone else None, order)


def skip(model: Any, env: Any, callback: BaseCallback, buffer: RolloutBuffer) -> NDArray:
    """All steps of a rollout collected ahead at once, as nobody looks; the last one's dones."""
    rollout = model._ahead.collected.rollout
    done = rollout.transitions.terminated | rollout.transitions.truncated
    n_steps = len(done)
    buffer.observations[:] = rollout.obs.reshape(buffer.observations.shape)
    buffer.actions[:] = model._ahead.actions.reshape(buffer.actions.shape)
    buffer.rewards[:] = rollout.transitions.reward
    buffer.episode_starts[0], buffer.episode_starts[1:] = model._last_episode_starts, done[:-1]
    buffer.pos, buffer.full = n_steps, True
    assert model.ep_info_buffer is not None
    model.ep_info_buffer.extend(env.skip())
    model.num_timesteps += n_steps * env.num_envs
    model._noise_step += n_steps
    callback.n_calls += n_steps
    callback.num_timesteps = model.num_timesteps
    model._last_obs, model._last_episode_starts = model._ahead.collected.last_obs, done[-1]
    return done[-1]
