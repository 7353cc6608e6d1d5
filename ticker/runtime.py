"""What runs for one config: feeds, boards, hub and page, wired together, and how that changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import socket
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

from ticker import __version__
from ticker.access import Access
from ticker.bulletin import Bulletin, SharedBulletin
from ticker.bus.connect import connect
from ticker.changes import Change, Changes, compare, fingerprint
from ticker.cluster import Cluster
from ticker.config import Feed as FeedSettings
from ticker.config import Settings
from ticker.entry import FeedStatus
from ticker.feeds import Feed
from ticker.feeds.make import make
from ticker.headers import POLICY
from ticker.heads import Strangers
from ticker.health import Reloads
from ticker.hub import Hub
from ticker.keep import NEVER, Keeper, Kept
from ticker.lag import LoopLag
from ticker.live import UNREAD, LiveBoard, Shape
from ticker.members import Members
from ticker.metrics import Metrics
from ticker.page import Page, web_directory
from ticker.people import People
from ticker.producer import Producer
from ticker.protocol import ms
from ticker.pushes import Pushes, SharedPushes
from ticker.quality import Quality
from ticker.questions import Questions, SharedQuestions
from ticker.reports import Reports
from ticker.schedule import Schedule, Tick
from ticker.store import KEPT, PAST_SECONDS, Store
from ticker.tasks import end
from ticker.turns import Turns
from ticker.viewer import Viewer

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a reload does: the settings, what they change, feeds made for them, boards' shapes."""

    settings: Settings
    changes: Changes
    made: Mapping[str, Feed]
    shapes: Mapping[str, Shape]
    fingerprint: str


class Ticker:
    """Everything that runs for one config, in the order in which it depends on each other."""

    def __init__(self, settings: Settings, store: Path | None = None) -> None:
        """``store`` is the file that boards are kept in; without one, or with a bus, in none."""
        self.settings = settings
        self.boards = {name: _board(name, _shape(settings, name)) for name in settings.boards}
        self.access = Access(settings.access, settings.server)
        self.turns, self.strangers = Turns(), Strangers()
        self.page = Page(web_directory(), _embedded(settings.server.origins))
        self.hub = Hub(self.boards, settings.server, self.page.version, self.access.judge)
        self.schedule = Schedule()
        self.cluster: Cluster | None = None
        """This process among others; None where it is alone."""
        self.keeper: Keeper | None = None
        """What it keeps for whoever goes on after it."""
        self.store: Store | None = None
        """Where it keeps that, if that is on its own disk."""
        if settings.bus is None and store is None:
            self.producer = Producer(self.boards, self.hub, self.schedule.change)
            for name, feed in settings.feeds.items():
                self.producer.put(name, feed, make(feed))
            self.producer.connect()
        elif settings.bus is None and store is not None:
            kept = self.store = Store(store, self.boards)
            keeper = self.keeper = Keeper(kept, self.boards, kept, KEPT, PAST_SECONDS)
            self.producer = Producer(self.boards, self.hub, self.schedule.change, keeper.publish)
            keeper.memories, kept.on_refill = self.producer.memories, keeper.refill
        elif settings.bus is not None:
            bus = connect(settings.bus)
            self.cluster = Cluster(bus, settings.bus, self.boards, self.hub, self._card)
            keeper = self.keeper = Keeper(bus, self.boards, self.cluster, settings.bus.kept)
            self.producer = Producer(self.boards, self.hub, self.schedule.change, keeper.publish)
            keeper.memories = self.producer.memories
            self.cluster.prepare, self.cluster.on_refill = keeper.load, keeper.refill
            self.cluster.on_forget = keeper.forget
            self.cluster.on_lead, self.cluster.on_follow = self._lead, self._follow
            self.cluster.following.on_look = lambda: self._run(self.hub.tell_boards())
        if self.keeper is not None:
            for live in self.boards.values():
                live.disown()
        self.reads = self.keeper is None
        """Whether this process reads the feeds."""
        self.questions, self.bulletin = Questions(), Bulletin(self.hub)
        self.pushes = Pushes(self.producer)
        self.members: Members | None = None
        """The processes that serve the same boards; None where there is one."""
        if self.cluster is not None:
            self.questions = SharedQuestions(self.cluster)
            self.bulletin = SharedBulletin(self.hub, self.cluster)
            self.pushes = SharedPushes(self.cluster, self.questions, self.producer)
            self.members = Members(self.cluster, self.questions, self.boards)
            self.hub.elsewhere = self.members.watching
        self.people = People(self.hub, self.questions)
        self.reports = Reports(self.cluster, self.questions, self.feeds, self.boards)
        self._fingerprint = fingerprint(settings)
        self.lag = LoopLag()
        self.started = time()
        self._awaited = frozenset(settings.feeds)
        self.reloads = Reloads(at=self.started)
        self._publishing: dict[str, asyncio.Task[None]] = {}
        self._errands: set[asyncio.Task[None]] = set()
        self.metrics = Metrics(self)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read, publish and sweep until the end of the block."""
        forever = [self.producer.judge_forever(), self.hub.sweep_forever()]
        forever += [self.hub.tell_viewers_forever(), self.lag.measure_forever()]
        if self.keeper is not None:
            forever.append(self.keeper.keep_forever())
        if self.cluster is not None:
            forever += [self.cluster.beat_forever(), self.cluster.following.forever()]
            forever += [self.bulletin.keep_forever(), self.pushes.forget_forever()]
        if self.members is not None:
            forever.append(self.members.look_forever())
        if self.store is not None:
            await self._restore(self.store)
            self.store.start()
        tasks = [asyncio.create_task(coroutine) for coroutine in forever]
        for live in self.boards.values():
            self._publish(live)
        if self.keeper is None:
            for name, feed in self.settings.feeds.items():
                self.schedule.add(name, feed.every, self._tick(name))
        self.schedule.start()
        try:
            yield
        finally:
            self.schedule.stop()
            await end([*tasks, *self._publishing.values()])
            self.hub.close()
            for part in (self.questions, self.bulletin, self.pushes):
                await part.close()
            if self.cluster is not None:  # before the feeds: from then on none begins
                await self.cluster.close()
            await asyncio.gather(*self._errands)  # among them feeds that are being closed
            if self.store is not None:
                await self.store.close(self._keeping.finish)
            await self.producer.close()

    async def _restore(self, store: Store) -> None:
        """Get boards where they were before the start, marked as what they are by now."""
        await store.load()
        try:
            await self._keeping.load()
        except Exception:  # what is kept must not keep the process from starting
            log.exception("store: lost: how feeds were")
        self._lead()
        store.settle()
        for live in self.boards.values():
            if (entry := live.pending(time())) is not None:
                await self._keeping.publish(live, entry)

    def _lead(self) -> None:
        """Read the feeds from now on, going on where another process was."""
        self.reads = True
        feeds, kept = self.settings.feeds, self._keeping.take()
        made = {name: make(feed) for name, feed in feeds.items()}
        known: dict[str, FeedStatus] = {}
        for live in self.boards.values():
            known = {**live.feeds, **known}
            live.inherit(self._provided, kept.claims.get(live.name))
        for name, feed in feeds.items():
            self.producer.put(name, feed, made[name])
        self.producer.connect()
        with self.schedule.at_once():
            for name, feed in feeds.items():
                self._resume(name, feed, known.get(name), kept)
        self.pushes.lead()

    def _resume(self, name: str, feed: FeedSettings, known: FeedStatus | None, kept: Kept) -> None:
        """Read a feed as soon as it is due, going on where another process was."""
        asked, every = kept.asked.get(name, NEVER), feed.every
        ahead = 0.0 if self.cluster is None else self.cluster.ahead
        last = None if asked.at is None else asked.at - ahead
        try:
            memory = kept.memory(name)
            every = self.producer.resume(name, known or UNREAD, memory, asked.every, ahead)
            if self.producer.is_other(name, memory):
                last = None  # what was read says nothing of when this is due
        except Exception:  # what is kept must not keep the feed from being read
            log.exception("feed '%s' begins anew", name)
        self.schedule.add(name, every, self._tick(name), last=last, wait=asked.wait)

    @property
    def _keeping(self) -> Keeper:
        assert self.keeper is not None, "asked only among others"  # noqa: S101 - tells the type checker
        return self.keeper

    @property
    def _provided(self) -> dict[str, set[str]]:
        """The fields that each feed can fill."""
        return {name: feed.provides for name, feed in self.settings.feeds.items()}

    def _follow(self) -> None:
        """Read the feeds no more: another process does."""
        self.reads = False
        self._keeping.end()
        self.pushes.follow()
        for name in list(self.producer.names):
            self.schedule.remove(name)
            self._run(self.producer.drop(name).close())
        for live in self.boards.values():
            live.disown()

    def _card(self) -> dict[str, Any]:
        """Return what other processes may know of this one."""
        return {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started": ms(self.started),
            "version": __version__,
            "config": self._fingerprint,
            "ready": not self.unready(),
            "draining": self.hub.draining,
            "connected": len(self.hub.viewers),
            "viewers": dict(self.hub.watching()),
        }

    def plan(self, settings: Settings) -> Plan:
        """Return what going over to ``settings`` takes; all that may fail. A thread may do it."""
        changes = compare(self.settings, settings)
        restarted = {Change.ADDED, Change.RESTARTED}
        made = {n: make(settings.feeds[n]) for n, c in changes.feeds.items() if c in restarted}
        shapes = {n: _shape(settings, n) for n in settings.boards}
        return Plan(settings, changes, made, shapes, fingerprint(settings))

    def apply(self, plan: Plan) -> None:
        """Run by other settings from now on, and change nothing that need not be changed.

        Plain, so that nobody sees a half of it; only while running.
        """
        settings, changes = plan.settings, plan.changes
        self.settings = settings
        self._fingerprint = plan.fingerprint
        self.access.settings, self.access.server = settings.access, settings.server
        self.hub.settings = settings.server
        said = self.producer.said()  # a board that shows a feed no more has forgotten it
        listed = self._listed()
        gone = self._reshape(plan.shapes)
        if self.reads:
            with self.schedule.at_once():
                for name, change in changes.feeds.items():
                    self._change(name, change, plan.made.get(name))
            self.producer.connect(said)
        if self.cluster is not None:
            self.cluster.reread()
        for live in self.boards.values():
            self.hub.publish(live)
        if self._listed() != listed:
            self._run(self._tell_boards(gone))

    def _listed(self) -> list[tuple[str, str, str]]:
        """Return what people see of the boards before they watch one."""
        return [(b.name, b.shape.title, b.shape.layout) for b in self.boards.values()]

    async def _tell_boards(self, gone: Mapping[str, list[Viewer]]) -> None:
        """Tell viewers of boards that are gone, then everybody which there are."""
        for name, viewers in gone.items():
            await self.hub.tell_gone(name, viewers)
        await self.hub.tell_boards()

    def _reshape(self, shapes: Mapping[str, Shape]) -> dict[str, list[Viewer]]:
        """Let boards come, go and become what ``shapes`` say; return who watched what went."""
        before = dict(self.boards)
        self.boards.clear()  # filled anew: the order counts, and others hold this very dictionary
        for name, shape in shapes.items():
            live = before.pop(name) if name in before else _board(name, shape)
            self.boards[name] = live
            if self.reads:
                live.reshape(shape)
                if self.keeper is not None:
                    live.provide(self._provided)
            else:
                live.disown()
                live.keep(shape)
            if name not in self._publishing:
                self._publish(live)
        for name in before:
            self._publishing.pop(name).cancel()
        return {name: self.hub.forget(live) for name, live in before.items()}

    def _change(self, name: str, change: Change, made: Feed | None) -> None:
        """Let one feed come, go, begin anew, or go on at the pace it has now."""
        settings = self.settings.feeds.get(name)
        old = None
        if settings is None:
            old = self.producer.drop(name)
        elif made is not None:
            old = self.producer.put(name, settings, made)
        else:
            self.producer.adjust(name, settings)
        if old is not None:
            self._run(old.close())
        if change is Change.CHANGED and settings is not None:
            self.schedule.change(name, settings.every)
            return
        if change is not Change.ADDED:
            self.schedule.remove(name)
        if settings is not None:
            self.schedule.add(name, settings.every, self._tick(name))

    def _publish(self, live: LiveBoard) -> None:
        self._publishing[live.name] = asyncio.create_task(self.producer.publish_forever(live))

    def _run(self, errand: Coroutine[Any, Any, None]) -> None:
        """Have something done that nobody waits for."""
        task = asyncio.create_task(_warned(errand))
        self._errands.add(task)
        task.add_done_callback(self._errands.discard)

    def _tick(self, name: str) -> Tick:
        return lambda: self._read(name)

    async def _read(self, name: str) -> float | None:
        """Read a feed, unless another process does by now; let others know when it was."""
        if self.keeper is None:
            return await self.producer.tick(name)
        if self.cluster is not None:
            await self.cluster.certain()
        if not self._reads_feed(name):
            return None
        every, at = self.producer.every(name), time()
        polls = self.settings.feeds[name].kind == "poll"
        if polls:
            await self.keeper.ask(name, every, at)
            if not self._reads_feed(name):
                return None
        wait = await self.producer.tick(name)
        if wait and polls:
            await self.keeper.ask(name, every, at, time() - at + wait)
        return wait

    def _reads_feed(self, name: str) -> bool:
        return self.reads and name in self.producer.names

    def feeds(self) -> dict[str, Any]:
        """Return the health of every feed that is read here, as ``/api/feeds`` says it."""
        return {
            name: {
                **self.producer.wire(name),
                "next_run": ms(self.schedule.next_run(name)),
                "skipped": self.schedule.skipped(name),
            }
            for name in self.producer.names
        }

    async def status(self) -> dict[str, Any]:
        """Return everything at once, for people who run it, as ``/api/status`` says it."""
        feeds, known = await self.reports.feeds(self.settings)
        waiting = self.unready()
        viewers, with_bus = self.hub.count(), {}
        if self.members is not None:
            viewers["everywhere"] = viewers["now"] + self.members.connected()
            with_bus = {"bus": {**self.members.wire(), "feeds": known}}
        with_store = {"store": self.store.wire()} if self.store is not None else {}
        return {
            "version": __version__,
            "started": ms(self.started),
            "now": ms(time()),
            "config": self.reloads.wire(),
            "ready": {"status": "waiting" if waiting else "ready", "waiting": waiting},
            "viewers": viewers,
            "closed": self.hub.closed,
            "boards": [live.wire() for live in self.boards.values()],
            "feeds": feeds,
            "loop_lag": self.lag.wire(),
            **with_bus,
            **with_store,
        }

    def unready(self) -> dict[str, str]:
        """Return why viewers should not come yet: by board, empty when they may.

        Feeds that a reload adds are not waited for: who is ready stays ready. Nor are boards that
        the poller does not have: it may be of the version before, and waits for us to go.
        """
        if self.hub.draining:
            return {"server": "draining"}
        waiting = {}
        if self.cluster is not None and (why := self.cluster.why) is not None:
            waiting["bus"] = why
        unserved = self.cluster.unserved if self.cluster is not None else {}
        for name, live in self.boards.items():
            if name in unserved:
                continue
            unread = [
                f
                for f, s in live.feeds.items()
                if f in self._awaited
                and f in self.settings.feeds
                and s.at is None
                and s.quality != Quality.DOWN
                and self.settings.feeds[f].kind != "push"  # which may come only when we are ready
            ]
            if unread:
                waiting[name] = f"waiting for the first reading of {', '.join(unread)}"
        return waiting


async def _warned(errand: Coroutine[Any, Any, None]) -> None:
    """Do what nobody waits for; a failure is for the log."""
    try:
        await errand
    except Exception:
        log.exception("what a reload left to do has failed")


def _embedded(origins: list[str]) -> dict[str, str]:
    """Return the headers of pages that are made for frames: here, and on sites of ``origins``."""
    return {
        "content-security-policy": POLICY + " ".join(["'self'", *origins]),
        "cross-origin-opener-policy": "unsafe-none",  # opened from a frame they stay related to it
    }


def _board(name: str, shape: Shape) -> LiveBoard:
    return LiveBoard(name, secrets.token_hex(4), shape)


def _shape(settings: Settings, name: str) -> Shape:
    board = settings.boards[name]
    return Shape(
        title=settings.title(name),
        layout=board.layout,
        columns=[
            column.model_dump(mode="json", exclude_none=True) for column in settings.columns(name)
        ],
        feeds=board.feeds,
        flush_interval=board.flush,
        tracked=settings.tracked(name),
        points=board.history,
    )
