"""The client as a program: a real window, real keys, real results."""

import os
import subprocess
import sys
import time

import pytest
import requests

from envs.osu_mania.client.identity import WINDOW_CLASS
from envs.osu_mania.live.errors import StoppedError
from envs.osu_mania.live.x11 import X11Windows, XTestKeyboard

KEYS = ("d", "f", "j", "k")


def wait_for(condition, timeout=20.0):
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError("it never came true")


def find(windows):
    """The client's window, once it's there."""
    until = time.monotonic() + 20.0
    while True:
        try:
            return windows.find(WINDOW_CLASS)
        except StoppedError:
            assert time.monotonic() < until
            time.sleep(0.02)


@pytest.fixture
def state():
    return lambda client: requests.get(f"http://127.0.0.1:{client.port}/json/v2", timeout=5).json()


def test_every_key_event_arrives_in_order(shared_x_display, run_client, make_beatmap):
    beatmap = make_beatmap((0, 1500), (1, 2200))
    options = ("--auto", "0.1", "--plays", "1", "--lead-in", "1500", "--refresh", "5")
    client = run_client(shared_x_display, [beatmap], *options)
    keyboard = XTestKeyboard(shared_x_display, KEYS)

    def in_play():
        url = f"http://127.0.0.1:{client.port}/json"
        return requests.get(url, timeout=5).json().get("menu", {}).get("state") == 2

    wait_for(in_play)
    sent = []
    for step in range(60):
        time.sleep(0.005)  # a key that is down again within 2 ms was never up, as X repeats keys
        column = (step * 7) % 4
        keyboard.press(KEYS[column])
        keyboard.press(KEYS[(column + 1) % 4])
        keyboard.release(KEYS[column])
        keyboard.release(KEYS[(column + 1) % 4])
        pair = (column, (column + 1) % 4)
        sent += [[c, True] for c in pair] + [[c, False] for c in pair]
    assert keyboard.down() == []
    keyboard.close()
    (results,) = client.plays(1)
    assert [touch[1:] for touch in results["touches"]] == sent
    times = [touch[0] for touch in results["touches"]]
    assert times == sorted(times)
    assert results["judgements"]["miss"] == 2
    assert client.process.wait(20) == 0  # after so many plays it's closed


def test_a_person_plays_through_the_screens(shared_x_display, run_client, make_beatmap, state):
    maps = [make_beatmap((0, 1000)), make_beatmap((1, 500), (1, 700), title="second")]
    options = ("--lead-in", "300", "--refresh", "5", "--silent")
    client = run_client(shared_x_display, maps, *options)
    windows = X11Windows(shared_x_display)
    window = find(windows)
    wait_for(lambda: windows.has_focus(window))
    keyboard = XTestKeyboard(shared_x_display, [*KEYS])
    others = XTestKeyboard(shared_x_display, ["Return", "Escape", "Down"])

    def type_key(key):
        others.press(key)
        others.release(key)

    def at(number):
        wait_for(lambda: state(client)["state"]["number"] == number)

    at(0)
    type_key("Return")
    at(5)
    type_key("Down")
    wait_for(lambda: state(client)["beatmap"]["title"] == "second")
    type_key("Return")
    at(2)
    type_key("Escape")
    wait_for(lambda: state(client)["game"]["paused"])
    time_then = state(client)["beatmap"]["time"]["live"]
    type_key("Return")
    wait_for(lambda: state(client)["beatmap"]["time"]["live"] > time_then)
    keyboard.press("f")
    wait_for(lambda: "f" in keyboard.down())
    keyboard.release("f")
    at(7)
    assert client.plays(1)[0]["map"].startswith("unknown - second")
    type_key("Return")
    at(5)
    type_key("Escape")
    at(0)
    type_key("Escape")
    assert client.process.wait(20) == 0
    for connection in (windows, keyboard, others):
        connection.close()


def test_it_starts_not_ready_and_ends_on_sigterm(shared_x_display, run_client, make_beatmap, state):
    client = run_client(shared_x_display, [make_beatmap((0, 1000))], "--not-ready", "1.5")
    assert state(client) == {"error": "not_ready"}
    wait_for(lambda: "state" in state(client))
    assert state(client)["state"]["name"] == "menu"
    client.process.terminate()
    assert client.process.wait(20) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such.osu"], "no-such.osu"),
        (["--lead-in", "-5"], "lead-in"),
        (["--height", "10"], "height"),
        (["--refresh", "0"], "refresh"),
    ],
)
def test_wrong_input_is_one_line(shared_x_display, arguments, words):
    command = [sys.executable, "-m", "envs.osu_mania.client", "--port", "0", *arguments]
    environment = {**os.environ, "DISPLAY": shared_x_display, "SDL_AUDIODRIVER": "dummy"}
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert ended.returncode == 2
    assert len(ended.stderr.splitlines()) == 1
    assert words in ended.stderr


def test_without_a_display():
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "SDL_VIDEODRIVER")}
    command = [sys.executable, "-m", "envs.osu_mania.client", "--port", "0", "--silent"]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert ended.returncode == 2
    assert "no display" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_the_window_is_found_by_its_class(shared_x_display, run_client, make_beatmap):
    run_client(shared_x_display, [make_beatmap((0, 1000))])
    windows = X11Windows(shared_x_display)
    area = windows.area(find(windows))
    assert (area.width, area.height) == (840, 588)
    assert area.within(windows.screen())
    windows.close()
