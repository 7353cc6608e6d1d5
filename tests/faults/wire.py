"""A link that lies between two who talk, and does to their bytes what networks do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from tests.illness import Proxy

LOOK_SECONDS = 0.02
SPLIT = 600
"""Bytes of what is read at once that go one by one; the rest goes as it is."""


class Wire(Proxy):
    """A TCP proxy whose connections are numbered; ``out`` is towards who listens.

    Unlike in a bus's `Proxy` no byte is ever lost: TCP loses none.
    """

    def __init__(self, target: int) -> None:
        super().__init__(target)
        self.count = 0
        self.stalls: frozenset[str] = frozenset()
        """Ways in which nothing passes for now: `in`, `out`."""
        self.held = 0
        """Of connections before this one nothing passes, not even their end."""
        self.splits = False
        """Whether bytes go one by one."""
        self.cuts: str = ""
        """How connections end in the middle of what they carry next: `FIN` or `RST`."""
        self.forgets = False
        """Whether what waited on its way out, or is from somebody who has gone, comes never: a
        source, and so the oracle, would take a late request for what its reader knows by now."""
        self._rng = random.Random(0)

    def heal(self) -> None:
        """Let everything pass again."""
        super().heal()
        self.stalls, self.held, self.splits, self.cuts = frozenset(), 0, False, ""

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number, self.count = self.count, self.count + 1
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            reset(writer)
            return
        self._links |= {writer, back}
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._carry(reader, back, number, "out"))
                group.create_task(self._carry(there, writer, number, "in"))
        except* (OSError, ConnectionError):
            pass
        finally:
            self._links -= {writer, back}
            for link in writer, back:
                link.transport.abort()

    async def _carry(
        self, source: asyncio.StreamReader, target: asyncio.StreamWriter, number: int, way: str
    ) -> None:
        while data := await source.read(65_536):
            if self.delay:
                await asyncio.sleep(self.delay)
            waited = await self._free(number, way)
            if self.forgets and way == "out" and (waited or source.at_eof()):
                raise ConnectionError("too late")
            if self.cuts:
                target.write(data[: self._rng.randrange(len(data))])
                if self.cuts == "RST":
                    reset(target)
                else:
                    target.write_eof()
                    await asyncio.sleep(self._rng.uniform(0, 1))
                raise ConnectionError("cut")
            if self.splits:
                for at in range(min(SPLIT, len(data))):
                    target.write(data[at : at + 1])
                    await target.drain()
                    await asyncio.sleep(0)
                data = data[SPLIT:]
            target.write(data)
            await target.drain()
        await self._free(number, way)
        raise ConnectionError("the end")

    async def _free(self, number: int, way: str) -> bool:
        """Wait until something may pass; return whether that was not at once."""
        waited = False
        while number < self.held or way in self.stalls:
            waited = True
            await asyncio.sleep(LOOK_SECONDS)
        return waited


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST."""
    raw: Any = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextmanager
def wire(target: int) -> Iterator[Wire]:
    """Run a wire to a port during the block."""
    running = Wire(target)
    running.start()
    try:
        yield running
    finally:
        running.stop()
