"""A real display, with windows and a keyboard that belong to the tests."""

import contextlib
import json
import threading
import time

import pytest
import requests
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response
from websockets.sync.server import serve
from Xlib import X, display

from envs.osu_mania.client.game import Choices, Game
from envs.osu_mania.client.messages import tosu_v2, tosu_v2_precise, v1
from envs.osu_mania.live.x11 import XTestKeyboard

KEYS = ("d", "f", "j", "k")


@pytest.fixture(scope="module")
def shared_display(shared_x_display):
    """The display's name, also in DISPLAY."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DISPLAY", shared_x_display)
        patch.delenv("SDL_VIDEODRIVER", raising=False)
        yield shared_x_display


@pytest.fixture
def keyboard(shared_display):
    """Another one's look at the keyboard; all keys are up before and after."""
    keyboard = XTestKeyboard(shared_display, [*KEYS, "f10"])
    assert keyboard.down() == []
    yield keyboard
    still = keyboard.down()
    for key in still:
        keyboard.release(key)
    keyboard.close()
    assert still == []


class PlainWindow:
    """A window that does nothing."""

    def __init__(self, name, wm_class):
        self._display = display.Display(name)
        screen = self._display.screen()
        self._window = screen.root.create_window(10, 20, 300, 200, 0, screen.root_depth)
        self._window.set_wm_class(wm_class, wm_class)
        self._window.map()
        self._display.sync()
        self.id = self._window.id

    def focus(self):
        until = time.monotonic() + 10.0
        while self._window.get_attributes().map_state != X.IsViewable:
            assert time.monotonic() < until
            time.sleep(0.005)
        self._window.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
        self._display.sync()

    def move(self, **geometry):
        self._window.configure(**geometry)
        self._display.sync()

    def hide(self):
        self._window.unmap()
        self._display.sync()

    def focus_a_child(self):
        child = self._window.create_window(0, 0, 5, 5, 0, X.CopyFromParent)
        child.map()
        child.set_input_focus(X.RevertToPointerRoot, X.CurrentTime)
        self._display.sync()

    def close(self):
        if self._display is not None:
            self._display.close()
            self._display = None


@pytest.fixture
def make_window(shared_display):
    """Makes windows: `make_window("its class")`."""
    windows = []

    def make(wm_class):
        windows.append(PlainWindow(shared_display, wm_class))
        return windows[-1]

    yield make
    for window in windows:
        window.close()


@pytest.fixture
def wait_for():
    """Waits until something is true: `wait_for(condition)`; returns how long it took, s."""

    def wait(condition, timeout=20.0):
        start = time.monotonic()
        while not condition():
            assert time.monotonic() < start + timeout, "it never came true"
            time.sleep(0.002)
        return time.monotonic() - start

    return wait


class ScriptedServer:
    """A real server that says over HTTP and WebSockets what it's told to.

    Attributes:
        answers: By path: a dict, which is sent as JSON, or text as it is.
        status: Of HTTP.
        stalled: While it's set, nothing is answered or sent.
        interval: Between two messages of a WebSocket, s.
    """

    def __init__(self):
        self.answers = {}
        self.status = 200
        self.stalled = threading.Event()
        self.interval = 0.01
        self._stopping = threading.Event()
        self._server = serve(
            self._push, "127.0.0.1", 0, process_request=self._answer, compression=None
        )
        self.port = self._server.socket.getsockname()[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _content(self, path):
        while self.stalled.is_set() and not self._stopping.is_set():
            time.sleep(0.01)
        answer = self.answers.get(path, "")
        return answer if isinstance(answer, str) else json.dumps(answer)

    def _answer(self, connection, request):
        if "Upgrade" in request.headers:
            return None
        content = self._content(request.path).encode()
        headers = Headers([("Content-Length", str(len(content))), ("Connection", "close")])
        return Response(self.status, "OK", headers, content)

    def _push(self, connection):
        with contextlib.suppress(ConnectionClosed):
            while not self._stopping.wait(self.interval):
                connection.send(self._content(connection.request.path))

    def close(self):
        self._stopping.set()
        self._server.shutdown()


class Relay(ScriptedServer):
    """Passes a client's state on, with a change that may be set at any time."""

    PATHS = {  # noqa: RUF012
        "/websocket/v2": "/json/v2",
        "/websocket/v2/precise": "/json/v2/precise",
        "/ws": "/json",
    }

    def __init__(self, port):
        super().__init__()
        self.client_port = port
        self.change = None

    def _content(self, path):
        super()._content(path)  # which waits while it's stalled
        url = f"http://127.0.0.1:{self.client_port}{self.PATHS.get(path, path)}"
        text = requests.get(url, timeout=5).text
        return text if self.change is None else self.change(text)


@pytest.fixture
def relay():
    """Makes relays: `relay(port)`."""
    relays = []

    def make(port):
        relays.append(Relay(port))
        return relays[-1]

    yield make
    for each in relays:
        each.close()


@pytest.fixture
def server():
    """A server that says what it's told to."""
    server = ScriptedServer()
    yield server
    server.close()


@pytest.fixture
def messages(make_beatmap):
    """What tosu and gosumemory say of a play at 1.3 s, by path."""
    beatmap = make_beatmap((0, 1000), (1, 1100), (2, 1500), (3, 2000), od=8.0, title="Song")
    game = Game([beatmap], Choices(lead_in=1000.0), now=0.0)
    game.confirm(0.0)
    game.confirm(0.0)
    game.touch(0, True, 1.030)
    game.touch(0, False, 1.060)
    game.tick(1.3)
    report = game.report(1.3, True)
    return {
        "/json/v2": tosu_v2(report),
        "/json/v2/precise": tosu_v2_precise(report),
        "/json": v1(report),
        "/websocket/v2": tosu_v2(report),
        "/websocket/v2/precise": tosu_v2_precise(report),
        "/ws": v1(report),
    }
