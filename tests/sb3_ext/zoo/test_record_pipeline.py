"""Videos of agents, and the whole way in one command."""

import json

import cv2
import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.env_util import make_vec_env

from sb3_ext import PPO
from sb3_ext.zoo.cli import main
from sb3_ext.zoo.trajectories import collect

AIM = ("--algo", "ppo_numpy", "--env", "SimpleAim-v0", "--seed", "1")


def n_frames(path):
    video, n = cv2.VideoCapture(str(path)), 0
    while video.read()[0]:
        n += 1
    return n


@pytest.fixture(scope="module")
def logs(tmp_path_factory):
    """A short run."""
    folder = tmp_path_factory.mktemp("record") / "logs"
    arguments = [*AIM, "-n", "4096", "--save-freq", "2048", "--final-eval-episodes", "0"]
    assert main([*arguments, "-f", str(folder), "--verbose", "0", "--eval-freq", "-1"]) == 0
    return folder


def test_a_video_of_the_agent_and_of_its_training(zoo, logs, tmp_path):
    assert zoo("record", *AIM, "-f", logs, "-n", 20, "-o", tmp_path / "a.mp4").code == 0
    assert n_frames(tmp_path / "a.mp4") == 20
    result = zoo("record", *AIM, "-f", logs, "-n", 10, "--training", "-o", tmp_path / "t.gif")
    assert result.code == 0, result.err
    assert "rl_model_2048_steps.zip" in result.out
    assert n_frames(tmp_path / "t.gif") == 30  # two checkpoints and the end
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "t.gif"]


def test_each_frame_is_of_what_was_acted_on():
    """After an episode's last step the env would show the next one's beginning."""
    env = make_vec_env("CartPole-v1", 1, seed=0)
    drawn = []
    arrays = collect(
        PPO("MlpPolicy", env, backend="numpy", seed=0),
        env,
        n_episodes=3,
        deterministic=False,
        each_step=lambda env: drawn.append(np.array(env.get_attr("state")[0], np.float32)),
    )
    np.testing.assert_array_equal(drawn, arrays["observations"])
    assert arrays["episode"].max() == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("-o", "film.avi"), "only .mp4 and .gif"),
        (("-n", "0"), "--n-timesteps must be at least 1"),
        (("--episodes", "0"), "--episodes must be at least 1"),
        (("--training", "--model", "x.zip"), "can't go with --model"),
        (("--exp-id", "7"), "7"),
        (("--model", "none.zip"), "there is no file"),
    ],
)
def test_bad_input_of_record(zoo, logs, tmp_path, arguments, said):
    result = zoo("record", *AIM, "-f", logs, *arguments)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_pipeline_leaves_everything_in_one_folder(zoo, tmp_path):
    flags = ("-n", 2048, "--final-eval-episodes", 4, "--episodes", 3, "--sim-duration", 0.5)
    result = zoo("pipeline", *AIM, *flags, "--gui")
    assert result.code == 0, result.err
    assert "no display to open a window on; the demo will be a video" in result.out
    folder = tmp_path / "logs/ppo_numpy/SimpleAim-v0_1"
    with np.load(folder / "trajectories.npz") as arrays:
        assert arrays["observations"].shape == (600, 4)
        assert arrays["actions"].shape == (600, 2)
        assert arrays["last_observations"].shape == (3, 4)
        assert arrays["truncated"].sum() == 3
        assert not arrays["terminated"].any()
        assert arrays["lengths"].tolist() == [200] * 3
        by_episode = [arrays["rewards"][arrays["episode"] == k].sum() for k in range(3)]
        np.testing.assert_allclose(by_episode, arrays["returns"], atol=1e-3)
        # Each observation leads on to the next.
        assert np.ptp(arrays["observations"], axis=0).min() > 0.1
    assert n_frames(folder / "demo.mp4") == 30  # half a second at 60 Hz
    assert json.loads((folder / "summary.json").read_text())["final_mean_return_episodes"] == 4
    assert (folder / "curve.png").is_file()


def test_pipeline_gives_observations_as_the_world_does(zoo, tmp_path):
    flags = ("-n", 512, "--final-eval-episodes", 0, "--episodes", 1, "--sim-duration", 0.1)
    options = ("-params", "normalize:True", "n_envs:1")
    result = zoo("pipeline", "--env", "Pendulum-v1", "--seed", 1, *flags, *options)
    assert result.code == 0, result.err
    with np.load(tmp_path / "logs/ppo/Pendulum-v1_1/trajectories.npz") as arrays:
        seen = arrays["observations"]
        np.testing.assert_allclose(np.hypot(seen[:, 0], seen[:, 1]), 1.0, atol=1e-5)
        assert arrays["last_observations"].shape == (1, 3)
        np.testing.assert_allclose(np.hypot(*arrays["last_observations"][0, :2]), 1.0, atol=1e-4)
        assert arrays["rewards"].min() < -1.0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--sim-duration", "-1"), "--sim-duration must be 0 (no demo) or more"),
        (("--sim-duration", "nan"), "--sim-duration must be 0 (no demo) or more"),
        (("--hz", "50"), "SimpleAim-v0 has no control rate"),
        (("--gpu",), "ppo_numpy runs on the CPU"),
    ],
)
def test_bad_input_of_pipeline(zoo, tmp_path, arguments, said):
    result = zoo("pipeline", *AIM, *arguments)
    assert result.code == 2
    assert said in result.err
    assert len(result.err.splitlines()) == 1
    assert not list(tmp_path.iterdir())


class Undrawable(gym.Env):
    """A world whose pictures fail."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's)
    observation_space = action_space = gym.spaces.Box(-1.0, 1.0, (1,))

    def __init__(self, render_mode=None):
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(1, np.float32), {}

    def step(self, action):
        return np.zeros(1, np.float32), 0.0, True, False, {}

    def render(self):
        raise OSError("no OpenGL here")


def test_a_world_that_cannot_be_drawn_is_not_trained_first(zoo, tmp_path, monkeypatch):
    monkeypatch.setitem(
        gym.registry,
        "Undrawable-v0",
        gym.envs.registration.EnvSpec("Undrawable-v0", entry_point=Undrawable),
    )
    asked = ("--env", "Undrawable-v0", "-params", "policy:MlpPolicy", "n_steps:8", "batch_size:8")
    result = zoo("pipeline", *asked, "-n", 8)
    assert result.code == 2
    assert "can't be drawn (no OpenGL here); --sim-duration 0 leaves it out" in result.err
    assert not list(tmp_path.iterdir())
    flags = ("--sim-duration", 0, "--final-eval-episodes", 0, "--episodes", 1)
    result = zoo("pipeline", *asked, "-n", 8, *flags)
    assert result.code == 0, result.err


def test_the_control_rate_reaches_the_world(zoo, tmp_path):
    walker = ("--algo", "ppo_numpy", "--env", "PassiveWalker-v0", "--seed", 1, "--hz", 100)
    small = ("-params", "n_envs:2", "n_steps:32", "batch_size:64", "-n", 64)
    flags = ("--final-eval-episodes", 0, "--episodes", 1, "--sim-duration", 0.2)
    result = zoo("pipeline", *walker, *small, *flags)
    assert result.code == 0, result.err
    folder = tmp_path / "logs/ppo_numpy/PassiveWalker-v0_1"
    assert "hz: 100" in (folder / "PassiveWalker-v0/args.yml").read_text()
    assert 1 <= n_frames(folder / "demo.mp4") <= 20
