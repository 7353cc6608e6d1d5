"""What came in since it was last looked at: the latest row of each symbol, however much came.

Sources that speak by themselves are heard at once and shown at the next look, so what waits here is
bounded by rows, not by messages.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ticker.config import NewsFeed
from ticker.diff import Rows
from ticker.errors import FeedError, MappingError
from ticker.feeds import NOTHING, REASONS_KEPT, Reading, Rejection, Silence, decode
from ticker.feeds.mapping import Mapped, Mapper

UNUSABLE_SECONDS = 5.0
"""Documents that cannot be used are rejections; when there were no others so long, a failure."""


@dataclass(slots=True)
class Delivery:
    """What came at once, mapped."""

    mapped: Mapped = field(default_factory=Mapped)
    matched: bool = False
    """Whether any of its documents is one that has rows."""
    error: FeedError | None = None
    """Why nothing of it can be used."""


@dataclass(slots=True)
class _Waiting:
    """What waits to be looked at."""

    heard: bool = False
    rows: Rows = field(default_factory=dict)
    complete: bool = False
    rejected: int = 0
    unusable: str | None = None


class Inbox:
    """Gathers the documents of one feed. ``map`` may run in a thread, the others in the loop."""

    def __init__(self, settings: NewsFeed) -> None:
        self._most = settings.max_rows
        self._mapper = Mapper(settings)
        self._known: Rows = {}
        self._uncertain: dict[str, None] = {}  # known, but something later may have been missed
        self._reasons: dict[str, Rejection] = {}  # by symbol, the latest last
        self._waiting = _Waiting()
        self._heard_at: float | None = None

    def map(self, documents: Sequence[bytes | str]) -> Delivery:
        """Return what JSON documents say together.

        One of several that is unusable is rejected like a row.
        """
        found, count = Delivery(matched=not documents), 0
        for number, text in enumerate(documents, 1):
            try:
                document = decode.json(text.encode() if isinstance(text, str) else text)
                if not self._mapper.matches(document):
                    continue
                found.matched = True
                count += self._mapper.add(document, found.mapped, before=self._known)
                if len(found.mapped.rows) > self._most:
                    raise MappingError("all lines", f"at most {self._most} rows", "more")
            except FeedError as error:
                if len(documents) == 1 or len(found.mapped.rows) > self._most:
                    found.error = error
                    return found
                found.mapped.reject(f"line {number}", error.why, named=False)
        if found.matched or found.mapped.rejected:
            try:
                self._mapper.judge(found.mapped, count)
            except FeedError as error:
                found.error = error
        return found

    def put(self, delivery: Delivery, *, complete: bool = False) -> None:
        """Take in what was mapped; ``complete`` says that there are no other rows."""
        mapped, waiting = delivery.mapped, self._waiting
        lost = mapped.refused & self._known.keys()
        if delivery.error is not None:  # nothing of it counts
            waiting.rejected += max(1, mapped.rejected)
            waiting.unusable = delivery.error.why
            self._remember(mapped.rejections or [Rejection("document", delivery.error.why)])
            self._uncertain.update(dict.fromkeys(lost))
            return
        waiting.heard = True
        if not delivery.matched:
            return
        waiting.rejected += mapped.rejected
        for symbol in mapped.rows:
            self._reasons.pop(symbol, None)
            self._uncertain.pop(symbol, None)
        self._remember(mapped.rejections)
        if complete or self._mapper.removes_missing:
            if mapped.unnamed:  # which row it was nobody knows, so none of those missing may go
                lost |= self._known.keys()
            self._known = {**{s: self._known[s] for s in lost}, **mapped.rows}
            waiting.rows, waiting.complete = dict(self._known), True
            self._uncertain = {}
        else:
            self._known.update(mapped.rows)
            waiting.rows.update(mapped.rows)
        self._uncertain.update(dict.fromkeys(lost - mapped.rows.keys()))
        while len(self._known) > self._most:  # the board lets go of the same
            symbol = next(iter(self._known))
            del self._known[symbol]
            waiting.rows.pop(symbol, None)
            self._uncertain.pop(symbol, None)

    def hear(self) -> None:
        """Take note of a sign of life that has no rows."""
        self._waiting.heard = True

    def lose(self) -> None:
        """Take it that something may have been missed: rows are uncertain until heard again."""
        self._uncertain = dict.fromkeys(self._known)

    def resume(self, rows: Rows) -> None:
        """Go on with rows that came in another process: news are laid over them."""
        self._known = dict(rows)

    def take(self, now: float) -> Reading | Silence:
        """Return what came since the last look; ``now`` is in epoch seconds.

        Raises FeedError when for a while nothing of it could be used.
        """
        waiting = self._waiting
        if not waiting.heard:
            long_ago = self._heard_at is None or abs(now - self._heard_at) > UNUSABLE_SECONDS
            if waiting.unusable is None or not long_ago:
                return NOTHING
            self._waiting = _Waiting()
            raise FeedError(waiting.unusable)
        self._waiting, self._heard_at = _Waiting(), now
        return Reading(
            waiting.rows,
            complete=waiting.complete,
            kept=set(self._uncertain),
            rejected=waiting.rejected,
            rejections=list(self._reasons.values()),
        )

    def _remember(self, rejections: Iterable[Rejection]) -> None:
        for rejection in rejections:
            self._reasons.pop(rejection.symbol, None)
            self._reasons[rejection.symbol] = rejection
        while len(self._reasons) > REASONS_KEPT:
            del self._reasons[next(iter(self._reasons))]
