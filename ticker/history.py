"""The history of a board: per row a bounded, decimated series of its tracked field.

Time is divided into buckets. Of a bucket stay its latest value and its latest gap: a moment from
which on the value was not known. A series that outgrows its limit doubles the length of its
buckets, so it always spans all the time it has seen, and the newest point is always exact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from math import nan
from typing import TypeVar

from ticker.diff import Patch, Row
from ticker.fields import is_number
from ticker.quality import Quality

STEP_MS = 250
"""Length of a bucket at first; changes that come faster count as one."""

KEPT_MS = 24 * 60 * 60 * 1000
"""Older points are dropped."""

GONE_MS = 60_000
"""A row that is back within this time goes on where it was, with a gap."""

GONE_LIMIT = 1_000
"""Most removed rows whose series are kept so long: a source may name its rows anew each time."""

V = TypeVar("V")

_UNKNOWN = frozenset({Quality.STALE.value, Quality.DOWN.value})


class Series:
    """The points of one row, oldest first, at most ``limit``: epoch milliseconds and values.

    A value of NaN is a gap: from there on the value is not known.
    """

    __slots__ = ("_limit", "_step", "at", "value")

    def __init__(self, limit: int) -> None:
        self.at = array("q")
        self.value = array("d")
        self._limit, self._step = limit, STEP_MS

    def add(self, at: int, value: float) -> None:
        """Add the newest point. Points after ``at`` go: the clock was put back."""
        times, values = self.at, self.value
        while times and times[-1] > at:
            times.pop(), values.pop()
        if value != value and (not values or values[-1] != values[-1]):
            return  # a gap begins where something was known
        bucket = at // self._step
        # the latest value and the latest gap of the bucket, in any order: one of them is replaced
        for place in (-1, -2):  # pragma: no branch - so both places are never passed
            if len(times) < -place or times[place] // self._step != bucket:
                break
            if (values[place] == values[place]) is (value == value):
                del times[place], values[place]
                break
        times.append(at)
        values.append(value)
        if len(times) > self._limit or times[0] < at - KEPT_MS:
            self._shorten(at)

    def since(self, moment: int, points: int | None = None) -> tuple[list[int], list[float]]:
        """Return the times and values from ``moment`` on; the newest even when it is older.

        ``points`` (at least 2) is the most to return: buckets are then longer; the first point and
        the newest stay.
        """
        start = min(bisect_left(self.at, moment), max(0, len(self.at) - 1))
        at, value = self.at[start:], self.value[start:]
        if points is None or len(at) <= points:
            return at.tolist(), value.tolist()
        step = max(self._step, (at[-1] - at[0]) // max(1, points - 2) + 1)
        while len(later := _latest(at, value, step, start=1)) >= points and step < KEPT_MS:
            step *= 2
        chosen = [0, *later[1 - points :]]  # of very few points buckets alone are no bound
        return [at[i] for i in chosen], [value[i] for i in chosen]

    @property
    def step(self) -> int:
        """The length of its buckets in milliseconds."""
        return self._step

    @classmethod
    def of(cls, limit: int, step: int, at: array[int], value: array[float]) -> Series:
        """Return a series that goes on where another was; a lower ``limit`` shortens it."""
        series = cls(limit)
        series.at, series.value, series._step = at, value, step
        if len(at) > limit:
            series._shorten(at[-1])
        return series

    def _shorten(self, now: int) -> None:
        """Drop what is too old, then double the buckets until the series is within its limit."""
        start = min(bisect_left(self.at, now - KEPT_MS), len(self.at) - 1)
        del self.at[:start], self.value[:start]
        while len(self.at) > self._limit and self._step < KEPT_MS:
            self._step *= 2
            kept = _latest(self.at, self.value, self._step)
            self.at = array("q", [self.at[i] for i in kept])
            self.value = array("d", [self.value[i] for i in kept])
        surplus = len(self.at) - self._limit  # left only by limits of a few points
        if surplus > 0:
            del self.at[:surplus], self.value[:surplus]


@dataclass(frozen=True, slots=True)
class Pack:
    """A series with what it takes to go on: as it was at ``seq``, of a row that was ``row`` then.

    Of the row is known what the series is made of. ``gone`` is since when it is removed (epoch ms).
    """

    seq: int
    row: Row | None
    gone: int | None
    series: Series

    def encode(self, field: str) -> bytes:
        """Return it as bytes; the row's ``field`` is the one that is tracked."""
        row, series = self.row or {}, self.series
        value = row.get(field)
        flags = (self.row is not None) + 2 * (row.get("quality") in _UNKNOWN)
        head = array("q", [self.seq, -1 if self.gone is None else self.gone, flags, series.step])
        values = array("d", [value if is_number(value) else nan]) + series.value
        return head.tobytes() + series.at.tobytes() + values.tobytes()

    @classmethod
    def decode(cls, data: bytes, field: str, limit: int) -> Pack:
        """Return what was encoded. Raises ValueError when it is something else."""
        numbers, points = divmod(len(data) - 40, 16)
        if points or numbers < 0:
            raise ValueError(f"a series of {len(data)} bytes")
        whole = array("q", data[: 32 + 8 * numbers])
        values = array("d", data[32 + 8 * numbers :])
        (seq, gone, flags, step), value = whole[:4], values[0]
        if step < STEP_MS:
            raise ValueError(f"a series with buckets of {step} ms")
        row: Row = {} if value != value else {field: value}
        if flags & 2:
            row["quality"] = Quality.STALE.value
        series = Series.of(limit, step, whole[4:], values[1:])
        return cls(seq, row if flags & 1 else None, None if gone < 0 else gone, series)


class History:
    """The series of a board's rows: at most ``limit`` points of ``field`` per row."""

    def __init__(self, field: str, limit: int) -> None:
        self.field = field
        self._limit = limit
        self._series: dict[str, Series] = {}
        self._gone: dict[str, int] = {}  # removed rows and since when, longest ago first
        self.touched: set[str] | None = None
        """Rows that something was recorded of, for who wants to know and clears it."""

    def __iter__(self) -> Iterator[str]:
        return iter(self._series)

    def __len__(self) -> int:
        return len(self._series)

    def __getitem__(self, symbol: str) -> Series:
        """Return the series of a row. Raises KeyError when there is none."""
        return self._series[symbol]

    def __contains__(self, symbol: str) -> bool:
        return symbol in self._series

    def record(self, at: int, patch: Patch, rows: Mapping[str, Row]) -> None:
        """Take what was published at ``at`` (epoch ms): ``patch`` led to ``rows``."""
        field, known = self.field, self._series
        for symbol, change in patch.items():
            if change is None:
                self._leave(symbol, at)
            elif field in change or "quality" in change:
                value = self._value(rows[symbol])
                series = known.get(symbol)
                if series is None:
                    series = known[symbol] = Series(self._limit)
                series.add(at, nan if value is None else value)
        if self.touched is not None:
            self.touched.update(patch)
        if self._gone:
            self._forget(at, rows)

    def pack(self, symbol: str, seq: int, row: Row | None) -> bytes:
        """Return the series of a row, which is ``row`` at ``seq``, for ``restore``."""
        return Pack(seq, row, self._gone.get(symbol), self._series[symbol]).encode(self.field)

    def unpack(self, data: bytes) -> Pack:
        """Return what was packed. Raises ValueError when it is something else."""
        return Pack.decode(data, self.field, self._limit)

    def restore(
        self,
        packs: Mapping[str, Pack],
        own: tuple[int, Mapping[str, Row]],
        steps: Iterable[tuple[int, int, Patch]],
        rows: Mapping[str, Row],
        at: int,
    ) -> None:
        """Become the history of a board that is at ``rows`` since ``at`` (epoch ms).

        Series come from ``packs``, or are those that are here, as of the seq and rows of ``own``;
        whichever know more. ``steps`` are patches, oldest first, each with its seq and time: of
        each a row takes what it does not know yet.
        """
        known, before = own
        seqs = dict.fromkeys(self._series, known)
        then = {s: before[s] for s in self._series if s in before}
        for symbol, pack in packs.items():
            if pack.seq > seqs.get(symbol, -2):
                seqs[symbol], self._series[symbol] = pack.seq, pack.series
                _put(self._gone, symbol, pack.gone)
                _put(then, symbol, pack.row)
        self._gone = dict(sorted(self._gone.items(), key=lambda item: item[1]))
        for seq, when, patch in steps:
            newer = {s: change for s, change in patch.items() if seq > seqs.get(s, -1)}
            for symbol, change in newer.items():
                _put(then, symbol, None if change is None else self._after(then, symbol, change))
            self.record(when, newer, then)
        # where steps are missing the newest is still right
        missed: Patch = {
            s: row for s, row in rows.items() if self._value(row) != self._value(then.get(s, {}))
        }
        missed |= {s: None for s in self._series if s not in rows and s not in self._gone}
        self.record(at, missed, rows)

    def _after(self, rows: Mapping[str, Row], symbol: str, change: Row) -> Row:
        """Return what counts of a row after a change."""
        before = rows.get(symbol, {})
        fields = self.field, "quality"
        row = {f: change[f] if f in change else before.get(f) for f in fields}
        return {f: value for f, value in row.items() if value is not None}

    def _value(self, row: Row) -> float | None:
        """Return the value of a row, None where it is not known."""
        value = row.get(self.field)
        return value if is_number(value) and row.get("quality") not in _UNKNOWN else None

    def _leave(self, symbol: str, at: int) -> None:
        series = self._series.get(symbol)
        if series is not None:
            series.add(at, nan)
            self._gone.pop(symbol, None)
            self._gone[symbol] = at

    def _forget(self, at: int, rows: Mapping[str, Row]) -> None:
        """Drop the series of rows that were removed a while ago and have not come back."""
        while self._gone:
            symbol, since = next(iter(self._gone.items()))
            if symbol not in rows:
                if at - since < GONE_MS and len(self._gone) <= GONE_LIMIT:
                    return
                del self._series[symbol]
                if self.touched is not None:
                    self.touched.add(symbol)
            del self._gone[symbol]


def _put(values: dict[str, V], key: str, value: V | None) -> None:
    """Let ``key`` have ``value``; None is none."""
    if value is None:
        values.pop(key, None)
    else:
        values[key] = value


def _latest(at: array[int], value: array[float], step: int, *, start: int = 0) -> list[int]:
    """Return the places, from ``start`` on, that stay with buckets of ``step`` milliseconds."""
    points = islice(zip(at, value, strict=True), start, None)
    places = {(t // step, v == v): i for i, (t, v) in enumerate(points, start)}
    return sorted(places.values())
