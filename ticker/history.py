"""The history of a board: per row a bounded, decimated series of its tracked field.

Time is divided into buckets. Of a bucket stay its latest value and its latest gap: a moment from
which on the value was not known. A series that outgrows its limit doubles the length of its
buckets, so it always spans all the time it has seen, and the newest point is always exact.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Mapping
from itertools import islice
from math import nan

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
        for place in (-1, -2):  # the latest value and the latest gap of the bucket, in any order
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


class History:
    """The series of a board's rows: at most ``limit`` points of ``field`` per row."""

    def __init__(self, field: str, limit: int) -> None:
        self.field = field
        self._limit = limit
        self._series: dict[str, Series] = {}
        self._gone: dict[str, int] = {}  # removed rows and since when, longest ago first

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
                row = rows[symbol]
                value = row.get(field)
                if not is_number(value) or row.get("quality") in _UNKNOWN:
                    value = nan
                series = known.get(symbol)
                if series is None:
                    series = known[symbol] = Series(self._limit)
                series.add(at, value)
        if self._gone:
            self._forget(at, rows)

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
            del self._gone[symbol]


def _latest(at: array[int], value: array[float], step: int, *, start: int = 0) -> list[int]:
    """Return the places, from ``start`` on, that stay with buckets of ``step`` milliseconds."""
    points = islice(zip(at, value, strict=True), start, None)
    places = {(t // step, v == v): i for i, (t, v) in enumerate(points, start)}
    return sorted(places.values())
