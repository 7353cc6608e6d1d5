"""What comes over the bus: boards go where their entries lead, and news are heard."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping, Sequence
from time import monotonic, time
from typing import Any

import orjson

from ticker import keep
from ticker.bus import NEWS, Bus, BusError, Position, Pulse, Stored
from ticker.entry import Entry
from ticker.hub import Hub
from ticker.live import LiveBoard
from ticker.traffic import BusTraffic

log = logging.getLogger(__name__)

READ_SECONDS = 1.0
"""How long a read waits for entries before it is asked again."""

RETRY_SECONDS = (0.05, 2.0)
"""Shortest and longest wait after the bus did not answer; random in between, ever longer."""

SILENT_SECONDS = 1.0
"""Entries that the bus has and that did not come for so long are fetched over another link."""

SPREAD_SECONDS = 0.5
"""Boards that every process has to read anew are read at random times within so long."""

MISSED_SECONDS = 3.0
"""Between two readings; after more than this news may have been missed, however many are kept."""

Heard = Callable[[Mapping[str, Any]], None]
Found = Mapping[str, Sequence[tuple[str, bytes]]]


class Following:
    """Keeps boards where the bus has them, and hears its news. ``traffic`` counts both."""

    def __init__(
        self, bus: Bus, boards: Mapping[str, LiveBoard], hub: Hub, traffic: BusTraffic
    ) -> None:
        self.on_look: Callable[[], None] = nothing
        """Called when a board looks otherwise than before, because the poller says so."""
        self.on_missed: Callable[[], None] = nothing
        """Called when news may have been missed, and before the first are heard."""
        self._bus, self._boards, self._hub, self._traffic = bus, boards, hub, traffic
        self._cursors: dict[str, str] = {}
        self._reading: asyncio.Task[Found] | None = None
        self._read_at = monotonic()
        self._behind: dict[str, tuple[Position, float]] = {}  # where boards are to be, since when
        self._fetched: dict[str, float] = {}  # when such a board was last read as a whole
        self._spread = False  # whether many processes read boards anew now
        self._handlers: dict[str, Heard] = {}
        hub.starting = True
        self.reread()

    @property
    def unread(self) -> list[str]:
        """The boards that were not read yet, or have to be read anew."""
        return [name for name in self._boards if name not in self._cursors]

    @property
    def behind(self) -> float:
        """For how many seconds a board has been behind the bus; 0 when none is."""
        return max((monotonic() - since for _, since in self._behind.values()), default=0.0)

    def late(self, now: float, patience: float) -> list[str]:
        """Return the boards of which entries do not come, over no link; times are in seconds."""
        patience = max(2 * SILENT_SECONDS, patience)
        return [name for name, (_, since) in self._behind.items() if now - since > patience]

    def on(self, kind: str, heard: Heard) -> None:
        """Let ``heard`` have every news of a kind, also what this process says."""
        self._handlers[kind] = heard

    def reread(self) -> None:
        """Look anew which boards are read: there are others now."""
        for known in (self._cursors, self._behind, self._fetched):
            for name in known.keys() - self._boards.keys() - {NEWS}:
                del known[name]
        for live in self._boards.values():
            live.shared = True
        self._read_again()

    def reload(self, *names: str, spread: bool = False) -> None:
        """Read boards from the bus as a whole, all where none is named.

        ``spread`` says that the other processes do so now, too.
        """
        for name in names or self._boards:
            self._cursors.pop(name, None)
        self._spread = spread
        self._read_again()

    def renew(self) -> None:
        """Begin anew with the news: the bus is another one."""
        self._cursors.pop(NEWS, None)
        self._read_again()

    def _read_again(self) -> None:
        if self._reading is not None:
            self._reading.cancel()

    def compare(self, pulse: Pulse, now: float) -> None:
        """Find boards of which the bus has entries that do not come."""
        if pulse.settled != pulse.memory:
            self._behind.clear()  # what it has may be older than what is here
            return
        for name, live in self._boards.items():
            here = place(live)
            at = pulse.positions.get(name)
            wanted, since = self._behind.pop(name, (None, now))
            # it may be on another line by now, or have been forgotten: nothing leads there any more
            if wanted is None or here.reaches(wanted) or at is None or not at.reaches(wanted):
                wanted, since = at, now
            if wanted is None or here.reaches(wanted):
                continue
            self._behind[name] = wanted, since
            if now - max(since, self._fetched.get(name, 0.0)) > SILENT_SECONDS:
                log.warning("board '%s': the bus is at %s, but nothing comes", name, wanted)
                self._fetched[name] = now
                self.reload(name, spread=True)

    async def forever(self) -> None:
        """Take what comes over the bus, until cancelled."""
        shortest, longest = RETRY_SECONDS
        wait = shortest
        while True:
            try:
                await self._follow()
                wait = shortest
            except BusError as error:
                log.debug("the bus cannot be read: %s", error)
                await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
                wait = min(2 * wait, longest)
            except Exception:  # a defect must not make this process deaf for good
                log.exception("the bus: reading failed")
                self.reload()
                await asyncio.sleep(longest)

    async def _follow(self) -> None:
        for name in self._cursors.keys() - self._boards.keys() - {NEWS}:
            del self._cursors[name]  # if it comes back, it is another board
        if NEWS not in self._cursors:
            self._cursors[NEWS] = await self._bus.latest()
            self._read_at = monotonic()
            self.on_missed()
        if self._spread:
            self._spread = False
            await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))  # noqa: S311 - no secret
        for name, live in list(self._boards.items()):
            if name not in self._cursors:
                stored, past = await self._load_here(live)
                self._traffic.reloads += 1
                self._cursors[name] = stored.cursor
                self.adopt(live, stored, past)
        self._hub.starting = False
        cursors = {n: c for n, c in self._cursors.items() if n == NEWS or n in self._boards}
        reading = self._reading = asyncio.create_task(self._read(cursors))
        try:
            await asyncio.wait([reading])
        finally:
            self._reading = None
            reading.cancel()
        if reading.cancelled():
            return  # what is to be read is another
        found = reading.result()
        if monotonic() - self._read_at > MISSED_SECONDS:
            self.on_missed()
        self._read_at = monotonic()
        for name, entries in found.items():
            for cursor, data in entries:
                if name not in self._cursors:
                    break  # to be loaded
                self._cursors[name] = cursor
                if name == NEWS:
                    self._hear(data)
                elif name in self._boards:
                    self._take(self._boards[name], data)

    async def _read(self, cursors: Mapping[str, str]) -> Found:
        return await self._bus.read(cursors, READ_SECONDS)

    def _take(self, live: LiveBoard, data: bytes) -> None:
        self._traffic.read += 1
        self._traffic.read_bytes += len(data)
        for entry in _entries(live, [data]):
            self._take_entry(live, entry)

    def _take_entry(self, live: LiveBoard, entry: Entry) -> None:
        if live.take(entry):
            self._hub.publish(live)
            if entry.look is not None:
                self.on_look()
        elif entry.epoch != live.epoch or entry.seq > live.seq:
            self.reload(live.name, spread=True)

    async def _load_here(self, live: LiveBoard) -> tuple[Stored, Mapping[str, bytes] | None]:
        """Load a board, once more where it began a new epoch here before there was an answer."""
        while True:
            epoch = live.epoch
            found = await self.load(live)
            if live.epoch == epoch:
                return found

    async def load(self, live: LiveBoard) -> tuple[Stored, Mapping[str, bytes] | None]:
        """Return what the bus has of a board, and its rows' past where that is needed."""
        stored, past = await self._bus.load(live.name), None
        if live.history is not None and self._is_far(live, stored):
            past = await keep.past(self._bus, live.name)  # before the entries that come after it
            stored = await self._bus.load(live.name)
        return stored, past

    def _is_far(self, live: LiveBoard, stored: Stored) -> bool:
        """Whether the entries that are kept do not lead to where the bus has a board."""
        at = stored.position
        if at is None or at.epoch != live.epoch:
            return at is not None
        entries = _entries(live, stored.entries)
        return bool(entries) and live.seq < entries[0].prev

    def adopt(
        self, live: LiveBoard, stored: Stored, past: Mapping[str, bytes] | None = None
    ) -> None:
        """Go where the bus has a board, unless that is nowhere or behind what is here."""
        at = stored.position
        if at is None or stored.state is None:
            return
        if at.epoch == live.epoch and at.seq < live.seq:
            return  # what we have shown was forgotten there; whoever polls finds out
        entries = _entries(live, stored.entries)
        if at.epoch == live.epoch:
            for entry in entries:
                if entry.seq > live.seq or entry.prev == entry.seq == live.seq:
                    live.take(entry)
        look = live.look
        if at != place(live):
            another = at.epoch != live.epoch
            try:
                live.restore(stored.state, entries, time(), past)
            except ValueError as error:  # whoever polls puts it right
                log.warning("board '%s': the bus has a state that is none: %s", live.name, error)
                return
            if another:
                self._hub.restart(live)
        self._hub.publish(live)
        if live.look != look:
            self.on_look()

    def _hear(self, data: bytes) -> None:
        news = read(data)
        if not news:
            log.warning("news that cannot be read: %.100r", data)
        handler = self._handlers.get(str(news.get("kind")))
        if handler is None:
            return
        try:
            handler(news)
        except Exception:  # news from a defect elsewhere must not make this process deaf
            log.exception("news '%s' cannot be taken", news["kind"])


def _entries(live: LiveBoard, found: Sequence[bytes]) -> list[Entry]:
    """Return entries that came over the bus; of what is none, no more than a line is kept."""
    entries = []
    for data in found:
        try:
            entries.append(Entry.decode(live.name, data))
        except ValueError as error:
            log.warning("board '%s': %s: %.100r", live.name, error, data)
    return entries


def read(data: bytes) -> dict[str, Any]:
    """Return what another process says; nothing where that is not as we would say it."""
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        said = None
    return said if isinstance(said, dict) else {}


def place(live: LiveBoard) -> Position:
    """Return where a board is here."""
    return Position(live.epoch, live.seq)


def nothing(*_: object) -> None:
    """Do nothing."""
