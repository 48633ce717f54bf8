"""Training and playing in the reference client's window, from the command line."""

import json

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from envs.osu_mania.generate import make_map
from envs.osu_mania.key_layouts import LAYOUTS
from envs.osu_mania.live.x11 import XTestKeyboard
from tests.envs.osu_mania.running_client import RunningClient

ENV = ("--env", "OsuManiaLive-v0")


@pytest.fixture
def client(x_display, tmp_path):
    """A client that plays a short map over and over."""
    folder = tmp_path / "client"
    folder.mkdir()
    beatmap = make_map(3, keys=4, pattern="stream", difficulty=1.5, seconds=2.0)
    options = ("--auto", "0.2", "--lead-in", "1000", "--silent")
    client = RunningClient(x_display, folder, [beatmap], *options)
    yield client
    client.close()


@pytest.fixture
def live(zoo, client, monkeypatch):
    """Runs a command with the client's display."""
    monkeypatch.setenv("DISPLAY", client.display)
    monkeypatch.delenv("SDL_VIDEODRIVER", raising=False)
    port = f"port:{client.port}"
    return lambda *arguments: zoo(*arguments, "--env-kwargs", port, "patience:60")


@pytest.mark.slow
def test_three_updates_and_a_play(live, client, tmp_path):
    trained = live(
        *("train", "--algo", "ppo_torch", *ENV, "--live", "--offline", "--seed", 1),
        *("-n", 360, "-params", "n_steps:120", "batch_size:60", "n_epochs:1"),
        "--live-view",
    )
    assert trained.code == 0, trained.err
    assert "no evaluations" in trained.out
    assert "offline play" in trained.err
    (folder,) = (tmp_path / "logs" / "ppo_torch").iterdir()
    assert (folder / "live.mp4").stat().st_size > 0  # a window would take the focus here
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["steps"] == 360
    assert (folder / "OsuManiaLive-v0.zip").is_file()
    (events,) = (tmp_path / "logs" / "tb").glob("**/events*")
    log = EventAccumulator(str(events))
    log.Reload()
    updates = [scalar.step for scalar in log.Scalars("train/loss")]
    assert len(updates) >= 2  # SB3 writes what an update logged when the next rollout is over
    assert 0 <= log.Scalars("results/accuracy")[-1].value <= 1
    judgements = ("max", "300", "200", "100", "50", "miss")
    assert all(log.Scalars(f"results/judgements/{name}") for name in judgements)
    keyboard = XTestKeyboard(client.display, LAYOUTS[4])
    assert keyboard.down() == []
    touches = [touch for play in client.plays(1) for touch in play["touches"]]
    assert touches  # it pressed real keys
    played = live("enjoy", "--algo", "ppo_torch", *ENV, "--live", "--offline", "-n", 60)
    assert played.code == 0, played.err
    assert keyboard.down() == []
    keyboard.close()


@pytest.mark.slow
def test_the_shipped_agent_plays(live, client):
    arguments = ("enjoy", "--algo", "ppo_numpy", *ENV, "--pretrained", "--live", "--offline")
    played = live(*arguments, "--no-render", "-n", 430)
    assert played.code == 0, played.err
    assert "episode 1:" in played.out
    # benchmarks/osu_live.py has the figures; here the machine may be busy with anything.
    assert max(results["accuracy"] for results in client.plays(1)) > 0.6


def test_what_is_not_said_is_asked_for(zoo, monkeypatch):
    refused = zoo("enjoy", "--algo", "ppo_numpy", *ENV, "--pretrained", "--no-render", "--live")
    assert refused.code == 2
    assert "--offline" in refused.err
    asked = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda text: asked.append(text) or "no")
    refused = zoo("enjoy", "--algo", "ppo_numpy", *ENV, "--pretrained", "--no-render", "--live")
    assert refused.code == 2
    assert asked
    monkeypatch.setattr("builtins.input", lambda text: "offline")
    no_display = zoo("enjoy", "--algo", "ppo_numpy", *ENV, "--pretrained", "--no-render", "--live")
    assert no_display.code == 2
    assert "DISPLAY" in no_display.err


@pytest.mark.parametrize("flag", ["--live", "--offline"])
@pytest.mark.parametrize("command", ["train", "enjoy"])
def test_other_worlds_are_not_played_live(zoo, command, flag):
    pretrained = ["--pretrained", "--no-render"] if command == "enjoy" else []
    refused = zoo(command, "--algo", "ppo_numpy", "--env", "OsuMania-v0", flag, *pretrained)
    assert refused.code == 2
    assert f"{flag} is for worlds that are played live" in refused.err
