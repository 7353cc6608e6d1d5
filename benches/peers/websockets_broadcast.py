"""The `websockets` library and its `broadcast`, with its defaults."""

from __future__ import annotations

import uvloop
from websockets.asyncio.server import ServerConnection, broadcast, serve

from benches.peers.common import Options, first, messages, parse

VIEWERS: set[ServerConnection] = set()


async def live(connection: ServerConnection) -> None:
    """Serve one viewer."""
    await connection.send(first().decode())
    VIEWERS.add(connection)
    try:
        await connection.wait_closed()
    finally:
        VIEWERS.discard(connection)


async def main(options: Options) -> None:
    """Serve until a signal."""
    async with serve(live, "127.0.0.1", options.port):
        async for message in messages(options):
            broadcast(VIEWERS, message.decode())


if __name__ == "__main__":
    uvloop.run(main(parse()))
