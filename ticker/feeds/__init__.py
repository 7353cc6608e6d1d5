"""Feeds: each reads one outside thing and returns rows. They know no board and no viewer."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, runtime_checkable

from ticker.diff import Rows

REASONS_KEPT = 20
"""Rejected rows are all counted; so many are remembered with their reason."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A row that could not be mapped: its symbol, or its place where it has none, and why."""

    symbol: str
    why: str

    def __str__(self) -> str:
        return f"row '{self.symbol}': {self.why}"


@dataclass(slots=True)
class Reading:
    """What one look at a source gave."""

    rows: Rows = field(default_factory=dict)
    """Whole rows by symbol, never changed afterwards."""
    complete: bool = False
    """Whether the source has no other rows."""
    kept: set[str] = field(default_factory=set)
    """Symbols asked for whose row was unusable this time: what is known of them stays."""
    rejected: int = 0
    """Rows that could not be mapped."""
    rejections: Sequence[Rejection] = ()
    """The first of them."""
    trouble: str | None = None
    """What went wrong with a part of the reading, in words."""
    retry_after: float | None = None
    """When the source asked to be asked again, in seconds from now."""
    ended: bool = False
    """Whether nothing more will come."""


class Silence(enum.Enum):
    """The type of NOTHING."""

    NOTHING = "nothing"


NOTHING: Final = Silence.NOTHING
"""Nothing was heard of a source that speaks by itself: no success, no failure, it grows older."""


class Feed(Protocol):
    """One source. ``read`` is called again and again, never while it is still running."""

    async def read(self, now: float) -> Reading | Silence | None:
        """Look at the source; ``now`` is in epoch seconds.

        None means that the source confirmed what it said before, NOTHING that it said nothing at
        all. Raises FeedError.
        """

    def adjust(self, settings: Any) -> None:
        """Go on with settings that differ only in when the feed is read and how it is judged."""

    async def close(self) -> None:
        """Release what the feed holds."""


@runtime_checkable
class Resumable(Protocol):
    """A feed that goes on where it was in another process, which has read it until now."""

    def memory(self, *, settled: bool) -> Mapping[str, Any]:
        """Return what that takes besides the rows it gave, as values that JSON has.

        ``settled`` says that everybody is shown all that it gave.
        """

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:
        """Go on from ``rows``, which are shown, and a ``memory``, which may be empty.

        Called before the first ``read``; ``now`` is in epoch seconds.
        """
