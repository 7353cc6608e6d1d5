"""What came in since it was last looked at: the latest row of each symbol, however much came.

Sources that speak by themselves are heard at once and shown at the next look, so what waits here is
bounded by rows, not by messages.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ticker.config import NewsFeed
from ticker.diff import Rows
from ticker.errors import FeedError, MappingError
from ticker.feeds import NOTHING, REASONS_KEPT, Reading, Rejection, Silence, decode
from ticker.feeds.mapping import Mapped, Mapper

UNUSABLE_SECONDS = 5.0
"""Documents that cannot be used are rejections; when there were no others so long, a failure."""


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

    def map(self, documents: Iterable[bytes | str]) -> Mapped | None:
        """Return what JSON documents say together, None where none of them has rows.

        One of several that is unusable is rejected like a row. Raises FeedError when nothing can
        be used.
        """
        mapped, count, matched = Mapped(), 0, False
        texts = list(documents)
        for number, text in enumerate(texts, 1):
            try:
                document = decode.json(text.encode() if isinstance(text, str) else text)
                if not self._mapper.matches(document):
                    continue
                matched = True
                count += self._mapper.add(document, mapped, before=self._known)
            except FeedError as error:
                if len(texts) == 1:
                    raise
                mapped.reject(f"line {number}", error.why, named=False)
            if len(mapped.rows) > self._most:
                raise MappingError("all lines", f"at most {self._most} rows", str(len(mapped.rows)))
        if not matched and not mapped.rejected:
            return None
        self._mapper.judge(mapped, count)
        return mapped

    def put(self, mapped: Mapped | None, *, complete: bool = False) -> None:
        """Take in what was mapped; ``complete`` says that there are no other rows."""
        self._waiting.heard = True
        if mapped is None:
            return
        self._waiting.rejected += mapped.rejected
        for symbol in mapped.rows:
            self._reasons.pop(symbol, None)
            self._uncertain.pop(symbol, None)
        for rejection in mapped.rejections:
            self._remember(rejection)
        lost = mapped.refused & self._known.keys()
        if complete or self._mapper.removes_missing:
            if mapped.unnamed:  # which row it was nobody knows, so none of those missing may go
                lost |= self._known.keys()
            self._known = {**{s: self._known[s] for s in lost}, **mapped.rows}
            self._waiting.rows, self._waiting.complete = dict(self._known), True
            self._uncertain = {}
        else:
            self._known.update(mapped.rows)
            self._waiting.rows.update(mapped.rows)
        self._uncertain.update(dict.fromkeys(lost - mapped.rows.keys()))
        while len(self._known) > self._most:  # the board lets go of the same
            symbol = next(iter(self._known))
            del self._known[symbol]
            self._waiting.rows.pop(symbol, None)
            self._uncertain.pop(symbol, None)

    def refuse(self, why: str) -> None:
        """Take note of a document that could not be used."""
        self._waiting.rejected += 1
        self._waiting.unusable = why
        self._remember(Rejection("document", why))

    def lose(self) -> None:
        """Take it that something may have been missed: rows are uncertain until heard again."""
        self._uncertain = dict.fromkeys(self._known)

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

    def _remember(self, rejection: Rejection) -> None:
        self._reasons.pop(rejection.symbol, None)
        self._reasons[rejection.symbol] = rejection
        while len(self._reasons) > REASONS_KEPT:
            del self._reasons[next(iter(self._reasons))]
