"""The textbook broadcaster of FastAPI, sending to everybody at once with `asyncio.gather`."""

from __future__ import annotations

import asyncio

from benches.peers.fastapi_manager import ConnectionManager, serve


class Gather(ConnectionManager):
    """Awaits all viewers together."""

    async def broadcast(self, text: str) -> None:
        """Send to everybody."""
        sends = [connection.send_text(text) for connection in self.connections]
        await asyncio.gather(*sends, return_exceptions=True)


if __name__ == "__main__":
    serve(Gather())
