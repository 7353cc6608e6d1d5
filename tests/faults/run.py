"""One run: a world, a schedule of faults, and what must hold after it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

from tests.faults import (  # noqa: F401 - they register their faults
    bus,
    network,
    process,
    upstream,
    viewers,
)
from tests.faults.schedule import FAULTS, Event, plan
from tests.faults.world import World, unexpected, until, world

WARM_SECONDS = 2.0
CALM_SECONDS = 25.0
"""Longest time until all is well again after the last fault."""
SHOWN = 20


@dataclass
class Verdict:
    """What came of a run."""

    seed: int
    events: Sequence[Event]
    wrong: list[str] = field(default_factory=list)
    count: int = 0
    states: int = 0
    marked: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    calm: float = 0.0
    memory: int = 0
    lag: tuple[float, float] = (0.0, 0.0)
    """How late the server's loop and this one were at most, in seconds."""

    def __str__(self) -> str:
        ends = ", ".join(f"{how}: {count}" for how, count in sorted(self.ends.items())) or "none"
        grown = f"{self.memory / 1e6:+.1f} MB"
        return (
            f"seed {self.seed}: {'ok' if not self.count else f'{self.count} WRONG'}; "
            f"{len(self.events)} faults, {self.states} states ({self.marked} marked), "
            f"calm after {self.calm:.1f} s, "
            f"memory {grown}, loops late by {self.lag[0]:.2f} and {self.lag[1]:.2f} s, "
            f"lost connections: {ends}"
        )

    @property
    def report(self) -> str:
        """What to look at when it went wrong."""
        schedule = "\n".join(f"  {event}" for event in self.events)
        wrong = "\n".join(f"  - {words}" for words in self.wrong[:SHOWN])
        return f"{self}\nschedule:\n{schedule}\nwrong:\n{wrong}"


async def run(
    seed: int,
    seconds: float = 60.0,
    crowd: int = 200,
    only: str = "",
    events: Sequence[Event] = (),
    *,
    cluster: bool = False,
) -> Verdict:
    """Run the schedule of a seed, or ``events``, and return what came of it."""
    verdict = Verdict(seed, events or plan(seed, seconds, only, cluster=cluster))
    try:
        async with world(seed, crowd, cluster=cluster) as there:
            await _live_through(there, verdict)
    except AssertionError as error:  # it did not even begin
        verdict.wrong, verdict.count = [str(error)], 1
    return verdict


async def _live_through(there: World, verdict: Verdict) -> None:
    try:
        await _warm_up(there)
        await _suffer(there, verdict.events)
        begun = monotonic()
        await _calm_down(there, verdict)
        verdict.calm = monotonic() - begun
        await _judge_history(there)
        await _shrink(there, verdict)
        health = await there.get("/healthz")
        verdict.lag = health["loop_lag"]["max"] / 1000, there.crowd.latest
        for words in there.crowd.failures:
            there.complain(words)
        await there.crowd.go()
        await _end(there)
    except AssertionError as error:
        there.complain(str(error))
    _judge_ends(there)
    _judge_log(there)
    verdict.ends = there.crowd.ends(direct=True) + there.crowd.ends(direct=False)
    verdict.wrong, verdict.count = there.oracle.wrong, there.oracle.count
    verdict.states, verdict.marked = there.oracle.states, there.oracle.marked


async def _warm_up(there: World) -> None:
    """Let everything be used once before it is measured."""
    await there.settle()
    await asyncio.sleep(WARM_SECONDS)
    for viewer in there.crowd.viewers:
        viewer.leave("warming up")
    await asyncio.sleep(0.6)
    await there.settle()
    there.base = await there.footprint()


async def _suffer(there: World, events: Sequence[Event]) -> None:
    """Let the faults come, each at its time."""
    begun = monotonic()
    there.oracle.context = lambda: f"at {monotonic() - begun:.2f} s ({', '.join(active)}): "
    active: list[str] = []

    async def suffer(event: Event) -> None:
        await asyncio.sleep(max(0.0, begun + event.at - monotonic()))
        fault = FAULTS[event.name]
        there.allowed.extend(fault.logs)
        there.errors.extend(fault.errors)
        there.may_lose = there.may_lose or fault.loses
        active.append(fault.name)
        try:
            await fault.do(there, random.Random(event.seed), event.seconds)
        except Exception as error:  # noqa: BLE001 - the others go on, and it is told
            there.complain(f"the fault '{event.name}' itself failed: {error!r}")
        finally:
            active.remove(fault.name)

    await asyncio.gather(*(suffer(event) for event in events))


async def _calm_down(there: World, verdict: Verdict) -> None:
    """Wait until every viewer shows what the server says, and that is the truth."""
    there.crowd.restless = False
    for source in there.sources.values():
        source.freeze()
    for viewer in there.crowd.viewers:
        if viewer.paused:
            viewer.rest()

    odd: list[str] = []

    async def well() -> bool:
        odd[:] = await _odd(there)
        return not odd

    try:
        await until(well, "not calm", CALM_SECONDS, pause=0.2)
    except AssertionError:
        there.complain(f"not well {CALM_SECONDS:g} s after the last fault: {'; '.join(odd[:5])}")


async def _odd(there: World) -> list[str]:
    """Return in words what is not yet as it must be in the end."""
    odd = []
    for board in there.oracle.boards:
        told = await there.get(f"/api/boards/{board}")
        if not told or "rows" not in told:
            return [f"board '{board}' cannot be had: {told}"]
        if not there.oracle.shows_truth(board, told["rows"]):
            odd.append(f"board '{board}' is not what its source says: {str(told['rows'])[:300]}")
        marked = [s for s, row in told["rows"].items() if row.get("quality") in ("stale", "down")]
        if marked or told["feeds"][board]["quality"] != "live":
            odd.append(f"board '{board}' is not live: {marked} {told['feeds']}")
        for viewer in there.crowd.viewers:
            if viewer.paused:
                viewer.rest()
            view = viewer.views.get(board)
            if view is None:
                continue
            state = view.state
            if not viewer.connected or state is None:
                odd.append(f"viewer {viewer.number} is not there")
            elif (state.epoch, state.seq) != (told["epoch"], told["seq"]):
                place = f"{told['epoch']}-{told['seq']}"
                odd.append(f"viewer {viewer.number}: {state.epoch}-{state.seq}, not {place}")
            elif state.rows != told["rows"]:
                odd.append(f"viewer {viewer.number} shows other rows than the server")
            elif view.feeds[board]["quality"] != "live":
                odd.append(f"viewer {viewer.number} is told {view.feeds}")
    return odd


async def _judge_history(there: World) -> None:
    """The past of prices has nothing but what its source said, in its order."""
    before = (await there.get("/api/boards/prices"))["rows"]
    told = await there.get("/api/boards/prices/history")
    rows = (await there.get("/api/boards/prices"))["rows"]
    for symbol, past in told["rows"].items():
        values = [value for value in past["value"] if value is not None]
        made_up = set(values) - there.oracle.said("prices", symbol)
        if made_up or sorted(past["at"]) != past["at"]:
            there.complain(f"the past of '{symbol}' is {past}, of which {made_up} was never said")
        if not set(values[-2:]) & {before[symbol]["last"], rows[symbol]["last"]}:
            there.complain(f"the past of '{symbol}' ends with {past['value'][-1]}: {rows[symbol]}")


async def _shrink(there: World, verdict: Verdict) -> None:
    """Wait until the server takes no more than at first."""
    base = there.base
    assert base is not None
    above: list[str] = []

    async def small() -> bool:
        now = await there.footprint()
        verdict.memory = now.memory - base.memory
        above[:] = now.above(base)
        return not above

    try:
        await until(small, "more than at first", patience=12, pause=0.5)
    except AssertionError:
        there.complain(f"more than at first: {'; '.join(above)}")


async def _end(there: World) -> None:
    """End each process as a service manager does."""
    for server in there.servers:
        server.signal(signal.SIGTERM)
        await until(lambda s=server: not s.runs, "the server has not ended", patience=20)  # type: ignore[misc]
        assert server.process is not None
        code = server.process.returncode
        if code not in (0, -signal.SIGTERM):
            there.complain(f"the server ended with {code}")


def _judge_ends(there: World) -> None:
    """Who did nothing wrong, and was connected straight, loses nothing without a reason."""
    lost = there.crowd.ends(direct=True)
    if lost and not there.may_lose:
        there.complain(f"viewers lost their connections for nothing: {dict(lost)}")


def _judge_log(there: World) -> None:
    for line in unexpected(there.log_lines(), there.allowed, there.errors)[:SHOWN]:
        there.complain(f"in the log: {line[:1000]}")
