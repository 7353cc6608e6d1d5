"""Bodies that are pushed: taken in whole or refused in words, however they come.

An input is the media type, the content encoding, sizes of pieces, and the body.
"""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.kit import (
    SCALARS,
    bounded,
    documents,
    encodable,
    is_one_line,
    joined,
    json_text,
    parts,
    pieces,
    run,
)
from tests.fuzz.targets.mapping import hold, shown
from ticker import configfile
from ticker.config import PushFeed as Settings
from ticker.errors import FeedError
from ticker.feeds import Reading
from ticker.feeds.push import PushFeed, Refused

CONFIG = """
feeds:
  f:
    kind: push
    max_bytes: 20KB
    max_rows: 50
    tokens: ["0123456789abcdef"]
    match: "type != 'other'"
    fields: {last: last, open: open, time: time, name: name, clock: clock, periods: periods}
boards: {b: {feeds: [f]}}
"""
FEED = configfile.parse(CONFIG, "fuzz.yaml", base=None, env={}).settings.feeds["f"]  # type: ignore[arg-type] # no file is read
MEDIA = {b"": "application/json", b"l": "application/x-ndjson"}
CODINGS = {b"": "", b"z": "gzip"}
REFUSED = {
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    HTTPStatus.UNPROCESSABLE_ENTITY,
}


def one(data: bytes) -> None:
    """Hold that what comes of a body does not depend on its pieces, and is bounded."""
    media, coding, sizes, body = parts(data, 4)
    about: dict[str, Any] = {
        "media": MEDIA.get(media, media.decode("latin-1")),
        "encoding": CODINGS.get(coding, coding.decode("latin-1")),
    }
    with bounded():
        whole = run(_taken([body], about))
        assert run(_taken(pieces(body, sizes), about)) == whole, "in pieces it says something else"


async def _taken(chunks: list[bytes], about: dict[str, Any]) -> Any:
    """Return what becomes of a body, and what the feed reads then."""
    assert isinstance(FEED, Settings)
    feed = PushFeed(FEED)
    try:
        mapped: Any = await feed.take_in(_one_by_one(chunks), **about)
    except Refused as refused:
        assert refused.status in REFUSED, refused.status
        is_one_line(refused.why, 2_000)
        mapped = refused.status, refused.why
    else:
        hold(mapped, FEED)
    try:
        read = await feed.read(1.0)
    except FeedError as error:
        is_one_line(error.why, 2_000)
        return mapped, error.why
    if isinstance(read, Reading):
        assert len(read.rows) <= FEED.max_rows
        shown(read.rows)
        encodable([str(rejection) for rejection in read.rejections])
    return mapped, read


async def _one_by_one(chunks: list[bytes]) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


def inputs() -> st.SearchStrategy[bytes]:
    """Return rows as JSON and in lines, compressed or not, and other bodies."""
    names = st.sampled_from(["symbol", "last", "open", "time", "name", "clock", "periods", "type"])
    row = st.dictionaries(names, st.one_of(SCALARS, documents(names)), max_size=5)
    lines = st.lists(st.one_of(row.map(json_text), st.binary(max_size=9)), max_size=5)
    body = st.one_of(
        row.map(json_text), st.lists(row, max_size=5).map(json_text), lines.map(b"\n".join)
    )
    pressed = st.one_of(body.map(gzip.compress), st.just(gzip.compress(b" " * 100_000)), body)
    media = st.sampled_from([*MEDIA, b"text/html"])
    plain = joined(media, st.sampled_from([b"", b"br", b"identity"]), st.binary(max_size=3), body)
    return st.one_of(plain, joined(media, st.just(b"z"), st.binary(max_size=3), pressed))
