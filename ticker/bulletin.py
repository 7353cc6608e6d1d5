"""Notices of all processes that serve the same boards: posted at any, told by all.

The bus keeps those that hold in a table, for processes that start or were deaf for a while; news
say what is posted and withdrawn meanwhile.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator, Mapping
from contextlib import suppress
from time import time
from typing import Any

import orjson

from ticker.bus import BusError
from ticker.cluster import Cluster
from ticker.hub import Hub
from ticker.notices import NOTICES_MAX, Notice, TooManyNotices
from ticker.tasks import end

log = logging.getLogger(__name__)

TABLE = "notices"
MARK = ""
"""A key that a table has which nobody has emptied."""

RETRY_SECONDS = 1.0
BEAT_SECONDS = 0.05
"""How often it is looked whether there was a beat."""


class Bulletin:
    """Posts and withdraws notices where there is one process."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def post(self, notice: Notice) -> None:
        """Tell a notice to those whom it concerns, anywhere. Raises TooManyNotices and BusError."""
        await self._hub.post(notice)

    async def withdraw(self, notice_id: str) -> bool:
        """Take a notice back from everybody, anywhere; return whether there was one.

        Raises BusError.
        """
        return await self._hub.withdraw(notice_id)

    async def keep_forever(self) -> None:
        """Do what has to be done so that notices are the same everywhere: nothing."""

    async def close(self) -> None:
        """Do nothing more."""


class SharedBulletin(Bulletin):
    """Keeps the hub's notices in step with those of other processes."""

    def __init__(self, hub: Hub, cluster: Cluster) -> None:
        super().__init__(hub)
        self._cluster = cluster
        self._stale = asyncio.Event()  # set while something may have been missed
        self._catching_up = False
        self._heard: set[str] = set()  # of which there were news since the table was asked for
        self._memory: str | None = None  # the bus's, when the table was last read
        self._marked = False  # whether the table had its mark then
        self._errands: set[asyncio.Task[object]] = set()
        cluster.following.on("notice", self._hear_notice)
        cluster.following.on("withdrawn", self._hear_withdrawn)
        cluster.following.on_missed = self._stale.set
        hub.on_forgotten = lambda ids: self._run(self._forget(ids))

    async def post(self, notice: Notice) -> None:
        """Tell a notice to those whom it concerns, anywhere. Raises TooManyNotices and BusError."""
        bus = self._cluster.bus
        self._note(notice.id)
        try:
            await bus.put(TABLE, {notice.id: orjson.dumps(notice.wire()), MARK: b""})
            if len(await self._valid()) > NOTICES_MAX:  # of two at once perhaps neither has a place
                raise TooManyNotices
            await self._cluster.say("notice", notice=notice.wire())
        except (BusError, TooManyNotices):  # it may be there although nobody said so
            with suppress(BusError):
                await bus.put(TABLE, {notice.id: None})
            raise
        await self._take(notice)

    async def withdraw(self, notice_id: str) -> bool:
        """Take a notice back from everybody, anywhere; return whether there was one.

        Raises BusError.
        """
        kept = await self._cluster.bus.get(TABLE)
        if notice_id not in kept and self._hub.notices.get(notice_id) is None:
            return False
        self._note(notice_id)
        await self._cluster.bus.put(TABLE, {notice_id: None})
        await self._cluster.say("withdrawn", notice=notice_id)
        await self._hub.withdraw(notice_id)
        return True

    async def keep_forever(self) -> None:
        """Read the table whenever news may have been missed."""
        while True:
            await self._stale.wait()
            self._catching_up = True
            try:
                await self._catch_up()
            except BusError as error:
                log.debug("notices cannot be read: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            except Exception:  # a defect must not end it for good
                log.exception("notices cannot be read")
                await asyncio.sleep(RETRY_SECONDS)
            finally:
                self._catching_up = False
                self._heard.clear()

    # -- the table

    async def _valid(self) -> dict[str, Notice]:
        """Return the notices of the table that hold; the others are removed from it."""
        kept = dict(await self._cluster.bus.get(TABLE))
        self._marked = kept.pop(MARK, None) is not None
        notices = dict(_read(kept))
        now = round(time() * 1000)
        over = [name for name, notice in notices.items() if notice.until <= now]
        if over:
            await self._cluster.bus.put(TABLE, dict.fromkeys(over))
        return {name: notice for name, notice in notices.items() if name not in over}

    async def _catch_up(self) -> None:
        """Go where the table is. A bus that has forgotten it is told what is known here."""
        self._stale.clear()
        try:
            kept = await self._valid()
            forgot = await self._has_forgotten()
            here = {notice.id: notice for notice in self._hub.notices}
            known = kept.keys() | self._heard  # news are younger than the table
            lost = {name: notice for name, notice in here.items() if name not in known}
            if lost and forgot:
                wires = {name: orjson.dumps(notice.wire()) for name, notice in lost.items()}
                await self._cluster.bus.put(TABLE, {**wires, MARK: b""})
                for notice in lost.values():  # who has read the table meanwhile knows nothing of it
                    await self._cluster.say("notice", notice=notice.wire())
                kept |= lost
        except BaseException:
            self._stale.set()
            raise
        for name in lost.keys() - kept.keys():
            await self._hub.withdraw(name)
        for notice in sorted(kept.values(), key=lambda notice: (notice.at, notice.id)):
            if notice.id not in self._heard:
                await self._take(notice)

    async def _has_forgotten(self) -> bool:
        """Whether the bus has lost what was there when the table was read before.

        Only a beat that began later says which memory the table was read from.
        """
        for _ in range(2):
            before = self._cluster.pulse
            while self._cluster.pulse is before:  # noqa: ASYNC110 - beats come by themselves
                await asyncio.sleep(BEAT_SECONDS)
        pulse = self._cluster.pulse
        memory = pulse.memory if pulse is not None else ""
        forgot, self._memory = self._memory not in (None, memory), memory
        return forgot or not self._marked

    # -- news

    def _note(self, notice_id: str) -> None:
        """Take note of news that are younger than the table which is being read."""
        if self._catching_up:
            self._heard.add(notice_id)

    async def _take(self, notice: Notice) -> None:
        if self._hub.notices.hear(notice):
            await self._hub.announce(notice)

    def _hear_notice(self, news: Mapping[str, Any]) -> None:
        notice = Notice.read(news["notice"])
        self._note(notice.id)
        if self._hub.notices.hear(notice):
            self._run(self._hub.announce(notice))

    def _hear_withdrawn(self, news: Mapping[str, Any]) -> None:
        notice_id = str(news["notice"])
        self._note(notice_id)
        self._run(self._hub.withdraw(notice_id))

    async def _forget(self, ids: list[str]) -> None:
        """Let nobody keep notices for a viewer that has left."""
        try:
            await self._cluster.bus.put(TABLE, dict.fromkeys(ids))
            for notice_id in ids:
                await self._cluster.say("withdrawn", notice=notice_id)
        except BusError as error:
            log.debug("notices to a viewer that has left are kept until they end: %s", error)

    def _run(self, errand: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    async def close(self) -> None:
        """Do nothing more."""
        await end(self._errands)


def _read(kept: Mapping[str, bytes]) -> Iterator[tuple[str, Notice]]:
    """Yield the notices of a table; what cannot be read may be of another version, and stays."""
    for name, wire in kept.items():
        try:
            yield name, Notice.read(orjson.loads(wire))
        except ValueError:
            log.warning("notice '%s' cannot be read", name[:64])
