"""Viewers who do nothing wrong: each follows the rules of the wire, and shows all to the oracle."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable, Mapping
from time import time
from typing import Any, cast

import orjson
from websockets.client import ClientProtocol
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.uri import parse_uri

from tests.faults.oracle import MARKS, Oracle, State

HOST = "127.0.0.1"
CONNECT_SECONDS = 5.0
PATROL_SECONDS = 0.25
LAST_KEPT = 6
"""Last messages of each viewer, for who looks at what went wrong."""


class View:
    """One board as a viewer shows it."""

    def __init__(self) -> None:
        self.state: State | None = None
        self.feeds: Mapping[str, Any] = {}
        self.told = False
        """Whether anything was said of it over this connection: before, its viewer waits."""


class Viewer(asyncio.Protocol):
    """One viewer, from connection to connection. ``port`` returns where it goes next."""

    def __init__(
        self, number: int, oracle: Oracle, boards: list[str], port: Callable[[], int], seed: str
    ) -> None:
        self.number, self.oracle, self._port = number, oracle, port
        self._rng = random.Random(seed)
        self.views = {board: View() for board in boards}
        self.compresses = self._rng.random() < 0.7
        self.rate = self._rng.choice([5, 2, 1]) if self._rng.random() < 0.15 else None
        self.direct = True
        """Whether nothing is between it and the server."""
        self.paused = False
        self.connects = 0
        self.ends: Counter[str] = Counter()
        """How its connections ended, as far as it did not end them itself."""
        self.heard = 0.0
        """When anything last came, in epoch seconds; 0 while it is not connected."""
        self.since = 0.0
        """Since when it is connected without a pause, in epoch seconds."""
        self.heartbeat = 2.0
        self.last: deque[bytes] = deque(maxlen=LAST_KEPT)
        self._transport: asyncio.Transport | None = None
        self._wire: ClientProtocol
        self._gone: asyncio.Future[None]
        self._leaving = ""
        self._code: int | None = None
        self._parts: list[bytes] = []

    def __str__(self) -> str:
        told = [text.decode() for text in self.last]
        tail = "".join(f"\n      {line[:300]}" for line in told)
        return f"viewer {self.number}, connection {self.connects}, was told last:{tail}"

    @property
    def connected(self) -> bool:
        """Whether it gets what there is."""
        return self.heard > 0

    def doubts(self, board: str) -> bool:
        """Whether it was told that nobody knows how things are, as where there is no bus."""
        told = self.views[board].feeds.get(board, {})
        return self.oracle.shared is not None and told.get("quality") in MARKS

    def go_to(self, port: int) -> None:
        """Go somewhere else from the next connection on."""
        self._port = lambda: port

    # -- its life

    async def stay(self) -> None:
        """Watch for good, and come back after each end."""
        while True:
            try:
                await self._visit()
            except (OSError, TimeoutError, EOFError) as error:
                self.ends[type(error).__name__] += 1
            await asyncio.sleep(self._rng.uniform(0.05, 0.5))

    async def _visit(self) -> None:
        loop = asyncio.get_running_loop()
        self._gone, self._leaving, self._code = loop.create_future(), "", None
        port = self._port()
        async with asyncio.timeout(CONNECT_SECONDS):
            await loop.create_connection(lambda: self, HOST, port)
        try:
            await self._gone
        finally:
            if self._transport is not None:
                self._transport.abort()
        if not self._leaving:
            self.ends[str(self._code or 1006)] += 1

    def leave(self, why: str) -> None:
        """End the connection; the viewer comes back by itself."""
        self._leaving = why
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self.connects += 1
        self.paused = False
        self._parts = []
        for view in self.views.values():
            view.told = False
        resumes = any(view.state for view in self.views.values())
        query = "" if resumes else "?" + "&".join(f"board={board}" for board in self.views)
        if self.rate and query:
            query += f"&rate={self.rate}"
        deflate = ClientPerMessageDeflateFactory(
            client_no_context_takeover=True, compress_settings={"memLevel": 1}
        )
        self._wire = ClientProtocol(
            parse_uri(f"ws://{HOST}/ws{query}"),
            extensions=[deflate] if self.compresses else None,
            max_size=None,
        )
        self._wire.send_request(self._wire.connect())
        self._flush()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note of the end."""
        self.heard = self.since = 0.0
        self._transport = None
        if not self._gone.done():
            self._gone.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._wire.receive_data(data)
        self._hear()

    def eof_received(self) -> None:
        """Read that nothing more comes."""
        self._wire.receive_eof()
        self._hear()

    def _hear(self) -> None:
        for event in self._wire.events_received():
            if isinstance(event, Response):
                self._upgraded(event)
            elif isinstance(event, Frame):
                self._take_frame(event)
        self._flush()
        if self._wire.parser_exc is not None and not isinstance(self._wire.parser_exc, EOFError):
            self.oracle.complain(f"frames that cannot be read: {self._wire.parser_exc!r}; {self}")
        if self._wire.close_expected() and self._transport is not None:
            self._transport.close()

    def _upgraded(self, response: Response) -> None:
        if self._wire.handshake_exc is not None:
            self._leaving = "refused"
            self.ends[f"HTTP {response.status_code}"] += 1
            poor = response.status_code == 500 and self.oracle.poor_until > time()
            if response.status_code not in (429, 503) and not poor:
                self.oracle.complain(f"refused with {response.status_code} {response.body!r}")
            if self._transport is not None:
                self._transport.close()
            return
        self.heard = self.since = time()
        for board, view in self.views.items():
            if view.state is not None:
                place = {"epoch": view.state.epoch, "seq": view.state.seq}
                rate = {"rate": self.rate} if self.rate else {}
                self.say(type="subscribe", board=board, **place, **rate)
            elif self.connects > 1:
                self.say(type="subscribe", board=board)

    def _flush(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            for data in self._wire.data_to_send():
                if data:
                    self._transport.write(data)
                else:
                    self._transport.close()

    def say(self, **message: Any) -> None:
        """Send a message."""
        self._wire.send_text(orjson.dumps(message))
        self._flush()

    def rest(self) -> None:
        """Pause, or go on."""
        if self.connected:
            self.paused = not self.paused
            self.since = time()
            self.say(type="pause" if self.paused else "resume")

    # -- what it is told

    def _take_frame(self, frame: Frame) -> None:
        self.heard = time()
        if frame.opcode is Opcode.CLOSE:
            received = self._wire.close_rcvd
            self._code = received.code if received else None
        elif frame.opcode in (Opcode.TEXT, Opcode.CONT):
            self._parts.append(bytes(frame.data))
            if frame.fin:
                text, self._parts = b"".join(self._parts), []
                self._take(text)
        elif frame.opcode is Opcode.BINARY:
            self.oracle.complain(f"a binary message; {self}")

    def _take(self, text: bytes) -> None:
        self.last.append(text)
        message = self.oracle.read(text)
        view = self.views.get(message.get("board"))
        if view is not None and message["type"] in ("snapshot", "diff", "status"):
            view.told = True
        match message["type"]:
            case "welcome":
                self.heartbeat = message["heartbeat"]
            case "snapshot" if view is not None:
                before = view.state
                same = before is not None and before.epoch == message["epoch"]
                if before is not None and same and message["seq"] < before.seq:
                    self.oracle.complain(f"back from {before.seq} to {message['seq']}; {self}")
                view.state = self.oracle.begin(text, str(self.number))
                view.feeds = message["feeds"]
            case "diff" if view is not None:
                self._lead(view, text, message)
            case "status" if view is not None:
                view.feeds = message["feeds"]
            case "heartbeat":
                self._beat(message)
            case "error" if message["code"] != "limit":  # a place may be gone between two looks
                self.oracle.complain(f"an error for nothing: {message}; {self}")

    def _lead(self, view: View, text: bytes, message: Mapping[str, Any]) -> None:
        state = view.state
        if state is None or message["prev"] != state.seq or message["seq"] <= state.seq:
            at = state.seq if state else None
            told = f"{message['prev']} to {message['seq']}"
            self.oracle.complain(f"lost or doubled: at {at}, got {told}; {self}")
        else:
            view.state = self.oracle.lead(state, text, str(self.number))

    def _beat(self, message: Mapping[str, Any]) -> None:
        for board, seq in message["seqs"].items():
            view = self.views[board]
            if view.state is not None and view.state.seq == seq and not self.doubts(board):
                self.oracle.age(view.state, message["at"] / 1000, str(self))


class Listener(Viewer):
    """One who watches a board over Server-Sent Events, and resumes by its last event's id."""

    def __init__(
        self, number: int, oracle: Oracle, boards: list[str], port: Callable[[], int], seed: str
    ) -> None:
        super().__init__(number, oracle, boards, port, seed)
        self.views = {board: View() for board in self._rng.sample(boards, 1)}
        self.rate = None
        self._id = ""

    def rest(self) -> None:
        """Go on: there is no pause."""

    async def _visit(self) -> None:
        (board,) = self.views
        self._leaving = ""
        self.connects += 1
        known = f"Last-Event-ID: {self._id}\r\n" if self._id else ""
        async with asyncio.timeout(CONNECT_SECONDS):
            reader, writer = await asyncio.open_connection(HOST, self._port(), limit=2**20)
        self._transport = cast("asyncio.Transport", writer.transport)
        try:
            writer.write(
                f"GET /events?board={board} HTTP/1.1\r\nHost: {HOST}\r\n{known}\r\n".encode()
            )
            async with asyncio.timeout(CONNECT_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            if status == 200:
                self.heard = self.since = time()
                await self._listen(reader)
            self._leaving = self._leaving or ("refused" if status != 200 else "")
            if status not in (200, 429, 503):
                self.oracle.complain(f"events refused: {head!r}")
        except EOFError:
            pass
        finally:
            self.heard = self.since = 0.0
            self._transport = None
            writer.transport.abort()
        if not self._leaving:
            self.ends["events"] += 1

    async def _listen(self, reader: asyncio.StreamReader) -> None:
        """Read events until the end; each chunk is one (RFC 9112, 7.1)."""
        text = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            text += (await reader.readexactly(size + 2))[:-2]
            *events, text = text.split(b"\n\n")
            for event in events:
                self._take_event(event)

    def _take_event(self, event: bytes) -> None:
        self.heard = time()
        for line in event.split(b"\n"):
            name, _, value = line.partition(b": ")
            if name == b"id":
                self._id = value.decode()
            elif name == b"data":
                self._take(value)


LISTENERS = 12
"""One of so many viewers listens to Server-Sent Events."""


class Crowd:
    """All of these viewers. ``ports`` are where they go: straight, or through something."""

    def __init__(
        self, oracle: Oracle, count: int, seed: int, port: int, through: list[int]
    ) -> None:
        self.oracle = oracle
        self._rng = random.Random(f"crowd {seed}")
        self._tasks: list[asyncio.Task[None]] = []
        self.viewers: list[Viewer] = []
        self.restless = True
        """Whether some leave, come back and rest, as people do."""
        self.latest = 0.0
        """How late this process was at most, in seconds."""
        boards = list(oracle.boards)
        for number in range(count):
            ways = through if number % 4 == 0 else []
            where = ways[number // 4 % len(ways)] if ways else port

            def leads(where: int = where) -> int:
                return where

            kind = Listener if number % LISTENERS == LISTENERS - 1 else Viewer
            viewer = kind(number, oracle, boards, leads, f"{seed}/{number}")
            viewer.direct = not ways
            self.viewers.append(viewer)

    def lead(self, port: int) -> None:
        """Let every second of those who come straight go to another process."""
        for viewer in [viewer for viewer in self.viewers if viewer.direct][::2]:
            viewer.go_to(port)

    def come(self) -> None:
        """Let all of them come, and look after them."""
        self._tasks = [asyncio.create_task(viewer.stay()) for viewer in self.viewers]
        self._tasks.append(asyncio.create_task(self._patrol_forever()))

    async def go(self) -> None:
        """Let all of them go for good."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def failures(self) -> list[str]:
        """Defects of the suite itself."""
        done = [task for task in self._tasks if task.done() and not task.cancelled()]
        return [f"the suite fails: {task.exception()!r}" for task in done if task.exception()]

    def ends(self, *, direct: bool) -> Counter[str]:
        """Return how connections ended that nobody meant to end."""
        viewers = (viewer for viewer in self.viewers if viewer.direct is direct)
        return sum((viewer.ends for viewer in viewers), Counter())

    async def _patrol_forever(self) -> None:
        """Look at what each viewer shows, and let some leave or rest now and then."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + PATROL_SECONDS
            await asyncio.sleep(PATROL_SECONDS)
            late = loop.time() - due
            self.oracle.lag = max(late * 2, self.oracle.lag * 0.9)
            self.latest = max(late, self.latest)
            now = time()
            for viewer in self.viewers:
                if viewer.connected:
                    self._look_at(viewer, now)
            if not self.restless:
                continue
            for viewer in self._rng.sample(self.viewers, max(1, len(self.viewers) // 200)):
                if not viewer.connected:
                    continue
                if self._rng.random() < 0.3:
                    viewer.leave("moves")
                elif viewer.paused or self._rng.random() < 0.3:
                    viewer.rest()

    def _look_at(self, viewer: Viewer, now: float) -> None:
        if now - viewer.heard > 2.5 * viewer.heartbeat + 2 * self.oracle.lag:
            viewer.leave("silence")  # as the page does; until then it shows what it has
            viewer.ends["silence"] += 1
            return
        if viewer.paused or not viewer.direct or now - viewer.since < 2:
            return
        patience = 1 / (viewer.rate or 1)
        for board, view in viewer.views.items():
            if view.state is not None and view.told:
                if not viewer.doubts(board):
                    self.oracle.age(view.state, now - patience, str(viewer))
                told = view.feeds.get(board, {})
                self.oracle.age_of_feed(board, told, now - patience, str(viewer))
