"""How far a feed or a row can be trusted. Time comes in as an argument."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


class Quality(enum.StrEnum):
    """From best to worst: the order in which ``worst`` chooses."""

    LIVE = "live"
    DELAYED = "delayed"
    STALE = "stale"
    DOWN = "down"
    CLOSED = "closed"


_RANK = {quality: rank for rank, quality in enumerate(Quality)}

OVER = frozenset({"final", "abandoned", "cancelled"})
"""Values of a game's ``status`` after which nothing more is expected of it."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """When a feed counts as late, in seconds without a success."""

    stale_after: float
    down_after: float
    delay: float = 0.0

    @property
    def best(self) -> Quality:
        """What the feed is at its best: a source known to be late is never live."""
        return Quality.DELAYED if self.delay else Quality.LIVE


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a feed's attempts; times are epoch seconds."""

    last_success: float | None = None
    failing_since: float | None = None
    failures: int = 0
    why: str | None = None
    ended: bool = False

    def succeeded(self, now: float) -> Record:
        """Return the record after a good reading."""
        return Record(last_success=now)

    def failed(self, now: float, why: str) -> Record:
        """Return the record after a failed reading."""
        since = now if self.failing_since is None else self.failing_since
        return replace(self, failing_since=since, failures=self.failures + 1, why=why)


def of_feed(record: Record, limits: Freshness, now: float) -> tuple[Quality, str | None]:
    """Return a feed's quality and, unless it is at its best, the reason in words.

    One failed poll does not make a feed stale: its data is still as young as configured. A feed
    that never answered is down at its first failure: there is nothing to trust.
    """
    if record.ended:
        return Quality.CLOSED, "the recording has ended"
    if record.last_success is None:
        if record.failures:
            return Quality.DOWN, record.why
        return Quality.STALE, "no reading yet"
    age = now - record.last_success
    if age > limits.down_after:
        return Quality.DOWN, record.why or f"nothing read for {limits.down_after:g} s"
    if age > limits.stale_after:
        return Quality.STALE, record.why or f"nothing read for {limits.stale_after:g} s"
    return limits.best, None


def of_row(row: Mapping[str, Any], feed: Quality, *, late: bool) -> Quality:
    """Return a row's quality from its feed's, what its source claims, and its own lateness.

    What is over stays over: a closed market or a final game does not turn stale.
    """
    claimed, status = row.get("quality"), row.get("status")
    if claimed is None and status is None and not late:
        return feed  # nearly every row
    if claimed == Quality.CLOSED or (isinstance(status, str) and status in OVER):
        return Quality.CLOSED
    found = worst(feed, Quality.STALE) if late else feed
    if isinstance(claimed, str) and claimed in _RANK:
        return worst(found, Quality(claimed))
    return found


def worst(one: Quality, other: Quality) -> Quality:
    """Return the one of two qualities that is to be trusted less."""
    return one if _RANK[one] >= _RANK[other] else other
