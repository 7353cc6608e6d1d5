"""How often a feed is read: by its market's hours and by its games; and how fresh it then is."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ticker import configfile, producer
from ticker.config import Feed
from ticker.pace import DUE_MS, Pace, games
from ticker.quality import Quality, Record

from .support import Source, serving, source, until

ZONE = ZoneInfo("America/New_York")
CALENDAR = '{timezone: America/New_York, open: {mon-fri: "09:30-16:00"}'
FEED = """
feeds:
  f:
    kind: poll
    url: http://127.0.0.1:9/
    every: EVERY
    fields: {last: last, status: status, start: start}
    calendar: CALENDAR
boards: {b: {feeds: [f]}}
"""


def feed(every: str = "5s", calendar: str = "", extra: str = "") -> Feed:
    """Return the settings of a feed."""
    text = FEED.replace("EVERY", every + extra).replace("CALENDAR", calendar)
    if not calendar:
        text = text.replace("    calendar: \n", "")
    return configfile.parse(text, "p.yaml", base=None, env={}).settings.feeds["f"]  # type: ignore[arg-type] # no file is named


def at(text: str) -> float:
    """Return a time in New York as epoch seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()


def followed(pace: Pace, record: Record, now: float, rows: Any = None) -> float:
    """Return the interval in force at a time."""
    pace.follow(record, lambda: rows or {}, now)
    return pace.every


CLOSED, OPEN = at("2026-11-21 12:00"), at("2026-11-23 09:30")


# -- the market's hours


@pytest.mark.parametrize(
    ("every", "calendar", "closed_every"),
    [
        ("5s", CALENDAR + "}", 60.0),
        ("10s", CALENDAR + "}", 100.0),
        ("5s", CALENDAR + ", closed_every: 5m}", 300.0),
        ("5s", CALENDAR + ", closed_every: never}", math.inf),
        ("{live: 5s, idle: 30s}", CALENDAR + "}", 30.0),
    ],
)
def test_a_closed_market_is_read_less_often(every: str, calendar: str, closed_every: float) -> None:
    """As configured, else at the idle pace, else a tenth as often, at most each minute."""
    settings = feed(every, calendar)
    pace, record = Pace(settings), Record(last_success=CLOSED)
    assert followed(pace, record, CLOSED) == closed_every
    assert followed(pace, record, OPEN) == settings.every


def test_what_a_market_closed_with_is_read_before_it_rests() -> None:
    """Also where nothing was read yet, and after failures."""
    pace = Pace(feed("5s", CALENDAR + ", closed_every: never}"))
    closing = at("2026-11-20 16:00")
    assert followed(pace, Record(last_success=closing - 1), closing) == 5
    assert followed(pace, Record(last_success=closing - 1, failures=3), closing + 60) == 5
    assert followed(pace, Record(last_success=closing + 61), closing + 62) == math.inf
    assert followed(pace, Record(), closing + 63) == 5


def test_what_was_fresh_when_the_market_closed_is_closed() -> None:
    """Nothing ages meanwhile; the reason says until when."""
    pace = Pace(feed("5s", CALENDAR + "}"))
    record = Record(last_success=at("2026-11-20 15:59:56"))
    assert pace.judge(record, at("2026-11-20 15:59:59")) == (Quality.LIVE, None)
    for now in ("2026-11-20 16:00", "2026-11-22 23:59"):
        words = "market closed until Mon 09:30 America/New_York"
        assert pace.judge(record, at(now)) == (Quality.CLOSED, words)


def test_what_was_stale_when_the_market_closed_stays_so() -> None:
    """Yesterday's noon is not the closing price; a source that never answered has no price."""
    pace = Pace(feed("5s", CALENDAR + "}"))
    noon = Record(last_success=at("2026-11-20 12:00"), failures=9, why="HTTP 503")
    assert pace.judge(noon, CLOSED) == (Quality.DOWN, "HTTP 503")
    assert pace.judge(Record(), CLOSED)[0] is Quality.STALE
    assert pace.judge(Record(failures=1, why="gone"), CLOSED) == (Quality.DOWN, "gone")


def test_a_market_that_opens_does_not_begin_stale() -> None:
    """Its rows are as old as the pace of the night allows until the first reading of the day."""
    pace = Pace(feed("5s", CALENDAR + ", closed_every: 5m}"))
    record = Record(last_success=OPEN - 250)
    followed(pace, record, OPEN - 250)
    pace.attempted()
    assert followed(pace, record, OPEN) == 5
    assert pace.judge(record, OPEN + 1)[0] is Quality.LIVE
    pace.attempted()
    assert pace.judge(record.failed(OPEN + 1, "HTTP 503"), OPEN + 2)[0] is Quality.DOWN


def test_another_source_is_read_although_its_market_is_closed() -> None:
    """What the one before said when the market had closed is not what this one says."""
    settings = feed("5s", CALENDAR + ", closed_every: never}")
    before = Pace(settings)
    record = Record(last_success=CLOSED)
    assert followed(before, record, CLOSED + 1) == math.inf
    pace = before.restarted(settings, record)
    assert followed(pace, record, CLOSED + 2) == 5
    pace = pace.adjusted(settings)
    assert followed(pace, record.failed(CLOSED + 3, "HTTP 503"), CLOSED + 3) == 5
    assert followed(pace, record.succeeded(CLOSED + 8), CLOSED + 8) == math.inf


@pytest.mark.parametrize("restarted", [False, True])
def test_another_interval_does_not_make_a_feed_stale(restarted: bool) -> None:
    """What was read is as young as it was, until it should have been read anew."""
    slow, record = Pace(feed("24h")), Record(last_success=CLOSED - 3600)
    slow.attempted()
    quick = feed("5s")
    pace = slow.restarted(quick, record) if restarted else slow.adjusted(quick)
    assert followed(pace, record, CLOSED) == 5
    assert pace.judge(record, CLOSED)[0] is Quality.LIVE
    pace.attempted()
    assert pace.judge(record, CLOSED)[0] is not Quality.LIVE


def test_an_idle_feed_that_is_adjusted_stays_idle() -> None:
    """The next reading would say the same."""
    settings = feed("{live: 5s, idle: 10m}")
    pace, record = Pace(settings), Record(last_success=CLOSED)
    pace.heard({}, CLOSED)
    assert followed(pace, record, CLOSED) == 600
    assert followed(pace.adjusted(settings), record, CLOSED + 1) == 600


# -- games

NOW = 1_763_700_000.0


def game(status: str | None, start: float | None = None) -> dict[str, Any]:
    """Return a row of a game; ``start`` is in seconds from now."""
    row = {"status": status, "start": None if start is None else (NOW + start) * 1000}
    return {name: value for name, value in row.items() if value is not None}


@pytest.mark.parametrize(
    ("rows", "on", "turn"),
    [
        ([], False, None),
        ([game("final"), game("scheduled")], False, None),
        ([game("final"), game("live")], True, None),
        ([game("break")], True, None),
        ([game("suspended")], True, None),
        ([game("postponed", -10)], False, None),
        ([game("scheduled", 90), game(None, 30)], False, 30),
        ([game("live"), game("scheduled", 90)], True, 90),
        ([game("scheduled", -10)], True, DUE_MS / 1000 - 10),
        ([game("scheduled", -DUE_MS / 1000)], False, None),
    ],
)
def test_games_say_whether_they_are_on(
    rows: list[dict[str, Any]], on: bool, turn: float | None
) -> None:
    """A game is live, or due and not yet called live; and the next one's start is known."""
    found = games({str(i): row for i, row in enumerate(rows)}, NOW)
    assert found == (on, math.inf if turn is None else pytest.approx(NOW + turn))


def test_a_game_is_awaited_at_its_start() -> None:
    """However long the idle interval is."""
    pace, record = Pace(feed("{live: 5s, idle: 10m}")), Record(last_success=NOW)
    rows = {"A-B": game("scheduled", 130)}
    assert followed(pace, record, NOW, rows) == 5, "nothing was read yet"
    pace.heard(rows, NOW)
    assert followed(pace, record, NOW, rows) == 600
    assert followed(pace, record, NOW + 129, rows) == 600
    assert followed(pace, record, NOW + 130, rows) == 5
    assert followed(pace, record, NOW + 130 + DUE_MS / 1000, rows) == 600, "called off in silence"


def test_a_slower_pace_is_not_staleness() -> None:
    """Limits follow the interval in force, those that are configured too."""
    for extra, fresh_for in (("", 180.0), ("\n    stale_after: 20s", 240.0)):
        pace = Pace(feed("{live: 5s, idle: 60s}", extra=extra))
        pace.heard({}, NOW)
        followed(pace, Record(last_success=NOW), NOW)
        assert pace.freshness.stale_after == fresh_for
        assert pace.judge(Record(last_success=NOW), NOW + 100)[0] is Quality.LIVE
        pace.heard({"A": game("live")}, NOW)
        followed(pace, Record(last_success=NOW), NOW)
        pace.attempted()
        assert pace.judge(Record(last_success=NOW), NOW + 100)[0] is not Quality.LIVE


# -- the real server, at another time

SERVED = """
feeds:
  f:
    kind: poll
    url: URL/f
    every: EVERY
    rows: "@"
    key: id
    required: []
    fields: {last: last, home_score: score, status: status, start: start}
    CALENDAR
boards: {b: {feeds: [f], flush: 10ms}}
"""


class Clock:
    """The producer's clock, which a test sets."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def set(self, now: float) -> None:
        """Make it that late."""
        self.ahead = now - time.time()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of all feeds."""
    clock = Clock()
    monkeypatch.setattr(producer, "time", clock)
    return clock


@pytest.fixture
def origin() -> Iterator[Source]:
    """Return a source."""
    with source() as origin:
        yield origin


def served(origin: Source, every: str, calendar: str = "") -> str:
    """Return a config."""
    text = SERVED.replace("URL", origin.url).replace("EVERY", every)
    return text.replace("CALENDAR", f"calendar: {calendar}" if calendar else "")


def test_a_feed_rests_while_its_market_is_closed(clock: Clock, origin: Source) -> None:
    """It is read once although it starts closed, then from the opening on, then once more."""
    origin.say("/f", [{"id": "A", "last": 1}])
    clock.set(CLOSED)
    with serving(served(origin, "1s", CALENDAR + ", closed_every: never}")) as server:
        until(lambda: server.feed("f")["every"] is None, what="the rest")
        told = server.feed("f")
        assert told["quality"] == "closed"
        assert told["why"] == "market closed until Mon 09:30 America/New_York"
        assert (told["next_run"], told["rows"], origin.asked("/f")) == (None, 1, 1)
        assert server.rows("b")["A"]["quality"] == "closed"
        clock.set(OPEN)
        until(lambda: origin.asked("/f") >= 3, what="readings of the day")
        assert server.feed("f")["every"] == 1000
        until(lambda: server.feed("f")["quality"] == "live", what="the opening")
        until(lambda: "quality" not in server.rows("b")["A"], what="rows of the day")
        asked = origin.asked("/f")
        clock.set(at("2026-11-23 16:00"))
        until(lambda: server.feed("f")["every"] is None, what="the closing")
        assert origin.asked("/f") > asked, "what it closed with was read"
        assert "until Tue 09:30" in server.feed("f")["why"]


def test_a_feed_follows_its_games(clock: Clock, origin: Source) -> None:
    """Idle before the game, awake at its start, live in it, idle after it; never stale."""
    clock.set(NOW)
    row = {"id": "A", "score": 0, "status": "scheduled", "start": (NOW + 3000) * 1000}
    origin.say("/f", [row])
    with serving(served(origin, "{live: 1s, idle: 1h}")) as server:
        until(lambda: server.feed("f")["every"] == 3_600_000, what="the idle pace")
        assert origin.asked("/f") == 1
        clock.set(NOW + 3000)
        until(lambda: origin.asked("/f") >= 2, what="the start")
        origin.say("/f", [row | {"status": "live"}])
        until(lambda: server.rows("b")["A"]["status"] == "live", what="the game")
        assert server.feed("f")["every"] == 1000
        origin.say("/f", [row | {"status": "final"}])
        until(lambda: server.feed("f")["every"] == 3_600_000, what="the idle pace")
        clock.set(NOW + 6000)
        following = server.feed("f")
        assert following["next_run"] / 1000 > time.time() + 1
        assert following["quality"] == "live"


def test_the_loop_is_left_alone() -> None:
    """A market whose next change is far is looked up once, not twice a second."""
    pace = Pace(feed("5s", CALENDAR + "}"))
    assert pace._market is not None
    asked = []
    hours = pace._market.hours
    look = hours.at
    hours.at = lambda now: asked.append(now) or look(now)  # type: ignore[method-assign,func-returns-value] # a witness
    for i in range(1000):
        followed(pace, Record(last_success=CLOSED), CLOSED + i)
        pace.judge(Record(last_success=CLOSED), CLOSED + i)
    assert len(asked) == 1
