"""Agents that come with a world."""

from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
import yaml

from envs.gym_env import WorldEnv
from sb3_ext import NumpyPPO
from sb3_ext.zoo.model_choice import pretrained_agents

PLAY = ("--no-render", "-n", 400)


def test_the_walker_walks(zoo):
    answer = zoo("enjoy", "--env", "PassiveWalker-v0", "--pretrained", "--no-render", "-n", 1001)
    assert answer.code == 0, answer.err
    assert "pretrained/efficient.npz" in answer.out
    assert "mean length: 1000.0" in answer.out


def test_it_is_listed(zoo):
    walker = zoo("list").out.partition("PassiveWalker-v0")[2]
    assert "pretrained   efficient" in walker


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--env", "SimpleAim-v0", "--pretrained"), "no trained agent comes with SimpleAim-v0"),
        (("--env", "PassiveWalker-v0", "--pretrained", "eficient"), "did you mean 'efficient'"),
        (("--env", "PassiveWalker-v0", "--pretrained", "--algo", "sac"), "hold a PPO"),
    ],
)
def test_wrong_ones(zoo, flags, told):
    answer = zoo("enjoy", *flags, *PLAY)
    assert answer.code == 2
    assert told in answer.err
    assert "Traceback" not in answer.err


def test_a_video_goes_to_the_users_folder(zoo):
    answer = zoo("record", "--env", "PassiveWalker-v0", "--pretrained", "-n", 20)
    assert answer.code == 0, answer.err
    assert Path("videos/PassiveWalker-v0_efficient.mp4").stat().st_size > 1000


def test_it_needs_a_name_to_be_exported_to(zoo):
    export = ("export", "--env", "PassiveWalker-v0", "--pretrained", "--to", "onnx")
    assert "-o says where" in zoo(*export).err
    assert zoo(*export, "-o", "walker.onnx").code == 0
    assert Path("walker.onnx").is_file()


def test_of_a_world_of_ones_own_with_its_arguments(zoo, tmp_path, monkeypatch):
    """What ``NAME/config.yml`` says reaches the world."""
    asked = []

    class Mine(gym.Env):
        metadata = {"render_modes": [], "pretrained": {"mine": str(tmp_path / "mine.npz")}}  # noqa: RUF012
        observation_space = gym.spaces.Box(-1.0, 1.0, (2,), np.float32)
        action_space = gym.spaces.Discrete(2)

        def __init__(self, size: int = 1, render_mode: str | None = None) -> None:
            asked.append(size)

        def reset(self, *, seed=None, options=None):
            return np.zeros(2, np.float32), {}

        def step(self, action):
            return np.zeros(2, np.float32), 1.0, False, True, {}

    gym.register("Mine-v0", Mine)
    try:
        NumpyPPO("MlpPolicy", Mine(), n_steps=64).save(tmp_path / "mine.npz")
        (tmp_path / "mine").mkdir()
        config = {"env_kwargs": {"size": 7}, "n_timesteps": 1}
        (tmp_path / "mine" / "config.yml").write_text(yaml.safe_dump(config))
        answer = zoo("enjoy", "--env", "Mine-v0", "--pretrained", "mine", *PLAY)
        assert answer.code == 0, answer.err
        assert asked[-1] == 7
        assert "400 episodes" in answer.out
    finally:
        del gym.registry["Mine-v0"]


def test_worlds_without_any_have_none():
    assert pretrained_agents(gym.spec("SimpleAim-v0")) == {}
    assert "pretrained" not in WorldEnv.metadata
