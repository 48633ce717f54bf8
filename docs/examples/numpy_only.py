"""PPO on TargetReach-v0 with the functional core and the NumPy backend alone: no torch, no SB3.

python docs/examples/numpy_only.py [SEED]
"""

import sys

import gymnasium as gym
import numpy as np

import envs  # noqa: F401 (registers the world)
from sb3_ext.backends.base import Batch, Rates, UpdateSettings
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.backends.parameters import initialize
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional import noise
from sb3_ext.functional.advantages import gae
from sb3_ext.functional.losses import Coefficients

N_ENVS, N_STEPS, GAMMA, LAMBDA = 8, 64, 0.95, 0.95


def train(seed: int, total_steps: int = 25_000) -> NumpyActorCritic:
    """Collect, estimate advantages, update; again and again."""
    env = gym.make_vec("TargetReach-v0", num_envs=N_ENVS)
    spec = NetworkSpec(env.single_observation_space, env.single_action_space)
    network = NumpyActorCritic(spec, initialize(spec, noise.generator(seed, noise.INITIAL)))
    obs, _ = env.reset(seed=seed)
    steps_per_rollout = N_STEPS * N_ENVS
    n_updates = total_steps // steps_per_rollout
    for update in range(n_updates):
        block = noise.draw("gumbel", seed, 1, update * N_STEPS, N_STEPS, N_ENVS, spec.noise_shape)
        act, path = network.actor(block), []
        for t in range(N_STEPS):
            actions = act(t, obs)
            next_obs, rewards, terminated, truncated, infos = env.step(actions)
            cut = np.flatnonzero(truncated & ~terminated)
            if len(cut):  # a time limit: beyond it lies gamma V(final observation)
                final = np.stack([infos["final_obs"][row] for row in cut])
                rewards[cut] += GAMMA * network.values(final)
            path.append((obs, actions, rewards, terminated | truncated))
            obs = next_obs
        all_obs, all_actions, all_rewards, dones = map(np.stack, zip(*path, strict=True))
        flat_obs, flat_actions = all_obs.reshape(-1, 1), all_actions.reshape(-1)
        said = network.evaluate(flat_obs, flat_actions)
        values = said.values.reshape(N_STEPS, N_ENVS)
        advantages = gae(all_rewards, values, dones, network.values(obs), GAMMA, LAMBDA)
        columns = (said.log_prob, said.values, advantages.ravel(), (advantages + values).ravel())
        rate = 2e-3 * (1 - update / n_updates)
        settings = UpdateSettings(Coefficients(0.2), Rates(rate), Rates(0.5), batch_size=128)
        network.update(
            Batch(flat_obs, flat_actions, *(c.astype(np.float32) for c in columns)),
            settings,
            lambda epoch, update=update: noise.permutation(seed, update, epoch, steps_per_rollout),
        )
    return network


def evaluate(network: NumpyActorCritic, episodes: int = 100, seed: int = 10_000) -> float:
    """Mean return of the most probable actions."""
    env = gym.make("TargetReach-v0")
    total = 0.0
    for episode in range(episodes):
        obs, _ = env.reset(seed=seed + episode)
        over = False
        while not over:
            obs, reward, terminated, truncated, _ = env.step(int(network.act(obs[None], None)[0]))
            total, over = total + float(reward), terminated or truncated
    return total / episodes


if __name__ == "__main__":
    chosen = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    print(f"seed {chosen}: mean return {evaluate(train(chosen)):.2f} (solved at 8.2)")
