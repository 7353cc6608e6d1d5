"""Viewers who do wrong: they must harm nobody but themselves."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import zlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from time import monotonic, time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import orjson

from tests.faults.schedule import fault

if TYPE_CHECKING:
    from tests.faults.world import World

Be = Callable[[random.Random], Awaitable[None]]

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
        with suppress(OSError, AttributeError):  # it may have ended by itself
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self.writer.is_closing() or self.reader.at_eof()


def asked(query: str, more: str = "") -> bytes:
    """Return the request of an upgrade."""
    return (
        f"GET /ws?{query} HTTP/1.1\r\nHost: {HOST}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {KEY}\r\n"
        f"Sec-WebSocket-Version: 13\r\n{more}\r\n".encode()
    )


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
            writer.write(asked(query, extensions))
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

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
FIN, RSV1 = 0x80, 0x40
END_SECONDS = 4.0
"""Longest time until a connection ends that broke the rules."""

SWARM = 20
"""Most viewers of a kind at a time."""


def frame(
    payload: bytes, head: int = FIN | TEXT, *, masked: bool = True, length: int = -1
) -> bytes:
    """Return a WebSocket frame, right or wrong: ``length`` is what it says of its payload."""
    size = len(payload) if length < 0 else length
    mask = 0x80 if masked else 0
    if size < 126:
        start = struct.pack("!BB", head, mask | size)
    elif size < 65_536:
        start = struct.pack("!BBH", head, mask | 126, size)
    else:
        start = struct.pack("!BBQ", head, mask | 127, size)
    key = b"\x01\x02\x03\x04" if masked else b""
    hidden = bytes(b ^ key[i % 4] for i, b in enumerate(payload)) if masked else payload
    return start + key + hidden


def said(**message: Any) -> bytes:
    """Return the frame of a message."""
    return frame(orjson.dumps(message))


async def swarm(world: World, rng: random.Random, seconds: float, be: Be) -> None:
    """Let some rogues be there for so long, each of which comes again when it has ended."""
    ends = monotonic() + seconds

    async def live(chance: random.Random) -> None:
        while monotonic() < ends:
            with suppress(OSError, EOFError, TimeoutError, RuntimeError, asyncio.LimitOverrunError):
                async with asyncio.timeout_at(asyncio.get_running_loop().time() + max(0.1, left())):
                    await be(chance)
            await asyncio.sleep(0.05)

    def left() -> float:
        return ends - monotonic()

    count = rng.randrange(3, SWARM)
    await asyncio.gather(*(live(random.Random(rng.getrandbits(32))) for _ in range(count)))


# -- they do not read


@fault("viewers: stalled", logs=ENDED)
async def stalled(world: World, rng: random.Random, seconds: float) -> None:
    """They read nothing more, and say something now and then."""
    there = await rogues(world, rng.randrange(5, SWARM), room=4096)
    for one in there:
        one.writer.transport.pause_reading()  # type: ignore[attr-defined] # it is one of sockets
    for one in there:
        with suppress(OSError, RuntimeError):
            one.send(said(type="subscribe", board="prices") * rng.randrange(40))
    await asyncio.sleep(seconds)
    for one in there:
        one.reset()


@fault("viewers: trickling", logs=ENDED)
async def trickling(world: World, rng: random.Random, seconds: float) -> None:
    """They read a byte at a time, and write so, too."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world, room=2048)
        try:
            words = said(type="ping") + said(type="subscribe", board="scores")
            for byte in words * 1000:
                await one.reader.read(chance.choice((1, 1, 7, 100)))
                one.send(bytes([byte]))
                await asyncio.sleep(0.02)
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)


@fault("viewers: half-open", logs=ENDED)
async def half_open(world: World, rng: random.Random, seconds: float) -> None:
    """They end their half of the connection, and go on reading or not."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world)
        try:
            if chance.random() < 0.5:
                one.send(frame(b"\x03\xe8", FIN | CLOSE))
            one.writer.write_eof()
            if chance.random() < 0.5:
                while await one.reader.read(1000):
                    pass
            await asyncio.sleep(chance.uniform(0, seconds))
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)


# -- they come and go


@fault("viewers: resetting", logs=ENDED)
async def resetting(world: World, rng: random.Random, seconds: float) -> None:
    """They end with a reset, in the middle of whatever."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world, deflate=chance.random() < 0.5)
        one.send(said(type="subscribe", board="prices")[: chance.randrange(40)])
        await asyncio.sleep(chance.uniform(0, 0.3))
        one.reset()

    await swarm(world, rng, seconds, be)


@fault("viewers: storming", logs=ENDED)
async def storming(world: World, rng: random.Random, seconds: float) -> None:
    """Crowds of them come at once and go at once, some before they are let in."""

    async def be(chance: random.Random) -> None:
        raw = socket.socket()
        raw.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(raw, (HOST, world.server.port))
            request = asked("board=prices&board=scores")
            await asyncio.get_running_loop().sock_sendall(raw, request[: chance.randrange(400)])
            if chance.random() < 0.5:
                await asyncio.sleep(0.05)
        finally:
            raw.close()

    async def wave(chance: random.Random) -> None:
        there = await rogues(world, 20)
        await asyncio.sleep(chance.uniform(0, 0.2))
        for one in there:
            one.reset() if chance.random() < 0.5 else one.writer.close()
        await be(chance)

    await swarm(world, rng, seconds, rng.choice((be, wave)))


@fault("viewers: unfinished requests", logs=ENDED)
async def unfinished(world: World, rng: random.Random, seconds: float) -> None:
    """They begin a request, of whatever kind, and never end it."""

    async def be(chance: random.Random) -> None:
        reader, writer = await asyncio.open_connection(HOST, world.server.port)
        try:
            paths = ("/", "/events?board=prices", "/api/boards/scores", "/metrics", "/nowhere")
            ask = f"GET {chance.choice(paths)} HTTP/1.1\r\nHost: {HOST}\r\n"
            writer.write(chance.choice((ask, ask + "X: " + "y" * 9_000, ask + "\r\n", "")).encode())
            await asyncio.wait_for(reader.read(chance.choice((1, 5_000))), 2)
            await asyncio.sleep(chance.uniform(0, 2))
        finally:
            writer.transport.abort()

    await swarm(world, rng, seconds, be)


@fault("viewers: events unread", logs=ENDED)
async def events_unread(world: World, rng: random.Random, seconds: float) -> None:
    """They ask for Server-Sent Events, read slowly or not at all, and go."""

    async def be(chance: random.Random) -> None:
        reader, writer = await asyncio.open_connection(HOST, world.server.port, limit=2048)
        try:
            last = chance.choice(("", "Last-Event-ID: zz:9\r\n", "Last-Event-ID: \r\n"))
            writer.write(
                f"GET /events?board=prices HTTP/1.1\r\nHost: {HOST}\r\n{last}\r\n".encode()
            )
            for _ in range(chance.randrange(20)):
                await reader.read(chance.choice((1, 100, 10_000)))
                await asyncio.sleep(0.05)
            await asyncio.sleep(chance.uniform(0, 1))
        finally:
            writer.transport.abort()

    await swarm(world, rng, seconds, be)


# -- what they say


@fault("viewers: flooding", logs=ENDED)
async def flooding(world: World, rng: random.Random, seconds: float) -> None:
    """They say far too much."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world)
        try:
            words = chance.choice(
                (
                    said(type="ping"),
                    said(type="subscribe", board="prices"),
                    said(type="subscribe", board="scores", rate=5)
                    + said(type="unsubscribe", board="scores"),
                    said(type="pause") + said(type="resume"),
                    frame(b"x" * 100, FIN | PING),
                    frame(b"", FIN | PONG),
                    said(type="token", token="x" * 1000),
                    said(type="nonsense"),
                )
            )
            reads = chance.random() < 0.7
            for _ in range(40):
                one.send(words * 40)
                await asyncio.wait_for(one.writer.drain(), 1)
                if reads:
                    await one.reader.read(100_000)
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)


@fault("viewers: lying about where they are", logs=ENDED)
async def lying(world: World, rng: random.Random, seconds: float) -> None:
    """They resume from places that are not, or are not theirs."""

    async def be(chance: random.Random) -> None:
        viewer = chance.choice(world.crowd.viewers)
        epoch = next((v.state.epoch for v in viewer.views.values() if v.state), "none")
        epoch = chance.choice((epoch, epoch[::-1], "", "ü", "x" * 5_000, "0"))
        seq: Any = chance.choice((0, 1, -1, 7, 10**6, 2**63, 10**40, 1.5, "1", None, True, [], {}))
        query = f"board=prices&epoch={quote(epoch)}&seq={quote(str(seq))}"
        one = await rogue(world, chance.choice((query, "")))
        try:
            for board in ("prices", "scores", "nowhere", 7, None, "x" * 9_000):
                rate = chance.choice((1, 0, -1, 1e300, "fast", 0.0001))
                message = {"type": "subscribe", "board": board, "epoch": epoch, "seq": seq}
                if chance.random() < 0.3:
                    message["rate"] = rate
                one.send(frame(json.dumps(message).encode()))
                await one.reader.read(10_000)
            await asyncio.sleep(chance.uniform(0, 0.5))
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)


@fault("viewers: no protocol", logs=ENDED)
async def no_protocol(world: World, rng: random.Random, seconds: float) -> None:
    """What they say is no message."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world, deflate=chance.random() < 0.5)
        try:
            words = (
                b"",
                b"{",
                b"[]",
                b"null",
                b"[" * 5_000,
                b'{"type":7}',
                b'{"type":["subscribe"]}',
                b'{"type":"subscribe"}',
                b'{"type":"subscribe","board":{"a":1}}',
                b'{"type":"subscribe","board":"prices","board":"scores"}',
                b'{"type":"token","token":"a.b.c"}',
                b'{"type":"token","token":null}',
                rng.randbytes(50).hex().encode(),
            )
            for _ in range(5):
                one.send(frame(chance.choice(words)))
                await one.reader.read(10_000)
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)


HOSTILE: Sequence[Callable[[random.Random], bytes]] = (
    lambda _: frame(b"{}", FIN | TEXT | 0x20),
    lambda _: frame(b"{}", FIN | TEXT | 0x10),
    lambda _: frame(b"{}", FIN | TEXT | RSV1),  # nothing was agreed
    lambda _: frame(b"{}", masked=False),
    lambda _: frame(b"x", length=2**40),
    lambda _: frame(b"x", length=2**63),
    lambda _: frame(b"x", length=20_000),
    lambda _: frame(b"x" * 20_000),
    lambda _: frame(b"\xff\xfe\x80"),
    lambda _: frame(b"\xed\xa0\x80"),
    lambda _: frame(b"\xf4\x90\x80\x80"),
    lambda _: frame(b"x" * 126, FIN | PING),
    lambda _: frame(b"x", PING),
    lambda _: frame(b"x", FIN | 3),
    lambda _: frame(b"x", FIN | 11),
    lambda _: frame(b"x", FIN),  # goes on with nothing
    lambda _: frame(b"{", TEXT) + frame(b"}", FIN | TEXT),
    lambda _: frame(b"\x03", FIN | CLOSE),
    lambda _: frame(b"\x03\xee", FIN | CLOSE),  # 1006
    lambda _: frame(b"\x00\x00", FIN | CLOSE),
    lambda _: frame(b"\x03\xe8\xff\xff", FIN | CLOSE),
    lambda _: frame(b"\x00\x01", FIN | BINARY),
    lambda _: frame(b"x" * 1000, TEXT) + frame(b"x" * 1000, 0) * 40,
)
"""After each of these the server has to end the connection."""


@fault("viewers: hostile frames", logs=ENDED)
async def hostile(world: World, rng: random.Random, seconds: float) -> None:
    """Frames that RFC 6455 forbids: each ends the connection."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world)
        try:
            if chance.random() < 0.1:
                one.send(chance.randbytes(100))
                await one.reader.read(10_000)
                return
            attack = chance.choice(HOSTILE)(chance)
            one.send(attack + frame(b"{}") * chance.randrange(3))
            async with asyncio.timeout(END_SECONDS + 4 * world.oracle.lag):
                while await one.reader.read(10_000):
                    pass
        except TimeoutError:
            if time() > world.oracle.excused_until:
                world.complain(f"these bytes did not end a connection: {attack[:40]!r}")
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)


def squeezed(data: bytes) -> bytes:
    """Return a message as permessage-deflate has it (RFC 7692, 7.2.1)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflate.compress(data) + deflate.flush(zlib.Z_SYNC_FLUSH)).removesuffix(b"\0\0\xff\xff")


BOMB = squeezed(b" " * 20_000_000)
DEFLATED: Sequence[Callable[[random.Random], bytes]] = (
    lambda _: frame(BOMB, FIN | TEXT | RSV1),
    lambda _: frame(BOMB[:9_000], TEXT | RSV1) + frame(BOMB[9_000:], FIN),
    lambda chance: frame(chance.randbytes(200), FIN | TEXT | RSV1),
    lambda _: frame(squeezed(b"\xff\xff"), FIN | TEXT | RSV1),
    lambda _: frame(squeezed(b'{"type":"ping"}')[:-3], FIN | TEXT | RSV1),
    lambda _: frame(squeezed(b"x" * 9), FIN | PING | RSV1),
    lambda _: frame(squeezed(b"{"), TEXT | RSV1) + frame(squeezed(b"}"), FIN | RSV1),
    lambda _: frame(b"", FIN | TEXT | RSV1),
    lambda _: frame(squeezed(b'{"type":"ping"}') * 3, FIN | TEXT | RSV1),
)


@fault("viewers: hostile deflate", logs=ENDED)
async def hostile_deflate(world: World, rng: random.Random, seconds: float) -> None:
    """Bombs and rubbish, compressed."""

    async def be(chance: random.Random) -> None:
        one = await rogue(world, deflate=True)
        try:
            one.send(chance.choice(DEFLATED)(chance))
            while await one.reader.read(10_000):
                pass
        finally:
            one.reset()

    await swarm(world, rng, seconds, be)
