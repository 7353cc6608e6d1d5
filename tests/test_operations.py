"""A day of operations with 500 connected viewers: nobody notices, until the server says goodbye.

``make demo-ops`` shows it with what each step did and how long it took.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client.parser import text_string_to_metric_families
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.test_cli import free_port
from ticker.protocol import CloseCode

VIEWERS = 500
SAVES = 20
PATIENCE = 30.0


@dataclass
class Watcher:
    """One viewer, and everything that went wrong for it."""

    seqs: dict[str, int] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    boards: list[str] = field(default_factory=list)
    gaps: int = 0
    goodbye: list[float] | None = None
    closed: int | None = None
    socket: Any = None

    async def watch(self, url: str) -> None:
        """Follow a board until the server closes."""
        async with connect(url, compression=None, max_size=None) as self.socket:
            try:
                async for text in self.socket:
                    self.take(orjson.loads(text))
            except ConnectionClosed:
                pass
            self.closed = self.socket.close_code

    def take(self, message: dict[str, Any]) -> None:
        """Apply what the rules of the wire say of seqs."""
        board = message.get("board", "")
        match message["type"]:
            case "snapshot":
                self.seqs[board], self.titles[board] = message["seq"], message["title"]
            case "diff":
                self.gaps += message["prev"] != self.seqs[board]
                self.seqs[board] = message["seq"]
            case "boards":
                self.boards = message["boards"]
            case "goodbye":
                self.goodbye = message["retry"]


class Operations:
    """The server, its config file, its metrics, and those who watch."""

    def __init__(self, folder: Path) -> None:
        self.file, self.token = folder / "config.yaml", folder / "admin-token"
        self.port = free_port()
        self.watchers = [Watcher() for _ in range(VIEWERS)]
        self.token.write_text("first-admin-token")
        feed = {"kind": "simulate", "every": "500ms", "symbols": {"AAPL": 190, "MSFT": 410}}
        self.config: dict[str, Any] = {
            "server": {"port": self.port, "drain": "5s"},
            "access": {"admin_tokens": ["${file:admin-token}"]},
            "feeds": {"nyse": feed, "coins": {**feed, "symbols": {"BTC": 60_000}}},
            "boards": {
                "stocks": {"feeds": ["nyse", "coins"], "flush": "200ms"},
                "crypto": {"feeds": ["coins"]},
            },
        }
        self.save()

    def save(self) -> None:
        """Replace the config file."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.config))
        new.replace(self.file)

    async def metrics(self, client: httpx.AsyncClient) -> dict[str, float]:
        """Return the metrics by name and labels."""
        text = (await client.get("/metrics")).text
        return {
            f"{s.name}{''.join(f' {value}' for _, value in sorted(s.labels.items()))}": s.value
            for family in text_string_to_metric_families(text)
            for s in family.samples
        }

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """Run the server, with everybody connected."""
        command = [sys.executable, "-m", "ticker", "serve", "-c", str(self.file)]
        log = self.file.with_suffix(".log").open("wb")
        process = await asyncio.create_subprocess_exec(*command, stderr=log)
        tasks: list[asyncio.Task[None]] = []
        try:
            await until(lambda: b"serving" in self.file.with_suffix(".log").read_bytes(), "start")
            url = f"ws://127.0.0.1:{self.port}/ws?board=stocks"
            tasks += [asyncio.create_task(watcher.watch(url)) for watcher in self.watchers]
            await until(lambda: all(w.seqs for w in self.watchers), "snapshots")
            yield process
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if process.returncode is None:
                process.kill()
            await process.wait()
            log.close()


async def until(look: Callable[[], object], what: str) -> float:
    """Return how many seconds it took until ``look`` was true."""
    started = monotonic()
    while not look():
        assert monotonic() - started < PATIENCE, f"no {what} within {PATIENCE:g} s"
        await asyncio.sleep(0.01)
    return monotonic() - started


@pytest.fixture
def ops(tmp_path: Path) -> Operations:
    """A config, and viewers that are not connected yet."""
    return Operations(tmp_path)


async def test_a_day_of_operations(ops: Operations) -> None:
    """Change, break, mend, add, remove, rotate, drain: every step shows in the metrics."""
    async with (
        ops.serving() as process,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{ops.port}") as client,
    ):

        async def shows(step: str, **expected: float) -> None:
            started = monotonic()
            while True:
                found = await ops.metrics(client)
                if all(found.get(name.replace("__", " ")) == v for name, v in expected.items()):
                    print(f"{step:<44} {monotonic() - started:6.2f} s until the metrics say so")
                    return
                assert monotonic() - started < PATIENCE, (step, expected, found)
                await asyncio.sleep(0.05)

        await shows("500 viewers watch", ticker_board_viewers__stocks=VIEWERS)

        ops.config["feeds"]["nyse"]["every"] = "250ms"
        ops.save()
        await shows("another interval", ticker_config_reloads_total__ok=1)

        ops.file.write_text('{"feeds": {"nyse": ')
        await shows("a broken file", ticker_config_last_reload_successful=0)
        ops.save()
        await shows(
            "the file mended",
            ticker_config_last_reload_successful=1,
            ticker_config_reloads_total__ok=2,
        )

        ops.config["boards"]["extra"] = {"feeds": ["coins"]}
        ops.save()
        await until(lambda: all("extra" in w.boards for w in ops.watchers), "new board")
        wanted = orjson.dumps({"type": "subscribe", "board": "extra"}).decode()
        await asyncio.gather(*(w.socket.send(wanted) for w in ops.watchers[::2]))
        await shows("another board, and who subscribes", ticker_board_viewers__extra=VIEWERS / 2)

        del ops.config["feeds"]["nyse"]
        ops.config["boards"]["stocks"]["feeds"] = ["coins"]
        ops.save()
        await shows("a feed less", ticker_config_reloads_total__ok=4, ticker_board_rows__stocks=1)
        assert not any(" nyse" in name for name in await ops.metrics(client))

        took = []
        for count in range(SAVES):
            title = ops.config["boards"]["stocks"]["title"] = f"Version {count}"
            ops.save()
            took.append(
                await until(lambda: all(w.titles["stocks"] == title for w in ops.watchers), title)  # noqa: B023 - awaited here
            )
        took.sort()
        p95 = took[int(len(took) * 0.95) - 1]
        print(f"from saving a title to all {VIEWERS} viewers: p95 {p95:.2f} s of {SAVES} saves")

        first, second = ({"authorization": f"Bearer {t}-admin-token"} for t in ("first", "second"))
        assert (await client.post("/-/reload", headers=first)).status_code == 200
        ops.token.write_text("second-admin-token")
        await shows("another admin token", ticker_config_reloads_total__ok=4 + SAVES + 2)
        assert (await client.post("/-/reload", headers=first)).status_code == 403
        assert (await client.post("/-/reload", headers=second)).status_code == 200

        assert [w for w in ops.watchers if w.closed is not None] == []
        process.send_signal(signal.SIGTERM)
        took.append(await until(lambda: all(w.closed for w in ops.watchers), "goodbye"))
        assert await asyncio.wait_for(process.wait(), PATIENCE) == 0
        print(f"drained in {took[-1]:.2f} s")
    assert {w.closed for w in ops.watchers} == {CloseCode.DRAINING}
    assert all(w.goodbye for w in ops.watchers)
    assert sum(w.gaps for w in ops.watchers) == 0
