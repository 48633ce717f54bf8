"""Threads that keep the newest state of the game, so that the loop never waits for it."""

from __future__ import annotations

import contextlib
import ipaddress
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from envs.osu_mania.live.errors import LiveError
from envs.osu_mania.live.messages import (
    READERS,
    GameState,
    MessageError,
    NotReadyError,
    read_precise,
)

TRANSPORTS = ("websocket", "http")
APIS = tuple(sorted(READERS, reverse=True))

_PATHS = {
    ("http", "v2"): ("/json/v2", "/json/v2/precise"),
    ("http", "v1"): ("/json", None),
    ("websocket", "v2"): ("/websocket/v2", "/websocket/v2/precise"),
    ("websocket", "v1"): ("/ws", None),
}
_RETRY = 0.2  # s, before a server that can't be reached is tried again
_TIMEOUT = 1.0  # s, for a connection and for an answer
_MAX_MESSAGE = 8 * 2**20  # bytes


@dataclass(frozen=True)
class Reading:
    """What is known of the game.

    Attributes:
        state: The newest state; None while there is none.
        received: When it came, s of `time.monotonic`.
        number: How many states came so far.
        errors: The newest errors of hits, which may be younger than the state; None where the
            server doesn't send them by themselves.
        errors_received: When they came.
        problem: Why the newest message was no state; empty where it was.
    """

    state: GameState | None = None
    received: float = 0.0
    number: int = 0
    errors: tuple[float, ...] | None = None
    errors_received: float = 0.0
    problem: str = "nothing was received yet"

    def age(self, now: float) -> float:
        """Since the newest state came, s; infinite where there is none."""
        return now - self.received if self.state is not None else float("inf")


class StateReader:
    """Reads the game's state from a server on this machine.

    Args:
        port: The server's.
        host: The server's; it must be this machine.
        api: "v2" (tosu) or "v1" (tosu, gosumemory).
        transport: "websocket" or "http".
        poll: Time between two questions over HTTP, ms.

    Raises:
        ValueError: The host isn't this machine, or there is no such API or transport.
    """

    def __init__(
        self,
        port: int = 24050,
        host: str = "127.0.0.1",
        api: str = "v2",
        transport: str = "websocket",
        poll: float = 20.0,
    ) -> None:
        address = loopback(host)
        if (transport, api) not in _PATHS:
            raise ValueError(
                f"api must be one of {', '.join(APIS)} and transport one of "
                f"{', '.join(TRANSPORTS)}, got {api!r} and {transport!r}"
            )
        if not 0 < port < 65536:
            raise ValueError(f"the port must lie in 1 to 65535, got {port}")
        if not 1 <= poll <= 10_000:
            raise ValueError(f"poll must lie in 1 to 10,000 ms, got {poll:g}")
        self._reading = Reading()
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._parse = READERS[api]
        state_path, precise_path = _PATHS[transport, api]
        scheme = "ws" if transport == "websocket" else "http"

        def link(path: str, take: Callable[[str | bytes], None], complain: Any) -> _Link:
            url = f"{scheme}://{address}:{port}{path}"
            if transport == "websocket":
                return _WebSocketLink(url, take, complain, self._stopping)
            return _HttpLink(url, take, complain, self._stopping, poll / 1000.0)

        self._links = [link(state_path, self._take_state, self._complain)]
        if precise_path is not None:
            # Without the precise messages everything works, only later.
            self._links.append(link(precise_path, self._take_errors, self._forget_errors))
        self._threads = [
            threading.Thread(target=link.run, name=f"osu! state {link.url}", daemon=True)
            for link in self._links
        ]
        for thread in self._threads:
            thread.start()

    def read(self) -> Reading:
        """The newest; it never waits, and what it returns never changes."""
        return self._reading

    def close(self) -> None:
        """Stops reading."""
        self._stopping.set()
        for link in self._links:
            link.close()
        for thread in self._threads:
            thread.join(2 * _TIMEOUT)

    def _take_state(self, text: str | bytes) -> None:
        try:
            state = self._parse(text)
        except MessageError as error:
            self._complain(str(error), gone=isinstance(error, NotReadyError))
            return
        now = time.monotonic()
        with self._lock:
            number = self._reading.number + 1
            self._reading = replace(
                self._reading, state=state, received=now, number=number, problem=""
            )

    def _take_errors(self, text: str | bytes) -> None:
        try:
            errors = read_precise(text)
        except MessageError:
            self._forget_errors("")
            return
        with self._lock:
            now = time.monotonic()
            self._reading = replace(self._reading, errors=errors, errors_received=now)

    def _complain(self, problem: str, gone: bool = False) -> None:
        """Notes why there is no state; an old one is kept until it's too old, but for a game that
        is gone."""
        with self._lock:
            state = None if gone else self._reading.state
            self._reading = replace(self._reading, state=state, problem=problem)

    def _forget_errors(self, problem: str, gone: bool = False) -> None:
        with self._lock:
            self._reading = replace(self._reading, errors=None)


def loopback(host: str) -> str:
    """The address of a host that is this machine.

    Raises:
        ValueError: It's another.
    """
    name = "127.0.0.1" if host == "localhost" else host.strip("[]")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise ValueError(
            f"the game's state is read on this machine alone: host must be 127.0.0.1, got {host!r}"
        )
    return f"[{name}]" if address.version == 6 else name


class _Link(ABC):
    """Gets messages from an URL again and again, until it's told to stop."""

    def __init__(
        self,
        url: str,
        take: Callable[[str | bytes], None],
        complain: Callable[[str], None],
        stopping: threading.Event,
    ) -> None:
        self.url, self._take, self._complain, self._stopping = url, take, complain, stopping

    def run(self) -> None:
        """The thread's life: to connect, and to connect again."""
        while not self._stopping.is_set():
            try:
                self.listen()
            except LiveError as error:
                self._complain(str(error))
            self._stopping.wait(_RETRY)

    @abstractmethod
    def listen(self) -> None:
        """Takes messages; raises LiveError when there are none to be had."""

    @abstractmethod
    def close(self) -> None:
        """Ends what `listen` waits for, from another thread."""


class _HttpLink(_Link):
    def __init__(
        self,
        url: str,
        take: Callable[[str | bytes], None],
        complain: Callable[[str], None],
        stopping: threading.Event,
        period: float,
    ) -> None:
        super().__init__(url, take, complain, stopping)
        self._period = period
        import requests

        self._errors = requests.RequestException
        self._session = requests.Session()
        self._session.trust_env = False  # no proxies: it's this machine

    def listen(self) -> None:
        next_time = time.monotonic()
        while not self._stopping.is_set():
            self._take(self._get())
            next_time = max(next_time + self._period, time.monotonic())
            self._stopping.wait(next_time - time.monotonic())

    def close(self) -> None:
        """An answer is never waited for longer than the timeout."""

    def _get(self) -> bytes:
        try:
            answer = self._session.get(
                self.url, timeout=_TIMEOUT, allow_redirects=False, stream=True
            )
            with answer:
                if answer.status_code != 200:
                    raise LiveError(f"{self.url} answers HTTP {answer.status_code}")
                content = answer.raw.read(_MAX_MESSAGE + 1, decode_content=True)
        except (self._errors, OSError) as error:
            raise LiveError(f"{self.url} can't be read: {_reason(error)}") from error
        if len(content) > _MAX_MESSAGE:
            raise LiveError(f"{self.url} answers more than {_MAX_MESSAGE} bytes")
        return content


class _WebSocketLink(_Link):
    def __init__(
        self,
        url: str,
        take: Callable[[str | bytes], None],
        complain: Callable[[str], None],
        stopping: threading.Event,
    ) -> None:
        super().__init__(url, take, complain, stopping)
        try:
            from websockets.exceptions import WebSocketException
            from websockets.sync.client import connect
        except ImportError as error:
            raise ImportError("live play needs websockets: pip install 'sb3_ext[osu]'") from error
        self._connect, self._errors = connect, WebSocketException
        self._connection: Any = None

    def listen(self) -> None:
        try:
            connection = self._connect(
                self.url,
                proxy=None,
                open_timeout=_TIMEOUT,
                close_timeout=_TIMEOUT / 4,
                max_size=_MAX_MESSAGE,
                compression=None,
            )
            with connection:
                self._connection = connection
                while not self._stopping.is_set():
                    self._take(_newest(connection))
        except (self._errors, OSError) as error:
            if not self._stopping.is_set():
                raise LiveError(f"{self.url} can't be read: {_reason(error)}") from error
        finally:
            self._connection = None

    def close(self) -> None:
        connection = self._connection
        if connection is not None:
            connection.close()


def _newest(connection: Any) -> str | bytes:
    """Waits for a message; of several that are there already only the last one matters."""
    message = connection.recv()
    with contextlib.suppress(TimeoutError):
        while True:
            message = connection.recv(timeout=0)
    return message


def _reason(error: BaseException) -> str:
    """The first cause, in a line: libraries wrap refused connections several times."""
    while error.__cause__ is not None or error.__context__ is not None:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
