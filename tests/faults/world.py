"""A server in a process of its own, its sources, and all who watch it."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import orjson

from tests.buses import Redis, redis
from tests.faults.crowd import Crowd
from tests.faults.oracle import Oracle, Terms
from tests.faults.sources import Prices, Scores, Source
from tests.faults.wire import Wire, wire
from tests.illness import Proxy, proxy

ROOT = Path(__file__).parent.parent.parent
HOST = "127.0.0.1"
PATIENCE = 30.0
START_PATIENCE = 120.0
"""Longest wait for a start, in seconds: on a machine that has other work to do."""
LEASE = 1.0
"""Seconds for which a process of a cluster is the poller without saying so again."""
ADMIN = "an-admin-of-the-fault-suite"

CONFIG = """
server:
  heartbeat: 2s
  stall_timeout: 4s
  presence: 1s
  max_viewers: {most}
  subscribe_within: 4s
  drain: 4s
  return_within: 1s
access:
  admin_tokens: [{admin}]
feeds:
  prices:
    kind: poll
    every: {every}ms
    timeout: {timeout}ms
    url: {prices}
    rows: rows
    fields: {{last: last, open: open, volume: volume, time: time}}
    stale_after: 2s
    row_stale_after: 6s
    backoff_max: 1s
    max_bytes: 256KB
  scores:
    kind: poll
    every: {every}ms
    timeout: {timeout}ms
    url: {scores}
    rows: rows
    fields:
      home: home
      away: away
      home_score: home_score
      away_score: away_score
      status: status
    required: [home, away, home_score, away_score, status]
    stale_after: 3s
    backoff_max: 1s
    max_bytes: 256KB
boards:
  prices: {{feeds: [prices], flush: 50ms, columns: [last, change, volume, time]}}
  scores: {{feeds: [scores], layout: scores, flush: 50ms}}
"""

TERMS = {
    "prices": Terms(stale_after=2.0, row_stale_after=6.0),
    "scores": Terms(stale_after=3.0, guarded=True),
}

ALWAYS = (
    r"serving prices, scores on http://",
    r"\d+ viewers \(max_viewers\)",
    r".* open files are allowed",
    r"draining \d+ viewers",
    r"store: boards are kept in ",
    r"store: board '\w+' has \d+ rows",
    r"store: board '\w+' begins a new epoch, \w+: "
    r"(seq \d+ was shown, \d+ was kept|another epoch was shown|it is not known what was shown)",
    # a machine with other work to do
    r"feed '\w+' failed: no answer within ",
    r"feed '\w+' is (stale|down): (no answer|nothing read|HTTP|.*)",
    # what follows from any fault, in the end
    r"feed '\w+' is (live|closed)",
    r"feed '\w+' is back after ",
    r"feed 'scores' flaps: ",
)
"""Patterns of log lines that may come at any time."""


@dataclass(frozen=True)
class Footprint:
    """What a process takes; memory in bytes."""

    memory: int
    files: int
    threads: int
    tasks: int

    def above(self, base: Footprint) -> list[str]:
        """Return in words in what this is more than ``base``, beyond what is tolerated."""
        found = []
        for name, room in TOLERANCE.items():
            now, before = getattr(self, name), getattr(base, name)
            if now > before + room:
                found.append(f"{name}: {now}, {before} at first; at most {room} more is tolerated")
        return found


TOLERANCE = {
    "memory": 48_000_000,  # arenas of the allocator that the first storm fills stay
    "files": 6,  # connections kept open to sources
    "threads": 8,  # pools start threads when they first need them, and keep them
    "tasks": 8,
}


class Server:
    """``ticker serve`` as a process that can be ended and started again, always at its port."""

    def __init__(self, config: Path, log: Path) -> None:
        self.config, self.log = config, log
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self.turn = asyncio.Lock()
        """Held by who stops it, ends it or changes what it is made of: one at a time."""

    def start(self) -> None:
        """Start it; ``World.ready`` waits until it serves."""
        command = [sys.executable, "-m", "ticker", "serve", "--config", str(self.config)]
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*command, "--host", HOST, "--port", str(self.port)],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": path},
            )

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self.process is not None
        return self.process.pid

    @property
    def runs(self) -> bool:
        """Whether it lives."""
        return self.process is not None and self.process.poll() is None

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once, also while it is stopped."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(PATIENCE)

    def memory(self) -> int:
        """Return its resident memory in bytes."""
        return int(self._status("VmRSS")) * 1024

    def threads(self) -> int:
        """Return how many threads it has."""
        return int(self._status("Threads"))

    def files(self) -> int:
        """Return how many descriptors it has open."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def size(self) -> int:
        """Return its address space in bytes."""
        return int(self._status("VmSize")) * 1024

    def cpu(self) -> float:
        """Return for how many seconds it has had a processor."""
        parts = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(parts[11]) + int(parts[12])) / os.sysconf("SC_CLK_TCK")

    def _status(self, name: str) -> str:
        text = Path(f"/proc/{self.pid}/status").read_text()
        return text.partition(f"{name}:")[2].split()[0]


@dataclass
class World:
    """Everything that a fault may touch."""

    seed: int
    folder: Path
    oracle: Oracle
    sources: dict[str, Source]
    server: Server
    wires: list[Wire]
    """What lies between the server and some of the viewers."""
    crowd: Crowd
    http: httpx.AsyncClient
    source_wires: list[Wire] = field(default_factory=list)
    """What lies between the server and its source of prices."""
    allowed: list[str] = field(default_factory=lambda: list(ALWAYS))
    """Patterns of log lines that may be there."""
    errors: list[str] = field(default_factory=list)
    """Patterns of those of level error that may be there."""
    may_lose: bool = False
    """Whether something happened by which viewers may lose their connection."""
    base: Footprint | None = None
    restarts: int = 0
    others: list[Server] = field(default_factory=list)
    """More processes that serve the same boards, where there is a bus."""
    bus: Redis | None = None
    bus_links: list[Proxy] = field(default_factory=list)
    """Between the bus and each of the processes."""
    bus_turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held by who does something to the bus itself."""

    @property
    def servers(self) -> list[Server]:
        """All processes."""
        return [self.server, *self.others]

    @property
    def the_bus(self) -> Redis:
        """The bus, where there is one."""
        assert self.bus is not None, "there is no bus"
        return self.bus

    async def polls(self, server: Server) -> bool:
        """Whether a process reads the feeds, by its log."""
        text = await asyncio.to_thread(server.log.read_text, errors="replace")
        last = text.rpartition("this process reads the feeds ")[2]
        return server.runs and last.startswith("now")

    @property
    def url(self) -> str:
        """Where the server answers."""
        return self.server.url

    def complain(self, words: str) -> None:
        """Take note of something that must not be."""
        self.oracle.complain(words)

    async def get(self, path: str, server: Server | None = None) -> Any:
        """Return the JSON at ``path``; None while there is no answer."""
        url = (server or self.server).url
        with suppress(httpx.HTTPError, orjson.JSONDecodeError):
            return orjson.loads((await self.http.get(url + path)).content)
        return None

    async def ready(self, server: Server | None = None, patience: float = PATIENCE) -> None:
        """Wait until viewers may come."""
        which = server or self.server

        async def look() -> bool:
            assert which.runs, f"the server has ended: {which.log.read_text()[-2000:]}"
            return bool(((await self.get("/readyz", which)) or {}).get("status") == "ready")

        await until(look, "the server is not ready", patience)

    async def footprint(self) -> Footprint:
        """Return what the server takes now."""
        text = (await self.http.get(f"{self.url}/metrics")).text
        found = re.search(r"^ticker_tasks (\S+)", text, re.MULTILINE)
        assert found is not None, "no ticker_tasks in the metrics"
        server = self.server
        tasks = int(float(found[1]))
        return Footprint(server.memory(), server.files(), server.threads(), tasks)

    async def settle(self) -> None:
        """Wait until all viewers are there and have rows of all boards."""

        def there() -> bool:
            return all(
                viewer.connected and all(v.state is not None for v in viewer.views.values())
                for viewer in self.crowd.viewers
            )

        await until(there, "viewers are missing")

    def log_lines(self) -> list[str]:
        """Return what the server has logged."""
        logs = (server.log.read_text(errors="replace") for server in self.servers)
        return [line for log in logs for line in log.splitlines()]


async def until(
    look: Callable[[], Any], words: str, patience: float = PATIENCE, pause: float = 0.05
) -> None:
    """Wait until ``look`` is true; raises AssertionError where that takes too long."""
    deadline = monotonic() + patience
    while True:
        found = look()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return
        assert monotonic() < deadline, f"{words} after {patience:g} s"
        await asyncio.sleep(pause)


def free_port() -> int:
    """Return a port that nobody has, outside the range from which others are given theirs."""
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(15_000, 32_000)
        with socket.socket() as listener, suppress(OSError):
            listener.bind((HOST, port))
            return port


@asynccontextmanager
async def world(
    seed: int, viewers: int = 200, wires: int = 4, *, cluster: bool = False
) -> AsyncIterator[World]:
    """Run a world during the block; its folder goes with it.

    A ``cluster`` is two processes and a bus that writes down what it takes.
    """
    folder = Path(tempfile.mkdtemp(prefix=f"faults-{seed}-"))
    oracle = Oracle(TERMS, shared=3 * LEASE if cluster else None)
    prices = Prices(oracle, random.Random(f"prices {seed}"))
    scores = Scores(oracle, random.Random(f"scores {seed}"))
    sources: list[Source] = [prices, scores]
    every = 200 * max(1, viewers // 400)
    async with AsyncExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        for source in sources:
            await source.open()
            stack.push_async_callback(source.close)
        between = stack.enter_context(wire(prices.port))
        between.forgets = True
        config = folder / "config.yaml"
        text = CONFIG.format(
            most=viewers + 400,
            admin=ADMIN,
            every=every,
            timeout=every - 10,
            prices=prices.url.replace(str(prices.port), str(between.port)),
            scores=scores.url,
        )
        config.write_text(text)
        server = Server(config, folder / "log")
        links = [stack.enter_context(wire(server.port)) for _ in range(wires)]
        crowd = Crowd(oracle, viewers, seed, server.port, [link.port for link in links])
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=5, trust_env=False))
        there = World(
            seed,
            folder,
            oracle,
            {s.name: s for s in sources},
            server,
            links,
            crowd,
            http,
            [between],
        )
        if cluster:
            _add_bus(there, text, stack)
            crowd.lead(there.others[0].port)
        for one in there.servers:
            stack.callback(one.kill)
            one.start()
        for one in there.servers:
            await there.ready(one, START_PATIENCE)
        stack.push_async_callback(crowd.go)
        crowd.come()
        yield there


def _add_bus(world: World, config: str, stack: AsyncExitStack) -> None:
    """Let the world have a bus, and one more process that meets the first there."""
    always = ("--appendonly", "yes", "--appendfsync", "always")
    world.bus = stack.enter_context(redis(world.folder, "redis-server", *always))
    world.others = [Server(world.folder / "other.yaml", world.folder / "other-log")]
    for server in world.servers:
        link = stack.enter_context(proxy(world.bus.port))
        world.bus_links.append(link)
        server.config.write_text(f"{config}bus: {{url: '{link.url}', lease: {LEASE:g}s}}\n")


def unexpected(
    lines: Iterable[str], allowed: Iterable[str], errors: Iterable[str] = ()
) -> list[str]:
    """Return the log lines that no pattern allows; ``errors`` are the patterns for errors."""
    patterns = [re.compile(pattern) for pattern in allowed]
    bad_patterns = [re.compile(pattern) for pattern in errors]
    found = []
    for line in lines:
        try:
            entry = orjson.loads(line)
        except orjson.JSONDecodeError:
            if not any(pattern.match(line) for pattern in bad_patterns):
                found.append(line)
            continue
        words = str(entry.get("event", ""))
        bad = entry.get("level") in ("error", "critical") or "exception" in entry
        if not any(pattern.match(words) for pattern in (bad_patterns if bad else patterns)):
            found.append(line)
    return found
