"""A channel: the viewers of one board at one rate, and each frame to all of them at once."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Iterable
from contextlib import suppress
from typing import TypeVar

from ticker.frame import Frame, SharedWindows
from ticker.live import LiveBoard
from ticker.viewer import NO_SOCKET, Watch

log = logging.getLogger(__name__)

T = TypeVar("T")

AT_ONCE = 250
"""Viewers to whom a frame is written before the loop turns: about 2 ms."""


class Channel:
    """Viewers of one board at one rate: a frame is made once for all of them."""

    def __init__(self, live: LiveBoard, period: float) -> None:
        self.live, self.period = live, period
        self.seq = live.seq
        self.status_version = live.status_version
        self.windows = SharedWindows()
        self.watches: dict[Watch, None] = {}  # a set in order of arrival
        self.wake = asyncio.Event()
        self.task = asyncio.create_task(self._run(), name=f"channel {live.name} {period:g}s")

    async def _run(self) -> None:
        """Bring the viewers to the present, at most once per period."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            try:
                await self._broadcast()
            except Exception:  # a defect must not stop the board for everybody
                log.exception("board '%s': broadcast failed", self.live.name)
            await asyncio.sleep(self.period)

    async def _broadcast(self) -> None:
        if self.status_version != self.live.status_version:  # first why, then what
            self.status_version = self.live.status_version
            async for watch in in_turns(list(self.watches)):
                watch.tell_status()
        frame = self.live.since(self.seq)
        if frame is not None:
            await self._deliver(frame)

    async def _deliver(self, frame: Frame) -> None:
        prev, seq, self.seq = frame.prev, frame.seq, frame.seq
        forms = self.windows.forms(frame)
        waiting = []
        for count, watch in enumerate(list(self.watches), 1):
            if watch.seq == prev and watch.fd != NO_SOCKET and watch.place in forms:
                data, watch.place = forms[watch.place]
                watch.seq = seq
                try:
                    sent = os.write(watch.fd, data)
                except OSError:  # full or broken: its transport finds out which
                    sent = 0
                if sent < len(data):
                    watch.viewer.connection.write_rest(data[sent:])
            elif watch in self.watches and (delivery := watch.deliver(frame)) is not None:
                waiting.append(delivery)  # who left while others had their turn is not told
            if count % AT_ONCE == 0:
                await asyncio.sleep(0)  # others get their turn
        if waiting:
            await settle(waiting, self.live.flush_interval)


async def in_turns(items: Iterable[T]) -> AsyncIterator[T]:
    """Yield each item, letting the loop turn now and then."""
    for count, item in enumerate(items, 1):
        yield item
        if count % AT_ONCE == 0:
            await asyncio.sleep(0)


async def settle(waiting: Iterable[Awaitable[None]], deadline: float) -> None:
    """Wait together for those who must wait, at most so long; each one's failure is its own."""
    together = asyncio.gather(*waiting, return_exceptions=True)
    with suppress(TimeoutError):  # late sends go on; until they end, ticks pass those viewers by
        await asyncio.wait_for(asyncio.shield(together), deadline)
