"""What makes a bus ill, on command: answers that get lost, links that are cut, slow or swallow."""

from __future__ import annotations

import asyncio
import copy
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from ticker.bus import Beat, Bus, BusError, Pulse, Step, Stored, Untaken
from ticker.bus.memory import MemoryBus


class ForgetfulBus(MemoryBus):
    """A bus that can go back to what it was, under another name or as if nothing had been."""

    def saved(self) -> dict[str, Any]:
        """Return all it remembers."""
        return {k: copy.deepcopy(v) for k, v in vars(self).items() if k != "_bell"}

    def revert(self, saved: Mapping[str, Any], *, memory: str | None = None) -> None:
        """Remember only what was ``saved``; places of entries go on rising, as on a server."""
        count, name = self._count, self.memory
        vars(self).update(copy.deepcopy(dict(saved)))
        self._count, self.memory = count, memory or name
        self._bell.set()
        self._bell = asyncio.Event()


class IllLink:
    """One process's link to a bus, which does on command what real ones do when they are ill."""

    def __init__(self, bus: Bus) -> None:
        self.bus = bus
        self.cut = False
        """Nothing gets through, and that is said."""
        self.refuses = ""
        """With these words nothing is taken."""
        self.loses_answers = 0
        """So many steps are taken, and the answer is lost."""
        self.holds_answers = 0
        """So many steps are taken, and nothing is heard of that until ``answers`` is set."""
        self.answers = asyncio.Event()
        self.swallows = False
        """Nothing comes by reading."""
        self.no_loads = False
        """Boards cannot be read as a whole."""
        self.loads = 0
        self.late = 0.0
        """By so many seconds the answers to beats come later."""
        self.steps: list[tuple[str, Step]] = []

    def _check(self) -> None:
        if self.cut:
            raise Untaken("Error 111 connecting to nowhere")

    async def beat(self, beat: Beat) -> Pulse:
        """Beat."""
        self._check()
        pulse = await self.bus.beat(beat)
        await asyncio.sleep(self.late)
        return pulse

    async def resign(self, term: str) -> None:
        """Resign."""
        self._check()
        await self.bus.resign(term)

    async def publish(self, term: str, step: Step) -> None:
        """Publish, or refuse it, or do it and say nothing."""
        self._check()
        self.steps.append((term, step))
        if self.refuses:
            raise Untaken(self.refuses)
        await self.bus.publish(term, step)
        if self.holds_answers:
            self.holds_answers -= 1
            await self.answers.wait()
            raise BusError("Timeout reading from nowhere")
        if self.loses_answers:
            self.loses_answers -= 1
            raise BusError("Timeout reading from nowhere")

    async def forget(self, term: str, boards: Sequence[str]) -> None:
        """Forget."""
        self._check()
        await self.bus.forget(term, boards)

    async def load(self, board: str) -> Stored:
        """Load, where that is possible."""
        self._check()
        if self.no_loads:
            raise BusError("Timeout reading from nowhere")
        self.loads += 1
        return await self.bus.load(board)

    async def read(
        self, cursors: Mapping[str, str], wait: float
    ) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Read, or hear nothing."""
        self._check()
        if self.swallows:
            await asyncio.sleep(wait)
            return {}
        return await self.bus.read(cursors, wait)

    async def latest(self) -> str:
        """Return the latest place."""
        self._check()
        return await self.bus.latest()

    async def say(self, news: bytes) -> None:
        """Say."""
        self._check()
        await self.bus.say(news)

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        lasts: float | None = None,
        *,
        term: str = "",
    ) -> None:
        """Put."""
        self._check()
        await self.bus.put(table, values, lasts, term=term)

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Get."""
        self._check()
        return await self.bus.get(table)

    async def close(self) -> None:
        """Close nothing: others go on."""


class Proxy:
    """A TCP proxy on loopback, in a thread of its own, that leads where it is told.

    ``delay`` is in seconds and each way; ``swallows`` lets connections live and bytes vanish.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.delay = 0.0
        self.swallows = False
        self.port = 0
        self._refuses = False
        self._links: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="proxy")

    @property
    def url(self) -> str:
        """Where a bus is reached through it."""
        return f"redis://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """End every connection, and take no more."""
        self._refuses = True
        self.drop()

    def heal(self) -> None:
        """Take connections again, and let everything pass."""
        self._refuses = self.swallows = False
        self.delay = 0.0

    def lead(self, target: int) -> None:
        """Lead to another port from now on, as a fail-over does."""
        self.target = target
        self.drop()

    def drop(self) -> None:
        """End every connection."""

        def drop() -> None:
            for link in list(self._links):
                link.transport.abort()

        self._loop.call_soon_threadsafe(drop)

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        rest = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refuses:
            writer.transport.abort()
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        self._links |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(reader, back))
                group.create_task(self._pump(there, writer))
        except* (OSError, ConnectionError):
            pass
        finally:
            self._links -= {writer, back}
            for link in writer, back:
                link.transport.abort()

    async def _pump(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            if self.swallows:
                continue
            if self.delay:
                await asyncio.sleep(self.delay)
            target.write(data)
            await target.drain()
        raise ConnectionError("the end")

    def start(self) -> None:
        """Begin."""
        self._thread.start()
        assert self._ready.wait(10)

    def stop(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


@contextmanager
def proxy(target: int) -> Iterator[Proxy]:
    """Run a proxy to a port during the block."""
    running = Proxy(target)
    running.start()
    try:
        yield running
    finally:
        running.stop()
