"""Networks of one's own, in four frameworks: as good as the built-in one, and refused by name."""

import copy
import pickle
from dataclasses import replace
from functools import partial

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.vec_env import DummyVecEnv

pytest.importorskip("equinox")
pytest.importorskip("mlx.core")
import jax
import mlx.core as mx
import own_networks
import stable_baselines3
from own_networks import FLAT, TOWERS

import envs  # noqa: F401 (registers the worlds)
from sb3_ext import PPO, testing
from sb3_ext.backends import backend_class
from sb3_ext.backends.base import ActorCritic
from sb3_ext.backends.numpy_backend import NumpyActorCritic
from sb3_ext.backends.spec import NetworkSpec
from sb3_ext.functional import noise
from sb3_ext.functional.losses import Coefficients
from sb3_ext.vec_env import GymnasiumVecEnv, JaxWorldVecEnv

torch.set_num_threads(1)
BACKENDS = ("numpy", "torch", "jax", "mlx")
each_backend = pytest.mark.parametrize("name", BACKENDS)
BOX = spaces.Box(-2, 2, (3,), np.float32)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
IMAGE = spaces.Box(0, 255, (2, 16, 16), np.uint8)
CASES = {
    "gaussian": NetworkSpec(BOX, ACTIONS),
    "categorical": NetworkSpec(BOX, spaces.Discrete(3)),
    "multi-categorical": NetworkSpec(BOX, spaces.MultiDiscrete([2, 3])),
    "bernoulli": NetworkSpec(BOX, spaces.MultiBinary(3)),
    "tanh mean": NetworkSpec(BOX, ACTIONS, mean="tanh"),
    "fixed std": NetworkSpec(BOX, ACTIONS, std="fixed", log_std_init=-0.5),
    "state std": NetworkSpec(BOX, ACTIONS, std="state"),
    "sgd": NetworkSpec(BOX, ACTIONS, optimizer="sgd", optimizer_kwargs={"momentum": 0.9}),
}


# The same towers twice


def own_name(name):
    return name if name == "log_std" else f"network.{name}"


class Renamed:
    """An own network's backend under the names of the built-in parameters."""

    def __init__(self, backend: ActorCritic):
        self.backend = backend

    def __getattr__(self, name):
        return getattr(self.backend, name)

    @staticmethod
    def built_in(named):
        return {name.removeprefix("network."): array for name, array in named.items()}

    @staticmethod
    def own(named):
        return {own_name(name): array for name, array in named.items()}

    def parameters(self):
        return self.built_in(self.backend.parameters())

    def load_parameters(self, parameters):
        self.backend.load_parameters(self.own(parameters))

    def named_gradients(self, gradient):
        return self.built_in(self.backend.named_gradients(gradient))

    def optimizer_state(self):
        state = self.backend.optimizer_state()
        return {k: v if k == "step" else self.built_in(v) for k, v in state.items()}

    def load_optimizer_state(self, state):
        self.backend.load_optimizer_state(
            {k: v if k == "step" else self.own(v) for k, v in state.items()}
        )


def own_towers(name, spec, parameters):
    spec = replace(spec, network=TOWERS[name], network_kwargs={"pi": spec.pi})
    renamed = Renamed(backend_class(name)(spec, None))
    # The built-in order of names is torch's; a tree has its own.
    by_name = {key: parameters[key] for key in renamed.parameters()}
    assert by_name.keys() == parameters.keys()
    renamed.load_parameters(by_name)
    return renamed


def in_order_of(name, spec, parameters):
    """The built-in network, its parameters listed in the own network's order."""
    order = list(own_towers(name, spec, parameters).parameters())
    built_in = Renamed(backend_class(name)(spec, parameters))
    built_in.built_in = lambda named: {key: named[key] for key in order}
    built_in.own = lambda named: named
    return built_in


# The distributions are the same code for all that differentiate; JAX compiles each case anew.
CHECKED = [
    *((name, case) for name in ("numpy", "torch") for case in CASES),
    ("jax", "gaussian"),
    ("mlx", "gaussian"),
    ("mlx", "state std"),
]


@pytest.mark.parametrize(("name", "case"), CHECKED)
@pytest.mark.parametrize("check", [testing.check_gradients, testing.check_acting])
def test_it_does_what_the_built_in_network_does(name, case, check):
    check(partial(own_towers, name), CASES[case], against=partial(in_order_of, name))


@pytest.mark.parametrize(
    ("name", "case"), [*((name, "gaussian") for name in BACKENDS), ("numpy", "sgd"), ("mlx", "sgd")]
)
def test_twenty_updates_are_the_built_in_networks(name, case):
    check = partial(testing.check_updates, partial(own_towers, name))
    check(CASES[case], against=partial(in_order_of, name))


# What it reads

OBSERVATIONS = {
    "box of two axes": spaces.Box(-1, 1, (2, 3), np.float64),
    "discrete from 2": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(4),
    "image": IMAGE,
    "dict": spaces.Dict(
        {"camera": IMAGE, "grid": spaces.Box(-1, 1, (2, 2), np.float32), "gear": spaces.Discrete(3)}
    ),
}


def expected_row(space, row):
    """A row of numbers by the rules of docs/networks.md, written out."""
    if isinstance(space, spaces.Dict):
        return np.concatenate([expected_row(space[key], row[key]) for key in space])
    if isinstance(space, spaces.Discrete):
        return np.eye(space.n)[row - space.start]
    if isinstance(space, spaces.MultiDiscrete):
        return np.concatenate([np.eye(n)[k] for n, k in zip(space.nvec, row, strict=True)])
    return np.asarray(row, float).ravel() / (255 if space.dtype == np.uint8 else 1)


@each_backend
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_what_it_reads(name, observation):
    space = OBSERVATIONS[observation]
    spec = NetworkSpec(space, ACTIONS, network=FLAT[name])
    backend = backend_class(name)(spec, None)
    parameters = backend.parameters()
    weight, bias = (parameters[f"network.layer.{kind}"] for kind in ("weight", "bias"))
    batch = testing.minibatch(spec, 5)
    obs = batch.obs
    rows = [
        {key: part[k] for key, part in obs.items()} if isinstance(obs, dict) else obs[k]
        for k in range(5)
    ]
    expected = np.stack([expected_row(space, row) for row in rows]) @ weight.T + bias
    np.testing.assert_allclose(backend.distribution_params(obs)[0], expected[:, :2], atol=1e-5)
    np.testing.assert_allclose(backend.values(obs), expected[:, 2], atol=1e-5)
    if name == "torch":  # SB3's way to the same network
        tensors = backend.policy.obs_to_tensor(obs)[0]
        distribution = backend.policy.get_distribution(tensors)
        found = distribution.mode().detach().numpy()
        np.testing.assert_allclose(found, expected[:, :2], atol=1e-5)
    backend.loss_and_grad(batch, Coefficients(0.2))


# Through PPO


class Noisy(gym.Env):
    """Random observations; a reward for choosing large actions."""

    def __init__(self, observation_space=BOX, action_space=ACTIONS):
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space
        self.t = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        return self.observation_space.sample(), float(np.sum(action)), False, self.t >= 7, {}


SHORT = {"n_steps": 16, "batch_size": 16, "n_epochs": 2, "seed": 0}


def model_of(network, *, env=None, policy="MlpPolicy", network_kwargs=None, **options):
    kwargs = {"network": network} | options.pop("policy_kwargs", {})
    if network_kwargs is not None:
        kwargs["network_kwargs"] = network_kwargs
    env = DummyVecEnv([Noisy] * 2) if env is None else env
    return PPO(policy, env, policy_kwargs=kwargs, **(SHORT | options))


@each_backend
def test_saved_loaded_copied_and_continued(name, tmp_path):
    small = {"pi": [8, 6]}
    model = model_of(TOWERS[name], network_kwargs=small).learn(64)
    assert model.actor_critic.name == name
    assert isinstance(model.actor_critic.own_network, TOWERS[name])
    names = list(model.actor_critic.parameters())
    assert names[0] == "log_std"
    assert "network.mlp_extractor.policy_net.0.weight" in names
    assert set(model.policy.state_dict()) == set(names)

    obs = model.env.reset()
    expected = model.predict(obs, deterministic=True)[0]
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model", env=model.env)
    again.policy.set_training_mode(False)
    assert again.actor_critic.name == name
    other = model_of(TOWERS[name], network_kwargs=small, seed=5)
    assert not np.allclose(other.predict(obs, deterministic=True)[0], expected)
    other.set_parameters(model.get_parameters())
    model.policy.save(tmp_path / "policy")
    copies = [again, other, copy.deepcopy(model), pickle.loads(pickle.dumps(model.policy))]
    copies.append(type(model.policy).load(tmp_path / "policy"))
    for each in copies:
        np.testing.assert_allclose(each.predict(obs, deterministic=True)[0], expected, atol=1e-6)

    # Both go on in the same way, so the optimizer's state came along.
    for each in (model, again):
        each.set_random_seed(3)
        each._noise_update, each._noise_step = 7, 700
        each.env.seed(1)
        each._last_obs = None
        each.learn(64)
    for key, value in model.actor_critic.parameters().items():
        np.testing.assert_allclose(again.actor_critic.parameters()[key], value, atol=1e-6)
    step = model.policy.optimizer.state_dict()["state"][0]["step"]
    assert int(step) == 16
    with pytest.raises(TypeError, match="network"):
        stable_baselines3.PPO.load(tmp_path / "model")


@each_backend
def test_npz(name, tmp_path):
    model, other = (model_of(TOWERS[name], seed=seed) for seed in (0, 1))
    model.save(tmp_path / "model.npz")
    other.set_parameters(tmp_path / "model.npz")
    for key, value in model.actor_critic.parameters().items():
        np.testing.assert_array_equal(other.actor_critic.parameters()[key], value)


@each_backend
@pytest.mark.parametrize("action", [spaces.Discrete(3, start=5), ACTIONS])
def test_the_policys_face(name, action):
    model = model_of(TOWERS[name], env=DummyVecEnv([lambda: Noisy(BOX, action)] * 2)).learn(64)
    policy = model.policy
    tensor = policy.obs_to_tensor(model.env.reset())[0]
    actions, values, log_prob = policy(tensor)
    again = policy.evaluate_actions(tensor, actions.float())
    np.testing.assert_allclose(again[0].detach(), values.detach(), atol=1e-6)
    np.testing.assert_allclose(again[1].detach(), log_prob.detach(), atol=1e-5)
    np.testing.assert_allclose(policy.predict_values(tensor).detach(), values.detach(), atol=1e-6)
    found = policy.get_distribution(tensor).log_prob(actions.float())
    np.testing.assert_allclose(found.detach(), log_prob.detach(), atol=1e-5)
    chosen = model.predict(model.env.reset())[0]
    assert all(action.contains(row) for row in chosen)


@each_backend
@pytest.mark.parametrize("observation", ["image", "dict"])
def test_images_and_dicts_learn(name, observation):
    space = OBSERVATIONS[observation]
    env = DummyVecEnv([lambda: Noisy(space, spaces.Discrete(3))] * 2)
    policy = "MultiInputPolicy" if observation == "dict" else "CnnPolicy"
    model = model_of(FLAT[name], env=env, policy=policy)
    before = model.actor_critic.parameters()
    model.learn(32)
    assert model.actor_critic.name == name
    after = model.actor_critic.parameters()
    assert all((before[key] != after[key]).any() for key in before)


@each_backend
def test_one_seed_is_one_network(name):
    found = []
    for seed in (2, 2, 3):
        # Not through PPO: SB3 seeds torch's generator.
        spec = NetworkSpec(BOX, ACTIONS, network=TOWERS[name], network_seed=seed)
        parameters = backend_class(name)(spec, None).parameters()
        found.append(parameters["network.mlp_extractor.policy_net.0.weight"])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


@pytest.mark.parametrize("network", ["own_networks:JaxTowers", "own_networks.JaxTowers"])
def test_a_dotted_path_stays_a_string(network, tmp_path):
    model = model_of(network, network_kwargs={"pi": [8]})
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model")
    assert again.policy_kwargs == {"network": network, "network_kwargs": {"pi": [8]}}
    assert again.actor_critic.name == "jax"
    assert again.actor_critic.parameters()["network.action_net.weight"].shape == (2, 8)


@each_backend
def test_a_function_makes_it_too(name):
    model = model_of(own_networks.chosen, network_kwargs={"framework": name})
    assert model.actor_critic.name == name


@each_backend
def test_options_that_stay(name):
    kwargs = {"log_std_init": -0.7, "optimizer_class": "sgd", "optimizer_kwargs": {"momentum": 0.5}}
    model = model_of(TOWERS[name], policy_kwargs=kwargs).learn(32)
    np.testing.assert_allclose(model.actor_critic.parameters()["log_std"], -0.7, atol=0.01)
    assert set(model.actor_critic.optimizer_state()) == {"step", "momentum_buffer"}


def test_numpy_is_not_exchanged_for_jax():
    model = model_of(TOWERS["numpy"])
    model._reconsider(10**9)
    assert model.actor_critic.name == "numpy"


# Each framework's own ways


@pytest.mark.parametrize("network", [own_networks.NumpyTowers, own_networks.Scaled])
@pytest.mark.parametrize("action", [ACTIONS, spaces.Discrete(3)])
def test_numpy_gradients_against_finite_differences(network, action):
    testing.check_network(network, BOX, action)


@pytest.mark.parametrize("case", CASES)
def test_numpy_gradients_with_every_distribution(case):
    testing.check_derivatives(replace(CASES[case], network=own_networks.Scaled))


def test_numpy_convolution():
    testing.check_network(own_networks.SmallConvolution, IMAGE, spaces.Discrete(3))


def test_the_kit_finds_a_wrong_gradient():
    with pytest.raises(AssertionError, match=r"derivative of network\.scales\.0\.gain"):
        testing.check_network(own_networks.Forgetful, BOX, ACTIONS)


def test_the_kit_finds_rows_that_see_each_other():
    with pytest.raises(AssertionError, match="alone and among others"):
        testing.check_network(own_networks.MixesRows, BOX, ACTIONS)


@pytest.mark.parametrize("name", ["torch", "jax", "mlx"])
def test_the_kit_takes_every_framework(name):
    testing.check_network(TOWERS[name], BOX, spaces.Discrete(3), pi=(8, 6))


def test_numpy_names_are_paths_and_each_layer_counts_once():
    spec = NetworkSpec(BOX, ACTIONS, network=own_networks.Scaled)
    backend = NumpyActorCritic(spec, None)
    assert list(backend.parameters()) == [
        "log_std",
        "network.body.layers.0.weight",
        "network.body.layers.0.bias",
        "network.scales.0.gain",
        "network.actor.weight",
        "network.actor.bias",
        "network.critic.weight",
        "network.critic.bias",
    ]
    layer = backend.own_network.actor
    assert np.shares_memory(layer.weight, backend.network.params.vector)
    assert layer.weight.dtype == np.float32


def test_jax_leaves_alone_what_is_no_array_of_floats():
    model = model_of(own_networks.WithTables).learn(64)
    names = model.actor_critic.parameters()
    assert not [name for name in names if "order" in name or "generator" in name]
    network = model.actor_critic.own_network
    np.testing.assert_array_equal(network.order, [2, 1, 0])
    obs = model.env.reset()
    means, _ = network(jax.numpy.asarray(obs))
    np.testing.assert_allclose(means, model.actor_critic.distribution_params(obs)[0], atol=1e-6)


def test_jax_compiles_for_few_numbers_of_rows():
    backend = backend_class("jax")(NetworkSpec(BOX, ACTIONS, network=TOWERS["jax"]), None)
    rng = np.random.default_rng(0)
    obs = rng.standard_normal((20, 3)).astype(np.float32)
    whole = backend.values(obs)
    for n in range(1, 20):
        np.testing.assert_allclose(backend.values(obs[:n]), whole[:n], atol=1e-6)
    assert backend._infer._cache_size() <= 6


def test_jax_collects_in_one_program_with_it_too():
    """Two iterations within a world on the device are those that the loop makes."""
    found = []
    for cls in (GymnasiumVecEnv, JaxWorldVecEnv):
        env = cls(gym.make_vec("SimpleAim-v0", num_envs=4, max_episode_steps=10))
        model = model_of(TOWERS["jax"], env=env, backend="jax").learn(128)
        assert (model._ahead is not None) == (cls is JaxWorldVecEnv)
        found.append(model.actor_critic.parameters())
    for name, value in found[0].items():
        np.testing.assert_allclose(found[1][name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("network", [own_networks.Frozen, own_networks.MlxFrozen])
def test_what_is_frozen_stays(network):
    model = model_of(network)
    before = model.actor_critic.parameters()
    after = model.learn(64).actor_critic.parameters()
    for name in before:
        frozen = name.startswith("network.mlp_extractor.value_net.0.")
        assert (before[name] == after[name]).all() == frozen, name


@pytest.mark.parametrize("network", [own_networks.TorchDropout, own_networks.MlxDropout])
def test_no_generator_notices_that_a_network_is_tried(network):
    name = "torch" if network is own_networks.TorchDropout else "mlx"
    drawn = []
    for make in (False, True):
        torch.manual_seed(1)
        mx.random.seed(1)
        if make:
            backend_class(name)(NetworkSpec(BOX, ACTIONS, network=network), None)
        drawn.append((torch.rand(3).tolist(), mx.random.uniform(shape=(3,)).tolist()))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize("network", [own_networks.TorchDropout, own_networks.MlxDropout])
def test_dropout_is_for_learning_only(network):
    model = model_of(network).learn(32)
    obs = model.env.reset()
    first, second = (model.predict(obs, deterministic=True)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    model.policy.set_training_mode(True)
    x = model.actor_critic.encoded(obs)
    first, second = (model.actor_critic.infer(x, False).actions for _ in range(2))
    assert (np.asarray(first) != np.asarray(second)).any()


def test_torch_buffers_and_lazy_layers(tmp_path):
    model = model_of(own_networks.Normalized, policy_kwargs={"optimizer_class": torch.optim.AdamW})
    assert model.policy.network.body[1].num_batches_tracked == 0  # the example didn't count
    model.learn(64)
    assert model.policy.network.body[1].num_batches_tracked > 0
    assert isinstance(model.policy.optimizer, torch.optim.AdamW)
    obs = model.env.reset()
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model")
    expected = model.predict(obs, deterministic=True)[0]
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], expected)


def test_torch_gradients_flow_through_the_policy():
    model = model_of(TOWERS["torch"])
    values = model.policy.predict_values(torch.as_tensor(model.env.reset()))
    values.sum().backward()
    assert model.policy.network.value_net.weight.grad is not None


# Refusals


def linear(n_outputs, n_values=1, dtype=torch.float32):
    """A torch network of any number of outputs, in a function's clothes."""

    class Any(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Linear(3, n_outputs + n_values, dtype=dtype)

        def forward(self, x):
            y = self.layer(x.to(dtype))
            return y[:, :n_outputs], y[:, n_outputs:]

    return lambda observation_space, n: Any()


class OnlyOutputs(own_networks.TorchTowers):
    def forward(self, x):
        return super().forward(x)[0]


class Nothing(torch.nn.Module):
    def __init__(self, observation_space, n_outputs):
        super().__init__()

    def forward(self, x):
        return torch.zeros(len(x), 2), torch.zeros(len(x))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (TOWERS["jax"], {"backend": "torch"}, "JaxTowers is an equinox.Module.*'jax', not 'torch'"),
        (TOWERS["torch"], {"backend": "numpy"}, "torch.nn.Module.*'torch', not 'numpy'"),
        (own_networks.chosen, {"backend": "mlx"}, "chosen is an equinox.Module.*not 'mlx'"),
        (lambda space, n: dict, {}, "makes a type; what a backend can run is"),
        (linear(3), {}, r"outputs \[B, 2\].* B = 2 .* shapes \(2, 3\), \(2, 1\)"),
        (linear(2, 2), {}, r"shapes \(2, 2\), \(2, 2\)"),
        (linear(2, dtype=torch.float64), {}, "layer.weight is torch.float64, not float32"),
        (OnlyOutputs, {}, "it gave 'Tensor'"),
        (Nothing, {}, "no parameters"),
        (torch.nn.Linear(3, 2), {}, "network is a Linear: give what makes it"),
        (3, {}, "network=3 is no class"),
        (None, {}, "network must be"),
        ("own_networks:Missing", {}, "Missing"),
        ("no_such_package.nets:Tiny", {}, "no_such_package"),
        ("", {}, "network=''"),
        (TOWERS["torch"], {"use_sde": True}, "use_sde"),
        (TOWERS["torch"], {"extensions": {"value_learning_rate": 1e-3}}, "value_learning_rate"),
        *(
            (TOWERS[name], {"policy_kwargs": {key: value}}, key)
            for name in ("numpy", "torch")
            for key, value in {
                "net_arch": [8],
                "activation_fn": "relu",
                "ortho_init": True,
                "features_extractor_class": "flatten",
                "features_extractor_kwargs": {},
                "share_features_extractor": False,
                "full_std": True,
                "squash_output": False,
            }.items()
        ),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(network, options, message):
    with pytest.raises(ValueError, match=message):
        model_of(network, **options)


def test_further_refusals():
    with pytest.raises(TypeError, match="colour"):
        model_of(TOWERS["numpy"], policy_kwargs={"colour": 1})
    with pytest.raises(ValueError, match="network must be"):
        PPO("MlpPolicy", DummyVecEnv([Noisy]), policy_kwargs={"network_kwargs": {}}, **SHORT)
    with pytest.raises(TypeError, match="depth"):
        model_of(TOWERS["numpy"], network_kwargs={"depth": 3})
    with pytest.raises(ValueError, match="can't go with the policy Own"):
        Own = type("Own", (stable_baselines3.common.policies.ActorCriticPolicy,), {})  # noqa: N806
        model_of(TOWERS["torch"], policy=Own)


# Learning


@pytest.mark.slow
@pytest.mark.parametrize("name", ["numpy", "jax"])
def test_it_solves_target_reach(name):
    def vector_env(n):
        return GymnasiumVecEnv(gym.make_vec("TargetReach-v0", num_envs=n))

    model = model_of(
        TOWERS[name],
        env=vector_env(8),
        learning_rate="lin_2e-3",
        n_steps=64,
        batch_size=128,
        n_epochs=10,
        gamma=0.95,
    )
    env = vector_env(10)
    env.seed(10_000)
    assert evaluate_policy(model.learn(24_576), env, 50, warn=False)[0] >= 8.2


def test_noise_of_a_rollout_is_the_built_in_networks():
    """From the same noise the same actions, whoever runs the network."""
    spec = CASES["gaussian"]
    block = noise.draw("normal", 0, noise.ACTION, 0, 4, 3, spec.noise_shape)
    parameters = testing.parameters_of(spec)
    obs = testing.observations(BOX, 3, np.random.default_rng(0))
    expected = NumpyActorCritic(spec, parameters).actor(block)(2, obs)
    for name in BACKENDS:
        act = own_towers(name, spec, parameters).actor(block)
        np.testing.assert_allclose(act(2, obs), expected, atol=1e-5)
