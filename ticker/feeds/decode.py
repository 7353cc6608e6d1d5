"""Bytes of a response or line -> a document: what JSON or CSV says, or why it is neither."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import Any

import orjson

from ticker.errors import FeedError

Record = dict[str, str | None]


def json(body: bytes, encoding: str | None = None) -> Any:
    """Return the JSON document in ``body``, UTF-8 unless said otherwise. Raises FeedError."""
    if encoding and encoding.lower().replace("_", "-") not in {
        "utf-8",
        "utf8",
        "ascii",
        "us-ascii",
    }:
        body = _decode(body, encoding).encode()
    body = body.removeprefix(b"\xef\xbb\xbf")
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if not body.strip():
            raise FeedError("expected JSON, got an empty response") from None
        raise FeedError(f"expected JSON, got {_beginning(body)}: {error.msg}") from None


def table(body: bytes, delimiter: str, encoding: str | None = None) -> list[Record]:
    """Return the rows of a CSV table with a header line, by header. Raises FeedError."""
    text = _decode(body, encoding or "utf-8")
    if text.lstrip().startswith("<"):
        raise FeedError(f"expected CSV, got {_beginning(body)}")
    return list(records(io.StringIO(text, newline=""), delimiter))


def records(lines: Iterable[str], delimiter: str) -> Iterator[Record]:
    """Yield the rows of a CSV table line by line; columns without a header are left out.

    A cell that a short row does not have is None.
    """
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    try:
        header = [cell.strip() for cell in next(reader, [])]
        if not any(header):
            raise FeedError("expected CSV with a header line, got nothing")
        for cells in reader:
            if not any(cells):
                continue
            # a short row lacks its last cells, a long one has cells that no header names
            yield {name: cell for name, cell in zip_longest(header, cells[: len(header)]) if name}
    except csv.Error as error:
        raise FeedError(f"expected CSV: {error}") from None


def _decode(body: bytes, encoding: str) -> str:
    try:
        text = body.decode(encoding).removeprefix("\ufeff")
        text.encode()  # some encodings let half a character through, which no JSON can hold
    except LookupError:
        raise FeedError(f"unknown text encoding '{encoding}'") from None
    except UnicodeError:
        raise FeedError(f"expected {encoding} text, got other bytes") from None
    except ValueError:  # of a name with a NUL in it
        raise FeedError(f"unknown text encoding {encoding!r}") from None
    return text


def _beginning(body: bytes) -> str:
    """Return the first words of ``body``, fit for one line of a message."""
    words = " ".join(body[:300].decode("utf-8", "replace").split())
    kind = "a page of HTML" if words.lower().startswith(("<!doctype", "<html")) else "text"
    shown = "".join(c if c.isprintable() else "?" for c in words[:60])
    return f"{kind} beginning '{shown}'"
