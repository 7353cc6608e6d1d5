"""One server with so many viewers: connect, settle, measure."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benches import proc
from benches.crowd import Crowd, Tally
from benches.servers import Options, Server, free_port, running
from ticker.load.histogram import Histogram
from ticker.load.viewer import Target

WATCHERS = 100
STEP = 100
"""Viewers that connect at the same time."""
CONNECT_SECONDS = 30.0
"""Longest time for all to connect; those that are not there by then are not waited for."""
SETTLE_SECONDS = 1.5
SATURATED = 0.93
"""Share of the viewers' core above which figures say more about the viewers than the server."""
DISTURBED = 0.10
"""Share of the server's core that went to others, above which a row says so."""


@dataclass
class Row:
    """One server with so many viewers."""

    server: str
    viewers: int
    deflate: bool
    connected: int = 0
    connect_seconds: float = 0.0
    connect_cpu: float = 0.0
    cpu_us: float = 0.0
    server_core: float = 0.0
    delivered: float = 0.0
    p50: float | None = None
    p99: float | None = None
    bytes: float = 0.0
    kb_per_viewer: float = 0.0
    generator_core: float = 0.0
    notes: list[str] = field(default_factory=list)
    invalid: bool = False
    disturbed: bool = False
    frame_bytes: int | None = None
    """The payload, where the server was told one."""
    lag: dict[str, float] | None = None
    """How late our loop was in the last minute, in milliseconds; connecting is part of it."""

    @property
    def doubtful(self) -> bool:
        """Whether the figures may say something else than how the server is."""
        return self.invalid or self.disturbed


def together(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of tallies, but for the latencies, which are those of the last."""
    first, last = tallies
    return Tally(
        connected=first.connected + last.connected,
        refused=first.refused + last.refused,
        lost=first.lost + last.lost,
        frames=first.frames + last.frames,
        bytes=first.bytes + last.bytes,
        cpu=first.cpu + last.cpu,
        gaps=first.gaps + last.gaps,
        words=first.words | last.words,
        latency=last.latency,
    )


class Measurement:
    """One server, so many viewers: connect, settle, measure."""

    def __init__(
        self, server: Server, viewers: int, deflate: bool, options: Options, seconds: float
    ) -> None:
        self._server, self._seconds = server, seconds
        self._options = replace(options, port=free_port())
        self._server_core, self._viewers_core = proc.cores()
        self._rate = options.rate
        self.row = Row(server.name, viewers, deflate, frame_bytes=options.size)

    def run(self) -> Row:
        """Return the figures."""
        self.target = Target(
            "127.0.0.1",
            self._options.port,
            board="stocks" if self._server.ours else None,
            deflate=self.row.deflate,
            protocol=self._server.ours,
        )
        with running(self._server, self._options, self._server_core) as process:
            core = self._viewers_core
            crowds = [Crowd(self.target, sampled=sampled, core=core) for sampled in (False, True)]
            try:
                self._measure(process.pid, crowds)
            finally:
                for crowd in crowds:
                    crowd.end()
        return self.row

    def settle(self, pid: int) -> None:  # noqa: ARG002 - for those who look at the server
        """Wait until what is measured next is as it will be."""
        time.sleep(SETTLE_SECONDS)

    def finish(self) -> None:
        """Look at what is left to look at, with everybody still there."""

    def _measure(self, pid: int, crowds: list[Crowd]) -> None:
        row = self.row
        self._look(crowds)  # they have started when they answer
        memory = proc.rss_bytes(pid)
        self._connect(pid, crowds)
        os.kill(pid, signal.SIGUSR2)
        self.settle(pid)
        for crowd in crowds:
            crowd.do("clear")
        cores = self._server_core, self._viewers_core
        before, cpu, began = self._look(crowds), proc.cpu_seconds(pid), time.monotonic()
        busy = [proc.busy_seconds(core) for core in cores]
        time.sleep(max(0.0, began + self._seconds - time.monotonic()))
        cpu = proc.cpu_seconds(pid) - cpu
        took = time.monotonic() - began
        after = self._look(crowds)
        busy = [proc.busy_seconds(core) - was for core, was in zip(cores, busy, strict=True)]
        frames = after.frames - before.frames
        row.connected = after.connected
        row.cpu_us = cpu / frames * 1e6 if frames else 0.0
        row.server_core = cpu / took
        row.delivered = frames / (self._rate * took * max(1, row.connected))
        latency = Histogram(after.latency)
        row.p50, row.p99 = latency.percentile(50), latency.percentile(99)
        row.bytes = (after.bytes - before.bytes) / frames if frames else 0.0
        row.kb_per_viewer = (proc.rss_bytes(pid) - memory) / max(1, row.connected) / 1000
        row.generator_core = (after.cpu - before.cpu) / took
        if self._server.ours:
            row.lag = self.get("/healthz")["loop_lag"]
        self._judge(busy, took, after)
        self.finish()

    def get(self, path: str) -> Any:
        """Return what our server answers there."""
        where = f"http://127.0.0.1:{self._options.port}{path}"
        with urllib.request.urlopen(where, timeout=10) as answer:
            return json.load(answer)

    def _judge(self, busy: list[float], took: float, after: Tally) -> None:
        row = self.row
        if row.connected < row.viewers:
            row.notes.append(f"only {row.connected:,} connected")
        if row.server_core > 0.97:
            row.notes.append("core full")
        if busy[1] / took > SATURATED and row.server_core < 0.97:
            row.invalid = True
            row.notes.append("invalid: the viewers' core was full")
        if busy[0] / took - row.server_core > DISTURBED:
            row.disturbed = True
            row.notes.append("disturbed by other programs")
        if after.lost:
            row.notes.append(f"{after.lost:,} lost")
        if after.gaps:
            row.notes.append(f"{after.gaps:,} gaps")

    def _look(self, crowds: list[Crowd]) -> Tally:
        for crowd in crowds:
            crowd.begin("tally")
        return together([crowd.result() for crowd in crowds])

    def _connect(self, pid: int, crowds: list[Crowd]) -> None:
        """Connect everybody, the watchers evenly among the others."""
        row = self.row
        watchers = min(WATCHERS, row.viewers // 5)
        cpu, began = proc.cpu_seconds(pid), time.monotonic()
        deadline = began + CONNECT_SECONDS
        done = done_watchers = 0
        while done < row.viewers and (left := deadline - time.monotonic()) > 0:
            done = min(done + STEP, row.viewers)
            watch = done * watchers // row.viewers - done_watchers
            done_watchers += watch
            step = min(STEP, row.viewers - (done - STEP))
            crowds[0].begin("connect", step - watch, left)
            crowds[1].begin("connect", watch, left)
            for crowd in crowds:
                crowd.result()
        each = 2 if self._server.ours else 1
        while (seen := self._look(crowds)).frames < each * seen.connected:
            if time.monotonic() > deadline + 2:
                row.notes.append("not everybody has the first message")
                break
            time.sleep(0.02)
        row.connect_seconds = time.monotonic() - began
        row.connect_cpu = proc.cpu_seconds(pid) - cpu


def measured(server: Server, viewers: int, deflate: bool, options: Options, seconds: float) -> Row:
    """Measure; once more where the first figures are doubtful."""
    row = Measurement(server, viewers, deflate, options, seconds).run()
    if row.disturbed:
        print(f"{server.name}, {viewers:,} viewers: {'; '.join(row.notes)}: once more", flush=True)
        again = Measurement(server, viewers, deflate, options, seconds).run()
        row = again if not again.doubtful else row
    return row
