"""The bus on PostgreSQL: tables hold the entries, LISTEN/NOTIFY rings, functions make steps atomic.

What is in the database is in ``postgres.sql``. A process has two connections: one that is told what
to do, one that reads and hears the bell. asyncpg, because a connection of it can be given up at
once: a query that a server does not answer is not waited for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from importlib.resources import files
from time import monotonic
from typing import Any

import asyncpg

from ticker import redact
from ticker.bus import (
    MEMBER_SECONDS,
    NEWS,
    NEWS_KEPT,
    PROTOCOL,
    Beat,
    BusError,
    Elsewhere,
    Fenced,
    OtherProtocol,
    Position,
    Pulse,
    Step,
    Stored,
    Untaken,
)
from ticker.errors import one_line

READ_MOST = 100
"""Most entries of one board that are read at once."""

BELL_SECONDS = 1.0
"""The bell may not have been heard: so often is looked without it."""

CLOSE_SECONDS = 1.0
"""How long a server is given to say goodbye."""

_TROUBLE = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    OverflowError,  # of a port
    ValueError,
)

_TABLES = files("ticker.bus").joinpath("postgres.sql").read_text()
_SHAPE = sha256(_TABLES.encode()).hexdigest()[:8]

_SET = """
SELECT set_config('statement_timeout', $1, false),
    set_config('default_transaction_isolation', 'read committed', false)
"""

_LOCK = "SELECT pg_advisory_xact_lock({lock})"
_IS_THERE = "SELECT to_regclass('{schema}.cluster') IS NOT NULL"
_IS_MADE = "SELECT to_regproc('{schema}.put_{shape}') IS NOT NULL"
_PROTOCOL = "SELECT protocol FROM {schema}.cluster"
_BEGIN = "INSERT INTO {schema}.cluster (protocol) VALUES ($1) ON CONFLICT DO NOTHING"

_BEAT = "SELECT * FROM {schema}.beat_{shape}($1, $2, $3, $4, $5, $6, $7, $8, $9)"
_RESIGN = "SELECT {schema}.resign_{shape}($1)"
_PUBLISH = "SELECT * FROM {schema}.publish_{shape}($1, $2, $3, $4, $5, $6, $7, $8)"
_FORGET = "SELECT * FROM {schema}.forget_{shape}($1, $2, $3)"
_SAY = "SELECT {schema}.say_{shape}($1, $2)"
_PUT = "SELECT {schema}.put_{shape}($1, $2, $3, $4, $5, $6)"
_GET = """
SELECT key, value FROM {schema}.small
WHERE name = $1 AND (until IS NULL OR until > clock_timestamp())
"""
_LATEST = "SELECT coalesce(max(id), 0) FROM {schema}.entries WHERE board = $1"

# one statement, so of one moment
_LOAD = """
SELECT c.protocol, b.state, e.last, e.position, e.entries
FROM {schema}.cluster AS c
LEFT JOIN {schema}.boards AS b ON b.board = $1
CROSS JOIN (
    SELECT max(id) AS last, (array_agg(position ORDER BY id DESC))[1] AS position,
        array_agg(data ORDER BY id) AS entries
    FROM (SELECT * FROM {schema}.entries WHERE board = $1 ORDER BY id DESC LIMIT $2) AS newest
) AS e
"""

# a row of the protocol alone where there is nothing new
_READ = """
SELECT k.protocol, e.board, e.id, e.data
FROM {schema}.cluster AS k
LEFT JOIN (
    SELECT c.board, n.id, n.data
    FROM unnest($1::text[], $2::bigint[]) AS c (board, cursor)
    CROSS JOIN LATERAL (
        SELECT id, data FROM {schema}.entries
        WHERE board = c.board AND id > c.cursor ORDER BY id LIMIT $3
    ) AS n
) AS e ON true
ORDER BY e.board, e.id
"""


class PostgresBus:
    """A bus in the database at ``url``; two with different prefixes know nothing of each other.

    ``patience`` is how long a call may take, in seconds; ``kept`` how many entries of a board are
    kept; ``hidden`` is what no error may have in its words.
    """

    def __init__(
        self, url: str, prefix: str, *, patience: float, kept: int, hidden: Collection[str] = ()
    ) -> None:
        self._kept = kept
        self._bell = asyncio.Event()
        self._link = _Link(url, prefix, patience, hidden)
        self._reader = _Link(url, prefix, patience, hidden, self._bell.set)

    async def beat(self, beat: Beat) -> Pulse:
        """Say that a process lives, renew or take the lease; learn how everything is."""
        (found,) = await self._link.ask(
            _BEAT,
            PROTOCOL,
            beat.member,
            beat.card,
            beat.term,
            beat.takes,
            beat.lease,
            beat.settled,
            beat.memory,
            MEMBER_SECONDS,
        )
        _check(found)
        positions = map(Position.parse, found["positions"] or ())
        return Pulse(
            found["holder"],
            found["memory"],
            found["told"],
            dict(zip(found["boards"] or (), positions, strict=True)),
            dict(zip(found["ids"] or (), found["cards"] or (), strict=True)),
        )

    async def resign(self, term: str) -> None:
        """Give the lease back, if ``term`` still has it."""
        await self._link.ask(_RESIGN, term)

    async def publish(self, term: str, step: Step) -> None:
        """Take a step, all of it or nothing. Raises Fenced or Elsewhere."""
        before = None if step.before is None else str(step.before)
        (found,) = await self._link.ask(
            _PUBLISH,
            PROTOCOL,
            term,
            step.board,
            before,
            str(step.after),
            step.entry,
            step.state,
            self._kept,
        )
        _check(found)
        if found["said"] == "fenced":
            raise Fenced(term)
        if found["said"] == "elsewhere":
            raise Elsewhere(step.board, found["was"], step.before)

    async def forget(self, term: str, boards: Sequence[str]) -> None:
        """Keep nothing of some boards any more. Raises Fenced."""
        (found,) = await self._link.ask(_FORGET, PROTOCOL, term, list(boards))
        _check(found)
        if found["said"] == "fenced":
            raise Fenced(term)

    async def load(self, board: str) -> Stored:
        """Return what there is of a board, of one moment."""
        found = await self._link.ask(_LOAD, board, self._kept)
        if not found:  # nobody's beat was here yet
            return Stored(None, None, [], "0")
        _check(found[0])
        _, state, last, at, entries = found[0]
        return Stored(Position.parse(at) if at else None, state, entries or [], str(last or 0))

    async def read(
        self, cursors: Mapping[str, str], wait: float
    ) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return what came after each cursor; wait for it up to so many seconds."""
        until = monotonic() + wait
        names, ids = list(cursors), list(map(int, cursors.values()))
        while True:
            self._bell.clear()  # before looking: what comes meanwhile is looked for again
            found: dict[str, list[tuple[str, bytes]]] = {}
            for row in await self._reader.ask(_READ, names, ids, READ_MOST):
                _check(row)
                if row["board"] is not None:
                    found.setdefault(row["board"], []).append((str(row["id"]), row["data"]))
            left = until - monotonic()
            if found or left <= 0:
                return found
            await _heard(self._bell, min(left, BELL_SECONDS))

    async def latest(self) -> str:
        """Return the cursor behind the latest news."""
        ((last,),) = await self._link.ask(_LATEST, NEWS)
        return str(last)

    async def say(self, news: bytes) -> None:
        """Tell every process that reads."""
        await self._link.ask(_SAY, news, NEWS_KEPT)

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        lasts: float | None = None,
        *,
        term: str = "",
    ) -> None:
        """Keep values by key, for ``lasts`` seconds from now if so; None removes one."""
        kept = {name: value for name, value in values.items() if value is not None}
        gone = [name for name, value in values.items() if value is None]
        ((done,),) = await self._link.ask(
            _PUT, term, table, list(kept), list(kept.values()), gone, lasts
        )
        if not done:
            raise Fenced(term)

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what is kept in a table."""
        return dict(map(tuple, await self._link.ask(_GET, table)))

    async def close(self) -> None:
        """Release what it holds."""
        for link in (self._link, self._reader):
            await link.close()


class _Link:
    """One connection, made when it is needed and made anew after any failure.

    Before it is used the tables are there and of this protocol. ``heard`` is called when the bell
    rings, and when the connection is lost.
    """

    def __init__(
        self,
        url: str,
        prefix: str,
        patience: float,
        hidden: Collection[str],
        heard: Callable[[], None] | None = None,
    ) -> None:
        self._url, self._prefix, self._patience = url, prefix, patience
        self._hidden, self._heard = hidden, heard
        self._connection: Any = None
        self._turn = asyncio.Lock()  # a connection does one thing at a time
        digest = sha256(prefix.encode()).digest()[:8]
        self._names = {
            "{schema}": f'"{prefix}"',
            "{shape}": _SHAPE,
            "{channel}": f"'{prefix}'",
            "{lock}": str(int.from_bytes(digest, "big", signed=True)),
        }

    async def ask(self, query: str, *args: object) -> Any:
        """Return the rows of an answer, in bounded time.

        What goes wrong is a BusError: Untaken where nothing was asked yet, and where the server
        says that it has not done it.
        """
        asked = False
        try:
            async with asyncio.timeout(self._patience), self._turn:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await self._connect()
                asked = True
                try:
                    return await self._connection.fetch(self._named(query), *args)
                except BaseException:  # also when cancelled: an answer may still come, to nobody
                    self._connection.terminate()
                    raise
        except TimeoutError:
            kind = BusError if asked else Untaken
            raise kind(f"no answer within {self._patience:g} s") from None
        except _TROUBLE as error:
            untaken = not asked or getattr(error, "severity_en", "") == "ERROR"
            raise (Untaken if untaken else BusError)(self._in_words(error)) from None

    def _named(self, query: str) -> str:
        for word, name in self._names.items():
            query = query.replace(word, name)
        return query

    async def _connect(self) -> Any:
        connection = await asyncpg.connect(
            self._url,
            timeout=self._patience,
            target_session_attrs="read-write",
            max_cached_statement_lifetime=0,
            server_settings={"application_name": "ticker"},
        )
        try:
            await self._prepare(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def _prepare(self, connection: Any) -> None:
        await connection.fetch(_SET, str(round(self._patience * 1000)))
        if await connection.fetchval(self._named(_IS_THERE)):
            protocol = await connection.fetchval(self._named(_PROTOCOL))
            if protocol not in {None, PROTOCOL}:
                raise OtherProtocol(str(protocol))
        if not await connection.fetchval(self._named(_IS_MADE)):
            await self._make(connection)
        if self._heard is not None:
            await connection.add_listener(self._prefix, self._ring)
            connection.add_termination_listener(self._ring)

    async def _make(self, connection: Any) -> None:
        """Make the tables and functions, once, however many processes want to."""
        async with connection.transaction():
            await connection.execute(self._named(_LOCK))
            if await connection.fetchval(self._named(_IS_MADE)):
                return
            known = await connection.fetchval("SELECT to_regnamespace($1)", self._named("{schema}"))
            if known is None:
                await connection.execute(self._named("CREATE SCHEMA {schema}"))
            await connection.execute(self._named(_TABLES))
            await connection.execute(self._named(_BEGIN), PROTOCOL)

    def _ring(self, *_: object) -> None:
        if self._heard is not None:
            self._heard()

    async def close(self) -> None:
        """End the connection, with or without the server."""
        if self._connection is not None:
            try:
                await self._connection.close(timeout=CLOSE_SECONDS)
            except _TROUBLE:
                self._connection.terminate()

    def _in_words(self, error: Exception) -> str:
        words = redact.without(one_line(str(error)), self._hidden) or type(error).__name__
        code = getattr(error, "sqlstate", None) or ""
        if isinstance(error, asyncpg.exceptions.TargetServerAttributeNotMatched) or code == "25006":
            return "the server takes nothing: it is a standby"
        if code == "42501":
            return f"{words}: expected the right to create schema '{self._prefix}', or to own it"
        if code[:2] in {"42", "3F"}:
            return f"schema '{self._prefix}' is not as this program makes it: {words}"
        return words


def _check(found: Any) -> None:
    if found["protocol"] not in {None, PROTOCOL}:
        raise OtherProtocol(str(found["protocol"]))


async def _heard(bell: asyncio.Event, wait: float) -> None:
    """Wait for the bell, up to so many seconds."""
    try:
        async with asyncio.timeout(wait):
            await bell.wait()
    except TimeoutError:
        return
