"""The `replay` feed: a recorded csv or jsonl file at its own pace times `speed`.

The file is read line by line as its records fall due, so its size does not matter.
"""

from __future__ import annotations

import asyncio
import gzip
import os
import zlib
from collections.abc import Iterator, Mapping
from typing import IO, Any, cast
from zoneinfo import ZoneInfo

from ticker.config import ReplayFeed as ReplaySettings
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import NOTHING, REASONS_KEPT, Reading, Rejection, Silence, decode, values
from ticker.feeds.mapping import Mapper, Place, reader

RECORDS_PER_READ = 10_000
"""More that are due at once are taken at the next look: nothing is skipped."""

LINE_LIMIT = 10_000_000
HELD_LIMIT = 1_000


class ReplayFeed:
    """Plays the file of ``settings`` from the moment of the first ``read``."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._mapper = Mapper(settings, single=True, cumulative=True)
        self._time = reader(settings.time.path)
        self._zone = ZoneInfo(settings.timezone)
        self._records: Iterator[tuple[float, str, Any]] | None = None
        self._file: IO[str] | None = None
        self._next: tuple[float, str, Any] | None = None
        self._broken: tuple[str, object] | None = None  # why, and of which file
        self._goes_on: float | None = None  # when it was started elsewhere, until it is there
        self._started = 0.0  # epoch seconds at which the first record was played
        self._first = 0.0  # the first record's own time, in epoch seconds
        self._rows: Rows = {}
        self._ended = False

    async def read(self, now: float) -> Reading | Silence | None:
        """Return what fell due since the last look; None when nothing did."""
        if self._ended:
            return Reading(ended=True)
        reading = await asyncio.to_thread(self._play, now)
        if self._goes_on is None:
            return reading
        if self._records is not None and self._due(now):
            return NOTHING  # what is over by now is not shown again
        self._goes_on = None
        return Reading(dict(self._rows), complete=True, ended=self._ended)

    def adjust(self, settings: ReplaySettings) -> None:
        """Go on with settings that differ only in when it is read."""
        self._settings = settings

    def memory(self, *, settled: bool) -> Mapping[str, Any]:  # noqa: ARG002 - it only goes on
        """Return when it was started."""
        return {"started": self._started} if self._started else {}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - the file has them
        """Go on at the place where it would be by now."""
        if "started" in memory:
            self._goes_on = min(memory["started"], now)

    async def close(self) -> None:
        """Close the file."""
        self._shut()

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._records = None

    def _play(self, now: float) -> Reading | None:
        """Take what is due; an unusable file fails until it is another."""
        if self._broken is not None:
            why, file = self._broken
            if self._signature() == file:
                raise FeedError(why)
            self._broken = None
        reading = Reading()
        rejections: list[Rejection] = []
        played = 0
        try:
            if self._records is None:
                self._begin(now)
            while self._records is not None and self._due(now) and played < RECORDS_PER_READ:
                played += 1
                self._take(reading, rejections)
                self._advance()
        except (OSError, EOFError, zlib.error, UnicodeDecodeError, FeedError) as error:
            self._shut()
            own = isinstance(error, FeedError)
            why = str(error) if own else f"cannot read {self._settings.file}: {error}"
            self._broken = why, self._signature()
            if not played:
                raise FeedError(why) from None
            reading.trouble = why  # what came before it counts
        if not played and not self._ended:
            return None
        reading.rejections = rejections[:REASONS_KEPT]
        reading.ended = self._ended
        return reading

    def _due(self, now: float) -> bool:
        if self._next is None:
            return False
        return self._next[0] - self._first <= (now - self._started) * self._settings.speed

    def _begin(self, now: float) -> None:
        """Open the file and look at its first record."""
        self._file = self._open()
        self._records = self._parse(self._file)
        self._next = next(self._records, None)
        if self._next is None:
            raise FeedError(f"no records in {self._settings.file}")
        self._started = now if self._goes_on is None else self._goes_on
        self._first = self._next[0]

    def _advance(self) -> None:
        """Look at the next record; after the last one be done, or begin again at the next look."""
        assert self._records is not None, "a file that is played is open"  # noqa: S101 - tells the type checker
        self._next = next(self._records, None)
        if self._next is not None:
            return
        self._shut()
        self._ended = not self._settings.loop

    def _take(self, reading: Reading, rejections: list[Rejection]) -> None:
        assert self._next is not None, "only a record that is there falls due"  # noqa: S101 - tells the type checker
        _, name, document = self._next
        try:
            if isinstance(document, FeedError):
                raise document
            mapped = self._mapper.map(document, before=self._rows)
        except FeedError as error:
            reading.rejected += 1
            rejections.append(Rejection(name, error.why))
            return
        reading.rejected += mapped.rejected
        rejections += mapped.rejections
        if self._mapper.removes_missing:  # each record is the whole list
            lost = mapped.refused if not mapped.unnamed else set(self._rows)
            kept = {s: self._rows[s] for s in lost & self._rows.keys()}
            reading.rows = self._rows = {**kept, **mapped.rows}
            reading.complete = True
        else:
            self._rows = self._mapper.remembered(self._rows, {**self._rows, **mapped.rows})
            reading.rows.update(mapped.rows)

    def _open(self) -> IO[str]:
        name = self._settings.file
        opener = gzip.open if name.endswith(".gz") else open
        return cast("IO[str]", opener(name, "rt", encoding="utf-8-sig", newline=""))

    def _signature(self) -> object:
        """Return what tells one file from another under the same name."""
        try:
            found = os.stat(self._settings.file)  # noqa: PTH116 - one call, no path arithmetic
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _parse(self, file: IO[str]) -> Iterator[tuple[float, str, Any]]:
        """Yield each record with its time in epoch seconds and its name in messages.

        An unusable one comes as its FeedError, at the time of the one before.
        """
        if self._settings.layout == "csv":
            documents: Iterator[Any] = decode.records(file, self._settings.delimiter)
        else:
            lines = iter(lambda: file.readline(LINE_LIMIT), "")
            documents = (self._json(line) for line in lines if line.strip())
        first: float | None = None
        last = 0.0
        held: list[tuple[str, Any]] = []  # until two different times have told the order
        ordered = False
        for number, document in enumerate(documents, 1):
            name = f"record {number}"
            try:
                if isinstance(document, FeedError):
                    raise ValueError(document.why)
                at = self._time_of(document)
            except ValueError as error:
                usable: Any = FeedError(str(error))
            else:
                usable = document
                first = at if first is None else first
                if not ordered and at < first:
                    raise FeedError(f"{name} is older than the first; sort oldest first")
                ordered = ordered or at > first or len(held) >= HELD_LIMIT
                last = max(last, at)  # a record that is late in the file is played at once
            held.append((name, usable))
            if first is None and len(held) >= REASONS_KEPT:
                break
            if ordered:
                yield from ((first or 0.0, *early) for early in held[:-1])
                yield last, *held[-1]
                held = []
        if first is None and held:
            raise FeedError(f"{held[0][0]}: {held[0][1]}")
        yield from ((first or 0.0, *early) for early in held)

    def _json(self, line: str) -> Any:
        try:
            return decode.json(line.encode())
        except FeedError as error:
            return error

    def _time_of(self, document: Any) -> float:
        raw = self._time(Place(document, None, None, document))
        at = values.time_ms(raw, self._zone, self._settings.time.format)
        if at is None:
            raise ValueError(f"no time at '{self._settings.time.path}'")
        return at / 1000
