"""When a market is open: weekly hours and holidays in a time zone. Time comes in as an argument.

Hours belong to the day on which they begin; those that end at or before their beginning end on the
day after. A holiday says all of its day, from midnight to midnight: what the day before runs over
ends there, and only the holiday's own hours begin. Local times are read as RFC 5545 (3.3.5) has it:
one that a change of the clocks leaves out counts from the clock before the change, of one that
comes twice the first is meant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, tzinfo

DAY_MINUTES = 1440
WINDOWS = (3, 14, 60, 400)
"""Days that are looked at, on either side, until the changes around now are found."""

Span = tuple[int, int]
"""Minutes after midnight at which hours begin and end; beyond 1440 is the day after."""

Interval = tuple[float, float]
"""The same as epoch seconds."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Whether it is open, since when, and until when; epoch seconds, None for no change known."""

    open: bool
    since: float | None
    until: float | None


class Week:
    """Hours of each weekday, Monday first, and of the ``special`` days that have others."""

    def __init__(
        self, zone: tzinfo, days: Sequence[Sequence[Span]], special: Mapping[date, Sequence[Span]]
    ) -> None:
        self._zone, self._days, self._special = zone, days, special

    def on(self, day: date) -> Iterable[Interval]:
        """Yield what begins on ``day``."""
        for begin, end in self._special.get(day, self._days[day.weekday()]):
            if end > DAY_MINUTES and day + timedelta(days=1) in self._special:
                end = DAY_MINUTES  # noqa: PLW2901 - the holiday's own line says what it has
            yield self._moment(day, begin), self._moment(day, end)

    def _moment(self, day: date, minute: int) -> float:
        later, inside = divmod(minute, DAY_MINUTES)
        wall = datetime.combine(day + timedelta(days=later), time(*divmod(inside, 60)), self._zone)
        return wall.timestamp()


class Hours:
    """When it is open, from what is open ``on`` each day; days are those of ``zone``."""

    def __init__(self, zone: tzinfo, on: Callable[[date], Iterable[Interval]]) -> None:
        self._zone, self._on = zone, on

    def at(self, now: float) -> Stretch:
        """Return the stretch in which ``now`` lies: open from its first second, not at its last."""
        found = Stretch(open=False, since=None, until=None)
        for days in WINDOWS:
            found = self._within(now, days)
            if found.since is not None and found.until is not None:
                break
        return found

    def until(self, stretch: Stretch, now: float) -> str:
        """Return in words until when: ``Mon 09:30 America/New_York``, with the date if far off."""
        if stretch.until is None:
            return "further notice"
        then = datetime.fromtimestamp(stretch.until, self._zone)
        layout = "%a %H:%M" if stretch.until - now < 6 * 86_400 else "%a %Y-%m-%d %H:%M"
        return f"{then:{layout}} {self._zone}"

    def _within(self, now: float, days: int) -> Stretch:
        """Return the stretch as far as so many days on either side tell."""
        today = datetime.fromtimestamp(now, self._zone).date()
        reach = range(-days, days + 1)
        found = sorted(i for d in reach for i in self._on(today + timedelta(days=d)))
        edge = (days - 2) * 86_400.0  # what reaches to it may go on beyond
        since: float | None = None
        for begin, end in _joined(found):
            if begin > now:
                return Stretch(open=False, since=since, until=begin)
            if now < end:
                return Stretch(
                    open=True,
                    since=begin if now - begin < edge else None,
                    until=end if end - now < edge else None,
                )
            since = end
        return Stretch(open=False, since=since, until=None)


def _joined(intervals: Iterable[Interval]) -> list[Interval]:
    """Return sorted intervals with those that touch made one; empty ones are left out."""
    joined: list[Interval] = []
    for begin, end in intervals:
        if end <= begin:
            continue
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
