"""This project's server as `ticker serve` runs it, with boards that change when it is told to.

A line on its input is a load: `{"board": "busy", "rows": 40, "rate": 25, "seconds": 10}` changes 40
rows 25 times a second. When it is over, a line on its output says how many rows changed.
When its input ends, so does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic
from typing import Any

from fastapi import FastAPI

from ticker import configfile
from ticker.app import create_app
from ticker.listener import listen
from ticker.live import LiveBoard
from ticker.server import Server, configure, spare_the_collector

BOARDS = {"few": 30, "busy": 200, "many": 500, "burst": 1_000, "large": 5_000}
FLUSH = "20ms"  # shorter than between two ticks of a load: each goes out by itself
COLUMNS = ["last", "change", "change_pct", "volume"]
FEED = {"kind": "simulate", "every": "24h"}
GAMES = {
    "kind": "simulate",
    "model": "scores",
    "every": "250ms",
    "sport": "basketball",
    "speed": 12,
    "teams": [f"Team {letter}" for letter in "ABCDEFGHIJKL"],
}
Row = dict[str, Any]


def main() -> None:
    """Serve until a signal."""
    port = int(sys.argv[1])
    boards = {
        name: {"title": name, "feeds": [name], "flush": FLUSH, "columns": COLUMNS}
        for name in BOARDS
    }
    config = {
        "server": {"port": port},
        "feeds": {name: {**FEED, "symbols": {"S0": 100}} for name in BOARDS} | {"games": GAMES},
        "boards": {**boards, "games": {"layout": "scores", "feeds": ["games"]}},
    }
    loaded = configfile.parse(json.dumps(config), "bench.yaml", base=Path(), env={})
    settings = loaded.settings
    app = create_app(loaded)
    run = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def feeding(_: FastAPI) -> AsyncIterator[None]:
        async with run(app):
            task = asyncio.create_task(obey(app.state.ticker.boards))
            yield
            task.cancel()

    app.router.lifespan_context = feeding
    spare_the_collector()
    Server(configure(app, settings), app).run(sockets=[listen(settings.server)])


async def obey(boards: dict[str, LiveBoard]) -> None:
    """Fill the boards; then do what the lines of the input say, all at the same time."""
    await asyncio.sleep(0.5)  # after the only reading of the feeds
    quotes = {name: Quotes(rows) for name, rows in BOARDS.items()}
    for name, rows in BOARDS.items():
        change(boards[name], quotes[name].tick(rows))
    print("{}", flush=True)
    async with asyncio.TaskGroup() as loads:
        while line := await asyncio.to_thread(sys.stdin.readline):
            order = json.loads(line)
            name = order.pop("board")
            loads.create_task(load(boards[name], quotes[name], **order))
    signal.raise_signal(signal.SIGTERM)  # whoever gave orders has gone


async def load(live: LiveBoard, quotes: Quotes, rows: int, rate: float, seconds: float) -> None:
    """Change ``rows`` rows ``rate`` times a second; say how many changed in all."""
    began = due = monotonic()
    changed = 0
    while due < began + seconds:
        change(live, quotes.tick(rows))
        changed += rows
        due = max(due + 1 / rate, monotonic())
        await asyncio.sleep(due - monotonic())
    print(json.dumps({"changed": changed, "took": monotonic() - began}), flush=True)


def change(live: LiveBoard, rows: dict[str, Row]) -> None:
    """Take rows as from a feed."""
    live.board.apply(live.name, rows)
    live.changed.set()


class Quotes:
    """A seeded random walk of so many rows."""

    def __init__(self, rows: int) -> None:
        self._random = random.Random(1)
        self._opened = {f"S{i}": self._random.uniform(5, 500) for i in range(rows)}
        self._last = dict(self._opened)
        self._symbols = list(self._opened)

    def tick(self, rows: int) -> dict[str, Row]:
        """Return ``rows`` rows, each with another price than before."""
        chosen = self._random.sample(self._symbols, rows)
        return {symbol: self._moved(symbol) for symbol in chosen}

    def _moved(self, symbol: str) -> Row:
        opened = self._opened[symbol]
        step = self._random.choice((-1, 1)) * self._random.randrange(1, 50) / 100
        last = self._last[symbol] = round(max(1.0, self._last[symbol] + step), 2)
        return {
            "last": last,
            "change": round(last - opened, 2),
            "change_pct": round((last / opened - 1) * 100, 2),
            "volume": self._random.randrange(1_000, 1_000_000),
        }


if __name__ == "__main__":
    main()
