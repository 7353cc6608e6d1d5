"""Redis with so many processes that read: what an entry and what a beat costs it.

A process is a reader here, with connections of its own; many share one system process.
"""

from __future__ import annotations

import asyncio
import multiprocessing
from dataclasses import dataclass
from multiprocessing.connection import Connection
from time import monotonic

import orjson
import redis as client
import uvloop

from benches import proc
from ticker.bus import Beat, Position, Step
from ticker.bus.redis import RedisBus

BOARD = "b"
RATE = 20.0
SECONDS = 4.0
IDLE_SECONDS = 2.0
BEATS_PER_SECOND = 4.0
CARD = orjson.dumps(
    {"started": 1, "version": "1", "draining": False, "viewers": {"b": 1}, "now": 1}
)
PREFIX = "bench"
LEASE = 60.0


@dataclass
class Point:
    """Redis with so many ``readers``: its CPU and bytes for an entry, its CPU for a beat."""

    readers: int
    entry_us: float
    out_bytes: float
    beat_us: float
    beats_core: float
    """Share of Redis's core for the beats of all."""
    idle_core: float
    """Share of Redis's core for being there; it is in none of the others."""


class _Readers:
    """The other side of the pipe."""

    def __init__(self, url: str, count: int) -> None:
        self._buses = [_bus(url) for _ in range(count)]

    async def run(self, pipe: Connection) -> None:
        """Read until told to beat, beat until told to end."""
        loop = asyncio.get_running_loop()
        reading = [asyncio.create_task(self._read(bus)) for bus in self._buses]
        await asyncio.sleep(0.5)
        pipe.send("reading")
        await loop.run_in_executor(None, pipe.recv)
        for task in reading:
            task.cancel()
        beating = [asyncio.create_task(self._beat(i, bus)) for i, bus in enumerate(self._buses)]
        await asyncio.sleep(1)
        pipe.send("beating")
        await loop.run_in_executor(None, pipe.recv)
        for task in beating:
            task.cancel()
        pipe.send("done")

    async def _read(self, bus: RedisBus) -> None:
        cursor = "0"
        while True:
            for entries in (await bus.read({BOARD: cursor}, 1.0)).values():
                cursor = entries[-1][0]

    async def _beat(self, number: int, bus: RedisBus) -> None:
        every = 1 / BEATS_PER_SECOND
        await asyncio.sleep(every * number / len(self._buses))
        while True:
            began = monotonic()
            await bus.beat(Beat(f"{number:012}", CARD, "", False, LEASE))
            await asyncio.sleep(began + every - monotonic())


def _bus(url: str) -> RedisBus:
    return RedisBus(url, PREFIX, patience=10, kept=1000)


def _main(url: str, count: int, pipe: Connection) -> None:
    async def run() -> None:
        await _Readers(url, count).run(pipe)

    uvloop.run(run())


def fan_out(url: str, pid: int, readers: int, size: int) -> Point:
    """Measure with so many readers and entries of ``size`` bytes."""
    pipe, theirs = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_main, args=(url, readers, theirs), daemon=True
    )
    process.start()
    try:
        return uvloop.run(_measure(pipe, url, pid, readers, size))
    finally:
        process.kill()
        process.join()


async def _measure(pipe: Connection, url: str, pid: int, readers: int, size: int) -> Point:
    bus, counts = _bus(url), client.Redis.from_url(url)
    pulse = await bus.beat(Beat("poller", CARD, "", True, LEASE))
    entry, at = b"x" * size, Position("e", 0)
    await bus.publish(pulse.term, Step(BOARD, None, at, entry, b"{}"))
    _hear(pipe)
    idle = await _core(pid, IDLE_SECONDS)
    ticks = round(SECONDS * RATE)
    sent, cpu, began = _sent(counts), proc.cpu_seconds(pid), monotonic()
    for tick in range(ticks):
        await asyncio.sleep(max(0.0, began + tick / RATE - monotonic()))
        before, at = at, Position("e", at.seq + 1)
        await bus.publish(pulse.term, Step(BOARD, before, at, entry))
    await asyncio.sleep(0.2)
    cpu = proc.cpu_seconds(pid) - cpu - idle * (monotonic() - began)
    sent = _sent(counts) - sent
    pipe.send("beat")
    _hear(pipe)
    beats = max(0.0, await _core(pid, SECONDS) - idle)
    pipe.send("end")
    _hear(pipe)
    await bus.close()
    each = beats / (BEATS_PER_SECOND * readers) * 1e6
    return Point(readers, cpu / ticks * 1e6, sent / ticks, each, beats, idle)


async def _core(pid: int, seconds: float) -> float:
    """Return the share of a core that a process uses for so long."""
    cpu, began = proc.cpu_seconds(pid), monotonic()
    await asyncio.sleep(seconds)
    return (proc.cpu_seconds(pid) - cpu) / (monotonic() - began)


def _hear(pipe: Connection) -> None:
    if not pipe.poll(30):
        raise TimeoutError("the readers do not answer")
    pipe.recv()


def _sent(counts: client.Redis) -> int:
    told: dict[str, int] = counts.info("stats")
    return told["total_net_output_bytes"]
