"""A document and how it is mapped: rows that a board can show, or words about what is wrong.

An input is the mapping in YAML and the document in JSON.
"""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fuzz.kit import (
    ODD_TEXT,
    SCALARS,
    bounded,
    documents,
    encodable,
    is_one_line,
    joined,
    json_text,
    parts,
)
from ticker import yaml12
from ticker.board import Board
from ticker.config import RowMapping
from ticker.diff import Rows
from ticker.errors import FeedError
from ticker.feeds import REASONS_KEPT
from ticker.feeds.mapping import Mapped, Mapper
from ticker.feeds.values import LIST_LIMIT
from ticker.scalars import SYMBOL_LIMIT

LONGEST_WORDS = 2_000
PATH_LENGTH = 300
"""Longer paths are not tried: of a path alone the result can be as large as its author likes."""


def one(data: bytes) -> None:
    """Hold that the same rows come of it each time, and that a board can show them."""
    first, second = parts(data, 2)
    with bounded():
        settings = settings_of(first)
    try:
        document = orjson.loads(second)
    except ValueError:
        return
    if settings is None:
        return
    with bounded():
        mapped = rows_of(settings, document)
    assert mapped == rows_of(settings, document), "other rows the second time"
    if mapped is not None:
        hold(mapped, settings)


def settings_of(text: bytes) -> RowMapping | None:
    """Return a mapping, None where the text is none."""
    source = yaml12.load(text.decode("utf-8", "replace"), "fuzz.yaml", env={})
    if source.problems or any(len(str(span.value)) > PATH_LENGTH for span in source.spans):
        return None
    try:
        return RowMapping.model_validate(source.data)
    except ValidationError:
        return None


def rows_of(settings: RowMapping, document: Any) -> Mapped | None:
    """Return what comes of a document, None where that is an error in words."""
    try:
        return Mapper(settings).map(document, before={}, symbol="of-the-url")
    except FeedError as error:
        is_one_line(error.why, LONGEST_WORDS)
        return None


def hold(mapped: Mapped, settings: RowMapping) -> None:
    """Fail unless rows are bounded and can be shown."""
    assert len(mapped.rows) <= settings.max_rows
    assert len(mapped.rejections) == min(mapped.rejected, REASONS_KEPT)
    for rejection in mapped.rejections:
        assert len(str(rejection)) <= LONGEST_WORDS
        encodable(str(rejection))
    for symbol, row in mapped.rows.items():
        assert 0 < len(symbol) <= SYMBOL_LIMIT
        assert symbol.isprintable()
        assert row.keys() <= settings.fields.keys()
        assert row or settings.blanks == "keep"
        assert None not in row.values()
        for value in row.values():
            assert not isinstance(value, (str, list)) or len(value) <= LIST_LIMIT * 5
    if settings.only:
        assert mapped.rows.keys() <= set(settings.only)
    assert not mapped.rows.keys() & set(settings.skip)
    shown(mapped.rows)


def shown(rows: Rows) -> None:
    """Fail unless a board with ``rows`` tells viewers exactly what it has."""
    encodable(rows)
    board = Board(["f"])
    board.apply("f", rows)
    board.flush(0)
    encodable(board.snapshot().rows)
    board.apply("f", rows)
    assert board.flush(0) is None, "the same rows once more are no news"


PATHS = st.one_of(
    st.sampled_from(
        [
            "@",
            "a",
            "b",
            "a.b",
            "a[0]",
            "a[]",
            "*.a",
            "@key",
            "@symbol",
            "$.a",
            "$",
            "[?a]",
            "a|b",
            "a||b",
            "length(@)",
            "to_number(a)",
            "join('',@)",
            "sort_by(@,&a)",
            "max(@)",
            "merge(a,b)",
            "`1`",
            "'x'",
            "{a:b}",
            "[a,b]",
            "a[::-1]",
            "keys(@)",
            "avg(@)",
            "map(&a,@)",
        ]
    ),
    ODD_TEXT,
)
KINDS = st.sampled_from(["price", "number", "percent", "volume", "text", "time", "clock", "auto"])


def inputs() -> st.SearchStrategy[bytes]:
    """Return mappings by name, and rows that have some of the names."""
    rule = st.fixed_dictionaries(
        {"path": PATHS},
        optional={
            "kind": KINDS,
            "scale": st.sampled_from([0, 100, 1e300, -1, 1e-300]),
            "map": st.dictionaries(ODD_TEXT, ODD_TEXT, max_size=2),
            "format": st.sampled_from(["%Y", "%d %B %Y", "%Y%Y", "%s", "%", "%j%U%Z%z", "\0"]),
        },
    )
    names = st.sampled_from(
        ["last", "open", "previous_close", "time", "volume", "status", "home_score", "clock", "x"]
    )
    mapping = st.fixed_dictionaries(
        {"fields": st.dictionaries(names, rule, min_size=1, max_size=4)},
        optional={
            "rows": PATHS,
            "where": PATHS,
            "check": PATHS,
            "key": PATHS,
            "blanks": st.sampled_from(["keep", "clear"]),
            "duplicates": st.sampled_from(["reject", "merge"]),
            "empty": st.just("allow"),
            "required": st.just([]),
            "timezone": st.sampled_from(["Asia/Kolkata", "America/New_York", "UTC"]),
            "max_rows": st.integers(1, 3),
        },
    )
    row = st.dictionaries(st.sampled_from(["a", "b", "symbol", *"xyz"]), SCALARS, max_size=5)
    found = st.one_of(
        st.lists(row, max_size=4),
        st.dictionaries(ODD_TEXT, row, max_size=4),
        documents(st.sampled_from(["a", "b", "symbol"])),
    )
    return joined(mapping.map(json_text), found.map(json_text))
