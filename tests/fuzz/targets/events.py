"""Server-Sent Events that a source sends: heard as the standard says, however they are cut.

An input is sizes of pieces, and the body.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import httpx
from hypothesis import strategies as st

from tests.fuzz.kit import bounded, is_one_line, joined, parts, pieces, run
from ticker import configfile
from ticker.config import StreamFeed as Settings
from ticker.errors import FeedError
from ticker.feeds.stream import ID_LIMIT, StreamFeed

CONFIG = """
feeds:
  f: {kind: stream, url: "http://x/", max_bytes: 4KB, backoff_max: 60s, fields: {last: last}}
boards: {b: {feeds: [f]}}
"""
FEED = configfile.parse(CONFIG, "fuzz.yaml", base=None, env={}).settings.feeds["f"]  # type: ignore[arg-type] # no file is read
MOST = 4_000


def one(data: bytes) -> None:
    """Hold that what is heard depends on the bytes alone, and is what the standard has."""
    sizes, body = parts(data, 2)
    with bounded():
        heard = run(_heard([body]))
        if len(body) <= MOST:
            assert run(_heard(pieces(body, sizes))) == heard, "cut elsewhere it says something else"
            assert heard[0] == _by_the_book(body)


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, chunks: list[bytes]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for chunk in self._chunks:
            yield chunk


async def _heard(chunks: list[bytes]) -> tuple[list[str], str]:
    """Return what events say, and the id that the next connection would begin with."""
    assert isinstance(FEED, Settings)
    feed: Any = StreamFeed(FEED)
    response = httpx.Response(
        200, headers={"content-type": "text/event-stream"}, stream=_Pieces(chunks)
    )
    found: list[str] = []
    try:
        async with aclosing(feed._heard_events(response)) as messages:
            found = [message async for message in messages if message is not None]
    except FeedError as error:
        is_one_line(error.why, 600)
    assert feed._last_id.isprintable()
    assert len(feed._last_id) <= ID_LIMIT
    feed._last_id.encode()
    assert 0 <= feed._retry <= FEED.backoff_max
    return found, feed._last_id


def _by_the_book(body: bytes) -> list[str]:
    """Return the data of all events (HTML, 9.2.6)."""
    text = body.decode("utf-8", "replace").removeprefix("\ufeff")
    found, data = [], None
    for line in re.split("\r\n|\n|\r", text)[:-1]:
        name, _, value = line.partition(":")
        if line == "":
            if data:
                found.append(data)
            data = None
        elif name == "data":
            value = value.removeprefix(" ")
            data = value if data is None else f"{data}\n{value}"
    return found


def inputs() -> st.SearchStrategy[bytes]:
    """Return streams of lines that are fields, comments, and neither."""
    line = st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["data", "id", "event", "retry", "", "dat", "data\0", "\ufeffdata"]),
            st.sampled_from([":", ": ", "", " :"]),
            st.one_of(
                st.sampled_from(['{"last":1}', "9" * 400, "9" * 5_000, "3000", "٣", "²", "\u2028"]),
                st.text(st.characters(exclude_characters="\r\n"), max_size=8),
                st.just(""),
            ),
            st.sampled_from(["\n", "\n\n", "\r", "\r\n", "\r\n\r\n", ""]),
        ),
    )
    body = st.lists(line, max_size=8).map(lambda lines: "".join(lines).encode("utf-8", "replace"))
    return joined(st.binary(max_size=4), body)
