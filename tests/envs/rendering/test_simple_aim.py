import gymnasium as gym
import numpy as np

import envs  # noqa: F401 - registers


def is_green(frame):
    red, green, blue = (frame[..., channel].astype(int) for channel in range(3))
    return (green > 180) & (red < 100) & (blue < 120)


def is_red(frame):
    red, green, blue = (frame[..., channel].astype(int) for channel in range(3))
    return (red > 180) & (green < 100) & (blue < 100)


def center(mask):
    rows, columns = np.nonzero(mask)
    return columns.mean(), rows.mean()


def test_crosshair_and_target_are_where_the_state_says():
    env = gym.make("SimpleAim-v0", render_mode="rgb_array")
    env.reset(seed=3)
    for _ in range(6):
        frame = env.render()
        assert frame.shape == (600, 800, 3)
        state = env.unwrapped.state
        np.testing.assert_allclose(center(is_green(frame)), state.mouse, atol=1.5)
        np.testing.assert_allclose(center(is_red(frame)), state.target, atol=1.5)
        env.step(np.array([-0.7, 0.4], np.float32))


def test_the_picture_is_as_large_as_the_screen_and_pixels_are_the_callers_own():
    env = gym.make("SimpleAim-v0", render_mode="rgb_array", size=(320, 200))
    env.reset(seed=3)
    frame = env.render()
    assert frame.shape == (200, 320, 3)
    kept = frame.copy()
    env.step(np.ones(2, np.float32))
    env.render()
    np.testing.assert_array_equal(frame, kept)
