"""``.onnx``: what onnxruntime makes of the graph is what ``predict`` says."""

import copy
import functools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sb3_contrib
import stable_baselines3
import torch
from gymnasium import spaces
from stable_baselines3.common.envs import SimpleMultiObsEnv
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack, VecNormalize

from sb3_ext import PPO
from sb3_ext.portable.errors import ModelFileError
from sb3_ext.portable.normalizer import Normalizer
from sb3_ext.portable.onnx_model import OnnxModel, to_onnx
from tests.sb3_ext.portable import models
from tests.sb3_ext.portable.models import ACTIONS, BOX, IMAGE, assert_same_actions, make

onnx = pytest.importorskip("onnx")
runtime = pytest.importorskip("onnxruntime")
EVERY = models.every_model()


def run(data: bytes, obs: Any) -> Any:
    """What the bare runtime answers: nothing of ours in between."""
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    inputs = session.get_inputs()
    types = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(uint8)": np.uint8,
             "tensor(int64)": np.int64, "tensor(int8)": np.int8}  # fmt: skip
    feed = {
        entry.name: np.asarray(obs[entry.name] if isinstance(obs, dict) else obs, types[entry.type])
        for entry in inputs
    }
    (action,) = session.run(["action"], feed)
    return action


@pytest.mark.parametrize("name", EVERY)
def test_the_graph_acts_as_the_model(name: str) -> None:
    model = EVERY[name]()
    obs = models.observations(model.observation_space)
    wanted = model.predict(obs, deterministic=True)[0]
    data = to_onnx(model)
    assert data == to_onnx(model), "one model, one file"
    assert_same_actions(run(data, obs), wanted)
    player = OnnxModel(data)
    assert_same_actions(player.predict(obs)[0], wanted)
    one = {k: v[0] for k, v in obs.items()} if isinstance(obs, dict) else obs[0]
    np.testing.assert_allclose(player.predict(one)[0], wanted[0], rtol=0, atol=1e-5)
    assert player.observation_space == model.observation_space
    assert player.action_space == model.action_space
    graph = onnx.load_model_from_string(data)
    assert not {node.op_type for node in graph.graph.node} & {"Loop", "If", "PyOp"}
    assert graph.opset_import[0].version == 17


@pytest.mark.parametrize("name", models.NORMALIZED)
@pytest.mark.parametrize("backend", ["numpy", "torch"])
def test_the_normalizer_is_in_the_graph(name: str, backend: str, tmp_path: Path) -> None:
    space = models.OBSERVATIONS[name]
    model = models.normalized(space)
    env: Any = model.get_vec_normalize_env()
    if not isinstance(space, spaces.Dict):
        env.obs_rms.mean += 1000.0  # would cost float32 its digits
    obs: Any = models.observations(space)
    if not isinstance(space, spaces.Dict):
        obs = (env.obs_rms.mean + 3.0 * obs).astype(space.dtype)
    wanted = model.predict(env.normalize_obs(obs), deterministic=True)[0]
    if backend == "torch":
        model.save(tmp_path / "m.zip")
        model = stable_baselines3.PPO.load(tmp_path / "m.zip")  # traced, not built
    assert_same_actions(run(to_onnx(model, Normalizer.of(env)), obs), wanted)


def test_a_normalizer_below_frame_stack_is_refused() -> None:
    env = VecNormalize(models.vec_env(BOX, ACTIONS["box"]))
    model = make(env=VecFrameStack(env, 3))
    with pytest.raises(ModelFileError, match="frame_stack"):
        to_onnx(model, Normalizer.of(env))
    images = VecNormalize(models.vec_env(IMAGE, ACTIONS["box"]))
    model = make(env=images, policy="CnnPolicy", policy_kwargs={"normalize_images": False})
    with pytest.raises(ModelFileError, match="hides what images"):
        to_onnx(model, Normalizer.of(images))


# Other algorithms

SMALL: dict[str, Any] = {"policy_kwargs": {"net_arch": [16, 16]}, "seed": 0, "device": "cpu"}
BUFFER = {"buffer_size": 50}


def others() -> dict[str, Any]:
    """One small model of each of RL Zoo's algorithms, and of each kind of observation."""
    image = models.vec_env(IMAGE, spaces.Discrete(3), 1)
    mixed = DummyVecEnv([lambda: SimpleMultiObsEnv(random_start=False)])
    sb3, contrib = stable_baselines3, sb3_contrib
    off = SMALL | BUFFER
    cases = {
        "a2c": (sb3.A2C, "MlpPolicy", "Pendulum-v1", SMALL),
        "a2c, gsde": (sb3.A2C, "MlpPolicy", "Pendulum-v1", SMALL | {"use_sde": True}),
        "a2c, one-hot": (sb3.A2C, "MlpPolicy", "FrozenLake-v1", SMALL),
        "a2c, binary": (
            sb3.A2C, "MlpPolicy", models.vec_env(BOX, spaces.MultiBinary(3)), SMALL
        ),
        "a2c, dict": (sb3.A2C, "MultiInputPolicy", mixed, SMALL),
        "ppo": (sb3.PPO, "MlpPolicy", "CartPole-v1", SMALL),
        "ddpg": (sb3.DDPG, "MlpPolicy", "Pendulum-v1", off),
        "dqn": (sb3.DQN, "MlpPolicy", "CartPole-v1", off),
        "dqn, images": (sb3.DQN, "CnnPolicy", image, {**BUFFER, "seed": 0, "device": "cpu"}),
        "sac": (sb3.SAC, "MlpPolicy", "Pendulum-v1", off),
        "td3": (sb3.TD3, "MlpPolicy", "Pendulum-v1", off),
        "ars": (contrib.ARS, "LinearPolicy", "Pendulum-v1", {"seed": 0, "device": "cpu"}),
        "crossq": (contrib.CrossQ, "MlpPolicy", "Pendulum-v1", off),
        "qrdqn": (contrib.QRDQN, "MlpPolicy", "CartPole-v1", off),
        "tqc": (contrib.TQC, "MlpPolicy", "Pendulum-v1", off),
        "trpo": (contrib.TRPO, "MlpPolicy", "Pendulum-v1", SMALL),
    }  # fmt: skip
    return {
        name: functools.partial(cls, policy, env, **copy.deepcopy(kwargs))
        for name, (cls, policy, env, kwargs) in cases.items()
    }


OTHERS = others()


@pytest.mark.parametrize("name", OTHERS)
def test_other_algorithms(name: str) -> None:
    model = OTHERS[name]()
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    obs = models.observations(model.observation_space)
    wanted = model.predict(obs, deterministic=True)[0]
    data = to_onnx(model)
    assert_same_actions(run(data, obs), wanted)
    player = OnnxModel(data)
    assert_same_actions(player.predict(obs)[0], wanted)
    assert player.algorithm == type(model).__name__


def test_a_policy_with_a_memory_is_refused() -> None:
    model = sb3_contrib.RecurrentPPO("MlpLstmPolicy", "CartPole-v1", device="cpu")
    with pytest.raises(ModelFileError, match="has a memory"):
        to_onnx(model)


class OwnNetwork(torch.nn.Module):
    """A network of one's own."""

    def __init__(self, observation_space: spaces.Box, n_outputs: int) -> None:
        super().__init__()
        self.body = torch.nn.Linear(observation_space.shape[0], 5)
        self.heads = torch.nn.Linear(5, n_outputs + 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = self.heads(torch.nn.functional.gelu(self.body(x)))
        return y[:, :-1], y[:, -1]


def test_networks_of_ones_own_are_traced() -> None:
    env = models.vec_env(BOX, ACTIONS["discrete from 5"])
    for kwargs in ({"network": OwnNetwork}, {"activation_fn": torch.nn.GELU}):
        model = PPO("MlpPolicy", env, policy_kwargs=kwargs, seed=3, n_steps=32, batch_size=32)
        assert model.actor_critic.name == "torch"
        models.shaken(model)
        obs = models.observations(BOX)
        wanted = model.predict(obs, deterministic=True)[0]
        assert_same_actions(run(to_onnx(model), obs), wanted)


# Damaged files, missing libraries


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    data = to_onnx(make())
    path = tmp_path / "m.onnx"
    for damaged in (b"", b"x", data[: len(data) // 2], data[:-3], b"\0" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ModelFileError, match=r"m.onnx: "):
            OnnxModel.read(path)
    graph = onnx.load_model_from_string(data)
    description = json.loads(graph.metadata_props[0].value)
    for key, value, message in [
        ("version", 2, "version must be"),
        ("surprise", 1, "unknown key"),
        ("observation_space", {"type": "Dict", "spaces": []}, "without spaces"),
        ("observation_space", {"type": "Dict", "spaces": [["a", description["action_space"]]]},
         "its inputs are not those"),
    ]:  # fmt: skip
        onnx.helper.set_model_props(graph, {"sb3_ext": json.dumps(description | {key: value})})
        with pytest.raises(ModelFileError, match=message):
            OnnxModel(graph.SerializeToString())
    onnx.helper.set_model_props(graph, {})
    with pytest.raises(ModelFileError, match="another program's"):
        OnnxModel(graph.SerializeToString())


def test_only_the_most_likely_action_is_there() -> None:
    with pytest.raises(ValueError, match="most likely action alone"):
        OnnxModel(to_onnx(make())).predict(np.zeros(3), deterministic=False)


def test_missing_libraries_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make()
    data = to_onnx(model)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    for act in (lambda: to_onnx(model), lambda: OnnxModel(data)):
        with pytest.raises(ImportError, match=r"onnx(runtime)?: pip install 'sb3_ext\[export\]'"):
            act()
