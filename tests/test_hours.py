"""Opening hours, by a slow reference that walks minute by minute, and by days that are special."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ticker.hours import DAY_MINUTES, Hours, Span, Week

NEW_YORK = ZoneInfo("America/New_York")
DAYS = 6
"""Days that the reference walks."""

Special = dict[date, list[Span]]


def hours(zone: ZoneInfo, days: list[list[Span]], special: Special | None = None) -> Hours:
    """Return hours by weekday, Monday first."""
    return Hours(zone, Week(zone, days, special or {}).on)


def at(zone: ZoneInfo, text: str) -> float:
    """Return local time as epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=zone).timestamp()


def local(zone: ZoneInfo, moment: float | None) -> str | None:
    """Return epoch seconds as local time."""
    return None if moment is None else f"{datetime.fromtimestamp(moment, zone):%a %Y-%m-%d %H:%M}"


# -- the reference: every minute of a few days, without any arithmetic of zones


def walked(
    zone: ZoneInfo, first: date, days: list[list[Span]], special: Special
) -> dict[float, bool]:
    """Return for each minute from ``first`` on whether it is open, by looking at the local clock.

    A local time is the first minute at which the clock shows it; one that it leaves out is as many
    minutes after the day's first as it says.
    """
    begin = datetime.combine(first - timedelta(days=3), datetime.min.time(), UTC).timestamp()
    minutes = [begin + 60 * i for i in range((DAYS + 6) * DAY_MINUTES)]
    shown: dict[tuple[date, int], float] = {}
    for minute in minutes:
        clock = datetime.fromtimestamp(minute, zone)
        shown.setdefault((clock.date(), clock.hour * 60 + clock.minute), minute)

    def moment(day: date, minute: int) -> float:
        day, minute = day + timedelta(days=minute // DAY_MINUTES), minute % DAY_MINUTES
        midnight = shown.get((day, 0), 0.0)
        return shown.get((day, minute), midnight + minute * 60)

    found = dict.fromkeys(minutes, False)
    for i in range(-1, DAYS + 1):
        day = first + timedelta(days=i)
        for span in special.get(day, days[day.weekday()]):
            end = min(span[1], DAY_MINUTES) if day + timedelta(days=1) in special else span[1]
            one = moment(day, span[0])
            while one < moment(day, end):
                found[one] = True
                one += 60
    inside = datetime.combine(first, datetime.min.time(), zone).timestamp()
    return {m: is_open for m, is_open in found.items() if inside <= m < inside + DAYS * 86_400}


times = st.integers(0, DAY_MINUTES - 1)
spans = st.builds(
    lambda begin, length: (begin, min(begin + length, begin // DAY_MINUTES + 2 * DAY_MINUTES)),
    times,
    st.integers(1, DAY_MINUTES),
)
some_hours = st.lists(spans, max_size=2)
ZONES = ["America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata", "UTC"]
# around both changes of the clocks, the end of a year, and in between
FIRST_DAYS = ["2026-03-06", "2026-03-27", "2026-10-02", "2026-10-23", "2026-10-30", "2026-12-29"]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(ZONES),
    st.sampled_from(FIRST_DAYS),
    st.lists(some_hours, min_size=7, max_size=7),
    st.dictionaries(st.integers(0, DAYS), some_hours, max_size=2),
)
def test_every_minute_is_what_the_reference_says(
    name: str, first: str, days: list[list[Span]], special: dict[int, list[Span]]
) -> None:
    """Open or closed, and the next change is the first minute that is another."""
    zone, day = ZoneInfo(name), date.fromisoformat(first)
    others = {day + timedelta(days=i): found for i, found in special.items()}
    tested = hours(zone, days, others)
    reference = walked(zone, day, days, others)
    minutes = list(reference)
    stretch = tested.at(minutes[0])
    for minute in minutes:
        if stretch.until is not None and minute >= stretch.until:
            assert minute == stretch.until, "a change between two minutes"
            stretch = tested.at(minute)
            assert stretch.since == minute
        assert stretch.open == reference[minute], local(zone, minute)


# -- by hand

WALL_STREET = hours(
    NEW_YORK,
    [[(570, 960)]] * 5 + [[], []],
    {date(2026, 12, 25): [], date(2026, 11, 27): [(570, 780)], date(2027, 1, 1): []},
)


@pytest.mark.parametrize(
    ("now", "is_open", "until"),
    [
        ("2026-11-20 09:29", False, "Fri 2026-11-20 09:30"),
        ("2026-11-20 09:30", True, "Fri 2026-11-20 16:00"),
        ("2026-11-20 16:00", False, "Mon 2026-11-23 09:30"),
        ("2026-11-27 12:59", True, "Fri 2026-11-27 13:00"),  # half a day
        ("2026-12-24 16:00", False, "Mon 2026-12-28 09:30"),  # a closed Friday
        ("2026-12-31 17:00", False, "Mon 2027-01-04 09:30"),  # over the year's end
        ("2026-03-06 17:00", False, "Mon 2026-03-09 09:30"),  # clocks go forward on the weekend
        ("2026-10-30 17:00", False, "Mon 2026-11-02 09:30"),  # and back
    ],
)
def test_wall_street(now: str, is_open: bool, until: str) -> None:
    """Known days of 2026."""
    found = WALL_STREET.at(at(NEW_YORK, now))
    assert (found.open, local(NEW_YORK, found.until)) == (is_open, until)


def test_a_stretch_says_since_when() -> None:
    """Since the last change, also over a weekend."""
    found = WALL_STREET.at(at(NEW_YORK, "2026-11-22 12:00"))
    assert local(NEW_YORK, found.since) == "Fri 2026-11-20 16:00"


def test_the_weekend_of_a_change_is_an_hour_shorter_or_longer() -> None:
    """The clock is what counts, not the seconds."""
    found = [WALL_STREET.at(at(NEW_YORK, day)) for day in ("2026-03-07", "2026-10-31")]
    lengths = [(s.until - s.since) / 3600 for s in found if s.until and s.since]
    assert lengths == [65.5 - 1, 65.5 + 1]


def test_hours_over_midnight_end_where_a_holiday_begins() -> None:
    """A holiday's line says all there is of its day."""
    futures: list[list[Span]] = [[(1080, 2460)]] * 4 + [[], [], [(1080, 2460)]]
    tested = hours(NEW_YORK, futures, {date(2026, 11, 26): [(1080, 1440)]})
    before = tested.at(at(NEW_YORK, "2026-11-25 20:00"))
    assert local(NEW_YORK, before.until) == "Thu 2026-11-26 00:00"
    holiday = tested.at(at(NEW_YORK, "2026-11-26 20:00"))
    assert local(NEW_YORK, holiday.until) == "Fri 2026-11-27 00:00"
    pause = tested.at(at(NEW_YORK, "2026-11-23 17:30"))
    assert (pause.open, local(NEW_YORK, pause.until)) == (False, "Mon 2026-11-23 18:00")


def test_hours_that_touch_are_one_stretch() -> None:
    """From Monday 00:00 to Friday 24:00 nothing changes."""
    tested = hours(NEW_YORK, [[(0, 1440)]] * 5 + [[], []])
    found = tested.at(at(NEW_YORK, "2026-11-18 12:00"))
    assert local(NEW_YORK, found.since) == "Mon 2026-11-16 00:00"
    assert local(NEW_YORK, found.until) == "Sat 2026-11-21 00:00"


def test_a_market_that_never_closes_knows_no_change() -> None:
    """And neither does one that never opens."""
    always = hours(NEW_YORK, [[(0, 1440)]] * 7).at(at(NEW_YORK, "2026-11-18 12:00"))
    never = hours(NEW_YORK, [[]] * 7).at(at(NEW_YORK, "2026-11-18 12:00"))
    assert (always.open, always.since, always.until) == (True, None, None)
    assert (never.open, never.since, never.until) == (False, None, None)


def test_until_is_said_in_local_words() -> None:
    """With the date where the weekday alone could mislead."""
    friday = at(NEW_YORK, "2026-11-20 16:00")
    assert WALL_STREET.until(WALL_STREET.at(friday), friday) == "Mon 09:30 America/New_York"
    shut = hours(NEW_YORK, [[(570, 960)]] + [[]] * 6)
    monday = at(NEW_YORK, "2026-11-16 16:00")
    told = shut.until(shut.at(monday), monday)
    assert told == "Mon 2026-11-23 09:30 America/New_York"
    closed = hours(NEW_YORK, [[]] * 7)
    assert closed.until(closed.at(monday), monday) == "further notice"


def test_hours_that_the_clock_leaves_out_are_none() -> None:
    """On the day on which 02:00 to 03:00 does not exist there is nothing to be open in."""
    berlin = ZoneInfo("Europe/Berlin")
    found = hours(berlin, [[(120, 180)]] * 7).at(at(berlin, "2026-03-29 01:30"))
    assert not found.open
    assert local(berlin, found.since) == "Sat 2026-03-28 03:00"
    assert local(berlin, found.until) == "Mon 2026-03-30 02:00"
