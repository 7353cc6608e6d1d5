"""What ops may know of a feed, and how long a failing source is left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.diff import Rows
from ticker.feeds import Reading, Rejection
from ticker.health import Health, back_off

ROWS: Rows = {"A": {"last": 1}}


# -- back-off


@pytest.mark.parametrize(
    ("failures", "wait"),
    [(0, 0), (1, 0), (2, 10), (3, 20), (4, 40), (5, 80), (6, 160), (7, 300), (1000, 300)],
)
def test_the_wait_doubles_from_the_second_failure_on(failures: int, wait: float) -> None:
    """With `every: 5s`: the first failure changes nothing, the longest wait is five minutes."""
    assert back_off(failures, every=5, longest=300) == wait


def test_the_longest_wait_may_be_below_the_interval() -> None:
    """Then a failing source is asked as often as a good one."""
    assert back_off(9, every=5, longest=1) == 1


@given(st.integers(0, 10_000), st.floats(0.01, 86_400), st.floats(0.01, 86_400))
def test_the_wait_grows_within_its_bound(failures: int, every: float, longest: float) -> None:
    """However many failures: never shorter than before, never longer than the longest."""
    wait = back_off(failures, every, longest)
    assert 0 <= wait <= longest
    assert back_off(failures + 1, every, longest) >= wait


# -- what is known


def test_nothing_is_known_at_first() -> None:
    """A feed that was not read says so, and has no times."""
    wire = Health().wire()
    assert (wire["quality"], wire["why"]) == ("stale", "no reading yet")
    assert (wire["attempts"], wire["failures"], wire["rows"]) == (0, 0, 0)
    assert (wire["last_success"], wire["last_attempt"], wire["last_error"]) == (None, None, None)


def test_attempts_are_counted_and_timed() -> None:
    """Times are epoch milliseconds, durations milliseconds."""
    health = Health()
    health.attempted(1000.5, 0.25)
    health.attempted(1001.5, 0.125)
    wire = health.wire()
    assert (wire["attempts"], wire["last_attempt"], wire["duration"]) == (2, 1_001_500, 125)


def test_failures_are_counted_until_a_success() -> None:
    """The last error stays readable after it."""
    health = Health()
    health.failed(1, "HTTP 500")
    health.failed(2, "HTTP 503")
    assert (health.wire()["failures"], health.wire()["last_error"]) == (2, "HTTP 503")
    health.succeeded(3, Reading(ROWS))
    wire = health.wire()
    assert (wire["failures"], wire["last_error"], wire["last_error_at"]) == (0, "HTTP 503", 2000)
    assert wire["last_success"] == 3000


def test_a_confirmation_is_a_success_without_news() -> None:
    """It is counted as unchanged, and what was rejected before still is."""
    health = Health()
    health.succeeded(1, Reading(ROWS, rejected=1, rejections=[Rejection("B", "no last")]))
    health.succeeded(2, None)
    wire = health.wire()
    assert (wire["unchanged"], wire["last_success"], wire["failures"]) == (1, 2000, 0)
    assert (wire["rejected"], wire["rejected_now"]) == (1, 1)
    assert wire["rejections"] == ["row 'B': no last"]


def test_rejections_are_those_of_the_last_reading_and_the_sum_of_all() -> None:
    """Ops see what is wrong now, and how much was."""
    health = Health()
    health.succeeded(1, Reading(rejected=3, rejections=[Rejection("B", "no last")]))
    health.succeeded(2, Reading(ROWS))
    wire = health.wire()
    assert (wire["rejected"], wire["rejected_now"], wire["rejections"]) == (3, 0, [])


def test_trouble_with_a_part_is_said_and_remembered_as_an_error() -> None:
    """It does not count as a failure of the feed."""
    health = Health()
    health.succeeded(1, Reading(ROWS, trouble="1 of 2 requests failed"))
    wire = health.wire()
    assert (wire["trouble"], wire["failures"]) == ("1 of 2 requests failed", 0)
    assert (wire["last_error"], wire["last_error_at"]) == ("1 of 2 requests failed", 1000)
    health.succeeded(2, Reading(ROWS))
    assert health.wire()["trouble"] is None


def test_symbols_wait_since_the_last_success_before_they_failed() -> None:
    """Their value is that old, not as old as the first failure; who comes back waits no more."""
    health = Health()
    health.succeeded(10, Reading(ROWS))
    health.succeeded(20, Reading(ROWS, kept={"B"}))
    health.succeeded(30, Reading(ROWS, kept={"B", "C"}))
    assert health.waiting_since == {"B": 10, "C": 20}
    health.succeeded(40, Reading(ROWS, kept={"C"}))
    assert health.waiting_since == {"C": 20}


def test_a_confirmation_says_nothing_of_rows_that_could_not_be_read() -> None:
    """They go on waiting; those whose request had failed are confirmed."""
    health = Health()
    health.succeeded(10, Reading(ROWS))
    health.succeeded(20, Reading(ROWS, kept={"A", "B"}))
    health.succeeded(30, None, {"B"})
    assert health.waiting_since == {"B": 10}
    health.succeeded(40, None)
    assert health.waiting_since == {}


def test_symbols_that_never_came_wait_since_the_first_reading() -> None:
    """There is no success before it."""
    health = Health()
    health.succeeded(10, Reading(ROWS, kept={"B"}))
    assert health.waiting_since == {"B": 10}


def test_an_ended_feed_stays_ended_until_it_is_read_again() -> None:
    """The end is part of the record."""
    health = Health()
    health.succeeded(1, Reading(ended=True))
    assert health.record.ended
    assert not health.record.failures
