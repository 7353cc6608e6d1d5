"""Viewers that read slowly or never, among others that keep up."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, cast

from benches import proc
from benches.crowd import Crowd
from benches.measure import Measurement
from benches.servers import RATE, Options, Server
from benches.sipper import Drained

SIZE = 1000
"""Bytes of a message: 10 KB/s, five times what the slow link carries."""
LINK = 2048
"""Bytes per second of a slow link."""
FILL_SECONDS = 5.0
"""Until the kernel's buffers of those who read too little are full."""
PATIENCE = 15.0


@dataclass
class Slow:
    """A run with slow viewers."""

    title: str
    viewers: int
    p50: float
    p99: float
    cpu_us: float
    growth: int = 0
    """Bytes by which the server grew while buffers filled; nobody connected meanwhile."""
    notes: str = ""
    drained: Drained | None = None
    equal: int = 0
    """Slow viewers whose rows are the server's at the end."""


class SlowMeasurement(Measurement):
    """The usual measurement; besides its viewers there are ``slow`` ones that read ``rate``."""

    def __init__(
        self, server: Server, viewers: int, slow: int, rate: float, options: Options, seconds: float
    ) -> None:
        super().__init__(server, viewers, False, options, seconds)
        self._slow, self._link = slow, rate
        self._crowd: Crowd | None = None
        self.result = Slow("", slow, 0.0, 0.0, 0.0)

    def settle(self, pid: int) -> None:
        """Let the slow come, and wait until their buffers are full."""
        super().settle(pid)
        if self._slow:
            self._crowd = Crowd(self.target, sampled=True, core=self._viewers_core, slow=True)
            self._crowd.do("connect", self._slow + 1, PATIENCE)  # one is the reference
            self._crowd.do("sip", self._link)
        before = proc.rss_bytes(pid)
        time.sleep(FILL_SECONDS)
        self.result.growth = proc.rss_bytes(pid) - before

    def finish(self) -> None:
        """Let those who read slowly read everything, and compare."""
        row = self.row
        self.result.p50, self.result.p99 = row.p50 or 0.0, row.p99 or 0.0
        self.result.cpu_us = row.cpu_us
        self.result.notes = "; ".join(row.notes)
        if self._crowd is None:
            return
        try:
            if self._link:
                self.result.drained = cast("Drained", self._crowd.do("drain"))
                self.result.equal = self._compare(self._crowd)
        finally:
            self._crowd.end()

    def _compare(self, crowd: Crowd) -> int:
        """Return how many of the slow have exactly the rows that the server has at that seq."""
        most = 0
        for _ in range(20):
            snapshot: dict[str, Any] = self.get("/api/boards/stocks")
            time.sleep(0.3 / RATE)  # before the next tick, when we are lucky
            most = max(most, crowd.do("equal", snapshot["seq"], snapshot["rows"]))
            if most == self._slow:
                break
            time.sleep(0.037)
        return most


def run(ours: Server, options: Options, viewers: int, seconds: float = 5) -> list[Slow]:
    """Measure: nobody slow, 1% more that never read, 20% more on a slow link."""
    runs = [
        ("nobody is slow", 0.0, 0.0),
        ("1% never read", 0.01, 0.0),
        ("20% read 2 KB/s", 0.2, LINK),
    ]
    results = []
    for title, share, rate in runs:
        slow = round(viewers * share)
        for _ in range(2):  # once more where other programs disturbed it
            it = SlowMeasurement(ours, viewers, slow, rate, options, seconds)
            it.run()
            if not it.row.disturbed:
                break
        it.result.title = title
        results.append(it.result)
        print(f"{title:20} p99 of the others {it.result.p99:5.1f} ms, {it.result}", flush=True)
    return results
