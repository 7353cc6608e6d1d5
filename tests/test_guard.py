"""Scores that flap: what is held back, what is shown as a correction, and what is kept."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support import Follower, Handler, Running, Source, serving, source, until
from ticker.diff import Row, Rows
from ticker.guard import ANOTHER_GAME_MS, Guard

NOW = 1_763_629_000.0
LIVE: Row = {
    "home": "Ashford",
    "away": "Calder",
    "home_score": 2,
    "away_score": 1,
    "status": "live",
}


def guard(keep: float = 0, most: int = 1000, *, cumulative: bool = False) -> Guard:
    """Return a guard that keeps finals for ``keep`` seconds."""
    return Guard(keep_finals=keep, most=most, cumulative=cumulative)


def game(**changes: Any) -> Row:
    """Return the live game with other values; None takes a field away."""
    return {field: value for field, value in (LIVE | changes).items() if value is not None}


def shown(*readings: Row, by: Guard | None = None) -> list[Row]:
    """Return what is shown of a game after each reading, one a second."""
    guarding = by or guard()
    return [
        guarding.admit({"A": dict(row)}, NOW + second, complete=True)["A"]
        for second, row in enumerate(readings)
    ]


# -- what is doubtful

TAKEN_BACK = {
    "home score falls": (game(), game(home_score=0)),
    "away score falls": (game(), game(away_score=0)),
    "one rises, one falls": (game(), game(home_score=3, away_score=0)),
    "live becomes scheduled": (game(), game(status="scheduled")),
    "break becomes scheduled": (game(status="break"), game(status="scheduled")),
    "suspended becomes scheduled": (game(status="suspended"), game(status="scheduled")),
    "final becomes scheduled": (game(status="final"), game(status="scheduled")),
    "final becomes live": (game(status="final"), game(status="live")),
    "final becomes break": (game(status="final"), game(status="break")),
    "start moves a little": (game(start=0), game(start=ANOTHER_GAME_MS, home_score=0)),
}

TAKEN = {
    "score rises": (game(), game(home_score=3)),
    "first score": (game(home_score=None, away_score=None), game()),
    "score is not said": (game(), game(home_score=None, away_score=None)),
    "score is no number": (game(), game(home_score="0")),
    "half-time": (game(), game(status="break")),
    "second half": (game(status="break"), game()),
    "final": (game(), game(status="final")),
    "cancelled is played after all": (game(status="cancelled"), game(status="scheduled")),
    "abandoned goes on after all": (game(status="abandoned"), game(status="live")),
    "postponed": (game(status="scheduled"), game(status="postponed")),
    "words of the source": (game(status="2nd half"), game(status="1st half")),
    "a list as status": (game(), game(status=["live"])),
    "another start": (game(start=0), game(start=ANOTHER_GAME_MS + 1, home_score=0)),
    "another team": (game(), game(home="Dunmore", home_score=0, status="scheduled")),
    "marked": (game(), game(home_score=0, correction="true")),
    "marked in words": (game(status="final"), game(correction="VAR")),
}


@pytest.mark.parametrize(("before", "after"), TAKEN_BACK.values(), ids=TAKEN_BACK)
def test_a_reading_that_takes_back_is_held_once(before: Row, after: Row) -> None:
    """The row stays as it was until a second reading says the same."""
    by = guard()
    first, second, third = shown(before, after, after, by=by)
    assert (first, second) == (before, before)
    assert {field: third[field] for field in after} == after
    assert by.held == 1


@pytest.mark.parametrize(("before", "after"), TAKEN.values(), ids=TAKEN)
def test_a_reading_that_goes_on_is_shown_at_once(before: Row, after: Row) -> None:
    """Nothing else is doubtful, and a source's own mark is enough."""
    by = guard()
    found = shown(before, after, by=by)[-1]
    fields = after.keys() - {"correction"}
    assert {field: found[field] for field in fields} == {field: after[field] for field in fields}
    assert by.held == 0


@pytest.mark.parametrize("mark", ["false", "0", "no", "No", "", " ", False, 0])
def test_marks_that_deny_are_none(mark: object) -> None:
    """A source may have the field in every row; its value is never shown."""
    row = game(home_score=0, correction=mark)
    assert shown(game(), row) == [game(), game()]


def test_another_doubt_starts_anew() -> None:
    """Two readings confirm each other only when they take back the same fields."""
    by = guard()
    both, home = game(home_score=0, away_score=0), game(home_score=1)
    assert shown(game(), both, home, by=by)[-1] == game()
    assert by.held == 2
    assert by.admit({"A": home}, NOW + 9, complete=True)["A"]["home_score"] == 1


def test_a_good_reading_ends_a_doubt() -> None:
    """A flap at every second reading is never shown."""
    flap = game(home_score=0)
    by = guard()
    assert shown(game(), flap, game(), flap, game(), flap, by=by) == [game()] * 6
    assert by.held == 3


def test_a_confirmation_of_the_source_confirms() -> None:
    """304 Not Modified is a second reading; when nothing waits it changes nothing."""
    by = guard()
    shown(game(), game(home_score=1), by=by)
    found = by.confirm(NOW + 5)
    assert found == {"A": game(home_score=1, correction="was 2–1")}
    assert by.confirm(NOW + 6) is None


def test_a_row_that_was_not_read_again_is_not_confirmed() -> None:
    """A part of the reading that failed says nothing, with its old row or without."""
    by = guard()
    flap = {"A": game(home_score=0)}
    shown(game(), flap["A"], by=by)
    for rows in (flap, {}):
        assert by.admit(rows, NOW + 5, complete=True, kept={"A"}) == {"A": game()}
    assert by.held == 1
    assert by.admit(flap, NOW + 6, complete=True)["A"]["home_score"] == 0


@pytest.mark.parametrize("cumulative", [True, False])
def test_silence_confirms_where_readings_are_news(cumulative: bool) -> None:
    """In a recording who says nothing of a row says it again; a poll that lacks it does not."""
    by = guard(cumulative=cumulative)
    by.admit({"A": game()}, NOW)
    by.admit({"A": game(home_score=0)}, NOW + 1)
    found = by.admit({"B": game()}, NOW + 2)
    assert found.get("A") == (game(home_score=0, correction="was 2–1") if cumulative else None)
    assert by.confirm(NOW + 3) is None


# -- corrections


def test_a_correction_says_what_was_until_a_score_rises() -> None:
    """The words are of what was shown before; they go with the next goal."""
    low = game(home_score=1)
    found = shown(game(), low, low, low, game(home_score=1, status="break"), game(home_score=2))
    assert [row.get("correction") for row in found] == [None, None, *["was 2–1"] * 3, None]


def test_a_second_correction_replaces_the_first() -> None:
    """What was shown last is what was."""
    found = shown(game(), *[game(home_score=1)] * 2, *[game(home_score=0)] * 2)
    assert [row.get("correction") for row in found][-2:] == ["was 2–1", "was 1–1"]


@pytest.mark.parametrize(
    ("before", "words"),
    [
        ({"home_score": 2.5, "away_score": 1}, "was 2.5–1"),
        ({"home_score": 1234567, "away_score": None}, "was 1234567–?"),
    ],
)
def test_words_of_a_correction(before: Row, words: str) -> None:
    """Scores are written as they are; one that is not known is a question mark."""
    row = game(home_score=0, correction="yes")
    assert shown(game(**before), row)[-1]["correction"] == words


@pytest.mark.parametrize(
    "anew",
    [
        game(home_score=0, away_score=0, start=3 * ANOTHER_GAME_MS),
        game(home_score=1, start=0, status="scheduled", correction="true"),
    ],
)
def test_a_game_that_starts_anew_has_no_correction(anew: Row) -> None:
    """Nor one that is yet to come."""
    low = game(home_score=1, start=0)
    assert "correction" not in shown(game(start=0), low, low, anew)[-1]


def test_a_status_that_went_back_has_no_words() -> None:
    """The status says all."""
    back = game(status="scheduled", home_score=None, away_score=None)
    assert shown(game(), back, back)[-1] == back


# -- finals


def reading(by: Guard, second: float, **rows: Row) -> set[str]:
    """Return the symbols shown after a complete reading."""
    return set(by.admit(rows, NOW + second, complete=True))


@pytest.mark.parametrize("status", ["final", "abandoned", "cancelled"])
def test_finals_that_vanish_are_kept_for_a_while(status: str) -> None:
    """From the reading that lacks them; afterwards they go, also when the source only confirms."""
    by = guard(keep=60)
    reading(by, 0, A=game(status=status), B=game(), C=game())
    assert reading(by, 100, B=game()) == {"A", "B"}, "C was not over"
    assert reading(by, 159, B=game()) == {"A", "B"}
    assert by.confirm(NOW + 159) is None
    assert set(by.confirm(NOW + 160) or {}) == {"B"}
    assert by.confirm(NOW + 161) is None


def test_a_final_that_comes_back_vanishes_anew() -> None:
    """The time counts from when it was last there."""
    by = guard(keep=60)
    for second, rows in ((0, {"A": game(status="final")}), (50, {}), (100, {})):
        reading(by, second, **rows)
    reading(by, 101, A=game(status="final"))
    assert reading(by, 105) == {"A"}
    assert reading(by, 164) == {"A"}
    assert reading(by, 165) == set()


def test_another_process_goes_on_with_doubts_and_finals() -> None:
    """What was read once needs one more reading, and a final has its time from before."""
    before = guard(keep=60)
    reading(before, 0, A=game(), B=game(status="final"), Z=game(status="final"))
    reading(before, 1, A=game(home_score=0), Z=game(status="final"))
    rows = {symbol: before.rows[symbol] for symbol in "AB"}
    after = guard(keep=60)
    after.inherit(rows, before.memory())
    assert after.rows == rows
    assert after.memory() == before.memory()
    found = after.admit({"A": game(home_score=0)}, NOW + 2, complete=True)
    assert found["A"]["home_score"] == 0
    assert set(found) == {"A", "B"}
    assert reading(after, 62, A=game(home_score=0)) == {"A"}
    strange = guard(keep=60)
    strange.inherit({}, before.memory())
    assert strange.memory() == {"doubts": {}, "gone": {}}


def test_finals_go_at_once_where_none_are_kept() -> None:
    """With ``keep_finals: 0s``."""
    by = guard(keep=0)
    reading(by, 0, A=game(status="final"))
    assert reading(by, 1) == set()


def test_finals_kept_count_as_rows() -> None:
    """There are never more than the feed may have; those that vanished first go first."""
    by = guard(keep=60, most=3)
    reading(by, 0, A=game(status="final"), B=game(status="final"))
    reading(by, 1, B=game(status="final"), C=game(status="final"))
    assert reading(by, 2, D=game(), E=game()) == {"D", "E", "C"}
    assert reading(by, 3, D=game(), E=game(), F=game()) == {"D", "E", "F"}


def test_rows_of_news_are_bounded() -> None:
    """A recording that only adds games does not fill the memory."""
    by = guard(most=3, cumulative=True)
    for n in range(10):
        by.admit({f"S{n}": game()}, NOW + n)
    by.admit({"S9": game(home_score=0)}, NOW + 20)
    assert set(by.confirm(NOW + 21) or {}) == {"S7", "S8", "S9"}


# -- clocks


def test_a_clock_says_since_when() -> None:
    """Epoch milliseconds of the reading that first had it so; other fields do not count."""
    changes: list[dict[str, Any]] = [
        {"clock": "10:00", "period": "Q1"},
        {"home_score": 3},
        {"clock": "9:59"},
        {"period": "Q2"},
        {"clock_rate": 0},
        {"status": "break"},
        {"home_score": 4},
    ]
    rows = list(accumulate(changes, lambda row, change: row | change, initial=game()))[1:]
    found = [round(row["clock_at"] / 1000 - NOW) for row in shown(*rows)]
    assert found == [0, 0, 2, 3, 4, 5, 5]


def test_rows_without_a_clock_have_no_time_of_it() -> None:
    """And a source's own time counts."""
    assert shown(game(), game(clock="1'", clock_at=5)) == [game(), game(clock="1'", clock_at=5)]


# -- any sequence

SCORES = st.integers(0, 4)
STATUSES = st.sampled_from(["scheduled", "live", "break", "final"])
ROWS = st.builds(
    lambda h, a, s: game(home_score=h, away_score=a, status=s), SCORES, SCORES, STATUSES
)


@st.composite
def correct(draw: st.DrawFn) -> list[Row]:
    """Return a game as it goes: scores rise, the status goes on."""
    statuses = [
        "scheduled",
        *draw(st.lists(st.sampled_from(["live", "break"]), max_size=8)),
        "final",
    ]
    home = away = 0
    rows = []
    for status in statuses:
        home, away = home + draw(st.integers(0, 2)), away + draw(st.integers(0, 2))
        rows.append(game(home_score=home, away_score=away, status=status))
    return rows


@given(correct())
def test_a_correct_game_is_untouched(rows: list[Row]) -> None:
    """Every reading is shown at once, as it came."""
    by = guard()
    assert shown(*rows, by=by) == rows
    assert by.held == 0


@given(correct(), st.data())
def test_a_flap_of_one_reading_is_never_shown(rows: list[Row], data: st.DataObject) -> None:
    """Whatever it says instead: no score falls below what was shown, no status goes back."""
    at = data.draw(st.integers(1, len(rows) - 1))
    before = rows[at - 1]
    flap = before | data.draw(ROWS)
    fell = any(flap[field] < before[field] for field in ("home_score", "away_score"))
    assume(fell or (before["status"] != "scheduled" and flap["status"] == "scheduled"))
    assert shown(*rows[:at], flap, *rows[at:]) == [*rows[:at], before, *rows[at:]]


@given(st.lists(ROWS, min_size=1, max_size=8), ROWS)
def test_two_equal_readings_are_always_shown(rows: list[Row], row: Row) -> None:
    """Whatever was before, nothing is held back for longer than one reading."""
    found = shown(*rows, row, row)[-1]
    assert {field: found[field] for field in row} == row


@given(st.lists(ROWS, min_size=1, max_size=8))
def test_readings_are_not_changed(rows: list[Row]) -> None:
    """Rows belong to who read them."""
    given_rows: list[Rows] = [{"A": {**row, "clock": "1'", "correction": "no"}} for row in rows]
    copies = [{"A": dict(said["A"])} for said in given_rows]
    by = guard()
    for said in given_rows:
        by.admit(said, NOW, complete=True)
    assert given_rows == copies


# -- the whole server

CONFIG = """
feeds:
  games:
    kind: poll
    every: 100ms
    timeout: 90ms
    empty: allow
    url: "{url}/t"
    key: id
    keep_finals: {keep}
    fields: {{home_score: h, away_score: a, status: s, clock: c}}
boards:
  b: {{layout: scores, feeds: [games], flush: 10ms}}
"""


def said(home: int, away: int, status: str = "live") -> list[dict[str, Any]]:
    """Return a document of one game."""
    return [{"id": "A", "h": home, "a": away, "s": status}]


def scripted(documents: Sequence[Any], then: Any) -> Callable[[Handler], None]:
    """Return answers that say each document once, then one for good."""
    rest = list(documents)

    def respond(handler: Handler) -> None:
        handler.answer(200, orjson.dumps(rest.pop(0) if rest else then))

    return respond


def scores(viewer: Follower) -> list[tuple[int, int]]:
    """Return every score that a viewer was told, in order."""
    seen: list[tuple[int, int]] = []
    row: Row = {}
    for message in viewer.messages:
        if message["type"] in {"snapshot", "diff"} and "A" in message["rows"]:
            row = row | message["rows"]["A"]
            if seen[-1:] != [(row["home_score"], row["away_score"])]:
                seen.append((row["home_score"], row["away_score"]))
    return seen


@contextmanager
def read(document: Any, keep: str = "1m") -> Iterator[tuple[Source, Running]]:
    """Run a source and a server that has read ``document`` from it."""
    with source() as upstream:
        upstream.say("/t", document)
        with serving(CONFIG.format(url=upstream.url, keep=keep)) as server:
            until(lambda: server.rows("b").get("A"), what="the first reading")
            yield upstream, server


def test_viewers_never_see_a_flap_and_see_a_correction(caplog: pytest.LogCaptureFixture) -> None:
    """A score that falls for one poll stays; one that falls for two is shown with what was."""
    caplog.set_level(logging.INFO, logger="ticker")
    with read(said(2, 1)) as (upstream, server), server.follow("b") as viewer:
        viewer.wait("snapshot")
        flaps = [said(0, 0), said(2, 1), said(2, 1, "scheduled"), said(2, 1), said(2, 0)]
        upstream.script["/t"] = scripted(flaps, then=said(3, 1))
        viewer.follow_until(lambda v: v.rows["b"]["A"]["home_score"] == 3)
        upstream.say("/t", said(2, 1))
        viewer.follow_until(lambda v: "correction" in v.rows["b"]["A"])
        corrected = {"home_score": 2, "away_score": 1, "status": "live", "correction": "was 3–1"}
        assert viewer.rows["b"]["A"] == corrected
        assert scores(viewer) == [(2, 1), (3, 1), (2, 1)]
        assert server.feed("games")["held"] == 4
    told = [r.getMessage() for r in caplog.records if "flaps" in r.getMessage()]
    words = "row 'A': away_score 1 became 0, home_score 2 became 0"
    assert told == [f"feed 'games' flaps: {words}; held back until confirmed"]


def test_a_confirmation_without_a_body_confirms() -> None:
    """304 Not Modified after a doubtful answer is the second poll."""

    def respond(handler: Handler) -> None:
        if handler.headers.get("If-None-Match") == '"low"':
            handler.answer(304, ETag='"low"')
        else:
            handler.answer(200, orjson.dumps(said(1, 1)), ETag='"low"')

    with read(said(2, 1)) as (upstream, server):
        upstream.script["/t"] = respond
        until(lambda: server.rows("b")["A"].get("correction") == "was 2–1")
        assert server.rows("b")["A"]["home_score"] == 1
        assert server.feed("games")["held"] == 1


@pytest.mark.parametrize("keep", ["1s", "0s"])
def test_a_final_is_kept_and_then_gone(keep: str) -> None:
    """The source drops it at once; viewers see the result for a while, if that is wanted."""
    with read(said(2, 1, "final"), keep) as (upstream, server), server.follow("b") as viewer:
        viewer.wait("snapshot")
        asked = upstream.asked("/t")
        upstream.say("/t", [])
        if keep != "0s":
            until(lambda: upstream.asked("/t") > asked + 3)
            assert server.rows("b")["A"]["quality"] == "closed"
        viewer.follow_until(lambda v: "A" not in v.rows["b"])


def test_a_clock_reaches_viewers_with_its_time() -> None:
    """Epoch milliseconds at the server, carried over while the clock says the same."""
    with read([{"id": "A", "h": 1, "c": "12:34"}]) as (upstream, server):
        at = server.rows("b")["A"]["clock_at"]
        assert at <= server.feed("games")["last_success"]
        asked = upstream.asked("/t")
        until(lambda: upstream.asked("/t") > asked + 2)
        assert server.rows("b")["A"]["clock_at"] == at
        upstream.say("/t", [{"id": "A", "h": 1, "c": "12:35"}])
        until(lambda: server.rows("b")["A"]["clock_at"] > at)
