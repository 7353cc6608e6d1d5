"""Viewers who do wrong: they must harm nobody but themselves."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.faults.schedule import fault

if TYPE_CHECKING:
    from tests.faults.world import World

HOST = "127.0.0.1"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
DEFLATE = "permessage-deflate; client_max_window_bits"


class Rogue:
    """A raw connection that was upgraded, and what can be done with it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def reset(self) -> None:
        """End the connection with RST."""
        raw = self.writer.get_extra_info("socket")
        with suppress(OSError):
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self.writer.is_closing() or self.reader.at_eof()


async def rogue(
    world: World, query: str = "board=prices&board=scores", *, deflate: bool = False, room: int = 0
) -> Rogue:
    """Connect and upgrade; ``room`` bounds the bytes that the kernel takes for it.

    Raises OSError or EOFError where that fails, as it may when the server is ill.
    """
    raw = socket.socket()
    raw.setblocking(False)
    if room:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    try:
        async with asyncio.timeout(10):
            await asyncio.get_running_loop().sock_connect(raw, (HOST, world.server.port))
            reader, writer = await asyncio.open_connection(sock=raw, limit=room or 65_536)
            extensions = f"Sec-WebSocket-Extensions: {DEFLATE}\r\n" if deflate else ""
            writer.write(
                f"GET /ws?{query} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
                f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
                f"Sec-WebSocket-Version: 13\r\n{extensions}\r\n".encode()
            )
            await reader.readuntil(b"\r\n\r\n")
    except BaseException:
        raw.close()
        raise
    return Rogue(reader, writer)


async def rogues(world: World, count: int, query: str = "", *, room: int = 0) -> list[Rogue]:
    """Connect so many, as far as they are let in."""
    wanted = query or "board=prices&board=scores"
    found = await asyncio.gather(
        *(rogue(world, wanted, room=room) for _ in range(count)), return_exceptions=True
    )
    return [one for one in found if isinstance(one, Rogue)]


ENDED = (r"viewer \w+ is ended: ",)


@fault("viewers: stalled", logs=ENDED)
async def stalled(world: World, rng: random.Random, seconds: float) -> None:
    """They read nothing more."""
    there = await rogues(world, rng.randrange(5, 30), room=4096)
    for one in there:
        one.writer.transport.pause_reading()  # type: ignore[attr-defined] # it is a transport of sockets
    await asyncio.sleep(seconds)
    for one in there:
        one.reset()
