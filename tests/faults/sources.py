"""The sources, honest by themselves; what makes them otherwise is in `upstream`."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from time import time
from typing import Any

import orjson

from tests.faults.oracle import Oracle, Row, Table

SYMBOLS = [f"S{number}" for number in range(16)]
GAMES = [f"G{number}" for number in range(6)]
POISON = 666_000_000
"""Values from here on are in no good answer."""

OLD_KEPT = 40
HOST = "127.0.0.1"


@dataclass
class Exchange:
    """One request to a source, and the connection for its answer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    etag: str | None

    async def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; header names are written with underscores."""
        self.writer.write(head(status, len(body), **headers) + body)
        await self.writer.drain()

    async def raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    def reset(self) -> None:
        """End the connection as a crash does."""
        self.writer.transport.abort()


def head(status: int, length: int | None, **headers: str) -> bytes:
    """Return the beginning of an answer."""
    lines = [f"HTTP/1.1 {status} As Told"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if length is not None and status != 304:
        lines.append(f"Content-Length: {length}")
    return "\r\n".join([*lines, "", ""]).encode()


Mood = Callable[[Exchange], Awaitable[None]]


class Source:
    """An HTTP server with the rows of one feed, which tells the oracle all that it truly says."""

    def __init__(self, name: str, oracle: Oracle, rng: random.Random) -> None:
        self.name, self.oracle, self.rng = name, oracle, rng
        self.rows: dict[str, dict[str, Any]] = {}
        self.version = 0
        self.moods: list[Mood] = []
        """How it behaves: the last one counts."""
        self.moves = True
        """Whether rows change."""
        self.port = 0
        self.requests = 0
        self.others = 0
        self.alone_until = 0.0
        """Until when it asked to be left alone, in epoch seconds."""
        self.told: asyncio.StreamWriter | None = None
        """The connection on which it asked that: it goes on only where all of that was read."""
        self.old: deque[Table] = deque(maxlen=OLD_KEPT)
        self._server: asyncio.Server | None = None
        self._closed = 0  # how many want it to be closed
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}/{self.name}"

    @property
    def etag(self) -> str:
        """The name of what it says now."""
        return f'"{self.name}-{self.version}"'

    def move(self) -> None:
        """Let rows be others."""
        raise NotImplementedError

    def lies(self) -> list[dict[str, Any]]:
        """Return rows that were never so, as far as can be in the form in which they are sent."""
        raise NotImplementedError

    # -- as a server

    async def open(self) -> None:
        """Take connections, always at the same port, if nobody else wants it to be closed."""
        self._closed = max(0, self._closed - 1)
        if self._closed:
            return
        self._server = await asyncio.start_server(self._serve, HOST, self.port, backlog=64)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        """Take no connections until it is opened again, and end those there are."""
        self._closed += 1
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        try:
            # RuntimeError: uvloop's word for writing where nobody listens any more
            with suppress(OSError, RuntimeError, EOFError, asyncio.LimitOverrunError):
                while not writer.is_closing():
                    asked = await reader.readuntil(b"\r\n\r\n")
                    await self._hear(Exchange(reader, writer, _etag(asked)))
        finally:
            self._open.discard(writer)
            writer.transport.abort()

    async def _hear(self, exchange: Exchange) -> None:
        self.requests += 1
        self.oracle.asked(self.name, exchange.etag)
        early = self.alone_until - time()
        if early > 0 and exchange.writer is self.told:
            self.oracle.complain(f"feed '{self.name}' asks {early:.2f} s sooner than it was told")
        mood = self.moods[-1] if self.moods else self.honest
        await mood(exchange)

    # -- what it says

    async def honest(self, exchange: Exchange) -> None:
        """Say how things are, politely: nothing twice to who knows it."""
        if self.moves and self.rng.random() < 0.8:
            self.step()
        if exchange.etag == self.etag:
            self.oracle.confirmed(self.name, self.rows)
            await exchange.answer(304, ETag=self.etag)
        else:
            await self.say(exchange, self.table())

    def freeze(self) -> None:
        """Move for the last time, to what is young for long."""
        self.step()
        self.moves = False

    def step(self) -> None:
        """Move, and remember what was."""
        self.old.append(self.table())
        self.move()
        self.version += 1

    def table(self) -> dict[str, Row]:
        """Return the rows as they are."""
        return {symbol: dict(row) for symbol, row in self.rows.items()}

    async def say(
        self, exchange: Exchange, rows: Table, body: bytes | None = None, **headers: str
    ) -> None:
        """Send a good answer: ``rows`` are what it means, ``body`` how that is written.

        Its name is that of what the source says now, unless the headers have an ``ETag``; an empty
        one is none.
        """
        named = {"ETag": self.etag, **headers}
        known = {name: value for name, value in named.items() if value}
        validator = known.get("ETag") or known.get("Last_Modified")
        offer = self.oracle.offered(self.name, rows, validator)
        offer.sent()
        await exchange.answer(200, written(rows) if body is None else body, **known)
        offer.sent()

    def other(self) -> str:
        """Return a name for an answer that is not simply what the source says now."""
        self.others += 1
        return f'"{self.name}-other-{self.others}"'


class Prices(Source):
    """Quotes that move a little each time."""

    def __init__(self, oracle: Oracle, rng: random.Random) -> None:
        super().__init__("prices", oracle, rng)
        for number, symbol in enumerate(SYMBOLS):
            last = 100.0 + number
            self.rows[symbol] = {"last": last, "open": last, "volume": 0, "time": 0}
        self.move()

    def move(self) -> None:
        """All rows get a new time, some another price."""
        now = round(time() * 1000)
        for row in self.rows.values():
            row["time"] = now
            if self.rng.random() < 0.6:
                row["last"] = round(row["last"] + self.rng.choice((-0.05, 0.05, 0.1, -0.1)), 2)
                row["volume"] += self.rng.randrange(1, 50)

    def freeze(self) -> None:
        """Move for the last time, to what is young for long."""
        super().freeze()
        for row in self.rows.values():
            row["time"] += 120_000

    def lies(self) -> list[dict[str, Any]]:
        """Return prices that nobody paid."""
        now = round(time() * 1000)
        return [
            {"symbol": s, "last": POISON + n, "open": 1.0, "volume": POISON, "time": now}
            for n, s in enumerate(self.rows)
        ]


class Scores(Source):
    """Games that begin, go on and end; after a while others come."""

    def __init__(self, oracle: Oracle, rng: random.Random) -> None:
        super().__init__("scores", oracle, rng)
        for game in GAMES:
            self.rows[game] = self._game(0)

    def _game(self, number: int) -> dict[str, Any]:
        return {
            "home": f"Reds {number}",
            "away": f"Blues {number}",
            "home_score": 0,
            "away_score": 0,
            "status": "scheduled",
        }

    def move(self) -> None:
        """Something happens in one game, perhaps in two."""
        for game in self.rng.sample(GAMES, self.rng.choice((0, 1, 1, 2))):
            row = self.rows[game]
            if row["status"] == "scheduled":
                row["status"] = "live"
            elif row["status"] == "final":
                self.rows[game] = self._game(self.version)
            elif self.rng.random() < 0.1:
                row["status"] = "final"
            else:
                row[self.rng.choice(("home_score", "away_score"))] += 1

    def lies(self) -> list[dict[str, Any]]:
        """Return scores that no game ever had."""
        return [
            {**row, "symbol": symbol, "home_score": POISON, "status": "live"}
            for symbol, row in self.rows.items()
        ]


def written(rows: Table) -> bytes:
    """Return rows as the sources write them."""
    return orjson.dumps({"rows": [{"symbol": symbol, **row} for symbol, row in rows.items()]})


def _etag(asked: bytes) -> str | None:
    for line in asked.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() in (b"if-none-match", b"if-modified-since"):
            return value.strip().decode()
    return None
