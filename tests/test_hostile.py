"""Viewers that break RFC 6455 and RFC 7692 on purpose: closed by the book, nothing else happens."""

from __future__ import annotations

import gc
import socket
import struct
import zlib
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.support import Running, publish, quiet_server, until
from ticker.channel import Channel
from ticker.deflate import TAIL
from ticker.heads import HeadProtocol
from ticker.transport import FrameProtocol

MASK = b"\x01\x02\x03\x04"
PING = b'{"type":"ping"}'


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return one server for all of them."""
    with quiet_server() as running:
        yield running


@pytest.fixture(autouse=True)
def everybody_is_served_and_gone(server: Running) -> Iterator[None]:
    """After each attack a well-behaved viewer is served, and nothing of the other is left."""
    yield
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        publish(server, "b", {"A": {"last": viewer.seqs["b"]}})
        viewer.wait("diff")
    until(lambda: not server.ticker.hub.viewers)


def frame(first: int, payload: bytes, *, masked: bool = True, length: int | None = None) -> bytes:
    """Return a frame as a client sends it; ``length`` may lie."""
    size = len(payload) if length is None else length
    bit = 0x80 if masked else 0
    if size < 126:
        head = struct.pack("!BB", first, bit | size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BBQ", first, bit | 127, size)
    if not masked:
        return head + payload
    mixed = bytes(byte ^ MASK[i % 4] for i, byte in enumerate(payload))
    return head + MASK + mixed


def deflated(text: bytes, level: int = 9) -> bytes:
    """Return ``text`` as permessage-deflate has it."""
    compressor = zlib.compressobj(level, wbits=-15)
    return (compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


class RawViewer:
    """A socket after the upgrade that sends what it likes."""

    def __init__(
        self, server: Running, extensions: str = "permessage-deflate", receive: int = 262_144
    ) -> None:
        host, port = server.url.removeprefix("http://").split(":")
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._socket.settimeout(10)
        self._socket.connect((host, int(port)))
        self._socket.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Extensions: " + extensions.encode() + b"\r\n\r\n"
        )
        self._buffer = b""
        while b"\r\n\r\n" not in self._buffer:
            self._buffer += self._socket.recv(4096)
        self.head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")

    def __enter__(self) -> RawViewer:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *frames: bytes) -> None:
        """Send bytes as they are."""
        self._socket.sendall(b"".join(frames))

    def flood(self, data: bytes, *, megabytes: int) -> None:
        """Send ``data`` again and again, for a while or until the server takes no more."""
        self._socket.settimeout(0.5)
        with suppress(TimeoutError):
            for _ in range(megabytes * 1_000_000 // len(data)):
                self._socket.sendall(data)

    def read(self) -> tuple[int, bytes]:
        """Return the next frame's first byte and payload."""
        head = self._exactly(2)
        size = head[1]
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        return head[0], self._exactly(size)

    def close_code(self) -> int:
        """Return the code of the close frame, after whatever comes before it."""
        while True:
            first, payload = self.read()
            if first == 0x88:
                return int(struct.unpack("!H", payload[:2])[0])

    def until_pong(self) -> None:
        """Read until our protocol's pong."""
        while b'"pong"' not in self.read()[1]:
            pass

    def _exactly(self, size: int) -> bytes:
        while len(self._buffer) < size:
            received = self._socket.recv(65_536)
            assert received, "closed without a close frame"
            self._buffer += received
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found


VIOLATIONS = {
    "an unmasked frame": (frame(0x81, PING, masked=False), 1002),
    "a reserved opcode": (frame(0x83, PING), 1002),
    "a reserved bit": (frame(0xA1, PING), 1002),
    "a control frame in fragments": (frame(0x09, b""), 1002),
    "a control frame too long": (frame(0x89, b"x" * 126), 1002),
    "a continuation of nothing": (frame(0x80, PING), 1002),
    "a new message inside another": (frame(0x01, b"{") + frame(0x81, PING), 1002),
    "text that is not UTF-8": (frame(0x81, b'"\xff"'), 1007),
    "a message too long": (frame(0x81, b"x" * 20_000), 1009),
    "a length that lies": (frame(0x81, b"", length=2**62), 1009),
    "fragments too long together": (frame(0x01, b"x" * 9_000) + frame(0x80, b"x" * 9_000), 1009),
    "a close code that must not be sent": (frame(0x88, struct.pack("!H", 1005)), 1002),
    "deflate that is none": (frame(0xC1, b"\xff\xff\xff\xff"), 1002),
    "a bomb of 100 MB": (frame(0xC1, deflated(bytes(100_000_000))[:60_000]), 1009),
    "a small bomb": (frame(0xC1, deflated(b" " * 1_000_000)), 1009),
    "a compressed continuation": (frame(0x01, b"{") + frame(0xC0, b"}"), 1002),
}


@pytest.mark.parametrize("name", VIOLATIONS)
def test_a_violation_is_closed_by_the_book(
    server: Running, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With the code of RFC 6455, 7.4.1, and without a word in the log: strangers do not fill it."""
    sent, code = VIOLATIONS[name]
    with RawViewer(server) as viewer:
        viewer.send(sent)
        assert viewer.close_code() == code
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


def test_compressed_without_having_agreed_is_a_violation(server: Running) -> None:
    """RSV1 means nothing then."""
    with RawViewer(server, "x-none") as viewer:
        assert b"permessage-deflate" not in viewer.head
        viewer.send(frame(0xC1, deflated(PING)))
        assert viewer.close_code() == 1002


def test_compressed_messages_are_read(server: Running) -> None:
    """Each on its own, as was agreed."""
    with RawViewer(server) as viewer:
        assert b"client_no_context_takeover" in viewer.head
        for _ in range(3):
            viewer.send(frame(0xC1, deflated(PING)))
            viewer.until_pong()


def test_fragments_and_control_frames_between_them_are_read(server: Running) -> None:
    """A message may come in pieces, with pings inside (RFC 6455, 5.4)."""
    with RawViewer(server) as viewer:
        viewer.send(
            frame(0x01, PING[:5]),
            frame(0x89, b"between"),
            frame(0x00, PING[5:9]),
            frame(0x00, b""),
            frame(0x80, PING[9:]),
        )
        seen = [viewer.read() for _ in range(3)]
        assert (0x8A, b"between") in seen
        assert any(b'"pong"' in payload for _, payload in seen)


def test_a_compressed_message_in_fragments_is_read(server: Running) -> None:
    """RSV1 stands on the first only (RFC 7692, 6.1)."""
    data = deflated(PING)
    with RawViewer(server) as viewer:
        viewer.send(frame(0x41, data[:4]), frame(0x80, data[4:]))
        viewer.until_pong()


def test_who_offers_deflate_and_never_reads_is_bounded(server: Running) -> None:
    """Compressed or not, what waits for a viewer is bounded by its buffer and one message."""
    with RawViewer(server) as viewer:
        viewer.send(frame(0x81, b'{"type":"subscribe","board":"b"}'))
        hub = server.ticker.hub
        until(lambda: any(v.watches for v in hub.viewers))
        for i in range(60):
            rows = {f"S{j}": {"name": f"{i * j * 7919 % 99991:x}" * 9} for j in range(300)}
            publish(server, "b", rows)
            assert max(v.connection.pending() for v in hub.viewers) < 200_000


def test_pings_of_one_who_does_not_read_pile_up_nowhere(server: Running) -> None:
    """What may wait is the pongs to one piece of what was read, a quarter of a megabyte."""
    with RawViewer(server) as viewer:
        hub = server.ticker.hub
        until(lambda: hub.viewers)
        viewer.flood(frame(0x89, b"x" * 125) * 1_000, megabytes=20)
        assert max(v.connection.pending() for v in hub.viewers) < 400_000


def test_one_who_reads_slowly_is_not_taken_for_silent() -> None:
    """Its answer to a ping waits behind other data; the stall timeout judges then."""
    with quiet_server(pings=0.5) as server, RawViewer(server, receive=4096) as viewer:
        viewer.send(frame(0x81, b'{"type":"subscribe","board":"b"}'))
        hub = server.ticker.hub
        until(lambda: any(v.watches for v in hub.viewers))
        for i in range(40):
            rows = {f"S{j}": {"name": f"{i * j * 7919 % 99991:x}" * 30} for j in range(500)}
            publish(server, "b", rows)
        (slow,) = hub.viewers
        assert not slow.ready
        for i in range(200):  # each takes a flush of 10 ms: several pings long
            publish(server, "c", {"X": {"last": i}})
        assert slow in hub.viewers
        assert "silent" not in hub.closed


def test_a_connection_that_is_over_leaves_nothing_for_the_collector(server: Running) -> None:
    """Reference counts alone free it; the collector looks seldom here."""
    gc.collect()
    gc.disable()
    try:
        kinds = (FrameProtocol, HeadProtocol, Channel)
        before = sum(isinstance(o, kinds) for o in gc.get_objects())
        for _ in range(20):
            with RawViewer(server) as viewer:
                viewer.send(frame(0x81, b'{"type":"subscribe","board":"b"}'))
                viewer.read()
            server.get("/api/boards/b")
            server.get("/there-is-nothing")
        until(lambda: not server.ticker.hub.viewers)
        until(
            lambda: sum(isinstance(o, kinds) for o in gc.get_objects()) <= before + 4,
            what="the end of every protocol and channel",
            patience=5,
        )
    finally:
        gc.enable()


@pytest.mark.parametrize("messages", [1, 50])
def test_messages_and_a_close_in_one_segment_hold_up_nobody(server: Running, messages: int) -> None:
    """Who says goodbye while it is still being answered is not waited for."""
    with RawViewer(server) as viewer:
        viewer.send(frame(0x81, PING) * messages, frame(0x88, struct.pack("!H", 1000)))
        assert viewer.close_code() == 1000
