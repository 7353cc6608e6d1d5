"""The live endpoint ``/ws``: a bare ASGI application, from the upgrade to the last message."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

from fastapi import HTTPException
from starlette.requests import HTTPConnection

from ticker import protocol, transport
from ticker.access import Access
from ticker.headers import security_headers
from ticker.hub import LOST, Hub, Refused
from ticker.limits import Bucket
from ticker.plain import SendConnection
from ticker.protocol import BadMessage, CloseCode, ErrorCode
from ticker.tokens import BadToken
from ticker.transport import FrameConnection
from ticker.turns import Turns
from ticker.viewer import Viewer

MESSAGE_SECONDS = 0.0001
"""What carrying out a message takes, about."""


class WebSocketEndpoint:
    """Serves viewers of ``hub``. Mounted, not decorated: half the cost per connection."""

    def __init__(self, hub: Hub, access: Access, turns: Turns) -> None:
        self._hub = hub
        self._access = access
        self._turns = turns

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Run one connection."""
        await receive()  # websocket.connect
        query = parse_qs(scope["query_string"].decode("latin-1"))
        boards = list(dict.fromkeys(query.pop("board", [])))
        try:
            entry = self._access.admit(HTTPConnection(scope), self._hub, boards)
        except HTTPException as refusal:
            await self._refuse(scope, send, refusal)
            return
        scope["query_string"] = b""  # a token may be in it, and the server may log it
        offered = protocol.SUBPROTOCOL in scope.get("subprotocols", ())
        subprotocol = protocol.SUBPROTOCOL if offered else None
        await send({"type": "websocket.accept", "subprotocol": subprotocol})
        connection = transport.connection(scope, send)
        viewer = self._hub.join(connection, address=entry.address, may=entry.may)
        try:
            await self._begin(viewer, connection, boards, query)
            await self._listen(viewer, connection, receive)
            await connection.closed()
        except asyncio.CancelledError:
            if viewer in self._hub.viewers:
                raise
            # otherwise it was ended, and its server would not send the close
        finally:
            self._hub.leave(viewer)

    async def _begin(
        self,
        viewer: Viewer,
        connection: FrameConnection | SendConnection,
        boards: list[str],
        query: dict[str, list[str]],
    ) -> None:
        """Subscribe to what the URL asks for."""
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
        messages = Bucket()
        while True:
            event = await receive()
            if event["type"] == "websocket.disconnect":
                self._hub.leave(viewer, event.get("code", LOST))
                return
            await self._turns.take(viewer.address, MESSAGE_SECONDS)
            await self._writable(viewer, connection)  # who does not read is not listened to either
            if viewer not in self._hub.viewers:
                return  # it was ended meanwhile: its socket may be another's soon
            if not self._access.hears(messages):
                most = f"at most {self._access.server.messages_per_second:g} messages per second"
                self._hub.reply(viewer, protocol.error(ErrorCode.LIMIT, most))
                self._hub.end(viewer, CloseCode.LIMIT)
                return
            text = event.get("text")
            try:
                if text is None:
                    raise BadMessage("expected a text message, got a binary one", fatal=True)
                await self._carry_out(viewer, connection, protocol.parse(text))
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

    async def _carry_out(
        self,
        viewer: Viewer,
        connection: FrameConnection | SendConnection,
        message: protocol.ViewerMessage,
    ) -> None:
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
            case protocol.Token(token=token):
                await self._renew(viewer, connection, token)

    async def _renew(
        self, viewer: Viewer, connection: FrameConnection | SendConnection, token: str
    ) -> None:
        """Let a viewer go on with a new token; with the old one when the new one is not good."""
        try:
            may = self._access.read(token)
        except BadToken as bad:
            self._hub.reply(viewer, protocol.error(ErrorCode.NOT_ALLOWED, str(bad)))
            return
        viewer.may = may
        lost = [board for board in viewer.watches if not may.allows(board)]
        for board in lost:
            self._hub.unsubscribe(viewer, board)
        self._hub.reply(viewer, protocol.token(may.until))
        for board in lost:
            await self._writable(viewer, connection)
            words = f"the new token is not for board '{board}'"
            self._hub.reply(viewer, protocol.error(ErrorCode.NOT_ALLOWED, words, board))

    def _subscribe(self, viewer: Viewer, message: protocol.Subscribe) -> None:
        try:
            self._hub.subscribe(viewer, message)
        except Refused as refused:
            self._hub.reply(viewer, protocol.error(refused.code, str(refused), message.board))

    async def _refuse(self, scope: Any, send: Any, refusal: HTTPException) -> None:
        """Answer the upgrade in HTTP where the server can, otherwise by a plain refusal."""
        scope["query_string"] = b""
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1013})
            return
        named = {
            **security_headers(self._access.server.origins),
            "content-type": "text/plain; charset=utf-8",
            "cache-control": "no-store",
            **(refusal.headers or {}),
        }
        headers = [(name.encode(), value.encode()) for name, value in named.items()]
        status = refusal.status_code
        await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
        await send({"type": "websocket.http.response.body", "body": refusal.detail.encode()})
