"""Strangers who send the beginning of a request: without end, slowly, or nothing at all."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.support import PATIENCE, QUIET, Running, publish, serving, until
from ticker import heads

CONFIG = QUIET.format(heartbeat="500ms", stall="20s", viewers=100, presence="0s").replace(
    "boards:\n",
    "  p: {kind: push, every: 1s, tokens: [a token long enough], fields: {last: last}}\nboards:\n",
).replace("[other]", "[other, p]")  # fmt: skip
GET = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
PUSH = b"POST /api/feeds/p HTTP/1.1\r\nHost: x\r\n"
CHUNKED = PUSH + b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    """Return a server with a feed to push to."""
    with serving(CONFIG) as found:
        yield found


@pytest.fixture(scope="module", autouse=True)
def is_ready(running: Running) -> None:
    """Wait until its boards have been read."""
    until(lambda: running.get("/readyz").status_code == 200)


@contextmanager
def linked(running: Running, first: bytes = b"") -> Iterator[socket.socket]:
    """Connect, and send the first bytes."""
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as link:
        link.sendall(first)
        yield link


def answer(link: socket.socket) -> bytes:
    """Return what comes until the server ends the connection."""
    found = b""
    try:
        while piece := link.recv(65_536):
            found += piece
    except ConnectionResetError:
        pass
    return found


def flood(link: socket.socket, piece: bytes) -> None:
    """Send ``piece`` again and again, 50 MB in all."""
    for _ in range(50_000_000 // len(piece)):
        link.sendall(piece)


ENDLESS = {
    "an address": (b"GET /", b"x" * 8192),
    "a header": (b"GET / HTTP/1.1\r\nX: ", b"x" * 8192),
    "a header's name": (b"GET / HTTP/1.1\r\n", b"x" * 8192),
    "headers": (b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 1365),
    "lines before a request": (b"", b"\r\n" * 4096),
    "a chunk's extension": (CHUNKED + b"1;", b"x" * 8192),
    "trailers": (CHUNKED + b"0\r\n", b"a: b\r\n" * 1365),
    "a trailer": (CHUNKED + b"0\r\nX: ", b"x" * 8192),
    "headers of an upgrade": (
        b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n",
        b"a: b\r\n" * 1365,
    ),
    "headers of a second request": (GET + b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 1365),
}


@pytest.mark.parametrize("what", ENDLESS)
def test_what_never_ends_is_ended(running: Running, what: str) -> None:
    """Before it takes memory; the server goes on for the others."""
    head, piece = ENDLESS[what]
    with running.follow("b") as viewer, linked(running, head) as link:
        viewer.wait("snapshot")
        with pytest.raises((BrokenPipeError, ConnectionResetError)):
            flood(link, piece)
        publish(running, "b", {"A": {"last": time.time()}})
        viewer.wait("diff")


def test_a_head_that_is_too_long_is_told(running: Running) -> None:
    """431, and the end."""
    with linked(running, b"GET / HTTP/1.1\r\nX: ") as link:
        link.sendall(b"x" * (heads.HEAD_BYTES + 1))
        assert answer(link).startswith(b"HTTP/1.1 431 ")


def test_a_long_body_is_no_head(running: Running) -> None:
    """However it comes."""
    rows = b'[{"symbol": "A", "last": 1, "note": "' + b"x" * 500_000 + b'"}]'
    named = b"Authorization: Bearer a token long enough\r\nContent-Type: application/json\r\n"
    pieces = [rows[i : i + 999] for i in range(0, len(rows), 999)]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    for request in (
        PUSH + named + b"Content-Length: %d\r\n\r\n" % len(rows) + rows,
        PUSH + named + b"Transfer-Encoding: chunked\r\n\r\n" + chunks,
    ):
        with linked(running, request) as link:
            assert link.recv(4096).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def hasty(running: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """Return a server that waits for a head but for half a second."""
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.5)
    return running


SLOW = {
    "nothing": (b"", b""),
    "half a line": (b"GET /hea", b""),
    "a header after the other": (b"GET /healthz HTTP/1.1\r\n", b"a: b\r\n"),
    "half an upgrade": (b"GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n", b"a: b\r\n"),
    "empty lines": (b"", b"\r\n"),
    "a second request": (GET + b"GET /hea", b"l"),
    "empty lines after a request": (GET, b"\r\n"),
    "the body of what is refused": (PUSH + b"Content-Length: 9999\r\n\r\n", b"x"),
}


@pytest.mark.parametrize("what", SLOW)
def test_who_takes_too_long_is_ended(hasty: Running, what: str) -> None:
    """Also who sends something all the time."""
    head, drop = SLOW[what]
    with linked(hasty, head) as link:
        link.settimeout(0.05)
        until(lambda: has_ended(link, drop), what="the end")


def has_ended(link: socket.socket, drop: bytes) -> bool:
    """Whether the server has ended the connection, on which one drop more is sent."""
    try:
        link.sendall(drop)
        return link.recv(65_536) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def test_who_watches_is_not_waited_for(hasty: Running) -> None:
    """Neither over a WebSocket nor by events, for longer than a head may take."""
    events = b"GET /events?board=b HTTP/1.1\r\nHost: x\r\n\r\n"
    with hasty.follow("b") as viewer, linked(hasty, events) as link:
        for _ in range(4):  # half a second each
            viewer.wait("heartbeat")
        link.settimeout(PATIENCE)
        seen = b""
        while seen.count(b"heartbeat") < 4:
            piece = link.recv(65_536)
            assert piece
            seen += piece
        viewer.send(type="ping")
        viewer.wait("pong")


def test_requests_follow_one_another_on_a_connection(hasty: Running) -> None:
    """For longer than one may take."""
    with linked(hasty) as link:
        ends = time.monotonic() + 1.5
        while time.monotonic() < ends:
            link.sendall(GET)
            found = b""
            while not found.endswith(b"}}"):
                found += link.recv(65_536)
            assert found.startswith(b"HTTP/1.1 200 ")
