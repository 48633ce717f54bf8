"""The game's state over HTTP and WebSockets, on the loopback interface alone."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from envs.osu_mania.client import messages
from envs.osu_mania.client.identity import PORT
from envs.osu_mania.client.report import Report

HOST = "127.0.0.1"
SERVERS = ("tosu", "gosumemory")


class StateServer:
    """Serves a game's state as tosu or gosumemory do: as it was at the last refresh.

    Args:
        report: Tells the state at this moment, in any thread; None: there is no game yet.
        port: Where; 0 takes a free one.
        server: Whose paths and messages: "tosu" or "gosumemory", which has v1 alone.
        refresh: Time between two states, ms.
        precise_refresh: The same of v2's precise messages, ms.

    Attributes:
        port: Where it serves.

    Raises:
        OSError: The port is taken.
        ValueError: There is no such server, or a refresh isn't within 1 to 10,000 ms.
    """

    def __init__(
        self,
        report: Callable[[], Report | None],
        port: int = PORT,
        server: str = "tosu",
        refresh: float = 100.0,
        precise_refresh: float = 10.0,
    ) -> None:
        if server not in SERVERS:
            raise ValueError(f"server must be one of {', '.join(SERVERS)}, got {server!r}")
        for name, value in (("refresh", refresh), ("precise_refresh", precise_refresh)):
            if not 1 <= value <= 10_000:
                raise ValueError(f"{name} must lie in 1 to 10,000 ms, got {value:g}")
        self._report, self._name = report, server
        common = _Refreshed(self._maker(messages.v1), refresh)
        self._http = {"/json": common}
        self._sockets = {"/ws": common}
        if server == "tosu":
            state = _Refreshed(self._maker(messages.tosu_v2), refresh)
            precise = _Refreshed(self._maker(messages.tosu_v2_precise), precise_refresh)
            self._http |= {"/json/v2": state, "/json/v2/precise": precise}
            self._sockets |= {"/websocket/v2": state, "/websocket/v2/precise": precise}
        self._stopping = threading.Event()
        self._server: Server = serve(
            self._push, HOST, port, process_request=self._answer, compression=None
        )
        self.port: int = self._server.socket.getsockname()[1]
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops serving."""
        self._stopping.set()
        self._server.shutdown()
        self._thread.join(5)

    def _maker(self, message: Callable[[Report], dict[str, Any]]) -> Callable[[], str]:
        def make() -> str:
            report = self._report()
            content = messages.not_ready(self._name) if report is None else message(report)
            return json.dumps(content, separators=(",", ":"))

        return make

    def _answer(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answers HTTP; None lets the handshake of a WebSocket go on."""
        path = request.path.partition("?")[0].rstrip("/")
        if path in self._sockets:
            return None
        found = self._http.get(path)
        if found is None:
            return _response(HTTPStatus.NOT_FOUND, '{"error":"not found"}')
        return _response(HTTPStatus.OK, found.now())

    def _push(self, connection: ServerConnection) -> None:
        """Sends the state to a WebSocket at every refresh."""
        assert connection.request is not None
        state = self._sockets[connection.request.path.partition("?")[0].rstrip("/")]
        with contextlib.suppress(ConnectionClosed):
            while not self._stopping.wait(state.remaining()):
                connection.send(state.now())


class _Refreshed:
    """A message that is made anew once per period, whoever asks for it, however often."""

    def __init__(self, make: Callable[[], str], period: float) -> None:
        self._make, self._period = make, period / 1000.0
        self._lock = threading.Lock()
        self._message, self._number = "", -1

    def now(self) -> str:
        number = int(time.monotonic() / self._period)
        with self._lock:
            if number != self._number:
                self._message, self._number = self._make(), number
            return self._message

    def remaining(self) -> float:
        """Until the next period begins, s."""
        return self._period - time.monotonic() % self._period


def _response(status: HTTPStatus, body: str) -> Response:
    content = body.encode()
    headers = Headers(
        [
            ("Content-Type", "application/json; charset=utf-8"),
            ("Content-Length", str(len(content))),
            ("Connection", "close"),
        ]
    )
    return Response(status.value, status.phrase, headers, content)
