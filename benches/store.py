"""What the store gives and costs: `python -m benches.store`.

A board of 10,000 rows with 300 points of the past each, of which 500 rows change twice a
second, is killed again and again: how long it takes from the start of the process until a viewer
has the whole board, and how much of what it had been shown is gone. Then what the store costs
the event loop, with and without in one run, and what is written to the disk.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import threading
from array import array
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copy
from time import monotonic, sleep, thread_time, time
from typing import Any

import httpx
import orjson
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from benches.board import quote
from benches.proc import cpu_seconds
from ticker.config.server import Server as Settings
from ticker.history import STEP_MS, Series
from ticker.keep import Keeper
from ticker.listener import listen
from ticker.live import LiveBoard, Shape
from ticker.store import KEPT, PAST_SECONDS, Store

ROWS, POINTS, LIMIT, CHANGED = 10_000, 300, 400, 500
KILLS = 9
TICKS = 40
SECONDS = 10
EVERY = 0.25

CONFIG = """
feeds:
  f:
    kind: poll
    every: 500ms
    timeout: 450ms
    url: "{url}"
    rows: rows
    key: symbol
    fields:
      {{name: name, last: last, open: open, high: high, low: low, bid: bid, ask: ask,
        volume: volume}}
boards:
  b: {{feeds: [f], flush: 50ms, history: 400}}
"""


class Quotes:
    """A source of many rows, some of which change each time that it is asked."""

    def __init__(self) -> None:
        self.dice = random.Random(1)
        self.rows: dict[str, dict[str, Any]] = {
            f"SYM{i:05}": quote(self.dice, i) for i in range(ROWS)
        }
        self.answers = True
        source = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = source.body() if source.answers else b""
                self.send_response(200 if body else 503)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def change(self) -> dict[str, dict[str, Any]]:
        """Change some rows, and return them."""
        changed = {}
        for symbol in self.dice.sample(list(self.rows), CHANGED):
            last = round(self.rows[symbol]["last"] * self.dice.uniform(0.99, 1.01), 2)
            changed[symbol] = self.rows[symbol] = {**self.rows[symbol], "last": last}
        return changed

    def body(self) -> bytes:
        """Return all rows, of which some have changed."""
        self.change()
        return orjson.dumps({"rows": [{"symbol": s, **row} for s, row in self.rows.items()]})


def board(quotes: Quotes) -> LiveBoard:
    """Return the board with all rows and all of their past."""
    live = LiveBoard("b", "e", Shape("b", "quotes", [], ["f"], 0.05, "last", LIMIT))
    live.inherit({"f": next(iter(quotes.rows.values())).keys()})
    live.board.apply("f", quotes.rows)
    live.flush(time())
    assert live.history is not None
    now = round(time() * 1000)
    for symbol, row in quotes.rows.items():
        at = array("q", (now - STEP_MS * 4 * n for n in range(POINTS, 0, -1)))
        value = array("d", (row["last"] + n / 100 for n in range(POINTS)))
        live.history._series[symbol] = Series.of(LIMIT, STEP_MS * 4, at, value)
    return live


async def prepare(path: Path, quotes: Quotes) -> None:
    """Keep the board in a file."""
    live = board(quotes)
    store = Store(path, {"b": live})
    keeper = Keeper(store, {"b": live}, store, KEPT, PAST_SECONDS)
    await store.load()
    keeper.take()
    await store.close(keeper.finish)


def serve(config: Path, port: int) -> subprocess.Popen[bytes]:
    """Start the program."""
    command = [
        sys.executable,
        "-m",
        "ticker",
        "serve",
        "--config",
        str(config),
        "--port",
        str(port),
    ]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def restarts(config: Path, port: int, quotes: Quotes) -> None:
    """Kill the program again and again; tell how it comes back."""
    full: list[float] = []
    spent: list[float] = []
    lost: list[float] = []
    shown: list[tuple[int, int]] = []
    epoch, killed = "", 0.0
    for _ in range(KILLS + 1):
        began = monotonic()
        process = serve(config, port)
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                viewer = connect(f"ws://127.0.0.1:{port}/ws?board=b", max_size=None)
                break
            sleep(0.002)
        with viewer:
            while (message := orjson.loads(viewer.recv(60)))["type"] != "snapshot":
                pass
            if shown:
                full.append(monotonic() - began)
                spent.append(cpu_seconds(process.pid))
                kept = message["seq"] - (message["epoch"] != epoch)  # a new one is a seq further
                gone = [at for seq, at in shown if seq > kept]
                lost.append(max(0.0, killed - gone[0] / 1000) if gone else 0.0)
                assert len(message["rows"]) == ROWS
            quotes.answers, epoch, shown = True, message["epoch"], []
            until = monotonic() + 3 + quotes.dice.random()
            while (left := until - monotonic()) > 0:
                with suppress(TimeoutError):
                    hear(viewer, left, shown)
            process.kill()
            killed = time()
            quotes.answers = False  # what is there after it is from the file
            with suppress(WebSocketException, OSError):
                while True:
                    hear(viewer, 5, shown)
        process.wait()
    told("kill -9 to a viewer's first full page, 10,000 rows", full)
    told("  of which CPU of the process", spent)
    told("updates lost over kill -9", lost)


def hear(viewer: ClientConnection, seconds: float, shown: list[tuple[int, int]]) -> None:
    """Take note of what a viewer is shown next: seq and time."""
    message = orjson.loads(viewer.recv(seconds))
    if message["type"] == "diff":
        shown.append((message["seq"], message["at"]))


def told(what: str, seconds: list[float]) -> None:
    """Print what was measured."""
    print(f"{what}: median {statistics.median(seconds):.3f} s, most {max(seconds):.3f} s")


async def cost(path: Path, quotes: Quotes) -> None:
    """Tell what the store costs the event loop, tick by tick."""
    plain, kept = board(quotes), board(quotes)
    store = Store(path, {"b": kept})
    keeper = Keeper(store, {"b": kept}, store, KEPT, PAST_SECONDS)
    await store.load()
    keeper.take()
    kept.provide({"f": next(iter(quotes.rows.values())).keys()})
    store.start()
    keeping = asyncio.create_task(keeper.keep_forever())
    spent = [0.0, 0.0]
    began = store.written_bytes
    for _ in range(TICKS):
        changed = quotes.change()
        for which, live in enumerate((plain, kept)):
            before = thread_time()
            live.board.apply("f", changed)
            entry = live.pending(time())
            assert entry is not None
            if which:
                await keeper.publish(live, entry)
            else:
                live.take(entry)
            assert live.since(live.seq - 1)
            spent[which] += thread_time() - before
        before = thread_time()
        await asyncio.sleep(EVERY)  # what the store does meanwhile on the loop
        spent[1] += thread_time() - before
    keeping.cancel()
    without, with_store = (1000 * seconds / TICKS for seconds in spent)
    print(f"a tick of {CHANGED} changed rows without store: {without:.2f} ms of the loop")
    print(f"  with it: {with_store:.2f} ms, {with_store / without:.2f} times as much")
    rate = (store.written_bytes - began) / TICKS / EVERY
    print(f"  {rate / 1000:.0f} KB/s given to the file, {ROWS:,} rows with {POINTS} points each")
    await store.close(keeper.finish)


def written(config: Path, port: int, what: str) -> None:
    """Tell how much a running program writes to the disk."""
    process = serve(config, port)
    try:
        while True:
            with suppress(httpx.TransportError):
                if httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 200:
                    break
            sleep(0.05)
        before = _written(process.pid)
        sleep(SECONDS)
        rate = (_written(process.pid) - before) / SECONDS
    finally:
        process.kill()
        process.wait()
    print(f"written to the disk, {what}: {rate / 1000:.0f} KB/s")


def _written(pid: int) -> int:
    lines = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(lines["write_bytes"])


def main() -> None:
    """Measure everything."""
    quotes = Quotes()
    with listen(Settings(), "127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "config.yaml"
        config.write_text(CONFIG.format(url=quotes.url))
        asyncio.run(prepare(folder / "ticker.db", quotes))
        restarts(config, port, quotes)
        quotes.answers = True
        written(config, port, f"{ROWS:,} rows")
        demo = folder / "demo"
        demo.mkdir()
        copy(Path("config.yaml"), demo)
        written(demo / "config.yaml", port, "config.yaml")
        asyncio.run(cost(folder / "cost.db", quotes))


if __name__ == "__main__":
    main()
