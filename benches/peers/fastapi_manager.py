"""What FastAPI's documentation calls a ConnectionManager, served with uvicorn's defaults."""

from __future__ import annotations

import asyncio
import contextlib
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from benches.peers.common import Options, first, messages, parse


class ConnectionManager(ABC):
    """The connections, and how to send to all of them."""

    def __init__(self) -> None:
        self.connections: list[WebSocket] = []

    async def connect(self, websocket: WebSocket) -> None:
        """Take a connection."""
        await websocket.accept()
        await websocket.send_text(first().decode())
        self.connections.append(websocket)

    def disconnect(self, websocket: WebSocket) -> None:
        """Forget a connection."""
        self.connections.remove(websocket)

    @abstractmethod
    async def broadcast(self, text: str) -> None:
        """Send to everybody."""


def serve(manager: ConnectionManager) -> None:
    """Serve until a signal."""
    options = parse()

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        publishing = asyncio.create_task(_publish(manager, options))
        yield
        publishing.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.websocket("/ws")
    async def live(websocket: WebSocket) -> None:
        await manager.connect(websocket)
        try:
            while True:
                await websocket.receive_text()
        except WebSocketDisconnect:
            manager.disconnect(websocket)

    uvicorn.run(app, host="127.0.0.1", port=options.port)


async def _publish(manager: ConnectionManager, options: Options) -> None:
    async for message in messages(options):
        await manager.broadcast(message.decode())
