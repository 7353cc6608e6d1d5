"""The live endpoint ``/ws``: a bare ASGI application, from the upgrade to the last message."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from ticker import protocol, transport
from ticker.hub import LOST, Hub, Refused
from ticker.plain import SendConnection
from ticker.protocol import BadMessage, CloseCode, ErrorCode
from ticker.transport import FrameConnection
from ticker.viewer import Viewer

RETRY_AFTER = 10
"""Seconds after which a refused viewer may come back."""


class WebSocketEndpoint:
    """Serves viewers of ``hub``. Mounted, not decorated: half the cost per connection."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run one connection."""
        await receive()  # websocket.connect
        if self._hub.full:
            self._hub.refuse()
            await _refuse(scope, send)
            return
        offered = protocol.SUBPROTOCOL in scope.get("subprotocols", ())
        subprotocol = protocol.SUBPROTOCOL if offered else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        connection = transport.connection(scope, send)
        viewer = self._hub.join(connection)
        try:
            await self._begin(viewer, connection, scope["query_string"])
            await self._listen(viewer, connection, receive)
        except asyncio.CancelledError:
            if viewer in self._hub.viewers:
                raise
            # otherwise it was ended, and its server would not send the close
        finally:
            self._hub.leave(viewer)

    async def _begin(
        self, viewer: Viewer, connection: FrameConnection | SendConnection, query_string: bytes
    ) -> None:
        """Subscribe to what the URL asks for."""
        query = parse_qs(query_string.decode("latin-1"))
        boards = list(dict.fromkeys(query.pop("board", [])))
        options = {name: texts[0] for name, texts in query.items()}
        try:
            for wanted in protocol.parse_query(options, boards):
                await self._writable(viewer, connection)
                self._subscribe(viewer, wanted)
        except BadMessage as error:
            await self._writable(viewer, connection)
            self._hub.reply(viewer, protocol.error(ErrorCode.BAD_MESSAGE, str(error)))

    async def _listen(
        self, viewer: Viewer, connection: FrameConnection | SendConnection, receive: Any
    ) -> None:
        """Carry out what the viewer says until it leaves."""
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                self._hub.leave(viewer, event.get("code", LOST))
                return
            await self._writable(viewer, connection)  # who does not read is not listened to either
            text = event.get("text")
            try:
                if text is None:
                    raise BadMessage("expected a text message, got a binary one", fatal=True)
                self._carry_out(viewer, protocol.parse(text))
            except BadMessage as error:
                self._hub.reply(viewer, protocol.error(ErrorCode.BAD_MESSAGE, str(error)))
                if error.fatal:
                    await self._writable(viewer, connection)
                    self._hub.end(viewer, CloseCode.BAD_MESSAGE)
                    return

    async def _writable(self, viewer: Viewer, connection: FrameConnection | SendConnection) -> None:
        """Wait until the viewer can be answered, or has left."""
        while not connection.writable and viewer in self._hub.viewers:
            await connection.drain()
            await asyncio.sleep(0)  # lets a loss be told, where the wait ended because of one

    def _carry_out(self, viewer: Viewer, message: protocol.ViewerMessage) -> None:
        match message:
            case protocol.Subscribe():
                self._subscribe(viewer, message)
            case protocol.Unsubscribe(board=board):
                self._hub.unsubscribe(viewer, board)
            case protocol.Pause():
                viewer.pause()
            case protocol.Resume():
                viewer.resume()
            case protocol.Ping():
                self._hub.pong(viewer)

    def _subscribe(self, viewer: Viewer, message: protocol.Subscribe) -> None:
        try:
            self._hub.subscribe(viewer, message)
        except Refused as refused:
            self._hub.reply(viewer, protocol.error(refused.code, str(refused), message.board))


async def _refuse(scope: Any, send: Any) -> None:
    """Answer the upgrade with 503 where the server can, otherwise by a plain refusal."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1013})
        return
    headers = [(b"retry-after", str(RETRY_AFTER).encode()), (b"content-type", b"text/plain")]
    await send({"type": "websocket.http.response.start", "status": 503, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": b"no place for another viewer"})
