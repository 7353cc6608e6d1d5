"""What feeds that go over the web share: TLS, bodies of bounded size, failures in words."""

from __future__ import annotations

import ssl
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from http import HTTPStatus
from socket import gaierror
from typing import Any

import httpx

from ticker.errors import FeedError
from ticker.feeds import decode
from ticker.feeds.mapping import said

DEFAULT_PORTS = {"http": 80, "https": 443}

ERROR_BYTES = 20_000
"""So much of an error's page is read: its words are in the beginning."""

RETRY_AFTER_LIMIT = 3600.0


class Body:
    """Gathers the content of a body, inflated, and never more than a byte above ``limit``.

    Raises FeedError, about ``what``, where the content encoding is broken or not one of ours.
    """

    def __init__(self, encoding: str, limit: int, what: str = "response") -> None:
        self.content = bytearray()
        self._what = what
        self._begun = False
        self._limit = limit
        self._decompressor = _decompressor(encoding)

    def add(self, chunk: bytes) -> bool:
        """Take the next piece; return whether the content is still within the limit."""
        room = self._limit + 1 - len(self.content)
        self._begun = self._begun or bool(chunk)
        if self._decompressor is None:
            self.content += chunk[:room]
        elif not self._decompressor.eof:  # what comes after the end would be kept in memory
            try:
                self.content += self._decompressor.decompress(chunk, room)
            except zlib.error:
                raise FeedError(f"content encoding of the {self._what} is broken") from None
        return len(self.content) <= self._limit

    def finish(self) -> None:
        """Take it that nothing more comes."""
        if self._decompressor and self._begun and not self._decompressor.eof:
            raise FeedError(f"the compressed {self._what} breaks off")


@cache
def tls() -> ssl.SSLContext:
    """Return the one TLS context: reading the certificates takes tens of milliseconds."""
    return httpx.create_ssl_context()


def _decompressor(encoding: str) -> Any:
    """Return what undoes a content encoding, None for none. Raises FeedError."""
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" | "deflate":
            return zlib.decompressobj(wbits=47)  # gzip or zlib, by its head
        case _:
            raise FeedError(f"content encoding '{encoding}' was not asked for")


def http_error(response: httpx.Response, body: bytes) -> FeedError:
    """Return the error for a status that brings no rows, in the standard's words and its own."""
    code = response.status_code
    try:
        words = f"HTTP {code} {HTTPStatus(code).phrase}"
    except ValueError:
        words = f"HTTP {code}"
    retry_after = retry_seconds(response.headers.get("retry-after"))
    if retry_after is not None:
        words += f", asks to wait {retry_after:.0f} s"
    with suppress(FeedError):
        words += said(decode.json(body))
    return FeedError(words, retry_after=retry_after)


def retry_seconds(header: str | None) -> float | None:
    """Return seconds from a Retry-After header: a number or a date (RFC 9110, 10.2.3)."""
    if not header:
        return None
    try:
        seconds = float(header) if header.strip().isdigit() else _seconds_until(header)
    except (ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), RETRY_AFTER_LIMIT)


def _seconds_until(date: str) -> float:
    moment = parsedate_to_datetime(date)
    return (moment - datetime.now(UTC if moment.tzinfo else None)).total_seconds()


def in_words(error: Exception) -> str:
    """Return in words why a request got no response; never the URL, which may hold a secret."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or cause}"
        if isinstance(cause, gaierror):
            return "host name not found"
        if isinstance(cause, ConnectionRefusedError):
            return "connection refused"
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, httpx.RemoteProtocolError):
        return f"broken HTTP response: {error}"
    if isinstance(error, httpx.ConnectError):
        return "cannot connect"
    return str(error) or type(error).__name__
