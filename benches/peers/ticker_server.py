"""This project's server as `ticker serve` runs it, with a board that one task changes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import FastAPI

from benches.peers.common import BOARD, Options, Quotes, parse, ticks
from ticker import configfile
from ticker.app import create_app
from ticker.listener import listen
from ticker.server import Server, configure, spare_the_collector

CONFIG = """
server: {{port: {port}, max_viewers: 100000}}
feeds:
  still: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
boards:
  {board}: {{title: Stocks, feeds: [still], flush: 10ms, columns: [last, size]}}
"""


def main() -> None:
    """Serve until a signal."""
    options = parse()
    text = CONFIG.format(port=options.port, board=BOARD)
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
    """Change the board at every tick, as a feed does."""
    live = app.state.ticker.boards[BOARD]
    quotes = Quotes(options.rows)
    live.board.apply("still", quotes.whole())
    live.changed.set()
    async for _ in ticks(options):
        live.board.apply("still", quotes.tick(options.rows, options.fields))
        live.changed.set()


if __name__ == "__main__":
    main()
