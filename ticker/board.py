"""The board: what everybody sees, and what leads there from any earlier seq.

Readings of feeds go in with ``apply``, which only remembers them; ``flush`` compares the rows they
touch with what was published, and gives what changed one new seq. Every field remembers the seq at
which it last changed, and symbols are kept in the order of their last change, so ``since`` walks
only what is newer than the viewer: its cost grows with what changed, not with the board.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Container, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from ticker import diff, fields
from ticker.diff import Patch, Row, Rows
from ticker.quality import Quality, of_row, worst

TOMBSTONE_SECONDS = 600.0
TOMBSTONE_LIMIT = 10_000


@dataclass(frozen=True, slots=True)
class Diff:
    """What leads from seq ``prev`` to seq ``seq``."""

    prev: int
    seq: int
    rows: Patch


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The whole state at ``seq``; ``rows`` is the board's own, to be encoded before it moves on."""

    seq: int
    rows: Mapping[str, Row]


Answer = Diff | Snapshot | None

Claim = Mapping[str, Mapping[str, Any]]
"""Which feeds say a row: by feed, what leads from what is published of its fields to what it said.
"""


@dataclass(frozen=True, slots=True)
class Claims:
    """Who says what on a board of ``feeds``, as far as what is published does not tell."""

    feeds: Sequence[str]
    rows: Mapping[str, Claim]

    def of(self, symbol: str) -> Claim:
        """Return who says a published row: the only feed, where nothing else is known."""
        only: Claim = {self.feeds[0]: {}} if len(self.feeds) == 1 else {}
        return self.rows.get(symbol, only)


@dataclass(slots=True)
class _Source:
    """What one feed last said, and how far that can be trusted."""

    rows: Rows
    quality: Quality = Quality.LIVE
    late: frozenset[str] = frozenset()


class Board:
    """Rows by symbol, from one or more feeds, with a seq per published change.

    Where two feeds fill the same row, the one named first in ``feeds`` wins field by field.
    """

    def __init__(self, feeds: Iterable[str], *, tombstone_limit: int = TOMBSTONE_LIMIT) -> None:
        self.seq = 0
        self._sources = {name: _Source({}) for name in feeds}
        self._rows: Rows = {}
        self._dirty: dict[str, None] = {}  # a set that keeps the order of arrival
        # symbol -> field -> seq of last change, in order of the row's last change; outlives the row
        self._stamps: dict[str, dict[str, int]] = {}
        self._changed: dict[str, int] = {}  # symbol -> seq of last change, oldest first
        self._tombstones: deque[tuple[str, int, float]] = deque()
        self._tombstone_limit = tombstone_limit
        self._horizon = 0  # whoever is older cannot be told what was removed
        self._blind: dict[str, int] = {}  # removed rows whose fields we never knew, and when
        self.provided: Mapping[str, Container[str]] = {}
        """The fields that each feed can fill, where another process may go on; then there are
        claims of all rows of which what is published does not tell who says what."""
        self.claims: dict[str, Claim] = {}
        self.unkept: dict[str, None] = {}
        """Rows whose claim has changed, for who keeps them."""

    # -- in

    def apply(
        self,
        feed: str,
        rows: Mapping[str, Row],
        *,
        complete: bool = False,
        kept: Container[str] = (),
    ) -> None:
        """Take a reading of ``feed``: whole rows by symbol, never changed afterwards by anyone.

        ``complete`` says that the feed has no other rows: those it had before go, except ``kept``.
        Nothing is compared with what was published until ``flush``.
        """
        source = self._sources[feed]
        known = source.rows
        for symbol, row in rows.items():
            if known.get(symbol) != row:
                known[symbol] = row
                self._dirty[symbol] = None
        if complete and len(known) > len(rows):
            self.remove(feed, [s for s in known if s not in rows and s not in kept])

    def remove(self, feed: str, symbols: Iterable[str]) -> None:
        """Forget what ``feed`` said of ``symbols``."""
        known = self._sources[feed].rows
        for symbol in symbols:
            if known.pop(symbol, None) is not None:
                self._dirty[symbol] = None

    def rate(self, feed: str, quality: Quality, late: Set[str] = frozenset()) -> None:
        """Say how far ``feed`` can be trusted, and which of its rows are late on their own."""
        source = self._sources[feed]
        if quality is not source.quality:
            self._dirty.update(dict.fromkeys(source.rows))
        else:
            self._dirty.update(dict.fromkeys(late ^ source.late))
        source.quality, source.late = quality, frozenset(late)

    def reorder(self, feeds: Iterable[str]) -> None:
        """Be filled by ``feeds`` from now on, the first of them first; rows of others go."""
        before, self._sources = self._sources, {}
        for name in feeds:
            self._sources[name] = before.get(name) or _Source({})
        for source in before.values():
            self._dirty.update(dict.fromkeys(source.rows))

    def renew(self) -> None:
        """Begin a seq to which only a snapshot leads: something else than rows has changed."""
        self.seq += 1
        self._horizon = self.seq

    def pending(self) -> Patch:
        """Return what leads from what is published to what the feeds say; it waits no more."""
        patch: Patch = {}
        for symbol in self._dirty:
            new = self._compose(symbol)
            if self.provided:
                self._claim(symbol, new)
            old = self._rows.get(symbol)
            if new is None:
                if old is not None:
                    patch[symbol] = None
            elif old is None:  # a row that comes back clears what it had before: see diff.merge
                patch[symbol] = {**dict.fromkeys(self._stamps.get(symbol, ())), **new}
            elif change := diff.compare(old, new):
                patch[symbol] = change
        self._dirty.clear()
        return patch

    def touch(self, symbols: Iterable[str]) -> None:
        """Let rows be pending again, where they differ from what is published."""
        self._dirty.update(dict.fromkeys(symbols))

    def advance(self, patch: Patch, now: float) -> Diff:
        """Publish ``patch`` as the next seq. ``now`` is in seconds."""
        seq = self.seq + 1
        rows = self._rows
        for symbol, change in patch.items():
            old = rows.get(symbol)
            if change is None:
                if old is not None:
                    self._bury(symbol, seq, now)
                continue
            if old is None and symbol in self._blind:  # what it had, nobody here can clear
                self._horizon = max(self._horizon, self._blind.pop(symbol))
            row = change if old is None else {**old, **change}
            if None in change.values():  # what is published has none: few to look through
                row = {field: value for field, value in row.items() if value is not None}
            rows[symbol] = row
            self._stamp(symbol, change, seq)
        self._expire(now)
        self.seq = seq
        return Diff(seq - 1, seq, patch)

    def flush(self, now: float) -> Diff | None:
        """Publish what is pending, if anything is. ``now`` is in seconds."""
        patch = self.pending()
        return self.advance(patch, now) if patch else None

    # -- from elsewhere

    def restore(self, whole: Snapshot, diffs: Iterable[Diff], now: float) -> None:
        """Become what is published elsewhere: ``whole``, then what ``diffs`` lead to.

        They follow one another, oldest first; one without rows is a renewal. Those up to the seq of
        ``whole`` tell when its fields last changed, so that ``since`` answers for all of them.
        ``now`` is in seconds.
        """
        diffs = list(diffs)
        self.seq = whole.seq
        start = self._horizon = min([whole.seq, *(diff.prev for diff in diffs)])
        self._rows = dict(whole.rows)
        self._stamps = {s: dict.fromkeys(row, start) for s, row in self._rows.items()}
        self._changed = dict.fromkeys(self._rows, start)
        self._tombstones.clear()
        self._blind.clear()
        for known in diffs:
            if known.seq > whole.seq:
                self.advance(known.rows, now) if known.rows else self.renew()
            elif not known.rows:  # only a snapshot leads there, see renew
                self._horizon = known.seq
            else:
                self._recall(known, now)
        for source in self._sources.values():
            self._dirty.update(dict.fromkeys(source.rows))

    def _recall(self, known: Diff, now: float) -> None:
        """Take note of what changed at a seq that is behind us."""
        for symbol, change in known.rows.items():
            self._stamp(symbol, change or (), known.seq)
            self._blind.pop(symbol, None)
            if change is None:
                self._tombstones.append((symbol, known.seq, now))
                self._blind[symbol] = known.seq

    def inherit(
        self, feeds: Mapping[str, tuple[Container[str], Quality]], claims: Claims | None = None
    ) -> None:
        """Take it that feeds have said what is published, of the fields that they can fill.

        Whoever goes on reading feeds that another has read begins so; ``feeds`` has the fields and
        the quality of each, ``claims`` who says what; without them everybody says everything. What
        was derived is derived again.
        """
        self.provided = {name: provided for name, (provided, _) in feeds.items()}
        for name, (provided, quality) in feeds.items():
            source = self._sources[name]
            source.quality, source.late = quality, frozenset()
            if claims is None:
                source.rows = {s: _guessed(row, provided, quality) for s, row in self._rows.items()}
                continue
            said = ((s, row, claims.of(s).get(name)) for s, row in self._rows.items())
            source.rows = {
                s: _said(row, provided, claim) for s, row, claim in said if claim is not None
            }
        self.claims = dict(claims.rows) if claims else {}
        self.unkept = {s: None for s in self.claims if s not in self._rows}
        for symbol in self.unkept:
            del self.claims[symbol]
        self._dirty.clear()
        if len(feeds) > 1 or (claims is not None and list(claims.feeds) != list(feeds)):
            # what was kept may be newer than what was published, or of other feeds
            self._dirty.update(dict.fromkeys(self._rows))

    def disown(self) -> None:
        """Take it that no feed has said anything; what is published stays."""
        self._sources = {name: _Source({}) for name in self._sources}
        self.provided, self.claims, self.unkept = {}, {}, {}
        self._dirty.clear()

    def _claim(self, symbol: str, row: Row | None) -> None:
        """Take note of who says ``row``, where that cannot be seen of it."""
        sources = self._sources
        if len(sources) == 1 and symbol not in self.claims:  # nearly all: this must cost nothing
            (source,) = sources.values()
            if row is None or "quality" not in source.rows[symbol]:
                return
        said = {name: s.rows[symbol] for name, s in sources.items() if symbol in s.rows}
        claim: Claim = {}
        if row is not None and (len(said) > 1 or any("quality" in own for own in said.values())):
            claim = {
                name: diff.compare(_said(row, self.provided.get(name, ()), {}), own)
                for name, own in said.items()
            }
        elif len(sources) > 1:
            claim = {name: {} for name in said}
        if claim != self.claims.get(symbol, {}):
            self.unkept[symbol] = None
            if claim:
                self.claims[symbol] = claim
            else:
                del self.claims[symbol]

    # -- out

    def since(self, seq: int) -> Answer:
        """Return what a viewer at ``seq`` lacks: nothing, one diff, or all there is."""
        if seq == self.seq:
            return None
        if seq < self._horizon or seq > self.seq:
            return self.snapshot()
        newer = []
        for symbol in reversed(self._changed):
            if self._changed[symbol] <= seq:
                break
            newer.append(symbol)
        patch: Patch = {}
        for symbol in reversed(newer):  # oldest change first, so that new rows come in their order
            row = self._rows.get(symbol)
            if row is None:
                patch[symbol] = None
            else:
                stamps = self._stamps[symbol]
                patch[symbol] = {f: row.get(f) for f, changed in stamps.items() if changed > seq}
        return Diff(seq, self.seq, patch)

    def snapshot(self) -> Snapshot:
        """Return the whole published state."""
        return Snapshot(self.seq, self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._rows

    def said(self, feed: str) -> Mapping[str, Row]:
        """Return what ``feed`` last said, row by row."""
        return self._sources[feed].rows

    def older(self, feed: str, moment: int) -> set[str]:
        """Return symbols whose row from ``feed`` has a ``time`` before ``moment`` (epoch ms)."""
        rows = self._sources[feed].rows.items()
        times = ((symbol, row.get("time")) for symbol, row in rows)
        return {symbol for symbol, time in times if fields.is_number(time) and time < moment}

    # -- inside

    def _compose(self, symbol: str) -> Row | None:
        """Return the row as its feeds, derivation and quality make it; None when no feed has it."""
        row: Row | None = None
        quality = Quality.LIVE
        for source in self._sources.values():
            said = source.rows.get(symbol)
            if said is None:
                continue
            own = of_row(said, source.quality, late=symbol in source.late)
            row, quality = (
                ({**said}, own) if row is None else ({**said, **row}, worst(quality, own))
            )
        if row is None:
            return None
        fields.derive(row)
        if quality is not Quality.LIVE:
            row["quality"] = quality.value
        else:
            row.pop("quality", None)
        return row

    def _stamp(self, symbol: str, changed: Iterable[str], seq: int) -> None:
        stamps = self._stamps.setdefault(symbol, {})
        for field in changed:
            stamps[field] = seq
        self._changed.pop(symbol, None)
        self._changed[symbol] = seq

    def _bury(self, symbol: str, seq: int, now: float) -> None:
        del self._rows[symbol]
        self._stamp(symbol, list(self._stamps[symbol]), seq)
        self._tombstones.append((symbol, seq, now))

    def _expire(self, now: float) -> None:
        """Drop old tombstones: who was away that long gets a snapshot, which says the same."""
        while self._tombstones:
            symbol, seq, at = self._tombstones[0]
            if len(self._tombstones) <= self._tombstone_limit and now - at <= TOMBSTONE_SECONDS:
                return
            self._tombstones.popleft()
            if symbol not in self._rows and self._changed.get(symbol) == seq:
                del self._stamps[symbol], self._changed[symbol]
                self._blind.pop(symbol, None)
                self._horizon = max(self._horizon, seq)


def _said(row: Row, provided: Container[str], claim: Mapping[str, Any]) -> Row:
    """Return what a feed said of a published row, of which it can fill fields; see `Claim`."""
    said = {f: v for f, v in row.items() if f in provided and f != "quality"}
    bare = {f: v for f, v in said.items() if f not in fields.DERIVED}
    derived = dict(bare)
    fields.derive(derived)
    said = bare if all(derived.get(f) == v for f, v in said.items()) else said
    return {f: v for f, v in {**said, **claim}.items() if v is not None}


def _guessed(row: Row, provided: Container[str], feed: Quality) -> Row:
    """Return what a feed of a quality can have said of a published row.

    What makes the row worse than the feed is a claim of the source: it stays until it says more.
    """
    quality = row.get("quality")
    if quality is None or worst(Quality(quality), feed) is feed:
        return _said(row, provided, {})
    return _said(row, provided, {"quality": quality})
