"""The drop-in contract: arguments, spaces, callbacks, files, predict, logs, refusals."""

import copy
import importlib
import io
import pickle
import subprocess
import sys
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer as Sb3Buffer
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.policies import ActorCriticPolicy as Sb3Policy
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ext import PPO, JaxPPO, MlxPPO, NumpyPPO, PPOExtensions, TorchPPO
from sb3_ext.rollout_buffer import RolloutBuffer


def is_installed(module):
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


torch.set_num_threads(1)
MODULES = {"numpy": "numpy", "torch": "torch", "jax": "equinox", "mlx": "mlx.core"}
INSTALLED = [name for name, module in MODULES.items() if is_installed(module)]
each_backend = pytest.mark.parametrize("backend", INSTALLED)
SHORT = {"n_steps": 32, "batch_size": 32, "n_epochs": 2, "seed": 0}


class AnyEnv(gym.Env):
    """Random observations of any space; checks what it is given; ends at 9 steps."""

    def __init__(self, observation_space, action_space, poison=None):
        self.observation_space, self.action_space = observation_space, action_space
        self.poison = poison
        self.t = self.total = 0

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.t += 1
        self.total += 1
        assert self.action_space.contains(action), (action, self.action_space)
        obs, reward = self.observation_space.sample(), 1.0
        if self.poison is not None and self.total == self.poison[1]:
            if self.poison[0] == "reward":
                reward = np.nan
            else:
                obs[0] = np.inf
        return obs, reward, False, self.t >= 9, {}


BOX = spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = {
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "float64 box": spaces.Box(np.array([-2.0, 0.0]), np.array([1.0, 5.0]), dtype=np.float64),
    "box of two axes": spaces.Box(-1, 1, (2, 3), np.float32),
    "discrete": spaces.Discrete(3),
    "discrete from 5": spaces.Discrete(3, start=5),
    "multi-discrete": spaces.MultiDiscrete([2, 4]),
    "multi-binary": spaces.MultiBinary(3),
}
OBSERVATIONS = {
    "box": BOX,
    "box of two axes": spaces.Box(-1, 1, (2, 3), np.float32),
    "float64 box": spaces.Box(-1, 1, (3,), np.float64),
    "integer box": spaces.Box(0, 9, (3,), np.int64),
    "discrete": spaces.Discrete(4),
    "discrete from 2": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-binary": spaces.MultiBinary(4),
    "image": spaces.Box(0, 255, (40, 40, 1), np.uint8),
    "dict": spaces.Dict({"a": BOX, "b": spaces.Discrete(3)}),
    "dict with an image": spaces.Dict({"a": BOX, "c": spaces.Box(0, 255, (40, 40, 3), np.uint8)}),
}


def make(observation="box", action="box", n_envs=2, policy=None, **options):
    env = DummyVecEnv(
        [lambda: AnyEnv(copy.deepcopy(OBSERVATIONS[observation]), ACTIONS[action])] * n_envs
    )
    if policy is None:
        policy = "MultiInputPolicy" if observation.startswith("dict") else "MlpPolicy"
    return PPO(policy, env, **(SHORT | options))


@each_backend
@pytest.mark.parametrize("action", ACTIONS)
def test_action_spaces(action, backend, tmp_path):
    model = make(action=action, backend=backend).learn(64)
    check_predict_and_files(model, tmp_path)


@each_backend
@pytest.mark.parametrize("observation", OBSERVATIONS)
def test_observation_spaces(observation, backend, tmp_path):
    model = make(observation, "discrete", backend=backend).learn(64)
    check_predict_and_files(model, tmp_path)


@each_backend
def test_cnn_policy(backend, tmp_path):
    model = make("image", "box", policy="CnnPolicy", backend=backend).learn(64)
    check_predict_and_files(model, tmp_path)


def check_predict_and_files(model, tmp_path):
    """Single and vectorised prediction; ours and SB3's load give the same actions."""
    space = model.action_space
    obs = model.env.reset()
    single = {k: v[0] for k, v in obs.items()} if isinstance(obs, dict) else obs[0]
    for deterministic in (True, False):
        many, state = model.predict(obs, state=("kept",), deterministic=deterministic)
        assert state == ("kept",)
        assert many.shape == (2, *space.shape)
        one, _ = model.predict(single, deterministic=deterministic)
        assert space.contains(one if one.shape else int(one))
    one, _ = model.predict(single, deterministic=True)
    many, _ = model.predict(obs, deterministic=True)
    np.testing.assert_allclose(many[0], one, atol=1e-5)
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], many)
    for other in INSTALLED:
        moved = PPO.load(tmp_path / "model", backend=other)
        assert moved.actor_critic.name == other
        np.testing.assert_allclose(moved.predict(obs, deterministic=True)[0], many, atol=1e-5)
    shifted = getattr(space, "start", np.int64(0))
    of_obs = getattr(model.observation_space, "start", np.int64(0))
    if np.any(of_obs != 0):
        return  # SB3 can't read such observations
    theirs = stable_baselines3.PPO.load(tmp_path / "model", device="cpu")
    np.testing.assert_allclose(
        theirs.predict(obs, deterministic=True)[0] + shifted, many, atol=1e-5
    )
    theirs.save(tmp_path / "theirs")
    back = PPO.load(tmp_path / "theirs")
    np.testing.assert_allclose(back.predict(obs, deterministic=True)[0], many, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"use_sde": True},
        {"use_sde": True, "sde_sample_freq": 4},
        {"use_sde": True, "policy_kwargs": {"full_std": False, "use_expln": True}},
        {"use_sde": True, "policy_kwargs": {"squash_output": True}},
        {"clip_range_vf": 0.2, "target_kl": 0.01, "ent_coef": 0.1, "vf_coef": 0.3},
        {"learning_rate": "lin_3e-4", "clip_range": "cosine_0.2", "clip_range_vf": "const_0.3"},
        {"learning_rate": lambda progress: 1e-3 * progress},
        {"normalize_advantage": False, "max_grad_norm": 10.0, "gamma": 0.9, "gae_lambda": 0.8},
        {"policy_kwargs": {"net_arch": [8], "activation_fn": "relu"}},
        {"policy_kwargs": {"net_arch": {"pi": [8]}, "activation_fn": torch.nn.ELU}},
        {"policy_kwargs": {"net_arch": {"vf": [8, 8]}, "ortho_init": False, "log_std_init": -1.0}},
        {"policy_kwargs": {"optimizer_class": "sgd", "optimizer_kwargs": {"momentum": 0.5}}},
        {"policy_kwargs": {"optimizer_class": torch.optim.Adam, "optimizer_kwargs": {"eps": 1e-7}}},
        {"policy_kwargs": {"share_features_extractor": False}},
        {"rollout_buffer_class": RolloutBuffer, "stats_window_size": 3},
        {"rollout_buffer_class": stable_baselines3.common.buffers.RolloutBuffer},
    ],
)
@each_backend
def test_options(options, backend, tmp_path):
    model = make(**options, backend=backend).learn(128)
    check_predict_and_files_box(model, tmp_path)
    assert len(model.ep_info_buffer) == 0  # no Monitor here
    assert model.num_timesteps == 128


def check_predict_and_files_box(model, tmp_path):
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    model.save(tmp_path / "model")
    for cls in (PPO, stable_baselines3.PPO):
        again = cls.load(tmp_path / "model", device="cpu")
        np.testing.assert_allclose(again.predict(obs, deterministic=True)[0], expected, atol=1e-5)
    for other in INSTALLED:  # training goes on in another framework, moments and all
        moved = PPO.load(tmp_path / "model", backend=other, env=model.env)
        theirs, ours = moved.actor_critic.optimizer_state(), model.actor_critic.optimizer_state()
        assert list(theirs) == list(ours)
        for moment in theirs.keys() - {"step"}:
            for name, value in ours[moment].items():
                np.testing.assert_allclose(theirs[moment][name], value, rtol=1e-6)
        moved.learn(64)
    again = PPO.load(tmp_path / "model", env=model.env)
    again.learn(64)
    assert again._noise_step == model._noise_step + 32


@pytest.mark.parametrize(
    "extensions",
    [
        {"value_learning_rate": 1e-3},
        {"value_learning_rate": "lin_1e-3", "value_max_grad_norm": 1.0},
        {"accumulate_minibatches": 2, "advantage_normalization": "rollout"},
        {"n_rollouts_kept": 3, "drop_incomplete": True, "accumulate_minibatches": 4},
        {"advantage_normalization": "off"},
        {"std": "fixed"},
        {"std": "state", "std_range": (0.05, 0.5), "mean": "tanh"},
        PPOExtensions(mean="tanh"),
    ],
)
@each_backend
def test_extensions(extensions, backend, tmp_path):
    model = make(extensions=extensions, backend=backend).learn(256)
    model.save(tmp_path / "model")
    again = PPO.load(tmp_path / "model", env=model.env)
    assert again.extensions == model.extensions == PPOExtensions.of(extensions)
    obs = model.env.reset()
    np.testing.assert_array_equal(
        again.predict(obs, deterministic=True)[0], model.predict(obs, deterministic=True)[0]
    )
    std = model.policy.state_dict().get("log_std")
    if model.extensions.std == "fixed":
        assert (std == 0).all()
    elif model.extensions.std == "state":
        assert std is None
        log_std = model.actor_critic.distribution_params(obs)[1]
        assert (np.exp(log_std) >= 0.05).all()
        assert (np.exp(log_std) <= 0.5).all()
    assert len(model._kept) == (3 if model.extensions.n_rollouts_kept == 3 else 0)


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        ({"value_learning_rat": 1.0}, "did you mean 'value_learning_rate'"),
        ({"std": "learned"}, "std must be one of"),
        ({"accumulate_minibatches": 0}, "accumulate_minibatches"),
        ({"n_rollouts_kept": 1.5}, "n_rollouts_kept"),
        ({"std_range": (0.1, 1.0)}, "needs std='state'"),
        ({"std": "state", "std_range": (1.0, 0.1)}, "low < high"),
        ({"value_max_grad_norm": 1.0}, "needs value_learning_rate"),
        ({"value_learning_rate": "linear_3"}, "unknown schedule"),
    ],
)
def test_extensions_are_refused_by_name(extensions, message):
    with pytest.raises(ValueError, match=message):
        make(extensions=extensions).learn(64)


def test_extensions_that_need_something_else():
    with pytest.raises(ValueError, match="continuous"):
        make(action="discrete", extensions={"std": "fixed"})
    with pytest.raises(ValueError, match="use_sde"):
        make(use_sde=True, extensions={"std": "state"})
    with pytest.raises(ValueError, match="share_features_extractor"):
        make("image", policy="CnnPolicy", extensions={"value_learning_rate": 1e-3})
    with pytest.raises(TypeError, match="extensions"):
        make(extensions=3)


# Refusals


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"backend": "numpi"}, ValueError, "unknown backend"),
        ({"device": "meta"}, ValueError, "device='meta'"),
        ({"policy_kwargs": {"activation_fn": torch.nn.GELU}}, ValueError, "activation_fn=GELU"),
        ({"policy_kwargs": {"optimizer_class": torch.optim.RMSprop}}, ValueError, "RMSprop"),
        ({"policy_kwargs": {"optimizer_kwargs": {"amsgrad": True}}}, ValueError, "amsgrad"),
        ({"policy_kwargs": {"net_arch": [0]}}, ValueError, "net_arch"),
        ({"policy_kwargs": {"net_arch": {"qf": [8]}}}, ValueError, "qf"),
        ({"policy_kwargs": {"squash_output": True}}, AssertionError, "use_sde"),
        ({"policy_kwargs": {"colour": 1}}, TypeError, "colour"),
        ({"policy_kwargs": {"features_extractor_kwargs": {"x": 1}}}, ValueError, "x"),
        ({"policy_kwargs": {"features_extractor_class": torch.nn.Linear}}, ValueError, "Linear"),
        ({"policy_kwargs": {"features_extractor_class": "nature_cnn"}}, AssertionError, "images"),
        ({"learning_rate": "linear_3e-4"}, ValueError, "lin_3e-4"),
        ({"batch_size": 1}, AssertionError, "batch_size"),
        ({"clip_range_vf": -1.0}, AssertionError, "clip_range_vf"),
        ({"rollout_buffer_class": dict}, ValueError, "rollout_buffer_class=dict"),
        ({"action": "discrete", "use_sde": True}, ValueError, "continuous"),
        ({"policy": "MlpLstmPolicy"}, ValueError, "unknown"),
        ({"policy": torch.nn.Linear}, ValueError, "Linear"),
        ({"policy": "MlpPolicy", "observation": "dict"}, ValueError, "MultiInputPolicy"),
        ({"n_steps": 1, "n_envs": 1}, AssertionError, "n_steps"),
    ],
)
def test_what_cannot_be_honored_is_refused_by_name(options, error, message):
    with pytest.raises(error, match=message):
        make(**({"backend": "numpy"} | options))


def test_backend_and_class_must_agree():
    for cls in (NumpyPPO, TorchPPO, JaxPPO, MlxPPO):
        if cls.own_backend in INSTALLED:
            model = cls("MlpPolicy", "CartPole-v1", backend=cls.own_backend)
            assert model.actor_critic.name == cls.own_backend
    with pytest.raises(ValueError, match="numpy backend, not 'torch'"):
        NumpyPPO("MlpPolicy", "CartPole-v1", backend="torch")


def test_auto_chooses(capsys):
    assert make("image", policy="CnnPolicy").actor_critic.name == "torch"
    assert make("image").actor_critic.name == "numpy"  # flattened
    model = make(verbose=1)
    model.learn(64)
    assert model.actor_critic.name == "numpy"
    before = model.actor_critic.parameters()
    model._reconsider(10**9)
    if "jax" not in INSTALLED:
        assert model.actor_critic.name == "numpy"
        return
    assert model.policy.backend is model.actor_critic
    assert model.actor_critic.name == "jax"
    assert "Using the jax backend: 62,500,000 minibatches" in capsys.readouterr().out
    for name, value in model.actor_critic.parameters().items():
        np.testing.assert_array_equal(value, before[name])
    model.learn(64, reset_num_timesteps=False)
    assert model.policy.optimizer.state_dict()["state"][0]["step"] == 8
    assert NumpyPPO("MlpPolicy", "CartPole-v1").learn(8).actor_critic.name == "numpy"


def test_the_constructor_is_sb3s():
    import inspect

    theirs = inspect.signature(stable_baselines3.PPO.__init__).parameters
    ours = inspect.signature(PPO.__init__).parameters
    assert list(ours)[: len(theirs)] == list(theirs)
    assert set(ours) - set(theirs) == {"backend", "extensions"}
    assert all(ours[name].default == theirs[name].default for name in theirs)


def test_truncated_minibatch_and_nested_dict():
    with pytest.warns(UserWarning, match="truncated"):
        make(n_steps=20)
    nested = spaces.Dict({"a": spaces.Dict({"b": BOX})})
    with pytest.raises(NotImplementedError, match="Nested"):
        PPO("MultiInputPolicy", AnyEnv(nested, ACTIONS["box"]))


def test_env_as_id_env_vec_env_or_none():
    assert PPO("MlpPolicy", "CartPole-v1").n_envs == 1
    assert PPO("MlpPolicy", gym.make("CartPole-v1")).n_envs == 1
    assert PPO("MlpPolicy", make_vec_env("CartPole-v1", 3)).n_envs == 3
    with pytest.raises(AssertionError):
        PPO("MlpPolicy", None, _init_setup_model=False).learn(1)


def test_infinite_action_limits_are_refused():
    unlimited = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    with pytest.raises(AssertionError, match="finite"):
        PPO("MlpPolicy", AnyEnv(BOX, unlimited))


# Callbacks


class Spy(BaseCallback):
    """Keeps what it is shown."""

    def __init__(self, names, stop_at=None):
        super().__init__()
        self.names, self.stop_at, self.seen, self.ends = names, stop_at, [], []

    def _on_step(self):
        self.seen.append({name: self.locals[name] for name in self.names})
        return self.n_calls != self.stop_at

    def _on_rollout_end(self):
        self.ends.append({name: self.locals[name] for name in self.names})


NAMES = ["self", "env", "callback", "rollout_buffer", "n_rollout_steps", "n_steps"]
NAMES += ["obs_tensor", "actions", "values", "log_probs", "clipped_actions", "new_obs"]
NAMES += ["rewards", "dones", "infos", "total_timesteps"]


@pytest.mark.parametrize("wrap", [lambda c: c, lambda c: [c], lambda c: CallbackList([c])])
def test_locals(wrap):
    spy = Spy(NAMES)
    model = make()
    model.learn(128, callback=wrap(spy))
    assert len(spy.seen) == 64
    first = spy.seen[0]
    assert first["self"] is model
    for name, shape in (("obs_tensor", (2, 3)), ("values", (2, 1)), ("log_probs", (2,))):
        assert isinstance(first[name], torch.Tensor)
        assert first[name].shape == shape
    assert first["actions"].shape == first["clipped_actions"].shape == (2, 2)
    assert (np.abs(first["clipped_actions"]) <= 1).all()
    last = spy.seen[32:]  # the buffer holds the second rollout
    for t, seen in enumerate(last):
        buffer = model.rollout_buffer
        np.testing.assert_allclose(seen["values"].numpy()[:, 0], buffer.values[t], atol=1e-5)
        np.testing.assert_allclose(seen["log_probs"].numpy(), buffer.log_probs[t], atol=1e-4)
        np.testing.assert_array_equal(seen["actions"], buffer.actions[t])
        np.testing.assert_array_equal(seen["obs_tensor"].numpy(), buffer.observations[t])
        assert seen["n_steps"] == t
    assert spy.ends[0]["values"].shape == (2, 1)


def test_locals_are_made_only_when_looked_at(monkeypatch):
    model = make()
    calls = []
    evaluate = model.actor_critic.evaluate
    monkeypatch.setattr(
        model.actor_critic, "evaluate", lambda *a: calls.append(len(a[0])) or evaluate(*a)
    )
    model.learn(64, callback=Spy(["rewards"]))
    assert calls == [64]
    model.learn(64, callback=Spy(["values", "rewards"]))
    assert calls == [64] + [2] * 32 + [64]


def test_locals_without_learn():
    model = make()
    model._setup_learn(10)
    spy = Spy(["values", "log_probs", "obs_tensor"])
    spy.init_callback(model)
    parent = CallbackList([spy])
    parent.init_callback(model)
    assert model.collect_rollouts(model.env, parent, model.rollout_buffer, 32)
    assert spy.seen[0]["values"].shape == (2, 1)


def test_a_callback_stops_and_functions_work():
    model = make()
    model.learn(1000, callback=Spy([], stop_at=10))
    assert model.num_timesteps == 20
    count = []
    model.learn(64, callback=lambda local, _: count.append(local["dones"]) or len(count) < 5)
    assert len(count) == 5


def test_sb3s_own_callbacks(tmp_path):
    env = make_vec_env("CartPole-v1", 2, seed=0)
    model = PPO("MlpPolicy", env, **SHORT)
    evaluation = EvalCallback(
        make_vec_env("CartPole-v1", 1),
        eval_freq=40,
        n_eval_episodes=2,
        verbose=0,
        best_model_save_path=str(tmp_path / "best"),
        log_path=str(tmp_path),
        warn=False,
    )
    checkpoints = CheckpointCallback(50, str(tmp_path / "checkpoints"))
    model.learn(256, callback=[evaluation, EveryNTimesteps(100, checkpoints)], progress_bar=False)
    best = PPO.load(tmp_path / "best" / "best_model", env=env)
    assert evaluate_policy(best, env, 2)[0] > 0
    assert (tmp_path / "evaluations.npz").exists()


def test_log_keys_are_sb3s(tmp_path):
    keys = []
    for cls in (PPO, stable_baselines3.PPO):
        env = make_vec_env("Pendulum-v1", 2, seed=0)
        model = cls("MlpPolicy", env, clip_range_vf=0.2, device="cpu", **SHORT)
        folder = tmp_path / cls.__module__
        model.set_logger(configure(str(folder), ["csv"]))
        model.learn(512)
        keys.append(set((folder / "progress.csv").read_text().splitlines()[0].split(",")))
        assert model.logger.name_to_value["train/n_updates"] == 16
    assert keys[0] == keys[1]


# Seeds, resuming, numbers


def parameters_after(seed=0, steps=256, **options):
    env = make_vec_env("Pendulum-v1", 3, seed=seed)
    model = PPO("MlpPolicy", env, **(SHORT | {"seed": seed, "batch_size": 48} | options))
    return model.learn(steps).policy.parameters_to_vector()


@pytest.mark.parametrize("options", [{}, {"use_sde": True, "sde_sample_freq": 3}])
def test_one_seed_is_one_result(options):
    first = parameters_after(**options)
    np.testing.assert_array_equal(first, parameters_after(**options))
    assert (first != parameters_after(seed=1, **options)).any()


def test_without_a_seed_numpys_global_one_governs():
    results = []
    for global_seed in (3, 3, 4):
        np.random.seed(global_seed)  # noqa: NPY002
        model = PPO("MlpPolicy", "Pendulum-v1", **(SHORT | {"seed": None}))
        results.append(model.policy.parameters_to_vector())
    np.testing.assert_array_equal(results[0], results[1])
    assert (results[0] != results[2]).any()


def test_noise_goes_on_where_it_was(tmp_path):
    model = make(seed=None).learn(64)
    model.save(tmp_path / "m")
    again = PPO.load(tmp_path / "m", env=model.env)
    assert (again._noise_seed, again._noise_step, again._noise_update) == (
        model._noise_seed,
        32,
        1,
    )
    before = model._noise_step
    model.learn(64)  # the step count restarts, the noise must not
    assert model.num_timesteps == 64
    assert model._noise_step == before + 32


@pytest.mark.parametrize("options", [{}, {"use_sde": True}, {"extensions": {"n_rollouts_kept": 2}}])
def test_a_saved_and_loaded_run_goes_on_to_the_bit(options, tmp_path):
    model = make(n_envs=3, learning_rate=1e-3, batch_size=48, **options).learn(192)
    model.save(tmp_path / "m", include=["_kept"])
    env = copy.deepcopy(model.env)
    # seed=None: a seed would seed the env anew, which is to go on as well.
    again = PPO.load(tmp_path / "m", env=env, force_reset=False, seed=None)
    start = model.policy.parameters_to_vector()
    for each in (model, again):
        each.learn(96, reset_num_timesteps=False)
    assert (model.policy.parameters_to_vector() != start).any()
    np.testing.assert_array_equal(
        model.policy.parameters_to_vector(), again.policy.parameters_to_vector()
    )
    assert again.num_timesteps == model.num_timesteps == 288


def test_rates_never_go_below_zero():
    seen = []

    def record(progress):
        seen.append(progress)
        return progress

    model = make(learning_rate=record, clip_range="lin_0.2")
    logged = []
    original = model._log_update

    def spy(stats, settings):
        logged.append((settings.learning_rate.policy, settings.coefs.clip_range))
        original(stats, settings)

    model._log_update = spy
    model.learn(100)  # two rollouts of 64: the second ends beyond the total
    del model._log_update
    assert min(seen) == 0.0
    assert logged[-1] == (0.0, 0.0)
    assert all(rate >= 0 and clip >= 0 for rate, clip in logged)


def test_learning_rate_zero_changes_nothing():
    model = make(learning_rate=0.0)
    before = model.policy.parameters_to_vector()
    model.learn(64)
    np.testing.assert_array_equal(before, model.policy.parameters_to_vector())


@pytest.mark.parametrize(("source", "at"), [("reward", 40), ("observation", 40)])
def test_nan_stops_training_and_says_where(source, at, tmp_path):
    env = DummyVecEnv([lambda: AnyEnv(copy.deepcopy(BOX), ACTIONS["discrete"], (source, at))])
    model = PPO("MlpPolicy", env, **SHORT)
    checkpoint = CheckpointCallback(10, str(tmp_path))
    with pytest.raises(
        FloatingPointError, match=f"the {source} of env 0 is not finite at step"
    ) as e:
        model.learn(1000, callback=checkpoint)
    assert int(str(e.value).split()[-1]) in (at, at + 1)
    assert np.isfinite(model.policy.parameters_to_vector()).all()
    newest = PPO.load(tmp_path / "rl_model_60_steps")
    assert np.isfinite(newest.policy.parameters_to_vector()).all()


def test_nan_gradient_names_the_update():
    model = make()
    _, callback = model._setup_learn(10)
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 32)
    model.rollout_buffer.returns[3, 0] = np.nan
    with pytest.raises(FloatingPointError, match=r"gradient of .* in update 1 at step 64"):
        model.train()
    assert np.isfinite(model.policy.parameters_to_vector()).all()


def test_time_limits_bootstrap():
    """The last reward of a truncated episode is worth gamma V(terminal observation) more."""
    model = make(gamma=0.5)
    _, callback = model._setup_learn(10)
    model.actor_critic.network.params.views["value_net.weight"][:] = 0.0
    model.actor_critic.network.params.views["value_net.bias"][:] = 7.0
    model.collect_rollouts(model.env, callback, model.rollout_buffer, 32)
    rewards = model.rollout_buffer.rewards
    assert set(np.unique(rewards)) == {1.0, 1.0 + 0.5 * 7.0}
    np.testing.assert_array_equal(np.flatnonzero(rewards[:, 0] > 1), [8, 17, 26])


def test_inactive_rows_change_nothing():
    """Rows marked inactive are in no minibatch, and not in advantages or their normalization."""
    plain, padded = make(n_envs=2), make(n_envs=3)
    padded.set_parameters(plain.get_parameters())
    rng = np.random.default_rng(0)
    for model in (plain, padded):
        model.set_logger(configure(None, []))
    numbers = {
        field: rng.standard_normal((32, 2)).astype(np.float32)
        for field in ("rewards", "values", "log_probs")
    }
    obs = rng.standard_normal((32, 2, 3)).astype(np.float32)
    actions = rng.standard_normal((32, 2, 2)).astype(np.float32)
    for model, n in ((plain, 2), (padded, 3)):
        buffer = model.rollout_buffer
        for field, value in numbers.items():
            getattr(buffer, field)[:, :2] = value
        buffer.observations[:, :2], buffer.actions[:, :2] = obs, actions
        buffer.episode_starts[:] = 0
        buffer.full = True
        if n == 3:
            buffer.rewards[:, 2] = buffer.values[:, 2] = 1e6
            buffer.active = np.ones((32, 3), bool)
            buffer.active[:, 2] = False
        buffer.compute_returns_and_advantage(np.zeros(n), np.zeros(n))
        model.train()
    np.testing.assert_array_equal(
        plain.rollout_buffer.advantages, padded.rollout_buffer.advantages[:, :2]
    )
    np.testing.assert_array_equal(
        plain.policy.parameters_to_vector(), padded.policy.parameters_to_vector()
    )


# Files


def test_save_to_paths_and_file_objects(tmp_path):
    model = make().learn(64)
    obs = model.env.reset()
    expected = model.predict(obs, deterministic=True)[0]
    stream = io.BytesIO()
    for target in (str(tmp_path / "a"), tmp_path / "b.zip", stream):
        model.save(target)
        if target is stream:
            stream.seek(0)
        again = PPO.load(target)
        np.testing.assert_array_equal(again.predict(obs, deterministic=True)[0], expected)


def test_exclude_include_and_custom_objects(tmp_path):
    model = make().learn(64)
    model.save(tmp_path / "m", exclude=["gamma"], include=["_last_obs"])
    again = PPO.load(tmp_path / "m", custom_objects={"n_steps": 16})
    assert again.gamma == 0.99
    assert again.n_steps == again.rollout_buffer.buffer_size == 16
    assert PPO.load(tmp_path / "m", learning_rate=0.5).lr_schedule(1.0) == 0.5


def test_load_with_another_number_of_envs_and_force_reset(tmp_path):
    model = make().learn(64)
    model.save(tmp_path / "m")
    other = make(n_envs=4).env
    again = PPO.load(tmp_path / "m", env=other)
    assert again._last_obs is None
    assert again.n_envs == 4
    again.learn(128)
    kept = PPO.load(tmp_path / "m", env=model.env, force_reset=False)
    np.testing.assert_array_equal(kept._last_obs, model._last_obs)


def test_get_and_set_parameters(tmp_path):
    model, other = make().learn(64), make(seed=1)
    parameters = model.get_parameters()
    assert list(parameters) == ["policy", "policy.optimizer"]
    other.set_parameters(parameters)
    np.testing.assert_array_equal(
        model.policy.parameters_to_vector(), other.policy.parameters_to_vector()
    )
    with pytest.raises(ValueError, match="invalid object name"):
        other.set_parameters(parameters | {"nothing.here": {}})
    with pytest.raises(ValueError, match="do not match"):
        other.set_parameters({"policy": parameters["policy"]})
    partial = {k: v for k, v in parameters["policy"].items() if k != "log_std"}
    with pytest.raises(RuntimeError, match="Missing key"):
        other.set_parameters(parameters | {"policy": partial})
    other.set_parameters({"policy": partial}, exact_match=False)
    wrong = parameters["policy"] | {"log_std": torch.zeros(5)}
    with pytest.raises(RuntimeError, match="size mismatch for log_std"):
        other.set_parameters({"policy": wrong}, exact_match=False)
    model.save(tmp_path / "m.zip")
    make(seed=2).set_parameters(tmp_path / "m.zip")


@each_backend
def test_npz(backend, tmp_path):
    model, other = make(backend=backend).learn(64), make(backend=backend, seed=1)
    model.save(tmp_path / "p.npz")
    other.set_parameters(tmp_path / "p.npz")
    np.testing.assert_array_equal(
        model.policy.parameters_to_vector(), other.policy.parameters_to_vector()
    )
    with pytest.raises(KeyError, match="log_std"):
        make("box", "discrete", backend=backend).set_parameters(tmp_path / "p.npz")
    with np.load(tmp_path / "p.npz", allow_pickle=False) as archive:
        assert "mlp_extractor.policy_net.0.weight" in archive.files


def test_policy_alone(tmp_path):
    model = make("dict", "discrete").learn(64)
    obs = model.env.reset()
    expected = model.predict(obs, deterministic=True)[0]
    model.policy.save(tmp_path / "policy")
    again = type(model.policy).load(tmp_path / "policy")
    for policy in (again, copy.deepcopy(model.policy), pickle.loads(pickle.dumps(again))):
        np.testing.assert_array_equal(policy.predict(obs, deterministic=True)[0], expected)
    # A copy is whole: its named parameters still are views of its vector.
    twin = copy.deepcopy(model.policy)
    vector = np.zeros_like(twin.parameters_to_vector())
    twin.load_from_vector(vector)
    assert (twin.backend.network.params.vector == 0).all()
    assert (model.policy.parameters_to_vector() != 0).any()


def test_policy_face():
    model = make("box", "discrete")
    policy = model.policy
    obs = model.env.reset()
    tensor, vectorized = policy.obs_to_tensor(obs)
    assert vectorized
    actions, values, log_prob = policy(tensor)
    again = policy.evaluate_actions(tensor, actions)
    np.testing.assert_allclose(again[0], values)
    np.testing.assert_allclose(again[1], log_prob)
    np.testing.assert_allclose(policy.predict_values(tensor), values)
    distribution = policy.get_distribution(tensor)
    np.testing.assert_allclose(distribution.log_prob(actions), log_prob, atol=1e-6)
    assert policy.device.type == "cpu"
    assert policy.to("cpu") is policy
    with pytest.raises(ValueError, match="device"):
        policy.to("cuda")
    assert not policy.squash_output
    assert policy.optimizer.param_groups[0]["lr"] == 3e-4
    with pytest.raises(AssertionError, match="gSDE"):
        policy.reset_noise()


def test_predict_refuses_what_sb3_refuses():
    model = make()
    with pytest.raises(ValueError, match="tuple"):
        model.predict((np.zeros(3), {}))
    with pytest.raises(ValueError, match="shape"):
        model.predict(np.zeros(4))


def test_vec_normalize():
    env = VecNormalize(make_vec_env("Pendulum-v1", 2, seed=0))
    model = PPO("MlpPolicy", env, **SHORT).learn(128)
    assert model.get_vec_normalize_env() is env
    assert np.abs(model.rollout_buffer.observations).max() <= 10


def test_images_and_dicts_of_sb3s_test_envs():
    PPO("CnnPolicy", FakeImageEnv(), **SHORT).learn(64)
    PPO("MultiInputPolicy", SimpleMultiObsEnv(), **SHORT).learn(64)


def test_importing_the_package_loads_no_framework():
    code = (
        "import sys, sb3_ext, sb3_ext.schedules\n"
        "bad = {'torch', 'jax', 'mlx', 'stable_baselines3', 'numpy'} & set(sys.modules)\n"
        "assert not bad, bad\n"
        "import sb3_ext.backends.numpy_backend, sb3_ext.functional.losses\n"
        "bad = {'torch', 'jax', 'mlx', 'stable_baselines3'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])


def test_register():
    import rl_zoo3
    from rl_zoo3 import hyperparams_opt

    import sb3_ext

    sb3_ext.register()
    assert rl_zoo3.ALGOS["ppo_numpy"] is NumpyPPO
    assert "ppo_numpy" in hyperparams_opt.HYPERPARAMS_SAMPLER


@pytest.mark.parametrize("name", ["torch", "jax", "mlx"])
def test_one_backend_loads_one_framework(name):
    if name not in INSTALLED:
        pytest.skip(f"{name} is not installed")
    others = {"torch", "jax", "mlx"} - {name, "torch"}  # SB3 always brings torch
    program = f"""
import sys, sb3_ext.backends as b
if {name!r} != "torch":
    b.backend_class({name!r})
    assert "torch" not in sys.modules, "torch"
else:
    b.backend_class("torch")
loaded = {others!r} & set(sys.modules)
assert not loaded, loaded
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


# What a torch policy brings along, taken by the torch backend as SB3's PPO takes it


class OwnExtractor(BaseFeaturesExtractor):
    def __init__(self, observation_space, features_dim=7):
        super().__init__(observation_space, features_dim)
        self.layer = torch.nn.Linear(observation_space.shape[0], features_dim)

    def forward(self, observations):
        return torch.nn.functional.gelu(self.layer(observations))


class OwnPolicy(Sb3Policy):
    """Plays another way than SB3's: half as boldly."""

    def evaluate_actions(self, obs, actions):
        values, log_prob, entropy = super().evaluate_actions(obs, actions)
        return values, log_prob * 0.5, entropy

    def forward(self, obs, deterministic=False):
        actions, values, log_prob = super().forward(obs, deterministic)
        return actions * 0.5, values, log_prob


class OwnDistribution(Sb3Policy):
    """Every mean is 0.3, so that all actions are near it; counts the exploration matrices."""

    n_resets = 0

    def _get_action_dist_from_latent(self, latent_pi):
        mean = 0.0 * self.action_net(latent_pi) + 0.3
        if self.use_sde:
            return self.action_dist.proba_distribution(mean, self.log_std, latent_pi)
        return self.action_dist.proba_distribution(mean, self.log_std - 10.0)

    def predict_values(self, obs):
        return super().predict_values(obs) * 0.0 + 7.0

    def reset_noise(self, n_envs=1):
        self.n_resets += 1
        super().reset_noise(n_envs)


def test_a_policys_own_distribution_and_values_are_asked():
    model = make(policy=OwnDistribution)
    seen = []

    class Look(BaseCallback):
        def _on_step(self):
            seen.append(self.locals["actions"])
            return True

        def _on_rollout_end(self):
            np.testing.assert_allclose(self.locals["values"], 7.0)

    model.learn(64, callback=Look())
    np.testing.assert_allclose(np.concatenate(seen), 0.3, atol=0.01)


def test_a_policy_of_ones_own_explores_anew():
    model = make(policy=OwnDistribution, use_sde=True, sde_sample_freq=8)
    before = model.policy.n_resets
    model.learn(64)
    assert model.policy.n_resets == before + 4  # 32 steps


class OwnBuffer(Sb3Buffer):
    n_got = 0

    def get(self, batch_size=None):
        OwnBuffer.n_got += 1
        yield from super().get(batch_size)


@pytest.mark.parametrize(
    "options",
    [
        {"policy_kwargs": {"features_extractor_class": OwnExtractor}},
        {
            "policy_kwargs": {
                "features_extractor_class": OwnExtractor,
                "features_extractor_kwargs": {"features_dim": 5},
                "share_features_extractor": False,
                "activation_fn": torch.nn.GELU,
                "optimizer_class": torch.optim.RMSprop,
            }
        },
        {"policy_kwargs": {"optimizer_class": torch.optim.AdamW}, "use_sde": True},
        {"policy_kwargs": {"features_extractor_class": OwnExtractor}, "use_sde": True},
        {"policy": OwnPolicy},
        {"rollout_buffer_class": OwnBuffer},
        {"rollout_buffer_class": OwnBuffer, "action": "discrete", "target_kl": 0.01},
    ],
)
def test_torch_takes_what_sb3_takes(options, tmp_path):
    model = make(**options)  # backend="auto"
    assert model.actor_critic.name == "torch"
    before = {name: p.detach().clone() for name, p in model.policy.named_parameters()}
    OwnBuffer.n_got = 0
    model.learn(128)
    moved = [name for name, p in model.policy.named_parameters() if (p != before[name]).any()]
    assert len(moved) == len(before)
    if "rollout_buffer_class" in options:
        assert OwnBuffer.n_got >= 2
        assert isinstance(model.rollout_buffer, OwnBuffer)
    if "policy" in options:
        assert isinstance(model.policy, OwnPolicy)
    model.save(tmp_path / "model")
    obs = model.env.reset()
    expected, _ = model.predict(obs, deterministic=True)
    for cls in (PPO, stable_baselines3.PPO):
        again = cls.load(tmp_path / "model", device="cpu")
        np.testing.assert_allclose(again.predict(obs, deterministic=True)[0], expected, atol=1e-6)
    theirs = stable_baselines3.PPO.load(tmp_path / "model", env=model.env, device="cpu")
    theirs.learn(64)  # SB3 goes on with what we left
    twin = copy.deepcopy(model) if "use_sde" not in options else model
    assert twin.actor_critic.policy is twin.policy


# What else SB3's users do


def test_parameters_can_be_changed_in_place():
    model = make(backend="numpy")
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.zero_()
    assert all((value == 0).all() for value in model.actor_critic.parameters().values())
    obs = model.env.reset()
    assert (model.predict(obs, deterministic=True)[0] == 0).all()


def test_locals_at_the_end_of_a_rollout_are_the_last_steps():
    class Look(BaseCallback):
        def _on_step(self):
            self.seen = dict(self.locals)
            assert {"values", "log_probs", "obs_tensor"} <= self.seen.keys()
            return True

        def _on_rollout_end(self):
            for name in ("log_probs", "obs_tensor"):
                assert torch.allclose(self.locals[name], self.seen[name], atol=1e-6), name
            assert len(self.locals["values"]) == 2

    make(action="discrete").learn(64, callback=Look())


def test_reseeding_repeats_predictions():
    model = make(backend="numpy")
    obs = model.env.reset()
    drawn = []
    for _ in range(2):
        model.set_random_seed(7)
        drawn.append([model.predict(obs)[0] for _ in range(5)])
    np.testing.assert_array_equal(*drawn)


def test_predict_refuses_nan():
    with pytest.raises(ValueError, match="NaN"):
        make().predict(np.full(3, np.nan, np.float32))


def test_nan_at_a_time_limit_is_named():
    env = make_vec_env(lambda: gym.wrappers.TimeLimit(EndsInNan(BOX, ACTIONS["box"]), 5), 2)
    with pytest.raises(FloatingPointError, match=r"terminal observation of env 0.*at step 10"):
        PPO("MlpPolicy", env, **SHORT).learn(64)


class EndsInNan(AnyEnv):
    def step(self, action):
        obs, *rest = super().step(action)
        return np.full_like(obs, np.nan) if self.t == 5 else obs, *rest


@pytest.mark.parametrize(
    "space", [spaces.MultiBinary((2, 2)), spaces.MultiDiscrete([[2, 3], [2, 2]])]
)
def test_several_axes_of_discrete_actions_are_refused(space):
    with pytest.raises(NotImplementedError, match="flatten it"):
        PPO("MlpPolicy", DummyVecEnv([lambda: AnyEnv(BOX, space)]), **SHORT)


def test_a_policy_file_opens_in_sb3(tmp_path):
    model = make(
        backend="numpy", policy_kwargs={"activation_fn": "relu", "net_arch": [np.int64(8)]}
    )
    model.policy.save(tmp_path / "policy.pth")
    obs = model.env.reset()
    expected = model.predict(obs, deterministic=True)[0]
    theirs = Sb3Policy.load(tmp_path / "policy.pth", device="cpu")
    np.testing.assert_allclose(theirs.predict(obs, deterministic=True)[0], expected, atol=1e-6)
    actions, *_ = theirs.forward(torch.as_tensor(obs))
    assert actions.requires_grad
    model.policy.evaluate_actions(torch.as_tensor(obs), actions)
    assert model.policy.load_state_dict(theirs.state_dict()).missing_keys == []
