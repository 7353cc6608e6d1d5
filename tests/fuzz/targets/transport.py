"""Bytes that come to a real server over a socket: it goes on, and serves everybody else.

An input is what is sent: one request or more, an upgrade and frames, or neither.
"""

from __future__ import annotations

import atexit
import logging
import socket
import struct
import zlib
from contextlib import ExitStack, suppress
from functools import cache

from hypothesis import strategies as st

from tests.fuzz.kit import CUT
from tests.support import Running, publish, serving, until
from ticker.deflate import TAIL

CONFIG = """
server: {max_message: 4KB, messages_per_second: 0}
feeds:
  still: {kind: simulate, every: 24h, symbols: {SIM: 100}}
  pushed: {kind: push, tokens: ["0123456789abcdef"], fields: {last: last}}
boards:
  b: {feeds: [still], flush: 10ms}
  c: {feeds: [pushed], flush: 10ms}
"""
LOOK_EVERY = 50
"""After so many inputs somebody else is served: more often would take most of the time."""

PATIENCE = 10.0
MOST = 1_000_000

HEAD = b"GET /ws?board=b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
UPGRADE = HEAD + KEY + b"\r\n"
DEFLATED = HEAD + KEY + DEFLATE + b"\r\n"


class Complaints(logging.Handler):
    """What the log says that nobody has to be told of."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.heard: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Remember a line."""
        self.heard.append(logging.Formatter().format(record))


class Attack:
    """A server, and who talks nonsense to it."""

    def __init__(self) -> None:
        stack = ExitStack()
        self.server: Running = stack.enter_context(serving(CONFIG))
        atexit.register(stack.close)
        until(lambda: self.server.ticker.boards["b"].seq, what="the first reading")
        host, port = self.server.url.removeprefix("http://").split(":")
        self._address = host, int(port)
        self._complaints = Complaints()
        for name in (None, "uvicorn", "uvicorn.error", "asyncio"):
            logging.getLogger(name).addHandler(self._complaints)
        self._count = 0

    def send(self, data: bytes) -> bytes:
        """Send bytes, in as many pieces as they are cut into, and return what comes back."""
        with socket.create_connection(self._address, PATIENCE) as raw:
            answer = b""
            try:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for piece in data.split(CUT):
                    raw.sendall(piece)
                with suppress(OSError):  # it has hung up already
                    raw.shutdown(socket.SHUT_WR)
                while (received := raw.recv(65_536)) and len(answer) < MOST:
                    answer += received
            except ConnectionError:
                pass  # the server cuts off who goes on after a close
        return answer

    def judge(self, answer: bytes) -> None:
        """Fail when the server had trouble, or when it does not serve others any more."""
        hub = self.server.ticker.hub
        until(lambda: not hub.viewers, what="the end of the viewer", patience=PATIENCE)
        heard = [self._complaints.heard.pop() for _ in list(self._complaints.heard)]
        assert not heard, "\n".join(heard)
        assert len(answer) < MOST, "there is no end to it"
        for line in answer.split(b"\r\n"):
            assert not line.startswith(b"HTTP/1.1 500"), answer[:2_000]
        self._count += 1
        if self._count % LOOK_EVERY == 1:
            self.serves()

    def serves(self) -> None:
        """Fail unless a viewer is told what changes."""
        with self.server.follow("b") as viewer:
            viewer.wait("snapshot")
            publish(self.server, "b", {"A": {"last": self._count}})
            viewer.wait("diff")
        until(lambda: not self.server.ticker.hub.viewers, what="the end of the other")


@cache
def attack() -> Attack:
    """Return the one server of all inputs."""
    return Attack()


def one(data: bytes) -> None:
    """Hold that the server answers or hangs up, logs no defect, and serves others."""
    attack().judge(attack().send(data))


def frame(first: int, payload: bytes, *, mask: bytes = b"\0\0\0\0") -> bytes:
    """Return a frame as a browser sends it."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    else:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    return head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))


def deflated(text: bytes) -> bytes:
    """Return ``text`` as permessage-deflate has it."""
    compressor = zlib.compressobj(9, wbits=-15)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def _request(method: str, path: str, more: str, headers: list[str]) -> bytes:
    head = f"{method} {path}{more} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    return f"{head}{''.join(headers)}\r\n".encode("latin-1")


def inputs() -> st.SearchStrategy[bytes]:
    """Return upgrades with frames of all kinds, and requests with odd targets and headers."""
    texts = st.sampled_from(
        [
            b'{"type":"ping"}',
            b'{"type":"subscribe","board":"c"}',
            b'{"type":"pause"}',
            b"{",
            b"\xff",
            struct.pack("!H", 1000),
            struct.pack("!H", 999) + b"x",
            b" " * 5_000,
        ]
    )
    payload = st.one_of(texts, texts.map(deflated), st.binary(max_size=130))
    first = st.one_of(
        st.sampled_from([0x81, 0xC1, 0x01, 0x80, 0x88, 0x89, 0x8A]), st.integers(0, 255)
    )
    frames = st.lists(
        st.one_of(
            st.builds(
                lambda f, p, m: frame(f, p, mask=m),
                first,
                payload,
                st.binary(min_size=4, max_size=4),
            ),
            st.just(CUT),
        ),
        max_size=6,
    ).map(b"".join)
    viewer = st.builds(bytes.__add__, st.sampled_from([UPGRADE, DEFLATED]), frames)
    odd = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=20)
    paths = [
        "/",
        "/ws",
        "/events?board=",
        "/api/boards/",
        "/api/boards/b/history?points=",
        "/api/feeds/pushed",
        "/static/",
    ]
    names = "Content-Length Transfer-Encoding Last-Event-ID Origin Range Host If-None-Match"
    header = st.builds("{}: {}\r\n".format, st.sampled_from(names.split()), odd)
    request = st.builds(
        _request,
        st.sampled_from(["GET", "POST", "HEAD", "PUT", "X"]),
        st.sampled_from(paths),
        odd,
        st.lists(header, max_size=3),
    )
    return st.one_of(viewer, request, st.binary(max_size=200))
