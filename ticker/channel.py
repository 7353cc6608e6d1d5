"""A channel: the viewers of one board at one rate, and each frame to all of them at once."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from time import monotonic
from typing import TypeVar

from ticker.deflate import UNCOMPRESSED
from ticker.frame import UNTOLD, Frame, SharedWindows
from ticker.live import LiveBoard
from ticker.traffic import Traffic
from ticker.viewer import NO_SOCKET, Watch

log = logging.getLogger(__name__)

T = TypeVar("T")
Forms = Mapping[int, tuple[bytes, int]]
"""What viewers are sent of a frame by their place in a window, and the place where that leads."""

RETRY_SECONDS = 0.5
"""How long after a broadcast that failed it is tried again."""

AT_ONCE = 250
"""Viewers to whom a frame is written before the loop turns: about 2 ms."""


class Channel:
    """Viewers of one board at one rate: a frame is made once for all of them."""

    def __init__(self, live: LiveBoard, period: float, traffic: Traffic) -> None:
        self.live, self.period, self.traffic = live, period, traffic
        self.seq = live.seq
        self.status_version = live.status_version
        self.windows = SharedWindows()
        self.watches: dict[Watch, None] = {}  # a set in order of arrival
        self.wake = asyncio.Event()
        self.handed = 0
        """Viewers of the batch under way to whom `Watch.deliver` handed the frame."""
        self._due = 0.0  # when the period ended, of the monotonic clock
        self.task = asyncio.create_task(
            self._run(),
            name=f"channel {live.name} {period:g}s",
            context=Context(),  # its log lines are not about the viewer that came first
        )

    def end(self) -> None:
        """Bring nobody anywhere any more."""
        self.task.cancel()
        del self.task  # they hold each other, and a compressor: too much to leave to the collector

    def restart(self) -> None:
        """Take it that nobody has anything yet: seqs of another epoch mean nothing."""
        self.seq = UNTOLD
        for watch in self.watches:
            watch.seq = UNTOLD
        self.wake.set()

    async def _run(self) -> None:
        """Bring the viewers to the present, at most once per period."""
        while True:
            await self.wake.wait()
            self.wake.clear()
            try:
                await self._broadcast()
            except Exception:  # a defect must not stop the board for everybody
                log.exception("board '%s': broadcast failed", self.live.name)
                await asyncio.sleep(RETRY_SECONDS)
            if self.period:
                self._due = monotonic() + self.period
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
        before, self.seq = self.seq, frame.seq
        try:
            await self._hand_out(frame)
        except Exception:
            if self.seq == frame.seq:  # once more: the board may have nothing new to say for long
                self.seq = before
                self.wake.set()
            raise

    async def _hand_out(self, frame: Frame) -> None:
        forms = self.windows.forms(frame)
        watches = list(self.watches)
        waiting: list[Awaitable[None]] = []
        for start in range(0, len(watches), AT_ONCE):
            batch = watches[start : start + AT_ONCE]
            waiting += self._write(frame, forms, batch)
            if len(batch) == AT_ONCE:
                await asyncio.sleep(0)  # others get their turn
                if self.seq != frame.seq:
                    break  # it is of an epoch that is over: see restart
        if waiting:
            await settle(waiting, self.live.flush_interval)

    def _write(self, frame: Frame, forms: Forms, batch: list[Watch]) -> list[Awaitable[None]]:
        """Write a frame to a batch of viewers, and return what is to be waited for.

        Most get the same form: counted are the others, so that it costs most of them nothing.
        """
        prev, seq, usual = frame.prev, frame.seq, list(forms)[-1]
        unusual, others = dict.fromkeys(forms, 0), 0
        self.handed = 0
        waiting = []
        for watch in batch:
            if watch.seq == prev and watch.fd != NO_SOCKET and (place := watch.place) in forms:
                data, after = forms[place]
                if place != usual:
                    unusual[place] += 1
                watch.seq, watch.place = seq, after
                try:
                    sent = os.write(watch.fd, data)
                except OSError:  # full or broken: its transport finds out which
                    sent = 0
                if sent < len(data):
                    watch.viewer.connection.write_rest(data, sent)
            else:
                others += 1
                if watch in self.watches and (delivery := watch.deliver(frame)) is not None:
                    waiting.append(delivery)  # who left while others had their turn is not told
        written = unusual | {usual: len(batch) - others - sum(unusual.values())}
        self._count(frame, forms, written)
        return waiting

    def _count(self, frame: Frame, forms: Forms, written: Mapping[int, int]) -> None:
        """Count a batch: how many viewers were sent each form, and how long after the flush."""
        for place, viewers in written.items():
            size, compressed = len(forms[place][0]), place != UNCOMPRESSED
            self.traffic.sent(len(frame.text), size, compressed=compressed, times=viewers)
        # who asked for few frames does not wait for those it does not want
        lag = monotonic() - max(self.live.flushed, self._due)
        self.traffic.lags.add(lag, self.handed + sum(written.values()))


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
