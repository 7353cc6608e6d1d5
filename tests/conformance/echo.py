"""An echo on ticker's own transport, for clients that test servers by what they repeat.

ticker repeats nothing, so this takes the place of its application, and of nothing else: sockets,
HTTP, upgrade, deflate and frames are those of ``ticker serve``. The path says which way texts take:
``/frames`` as ready frames, each on its own; ``/window`` in a shared window; ``/send`` by ASGI.
Bytes, which ticker never sends, always take the last.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from typing import Any, Literal, cast

import uvicorn
from fastapi import FastAPI

from ticker import transport
from ticker.config import Server, Settings
from ticker.deflate import OUTSIDE
from ticker.frame import Frame, SharedWindows
from ticker.server import configure
from ticker.transport import FrameConnection
from ticker.viewer import Watch

MAX_MESSAGE = 16_777_216
"""The longest message of Autobahn's cases (9.1.6)."""


class _Channel:
    """What of a channel is needed to be in step with it."""

    def __init__(self) -> None:
        self.windows = SharedWindows()


class _Watch:
    """What of a watch is needed to be in step with its channel."""

    def __init__(self) -> None:
        self.channel = _Channel()
        self.place = OUTSIDE


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Repeat every message, in the way that the path asks for."""
    if scope["type"] != "websocket":
        return
    await receive()  # websocket.connect
    way = scope["path"]
    await send({"type": "websocket.accept"})
    connection = cast("FrameConnection", transport.connection(scope, send))
    watch = cast("Watch", _Watch()) if way == "/window" else None
    while (event := await receive())["type"] == "websocket.receive":
        await connection.drain()
        if not connection.writable:  # closed meanwhile
            return
        text = event.get("text")
        if text is not None and way != "/send":
            connection.write(Frame(text.encode()), watch)
            continue
        if watch is not None:
            connection.leave(watch)
        await send({**event, "type": "websocket.send"})


def serve(listener: socket.socket, loop: Literal["asyncio", "uvloop"]) -> None:
    """Serve it until a signal."""
    config = configure(cast("FastAPI", echo), Settings.model_construct(server=Server()))
    config.loop = loop
    config.ws_max_size = MAX_MESSAGE
    config.lifespan = "off"
    server = uvicorn.Server(config)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.serve(sockets=[listener]))


if __name__ == "__main__":  # tests.conformance.__main__ starts it
    here = socket.create_server(("127.0.0.1", 0))
    print(here.getsockname()[1], flush=True)
    serve(here, cast("Literal['asyncio', 'uvloop']", sys.argv[1]))
