"""The end of the process: a goodbye to everybody, within its time, whatever they do."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import PATIENCE, Follower, Handler, quiet_server, source, until
from tests.test_cli import free_port, started
from tests.test_viewer import OneFrameConnection
from ticker import hub as hub_module
from ticker.hub import Hub
from ticker.transport import EXTENSION

CONFIG = """
server: {{port: {port}, {server}}}
access: {{admin_tokens: [a-token-of-the-admins]}}
feeds:
  sim: {{kind: simulate, symbols: {symbols}}}
  {feed}
boards:
  b: {{feeds: [sim]}}
"""
SLOW = 4 * PATIENCE
"""Longest wait for a process to start or end, on a busy machine."""

ADMIN = {"authorization": "Bearer a-token-of-the-admins"}
MANY = ", ".join(f"S{number}-{'x' * 90}: 100" for number in range(500))


class Process:
    """``ticker serve`` as a process of its own."""

    def __init__(self, process: subprocess.Popen[str], port: int, log: Path) -> None:
        self.process, self.port, self._log = process, port, log
        self.url = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> httpx.Response | None:
        """Ask for ``path``; None while nobody listens."""
        try:
            return httpx.get(self.url + path, timeout=PATIENCE)
        except httpx.TransportError:
            assert self.process.poll() is None, self.said
            return None

    def answers(self, path: str, status: int) -> bool:
        """Whether ``path`` is answered with ``status``."""
        response = self.get(path)
        return response is not None and response.status_code == status

    def follow(self) -> Follower:
        """Return a viewer of `b`."""
        return Follower(f"ws://127.0.0.1:{self.port}/ws?board=b")

    def stalled(self) -> list[str]:
        """Return how those are connected who have taken nothing for a while."""
        seen = httpx.get(f"{self.url}/api/viewers", headers=ADMIN).json()["viewers"]
        return [viewer["transport"] for viewer in seen if viewer["lag"] > 1000]

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(SLOW)

    @property
    def said(self) -> str:
        """What it logged."""
        return self._log.read_text()


@contextmanager
def process(
    tmp_path: Path, server: str, feed: str = "", symbols: str = "A: 100, B: 50"
) -> Iterator[Process]:
    """Run a server as a process, ready for viewers."""
    port = free_port()
    config = CONFIG.format(port=port, server=server, feed=feed, symbols=f"{{{symbols}}}")
    (tmp_path / "config.yaml").write_text(config)
    with started("serve", cwd=tmp_path) as popen:
        running = Process(popen, port, tmp_path / "stderr")
        until(lambda: running.answers("/readyz", 200), what="the start", patience=SLOW)
        yield running


def test_a_load_balancer_has_time_to_notice(tmp_path: Path) -> None:
    """It says that it is draining and takes nobody new, while those who are there go on."""
    with process(tmp_path, "drain_delay: 1h") as server, server.follow() as viewer:
        viewer.wait("diff")
        server.signal()
        until(lambda: server.answers("/readyz", 503), what="the news that it drains")
        ready = server.get("/readyz")
        assert ready is not None
        assert ready.json() == {"status": "draining", "waiting": {"server": "draining"}}
        assert server.answers("/healthz", 200)
        with pytest.raises(InvalidStatus) as refused, server.follow():
            pass
        for response in (refused.value.response, server.get("/events?board=b")):
            assert response is not None
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
        for _ in range(3):
            viewer.wait("diff")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 128 + 15), (signal.SIGINT, 128 + 2)])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals, code: int) -> None:
    """Whatever the first one still waits for."""
    with process(tmp_path, "drain_delay: 1h") as server:
        server.signal()
        until(lambda: server.answers("/readyz", 503), what="the news that it drains")
        server.signal(number)
        assert server.ended() == code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_right_after_the_start_is_heard(tmp_path: Path, number: signal.Signals) -> None:
    """Before the loop listens to signals: the one ends it well, the other does not end it."""
    port = free_port()
    config = CONFIG.format(port=port, server="drain: 1h", feed="", symbols="{A: 100}")
    (tmp_path / "config.yaml").write_text(config)
    early = EARLY.format(number=int(number))
    with (tmp_path / "stderr").open("w") as log:
        popen = subprocess.Popen([sys.executable, "-c", early], stderr=log, text=True, cwd=tmp_path)
        try:
            server = Process(popen, port, tmp_path / "stderr")
            if number == signal.SIGHUP:
                until(lambda: server.answers("/readyz", 200), what="the start", patience=SLOW)
                until(lambda: "config reloaded" in server.said, what="the reload", patience=SLOW)
                server.signal()
            assert server.ended() == 0
            assert "draining" in server.said
            assert "Traceback" not in server.said
        finally:
            popen.kill()
            popen.wait(PATIENCE)


EARLY = """
import os, sys
from ticker import cli, server
listens = server.Server.run
def run(*arguments, **options):
    os.kill(os.getpid(), {number})
    listens(*arguments, **options)
server.Server.run = run
sys.argv = ["ticker", "serve"]
cli.main()
"""


def silent(port: int, request: bytes) -> socket.socket:
    """Return a connection that asks for something and reads nothing of it."""
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.connect(("127.0.0.1", port))
    raw.sendall(request)
    return raw


UPGRADE = (
    b"GET /ws?board=b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
EVENTS = b"GET /events?board=b HTTP/1.1\r\nHost: x\r\n\r\n"


def test_everybody_is_told_and_nobody_holds_it_up(tmp_path: Path) -> None:
    """Viewers, viewers of events, one who never reads and a source that never answers."""
    hang = threading.Event()

    def respond(_: Handler) -> None:
        hang.wait(2 * SLOW)

    with source() as upstream:
        upstream.script["/t"] = respond
        feed = "slow: {kind: poll, every: 2h, timeout: 1h, fields: {last: last}, url: '%s/t'}"
        words = "drain: 1h, return_within: 7s, stall_timeout: 1h"
        with (
            process(tmp_path, words, feed % upstream.url, MANY) as server,
            server.follow() as viewer,
        ):
            until(lambda: upstream.asked("/t"), what="a reading under way")
            viewer.wait("diff")
            unread = silent(server.port, UPGRADE)
            until(lambda: server.stalled() == ["websocket"], what="one who does not keep up")
            with httpx.stream("GET", f"{server.url}/events?board=b", timeout=PATIENCE) as events:
                lines = events.iter_lines()
                next(line for line in lines if "snapshot" in line)
                server.signal()
                told = [line.removeprefix("data: ") for line in lines if "goodbye" in line]
            goodbye = {"type": "goodbye", "code": 4000, "retry": [0.0, 7.0]}
            assert [orjson.loads(line) for line in told] == [goodbye]
            assert viewer.wait("goodbye") == goodbye
            with pytest.raises(ConnectionClosed) as closed:
                viewer.next()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 4000
            assert server.ended() == 0
            assert "Traceback" not in server.said
            assert "exceeded" not in server.said
            unread.close()
        hang.set()


def test_an_unread_stream_of_events_is_cut_off(tmp_path: Path) -> None:
    """A few seconds after the goodbyes, long before the drain's time is over."""
    words = "drain: 1h, stall_timeout: 1h"
    with process(tmp_path, words, symbols=MANY) as server, silent(server.port, EVENTS):
        until(lambda: server.stalled() == ["sse"], what="one who does not keep up")
        server.signal()
        assert server.ended() == 0


STUCK = """
import sys, time
from ticker import cli, server
from ticker.hub import Hub
server.LEEWAY_SECONDS = 0.1
async def drain(*_): time.sleep(1000)
Hub.drain = drain
sys.argv = ["ticker", "serve"]
cli.main()
"""


def test_what_hangs_is_cut_off(tmp_path: Path) -> None:
    """A defect somewhere does not keep the process for ever: the time is over for all."""
    port = free_port()
    config = CONFIG.format(port=port, server="drain: 100ms", feed="", symbols="{A: 100}")
    (tmp_path / "config.yaml").write_text(config)
    with (tmp_path / "stderr").open("w") as log:
        popen = subprocess.Popen([sys.executable, "-c", STUCK], stderr=log, text=True, cwd=tmp_path)
        try:
            server = Process(popen, port, tmp_path / "stderr")
            until(lambda: server.answers("/readyz", 200), what="the start", patience=SLOW)
            server.signal()
            assert server.ended() == 0
            assert re.search("something does not end: cut off", server.said)
        finally:
            popen.kill()
            popen.wait(PATIENCE)


async def test_viewers_leave_spread_over_the_time_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that the next server is not run over; few leave at once."""
    monkeypatch.setattr(hub_module, "DRAIN_AT_LEAST", 1)
    steps = []

    async def step(seconds: float) -> None:
        steps.append((seconds, len(hub.viewers)))

    hub = Hub({})
    for _ in range(10):
        hub.join(OneFrameConnection())
    monkeypatch.setattr(asyncio, "sleep", step)
    await hub.drain(0.5)
    assert steps == [(0.1, left) for left in (8, 6, 4, 2)]
    assert hub.closed == {"draining": 10}


async def test_few_viewers_leave_at_once() -> None:
    """Nobody waits for nothing."""
    hub = Hub({})
    for _ in range(hub_module.DRAIN_AT_LEAST):
        hub.join(OneFrameConnection())
    draining = asyncio.create_task(hub.drain(3600.0))
    await asyncio.sleep(0)
    assert not hub.viewers
    await draining


def test_an_upgrade_that_comes_as_the_server_closes_is_told_when_to_come_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It gets a 503, though its connection is closed before anybody could look at it."""
    with quiet_server() as server, socket.socket() as raw:
        live = server.app.state.live

        async def late(scope: Any, receive: Any, send: Any) -> None:
            server.ticker.hub.draining = True
            scope["extensions"][EXTENSION].shutdown()
            await live(scope, receive, send)

        server.app.state.live = late
        raw.connect(("127.0.0.1", int(server.url.rpartition(":")[2])))
        raw.settimeout(PATIENCE)
        raw.sendall(
            b"GET /ws?board=b HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
            b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-version: 13\r\n\r\n"
        )
        answer = raw.makefile("rb").read().lower()
        assert answer.startswith(b"http/1.1 503 ")
        assert b"retry-after" in answer
    assert [r for r in caplog.records if r.levelname == "ERROR"] == []
