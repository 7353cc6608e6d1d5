"""Ready-made frames: the fast way to a viewer's WebSocket, under uvicorn.

`FrameProtocol` is uvicorn's sans-I/O WebSocket protocol, offering itself to the application in
``scope["extensions"]`` so that a frame goes straight to the socket. Any other server is served by
`plain.SendConnection`. Both are a ``viewer.Connection``.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, Sequence
from typing import Any, cast

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.exceptions import InvalidState
from websockets.extensions import Extension
from websockets.extensions.permessage_deflate import (
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import CloseCode as WebSocketCloseCode
from websockets.frames import Frame as WebSocketFrame
from websockets.typing import ExtensionParameter

from ticker.deflate import ANYWHERE, LEAVE_FROM, OUTSIDE
from ticker.frame import Frame, is_compressed
from ticker.listener import UNSENT_LOW
from ticker.plain import CLOSE_SECONDS, Send, SendConnection
from ticker.protocol import CloseCode
from ticker.traffic import Traffic
from ticker.turns import Turns
from ticker.viewer import NO_SOCKET, Watch, nobody

EXTENSION = "ticker.frames"

BYTES_SENT = struct.Struct("@200xQ")
"""Where Linux (4.19 and newer) has tcpi_bytes_sent in its TCP_INFO (linux/tcp.h)."""

BAD_REQUEST = b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"

PONG = b"\x8a"
"""How every frame begins that answers a ping."""

WRITE_HIGH = 0
"""Bytes waiting in the process above which a viewer counts as not ready: one that waits for its
link skips to the present. So while a viewer is ready nothing waits before it, and frames may go
straight to its socket."""

PIECE_BYTES = 512
"""What is parsed at once of what a viewer says: most messages, or 85 of the smallest frames."""

MOST_FRAGMENTS = 64
"""Fragments of a message that are kept apart: they may be empty, and as many as there are."""


class FrameProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, taking ready frames, with our own way to deflate.

    uvicorn's way (``ws_per_message_deflate``) must be off. What the loop has read is parsed piece
    by piece, in turns, and not while a message waits to be carried out.
    """

    writable_now = True
    _owed_pong = b""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.conn.available_extensions = [DEFLATE]
        self._turns: Turns = self.app_state["turns"]
        self._rest = bytearray()  # what the loop has read and is not parsed yet
        self._waits = False  # for a turn to parse it
        self._held = False  # whether no more is read because of it

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Bound what may wait, in the process and in the kernel."""
        super().connection_made(transport)
        self.on_full: Callable[[], None] = nobody
        self.on_writable: Callable[[], None] = nobody
        self.on_lost: Callable[[str], None] = nobody
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

    def data_received(self, data: bytes) -> None:
        """Read the upgrade at once, all else in turns."""
        if not self.handshake_initiated:
            self._read_upgrade(data)
        elif not self.transport.is_closing():
            self._rest += data
            self._go_on()

    def _read_upgrade(self, data: bytes) -> None:
        """Answer an upgrade that cannot be read, too, which uvicorn leaves hanging.

        One that is too long has an answer, one with a body has none.
        """
        super().data_received(data)
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            self.handshake_complete = self.close_sent = True
            self.transport.write(b"".join(self.conn.data_to_send()) or BAD_REQUEST)
            self.transport.close()

    def _go_on(self) -> None:
        """Parse what came, now or when it is this one's turn; until then nothing more is read."""
        if self._rest and not self._waits and not self.read_paused:
            address = self.client[0] if self.client else ""
            self._waits = not self._turns.do(address, self._piece)
        if self._rest and not self.transport.is_closing():
            self._held = True
            self.transport.pause_reading()

    def _piece(self) -> bool:
        """Parse one piece; return whether there is more that may be parsed now."""
        piece = bytes(self._rest[:PIECE_BYTES])
        del self._rest[:PIECE_BYTES]
        if piece:
            try:
                super().data_received(piece)
            except Exception:  # as the loop does with what fails while it reads
                self.transport.abort()
                raise
        if self.transport.is_closing():
            self._rest.clear()
        elif self._held and not self._rest and not self.read_paused:
            self._held = False
            self.transport.resume_reading()
        self._waits = bool(self._rest) and not self.read_paused
        return self._waits

    def handle_cont(self, event: WebSocketFrame) -> None:
        """Take a fragment; a flood of them, of whatever size, is as long as the message."""
        super().handle_cont(event)
        if len(self.frames) > MOST_FRAGMENTS:
            self.frames = [b"".join(self.frames)]

    async def receive(self) -> Any:
        """Return what the viewer said, and read on."""
        message = await super().receive()
        self._go_on()
        return message

    async def send(self, message: Any) -> None:
        """Send; a refusal of the upgrade completes it, or uvicorn would log each as an error."""
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            self.handshake_complete = True

    # -- viewer.Connection (`writable` of the base class is an event, so here it has another name)

    def pause_writing(self) -> None:
        """Take note that the transport wants no more, and tell the viewer."""
        super().pause_writing()
        self.writable_now = False
        self.on_full()

    def resume_writing(self) -> None:
        """Take note that the transport wants more, and tell the viewer."""
        if self.transport.is_closing():
            return  # nothing more is sent; the loss ends every wait
        super().resume_writing()
        self.writable_now = True
        pong, self._owed_pong = self._owed_pong, b""
        if pong:
            self.transport.write(pong)
        if self.writable_now:
            self.on_writable()

    def handle_close(self, event: WebSocketFrame) -> None:
        """Send nothing more to a peer that says goodbye."""
        self.pause_writing()
        super().handle_close(event)

    def handle_parser_exception(self) -> None:
        """Send nothing more to a peer that broke the rules but the close (RFC 6455, 5.5.1)."""
        self.pause_writing()
        super().handle_parser_exception()

    def send_receive_event_to_app(self) -> None:
        """Hand on a message; end a peer whose text is none, which uvicorn would log as a defect."""
        if self.curr_msg_data_type == "text" and not self.close_sent:
            try:
                b"".join(self.frames).decode()
            except UnicodeDecodeError:
                self.frames = []
                self.conn.fail(WebSocketCloseCode.INVALID_DATA)
                self.handle_parser_exception()
                return
        super().send_receive_event_to_app()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the viewer at once: the application learns of it only when it next reads."""
        super().connection_lost(exc)
        self._rest.clear()
        self.writable_now = False
        self.on_lost("connection lost")
        if hasattr(self, "scope"):  # we hold each other; without that cycle we are gone at once
            cast("dict[str, Any]", self.scope["extensions"]).clear()

    def keepalive_timeout(self) -> None:
        """End a peer that does not answer pings, with our close code instead of 1011."""
        self.pong_timer = None
        self.pending_ping_payload = None
        if not self.writable_now:  # the ping waits behind other data: that is for the stall timeout
            self.schedule_ping()
            return
        self.finish(CloseCode.SILENT)
        self.on_lost(CloseCode.SILENT.reason)

    def handle_ping(self) -> None:
        """Answer a ping (RFC 6455, 5.5.3).

        Of a peer that does not read, the latest is answered, once it reads: pongs would pile up.
        """
        answers = self.conn.data_to_send()  # to all frames that came at once
        if not self.writable_now:
            *_, self._owed_pong = [self._owed_pong, *(a for a in answers if a[:1] == PONG)]
            answers = [answer for answer in answers if answer[:1] != PONG]
        self.transport.write(b"".join(answers))

    def shutdown(self) -> None:
        """Close at the server's end; who has been sent a close already is cut off in time."""
        if self.close_sent:  # uvicorn would wait for a peer that does not read
            return
        if self.handshake_initiated and not self.handshake_complete:
            return  # its upgrade is about to be refused, in better words than uvicorn's
        try:
            super().shutdown()
        except InvalidState:  # the peer is closing already
            self.transport.close()

    def forget_request(self) -> None:
        """Let go of the upgrade's headers, the larger part of what a quiet connection holds."""
        self.request.headers.clear()
        self.response.headers.clear()
        cast("list[Any]", self.scope["headers"]).clear()

    def finish(self, code: CloseCode) -> None:
        """Send a close frame and cut the connection soon, whether or not the peer reads."""
        if self.close_sent or self.transport.is_closing():
            self.loop.call_later(CLOSE_SECONDS, self.transport.abort)
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
        self._go_on()
        self.close_timer = self.loop.call_later(CLOSE_SECONDS, self.transport.abort)


class SharedDeflateFactory(ServerPerMessageDeflateFactory):
    """Negotiates permessage-deflate so that no viewer needs a compressor or window of its own here.

    Viewers must compress each message on its own; what they ask of us is granted: a smaller window,
    or no context takeover, which means frames compressed on their own. Offers of a window of 8 bits
    are declined, zlib makes none.
    """

    def __init__(self) -> None:
        # the compressor that the base class makes per connection is thrown away: keep it small
        super().__init__(client_no_context_takeover=True, compress_settings={"memLevel": 1})

    def process_request_params(
        self,
        params: Sequence[ExtensionParameter],
        accepted_extensions: Sequence[Extension],
    ) -> tuple[list[ExtensionParameter], SharedDeflate]:
        """Return the answer to an offer. Raises NegotiationError to decline it."""
        answer, agreed = super().process_request_params(params, accepted_extensions)
        return list(answer), SharedDeflate(agreed)


class SharedDeflate(PerMessageDeflate):
    """What was agreed; compresses nothing by itself but whole messages that go past the windows."""

    def __init__(self, agreed: PerMessageDeflate) -> None:
        super().__init__(
            remote_no_context_takeover=True,
            local_no_context_takeover=True,
            remote_max_window_bits=agreed.remote_max_window_bits,
            local_max_window_bits=agreed.local_max_window_bits,
        )
        self.shares = not agreed.local_no_context_takeover


DEFLATE = SharedDeflateFactory()


class FrameConnection:
    """A viewer's connection over `FrameProtocol`: chooses the form of each frame.

    ``_seat`` is the watch that is in step with its channel's shared window, if one is; its
    ``place`` says where (see `deflate`).
    """

    __slots__ = ("_bits", "_protocol", "_seat", "_shares", "_transport", "fd", "traffic")

    kind = "websocket"

    def __init__(self, protocol: FrameProtocol) -> None:
        protocol.forget_request()
        self._protocol = protocol
        self._transport = protocol.transport
        secure = self._transport.get_extra_info("sslcontext") is not None
        self.fd = NO_SOCKET if secure else self._transport.get_extra_info("socket").fileno()
        deflate = next((e for e in protocol.conn.extensions if isinstance(e, SharedDeflate)), None)
        self._bits = deflate.local_max_window_bits if deflate else 0
        self._shares = deflate is not None and deflate.shares
        self._seat: Watch | None = None
        self.traffic = Traffic()

    @property
    def writable(self) -> bool:
        """Whether nothing waits in the transport."""
        return self._protocol.writable_now

    @property
    def compresses(self) -> bool:
        """Whether permessage-deflate was agreed."""
        return self._bits > 0

    def write(self, frame: Frame, watch: Watch | None = None) -> None:
        """Write the ready bytes; never waits. Where that fails the viewer is dropped.

        Nobody knows then how much of them went out: short of memory, it may be anything.
        """
        try:
            data = self._form(frame, watch) if self._bits else frame.websocket
            self.traffic.sent(len(frame.text), len(data), compressed=is_compressed(data))
            self._transport.write(data)
        except Exception:
            self._transport.abort()
            raise

    def write_rest(self, data: bytes, sent: int) -> None:
        """Let the transport send what the socket did not take; it also finds out about errors."""
        try:
            self._transport.write(data[sent:])
        except Exception:  # as above
            self._transport.abort()
            raise

    def _form(self, frame: Frame, watch: Watch | None) -> bytes:
        """Return the smallest form of ``frame`` that the viewer can read where it is."""
        if watch is not None and self._shares and frame.shareable:
            data, before, after, _ = watch.channel.windows.pack(frame, self._bits)
            free = self._seat is None or self._seat is watch
            if before == watch.place or (before == ANYWHERE and free):
                if self._seat is None:
                    watch.channel.windows.sit(self._bits)
                self._seat, watch.place = watch, after
                return data
            self.leave(watch)  # it skipped a frame: until the next fresh start it is outside
        if self._seat is None or len(frame.text) >= LEAVE_FROM:
            alone = frame.alone(self._bits)
            if alone is not None:
                if self._seat is not None:
                    self.leave(self._seat)
                return alone
        return frame.websocket

    def leave(self, watch: Watch) -> None:
        """Step out of the window of the watch's channel, if it is in it."""
        if self._seat is watch:
            watch.channel.windows.rise(self._bits)
            self._seat, watch.place = None, OUTSIDE

    async def drain(self) -> None:
        """Wait until the transport wants more, or the connection is lost."""
        await self._protocol.writable.wait()

    async def closed(self) -> None:
        """Return at once: a close is written when it is asked for."""

    def pending(self) -> int:
        """Return the bytes that wait in the process."""
        return self._transport.get_write_buffer_size()

    def sent(self) -> int | None:
        """Return the bytes that went out, as the kernel counts them; None where it does not."""
        option = getattr(socket, "TCP_INFO", None)
        if option is None:
            return None
        raw = self._transport.get_extra_info("socket")
        try:
            info = raw.getsockopt(socket.IPPROTO_TCP, option, BYTES_SENT.size)
        except (OSError, ValueError):  # gone by now, for uvloop without a number; or no TCP
            return None
        return BYTES_SENT.unpack(info)[0] if len(info) == BYTES_SENT.size else None

    def close(self, code: CloseCode) -> None:
        """Send a close frame and cut the connection soon."""
        self._protocol.finish(code)

    @property
    def on_full(self) -> Callable[[], None]:
        """Called when the transport wants no more."""
        return self._protocol.on_full

    @on_full.setter
    def on_full(self, call: Callable[[], None]) -> None:
        self._protocol.on_full = call

    @property
    def on_writable(self) -> Callable[[], None]:
        """Called when the transport wants more."""
        return self._protocol.on_writable

    @on_writable.setter
    def on_writable(self, call: Callable[[], None]) -> None:
        self._protocol.on_writable = call

    @property
    def on_lost(self) -> Callable[[str], None]:
        """Called when the connection is lost, with the reason."""
        return self._protocol.on_lost

    @on_lost.setter
    def on_lost(self, call: Callable[[str], None]) -> None:
        self._protocol.on_lost = call


def connection(scope: dict[str, Any], send: Send) -> FrameConnection | SendConnection:
    """Return the best connection that the server of ``scope`` has, once it has been accepted."""
    protocol = scope.get("extensions", {}).get(EXTENSION)
    return FrameConnection(protocol) if protocol is not None else SendConnection(send)
