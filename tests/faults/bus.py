"""What happens to a bus, to the links that lead to it, and to the processes that meet there.

These are for a world with a bus: `run` with ``cluster``, or ``--cluster`` on the command line.
"""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING

from tests.faults.schedule import fault
from tests.faults.world import LEASE, START_PATIENCE

if TYPE_CHECKING:
    from tests.faults.world import Server, World
    from tests.illness import Proxy

LOGS = (
    r"this process reads the feeds ",
    r"the bus (answers|does not answer|was |has forgotten)",
    r"board '\w+' begins a new epoch, ",
    r"board '\w+': the bus is at ",
    r"cannot become the poller: ",
    r"feed '\w+' (failed|is down|is stale): ",
    r"viewer \w+ is ended: ",
    r"serving prices, scores on ",
    r".*open files are allowed",
)


async def _member(world: World, rng: random.Random) -> Server:
    """Return a process: the poller as often as another one."""
    pollers = [server for server in world.servers if await world.polls(server)]
    return rng.choice(pollers if pollers and rng.random() < 0.5 else world.servers)


@fault("bus: a process killed", logs=LOGS, longest=2, loses=True)
async def killed(world: World, rng: random.Random, seconds: float) -> None:
    """The poller, or another one, ends at any moment and is started again."""
    server = await _member(world, rng)
    async with server.turn:
        server.kill()
        await asyncio.sleep(seconds)
        world.restarts += 1
        server.start()
        await world.ready(server, START_PATIENCE)


@fault("bus: a process stopped", logs=LOGS, loses=True)
async def stopped(world: World, rng: random.Random, seconds: float) -> None:
    """The poller, or another one, sleeps, and finds that all went on without it, or nothing did."""
    server = await _member(world, rng)
    async with server.turn:
        world.oracle.excuse(seconds + 1)
        server.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            server.signal(signal.SIGCONT)
            world.oracle.excuse(1)


async def _links(
    world: World, rng: random.Random, seconds: float, harm: Callable[[Proxy], None]
) -> None:
    chosen = rng.choice([[link] for link in world.bus_links] + [world.bus_links])
    for link in chosen:
        harm(link)
    try:
        await asyncio.sleep(seconds)
    finally:
        for link in chosen:
            link.heal()


@fault("bus: link cut", logs=LOGS)
async def cut(world: World, rng: random.Random, seconds: float) -> None:
    """A process, or all, cannot reach the bus."""
    await _links(world, rng, seconds, lambda link: link.cut())


@fault("bus: link swallows", logs=LOGS)
async def swallows(world: World, rng: random.Random, seconds: float) -> None:
    """What a process and the bus say to each other vanishes."""
    await _links(world, rng, seconds, lambda link: setattr(link, "swallows", True))


@fault("bus: link slow", logs=LOGS)
async def slow(world: World, rng: random.Random, seconds: float) -> None:
    """What they say is late."""
    delay = rng.uniform(0.01, LEASE / 5)
    await _links(world, rng, seconds, lambda link: setattr(link, "delay", delay))


@fault("bus: restarted", logs=LOGS, longest=3)
async def restarted(world: World, rng: random.Random, seconds: float) -> None:
    """It is killed, and begins again with what it wrote down."""
    bus = world.the_bus
    async with world.bus_turn:
        await asyncio.to_thread(bus.kill)
        await asyncio.sleep(seconds)
        await asyncio.to_thread(bus.start)


@fault("bus: stopped", logs=LOGS)
async def paused(world: World, rng: random.Random, seconds: float) -> None:
    """It lives and says nothing."""
    async with world.bus_turn:
        world.the_bus.signal(signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            world.the_bus.signal(signal.SIGCONT)


@fault("bus: emptied", logs=LOGS, longest=1)
async def emptied(world: World, rng: random.Random, seconds: float) -> None:
    """It forgets everything, once or twice."""
    async with world.bus_turn:
        for _ in range(rng.randrange(1, 3)):
            await asyncio.to_thread(world.the_bus.tell, "FLUSHALL")
            await asyncio.sleep(seconds / 2)
