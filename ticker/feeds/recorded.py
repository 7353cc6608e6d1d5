"""What `ticker record` writes, and the feed that plays it: the very `poll` feed, offline.

A line of the file is one answer: ``at`` (epoch ms), ``feed``, ``reading`` (its number), ``symbol``
where there is one per url, ``url``, and ``status``, ``headers`` and ``body`` (``body_base64`` where
it is no UTF-8), or ``error`` in words. The lines of one reading stand together.
"""

from __future__ import annotations

import asyncio
import gzip
import zlib
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import itemgetter
from typing import Any, cast

import httpx
import orjson

from ticker.config import PollFeed as PollSettings
from ticker.config import RecordedFeed as Settings
from ticker.config import RowMapping
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import NOTHING, Reading, Silence
from ticker.feeds.poll import Heard, PollFeed
from ticker.feeds.secrets import Secrets
from ticker.feeds.web import retry_seconds
from ticker.scalars import is_symbol

HEADERS = ("content-type", "etag", "last-modified", "retry-after", "date")
"""What is kept of a response's headers: what rows and errors are made with."""

READINGS_AT_ONCE = 100
"""Of readings that are over at one look: where another process was is reached in a few."""

LINE_LIMIT = 100_000_000
"""Bytes of the longest line that is read."""

Line = dict[str, Any]


def lines(
    feed: str, reading: int, heard: Sequence[Heard], at: float, secrets: Secrets
) -> list[Line]:
    """Return the lines of one reading, without the secrets of the config; ``at`` is in seconds."""
    return [
        {
            "at": round(at * 1000),
            "feed": feed,
            "reading": reading,
            **({} if one.symbol is None else {"symbol": one.symbol}),
            "url": secrets.out_of(one.url),
            **_told(one, secrets),
        }
        for one in heard
    ]


def _told(heard: Heard, secrets: Secrets) -> Line:
    if heard.response is None:
        return {"error": secrets.out_of(heard.error or "")}
    had = heard.response.headers
    headers = {name: secrets.out_of(had[name]) for name in HEADERS if name in had}
    wait = retry_seconds(headers.get("retry-after"))
    if wait is not None:  # a date means something only on its day
        headers["retry-after"] = f"{wait:.0f}"
    body = secrets.out_of_bytes(heard.body)
    told: Line = {"status": heard.response.status_code, "headers": headers}
    try:
        return told | {"body": body.decode()}
    except UnicodeDecodeError:
        return told | {"body_base64": b64encode(body).decode()}


class RecordedFeed:
    """Plays one feed of a recording from the moment of the first ``read``."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.at: float | None = None
        """The recorded time of what was read last, in epoch seconds."""
        self._answers = _Answers()
        self._poll: PollFeed | None = None
        self._readings: Iterator[list[Line]] | None = None
        self._next: list[Line] | None = None
        self._started = self._first = 0.0
        self._goes_on: float | None = None  # when it was started elsewhere, until it is there
        self._latest: Reading | None = None
        self._over: Reading | FeedError | None = None

    @property
    def refused(self) -> set[str]:
        """Symbols that the last documents have, but in rows that cannot be read."""
        return self._poll.refused if self._poll else set()

    async def read(self, now: float) -> Reading | Silence | None:
        """Return what the next reading gives once it is due; raise its FeedError."""
        if self._over is None:
            if self._readings is None:
                await self._begin()
            try:
                await asyncio.to_thread(self._look, now)
            except FeedError as error:
                self._over = error
        if isinstance(self._over, FeedError):
            raise FeedError(self._over.why)
        if self._over is not None:
            return self._over
        if self._goes_on is not None:
            return await self._catch_up(now)
        if self._next is None or self._due_in(now) > 0:
            return NOTHING
        return await self._play(self._next, now)

    async def _catch_up(self, now: float) -> Reading | Silence:
        """Play what was shown elsewhere, and return what it led to."""
        for _ in range(READINGS_AT_ONCE):
            if self._next is None or self._due_in(now) > 0:
                self._goes_on = None
                return self._latest or NOTHING
            with suppress(FeedError):
                self._latest = await self._play(self._next, now) or self._latest
            with suppress(FeedError):
                await asyncio.to_thread(self._look, now)
        return NOTHING

    async def _play(self, due: list[Line], now: float) -> Reading | None:
        self._next = None
        self.at = due[0]["at"] / 1000
        return await self._replay(due, now)

    def memory(self, *, settled: bool) -> Mapping[str, Any]:  # noqa: ARG002 - it only goes on
        """Return when it was started."""
        return {"started": self._started} if self._started else {}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - the file has them
        """Go on at the place where it would be by now."""
        if "started" in memory:
            self._goes_on = min(memory["started"], now)

    def adjust(self, settings: Settings) -> None:
        """Go on with settings that differ only in when it is read."""
        self._settings = settings

    async def close(self) -> None:
        """Hold nothing any more."""
        self._readings = None
        await self._begin()

    async def _begin(self) -> None:
        """Forget what the recording said before, if it was played before."""
        if self._poll is not None:
            await self._poll.close()
            self._poll = None

    async def _replay(self, due: list[Line], now: float) -> Reading | None:
        self._answers.lines = {line.get("symbol"): line for line in due}
        if self._poll is None:
            self._poll = PollFeed(_as_polled(self._settings, due), self._answers)
        try:
            reading = await self._poll.read(now)
        except FeedError as error:
            raise FeedError(error.why) from None  # when to ask again is in the recording
        if reading is not None:
            reading.retry_after = None
        return reading

    def _due_in(self, now: float) -> float:
        """Return recorded seconds until the next reading is due."""
        assert self._next is not None, "asked only of a reading"  # noqa: S101 - tells the type checker
        recorded = self._next[0]["at"] / 1000 - self._first
        return float(recorded - (now - self._started) * self._settings.speed)

    def _look(self, now: float) -> None:
        """Have the next reading at hand; at the end be over, or begin again."""
        if self._next is not None:
            return
        begins = self._readings is None
        if self._readings is None:
            self._readings = self._open()
        self._next = next(self._readings, None)
        if self._next is None and begins:
            file = self._settings.recording
            raise FeedError(f"no readings of feed '{self._settings.feed}' in {file}")
        if self._next is None:
            self._readings = None
            self._over = None if self._settings.loop else Reading(ended=True)
        elif begins:
            self._started = now if self._goes_on is None else self._goes_on
            self._first = self._next[0]["at"] / 1000

    def _open(self) -> Iterator[list[Line]]:
        """Yield the readings of the feed, each as its lines."""
        own = (line for line in self._lines() if line.get("feed") == self._settings.feed)
        for _, reading in groupby(own, itemgetter("reading")):
            yield list(reading)

    def _lines(self) -> Iterator[Line]:
        """Yield the file's lines; one that breaks off is the end, as after a crash."""
        name = self._settings.recording
        opener = gzip.open if name.endswith(".gz") else open
        try:
            with cast("Any", opener(name, "rb")) as file:
                for number, text in enumerate(iter(lambda: file.readline(LINE_LIMIT), b""), 1):
                    if text.endswith(b"\n"):
                        yield _line(text, f"{name}, line {number}")
        except (EOFError, zlib.error):
            return
        except OSError as error:
            raise FeedError(f"cannot read {name}: {error.strerror or error}") from None


def _line(text: bytes, where: str) -> Line:
    """Return a line of a recording. Raises FeedError when it is none."""
    try:
        line = orjson.loads(text)
        usable = isinstance(line["at"], int | float) and isinstance(line["feed"], str)
        usable = usable and isinstance(line["reading"], int)
        usable = usable and is_symbol(line.get("symbol", "-"))
    except (ValueError, TypeError, KeyError):
        usable = False
    if not usable:
        raise FeedError(f"{where}: expected a line of `ticker record`")
    return cast("Line", line)


def _as_polled(settings: Settings, first: list[Line]) -> PollSettings:
    """Return the settings of a poll feed that asks for what the recording has."""
    symbols = [line["symbol"] for line in first if "symbol" in line]
    same = {name: getattr(settings, name) for name in RowMapping.model_fields}
    return PollSettings(
        **same | {"format": settings.format},
        kind="poll",
        every=cast("Any", 60.0),
        url="http://recording/?s={symbol}" if symbols else "http://recording/",
        symbols=symbols,
        encoding=settings.encoding,
        max_bytes=settings.max_bytes,
    )


class _Answers(httpx.AsyncBaseTransport):
    """Answers requests with what was recorded for their symbol."""

    def __init__(self) -> None:
        self.lines: dict[str | None, Line] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        line = self.lines.get(request.url.params.get("s"))
        if line is None:
            raise httpx.TransportError("not in the recording")
        if "error" in line:
            raise httpx.TransportError(str(line["error"]))
        try:
            body = (
                b64decode(line["body_base64"])
                if "body_base64" in line
                else str(line["body"]).encode()
            )
            stream = httpx.ByteStream(body)
            return httpx.Response(int(line["status"]), headers=line["headers"], stream=stream)
        except (KeyError, TypeError, ValueError):
            raise httpx.TransportError("the recorded answer is broken") from None
