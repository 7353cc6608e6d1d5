"""How long an entry is under way over each bus: `python -m benches.buses`.

One connection publishes, another reads, both in this process: what is measured is the bus and its
library. Redis keeps nothing on disk; PostgreSQL keeps all of it there before anybody sees it,
unless it is told not to wait.
"""

from __future__ import annotations

import asyncio
import statistics
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from time import perf_counter

from tests.buses import Server, postgres, redis
from ticker.bus import Beat, Position, Step

ENTRIES, EVERY, SIZE = 1_000, 0.01, 1_000
"""How many, seconds between two, bytes of each."""


def servers(directory: Path) -> dict[str, Callable[[], AbstractContextManager[Server]]]:
    """Return what is measured, by name."""
    return {
        "Redis, nothing on disk": lambda: redis(directory),
        "PostgreSQL": lambda: postgres(fsync="on"),
        "PostgreSQL, synchronous_commit off": lambda: postgres(
            fsync="on", synchronous_commit="off"
        ),
    }


async def measure(server: Server, entries: int = ENTRIES) -> list[tuple[float, float]]:
    """Return how long each entry took to be published, and to be read elsewhere, in seconds."""
    writer, reader = server.bus(lease=60.0), server.bus(lease=60.0)
    term = (await writer.beat(Beat("m", b"", "", takes=True, lease=60.0))).term
    await writer.publish(term, Step("b", None, Position("e", 0), b"", b"state"))
    cursor, times = (await reader.load("b")).cursor, list[tuple[float, float]]()
    for seq in range(1, entries + 1):
        reading = asyncio.create_task(reader.read({"b": cursor}, 10.0))
        await asyncio.sleep(EVERY)
        step = Step("b", Position("e", seq - 1), Position("e", seq), b"." * SIZE)
        began = perf_counter()
        await writer.publish(term, step)
        taken = perf_counter() - began
        ((cursor, _),) = (await reading)["b"]
        times.append((taken, perf_counter() - began))
    await writer.close()
    await reader.close()
    return times


def line(name: str, times: list[tuple[float, float]]) -> str:
    """Return a row of the table: medians and 99th percentiles in milliseconds."""
    cells = []
    for column in zip(*times, strict=True):
        cuts = statistics.quantiles(column, n=100)
        cells += [f"{cuts[49] * 1e3:.2f}", f"{cuts[98] * 1e3:.2f}"]
    return f"| {name} | {' | '.join(cells)} |"


def main() -> None:
    """Measure each and print a table."""
    print("| bus | published, ms | p99 | read elsewhere, ms | p99 |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        for name, serve in servers(Path(directory)).items():
            with serve() as server:
                asyncio.run(measure(server, 100))  # warm
                print(line(name, asyncio.run(measure(server))), flush=True)


if __name__ == "__main__":
    main()
