"""CSV feeds: the rows of a table by its header, or words about what is wrong.

An input is the delimiter, the encoding, and the table.
"""

from __future__ import annotations

import csv
import io

from hypothesis import strategies as st
from pydantic import ValidationError

from tests.fuzz.kit import bounded, encodable, is_one_line, joined, parts
from ticker.config import FieldRule, RowMapping
from ticker.errors import FeedError
from ticker.feeds import decode


def one(data: bytes) -> None:
    """Hold that every row has the header's names, and that a table written again says the same."""
    head, name, body = parts(data, 3)
    try:
        mapping = RowMapping(
            delimiter=head.decode("utf-8", "replace"), fields={"last": FieldRule(path="last")}
        )
    except ValidationError:
        return
    encoding = name.decode("latin-1") or None
    with bounded():
        try:
            rows = decode.table(body, mapping.delimiter, encoding)
        except FeedError as error:
            is_one_line(error.why, 600)
            return
        finally:
            try:
                decode.json(body, encoding)
            except FeedError as error:
                is_one_line(error.why, 600)
    encodable(rows)
    names = rows[0].keys() if rows else set()
    for row in rows:
        assert row.keys() == names
        assert "" not in row
    if rows and all(None not in row.values() and any(row.values()) for row in rows):
        assert _again(rows) == rows


def _again(rows: list[decode.Record]) -> list[decode.Record]:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), quoting=csv.QUOTE_ALL)
    writer.writeheader()
    writer.writerows(rows)
    return decode.table(text.getvalue().encode(), ",")


def inputs() -> st.SearchStrategy[bytes]:
    """Return tables with odd cells, delimiters and encodings."""
    cell = st.one_of(
        st.sampled_from(["", "symbol", "last", "1,5", '"', '"a"', '""', "\n", "\r", "\0", " x "]),
        st.text(max_size=5),
    )
    lines = st.lists(st.lists(cell, max_size=4).map(",".join), max_size=5)
    ends = st.sampled_from(["\n", "\r\n", "\r"])
    body = st.builds(lambda end, found: end.join(found).encode("utf-8", "replace"), ends, lines)
    odd = [b",", b";", b"\t", b" ", b'"', b"\n", b"\r", b"\0", b"\xe2\x82\xac", b"xx"]
    names = [
        b"",
        b"utf-8",
        b"latin-1",
        b"utf-16",
        b"idna",
        b"rot13",
        b"x\0y",
        b"utf-7",
        b"punycode",
    ]
    return joined(st.sampled_from(odd), st.sampled_from(names), st.one_of(body, st.binary()))
