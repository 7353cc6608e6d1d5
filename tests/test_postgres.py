"""The bus on PostgreSQL, beyond the contract of tests/test_bus.py: what only this server does."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg
import pytest

from tests.buses import POSTGRES_PASSWORD, Member, Postgres, members, postgres
from tests.support import PATIENCE, Follower, settings, until
from ticker.bus import NEWS, Beat, Bus, BusError, OtherProtocol, Position, Step, Untaken
from ticker.bus.connect import connect
from ticker.config import Bus as Settings
from ticker.errors import ConfigError

LONG = 60.0
"""A lease that does not end during a test."""

CONFIG = """
server: {{port: 0}}
bus: {{url: "{url}"}}
feeds:
  f: {{kind: simulate, every: 100ms, symbols: {{A: 10, B: 20, C: 30, D: 40, E: 50, F: 60}}}}
boards:
  b: {{feeds: [f]}}
"""

_PREFIXES = (f"p-{i}" for i in count())


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """Return a server that no test ends."""
    with postgres() as running:
        yield running


@pytest.fixture
def prefix() -> str:
    """Return where no other test is."""
    return next(_PREFIXES)


@pytest.fixture
async def bus(server: Postgres, prefix: str) -> AsyncIterator[Bus]:
    """Return a bus there."""
    found = server.bus(prefix)
    yield found
    await found.close()


async def sql(server: Postgres, query: str, *arguments: object) -> Any:
    """Return what the database answers to its owner."""
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


def beat(member: str = "m", term: str = "", **more: Any) -> Beat:
    """Return a beat of who wants to poll."""
    return Beat(member, b"card", term, takes=True, lease=LONG, **more)


def step(seq: int) -> Step:
    """Return the step to a seq from the one before; the first begins a line."""
    before = Position("e", seq - 1) if seq else None
    state = None if seq else b"state"
    return Step("b", before, Position("e", seq), b"entry %d" % seq, state)


async def led(bus: Bus, last: int) -> str:
    """Become the poller and lead a line to a seq; return the term."""
    term = (await bus.beat(beat())).term
    for seq in range(last + 1):
        await bus.publish(term, step(seq))
    return term


# -- tables


async def test_many_who_come_first_make_the_tables_once(server: Postgres, prefix: str) -> None:
    """All at the same time, each over both of its connections."""
    buses = [server.bus(prefix) for _ in range(12)]
    work = [bus.beat(beat(f"m{i}")) for i, bus in enumerate(buses)]
    reads = [bus.read({"b": "0"}, 0) for bus in buses]
    pulses, _ = await asyncio.gather(asyncio.gather(*work), asyncio.gather(*reads))
    assert len({pulse.term for pulse in pulses}) == len({pulse.memory for pulse in pulses}) == 1
    assert await sql(server, f'SELECT count(*) FROM "{prefix}".cluster') == 1
    for bus in buses:
        await bus.close()


async def test_tables_that_are_dropped_are_made_again(
    server: Postgres, prefix: str, bus: Bus
) -> None:
    """With another memory, as nothing is remembered."""
    before = await bus.beat(beat())
    await sql(server, f'DROP SCHEMA "{prefix}" CASCADE')
    with pytest.raises(BusError, match=f"schema '{prefix}' is not as this program makes it"):
        await bus.beat(beat())
    assert (await bus.beat(beat())).memory != before.memory


async def test_a_process_has_two_connections(server: Postgres, prefix: str) -> None:
    """However much it does at the same time."""
    bus = server.bus(prefix)
    mine = (
        "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'ticker' "
        f"AND query LIKE '%\"{prefix}\"%' OR query LIKE '%LISTEN \"{prefix}\"%'"
    )
    term = await led(bus, 0)
    reading = asyncio.create_task(bus.read({NEWS: "0"}, LONG))
    await asyncio.gather(
        *(bus.load("b") for _ in range(20)), *(bus.beat(beat("m", term)) for _ in range(20))
    )
    assert 1 <= await sql(server, mine + " AND pid <> pg_backend_pid()") <= 2
    reading.cancel()
    await bus.close()


async def test_what_is_kept_stays_small(server: Postgres, prefix: str) -> None:
    """Also where more was to be kept before."""
    generous, sparing = server.bus(prefix, kept=400), server.bus(prefix, kept=100)
    term = await led(generous, 350)
    assert await sql(server, f'SELECT count(*) FROM "{prefix}".entries') == 351
    for seq in range(351, 451):
        await sparing.publish(term, step(seq))
    assert await sql(server, f'SELECT count(*) FROM "{prefix}".entries') <= 200
    assert len((await sparing.load("b")).entries) == 100
    await generous.close()
    await sparing.close()


# -- reading


async def test_nothing_that_many_say_at_once_is_missed(prefix: str) -> None:
    """Readers see everything once and in one order, whatever the isolation by default is."""
    with postgres(default_transaction_isolation="serializable") as strict:
        writers, readers = ([strict.bus(prefix) for _ in range(4)] for _ in range(2))

        async def write(number: int, bus: Bus) -> None:
            for i in range(100):
                await bus.say(b"%d.%d" % (number, i))

        async def read(bus: Bus) -> list[bytes]:
            heard, cursor = list[bytes](), "0"
            while len(heard) < 400:
                found = (await bus.read({NEWS: cursor}, LONG)).get(NEWS, ())
                heard += [data for _, data in found]
                cursor = found[-1][0] if found else cursor
            return heard

        async with asyncio.timeout(2 * PATIENCE):
            heard, _ = await asyncio.gather(
                asyncio.gather(*map(read, readers)),
                asyncio.gather(*(write(number, bus) for number, bus in enumerate(writers))),
            )
        assert heard[1:] == heard[:-1]
        assert len(set(heard[0])) == 400
        for bus in (*writers, *readers):
            await bus.close()


async def listener(server: Postgres, prefix: str) -> int:
    """Return the process id of the connection that waits for the bell, as soon as it waits."""
    found = "SELECT pid FROM pg_stat_activity WHERE state = 'idle' AND query LIKE $1"
    async with asyncio.timeout(PATIENCE):
        while True:
            pid = await sql(server, found, f'%unnest%"{prefix}".entries%')
            if pid is not None:
                return int(pid)
            await asyncio.sleep(0.01)


async def test_a_bell_that_is_not_heard_costs_a_second(
    server: Postgres, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What came is found without it."""
    reader, writer = server.bus(prefix), server.bus(prefix)
    monkeypatch.setattr(reader, "_bell", _Deaf())
    term = await led(writer, 0)
    cursor = (await reader.load("b")).cursor
    reading = asyncio.create_task(reader.read({"b": cursor}, LONG))
    await listener(server, prefix)
    began = monotonic()
    await writer.publish(term, step(1))
    found = await asyncio.wait_for(reading, PATIENCE)
    assert [data for _, data in found["b"]] == [b"entry 1"]
    assert monotonic() - began < PATIENCE
    await reader.close()
    await writer.close()


class _Deaf(asyncio.Event):
    """A bell that is never heard."""

    def set(self) -> None:
        return

    async def wait(self) -> bool:  # type: ignore[override]
        await asyncio.get_running_loop().create_future()
        return False


async def test_a_connection_that_is_lost_while_it_waits_is_made_again(
    server: Postgres, prefix: str
) -> None:
    """At once: the same read goes on, and hears the bell."""
    reader, writer = server.bus(prefix), server.bus(prefix)
    term = await led(writer, 0)
    cursor = (await reader.load("b")).cursor
    reading = asyncio.create_task(reader.read({"b": cursor}, LONG))
    lost = await listener(server, prefix)
    await sql(server, "SELECT pg_terminate_backend($1)", lost)
    async with asyncio.timeout(PATIENCE):
        while await listener(server, prefix) == lost:  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.01)
    await writer.publish(term, step(1))
    found = await asyncio.wait_for(reading, PATIENCE)
    assert [data for _, data in found["b"]] == [b"entry 1"]
    await reader.close()
    await writer.close()


async def test_a_step_that_was_given_up_is_not_taken_much_later(
    server: Postgres, prefix: str
) -> None:
    """The server gives it up, too: whoever holds it up for long finds it gone."""
    bus = server.bus(prefix, lease=0.5)
    term = await led(bus, 0)
    holder = await asyncpg.connect(server.url)
    async with holder.transaction():
        await holder.execute(f'SELECT * FROM "{prefix}".cluster FOR UPDATE')
        with pytest.raises(BusError, match=r"no answer within 1 s|statement timeout"):
            await bus.publish(term, step(1))
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE $1"
        async with asyncio.timeout(PATIENCE):
            while await sql(server, waiting, f'%"{prefix}".publish%'):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
    await holder.close()
    assert (await bus.load("b")).position == Position("e", 0)
    await bus.publish(term, step(1))
    await bus.close()


async def test_a_server_that_does_not_answer_holds_up_no_goodbye() -> None:
    """Which is said to both connections."""
    with postgres() as server:
        bus = server.bus()
        await bus.beat(beat())
        await bus.read({NEWS: "0"}, 0)
        server.signal(signal.SIGSTOP)
        async with asyncio.timeout(PATIENCE):
            await bus.close()


async def test_ids_go_on_though_entries_are_forgotten(server: Postgres, prefix: str) -> None:
    """Whoever reads on from a cursor of before gets what comes, and all of it."""
    bus, reader = server.bus(prefix), server.bus(prefix)
    term = await led(bus, 5)
    await bus.say(b"old")
    cursors = {"b": (await bus.load("b")).cursor, NEWS: await bus.latest()}
    assert not await reader.read(cursors, 0)
    await sql(server, f'DELETE FROM "{prefix}".entries')
    await bus.publish(term, step(0))
    await bus.say(b"new")
    found = await reader.read(cursors, 0)
    assert {name: [data for _, data in new] for name, new in found.items()} == {
        "b": [b"entry 0"],
        NEWS: [b"new"],
    }
    await bus.close()
    await reader.close()


async def test_what_the_server_refuses_was_not_done_and_what_is_cut_off_may_have_been(
    server: Postgres, prefix: str
) -> None:
    """Which of the two it was is told by the error."""
    bus = server.bus(prefix)
    term = await led(bus, 0)
    await sql(server, f'ALTER TABLE "{prefix}".entries ADD CHECK (id < 0) NOT VALID')
    with pytest.raises(Untaken, match="violates check constraint"):
        await bus.publish(term, step(1))
    await sql(server, f'ALTER TABLE "{prefix}".entries DROP CONSTRAINT entries_id_check')
    holder = await asyncpg.connect(server.url)
    async with holder.transaction():
        await holder.execute(f'SELECT * FROM "{prefix}".cluster FOR UPDATE')
        publishing = asyncio.create_task(bus.publish(term, step(1)))
        await sql(server, "SELECT pg_terminate_backend($1)", await busy(server, prefix))
        with pytest.raises(BusError) as cut:
            await publishing
    assert not isinstance(cut.value, Untaken)
    await holder.close()
    await bus.publish(term, step(1))
    await bus.close()


async def busy(server: Postgres, prefix: str) -> int:
    """Return the process id of the connection that publishes, as soon as it waits to."""
    waiting = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE $1"
    async with asyncio.timeout(PATIENCE):
        while True:
            pid = await sql(server, waiting, f'%"{prefix}".publish%')
            if pid is not None:
                return int(pid)
            await asyncio.sleep(0.01)


# -- what it remembers with


async def memory(server: Postgres) -> str:
    """Return the name of the memory."""
    bus = server.bus()
    try:
        return (await bus.beat(beat())).memory
    finally:
        await bus.close()


async def test_where_commits_are_on_disk_a_crash_forgets_nothing() -> None:
    """So the memory is the same, and what was published, and who polls."""
    with postgres(fsync="on") as server:
        bus = server.bus()
        term = await led(bus, 5)
        before = await memory(server)
        server.kill()
        server.start()
        assert await memory(server) == before
        until_there = server.bus()
        stored = await until_there.load("b")
        assert [*stored.entries] == [b"entry %d" % seq for seq in range(6)]
        await until_there.publish(term, step(6))
        await bus.close()
        await until_there.close()


@pytest.mark.parametrize(("disk", "wait"), [("off", "on"), ("on", "off")])
async def test_where_commits_may_be_lost_a_crash_is_another_memory(disk: str, wait: str) -> None:
    """A stop in good order is none."""
    with postgres(fsync=disk, synchronous_commit=wait) as server:
        before = await memory(server)
        server.stop()
        server.start()
        assert await memory(server) == before
        server.kill()
        server.start()
        assert await memory(server) != before


async def test_a_standby_is_refused_until_it_takes_over_with_another_memory() -> None:
    """It may lack the latest."""
    with postgres(fsync="on") as server:
        before = await memory(server)
        server.stop()
        server.stand_by()
        server.start()
        with pytest.raises(BusError, match="the server takes nothing: it is a standby"):
            await memory(server)
        server.promote()
        assert await memory(server) != before


# -- bad input


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((POSTGRES_PASSWORD, "wrong-" * 3), 'password authentication failed for user "ticker"'),
        (("/postgres", "/nowhere"), 'database "nowhere" does not exist'),
        (("ticker:", "nobody:"), 'password authentication failed for user "nobody"'),
        (("127.0.0.1", "127.0.0.2"), "Connect call failed"),
        (("/postgres", "/postgres?sslmode=require"), "SSL"),
        (("/postgres", "/postgres?sslmode=some"), "sslmode"),
        (("/postgres", "/postgres?nonsense=1"), "unrecognized configuration parameter"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_server_that_does_not_let_one_in_is_said_so(
    server: Postgres, prefix: str, change: tuple[str, str], words: str
) -> None:
    """In words that do not have the password."""
    bus = connect(Settings(url=server.url.replace(*change), prefix=prefix))
    with pytest.raises(Untaken, match=words) as said:
        await bus.load("b")
    assert POSTGRES_PASSWORD not in str(said.value)
    assert "wrong-" not in str(said.value)
    assert "\n" not in str(said.value)
    await bus.close()


async def test_of_several_servers_the_one_that_takes_writes_is_found(
    server: Postgres, prefix: str
) -> None:
    """They stand in the query, as libpq has it."""
    login, _, rest = server.url.partition("127.0.0.1:")
    port, _, database = rest.partition("/")
    url = f"{login}/{database}?host=127.0.0.1,127.0.0.1&port=1,{port}"
    bus = connect(Settings(url=url, prefix=prefix))
    await led(bus, 1)
    await bus.close()
    bus = connect(Settings(url=url.replace("port=1,", "port=99999,"), prefix=prefix))
    with pytest.raises(BusError, match="port must be 0-65535"):
        await bus.load("b")


async def test_who_may_not_make_tables_is_told_what_is_needed(
    server: Postgres, prefix: str
) -> None:
    """A schema of one's own is enough; no right on the database is needed then."""
    await sql(server, f"CREATE ROLE \"{prefix}\" LOGIN PASSWORD '{POSTGRES_PASSWORD}'")
    url = server.url.replace("//ticker:", f"//{prefix}:")
    bus = connect(Settings(url=url, prefix=prefix))
    with pytest.raises(
        BusError,
        match=f"permission denied for database postgres: expected the right to create "
        f"schema '{prefix}', or to own it",
    ):
        await bus.beat(beat())
    await sql(server, f'CREATE SCHEMA "{prefix}" AUTHORIZATION "{prefix}"')
    await led(bus, 1)
    await bus.close()


async def test_another_protocol_is_refused_whatever_its_tables_are(
    server: Postgres, prefix: str
) -> None:
    """And left alone."""
    await sql(server, f'CREATE SCHEMA "{prefix}"')
    await sql(server, f'CREATE TABLE "{prefix}".cluster AS SELECT 2 AS protocol')
    bus = server.bus(prefix)
    for ask in (bus.latest, bus.latest, lambda: bus.beat(beat())):
        with pytest.raises(OtherProtocol, match="written by protocol 2, this is 1"):
            await ask()
    assert await sql(server, "SELECT to_regclass($1)::text", f'"{prefix}".entries') is None
    await bus.close()


@pytest.mark.parametrize("tables", ["cluster (x int)", "entries (x int)", "members (member text)"])
async def test_tables_of_another_shape_are_refused(
    server: Postgres, prefix: str, tables: str
) -> None:
    """By name, in words."""
    await sql(server, f'CREATE SCHEMA "{prefix}"')
    await sql(server, f'CREATE TABLE "{prefix}".{tables}')
    bus = server.bus(prefix)
    with pytest.raises(BusError, match=f"schema '{prefix}' is not as this program makes it: "):
        await led(bus, 1)
    await bus.close()


def test_without_the_library_the_config_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the line that needs it."""
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(ConfigError, match=r"3:12: bus.url: needs a library: pip install asyncpg"):
        settings(CONFIG.format(url="postgresql://localhost/ticker"))


@pytest.mark.parametrize(
    "url",
    [
        f"postgresql://u:{POSTGRES_PASSWORD}@{POSTGRES_PASSWORD}@h/db",
        f"postgresql://u:12/{POSTGRES_PASSWORD}@h/db",
        f"postgresql://u:12?{POSTGRES_PASSWORD}@h/db",
        f"postgresql://u:12#{POSTGRES_PASSWORD}@h/db",
        f"postgresql://u:{POSTGRES_PASSWORD}/{POSTGRES_PASSWORD}@h/db",
    ],
)
def test_a_password_that_a_url_would_break_is_refused(url: str) -> None:
    """A part of it would be taken for a host, a port or an option, and be shown as such."""
    with pytest.raises(ConfigError, match=r"bus.url: expected") as said:
        settings(CONFIG.format(url=url))
    assert POSTGRES_PASSWORD not in str(said.value)


def test_a_prefix_that_is_no_schema_is_refused() -> None:
    """The server would cut it short."""
    text = CONFIG.format(url="postgresql://localhost/ticker")
    for length, fits in ((63, True), (64, False)):
        config = text.replace('ticker"}', f'ticker", prefix: {"p" * length}}}')
        if fits:
            settings(config)
            continue
        with pytest.raises(ConfigError, match="prefix: expected at most 63 characters"):
            settings(config)


# -- with real processes


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where a config goes."""
    return tmp_path / "ticker.yaml"


def goes_on(viewer: Follower) -> None:
    """Wait for five more changes."""
    before = viewer.seqs.get("b", 0)
    viewer.follow_until(lambda v: v.seqs.get("b", 0) > before + 5, 2 * PATIENCE)


def kinds(viewer: Follower) -> list[str]:
    """Return the types of everything a viewer was told."""
    return [message["type"] for message in viewer.messages]


def poller_and_other(both: list[Member]) -> tuple[Member, Member]:
    """Return which of two polls, and which does not."""
    (poller,) = (m for m in both if m.polls)
    (other,) = (m for m in both if m is not poller)
    return poller, other


def test_viewers_of_another_process_do_not_notice_that_the_poller_is_killed(
    config: Path, server: Postgres
) -> None:
    """Neither snapshot nor gap; whoever watched the dead one goes on elsewhere by a diff."""
    config.write_text(CONFIG.format(url=server.url))
    with members(config, 3) as all_of_them:
        poller, other = poller_and_other(
            [m for m in all_of_them if m.polls] + [m for m in all_of_them if not m.polls][:1]
        )
        with poller.follow("b") as lost, other.follow("b") as viewer:
            for each in lost, viewer:
                goes_on(each)
            poller.kill()
            goes_on(viewer)
            assert kinds(viewer).count("snapshot") == 1
        back = other.follow("b", epoch=lost.epochs["b"], seq=lost.seqs["b"])
        back.rows, back.seqs = dict(lost.rows), dict(lost.seqs)
        with back:
            goes_on(back)
            assert "snapshot" not in kinds(back)
        assert sum(m.polls for m in all_of_them if m is not poller) == 1


def test_a_server_that_crashes_and_comes_back_is_a_pause(config: Path) -> None:
    """Viewers of both processes are told that data is late, and go on by a diff."""
    with postgres(fsync="on") as server:
        config.write_text(CONFIG.format(url=server.url))
        with members(config, 2) as both, both[0].follow("b") as one, both[1].follow("b") as other:
            for viewer in one, other:
                goes_on(viewer)
            server.kill()
            for viewer in one, other:
                viewer.follow_until(lambda v: "bus: " in v.feeds["b"]["f"].get("why", ""))
                assert viewer.feeds["b"]["f"]["quality"] == "stale"
            server.start()
            for viewer in one, other:
                goes_on(viewer)
                assert viewer.feeds["b"]["f"]["quality"] == "live"
                assert kinds(viewer).count("snapshot") == 1


def test_a_server_that_does_not_answer_for_a_while_is_a_pause(config: Path) -> None:
    """As above; its connections are there all the time."""
    with postgres() as server:
        config.write_text(CONFIG.format(url=server.url))
        with members(config, 2) as both, both[0].follow("b") as one, both[1].follow("b") as other:
            for viewer in one, other:
                goes_on(viewer)
            server.signal(signal.SIGSTOP)
            for viewer in one, other:
                viewer.follow_until(lambda v: v.feeds["b"]["f"]["quality"] == "stale")
            server.signal(signal.SIGCONT)
            for viewer in one, other:
                goes_on(viewer)
                assert viewer.feeds["b"]["f"]["quality"] == "live"
                assert kinds(viewer).count("snapshot") == 1
            until(lambda: sum(m.polls for m in both) == 1)
