"""What ops may know of a feed: its record, its last reading, and how long to leave it alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from typing import Any

from ticker.entry import FeedStatus
from ticker.feeds import Reading
from ticker.protocol import ms
from ticker.quality import Quality, Record

WAITING_KEPT = 10_000
"""Of so many rows that fail on their own another process is told since when."""


@dataclass(slots=True)
class Health:
    """Everything that was seen of one feed; times are epoch seconds."""

    record: Record = field(default_factory=Record)
    quality: Quality = Quality.STALE
    why: str | None = "no reading yet"
    since: float | None = None
    attempts: int = 0
    errors: int = 0
    """Failed attempts, in all."""
    received: int = 0
    """Bytes that came from the network."""
    last_attempt: float | None = None
    last_error: str | None = None
    last_error_at: float | None = None
    duration: float | None = None
    rows: int = 0
    unchanged: int = 0
    rejected: int = 0
    rejected_now: int = 0
    rejections: list[str] = field(default_factory=list)
    held: int = 0
    reconnects: int = 0
    trouble: str | None = None
    waiting_since: dict[str, float] = field(default_factory=dict)
    """Symbols whose own part of the reading fails, and since when they have been waiting."""

    def inherit(
        self, known: FeedStatus, memory: Mapping[str, Any], now: float, ahead: float = 0.0
    ) -> None:
        """Go on from how the feed was when another process read it.

        ``known`` is what viewers were told of it, ``memory`` what that one kept besides; times of
        both are of a clock that was ``ahead`` of ours by so many seconds.
        """
        self.quality, self.why = known.quality, known.why
        self.since = None if known.since is None else known.since / 1000
        last = None if known.at is None else known.at / 1000
        if "record" in memory:
            self.record = Record(**memory["record"])
        bad = known.quality in {Quality.STALE, Quality.DOWN}
        if bad and self.since is not None and not self.record.failures:  # this is newer
            self.record = self.record.failed(self.since, known.why or "")
        last = max(filter(None, (last, self.record.last_success)), default=None)
        if last is not None:  # what is to come is no success
            self.record = replace(self.record, last_success=min(last - ahead, now))
        self.last_attempt = memory.get("attempt")
        self.trouble, self.held = memory.get("trouble"), memory.get("held", 0)
        self.waiting_since = {s: at - ahead for s, at in memory.get("waiting", {}).items()}

    def memory(self) -> dict[str, Any]:
        """Return what another process needs to go on, besides what viewers are told."""
        return {
            "record": asdict(self.record),
            "attempt": self.last_attempt,
            "trouble": self.trouble,
            "held": self.held,
            "waiting": dict(islice(self.waiting_since.items(), WAITING_KEPT)),
        }

    def attempted(self, now: float, duration: float) -> None:
        """Take note of one look at the source that took ``duration`` seconds."""
        self.attempts += 1
        self.last_attempt, self.duration = now, duration

    def succeeded(self, now: float, reading: Reading | None, refused: Collection[str] = ()) -> None:
        """Take note of a good reading; None confirms the one before.

        That says nothing of the ``refused``: symbols whose row could not be read there, either.
        """
        before = self.record.last_success
        self.record = self.record.succeeded(now)
        if reading is None:
            self.unchanged += 1
            self.trouble = None
            self._wait(refused, before or now)
            return
        if reading.ended:
            self.record = Record(last_success=now, ended=True)
        self.rejected_now = reading.rejected
        self.rejected += reading.rejected
        self.rejections = [str(rejection) for rejection in reading.rejections]
        self.trouble = reading.trouble
        if reading.trouble is not None:
            self.last_error, self.last_error_at = reading.trouble, now
        self._wait(reading.kept, before or now)

    def _wait(self, symbols: Iterable[str], since: float) -> None:
        """Let these symbols wait, since then or for as long as they already do, and no others."""
        self.waiting_since = {s: self.waiting_since.get(s, since) for s in symbols}

    def failed(self, now: float, why: str) -> None:
        """Take note of a failed reading."""
        self.errors += 1
        self.record = self.record.failed(now, why)
        self.last_error, self.last_error_at = why, now

    def outcomes(self) -> dict[str, int]:
        """Return how many attempts brought something, nothing new, or an error."""
        ok = self.attempts - self.unchanged - self.errors
        return {"ok": ok, "unchanged": self.unchanged, "failed": self.errors}

    def wire(self) -> dict[str, Any]:
        """Return it for ``/api/feeds``; times are epoch milliseconds, durations milliseconds."""
        return {
            "quality": self.quality.value,
            "why": self.why,
            "since": ms(self.since),
            "last_success": ms(self.record.last_success),
            "last_attempt": ms(self.last_attempt),
            "last_error": self.last_error,
            "last_error_at": ms(self.last_error_at),
            "duration": ms(self.duration),
            "attempts": self.attempts,
            "failures": self.record.failures,
            "unchanged": self.unchanged,
            "rows": self.rows,
            "rejected": self.rejected,
            "rejected_now": self.rejected_now,
            "rejections": self.rejections,
            "held": self.held,
            "reconnects": self.reconnects,
            "trouble": self.trouble,
        }


@dataclass(slots=True)
class Reloads:
    """How reloading the config went; times are epoch seconds."""

    at: float
    """When the config that runs was read."""
    ok: int = 0
    failed: int = 0
    tried_at: float | None = None
    error: str | None = None
    """What is wrong with the file as it is now; None when it is what runs."""
    pending: list[str] = field(default_factory=list)
    """Keys that count only after a restart."""

    @property
    def good(self) -> bool:
        """Whether what runs is what the file says."""
        return self.error is None

    def wire(self) -> dict[str, Any]:
        """Return it for ``/api/status``; times are epoch milliseconds."""
        return {
            "ok": self.good,
            "error": self.error,
            "loaded_at": ms(self.at),
            "tried_at": ms(self.tried_at),
            "reloads": self.ok,
            "failures": self.failed,
            "pending": self.pending,
        }


def back_off(failures: int, every: float, longest: float) -> float:
    """Return for how many seconds to leave a source alone after so many failures in a row."""
    return min(longest, every * 2.0 ** min(failures - 1, 30)) if failures > 1 else 0.0
