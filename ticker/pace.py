"""How often a feed is read just now: by its market's hours, its games, and what was read of it.

Here alone is decided which interval is in force; the schedule, the limits of freshness and back-off
all follow it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from ticker.config import Feed as FeedSettings
from ticker.diff import Row, Rows
from ticker.fields import is_number
from ticker.guard import RUNNING
from ticker.hours import Hours, Stretch
from ticker.quality import Freshness, Quality, Record, of_feed

DUE_MS = 3_600_000
"""A game that is still called scheduled counts as live for so long after its start."""

LOOK_AGAIN = 86_400.0
"""Seconds after which hours are asked again where no change is known."""


class Pace:
    """The interval in force of one feed. Times are epoch seconds."""

    def __init__(self, settings: FeedSettings) -> None:
        self._settings = settings
        self._begins = -math.inf
        """Successes until then are of another source that had the feed's name."""
        self._market = _Market(settings.calendar.hours) if settings.calendar else None
        self._by_games = settings.idle_every is not None and "status" in settings.provides
        self._games_on = True  # until the first reading has told
        self._games_turn = math.inf
        """When a game starts, or is no longer awaited, without another reading."""
        self.every: float = settings.every
        """Seconds between two readings; infinite while it is not read at all."""
        self._before: float = settings.every

    def adjusted(self, settings: FeedSettings) -> Pace:
        """Return the pace that goes on with other settings: what was read is as young as it was."""
        pace = Pace(settings)
        pace._before, pace._begins = self.every, self._begins
        if pace._by_games and self._by_games:
            pace._games_on, pace._games_turn = self._games_on, self._games_turn
        return pace

    def restarted(self, settings: FeedSettings, record: Record) -> Pace:
        """Return the pace of another source, which is to be read however the market is."""
        pace = Pace(settings)
        pace._before = self.every
        if record.last_success is not None:
            pace._begins = record.last_success
        return pace

    def inherit(self, rows: Rows, record: Record, every: float | None, now: float) -> None:
        """Go on where another process was that read ``rows`` last at an interval of ``every``."""
        self.heard(rows, now)
        self.every = self._interval(record, now)
        self._before = every or self.every

    @property
    def freshness(self) -> Freshness:
        """The limits: a shorter interval counts from its first reading on."""
        return self._settings.freshness_at(max(self.every, self._before))

    def attempted(self) -> None:
        """Take note of a look at the source."""
        self._before = self.every

    def heard(self, rows: Rows, now: float) -> None:
        """Take note of the rows as they are after a reading."""
        if self._by_games:
            self._games_on, self._games_turn = games(rows, now)

    def follow(self, record: Record, rows: Callable[[], Rows], now: float) -> bool:
        """Return whether another interval is in force now; ``rows`` gives those of the feed."""
        if now >= self._games_turn:
            self.heard(rows(), now)
        before, self.every = self.every, self._interval(record, now)
        return before != self.every

    def judge(self, record: Record, now: float) -> tuple[Quality, str | None]:
        """Return the feed's quality and why it is not at its best.

        While the market is closed nothing ages: what was fresh when it closed is.
        """
        if self._market is None:
            return of_feed(record, self.freshness, now)
        market = self._market.at(now)
        if market.open:
            return of_feed(record, self.freshness, now)
        closed_at = -math.inf if market.since is None else market.since
        found, why = of_feed(record, self.freshness, closed_at)
        if found in {Quality.LIVE, Quality.DELAYED}:
            return Quality.CLOSED, f"market closed until {self._market.hours.until(market, now)}"
        return found, why

    def _interval(self, record: Record, now: float) -> float:
        settings = self._settings
        if self._market is not None:
            market = self._market.at(now)
            if not market.open:
                last = record.last_success
                read = last is not None and last > self._begins
                if last is not None and market.since is not None:
                    read = read and last >= market.since
                # what it closed with is read first
                return settings.closed_every if read else settings.every
        if self._games_on or settings.idle_every is None:
            return settings.every
        return settings.idle_every


class _Market:
    """Hours that remember the stretch they told last: they are asked twice a second."""

    def __init__(self, hours: Hours) -> None:
        self.hours = hours
        self._known: Stretch | None = None
        self._from = self._to = 0.0

    def at(self, now: float) -> Stretch:
        if self._known is None or not self._from <= now < self._to:
            found = self._known = self.hours.at(now)
            self._from = now if found.since is None else found.since
            self._to = now + LOOK_AGAIN if found.until is None else found.until
        return self._known


def games(rows: Mapping[str, Row], now: float) -> tuple[bool, float]:
    """Return whether a game is live or due, and when that may change without another reading."""
    on, turn, here = False, math.inf, now * 1000
    for row in rows.values():
        status, start = row.get("status"), row.get("start")
        if status in RUNNING:
            on = True
        elif status in (None, "scheduled") and is_number(start):
            if start <= here < start + DUE_MS:
                on, turn = True, min(turn, start + DUE_MS)
            elif here < start:
                turn = min(turn, start)
    return on, turn / 1000
