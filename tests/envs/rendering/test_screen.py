"""Windows on a real X server (Xvfb), and pictures without any display."""

import os
import subprocess
import sys
import textwrap

import pytest


def run(*code, **environment):
    """Runs pieces of code in a process of its own and returns what it prints."""
    cleared = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "SDL_VIDEODRIVER")}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "".join(map(textwrap.dedent, code))],
        env={**cleared, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_frames_need_no_display_and_open_none():
    code = """
        import gymnasium as gym, envs
        for env in (gym.make("SimpleAim-v0", render_mode="rgb_array"),
                    gym.make_vec("SimpleAim-v0", num_envs=2, render_mode="rgb_array")):
            env.reset(seed=0)
            assert env.render() is not None
            import pygame
            assert not pygame.display.get_init()
            env.close()
        print("drawn")
    """
    assert run(code) == "drawn\n"


WINDOW = """
    import gymnasium as gym, mss, numpy as np, time, envs, pygame
    def screen():
        with mss.MSS() as grabber:
            pixels = np.array(grabber.grab(grabber.monitors[0]))[..., 2::-1].astype(int)
        red, green, blue = pixels[..., 0], pixels[..., 1], pixels[..., 2]
        return (((green > 180) & (red < 100) & (blue < 120)).sum(),
                ((red > 180) & (green < 100) & (blue < 100)).sum())
    def until(condition):
        for _ in range(100):
            if condition(): return
            time.sleep(0.05)
        raise AssertionError(f"not within 5 s, the screen shows {screen()}")
    def action(env):
        return np.zeros(env.action_space.shape, np.float32)
"""


@pytest.mark.parametrize(
    "make", ['gym.make("SimpleAim-v0"', 'gym.make_vec("SimpleAim-v0", num_envs=3']
)
def test_a_window_opens_draws_and_closes(make, x_display):
    pytest.importorskip("mss")
    code = f"""
        assert screen() == (0, 0)
        env = {make}, render_mode="human")
        env.reset(seed=1)
        assert pygame.display.get_driver() == "x11"
        until(lambda: screen()[0] > 50 and 200 < screen()[1] < 400)
        start = time.perf_counter()
        for _ in range(30):
            env.step(action(env))
            assert env.render() is None  # the step has drawn it: no second wait
        assert 0.4 < time.perf_counter() - start < 5  # 30 frames at 60 per second
        env.close()
        env.close()
        assert not pygame.display.get_init()
        until(lambda: screen() == (0, 0))
        print("closed")
    """
    assert run(WINDOW, code, DISPLAY=x_display) == "closed\n"


def test_closing_the_window_leaves_the_env_running_and_other_windows_open(x_display):
    """By the message that a click on the window's cross sends."""
    pytest.importorskip("mss")
    code = """
        env = gym.make("SimpleAim-v0", render_mode="human")
        env.reset(seed=1)
        other = gym.make("TargetReach-v0", render_mode="human")
        other.reset(seed=1)
        window = env.unwrapped._screen.window
        # No window manager runs here, so this is what SDL makes of its message.
        pygame.event.post(pygame.event.Event(pygame.WINDOWCLOSE, window=window))
        env.step(action(env))
        assert env.unwrapped._screen.window is None
        assert other.unwrapped._screen.window is not None
        for _ in range(3):
            env.step(action(env))
            env.render()
            other.step(0)
        env.reset()
        env.close()
        other.close()
        assert not pygame.display.get_init()
        print("went on")
    """
    assert run(WINDOW, code, DISPLAY=x_display) == "went on\n"
