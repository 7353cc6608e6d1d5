"""The `replay` feed: a recorded csv or jsonl file at its own pace times `speed`.

The file is read line by line as its records fall due, so its size does not matter.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import Iterator
from typing import IO, Any, cast
from zoneinfo import ZoneInfo

from ticker.config import ReplayFeed as ReplaySettings
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import REASONS_KEPT, Reading, Rejection, decode, values
from ticker.feeds.mapping import Mapper, Place, reader

RECORDS_PER_READ = 10_000
"""More that are due at once are taken at the next look: nothing is skipped."""

LINE_LIMIT = 10_000_000


class ReplayFeed:
    """Plays the file of ``settings`` from the moment of the first ``read``."""

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._mapper = Mapper(settings, single=True, cumulative=True)
        self._time = reader(settings.time.path)
        self._zone = ZoneInfo(settings.timezone)
        self._records: Iterator[tuple[float, Any]] | None = None
        self._file: IO[str] | None = None
        self._next: tuple[float, Any] | None = None
        self._started = 0.0  # epoch seconds at which the first record was played
        self._first = 0.0  # the first record's own time, in epoch seconds
        self._rows: Rows = {}
        self._ended = False

    async def read(self, now: float) -> Reading | None:
        """Return what fell due since the last look; None when nothing did."""
        if self._ended:
            return Reading(ended=True)
        return await asyncio.to_thread(self._play, now)

    async def close(self) -> None:
        """Close the file."""
        self._shut()

    def _shut(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = self._records = None

    def _play(self, now: float) -> Reading | None:
        reading = Reading(complete=self._mapper.removes_missing)
        rejections: list[Rejection] = []
        played = 0
        try:
            if self._records is None:
                self._begin(now)
            while self._due(now) and played < RECORDS_PER_READ:
                played += 1
                self._take(reading, rejections)
                self._advance(now)
        except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
            self._shut()
            raise FeedError(f"cannot read {self._settings.file}: {error}") from None
        except FeedError:
            self._shut()  # the next reading begins anew
            raise
        if not played and not self._ended:
            return None
        reading.rejections = rejections[:REASONS_KEPT]
        reading.ended = self._ended and not self._settings.loop
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
        self._started, self._first = now, self._next[0]

    def _advance(self, now: float) -> None:
        """Look at the next record; at the end begin again or be done."""
        assert self._records is not None, "a file that is played is open"  # noqa: S101 - tells the type checker
        self._next = next(self._records, None)
        if self._next is not None:
            return
        self._shut()
        if self._settings.loop:
            self._begin(now)
            if self._mapper.removes_missing:
                self._rows = {}
        else:
            self._ended = True

    def _take(self, reading: Reading, rejections: list[Rejection]) -> None:
        assert self._next is not None, "only a record that is there falls due"  # noqa: S101 - tells the type checker
        document = self._next[1]
        try:
            if isinstance(document, FeedError):
                raise document
            mapped = self._mapper.map(document, before=self._rows)
        except FeedError as error:
            reading.rejected += 1
            rejections.append(Rejection("record", error.why))
            return
        reading.rejected += mapped.rejected
        rejections += mapped.rejections
        if self._mapper.removes_missing:  # each record is the whole list
            kept = {s: self._rows[s] for s in mapped.refused & self._rows.keys()}
            reading.rows = self._rows = {**kept, **mapped.rows}
        else:
            self._rows.update(mapped.rows)
            reading.rows.update(mapped.rows)

    def _open(self) -> IO[str]:
        name = self._settings.file
        opener = gzip.open if name.endswith(".gz") else open
        return cast("IO[str]", opener(name, "rt", encoding="utf-8-sig", newline=""))

    def _parse(self, file: IO[str]) -> Iterator[tuple[float, Any]]:
        """Yield each record with its time in epoch seconds; an unusable one as its FeedError."""
        if self._settings.layout == "csv":
            documents: Iterator[Any] = decode.records(file, self._settings.delimiter)
        else:
            lines = iter(lambda: file.readline(LINE_LIMIT), "")
            documents = (self._json(line) for line in lines if line.strip())
        last: float | None = None
        early: list[FeedError] = []  # unusable records before the first that has a time
        for number, document in enumerate(documents, 1):
            try:
                if isinstance(document, FeedError):
                    raise ValueError(document.why)
                at = self._time_of(document)
            except ValueError as error:
                found = FeedError(f"record {number}: {error}")
                if last is not None:
                    yield last, found
                elif len(early) < REASONS_KEPT:
                    early.append(found)
                else:
                    raise early[0] from None
                continue
            if last is None:
                yield from ((at, error) for error in early)
            elif at < last and number == 2:
                raise FeedError("the second record is older than the first; sort oldest first")
            last = at if last is None else max(last, at)
            yield last, document  # a record that is late in the file is played at once
        if last is None and early:
            raise early[0]

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
