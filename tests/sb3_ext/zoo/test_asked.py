"""Flags of train that watch, steer and track a training."""

import json
import os
import pty
import sys
import termios
import threading
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

TRAIN = ("--algo", "ppo_numpy", "--env", "TargetReach-v0", "--seed", 3)
SHORT = (*TRAIN, "-n", 4096, "--final-eval-episodes", 0)


def summary(folder: str = "logs/ppo_numpy/TargetReach-v0_1") -> dict:
    return json.loads((Path(folder) / "summary.json").read_text())


def parameters(zoo, *flags) -> str:
    assert zoo(*SHORT, *flags).code == 0
    return summary()["parameters_sha256"]


def test_watching_changes_nothing(zoo, tmp_path, monkeypatch):
    plain = parameters(zoo)
    monkeypatch.chdir(tmp_path)
    assert zoo(*SHORT, "--live-view", "--keys", "-f", "watched").code == 0
    folder = "watched/ppo_numpy/TargetReach-v0_1"
    assert summary(folder)["parameters_sha256"] == plain
    video = cv2.VideoCapture(str(Path(folder) / "live.mp4"))
    shown, frame = video.read()
    assert shown and frame.std() > 10.0


def test_it_stops_at_a_score(zoo):
    answer = zoo(*TRAIN, "-n", 60_000, "--eval-freq", 2048, "--stop-at", -1e9)
    assert answer.code == 0, answer.err
    found = summary()
    # The first evaluation, after the rollout in which it was due.
    assert 2048 <= found["steps"] < 8192
    assert found["stopped_early"] and not found["interrupted"]
    assert "solved: mean return" in answer.out and "--resume" in answer.out


def test_a_score_that_is_not_reached_stops_nothing(zoo):
    assert zoo(*SHORT, "--eval-freq", 1024, "--stop-at", 1e9).code == 0
    assert summary()["steps"] >= 4096 and not summary()["stopped_early"]


@pytest.mark.parametrize("flags", [("--stop-at", "high"), ("--stop-at",), ("--wandb-tags",)])
def test_bad_values(zoo, flags):
    answer = zoo(*SHORT, *flags)
    assert answer.code == 2
    assert "Traceback" not in answer.err
    assert flags[0] in answer.err
    assert not Path("logs").exists()


def test_not_a_number_is_no_score(zoo):
    answer = zoo(*SHORT, "--stop-at", "nan")
    assert answer.code == 2
    assert "--stop-at" in answer.err


def test_tracking_without_wandb_names_the_extra(zoo, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    answer = zoo(*SHORT, "--track")
    assert answer.code == 2
    assert "--track" in answer.err and "sb3-ext[wandb]" in answer.err
    assert not Path("logs").exists()


@pytest.mark.slow
def test_offline_tracking_writes_a_run(zoo, monkeypatch):
    wandb = pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    asked = {}
    init = wandb.init
    monkeypatch.setattr(wandb, "init", lambda **kwargs: asked.update(kwargs) or init(**kwargs))
    flags = ("--wandb-project-name", "mine", "--wandb-entity", "us", "--wandb-tags", "a", "b")
    answer = zoo(*SHORT, "--track", *flags)
    assert answer.code == 0, answer.err
    assert (asked["project"], asked["entity"], asked["tags"]) == ("mine", "us", ["a", "b"])
    assert asked["config"]["algo"] == "ppo_numpy" and asked["config"]["seed"] == 3
    assert list(Path("logs").glob("ppo_numpy/TargetReach-v0_1/wandb/offline-run-*/*.wandb"))


def until(condition: Callable[[], object]) -> None:
    end = time.monotonic() + 60.0
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)


def press(ours: int, theirs: int) -> None:
    """Asks for a checkpoint once somebody reads keys, not lines; stops when there is one."""
    until(lambda: not termios.tcgetattr(theirs)[3] & termios.ICANON)
    os.write(ours, b"c")
    until(lambda: list(Path("logs").glob("*/*/rl_model_*_steps.zip")))
    os.write(ours, b"q")


def test_keys_in_a_terminal_stop_it_cleanly(zoo, monkeypatch):
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "r+b", buffering=0) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        monkeypatch.setattr("os.tcgetpgrp", lambda _: os.getpgrp())
        presser = threading.Thread(target=press, args=(ours, theirs))
        presser.start()
        answer = zoo(*TRAIN, "-n", 9_000_000, "--keys", "--save-freq", 8_000_000, "--eval-freq", -1)
        presser.join()
    os.close(ours)
    assert answer.code == 0, answer.err
    assert summary()["steps"] < 9_000_000 and summary()["stopped_early"]
    assert "go on:" in answer.out and "keys:" in answer.err
