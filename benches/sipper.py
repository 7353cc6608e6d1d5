"""A viewer on a slow link, or one that does not read at all."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from ticker.load.viewer import LoadViewer

RECEIVE_BUFFER = 4096
"""The kernel takes little on behalf of those who do not read."""
PATIENCE = 15.0
"""Longest wait, in seconds, for all to be at the present."""
LAG_SECONDS = 1.0


class Sipper(LoadViewer):
    """A viewer that follows the protocol but reads ``rate`` bytes per second; None: all at once."""

    rate: float | None = None

    def sip(self, rate: float) -> None:
        """Read slowly from now on; 0 is never."""
        self.rate = rate
        self.transport.pause_reading()
        if rate:
            self._read_on()

    def drain(self) -> None:
        """Read everything, from now on."""
        self.rate = None
        self.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Take it, and wait for as long as it would have come over the link."""
        super().data_received(data)
        if self.rate:
            self.transport.pause_reading()
            asyncio.get_running_loop().call_later(len(data) / self.rate, self._read_on)

    def _read_on(self) -> None:
        if self.rate != 0 and not self.transport.is_closing():
            self.transport.resume_reading()


@dataclass(frozen=True)
class Drained:
    """What became of slow viewers once they read again; times in milliseconds."""

    viewers: int
    behind: int
    """Those that were not at the present when they began to read."""
    converged: int
    longest: float
    median: float
    viewers_cpu: float
    """CPU of the viewers' own process until the last was there: its part of that time."""
    lag: int
    """Ticks that any was behind the reference in the second after that, at worst."""


async def drained(viewers: list[Sipper], reference: LoadViewer) -> Drained:
    """Let all read, and look after how long each is where ``reference`` was when they began."""
    began, goal, cpu = time.monotonic(), reference.seq, time.process_time()
    behind = sum(viewer.seq < goal for viewer in viewers)
    for viewer in viewers:
        viewer.drain()
    waiting, times = set(viewers), []
    while waiting and time.monotonic() < began + PATIENCE:
        there = {viewer for viewer in waiting if viewer.seq >= goal}
        waiting -= there
        times += [(time.monotonic() - began) * 1000] * len(there)
        await asyncio.sleep(0.002)
    cpu = (time.process_time() - cpu) * 1000
    lag, until = 0, time.monotonic() + LAG_SECONDS
    while time.monotonic() < until:
        lag = max(lag, reference.seq - min(viewer.seq for viewer in viewers))
        await asyncio.sleep(0.005)
    times.sort()
    return Drained(
        len(viewers),
        behind,
        len(times),
        times[-1] if times else 0.0,
        times[len(times) // 2] if times else 0.0,
        cpu,
        lag,
    )
