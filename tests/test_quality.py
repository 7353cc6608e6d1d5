"""How far feeds and rows can be trusted, in tables; time is an argument."""

from __future__ import annotations

from itertools import combinations_with_replacement
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.quality import OVER, Freshness, Quality, Record, of_feed, of_row, worst

LIMITS = Freshness(stale_after=15, down_after=60)
LATE_BY_CONTRACT = Freshness(stale_after=15, down_after=60, delay=900)


@pytest.mark.parametrize(
    ("age", "quality", "why"),
    [
        (0, "live", None),
        (15, "live", None),
        (15.1, "stale", "nothing read for 15 s"),
        (60, "stale", "nothing read for 15 s"),
        (60.1, "down", "nothing read for 60 s"),
        (1e6, "down", "nothing read for 60 s"),
        (-3600, "live", None),
    ],
)
def test_a_feed_grows_old_by_itself(age: float, quality: str, why: str | None) -> None:
    """Its last success decides; a clock that was set back makes nothing stale."""
    assert of_feed(Record(last_success=1000), LIMITS, 1000 + age) == (quality, why)


@pytest.mark.parametrize(
    ("age", "quality", "why"),
    [(5, "live", None), (16, "stale", "HTTP 503"), (61, "down", "HTTP 503")],
)
def test_failures_say_why_a_feed_is_old(age: float, quality: str, why: str | None) -> None:
    """One failure does not make a feed stale: its data is as young as configured."""
    record = Record(last_success=1000).failed(1001, "HTTP 503")
    assert of_feed(record, LIMITS, 1000 + age) == (quality, why)


def test_a_feed_that_was_not_read_yet_is_stale() -> None:
    """Nothing is known of it, neither good nor bad."""
    assert of_feed(Record(), LIMITS, 1000) == (Quality.STALE, "no reading yet")


def test_a_feed_that_never_answered_is_down_at_its_first_failure() -> None:
    """There is nothing to trust."""
    record = Record().failed(1000, "connection refused")
    assert of_feed(record, LIMITS, 1000) == (Quality.DOWN, "connection refused")


def test_a_recording_that_ended_is_closed_however_old() -> None:
    """It is quiet, not stale."""
    record = Record(last_success=1000, ended=True)
    assert of_feed(record, LIMITS, 1e9) == (Quality.CLOSED, "the recording has ended")


@pytest.mark.parametrize(("age", "quality"), [(0, "delayed"), (16, "stale"), (61, "down")])
def test_a_feed_that_is_late_by_contract_is_never_live(age: float, quality: str) -> None:
    """At its best it is delayed; it can still be worse."""
    assert of_feed(Record(last_success=0), LATE_BY_CONTRACT, age)[0] == quality


def test_a_success_ends_a_row_of_failures() -> None:
    """What was said of them is forgotten."""
    record = Record(last_success=1).failed(2, "a").failed(3, "b")
    assert (record.failures, record.failing_since, record.why) == (2, 2, "b")
    assert record.succeeded(4) == Record(last_success=4)


@given(st.floats(0, 1e9), st.floats(0, 1e9), st.sampled_from([None, "HTTP 503"]))
def test_a_feed_never_grows_better_by_waiting(one: float, other: float, why: str | None) -> None:
    """Without a success later is never better."""
    record = Record(last_success=0, failures=1 if why else 0, why=why)
    earlier, later = (of_feed(record, LIMITS, at)[0] for at in sorted((one, other)))
    assert worst(earlier, later) is later


@pytest.mark.parametrize(
    ("row", "feed", "late", "quality"),
    [
        ({}, "live", False, "live"),
        ({}, "delayed", False, "delayed"),
        ({}, "stale", False, "stale"),
        ({}, "down", False, "down"),
        ({}, "closed", False, "closed"),
        ({}, "live", True, "stale"),
        ({}, "delayed", True, "stale"),
        ({}, "down", True, "down"),
        ({"quality": "delayed"}, "live", False, "delayed"),
        ({"quality": "delayed"}, "stale", False, "stale"),
        ({"quality": "delayed"}, "live", True, "stale"),
        ({"quality": "stale"}, "live", False, "stale"),
        ({"quality": "stale"}, "delayed", False, "stale"),
        ({"quality": "live"}, "stale", False, "stale"),
        ({"quality": "closed"}, "live", False, "closed"),
        ({"quality": "closed"}, "down", True, "closed"),
        ({"quality": "excellent"}, "live", False, "live"),
        ({"quality": 5}, "live", False, "live"),
        ({"status": "live"}, "stale", False, "stale"),
        ({"status": "final"}, "live", False, "closed"),
        ({"status": "final"}, "down", True, "closed"),
        ({"status": "abandoned"}, "stale", False, "closed"),
        ({"status": "cancelled"}, "stale", False, "closed"),
        ({"status": "postponed"}, "stale", False, "stale"),
        ({"status": "FINAL"}, "stale", False, "stale"),
        ({"status": 3}, "live", False, "live"),
    ],
)
def test_a_row_is_as_good_as_the_worst_that_is_known_of_it(
    row: dict[str, Any], feed: str, late: bool, quality: str
) -> None:
    """Its feed, its source's own word and its lateness count; what is over stays over."""
    assert of_row(row, Quality(feed), late=late) == quality


@pytest.mark.parametrize("field", ["status", "quality"])
def test_a_status_may_be_anything_that_a_cell_may_be(field: str) -> None:
    """With `kind: auto` a source may put a list there; it claims nothing."""
    assert of_row({field: [1]}, Quality.LIVE, late=False) is Quality.LIVE


def test_the_worst_of_two_qualities_is_the_later_in_their_order() -> None:
    """Whichever is named first; each is the worst of itself."""
    assert list(Quality) == ["live", "delayed", "stale", "down", "closed"]
    for better, worse in combinations_with_replacement(Quality, 2):
        assert worst(better, worse) is worst(worse, better) is worse


def test_what_is_over() -> None:
    """These words of the wire end a game."""
    assert {"final", "abandoned", "cancelled"} == OVER
