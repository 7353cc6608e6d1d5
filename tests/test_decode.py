"""Bytes of a response become a document, or words that say why not; nothing else ever happens."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.errors import FeedError
from ticker.feeds import decode

ENCODINGS = (None, "utf-8", "latin-1", "utf-16", "ascii", "cp1252", "shift_jis", "no-such", "hex")


# -- JSON


@pytest.mark.parametrize(
    ("body", "encoding", "document"),
    [
        (b'{"a": 1}', None, {"a": 1}),
        (b" \n[1, 2.5, null, true]\n", None, [1, 2.5, None, True]),
        (b'\xef\xbb\xbf{"a": 1}', None, {"a": 1}),
        ('{"a": "Zürich"}'.encode(), "UTF-8", {"a": "Zürich"}),
        ('{"a": "Zürich"}'.encode(), "utf_8", {"a": "Zürich"}),
        ('{"a": "Zürich"}'.encode("latin-1"), "latin-1", {"a": "Zürich"}),
        ('{"a": "Zürich"}'.encode("utf-16"), "utf-16", {"a": "Zürich"}),
        ('{"a": "価格"}'.encode("shift_jis"), "Shift_JIS", {"a": "価格"}),
        ('{"a": "Zürich"}'.encode(), "us-ascii", {"a": "Zürich"}),
        (b'{"a": 1, "a": 2}', None, {"a": 2}),
    ],
)
def test_json_is_read_in_its_encoding(body: bytes, encoding: str | None, document: Any) -> None:
    """UTF-8 unless said otherwise, with or without a byte order mark."""
    assert decode.json(body, encoding) == document


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (b"", None, "expected JSON, got an empty response"),
        (b" \r\n", None, "expected JSON, got an empty response"),
        (b"\xef\xbb\xbf", None, "expected JSON, got an empty response"),
        (b"<!DOCTYPE html><p>Sorry", None, "got a page of HTML beginning '<!DOCTYPE html><p>Sorry"),
        (b"\n <html>\n<p>Sorry", None, "got a page of HTML beginning '<html> <p>Sorry'"),
        (b"rate limited", None, "expected JSON, got text beginning 'rate limited': "),
        (b'[{"a": 1}, {"a"', None, 'expected JSON, got text beginning \'[{"a": 1}, {"a"\': '),
        (b'[{"a": NaN}]', None, "expected JSON, got text beginning '[{\"a\": NaN}]': "),
        (b"[Infinity]", None, "expected JSON, got text beginning '[Infinity]': "),
        (b"[-Infinity]", None, "expected JSON, got text beginning '[-Infinity]': "),
        (b"[1e999]", None, "expected JSON, got text beginning '[1e999]': "),
        (b"[1] [2]", None, "expected JSON, got text beginning '[1] [2]': "),
        (b'["\\ud800"]', None, "expected JSON, got text beginning"),
        (b"[" * 100_000, None, "expected JSON, got text beginning '[[["),
        (b"\x00\x01[", None, "expected JSON, got text beginning '??[': "),
        ('["Zürich"]'.encode("latin-1"), None, "expected JSON, got text beginning '[\"Z"),
        ('["Zürich"]'.encode("latin-1"), "utf-8", "expected JSON, got text beginning '[\"Z"),
        (b"\xff\xff", "utf-16", "expected JSON, got text beginning"),
        (b"\xff", "shift_jis", "expected shift_jis text, got other bytes"),
        (b"[]", "klingon", "unknown text encoding 'klingon'"),
        (b"[]", "base64", "unknown text encoding 'base64'"),
    ],
)
def test_what_is_not_json_is_said_in_words(body: bytes, encoding: str | None, words: str) -> None:
    """The error says what was expected, and shows how what came begins."""
    with pytest.raises(FeedError) as caught:
        decode.json(body, encoding)
    assert words in caught.value.why


def test_the_words_stay_short_however_long_the_body() -> None:
    """Only the first 60 characters are shown, on one line."""
    with pytest.raises(FeedError) as caught:
        decode.json(b"sorry\n" * 100_000)
    assert "sorry sorry sorry" in caught.value.why
    assert len(caught.value.why) < 200
    assert "\n" not in caught.value.why


@given(st.binary(max_size=200), st.sampled_from(ENCODINGS))
def test_any_bytes_are_json_or_a_feed_error(body: bytes, encoding: str | None) -> None:
    """No bytes in no encoding raise anything else."""
    with suppress(FeedError):
        decode.json(body, encoding)


# -- CSV


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("symbol,last\nA,1\nB,2\n", [{"symbol": "A", "last": "1"}, {"symbol": "B", "last": "2"}]),
        ("symbol,last\r\nA,1\r\n", [{"symbol": "A", "last": "1"}]),
        ("symbol,last\nA,1", [{"symbol": "A", "last": "1"}]),
        (" symbol , last \nA, 1\n", [{"symbol": "A", "last": "1"}]),
        ("symbol,last\n\nA,1\n,\n", [{"symbol": "A", "last": "1"}]),
        ("symbol,last\nA\n", [{"symbol": "A", "last": None}]),
        ("symbol,last\nA,1,spare\n", [{"symbol": "A", "last": "1"}]),
        ("symbol,last,\nA,1,\n", [{"symbol": "A", "last": "1"}]),
        ("symbol,,last\nA,x,1\n", [{"symbol": "A", "last": "1"}]),
        ('symbol,name\nA,"Smith, ""J"""\n', [{"symbol": "A", "name": 'Smith, "J"'}]),
        ('symbol,name\nA,"two\nlines"\n', [{"symbol": "A", "name": "two\nlines"}]),
        ("symbol,last\n", []),
        ("\ufeffsymbol,last\nA,1\n", [{"symbol": "A", "last": "1"}]),
    ],
)
def test_a_table_is_read_by_its_header(text: str, rows: list[decode.Record]) -> None:
    """Cells stand under their header; blank lines and columns without a header are left out."""
    assert decode.table(text.encode(), ",") == rows


def test_the_delimiter_is_what_the_config_says() -> None:
    """Semicolons and tabs stand between cells as well as commas."""
    assert decode.table(b"symbol;last\nA;1,5\n", ";") == [{"symbol": "A", "last": "1,5"}]
    assert decode.table(b"symbol\tlast\nA\t1\n", "\t") == [{"symbol": "A", "last": "1"}]


def test_a_table_is_read_in_its_encoding() -> None:
    """Text that is not UTF-8 is read as the encoding says."""
    body = "symbol,name\nA,Zürich\n".encode("latin-1")
    assert decode.table(body, ",", "latin-1") == [{"symbol": "A", "name": "Zürich"}]


@pytest.mark.parametrize(
    ("body", "encoding", "words"),
    [
        (b"", None, "expected CSV with a header line, got nothing"),
        (b"\n\n", None, "expected CSV with a header line, got nothing"),
        (b",,\nA,1\n", None, "expected CSV with a header line, got nothing"),
        (b"<html><p>Sorry", None, "expected CSV, got a page of HTML beginning '<html><p>Sorry'"),
        (b"  <?xml?>", None, "expected CSV, got text beginning '<?xml?>'"),
        ("a,b\nZürich,1\n".encode("latin-1"), None, "expected utf-8 text, got other bytes"),
        (b"a,b\n", "klingon", "unknown text encoding 'klingon'"),
        (b"a,b\n" + b"x" * 200_000 + b",1\n", None, "expected CSV: field larger than field limit"),
    ],
)
def test_what_is_not_a_table_is_said_in_words(
    body: bytes, encoding: str | None, words: str
) -> None:
    """The error says what was expected and what came."""
    with pytest.raises(FeedError) as caught:
        decode.table(body, ",", encoding)
    assert words in caught.value.why


@given(st.binary(max_size=200), st.sampled_from(",;\t|"), st.sampled_from(ENCODINGS))
def test_any_bytes_are_a_table_or_a_feed_error(
    body: bytes, delimiter: str, encoding: str | None
) -> None:
    """No bytes in no encoding raise anything else, and every row has the same cells."""
    with suppress(FeedError):
        rows = decode.table(body, delimiter, encoding)
        assert len({tuple(row) for row in rows}) <= 1


@pytest.mark.parametrize("read", [decode.json, lambda b, e: decode.table(b, ",", e)])
def test_text_that_cannot_be_sent_is_an_error(read: Any) -> None:
    """Some encodings give halves of characters, which no message can carry: not text."""
    with pytest.raises(FeedError):
        read(b'"a+2AA-"\n1\n', "utf-7")
