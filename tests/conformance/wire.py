"""One connection, octet by octet: what is sent goes as it is, what comes is told exactly."""

from __future__ import annotations

import socket
import struct
import zlib
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from tests.support import PATIENCE
from ticker.deflate import TAIL

CONT, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
MASK = b"\xa5\x5a\x0f\xf0"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Frame(NamedTuple):
    """A frame as it came: its first octet, whether a mask was announced, and its payload."""

    first: int
    masked: bool
    payload: bytes


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    size: int | None = None,
    length_in: int = 0,
) -> bytes:
    """Return a frame (RFC 6455, 5.2); ``rsv`` is one of RSV1 to RSV3 or several.

    ``mask`` of None leaves it out, ``size`` may lie, ``length_in`` octets of extended length may be
    more than it takes.
    """
    first = opcode | rsv | (FIN if fin else 0)
    size = len(payload) if size is None else size
    bit = 0x80 if mask is not None else 0
    if length_in == 8 or size > 0xFFFF:
        head = struct.pack("!BBQ", first, bit | 127, size)
    elif length_in == 2 or size > 125:
        head = struct.pack("!BBH", first, bit | 126, size)
    else:
        head = struct.pack("!BB", first, bit | size)
    return head if mask is None and not payload else head + _masked(payload, mask)


def _masked(payload: bytes, mask: bytes | None) -> bytes:
    if mask is None:
        return payload
    key = (mask * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return mask + mixed.to_bytes(len(payload), "big")


def fragments(
    payload: bytes, size: int, opcode: int = TEXT, rsv: int = 0, between: bytes = b""
) -> bytes:
    """Return a message in frames of ``size`` octets, with ``between`` after each but the last."""
    parts = [payload[i : i + size] for i in range(0, len(payload), size)] or [b""]
    frames = [
        frame(CONT if i else opcode, part, fin=i == len(parts) - 1, rsv=0 if i else rsv)
        for i, part in enumerate(parts)
    ]
    return between.join(frames)


def close(code: int | None = None, reason: bytes = b"") -> bytes:
    """Return a close frame."""
    return frame(CLOSE, (b"" if code is None else struct.pack("!H", code)) + reason)


def deflated(text: bytes, bits: int = 15, level: int = 9, *, final: bool = False) -> bytes:
    """Return ``text`` as a message of permessage-deflate on its own, if asked in a final block."""
    compressor = zlib.compressobj(level, wbits=-bits)
    data = compressor.compress(text)
    if final:
        return data + compressor.flush() + b"\x00"  # RFC 7692, 7.2.3.4
    return (data + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(TAIL)


def in_one_window(*texts: bytes, between: bytes = b"") -> list[bytes]:
    """Return messages that refer to those before them, with ``between`` after each but the last."""
    compressor = zlib.compressobj(9, wbits=-15)
    parts = [compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH) for text in texts]
    parts = [part.removesuffix(TAIL) for part in parts]
    return [part + between for part in parts[:-1]] + parts[-1:]


def request(
    *lines: str, path: str = "/ws", start: str = "GET {path} HTTP/1.1", host: str | None = "x"
) -> bytes:
    """Return an opening handshake with ``lines`` in place of, or beside, the usual headers.

    A line without a value (``Upgrade:``) leaves that header out.
    """
    usual = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    named = {line.partition(":")[0].lower() for line in lines}
    kept = [f"{k}: {v}" for k, v in usual.items() if k.lower() not in named and v is not None]
    given = [line for line in lines if line.partition(":")[2]]
    return "\r\n".join([start.format(path=path), *kept, *given, "", ""]).encode("latin-1")


class Wire:
    """A TCP connection to ``url``, with room for ``receive`` octets that are not read."""

    def __init__(self, url: str, receive: int = 0) -> None:
        host, _, port = url.removeprefix("http://").partition(":")
        self._socket = socket.socket()
        if receive:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self._socket.settimeout(PATIENCE)
        self._socket.connect((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *pieces: bytes, chop: int = 0) -> None:
        """Send each piece in a segment of its own, or in segments of ``chop`` octets.

        A server that has ended the connection meanwhile is no error here.
        """
        with suppress(ConnectionError):
            for piece in pieces:
                for start in range(0, len(piece), chop or len(piece)):
                    self._socket.sendall(piece[start : start + (chop or len(piece))])

    def say_no_more(self) -> None:
        """End the way to the server; what comes can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def head(self) -> tuple[int, dict[str, list[str]]]:
        """Return the status and headers of an HTTP response."""
        while b"\r\n\r\n" not in self._buffer:
            assert self._receive(), f"no response, only {self._buffer!r}"
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        start, *lines = head.decode("latin-1").split("\r\n")
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers.setdefault(name.lower(), []).append(value.strip())
        return int(start.split()[1]), headers

    def open(self, *lines: str, path: str = "/ws") -> dict[str, list[str]]:
        """Open a WebSocket and return the headers of the answer."""
        self.send(request(*lines, path=path))
        status, headers = self.head()
        assert status == 101, f"{status}: {headers}"
        return headers

    def frame(self) -> Frame | None:
        """Return the next frame; None when the connection was ended instead."""
        head = self._exactly(2)
        if head is None:
            return None
        size = head[1] & 0x7F
        if size > 125:
            extended = self._exactly(2 if size == 126 else 8)
            size = int.from_bytes(extended or b"", "big")
        payload = self._exactly(size) if size else b""
        return None if payload is None else Frame(head[0], head[1] > 0x7F, payload)

    def is_over(self) -> bool:
        """Wait for the end of the TCP connection; False when something else comes."""
        return not self._buffer and not self._receive()

    def _exactly(self, size: int) -> bytes | None:
        while len(self._buffer) < size:
            if not self._receive():
                assert not self._buffer, f"a frame was cut off: {self._buffer!r}"
                return None
        found, self._buffer = self._buffer[:size], self._buffer[size:]
        return found

    def _receive(self) -> bool:
        """Receive more; False at the end, in whatever way that came."""
        try:
            received = self._socket.recv(1 << 16)
        except ConnectionResetError:
            return False
        self._buffer += received
        return bool(received)


def closing(payload: bytes) -> int | None:
    """Return the code in the payload of a close frame; None when there is none."""
    return struct.unpack("!H", payload[:2])[0] if payload else None


def inflated(payloads: Sequence[bytes], bits: int = 15) -> list[bytes]:
    """Return the texts of compressed messages that one window leads through."""
    window = zlib.decompressobj(wbits=-bits)
    return [window.decompress(payload + TAIL) for payload in payloads]
