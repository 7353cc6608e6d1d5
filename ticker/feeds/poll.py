"""The `poll` feed: reads a URL, or one per symbol, politely.

Politely means: conditional requests, one reading at a time, a bound on time, size, redirects and
requests under way; what a source asks for in Retry-After is passed on to the schedule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import quote

import anyio
import httpx

from ticker import __version__, redact
from ticker.config import PollFeed as PollSettings
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import REASONS_KEPT, Reading, Rejection, decode
from ticker.feeds.mapping import Mapped, Mapper
from ticker.feeds.web import DEFAULT_PORTS, ERROR_BYTES, Body, http_error, in_words, tls

REDIRECT_LIMIT = 5


@dataclass(slots=True)
class Exchange:
    """What one request and its response were, for people who look at a feed."""

    status: int
    headers: httpx.Headers
    size: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What one URL gave in a reading: the last response, or in ``error`` why there is none.

    The error has no secret of the config in it, url and body may.
    """

    url: str
    symbol: str | None
    response: httpx.Response | None = None
    body: bytes = b""
    error: str | None = None


Witness = Callable[[Sequence[Heard]], None]
"""Is told of each reading what its URLs gave, in their order, before it is mapped."""


@dataclass(slots=True)
class _Target:
    """One URL: its symbol, what makes the next request conditional, what it gave last."""

    url: str
    symbol: str | None
    validators: dict[str, str] = field(default_factory=dict)
    rows: Rows = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    remembered: Rows = field(default_factory=dict)
    answered: bool = False
    heard: Heard | None = None


class PollFeed:
    """Polls as ``settings`` say. ``transport`` replaces the network; ``witness`` may listen."""

    def __init__(
        self,
        settings: PollSettings,
        transport: httpx.AsyncBaseTransport | None = None,
        witness: Witness | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport
        self._witness = witness
        self._client: httpx.AsyncClient | None = None
        self._mapper = Mapper(settings, single=settings.per_symbol)
        self._targets = [
            _Target(settings.url.replace("{symbol}", quote(symbol, safe="")), symbol)
            for symbol in settings.symbols
        ] or [_Target(settings.url, None)]
        self._permits = asyncio.Semaphore(settings.concurrency)
        self.exchanges: list[Exchange] = []
        self.received = 0
        """Bytes of content that came, as they came: compressed where the source compresses."""

    @property
    def refused(self) -> set[str]:
        """Symbols that the last documents have, but in rows that cannot be read."""
        return {
            symbol for target in self._targets for symbol in target.refused - target.rows.keys()
        }

    async def read(self, now: float) -> Reading | None:  # noqa: ARG002 - the network keeps time
        """Poll every URL; fail only when none of them gave anything."""
        self.exchanges = []
        deadline = asyncio.get_running_loop().time() + self._settings.deadline
        outcomes = await asyncio.gather(
            *(self._poll(target, deadline) for target in self._targets), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, BaseException) and not isinstance(outcome, FeedError):
                raise outcome
        if self._witness is not None:
            self._witness([t.heard for t in self._targets if t.heard is not None])
        errors = [outcome for outcome in outcomes if isinstance(outcome, FeedError)]
        if len(errors) == len(self._targets):
            raise self._whole_failure(errors)
        if not errors and not any(outcomes):
            return None
        return self._reading(outcomes, errors)

    def adjust(self, settings: PollSettings) -> None:
        """Go on with settings that differ only in when it is read."""
        self._settings = settings

    def memory(self, *, settled: bool) -> Mapping[str, Any]:
        """Return what makes the next request conditional, where there is one URL.

        Only when what it gave is shown: "not modified" is about nothing else.
        """
        (first, *others) = self._targets
        if others or not settled:
            return {}
        return {"validators": first.validators, "refused": sorted(first.refused)}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - the network keeps time
        """Go on with rows that another process has read."""
        for target in self._targets:
            if target.symbol is None:
                target.rows = dict(rows)
                target.validators = dict(memory.get("validators", {})) if rows else {}
                target.answered = bool(target.validators)
                target.refused = set(memory.get("refused", ())) if rows else set()
            elif target.symbol in rows:
                target.rows = {target.symbol: rows[target.symbol]}
            target.remembered = self._mapper.remembered({}, target.rows)

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    def _reading(
        self, outcomes: Sequence[Mapped | BaseException | None], errors: Sequence[FeedError]
    ) -> Reading:
        """Put together what the targets gave; those that gave nothing new keep what they had."""
        reading = Reading(complete=self._mapper.removes_missing)
        rejections: list[Rejection] = []
        for target, outcome in zip(self._targets, outcomes, strict=True):
            reading.rows.update(target.rows)
            reading.kept |= target.refused - target.rows.keys()
            if isinstance(outcome, FeedError):
                reading.kept.update(target.rows or ([target.symbol] if target.symbol else []))
                rejections.append(Rejection(target.symbol or target.url, outcome.why))
            elif isinstance(outcome, Mapped):
                reading.rejected += outcome.rejected
                rejections += outcome.rejections
        reading.rejections = [self._said(rejection) for rejection in rejections[:REASONS_KEPT]]
        if errors:
            reading.trouble = (
                f"{len(errors)} of {len(outcomes)} requests failed; first: {errors[0]}"
            )
            reading.retry_after = _longest(errors)
        return reading

    def _whole_failure(self, errors: Sequence[FeedError]) -> FeedError:
        if len(errors) == 1:
            return errors[0]
        why = f"all {len(errors)} requests failed; first: {errors[0]}"
        return FeedError(why, retry_after=_longest(errors))

    async def _poll(self, target: _Target, deadline: float) -> Mapped | None:
        """Read one URL: None when it confirmed what it said before. Raises FeedError.

        No secret of the config is in the error's words, even where the source repeats it.
        """
        try:
            return await self._ask(target, deadline)
        except FeedError as error:
            raise FeedError(self.redacted(error.why), retry_after=error.retry_after) from None

    async def _ask(self, target: _Target, deadline: float) -> Mapped | None:
        try:
            response, body = await self._answer(target, deadline)
        except FeedError as error:
            self._note(target, error=self.redacted(error.why))
            raise
        self._note(target, response, body)
        if response.status_code == HTTPStatus.NOT_MODIFIED and target.answered:
            return None
        if response.status_code != HTTPStatus.OK:
            raise http_error(response, body)
        # in a thread: a large document must not hold up the viewers
        mapped = await asyncio.to_thread(self._map, target, body, response)
        before = target.rows.keys() | target.refused
        target.refused = mapped.refused
        if mapped.unnamed:  # which row it was nobody knows, so none of those missing may go
            target.refused = target.refused | (before - mapped.rows.keys())
        target.rows, target.answered = mapped.rows, True
        target.remembered = self._mapper.remembered(target.remembered, mapped.rows)
        # remembered only now: a document that could not be used must not be "not modified"
        target.validators = {
            request: response.headers[answer]
            for answer, request in (
                ("etag", "If-None-Match"),
                ("last-modified", "If-Modified-Since"),
            )
            if answer in response.headers
        }
        return mapped

    def _note(
        self,
        target: _Target,
        response: httpx.Response | None = None,
        body: bytes = b"",
        error: str | None = None,
    ) -> None:
        """Keep what came for the witness, where there is one: bodies are large."""
        if self._witness is not None:
            target.heard = Heard(target.url, target.symbol, response, body, error)

    async def _answer(self, target: _Target, deadline: float) -> tuple[httpx.Response, bytes]:
        """Return what the URL answers, in time. Raises FeedError when nothing can be had."""
        try:
            # not asyncio.timeout: httpcore's clean-up is shielded only from anyio's cancellation
            with anyio.fail_after(deadline - asyncio.get_running_loop().time()):
                async with self._permits:
                    return await self._fetch(target)
        except (TimeoutError, httpx.TimeoutException):
            raise FeedError(f"no answer within {self._settings.deadline:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as error:
            raise FeedError(in_words(error)) from None

    def _map(self, target: _Target, body: bytes, response: httpx.Response) -> Mapped:
        encoding = self._settings.encoding or response.charset_encoding
        document: Any
        if self._settings.format == "csv":
            document = decode.table(body, self._settings.delimiter, encoding)
        else:
            document = decode.json(body, encoding)
        return self._mapper.map(document, before=target.remembered, symbol=target.symbol)

    async def _fetch(self, target: _Target) -> tuple[httpx.Response, bytes]:
        """Request the URL, following redirects as configured; bounded in size."""
        if self._client is None:
            self._client = self._new_client()
        url = httpx.URL(target.url)
        headers = self._settings.headers | target.validators
        loop = asyncio.get_running_loop()
        for _ in range(REDIRECT_LIMIT + 1):
            started = loop.time()
            async with self._client.stream("GET", url, headers=headers) as response:
                body = await self._body(response)
            elapsed = loop.time() - started
            self.exchanges.append(
                Exchange(response.status_code, response.headers, len(body), elapsed)
            )
            if not response.has_redirect_location:
                return response, body
            origin, url = _origin(url), self._redirected(url, response)
            if _origin(url) != origin:
                headers = {}  # what the config says to one host is not for another
        raise FeedError(f"more than {REDIRECT_LIMIT} redirects")

    def _redirected(self, url: httpx.URL, response: httpx.Response) -> httpx.URL:
        """Return where a redirect leads, if the config lets it."""
        target = url.join(response.headers["location"])
        allowed = self._settings.redirects
        words = f"HTTP {response.status_code} redirects to {target.scheme}://{target.host}"
        if target.scheme not in DEFAULT_PORTS:
            raise FeedError(words)
        if allowed == "none" or (allowed == "same-host" and _origin(url) != _origin(target)):
            raise FeedError(f"{words}; `redirects: {allowed}` does not allow it")
        return target

    async def _body(self, response: httpx.Response) -> bytes:
        """Return the content, never more than a byte above the limit; of an error its beginning."""
        fails = response.status_code != HTTPStatus.OK
        limit = min(ERROR_BYTES, self._settings.max_bytes) if fails else self._settings.max_bytes
        announced = response.headers.get("content-length", "")
        if not fails and announced.isdigit() and int(announced) > limit:
            raise FeedError(f"response of {int(announced):,} bytes; max_bytes is {limit:,}")
        body = Body(response.headers.get("content-encoding", ""), limit)
        async for chunk in response.aiter_raw():
            self.received += len(chunk)
            if not body.add(chunk):
                if fails:
                    break
                raise FeedError(f"response of more than {limit:,} bytes, which is max_bytes")
        if not fails:
            body.finish()
        return bytes(body.content[:limit])

    def redacted(self, words: str) -> str:
        """Return ``words`` without any value that the config sends to the source."""
        return redact.without(words, self._settings.sent)

    def _said(self, rejection: Rejection) -> Rejection:
        """Return a rejection without secrets; symbols may stand in the url, and are none."""
        symbol = redact.without(rejection.symbol, self._settings.keys)
        return Rejection(symbol, self.redacted(rejection.why))

    def _new_client(self) -> httpx.AsyncClient:
        settings = self._settings
        return httpx.AsyncClient(
            headers={"User-Agent": f"ticker/{__version__}", "Accept-Encoding": "gzip, deflate"},
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # keeps none
            timeout=settings.deadline,
            limits=httpx.Limits(max_connections=settings.concurrency),
            follow_redirects=False,
            transport=self._transport,
            verify=tls(),
        )


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port or DEFAULT_PORTS.get(url.scheme)


def _longest(errors: Sequence[FeedError]) -> float | None:
    return max((e.retry_after for e in errors if e.retry_after is not None), default=None)
