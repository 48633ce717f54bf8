import gymnasium as gym
import numpy as np
import pytest

import envs  # noqa: F401 - registers
from envs.rendering.target_reach import POSITION, ZONE


def columns(frame, color):
    return np.nonzero((frame == color).all(axis=-1))[1]


def test_zone_and_position_are_where_the_state_says():
    env = gym.make("TargetReach-v0", render_mode="rgb_array")
    for seed in range(3):
        env.reset(seed=seed)
        frame = env.render()
        assert frame.shape == (160, 720, 3)
        if abs(float(env.unwrapped.state.position)) < 0.2:
            continue
        scale = (720 - 80) / 3
        assert columns(frame, ZONE).mean() == pytest.approx(360, abs=2)
        at = 360 + scale * float(env.unwrapped.state.position)
        assert columns(frame, POSITION).mean() == pytest.approx(at, abs=2)
