"""Those who come to a soak besides the crowds: they ask, listen, push, try and never read."""

from __future__ import annotations

import asyncio
import random
import socket as sockets
import threading
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress

import httpx
import orjson
from httpx_sse import aconnect_sse
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from benches.soak_server import ADMIN, PUSH, token

BOARDS = ("prices", "mixed", "coins", "wide", "games")
LONG_SECONDS = 3 * 86_400.0
SHORT_SECONDS = 12.0
NEVER_READ_SECONDS = 40.0
RECEIVE_BUFFER = 4096

QUESTIONS = (
    "/api/boards",
    "/api/feeds",
    "/api/status",
    "/api/you",
    "/api/boards/prices/history?symbols=S1&symbols=S2&points=60",
    "/",
    "/healthz",
    "/readyz",
    "/api/boards/there-is-none",
)
EXPECTED = {200, 304, 401, 404, 503}
"""503: not ready, where the source is ill just then."""


class Visitors(threading.Thread):
    """All of them, in a loop of their own. What they did is counted, and what went wrong."""

    def __init__(self, port: int, each: int) -> None:
        super().__init__(name="visitors", daemon=True)
        self._url, self._port, self._each = f"http://127.0.0.1:{port}", port, each
        self._rng = random.Random(5)
        self._loop = asyncio.new_event_loop()
        self._over: asyncio.Event | None = None
        self.done: Counter[str] = Counter()
        self.trouble: Counter[str] = Counter()

    def run(self) -> None:
        """Come again and again until told to stop."""
        self._loop.run_until_complete(self._visit())
        self._loop.close()

    def stop(self) -> None:
        """Let them go."""
        if self._over is not None:
            self._loop.call_soon_threadsafe(self._over.set)
        self.join()

    async def _visit(self) -> None:
        self._over = asyncio.Event()
        ways: tuple[Callable[[], Awaitable[None]], ...] = (
            self._ask,
            self._listen,
            self._try_tokens,
            self._misbehave,
            self._never_read,
        )
        lives = [self._again(way) for way in ways for _ in range(self._each)]
        tasks = [asyncio.create_task(life) for life in [*lives, self._again(self._push)]]
        await self._over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _again(self, way: Callable[[], Awaitable[None]]) -> None:
        """Come the same way again and again.

        A connection that breaks off, or takes too long, is only counted: both ends close those that
        rest, at times at the same moment, and how late all is the latency tells.
        """
        while True:
            await asyncio.sleep(self._rng.uniform(0, 1))
            try:
                await way()
            except (OSError, ConnectionClosed, httpx.TransportError) as error:
                self.done[f"{way.__name__.strip('_')}: {type(error).__name__}"] += 1
            except (InvalidStatus, httpx.HTTPError) as error:
                self.trouble[f"{way.__name__.strip('_')}: {error}"[:120]] += 1

    async def _ask(self) -> None:
        """Ask over HTTP, with and without what one has, and once without a token."""
        headers = {"Authorization": f"Bearer {token(LONG_SECONDS)}"}
        async with httpx.AsyncClient(base_url=self._url, timeout=30, headers=headers) as client:
            for _ in range(20):
                address = f"/api/boards/{self._rng.choice(BOARDS)}"
                whole = await self._get(client, address)
                await self._get(client, address, {"If-None-Match": whole.headers.get("ETag", "")})
                await self._get(client, self._rng.choice(QUESTIONS))
                await asyncio.sleep(self._rng.uniform(0.1, 0.5))
            await self._get(client, "/api/boards", {"Authorization": "Bearer no-token"})
            admin = {"Authorization": f"Bearer {ADMIN}"}
            await self._get(client, "/api/viewers?limit=200", admin)
            note = {"text": "A notice of the soak.", "for": "2s", "board": "games"}
            answer = await client.post("/api/notices", json=note, headers=admin)
            self.done[f"notices {answer.status_code}"] += 1

    async def _get(
        self, client: httpx.AsyncClient, address: str, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        answer = await client.get(address, headers=headers)
        self.done["requests"] += 1
        if answer.status_code not in EXPECTED:
            self.trouble[f"{answer.status_code} for {address}"] += 1
        return answer

    async def _listen(self) -> None:
        """Listen to events for a while, go, and go on where that was."""
        place = ""
        headers = {"Authorization": f"Bearer {token(LONG_SECONDS)}"}
        board = self._rng.choice(BOARDS)
        async with httpx.AsyncClient(base_url=self._url, timeout=30, headers=headers) as client:
            for _ in range(3):
                resumed = {"Last-Event-ID": place} if place else {}
                with suppress(TimeoutError):
                    async with (
                        asyncio.timeout(self._rng.uniform(1, 8)),
                        aconnect_sse(
                            client, "GET", f"/events?board={board}", headers=resumed
                        ) as events,
                    ):
                        async for event in events.aiter_sse():
                            place = event.id or place
                            self.done["events"] += 1

    def _connect(self, board: str, pass_: str) -> connect:
        address = f"ws://127.0.0.1:{self._port}/ws?board={board}&token={pass_}"
        return connect(address, max_size=None, ping_interval=None, close_timeout=2)

    async def _try_tokens(self) -> None:
        """Watch with a short token, change boards, renew it twice, and be ended with the last."""
        async with self._connect("prices", token(SHORT_SECONDS)) as socket:
            hearing = asyncio.create_task(self._hear(socket))
            try:
                for _ in range(2):
                    for board in BOARDS:
                        await _say(
                            socket, type="subscribe", board=board, rate=self._rng.choice([1, 5])
                        )
                        await asyncio.sleep(self._rng.uniform(0.1, 0.8))
                        await _say(socket, type="ping")
                        await _say(socket, type="unsubscribe", board=board)
                    await _say(socket, type="token", token=token(SHORT_SECONDS))
                    self.done["renewals"] += 1
                await _say(socket, type="subscribe", board="prices")
                ended = await hearing
            finally:
                hearing.cancel()
        self.done[f"token ended: {ended}"] += 1

    async def _hear(self, socket: ClientConnection) -> int | None:
        """Read until the connection ends; return its close code."""
        with suppress(ConnectionClosed):
            async for _ in socket:
                pass
        return socket.close_code

    async def _misbehave(self) -> None:
        """Say what is no message; then be one whose token is for nothing."""
        async with self._connect("games", token(LONG_SECONDS)) as socket:
            await _say(socket, type="subscribe", board="there-is-none")
            await asyncio.sleep(self._rng.uniform(0, 2))
            await socket.send("this is no JSON")
            self.done[f"no message: {await self._hear(socket)}"] += 1
        try:
            async with self._connect("games", token(-60)):
                self.trouble["an old token opened"] += 1
        except InvalidStatus as refused:
            self.done[f"old token: {refused.response.status_code}"] += 1

    async def _never_read(self) -> None:
        """Take no byte after the upgrade, until the server has had enough."""
        loop = asyncio.get_running_loop()
        with sockets.socket() as raw:
            raw.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, RECEIVE_BUFFER)
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", self._port))
            request = (
                f"GET /ws?board=wide&token={token(LONG_SECONDS)} HTTP/1.1\r\n"
                f"Host: 127.0.0.1:{self._port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
            )
            await loop.sock_sendall(raw, request.encode())
            await asyncio.sleep(self._rng.uniform(0.5, 1) * NEVER_READ_SECONDS)
            self.done["never read"] += 1

    async def _push(self) -> None:
        """Push rows; every ten times there is one more and one less.

        What was removed is remembered for ten minutes, so much of it would look like growth.
        """
        headers = {"Authorization": f"Bearer {PUSH}"}
        async with httpx.AsyncClient(base_url=self._url, timeout=30, headers=headers) as client:
            for number in range(30):
                rows = [
                    {"symbol": f"D{(number // 10 + i) % 40}", "last": self._rng.randrange(1000)}
                    for i in range(20)
                ]
                answer = await client.post("/api/feeds/desk?complete=true", json=rows)
                self.done[f"pushes {answer.status_code}"] += 1
                await asyncio.sleep(0.5)


async def _say(socket: ClientConnection, **message: object) -> None:
    await socket.send(orjson.dumps(message).decode())
