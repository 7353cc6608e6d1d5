"""A histogram of times with a bounded relative error, small enough to send between processes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

STEPS = 32
"""Buckets per doubling: a bucket is about 2% wide."""


class Histogram:
    """Counts of values above zero, by bucket; values are kept to about 2%."""

    def __init__(self, counts: Mapping[int, int] | None = None) -> None:
        self._counts = dict(counts or {})

    def add(self, value: float) -> None:
        """Count one value; what is not above zero counts as a thousandth."""
        bucket = round(math.log2(max(value, 0.001)) * STEPS)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1

    def merge(self, other: Histogram) -> None:
        """Add the counts of ``other``."""
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count

    @property
    def total(self) -> int:
        """How many values were counted."""
        return sum(self._counts.values())

    def percentile(self, percent: float) -> float | None:
        """Return the value that ``percent`` of the values do not exceed; None without values."""
        rank = math.ceil(self.total * percent / 100)
        seen = 0
        for value, count in self:
            seen += count
            if seen >= rank:
                return value
        return None

    def __iter__(self) -> Iterator[tuple[float, int]]:
        """Yield each value and its count, smallest first."""
        for bucket in sorted(self._counts):
            yield 2 ** (bucket / STEPS), self._counts[bucket]

    def counts(self) -> dict[int, int]:
        """Return the counts by bucket, to make the same histogram elsewhere."""
        return dict(self._counts)
