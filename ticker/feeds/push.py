"""The `push` feed: gathers what is posted to it. The HTTP address itself is in ``api``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

from ticker.config import PushFeed as PushSettings
from ticker.diff import Rows
from ticker.errors import FeedError, TickerError, one_line
from ticker.feeds import NOTHING, Reading, Silence
from ticker.feeds.inbox import Inbox
from ticker.feeds.mapping import Mapped
from ticker.feeds.web import Body

BODIES_AT_ONCE = 4
"""More bodies of one feed under way are refused: each may be of the greatest size."""

BODY_SECONDS = 30.0
"""Longest time for one body to come."""

JSON = "application/json"
LINES = "application/x-ndjson"
ENCODINGS = {"", "identity", "gzip"}


class Refused(TickerError):
    """What was pushed is not taken: with the HTTP status that says why, and in words."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        self.status, self.why = status, one_line(why)
        super().__init__(self.why)


class PushFeed:
    """Takes bodies of one feed, and gives at each ``read`` what came."""

    def __init__(self, settings: PushSettings) -> None:
        self.settings = settings
        self._inbox = Inbox(settings)
        self._order = asyncio.Lock()  # documents count in the order in which they came
        self._bodies = 0
        self.on_hold = False
        """Whether more must come before any of it may be shown."""

    async def read(self, now: float) -> Reading | Silence:
        """Return what was pushed since the last look."""
        return NOTHING if self.on_hold else self._inbox.take(now)

    def adjust(self, settings: PushSettings) -> None:
        """Go on with settings that differ only in when it is looked at, and in who may push."""
        self.settings = settings

    def memory(self, *, settled: bool) -> Mapping[str, Any]:  # noqa: ARG002 - nothing to tell
        """Return nothing: all that came is in the rows."""
        return {}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - as above
        """Go on with rows that were pushed to another process."""
        self._inbox.resume(rows)

    async def close(self) -> None:
        """Hold nothing."""

    async def take_in(
        self,
        chunks: AsyncIterator[bytes],
        *,
        media: str = JSON,
        encoding: str = "",
        size: int | None = None,
        complete: bool = False,
    ) -> Mapped:
        """Take in one body and return what it gave. Raises Refused.

        ``size`` is what was announced; ``complete`` says that there are no other rows.
        """
        async with self.receiving(chunks, media=media, encoding=encoding, size=size) as content:
            return await self.take(content, media, complete=complete)

    @asynccontextmanager
    async def receiving(
        self, chunks: AsyncIterator[bytes], *, media: str, encoding: str, size: int | None
    ) -> AsyncIterator[bytes]:
        """Give the inflated body to the block, during which it counts as under way.

        Raises Refused.
        """
        if media not in {JSON, LINES}:
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected {JSON} or {LINES}, got '{media[:80]}'"
            )
        if encoding not in ENCODINGS:
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"expected gzip or none, got '{encoding[:80]}'"
            )
        if size is not None and size > self.settings.max_bytes:
            raise self._too_large()
        if self._bodies >= BODIES_AT_ONCE:
            raise Refused(
                HTTPStatus.TOO_MANY_REQUESTS, f"{BODIES_AT_ONCE} others are being taken in"
            )
        self._bodies += 1
        try:
            yield await self._read(chunks, encoding)
        finally:
            self._bodies -= 1

    async def take(self, content: bytes, media: str, *, complete: bool) -> Mapped:
        """Take in an inflated body, after those that came before. Raises Refused."""
        async with self._order:
            return await self._map(content, media, complete=complete)

    async def _read(self, chunks: AsyncIterator[bytes], encoding: str) -> bytes:
        """Return the inflated body. Raises Refused."""
        body = Body(encoding, self.settings.max_bytes, "body")
        sent = 0
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in chunks:
                    sent += len(chunk)
                    if not body.add(chunk) or sent > self.settings.max_bytes:
                        raise self._too_large()
            body.finish()
        except TimeoutError:
            why = f"the body did not come within {BODY_SECONDS:g} s"
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, why) from None
        except FeedError as error:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, error.why) from None
        return bytes(body.content)

    async def _map(self, content: bytes, media: str, *, complete: bool) -> Mapped:
        """Map a body and take in its rows: all that can be mapped, or nothing. Raises Refused."""
        lines = [content]
        if media == LINES:
            lines = [line for line in content.split(b"\n") if line.strip()]
        # in a thread: a large document must not hold up the viewers
        delivery = await asyncio.to_thread(self._inbox.map, lines)
        self._inbox.put(delivery, complete=complete)
        if delivery.error is not None:
            raise Refused(HTTPStatus.UNPROCESSABLE_ENTITY, delivery.error.why)
        return delivery.mapped

    def _too_large(self) -> Refused:
        most = self.settings.max_bytes
        why = f"body of more than {most:,} bytes, which is max_bytes"
        return Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
