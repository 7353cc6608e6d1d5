"""One process of simulated viewers: makes them, moves them, and tells its parent what they saw."""

from __future__ import annotations

import asyncio
import itertools
import random
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from time import monotonic, process_time
from typing import Any, Literal

import httpx
import uvloop

from ticker.load.histogram import Histogram
from ticker.load.viewer import Counts, LoadViewer, Rows, Target, apply

Profile = Literal["viewers", "slow", "flappy", "hidden", "storm"]

REPORT_SECONDS = 1.0
LAG_SECONDS = 0.02
ADDRESS_EVERY = 10_000
"""Connections per source address: a port range has room for about 28,000."""

SLOW_SHARE, SLOW_BYTES_PER_SECOND = 0.2, 2_000
FLAP_SECONDS = 5.0
HIDE_SECONDS = 4.0
CONVERGE_SECONDS = 15.0
AT_ONCE = 200
"""Connections that are being made at the same time by one process."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does; times are in seconds."""

    target: Target
    url: str
    viewers: int
    ramp: float
    duration: float
    profile: Profile
    sample_every: int
    seed: int


class Worker:
    """The viewers of one process. Every loop in it ends when the run does."""

    def __init__(self, plan: Plan, tell: Callable[[dict[str, Any]], None]) -> None:
        self._plan, self._tell = plan, tell
        self._counts = Counts()
        self._lag = Histogram()
        self._random = random.Random(plan.seed)  # noqa: S311 - a load test must be repeatable
        self._viewers: set[LoadViewer] = set()
        self._number = itertools.count()
        self._permits = asyncio.Semaphore(AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._started = monotonic()

    async def run(self) -> None:
        """Ramp up, hold, converge, and say what was seen."""
        watch = [asyncio.create_task(self._report()), asyncio.create_task(self._measure_lag())]
        plan = self._plan
        ramp = 0.0 if plan.profile == "storm" else plan.ramp
        started = self._started
        for i in range(plan.viewers):
            await _until(started + ramp * i / plan.viewers)
            self._start(self._live())
        await _until(started + plan.ramp + plan.duration / 2)
        if plan.profile == "storm":
            self._drop_all()
        await _until(started + plan.ramp + plan.duration)
        for task in [*watch, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        held = self._state()  # the proof below costs time that is not the server's
        self._tell(held)
        converged = await self._converge()
        proof = self._state()
        measured = {name: held[name] for name in ("latency", "lag", "cpu", "at", "frames", "bytes")}
        self._tell({"final": True, **proof, **measured, **converged})
        for viewer in list(self._viewers):
            viewer.close()
        await asyncio.wait([viewer.gone for viewer in self._viewers] or [_done()], timeout=2)
        for viewer in list(self._viewers):
            viewer.transport.abort()

    # -- a viewer's life, by profile

    def _start(self, life: Any) -> None:
        task = asyncio.create_task(life)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _live(self) -> None:
        number = next(self._number)
        sampled = number % self._plan.sample_every == 0
        viewer = await self._connect(number, sampled=sampled, place=None)
        profile = self._plan.profile
        if viewer is None or profile == "viewers":
            return
        if profile == "slow" and self._random.random() < SLOW_SHARE:
            await self._read_slowly(viewer)
        elif profile == "hidden":
            await self._hide_and_show(viewer)
        elif profile in {"flappy", "storm"}:
            await self._come_and_go(number, viewer)

    async def _connect(
        self, number: int, *, sampled: bool, place: tuple[str, int, Rows] | None
    ) -> LoadViewer | None:
        target = self._plan.target
        local = None
        if target.host.startswith("127."):
            local = (f"127.0.0.{2 + number // ADDRESS_EVERY % 200}", 0)
        async with self._permits:
            try:
                raw = socket.socket()
                raw.setblocking(False)
                if self._plan.profile == "slow":
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
                if local:
                    raw.bind(local)
                loop = asyncio.get_running_loop()
                async with asyncio.timeout(30):
                    await loop.sock_connect(raw, (target.host, target.port))
                    _, viewer = await loop.create_connection(
                        lambda: LoadViewer(
                            target,
                            self._counts,
                            sampled=sampled,
                            ended=self._viewers.discard,
                            place=place,
                        ),
                        sock=raw,
                    )
                    self._viewers.add(viewer)
                    return viewer if await viewer.ready else None
            except (OSError, TimeoutError) as error:
                self._counts.refused += 1
                self._counts.word(getattr(error, "strerror", None) or type(error).__name__)
                raw.close()
                return None

    async def _read_slowly(self, viewer: LoadViewer) -> None:
        """Read in gulps, with pauses that make it so many bytes a second."""
        while viewer in self._viewers:
            before = viewer.received
            viewer.transport.resume_reading()
            while viewer.received == before and viewer in self._viewers:  # noqa: ASYNC110 - bytes set no event
                await asyncio.sleep(0.02)
            if viewer in self._viewers:
                viewer.transport.pause_reading()
                await asyncio.sleep((viewer.received - before) / SLOW_BYTES_PER_SECOND)

    async def _hide_and_show(self, viewer: LoadViewer) -> None:
        while viewer in self._viewers:
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * HIDE_SECONDS)
            if viewer.paused:
                viewer.resume()
            else:
                viewer.pause()

    async def _come_and_go(self, number: int, viewer: LoadViewer) -> None:
        """Leave and come back with epoch and seq; in a storm come back when dropped."""
        while True:
            if self._plan.profile == "flappy":
                await asyncio.sleep(self._random.expovariate(1 / FLAP_SECONDS))
                viewer.fragile = True
                viewer.transport.abort()
            await viewer.gone
            place = (viewer.epoch, viewer.seq, viewer.rows) if viewer.seq >= 0 else None
            back = await self._connect(number, sampled=viewer.sampled, place=place)
            if back is None:
                await asyncio.sleep(self._random.uniform(0, 2))
            else:
                viewer = back

    def _drop_all(self) -> None:
        for viewer in list(self._viewers):
            viewer.fragile = True
            viewer.transport.abort()

    # -- proof

    async def _converge(self) -> dict[str, Any]:
        """Compare every sampled viewer with the server's snapshot at a seq both have been at."""
        sampled = [v for v in self._viewers if v.sampled and v.seq >= 0]
        if not self._plan.target.protocol or self._plan.target.board is None:
            return {"sampled": len(sampled), "converged": 0}
        bases: dict[LoadViewer, tuple[int, Rows]] = {}
        for viewer in sampled:
            if viewer.paused:
                viewer.resume()
            viewer.transport.resume_reading()
            viewer.trail = []
            bases[viewer] = viewer.seq, dict(viewer.rows)
        waiting = set(sampled)
        deadline = monotonic() + CONVERGE_SECONDS
        path = f"{self._plan.url}/api/boards/{self._plan.target.board}"
        async with httpx.AsyncClient(timeout=10, headers=self._plan.target.headers) as client:
            while waiting and monotonic() < deadline:
                try:
                    told = (await client.get(path)).json()
                except (httpx.HTTPError, ValueError):
                    break
                await asyncio.sleep(0.3)
                for viewer in list(waiting):
                    if viewer.trail is None:  # it was given a snapshot meanwhile
                        viewer.trail = []
                        bases[viewer] = viewer.seq, dict(viewer.rows)
                    elif _state_at(told["seq"], *bases[viewer], viewer.trail) == told["rows"]:
                        waiting.discard(viewer)
        gone = sum(viewer not in self._viewers for viewer in waiting)
        return {"sampled": len(sampled), "converged": len(sampled) - len(waiting), "gone": gone}

    # -- reports

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(REPORT_SECONDS)
            self._tell(self._state())

    def _state(self) -> dict[str, Any]:
        counts = asdict(self._counts)
        counts["latency"] = self._counts.latency.counts()
        counts["connecting"] = self._counts.connecting.counts()
        clocks = {"started": self._started, "at": monotonic(), "cpu": process_time()}
        return {**counts, **clocks, "lag": self._lag.counts()}

    async def _measure_lag(self) -> None:
        while True:
            due = monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag.add((monotonic() - due) * 1000)


def _state_at(
    seq: int, base: int, rows: Rows, trail: list[tuple[int, dict[str, Any]]]
) -> Rows | None:
    """Return what a viewer had at ``seq``; None when it was never there."""
    state = dict(rows)
    if base == seq:
        return state
    for reached, patch in trail:
        apply(state, patch)
        if reached == seq:
            return state
    return None


def _done() -> asyncio.Future[None]:
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    done.set_result(None)
    return done


async def _until(moment: float) -> None:
    wait = moment - monotonic()
    if wait > 0:
        await asyncio.sleep(wait)


def main(plan: Plan, pipe: Connection) -> None:
    """Run in a process of its own."""
    try:
        uvloop.run(Worker(plan, pipe.send).run())
    except (KeyboardInterrupt, BrokenPipeError):
        pass
    finally:
        pipe.close()
