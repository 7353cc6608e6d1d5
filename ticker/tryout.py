"""``ticker try``: one reading of a feed, for people: rows, rejected rows, timing, headers."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from time import perf_counter, time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ticker.config import Feed as FeedSettings
from ticker.config import PushFeed as PushSettings
from ticker.errors import FeedError
from ticker.feeds import NOTHING, Reading, Silence
from ticker.feeds.make import make
from ticker.feeds.poll import PollFeed
from ticker.feeds.stream import StreamFeed

LISTEN_SECONDS = 5.0
"""For so long a stream is listened to."""

LOOK_SECONDS = 0.05
ROWS_SHOWN = 30
HOW_TO_PUSH = """nothing to ask: it shows what is posted while `ticker serve` runs, such as by
  curl -H 'Authorization: Bearer TOKEN' -H 'Content-Type: application/json' \\
    --data '[...]' http://127.0.0.1:8000/api/feeds/{name}"""
HEADERS_SHOWN = (
    "content-type",
    "content-length",
    "content-encoding",
    "etag",
    "last-modified",
    "cache-control",
    "retry-after",
    "location",
    "date",
)


async def tryout(settings: FeedSettings, out: Console, name: str = "NAME") -> bool:
    """Read the feed once and print what it gives; return whether it gave rows."""
    if isinstance(settings, PushSettings):
        out.print(Text(HOW_TO_PUSH.format(name=name)))
        return True
    feed = make(settings)
    started = perf_counter()
    reading, error = None, None
    try:
        reading = await (_listen(feed) if isinstance(feed, StreamFeed) else feed.read(time()))
    except FeedError as failure:
        error = failure
    finally:
        elapsed = perf_counter() - started
        await feed.close()
    if isinstance(feed, PollFeed):
        _print_exchanges(feed, out)
    if error is not None:
        out.print(Text(f"failed after {elapsed * 1000:.0f} ms: {error.why}"))
        return False
    if reading is NOTHING:
        out.print(f"connected, but nothing heard in {elapsed * 1000:.0f} ms")
        return False
    if reading is None:
        out.print(f"nothing new after {elapsed * 1000:.0f} ms")
        return True
    _print_reading(reading, elapsed, out)
    return bool(reading.rows)


async def _listen(feed: StreamFeed) -> Reading | Silence:
    """Return what a stream says in a while. Raises FeedError when that gave nothing."""
    together = Reading()
    heard, error = False, None
    deadline = perf_counter() + LISTEN_SECONDS
    while perf_counter() < deadline and (error is None or feed.connected):
        try:
            reading = await feed.read(time())
        except FeedError as failure:
            error = failure
        else:
            if isinstance(reading, Reading):
                heard = True
                rows = reading.rows if reading.complete else {**together.rows, **reading.rows}
                rejected = together.rejected + reading.rejected
                together = replace(reading, rows=rows, rejected=rejected)
        await asyncio.sleep(LOOK_SECONDS)
    if error is not None and not together.rows:
        raise error
    return together if heard else NOTHING


def _print_exchanges(feed: PollFeed, out: Console) -> None:
    for exchange in feed.exchanges:
        timing = f"{exchange.size:,} bytes in {exchange.seconds * 1000:.0f} ms"
        out.print(Text(f"HTTP {exchange.status}, {timing}"))
        for name in HEADERS_SHOWN:
            if name in exchange.headers:
                out.print(Text(f"  {name}: {feed.redacted(exchange.headers[name])}"))


def _print_reading(reading: Reading, elapsed: float, out: Console) -> None:
    counts = f"{len(reading.rows)} rows, {reading.rejected} rejected"
    out.print(f"{counts} in {elapsed * 1000:.0f} ms")
    if reading.trouble:
        out.print(Text(reading.trouble))
    if reading.rows:
        out.print(_table(reading))
    if len(reading.rows) > ROWS_SHOWN:
        out.print(f"… and {len(reading.rows) - ROWS_SHOWN} more rows")
    for rejection in reading.rejections:
        out.print(Text(f"rejected {rejection}"))
    if reading.rejected > len(reading.rejections):
        out.print(f"… and {reading.rejected - len(reading.rejections)} more rejected")


def _table(reading: Reading) -> Table:
    shown = dict(list(reading.rows.items())[:ROWS_SHOWN])
    names = list(dict.fromkeys(name for row in shown.values() for name in row))
    table = Table("symbol", *names, box=None, pad_edge=False)
    for symbol, row in shown.items():
        table.add_row(Text(symbol), *(Text(str(row.get(name, ""))) for name in names))
    return table
