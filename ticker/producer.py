"""One tick of a feed: read -> boards -> publish; and what is said of the feed's health."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from math import isinf
from time import perf_counter, time
from typing import Any

from ticker import fields
from ticker.changes import reads
from ticker.config import Feed as FeedSettings
from ticker.config import PollFeed, ReplayFeed
from ticker.diff import Row, Rows
from ticker.entry import Entry, FeedStatus
from ticker.errors import FeedError
from ticker.feeds import NOTHING, Feed, Reading, Resumable, Silence
from ticker.guard import Guard
from ticker.health import Health, back_off
from ticker.hub import Hub
from ticker.live import LiveBoard
from ticker.pace import Pace
from ticker.protocol import ms
from ticker.quality import Quality

log = logging.getLogger(__name__)

JUDGE_SECONDS = 0.5
"""How often feeds are judged although nothing was read: old data must say so by itself."""

ROWS_MAX = 100_000
"""Most rows of one feed, for feeds whose config names no limit."""

BACK_OFF_MAX = 60.0
"""Longest wait after failures, in seconds, for feeds whose config names none."""

CALM_SECONDS = 600.0
"""Without a row held back for so long a feed flaps no more: not each flap is a line in the log."""


Publisher = Callable[[LiveBoard, Entry], Awaitable[bool]]
"""Publishes an entry, and lets the board take it; False when that is not possible now."""


async def take(live: LiveBoard, entry: Entry) -> bool:
    """Publish an entry where there is nobody else: this process shows it."""
    return live.take(entry)


_Outcome = tuple[Reading | Silence | None, FeedError | None]


class _Source:
    """A feed with its settings, its health and the boards it fills."""

    def __init__(self, settings: FeedSettings, feed: Feed, health: Health) -> None:
        self.settings, self.feed = settings, feed
        self.reads = reads(settings)
        self.boards: list[LiveBoard] = []
        self.health = health
        self.fresh = True
        """Whether no rows were read yet: those there are, are of what the feed was before."""
        self.gone = False
        """Whether the feed is read no more."""
        self.reading: asyncio.Task[_Outcome] | None = None
        """The last reading, or the one under way."""
        self.pace = Pace(settings)
        self.late: frozenset[str] = frozenset()
        self.most: int = getattr(settings, "max_rows", ROWS_MAX)
        self.guard: Guard | None = None
        self.flapped: float | None = None
        """When a row was held back last, in epoch seconds, while the feed flaps."""
        if fields.GUARDED & settings.provides:
            self.guard = Guard(
                keep_finals=getattr(settings, "keep_finals", 0.0),
                most=self.most,
                cumulative=isinstance(settings, ReplayFeed) or settings.listens,
            )
            self.guard.held = health.held  # it counts on

    def adjust(self, settings: FeedSettings) -> None:
        """Go on with other settings that say only when to read and how to judge."""
        self.settings, self.pace = settings, self.pace.adjusted(settings)
        self.feed.adjust(settings)

    async def close(self) -> None:
        """Release what the feed holds. A reading under way ends first, or it would hold more."""
        if self.reading is not None:
            if not self.reading.cancelling():  # twice would break off how it ends
                self.reading.cancel()
            await asyncio.wait([self.reading])
        await self.feed.close()

    def status(self) -> FeedStatus:
        """Return what viewers are told of the feed."""
        health = self.health
        times = ms(health.since), ms(health.record.last_success)
        delay = ms(self.settings.delay) or None
        return FeedStatus(health.quality, *times, health.why, delay)

    def rows(self) -> Rows:
        """Return the feed's rows, where their state says how often it is read."""
        return self.guard.rows if self.guard is not None else {}

    def guarded(self, reading: Reading | None, now: float) -> Reading | None:
        """Return a reading as it is to be shown; None when what is shown stays."""
        if self.guard is None:
            return reading
        now = getattr(self.feed, "at", None) or now  # a recording has a time of its own
        if reading is None:
            rows = self.guard.confirm(now)
            return None if rows is None else Reading(rows, complete=True)
        rows = self.guard.admit(reading.rows, now, complete=reading.complete, kept=reading.kept)
        return replace(reading, rows=rows)


class Producer:
    """Reads feeds into boards and boards out to the hub."""

    def __init__(
        self,
        boards: Mapping[str, LiveBoard],
        hub: Hub,
        set_interval: Callable[..., None] | None = None,
        publisher: Publisher = take,
    ) -> None:
        """``set_interval`` is told a feed's interval when another one comes into force.

        ``publisher`` publishes entries, for other processes too where there are any.
        """
        self._hub = hub
        self._publisher = publisher
        self._set_interval = set_interval
        self._boards = boards
        self._sources: dict[str, _Source] = {}

    @property
    def names(self) -> Collection[str]:
        """The feeds that are read."""
        return self._sources.keys()

    def put(self, name: str, settings: FeedSettings, feed: Feed) -> _Source | None:
        """Read ``feed`` from now on; return what had the name, to be closed.

        What that one said stays until the first reading, and so does how far it can be trusted.
        """
        before = self._sources.get(name)
        source = _Source(settings, feed, before.health if before else Health())
        self._sources[name] = source
        if before is None:
            return None
        before.gone = True
        source.boards, source.late = before.boards, before.late
        source.pace = before.pace.restarted(settings, before.health.record)
        source.health.waiting_since = {}
        source.health.record = replace(source.health.record, ended=False)
        return before

    def resume(
        self,
        name: str,
        known: FeedStatus,
        memory: Mapping[str, Any],
        every: float | None,
        ahead: float = 0.0,
    ) -> float:
        """Go on with feed ``name`` where another process was; boards have what it said.

        ``known`` is what viewers were told of it, ``memory`` what `memories` told there, ``every``
        the interval at which it was read, ``ahead`` by how many seconds the clock there was ahead
        of ours. Returns the interval that is in force. A feed that reads something else by now,
        or reads it otherwise, begins anew: see `put`.
        """
        source, now = self._sources[name], time()
        anew = self.is_other(name, memory)
        rows = dict(source.boards[0].board.said(name)) if source.boards else {}
        source.fresh = known.at is None or anew
        source.health.inherit(known, memory, now, ahead)
        source.health.rows = len(rows)
        if source.guard is not None:
            if not anew:
                source.guard.inherit(rows, memory.get("guard", {}))
            source.guard.held = source.health.held
        if known.at is not None:
            if isinstance(source.feed, Resumable) and not anew:
                plain = rows if source.guard is None else _plain(rows)
                source.feed.resume(plain, memory.get("feed", {}), now)
            source.pace.inherit(source.rows(), source.health.record, every, now)
            self._judge(name, source, now)  # before anything is published: rows may be late
        return source.pace.every

    def is_other(self, name: str, memory: Mapping[str, Any]) -> bool:
        """Whether a ``memory`` is of a feed that read something else, or read it otherwise."""
        known = self._sources[name].reads
        return bool(memory.get("reads", known) != known)

    def every(self, name: str) -> float:
        """Return the interval of feed ``name`` that is in force, in seconds."""
        return self._sources[name].pace.every

    def memories(self) -> dict[str, dict[str, Any]]:
        """Return by feed what another process needs to go on with it."""
        return {name: self._memory(source) for name, source in self._sources.items()}

    def _memory(self, source: _Source) -> dict[str, Any]:
        memory = source.health.memory() | {"reads": source.reads}
        if source.guard is not None:
            memory["guard"] = source.guard.memory()
        if isinstance(source.feed, Resumable):
            settled = all(live.settled for live in source.boards)
            memory["feed"] = source.feed.memory(settled=settled)
        return memory

    def adjust(self, name: str, settings: FeedSettings) -> None:
        """Go on reading feed ``name``, at other times or judged otherwise."""
        self._sources[name].adjust(settings)

    def drop(self, name: str) -> _Source:
        """Read feed ``name`` no more; return it, to be closed."""
        source = self._sources.pop(name)
        source.gone = True
        return source

    def said(self) -> dict[str, Mapping[str, Row]]:
        """Return what each feed last said, of those that a board shows."""
        sources = self._sources.items()
        return {name: s.boards[0].board.said(name) for name, s in sources if s.boards}

    def connect(self, said: Mapping[str, Mapping[str, Row]] | None = None) -> None:
        """Let every feed fill the boards that show it now; new ones get what it last ``said``."""
        shown: dict[str, list[LiveBoard]] = {}
        for live in self._boards.values():
            for name in live.feeds:
                shown.setdefault(name, []).append(live)
        for name, source in self._sources.items():
            before, source.boards = source.boards, shown.get(name, [])
            for live in source.boards:
                if live not in before and said and name in said:
                    live.board.apply(name, said[name])
                    live.board.rate(name, source.health.quality, source.late)
                    live.report(name, source.status())
                    live.changed.set()

    async def tick(self, name: str) -> float | None:
        """Read feed ``name`` once and pass on what it says.

        Returns for how many seconds at least the source wants to be left alone, if it does.
        """
        source = self._sources[name]
        health = source.health
        started, asked = perf_counter(), time()
        source.reading = asyncio.create_task(_read(name, source, asked))
        try:
            reading, error = await source.reading
        except asyncio.CancelledError:
            if not source.gone:
                raise
        if source.gone:
            return None
        now = time()
        health.attempted(now, perf_counter() - started)
        source.pace.attempted()
        health.received = getattr(source.feed, "received", 0)
        health.reconnects = getattr(source.feed, "reconnects", 0)
        if error is not None:
            self._fail(name, source, error, now)
        elif reading is not NOTHING:
            # it took longer than it may: this process was stopped, and what came had waited
            polled = source.settings if isinstance(source.settings, PollFeed) else None
            waited = polled is not None and now - asked > polled.deadline
            self._succeed(name, source, reading, asked if waited else now)
        self._follow(name, source, now)
        self._judge(name, source, now)
        if source.settings.listens:
            return None
        if error is not None:
            longest = getattr(source.settings, "backoff_max", BACK_OFF_MAX)
            wait = back_off(health.record.failures, source.pace.every, longest)
            return max(wait, error.retry_after or 0.0)
        return reading.retry_after if isinstance(reading, Reading) else None

    async def publish_forever(self, live: LiveBoard) -> None:
        """Publish what is pending on one board, at most once per flush interval.

        Only what is urgent does not wait: how feeds are, and what the board looks like.
        """
        while True:
            await live.changed.wait()
            live.changed.clear()
            live.urgent.clear()
            try:
                await self._publish(live)
            except Exception:  # a defect must not stop the board for good
                log.exception("board '%s': flush failed", live.name)
            with suppress(TimeoutError):
                async with asyncio.timeout(live.flush_interval):
                    await live.urgent.wait()

    async def _publish(self, live: LiveBoard) -> None:
        entry = live.pending(time())
        if entry is None:
            return
        live.busy = True
        try:
            published = await self._publisher(live, entry)
        except BaseException:
            live.redo(entry)
            raise
        finally:
            live.busy = False
        if published:
            self._hub.publish(live)
        else:
            live.redo(entry)

    async def judge_forever(self) -> None:
        """Judge every feed again and again: what is not heard of grows old."""
        while True:
            await asyncio.sleep(JUDGE_SECONDS)
            for name, source in list(self._sources.items()):
                try:
                    self._follow(name, source, time(), soon=True)
                    self._judge(name, source, time())
                except Exception:  # a defect in one feed must not hide the age of the others
                    log.exception("feed '%s': cannot be judged", name)

    async def close(self) -> None:
        """Release what the feeds hold."""
        closing = (source.close() for source in self._sources.values())
        for error in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(error, Exception):
                log.warning("cannot close a feed: %s", error)

    def feed(self, name: str) -> Feed | None:
        """Return feed ``name``, None where there is none."""
        source = self._sources.get(name)
        return source.feed if source else None

    def is_published(self, name: str) -> bool:
        """Whether all that was read of feed ``name`` is published, wherever it is shown."""
        return all(live.settled for live in self._sources[name].boards)

    def health(self, name: str) -> Health:
        """Return what is known of feed ``name``."""
        return self._sources[name].health

    def wire(self, name: str) -> dict[str, Any]:
        """Return what ``/api/feeds`` says of feed ``name``."""
        source = self._sources[name]
        boards = [live.name for live in source.boards]
        settings = source.settings
        return {
            "kind": settings.kind,
            "every": None if isinf(source.pace.every) else round(source.pace.every * 1000),
            "boards": boards,
            **source.health.wire(),
        }

    def _succeed(self, name: str, source: _Source, reading: Reading | None, now: float) -> None:
        health = source.health
        if health.record.failures:
            log.info("feed '%s' is back after %d failures", name, health.record.failures)
        if reading is not None and reading.trouble and health.trouble is None:
            log.warning("feed '%s' is incomplete: %s", name, reading.trouble)
        health.succeeded(now, reading, getattr(source.feed, "refused", ()))
        reading = source.guarded(reading, now)
        if source.guard is not None:
            _count_held(name, source, source.guard, now)
        source.pace.heard(source.rows(), now)
        if reading is None:
            return
        complete = reading.complete
        if source.fresh and (complete or reading.rows):  # a mere sign of life replaces nothing
            complete, source.fresh = True, False
        for live in source.boards:
            live.board.apply(name, reading.rows, complete=complete, kept=reading.kept)
            surplus = len(live.board.said(name)) - source.most
            if surplus > 0:  # a source that only ever adds rows must not fill the memory
                live.board.remove(name, list(islice(live.board.said(name), surplus)))
            live.changed.set()
        health.rows = len(source.boards[0].board.said(name)) if source.boards else len(reading.rows)

    def _fail(self, name: str, source: _Source, error: FeedError, now: float) -> None:
        if not source.health.record.failures:
            log.warning("feed '%s' failed: %s", name, error.why)
        source.health.failed(now, error.why)

    def _follow(self, name: str, source: _Source, now: float, *, soon: bool = False) -> None:
        """Tell the schedule which interval is in force; ``soon``: a shorter one begins now."""
        before = source.pace.every
        changed = source.pace.follow(source.health.record, source.rows, now)
        if changed and self._set_interval is not None:
            every = source.pace.every
            self._set_interval(name, every, soon=soon and every < before)

    def _judge(self, name: str, source: _Source, now: float) -> None:
        """Say how far a feed and its rows can be trusted now, where that has changed."""
        health = source.health
        found, why = source.pace.judge(health.record, now)
        why = why or health.trouble
        late = self._late(name, source, now)
        if found is not health.quality:
            _log_edge(name, found, why, first=health.since is None)
            health.since = now
        changed = found is not health.quality or late != source.late
        health.quality, health.why, source.late = found, why, late
        for live in source.boards:
            if changed:
                live.board.rate(name, found, late)
                live.changed.set()
            live.report(name, source.status())

    def _late(self, name: str, source: _Source, now: float) -> frozenset[str]:
        """Return the rows that are late on their own, however well the feed is."""
        stale_after = source.pace.freshness.stale_after
        waiting = source.health.waiting_since.items()
        late = {symbol for symbol, since in waiting if now - since > stale_after}
        oldest = source.settings.row_stale_after
        if oldest is not None and source.boards:
            late |= source.boards[0].board.older(name, round((now - oldest) * 1000))
        return frozenset(late)


async def _read(name: str, source: _Source, now: float) -> _Outcome:
    """Read a feed, turning whatever goes wrong into a FeedError."""
    try:
        return await source.feed.read(now), None
    except FeedError as error:
        return None, error
    except Exception as error:  # a defect in one feed must not stop the others
        if not source.health.record.failures:
            log.exception("feed '%s': unexpected error", name)
        return None, FeedError(f"unexpected {type(error).__name__}; the log says more")


def _plain(rows: Rows) -> Rows:
    """Return guarded rows as their source can have said them: the guard's own fields go."""
    return {s: {f: v for f, v in row.items() if f not in fields.GUARDS} for s, row in rows.items()}


def _log_edge(name: str, found: Quality, why: str | None, *, first: bool) -> None:
    if found in {Quality.STALE, Quality.DOWN}:
        log.warning("feed '%s' is %s: %s", name, found, why)
    elif not first:
        log.info("feed '%s' is %s", name, found)


def _count_held(name: str, source: _Source, guard: Guard, now: float) -> None:
    """Take note of rows held back; log only that a feed begins to flap, and that it is calm."""
    if guard.held > source.health.held:
        if source.flapped is None:
            log.warning("feed '%s' flaps: %s; held back until confirmed", name, guard.last_held)
        source.health.held, source.flapped = guard.held, now
    elif source.flapped is not None and now - source.flapped > CALM_SECONDS:
        log.info("feed '%s' flaps no more", name)
        source.flapped = None
