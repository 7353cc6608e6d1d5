"""A board on the wire: its identity and status, and each of its messages encoded at most once."""

from __future__ import annotations

from asyncio import Event
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import reduce
from itertools import pairwise
from time import monotonic
from typing import Any, cast

import orjson

from ticker import protocol
from ticker.board import Board, Claims, Diff, Snapshot
from ticker.entry import Entry, FeedStatus, Look, patch, refusing
from ticker.frame import Frame
from ticker.history import KEPT_MS, History, Pack
from ticker.quality import Quality, worst

FRAMES_KEPT = 256
"""Catch-up frames remembered per seq; beyond that the same bytes are made again."""

RETELL_MS = 5_000
"""A feed's last success that is so much younger than what was told of it is told as well."""

CLOCKS_MS = 600_000
"""Clocks of processes may differ by so much."""

UNREAD = FeedStatus(Quality.STALE, why="no reading yet")


@dataclass(frozen=True, slots=True)
class Shape:
    """What a board is, beside its rows: what of it viewers are shown, and how it is kept.

    ``flush_interval`` is in seconds; ``tracked`` is the field of which ``points`` points are kept
    per row, None for no history.
    """

    title: str
    layout: str
    columns: Sequence[Mapping[str, Any]]
    feeds: Sequence[str]
    flush_interval: float
    tracked: str | None = None
    points: int = 0

    @property
    def look(self) -> Look:
        """What a snapshot says of it."""
        return Look(self.title, self.layout, self.columns)

    def history(self) -> History | None:
        """Return an empty history as it is to be kept."""
        return History(self.tracked, self.points) if self.tracked else None


@dataclass(frozen=True, slots=True)
class State:
    """What a snapshot message says of a board."""

    epoch: str
    at: int
    whole: Snapshot
    look: Look
    feeds: Mapping[str, FeedStatus]

    @classmethod
    def decode(cls, data: bytes) -> State:
        """Return what a snapshot message says. Raises ValueError when it is something else."""
        with refusing("a state"):
            message = orjson.loads(data)
            epoch, seq, at = message["epoch"], message["seq"], message["at"]
            if not isinstance(epoch, str) or type(seq) is not int or type(at) is not int:
                raise ValueError("expected an epoch, a seq and a time")
            feeds = {name: FeedStatus.read(wire) for name, wire in message["feeds"].items()}
            whole = Snapshot(seq, _whole(message["rows"]))
            return cls(epoch, at, whole, Look.read(message), feeds)


class LiveBoard:
    """A board with its name, epoch, shape and the status of its feeds.

    Whoever reads its feeds asks what is ``pending`` and publishes it as an entry; everybody, and
    that one too, goes where entries lead with ``take``. ``changed`` is set while something may be
    pending, ``urgent`` while that should not wait for the flush interval.
    """

    def __init__(self, name: str, epoch: str, shape: Shape) -> None:
        self.name, self.epoch, self.shape = name, epoch, shape
        self.look = shape.look
        """What viewers are shown."""
        self.history = shape.history()
        self.feeds = dict.fromkeys(shape.feeds, UNREAD)
        self.status_version = 0
        self.told_since_flush = False
        """Whether a feed's status changed after the last change of rows."""
        self.board = Board(self.feeds)
        self.at = 0
        self.owned = True
        """Whether this process reads the feeds."""
        self.busy = False
        """Whether an entry is being published."""
        self.shared = False
        """Whether other processes show it too: then who comes from there may be ahead of us, and
        who was the poller before may have another clock."""
        self.changed = Event()
        self.urgent = Event()
        self.doubt: str | None = None
        """Why nothing of the board can be trusted as it says; see `doubt_all`."""
        self._doubted_at = 0
        self._reported: dict[str, FeedStatus | None] = {}  # what the next entry tells of feeds
        self._told: dict[str, int] = {}  # each feed's last success as the last entry told it
        self._look: Look | None = None  # another look, where one is pending
        self._pending_since = 0.0
        self.flushes = 0
        self.flush_seconds = 0.0
        self.changes = 0
        """Changed rows that were published."""
        self.flushed = 0.0
        """When something was last published, of the monotonic clock."""
        self._published: Entry | None = None
        self._frames: dict[int, Frame | None] = {}  # since(seq) by seq
        self._snapshot: Frame | None = None
        self._status: Frame | None = None

    @property
    def settled(self) -> bool:
        """Whether everything that feeds have said is published."""
        return not (self.busy or self.changed.is_set())

    @property
    def flush_interval(self) -> float:
        """Changes are published at most once in so many seconds."""
        return self.shape.flush_interval

    @property
    def seq(self) -> int:
        """The seq of the last published change."""
        return self.board.seq

    @property
    def etag(self) -> str:
        """The name of the state at this seq."""
        return f'"{self.epoch}-{self.seq}"'

    @property
    def quality(self) -> Quality:
        """The worst quality among the feeds."""
        return reduce(worst, (status.quality for status in self.shown().values()))

    def wire(self) -> dict[str, Any]:
        """Return it as ``/api/boards`` lists it."""
        return {
            "name": self.name,
            "title": self.look.title,
            "layout": self.look.layout,
            "rows": len(self.board),
            "epoch": self.epoch,
            "seq": self.seq,
            "quality": self.quality.value,
            "feeds": list(self.feeds),
        }

    def flush(self, now: float) -> bool:
        """Publish what is pending, if anything is; ``now`` is in epoch seconds."""
        entry = self.pending(now)
        return entry is not None and self.take(entry)

    # -- where feeds are read

    def pending(self, now: float) -> Entry | None:
        """Return what is to be published, if anything is; ``now`` is in epoch seconds.

        It is pending no more: whoever cannot publish it gives it back with ``redo``.
        """
        if not self.owned:
            return None
        began = self._pending_since = monotonic()
        look, self._look = self._look, None
        patch = {} if look is not None else self.board.pending()
        if look is not None:
            self.changed.set()  # the rows come next
        reported = self._reported if look is None else {}  # it goes with the rows that it marks
        tells = any(
            status is None
            or not status.says_as(self.feeds.get(feed, UNREAD))
            or self._is_old(feed, status)
            for feed, status in reported.items()
        )
        entry = None
        if patch or look is not None or tells:
            if look is None:
                self._reported = {}
            seq = self.seq + (1 if patch or look is not None else 0)
            at = self._time(now) if seq > self.seq else self.at
            entry = Entry(self.name, self.epoch, self.seq, seq, at, patch, reported, look)
        self.flushes += 1
        self.flush_seconds += monotonic() - began
        return entry

    def _time(self, now: float) -> int:
        """Return ``now`` in epoch ms; no earlier than before where another clock may have said it.

        A clock that was further ahead than clocks can differ was wrong and has been put right.
        """
        at = round(now * 1000)
        return self.at if self.shared and 0 < self.at - at <= CLOCKS_MS else at

    def redo(self, entry: Entry) -> None:
        """Let what was not published be pending again, if it is still ours."""
        if not self.owned:
            return
        self.board.touch(entry.rows)
        self._reported = {**entry.feeds, **self._reported}
        self._look = self._look or entry.look
        self.changed.set()

    def _is_old(self, feed: str, status: FeedStatus) -> bool:
        """Whether what others were told of a feed's times is too old."""
        if status.since != self.feeds.get(feed, UNREAD).since:
            return True  # it was otherwise for a moment, and nobody was told
        return (status.at or 0) - self._told.get(feed, 0) >= RETELL_MS

    def report(self, feed: str, status: FeedStatus) -> None:
        """Say how a feed is; viewers are told where that is more than a time."""
        self._reported[feed] = status
        if not status.says_as(self.feeds.get(feed, UNREAD)):
            self.changed.set()
            self.urgent.set()
            return
        old = self._is_old(feed, status)
        if old:
            self.changed.set()
        else:
            self.feeds[feed] = status

    def reshape(self, shape: Shape) -> None:
        """Become what ``shape`` says; rows, seq and history of what stays go on.

        Who watches gets a snapshot where what it says has changed.
        """
        before = self.shape
        self.keep(shape)
        if before.feeds != shape.feeds:
            self.board.reorder(shape.feeds)
            gone = dict.fromkeys(self.feeds.keys() - set(shape.feeds))
            self.feeds = {feed: self.feeds.get(feed, UNREAD) for feed in shape.feeds}
            kept = {f: s for f, s in self._reported.items() if s is not None and f in self.feeds}
            self._reported = kept | gone
            self._tell_status()
            self.changed.set()
        if before.look != shape.look:
            self._look = shape.look
            self.changed.set()
            self.urgent.set()

    def inherit(self, provided: Mapping[str, Iterable[str]], claims: Claims | None = None) -> None:
        """Go on reading feeds that another process has read, each of which can fill some fields.

        ``claims`` says what it takes to know which feed said what.
        """
        self.owned = True
        gone = dict.fromkeys(self.feeds.keys() - set(self.shape.feeds))
        self.feeds = {feed: self.feeds.get(feed, UNREAD) for feed in self.shape.feeds}
        self.board.reorder(self.shape.feeds)
        fields = {f: frozenset(provided[f]) for f in self.feeds}
        self.board.inherit(
            {f: (fields[f], status.quality) for f, status in self.feeds.items()}, claims
        )
        self._reported, self._look = {**self.feeds, **gone}, None
        self._told = {feed: status.at or 0 for feed, status in self.feeds.items()}
        if self.look != self.shape.look:
            self._look = self.shape.look
        self.changed.set()

    def provide(self, provided: Mapping[str, Iterable[str]]) -> None:
        """Be filled by feeds that can fill some fields, and tell who says what."""
        self.board.provided = {feed: frozenset(provided[feed]) for feed in self.shape.feeds}

    def disown(self) -> None:
        """Read no feeds any more: what was not published is for whoever reads them now."""
        self.owned = False
        self.board.disown()
        self._reported, self._look = {}, None

    # -- everywhere

    def take(self, entry: Entry) -> bool:
        """Go where ``entry`` leads; return False when it does not lead on from here."""
        if entry.epoch != self.epoch or entry.prev != self.seq:
            return False
        if entry.look is not None:
            self.look = entry.look
            self.board.renew()
        elif entry.rows:
            self.board.advance(entry.rows, entry.at / 1000)
        for feed, status in entry.feeds.items():
            self._hear(feed, status)
        if entry.seq > entry.prev:
            self._moved(entry)
        return True

    def _hear(self, feed: str, status: FeedStatus | None) -> None:
        if status is None:
            if self.owned and feed in self.shape.feeds:
                return  # it is back meanwhile
            if self.feeds.pop(feed, None) is not None:
                self._tell_status()
            return
        before = self.feeds.get(feed, UNREAD)
        self.feeds[feed] = status
        self._told[feed] = status.at or 0
        if not status.says_as(before) or status.since != before.since:
            self._tell_status()
        elif status.at != before.at:  # it was read since, and nothing has changed
            self._forget_snapshot()

    def _moved(self, entry: Entry) -> None:
        """Take note that the board is where ``entry`` leads."""
        self._published = entry if entry.rows else None
        self.at = entry.at
        self.flushed = self._pending_since or monotonic()
        self._pending_since = 0.0
        self.told_since_flush = False
        self.changes += len(entry.rows)
        self._frames.clear()
        self._snapshot = None
        if self.history is not None:
            self.history.record(entry.at, entry.rows, self.board.snapshot().rows)

    def packed(self, symbol: str) -> bytes | None:
        """Return the history of a row for ``restore``; None where there is none."""
        if self.history is None or symbol not in self.history:
            return None
        row = self.board.snapshot().rows.get(symbol)
        head = f"{self.epoch} {self.history.field}\n"
        return head.encode() + self.history.pack(symbol, self.seq, row)

    def restore(
        self,
        state: bytes,
        entries: Sequence[Entry],
        now: float,
        past: Mapping[str, bytes] | None = None,
    ) -> None:
        """Become what is published elsewhere: a snapshot message, and the entries around it.

        ``now`` is in epoch seconds, ``past`` has each row's history as ``packed`` told it. Raises
        ValueError, and stays where it is, when ``state`` is none or ``entries`` lead elsewhere.
        """
        known = State.decode(state)
        whole, feeds = known.whole, dict(known.feeds)
        gaps = any(two.prev != one.seq for one, two in pairwise(entries))
        if gaps or (entries and entries[0].prev > whole.seq):
            raise ValueError("expected entries one after another, from the state on")
        own = self.seq if known.epoch == self.epoch else -1, self.board.snapshot().rows
        self.epoch, self.at, self.look = known.epoch, known.at, known.look
        diffs = []
        for entry in entries:
            if entry.seq > entry.prev:
                diffs.append(Diff(entry.prev, entry.seq, entry.rows))
            if entry.seq > whole.seq:
                self.look, self.at = entry.look or self.look, entry.at
            feeds |= {name: status for name, status in entry.feeds.items() if status is not None}
            for name in [name for name, status in entry.feeds.items() if status is None]:
                feeds.pop(name, None)
        self.board.restore(whole, diffs, now)
        self.feeds = feeds
        self._published = self._snapshot = None
        self._tell_status()
        if self.history is not None:
            steps = ((entry.seq, entry.at, entry.rows) for entry in entries)
            rows = self.board.snapshot().rows
            packs = self._packs(self.history, past or {})
            self.history.restore(packs, own, steps, rows, self.at)

    def _packs(self, history: History, past: Mapping[str, bytes]) -> dict[str, Pack]:
        """Return each row's history; what is of another epoch comes before all of this one."""
        packs: dict[str, Pack] = {}
        for symbol, data in past.items():
            head, _, packed = data.partition(b"\n")
            epoch, _, field = head.decode(errors="replace").partition(" ")
            if field == history.field:
                with suppress(ValueError):  # written by something else: as if it were not there
                    pack = history.unpack(packed)
                    packs[symbol] = pack if epoch == self.epoch else replace(pack, seq=-1)
        return packs

    def begin(self, epoch: str) -> None:
        """Begin a new line, of another epoch, with the rows as they are."""
        self.epoch = epoch
        self.board.renew()
        self._published = self._snapshot = None
        self._frames.clear()

    def doubt_all(self, why: str | None, now: float) -> bool:
        """Say of every feed that it is stale, and why, until called with None.

        A process that hears nothing of those who read feeds does so. ``now`` is in epoch seconds.
        Returns whether that is news.
        """
        if why == self.doubt:
            return False
        if self.doubt is None:
            self._doubted_at = round(now * 1000)
        self.doubt = why
        self._tell_status()
        return True

    def keep(self, shape: Shape) -> None:
        """Be kept as ``shape`` says; what viewers are shown is for whoever reads the feeds."""
        before, self.shape = self.shape, shape
        if (before.tracked, before.points) != (shape.tracked, shape.points):
            self.history = shape.history()

    def _tell_status(self) -> None:
        self.status_version += 1
        self._status = None
        self._forget_snapshot()
        self.told_since_flush = True

    def _forget_snapshot(self) -> None:
        self._snapshot = None
        self._frames.clear()  # it may be among them

    # -- what viewers get

    def since(self, seq: int) -> Frame | None:
        """Return what a viewer at ``seq`` lacks, encoded: nothing, one diff or the snapshot."""
        if self.shared and seq > self.seq:
            return None  # another process was quicker; what it has shown comes here too
        if seq not in self._frames:
            if len(self._frames) >= FRAMES_KEPT:
                self._frames.clear()
            self._frames[seq] = self._encode(seq)
        return self._frames[seq]

    def snapshot(self) -> Frame:
        """Return the whole state, encoded at most once per seq and status."""
        if self._snapshot is None:
            self._snapshot = self._whole(self.epoch, self.seq, self.shown())
        return self._snapshot

    def state(self, epoch: str, seq: int) -> bytes:
        """Return what ``restore`` reads, as of another epoch and seq; it says of no doubt."""
        return self._whole(epoch, seq, self.feeds).text

    def _whole(self, epoch: str, seq: int, feeds: Mapping[str, FeedStatus]) -> Frame:
        return protocol.snapshot(
            self.name,
            epoch=epoch,
            seq=seq,
            at=self.at,
            title=self.look.title,
            layout=self.look.layout,
            columns=self.look.columns,
            rows=self.board.snapshot().rows,
            feeds=_wires(feeds),
        )

    def history_of(self, symbol: str, points: int | None = None) -> dict[str, Any] | None:
        """Return the history of a row in at most ``points`` points; None where there is none."""
        if self.history is None or symbol not in self.history or symbol not in self.board:
            return None
        at, value = self.history[symbol].since(self.at - KEPT_MS, points)
        return {"at": at, "value": value} if at else None

    def status(self) -> Frame:
        """Return the status of all feeds, encoded at most once per change."""
        if self._status is None:
            self._status = protocol.status(self.name, _wires(self.shown()))
        return self._status

    def _encode(self, seq: int) -> Frame | None:
        last = self._published  # what nearly everybody lacks: no need to work it out again
        if last is not None and last.prev == seq:
            return last.frame
        match self.board.since(seq):
            case None:
                return None
            case Diff(prev, now, rows):
                return protocol.diff(
                    self.name, epoch=self.epoch, prev=prev, seq=now, at=self.at, rows=rows
                )
            case Snapshot():
                return self.snapshot()

    def shown(self) -> dict[str, FeedStatus]:
        """Return the status of the feeds as viewers are to know it."""
        if self.doubt is None:
            return self.feeds
        at = self._doubted_at
        return {feed: status.doubted(self.doubt, at) for feed, status in self.feeds.items()}


def _whole(rows: Any) -> dict[str, dict[str, Any]]:
    """Return the rows of a snapshot; raises as ``refusing`` has it."""
    if any(row is None or None in row.values() for row in patch(rows).values()):
        raise ValueError("expected whole rows")
    return cast("dict[str, dict[str, Any]]", rows)


def _wires(feeds: Mapping[str, FeedStatus]) -> dict[str, Any]:
    return {feed: status.wire() for feed, status in feeds.items()}
