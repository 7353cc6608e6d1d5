"""The past of rows is bounded, in order, honest about gaps and exact at its end."""

from __future__ import annotations

from itertools import pairwise
from math import isnan, nan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support import Running, publish, quiet_server, serving, settings, until
from ticker.diff import Rows
from ticker.history import GONE_LIMIT, GONE_MS, KEPT_MS, STEP_MS, History, Pack, Series

NOW = 1_763_629_000_000
values = st.one_of(st.just(nan), st.floats(-1e6, 1e6))
steps = st.one_of(st.integers(0, 400), st.integers(0, 100_000), st.integers(-5_000, 0))
points = st.lists(st.tuples(steps, values), max_size=200)
limits = st.integers(1, 40)


def filled(limit: int, added: list[tuple[int, float]], start: int = NOW) -> Series:
    """Return a series of ``limit`` after (ms since the one before, value)."""
    series = Series(limit)
    for step, value in added:
        start += step
        series.add(start, value)
    return series


def told(series: Series, since: int = 0, most: int | None = None) -> list[tuple[int, float | None]]:
    """Return the points, with None for a gap."""
    times, found = series.since(since, most)
    return [(at, None if isnan(value) else value) for at, value in zip(times, found, strict=True)]


# -- rows that something was said of before


def test_the_younger_of_two_histories_of_a_row_counts() -> None:
    """Of what is here and what was kept."""
    rows: Rows = {"A": {"last": 2}}
    here = recorded({"A": {"last": 1}}, rows, seconds=9)
    for seq, points in ((1, [(NOW, 1), (NOW + 9_000, 2)]), (7, [(NOW + 8_000, 2)])):
        kept = Pack(seq, rows["A"], None, filled(10, [(8_000, 2)]))
        here.restore({"A": kept}, (5, rows), [], rows, NOW + 9_000)
        assert told(here["A"]) == points
    assert len(here) == 1


def test_a_row_that_never_had_a_value_leaves_nothing() -> None:
    """It was not followed."""
    assert list(recorded({"A": {"name": "x"}}, {"A": None})) == []


def test_who_follows_a_history_is_told_of_rows_that_are_forgotten() -> None:
    """What is kept of them elsewhere can go, too."""
    history = recorded({"A": {"last": 1}}, {"A": None})
    history.touched = set()
    history.record(NOW + GONE_MS + 9_000, {"B": {"last": 1}}, {"B": {"last": 1}})
    assert history.touched == {"A", "B"}
    assert "A" not in history


# -- one row


@given(limits, points, st.integers(2, 50))
def test_a_series_is_bounded_and_in_order(
    limit: int, added: list[tuple[int, float]], most: int
) -> None:
    """Whatever comes, when the clock goes back too: in storage and in an answer."""
    series = filled(limit, added)
    for found, bound in ((told(series), limit), (told(series, most=most), min(most, limit))):
        assert len(found) <= bound
        times = [at for at, _ in found]
        assert times == sorted(times)


@given(limits, points, st.floats(-10, 10), st.integers(2, 50))
def test_the_newest_point_is_exact(
    limit: int, added: list[tuple[int, float]], value: float, most: int
) -> None:
    """Its time and value are as they came, however coarse the rest is."""
    now = NOW + sum(step for step, _ in added)
    series = filled(limit, added)
    series.add(now, value)
    assert told(series)[-1] == told(series, most=most)[-1] == (now, value)


@given(limits, points, st.integers(2, 50))
def test_points_are_some_of_those_that_came(
    limit: int, added: list[tuple[int, float]], most: int
) -> None:
    """Merging invents nothing."""
    now, came = NOW, set()
    for step, value in added:
        now += step
        came.add((now, None if isnan(value) else value))
    series = filled(limit, added)
    assert came >= set(told(series)) >= set(told(series, most=most))


@given(limits, points, st.integers(3, 50))
def test_fewer_points_keep_the_first_and_the_newest(
    limit: int, added: list[tuple[int, float]], most: int
) -> None:
    """An answer with fewer points spans the same time."""
    whole, fewer = (told(filled(limit, added), most=n) for n in (None, most))
    assert whole[:1] + whole[-1:] == fewer[:1] + fewer[-1:]


@given(st.lists(st.tuples(st.integers(STEP_MS, 100_000), values), max_size=200))
def test_a_gap_begins_where_something_was_known(added: list[tuple[int, float]]) -> None:
    """Never first, and never two in a row, where nothing is merged."""
    found = [value for _, value in told(filled(1000, added))]
    assert found[:1] != [None]
    assert all(pair != (None, None) for pair in pairwise(found))


@given(limits, points, points, st.floats(-1e6, 1e6) | st.none(), st.integers(2, 50))
def test_a_packed_series_goes_on_as_if_it_had_not_been(
    limit: int, added: list[tuple[int, float]], more: list[tuple[int, float]], last: Any, most: int
) -> None:
    """Same points, same answers, also with what is added afterwards."""
    row = {"last": last, "name": "x", "quality": "down"}
    series = filled(limit, added)
    data = Pack(7, row, NOW, series).encode("last")
    back = Pack.decode(data, "last", limit)
    assert (back.seq, back.gone) == (7, NOW)
    assert back.row == ({} if last is None else {"last": last}) | {"quality": "stale"}
    assert back.encode("last") == data
    now = NOW + sum(step for step, _ in added)
    for step, value in [(0, 0.0), *more]:
        now += step
        series.add(now, value)
        back.series.add(now, value)
        assert told(back.series) == told(series)
        assert told(back.series, most=most) == told(series, most=most)


@given(st.integers(2, 40), st.integers(1, 40), points)
def test_a_packed_series_fits_another_limit(
    limit: int, lower: int, added: list[tuple[int, float]]
) -> None:
    """A process with another config keeps as many points as that says."""
    data = Pack(1, None, None, filled(limit, added)).encode("last")
    assert len(Pack.decode(data, "last", lower).series.at) <= max(lower, 0)


@pytest.mark.parametrize("data", [b"", b"x", bytes(39), bytes(41), bytes(40)])
def test_what_is_no_packed_series_is_refused(data: bytes) -> None:
    """Something else wrote it."""
    with pytest.raises(ValueError, match="a series"):
        Pack.decode(data, "last", 10)


def test_the_latest_value_of_a_bucket_wins() -> None:
    """Changes that come faster than a bucket is long count as one."""
    start = NOW - NOW % STEP_MS
    series = filled(10, [(0, 1.0), (100, 2.0), (100, 3.0), (100, 4.0)], start)
    assert told(series) == [(start + 200, 3.0), (start + 300, 4.0)]


def test_a_gap_stays_beside_the_value_of_its_bucket() -> None:
    """However short it was, the curve is broken there."""
    start = NOW - NOW % STEP_MS
    series = filled(10, [(0, 1.0), (50, nan), (50, 2.0), (50, nan), (50, 3.0)], start)
    assert told(series) == [(start + 150, None), (start + 200, 3.0)]


def test_a_gap_survives_merging() -> None:
    """One short gap among many values is there at every resolution that has room for it."""
    added = [(1000, nan if n == 100 else float(n)) for n in range(1, 400)]
    series = filled(50, added)
    assert len(told(series)) <= 50
    assert [value for _, value in told(series)].count(None) == 1
    assert [value for _, value in told(series, most=10)].count(None) == 1


def test_a_full_series_still_reaches_back() -> None:
    """Twice the points lie twice as far apart: between half of the limit and all of it stay."""
    series = filled(100, [(STEP_MS, float(n)) for n in range(1000)])
    found = told(series)
    assert 50 <= len(found) <= 100
    assert found[0][0] - NOW <= STEP_MS * 16
    fewer = told(series, most=10)
    assert 5 <= len(fewer) <= 10
    assert fewer[0] == found[0]
    gaps = [later[0] - earlier[0] for earlier, later in pairwise(found)]
    assert max(gaps[1:-1]) <= STEP_MS * 16


def test_points_are_dropped_after_a_day() -> None:
    """But for the newest, which says what is still so."""
    series = filled(100, [(0, 1.0), (1000, 2.0), (KEPT_MS, 3.0)])
    assert told(series) == [(NOW + 1000, 2.0), (NOW + 1000 + KEPT_MS, 3.0)]
    assert told(series, since=NOW + 3 * KEPT_MS) == [(NOW + 1000 + KEPT_MS, 3.0)]


def test_a_clock_that_goes_back_drops_the_future() -> None:
    """What was said to be later than now cannot be placed; what is earlier stays."""
    series = filled(100, [(0, 1.0), (10_000, 2.0), (10_000, 3.0), (-15_000, 4.0)])
    assert told(series) == [(NOW, 1.0), (NOW + 5_000, 4.0)]


# -- a board's rows


def recorded(*changes: dict[str, Any], seconds: float = 1.0) -> History:
    """Return the history after diffs, one every so many seconds."""
    history = History("last", 100)
    rows: Rows = {}
    for n, patch in enumerate(changes):
        for symbol, change in patch.items():
            rows[symbol] = {} if change is None else {**rows.get(symbol, {}), **change}
        rows = {symbol: row for symbol, row in rows.items() if row}
        history.record(NOW + round(n * seconds * 1000), patch, rows)
    return history


def test_a_row_that_is_stale_or_down_has_a_gap() -> None:
    """Its value is not known, even where it changes; afterwards it is known again."""
    history = recorded(
        {"A": {"last": 1}},
        {"A": {"quality": "stale"}},
        {"A": {"last": 2}},
        {"A": {"quality": "down"}},
        {"A": {"quality": None}},
        {"A": {"quality": "delayed", "last": 3}},
        {"A": {"quality": "closed"}},
    )
    found = [value for _, value in told(history["A"])]
    assert found == [1, None, 2, 3, 3]


def test_other_fields_leave_no_point() -> None:
    """Only the tracked field and the quality count, and only numbers are values."""
    history = recorded({"A": {"last": 1}}, {"A": {"bid": 5}}, {"A": {"last": "n/a"}})
    assert told(history["A"]) == [(NOW, 1), (NOW + 2000, None)]


def test_a_row_that_comes_back_goes_on() -> None:
    """With a gap for the time it was away."""
    history = recorded({"A": {"last": 1}}, {"A": None}, {"A": {"last": 2}}, {"B": {"last": 1}})
    assert [value for _, value in told(history["A"])] == [1, None, 2]


def test_a_row_that_stays_away_is_forgotten() -> None:
    """A minute after it was removed."""
    away = {"A": {"last": 1}}, {"A": None}, {"B": {"last": 1}}
    assert "A" in recorded(*away, seconds=GONE_MS / 1000 - 1)
    assert "A" not in recorded(*away, seconds=GONE_MS / 1000)


def test_removed_rows_are_bounded() -> None:
    """A source that names its rows anew each time does not fill the memory."""
    names = [f"S{n}" for n in range(GONE_LIMIT + 10)]
    history = recorded({s: {"last": 1} for s in names}, dict.fromkeys(names))
    assert sum(name in history for name in names) == GONE_LIMIT


# -- which field


FIELD = """
feeds:
  f: {{kind: poll, every: 5s, url: "http://h/", fields: {fields}}}
boards:
  b: {{feeds: [f], {more}}}
"""


@pytest.mark.parametrize(
    ("fields", "more", "field"),
    [
        ("{last: x, bid: y}", "columns: [last]", "last"),
        ("{last: x, bid: y}", "columns: [bid]", "last"),
        ("{volume: v, bid: y, ask: z}", "columns: [volume, ask, bid]", "ask"),
        ("{spread: x}", "columns: [{field: spread, kind: price}]", "spread"),
        ("{volume: x}", "title: T", None),
        ("{last: x}", "layout: scores", None),
        ("{last: x}", "history: 0", None),
    ],
)
def test_which_field_has_a_past(fields: str, more: str, field: str | None) -> None:
    """The last price, otherwise the first column that is a price; scores have no curve."""
    assert settings(FIELD.format(fields=fields, more=more)).tracked("b") == field


# -- the address


def past(server: Running, query: str = "", board: str = "b") -> Any:
    """Return what the server says of the past."""
    return server.get(f"/api/boards/{board}/history{query}").json()


def test_the_past_is_told_for_the_present_seq() -> None:
    """With the field, the times of publication and the values."""
    with quiet_server() as server:
        first = server.get("/api/boards/b").json()
        publish(server, rows={"A,B": {"last": 1}, "C": {"name": "no price"}})
        second = server.get("/api/boards/b").json()
        answer = past(server)
        assert answer == {
            **{key: second[key] for key in ("board", "epoch", "seq", "at")},
            "field": "last",
            "rows": {
                "SIM": {"at": [first["at"]], "value": [first["rows"]["SIM"]["last"]]},
                "A,B": {"at": [second["at"]], "value": [1.0]},
            },
        }


@pytest.mark.parametrize(
    ("query", "symbols"),
    [
        ("", {"SIM", "A", "B", "A,B"}),
        ("?symbols=A", {"A"}),
        ("?symbols=A&symbols=B&symbols=A", {"A", "B"}),
        ("?symbols=B,SIM", {"B", "SIM"}),
        ("?symbols=A,B", {"A,B"}),
        ("?symbols=A,nobody,,", {"A"}),
        ("?symbols=nobody", set()),
        ("?symbols=", set()),
    ],
)
def test_which_rows_are_told(query: str, symbols: set[str]) -> None:
    """A symbol with a comma is one symbol; other text with commas is a list."""
    with quiet_server() as server:
        publish(server, rows={symbol: {"last": 1} for symbol in ("A", "B", "A,B")})
        assert past(server, query)["rows"].keys() == symbols


def test_rows_and_points_of_an_answer_are_bounded() -> None:
    """All rows means the first 200; asking for more, or for other than 2 to 2000 points, fails."""
    with quiet_server() as server:
        publish(server, rows={f"S{n}": {"last": n} for n in range(300)})
        assert len(past(server)["rows"]) == 200
        many = ",".join(f"S{n}" for n in range(201))
        response = server.get(f"/api/boards/b/history?symbols={many}")
        assert response.status_code == 400
        assert response.json() == {"detail": "at most 200 symbols at once, got 201"}
        for last in range(5):
            publish(server, rows={"S1": {"last": last}, "S2": {"last": -last}})
        assert len(past(server, "?symbols=S1&points=2")["rows"]["S1"]["at"]) <= 2
        assert server.get("/api/boards/b/history?points=1").status_code == 422


def test_a_board_without_a_past_says_so() -> None:
    """The answer is empty, not an error; an unknown board is one."""
    config = """
feeds: {f: {kind: simulate, every: 24h, symbols: {SIM: 1}}}
boards: {b: {feeds: [f], history: 0}}
"""
    with serving(config) as server:
        until(lambda: server.rows("b"))
        answer = past(server)
        assert (answer["field"], answer["rows"]) == (None, {})
        response = server.get("/api/boards/x/history")
        assert (response.status_code, response.json()) == (404, {"detail": "no board 'x'"})


def test_a_gap_is_null_on_the_wire() -> None:
    """JSON has no NaN."""
    with quiet_server() as server:
        publish(server, rows={"A": {"last": 1}})
        publish(server, rows={"A": {"last": None}})
        assert past(server, "?symbols=A")["rows"]["A"]["value"] == [1.0, None]


def test_large_answers_are_compressed_for_who_accepts_it() -> None:
    """The past and the snapshot alike; the ETag of other bytes is a weak one, and still known."""
    with quiet_server() as server:
        publish(server, rows={f"S{n}": {"last": n} for n in range(100)})
        etag = server.ticker.boards["b"].etag
        for path in ("/api/boards/b", "/api/boards/b/history"):
            plain = server.get(path, accept_encoding="gzip;q=0, br")
            small = server.get(path, accept_encoding="br, gzip")
            assert plain.json() == small.json()
            assert "content-encoding" not in plain.headers
            assert small.headers["content-encoding"] == "gzip"
            assert int(small.headers["content-length"]) < len(plain.content) / 3
            assert plain.headers["vary"] == small.headers["vary"] == "accept-encoding"
            if "etag" in plain.headers:
                assert (plain.headers["etag"], small.headers["etag"]) == (etag, f"W/{etag}")
                known = server.get(path, if_none_match=f"W/{etag}")
                assert known.status_code == 304
        assert "content-encoding" not in server.get("/api/boards/c", accept_encoding="gzip").headers
