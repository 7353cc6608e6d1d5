"""What a bus costs, beside a server without one: `python -m benches.bus`.

A server alone, a poller and a follower on one Redis tick in turn in the same run, so that all have
the same machine. Then Redis alone, with ever more processes that read. The figures go to
`benches/bus.json`, from which `python -m benches.model` works out how far that carries.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import redis as client
import uvloop

from benches import page, proc
from benches.bus_readers import Point, fan_out
from benches.figure import Figure, figures
from benches.peers.common import BOARD, CLOCK
from benches.report import table
from benches.servers import Options, Server, free_port, running
from benches.web import quiet
from tests.buses import redis
from ticker.load.viewer import Counts, LoadViewer, Target

BEGIN, END = "<!-- bench-bus:begin -->", "<!-- bench-bus:end -->"
FIGURES = Path(__file__).parent / "bus.json"
RATE = 20.0
VIEWERS = 10
"""Viewers of each server: few, since what is looked for is not the time of fanning out."""
IDLE_SECONDS = 3.0
PATIENCE = 20.0
MUST_MS, AIM_MS = 10.0, 3.0
KINDS = {"alone": "without a bus", "poller": "the poller", "follower": "another process"}


@dataclass
class Cost:
    """One server: how late its viewers have a tick, and what a tick costs it."""

    p50: float
    p99: float
    times: int
    cpu_us: float
    """CPU per tick, without what it costs to be there."""


@dataclass
class Results:
    """Everything that one run measured."""

    load: float
    ticks: int
    messages: float
    """Messages on the bus per tick and board."""
    entry_bytes: float
    in_bytes: float
    """What Redis received per tick, all its connections, and what it sent."""
    out_bytes: float
    redis_us: float
    servers: dict[str, Cost] = field(default_factory=dict)
    readers: list[Point] = field(default_factory=list)


class Stopwatch(LoadViewer):
    """A viewer that takes the time since a tick; the clock is that of the machine."""

    times: list[float] | None = None

    def _apply(self, message: dict[str, Any]) -> None:
        super()._apply(message)
        row = message["rows"].get(CLOCK)
        if row and self.times is not None:
            self.times.append((monotonic() - row["last"]) * 1000)


def peer(bus: str | None) -> Callable[[Options], list[str]]:
    """Return the command of this project's server, on a bus or alone."""
    module = [sys.executable, "-m", "benches.peers.ticker_server", "--clock"]
    return lambda options: [*module, *options.common(), *(["--bus", bus] if bus else [])]


def latency(url: str, seconds: float) -> Results:
    """Measure a server alone, a poller and a follower, in turn."""
    cores = dict(zip(KINDS, (*proc.cores(), proc.cores()[0]), strict=True))
    with ExitStack() as stack:
        ports, pids = {}, {}
        for kind in KINDS:
            options = Options(port=free_port(), rate=RATE)
            server = Server(kind, kind, peer(url if kind != "alone" else None), ours=True)
            pids[kind] = stack.enter_context(running(server, options, cores[kind])).pid
            ports[kind] = options.port
            if kind != "alone":
                _wait_for_rows(ports[kind])  # the first on the bus is the poller
        return uvloop.run(_measure(client.Redis.from_url(url), ports, pids, seconds))


def _wait_for_rows(port: int) -> None:
    """Wait until a server has what the poller reads."""
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/boards", timeout=5) as answer:
            if json.load(answer)["boards"][0]["rows"]:
                return
        sleep(0.1)
    raise RuntimeError(f"the server on port {port} has no rows")


async def _measure(
    bus: client.Redis, ports: dict[str, int], pids: dict[str, int], seconds: float
) -> Results:
    loop = asyncio.get_running_loop()
    watching: dict[str, list[Stopwatch]] = {kind: [] for kind in KINDS}
    for kind, port in ports.items():
        target = Target("127.0.0.1", port, board=BOARD, deflate=False)
        for _ in range(VIEWERS):
            _, viewer = await loop.create_connection(
                lambda t=target: Stopwatch(t, Counts(), sampled=True, ended=lambda _: None),  # type: ignore[misc]
                "127.0.0.1",
                port,
            )
            await viewer.ready
            watching[kind].append(viewer)
    everybody = {**pids, "redis": int(_info(bus)["process_id"])}
    gc.freeze()
    gc.disable()

    async def spent(wait: float) -> dict[str, float]:
        before = {kind: proc.cpu_seconds(pid) for kind, pid in everybody.items()}
        await asyncio.sleep(wait)
        return {kind: proc.cpu_seconds(pid) - before[kind] for kind, pid in everybody.items()}

    idle = await spent(IDLE_SECONDS)
    os.kill(pids["alone"], signal.SIGUSR2)
    await asyncio.sleep(1 / RATE / 2)
    os.kill(pids["poller"], signal.SIGUSR2)
    await asyncio.sleep(2)
    times: dict[str, list[float]] = {kind: [] for kind in KINDS}
    for kind, viewers in watching.items():
        for viewer in viewers:
            viewer.times = times[kind]
    seqs = {kind: viewers[0].seq for kind, viewers in watching.items()}
    before = _info(bus)
    busy = await spent(seconds)
    after = _info(bus)
    ticks = {kind: viewers[0].seq - seqs[kind] for kind, viewers in watching.items()}
    grown = {name: after[name] - before[name] for name in after}
    more = {k: busy[k] - idle[k] * seconds / IDLE_SECONDS for k in busy}
    entries: Any = bus.xrevrange("{ticker}:entries:" + BOARD, count=50)
    sizes = [len(data) for _, fields in entries for data in fields.values()]
    result = Results(
        load=os.getloadavg()[0],
        ticks=grown["seq"],
        messages=grown["xadd"] / grown["seq"],
        entry_bytes=statistics.mean(sizes),
        in_bytes=grown["in"] / grown["seq"],
        out_bytes=grown["out"] / grown["seq"],
        redis_us=more["redis"] / grown["seq"] * 1e6,
    )
    for kind, taken in times.items():
        cuts = statistics.quantiles(taken, n=100)
        cpu = more[kind] / ticks[kind] * 1e6
        result.servers[kind] = Cost(cuts[49], cuts[98], len(taken), cpu)
    return result


def _info(bus: client.Redis) -> dict[str, int]:
    """Return what Redis counts, of one moment: entries that were added, bytes in and out, seqs."""
    with bus.pipeline(transaction=True) as pipe:
        pipe.info("everything")
        pipe.hget("{ticker}:positions", BOARD)
        told, at = pipe.execute()
    _, seq = at.split()
    xadd = told.get("cmdstat_xadd", {"calls": 0})["calls"]
    counted = {"in": told["total_net_input_bytes"], "out": told["total_net_output_bytes"]}
    return {"process_id": told["process_id"], "xadd": xadd, "seq": int(seq), **counted}


def goals(results: Results) -> Iterator[Figure]:
    """Yield what was to reach."""
    alone = results.servers["alone"]
    for kind in ("follower", "poller"):
        late = results.servers[kind]
        note = f"median {late.p50 - alone.p50:+.2f} ms"
        what = f"added latency at {KINDS[kind]}, p99"
        yield Figure(what, "ms", MUST_MS, AIM_MS, late.p99 - alone.p99, note=note)
    note = f"{results.ticks:,} ticks"
    yield Figure("bus messages per tick and board", "", 1, 1, results.messages, note=note)


def body(results: Results) -> str:
    """Return everything that stands between the marks."""
    servers = [
        [KINDS[kind], f"{it.p50:.2f}", f"{it.p99:.2f}", f"{it.times:,}", f"{it.cpu_us:,.0f}"]
        for kind, it in results.servers.items()
    ]
    readers = [
        [
            f"{it.readers}",
            f"{it.entry_us:,.0f}",
            f"{it.entry_us / it.readers:,.1f}",
            f"{it.out_bytes:,.0f}",
            f"{it.beat_us:,.0f}",
            f"{it.beats_core:.2%}",
        ]
        for it in results.readers
    ]
    head = ["viewers of", "p50 ms", "p99 ms", "times taken", "CPU µs per tick"]
    parts = [
        f"{proc.processor()}. {quiet(results.load)}",
        figures(list(goals(results))),
        f"{VIEWERS} viewers each, {RATE:g} ticks a second, in turn:",
        table(head, servers),
        f"An entry has {results.entry_bytes:,.0f} bytes. Per tick Redis received "
        f"{results.in_bytes:,.0f} bytes and sent {results.out_bytes:,.0f}, beats of both processes "
        f"included, and used {results.redis_us:,.0f} µs of CPU.",
    ]
    if readers:
        head = ["processes", "Redis: µs per entry", "and process", "bytes out per entry"]
        head += ["µs per beat", "core for beats"]
        parts += ["Redis by itself, with more processes that read:", table(head, readers)]
    return "\n\n".join(parts)


def main() -> None:
    """Measure, print, and write what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benches.bus", description=__doc__)
    parser.add_argument("--seconds", type=float, default=15, help="length of the measurement")
    parser.add_argument("--readers", default="2,8,32,64", help="processes on Redis; empty: none")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md and JSON")
    given = parser.parse_args()
    proc.raise_file_limit()
    with tempfile.TemporaryDirectory() as directory, redis(Path(directory)) as bus:
        results = latency(bus.url, given.seconds)
        for count in filter(None, given.readers.split(",")):
            client.Redis.from_url(bus.url).flushall()
            point = fan_out(bus.url, bus.process.pid, int(count), round(results.entry_bytes))
            print(point, flush=True)
            results.readers.append(point)
    print(body(results))
    if given.write:
        FIGURES.write_text(json.dumps(asdict(results), indent=1) + "\n")
        page.insert(body(results), BEGIN, END)


if __name__ == "__main__":
    main()
