"""Watching an agent: figures, a video without a display, a window with one."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.sb3_ext.zoo.conftest import Zoo

ROOT = Path(__file__).resolve().parents[3]
AIM = ("--algo", "ppo", "--env", "SimpleAim-v0")


@pytest.fixture
def trained(zoo: Zoo, tmp_path: Path) -> Path:
    """A run's folder."""
    options = ("--seed", "1", "--verbose", "0", "--final-eval-episodes", "0")
    assert zoo(*AIM, *options, "-n", "4096", "--save-freq", "2048").code == 0
    return tmp_path / "logs/ppo/SimpleAim-v0_1"


def test_figures(zoo: Zoo, trained: Path) -> None:
    result = zoo("enjoy", *AIM, "--no-render", "-n", "400")
    assert result.code == 0, result.err
    assert result.out.count("length 200") == 2
    assert "2 episodes" in result.out
    again = zoo("enjoy", *AIM, "--no-render", "-n", "400")
    assert again.out == result.out, "one seed, one play"
    many = zoo("enjoy", *AIM, "--no-render", "-n", "200", "--n-envs", "8")
    assert "8 episodes" in many.out


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ((), "SimpleAim-v0.zip"),
        (("--load-best",), "best_model.zip"),
        (("--load-last-checkpoint",), "rl_model_4096_steps.zip"),
        (("--load-checkpoint", "2048"), "rl_model_2048_steps.zip"),
        (("--exp-id", "1"), "SimpleAim-v0_1/SimpleAim-v0.zip"),
        (("--model", "logs/ppo/SimpleAim-v0_1/best_model.zip"), "best_model.zip"),
    ],
)
def test_which_model(zoo: Zoo, trained: Path, flags: tuple[str, ...], name: str) -> None:
    result = zoo("enjoy", *AIM, "--no-render", "-n", "10", *flags)
    assert result.code == 0, result.err
    assert name in result.out.splitlines()[0]


def test_what_is_not_there(zoo: Zoo, trained: Path) -> None:
    assert "there are: 2048, 4096" in zoo("enjoy", *AIM, "--load-checkpoint", "7").err
    assert "there are: 1" in zoo("enjoy", *AIM, "--exp-id", "7").err
    model = str(trained / "SimpleAim-v0.zip")
    other = zoo("enjoy", "--env", "TargetReach-v0", "--model", model, "--no-render")
    assert other.code == 2
    assert "was not trained on TargetReach-v0" in other.err
    started = zoo("--env", "TargetReach-v0", "-i", model)
    assert started.code == 2
    assert "spaces do not match" in started.err
    (trained / "SimpleAim-v0.zip").unlink()
    assert "--load-last-checkpoint" in zoo("enjoy", *AIM).err


def test_without_a_display_it_says_so_and_records(zoo: Zoo, trained: Path) -> None:
    import imageio.v3

    result = zoo("enjoy", *AIM, "-n", "20")
    assert result.code == 0, result.err
    assert "no display" in result.out
    path = trained / "videos/SimpleAim-v0.mp4"
    frames = imageio.v3.imread(path)
    assert frames.shape == (20, 600, 800, 3)
    assert (frames[0] != frames[-1]).any()
    assert not list(path.parent.glob(".*"))


@pytest.fixture
def display() -> Iterator[str]:
    """A real X server."""
    if shutil.which("Xvfb") is None:
        pytest.skip("needs Xvfb")
    server = subprocess.Popen(
        ["Xvfb", "-displayfd", "1", "-screen", "0", "1024x768x24"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert server.stdout is not None
    yield f":{server.stdout.readline().strip()}"
    server.terminate()
    server.wait()


def test_a_window_opens_and_shows_the_world(
    zoo: Zoo, trained: Path, tmp_path: Path, display: str
) -> None:
    import mss

    command = [sys.executable, ROOT / "zoo.py", "enjoy", *AIM, "-n", "600"]
    process = subprocess.Popen(
        command, cwd=tmp_path, env=_environment(display), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        seen = 0
        deadline = time.monotonic() + 60
        with mss.mss(display=display) as screen:
            while time.monotonic() < deadline and process.poll() is None and seen < 3:
                shot = np.asarray(screen.grab(screen.monitors[0]))[..., :3].astype(int)
                blue, green, red = shot[..., 0], shot[..., 1], shot[..., 2]
                has_target = ((red > 150) & (green < 90) & (blue < 90)).sum() > 50
                has_crosshair = ((green > 150) & (red < 90) & (blue < 120)).sum() > 10
                seen += bool(has_target and has_crosshair)
                time.sleep(0.1)
        assert seen == 3, "no red target and green crosshair on the screen"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def _environment(display: str) -> dict[str, str]:
    import os

    return {**os.environ, "DISPLAY": display}
