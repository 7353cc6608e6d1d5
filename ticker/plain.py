"""Connections that take no ready frames: one message on its way at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from ticker.frame import Frame
from ticker.protocol import CloseCode
from ticker.traffic import Traffic
from ticker.viewer import NO_SOCKET, Watch, nobody

CLOSE_SECONDS = 2.0
"""How long a peer may take to answer a close before the connection is cut."""

Send = Callable[[dict[str, Any]], Awaitable[None]]


class PlainConnection:
    """What such connections have in common: no socket, no window, and nobody who listens yet."""

    fd = NO_SOCKET
    compresses = False

    def __init__(self) -> None:
        self.writable = True
        self.traffic = Traffic()
        self.on_full: Callable[[], None] = nobody
        self.on_writable: Callable[[], None] = nobody
        self.on_lost: Callable[[str], None] = nobody

    def write_rest(self, data: bytes, sent: int) -> None:
        """Never be called: there is no socket to write to."""

    def leave(self, watch: Watch) -> None:
        """Do nothing: there is no window."""

    async def drain(self) -> None:
        """Return at once: there is nothing to wait for."""

    def pending(self) -> int:
        """Return 0: the server does not tell."""
        return 0

    def sent(self) -> None:
        """Return None: the server does not tell."""


class SendConnection(PlainConnection):
    """A viewer's connection over plain ASGI: one message on its way at a time."""

    kind = "websocket"

    def __init__(self, send: Send) -> None:
        super().__init__()
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        self._owner = asyncio.current_task()
        self._closing: CloseCode | None = None
        self._close_sent = False

    def write(self, frame: Frame, watch: Watch | None = None) -> Awaitable[None]:  # noqa: ARG002 - the server compresses
        """Begin to send; the result is done when the server has taken the message."""
        self.traffic.sent(len(frame.text), len(frame.text))
        return self._begin({"type": "websocket.send", "text": frame.string})

    async def drain(self) -> None:
        """Wait until the message on its way has been taken."""
        if self._sending is not None:
            await asyncio.wait({self._sending})

    async def closed(self) -> None:
        """Wait until the server has taken the close, if one is on its way.

        It sends none of ours once the endpoint has returned.
        """
        while self._closing is not None and self._sending is not None:
            await self.drain()

    def close(self, code: CloseCode) -> None:
        """Send the close as soon as the server takes it, and give up after a while."""
        if self._closing is not None:
            return
        self._closing = code
        if self._sending is None:
            self._begin_close()
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._give_up)

    def _begin_close(self) -> None:
        code, self._close_sent = cast("CloseCode", self._closing), True
        self._begin({"type": "websocket.close", "code": int(code), "reason": code.reason})

    def _give_up(self) -> None:
        """Leave a peer that takes nothing: the end of the endpoint ends the connection."""
        if self._sending is not None:
            self._sending.cancel()
            if self._owner is not None:
                self._owner.cancel()

    def _begin(self, message: dict[str, Any]) -> asyncio.Task[None]:
        self.writable = False
        self.on_full()
        self._sending = asyncio.ensure_future(self._deliver(message))
        self._sending.add_done_callback(self._done)
        return self._sending

    async def _deliver(self, message: dict[str, Any]) -> None:
        await self._send(message)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if task.cancelled() or task.exception() is not None:
            self.on_lost("connection lost")
        elif self._closing is None:
            self.writable = True
            self.on_writable()
        elif not self._close_sent:
            self._begin_close()
