"""The shapes of documents that sources have, each with rows that are mapped and rows that are not.

All names and values are invented; the mapping is read from YAML as people write it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import hypothesis.strategies as st
import jmespath
import pytest
from hypothesis import given

from tests.support import settings
from ticker.config import PollFeed
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import decode
from ticker.feeds.mapping import Mapped, Mapper, Place, reader

FIXTURES = Path(__file__).parent / "fixtures"


def feed(yaml: str) -> PollFeed:
    """Return the settings of a feed that is mapped as ``yaml`` says."""
    mapping = indent(dedent(yaml), "    ")
    url = "" if "url:" in yaml else "    url: http://source.example/ticker\n"
    poll = f"feeds:\n  f:\n    kind: poll\n    every: 10s\n{url}{mapping}\n"
    found = settings(poll + "boards: {b: {feeds: [f]}}\n").feeds["f"]
    assert isinstance(found, PollFeed)
    return found


def mapped(
    yaml: str, body: bytes, *, before: Rows | None = None, symbol: str | None = None
) -> Mapped:
    """Decode ``body`` and map it, as a poll does."""
    found = feed(yaml)
    document: Any
    if found.format == "csv":
        document = decode.table(body, found.delimiter, found.encoding)
    else:
        document = decode.json(body, found.encoding)
    return Mapper(found, single=found.per_symbol).map(document, before=before or {}, symbol=symbol)


@dataclass(frozen=True)
class Shape:
    """A document, the YAML that maps it, and what comes of it."""

    name: str
    yaml: str
    body: str
    rows: Rows
    rejected: tuple[str, ...] = ()
    """How the reason of each rejected row begins."""
    symbol: str | None = None

    @property
    def document(self) -> bytes:
        """The document's bytes: a fixture's where ``body`` is the name of one."""
        file = FIXTURES / self.body
        is_name = "\n" not in self.body and len(self.body) < 40 and file.is_file()
        return file.read_bytes() if is_name else self.body.encode()


SHAPES = [
    Shape(
        "list of objects, numbers as text",
        "fields: {last: lastPrice, change_pct: changePercent, volume: vol, time: at}",
        """[
            {"symbol": "FOOBAR", "lastPrice": "1,234.50", "changePercent": "-0.58%", "vol": "1e3",
             "at": 1700000000},
            {"symbol": "BAZQUX", "lastPrice": "-", "changePercent": "0.1", "vol": "1", "at": null},
            {"symbol": "FOOBAR", "lastPrice": "9", "changePercent": "9", "vol": "9", "at": 9},
            {"lastPrice": "5"},
            {"symbol": "WORDS", "lastPrice": "about five"},
            "maintenance",
            {"symbol": "NIL", "lastPrice": "0.00000012", "vol": ""}
        ]""",
        {
            "FOOBAR": {
                "last": 1234.5,
                "change_pct": -0.58,
                "volume": 1000,
                "time": 1_700_000_000_000,
            },
            "NIL": {"last": 0.00000012},
        },
        (
            "row 'BAZQUX': last: no value at 'lastPrice'",
            "row 'FOOBAR': the symbol came twice; the first row counts",
            "row '#4': no symbol: expected text at 'symbol', got null",
            "row 'WORDS': last at 'lastPrice': expected a number, got 'about five'",
            "row '#6': expected an object, got 'maintenance'",
        ),
    ),
    Shape(
        "lists of mixed length",
        """
        where: starts_with([0], 't')
        key: "[0]"
        fields: {last: "[2]", change_pct: {path: "[1]", scale: 100}}
        """,
        '[["tFOO", 0.07, 10], ["fFOO", 1, 2, 3, 4], ["tBAR", -0.0028, null], [5, 6, 7], ["tBAZ"]]',
        {"tFOO": {"last": 10, "change_pct": 7}},
        (
            "row 'tBAR': last: no value at '[2]'",
            "row '#4': In function starts_with(), invalid type for value: 5",
            "row 'tBAZ': no value for",
        ),
    ),
    Shape(
        "object by symbol, a scalar skipped",
        """
        check: status == '0000'
        rows: data
        key: "@key"
        skip: [date]
        fields: {last: close, time: $.data.date}
        """,
        '{"status": "0000", "data": {"FOO": {"close": "12"}, "BAR": [], "date": "1700000000000"}}',
        {"FOO": {"last": 12, "time": 1_700_000_000_000}},
        ("row 'BAR': last: no value at 'close'",),
    ),
    Shape(
        "object by symbol, scalars at the root",
        'key: "@key"\nfields: {last: last, previous_close: before}',
        '{"foo": {"last": "5", "before": 4}, "result": "success", "errorCode": 0, "bar": null}',
        {"foo": {"last": 5, "previous_close": 4}},
        (
            "row 'result': expected an object, got 'success'",
            "row 'errorCode': expected an object, got 0",
            "row 'bar': expected an object, got null",
        ),
    ),
    Shape(
        "object by symbol, lists inside",
        """
        check: "!error"
        rows: result
        key: "@key"
        only: [FOOEUR, BAREUR]
        fields: {last: "c[0]", volume: "v[-1]", open: o}
        """,
        """{"error": [], "result": {
            "FOOEUR": {"c": ["355.4", "1"], "v": ["2", "44.5"], "o": "353"},
            "BAREUR": {"c": []},
            "BAZEUR": {"c": ["1"]}
        }}""",
        {"FOOEUR": {"last": 355.4, "volume": 44.5, "open": 353}},
        ("row 'BAREUR': no value for",),
    ),
    Shape(
        "list in an envelope",
        """
        check: code == `10000`
        rows: result.ticker
        key: join('/', [base, quote])
        fields: {last: last, time: $.timestamp, currency: quote}
        """,
        """{"code": 10000, "timestamp": 1700000000123, "result": {"ticker": [
            {"base": "FOO", "quote": "BAR", "last": "0.5"},
            {"base": "BAZ", "last": "0.6"}
        ]}}""",
        {"FOO/BAR": {"last": 0.5, "time": 1_700_000_000_123, "currency": "BAR"}},
        ("row '#2': In function join(), invalid type for value: None",),
    ),
    Shape(
        "symbol to number",
        'rows: rates\nkey: "@key"\nfields: {last: "@", currency: $.base, time: $.timestamp}',
        '{"base": "FOO", "timestamp": 1700000000, "rates": {"BAR": 0.79, "BAZ": null, "QUX": {}}}',
        {"BAR": {"last": 0.79, "currency": "FOO", "time": 1_700_000_000_000}},
        (
            "row 'BAZ': last: no value at '@'",
            "row 'QUX': last at '@': expected a number, got an object with 0 members",
        ),
    ),
    Shape(
        "one object behind keys with dots and spaces",
        """
        rows: '["Some Quote"]'
        key: '"01. symbol"'
        fields: {last: '"05. price"', change_pct: '"10. change percent"'}
        """,
        """{"Some Quote": {
            "01. symbol": "FOO", "05. price": "11.5", "10. change percent": "-1.5 %"
        }}""",
        {"FOO": {"last": 11.5, "change_pct": -1.5}},
    ),
    Shape(
        "symbol to percentage",
        """
        rows: '"Rank A: Some Performance"'
        key: "@key"
        fields: {change_pct: "@"}
        """,
        '{"Meta": 1, "Rank A: Some Performance": {"Tools & Toys": "1.38%", "Tea": "soon"}}',
        {"Tools & Toys": {"change_pct": 1.38}},
        ("row 'Tea': change_pct at '@': expected a number, got 'soon'",),
    ),
    Shape(
        "one object, its symbol in the URL only",
        """
        url: http://source.example/{symbol}
        symbols: [foobar]
        fields: {last: last, volume: volume.FOO, time: volume.timestamp}
        """,
        '{"last": "4402.16", "volume": {"FOO": "7", "BAR": "8", "timestamp": 1700000000000}}',
        {"foobar": {"last": 4402.16, "volume": 7, "time": 1_700_000_000_000}},
        symbol="foobar",
    ),
    Shape(
        "csv with a column per symbol",
        """
        format: csv
        rows: "[0]"
        key: "@key"
        skip: [Date]
        fields: {last: "@", time: {path: "$[0].Date", format: "%d %B %Y"}}
        """,
        "wide.csv",
        {
            "FOO": {"last": 1.5, "time": 1_699_920_000_000},
            "BAR": {"last": 186.75, "time": 1_699_920_000_000},
        },
        (
            "row 'BAZ': last: no value at '@'",
            "row 'QUX': last at '@': expected a number, got 'closed'",
        ),
    ),
    Shape(
        "csv with a row per day, other words for blank",
        """
        format: csv
        delimiter: ";"
        key: Date
        timezone: Asia/Tokyo
        fields: {last: FOO, bid: BAR, time: Date}
        """,
        "Date;FOO;BAR;\n2024-01-02;1.25;N/A;\n2024-01-03;;7;\n\n2024-01-04;3\nJan;4;5;\n",
        {
            "2024-01-02": {"last": 1.25, "time": 1_704_121_200_000},
            "2024-01-04": {"last": 3, "time": 1_704_294_000_000},
        },
        (
            "row '2024-01-03': last: no value at 'FOO'",
            "row 'Jan': time at 'Date': expected a time (ISO 8601 or Unix), got 'Jan'",
        ),
    ),
    Shape(
        "series by time",
        """
        rows: '"Series (1min)"'
        key: "@key"
        timezone: America/New_York
        fields: {last: '"4. close"', time: "@key"}
        """,
        """{"Series (1min)": {
            "2024-01-02 15:59:00": {"4. close": "86.5"}, "2024-07-02 15:59:00": {"4. close": "87"}
        }}""",
        {
            "2024-01-02 15:59:00": {"last": 86.5, "time": 1_704_229_140_000},
            "2024-07-02 15:59:00": {"last": 87, "time": 1_719_950_340_000},
        },
    ),
    Shape(
        "games with their sides in a list",
        """
        rows: events
        key: id
        required: [home, away]
        fields:
          home: competitions[0].competitors[?homeAway=='home'] | [0].team.name
          away: competitions[0].competitors[?homeAway=='away'] | [0].team.name
          home_score: competitions[0].competitors[?homeAway=='home'] | [0].score
          away_score: competitions[0].competitors[?homeAway=='away'] | [0].score
          status: {path: status.type.state, map: {pre: scheduled, in: live, post: final}}
          clock: status.displayClock
          league: $.leagues[0].name
        """,
        "sides.json",
        {
            "11": {
                "home": "Foxes",
                "away": "Hares",
                "home_score": 2,
                "away_score": 0,
                "status": "live",
                "clock": "45'+2'",
                "league": "Meadow League",
            },
            "12": {
                "home": "Owls",
                "away": "Mice",
                "status": "delayed",
                "league": "Meadow League",
            },
        },
        (
            "row '13': home: no value at "
            "'competitions[0].competitors[?homeAway=='home'] | [0].team.name'",
        ),
    ),
    Shape(
        "matches whose score is missing before they are played",
        """
        rows: matches
        key: join(' ', [date, team1, team2])
        fields:
          home: team1
          away: team2
          home_score: score.ft[0]
          away_score: score.ft[1]
          status: score.ft && 'final' || 'scheduled'
          scorers: goals1[].name
        """,
        """{"matches": [
            {"date": "2030-01-02", "team1": "Foxes", "team2": "Hares", "score": {"ft": [2, 0]},
             "goals1": [{"name": "Ann", "minute": "9"}, {"name": "Bo", "minute": "90+1"}]},
            {"date": "2030-01-03", "team1": "Owls", "team2": "Mice"},
            {"date": "2030-01-04", "team1": "Owls"}
        ]}""",
        {
            "2030-01-02 Foxes Hares": {
                "home": "Foxes",
                "away": "Hares",
                "home_score": 2,
                "away_score": 0,
                "status": "final",
                "scorers": ["Ann", "Bo"],
            },
            "2030-01-03 Owls Mice": {"home": "Owls", "away": "Mice", "status": "scheduled"},
        },
        ("row '#3': In function join(), invalid type for value: None",),
    ),
    Shape(
        "games whose state is a number",
        """
        rows: scoreboard.games
        key: gameId
        fields:
          home: homeTeam.code
          home_score: homeTeam.score
          status: {path: gameStatus, map: {1: scheduled, 2: live, 3: final}}
          clock: gameClock
          start: startUTC
          periods: homeTeam.periods[].score
        """,
        """{"scoreboard": {"games": [
            {"gameId": "007", "gameStatus": 2, "gameClock": "PT01M05.00S",
             "startUTC": "2024-01-02T00:00:00Z",
             "homeTeam": {"code": "FOX", "score": 12, "periods": [{"score": 7}, {"score": 5}]}},
            {"gameId": 8, "gameStatus": 3, "gameClock": "", "homeTeam": {"code": "OWL"}},
            {"gameId": true, "gameStatus": 1}
        ]}}""",
        {
            "007": {
                "home": "FOX",
                "home_score": 12,
                "status": "live",
                "clock": "1:05",
                "start": 1_704_153_600_000,
                "periods": [7, 5],
            },
            "8": {"home": "OWL", "status": "final", "periods": None},
        },
        ("row '#3': no symbol: expected text at 'gameId', got true",),
    ),
    Shape(
        "actions of one game, laid over each other",
        """
        rows: game.actions
        key: $.game.id
        duplicates: merge
        blanks: keep
        fields: {home_score: home, away_score: away, clock: clock, last_event: text}
        """,
        """{"game": {"id": "g1", "actions": [
            {"clock": "PT12M00.00S", "home": "0", "away": "0", "text": "start"},
            {"clock": "PT11M43.00S", "home": "2", "away": "", "text": "two for the foxes"},
            {"clock": "PT11M40.00S", "home": "lots", "away": "9", "text": "cannot be read"},
            {"clock": "PT11M20.50S", "home": "", "away": "", "text": ""}
        ]}}""",
        {
            "g1": {
                "home_score": 2,
                "away_score": 0,
                "clock": "11:20",
                "last_event": "two for the foxes",
            }
        },
        ("row 'g1': home_score at 'home': expected a number, got 'lots'",),
    ),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.name)
def test_a_shape_gives_its_rows_and_its_rejections(shape: Shape) -> None:
    """Each row is mapped, left out, or rejected with the reason in words."""
    found = mapped(shape.yaml, shape.document, symbol=shape.symbol)
    expected = {
        symbol: {name: value for name, value in row.items() if value is not None}
        for symbol, row in shape.rows.items()
    }
    assert found.rows == expected
    assert found.rejected == len(found.rejections) == len(shape.rejected)
    for rejection, why in zip(found.rejections, shape.rejected, strict=True):
        assert str(rejection).startswith(why)


@dataclass(frozen=True)
class Refusal:
    """A document that is not what the config says, and how the reason begins."""

    name: str
    yaml: str
    body: str
    why: str


REFUSALS = [
    Refusal(
        "a check that is not true",
        "check: ok\nrows: data\nfields: {last: last}",
        '{"ok": false, "message": "slow down", "data": []}',
        "check 'ok' is not true; the source says: slow down",
    ),
    Refusal(
        "errors in a list that should be empty",
        'check: "!error"\nrows: result\nkey: "@key"\nfields: {last: "c[0]"}',
        '{"error": ["unknown pair"]}',
        "check '!error' is not true",
    ),
    Refusal(
        "no list at rows",
        "rows: data.ticker\nfields: {last: last}",
        '{"error": true, "description": "too many requests"}',
        "expected a list or an object at 'data.ticker', got null; "
        "the source says: too many requests",
    ),
    Refusal(
        "a number at rows",
        "rows: data\nfields: {last: last}",
        '{"data": 7}',
        "expected a list or an object at 'data', got 7",
    ),
    Refusal(
        "a page of HTML for JSON",
        "fields: {last: last}",
        "<html>\n<head><title>503 Busy</title></head></html>",
        "expected JSON, got a page of HTML beginning '<html> <head><title>503 Busy</title>",
    ),
    Refusal(
        "a page of HTML for CSV",
        "format: csv\nfields: {last: last}",
        "<html><title>404</title></html>",
        "expected CSV, got a page of HTML beginning '<html><title>404</title></html>'",
    ),
    Refusal(
        "no row that can be mapped",
        "fields: {last: last}",
        '[{"symbol": "FOO"}, {"symbol": "BAR"}]',
        "none of 2 rows could be mapped; first: row 'FOO': no value for",
    ),
    Refusal(
        "no rows",
        "rows: data\nfields: {last: last}",
        '{"data": []}',
        "no rows at 'data'; if that is normal write `empty: allow`",
    ),
    Refusal(
        "no rows that are wanted",
        "only: [BAZ]\nfields: {last: last}",
        '[{"symbol": "FOO", "last": 1}]',
        "none of 1 rows is left by where, only and skip at '@'; "
        "if that is normal write `empty: allow`",
    ),
    Refusal(
        "more rows than allowed",
        "max_rows: 2\nfields: {last: last}",
        '[{"symbol": "A", "last": 1}, {"symbol": "B", "last": 1}, {"symbol": "C", "last": 1}]',
        "expected at most 2 rows at '@', got 3",
    ),
    Refusal(
        "rows that cannot be searched",
        "rows: keys(data)\nfields: {last: last}",
        '{"data": 5}',
        "rows 'keys(data)': In function keys(), invalid type for value: 5, expected one of: "
        "['object'], received: \"number\"",
    ),
]


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.name)
def test_a_document_that_is_not_what_the_config_says_is_an_error(refusal: Refusal) -> None:
    """The error says what was expected and what came."""
    with pytest.raises(FeedError) as error:
        mapped(refusal.yaml, refusal.body.encode())
    assert error.value.why.startswith(refusal.why)


def test_an_empty_document_can_be_allowed() -> None:
    """With `empty: allow` no rows are a reading like any other."""
    assert mapped("empty: allow\nfields: {last: last}", b"[]").rows == {}


def test_kept_blanks_are_filled_from_the_row_before() -> None:
    """With `blanks: keep` a blank leaves what was there, otherwise it clears it."""
    body = b'[{"symbol": "FOO", "last": 2, "bid": ""}]'
    before: Rows = {"FOO": {"last": 1, "bid": 0.5}}
    fields = "fields: {last: last, bid: bid}"
    assert mapped(fields, body, before=before).rows == {"FOO": {"last": 2}}
    kept = mapped(f"blanks: keep\n{fields}", body, before=before).rows
    assert kept == {"FOO": {"last": 2, "bid": 0.5}}


def test_a_row_may_lack_what_is_not_required() -> None:
    """With `required: []` a row without a price is a row, with `[bid]` it must have a bid."""
    body = b'[{"symbol": "FOO", "bid": 1}, {"symbol": "BAR", "last": 2}]'
    fields = "fields: {last: last, bid: bid}"
    assert set(mapped(f"required: []\n{fields}", body).rows) == {"FOO", "BAR"}
    assert set(mapped(f"required: [bid]\n{fields}", body).rows) == {"FOO"}


def test_a_field_of_its_own_name_is_read_as_its_kind_says() -> None:
    """Numbers of a kind know N/A and percent signs; without a kind text stays text."""
    yaml = "fields: {spread: {path: s, kind: price}, tag: {path: t, kind: text}, free: f}"
    body = b"""[{"symbol": "FOO", "s": "N/A", "t": "007", "f": "12"},
                {"symbol": "BAR", "s": "1,200", "t": 7, "f": "twelve"}]"""
    assert mapped(yaml, body).rows == {
        "FOO": {"tag": "007", "free": 12},
        "BAR": {"spread": 1200, "tag": "7", "free": "twelve"},
    }


def test_a_path_may_be_folded_over_lines() -> None:
    """YAML's folded text is the same as one line."""
    yaml = """
    key: id
    fields:
      status: >-
        over &&
        'final' ||
        'live'
    """
    body = b'[{"id": "a", "over": true}, {"id": "b", "over": false}]'
    assert mapped(yaml, body).rows == {"a": {"status": "final"}, "b": {"status": "live"}}


def test_text_may_be_encoded_otherwise() -> None:
    """With `encoding` names come as they are written, in JSON and in CSV."""
    row = {"Foo": {"last": 1, "name": "Zürich"}}
    fields = "encoding: latin-1\nkey: id\nfields: {last: last, name: name}"
    json = '[{"id": "Foo", "last": 1, "name": "Zürich"}]'.encode("latin-1")
    assert mapped(fields, json).rows == row
    csv = "id,last,name\nFoo,1,Zürich\n".encode("latin-1")
    assert mapped(f"format: csv\n{fields}", csv).rows == row


PATHS = ["a", "a.b", "[0]", "[-1]", "a[0]", "a[1].b", "@", "a.b.a[0]", "[5]", '"a"."b"', "@.a"]
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
    ),
    max_leaves=8,
)


@given(DOCUMENTS, st.sampled_from(PATHS))
def test_plain_paths_are_read_as_jmespath_reads_them(document: object, path: str) -> None:
    """Walking names and indexes without the library gives what the library gives."""
    found = reader(path)(Place(document, None, None, document))
    assert found == jmespath.search(path, document)
