"""A board on the wire: its identity and status, and each of its messages encoded at most once."""

from __future__ import annotations

from asyncio import Event
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from time import monotonic
from typing import Any

from ticker import protocol
from ticker.board import Board, Diff, Snapshot
from ticker.frame import Frame
from ticker.history import KEPT_MS, History
from ticker.quality import Quality, worst

FRAMES_KEPT = 256
"""Catch-up frames remembered per seq; beyond that the same bytes are made again."""


@dataclass(frozen=True, slots=True)
class FeedStatus:
    """How far a feed can be trusted: since when, and why when it is not at its best.

    Times are epoch milliseconds; ``at`` is the last success. ``delay`` is how late the source is by
    contract, in milliseconds.
    """

    quality: Quality
    since: int | None = None
    at: int | None = None
    why: str | None = None
    delay: int | None = None

    def wire(self) -> dict[str, Any]:
        """Return it as the wire has it: what is unknown is left out."""
        times = {"since": self.since, "at": self.at, "delay": self.delay}
        parts = {"quality": self.quality.value, **times, "why": self.why}
        return {name: value for name, value in parts.items() if value is not None}


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
    def shown(self) -> tuple[Any, ...]:
        """What a snapshot says of it."""
        return self.title, self.layout, self.columns

    def history(self) -> History | None:
        """Return an empty history as it is to be kept."""
        return History(self.tracked, self.points) if self.tracked else None


class LiveBoard:
    """A board with its name, epoch, shape and the status of its feeds.

    ``changed`` is set while there may be something to flush.
    """

    def __init__(self, name: str, epoch: str, shape: Shape) -> None:
        self.name, self.epoch, self.shape = name, epoch, shape
        self.history = shape.history()
        self.feeds = dict.fromkeys(shape.feeds, UNREAD)
        self.status_version = 0
        self.told_since_flush = False
        """Whether a feed's status changed after the last change of rows."""
        self.board = Board(self.feeds)
        self.at = 0
        self.changed = Event()
        self.flushes = 0
        self.flush_seconds = 0.0
        self.changes = 0
        """Changed rows that were published."""
        self.flushed = 0.0
        """When something was last published, of the monotonic clock."""
        self._published: Diff | None = None
        self._frames: dict[int, Frame | None] = {}  # since(seq) by seq
        self._snapshot: Frame | None = None
        self._status: Frame | None = None

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
        return reduce(worst, (status.quality for status in self.feeds.values()))

    def wire(self) -> dict[str, Any]:
        """Return it as ``/api/boards`` lists it."""
        return {
            "name": self.name,
            "title": self.shape.title,
            "layout": self.shape.layout,
            "rows": len(self.board),
            "epoch": self.epoch,
            "seq": self.seq,
            "quality": self.quality.value,
            "feeds": list(self.feeds),
        }

    def flush(self, now: float) -> bool:
        """Publish what changed, if anything did; ``now`` is in epoch seconds."""
        began = monotonic()
        published = self.board.flush(now)
        if published is not None:
            self._publish(published, now)
            self.flushed = began
        self.flushes += 1
        self.flush_seconds += monotonic() - began
        return published is not None

    def _publish(self, published: Diff, now: float) -> None:
        self._published = published
        self.at = round(now * 1000)
        self.told_since_flush = False
        self.changes += len(published.rows)
        self._frames.clear()
        self._snapshot = None
        if self.history is not None:
            self.history.record(self.at, published.rows, self.board.snapshot().rows)

    def reshape(self, shape: Shape, now: float) -> None:
        """Become what ``shape`` says; rows, seq and history of what stays go on.

        Who watches gets a snapshot where what it says has changed. ``now`` is in epoch seconds.
        """
        before, self.shape = self.shape, shape
        if (before.tracked, before.points) != (shape.tracked, shape.points):
            self.history = shape.history()
        if before.feeds != shape.feeds:
            self.board.reorder(shape.feeds)
            self.feeds = {feed: self.feeds.get(feed, UNREAD) for feed in shape.feeds}
            self._tell_status()
            self.changed.set()
        if before.shown != shape.shown:
            self.board.renew()
            self.at = round(now * 1000)
            self._published = self._snapshot = None
            self._frames.clear()

    def report(self, feed: str, status: FeedStatus) -> bool:
        """Take a feed's status; return whether viewers must be told."""
        before, self.feeds[feed] = self.feeds[feed], status
        if (before.quality, before.why) == (status.quality, status.why):
            return False
        self._tell_status()
        return True

    def _tell_status(self) -> None:
        self.status_version += 1
        self._snapshot = self._status = None
        self._frames.clear()  # among them the snapshot
        self.told_since_flush = True

    def since(self, seq: int) -> Frame | None:
        """Return what a viewer at ``seq`` lacks, encoded: nothing, one diff or the snapshot."""
        if seq not in self._frames:
            if len(self._frames) >= FRAMES_KEPT:
                self._frames.clear()
            self._frames[seq] = self._encode(seq)
        return self._frames[seq]

    def snapshot(self) -> Frame:
        """Return the whole state, encoded at most once per seq and status."""
        if self._snapshot is None:
            whole = self.board.snapshot()
            self._snapshot = protocol.snapshot(
                self.name,
                epoch=self.epoch,
                seq=whole.seq,
                at=self.at,
                title=self.shape.title,
                layout=self.shape.layout,
                columns=self.shape.columns,
                rows=whole.rows,
                feeds=self._statuses(),
            )
        return self._snapshot

    def history_of(self, symbol: str, points: int | None = None) -> dict[str, Any] | None:
        """Return the history of a row in at most ``points`` points; None where there is none."""
        if self.history is None or symbol not in self.history or symbol not in self.board:
            return None
        at, value = self.history[symbol].since(self.at - KEPT_MS, points)
        return {"at": at, "value": value} if at else None

    def status(self) -> Frame:
        """Return the status of all feeds, encoded at most once per change."""
        if self._status is None:
            self._status = protocol.status(self.name, self._statuses())
        return self._status

    def _encode(self, seq: int) -> Frame | None:
        last = self._published  # what nearly everybody lacks: no need to work it out again
        match last if last is not None and last.prev == seq else self.board.since(seq):
            case None:
                return None
            case Diff(prev, now, rows):
                return protocol.diff(
                    self.name, epoch=self.epoch, prev=prev, seq=now, at=self.at, rows=rows
                )
            case Snapshot():
                return self.snapshot()

    def _statuses(self) -> dict[str, Any]:
        return {feed: status.wire() for feed, status in self.feeds.items()}
