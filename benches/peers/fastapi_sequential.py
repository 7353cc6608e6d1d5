"""The textbook broadcaster of FastAPI: one `send_text` after the other."""

from __future__ import annotations

from benches.peers.fastapi_manager import ConnectionManager, serve


class Sequential(ConnectionManager):
    """Awaits each viewer before the next."""

    async def broadcast(self, text: str) -> None:
        """Send to everybody."""
        for connection in list(self.connections):
            await connection.send_text(text)


if __name__ == "__main__":
    serve(Sequential())
