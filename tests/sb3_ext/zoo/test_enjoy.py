"""Watching an agent: figures, a video without a display, a window with one."""

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.sb3_ext.zoo.conftest import Result, Zoo

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


NORMALIZED = ("--algo", "ppo_numpy", "--env", "Pendulum-v1")
QUICK = ("-n", "256", "--seed", "1", "--verbose", "0", "--final-eval-episodes", "0")
PLAY = ("--no-render", "-n", "200")


@pytest.fixture
def normalized(zoo: Zoo, tmp_path: Path) -> Path:
    """The folder of a run with a normalizer."""
    values = ("n_steps:64", "n_envs:2", "batch_size:64", "n_epochs:1")
    assert zoo(*NORMALIZED, *QUICK, "-params", "normalize:dict(clip_obs=3)", *values).code == 0
    return tmp_path / "logs/ppo_numpy/Pendulum-v1_1"


def assert_one_line(result: Result, *messages: str) -> None:
    assert result.code == 2, result.out
    assert result.err.count("\n") == 1, result.err
    for message in messages:
        assert message in result.err


@pytest.mark.parametrize(
    "content", [b"", b"gamma: 0.9\n", b"{{{", b"[1]", b"1: 2\n", b"\x00\xff\xfe\x80", None]
)
def test_a_damaged_config_is_not_played_without(
    zoo: Zoo, normalized: Path, content: bytes | None
) -> None:
    config = normalized / "Pendulum-v1/config.yml"
    config.unlink() if content is None else config.write_bytes(content)
    assert_one_line(zoo("enjoy", *NORMALIZED, *PLAY), "config.yml")
    model = ("--model", normalized / "Pendulum-v1.zip")
    assert_one_line(zoo("enjoy", *NORMALIZED, *PLAY, *model), "config.yml")


def test_damaged_arguments_are_told(zoo: Zoo, normalized: Path) -> None:
    (normalized / "Pendulum-v1/args.yml").write_text("{{{")
    assert_one_line(zoo("enjoy", *NORMALIZED, *PLAY), "args.yml")


def test_a_missing_normalizer_is_told(zoo: Zoo, normalized: Path) -> None:
    expected = zoo("enjoy", *NORMALIZED, *PLAY)
    assert "with logs/ppo_numpy/Pendulum-v1_1/Pendulum-v1/vecnormalize.pkl" in expected.out
    model = normalized / "Pendulum-v1.zip"
    statistics = normalized / "Pendulum-v1/vecnormalize.pkl"
    damaged = statistics.read_bytes()[:50]
    statistics.unlink()
    assert_one_line(zoo("enjoy", *NORMALIZED, *PLAY), "was trained with a normalizer")
    for value in ("normalize:True", "n_epochs:1"):
        again = zoo(*NORMALIZED, *QUICK, "-i", model, "-params", value)
        assert_one_line(again, "vecnormalize.pkl is missing")
    statistics.write_bytes(damaged)
    assert_one_line(zoo("enjoy", *NORMALIZED, *PLAY), "not the normalizer of this world")
    assert len(list((normalized.parent).iterdir())) == 1


def test_a_normalizer_that_the_config_has_lost_is_used(zoo: Zoo, normalized: Path) -> None:
    expected = zoo("enjoy", *NORMALIZED, *PLAY).out
    (normalized / "Pendulum-v1/config.yml").write_text("n_timesteps: 9\n")
    played = zoo("enjoy", *NORMALIZED, *PLAY)
    notice, _, rest = played.out.partition("\n")
    assert "its config names no normalizer" in notice
    assert rest == expected


def test_a_model_to_start_from_keeps_its_normalizer(zoo: Zoo, normalized: Path) -> None:
    model = normalized / "Pendulum-v1.zip"
    values = ("-params", "n_steps:64", "n_envs:2", "batch_size:64", "learning_rate:0.0")
    command = (*NORMALIZED, "-n", "128", "--seed", "1", "--final-eval-episodes", "2", *values)
    result = zoo(*command, "-i", model)
    assert result.code == 0, result.err
    assert "goes on with the normalizer" in result.out
    second = normalized.with_name("Pendulum-v1_2")
    assert "clip_obs: 3" in (second / "Pendulum-v1/config.yml").read_text()
    assert (second / "best_model_vecnormalize.pkl").is_file()
    without = zoo(*command, "normalize:False", "-i", model)
    assert "left aside, as normalize is off" in without.out
    third = normalized.with_name("Pendulum-v1_3")
    assert not list(third.rglob("*vecnormalize*"))


def test_a_lone_model_needs_no_config(zoo: Zoo, trained: Path, tmp_path: Path) -> None:
    lone = tmp_path / "elsewhere/lone.zip"
    lone.parent.mkdir()
    shutil.copy(trained / "SimpleAim-v0.zip", lone)
    assert zoo("enjoy", *AIM, *PLAY, "--model", lone).code == 0


def test_another_algorithms_model(zoo: Zoo, trained: Path) -> None:
    result = zoo("--algo", "a2c", *AIM[2:], "-i", trained / "SimpleAim-v0.zip", "-n", "100")
    assert result.code in (0, 2)
    assert "Traceback" not in result.err
    result = zoo("--algo", "sac", *AIM[2:], "-i", trained / "SimpleAim-v0.zip", "-n", "100")
    assert_one_line(result, "SimpleAim-v0.zip")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--seed", "1099511627776"), "--seed must be below"),
        (("--reward-log", "/proc/foo"), "--reward-log /proc/foo"),
        (("--reward-log", "file"), "--reward-log file"),
        (("--deterministic", "--stochastic"), "not allowed with"),
        (("--num-threads", "100000"), "this machine has"),
    ],
)
def test_wrong_flags(
    zoo: Zoo, trained: Path, tmp_path: Path, flags: tuple[str, ...], message: str
) -> None:
    (tmp_path / "file").touch()
    assert_one_line(zoo("enjoy", *AIM, *PLAY, *flags), message)


def test_a_drawn_seed_is_told(zoo: Zoo, trained: Path) -> None:
    result = zoo("enjoy", *AIM, *PLAY, "--seed", "-1")
    assert result.code == 0, result.err
    assert ", seed " in result.out


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
