"""This project's server as `ticker serve` runs it, with a board that one task changes."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

from fastapi import FastAPI

from benches.peers.common import BOARD, CLOCK, Options, Quotes, parse, ticks
from ticker import configfile
from ticker.app import create_app
from ticker.server import Server, configure, listen, spare_the_collector

CONFIG = """
server: {{port: {port}, max_viewers: 100000}}
feeds:
  still: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
boards:
  {board}: {{title: Stocks, feeds: [still], flush: 10ms, columns: [last, size]}}
"""
BUS = "bus: {{url: {bus}}}\n"


def main() -> None:
    """Serve until a signal."""
    options = parse()
    text = CONFIG.format(port=options.port, board=BOARD)
    if options.bus:
        text += BUS.format(bus=json.dumps(options.bus))
    loaded = configfile.parse(text, "bench.yaml", base=Path(), env={})
    settings = loaded.settings
    app = create_app(loaded)
    run = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def feeding(_: FastAPI) -> AsyncIterator[None]:
        async with run(app):
            feeder = asyncio.create_task(feed(app, options))
            yield
            feeder.cancel()

    app.router.lifespan_context = feeding
    spare_the_collector()
    Server(configure(app, settings), app).run(sockets=[listen(settings.server)])


async def feed(app: FastAPI, options: Options) -> None:
    """Change the board at every tick, as a feed does; on a bus only where feeds are read."""
    ticker = app.state.ticker
    live = ticker.boards[BOARD]
    quotes = Quotes(options.rows)
    while not ticker.reads:  # noqa: ASYNC110 - which nobody tells
        await asyncio.sleep(0.1)
    live.board.apply("still", quotes.whole())
    live.changed.set()
    async for _ in ticks(options):
        rows = quotes.tick(options.rows, options.fields)
        if options.clock:
            rows[CLOCK] = {"last": monotonic()}
        live.board.apply("still", rows)
        live.changed.set()


if __name__ == "__main__":
    main()
