"""The store: what a process that is alone keeps on its disk, to go on after a restart.

Of every board a state and the entries around it, and what the `Keeper` keeps beside them. Nothing
waits for the disk: what changes is written a moment later, all that came meanwhile at once, by a
thread of the store's own. A disk that is slow, full or broken costs what was to be kept, and
nothing else; when it is well again, everything is kept anew.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time
from typing import Any

import orjson

from ticker import keep
from ticker.entry import Backlog, Entry
from ticker.live import LiveBoard
from ticker.protocol import ms
from ticker.store import database
from ticker.store.database import Bad, Contents, Database, Occupied, Statement, Unusable
from ticker.store.shown import Shown
from ticker.store.worker import Worker

log = logging.getLogger(__name__)

BATCH_SECONDS = 0.05
"""What changes within so long is written at once: so much may be lost when the process dies."""

KEPT = 1_000
"""A state is kept anew after half as many entries; those before the last state but one go."""

PENDING_BYTES = 8_000_000
"""More than this does not wait for a slow disk: of a board its state is kept instead."""

VALUES_BYTES = 64_000_000
"""Of values more than this does not wait: they are let go, and kept anew when there is time."""

RETRY_SECONDS = (0.5, 30.0)
"""Shortest and longest wait before a disk that failed is tried again."""

LOAD_SECONDS = 20.0
"""For how long a disk is waited for at the start."""

CLOSE_SECONDS = 10.0
"""For how long a disk is waited for at the end."""

STATE_BYTES = 1_000_000
"""As in `ticker.entry`: a disk has more room than a bus."""

PAST_SECONDS = 60.0
"""As in `ticker.keep`: a disk is not to wear out."""

LOST_TOLD = 5
"""So many of the things that were lost are named in the log."""

EMPTIED = (
    "DELETE FROM boards",
    "DELETE FROM entries",
    "DELETE FROM kept WHERE part NOT LIKE 'history:%'",
)
"""What is not believed where everything is kept anew."""


@dataclass(slots=True)
class _Line:
    """What is yet to be written of a board."""

    at: tuple[str, int] | None = None
    """Epoch and seq to which all that was written and that waits leads; None when nothing does."""
    entries: list[bytes] = field(default_factory=list)
    size: int = 0
    """Bytes of those."""
    backlog: Backlog = field(default_factory=Backlog)
    state_id: int = 0
    """The last entry that was written before the state."""

    def drop(self) -> None:
        """Let all of the board be kept anew."""
        self.at, self.size = None, 0
        self.entries.clear()


class Store:
    """Keeps ``boards`` in the file at ``path``, and gets them there again."""

    term = "here"
    """Nobody else can be the poller."""

    def __init__(self, path: Path, boards: Mapping[str, LiveBoard]) -> None:
        self.path = path
        self.on_refill: Callable[[], None] = _nothing
        """Called when everything has to be kept anew."""
        self.why: str | None = "it was not opened yet"
        """Why nothing is kept now; None while all is well."""
        self.since = self.written_at = time()
        self.failures = self.written_bytes = self.transactions = 0
        self._boards = boards
        self._database: Database | None = None
        self._shown: Shown | None = None
        self._worker = Worker("store")
        self._contents = Contents()  # until everybody has taken what there was
        self._lines: dict[str, _Line] = {}
        self._last_id = 0
        self._values: list[Statement] = []
        self._values_size = 0
        self._anew = False  # whether what is kept may lack something that is not waiting either
        self._refilled = False  # whether that was asked for since somebody looked
        self._work = asyncio.Event()
        self._closing = asyncio.Event()
        self._writing: asyncio.Task[None] | None = None

    # -- at the start

    async def load(self) -> None:
        """Get every board where it was, as far as that is known; whatever is not there is new."""
        why = await self._read()
        now = time()
        for name, live in self._boards.items():
            if name in self._contents.states:
                await self._restore(live, now)
            self._show(live)
        if why is None:
            self.why, self.since = None, time()
            log.info("store: boards are kept in %s", self.path)
            self._forget(self._contents)
        else:
            self._ill(why)
        self._anew = why is not None or bool(self._contents.lost)
        self._work.set()

    async def _read(self) -> str | None:
        """Read what there is; return why nothing can be kept now, if so."""
        try:
            async with asyncio.timeout(LOAD_SECONDS):
                self._contents = await self._worker.do(self._open)
        except Occupied as error:
            return f"{error}; nothing is kept until it ends"
        except TimeoutError:
            return f"it does not answer within {LOAD_SECONDS:.0f} s; nothing is kept until it does"
        except Unusable as error:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOAD_SECONDS):
                    self._contents = await self._worker.do(database.peek, self.path)
            return f"{error}; nothing is kept until that is over"
        return None if self._database is not None else "a new file cannot be begun"

    def _open(self) -> Contents:
        """Open the file; one that is bad is put aside, and what can be read of it is kept anew."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NONBLOCK, 0o600))
            if not self.path.is_file():
                raise Unusable("it is not a file")
        except OSError as error:
            raise Unusable(str(error.strerror)) from None
        found = Contents()
        try:
            self._database = Database(self.path)
            found = self._database.read()
        except Bad as error:
            found.lost.append(f"all of it: {error}")
        if found.lost:
            with suppress(Unusable):  # what was read counts all the same
                self._renew(found.lost)
        self._last_id = max(found.last, self._last_id)
        if self._database is not None:
            self._prove()
        return found

    def _prove(self) -> None:
        """Have it noted what is shown from now on, beside the database that there is."""
        try:
            if self._shown is None:
                self._shown = Shown(self.path)
            else:
                self._shown.bind()
        except OSError as error:
            self._shown = None
            log.warning("store: %s: %s; boards will begin anew", self.path, error.strerror)

    def _renew(self, lost: Sequence[str]) -> None:
        """Put a bad file aside and begin another. Raises Unusable."""
        if self._database is not None:
            with suppress(Unusable):
                self._database.close()
            self._database = None
        more = f", and {len(lost) - LOST_TOLD} more" if len(lost) > LOST_TOLD else ""
        told = "; ".join(lost[:LOST_TOLD]) + more
        try:
            bad = database.aside(self.path)
        except OSError as error:
            log.error("store: lost: %s; the bad file cannot be put aside: %s", told, error.strerror)  # noqa: TRY400 - no traceback to users
            raise Unusable("a bad file is in the way") from None
        log.error("store: lost: %s; the bad file is now %s", told, bad)
        try:
            self._database = Database(self.path)
        except Bad as error:  # somebody was quicker
            raise Unusable(str(error)) from None

    async def _restore(self, live: LiveBoard, now: float) -> None:
        """Get a board where it was; in the same epoch only if nothing more was ever shown."""
        name, line = live.name, _Line()
        try:
            state, stored = self._contents.states[name], self._contents.entries.get(name, [])
            message = orjson.loads(state)
            decoded = [Entry.decode(name, data) for data in stored]
            entries = around(message["epoch"], message["seq"], decoded)
            live.restore(state, entries, now, await keep.past(self, name))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("store: lost: board '%s': %r", name, error)
            live.begin(secrets.token_hex(4))
            return
        why = self._shown.doubt(name, live.epoch, live.seq) if self._shown else "nothing proves it"
        if why is None:
            if not self._contents.lost and len(entries) == len(stored):
                line.at = live.epoch, live.seq
                line.backlog = Backlog(len(entries), sum(map(len, stored)), len(state))
        else:
            live.begin(secrets.token_hex(4))
            log.info("store: board '%s' begins a new epoch, %s: %s", name, live.epoch, why)
        self._lines[name] = line
        age = max(0.0, now - live.at / 1000)
        log.info("store: board '%s' has %d rows, %.0f s old", name, len(live.board), age)

    def _forget(self, contents: Contents) -> None:
        """Have what is of no board that there is removed from the file."""
        for name in (contents.states.keys() | contents.entries.keys()) - self._boards.keys():
            self._lines[name] = _Line()
        parts = {keep.FEEDS, keep.ASKED}.union(*map(keep.tables, self._boards))
        gone = [(part,) for part in contents.kept.keys() - parts]
        if gone:
            self._values.append(("DELETE FROM kept WHERE part = ?", gone))

    def settle(self) -> None:
        """Let go of what there was at the start: everybody has taken it."""
        self._contents = Contents()

    # -- what is to be kept; see `ticker.bus.Bus`, of which this is a part

    async def publish(self, live: LiveBoard, entry: Entry) -> bool:
        """Let a board take an entry, and have it written; False when it does not lead on."""
        if not live.take(entry):
            return False
        self._show(live)
        line = self._lines.setdefault(live.name, _Line())
        if line.at == (entry.epoch, entry.prev):
            data = entry.encode()
            line.entries.append(data)
            line.size += len(data)
            line.at = entry.epoch, entry.seq
            if line.size > PENDING_BYTES:
                line.drop()
        else:
            line.drop()
        self._work.set()
        return True

    def _show(self, live: LiveBoard) -> None:
        shown = self._shown  # which the thread may change meanwhile
        if shown is not None:
            shown.put(live.name, live.epoch, live.seq)

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        *,
        term: str = "",  # noqa: ARG002 - part of the seam
    ) -> None:
        """Keep values by key; None removes one. There is but one ``term``."""
        if self.why is not None:
            return  # everything is kept anew when that is over
        self._values += database.kept(values, table)
        size = sum(len(value) for value in values.values() if value)
        self._values_size += size
        self.written_bytes += size
        if self._values_size > VALUES_BYTES:
            if self._closing.is_set():  # there will be no other time
                await self._write_rest()
            else:
                self._drop_values()
                self._anew = True
        self._work.set()

    def _drop_values(self) -> None:
        self._values, self._values_size = [], 0

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what was kept in a table before the start."""
        return self._contents.kept.get(table, {})

    # -- to the disk

    def start(self) -> None:
        """Write what changes, from now on."""
        self._writing = asyncio.create_task(self.write_forever())

    async def write_forever(self) -> None:
        """Write what has changed, until it is closed."""
        shortest, longest = RETRY_SECONDS
        wait = shortest
        while not self._closing.is_set():
            await self._work.wait()
            await self._pause(BATCH_SECONDS)
            try:
                await self.write()
            except Exception:  # a defect must not end it for good
                log.exception("store: not everything was kept")
                self._failed("a defect")
            if self.why is None:
                wait = shortest
            else:
                await self._pause(wait)
                wait = min(2 * wait, longest)

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closing.wait()

    async def write(self) -> None:
        """Write what has changed by now, in one transaction."""
        anew, self._anew = self._anew, False
        statements = self._take(anew=anew)
        began = monotonic()
        try:
            await self._worker.do(self._write, statements)
        except Unusable as error:
            self._failed(str(error))
            return
        self.transactions += 1
        self.written_at = time()
        log.debug("store: written in %.3f s", monotonic() - began)
        if self.why is not None:
            log.info("store: %s works again", self.path)
            self.why, self.since = None, time()
        if anew:
            for live in self._boards.values():
                self._show(live)  # what notes it may be new, too
            self._refilled = True
            self.on_refill()

    def _take(self, *, anew: bool) -> list[Statement]:
        """Return what it takes to write all that waits; it waits no more.

        ``anew``: what is in the file may be older than what is known, and be no more. The past of
        rows stays: it is never wrong, and takes long to be kept again.
        """
        self._work.clear()
        statements: list[Statement] = []
        if anew:
            statements = [(sql, [()]) for sql in EMPTIED]
            for line in self._lines.values():
                line.drop()
        statements += self._values
        self._drop_values()
        for name in self._lines.keys() - self._boards.keys():
            del self._lines[name]
            statements += _forgotten(name)
            if (shown := self._shown) is not None:
                shown.forget(name)
        for name, live in self._boards.items():
            statements += self._take_line(live, self._lines.setdefault(name, _Line()))
        return statements

    def _take_line(self, live: LiveBoard, line: _Line) -> list[Statement]:
        name = live.name
        statements: list[Statement] = []
        if line.at is None:
            line.drop()
            statements.append(("DELETE FROM entries WHERE board = ?", [(name,)]))
        elif line.entries:
            first = self._last_id + 1
            rows = [
                (number, name, database.sealed(data, name))
                for number, data in enumerate(line.entries, first)
            ]
            self._last_id += len(rows)
            statements.append(("INSERT INTO entries VALUES (?, ?, ?)", rows))
            line.backlog.add(len(rows), line.size)
            self.written_bytes += line.size
            line.entries, line.size = [], 0
        if line.at is None or line.backlog.is_much(KEPT, STATE_BYTES):
            state = live.state(live.epoch, live.seq)
            sealed = database.sealed(state, name)
            statements.append(("INSERT OR REPLACE INTO boards VALUES (?, ?)", [(name, sealed)]))
            sql = "DELETE FROM entries WHERE board = ? AND id <= ?"
            statements.append((sql, [(name, line.state_id)]))
            line.at, line.state_id = (live.epoch, live.seq), self._last_id
            line.backlog = Backlog(state=len(state))
            self.written_bytes += len(state)
        return statements

    def _write(self, statements: Sequence[Statement]) -> None:
        """Write, or open the file to do so. Raises Unusable."""
        if self._database is None:
            self._open()  # what it has is older than what is known by now
        if self._database is None:
            raise Unusable("a new file cannot be begun")
        if not self._database.is_at(self.path):
            gone, self._database = self._database, None
            gone.close()
            raise Unusable("the file was removed or replaced")
        try:
            self._database.write(statements)
        except Bad as error:
            self._renew([f"all of it: {error}"])
            self._prove()
            raise Unusable("a new file was begun") from None

    def _failed(self, why: str) -> None:
        self.failures += 1
        self._drop_values()
        self._anew = True
        for line in self._lines.values():
            line.drop()
        self._work.set()  # tried again after a while
        if self.why is None:
            self._ill(f"{why}; nothing is kept until that is over")
        self.why = why

    def _ill(self, why: str) -> None:
        log.warning("store: %s: %s", self.path, why)
        self.why, self.since = why, time()

    # -- at the end

    async def close(self, finish: Callable[[], Awaitable[None]]) -> None:
        """Write what waits and what ``finish`` puts, all of it to the disk; let go of the file."""
        self._closing.set()
        self._work.set()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                if self._writing is not None:
                    await self._writing
                self._refilled = True
                while self._refilled:
                    self._refilled = False
                    await finish()
                    await self._write_rest()
                await self._worker.do(self._end)
        except (TimeoutError, Unusable) as error:
            log.warning("store: %s: %s", self.path, str(error) or "it takes too long to end")
        except Exception:  # a defect here must not keep the process from ending well
            log.exception("store: not everything was kept")
        self._worker.end()

    async def _write_rest(self) -> None:
        try:
            await self.write()
        except Exception:  # then the next one writes everything
            log.exception("store: not everything was kept")
            self._failed("a defect")

    def _end(self) -> None:
        """Let go of the file, and note that all that was shown is in it, if so. Raises Unusable."""
        shown, self._shown = self._shown, None
        well = self.why is None and self._database is not None
        try:
            if self._database is not None:
                self._database.close(whole=well)
        except Unusable:
            well = False
            raise
        finally:
            if shown is not None:
                _close(shown, ended=well)

    def wire(self) -> dict[str, Any]:
        """Return how it is, as ``/api/status`` says it."""
        return {
            "status": "ok" if self.why is None else "failing",
            "why": self.why,
            "since": ms(self.since),
            "written": ms(self.written_at),
            "failures": self.failures,
        }


def around(epoch: str, seq: int, entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that lead to ``seq`` and on from there, without a gap; none if none do."""
    found: list[Entry] = []
    for entry in entries:
        if entry.epoch != epoch or (found and entry.prev != found[-1].seq):
            if found and found[-1].seq >= seq:
                break
            found = []
        if entry.epoch == epoch:
            found.append(entry)
    leads = found and found[0].prev <= seq <= found[-1].seq
    return found if leads else []


def _close(shown: Shown, *, ended: bool) -> None:
    try:
        shown.close(ended=ended)
    except OSError as error:
        log.warning("store: %s; boards will begin anew", error.strerror)


def _forgotten(board: str) -> list[Statement]:
    parts = [(part,) for part in keep.tables(board)]
    return [
        ("DELETE FROM boards WHERE name = ?", [(board,)]),
        ("DELETE FROM entries WHERE board = ?", [(board,)]),
        ("DELETE FROM kept WHERE part = ?", parts),
    ]


def _nothing() -> None:
    """Do nothing."""
