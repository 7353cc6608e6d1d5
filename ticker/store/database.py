"""The file of the store: an SQLite database in WAL mode, with a checksum on every value.

Nobody else may use it meanwhile. SQLite finds out what a crash left unfinished, and much of what a
bad disk does; the checksums find the rest, value by value, so that one that is wrong loses itself
alone. Everything here blocks: it is for the store's thread.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from glob import escape
from pathlib import Path
from typing import Any
from zlib import crc32

from ticker.errors import TickerError

LAYOUT = 1
"""Version of the tables and of what stands in them."""

APPLICATION = 0x7469636B
"""Says in the head of the file that it is ours."""

BUSY_SECONDS = 1.0
"""For how long a process that is about to end is waited for."""

ASIDE_KEPT = 3
"""Most bad files that are kept beside the good one; older ones go."""

COMPANIONS = ("", "-wal", "-journal")

TABLES = (
    "CREATE TABLE boards (name TEXT PRIMARY KEY, state BLOB NOT NULL)",
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, board TEXT NOT NULL, entry BLOB NOT NULL)",
    "CREATE INDEX entries_of ON entries (board, id)",
    "CREATE TABLE kept (part TEXT, key TEXT, value BLOB NOT NULL, PRIMARY KEY (part, key))",
)

Statement = tuple[str, Sequence[tuple[Any, ...]]]
"""SQL, and the values with which it is done, once for each."""


class Unusable(TickerError):
    """The file cannot be used now; it may be well."""


class Occupied(Unusable):
    """Another process uses the file."""


class Bad(TickerError):
    """The file is not one of ours, or not whole."""


@dataclass(slots=True)
class Contents:
    """What is in a file: of each board a state and entries, and values by part and key."""

    states: dict[str, bytes] = field(default_factory=dict)
    entries: dict[str, list[bytes]] = field(default_factory=dict)
    kept: dict[str, dict[str, bytes]] = field(default_factory=dict)
    last: int = 0
    """The highest id of an entry."""
    lost: list[str] = field(default_factory=list)
    """What cannot be read, in words."""


def sealed(value: bytes, *place: object) -> bytes:
    """Return a value as it stands in its ``place`` of the file."""
    return _checksum(value, place) + value


def opened(value: object, *place: object) -> bytes | None:
    """Return what was sealed there; None where it is something else."""
    if not isinstance(value, bytes) or value[:4] != _checksum(value[4:], place):
        return None
    return value[4:]


def _checksum(value: bytes, place: Iterable[object]) -> bytes:
    return crc32(value, crc32("\0".join(map(str, place)).encode())).to_bytes(4, "big")


class Database:
    """An open file at ``path``. Raises Unusable or Bad when it cannot be had."""

    def __init__(self, path: Path) -> None:
        try:
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise Unusable(_words(error)) from None
        try:
            self._prepare()
            self._file = path.stat()
        except OSError as error:
            self._connection.close()
            raise Unusable(str(error.strerror)) from None
        except sqlite3.Error as error:
            self._connection.close()
            raise _judged(error) from None
        except Bad:
            self._connection.close()
            raise

    def _prepare(self) -> None:
        ask = self._connection.execute
        ask("PRAGMA locking_mode = EXCLUSIVE")
        ask("PRAGMA trusted_schema = OFF")
        ask("PRAGMA cell_size_check = ON")
        _is_new(self._connection)  # before anything is written to what may not be ours
        ask("PRAGMA journal_mode = WAL")
        ask("PRAGMA synchronous = NORMAL")
        ask("PRAGMA journal_size_limit = 16777216")
        ask("BEGIN IMMEDIATE")  # whoever else has it keeps it
        if _is_new(self._connection):
            ask(f"PRAGMA application_id = {APPLICATION}")
            ask(f"PRAGMA user_version = {LAYOUT}")
            for table in TABLES:
                ask(table)
        ask("COMMIT")

    def read(self) -> Contents:
        """Return everything that can be read; what cannot be is named."""
        return _read(self._connection)

    def is_at(self, path: Path) -> bool:
        """Whether this is still the file at ``path``: it may have been removed or replaced."""
        try:
            return os.path.samestat(self._file, path.stat())
        except OSError:
            return False

    def write(self, statements: Iterable[Statement]) -> None:
        """Do all of it or nothing. Raises Unusable or Bad."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for sql, values in statements:
                self._connection.executemany(sql, values)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise _judged(error) from None
        finally:
            if self._connection.in_transaction:
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")

    def close(self, *, whole: bool = False) -> None:
        """Let go of the file; ``whole`` waits until all of it is on the disk. Raises Unusable."""
        try:
            if whole:
                self._connection.execute("PRAGMA synchronous = FULL")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise Unusable(_words(error)) from None
        finally:
            with suppress(sqlite3.Error):
                self._connection.close()


def peek(path: Path) -> Contents:
    """Return what is in a file that cannot be written to, as it was last tidied up.

    Nothing where nobody can tell.
    """
    if not path.is_file():
        return Contents()
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
    except sqlite3.Error:
        return Contents()
    try:
        return Contents() if _is_new(connection) else _read(connection)
    except (sqlite3.Error, Bad):
        return Contents()
    finally:
        connection.close()


def _is_new(connection: sqlite3.Connection) -> bool:
    """Return whether there is nothing in a file yet. Raises Bad when it is not one of ours."""
    ask = connection.execute
    (application,) = ask("PRAGMA application_id").fetchone()
    (layout,) = ask("PRAGMA user_version").fetchone()
    (tables,) = ask("SELECT count(*) FROM sqlite_master").fetchone()
    if not application and not layout and not tables:
        return True
    if application != APPLICATION:
        raise Bad("it is the database of another program")
    if layout != LAYOUT:
        raise Bad(f"it was written by layout {layout}, this is {LAYOUT}")
    return False


def _read(connection: sqlite3.Connection) -> Contents:
    found = Contents()
    ask = connection.execute
    with _noted(found.lost):
        for name, state in ask("SELECT name, state FROM boards ORDER BY rowid"):
            if (value := opened(state, name)) is None:
                found.lost.append(f"board '{name}'")
            else:
                found.states[name] = value
    with _noted(found.lost):
        _read_entries(connection, found)
    with _noted(found.lost):
        for part, key, value in ask("SELECT part, key, value FROM kept ORDER BY rowid"):
            if (whole := opened(value, part, key)) is None:
                found.lost.append(f"'{key}' of '{part}'")
            else:
                found.kept.setdefault(part, {})[key] = whole
    return found


def _read_entries(connection: sqlite3.Connection, found: Contents) -> None:
    """Read what came after the states; what follows something unreadable leads nowhere."""
    ended: set[str] = set()
    query = "SELECT id, board, entry FROM entries ORDER BY id"
    for number, board, entry in connection.execute(query):
        found.last = max(found.last, number)
        if board in ended:
            continue
        if (whole := opened(entry, board)) is None:
            ended.add(board)
            found.lost.append(f"the latest changes of board '{board}'")
        else:
            found.entries.setdefault(board, []).append(whole)


class _noted:  # noqa: N801 - reads as a function
    """Lets what cannot be read end a reading, and notes it."""

    def __init__(self, lost: list[str]) -> None:
        self._lost = lost

    def __enter__(self) -> None: ...

    def __exit__(self, _: object, error: BaseException | None, __: object) -> bool:
        if not isinstance(error, sqlite3.Error | UnicodeDecodeError):
            return False
        self._lost.append(f"what comes after something that cannot be read ({error})")
        return True


def aside(path: Path) -> Path:
    """Move a bad file and its companions out of the way; return where it is now.

    Raises OSError when that cannot be. Only a few are kept.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    bad = path.with_name(f"{path.name}.bad-{stamp}")
    for companion in COMPANIONS:
        with suppress(FileNotFoundError):
            Path(f"{path}{companion}").replace(f"{bad}{companion}")
    old = sorted({p.name[: len(bad.name)] for p in path.parent.glob(f"{escape(path.name)}.bad-*")})
    for name in old[:-ASIDE_KEPT]:
        for companion in COMPANIONS:
            path.with_name(name + companion).unlink(missing_ok=True)
    return bad


_TROUBLE = {
    sqlite3.SQLITE_CANTOPEN: "cannot be opened",
    sqlite3.SQLITE_READONLY: "cannot be written to",
    sqlite3.SQLITE_PERM: "may not be opened",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk fails",
    sqlite3.SQLITE_NOMEM: "not enough memory",
    sqlite3.SQLITE_TOOBIG: "something is too large",
}
"""What says nothing of the file itself."""


def _judged(error: sqlite3.Error) -> TickerError:
    """Return what an error of SQLite means."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Occupied("another process uses it")
    if code in _TROUBLE:
        return Unusable(_words(error))
    return Bad(str(error))


def _words(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    return _TROUBLE.get(code, str(error))


def kept(values: Mapping[str, bytes | None], part: str) -> list[Statement]:
    """Return what it takes to keep values of a part; None is to be kept no more."""
    gone = [(part, key) for key, value in values.items() if value is None]
    stay = [
        (part, key, sealed(value, part, key)) for key, value in values.items() if value is not None
    ]
    statements: list[Statement] = []
    if gone:
        statements.append(("DELETE FROM kept WHERE part = ? AND key = ?", gone))
    if stay:
        statements.append(("INSERT OR REPLACE INTO kept VALUES (?, ?, ?)", stay))
    return statements
