"""Requests whose heads are bounded, in bytes and in time; uvicorn takes them of any length and age.

A head is the request line and the headers. Trailers, and what else is no body, count like it. Of
upgrades to WebSocket those are refused that uvicorn takes although RFC 6455 forbids it. All is read
and answered in turns (`turns.py`), so that viewers do not wait for strangers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from http import HTTPStatus
from typing import Any

from httptools import HttpParserInvalidURLError, parse_url
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT, FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)

from ticker.turns import TURN_SECONDS, Turns

HEAD_BYTES = 65_536
"""What may come until a head is complete, give or take what is read at once."""

HEAD_SECONDS = 10.0
"""How long a head may take, from the connect or the first byte after an answer on."""

WEBSOCKET_VERSION = b"13"
UPGRADE = b"upgrade: websocket\r\nsec-websocket-version: " + WEBSOCKET_VERSION + b"\r\n"
"""What is said with 426 (RFC 9110, 15.5.22; RFC 6455, 4.4)."""

PIECE_BYTES = 2_048
"""What is parsed at once: a hundred of the shortest requests, or 0.2 ms of headers."""

UPGRADE_SECONDS = 0.0004
"""What comes of an upgrade, about."""

MOST_IDLE = 1_000
"""Connections for which nothing is being done: that have not sent a head, wait for their turn, or
have not read their answer. Of more, those go that were so for longer than `IDLE_SECONDS`."""

IDLE_SECONDS = 1.0
"""How long each of them may at least be so, however many there are."""

UNREAD_BYTES = 64_000_000
"""Bytes of answers that may wait to be read, in all."""


class Strangers:
    """Connections over HTTP for which nothing is being done, the longest first: a bounded number.

    Where there are too many the one that has been so for longest is ended: those who mean it are
    served within a moment, so it is hardly one of them.
    """

    def __init__(self) -> None:
        self._idle: dict[HeadProtocol, float] = {}
        self._unread: dict[HeadProtocol, int] = {}

    def add(self, stranger: HeadProtocol, now: float) -> None:
        """Take note that nothing is being done for ``stranger`` from ``now`` on."""
        self._idle.pop(stranger, None)
        self._idle[stranger] = now
        while len(self._idle) > MOST_IDLE:
            longest, since = next(iter(self._idle.items()))
            if now - since <= IDLE_SECONDS:
                return  # many came at once, as after a restart: they are about to speak
            self._end(longest)

    def serve(self, stranger: HeadProtocol) -> None:
        """Take note that something is being done for ``stranger``."""
        self._idle.pop(stranger, None)

    def remove(self, stranger: HeadProtocol) -> None:
        """Take note that ``stranger`` is gone, or no stranger any more."""
        self._idle.pop(stranger, None)
        self._unread.pop(stranger, None)

    def owe(self, stranger: HeadProtocol, size: int) -> None:
        """Take note that so many bytes of an answer wait for ``stranger`` to read."""
        self._unread.pop(stranger, None)
        if not size:
            return
        self._unread[stranger] = size
        while sum(self._unread.values()) > UNREAD_BYTES:
            self._end(next(iter(self._unread)))

    def _end(self, stranger: HeadProtocol) -> None:
        self.remove(stranger)
        stranger.transport.abort()


class HeldFlow(FlowControl):
    """Reads on, whoever asks for it, only when nothing of the ``rest`` waits to be parsed.

    uvicorn reads on as often as an application asks for more of a body, of which it had a piece.
    """

    def __init__(self, transport: asyncio.Transport, rest: bytearray) -> None:
        super().__init__(transport)
        self._rest = rest

    def resume_reading(self) -> None:
        """Read on, unless something waits."""
        if not self._rest:
            super().resume_reading()


class HeadProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; ends connections that send a head without end, or none.

    What the loop has read is parsed piece by piece, and not while an earlier request waits.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._turns: Turns = self.app_state["turns"]
        self._strangers: Strangers = self.app_state["strangers"]
        self._address = ""
        self._rest = bytearray()  # what the loop has read and is not parsed yet
        self._waits = False  # for a turn to parse it
        self._unread = 0  # bytes since a head ended or a piece of a body came
        self._answered: RequestResponseCycle | None = None  # begun last; ``cycle`` was read last
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override] # as uvicorn has it
        """Begin to wait for a head."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport, self._rest)
        self._address = self.client[0] if self.client else ""
        self._strangers.add(self, self.loop.time())
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing more."""
        self._cancel()
        self._rest.clear()
        self._strangers.remove(self)
        if self._answered is not None:  # uvicorn tells the one that was read last
            self._answered.disconnected = True
            self._answered.message_event.set()
        super().connection_lost(exc)
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Read in turns."""
        self._unset_keepalive_if_required()
        self._rest += data
        self._go_on()

    def _go_on(self) -> None:
        """Parse what came, now or when it is this one's turn; until then nothing more is read."""
        if self._rest and not self._waits and not self.pipeline:
            self._waits = not self._turns.do(self._address, self._piece)
        if self._rest and self.transport.get_protocol() is self:
            self.flow.pause_reading()

    def _piece(self) -> bool:
        """Parse one piece; return whether there is more that may be parsed now."""
        if self.transport.is_closing():  # since it began to wait for its turn
            self._rest.clear()
        piece = bytes(self._rest[:PIECE_BYTES])
        del self._rest[:PIECE_BYTES]
        if piece:
            try:
                self._parse(piece)
            except Exception:  # as the loop does with what fails while it reads
                self.transport.abort()
                raise
        if self.transport.is_closing() or self.transport.get_protocol() is not self:
            self._rest.clear()  # upgraded by now, or refused already
        elif not self._rest and not self._is_full:
            self.flow.resume_reading()
        self._waits = bool(self._rest) and not self.pipeline
        return self._waits

    @property
    def _is_full(self) -> bool:
        """Whether what came before must be taken first."""
        return bool(self.pipeline) or (not self._idle and len(self.cycle.body) > HIGH_WATER_LIMIT)

    def _parse(self, data: bytes) -> None:
        """Refuse a head that is too long, and wait for one only as long as may be."""
        self._unread += len(data)
        super().data_received(data)
        if self.transport.get_protocol() is not self or self.transport.is_closing():
            return
        if self._unread > HEAD_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self._idle and self._deadline is None:
            self._wait()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Answer a request when it is its turn."""
        self._answered = cycle

        def start() -> bool:
            if not cycle.disconnected:
                self._strangers.serve(self)
                if not self.flow.write_paused:  # else this answer, too, waits until it reads
                    self._strangers.owe(self, 0)
                HttpToolsProtocol._start_asgi_task(self, cycle, app)
            return False

        self._turns.do(self._address, start, TURN_SECONDS)

    def on_response_complete(self) -> None:
        """Go on with what came meanwhile, once the answer is written."""
        self._strangers.add(self, self.loop.time())
        self._strangers.owe(self, self.transport.get_write_buffer_size())
        super().on_response_complete()
        if not self.transport.is_closing():
            self._go_on()

    def resume_writing(self) -> None:
        """Take note that the answer was read, nearly to its end."""
        self._strangers.owe(self, 0)
        super().resume_writing()

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
        self.pipeline.clear()
        self.parser = self.cycle = self._answered = None  # type: ignore[assignment] # nothing comes any more

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
        if not self._idle:  # the answer under way would be written among the frames
            self.transport.close()
            return
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
        self._turns.charge(UPGRADE_SECONDS)
        self._strangers.remove(self)
        self._rest.clear()  # nothing may come before the answer (RFC 6455, 4.1)
        self.flow.resume_reading()  # it may have been held until this one's turn
        super().handle_websocket_upgrade()
        self._let_go()

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
