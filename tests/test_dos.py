"""Strangers and viewers who ask for too much: the others wait for a moment, and memory is bounded.

What is counted is pieces of work per turn of the loop, so that a slow machine changes nothing.
`python -m tests.dos` measures the same by the clock.
"""

from __future__ import annotations

import asyncio
import gc
import gzip
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tests.support import PATIENCE, Running, publish, quiet_server, until
from tests.test_heads import answer, linked
from tests.test_hostile import PING, RawViewer, frame
from ticker import heads, packer, transport
from ticker.heads import HeadProtocol
from ticker.protocol import CloseCode
from ticker.transport import FrameProtocol
from ticker.turns import Turns

GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
EVENTS = b"GET /events?board=b HTTP/1.1\r\nHost: x\r\n\r\n"
HISTORY = b"GET /api/boards/b/history HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture
def server() -> Iterator[Running]:
    """Return a server whose board has rows."""
    with quiet_server() as running:
        publish(running, "b", {f"S{i}": {"last": i, "name": "x" * 200} for i in range(300)})
        yield running


class PerTurn:
    """Counts how often something happens in a turn of the loop."""

    def __init__(self, patch: pytest.MonkeyPatch, owner: type, name: str) -> None:
        self.most = self.all = self._now = 0
        known = getattr(owner, name)

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.all += 1
            self._now += 1
            if self._now == 1:
                # the turn after this one's callbacks: what is read in between is of both
                asyncio.get_running_loop().call_soon(self._over)
            self.most = max(self.most, self._now)
            return known(*args, **kwargs)

        patch.setattr(owner, name, counted)

    def _over(self) -> None:
        self._now = 0


def test_pings_are_read_bit_by_bit(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten who send thousands at once fill no turn of the loop; each is answered."""
    pings = PerTurn(monkeypatch, FrameProtocol, "handle_ping")
    with ExitStack() as stack:
        viewers = [stack.enter_context(RawViewer(server)) for _ in range(10)]
        for viewer in viewers:
            viewer.send(frame(0x89, b"") * 2_000 + frame(0x81, PING))
        for viewer in viewers:
            viewer.until_pong()
    assert pings.all == 20_000
    # a turn ends after a millisecond: a piece more, of the one that was under way
    assert pings.most < 2_000


def test_requests_are_begun_one_by_one(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many came in one piece, on however many connections."""
    begun = PerTurn(monkeypatch, HttpToolsProtocol, "_start_asgi_task")
    with ExitStack() as stack:
        links = [stack.enter_context(linked(server, GET * 50)) for _ in range(10)]
        for link in links:
            seen = b""
            while seen.count(b'"loop_lag"') < 50:
                seen += link.recv(65_536)
    assert begun.all == 500
    assert begun.most <= 2  # of a turn and what is read after it


def test_requests_in_one_piece_wait_unread(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of thousands a piece is taken apart: the rest takes no memory but its own."""
    most = 0
    known = HeadProtocol.on_message_complete

    def looked(protocol: HeadProtocol) -> None:
        nonlocal most
        most = max(most, len(protocol.pipeline))
        known(protocol)

    monkeypatch.setattr(HeadProtocol, "on_message_complete", looked)
    with linked(server, b"GET /healthz HTTP/1.1\r\n\r\n" * 2_000) as link:
        seen = 0
        while seen < 2_000:
            seen += link.recv(65_536).count(b'"loop_lag"')
    assert 1 < most <= heads.PIECE_BYTES // 25 + 1


def test_an_address_that_asks_for_much_does_not_hold_up_another(server: Running) -> None:
    """Its requests wait behind each other; one from elsewhere is next."""
    host, port = server.url.removeprefix("http://").split(":")
    server.call(lambda: None)
    with ExitStack() as stack:
        links = [stack.enter_context(linked(server, GET * 400)) for _ in range(50)]
        with socket.create_connection(
            (host, int(port)), timeout=PATIENCE, source_address=("127.0.0.9", 0)
        ) as other:
            other.sendall(GET)
            assert other.recv(65_536).startswith(b"HTTP/1.1 200 ")
        left = server.call(lambda: len(server.ticker.turns))
        for link in links:
            link.close()
    assert left > 0, "all were answered before: nothing is shown"


def test_fragments_of_nothing_take_no_memory(server: Running) -> None:
    """They may be as many as there are (RFC 6455, 5.4)."""
    with RawViewer(server) as viewer:
        viewer.send(frame(0x01, PING[:4]), frame(0x00, b"") * 5_000)
        (joined,) = until(lambda: list(server.ticker.hub.viewers))
        protocol = joined.connection._protocol  # type: ignore[attr-defined]
        viewer.send(frame(0x89, b"all read"))
        while viewer.read()[1] != b"all read":
            pass
        assert len(protocol.frames) <= transport.MOST_FRAGMENTS
        viewer.send(frame(0x80, PING[4:]))
        viewer.until_pong()


def test_of_too_many_idle_connections_the_oldest_go(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever means it is served within a moment."""
    monkeypatch.setattr(heads, "MOST_IDLE", 20)
    monkeypatch.setattr(heads, "IDLE_SECONDS", 0.0)
    with ExitStack() as stack:
        links = [stack.enter_context(linked(server, b"GET / HT")) for _ in range(50)]
        until(lambda: len(strangers(server)._idle) <= 20)
        assert [answer(link) for link in links[:30]] == [b""] * 30
        assert server.get("/healthz").status_code == 200
        with server.follow("b") as viewer:
            viewer.wait("snapshot")


def test_who_came_a_moment_ago_is_not_ended(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many there are; of those who stay idle the oldest go later. Viewers count as none."""
    monkeypatch.setattr(heads, "MOST_IDLE", 20)
    monkeypatch.setattr(heads, "IDLE_SECONDS", 1_000.0)
    with ExitStack() as stack:
        viewers = [stack.enter_context(server.follow("b")) for _ in range(30)]
        links = [stack.enter_context(linked(server, b"GET / HT")) for _ in range(40)]
        until(lambda: len(strangers(server)._idle) == 40)
        monkeypatch.setattr(heads, "IDLE_SECONDS", 0.0)
        stack.enter_context(linked(server))
        until(lambda: len(strangers(server)._idle) <= 20)
        assert [answer(link) for link in links[:20]] == [b""] * 20
        publish(server, "b", {"S1": {"last": 77}})
        for viewer in viewers:
            viewer.wait("diff")


def test_answers_that_nobody_reads_are_bounded(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one that has waited for longest goes, also where one more answer waits behind it."""
    monkeypatch.setattr(heads, "UNREAD_BYTES", 1_000_000)
    ended: list[HeadProtocol] = []
    end = heads.Strangers._end

    def noted(strangers: heads.Strangers, stranger: HeadProtocol) -> None:
        ended.append(stranger)
        end(strangers, stranger)

    monkeypatch.setattr(heads.Strangers, "_end", noted)
    known = server.ticker.strangers

    def held() -> tuple[int, ...]:
        """Return what is held and what is known of it, once nobody can be answered any more."""
        found = [protocol for protocol in protocols(server) if protocol not in ended]
        if len(found) + len(ended) < 60 or not all(p.flow.write_paused for p in found):
            return ()
        size = sum(p.transport.get_write_buffer_size() for p in found)
        return size, sum(known._unread.values())

    with ExitStack() as stack:
        for _ in range(60):
            link = stack.enter_context(socket.socket())
            link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            host, port = server.url.removeprefix("http://").split(":")
            link.connect((host, int(port)))
            link.sendall(b"GET /api/boards/b HTTP/1.1\r\nHost: x\r\n\r\n" * 5)
        size, owed = until(lambda: server.call(held), what="the last answer that fits")
        assert size == owed <= 1_000_000
        assert server.get("/healthz").status_code == 200
    until(lambda: not known._unread, what="the end of all")


def test_a_board_is_packed_once_for_all_who_ask(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As long as it is the same."""
    packed = []

    def counted(body: bytes, *args: Any, **kwargs: Any) -> bytes:
        packed.append(len(body))
        return gzip.compress(body, *args, **kwargs)

    monkeypatch.setattr("ticker.packer.compress", counted)

    def ask(_: int) -> bytes:
        response = server.get("/api/boards/b", accept_encoding="gzip")
        assert response.headers["content-encoding"] == "gzip"
        return response.content

    with ThreadPoolExecutor(8) as askers:
        bodies = set(askers.map(ask, range(24)))
    assert (len(packed), len(bodies)) == (1, 1)
    publish(server, "b", {"S1": {"last": -1}})
    assert ask(0) not in bodies
    assert len(packed) == 2


def test_history_is_told_to_one_at_a_time(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """So there is one in memory, and a turn of the loop has a few rows of it."""
    rows = PerTurn(monkeypatch, type(server.ticker.boards["b"]), "history_of")
    with ExitStack() as stack:
        links = [stack.enter_context(linked(server, HISTORY)) for _ in range(12)]
        for link in links:
            assert link.recv(1_000).startswith(b"HTTP/1.1 200 ")
    assert rows.all == 12 * 200
    assert rows.most <= 4


def test_what_fails_while_it_is_read_ends_the_connection(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And stops nobody else, also where it had waited for its turn."""

    def fails(_: object) -> None:
        raise ZeroDivisionError

    with RawViewer(server) as viewer, server.follow("b") as other:
        other.wait("snapshot")
        monkeypatch.setattr(FrameProtocol, "handle_ping", fails)
        server.call(lambda: server.ticker.turns.charge(1.0))
        viewer.send(frame(0x89, b""))
        with pytest.raises((AssertionError, ConnectionError)):
            viewer.close_code()
        publish(server, "b", {"S1": {"last": 5}})
        other.wait("diff")


def test_of_a_header_that_is_a_list_the_first_members_count(server: Running) -> None:
    """Thousands would hold up the loop for milliseconds."""
    etag = server.get("/api/boards/b").headers["etag"]
    few, many = ",".join(['"x"'] * 20), ",".join(['"x"'] * 5_000)
    assert server.get("/api/boards/b", if_none_match=f"{few}, {etag}").status_code == 304
    assert server.get("/api/boards/b", if_none_match=f"{many}, {etag}").status_code == 200
    packed = server.get("/api/boards/b", accept_encoding=",".join(["a"] * 5_000) + ", gzip")
    assert "content-encoding" not in packed.headers


def strangers(server: Running) -> heads.Strangers:
    """Return the register of a server's connections for which nothing is being done."""
    return server.ticker.strangers


def test_packed_answers_are_what_they_are() -> None:
    """And the same bytes each time."""
    made = asyncio.run(packer.Packer().packed(b"a" * 5_000))
    assert gzip.decompress(made) == b"a" * 5_000


def test_a_server_at_rest_owes_nobody_a_turn(server: Running) -> None:
    """Nothing is left of what was asked for."""
    assert isinstance(server.ticker.turns, Turns)
    until(lambda: not server.call(lambda: len(server.ticker.turns)))


def test_who_come_all_at_once_are_all_heard(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart: none is taken for one that says nothing, and none is left unread."""
    monkeypatch.setattr(heads, "MOST_IDLE", 20)
    with ExitStack() as stack:
        viewers = [stack.enter_context(linked(server)) for _ in range(100)]
        until(lambda: len(strangers(server)._idle) == 100)
        all_have_asked = threading.Event()
        server.loop.call_soon_threadsafe(all_have_asked.wait, PATIENCE)
        for viewer in viewers:
            viewer.sendall(UPGRADE)
        all_have_asked.set()
        for viewer in viewers:
            assert viewer.recv(65_536).startswith(b"HTTP/1.1 101 ")
            viewer.sendall(frame(0x81, b'{"type":"subscribe","board":"b"}'))
        for viewer in viewers:
            seen = b""
            while b'"type":"snapshot"' not in seen:
                more = viewer.recv(65_536)
                assert more, "ended"
                seen += more


@pytest.mark.parametrize("behind", [GET, GET * 3, UPGRADE], ids=["one", "some", "upgrade"])
def test_a_stream_that_was_left_is_ended_whatever_was_asked_behind_it(
    server: Running, behind: bytes
) -> None:
    """The answer under way hears of it, not the request that was read last."""
    with linked(server, EVENTS) as link:
        seen = b""
        while b'"type":"snapshot"' not in seen:
            seen += link.recv(65_536)
        link.sendall(behind)
        if behind is UPGRADE:  # no answer may be mixed with frames
            assert b"HTTP/1.1" not in answer(link)
        else:
            until(lambda: server.call(lambda: pipelined(server)))

    def is_left() -> bool:
        publish(server, "b", {"S0": {"last": time.perf_counter()}})  # nothing is read meanwhile
        return not server.ticker.hub.viewers

    until(is_left)
    assert not server.call(lambda: server.ticker.strangers._idle)
    assert not server.call(lambda: pipelined(server)), "they hold each other"


def pipelined(server: Running) -> list[HeadProtocol]:
    """Return the protocols that have a request which waits for an answer before it."""
    return [found for found in protocols(server) if found.pipeline]


def protocols(server: Running) -> list[HeadProtocol]:
    """Return all of a server that are in memory."""
    known = [found for found in gc.get_objects() if type(found) is HeadProtocol]
    return [found for found in known if found._strangers is server.ticker.strangers]


def test_no_more_is_read_than_is_parsed(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """However often an application asks for more of a body: it was given a piece each time."""
    held: list[int] = []
    known = HeadProtocol.data_received

    def looked(protocol: HeadProtocol, data: bytes) -> None:
        held.append(len(protocol._rest))
        known(protocol, data)

    monkeypatch.setattr(HeadProtocol, "data_received", looked)
    monkeypatch.setattr(heads, "PIECE_BYTES", 64)
    with linked(server, EVENTS[:-2] + b"Transfer-Encoding: chunked\r\n\r\n") as link:
        for _ in range(100):
            link.sendall(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
        until(lambda: len(held) > 10)
    assert max(held) == 0


def test_who_is_ended_while_it_waits_for_its_turn_is_told_no_more(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it had said before the end counts no more: its socket may be another's by then."""
    hub = server.ticker.hub

    async def ended(_: Turns, address: str, price: float) -> None:
        for viewer in list(hub.viewers):
            hub.end(viewer, CloseCode.ROTATED)

    monkeypatch.setattr(Turns, "take", ended)
    with RawViewer(server) as viewer:
        said = b'{"type":"resume"}', b'{"type":"subscribe","board":"b"}'
        viewer.send(*(frame(0x81, text) for text in said))
        assert viewer.close_code() == CloseCode.ROTATED
        with pytest.raises((AssertionError, ConnectionError)):  # nothing comes after it but the end
            viewer.read()
