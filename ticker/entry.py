"""An entry: one step of a board's line, as the poller makes it and as every process takes it.

On a bus it is two lines of JSON: where it leads and what is not for viewers as it is, then the diff
exactly as viewers get it, which is encoded once for all processes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, cast

import orjson

from ticker import protocol
from ticker.diff import Patch
from ticker.frame import Frame
from ticker.quality import Quality, worst


@contextmanager
def refusing(what: str) -> Iterator[None]:
    """Let what is read in the block be a ValueError where it is not ``what`` we would write."""
    try:
        yield
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"not {what}: {error}") from error


def _place(head: Mapping[str, Any]) -> tuple[str, int, int, int]:
    """Return where an entry leads: epoch, prev, seq and time."""
    epoch, prev, seq, at = (head[name] for name in ("epoch", "prev", "seq", "at"))
    if not isinstance(epoch, str) or not all(type(number) is int for number in (prev, seq, at)):
        raise ValueError("expected an epoch, seqs and a time")
    return epoch, prev, seq, at


def patch(rows: Any) -> Patch:
    """Return rows as they are, each an object or none; raises as ``refusing`` has it."""
    if not all(row is None or type(row) is dict for row in rows.values()):
        raise ValueError("expected rows")
    return cast("Patch", rows)


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

    @classmethod
    def read(cls, wire: Mapping[str, Any]) -> FeedStatus:
        """Return what ``wire`` has written; raises as ``refusing`` has it."""
        times = [wire.get(name) for name in ("since", "at", "delay")]
        why = wire.get("why")
        if not all(time is None or type(time) is int for time in times):
            raise ValueError("expected times in epoch milliseconds")
        if why is not None and not isinstance(why, str):
            raise ValueError("expected words")
        return cls(Quality(wire["quality"]), times[0], times[1], why, times[2])

    def says_as(self, other: FeedStatus) -> bool:
        """Whether viewers need not be told of the difference: it is in the times alone."""
        return (self.quality, self.why) == (other.quality, other.why)

    def doubted(self, why: str, since: int) -> FeedStatus:
        """Return it as it is for a process that hears no more of it, and why."""
        return FeedStatus(worst(self.quality, Quality.STALE), since, self.at, why, self.delay)


@dataclass(frozen=True, slots=True)
class Look:
    """What viewers are shown of a board, beside its rows and its feeds' status."""

    title: str
    layout: str
    columns: Sequence[Mapping[str, Any]]

    @classmethod
    def read(cls, wire: Mapping[str, Any]) -> Look:
        """Return what ``wire`` has written; raises as ``refusing`` has it."""
        title, layout, columns = wire["title"], wire["layout"], wire["columns"]
        texts = isinstance(title, str) and isinstance(layout, str)
        if not texts or not all(isinstance(column, dict) for column in columns):
            raise ValueError("expected a title, a layout and columns")
        return cls(title, layout, columns)


@dataclass(frozen=True)
class Entry:
    """What leads a board of ``epoch`` from seq ``prev`` to ``seq``; ``at`` is in epoch ms.

    A diff has ``rows``. A renewal, to which only a snapshot leads, has a ``look`` instead; both are
    one seq further. What has neither changes only the status of ``feeds``; None is of a feed that
    fills the board no more.
    """

    board: str
    epoch: str
    prev: int
    seq: int
    at: int
    rows: Patch = field(default_factory=dict)
    feeds: Mapping[str, FeedStatus | None] = field(default_factory=dict)
    look: Look | None = None

    @cached_property
    def frame(self) -> Frame:
        """The diff as viewers get it; only where there are rows."""
        return protocol.diff(
            self.board,
            epoch=self.epoch,
            prev=self.prev,
            seq=self.seq,
            at=self.at,
            rows=self.rows,
        )

    def encode(self) -> bytes:
        """Return it as it travels between processes."""
        head: dict[str, Any] = {"epoch": self.epoch, "prev": self.prev, "seq": self.seq}
        head["at"] = self.at
        if self.feeds:
            head["feeds"] = {name: status and status.wire() for name, status in self.feeds.items()}
        if self.look is not None:
            head["look"] = self.look
        return orjson.dumps(head) + b"\n" + (self.frame.text if self.rows else b"")

    @classmethod
    def decode(cls, board: str, data: bytes) -> Entry:
        """Return what was encoded. Raises ValueError when it is something else."""
        first, _, text = data.partition(b"\n")
        with refusing("an entry"):
            head = orjson.loads(first)
            entry = cls(
                board,
                *_place(head),
                patch(orjson.loads(text)["rows"]) if text else {},
                {
                    name: FeedStatus.read(wire) if wire else None
                    for name, wire in head.get("feeds", {}).items()
                },
                Look.read(head["look"]) if "look" in head else None,
            )
            steps = bool(entry.rows) or entry.look is not None
            if entry.seq - entry.prev != steps:
                raise ValueError("expected one step, or none")
        if text:  # not encoded again: every process sends the same bytes
            frame = Frame(text, epoch=entry.epoch, prev=entry.prev, seq=entry.seq)
            entry.__dict__["frame"] = frame
        return entry


STATE_BYTES = 64_000
"""A state is kept anew when entries of more than this, and of more than it, came after it."""


@dataclass(slots=True)
class Backlog:
    """How much came after the state of a board that is kept; ``size`` and ``state`` in bytes."""

    entries: int = 0
    size: int = 0
    state: int = 0

    def add(self, entries: int, size: int) -> None:
        """Count what was kept."""
        self.entries, self.size = self.entries + entries, self.size + size

    def is_much(self, kept: int, least: int = STATE_BYTES) -> bool:
        """Whether it is time to keep the state again, of ``kept`` entries at most."""
        return self.entries >= kept // 2 or self.size > max(least, self.state)
