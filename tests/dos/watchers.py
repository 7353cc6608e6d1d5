"""Ordinary viewers: how long what a feed says takes to reach them."""

from __future__ import annotations

import asyncio
from time import time

from ticker.load.histogram import Histogram
from ticker.load.viewer import Counts, LoadViewer, Target


class Watcher(LoadViewer):
    """A viewer of the board whose one row says when it was sent; counts how old that is."""

    delays: Histogram

    def _follow(self, message: dict[str, object]) -> None:
        super()._follow(message)
        rows = message.get("rows")
        if message["type"] == "diff" and isinstance(rows, dict):
            sent = rows["T"].get("sent")  # not where only the row's quality has changed
            if sent is not None:
                self.delays.add((time() - sent) * 1000)


class Watchers:
    """So many of them; those that are cut off are counted, and do not come back."""

    def __init__(self, port: int, count: int, headers: dict[str, str] | None = None) -> None:
        self._target = Target("127.0.0.1", port, board="ticks", headers=headers or {})
        self._count = count
        self.counts = Counts()
        self.delays = Histogram()
        self.watchers: list[Watcher] = []

    async def connect(self) -> None:
        """Let all of them come, and wait until they are told something."""
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, watcher = await loop.create_connection(self._make, "127.0.0.1", self._target.port)
            self.watchers.append(watcher)
        await asyncio.gather(*(watcher.ready for watcher in self.watchers))

    def _make(self) -> Watcher:
        watcher = Watcher(self._target, self.counts, sampled=True, ended=lambda _: None)
        watcher.delays = self.delays
        return watcher

    def clear(self) -> Histogram:
        """Return what was measured since the last call."""
        found, self.delays = self.delays, Histogram()
        for watcher in self.watchers:
            watcher.delays = self.delays
        return found

    def close(self) -> None:
        """Let all go."""
        for watcher in self.watchers:
            watcher.fragile = True
            watcher.transport.abort()
