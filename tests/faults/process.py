"""What happens to the server's process: it sleeps, starves, dies, and is told to be another."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from time import monotonic, time
from typing import TYPE_CHECKING

from tests.faults.schedule import fault
from tests.faults.viewers import rogues
from tests.faults.world import HOST, START_PATIENCE, until

if TYPE_CHECKING:
    from tests.faults.world import Server, World

AWAKE_SECONDS = 1.5
"""How long after a sleep a process may take to find out how late it is."""

RESTARTED = (r"serving prices, scores on ", r".*open files are allowed")
FAILED = (r"feed '\w+' (failed|is down|is stale): ",)
ENDED = (r"viewer \w+ is ended: ",)
MEGABYTE = 1_000_000

# -- it sleeps


async def _sleep(world: World, seconds: float) -> None:
    world.oracle.excuse(seconds + AWAKE_SECONDS)
    world.server.signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(seconds)
    finally:
        world.server.signal(signal.SIGCONT)
        world.oracle.excuse(AWAKE_SECONDS)


@fault("process: stopped for a moment", logs=FAILED, longest=1.2)
async def stopped(world: World, rng: random.Random, seconds: float) -> None:
    """It sleeps for less than anything takes to grow old."""
    async with world.server.turn:
        await _sleep(world, seconds)
        await asyncio.sleep(AWAKE_SECONDS)


@fault("process: stopped for longer than data keep", logs=(*FAILED, *ENDED), loses=True)
async def stopped_long(world: World, rng: random.Random, seconds: float) -> None:
    """It sleeps until all it knows is old, and viewers have left it for its silence."""
    async with world.server.turn:
        await _sleep(world, seconds + 2)


@fault("process: stopped again and again", logs=(*FAILED, *ENDED), loses=True)
async def stopped_often(world: World, rng: random.Random, seconds: float) -> None:
    """It runs for moments only."""
    async with world.server.turn:
        end = monotonic() + seconds
        while monotonic() < end:
            await _sleep(world, rng.uniform(0.05, 0.6))
            await asyncio.sleep(rng.uniform(0.005, 0.1))


@fault("process: little of the processor", logs=(*FAILED, *ENDED), loses=True)
async def busy(world: World, rng: random.Random, seconds: float) -> None:
    """Others run on the only processor that it may have."""
    core = rng.choice(sorted(os.sched_getaffinity(0)))
    pid, before = world.server.pid, os.sched_getaffinity(0)
    with suppress(ProcessLookupError):
        before = os.sched_getaffinity(pid)
        os.sched_setaffinity(pid, {core})
    end = monotonic() + seconds
    here = f"os.sched_setaffinity(0, {{{core}}})"
    spin = f"import os, time\n{here}\nwhile time.monotonic() < {end}: pass"
    world.oracle.excuse(seconds + AWAKE_SECONDS)
    command = [sys.executable, "-c", spin]
    others = [await asyncio.create_subprocess_exec(*command) for _ in range(3)]
    try:
        await asyncio.sleep(seconds)
    finally:
        for other in others:
            with suppress(ProcessLookupError):
                other.kill()
            await other.wait()
        with suppress(ProcessLookupError):
            os.sched_setaffinity(pid, before)


# -- it dies


async def restart(world: World, pause: float) -> None:
    """Start the server again, as whoever looks after it does, and wait until viewers may come.

    It begins with what the store kept.
    """
    await asyncio.sleep(pause)
    world.oracle.begun()
    world.restarts += 1
    world.server.start()
    await world.ready(patience=START_PATIENCE)
    world.oracle.excuse(AWAKE_SECONDS)


@fault("process: killed", logs=(*RESTARTED, *FAILED), longest=2, loses=True)
async def killed(world: World, rng: random.Random, seconds: float) -> None:
    """It ends at any moment, and is started again at the same port."""
    async with world.server.turn:
        world.server.kill()
        await restart(world, seconds)


@fault("process: ended and started", logs=(*RESTARTED, *FAILED, *ENDED), longest=2, loses=True)
async def ended(world: World, rng: random.Random, seconds: float) -> None:
    """It is told to end, as for an upgrade, and is started again."""
    async with world.server.turn:
        world.server.signal(signal.SIGTERM)
        try:
            await until(lambda: not world.server.runs, "the server has not ended", patience=20)
        finally:
            world.server.kill()
        await restart(world, seconds / 4)


# -- it starves


@asynccontextmanager
async def limited(server: Server, what: int, most: Callable[[], int]) -> AsyncIterator[None]:
    """Let the process have no more of something than ``most`` during the block."""
    pid = server.pid
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (min(most(), before[1] if before[1] > 0 else most()), before[1]))
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            resource.prlimit(pid, what, before)


@fault(
    "process: no memory",
    logs=(*RESTARTED, *FAILED, *ENDED, ".*"),
    errors=(".*",),
    loses=True,
)
async def no_memory(world: World, rng: random.Random, seconds: float) -> None:
    """It gets no more memory while viewers come; libraries may end it, then it is started again."""
    async with world.server.turn:
        size, room = world.server.size(), rng.choice((0.2, 1, 4, 8)) * MEGABYTE
        world.oracle.poor_until = time() + seconds + AWAKE_SECONDS
        async with limited(world.server, resource.RLIMIT_AS, lambda: size + round(room)):
            end = monotonic() + seconds
            while monotonic() < end and world.server.runs:
                for one in await rogues(world, 10):
                    one.reset()
                await asyncio.sleep(0.1)
        if not world.server.runs:
            await restart(world, 0.2)


@fault(
    "process: no files",
    logs=(
        *FAILED,
        "no open file is left",
        "there are open files again",
        "cannot watch ",
        "config reloaded: nothing has changed",
    ),
    errors=(r"config not reloaded, .*Too many open files",),
    loses=True,
)
async def no_files(world: World, rng: random.Random, seconds: float) -> None:
    """It may open no more files, or had to give some up, while many knock."""
    async with world.server.turn:
        most = world.server.files() + rng.randrange(-5, 10)
        began, used = monotonic(), world.server.cpu()
        async with limited(world.server, resource.RLIMIT_NOFILE, lambda: most):
            knocking = [asyncio.create_task(_knock(world)) for _ in range(40)]
            await asyncio.sleep(seconds)
            took, used = monotonic() - began, world.server.cpu() - used
            if took > 4 and used > 0.5 * took + 1.5:
                world.complain(f"without files it was busy for {used:.1f} s of {took:.1f} s")
        await asyncio.sleep(0.1)
        for task in knocking:
            task.cancel()
        await asyncio.gather(*knocking, return_exceptions=True)


async def _knock(world: World) -> None:
    with suppress(OSError, EOFError):
        reader, writer = await asyncio.open_connection(HOST, world.server.port)
        try:
            writer.write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.read(100)
        finally:
            writer.transport.abort()


@fault("process: its log is full", logs=(*FAILED, "store: "), errors=(r'\{.*\{"time":',))
async def full_log(world: World, rng: random.Random, seconds: float) -> None:
    """No line of the log can be written, or only the beginning of one: as on a full disk."""
    async with world.server.turn:
        size = world.server.log.stat().st_size + rng.randrange(100)
        async with limited(world.server, resource.RLIMIT_FSIZE, lambda: size):
            await asyncio.sleep(seconds)


# -- it is told to be another

INVALID = (
    "boards: {",
    "feeds: []\n",
    "server: {port: many}\nboards: {}\n",
    "",
    "\x00\x01",
    "boards: &a [*a]\n",
)

EXTRA = "  extra: {feeds: [prices, scores], title: More %d}\n"


def variation(text: str, rng: random.Random) -> tuple[str, bool]:
    """Return a config that says something else, and whether a feed begins anew by it."""
    match rng.randrange(6):
        case 0:
            return text, False
        case 1:
            return text + EXTRA % rng.randrange(100), False
        case 2:
            return text.replace("presence: 1s", f"presence: {rng.randrange(2, 9)}s"), False
        case 3:
            title = f"layout: scores, title: Games {rng.randrange(100)}"
            return text.replace("layout: scores", title), False
        case 4:
            columns = rng.choice(("columns: [last]", "columns: [time, last]"))
            return text.replace("columns: [last, change, volume, time]", columns), False
        case _:
            return text.replace("max_bytes: 256KB", f"max_bytes: {rng.randrange(200, 300)}KB"), True


@fault(
    "process: storm of reloads",
    logs=("config reloaded: ", *FAILED),
    errors=("config not reloaded, the one before runs on: ",),
)
async def reloads(world: World, rng: random.Random, seconds: float) -> None:
    """Its config becomes another, wrong, and the same, dozens of times; in the end the first."""
    async with world.server.turn:
        config = world.server.config
        text = config.read_text()
        end = monotonic() + seconds
        world.oracle.restless = True
        try:
            while monotonic() < end:
                if rng.random() < 0.3:
                    config.write_text(rng.choice(INVALID))
                else:
                    other, anew = variation(text, rng)
                    if anew:
                        world.oracle.forgot()
                    _replace(config, other)
                if rng.random() < 0.5:
                    world.server.signal(signal.SIGHUP)
                await asyncio.sleep(rng.choice((0.001, 0.02, 0.1, 0.3)))
                world.oracle.forgot()
        finally:
            _replace(config, text)
        world.server.signal(signal.SIGHUP)
        await until(lambda: _in_force(world), "the config is not in force", patience=15)
        await asyncio.sleep(1.0)  # for answers that are under way
        world.oracle.restless = False


async def _in_force(world: World) -> bool:
    world.oracle.forgot()
    told = await world.get("/api/status")
    if not told or not told["config"]["ok"]:
        return False
    return {board["name"] for board in told["boards"]} == set(world.oracle.boards)


def _replace(config: Path, text: str) -> None:
    """Put another file in its place, as editors do."""
    other = config.with_suffix(".new")
    other.write_text(text)
    other.replace(config)
