"""Real keys on a real (pseudo) terminal."""

import os
import select
import sys
import time
from pathlib import Path

import pytest
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env

from callbacks import KeysCallback

pty = pytest.importorskip("pty")
ROOT = Path(__file__).resolve().parents[2]
TRAINING = """
import termios
from stable_baselines3 import PPO
from stable_baselines3.common.env_util import make_vec_env
from callbacks import KeysCallback

before = termios.tcgetattr(0)
model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=64, device="cpu")
model.learn(10_000_000, callback=KeysCallback())
print("left as it was:", termios.tcgetattr(0) == before, flush=True)
"""


def read_until(terminal: int, text: str, seconds: float = 60.0) -> str:
    """What comes out of a terminal until a text appears."""
    seen, end = "", time.monotonic() + seconds
    while text not in seen:
        assert time.monotonic() < end, f"no {text!r} in {seen!r}"
        if select.select([terminal], [], [], 0.1)[0]:
            seen += os.read(terminal, 4096).decode(errors="replace")
    return seen


def test_pause_checkpoint_and_quit(tmp_path):
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        os.environ["PYTHONPATH"] = str(ROOT)
        os.execv(sys.executable, [sys.executable, "-W", "ignore", "-c", TRAINING])
    try:
        read_until(terminal, "keys: p pause")
        os.write(terminal, b"c")
        read_until(terminal, "checkpoint at step")
        assert list(tmp_path.glob("checkpoint_*_steps.zip"))
        os.write(terminal, b"p")
        read_until(terminal, "paused")
        os.write(terminal, b"xp")
        read_until(terminal, "going on")
        os.write(terminal, b"pq")  # stops from a pause too
        assert "stopping" in read_until(terminal, "left as it was: True")
        assert os.waitpid(child, 0)[1] == 0
    finally:
        os.close(terminal)


def test_without_a_terminal_it_does_nothing(tmp_path):
    model = PPO("MlpPolicy", make_vec_env("CartPole-v1"), n_steps=64, device="cpu")
    with (tmp_path / "input").open("w+") as file:
        file.write("qqq")
        file.seek(0)
        model.learn(64, callback=KeysCallback(source=file))
    closed = (tmp_path / "input").open()
    closed.close()
    model.learn(64, callback=KeysCallback(source=closed))
    assert model.num_timesteps == 64
