"""The two ways to a viewer's WebSocket: ready-made frames under uvicorn, and plain ASGI `send`.

`FrameProtocol` is uvicorn's sans-I/O WebSocket protocol, offering itself to the application in
``scope["extensions"]`` so that a frame goes straight to the socket's transport. Any other server
gets `SendConnection`. Both are a ``viewer.Connection``.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState

from ticker.protocol import CloseCode, Frame

EXTENSION = "ticker.frames"

WRITE_HIGH = 64 * 1024
"""Bytes waiting in the process above which a viewer counts as not ready."""

UNSENT_LOW = 16 * 1024
"""TCP_NOTSENT_LOWAT: bytes the kernel takes before they can be sent. What waits there is stale by
the time it leaves, so little may; what waits here is skipped instead."""

CLOSE_SECONDS = 2.0
"""How long a peer may take to answer a close before the connection is cut."""

Send = Callable[[dict[str, Any]], Awaitable[None]]


def _nothing() -> None:
    """Do nothing: nobody listens yet."""


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, taking ready frames. Deflate must be off (`Config`)."""

    writable_now = True

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what may wait, in the process and in the kernel."""
        super().connection_made(transport)
        self.on_writable: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing
        self.transport.set_write_buffer_limits(high=WRITE_HIGH)
        raw = transport.get_extra_info("socket")
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        if raw is not None and option is not None and raw.family != socket.AF_UNIX:
            raw.setsockopt(socket.IPPROTO_TCP, option, UNSENT_LOW)

    async def run_asgi(self) -> None:
        """Offer the extension, then run the application."""
        extensions = cast("dict[str, Any]", self.scope.setdefault("extensions", {}))
        extensions[EXTENSION] = self
        await super().run_asgi()

    # -- viewer.Connection (`writable` of the base class is an event, so here it has another name)

    def pause_writing(self) -> None:
        """Take note that the transport wants no more."""
        super().pause_writing()
        self.writable_now = False

    def resume_writing(self) -> None:
        """Take note that the transport wants more, and tell the viewer."""
        super().resume_writing()
        self.writable_now = True
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the viewer at once: the application learns of it only when it next reads."""
        super().connection_lost(exc)
        self.writable_now = False
        self.on_lost()

    def keepalive_timeout(self) -> None:
        """End a peer that does not answer pings, with our close code instead of 1011."""
        self.pong_timer = None
        self.pending_ping_payload = None
        self.finish(CloseCode.SILENT)

    def finish(self, code: CloseCode) -> None:
        """Send a close frame and cut the connection soon, whether or not the peer reads."""
        if self.close_sent or self.transport.is_closing():
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": int(code)})
        try:
            self.conn.send_close(int(code), code.reason)
        except InvalidState:  # the peer is closing, too
            self.transport.abort()
            return
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.read_paused:  # the peer's answer must be read
            self.read_paused = False
            self.transport.resume_reading()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)


class FrameConnection:
    """A viewer's connection over `FrameProtocol`."""

    __slots__ = ("_protocol", "_transport")

    def __init__(self, protocol: FrameProtocol) -> None:
        self._protocol = protocol
        self._transport = protocol.transport

    @property
    def writable(self) -> bool:
        """Whether the transport wants more."""
        return self._protocol.writable_now

    def write(self, frame: Frame) -> None:
        """Write the ready bytes; never waits."""
        self._transport.write(frame.websocket)

    async def drain(self) -> None:
        """Wait until the transport wants more, or the connection is lost."""
        await self._protocol.writable.wait()

    def pending(self) -> int:
        """Return the bytes that wait in the process."""
        return self._transport.get_write_buffer_size()

    def close(self, code: CloseCode) -> None:
        """Send a close frame and cut the connection soon."""
        self._protocol.finish(code)

    @property
    def on_writable(self) -> Callable[[], None]:
        """Called when the transport wants more."""
        return self._protocol.on_writable

    @on_writable.setter
    def on_writable(self, call: Callable[[], None]) -> None:
        self._protocol.on_writable = call

    @property
    def on_lost(self) -> Callable[[], None]:
        """Called when the connection is lost."""
        return self._protocol.on_lost

    @on_lost.setter
    def on_lost(self, call: Callable[[], None]) -> None:
        self._protocol.on_lost = call


class SendConnection:
    """A viewer's connection over plain ASGI: one message on its way at a time."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._sending: asyncio.Task[None] | None = None
        self._closing: CloseCode | None = None
        self.writable = True
        self.on_writable: Callable[[], None] = _nothing
        self.on_lost: Callable[[], None] = _nothing

    def write(self, frame: Frame) -> Awaitable[None]:
        """Begin to send; the result is done when the server has taken the message."""
        return self._begin({"type": "websocket.send", "text": frame.string})

    async def drain(self) -> None:
        """Wait until the message on its way has been taken."""
        if self._sending is not None:
            await asyncio.wait({self._sending})

    def pending(self) -> int:
        """Return 0: the server does not tell."""
        return 0

    def close(self, code: CloseCode) -> None:
        """Send the close as soon as the server takes it, and give up after a while."""
        if self._closing is not None:
            return
        self._closing = code
        if self._sending is None:
            self._begin_close()
        else:  # behind a peer that does not read nothing is sent any more
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._sending.cancel)

    def _begin_close(self) -> None:
        code = cast("CloseCode", self._closing)
        message = {"type": "websocket.close", "code": int(code), "reason": code.reason}
        closing = self._begin(message)
        asyncio.get_running_loop().call_later(CLOSE_SECONDS, closing.cancel)

    def _begin(self, message: dict[str, Any]) -> asyncio.Task[None]:
        self.writable = False
        self._sending = asyncio.ensure_future(self._deliver(message))
        self._sending.add_done_callback(self._done)
        return self._sending

    async def _deliver(self, message: dict[str, Any]) -> None:
        await self._send(message)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._sending = None
        if task.cancelled() or task.exception() is not None:
            self.on_lost()
            return
        if self._closing is not None:
            return
        self.writable = True
        self.on_writable()


def connection(scope: dict[str, Any], send: Send) -> FrameConnection | SendConnection:
    """Return the best connection that the server of ``scope`` has, once it has been accepted."""
    protocol = scope.get("extensions", {}).get(EXTENSION)
    return FrameConnection(protocol) if protocol is not None else SendConnection(send)
