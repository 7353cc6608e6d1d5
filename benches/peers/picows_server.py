"""picows, a WebSocket library in Cython."""

from __future__ import annotations

import uvloop
from picows import (
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    ws_create_server,
)

from benches.peers.common import Options, first, messages, parse

VIEWERS: set[WSTransport] = set()


class Viewer(WSListener):
    """One viewer."""

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Greet it."""
        transport.send(WSMsgType.TEXT, first())
        VIEWERS.add(transport)

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Forget it."""
        VIEWERS.discard(transport)


def accept(_: WSUpgradeRequest) -> WSListener:
    """Take every viewer."""
    return Viewer()


async def main(options: Options) -> None:
    """Serve until a signal."""
    server = await ws_create_server(accept, "127.0.0.1", options.port, backlog=2048)
    async with server:
        async for message in messages(options):
            for viewer in VIEWERS:
                viewer.send(WSMsgType.TEXT, message)


if __name__ == "__main__":
    uvloop.run(main(parse()))
