import os
import subprocess
import sys
from pathlib import Path

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.env_util import make_vec_env

from callbacks import LiveViewCallback
from callbacks.dashboard import SIZE, Dashboard, as_picture

ROOT = Path(__file__).resolve().parents[2]


def frames_of(path):
    video = cv2.VideoCapture(str(path))
    frames = []
    while (read := video.read())[0]:
        frames.append(read[1])
    return frames


class Pixels(gym.Env):
    """An image, a choice of several keys."""

    observation_space = spaces.Box(0, 255, (4, 36, 36), np.uint8)
    action_space = spaces.MultiBinary(4)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros((4, 36, 36), np.uint8), {}

    def step(self, action):
        seen = np.zeros((4, 36, 36), np.uint8)
        seen[-1, :18] = 255
        return seen, float(action.sum()), bool(self.np_random.random() < 0.1), False, {}


@pytest.mark.parametrize(
    ("algorithm", "world", "policy"),
    [
        (PPO, "CartPole-v1", "MlpPolicy"),
        (SAC, "Pendulum-v1", "MlpPolicy"),
        (PPO, Pixels, "CnnPolicy"),
    ],
)
def test_without_a_display_it_records(algorithm, world, policy, tmp_path, monkeypatch):
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    options = {"n_steps": 32, "batch_size": 32} if algorithm is PPO else {"learning_starts": 1000}
    model = algorithm(policy, make_vec_env(world), device="cpu", **options)
    path = tmp_path / "live.mp4"
    model.learn(64, callback=LiveViewCallback(path, every=8))
    frames = frames_of(path)
    assert len(frames) == 8
    assert frames[0].shape == (SIZE[1], SIZE[0], 3)
    assert (frames[0] != frames[-1]).any()
    assert [p.name for p in tmp_path.iterdir()] == ["live.mp4"]


def test_gif_and_the_env_s_own_frame(tmp_path):
    from PIL import Image

    env = make_vec_env("CartPole-v1", env_kwargs={"render_mode": "rgb_array"})
    model = PPO("MlpPolicy", env, n_steps=32, batch_size=32, device="cpu")
    path = tmp_path / "live.gif"
    model.learn(32, callback=LiveViewCallback(path, every=8, window=False))
    with Image.open(path) as picture:
        assert picture.n_frames == 4
        pixels = np.asarray(picture.convert("RGB"))
    assert (pixels[270, 30] > 240).all()  # CartPole's white background


WATCHED = """
import sys
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from callbacks import LiveViewCallback

class Look(BaseCallback):
    titles = set()
    def _on_step(self):
        self.titles.add(view._screen.title)
        return True

model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=32, batch_size=32, device="cpu")
view = LiveViewCallback(sys.argv[1], every=8, title="watched")
model.learn(32, callback=[view, Look()])
print(Look.titles, view._screen)
"""


def test_it_opens_a_window_where_there_is_a_display(x_display, tmp_path):
    environment = {**os.environ, "DISPLAY": x_display, "PYTHONPATH": str(ROOT)}
    environment.pop("SDL_VIDEODRIVER", None)
    result = subprocess.run(
        [sys.executable, "-c", WATCHED, tmp_path / "live.mp4"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "{'watched'} None" in result.stdout, result.stderr
    assert not list(tmp_path.iterdir())


def test_pictures():
    assert as_picture(np.zeros(4)) is None
    assert as_picture(np.zeros((2, 3))) is None
    stacked = np.zeros((84, 84, 4), np.uint8)
    stacked[..., -1] = 9
    assert (as_picture(stacked) == 9).all()
    assert as_picture(stacked.transpose(2, 0, 1)).shape == (84, 84, 3)
    dashboard = Dashboard()
    dashboard.draw(np.ones(50), np.array([np.inf]), (-1.0, 1.0), {"a": "b"}, {"x": 1.0}, [1.0])
    assert dashboard.frame().shape == (SIZE[1], SIZE[0], 3)
