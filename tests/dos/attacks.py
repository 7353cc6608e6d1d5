"""What one machine can do to a server: each attack goes on until it is cancelled.

An attacker reads only as much as it needs, and comes back at once when it is cut off.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

import uvloop

from benches import proc
from tests.test_hostile import PING, deflated, frame

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
ENDS = (OSError, asyncio.IncompleteReadError, TimeoutError, EOFError)
ADDRESSES = [f"127.0.0.{number}" for number in range(2, 201)]
ANSWER_SECONDS = 20.0


@dataclass
class Aim:
    """The server that is attacked, and what came of it."""

    port: int
    counts: dict[str, int] = field(default_factory=dict)

    def count(self, what: str) -> None:
        """Count something that happened."""
        self.counts[what] = self.counts.get(what, 0) + 1

    async def open(self, address: str = "127.0.0.1") -> tuple[Reader, Writer]:
        """Connect from an address."""
        link = socket.socket()
        link.setblocking(False)
        link.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        link.bind((address, 0))
        try:
            await asyncio.get_running_loop().sock_connect(link, ("127.0.0.1", self.port))
            return await asyncio.open_connection(sock=link)
        except BaseException:
            link.close()
            raise


Attack = Callable[[Aim], Awaitable[None]]
ATTACKS: dict[str, Attack] = {}


def attack(make: Callable[[], Attack]) -> Callable[[], Attack]:
    """Take in an attack under its name, as words."""
    ATTACKS[make.__name__.replace("_", " ")] = make()
    return make


# -- what attackers do


def get(path: str, *headers: str) -> bytes:
    """Return a request."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: x", *headers, "", ""]).encode()


def upgrade(query: str = "", *headers: str) -> bytes:
    """Return the request for a WebSocket."""
    return get(
        f"/ws{query}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Extensions: permessage-deflate",
        *headers,
    )


def many(count: int, one: Callable[[Aim, int], Awaitable[None]]) -> Attack:
    """Do ``one`` so many times at once, each again and again."""

    async def forever(aim: Aim, number: int) -> None:
        while True:
            try:
                await one(aim, number)
            except ENDS as error:
                aim.count(type(error).__name__)
                await asyncio.sleep(0.01)

    async def all_of_them(aim: Aim) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(forever(aim, number))

    return all_of_them


def dripping(first: bytes, drop: bytes, *, count: int, every: float = 1.0) -> Attack:
    """Begin something, and send a little of it now and then."""

    async def one(aim: Aim, number: int) -> None:
        reader, writer = await aim.open()
        try:
            writer.write(first)
            while not reader.at_eof():
                writer.write(drop)
                with suppress(TimeoutError):
                    async with asyncio.timeout(every):
                        while await reader.read(65_536):
                            aim.count("answers")
                await writer.drain()
            aim.count("ended")
        finally:
            writer.transport.abort()

    return many(count, one)


def asking(requests: Callable[[], Iterator[bytes]], *, count: int, spread: bool = False) -> Attack:
    """Send one request after the other, each when the one before has been answered."""

    async def one(aim: Aim, number: int) -> None:
        reader, writer = await aim.open(ADDRESSES[number % len(ADDRESSES)] if spread else "")
        try:
            for request in requests():
                writer.write(request)
                async with asyncio.timeout(ANSWER_SECONDS):
                    aim.count(await answer(reader))
        finally:
            writer.transport.abort()

    return many(count, one)


async def answer(reader: Reader) -> str:
    """Read one answer, and return its status."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    length = head.partition(b"content-length: ")[2].partition(b"\r\n")[0]
    if length:
        await reader.readexactly(int(length))
    elif b"chunked" in head:
        while await reader.readline() != b"0\r\n":
            pass
        await reader.readline()
    return head.split(b" ", 2)[1].decode()


def forever(*requests: bytes) -> Callable[[], Iterator[bytes]]:
    """Return requests one after the other, again and again."""
    return lambda: itertools.cycle(requests)


def pouring(
    first: bytes, data: Callable[[], bytes], *, count: int, reads: bool = True, pause: float = 0
) -> Attack:
    """Send data as fast as they are taken."""

    async def one(aim: Aim, number: int) -> None:
        reader, writer = await aim.open()
        writer.write(first)
        if first.startswith(upgrade()[:10]):
            async with asyncio.timeout(ANSWER_SECONDS):
                await reader.readuntil(b"\r\n\r\n")
        swallow = asyncio.create_task(swallowed(reader)) if reads else None
        try:
            while swallow is None or not swallow.done():
                writer.write(data())
                await writer.drain()
                aim.count("sent")
                await asyncio.sleep(pause)
        finally:
            if swallow is not None:
                swallow.cancel()
            writer.transport.abort()

    return many(count, one)


async def swallowed(reader: Reader) -> None:
    """Read everything, to the end."""
    with suppress(*ENDS):
        while await reader.read(262_144):
            pass


def unread(requests: Callable[[], bytes], *, count: int, drip: int = 0) -> Attack:
    """Ask for much, and read nothing, or ``drip`` bytes a second."""

    async def one(aim: Aim, number: int) -> None:
        link = socket.socket()
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(link, ("127.0.0.1", aim.port))
            await loop.sock_sendall(link, requests())
            aim.count("asked")
            while True:
                await asyncio.sleep(1)
                if drip and not await loop.sock_recv(link, drip):
                    return
                if not drip:
                    await loop.sock_sendall(link, b"")
        finally:
            link.close()

    return many(count, one)


def subscribe(board: str = "big", **more: object) -> bytes:
    """Return a frame that subscribes."""
    extra = "".join(f',"{name}":{value}' for name, value in more.items())
    return frame(0x81, f'{{"type":"subscribe","board":"{board}"{extra}}}'.encode())


# -- the attacks


@attack
def slow_heads() -> Attack:
    """1,500 requests that never end, a letter a second."""
    return dripping(b"GET / HTTP/1.1\r\nX: ", b"x", count=1500)


@attack
def slow_upgrades() -> Attack:
    """1,500 upgrades that never end, a header a second."""
    return dripping(upgrade()[:-2], b"a: b\r\n", count=1500)


@attack
def long_heads_kept() -> Attack:
    """1,500 requests that stop short of the longest that is allowed."""
    return dripping(b"GET / HTTP/1.1\r\nX: " + b"x" * 60_000, b"", count=1500)


@attack
def slow_bodies() -> Attack:
    """500 pushed bodies, a byte a second."""
    push = b"POST /api/feeds/p HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    return dripping(push + b"Content-Length: 9999\r\n\r\n", b"x", count=500)


@attack
def large_bodies() -> Attack:
    """Bodies without end for addresses that take none."""
    push = b"POST /api/boards HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"
    return pouring(push, lambda: b"x" * 65_536, count=50)


def _connecting(addresses: list[str], *, reset: bool = False, first: bytes = b"") -> Attack:
    async def one(aim: Aim, number: int) -> None:
        for address in itertools.islice(itertools.cycle(addresses), number, None, 7):
            link = socket.socket()
            link.setblocking(False)
            link.setsockopt(socket.SOL_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            # without it the ports of one address are used up in a second
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            try:
                link.bind((address, 0))
                loop = asyncio.get_running_loop()
                await loop.sock_connect(link, ("127.0.0.1", aim.port))
                if first:
                    await loop.sock_sendall(link, first)
                if not reset:
                    link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 0, 0))
                aim.count("connects")
            finally:
                link.close()

    return many(50, one)


@attack
def connects_of_one_address() -> Attack:
    """Connect and leave, as fast as can be."""
    return _connecting(["127.0.0.1"], reset=True)


@attack
def connects_of_199_addresses() -> Attack:
    """The same from 127.0.0.2 to 127.0.0.200, leaving politely."""
    return _connecting(ADDRESSES)


@attack
def resets() -> Attack:
    """Ask for a board and reset the connection."""
    return _connecting(ADDRESSES, reset=True, first=get("/api/boards/big"))


@attack
def resets_of_viewers() -> Attack:
    """Become a viewer of everything and reset the connection."""
    return _connecting(ADDRESSES, reset=True, first=upgrade("?board=big&board=ticks"))


@attack
def viewers_who_come_and_go() -> Attack:
    """Upgrade, wait for the answer, leave."""

    async def one(aim: Aim, number: int) -> None:
        reader, writer = await aim.open()
        try:
            writer.write(upgrade("?board=big"))
            async with asyncio.timeout(ANSWER_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            aim.count(head.split(b" ", 2)[1].decode())
        finally:
            writer.transport.abort()

    return many(100, one)


@attack
def connections_that_say_nothing() -> Attack:
    """5,000 of them."""
    return dripping(b"", b"", count=5_000, every=5)


@attack
def viewers_that_watch_nothing() -> Attack:
    """2,000 upgrades, and not a word."""
    return dripping(upgrade(), b"", count=2_000, every=5)


@attack
def half_open() -> Attack:
    """1,000 that ask for a board and say no more, having shut their side."""

    async def one(aim: Aim, number: int) -> None:
        _, writer = await aim.open()
        writer.write(upgrade("?board=big"))
        writer.write_eof()
        await asyncio.sleep(5)
        writer.transport.abort()

    return many(1_000, one)


@attack
def viewers_who_never_read() -> Attack:
    """500 viewers of everything who read nothing."""
    return unread(lambda: upgrade("?board=big&board=ticks"), count=500)


@attack
def viewers_who_sip() -> Attack:
    """500 viewers who read 100 bytes a second."""
    return unread(lambda: upgrade("?board=big&board=ticks"), count=500, drip=100)


@attack
def messages_as_many_as_may_be() -> Attack:
    """500 viewers who say what they may, 50 times a second."""
    return pouring(upgrade(), lambda: frame(0x81, PING), count=500, pause=0.021)


@attack
def message_flood() -> Attack:
    """Messages as fast as they are taken, and back again after each end."""
    return pouring(upgrade(), lambda: frame(0x81, PING) * 100, count=100)


@attack
def nonsense_flood() -> Attack:
    """Messages that mean nothing."""
    return pouring(upgrade(), lambda: frame(0x81, b'{"type":"x' + b"y" * 2_000) * 20, count=100)


@attack
def ping_flood() -> Attack:
    """Pings of the WebSocket's own, as fast as they are taken."""
    data = frame(0x89, b"x" * 125) * 400
    return pouring(upgrade(), lambda: data, count=100)


@attack
def small_ping_flood() -> Attack:
    """The smallest pings there are, from a few connections."""
    data = frame(0x89, b"") * 20_000
    return pouring(upgrade(), lambda: data, count=4)


@attack
def pong_flood() -> Attack:
    """Answers that nobody asked for."""
    data = frame(0x8A, b"") * 2_000
    return pouring(upgrade(), lambda: data, count=50)


@attack
def fragment_flood() -> Attack:
    """Messages of fragments with nothing in them, without end."""
    data = frame(0x00, b"") * 20_000
    first = itertools.chain((frame(0x01, b""),), itertools.repeat(data))
    return pouring(upgrade(), lambda: next(first), count=1)


@attack
def huge_frames() -> Attack:
    """Frames longer than may be, and some that say they are."""
    data = frame(0x81, b"x" * 15_900) * 4
    return pouring(upgrade(), lambda: data, count=100)


@attack
def bombs() -> Attack:
    """Small messages that are large when inflated."""
    data = frame(0xC1, deflated(bytes(50_000_000))[:15_000]) * 10
    return pouring(upgrade(), lambda: data, count=100)


@attack
def bombs_within_the_limit() -> Attack:
    """Messages that inflate to nearly what may be, of empty lines."""
    data = frame(0xC1, deflated(b" " * 15_900)) * 100
    return pouring(upgrade(), lambda: data, count=100)


@attack
def subscribe_churn() -> Attack:
    """300 viewers who subscribe and unsubscribe, as often as they may."""
    data = subscribe() + frame(0x81, b'{"type":"unsubscribe","board":"big"}')
    return pouring(upgrade(), lambda: data, count=300, pause=0.042)


@attack
def subscribe_from_anywhere() -> Attack:
    """300 viewers who lie about where they are, at every rate."""

    def data() -> bytes:
        rate = random.choice((0.02, 0.1, 1, 5, 1000))
        return subscribe(epoch='"0"', seq=random.randrange(1_000_000), rate=rate)

    return pouring(upgrade(), data, count=300, pause=0.021)


@attack
def boards_over_rest() -> Attack:
    """The large board, again and again, from 100 connections."""
    return asking(forever(get("/api/boards/big")), count=100)


@attack
def boards_over_rest_packed() -> Attack:
    """The same with gzip."""
    return asking(forever(get("/api/boards/big", "Accept-Encoding: gzip")), count=100)


@attack
def boards_that_are_known() -> Attack:
    """The same with If-None-Match, which is mostly wrong."""
    return asking(forever(get("/api/boards/big", 'If-None-Match: "a-1", *')), count=100)


@attack
def boards_of_199_addresses() -> Attack:
    """The large board from many addresses."""
    return asking(forever(get("/api/boards/big")), count=597, spread=True)


@attack
def boards_unread() -> Attack:
    """500 who ask for the large board and its past ten times, and read nothing."""
    asked = get("/api/boards/big") + get("/api/boards/big/history")
    return unread(lambda: asked * 10, count=500)


@attack
def history() -> Attack:
    """All that history tells, again and again."""
    return asking(forever(get("/api/boards/big/history")), count=100)


@attack
def history_packed() -> Attack:
    """The same with gzip, and few points of each row."""
    asked = [get(f"/api/boards/big/history?points={n}", "Accept-Encoding: gzip") for n in (2, 1999)]
    return asking(forever(*asked), count=100)


@attack
def events() -> Attack:
    """Event streams that end when they have begun."""

    async def one(aim: Aim, number: int) -> None:
        reader, writer = await aim.open()
        try:
            writer.write(get("/events?board=big&board=ticks"))
            async with asyncio.timeout(ANSWER_SECONDS):
                await reader.readuntil(b"data: ")
            aim.count("streams")
        finally:
            writer.transport.abort()

    return many(100, one)


@attack
def events_unread() -> Attack:
    """500 event streams that nobody reads."""
    return unread(lambda: get("/events?board=big&board=ticks"), count=500)


@attack
def everything_else() -> Attack:
    """The other addresses, one after the other."""
    paths = "/", "/api/boards", "/api/feeds", "/metrics", "/api/status", "/api/you", "/healthz"
    more = "/readyz", "/openapi.json", "/config.schema.json", "/nothing", "/static/0/x.js"
    asked = [get(path, "Accept-Encoding: gzip, br") for path in paths + more]
    return asking(forever(*asked), count=100)


@attack
def long_addresses() -> Attack:
    """Addresses and parameters of 50 KB."""
    paths = "/" + "x" * 50_000, "/api/boards/" + "%41" * 16_000
    more = "/events?" + "board=a&" * 6_000, "/api/boards/big/history?" + "symbols=A,B,C&" * 3_500
    return asking(forever(*map(get, paths + more)), count=100)


@attack
def many_headers() -> Attack:
    """5,000 headers each."""
    return asking(forever(get("/healthz", *["a: b"] * 5_000)), count=100)


@attack
def long_headers() -> Attack:
    """Headers as long as may be, of those that are looked at."""
    tags = ",".join(['"x"'] * 12_000)
    return asking(
        forever(
            get("/api/boards/big", f"If-None-Match: {tags}"),
            get("/api/boards/big", "Accept-Encoding: " + "a;q=0.1," * 6_000),
            get("/metrics", "Accept: " + "a/b;q=0.1," * 5_000),
            get("/api/you", "Cookie: " + "a=b;" * 12_000, "X-Forwarded-For: " + "1.2.3.4," * 10),
        ),
        count=100,
    )


@attack
def too_long_headers() -> Attack:
    """Heads without end."""
    return pouring(b"GET / HTTP/1.1\r\n", lambda: b"a: b\r\n" * 10_000, count=100)


@attack
def pipelining() -> Attack:
    """Requests without waiting for an answer."""
    return pouring(b"", lambda: get("/healthz") * 1_000, count=50)


@attack
def pipelining_of_boards() -> Attack:
    """The same for something larger."""
    return pouring(b"", lambda: get("/api/boards/big") * 100, count=50)


@attack
def not_http() -> Attack:
    """Bytes that mean nothing."""
    return pouring(b"", lambda: os.urandom(4_096), count=100)


@attack
def guesses_at_tokens() -> Attack:
    """Wrong tokens of feeds and admins."""
    asked = []
    for number in range(100):
        head = f"Host: x\r\nAuthorization: Bearer {number:032}\r\nContent-Length: 2\r\n\r\n[]"
        asked += [f"POST {path} HTTP/1.1\r\n{head}" for path in ("/api/feeds/p", "/-/reload")]
    return asking(forever(*[text.encode() for text in asked]), count=100)


@attack
def pages_of_elsewhere() -> Attack:
    """Upgrades from pages of another site."""
    return asking(forever(upgrade("?board=big", "Origin: https://evil.example")), count=100)


# -- the process of the attackers


def attacking(name: str, port: int, core: int, pipe: Connection) -> None:
    """Attack until told to end, in a process of its own."""
    os.sched_setaffinity(0, {core})
    os.nice(5)  # who watches goes first
    proc.raise_file_limit()
    aim = Aim(port)

    async def main() -> None:
        task = asyncio.ensure_future(ATTACKS[name](aim))
        pipe.send("begun")
        asyncio.get_running_loop().add_reader(pipe.fileno(), task.cancel)
        with suppress(asyncio.CancelledError):
            await task

    try:
        uvloop.run(main())
    finally:
        pipe.send(aim.counts)
