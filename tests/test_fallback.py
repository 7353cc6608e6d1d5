"""Servers without ready frames: viewers are served by plain ASGI `send`, by the same rules."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient
from websockets.exceptions import ConnectionClosed

from tests.support import QUIET, Follower, eventually, settings, until
from ticker import plain
from ticker.access import Access
from ticker.app import create_app
from ticker.config import Access as AccessSettings
from ticker.config import Server as ServerSettings
from ticker.configfile import Loaded
from ticker.frame import Frame
from ticker.hub import Hub
from ticker.live import LiveBoard, Shape
from ticker.plain import SendConnection
from ticker.protocol import CloseCode, Subscribe
from ticker.turns import Turns
from ticker.websocket import WebSocketEndpoint

CONFIG = QUIET.format(heartbeat="5s", stall="20s", viewers=100, presence="0s")


def test_starlettes_test_client_is_served() -> None:
    """Welcome, snapshot, pong: in process, without any server."""
    app = create_app(Loaded(settings(CONFIG)))
    with TestClient(app) as client, client.websocket_connect("/ws?board=b&board=nope") as socket:
        assert socket.receive_json()["type"] == "welcome"
        assert socket.receive_json()["type"] == "snapshot"
        assert socket.receive_json()["code"] == "unknown_board"
        socket.send_json({"type": "ping"})
        while socket.receive_json()["type"] != "pong":
            pass


@pytest.fixture
def hypercorn(tmp_path: Path) -> Iterator[str]:
    """Run the application under another ASGI server and return its WebSocket address."""
    symbols = ", ".join(f"S{i}: 100" for i in range(50))  # so that there is something to see
    lively = CONFIG.replace("every: 24h", "every: 50ms").replace("SIM: 100", symbols)
    (tmp_path / "c.yaml").write_text(lively)
    (tmp_path / "served.py").write_text(
        "from pathlib import Path\n"
        "from ticker import configfile\n"
        "from ticker.app import create_app\n"
        "app = create_app(configfile.load(Path(__file__).parent / 'c.yaml'))\n"
    )
    command = [sys.executable, "-m", "hypercorn", "served:app", "--bind", "127.0.0.1:0"]
    with (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(command, cwd=tmp_path, stderr=log, env=os.environ)
        try:

            def address() -> str | None:
                text = (tmp_path / "log").read_text()
                assert process.poll() is None, text
                _, _, rest = text.partition("Running on http://")
                return rest.split()[0] if rest else None

            yield f"ws://{until(address, what='the start')}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(15)


def test_another_asgi_server_is_served(hypercorn: str) -> None:
    """Viewers follow a board under hypercorn without a gap."""
    with Follower(f"{hypercorn}/ws?board=b") as viewer, Follower(f"{hypercorn}/ws") as other:
        for _ in range(20):
            viewer.wait("diff")
        other.send(type="subscribe", board="b")
        other.wait("diff")
        viewer.follow_until(lambda v: v.seqs["b"] >= other.seqs["b"])
        other.follow_until(lambda v: v.seqs["b"] >= viewer.seqs["b"])
        viewer.follow_until(lambda v: v.seqs["b"] >= other.seqs["b"])
        assert viewer.rows == other.rows


@pytest.mark.parametrize("wrong", [b"bytes", "no JSON"])
def test_another_asgi_server_closes_with_our_code(hypercorn: str, wrong: str | bytes) -> None:
    """With 4500, not with one of the server's that would let the viewer come back."""
    with Follower(f"{hypercorn}/ws") as viewer:
        viewer.wait("welcome")
        viewer.socket.send(wrong)
        viewer.wait("error")
        with pytest.raises(ConnectionClosed) as end:
            viewer.next()
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == CloseCode.BAD_MESSAGE


class StallingServer:
    """An ASGI server's `send` that takes messages only while ``open`` is set."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.taken: list[dict[str, object]] = []

    async def send(self, message: dict[str, object]) -> None:
        await self.open.wait()
        self.taken.append(message)

    def has_said(self, seq: int) -> bool:
        """Whether the last message taken leads to ``seq``."""
        return f'"seq":{seq},' in str(self.taken[-1:])


class FailingServer(StallingServer):
    """An ASGI server's `send` after the peer has gone."""

    async def send(self, message: dict[str, object]) -> None:
        raise OSError("gone")


def board() -> LiveBoard:
    """Return a board with one row."""
    live = LiveBoard("b", "e", Shape("B", "quotes", [], ["f"], flush_interval=0.01))
    live.board.apply("f", {"A": {"last": 0}})
    live.flush(0.0)
    return live


async def test_a_stalled_send_holds_up_nobody() -> None:
    """While one waits the others get every tick; then it gets one diff to the present."""
    live = board()
    hub = Hub({"b": live})
    fine, stalled = StallingServer(), StallingServer()
    fine.open.set()
    for server in (fine, stalled):
        hub.subscribe(hub.join(SendConnection(server.send)), Subscribe(board="b"))
    await eventually(lambda: fine.has_said(1))
    for value in range(1, 4):
        live.board.apply("f", {"A": {"last": value}})
        live.flush(float(value))
        hub.publish(live)
        await eventually(lambda: fine.has_said(live.seq))
    assert stalled.taken == []
    stalled.open.set()
    await eventually(lambda: stalled.has_said(live.seq))
    assert len(fine.taken) == 5  # welcome, snapshot, three diffs
    assert len(stalled.taken) == 2  # welcome, then everything at once
    hub.close()


async def test_a_failed_send_drops_that_viewer_alone() -> None:
    """The others stay, the reason is counted."""
    live = board()
    hub = Hub({"b": live})
    fine = StallingServer()
    fine.open.set()
    for server in (fine, FailingServer()):
        hub.subscribe(hub.join(SendConnection(server.send)), Subscribe(board="b"))
    await eventually(lambda: len(hub.viewers) == 1)
    assert hub.closed == {"connection lost": 1}
    hub.close()


async def test_a_stalled_viewer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A close behind a send that never ends is not waited for."""
    monkeypatch.setattr(plain, "CLOSE_SECONDS", 0.01)
    connection = SendConnection(StallingServer().send)
    sending = asyncio.ensure_future(connection.write(Frame(b"{}")))
    connection.close(CloseCode.TOO_SLOW)
    with pytest.raises(asyncio.CancelledError):
        await sending


async def test_a_close_waits_for_the_message_on_its_way() -> None:
    """The server takes one thing after the other; the close is not forgotten."""
    server = StallingServer()
    connection = SendConnection(server.send)
    connection.write(Frame(b"{}"))
    connection.close(CloseCode.TOO_SLOW)
    server.open.set()
    await eventually(lambda: len(server.taken) == 2)
    assert [message["type"] for message in server.taken] == ["websocket.send", "websocket.close"]
    assert server.taken[1]["code"] == 4001


async def test_an_endpoint_ends_whose_viewer_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server's end of the application is what ends the connection."""
    monkeypatch.setattr(plain, "CLOSE_SECONDS", 0.01)
    hub = Hub({"b": board()})
    server = StallingServer()
    connected = iter([{"type": "websocket.connect"}])

    async def receive() -> dict[str, str]:
        for event in connected:
            return event
        await asyncio.Event().wait()
        raise AssertionError("nobody says anything")

    async def send(message: dict[str, object]) -> None:
        if message["type"] != "websocket.accept":
            await server.send(message)

    scope = {"type": "websocket", "query_string": b"board=b", "subprotocols": [], "headers": []}
    access = Access(AccessSettings(), ServerSettings())
    endpoint = asyncio.ensure_future(WebSocketEndpoint(hub, access, Turns())(scope, receive, send))
    await eventually(lambda: bool(hub.viewers))
    (viewer,) = hub.viewers
    hub.end(viewer, CloseCode.TOO_SLOW)
    await asyncio.wait_for(endpoint, 5)
