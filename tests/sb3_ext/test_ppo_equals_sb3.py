"""One update from one state, rollout and order: ours and stable-baselines3's agree."""

import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv
from stable_baselines3.common.logger import Logger

from sb3_ext import PPO
from sb3_ext.functional import noise

torch.set_num_threads(1)


class RandomEnv(stable_baselines3.common.envs.IdentityEnv):
    """Observations, rewards and ends at random; for any spaces."""

    def __init__(self, observation_space, action_space):
        self.observation_space, self.action_space = observation_space, action_space
        self.rng = np.random.default_rng(0)

    def reset(self, *, seed=None, options=None):
        if seed is not None:
            self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action):
        assert self.action_space.contains(action)
        return (
            self.observation_space.sample(),
            float(self.rng.standard_normal()),
            bool(self.rng.random() < 0.05),
            bool(self.rng.random() < 0.05),
            {},
        )


BOX = spaces.Box(-1, 1, (3,), np.float32)


def world(kind):
    if kind == "image":
        return FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=True)
    if kind == "dict":
        return SimpleMultiObsEnv(random_start=True, discrete_actions=True)
    action = {
        "box": spaces.Box(-2, 2, (2,), np.float32),
        "discrete": spaces.Discrete(3),
        "multi-discrete": spaces.MultiDiscrete([2, 3]),
        "multi-binary": spaces.MultiBinary(3),
    }[kind]
    return RandomEnv(BOX, action)


CASES = {
    "box": ("box", "MlpPolicy", {}),
    "discrete": ("discrete", "MlpPolicy", {"ent_coef": 0.01, "clip_range_vf": 0.2}),
    "multi-discrete": ("multi-discrete", "MlpPolicy", {"ent_coef": 0.01}),
    "multi-binary": ("multi-binary", "MlpPolicy", {"normalize_advantage": False}),
    "gsde": ("box", "MlpPolicy", {"use_sde": True, "sde_sample_freq": 4, "ent_coef": 0.01}),
    "squashed": (
        "box",
        "MlpPolicy",
        {
            "use_sde": True,
            "ent_coef": 0.01,
            "policy_kwargs": {"squash_output": True, "log_std_init": -2.0},
        },
    ),
    "sgd": (
        "box",
        "MlpPolicy",
        {
            "policy_kwargs": {
                "optimizer_class": torch.optim.SGD,
                "optimizer_kwargs": {"momentum": 0.9},
                "activation_fn": torch.nn.ReLU,
                "net_arch": {"pi": [16], "vf": [32, 16]},
            }
        },
    ),
    "stops at the KL": ("box", "MlpPolicy", {"target_kl": 0.002, "learning_rate": 3e-3}),
    "image": ("image", "CnnPolicy", {"n_steps": 16, "n_envs": 2, "batch_size": 32}),
    "dict": ("dict", "MultiInputPolicy", {"n_steps": 16, "n_envs": 2, "batch_size": 32}),
}


FIELDS = (
    "observations",
    "actions",
    "rewards",
    "episode_starts",
    "values",
    "log_probs",
    "advantages",
    "returns",
)


class Recorder(Logger):
    def __init__(self):
        super().__init__(None, [])


def twins(name, **changes):
    """Ours and SB3's, with the same parameters and the same rollout, ours having collected it."""
    kind, policy, options = CASES[name]
    options = {"n_steps": 64, "seed": 0, "device": "cpu", "n_envs": 4} | options | changes
    env = stable_baselines3.common.env_util.make_vec_env(
        lambda: world(kind), n_envs=options.pop("n_envs"), seed=0
    )
    ours = PPO(policy, env, backend="numpy", **options)
    theirs = stable_baselines3.PPO(policy, env, **options)
    theirs.set_parameters(ours.get_parameters())
    ours.set_logger(Recorder())
    theirs.set_logger(Recorder())
    _, callback = ours._setup_learn(10)
    assert ours.collect_rollouts(ours.env, callback, ours.rollout_buffer, ours.n_steps)
    for field in FIELDS:
        value = getattr(ours.rollout_buffer, field)
        copied = {k: v.copy() for k, v in value.items()} if isinstance(value, dict) else value + 0
        setattr(theirs.rollout_buffer, field, copied)
    theirs.rollout_buffer.full = True
    return ours, theirs


def one_order(monkeypatch, ours):
    """SB3 draws its permutations of rows, which it counts env by env; ours are step by step."""
    n_steps, n_envs = ours.n_steps, ours.n_envs
    epoch = iter(range(10_000))
    seed, update = ours._noise_seed, ours._noise_update

    def permutation(n):
        steps, envs = np.divmod(noise.permutation(seed, update, next(epoch), n), n_envs)
        return envs * n_steps + steps

    monkeypatch.setattr(np.random, "permutation", permutation)


def assert_equal_parameters(ours, theirs, tolerance=1e-4):
    expected = theirs.policy.state_dict()
    for name, value in ours.policy.state_dict().items():
        np.testing.assert_allclose(
            value.numpy(), expected[name].numpy(), rtol=0, atol=tolerance, err_msg=name
        )


@pytest.mark.parametrize("name", CASES)
def test_values_and_log_probs_of_the_rollout(name):
    ours, theirs = twins(name)
    buffer = ours.rollout_buffer
    n = buffer.values.size
    obs = buffer.observations
    rows = (
        {k: torch.as_tensor(v.reshape(n, *v.shape[2:])) for k, v in obs.items()}
        if isinstance(obs, dict)
        else torch.as_tensor(obs.reshape(n, *obs.shape[2:]))
    )
    actions = torch.as_tensor(buffer.actions.reshape(n, -1).astype(np.float32))
    if isinstance(ours.action_space, spaces.Discrete):
        actions = actions.long().flatten()
    with torch.no_grad():
        values, log_probs, entropy = theirs.policy.evaluate_actions(rows, actions)
    tolerance = {"rtol": 1e-3, "atol": 1e-3} if name == "squashed" else {"rtol": 1e-4, "atol": 1e-4}
    np.testing.assert_allclose(buffer.values.ravel(), values.flatten(), **tolerance)
    np.testing.assert_allclose(buffer.log_probs.ravel(), log_probs, **tolerance)
    _, again, ours_entropy = ours.policy.evaluate_actions(rows, actions)
    np.testing.assert_allclose(again, log_probs, **tolerance)
    if entropy is not None:
        np.testing.assert_allclose(ours_entropy, entropy, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", CASES)
def test_one_epoch_of_minibatches(name, monkeypatch):
    batch_size = 8  # 32 minibatches of the 256 transitions
    ours, theirs = twins(name, batch_size=batch_size, n_epochs=1)
    one_order(monkeypatch, ours)
    ours.train()
    theirs.train()
    assert_equal_parameters(ours, theirs)
    assert_equal_logs(ours, theirs)


@pytest.mark.parametrize("name", CASES)
def test_ten_epochs_of_one_full_batch(name, monkeypatch):
    n = 32 if name in ("image", "dict") else 256
    ours, theirs = twins(name, batch_size=n, n_epochs=10)
    one_order(monkeypatch, ours)
    ours.train()
    theirs.train()
    assert_equal_parameters(ours, theirs)
    assert_equal_logs(ours, theirs)


def test_a_truncated_last_minibatch(monkeypatch):
    with pytest.warns(UserWarning, match="truncated"):
        ours, theirs = twins("box", batch_size=60, n_epochs=2)
    one_order(monkeypatch, ours)
    ours.train()
    theirs.train()
    assert_equal_parameters(ours, theirs)
    assert_equal_logs(ours, theirs)


def assert_equal_logs(ours, theirs):
    mine, expected = ours.logger.name_to_value, theirs.logger.name_to_value
    assert set(mine) == set(expected)
    for key, value in expected.items():
        assert mine[key] == pytest.approx(value, rel=1e-3, abs=1e-4), key


def test_optimizer_state_moves_both_ways(monkeypatch):
    ours, theirs = twins("box", batch_size=64, n_epochs=1)
    one_order(monkeypatch, ours)
    ours.train()
    theirs.set_parameters(ours.get_parameters())
    back = theirs.get_parameters()["policy.optimizer"]["state"]
    for number, entry in ours.get_parameters()["policy.optimizer"]["state"].items():
        for key, value in entry.items():
            np.testing.assert_allclose(back[number][key], value)
    # Both go on from there identically, moments included.
    one_order(monkeypatch, ours)
    ours.train()
    theirs.train()
    assert_equal_parameters(ours, theirs)
    other, _ = twins("box", batch_size=64, n_epochs=1)
    other.set_parameters(theirs.get_parameters())
    assert_equal_parameters(other, theirs, 1e-7)


def test_a_buffer_that_sb3_filled(monkeypatch):
    """train() reads SB3's own buffer, before and after SB3 has flattened it."""
    ours, theirs = twins("box", batch_size=256, n_epochs=1)
    start = ours.get_parameters()
    results = []
    flattened = stable_baselines3.common.buffers.RolloutBuffer
    for buffer in (ours.rollout_buffer, theirs.rollout_buffer, theirs.rollout_buffer):
        ours.set_parameters(start)
        ours.rollout_buffer = buffer
        ours.train()
        results.append(ours.policy.parameters_to_vector())
        if isinstance(buffer, flattened) and not buffer.generator_ready:
            next(iter(buffer.get(8)))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], atol=1e-5)


@pytest.mark.parametrize("name", ["box", "discrete", "image"])
def test_add_and_compute_as_sb3_users_do(name):
    ours, theirs = twins(name)
    buffer = ours.rollout_buffer
    fresh = type(buffer)(
        ours.n_steps,
        ours.observation_space,
        ours.action_space,
        gamma=ours.gamma,
        gae_lambda=ours.gae_lambda,
        n_envs=ours.n_envs,
    )
    last = torch.randn(ours.n_envs, 1)
    dones = np.zeros(ours.n_envs, bool)
    reference = type(theirs.rollout_buffer)(
        ours.n_steps,
        ours.observation_space,
        ours.action_space,
        gamma=ours.gamma,
        gae_lambda=ours.gae_lambda,
        n_envs=ours.n_envs,
    )
    for t in range(ours.n_steps):
        for each in (fresh, reference):
            each.add(
                buffer.observations[t],
                buffer.actions[t],
                buffer.rewards[t],
                buffer.episode_starts[t],
                torch.as_tensor(buffer.values[t][:, None]),
                torch.as_tensor(buffer.log_probs[t]),
            )
    for each in (fresh, reference):
        each.compute_returns_and_advantage(last, dones)
    for field in ("observations", "actions", "rewards", "advantages", "returns", "log_probs"):
        mine, expected = getattr(fresh, field), getattr(reference, field)
        assert mine.shape == expected.shape
        assert mine.dtype == expected.dtype
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-5)
    assert fresh.full
    sample = next(iter(fresh.get(8)))
    theirs_sample = next(iter(reference.get(8)))
    assert [tuple(x.shape) for x in sample] == [tuple(x.shape) for x in theirs_sample]
