"""What every peer shares: its options, what it publishes and when."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from time import monotonic, time

import orjson

BOARD = "stocks"
CLOCK = "CLOCK"
"""The row that says when a tick was, of the machine's monotonic clock."""
LEAST_ROWS = 100
"""Rows of the board, from which those of a tick are drawn."""

FIELDS = ("last", "size", "bid", "ask", "high", "low")

Patch = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Options:
    """What a peer is started with."""

    port: int
    rate: float
    rows: int
    fields: int
    hold: bool
    clock: bool = False
    bus: str | None = None


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=10, help="ticks per second")
    parser.add_argument("--rows", type=int, default=5, help="rows that change in a tick")
    parser.add_argument("--fields", type=int, default=2, help="fields that change in such a row")
    parser.add_argument("--size", type=int, help="bytes of a message, instead of rows and fields")
    parser.add_argument("--hold", action="store_true", help="tick only after SIGUSR2")
    parser.add_argument("--clock", action="store_true", help="a row has the time, too")
    parser.add_argument("--bus", help="URL of a bus, for those that can have one")
    given = parser.parse_args(arguments)
    rows, fields = shape(given.size) if given.size else (given.rows, given.fields)
    return Options(given.port, given.rate, rows, fields, given.hold, given.clock, given.bus)


def shape(size: int) -> tuple[int, int]:
    """Return how many rows and fields make a message of about ``size`` bytes.

    The smallest has one row with one field, and is of about 100 bytes.
    """
    shapes = [(1, 1), *((rows, 2) for rows in range(1, max(2, size // 25)))]
    quotes = Quotes(len(shapes))
    return min(shapes, key=lambda it: abs(len(message(quotes.tick(*it), 1000, now_ms())) - size))


class Quotes:
    """A seeded random walk of the prices of so many rows."""

    def __init__(self, rows: int, seed: int = 1) -> None:
        self._random = random.Random(seed)
        letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
        names: dict[str, None] = {}
        while len(names) < max(rows, LEAST_ROWS):
            names["".join(self._random.choices(letters, k=self._random.choice((2, 3, 4))))] = None
        self._symbols = list(names)
        self._state: Patch = {
            symbol: {"last": round(self._random.uniform(1, 100), 2), "size": 100}
            for symbol in self._symbols
        }

    def tick(self, rows: int, fields: int) -> Patch:
        """Return ``rows`` rows in which ``fields`` fields have changed."""
        patch: Patch = {}
        for symbol in self._random.sample(self._symbols, rows):
            state = self._state[symbol]
            for field in FIELDS[:fields]:
                state[field] = self._moved(field, state.get(field, 50.0))
            patch[symbol] = {field: state[field] for field in FIELDS[:fields]}
        return patch

    def whole(self) -> Patch:
        """Return the state of every row."""
        return {symbol: dict(row) for symbol, row in self._state.items()}

    def _moved(self, field: str, before: float) -> float:
        if field == "size":  # of the last trade: it remembers nothing
            return self._random.randrange(1, 1000)
        step = self._random.choice((-1, 1)) * self._random.randrange(1, 20) / 100
        return round(max(before + step, before / 2, 0.01), 2)


def message(rows: Patch, seq: int, at: int) -> bytes:
    """Return a diff as the wire has it."""
    return orjson.dumps(
        {"type": "diff", "board": BOARD, "prev": seq - 1, "seq": seq, "at": at, "rows": rows}
    )


def first() -> bytes:
    """Return what a viewer is told when it comes."""
    return orjson.dumps({"type": "welcome", "at": now_ms()})


def now_ms() -> int:
    """Return the time as the wire has it."""
    return round(time() * 1000)


async def ticks(options: Options) -> AsyncIterator[None]:
    """Yield at every tick, each at its own time; ticks that come too late are left out."""
    if options.hold:
        begin = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR2, begin.set)
        await begin.wait()
    period = 1 / options.rate
    due = monotonic()
    while True:
        due = max(due + period, monotonic())
        await asyncio.sleep(due - monotonic())
        yield


async def messages(options: Options) -> AsyncIterator[bytes]:
    """Yield a diff at every tick, stamped with the time."""
    quotes, seq = Quotes(options.rows), 0
    async for _ in ticks(options):
        seq += 1
        yield message(quotes.tick(options.rows, options.fields), seq, now_ms())
