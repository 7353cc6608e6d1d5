"""``make dos``: attacks a server as `ticker serve` starts it, and prints what its viewers noticed.

The server has a core of its own; who watches and who attacks share another. A feed says 20 times a
second what time it is, so a viewer knows how old what it is told is. What is printed is a measure,
no verdict on time: on a machine that does other things the ratios are theirs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson
import uvloop
from websockets.asyncio.server import ServerConnection, serve
from websockets.protocol import State

from benches import proc
from benches.servers import free_port
from tests.dos.attacks import ATTACKS, attacking
from tests.dos.watchers import Watchers
from ticker.load.histogram import Histogram

CONFIG = """
feeds:
  clock:
    {{kind: stream, url: "ws://127.0.0.1:{clock}", every: 10ms, fields: {{sent: sent}}}}
  prices: {{kind: simulate, every: 1s, symbols: {{{symbols}}}}}
  p: {{kind: push, tokens: [a token long enough], fields: {{last: last}}}}
boards:
  ticks: {{feeds: [clock], columns: [sent], flush: 10ms}}
  big: {{feeds: [prices, p], columns: [last, change_pct]}}
"""
ROWS = 1_000
VIEWERS = 200
STEP_SECONDS = 0.05
SETTLE_SECONDS = 40.0
BOUND = 200_000_000
"""Bytes that an attack may add to the memory of a server with such boards."""


@dataclass
class Outcome:
    """What an attack did."""

    name: str
    quiet: float
    p99: float
    worst: float
    rest: int
    """Bytes of memory before any attack."""
    rss: int
    lost: int
    settled: float
    waited: float
    counts: dict[str, int]

    @property
    def ratio(self) -> float:
        """How much longer viewers waited than in the quiet before and after."""
        return self.p99 / self.quiet


class Server:
    """The process that is attacked."""

    def __init__(self, folder: Path, clock: int, core: int) -> None:
        symbols = ", ".join(f"S{number}: {number + 1}" for number in range(ROWS))
        config = folder / "dos.yaml"
        config.write_text(CONFIG.format(clock=clock, symbols=symbols))
        self.port, self.rest = free_port(), 0
        self.log = folder / "log"
        command = [sys.executable, "-m", "ticker", "serve", "--config", str(config)]
        free = os.sched_getaffinity(0)
        os.sched_setaffinity(0, {core})
        try:
            self.process = subprocess.Popen(
                [*command, "--port", str(self.port)], stderr=self.log.open("wb")
            )
        finally:
            os.sched_setaffinity(0, free)

    @property
    def rss(self) -> int:
        """Its resident memory in bytes."""
        return proc.rss_bytes(self.process.pid)

    @property
    def waited(self) -> float:
        """For how many seconds it has waited for its core, while others had it."""
        pid = self.process.pid
        return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1]) / 1e9

    @property
    def files(self) -> int:
        """How many files and sockets it has open."""
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    async def wait(self) -> None:
        """Wait until it is ready."""
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.port}") as asking:
            for _ in range(400):
                with contextlib.suppress(httpx.HTTPError):
                    if (await asking.get("/readyz")).status_code == 200:
                        return
                await asyncio.sleep(0.05)
        raise SystemExit(f"the server is not ready:\n{self.log.read_text()}")

    def end(self) -> None:
        """End it."""
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Peak:
    """Looks at the memory of a process, ten times a second, from a thread."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.bytes = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.1):
            self.bytes = max(self.bytes, self._server.rss)


async def tell_time(port: int) -> None:
    """Be the feed."""

    async def told(link: ServerConnection) -> None:
        while link.state is State.OPEN:
            await link.send(orjson.dumps({"symbol": "T", "sent": time.time()}).decode())
            # at random, so that no step of the server's own goes with it
            await asyncio.sleep(STEP_SECONDS * random.uniform(0.8, 1.2))

    async with serve(told, "127.0.0.1", port, compression=None, ping_interval=None):
        await asyncio.Event().wait()


@contextlib.contextmanager
def attack(name: str, port: int, core: int) -> Iterator[dict[str, int]]:
    """Attack during the block; the counts are there after it."""
    counts: dict[str, int] = {}
    context = multiprocessing.get_context("spawn")
    pipe, theirs = context.Pipe()
    process = context.Process(target=attacking, args=(name, port, core, theirs), daemon=True)
    process.start()
    try:
        if not pipe.poll(120) or pipe.recv() != "begun":
            raise RuntimeError(f"the attackers of '{name}' did not begin")
        yield counts
    finally:
        pipe.send("end")
        if pipe.poll(10):
            counts.update(pipe.recv())
        process.join(5)
        process.kill()


async def run(names: list[str], seconds: float, cores: tuple[int, int]) -> list[Outcome]:
    """Attack in each of these ways and return what came of it."""
    server_core, core = cores
    os.sched_setaffinity(0, {core})
    clock = free_port()
    telling = asyncio.create_task(tell_time(clock))
    outcomes = []
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder), clock, server_core)
        try:
            await server.wait()
            watchers = Watchers(server.port, VIEWERS)
            await watchers.connect()
            await asyncio.sleep(2)
            files, server.rest = server.files, server.rss
            quiet = await measured(watchers, seconds)
            print(f"quiet: {said(quiet)}, {server.rss / 1e6:.0f} MB, {files} files", flush=True)
            for name in names:
                outcome = await attacked(server, watchers, name, seconds, core, quiet)
                quiet = await measured(watchers, seconds)
                outcome.quiet = (outcome.quiet + p99(quiet)) / 2
                outcomes.append(outcome)
                print(line(outcome), flush=True)
            if watchers.counts.lost:
                print("watchers were closed with", watchers.counts.closes, watchers.counts.words)
            watchers.close()
            print("log:", *sorted(set(server.log.read_text().splitlines()))[-20:], sep="\n  ")
        finally:
            server.end()
            telling.cancel()
    return outcomes


async def attacked(
    server: Server, watchers: Watchers, name: str, seconds: float, core: int, quiet: Histogram
) -> Outcome:
    """Attack once, then wait until the server is as it was."""
    before, lost = server.files, watchers.counts.lost
    with Peak(server) as peak:
        with attack(name, server.port, core) as counts:
            await asyncio.sleep(0.5)
            waited = server.waited
            found = await measured(watchers, seconds)
            waited = (server.waited - waited) / seconds
        over = time.monotonic()
        while server.files > before and time.monotonic() - over < SETTLE_SECONDS:  # noqa: ASYNC110 - of another process
            await asyncio.sleep(0.1)
        settled = time.monotonic() - over
    await asyncio.sleep(1)
    lost = watchers.counts.lost - lost
    worst = max((value for value, _ in found), default=float("inf"))
    times = p99(quiet), p99(found), worst
    return Outcome(name, *times, server.rest, peak.bytes, lost, settled, waited, counts)


async def measured(watchers: Watchers, seconds: float) -> Histogram:
    """Return the delays of so long."""
    watchers.clear()
    await asyncio.sleep(seconds)
    return watchers.clear()


def p99(delays: Histogram) -> float:
    """Return what one of a hundred exceeds, in milliseconds."""
    found = delays.percentile(99)
    return float("inf") if found is None else found


def said(delays: Histogram) -> str:
    """Return delays in words."""
    return f"p50 {delays.percentile(50) or 0:.1f} ms, p99 {p99(delays):.1f} ms"


def line(outcome: Outcome) -> str:
    """Return an outcome as a line."""
    counts = ", ".join(f"{what} {count:,}" for what, count in sorted(outcome.counts.items()))
    return (
        f"{outcome.name:32} p99 {outcome.p99:7.1f} ms (quiet {outcome.quiet:5.1f}) "
        f"x{outcome.ratio:5.1f}  worst {outcome.worst:7.1f}  {outcome.rss / 1e6:5.0f} MB  "
        f"lost {outcome.lost}  over in {outcome.settled:4.1f} s  "
        f"core {outcome.waited:4.0%} others'  [{counts}]"
    )


def main() -> None:
    """Attack, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.dos", description=__doc__)
    parser.add_argument("--only", help="names of attacks, with commas")
    parser.add_argument("--seconds", type=float, default=8.0, help="for each attack")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else list(ATTACKS)
    unknown = set(names) - ATTACKS.keys()
    if unknown:
        raise SystemExit(f"no attack '{min(unknown)}'; there are: {', '.join(ATTACKS)}")
    proc.raise_file_limit()
    outcomes = uvloop.run(run(names, options.seconds, proc.cores()))
    print("\n| attack | p99, quiet → attack | ratio | memory |\n|---|---|---|---|")
    for it in outcomes:
        times, memory = f"{it.quiet:.0f} → {it.p99:.0f} ms", f"{it.rss / 1e6:.0f} MB"
        print(f"| {it.name} | {times} | {it.ratio:.1f} | {memory} |")
    lost = [it.name for it in outcomes if it.lost]
    stayed = [it.name for it in outcomes if it.settled >= SETTLE_SECONDS]
    large = [it.name for it in outcomes if it.rss - it.rest > BOUND]
    if lost or stayed or large:
        raise SystemExit(f"viewers lost: {lost}; something stayed: {stayed}; memory: {large}")


if __name__ == "__main__":
    main()
