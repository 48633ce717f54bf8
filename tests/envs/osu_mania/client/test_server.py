"""The state over real HTTP and WebSockets, field by field."""

import json
import socket
import threading
import time

import pytest
import requests
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from envs.osu_mania.client.game import Choices, Game
from envs.osu_mania.client.server import StateServer


@pytest.fixture
def game(make_beatmap):
    """A play at 1.3 s, with a 300, a miss, and a hold under way."""
    beatmap = make_beatmap((0, 1000), (1, 1100), (2, 1200, 1900), (3, 2000), od=8.0, title="Song")
    game = Game([beatmap], Choices(lead_in=1000.0), now=0.0)
    game.confirm(0.0)
    game.confirm(0.0)
    game.touch(0, True, 1.030)
    game.touch(0, False, 1.060)
    game.touch(2, True, 1.200)
    game.tick(1.3)
    return game


@pytest.fixture
def start():
    servers = []

    def start(report, **kwargs):
        servers.append(StateServer(report, port=0, **kwargs))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def at(message, path):
    for part in path.split("."):
        message = message[part]
    return message


# The fields that readers of tosu and gosumemory look at, and what they are here.
V2 = {
    "state.number": 2,
    "state.name": "play",
    "play.mode.number": 3,
    "play.failed": False,
    "play.combo.current": 1,  # a tick of the hold
    "play.combo.max": 1,
    "play.hits.geki": 0,
    "play.hits.300": 1,
    "play.hits.katu": 0,
    "play.hits.100": 0,
    "play.hits.50": 0,
    "play.hits.0": 1,
    "play.hitErrorArray": [30],
    "play.accuracy": 50.0,
    "play.mods.rate": 1.0,
    "beatmap.time.live": 1300,
    "beatmap.time.firstObject": 1000,
    "beatmap.time.lastObject": 2000,
    "beatmap.stats.cs.converted": 4,
    "beatmap.stats.od.converted": 8.0,
    "beatmap.title": "Song",
    "game.focused": True,
    "game.paused": False,
    "profile.userStatus.number": 256,
}
V1 = {
    "menu.state": 2,
    "menu.gameMode": 3,
    "gameplay.gameMode": 3,
    "gameplay.combo.current": 1,
    "gameplay.combo.max": 1,
    "gameplay.hits.geki": 0,
    "gameplay.hits.300": 1,
    "gameplay.hits.katu": 0,
    "gameplay.hits.0": 1,
    "gameplay.hits.hitErrorArray": [30],
    "gameplay.accuracy": 50.0,
    "menu.bm.time.current": 1300,
    "menu.bm.time.firstObj": 1000,
    "menu.bm.stats.CS": 4,
    "menu.bm.metadata.title": "Song",
    "userProfile.rawLoginStatus": 256,
}
PRECISE = {
    "hitErrors": [30],
    "keys.k1": {"isPressed": False, "count": 1},
    "keys.m1": {"isPressed": True, "count": 1},
}


@pytest.mark.parametrize(
    ("http", "websocket", "fields"),
    [
        ("/json/v2", "/websocket/v2", V2),
        ("/json/v2/precise", "/websocket/v2/precise", PRECISE),
        ("/json", "/ws", V1),
    ],
)
def test_every_field(game, start, http, websocket, fields):
    server = start(lambda: game.report(1.3, True), refresh=10.0)
    answer = requests.get(f"http://127.0.0.1:{server.port}{http}", timeout=5)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("application/json")
    with connect(f"ws://127.0.0.1:{server.port}{websocket}", proxy=None) as connection:
        pushed = json.loads(connection.recv(timeout=5))
    for message in (answer.json(), pushed):
        assert {path: at(message, path) for path in fields} == fields
    report = game.report(1.3, True)
    if "menu.state" in fields:
        assert at(answer.json(), "gameplay.score") == report.score > 0
        assert at(answer.json(), "menu.bm.md5") == game.beatmap.md5
        assert 0 < at(answer.json(), "gameplay.hp.smooth") == 200 * report.health < 200
    elif "state.number" in fields:
        assert at(answer.json(), "play.score") == report.score > 0
        assert at(answer.json(), "beatmap.checksum") == game.beatmap.md5
        assert 0 < at(answer.json(), "play.healthBar.normal") == 200 * report.health < 200


@pytest.mark.parametrize(
    ("name", "paths", "words"),
    [
        ("tosu", ["/json", "/json/v2", "/json/v2/precise"], "not_ready"),
        ("gosumemory", ["/json"], "osu! is not fully loaded!"),
    ],
)
def test_not_ready(start, name, paths, words):
    server = start(lambda: None, server=name)
    for path in paths:
        answer = requests.get(f"http://127.0.0.1:{server.port}{path}", timeout=5)
        assert answer.json() == {"error": words}


def test_gosumemory_has_v1_alone(game, start):
    server = start(lambda: game.report(1.3, True), server="gosumemory")
    base = f"127.0.0.1:{server.port}"
    assert requests.get(f"http://{base}/json", timeout=5).json()["menu"]["state"] == 2
    assert requests.get(f"http://{base}/json/v2", timeout=5).status_code == 404
    with (
        pytest.raises(InvalidStatus, match="404"),
        connect(f"ws://{base}/websocket/v2", proxy=None),
    ):
        pass


def test_the_state_is_as_old_as_its_refresh(game, start):
    calls = []

    def report():
        calls.append(threading.get_ident())
        return game.report(1.3, True)

    server = start(report, refresh=10_000.0, precise_refresh=20.0)
    before = time.monotonic()
    for _ in range(5):
        requests.get(f"http://127.0.0.1:{server.port}/json/v2", timeout=5)
    # A period may end between two of the requests, but no more than these.
    assert len(calls) <= 1 + (time.monotonic() - before) // 10 + 1
    url = f"ws://127.0.0.1:{server.port}/websocket/v2/precise"
    calls.clear()
    with connect(url, proxy=None) as first, connect(url, proxy=None) as second:
        for connection in (first, second) * 10:
            assert json.loads(connection.recv(timeout=5))["hitErrors"] == [30]
    assert len(calls) >= 9


def test_it_serves_this_machine_alone(start):
    server = start(lambda: None)
    with socket.socket() as other:  # the same port, on an address that a network would use
        other.bind(("127.0.0.2", server.port))
    with pytest.raises(OSError, match=r"[Aa]ddress already in use"):
        StateServer(lambda: None, port=server.port)


@pytest.mark.parametrize(
    "wrong", [{"server": "bancho"}, {"refresh": 0.5}, {"precise_refresh": 20_000.0}]
)
def test_wrong_options(wrong):
    with pytest.raises(ValueError, match="must"):
        StateServer(lambda: None, port=0, **wrong)
