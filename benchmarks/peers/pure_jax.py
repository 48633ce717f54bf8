"""PPO end to end in one XLA program: worlds, acting, advantages and update in a single jitted loop.

    python benchmarks/peers/pure_jax.py [--seed 0]      trains SimpleAim-v0, plays 100 episodes

A peer for ppo_speed.py, in the manner of PureJaxRL (Lu et al. 2022,
https://github.com/luchris429/purejaxrl) and written for this comparison: plain JAX and Optax, no
framework of its own, nothing that sb3_ext has. It has no callbacks, logs or files and can train
only in worlds that are pure functions, which is what its speed is bought with. It is as fast as we
could make it while it stays the algorithm that the others run: SB3's losses, initial weights,
normalization, clipping, schedules, and a value beyond a time limit.

Arrays in the network are ``[features, rows]``: XLA multiplies those faster on a CPU.
"""

import argparse
import time
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import optax
import yaml
from jax.flatten_util import ravel_pytree

import envs  # noqa: F401 (registers the worlds)
from envs.gym_env import load_world
from envs.world import Rows, World, first_rows, step_autoreset

Layers = list[tuple[jax.Array, jax.Array]]  # weights [out, in], biases [out]


class Settings(NamedTuple):
    """Hyperparameters under stable-baselines3's names, with its defaults."""

    n_envs: int = 1
    n_steps: int = 2048
    batch_size: int = 64
    n_epochs: int = 10
    gamma: float = 0.99
    gae_lambda: float = 0.95
    learning_rate: float = 3e-4
    is_linear: bool = False  # from learning_rate down to 0
    clip_range: float = 0.2
    ent_coef: float = 0.0
    vf_coef: float = 0.5
    max_grad_norm: float = 0.5
    width: int = 64


def settings_of(entry: dict[str, Any]) -> Settings:
    """Settings from an entry of hyperparams/ppo.yml."""
    given = {name: entry[name] for name in Settings._fields if name in entry}
    rate = str(given.get("learning_rate", Settings().learning_rate))
    given["is_linear"] = rate.startswith("lin_")
    given["learning_rate"] = float(rate.removeprefix("lin_"))
    return Settings(**given)


class Network(NamedTuple):
    """Actor and critic, two tanh layers each."""

    actor: Layers
    critic: Layers
    log_std: jax.Array


class Run(NamedTuple):
    """Everything that goes on from update to update; parameters lie in one vector."""

    parameters: jax.Array
    moments: optax.OptState
    rows: Rows
    obs: jax.Array  # [n_envs, obs]
    key: jax.Array


class Transitions(NamedTuple):
    """A rollout, ``[n_steps, n_envs, ...]``."""

    obs: jax.Array
    actions: jax.Array
    rewards: jax.Array
    next_obs: jax.Array  # before any reset: a finished episode's is its last
    terminated: jax.Array
    done: jax.Array
    log_prob: jax.Array


class Minibatch(NamedTuple):
    """Rows to learn from, the last axis over rows."""

    obs: jax.Array
    actions: jax.Array
    log_prob: jax.Array
    advantages: jax.Array
    returns: jax.Array


def initial_network(key: jax.Array, n_obs: int, n_actions: int, width: int) -> Network:
    """Orthogonal weights with stable-baselines3's gains, biases 0."""

    def layers(key: jax.Array, n_out: int, gain: float) -> Layers:
        sizes, gains = (n_obs, width, width, n_out), (2**0.5, 2**0.5, gain)
        return [
            (jax.nn.initializers.orthogonal(g)(k, (n_to, n_from)), jnp.zeros(n_to))
            for k, n_from, n_to, g in zip(
                jax.random.split(key, 3), sizes, sizes[1:], gains, strict=False
            )
        ]

    actor, critic = jax.random.split(key)
    return Network(layers(actor, n_actions, 0.01), layers(critic, 1, 1.0), jnp.zeros(n_actions))


def forward(layers: Layers, x: jax.Array) -> jax.Array:
    """``[in, rows]`` to ``[out, rows]``."""
    *hidden, (weight, bias) = layers
    for w, b in hidden:
        x = jnp.tanh(w @ x + b[:, None])
    return weight @ x + bias[:, None]


def log_probability(z: jax.Array, log_std: jax.Array, axis: int) -> jax.Array:
    """Of ``mean + std z`` under a diagonal Gaussian, whose components lie along an axis."""
    constant = log_std.sum() + 0.5 * jnp.log(2 * jnp.pi) * len(log_std)
    return -0.5 * (z * z).sum(axis=axis) - constant


def loss(network: Network, batch: Minibatch, settings: Settings) -> jax.Array:
    """PPO's clipped loss of a minibatch."""
    deviation = batch.actions - forward(network.actor, batch.obs)
    z = deviation * jnp.exp(-network.log_std)[:, None]
    log_prob = log_probability(z, network.log_std, axis=0)
    ratio = jnp.exp(log_prob - batch.log_prob)
    clipped = jnp.clip(ratio, 1 - settings.clip_range, 1 + settings.clip_range)
    gain = jnp.minimum(batch.advantages * ratio, batch.advantages * clipped).mean()
    error = batch.returns - forward(network.critic, batch.obs)[0]
    entropy = (network.log_std + 0.5 * jnp.log(2 * jnp.pi * jnp.e)).sum()
    return -gain + settings.vf_coef * (error * error).mean() - settings.ent_coef * entropy


def permutation(key: jax.Array, n: int) -> jax.Array:
    """A random order of n rows.

    Random bits with the row's number in the low ones, sorted: a tenth of the time that
    ``jax.random.permutation`` takes on a CPU.
    """
    low = jnp.uint32((1 << (n - 1).bit_length()) - 1)
    return jnp.sort(jax.random.bits(key, (n,)) & ~low | jnp.arange(n, dtype=jnp.uint32)) & low


class PurePPO:
    """The program, its settings and where it stands.

    Args:
        env_id: A world registered by ``envs``; its time limit comes from the registration.
        settings: Hyperparameters.
        seed: Of everything.
    """

    def __init__(self, env_id: str, settings: Settings, seed: int = 0) -> None:
        spec = gym.spec(env_id)
        self.world: World = load_world(spec.kwargs["world"])
        self.params = self.world.default_params
        self.limit = spec.max_episode_steps
        self.settings = settings
        (n_obs,), (n_actions,) = self.world.observation_space.shape, self.world.action_space.shape
        key, net_key, reset_key = jax.random.split(jax.random.key(seed), 3)
        network = initial_network(net_key, n_obs, n_actions, settings.width)
        parameters, self.unravel = ravel_pytree(network)
        self.optimizer = optax.chain(
            optax.clip_by_global_norm(settings.max_grad_norm), optax.scale_by_adam(eps=1e-5)
        )
        noise = jax.random.uniform(reset_key, (settings.n_envs, self.world.n_reset_noise))
        rows = first_rows(self.world, jnp, noise, self.params)
        self.run = Run(
            parameters,
            self.optimizer.init(parameters),
            rows,
            self.world.observation(jnp, rows.state, self.params),
            key,
        )
        self._train = jax.jit(self.train)

    def learn(self, total_timesteps: int) -> "PurePPO":
        """Train for so many env steps, rounded up to whole rollouts; one call of one program."""
        per_update = self.settings.n_steps * self.settings.n_envs
        n_updates = -(-total_timesteps // per_update)
        self.run = jax.block_until_ready(self._train(self.run, n_updates))
        return self

    def predict(
        self, obs: Any, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, None]:
        """The mean action, as stable-baselines3's ``predict``."""
        assert deterministic
        network = self.unravel(self.run.parameters)
        return np.asarray(self._mean(network, jnp.asarray(obs))), None

    @staticmethod
    @jax.jit
    def _mean(network: Network, obs: jax.Array) -> jax.Array:
        return forward(network.actor, obs.T).T

    # The program

    def train(self, run: Run, n_updates: jax.Array) -> Run:
        """The whole training, as a pure function."""

        def update(k: jax.Array, run: Run) -> Run:
            key, noise_key, order_key = jax.random.split(run.key, 3)
            remaining = 1.0 - (k + 1) / n_updates if self.settings.is_linear else 1.0
            run, transitions = self.collect(run._replace(key=key), noise_key)
            data = self.judge(self.unravel(run.parameters), transitions)
            return self.improve(run, data, self.settings.learning_rate * remaining, order_key)

        return jax.lax.fori_loop(0, n_updates, update, run)

    def collect(self, run: Run, key: jax.Array) -> tuple[Run, Transitions]:
        """``n_steps`` of every world with the current policy; the noise is drawn as one block."""
        world, network = self.world, self.unravel(run.parameters)
        block = (self.settings.n_steps, self.settings.n_envs)
        keys = jax.random.split(key, 3)
        action_noise = jax.random.normal(keys[0], (*block, len(network.log_std)))
        step_noise = jax.random.uniform(keys[1], (*block, world.n_step_noise))
        reset_noise = jax.random.uniform(keys[2], (*block, world.n_reset_noise))
        scaled = jnp.exp(network.log_std) * action_noise
        log_prob = log_probability(action_noise, network.log_std, axis=2)

        def step(at: tuple[Rows, jax.Array], noise: tuple) -> tuple[Any, tuple]:
            rows, obs = at
            action = forward(network.actor, obs.T).T + noise[0]
            rows, next_obs, moved = step_autoreset(
                world, jnp, rows, action, noise[1], noise[2], self.params, self.limit
            )
            done = moved.terminated | moved.truncated
            kept = (obs, action, moved.reward, moved.observation, moved.terminated, done)
            return (rows, next_obs), kept

        noise = (scaled, step_noise, reset_noise)
        (rows, obs), kept = jax.lax.scan(step, (run.rows, run.obs), noise)
        return run._replace(rows=rows, obs=obs), Transitions(*kept, log_prob)

    def judge(self, network: Network, transitions: Transitions) -> Minibatch:
        """Generalized advantage estimation; the whole rollout as one batch of rows."""
        s, t = self.settings, transitions

        def values(obs: jax.Array) -> jax.Array:
            flat = obs.reshape(-1, obs.shape[-1])
            return forward(network.critic, flat.T)[0].reshape(obs.shape[:2])

        now = values(t.obs)
        deltas = t.rewards + s.gamma * values(t.next_obs) * ~t.terminated - now
        decays = s.gamma * s.gae_lambda * ~t.done

        def back(later: jax.Array, here: tuple) -> tuple[jax.Array, jax.Array]:
            delta, decay = here
            total = delta + decay * later
            return total, total

        _, advantages = jax.lax.scan(back, jnp.zeros(s.n_envs), (deltas, decays), reverse=True)
        n = s.n_steps * s.n_envs
        columns = (t.log_prob, advantages, advantages + now)
        return Minibatch(
            t.obs.reshape(n, -1).T,
            t.actions.reshape(n, -1).T,
            *(column.reshape(n) for column in columns),
        )

    def improve(self, run: Run, data: Minibatch, rate: jax.Array | float, key: jax.Array) -> Run:
        """Epochs of minibatches, each epoch's laid out in its order before they are taken."""
        s = self.settings
        n = s.n_steps * s.n_envs
        n_batches = n // s.batch_size

        def minibatches(order: jax.Array) -> Minibatch:
            def cut(rows: jax.Array) -> jax.Array:
                blocks = rows[..., order].reshape(*rows.shape[:-1], n_batches, s.batch_size)
                return jnp.moveaxis(blocks, -2, 0)

            batches = Minibatch(*map(cut, data))
            a = batches.advantages
            centered = a - a.mean(axis=1, keepdims=True)
            scale = a.std(axis=1, keepdims=True, ddof=1) + 1e-8
            return batches._replace(advantages=centered / scale)

        def step(at: tuple, batch: Minibatch) -> tuple[tuple, None]:
            parameters, moments = at
            gradient = jax.grad(lambda p: loss(self.unravel(p), batch, s))(parameters)
            direction, moments = self.optimizer.update(gradient, moments)
            return (parameters - rate * direction, moments), None

        def epoch(at: tuple, key: jax.Array) -> tuple[tuple, None]:
            order = permutation(key, n)[: n_batches * s.batch_size]
            return jax.lax.scan(step, at, minibatches(order))[0], None

        keys = jax.random.split(key, s.n_epochs)
        (parameters, moments), _ = jax.lax.scan(epoch, (run.parameters, run.moments), keys)
        return run._replace(parameters=parameters, moments=moments)


def main() -> None:
    """Train with the entry of hyperparams/ppo.yml, then play in the Gymnasium env."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--env", default="SimpleAim-v0")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    file = Path(__file__).parents[2] / "hyperparams" / "ppo.yml"
    entry = yaml.safe_load(file.read_text())[args.env]
    model = PurePPO(args.env, settings_of(entry), args.seed)
    start = time.perf_counter()
    model.learn(int(entry["n_timesteps"]))
    print(f"trained and compiled in {time.perf_counter() - start:.1f} s")
    env = gym.make(args.env)
    returns = []
    for episode in range(100):
        obs, _ = env.reset(seed=1000 + episode)
        total, ended = 0.0, False
        while not ended:
            action, _ = model.predict(obs[None])
            obs, reward, terminated, truncated, _ = env.step(action[0])
            total, ended = total + float(reward), terminated or truncated
        returns.append(total)
    print(f"return over 100 episodes: {np.mean(returns):.2f} ± {np.std(returns):.2f}")


if __name__ == "__main__":
    main()
