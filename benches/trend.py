"""The slope of a series over time, with an interval that is honest about memory of the past.

What is sampled every few seconds is much like what it was a sample before, so the usual interval
of a regression is far too narrow. Here the slope is worked out again without each sixth of the run
(the jackknife, by blocks); how far those differ says how far the slope can be trusted. The blocks
are minutes long, and what lasts shorter than a block cannot make it too narrow.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, linear_regression

BLOCKS = 6
STUDENT = 2.5706
"""97.5% of Student's t distribution with one degree of freedom less than there are blocks."""


@dataclass(frozen=True)
class Trend:
    """A line through a series: its level in the middle, its slope per second, 95% of it."""

    level: float
    slope: float
    low: float
    high: float

    @property
    def flat(self) -> bool:
        """Whether the series may well have no slope at all."""
        return self.low <= 0 <= self.high

    @property
    def grows(self) -> bool:
        """Whether it has one, upwards."""
        return self.low > 0


def trend(times: Sequence[float], values: Sequence[float]) -> Trend:
    """Return the trend of values by the seconds at which they were taken.

    Raises ValueError when there are too few for a slope without each block.
    """
    count = len(times)
    if count < 3 * BLOCKS:
        raise ValueError(f"expected at least {3 * BLOCKS} samples, got {count}")
    slope = linear_regression(times, values).slope
    squares = 0.0
    for block in range(BLOCKS):
        begin, end = block * count // BLOCKS, (block + 1) * count // BLOCKS
        rest = linear_regression(
            [*times[:begin], *times[end:]], [*values[:begin], *values[end:]]
        ).slope
        squares += (rest - slope) ** 2
    half = STUDENT * math.sqrt(squares * (BLOCKS - 1) / BLOCKS)
    return Trend(fmean(values), slope, slope - half, slope + half)
