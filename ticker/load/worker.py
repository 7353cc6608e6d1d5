"""One process of simulated viewers: makes them, moves them, and tells its parent what they saw."""

from __future__ import annotations

import asyncio
import itertools
import math
import random
import socket
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from time import monotonic, process_time
from typing import Any, Literal

import httpx
import uvloop

from ticker.load.histogram import Histogram
from ticker.load.proof import Key, Proof, Told, state_at
from ticker.load.viewer import Counts, LoadViewer, Rows, Steps, Target

Profile = Literal["viewers", "slow", "flappy", "hidden", "storm"]

REPORT_SECONDS = 1.0
LAG_SECONDS = 0.02
ADDRESS_EVERY = 10_000
"""Connections per source address: a port range has room for about 28,000."""

SLOW_SHARE, SLOW_BYTES_PER_SECOND = 0.2, 2_000
FLAP_SECONDS = 5.0
HIDE_SECONDS = 4.0
CONVERGE_SECONDS = 15.0
RETURN_SECONDS = (0.0, 1.0)
"""When a viewer comes back that did not want to go; at random, as pages do."""
SILENT_BEATS = 3
"""Heartbeats without a word after which a viewer takes its process for dead, as the page does."""
CONNECT_SECONDS, CONNECT_SECONDS_OF_SEVERAL = 30.0, 10.0
"""How long a viewer waits for its connection: less where there is another process to go to."""
SETTLE_SECONDS = 5.0
"""How long is waited at the end for viewers that are between two connections."""
ASK_SECONDS, ASK_EVERY = 5.0, 0.3
"""How long a process has to say what its board is, and how often it is asked at the end."""
AT_ONCE = 200
"""Connections that are being made at the same time by one process."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one process does; times are in seconds.

    ``move`` is the share of the viewers that goes to another process each second.
    """

    targets: tuple[Target, ...]
    viewers: int
    ramp: float
    duration: float
    profile: Profile
    sample_every: int
    seed: int
    move: float = 0.0

    @property
    def returns(self) -> bool:
        """Whether viewers that lost their connection come back."""
        return len(self.targets) > 1 or self.move > 0 or self.profile in {"flappy", "storm"}


class Worker:
    """The viewers of one process. Every loop in it ends when the run does."""

    def __init__(self, plan: Plan, tell: Callable[[dict[str, Any]], None]) -> None:
        self._plan, self._tell = plan, tell
        self._counts = Counts()
        self._lag = Histogram()
        self._random = random.Random(plan.seed)  # noqa: S311 - a load test must be repeatable
        self._viewers: set[LoadViewer] = set()
        self._steps = Steps()
        self._away = 0  # viewers that are between two connections
        self._calm = asyncio.Event()  # set when nobody goes away any more
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
        held = self._state()  # what comes now costs time that is not the server's
        self._calm.set()
        await self._settle()
        for task in [*watch, *self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tell(held)
        converged = asdict(await self._converge())
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
        """Be a viewer until the end of the run, wherever that leads."""
        plan, number = self._plan, next(self._number)
        target = plan.targets[number % len(plan.targets)]
        slow = plan.profile == "slow" and self._random.random() < SLOW_SHARE
        viewer: LoadViewer | None = None
        while True:
            now = await self._connect(number, target, viewer)
            if now is None and viewer is None and len(plan.targets) == 1:
                return
            if now is None:
                target = self._elsewhere(target)
                await asyncio.sleep(self._random.uniform(0, 2))
                continue
            if viewer is not None:
                self._away -= 1
                self._counts.reconnected += not viewer.fragile
            viewer = now
            if slow:
                self._start(self._read_slowly(viewer))
            elif plan.profile == "hidden":
                self._start(self._hide_and_show(viewer))
            if not plan.returns:
                return
            moved = await self._stay(viewer)
            self._away += 1
            if moved or (not viewer.fragile and len(plan.targets) > 1):
                target = self._elsewhere(target)
            if not viewer.fragile:
                await asyncio.sleep(self._random.uniform(*RETURN_SECONDS))

    def _elsewhere(self, target: Target) -> Target:
        """Return another process, where there is one."""
        others = [other for other in self._plan.targets if other is not target]
        return self._random.choice(others or [target])

    async def _stay(self, viewer: LoadViewer) -> bool:
        """Watch until the connection is gone; return whether the viewer goes to another process."""
        plan = self._plan
        flaps = self._random.expovariate(1 / FLAP_SECONDS) if plan.profile == "flappy" else math.inf
        moves = self._random.expovariate(plan.move) if plan.move else math.inf
        await self._hear(viewer, min(flaps, moves))
        if viewer.gone.done() or self._calm.is_set():
            await viewer.gone
            return False
        if moves < flaps:
            self._counts.moves += 1
            viewer.leave()
        else:
            viewer.fragile = True
            viewer.transport.abort()
        await viewer.gone
        return moves < flaps

    async def _hear(self, viewer: LoadViewer, seconds: float) -> None:
        """Wait for so long at most; end a connection from which nothing comes."""
        until = monotonic() + seconds
        while not viewer.gone.done() and (left := until - monotonic()) > 0:
            received, silence = viewer.received, SILENT_BEATS * viewer.heartbeat
            wait = min(left, silence)
            await asyncio.wait([viewer.gone], timeout=wait if wait < math.inf else None)
            silent = silence < left and viewer.received == received
            if silent and viewer.transport.is_reading() and not viewer.gone.done():
                self._counts.word(f"nothing came for {SILENT_BEATS} heartbeats")
                viewer.transport.abort()
                await viewer.gone

    async def _connect(
        self, number: int, target: Target, before: LoadViewer | None
    ) -> LoadViewer | None:
        """Connect to go on from ``before``; only sampled viewers know where they are."""
        sampled = number % self._plan.sample_every == 0
        viewer = None
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
                several = len(self._plan.targets) > 1
                async with asyncio.timeout(
                    CONNECT_SECONDS_OF_SEVERAL if several else CONNECT_SECONDS
                ):
                    await loop.sock_connect(raw, (target.host, target.port))
                    _, viewer = await loop.create_connection(
                        lambda: LoadViewer(
                            target,
                            self._counts,
                            sampled=sampled,
                            ended=self._viewers.discard,
                            before=before,
                            steps=self._steps,
                        ),
                        sock=raw,
                    )
                    self._viewers.add(viewer)
                    return viewer if await viewer.ready else None
            except (OSError, TimeoutError) as error:
                self._counts.refused += 1
                self._counts.word(getattr(error, "strerror", None) or type(error).__name__)
                if viewer is not None:
                    viewer.fragile = True
                    viewer.transport.abort()
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

    def _drop_all(self) -> None:
        for viewer in list(self._viewers):
            viewer.fragile = True
            viewer.transport.abort()

    # -- proof

    async def _settle(self) -> None:
        """Wait for viewers that are on their way to where they go on."""
        deadline = monotonic() + SETTLE_SECONDS
        while self._away and monotonic() < deadline:  # noqa: ASYNC110 - for a moment, once a run
            await asyncio.sleep(0.02)

    async def _converge(self) -> Proof:
        """Compare every sampled viewer with what all processes say, where all have been."""
        plan = self._plan
        sampled = [v for v in self._viewers if v.sampled and v.seq >= 0]
        bases: dict[LoadViewer, tuple[int, Rows]] = {}
        for viewer in sampled:
            if viewer.paused:
                viewer.resume()
            viewer.transport.resume_reading()
            viewer.trail = None
        waiting, ended = set(sampled), set[LoadViewer]()
        told = Told([target.url for target in plan.targets])
        deadline = monotonic() + CONVERGE_SECONDS
        headers = plan.targets[0].headers
        async with httpx.AsyncClient(timeout=ASK_SECONDS, headers=headers) as client:
            while monotonic() < deadline:
                for viewer in waiting:
                    if viewer.trail is None:  # at the beginning, or it was given a snapshot
                        viewer.trail = []
                        bases[viewer] = viewer.seq, dict(viewer.rows)
                await asyncio.gather(*(self._ask(client, told, t) for t in plan.targets))
                await asyncio.sleep(ASK_EVERY)
                common = told.common()
                waiting -= {
                    viewer
                    for viewer in waiting
                    if _is_right(viewer, bases[viewer], common.get(viewer.target.url, {}))
                }
                ended |= {viewer for viewer in waiting if viewer.gone.done()}
                waiting -= ended  # renewed, say, while it was to be compared: it has no present
                open_ = [viewer for viewer in waiting if viewer.target.url in common]
                if not common or (not open_ and told.settled()):
                    break
        agreed = {url: next(reversed(states)) for url, states in told.common().items()}
        compared = len(sampled) - len(ended)
        return Proof(compared, compared - len(waiting), told.silent(), told.apart(), agreed)

    async def _ask(self, client: httpx.AsyncClient, told: Told, target: Target) -> None:
        """Hear what a process says, unless it cannot say anything."""
        with suppress(httpx.HTTPError, ValueError, KeyError):
            answer = await client.get(f"{target.url}/api/boards/{target.board}")
            state = answer.raise_for_status().json()
            told.hear(target.url, (state["epoch"], state["seq"]), state["rows"])

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
        watching = Counter(viewer.target.url for viewer in self._viewers)
        return {**counts, **clocks, "lag": self._lag.counts(), "watching": dict(watching)}

    async def _measure_lag(self) -> None:
        while True:
            due = monotonic() + LAG_SECONDS
            await asyncio.sleep(LAG_SECONDS)
            self._lag.add((monotonic() - due) * 1000)


def _is_right(viewer: LoadViewer, base: tuple[int, Rows], common: Mapping[Key, Rows]) -> bool:
    """Whether a viewer had, at one of the common places, just what the processes have there."""
    if viewer.trail is None:
        return False
    return any(
        epoch == viewer.epoch and state_at(seq, *base, viewer.trail) == rows
        for (epoch, seq), rows in common.items()
    )


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
