"""Viewers that come back as the page does, to any process, and remember all that went wrong."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import orjson
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from ticker import diff

CONNECT_SECONDS = 5.0
SILENT_SECONDS = 7.0
"""A connection on which nothing came for so long is left, as the page leaves it."""


@dataclass
class Visitor:
    """One viewer of board `b`, whose values only ever grow."""

    rows: diff.Rows = field(default_factory=dict)
    seq: int = -1
    epoch: str = ""
    feeds: dict[str, Any] = field(default_factory=dict)
    statuses: list[dict[str, Any]] = field(default_factory=list)
    epochs: list[str] = field(default_factory=list)
    """Each epoch that it was in, one after the other."""
    connects: int = 0
    returns: int = 0
    """Connects with an epoch and a seq."""
    snapshots: int = 0
    """Snapshots after a return, in the epoch in which it was."""
    wrong: list[str] = field(default_factory=list)
    """Gaps, doubles, and values that went back."""
    moved: float = 0.0
    gap: float = 0.0
    """Longest time between two changes."""

    @property
    def whys(self) -> set[str]:
        """Why feeds were not at their best, in all statuses so far."""
        return {f.get("why", "") for feeds in self.statuses for f in feeds.values()}

    def take(self, message: dict[str, Any]) -> None:
        """Apply what the rules of the wire say."""
        match message["type"]:
            case "snapshot":
                same = message["epoch"] == self.epoch
                self.snapshots += same
                if not same:
                    self.epochs.append(message["epoch"])
                elif message["seq"] < self.seq:
                    self.wrong.append(f"back from {self.seq} to {message['seq']}")
                self._show(message["rows"], same=same)
                self.epoch, self.seq = message["epoch"], message["seq"]
                self._hear(message["feeds"])
            case "diff" if message["seq"] <= self.seq:
                self.wrong.append(f"doubled: {message['prev']} to {message['seq']}")
            case "diff" if message["prev"] != self.seq:
                self.wrong.append(f"lost: at {self.seq}, got {message['prev']}")
            case "diff":
                self._show(diff.apply(self.rows, message["rows"]), same=True)
                self.seq = message["seq"]
            case "status":
                self._hear(message["feeds"])

    def _hear(self, feeds: dict[str, Any]) -> None:
        self.feeds = feeds
        self.statuses.append(feeds)

    def _show(self, rows: diff.Rows, *, same: bool) -> None:
        for symbol, row in rows.items() if same else ():
            before = self.rows.get(symbol, {}).get("last", 0)
            if row.get("last", 0) < before:
                self.wrong.append(f"{symbol} went back from {before} to {row['last']}")
        now = monotonic()
        if self.moved and rows != self.rows:
            self.gap = max(self.gap, now - self.moved)
        if rows != self.rows:
            self.moved = now
        self.rows = rows

    async def stay(self, choose: Callable[[], str], rng: random.Random) -> None:
        """Watch for good, at whichever process ``choose`` returns, and come back after each end."""
        while True:
            url = f"{choose().replace('http', 'ws')}/ws?board=b"
            if self.epoch:
                url += f"&epoch={self.epoch}&seq={self.seq}"
            with suppress(OSError, TimeoutError, ConnectionClosed, InvalidHandshake, EOFError):
                async with connect(
                    url,
                    max_size=None,
                    compression=None,
                    open_timeout=CONNECT_SECONDS,
                    ping_interval=None,
                    close_timeout=0.1,
                ) as socket:
                    self.connects += 1
                    self.returns += bool(self.epoch)
                    while True:
                        async with asyncio.timeout(SILENT_SECONDS):
                            self.take(orjson.loads(await socket.recv()))
            await asyncio.sleep(rng.uniform(0.05, 0.5))


class Crowd:
    """Visitors in a thread of their own."""

    def __init__(self, urls: Sequence[str], count: int, seed: int = 0) -> None:
        self.urls = list(urls)
        """Where they go; may be changed at any time."""
        self.visitors = [Visitor() for _ in range(count)]
        self._rng = random.Random(seed)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="crowd")

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._stay())
        self._loop.close()

    async def _stay(self) -> None:
        self._task = asyncio.current_task()
        async with asyncio.TaskGroup() as group:
            for number, visitor in enumerate(self.visitors):
                turns = iter([self.urls[number % len(self.urls)]])  # at first evenly

                def choose(turns: Iterator[str] = turns) -> str:
                    return next(turns, None) or self._rng.choice(self.urls)

                group.create_task(visitor.stay(choose, random.Random(number)))

    def start(self) -> None:
        """Let them come."""
        self._thread.start()

    def stop(self) -> None:
        """Let them go."""
        task = self._task
        if task is not None:
            self._loop.call_soon_threadsafe(task.cancel)
        self._thread.join(30)
        assert not self._thread.is_alive(), "the viewers did not go"

    _task: asyncio.Task[Any] | None = None

    @property
    def wrong(self) -> list[str]:
        """All that went wrong, of everybody."""
        return [what for visitor in self.visitors for what in visitor.wrong]

    def all(self, true: Callable[[Visitor], object]) -> bool:
        """Whether something is true of everybody."""
        return all(true(visitor) for visitor in self.visitors)


@contextmanager
def crowd(urls: Sequence[str], count: int, seed: int = 0) -> Iterator[Crowd]:
    """Have so many viewers during the block."""
    there = Crowd(urls, count, seed)
    there.start()
    try:
        yield there
    finally:
        there.stop()
