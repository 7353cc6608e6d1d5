"""Real parts for tests: a scripted HTTP source, a running server, a viewer that follows a board."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal, TypeVar

import httpx
import orjson
from fastapi import FastAPI
from websockets.sync.client import ClientConnection, connect

from ticker import configfile, diff
from ticker.app import create_app
from ticker.config import Settings
from ticker.configfile import Loaded
from ticker.listener import listen
from ticker.runtime import Ticker
from ticker.server import Server, configure

T = TypeVar("T")

PATIENCE = 15.0
"""Longest wait, in seconds, for something that must happen."""


def until(look: Callable[[], T], *, what: str = "it", patience: float = PATIENCE) -> T:
    """Return the first true result of ``look``; fail the test when none comes in time."""
    deadline = time.monotonic() + patience
    while True:
        if found := look():
            return found
        assert time.monotonic() < deadline, f"{what} did not happen within {patience} s"
        threading.Event().wait(0.01)


async def eventually(look: Callable[[], object]) -> None:
    """Let the loop run until ``look`` is true; fail the test when it does not come to be."""
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0)


def settings(text: str, *, base: Path = Path(), **env: str) -> Settings:
    """Return the settings of a config text."""
    return configfile.parse(text, "test.yaml", base=base, env=env).settings


# -- a source


Respond = Callable[["Handler"], None]


class Handler(BaseHTTPRequestHandler):
    """Answers a request as the source's script says."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        """Take note of the request and answer it."""
        source = self.server.source
        path = self.path.partition("?")[0]
        source.requests.append((self.path, {k.lower(): v for k, v in self.headers.items()}))
        respond = source.script.get(path)
        if respond is None:
            self.answer(404, b"not found")
        else:
            respond(self)

    def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole response; header names are written with underscores."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if status != 304:
            self.wfile.write(body)

    def raw(self, data: bytes) -> None:
        """Send bytes as they are and end the connection."""
        self.wfile.write(data)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    source: Source

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet about viewers that hang up."""


@dataclass
class Source:
    """An HTTP server on loopback whose answers a test scripts, path by path."""

    url: str
    script: dict[str, Respond] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def say(self, path: str, body: Any, status: int = 200, **headers: str) -> None:
        """Answer ``path`` with ``body``: bytes as they are, anything else as JSON."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        self.script[path] = lambda handler: handler.answer(status, data, **headers)

    def confirm(self, path: str, body: Any) -> None:
        """Answer ``path`` with ``body`` as JSON, and 304 to whoever has it already."""
        data = orjson.dumps(body)
        etag = f'"{sha1(data, usedforsecurity=False).hexdigest()}"'

        def respond(handler: Handler) -> None:
            if handler.headers.get("If-None-Match") == etag:
                handler.answer(304, ETag=etag)
            else:
                handler.answer(200, data, ETag=etag)

        self.script[path] = respond

    def serve_file(self, path: str, file: Path, content_type: str = "application/json") -> None:
        """Answer ``path`` with a file, conditionally, as good sources do."""
        data = file.read_bytes()
        etag = f'"{sha1(data, usedforsecurity=False).hexdigest()}"'
        modified = formatdate(file.stat().st_mtime, usegmt=True)

        def respond(handler: Handler) -> None:
            if handler.headers.get("If-None-Match") == etag:
                handler.answer(304, ETag=etag)
                return
            handler.answer(200, data, ETag=etag, Last_Modified=modified, Content_Type=content_type)

        self.script[path] = respond

    def asked(self, path: str) -> int:
        """Return how often ``path`` was asked for."""
        return sum(requested.partition("?")[0] == path for requested, _ in self.requests)


@contextmanager
def source() -> Iterator[Source]:
    """Run a source."""
    server = _Server(("127.0.0.1", 0), Handler)
    server.source = Source(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server.source
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def gzipped(file: Path) -> bytes:
    """Return the content of a gzip file."""
    return gzip.decompress(file.read_bytes())


# -- the server


@dataclass
class Running:
    """The real server in a thread of the test's process, with its insides in reach."""

    url: str
    app: FastAPI
    loop: asyncio.AbstractEventLoop

    @property
    def ticker(self) -> Ticker:
        """Return what runs in it."""
        ticker: Ticker = self.app.state.ticker
        return ticker

    def get(self, path: str, **headers: str) -> httpx.Response:
        """Ask for ``path``; header names are written with underscores."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(self.url + path, headers=named, timeout=PATIENCE)

    def rows(self, board: str) -> diff.Rows:
        """Return the rows of a board as REST has them."""
        rows: diff.Rows = self.get(f"/api/boards/{board}").json()["rows"]
        return rows

    def feed(self, name: str) -> dict[str, Any]:
        """Return the health of a feed."""
        health: dict[str, Any] = self.get("/api/feeds").json()["feeds"][name]
        return health

    def call(self, function: Callable[[], T]) -> T:
        """Run a plain function in the server's loop and return its result."""

        async def run() -> T:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(PATIENCE)

    def follow(self, *boards: str, **query: object) -> Follower:
        """Connect a viewer that follows the protocol."""
        parts = [f"board={board}" for board in boards] + [f"{k}={v}" for k, v in query.items()]
        return Follower(f"{self.url.replace('http', 'ws')}/ws?{'&'.join(parts)}")


@contextmanager
def serving(
    config: str | Settings | Path,
    *,
    base: Path = Path(),
    pings: float = 20.0,
    loop: Literal["auto", "asyncio", "uvloop"] = "auto",
    **env: str,
) -> Iterator[Running]:
    """Run the real server for ``config`` on a free port; it is drained at the end.

    It follows a config that is a file. Viewers are pinged every ``pings`` seconds and have as long
    to answer.
    """
    if isinstance(config, Path):
        loaded = configfile.load(config, env)
    else:
        loaded = Loaded(
            config if isinstance(config, Settings) else settings(config, base=base, **env)
        )
    configured = loaded.settings
    listener = listen(configured.server, "127.0.0.1", 0)
    app = create_app(loaded)
    options = configure(app, configured)
    options.ws_ping_interval = options.ws_ping_timeout = pings
    options.loop = loop
    server = Server(options, app)
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        await server.serve(sockets=[listener])

    def run() -> None:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(main())

    thread = threading.Thread(target=run, name="server")
    thread.start()
    try:
        until(lambda: server.started, what="the server's start")
        port = listener.getsockname()[1]
        yield Running(f"http://127.0.0.1:{port}", app, loops[0])
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listener.close()
        assert not thread.is_alive(), "the server did not end"


# -- a viewer


class Follower:
    """A viewer that applies what it is told, by the rules of the wire, and fails on a gap."""

    def __init__(self, url: str, **options: Any) -> None:
        self._connect = connect(url, max_size=None, **options)
        self.socket: ClientConnection
        self.messages: list[dict[str, Any]] = []
        self.rows: dict[str, diff.Rows] = {}
        self.seqs: dict[str, int] = {}
        self.epochs: dict[str, str] = {}
        self.feeds: dict[str, dict[str, Any]] = {}

    def __enter__(self) -> Follower:
        self.socket = self._connect.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._connect.__exit__(None, None, None)

    def send(self, **message: Any) -> None:
        """Send a message."""
        self.socket.send(orjson.dumps(message).decode())

    def next(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return the next message, applied."""
        message: dict[str, Any] = orjson.loads(self.socket.recv(timeout))
        self.messages.append(message)
        board = message.get("board", "")
        match message["type"]:
            case "snapshot":
                self.rows[board], self.seqs[board] = message["rows"], message["seq"]
                self.epochs[board], self.feeds[board] = message["epoch"], message["feeds"]
            case "diff":
                assert message["prev"] == self.seqs[board], "a gap"
                self.rows[board] = diff.apply(self.rows[board], message["rows"])
                self.seqs[board] = message["seq"]
            case "status":
                self.feeds[board] = message["feeds"]
        return message

    def wait(self, kind: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return the next message of type ``kind``; the others are applied on the way."""
        deadline = time.monotonic() + timeout
        while (message := self.next(deadline - time.monotonic()))["type"] != kind:
            pass
        return message

    def follow_until(self, true: Callable[[Follower], object], timeout: float = PATIENCE) -> None:
        """Apply messages until ``true`` of this viewer."""
        deadline = time.monotonic() + timeout
        while not true(self):
            self.next(deadline - time.monotonic())


# -- a board that only the test changes


QUIET = """
server:
  {{heartbeat: {heartbeat}, stall_timeout: {stall}, max_viewers: {viewers}, presence: {presence}}}
feeds:
  still: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
  other: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
boards:
  b: {{title: The board, feeds: [still], flush: 10ms}}
  c: {{feeds: [other], flush: 10ms}}
"""


@contextmanager
def quiet_server(
    heartbeat: str = "5s",
    stall: str = "20s",
    viewers: int = 10_000,
    pings: float = 20.0,
    presence: str = "0s",
) -> Iterator[Running]:
    """Run a server whose boards `b` and `c` have been read once and change only by ``publish``.

    Viewers are not told how many they are, unless ``presence`` says how often.
    """
    config = QUIET.format(heartbeat=heartbeat, stall=stall, viewers=viewers, presence=presence)
    with serving(config, pings=pings) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="the first reading")
        yield server


def publish(server: Running, board: str = "b", rows: diff.Rows | None = None) -> int:
    """Let the feed of ``board`` say ``rows``, and return the board's seq once they are out."""
    live = server.ticker.boards[board]
    (feed,) = live.feeds
    before = live.seq

    def apply() -> None:
        live.board.apply(feed, rows or {})
        live.changed.set()

    server.call(apply)
    return until(lambda: live.seq > before and live.seq, what="a diff")
