"""Processes full of simulated viewers, told over a pipe what to do.

Two of them share a core: the *crowd* counts frames; the *watchers*, a few viewers spread evenly
among the others, read every message and the time in it. Those have their own process, and
precedence, so that their clock is the server's speed and not the crowd's.
"""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast

import uvloop

from benches import proc
from benches.sipper import RECEIVE_BUFFER, Drained, Sipper, drained
from ticker.load.histogram import Histogram
from ticker.load.viewer import Counts, LoadViewer, Rows, Target

PER_ADDRESS = 20_000
"""Connections from one source address: fewer than there are ports."""

PATIENCE = 60.0
"""Longest wait, in seconds, for a process to answer."""


@dataclass(frozen=True)
class Tally:
    """What the viewers of one process saw, since they began."""

    connected: int
    refused: int
    lost: int
    frames: int
    bytes: int
    cpu: float
    gaps: int
    words: dict[str, int]
    latency: dict[int, int]


class Crowd:
    """One process of viewers, seen from outside."""

    def __init__(self, target: Target, *, sampled: bool, core: int, slow: bool = False) -> None:
        self._pipe, theirs = multiprocessing.get_context("spawn").Pipe()
        self._process = multiprocessing.get_context("spawn").Process(
            target=_main, args=(theirs, target, sampled, core, slow), daemon=True
        )
        self._process.start()
        theirs.close()

    def begin(self, what: str, *arguments: Any) -> None:
        """Tell the process what to do."""
        self._pipe.send((what, arguments))

    def result(self) -> Any:
        """Return what the process answers."""
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError("the viewers' process does not answer")
        return self._pipe.recv()

    def do(self, what: str, *arguments: Any) -> Any:
        """Tell, and return the answer."""
        self.begin(what, *arguments)
        return self.result()

    def tally(self) -> Tally:
        """Return what was seen until now."""
        tally: Tally = self.do("tally")
        return tally

    def end(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.join()


class _Viewers:
    """The process, from inside."""

    def __init__(self, pipe: Connection, target: Target, sampled: bool, slow: bool) -> None:
        self._pipe, self._target, self._sampled, self._slow = pipe, target, sampled, slow
        self._loop = asyncio.get_running_loop()
        self._counts = Counts()
        self._viewers: list[LoadViewer] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.done = asyncio.Event()
        self._loop.add_reader(pipe.fileno(), self._told)

    def _told(self) -> None:
        try:
            what, arguments = self._pipe.recv()
        except EOFError:
            self.done.set()
            return
        task = asyncio.ensure_future(self._carry_out(what, arguments))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry_out(self, what: str, arguments: tuple[Any, ...]) -> None:
        self._pipe.send(await getattr(self, what)(*arguments))

    async def connect(self, count: int, timeout: float) -> int:
        """Connect so many more viewers at once; return how many are there."""
        tasks = [asyncio.ensure_future(self._one()) for _ in range(count)]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=timeout)
            for task in late:
                task.cancel()
        return self._counts.connected

    async def _one(self) -> None:
        connection = socket.socket()
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._slow:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        host = 2 + len(self._viewers) // PER_ADDRESS
        with_port_later = getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24)
        connection.setsockopt(socket.SOL_IP, with_port_later, 1)
        connection.bind((f"127.0.0.{host}", 0))
        try:
            await self._loop.sock_connect(connection, (self._target.host, self._target.port))
            _, viewer = await self._loop.create_connection(self._make, sock=connection)
        except OSError as error:
            self._counts.refused += 1
            self._counts.word(str(error))
            connection.close()
            return
        self._viewers.append(viewer)
        if not self._sampled:  # for watchers the first message is awaited by whoever counts frames
            await viewer.ready

    def _make(self) -> LoadViewer:
        kind = Sipper if self._slow else LoadViewer
        return kind(self._target, self._counts, sampled=self._sampled, ended=_ignore)

    async def tally(self) -> Tally:
        """Return what was seen."""
        seen = self._counts
        return Tally(
            connected=seen.connected,
            refused=seen.refused,
            lost=seen.lost,
            frames=seen.frames,
            bytes=seen.bytes,
            cpu=time.process_time(),
            gaps=seen.gaps,
            words=seen.words,
            latency=seen.latency.counts(),
        )

    async def clear(self) -> None:
        """Forget the latencies; and let no collection of garbage disturb those to come."""
        self._counts.latency = Histogram()
        gc.collect()
        gc.freeze()
        gc.disable()

    # -- of slow viewers; the first reads everything, it is the reference

    async def sip(self, rate: float) -> None:
        """Let all but the first read ``rate`` bytes per second."""
        for viewer in self._sippers():
            viewer.sip(rate)

    async def drain(self) -> Drained:
        """Let all read; return what became of them."""
        return await drained(self._sippers(), self._viewers[0])

    async def equal(self, seq: int, rows: Rows) -> int:
        """Return how many have exactly ``rows`` at ``seq``."""
        return sum(it.seq == seq and it.rows == rows for it in self._sippers())

    def _sippers(self) -> list[Sipper]:
        return cast("list[Sipper]", self._viewers[1:])


def _ignore(_: LoadViewer) -> None:
    """Do nothing: the counts know."""


def _main(pipe: Connection, target: Target, sampled: bool, core: int, slow: bool) -> None:
    os.sched_setaffinity(0, {core})
    proc.raise_file_limit()
    if not sampled:
        os.nice(5)  # the watchers go first

    async def main() -> None:
        await _Viewers(pipe, target, sampled, slow).done.wait()

    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(main())
