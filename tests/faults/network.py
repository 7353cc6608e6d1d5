"""What networks do to what viewers and sources say: late, cut, stalled, in pieces, out of order.

Some of the viewers come over wires, and so do all answers of the prices' source.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.faults.schedule import fault

if TYPE_CHECKING:
    from tests.faults.wire import Wire
    from tests.faults.world import World

LOGS = (r"feed '\w+' (failed|is down|is stale): ", r"viewer \w+ is ended: ")


async def _wires(
    world: World, rng: random.Random, seconds: float, harm: Callable[[Wire], None]
) -> None:
    """Do ``harm`` to some wires for so long."""
    every = [*world.wires, *world.source_wires]
    chosen = rng.sample(every, rng.randrange(1, len(every) + 1))
    for wire in chosen:
        harm(wire)
    try:
        await asyncio.sleep(seconds)
    finally:
        for wire in chosen:
            wire.heal()


@fault("network: late", logs=LOGS)
async def late(world: World, rng: random.Random, seconds: float) -> None:
    """Every piece takes long, each way."""
    delay = rng.uniform(0.02, 0.4)
    await _wires(world, rng, seconds, lambda wire: setattr(wire, "delay", delay))


@fault("network: cut in the middle", logs=LOGS)
async def cut(world: World, rng: random.Random, seconds: float) -> None:
    """Connections end in the middle of a frame, with FIN or RST, again and again."""
    how = rng.choice(("FIN", "RST"))
    await _wires(world, rng, seconds, lambda wire: setattr(wire, "cuts", how))


@fault("network: cut off", logs=LOGS)
async def off(world: World, rng: random.Random, seconds: float) -> None:
    """All connections end at once, and again when they have come back."""
    end = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < end:
        await _wires(world, rng, 0.1, lambda wire: wire.drop())
        await asyncio.sleep(rng.uniform(0.1, 1.5))


@fault("network: stalled one way", logs=LOGS)
async def stalled(world: World, rng: random.Random, seconds: float) -> None:
    """Nothing passes one way, or both, and nobody is told; later all of it comes."""
    ways = rng.choice((frozenset({"in"}), frozenset({"out"}), frozenset({"in", "out"})))
    await _wires(world, rng, seconds + 1, lambda wire: setattr(wire, "stalls", ways))


@fault("network: in pieces", logs=LOGS)
async def pieces(world: World, rng: random.Random, seconds: float) -> None:
    """Bytes come one by one."""
    await _wires(world, rng, seconds, lambda wire: setattr(wire, "splits", True))


@fault("network: old connections after new ones", logs=LOGS)
async def reordered(world: World, rng: random.Random, seconds: float) -> None:
    """What was said over old connections, and their end, comes after what the new ones say."""

    def hold(wire: Wire) -> None:
        wire.held = wire.count

    await _wires(world, rng, seconds + 3, hold)


@fault("network: others' bytes", logs=(*LOGS, "Invalid HTTP request received"))
async def strangers(world: World, rng: random.Random, seconds: float) -> None:
    """Somebody connects and says nothing, or noise, over the same wires."""
    ends = []
    for _ in range(rng.randrange(1, 20)):
        with suppress(OSError):
            port = rng.choice(world.wires).port
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(rng.randbytes(rng.choice((0, 1, 3, 100))))
            ends.append(writer)
    await asyncio.sleep(seconds)
    for writer in ends:
        writer.transport.abort()
