"""Calendars in the config: every mistake at its line, and the hours of exchanges."""

from __future__ import annotations

import sys
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from ticker import configfile
from ticker.config import PollFeed
from ticker.errors import ConfigError
from ticker.exchanges import Exchange

GOOD = """
feeds:
  f:
    kind: poll
    every: 5s
    url: https://api.example.com/t
    fields: {last: price}
    calendar:
      timezone: America/New_York
      open: {mon-fri: "09:30-16:00"}
      holidays: [2026-12-25, 2026-11-27 09:30-13:00]
      closed_every: 5m
boards: {b: {feeds: [f]}}
"""


def feed(text: str) -> PollFeed:
    """Return the settings of the feed."""
    loaded = configfile.parse(text, "c.yaml", base=Path("/nowhere"), env={})
    found = loaded.settings.feeds["f"]
    assert isinstance(found, PollFeed)
    return found


def edited(old: str, new: str) -> str:
    """Return the good config with a change."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def with_open(hours: str) -> str:
    """Return the good config with other hours."""
    return edited('{mon-fri: "09:30-16:00"}', hours)


def at(text: str, zone: str = "America/New_York") -> float:
    """Return local time as epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


def test_a_good_calendar() -> None:
    """Dates and hours are text in YAML, and mean what they say."""
    calendar = feed(GOOD).calendar
    assert calendar is not None
    assert calendar.open == {"mon-fri": [(570, 960)]}
    assert calendar.holidays == [(date(2026, 12, 25), ()), (date(2026, 11, 27), ((570, 780),))]
    assert calendar.closed_every == 300


@pytest.mark.parametrize(
    ("hours", "moment", "is_open"),
    [
        ("{mon: 09:00-10:00}", "2026-11-23 09:59", True),
        ("{mon: 09:00-10:00}", "2026-11-24 09:59", False),
        ('{"mon, wed-fri": 09:00-10:00}', "2026-11-26 09:00", True),
        ('{"mon, wed-fri": 09:00-10:00}', "2026-11-24 09:00", False),
        ("{sun-thu: 18:00-17:00}", "2026-11-22 18:00", True),  # over the week's end
        ("{sun-thu: 18:00-17:00}", "2026-11-20 16:59", True),  # Thursday's, on Friday
        ("{sun-thu: 18:00-17:00}", "2026-11-20 18:00", False),
        ('{mon: "09:00-10:00, 11:00-12:00"}', "2026-11-23 11:30", True),
        ("{mon: [09:00-10:00, 11:00-12:00]}", "2026-11-23 10:30", False),
        ("{sat: 00:00-24:00}", "2026-11-21 23:59", True),
        ("{sat: 00:00-24:00}", "2026-11-22 00:00", False),
    ],
)
def test_days_and_hours(hours: str, moment: str, is_open: bool) -> None:
    """One day, a range that may wrap, or several; hours may cross midnight."""
    calendar = feed(with_open(hours)).calendar
    assert calendar is not None
    assert calendar.hours.at(at(moment)).open is is_open


WANTED = "expected hours such as 09:30-16:00, all day is 00:00-24:00, got"
A_DAY = "expected a day such as 2026-12-25, or with its hours 2026-11-27 09:30-13:00, got"
MISTAKES = {
    "no such hour": (
        with_open("{mon: 09:30-25:00}"),
        f"10:19: feeds.f.calendar.open.mon: {WANTED} '09:30-25:00'",
    ),
    "no such minute": (
        with_open("{mon: [10:00-11:00, 09:60-10:00]}"),
        f"10:33: feeds.f.calendar.open.mon[1]: {WANTED} '09:60-10:00'",
    ),
    "nothing between": (
        with_open("{mon: 10:00-10:00}"),
        f"10:19: feeds.f.calendar.open.mon: {WANTED} '10:00-10:00'",
    ),
    "no such day": (
        with_open("{mon-fry: 09:30-16:00}"),
        "10:14: feeds.f.calendar.open.mon-fry: expected days such as mon, mon-fri or "
        "'sat, sun', got 'mon-fry'",
    ),
    "a day twice": (
        with_open("{mon-fri: 09:30-16:00, wed: 10:00-11:00}"),
        "10:13: feeds.f.calendar.open: wed is named twice",
    ),
    "never open": (with_open("{mon: []}"), "10:13: feeds.f.calendar.open: is never open"),
    "no zone": (
        edited("      timezone: America/New_York\n", ""),
        "9:13: feeds.f.calendar.open: needs the `timezone` of its hours",
    ),
    "a zone that is none": (
        edited("America/New_York", "New York"),
        "9:17: feeds.f.calendar.timezone: expected a time zone such as Europe/Berlin, "
        "got 'New York'",
    ),
    "neither hours nor exchange": (
        edited('      open: {mon-fri: "09:30-16:00"}\n', ""),
        "8:5: feeds.f.calendar.open: name either `open` hours or an `exchange`",
    ),
    "hours and an exchange": (
        edited(GOOD[GOOD.index("      holidays") : GOOD.index("boards")], "      exchange: XNYS\n"),
        "10:13: feeds.f.calendar.open: name either `open` hours or an `exchange`",
    ),
    "no day": (
        edited("[2026-12-25,", "[25.12.2026,"),
        f"11:18: feeds.f.calendar.holidays[0]: {A_DAY} '25.12.2026'",
    ),
    "a day that does not exist": (
        edited("[2026-12-25,", "[2026-02-29,"),
        "11:18: feeds.f.calendar.holidays[0]: expected a day of the calendar, got '2026-02-29'",
    ),
    "wrong hours of a day": (
        edited("2026-11-27 09:30-13:00", "2026-11-27 09:30"),
        f"11:30: feeds.f.calendar.holidays[1]: {WANTED} '09:30'",
    ),
    "a holiday twice": (
        edited("[2026-12-25,", "[2026-11-27,"),
        "11:17: feeds.f.calendar.holidays: 2026-11-27 is named twice",
    ),
    "seldom": (
        edited("closed_every: 5m", "closed_every: seldom"),
        "12:21: feeds.f.calendar.closed_every: expected a duration such as 5m, or never, "
        "got 'seldom'",
    ),
    "idle below live": (
        edited("every: 5s", "every: {live: 5s, idle: 2s}"),
        "5:29: feeds.f.every.idle: must not be below live (5 s), got 2 s",
    ),
    "no idle": (
        edited("every: 5s", "every: {live: 5s}"),
        "5:5: feeds.f.every.idle: required key is missing",
    ),
    "an interval that is none": (
        edited("every: 5s", "every: {live: 5s, idle: often}"),
        "5:29: feeds.f.every.idle: expected a duration such as 250ms, 5s, 1m or 2h, got 'often'",
    ),
    "a third interval": (
        edited("every: 5s", "every: {live: 5s, idle: 9s, night: 1h}"),
        "5:33: feeds.f.every.night: unknown key",
    ),
}


@pytest.mark.parametrize(("text", "expected"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes(text: str, expected: str) -> None:
    """Each is told once, with its line and column."""
    with pytest.raises(ConfigError) as caught:
        feed(text)
    found = [str(p).splitlines()[0].removeprefix("c.yaml:") for p in caught.value.problems]
    assert found == [expected]


def test_another_idle_interval_is_another_config() -> None:
    """Although the interval is a number of seconds, that of the live feed."""
    texts = [edited("every: 5s", f"every: {{live: 5s, idle: {idle}}}") for idle in ("9s", "1m")]
    one, other = map(feed, texts)
    assert one.every == other.every + 0.0 == 5.0
    assert one != other
    assert one.every != other.every
    assert one == feed(texts[0])
    assert one != feed(GOOD)


def test_two_intervals_that_nothing_tells_apart_are_odd() -> None:
    """A quote without market hours is neither live nor idle."""
    text = edited("every: 5s", "every: {live: 5s, idle: 1m}")
    assert configfile.parse(text, "c.yaml", base=Path(), env={}).warnings == ()
    a, b = text.index("    calendar:"), text.index("boards:")
    (warning,) = configfile.parse(text[:a] + text[b:], "c.yaml", base=Path(), env={}).warnings
    assert str(warning).startswith(
        "c.yaml:5:5: warning: feeds.f.every: nothing tells when it is idle"
    )


# -- exchanges

EXCHANGE = edited(
    GOOD[GOOD.index("      timezone") : GOOD.index("      closed_every")], "      exchange: XNYS\n"
)


def test_hours_of_an_exchange() -> None:
    """Holidays, half days and pauses come from the library, the zone is the exchange's."""
    calendar = feed(EXCHANGE).calendar
    assert calendar is not None
    friday = calendar.hours.at(at("2026-11-27 12:00"))
    assert (friday.open, friday.until) == (True, at("2026-11-27 13:00"))
    christmas = calendar.hours.at(at("2026-12-25 12:00"))
    assert (christmas.open, christmas.until) == (False, at("2026-12-28 09:30"))
    assert calendar.hours.until(christmas, at("2026-12-25 12:00")) == "Mon 09:30 America/New_York"
    noon = at("2026-11-26 12:30", "Asia/Hong_Kong")
    (morning, afternoon) = Exchange("XHKG").on(date(2026, 11, 26))
    assert morning[1] < noon < afternoon[0]


def test_an_exchange_of_which_nothing_is_known_yet_counts_as_open() -> None:
    """Rather too many readings than none."""
    zone = "Asia/Shanghai"
    (day,) = Exchange("XSHG").on(date(2099, 3, 3))  # its holidays follow the moon
    assert day == (at("2099-03-03", zone), at("2099-03-04", zone))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            EXCHANGE.replace("XNYS", "NYSE Arca"),
            "9:17: feeds.f.calendar.exchange: expected an exchange by its code, such as XNYS, "
            "got 'NYSE Arca'",
        ),
        (
            EXCHANGE.replace("XNYS", "XNYS\n      holidays: [2026-12-24]"),
            "10:17: feeds.f.calendar.holidays: the exchange has its own holidays",
        ),
    ],
)
def test_mistakes_about_exchanges(text: str, expected: str) -> None:
    """As above."""
    test_mistakes(text, expected)


@pytest.mark.parametrize("error", [NotImplementedError, ValueError, KeyError])
def test_an_exchange_of_which_the_library_can_say_nothing_is_refused(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    """Whatever its rules raise; with version 4.13 there are five of them, such as ASEX."""

    def broken(self: Exchange, first: date, last: date) -> None:
        raise error("implemented by subclasses")

    monkeypatch.setattr(Exchange, "_calendar", broken)
    test_mistakes(
        EXCHANGE, "9:17: feeds.f.calendar.exchange: the library cannot say when XNYS is open"
    )


def test_without_the_library_the_config_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the line that needs it."""
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    test_mistakes(
        EXCHANGE,
        "9:17: feeds.f.calendar.exchange: needs the library: pip install 'ticker[calendars]'",
    )
