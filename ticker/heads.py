"""Requests whose heads are bounded, in bytes and in time; uvicorn takes them of any length and age.

A head is the request line and the headers. Trailers, and what else is no body, count like it. Of
upgrades to WebSocket those are refused that uvicorn takes although RFC 6455 forbids it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from httptools import HttpParserInvalidURLError, parse_url
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES = 65_536
"""What may come until a head is complete, give or take what is read at once."""

HEAD_SECONDS = 10.0
"""How long a head may take, from the connect or the first byte after an answer on."""

WEBSOCKET_VERSION = b"13"
UPGRADE = b"upgrade: websocket\r\nsec-websocket-version: " + WEBSOCKET_VERSION + b"\r\n"
"""What is said with 426 (RFC 9110, 15.5.22; RFC 6455, 4.4)."""


class HeadProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; ends connections that send a head without end, or none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unread = 0  # bytes since a head ended or a piece of a body came
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel()
        super().connection_lost(exc)
        self._let_go()

    def handle_websocket_upgrade(self) -> None:
        """Leave the connection to another protocol."""
        super().handle_websocket_upgrade()
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Read; refuse a head that is too long, and wait for one only as long as may be."""
        self._unread += len(data)
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return  # upgraded by now, or refused already
        if self._unread > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._idle and self._deadline is None:
            self._wait()

    def on_headers_complete(self) -> None:
        """Take note that a head is complete."""
        self._unread = 0
        self._cancel()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take note of what is no head."""
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Take note that the next head may begin."""
        self._unread = 0
        super().on_message_complete()

    @property
    def _idle(self) -> bool:
        """Whether no request is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _let_go(self) -> None:
        """Be freed at once: the parser, and what answers, hold us as we hold them.

        The collector looks seldom here, so thousands who come and go would leave much to it.
        """
        self.parser = self.cycle = None  # type: ignore[assignment] # nothing comes any more

    def _wait(self) -> None:
        self._deadline = self.loop.call_later(HEAD_SECONDS, self._late)

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self._idle:  # browsers connect ahead, too, and mind an end less than an answer
            self.transport.close()

    def handle_websocket_upgrade(self) -> None:
        """Hand an upgrade on, with an address as the endpoint knows it, or refuse it."""
        refusal = forbidden(self.scope["http_version"], self.headers)
        if refusal is not None:
            self._refuse(refusal, UPGRADE if refusal is HTTPStatus.UPGRADE_REQUIRED else b"")
            return
        if not self.url.startswith(b"/"):  # a whole URL (RFC 9112, 3.2.2)
            try:
                parsed = parse_url(self.url)
            except HttpParserInvalidURLError:
                self._refuse(HTTPStatus.BAD_REQUEST)
                return
            self.url = (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
        super().handle_websocket_upgrade()

    def _refuse(self, status: HTTPStatus, headers: bytes = b"") -> None:
        """Say why a head is not taken, unless another answer is on its way."""
        if self._idle:
            lines = b"content-length: 0\r\nconnection: close\r\n"
            self.transport.write(STATUS_LINE[status] + headers + lines + b"\r\n")
        self.transport.close()


def forbidden(version: str, headers: Iterable[tuple[bytes, bytes]]) -> HTTPStatus | None:
    """Return why an upgrade of an HTTP ``version`` must not be taken (RFC 6455, 4.2), if so."""
    named: dict[bytes, list[bytes]] = {b"host": [], b"sec-websocket-version": []}
    for name, value in headers:
        if name in named:
            named[name].append(value)
    if version == "1.0":
        return HTTPStatus.HTTP_VERSION_NOT_SUPPORTED
    if len(named[b"host"]) != 1 or len(named[b"sec-websocket-version"]) > 1:
        return HTTPStatus.BAD_REQUEST
    if named[b"sec-websocket-version"] != [WEBSOCKET_VERSION]:
        return HTTPStatus.UPGRADE_REQUIRED
    return None
