"""The `stream` feed: listens to a WebSocket or to Server-Sent Events, and connects anew.

A task of its own hears each message at once and maps it; a look at the feed (``read``) takes what
came. Bounded are the longest message, the time to connect, silence, and how often it connects.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import aclosing, suppress
from http import HTTPStatus
from typing import Any

import anyio
import httpx
from httpx_sse import EventSource
from websockets.asyncio.client import connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    WebSocketException,
)

from ticker import __version__, redact
from ticker.config import StreamFeed as StreamSettings
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import NOTHING, Reading, Silence
from ticker.feeds.inbox import Inbox
from ticker.feeds.web import ERROR_BYTES, Body, http_error, in_words, tls

GOOD_SECONDS = 10.0
"""A connection over which something came for so long was good: waits begin anew after it."""

THREAD_BYTES = 16_000
"""Longer messages are mapped in a thread, so that they do not hold up the viewers."""

SLICE_SECONDS = 0.005
"""After so long with messages that were there already, others have their turn."""

CLOSE_SECONDS = 1.0
ID_LIMIT = 1_000
AGENT = f"ticker/{__version__}"

Message = bytes | str


class StreamFeed:
    """Listens as ``settings`` say, from the first ``read`` on."""

    def __init__(self, settings: StreamSettings) -> None:
        self._settings = settings
        self._inbox = Inbox(settings)
        self._task: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._last_id = self._taken_id = ""  # heard last, and last when it was looked at
        self._retry = 0.0  # what the source asked for, in seconds
        self._heard = False  # over this connection
        self._connections = 0
        self.connected = False
        """Whether there is a connection now."""

    @property
    def reconnects(self) -> int:
        """How often it was connected anew."""
        return max(0, self._connections - 1)

    async def read(self, now: float) -> Reading | Silence:
        """Return what was heard since the last look; fail once for each connection that failed."""
        if self._task is None:
            self._task = asyncio.create_task(self._listen_forever())
        taken, self._taken_id = self._inbox.take(now), self._last_id
        if taken is NOTHING and self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return taken

    def adjust(self, settings: StreamSettings) -> None:
        """Go on with settings that differ only in when it is looked at."""
        self._settings = settings

    def memory(self, *, settled: bool) -> Mapping[str, Any]:
        """Return the id of the last event of which everybody is shown what it said."""
        return {"last_id": self._taken_id} if settled and self._taken_id else {}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - it speaks by itself
        """Go on with rows that another process has heard; what came meanwhile may be missed."""
        self._last_id = self._taken_id = memory.get("last_id", "")
        self._inbox.resume(rows)
        if not self._last_id:
            self._inbox.lose()

    async def close(self) -> None:
        """End the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _listen_forever(self) -> None:
        """Connect, listen, and after a while connect again."""
        loop = asyncio.get_running_loop()
        failed = 0
        while True:
            began, self._heard = loop.time(), False
            try:
                await self._listen()
                failure: Exception = FeedError("the source ended the stream")
            except FeedError as error:
                failure = self._said(error)
            except Exception as error:  # noqa: BLE001 - a defect, which the next look tells
                failure = error
            self.connected, self._failure = False, failure
            if not self._last_id:  # otherwise the source goes on from there, and nothing is missed
                self._inbox.lose()
            good = self._heard and loop.time() - began >= GOOD_SECONDS
            failed = 1 if good else failed + 1
            share = random.random()  # noqa: S311 - only so that not all come at once
            wait = wait_after(failed, self._settings.backoff_max, share)
            asked = getattr(failure, "retry_after", None) or 0.0
            await asyncio.sleep(max(wait, self._retry, asked))

    async def _listen(self) -> None:
        """Hear one connection to its end. Raises FeedError."""
        loop = asyncio.get_running_loop()
        messages = self._websocket() if self._settings.over_websocket else self._events()
        busy_until = loop.time() + SLICE_SECONDS
        async with aclosing(messages):
            async for message in messages:
                self._heard = True
                await self._take_in(message)
                if loop.time() > busy_until:
                    await asyncio.sleep(0)
                    busy_until = loop.time() + SLICE_SECONDS

    async def _take_in(self, message: Message | None) -> None:
        """Map a message; None only says that the source is there."""
        if message is None:
            self._inbox.hear()
            return
        if len(message) > THREAD_BYTES:
            delivery = await asyncio.to_thread(self._inbox.map, [message])
        else:
            delivery = self._inbox.map([message])
        if delivery.error is not None:
            delivery.error = self._said(delivery.error)
        self._inbox.put(delivery)

    def _begun(self) -> None:
        self.connected = True
        self._connections += 1

    def _said(self, error: FeedError) -> FeedError:
        """Return ``error`` without a secret of the config, even where the source repeats it."""
        why = redact.without(error.why, self._settings.sent)
        return FeedError(why, retry_after=error.retry_after)

    # -- WebSocket

    async def _websocket(self) -> AsyncGenerator[Message | None, None]:
        """Yield the messages of one WebSocket. Raises FeedError."""
        settings = self._settings
        try:
            async with _Connect(
                settings.url,
                additional_headers=settings.headers,
                user_agent_header=AGENT,
                open_timeout=settings.timeout,
                close_timeout=CLOSE_SECONDS,
                max_size=settings.max_bytes,
                ssl=tls() if settings.url.startswith("wss") else None,
            ) as socket:
                self._begun()
                async with asyncio.timeout(settings.silent_after):
                    for text in settings.subscribe:
                        await socket.send(text)
                while True:
                    async with asyncio.timeout(settings.silent_after):
                        message = await socket.recv(decode=False)
                    yield message
        except TimeoutError:
            raise self._late() from None
        except ConnectionClosed as closed:
            raise FeedError(_closed(closed, settings.max_bytes)) from None
        except InvalidStatus as refused:
            answer = refused.response
            response = httpx.Response(answer.status_code, headers=list(answer.headers.raw_items()))
            raise http_error(response, bytes(answer.body or b"")[:ERROR_BYTES]) from None
        except InvalidHandshake as error:
            raise FeedError(f"not a WebSocket: {error}") from None
        except (WebSocketException, OSError) as error:
            raise FeedError(in_words(error)) from None

    # -- Server-Sent Events

    async def _events(self) -> AsyncGenerator[Message | None, None]:
        """Yield the data of events of one response; None for signs of life. Raises FeedError."""
        settings = self._settings
        async with httpx.AsyncClient(
            timeout=httpx.Timeout(settings.timeout, read=settings.silent_after), verify=tls()
        ) as opened:
            try:
                response = await self._ask(opened)
                async with aclosing(response), aclosing(self._heard_events(response)) as messages:
                    async for message in messages:
                        yield message
            except (TimeoutError, httpx.TimeoutException):
                raise self._late() from None
            except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
                raise FeedError(in_words(error)) from None

    async def _ask(self, opened: httpx.AsyncClient) -> httpx.Response:
        """Return the response whose body is the stream. Raises FeedError."""
        settings = self._settings
        headers = httpx.Headers(
            {
                "Accept": "text/event-stream",
                "Accept-Encoding": "identity",
                "Cache-Control": "no-store",
                "User-Agent": AGENT,
            }
        )
        headers.update(settings.headers)
        if self._last_id:
            headers.update([(b"Last-Event-ID", self._last_id.encode())])
        request = opened.build_request("GET", settings.url, headers=headers)
        with anyio.fail_after(settings.timeout):
            response = await opened.send(request, stream=True)
            if response.status_code == HTTPStatus.OK:
                return response
            body = Body(response.headers.get("content-encoding", ""), ERROR_BYTES)
            with suppress(FeedError, httpx.HTTPError):
                async for chunk in response.aiter_raw():
                    if not body.add(chunk):
                        break
            await response.aclose()
            raise http_error(response, bytes(body.content))

    async def _heard_events(self, response: httpx.Response) -> AsyncGenerator[Message | None, None]:
        """Yield what each event says, as far as its name is the one asked for."""
        settings = self._settings
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise FeedError(f"content encoding '{encoding}' was not asked for")
        media = response.headers.get("content-type", "none").partition(";")[0].strip()
        if media.lower() != "text/event-stream":
            raise FeedError(f"expected text/event-stream, got content type '{media}'")
        self._begun()
        lines = _Lines(response.stream, settings.max_bytes, self._inbox.hear)
        response.stream, response.encoding = lines, "utf-8-sig"
        async for event in EventSource(response).aiter_sse():
            lines.waiting = 0
            if event.id.isprintable() and len(event.id) <= ID_LIMIT:
                self._last_id = event.id or self._last_id
            if event.retry is not None:
                # an integer of any size: as a float it may be too large
                self._retry = min(event.retry, settings.backoff_max * 1000) / 1000
            wanted = settings.event in {None, event.event or "message"}
            yield event.data if event.data and wanted else None

    def _late(self) -> FeedError:
        """Return the error for a time that ran out."""
        if self.connected:
            return FeedError(f"nothing heard for {self._settings.silent_after:g} s")
        return FeedError(f"no connection within {self._settings.timeout:g} s")


class _Connect(connect):
    """Connects to where the config says, and nowhere else."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Follow none."""
        return exc


class _Lines(httpx.AsyncByteStream):
    """A response's bytes, bounded between two events; says when a comment came."""

    def __init__(self, stream: Any, limit: int, alive: Callable[[], None]) -> None:
        self._stream, self._limit, self._alive = stream, limit, alive
        self.waiting = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            if self.waiting > self._limit:
                raise FeedError(_too_long(self._limit))
            self.waiting += len(chunk)
            if b"\n:" in chunk or chunk.startswith(b":"):  # a comment: it keeps the line open
                self._alive()
            yield chunk

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()


def wait_after(failed: int, longest: float, share: float) -> float:
    """Return for how many seconds to wait after so many connections in a row were not good.

    It doubles from a second; ``share`` from 0 to 1 takes up to half of it away.
    """
    return float(min(longest, 2.0 ** min(failed - 1, 30)) * (1 - share / 2))


def _too_long(limit: int) -> str:
    return f"message of more than {limit:,} bytes, which is max_bytes"


def _closed(closed: ConnectionClosed, limit: int) -> str:
    """Return in words how a WebSocket ended."""
    if closed.sent is not None and not closed.rcvd_then_sent:
        if closed.sent.code == 1009:
            return _too_long(limit)
        return f"broken connection: {closed.sent.reason or closed.sent.code}"
    if closed.rcvd is None:
        return "the connection broke off"
    return f"the source closed: {closed.rcvd.code} {closed.rcvd.reason}".rstrip()
