"""Counts of what goes out to viewers and over the bus: plain integers, read for the metrics."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

LAG_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the buckets of lags, in seconds; one more bucket has what is above."""


class Lags:
    """How long after its flush each frame was handed over, by bucket."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(LAG_BOUNDS) + 1)
        self.seconds = 0.0
        """The sum of all."""

    def add(self, seconds: float, times: int = 1) -> None:
        """Count one lag, of so many viewers."""
        self.counts[bisect_left(LAG_BOUNDS, seconds)] += times
        self.seconds += seconds * times


class Traffic:
    """What was handed to the connections of all viewers of a hub."""

    __slots__ = ("compressed", "conflated", "frames", "lags", "plain", "uncompressed")

    def __init__(self) -> None:
        self.frames = 0
        self.conflated = 0
        """Diffs that led a viewer which was behind to the present."""
        self.plain = self.compressed = 0
        """Bytes sent, by the form in which they went."""
        self.uncompressed = 0
        """Bytes of the messages before they were compressed and framed."""
        self.lags = Lags()

    def sent(self, before: int, size: int, *, compressed: bool = False, times: int = 1) -> None:
        """Count a message of ``before`` bytes that went out as ``size`` bytes, so many times."""
        self.frames += times
        self.uncompressed += before * times
        if compressed:
            self.compressed += size * times
        else:
            self.plain += size * times


@dataclass(slots=True)
class BusTraffic:
    """What went over the bus."""

    terms: int = 0
    """How often this process became the poller."""
    published: int = 0
    """Entries that the bus took."""
    published_bytes: int = 0
    read: int = 0
    """Entries that came over the bus, to the poller its own too."""
    read_bytes: int = 0
    fenced: int = 0
    """Entries refused because another process is the poller."""
    elsewhere: int = 0
    """Entries refused because the board is not where they lead on from."""
    failed: int = 0
    """Entries that the bus could not be asked to take."""
    reloads: int = 0
    """Boards that were read as a whole."""
    lags: Lags = field(default_factory=Lags)
    """How long publishing took, until the bus had answered."""
