"""What the poller keeps on the bus beside the boards, for whoever starts or takes over.

Of every board the past of its rows, and what cannot be seen of its rows: which feed says what. Of
every feed when its source was asked last, and what else it takes to go on. All of it is kept off
the way of the data, but for what must be right before something else happens: a source is asked
only after that was kept, and a board shows what a feed says only after it was kept who said it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from time import monotonic
from typing import Any, Protocol, TypeVar
from zlib import crc32

import orjson

from ticker.board import Claim, Claims
from ticker.bus import BusError
from ticker.entry import Entry
from ticker.fields import is_number
from ticker.live import LiveBoard

log = logging.getLogger(__name__)

KEEP_SECONDS = 1.0
"""How often is kept what has changed."""

PAST_SECONDS = 20.0
"""The past of a row is kept again after so long, if it has changed and nothing else is said."""

SHARE = 10
"""Of the rows of a board one in so many is kept at a time, and a few more."""

PARTS = 16
"""The past of a board is in so many tables: none is read at once that holds up others."""

SLICE = 100
"""Rows that are kept at a time, between which others have their turn."""

FEEDS, ASKED = "feeds", "asked"
WHOLE = ""
"""Under this key, which no row has, the table of claims has whose they are."""

Values = dict[str, bytes | None]

T = TypeVar("T")


class Tables(Protocol):
    """Where values are kept; see `ticker.bus.Bus`."""

    async def put(self, table: str, values: Mapping[str, bytes | None], *, term: str = "") -> None:
        """Keep values by key; None removes one."""

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what is kept in a table."""


class Poller(Protocol):
    """What may publish while it has a term."""

    @property
    def term(self) -> str:
        """Its term, empty while it is not the poller."""

    async def publish(self, live: LiveBoard, entry: Entry) -> bool:
        """Publish an entry; False when that is not possible now."""


@dataclass(frozen=True, slots=True)
class Asked:
    """When a source was asked last (epoch seconds), and when it may be asked again.

    ``wait`` is for how long it is left alone at least; ``every`` was the interval in force.
    """

    at: float | None = None
    wait: float = 0.0
    every: float | None = None


NEVER = Asked()


@dataclass(frozen=True, slots=True)
class Kept:
    """What there is to go on with, by feed or by board."""

    feeds: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    asked: Mapping[str, Asked] = field(default_factory=dict)
    claims: Mapping[str, Claims] = field(default_factory=dict)

    def memory(self, name: str) -> Mapping[str, Any]:
        """Return what a feed goes on with.

        What the source was last asked may have been answered since: then it is asked as a stranger.
        """
        memory = self.feeds.get(name, {})
        asked = self.asked.get(name, NEVER).at
        if asked is not None and (memory.get("attempt") or 0.0) < asked:
            return {part: value for part, value in memory.items() if part != "feed"}
        return memory


async def past(bus: Tables, board: str) -> dict[str, bytes]:
    """Return the past of a board's rows. Raises BusError."""
    found: dict[str, bytes] = {}
    for table in _past_tables(board):
        found |= await bus.get(table)
    return found


async def load(bus: Tables, boards: Iterable[str]) -> Kept:
    """Return what is kept of all feeds, and of ``boards``. Raises BusError."""
    feeds = await _get(bus, FEEDS, dict)
    asked = await _get(bus, ASKED, _asked)
    claims = {}
    for board in boards:
        table = await bus.get(_claims(board))
        found = await _get(bus, _claims(board), _claim)
        whole = _read(table.get(WHOLE, b""), list)
        if whole is not None and len(found) == len(table) - 1:  # else nothing of it counts
            claims[board] = Claims(whole, found)
    return Kept(feeds, asked, claims)


async def _get(bus: Tables, table: str, kind: Callable[[Any], T]) -> dict[str, T]:
    """Return the values of a table; what is none of ours is as if it were not there."""
    read = {key: _read(data, kind) for key, data in (await bus.get(table)).items() if key != WHOLE}
    return {key: value for key, value in read.items() if value is not None}


def _read(data: bytes, kind: Callable[[Any], T]) -> T | None:
    try:
        return kind(orjson.loads(data))
    except (ValueError, TypeError, AttributeError):
        return None


def _asked(told: Any) -> Asked:
    asked = Asked(**told)
    if not all(is_number(n) for n in (asked.at or 0, asked.wait, asked.every or 0)):
        raise ValueError("expected numbers")
    return asked


def _claim(told: Any) -> Claim:
    return {str(feed): dict(step) for feed, step in told.items()}


@dataclass(slots=True)
class _Board:
    """What is yet to be kept of a board."""

    feeds: list[str] | None = None
    """Whose claims are kept; None when they must all be kept anew."""
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Claims are kept in the order in which they were made."""
    changed: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Rows whose past is to be kept: since when, of the monotonic clock, and since which seq."""


class Keeper:
    """Keeps what belongs to ``boards`` while this process has the ``term``, and nothing after."""

    def __init__(
        self,
        bus: Tables,
        boards: Mapping[str, LiveBoard],
        poller: Poller,
        kept: int,
        past_seconds: float | None = None,
    ) -> None:
        """``kept`` is how many entries of a board the bus remembers."""
        self._bus, self._boards, self._poller = bus, boards, poller
        self._past_seconds = PAST_SECONDS if past_seconds is None else past_seconds
        self.memories: Callable[[], Mapping[str, Any]] = dict
        """Returns what is to be kept of each feed."""
        self._entries = max(1, kept // 4)
        self._loaded = Kept()
        self._about: dict[str, _Board] = {}
        self._feeds: dict[str, bytes] = {}
        self._asked: dict[str, Asked] = {}
        self._forgotten = False  # whether the bus has to be told again when sources were asked

    async def load(self) -> None:
        """Look what there is to go on with. Raises BusError."""
        self._loaded = await load(self._bus, list(self._boards))

    def take(self) -> Kept:
        """Return what was loaded, and keep it from now on: this process is the poller."""
        kept, self._loaded = self._loaded, Kept()
        self._feeds = dict.fromkeys(kept.feeds, b"")
        self._asked = dict(kept.asked)
        self._about = {}
        for name, live in self._boards.items():
            known = kept.claims.get(name)
            self._about[name] = _Board(list(known.feeds) if known else None)
            self._touch(live, monotonic())
        return kept

    def end(self) -> None:
        """Keep nothing any more."""
        self._about = {}
        for live in self._boards.values():
            if live.history is not None:
                live.history.touched = None

    def refill(self) -> None:
        """Keep everything anew: the bus has forgotten it."""
        self._feeds, self._forgotten = {}, True
        for name, live in self._boards.items():
            self._about[name] = _Board()
            self._touch(live, 0.0)

    def forget(self, boards: Iterable[str]) -> None:
        """Keep nothing of boards that are no more, whoever kept it."""
        for name in boards:
            self._about.setdefault(name, _Board())

    def _touch(self, live: LiveBoard, since: float) -> None:
        """Let the past of all rows be kept, as if they had changed ``since`` then."""
        if live.history is not None:
            live.history.touched = set()
            self._about[live.name].changed = dict.fromkeys(live.history, (since, live.seq))

    # -- before something else happens

    async def publish(self, live: LiveBoard, entry: Entry) -> bool:
        """Publish an entry, but first keep who says what is in it; False when that cannot be."""
        term = self._poller.term
        try:
            if term:
                await self._keep_claims(live, term)
        except BusError as error:
            log.debug("board '%s': what feeds say was not kept: %s", live.name, error)
            return False
        return await self._poller.publish(live, entry)

    async def ask(self, name: str, every: float, at: float, wait: float = 0.0) -> None:
        """Keep that the source of a feed is asked ``at``, and left alone for ``wait`` after it."""
        asked = self._asked[name] = Asked(at, wait, float(every))
        try:
            await self._bus.put(
                ASKED, {name: orjson.dumps(asked)}, term=self._poller.term or "nobody"
            )
        except BusError as error:
            log.debug("feed '%s': when it was read was not kept: %s", name, error)

    # -- in between

    async def keep_forever(self) -> None:
        """Keep what has changed, until cancelled."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            try:
                await self.keep()
            except BusError as error:
                log.debug("not everything was kept: %s", error)
            except Exception:  # a defect must not end it for good
                log.exception("not everything was kept")

    async def keep(self) -> None:
        """Keep what has changed. Raises BusError."""
        term = self._poller.term
        if not term:
            return
        for live in list(self._boards.values()):
            await self._keep_claims(live, term)
            await self._keep_past(live, term)
        for name in self._about.keys() - self._boards.keys():
            for table in tables(name):
                await self._bus.put(table, dict.fromkeys(await self._bus.get(table)), term=term)
            self._about.pop(name, None)  # it may have ceased to be the poller meanwhile
        await self._keep_feeds(term)

    async def finish(self) -> None:
        """Keep all that has changed, also what would have time: it is the end. Raises BusError."""
        term = self._poller.term
        self._past_seconds = 0.0
        for live in self._boards.values():
            while await self._keep_past(live, term):  # noqa: ASYNC110 - others have their turn
                await asyncio.sleep(0)
        await self.keep()

    async def _keep_feeds(self, term: str) -> None:
        found = {
            name: orjson.dumps(memory, option=orjson.OPT_NON_STR_KEYS)
            for name, memory in self.memories().items()
        }
        changed: Values = {n: data for n, data in found.items() if self._feeds.get(n) != data}
        changed |= dict.fromkeys(self._feeds.keys() - found.keys())
        if changed:
            await self._bus.put(FEEDS, changed, term=term)
        gone = self._asked.keys() - found.keys()
        again = self._asked if self._forgotten else {}
        asked = {name: orjson.dumps(told) for name, told in again.items()} | dict.fromkeys(gone)
        if asked:
            await self._bus.put(ASKED, asked, term=term)
        self._feeds, self._forgotten = found, False
        for name in gone:
            self._asked.pop(name, None)

    async def _keep_claims(self, live: LiveBoard, term: str) -> None:
        about = self._about.setdefault(live.name, _Board())
        async with about.order:
            await self._keep_all_claims(live, about, term)

    async def _keep_all_claims(self, live: LiveBoard, about: _Board, term: str) -> None:
        feeds = list(live.shape.feeds)
        board = live.board
        if about.feeds is None:
            board.unkept.update(dict.fromkeys(board.claims))
        if about.feeds == feeds and not board.unkept:
            return
        kept = {symbol: board.claims.get(symbol) for symbol in board.unkept}
        values: Values = {s: c if c is None else orjson.dumps(c) for s, c in kept.items()}
        for part in _parts(values):
            await self._bus.put(_claims(live.name), part, term=term)
        if about.feeds != feeds:
            await self._bus.put(_claims(live.name), {WHOLE: orjson.dumps(feeds)}, term=term)
        about.feeds = feeds
        for symbol, claim in kept.items():
            if board.claims.get(symbol) is claim:  # else it has changed meanwhile
                board.unkept.pop(symbol, None)

    async def _keep_past(self, live: LiveBoard, term: str) -> bool:
        """Keep the past of rows that have changed: those of which it was kept longest ago.

        Returns whether there is more of it.
        """
        history = live.history
        if history is None:
            return False
        now, about = monotonic(), self._about.setdefault(live.name, _Board())
        if history.touched is None:  # a board, or a history, that came with a reload
            self._touch(live, now)
            return True
        for symbol in history.touched:
            about.changed.setdefault(symbol, (now, live.seq))
        history.touched.clear()
        tables: dict[str, list[str]] = {}
        for symbol in islice(self._due(live, about, now), len(history) // SHARE + SLICE):
            part = crc32(symbol.encode()) % PARTS
            tables.setdefault(_past_table(live.name, part), []).append(symbol)
        for table, symbols in tables.items():
            for start in range(0, len(symbols), SLICE):
                values = {s: live.packed(s) for s in symbols[start : start + SLICE]}
                before = {s: about.changed.pop(s, (now, live.seq)) for s in values}
                try:
                    await self._bus.put(table, values, term=term)
                except BusError:
                    about.changed = before | about.changed
                    raise
        return bool(about.changed)

    def _due(self, live: LiveBoard, about: _Board, now: float) -> Iterator[str]:
        """Yield rows whose past is to be kept: before the bus forgets what came since."""
        for symbol, (since, seq) in about.changed.items():
            if now - since < self._past_seconds and 0 <= live.seq - seq < self._entries:
                return
            yield symbol


def _claims(board: str) -> str:
    return f"said:{board}"


def tables(board: str) -> list[str]:
    """Return the names of all tables of a board."""
    return [_claims(board), *_past_tables(board)]


def _past_table(board: str, part: int) -> str:
    return f"history:{part}:{board}"


def _past_tables(board: str) -> list[str]:
    return [_past_table(board, part) for part in range(PARTS)]


def _parts(values: Values) -> Iterator[Values]:
    """Yield values, not too many at a time."""
    items = iter(values.items())
    while part := dict(islice(items, 10 * SLICE)):
        yield part
