"""Models of every kind, small and quickly made: what files are written of."""

import copy
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ext import PPO

BOX = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
ACTIONS = {
    "box": spaces.Box(-1, 1, (2,), np.float32),
    "box of two axes": spaces.Box(-1, 1, (2, 3), np.float32),
    "float64 box": spaces.Box(np.array([-0.1, 0.0]), np.array([0.1, 5.0]), dtype=np.float64),
    "discrete": spaces.Discrete(3),
    "discrete from 5": spaces.Discrete(3, start=5),
    "multi-discrete": spaces.MultiDiscrete([2, 4]),
    "multi-discrete from 1": spaces.MultiDiscrete([2, 4], start=[1, -2]),
    "multi-binary": spaces.MultiBinary(3),
}
OBSERVATIONS = {
    "box of two axes": spaces.Box(-1, 1, (2, 3), np.float32),
    "box without limits": spaces.Box(-np.inf, np.inf, (3,), np.float32),
    "float64 box": spaces.Box(-1, 1, (3,), np.float64),
    "float16 box": spaces.Box(-1, 1, (3,), np.float16),
    "integer box": spaces.Box(0, 9, (3,), np.int64),
    "uint16 box": spaces.Box(0, 9, (3,), np.uint16),
    "limits of their own": spaces.Box(
        np.array([-1.0, 0.1], np.float32), np.array([1.0, 0.3], np.float32)
    ),
    "discrete": spaces.Discrete(4),
    "discrete from 2": spaces.Discrete(4, start=2),
    "multi-discrete": spaces.MultiDiscrete([2, 3]),
    "multi-discrete from 1": spaces.MultiDiscrete([2, 3], start=[1, 0]),
    "multi-binary": spaces.MultiBinary(4),
    "dict": spaces.Dict([("z", BOX), ("b", spaces.Discrete(3))]),
    "dict with images": spaces.Dict({"a": BOX, "camera": IMAGE, "rear": IMAGE}),
}
SMALL: dict[str, Any] = {"net_arch": [8, 6]}
OPTIONS: dict[str, dict[str, Any]] = {
    "towers of their own": {"policy_kwargs": {"net_arch": {"pi": [5], "vf": [8, 4]}}},
    "no hidden layer": {"policy_kwargs": {"net_arch": []}},
    "tanh mean": {"extensions": {"mean": "tanh"}},
    "fixed std": {"extensions": {"std": "fixed"}, "policy_kwargs": {"log_std_init": -0.5}},
    "state std": {"extensions": {"std": "state", "std_range": (0.2, 0.9)}},
    "gsde": {"use_sde": True, "sde_sample_freq": 4},
    "gsde, squashed": {"use_sde": True, "policy_kwargs": {"squash_output": True}},
    "gsde, few stds": {"use_sde": True, "policy_kwargs": {"full_std": False, "use_expln": True}},
    "sgd": {"policy_kwargs": {"optimizer_class": "sgd"}},
    "sgd with momentum": {
        "policy_kwargs": {"optimizer_class": "sgd", "optimizer_kwargs": {"momentum": 0.9}}
    },
    "adam": {"policy_kwargs": {"optimizer_kwargs": {"betas": (0.8, 0.99)}}},
    "own value function": {
        "extensions": {"value_learning_rate": "lin_1e-3", "value_max_grad_norm": 1.0}
    },
}
OPTIONS |= {
    name: {"policy_kwargs": {"activation_fn": name}}
    for name in ("relu", "leaky_relu", "elu", "sigmoid", "silu", "softplus", "identity")
}
IMAGE_OPTIONS: dict[str, dict[str, Any]] = {
    "cnn": {"policy": "CnnPolicy"},
    "cnn, not shared": {
        "policy": "CnnPolicy",
        "policy_kwargs": {"share_features_extractor": False},
    },
    "cnn, numbers as they are": {
        "policy": "CnnPolicy",
        "policy_kwargs": {"normalize_images": False},
    },
    "flat": {"policy": "MlpPolicy"},
}
NORMALIZED = ("box without limits", "float64 box", "dict", "box of two axes")


class AnyEnv(gym.Env[Any, Any]):
    """Random observations of any space; ends at 9 steps."""

    def __init__(self, observation_space: spaces.Space, action_space: spaces.Space) -> None:
        self.observation_space, self.action_space = copy.deepcopy(observation_space), action_space
        self.t = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.observation_space.seed(seed)
        self.t = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.t += 1
        return self.observation_space.sample(), float(self.t), False, self.t >= 9, {}


def vec_env(observation: spaces.Space, action: spaces.Space, n_envs: int = 2) -> DummyVecEnv:
    """Rows of :class:`AnyEnv`."""
    return DummyVecEnv([lambda: AnyEnv(observation, action)] * n_envs)


def shaken(model: PPO, seed: int = 0) -> PPO:
    """The model with parameters moved, so that no bias is 0 and actions depend on what is seen."""
    rng = np.random.default_rng(seed)
    network = model.actor_critic
    network.load_parameters(
        {
            name: (
                value + (0.03 if "cnn" in name else 0.3) * rng.standard_normal(value.shape)
            ).astype(np.float32)
            for name, value in network.parameters().items()
        }
    )
    return model


def make(
    observation: spaces.Space = BOX,
    action: spaces.Space = ACTIONS["box"],
    *,
    policy: str | None = None,
    env: Any = None,
    **options: Any,
) -> PPO:
    """A PPO with moved parameters."""
    if policy is None:
        policy = "MultiInputPolicy" if isinstance(observation, spaces.Dict) else "MlpPolicy"
    kwargs = dict(options.pop("policy_kwargs", {}))
    if policy != "MlpPolicy":
        size = "features_dim" if policy == "CnnPolicy" else "cnn_output_dim"
        kwargs["features_extractor_kwargs"] = {size: 12}
    options = {"backend": "numpy", "n_steps": 32, "batch_size": 32, "n_epochs": 2, **options}
    env = vec_env(observation, action) if env is None else env
    return shaken(PPO(policy, env, seed=0, policy_kwargs=SMALL | kwargs, **options))


def every_model() -> dict[str, Any]:
    """A function that makes a model, for every space, network and option."""
    cases: dict[str, Any] = {}
    for name, action in ACTIONS.items():
        cases[f"action {name}, mlp"] = (BOX, action, {})
        cases[f"action {name}, cnn"] = (IMAGE, action, {"policy": "CnnPolicy"})
    for name, observation in OBSERVATIONS.items():
        cases[f"observation {name}"] = (observation, ACTIONS["box"], {})
    for name, options in OPTIONS.items():
        cases[name] = (BOX, ACTIONS["float64 box"], options)
    for name, options in IMAGE_OPTIONS.items():
        cases[f"image, {name}"] = (IMAGE, ACTIONS["discrete"], options)
    return {name: lambda case=case: make(*case[:2], **case[2]) for name, case in cases.items()}


def normalized(observation: spaces.Space, action: spaces.Space = ACTIONS["box"]) -> PPO:
    """A model that has trained on a VecNormalize for a moment."""
    keys = [k for k, s in observation.spaces.items() if isinstance(s, spaces.Box)] if isinstance(
        observation, spaces.Dict
    ) else None  # fmt: skip
    env = VecNormalize(vec_env(observation, action), clip_obs=3.0, norm_obs_keys=keys)
    return make(observation, action, env=env).learn(64)


def observations(space: spaces.Space, n: int = 200, seed: int = 0) -> Any:
    """A batch of random observations."""
    if isinstance(space, spaces.Dict):
        return {key: observations(part, n, seed) for key, part in space.spaces.items()}
    space.seed(seed)
    rows = np.stack([space.sample() for _ in range(n)])
    if space.dtype == np.uint8 and rows.ndim == 4:  # noise is gray: some shall be dark or bright
        brightness = np.random.default_rng(seed).uniform(0, 1, (n, 1, rows.shape[2], 1))
        rows = (rows * brightness).astype(np.uint8)
    return np.clip(rows, -3, 3) if space.dtype.kind == "f" else rows  # limits may be float32's own


def assert_same_actions(found: NDArray, wanted: NDArray, tolerance: float = 1e-5) -> None:
    """Within the tolerance; exactly, if they are whole numbers."""
    assert found.shape == wanted.shape
    assert len(np.unique(wanted.round(6), axis=0)) > 1, "a constant policy shows nothing"
    if wanted.dtype.kind != "f":
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=tolerance)
