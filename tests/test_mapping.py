"""Documents become rows as the config's paths say: one key of the config after the other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jmespath.parser import ParsedResult
from pydantic import ValidationError

from ticker.config import PollFeed, RowMapping, StreamFeed
from ticker.diff import Row
from ticker.errors import ConfigError, FeedError, MappingError
from ticker.feeds.mapping import Mapped, Mapper, Place, reader
from ticker.feeds.values import TEXT_LIMIT
from ticker.fields import Kind
from ticker.scalars import SYMBOL_LIMIT

from .support import settings

QUOTES = [{"symbol": "A", "last": 1}, {"symbol": "B", "last": 2}, {"symbol": "C", "last": 3}]
NOON = 1_763_640_000_000  # 2025-11-20T12:00:00Z in epoch milliseconds


def mapper(*, single: bool = False, cumulative: bool = False, **keys: Any) -> Mapper:
    """Return a mapper of the keys of a config, with ``last`` mapped where none says otherwise."""
    keys.setdefault("fields", {"last": "last"})
    return Mapper(RowMapping.model_validate(keys), single=single, cumulative=cumulative)


def mapped(
    document: Any,
    *,
    before: Mapping[str, Row] | None = None,
    symbol: str | None = None,
    single: bool = False,
    **keys: Any,
) -> Mapped:
    """Return what a document gives under the keys of a config."""
    return mapper(single=single, **keys).map(document, before=before or {}, symbol=symbol)


def rows(document: Any, **keys: Any) -> Mapping[str, Row]:
    """Return the rows of a document of which none is rejected."""
    result = mapped(document, **keys)
    assert result.rejected == 0, result.rejections
    return result.rows


def row(fields: Mapping[str, Any], **keys: Any) -> Row:
    """Return the one row that ``keys`` of the source become under ``fields``."""
    return rows([{"symbol": "A", **keys}], fields=fields)["A"]


def why(document: Any, **keys: Any) -> str:
    """Return the words with which a document is refused."""
    with pytest.raises(FeedError) as caught:
        mapped(document, **keys)
    return caught.value.why


# -- rows


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        (QUOTES, {}),
        ({"data": {"ticker": QUOTES}}, {"rows": "data.ticker[]"}),
        ({"data": {"ticker": QUOTES}}, {"rows": "data.ticker"}),
        ({"data": {"ticker": QUOTES}}, {"rows": "$.data.ticker"}),
        ({"A": {"last": 1}, "B": {"last": 2}, "C": {"last": 3}}, {"key": "@key"}),
        ({"x": {q["symbol"]: q for q in QUOTES}}, {"rows": "x"}),
        ([[1, "A"], [2, "B"], [3, "C"]], {"key": "[1]", "fields": {"last": "[0]"}}),
        ({"rates": {"A": 1, "B": 2, "C": 3}},
         {"rows": "rates", "key": "@key", "fields": {"last": "@"}}),
        ([{"s": "A", "p": [1]}, {"s": "B", "p": [2]}, {"s": "C", "p": [3]}],
         {"key": "s", "fields": {"last": "p[0]"}}),
    ],
)  # fmt: skip
def test_rows_are_a_list_or_the_members_of_an_object(document: Any, keys: dict[str, Any]) -> None:
    """Every shape of the same three quotes gives the same three rows."""
    assert rows(document, **keys) == {"A": {"last": 1}, "B": {"last": 2}, "C": {"last": 3}}


@pytest.mark.parametrize(
    ("document", "got"),
    [
        ({"data": None}, "null"),
        ({}, "null"),
        ([], "null"),
        ({"data": "closed"}, "'closed'"),
        ({"data": 5}, "5"),
        ({"data": True}, "true"),
        ({"message": "rate limit"}, "null; the source says: rate limit"),
        ({"description": "rate limit"}, "null; the source says: rate limit"),
        ({"error": "rate limit"}, "null; the source says: rate limit"),
        ({"Error Message": "rate limit"}, "null; the source says: rate limit"),
        ({"Information": "rate limit"}, "null; the source says: rate limit"),
        ({"message": " ", "msg": 5, "Note": "rate limit"}, "null; the source says: rate limit"),
        ({"error": {"code": 1}, "msg": " try later "}, "null; the source says: try later"),
        ({"Note": "x" * 500}, f"null; the source says: {'x' * 120}"),
    ],
)
def test_no_list_at_rows_is_said_with_what_the_source_says(document: Any, got: str) -> None:
    """The error names the place, what was expected, what came and the source's own words."""
    with pytest.raises(MappingError) as caught:
        mapped(document, rows="data")
    assert caught.value.why == f"expected a list or an object at 'data', got {got}"
    assert (caught.value.where, caught.value.expected) == ("data", "a list or an object")


def test_a_single_document_is_one_row() -> None:
    """With {symbol} in the url, and in a recording, the document itself is the row."""
    assert rows({"last": 5}, single=True, key="@symbol", symbol="btc") == {"btc": {"last": 5}}


def test_a_single_document_may_still_hold_rows() -> None:
    """``rows`` counts also where one document is one row by default."""
    document = {"result": [{"last": 5}]}
    assert rows(document, single=True, rows="result", key="@symbol", symbol="btc") == {
        "btc": {"last": 5}
    }


def test_rows_that_cannot_be_read_are_said_in_words() -> None:
    """A function of the path that does not fit the document is no defect."""
    assert why({"a": 1}, rows="sort(a)").startswith("rows 'sort(a)': ")
    got = "expected a list or an object at '@symbol', got 'btc'"
    assert why({}, rows="@symbol", symbol="btc") == got


def test_max_rows_bounds_a_document() -> None:
    """More rows are an error, not a slow server."""
    assert len(rows(QUOTES, max_rows=3)) == 3
    assert why(QUOTES, max_rows=2) == "expected at most 2 rows at '@', got 3"
    assert why({name: {} for name in "ABC"}, max_rows=2) == "expected at most 2 rows at '@', got 3"


# -- empty


@pytest.mark.parametrize(
    ("document", "keys", "words"),
    [
        ([], {}, "no rows at '@'"),
        ({"data": []}, {"rows": "data"}, "no rows at 'data'"),
        ({"data": {}}, {"rows": "data"}, "no rows at 'data'"),
        (QUOTES, {"only": ["X"]}, "none of 3 rows is left by where, only and skip at '@'"),
        (QUOTES, {"skip": list("ABC")}, "none of 3 rows is left by where, only and skip at '@'"),
        (QUOTES, {"where": "no"}, "none of 3 rows is left by where, only and skip at '@'"),
    ],
)
def test_no_rows_are_an_error_unless_allowed(
    document: Any, keys: dict[str, Any], words: str
) -> None:
    """The words say how to allow it; allowed, it is a reading without rows."""
    assert why(document, **keys) == f"{words}; if that is normal write `empty: allow`"
    assert rows(document, empty="allow", **keys) == {}


def test_rows_that_are_all_rejected_are_an_error_even_where_empty_is_allowed() -> None:
    """A provider that renamed its keys must not empty a board."""
    words = why([{"symbol": "A", "price": 1}], empty="allow")
    assert words == "none of 1 rows could be mapped; first: row 'A': no value for last"


# -- where, only, skip, check


@pytest.mark.parametrize(
    ("where", "left"),
    [
        ("on", ["A", "C"]),
        ("!on", ["B"]),
        ("last > `1`", ["B", "C"]),
        ("word", ["B"]),
        ("starts_with(symbol, 'A')", ["A"]),
        ("contains(['A', 'B'], symbol)", ["A", "B"]),
        ("$.open", ["A", "B", "C"]),
    ],
)
def test_where_leaves_out_rows(where: str, left: list[str]) -> None:
    """Only rows for which the path is true are kept; the others are no rejections."""
    document = {
        "open": True,
        "rows": [
            {"symbol": "A", "last": 1, "on": True, "word": ""},
            {"symbol": "B", "last": 2, "on": False, "word": "x"},
            {"symbol": "C", "last": 3, "on": 0},
        ],
    }
    assert list(rows(document, rows="rows", where=where)) == left


def test_a_where_that_does_not_fit_rejects_its_row() -> None:
    """Rows of mixed types go on where the path can be applied."""
    document = [{"symbol": "A", "last": 1}, {"symbol": 5, "last": 2}]
    result = mapped(document, where="starts_with(symbol, 'A')")
    assert list(result.rows) == ["A"]
    assert result.rejected == 1


@pytest.mark.parametrize("where", ["last > `0`", "name < `5`"])
def test_a_comparison_of_text_with_a_number_does_not_fail_the_reading(where: str) -> None:
    """It is not true (JMESPath: null), or rejects its row; sources write numbers as text."""
    document = [{"symbol": "A", "last": "1", "name": "x"}, {"symbol": "B", "last": 2}]
    mapped(document, where=where, empty="allow")


@pytest.mark.parametrize(
    "path",
    ["a < b", "max_by([{x: a}, {x: b}], &x)", "merge(@, none)",
     "contains(b, a)"],
)  # fmt: skip
def test_a_path_that_breaks_in_the_library_rejects_its_row(path: str) -> None:
    """Whatever a function of a path raises, the other rows go on."""
    document = [{"symbol": "A", "a": 1, "b": "x"}, {"symbol": "B", "own": 5}]
    fields = {"own": f"own || {path}"} if "|" not in path else {"own": f"own || ({path}) | [0]"}
    result = mapped(document, fields=fields)
    assert "B" in result.rows


def test_only_keeps_symbols_and_skip_leaves_them_out() -> None:
    """Rows that were not asked for are not even read; both together work as well."""
    document = [*QUOTES, {"symbol": "broken"}]
    assert list(rows(document, only=["A", "C", "X"])) == ["A", "C"]
    assert list(rows(document, skip=["A", "broken"])) == ["B", "C"]
    assert list(rows(document, only=["A", "B"], skip=["B"])) == ["A"]


@pytest.mark.parametrize("check", ["code == `0`", "!error", "status == 'ok'", "$.ok", "rows[0]"])
def test_a_check_that_is_true_lets_a_document_in(check: str) -> None:
    """The path is read on the document."""
    document = {"code": 0, "error": [], "status": "ok", "ok": True, "rows": QUOTES}
    assert len(rows(document, rows="rows", check=check)) == 3


def test_a_check_that_is_not_true_is_an_error_in_the_source_s_words() -> None:
    """The document's rows are not even looked at."""
    document = {"code": 7, "message": "key expired", "rows": QUOTES}
    words = why(document, rows="rows", check="code == `0`")
    assert words == "check 'code == `0`' is not true; the source says: key expired"
    assert why(QUOTES, check="code") == "check 'code' is not true"
    assert why(document, check="sort(code)").startswith("check 'sort(code)': ")


# -- key


@pytest.mark.parametrize(
    ("document", "key", "symbol"),
    [
        ([{"pair": "NTY_ETH", "last": 1}], "pair", "NTY_ETH"),
        ([{"pair": " NTY ", "last": 1}], "pair", "NTY"),
        ([{"id": 17, "last": 1}], "id", "17"),
        ([{"01. symbol": "MSFT", "last": 1}], '"01. symbol"', "MSFT"),
        ([{"home": "X", "away": "Y", "last": 1}], "join('-', [home, away])", "X-Y"),
        ({"BTC": {"last": 1}}, "@key", "BTC"),
        ([{"last": 1}], "$[0].last", "1"),
    ],
)
def test_the_key_names_the_row(document: Any, key: str, symbol: str) -> None:
    """A path, the member's name or an expression; numbers become text."""
    assert list(rows(document, key=key)) == [symbol]


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "no symbol: expected text at 'symbol', got null"),
        (True, "no symbol: expected text at 'symbol', got true"),
        (["A"], "no symbol: expected text at 'symbol', got a list of 1"),
        ({}, "no symbol: expected text at 'symbol', got an object with 0 members"),
        ("", "expected a symbol of 1 to 100 characters, got 0"),
        ("  ", "expected a symbol of 1 to 100 characters, got 0"),
        ("x" * 10_000, "expected a symbol of 1 to 100 characters, got 10000"),
        ("A\nB", r"expected a printable symbol, got 'A\nB'"),
        ("A\x00", r"expected a printable symbol, got 'A\x00'"),
        ("\u202eA", r"expected a printable symbol, got '\u202eA'"),
    ],
)
def test_what_is_no_symbol_is_rejected(raw: Any, words: str) -> None:
    """The row is named by its place, the others go on."""
    result = mapped([{"symbol": raw, "last": 1}, *QUOTES])
    assert list(result.rows) == ["A", "B", "C"]
    assert [str(r) for r in result.rejections] == [f"row '#1': {words}"]


def test_a_symbol_may_be_as_long_as_its_limit() -> None:
    """One character more is too many."""
    assert list(rows([{"symbol": "x" * SYMBOL_LIMIT, "last": 1}])) == ["x" * SYMBOL_LIMIT]


@pytest.mark.parametrize(
    ("item", "got"), [(5, "5"), ("text", "'text'"), (None, "null"), (True, "true")]
)
def test_what_is_no_object_has_no_symbol(item: Any, got: str) -> None:
    """An entry between the rows that is none is rejected as what it is."""
    result = mapped([item, *QUOTES])
    assert len(result.rows) == 3
    assert [str(r) for r in result.rejections] == [f"row '#1': expected an object, got {got}"]


def test_a_member_that_is_no_row_is_rejected_by_its_name() -> None:
    """Members beside the rows, which `skip` could name, are told by name."""
    result = mapped({"A": {"last": 1}, "date": "today"}, key="@key")
    assert [str(r) for r in result.rejections] == ["row 'date': expected an object, got 'today'"]


def test_a_long_name_is_shortened_in_what_is_remembered() -> None:
    """A name of any length does not fill what ops see."""
    result = mapped({"A": {"last": 1}, "x" * 10_000: {"last": 1}}, key="@key")
    assert result.rejected == 1
    assert len(str(result.rejections[0])) < 300


# -- required, blanks, duplicates


def test_a_row_without_last_is_rejected_where_last_is_mapped() -> None:
    """A quote without a price is none; the reason names the field and its path."""
    document = [{"symbol": "A", "p": "", "v": 1}, {"symbol": "B", "p": 2, "v": 1}]
    result = mapped(document, fields={"last": "p", "volume": "v"})
    assert result.rows == {"B": {"last": 2, "volume": 1}}
    assert [str(r) for r in result.rejections] == ["row 'A': last: no value at 'p'"]
    assert result.refused == {"A"}


def test_required_names_the_fields_that_a_row_must_have() -> None:
    """It takes the place of the default."""
    document = [{"symbol": "A", "v": 1}, {"symbol": "B", "last": 2}]
    fields = {"last": "last", "volume": "v"}
    assert rows(document, fields=fields, required=[]) == {"A": {"volume": 1}, "B": {"last": 2}}
    result = mapped(document, fields=fields, required=["volume"])
    assert [str(r) for r in result.rejections] == ["row 'B': volume: no value at 'v'"]


def test_nothing_is_required_where_last_is_not_mapped() -> None:
    """Games have no price."""
    document = [{"symbol": "A", "home": "X"}]
    assert rows(document, fields={"home": "home", "home_score": "hs"}) == {"A": {"home": "X"}}


def test_a_row_without_any_value_is_rejected() -> None:
    """Also where nothing is required: an empty row says nothing."""
    fields = {"last": "last", "bid": "bid"}
    result = mapped([{"symbol": "Z"}, *QUOTES], required=[], fields=fields)
    assert [str(r) for r in result.rejections] == ["row 'Z': no value for last, bid"]


def test_blanks_clear_what_was_there() -> None:
    """By default a field without a value goes."""
    before = {"A": {"last": 1, "bid": 0.9}}
    fields = {"last": "last", "bid": "bid"}
    assert rows([{"symbol": "A", "last": 2}], fields=fields, before=before) == {"A": {"last": 2}}


@pytest.mark.parametrize("bid", [{}, {"bid": None}, {"bid": ""}, {"bid": "N/A"}])
def test_kept_blanks_leave_what_was_there(bid: dict[str, Any]) -> None:
    """With `blanks: keep` news about one field leaves the others."""
    before = {"A": {"last": 1, "bid": 0.9}}
    document = [{"symbol": "A", "last": 2, **bid}]
    fields = {"last": "last", "bid": "bid"}
    kept = rows(document, fields=fields, before=before, blanks="keep")
    assert kept == {"A": {"last": 2, "bid": 0.9}}


def test_last_is_not_required_where_blanks_are_kept() -> None:
    """News without a price is still news."""
    fields = {"last": "last", "bid": "bid"}
    assert rows([{"symbol": "A", "bid": 1}], fields=fields, blanks="keep") == {"A": {"bid": 1}}


def test_the_first_of_duplicates_counts() -> None:
    """The later row is rejected and counted."""
    result = mapped([{"symbol": "A", "last": 1}, {"symbol": "A", "last": 2}])
    assert result.rows == {"A": {"last": 1}}
    assert [str(r) for r in result.rejections] == [
        "row 'A': the symbol came twice; the first row counts"
    ]


def test_merged_duplicates_are_laid_over_each_other() -> None:
    """What the later row says counts, what it does not say stays."""
    document = [{"symbol": "A", "last": 1, "bid": 1}, {"symbol": "A", "last": 2}]
    fields = {"last": "last", "bid": "bid"}
    assert rows(document, fields=fields, duplicates="merge") == {"A": {"last": 2, "bid": 1}}


def test_rows_given_before_are_never_changed() -> None:
    """Mapping makes new rows: a board may compare old and new."""
    before = {"A": {"last": 1, "bid": 0.9}}
    rows([{"symbol": "A", "last": 2}], before=before, blanks="keep", duplicates="merge")
    assert before == {"A": {"last": 1, "bid": 0.9}}


# -- what a feed's kind decides


@pytest.mark.parametrize(
    ("cumulative", "missing", "removes"),
    [
        (False, None, True),
        (True, None, False),
        (False, "keep", False),
        (True, "remove", True),
    ],
)
def test_missing_rows_are_removed_unless_records_are_news(
    cumulative: bool, missing: str | None, removes: bool
) -> None:
    """A poll lists all rows, a record of a recording some; the config may say otherwise."""
    assert mapper(cumulative=cumulative, missing=missing).removes_missing is removes


def test_a_field_needs_a_path() -> None:
    """The words say what may stand there."""
    words = "expected a path or a mapping with `path`, got nothing"
    with pytest.raises(ValidationError, match=rf"\n  {words} \["):
        RowMapping.model_validate({"fields": {"last": None}})


NAMED = ("rows", "key", "blanks", "duplicates", "missing", "required")


@pytest.mark.parametrize(
    ("url", "how", "said"),
    [
        (None, {}, ("@", "symbol", "clear", "reject", "remove", ["last"])),
        ("http://h/", {}, ("@", "symbol", "clear", "reject", "remove", ["last"])),
        (
            "http://h/{symbol}",
            {"single": True},
            ("[@]", "@symbol", "clear", "reject", "remove", ["last"]),
        ),
        (None, {"cumulative": True}, ("@", "symbol", "keep", "merge", "keep", [])),
    ],
)
def test_a_mapping_says_what_counts_where_it_says_nothing(
    url: str | None, how: dict[str, bool], said: tuple[Any, ...]
) -> None:
    """The effective config has all of it, the kind of each field as well."""
    keys: dict[str, Any] = {
        "fields": {"last": "p", "own": "o", "day": {"path": "d", "format": "%d"}}
    }
    if url is None:
        settings: RowMapping = RowMapping.model_validate(keys)
    else:
        poll = {"kind": "poll", "every": "1s", "url": url, **keys}
        settings = PollFeed.model_validate(poll | ({"symbols": ["A"]} if "{" in url else {}))
    full = settings.mapping(**how)
    assert tuple(getattr(full, name) for name in NAMED) == said
    kinds = {name: rule.kind for name, rule in full.fields.items()}
    assert kinds == {"last": Kind.PRICE, "own": Kind.AUTO, "day": Kind.TIME}
    assert full.fields["last"].path == "p"
    given: dict[str, Any] = {
        "rows": "r", "key": "k", "blanks": "keep", "duplicates": "merge", "missing": "keep",
        "required": [],
    }  # fmt: skip
    assert (
        RowMapping.model_validate({**keys, **given}).mapping(**how).model_dump(include=set(given))
        == given
    )


def test_a_mapping_alone_reads_lists_of_all_rows() -> None:
    """As a poll does."""
    alone = Mapper(RowMapping.model_validate({"fields": {"last": "last"}}))
    assert alone.map(QUOTES, before={}).rows.keys() == {"A", "B", "C"}
    assert alone.removes_missing


def test_news_keep_blanks_and_merge() -> None:
    """In a recording both are the default."""
    news = mapper(cumulative=True, fields={"last": "last", "bid": "bid"})
    document = [{"symbol": "A", "bid": 2}, {"symbol": "A", "bid": 3}]
    assert news.map(document, before={"A": {"last": 1}}).rows == {"A": {"last": 1, "bid": 3}}


# -- fields


@pytest.mark.parametrize(
    ("rule", "raw", "value"),
    [
        ({"path": "x", "scale": 100}, -0.06, -6.0),
        ({"path": "x", "scale": 100}, "0.07", 7.0),
        ({"path": "x", "scale": 0.01}, 12345, 123.45),
        ({"path": "x", "scale": 2}, 3, 6),
        ({"path": "x", "scale": 100}, "abc", "abc"),
        ({"path": "x", "map": {"in": "live"}}, "in", "live"),
        ({"path": "x", "map": {"in": "live"}}, " in ", "live"),
        ({"path": "x", "map": {"in": "live"}}, "post", "post"),
        ({"path": "x", "map": {"1": "live"}}, 1, "live"),
        ({"path": "x", "map": {"": "pre"}}, " ", "pre"),
        ({"path": "x", "map": {"true": "live"}}, True, "live"),
        ({"path": "x", "map": {"a": "5"}, "kind": Kind.NUMBER}, "a", 5),
        ({"path": "x", "kind": Kind.TEXT}, 5, "5"),
        ({"path": "x", "kind": Kind.TEXT}, "007", "007"),
        ({"path": "x", "kind": Kind.NUMBER}, "1,000", 1000),
        ({"path": "x", "kind": Kind.CLOCK}, "PT11M43.00S", "11:43"),
        ({"path": "x", "kind": Kind.TIME}, "2025-11-20T12:00:00Z", NOON),
        ({"path": "x", "format": "%d %B %Y %H"}, "20 November 2025 12", NOON),
        ("x", [[1, 2]], [[1, 2]]),
    ],
)
def test_a_field_s_rule_makes_its_value(rule: Any, raw: Any, value: Any) -> None:
    """Kind, scale, map and format each do what the config says."""
    assert row({"own": rule}, x=raw) == {"own": value}


def test_a_map_is_for_words_that_are_there() -> None:
    """No value is none, and a list is no word."""
    fields = {"own": {"path": "x", "map": {"None": "live", "[]": "post"}}, "last": "y"}
    assert row(fields, y=1) == {"last": 1}
    assert row(fields, y=1, x=[]) == {"last": 1, "own": []}


@pytest.mark.parametrize(
    ("field", "raw", "value"),
    [
        ("last", "1,234.5", 1234.5),
        ("change_pct", "-0.58%", -0.58),
        ("volume", "1e3", 1000),
        ("name", 5, "5"),
        ("time", "2025-11-20T12:00:00Z", NOON),
        ("start", 1_763_640_000, NOON),
        ("clock", "PT11M43S", "11:43"),
        ("home_score", "2", 2),
        ("period", "2", 2),
        ("own", "2", 2),
    ],
)
def test_a_field_s_name_says_its_kind(field: str, raw: Any, value: Any) -> None:
    """Known fields need no kind."""
    assert row({field: "x"}, x=raw) == {field: value}


@pytest.mark.parametrize(
    ("field", "raw", "words"),
    [
        ("last", "closed", "last at 'x': expected a number, got 'closed'"),
        ("last", "1,23", "last at 'x': expected a number, got '1,23'"),
        ("last", True, "last at 'x': expected a number, got true"),
        ("time", "soon", "time at 'x': expected a time (ISO 8601 or Unix), got 'soon'"),
        ("name", {"a": 1}, "name at 'x': expected text, got an object with 1 members"),
        ("own", {"a": 1}, "own at 'x': expected a value, got an object with 1 members"),
        (
            "name",
            "x" * (TEXT_LIMIT + 1),
            f"name at 'x': expected at most {TEXT_LIMIT} characters, got {TEXT_LIMIT + 1}",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_rejects_its_row(field: str, raw: Any, words: str) -> None:
    """The reason names field, path, what was expected and what came."""
    document = [{"symbol": "A", "x": raw}, {"symbol": "B", "x": None, "y": 1}]
    result = mapped(document, fields={field: "x", "other": "y"}, required=[])
    assert result.rows == {"B": {"other": 1}}
    assert [str(r) for r in result.rejections] == [f"row 'A': {words}"]


def test_the_zone_is_for_times_that_name_none() -> None:
    """It holds for all times of the feed."""
    document = [{"symbol": "A", "t": "2025-11-20T07:00"}]
    found = rows(document, fields={"time": "t"}, timezone="America/New_York")
    assert found == {"A": {"time": NOON}}


def test_a_scaled_value_is_finite_as_well() -> None:
    """No row has a number that JSON cannot carry."""
    document = [{"symbol": "A", "last": 1e308}, {"symbol": "B", "last": 1}]
    result = mapped(document, fields={"last": {"path": "last", "scale": 100}})
    assert result.rows == {"B": {"last": 100}}


def test_scaled_values_keep_their_digits() -> None:
    """A large price in cents has all its digits in euros."""
    assert row({"last": {"path": "x", "scale": 0.01}}, x=123_456_789_012)["last"] == 1234567890.12


def test_scaled_values_keep_all_the_digits_of_a_float() -> None:
    """Fifteen significant digits are in every double; turnover in cents needs them."""
    found = row({"volume": {"path": "x", "scale": 0.01}}, x=123_456_789_012_345)
    assert found["volume"] == 1234567890123.45


# -- paths


def test_paths_know_their_surroundings() -> None:
    """@key, @symbol and $ lead out of the row."""
    document = {"at": 1_763_640_000, "base": "USD", "rates": {"EUR": 0.79}}
    fields = {"last": "@", "time": "$.at", "currency": "$.base", "name": "@key", "venue": "@symbol"}
    assert rows(document, rows="rates", key="@key", fields=fields, symbol="ecb") == {
        "EUR": {"last": 0.79, "time": NOON, "currency": "USD", "name": "EUR", "venue": "ecb"}
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [("[0]", 7), ("[2]", 9), ("[3]", None), ("[-1]", 9), ("[-3]", 7), ("[-4]", None)],
)
def test_an_index_counts_from_either_end(path: str, value: int | None) -> None:
    """Beyond the ends there is no value."""
    assert reader(path)(Place([7, 8, 9], None, None, None)) == value


@pytest.mark.parametrize(
    ("path", "value"),
    [("@", {"a": [{"b": 7}]}), ("a[0].b", 7), ("@.a[-1]", {"b": 7}), ("$[0].a", None), ("$[1]", 8)],
)
def test_names_and_indexes_are_read_without_the_library(
    path: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nearly every path is one, in every row, and the library takes ten times as long."""

    def slow(*_: object) -> None:
        raise AssertionError(path)

    monkeypatch.setattr(ParsedResult, "search", slow)
    assert reader(path)(Place({"a": [{"b": 7}]}, None, None, [{}, 8])) == value


def test_a_function_inside_a_path_is_none_of_its_names() -> None:
    """The whole path is the library's then."""
    assert reader("a.length(@)")(Place({"a": [7, 8]}, None, None, None)) == 2


def test_functions_are_of_the_document_where_the_path_begins_there() -> None:
    """As names are."""
    document = {"rates": {"A": 5, "B": 6}}
    fields = {"last": "@", "own": "$.length(rates)"}
    assert rows(document, rows="rates", key="@key", fields=fields)["A"] == {"last": 5, "own": 2}


def test_a_check_may_ask_for_the_symbol_of_the_url() -> None:
    """It is read as any other path."""
    assert rows(QUOTES, check="@symbol", symbol="btc")
    assert why(QUOTES, check="@symbol") == "check '@symbol' is not true"


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("sort(a)", "'sort(a)': In function sort(), invalid type for value: x, "),
        ("contains(a, b)", "'contains(a, b)': cannot be applied: "),
        ("floor(to_number(c))", "': cannot be applied: cannot convert float infinity to integer"),
    ],
)
def test_what_a_function_says_against_its_values_is_told(path: str, words: str) -> None:
    """Whether it is the specification's own error or one of what carries it out."""
    assert words in why([{"symbol": "A", "a": "x", "b": 5, "c": "1e400"}], fields={"own": path})


def test_the_root_alone_is_the_document() -> None:
    """``$`` and ``$[0]`` are paths as well."""
    assert rows([{"symbol": "A", "last": 1}], rows="$", fields={"own": "$[0].last"}) == {
        "A": {"own": 1}
    }


def test_quoted_keys_filters_and_alternatives_are_paths() -> None:
    """What the config's documentation shows of JMESPath works in rows."""
    sides = [{"side": "home", "score": "2"}, {"side": "away", "score": 1}]
    fields = {
        "last": '"05. price"',
        "home_score": "sides[?side=='home'] | [0].score",
        "name": "nickname || name",
        "own": "join(' ', [a, b])",
    }
    found = row(fields, **{"05. price": "5"}, sides=sides, name="N", a="x", b="y")
    assert found == {"last": 5, "home_score": 2, "name": "N", "own": "x y"}


def test_a_field_s_path_that_does_not_fit_rejects_its_row() -> None:
    """A missing part of a joined text rejects this row only, in one line."""
    document = [{"symbol": "A", "a": "x"}, {"symbol": "B", "a": "x", "b": "y"}]
    result = mapped(document, fields={"own": "join(' ', [a, b])"})
    assert list(result.rows) == ["B"]
    assert str(result.rejections[0]).startswith("row 'A': own at 'join(' ', [a, b])': ")
    assert "\n" not in str(result.rejections[0])


@pytest.mark.parametrize("path", ["a b", "a[", "05. price", "foo(a", "$.[", ""])
def test_what_is_no_path_is_an_error_of_the_config(path: str) -> None:
    """A path is looked at when the config is, not when the first document comes."""
    feed = f"kind: poll, every: 1s, url: 'http://h/', fields: {{last: '{path}'}}"
    with pytest.raises(ConfigError) as caught:
        settings(f"feeds: {{f: {{{feed}}}}}\nboards: {{b: {{feeds: [f]}}}}")
    assert caught.value.problems[0].path == "feeds.f.fields.last"


@pytest.mark.parametrize("kind", list(Kind))
def test_every_kind_can_be_written_in_a_config(kind: Kind) -> None:
    """A field's kind and a column's are written as the docs say."""
    feed = f"kind: poll, every: 1s, url: 'http://h/', fields: {{own: {{path: x, kind: {kind}}}}}"
    board = f"feeds: [f], columns: [{{field: own, kind: {kind}}}]"
    configured = settings(f"feeds: {{f: {{{feed}}}}}\nboards: {{b: {{{board}}}}}")
    assert configured.boards["b"].columns[0].kind is kind


def test_a_required_field_must_be_mapped() -> None:
    """A field that nothing fills cannot be demanded of rows."""
    feed = "kind: poll, every: 1s, url: 'http://h/', fields: {last: last}, required: [lsat]"
    with pytest.raises(ConfigError):
        settings(f"feeds: {{f: {{{feed}}}}}\nboards: {{b: {{feeds: [f]}}}}")


@pytest.mark.parametrize(
    ("document", "keys"),
    [
        ("down\n2026-01-01 INFO all is well", {}),
        ({"message": "down\n2026-01-01 INFO all is well"}, {"rows": "data"}),
        ([{"symbol": "A", "last": "5\n2026-01-01 INFO all is well"}], {}),
    ],
)
def test_words_stay_on_one_line(document: Any, keys: dict[str, Any]) -> None:
    """They go into the log: a source must not write lines of its own there."""
    assert "\n" not in why(document, **keys)


# -- documents among others


def stream(**keys: Any) -> Mapper:
    """Return a mapper of a stream's messages, which say who they are by ``match``."""
    feed = {"kind": "stream", "url": "ws://h/", "fields": {"last": "last"}}
    return Mapper(StreamFeed.model_validate({**feed, **keys}))


@pytest.mark.parametrize("match", ["type == 'trade'", "$.live", "starts_with(type, 't')"])
def test_only_messages_that_match_have_rows(match: str) -> None:
    """The path is read on the message; what it cannot be applied to is something else."""
    messages = stream(match=match)
    assert messages.matches({"type": "trade", "live": True})
    assert not messages.matches({"type": "hello", "live": False})
    assert not messages.matches({"type": 5})


def test_a_message_is_read_as_any_document() -> None:
    """It lists rows, where the config says nothing else."""
    assert stream().map(QUOTES, before={}).rows.keys() == {"A", "B", "C"}


def test_every_message_matches_where_nothing_is_said() -> None:
    """Then all of them have rows."""
    assert stream().matches({"type": "hello"})


@pytest.mark.parametrize("match", [{}, {"match": "type == 'trade'"}])
def test_a_message_that_fails_its_check_is_an_error(match: dict[str, str]) -> None:
    """Whether it has rows or not."""
    messages = stream(check="code == `0`", **match)
    assert messages.matches({"type": "trade", "code": 0})
    with pytest.raises(FeedError, match="the source says: key expired"):
        messages.matches({"type": "error", "code": 7, "msg": "key expired"})


def test_kept_blanks_are_filled_from_what_was_said_last() -> None:
    """Of rows that a document does not have, too; the oldest are forgotten beyond max_rows."""
    news = mapper(cumulative=True, max_rows=3)
    before: dict[str, Row] = {"A": {"last": 1}, "B": {"last": 1}, "C": {"last": 1}}
    new: dict[str, Row] = {"A": {"last": 2}}
    assert list(news.remembered(before, new)) == ["B", "C", "A"]
    assert news.remembered(before, new)["A"] == {"last": 2}
    assert list(news.remembered(before, {"D": {"last": 2}})) == ["B", "C", "D"]
    assert mapper().remembered(before, new) == new


# -- counts


def test_rows_are_counted_as_unnamed_where_not_even_their_symbol_is_known() -> None:
    """Whoever removes missing rows must not take one of those for gone."""
    document = [{"last": 1}, 5, {"symbol": "A"}, {"symbol": "B", "last": 1}, {"symbol": "B"}]
    result = mapped(document)
    assert (result.rejected, result.unnamed) == (4, 2)
    assert result.refused == {"#1", "#2", "A", "B"}


@pytest.mark.parametrize(
    ("document", "symbol", "name", "unnamed"),
    [
        ({"A": 5, "B": "x"}, None, "A", 0),
        ([5, "x"], "btc", "btc", 1),
        ([5, "x"], None, "#1", 1),
    ],
)
def test_a_row_that_where_cannot_judge_has_the_name_of_its_place(
    document: Any, symbol: str | None, name: str, unnamed: int
) -> None:
    """Its member's name, the symbol of the url, or its number."""
    result = Mapped()
    picky = mapper(where="starts_with(@, 'y')", key="@key", fields={"last": "@"})
    picky.add(document, result, before={}, symbol=symbol)
    assert [rejection.symbol for rejection in result.rejections] == [name]
    assert result.unnamed == unnamed


def test_rejections_are_all_counted_and_the_first_remembered() -> None:
    """A document of ten thousand broken rows costs twenty reasons."""
    document = [*QUOTES, *({"symbol": f"S{i}"} for i in range(9000))]
    result = mapped(document)
    assert result.rejected == 9000
    assert len(result.rejections) == 20
    assert str(result.rejections[0]) == "row 'S0': no value for last"


# -- anything at all; the library's own TypeErrors have their tests above

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["A", "", "1", "nan", "Infinity", "9" * 20, "2025-11-20", "\u202e", "ok"])
    | st.text(max_size=10)
)
names = st.sampled_from(["symbol", "last", "data", "a", "t", "message", "error"])
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=5),
    max_leaves=25,
)
paths = st.sampled_from(
    [
        "@", "$", "data", "$.data", "data[]", "data[0]", "[0]", "[-1]", "@.*", "a.*",
        "symbol", "last", "a", "t", "a || t", "!a", "join('-', @)", "sort(@)", "sort_by(@, &a)",
        "sum(@)", "avg(data)", "to_number(a)", "to_string(@)", "keys(@)",
        "values(@)", "reverse(@)", "floor(last)", "abs(last)", "length(@)", "starts_with(a, 'x')",
        "contains(@, 'A')", "map(&a, @)", "not_null(a, t)", "type(@)", "[a, t]",
        "{a: last}", "@key", "@symbol", "data[].a", "data[*].a | [0]", "a[1:2]", "a == t",
    ]
)  # fmt: skip
rules = paths | st.fixed_dictionaries(
    {"path": paths},
    optional={
        "kind": st.sampled_from(list(Kind)),
        "scale": st.sampled_from([100.0, 0.01, -1.0]),
        "map": st.just({"A": "live", "1": "5"}),
    },
)
configs = st.fixed_dictionaries(
    {
        "fields": st.dictionaries(
            st.sampled_from(["last", "time", "name", "own", "status", "clock"]),
            rules,
            min_size=1,
        )
    },
    optional={
        "rows": paths,
        "key": paths,
        "where": paths,
        "check": paths,
        "only": st.just(["A", "1"]),
        "skip": st.just(["B"]),
        "required": st.sampled_from([[], None]),
        "blanks": st.sampled_from(["clear", "keep"]),
        "duplicates": st.sampled_from(["reject", "merge"]),
        "empty": st.sampled_from(["error", "allow"]),
        "max_rows": st.just(3),
    },
)


@given(documents, configs, st.booleans())
def test_any_document_gives_rows_or_a_feed_error(
    document: Any, config: dict[str, Any], single: bool
) -> None:
    """No JSON document under no config raises anything else, and rows hold what rows may hold."""
    before: dict[str, Row] = {"A": {"last": 1}}
    try:
        result = mapped(document, before=before, symbol="A", single=single, **config)
    except FeedError:
        return
    for symbol, found in result.rows.items():
        assert 0 < len(symbol) <= SYMBOL_LIMIT
        assert symbol.isprintable()
        assert found
    assert len(result.rejections) == min(result.rejected, 20)


@given(documents)
def test_any_document_under_the_simplest_config(document: Any) -> None:
    """With nothing but a path for `last` every row that is let in has a number there."""
    try:
        result = mapped(document)
    except FeedError:
        return
    for found in result.rows.values():
        assert isinstance(found["last"], int | float)
        assert not isinstance(found["last"], bool)


plain_paths = st.lists(
    st.sampled_from(["data", "a", '"a b"', "[0]", "[-1]", "[3]"]), min_size=1, max_size=4
).map(lambda parts: ".".join(parts).replace(".[", "["))


@given(documents, plain_paths)
def test_names_and_indexes_mean_what_they_mean_in_jmespath(document: Any, path: str) -> None:
    """A path is walked as the specification says, however it is done."""
    place = Place(document, None, None, [document])
    assert reader(path)(place) == jmespath.search(path, document)
    assert reader(f"$[0].{path}" if path[0] != "[" else f"$[0]{path}")(place) == jmespath.search(
        path, document
    )
