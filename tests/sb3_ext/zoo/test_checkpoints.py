"""A run's checkpoints hold a state where there is a moment to go on from, and nowhere else."""

from collections.abc import Callable
from pathlib import Path

import gymnasium as gym
import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback

import envs  # noqa: F401
from callbacks.checkpoint import checkpoints_in
from sb3_ext.vec_env import EpisodeLog, GymnasiumVecEnv
from sb3_ext.zoo import training_state
from sb3_ext.zoo.checkpoints import Checkpoints, read_state
from sb3_ext.zoo.clock import Clock
from sb3_ext.zoo.errors import ZooError


class At(BaseCallback):
    """Does something in a step; then goes on, or stops."""

    def __init__(self, step: int, do: Callable[[], object], goes_on: bool = True) -> None:
        super().__init__()
        self.step, self.do, self.goes_on = step, do, goes_on

    def _on_step(self) -> bool:
        if self.num_timesteps != self.step:
            return True
        self.do()
        return self.goes_on


@pytest.fixture
def model() -> PPO:
    env = EpisodeLog(GymnasiumVecEnv(gym.make_vec("TargetReach-v0", num_envs=2)))
    return PPO("MlpPolicy", env, n_steps=32, batch_size=64, n_epochs=1, seed=1)


@pytest.fixture
def checkpoints(model: PPO, tmp_path: Path) -> Checkpoints:
    return Checkpoints(
        10_000, tmp_path, None, False, lambda: training_state.take(model, [], Clock(), [])
    )


def states(folder: Path) -> dict[int, int | None]:
    """The steps that each checkpoint's state tells; None where it has no state."""
    found = {steps: read_state(path) for steps, path in checkpoints_in(folder).items()}
    return {steps: state and state.steps for steps, state in found.items()}


def test_on_demand(model: PPO, checkpoints: Checkpoints, tmp_path: Path) -> None:
    in_a_rollout, asked = At(40, checkpoints.save), At(80, checkpoints.ask)
    model.learn(256, callback=[checkpoints, in_a_rollout, asked])
    assert states(tmp_path) == {40: None, 128: 128}


def test_a_callback_that_stops_it(model: PPO, checkpoints: Checkpoints, tmp_path: Path) -> None:
    model.learn(256, callback=[checkpoints, At(100, lambda: None, goes_on=False)])
    assert states(tmp_path) == {64: 64}


def test_an_end_between_two(model: PPO, checkpoints: Checkpoints, tmp_path: Path) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.learn(256, callback=[checkpoints, At(100, fail)])
    assert states(tmp_path) == {}
    checkpoints.broke_off()
    assert states(tmp_path) == {64: 64}
    assert PPO.load(tmp_path / "rl_model_64_steps.zip").num_timesteps == 64


def test_damaged_files(model: PPO, tmp_path: Path) -> None:
    path = tmp_path / "model.zip"
    model.save(path)
    assert read_state(path) is None
    content = path.read_bytes()
    for damaged in (b"", content[:-40], content[: len(content) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(ZooError, match=r"model\.zip is damaged"):
            read_state(path)
    with pytest.raises(ZooError, match=r"none\.zip is damaged"):
        read_state(tmp_path / "none.zip")
