"""Polls are polite and bounded, and what goes wrong with them is said without secrets."""

from __future__ import annotations

import asyncio
import gzip
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import orjson
import pytest

from ticker import __version__
from ticker.config import PollFeed as PollSettings
from ticker.errors import ConfigError, FeedError
from ticker.feeds import Reading
from ticker.feeds.poll import PollFeed
from ticker.feeds.web import RETRY_AFTER_LIMIT
from ticker.hub import Hub
from ticker.producer import Producer

from .support import PATIENCE, Handler, Source, serving, settings, source, until

GOOD = [{"symbol": "A", "last": 1}]
ROWS = {"A": {"last": 1}}
MEGABYTE = 1_000_000

Poll = Callable[..., PollFeed]


@pytest.fixture
def upstream() -> Iterator[Source]:
    """Return a source."""
    with source() as running:
        yield running


@pytest.fixture
async def poll(upstream: Source) -> AsyncIterator[Poll]:
    """Return what makes a feed of a path at the source; feeds are closed at the end."""
    feeds: list[PollFeed] = []

    def make(
        path: str = "/t", transport: httpx.AsyncBaseTransport | None = None, **keys: Any
    ) -> PollFeed:
        url = path if "://" in path else upstream.url + path
        defaults = {"kind": "poll", "every": 10.0, "fields": {"last": "last"}, "url": url}
        feed = PollFeed(PollSettings.model_validate(defaults | keys), transport)
        feeds.append(feed)
        return feed

    yield make
    for feed in feeds:
        await feed.close()


async def read(feed: PollFeed) -> Reading:
    """Return a reading that brings news."""
    reading = await feed.read(0)
    assert reading is not None
    return reading


async def failure(feed: PollFeed) -> FeedError:
    """Return the error with which a reading fails."""
    with pytest.raises(FeedError) as caught:
        await feed.read(0)
    return caught.value


class ScriptedTransport(httpx.AsyncBaseTransport):
    """Answers without a network, or raises; the last step is repeated."""

    def __init__(self, *steps: httpx.Response | Exception) -> None:
        self._steps = list(steps)
        self.requests: list[httpx.Request] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Do the next step."""
        self.requests.append(request)
        step = self._steps.pop(0) if len(self._steps) > 1 else self._steps[0]
        if isinstance(step, Exception):
            raise step
        stream = httpx.ByteStream(step.content)  # as from a network: not read yet
        return httpx.Response(step.status_code, headers=step.headers, stream=stream)


# -- conditional requests


@pytest.mark.parametrize(
    ("answer", "sent_back", "value"),
    [
        ("ETag", "if-none-match", '"abc"'),
        ("ETag", "if-none-match", 'W/"abc"'),
        ("Last_Modified", "if-modified-since", "Thu, 20 Nov 2025 12:00:00 GMT"),
    ],
)
async def test_validators_are_sent_back(
    upstream: Source, poll: Poll, answer: str, sent_back: str, value: str
) -> None:
    """The first request has none, the second the one that the source gave."""
    upstream.script["/t"] = lambda handler: handler.answer(
        200, orjson.dumps(GOOD), **{answer: value}
    )
    feed = poll()
    await feed.read(0)
    await feed.read(0)
    assert sent_back not in upstream.requests[0][1]
    assert upstream.requests[1][1][sent_back] == value


async def test_not_modified_confirms_what_was_said(upstream: Source, poll: Poll) -> None:
    """A 304 is a success without news."""
    upstream.say("/t", GOOD, ETag='"1"')
    feed = poll()
    assert (await read(feed)).rows == ROWS
    upstream.say("/t", b"", 304)
    assert await feed.read(0) is None
    assert await feed.read(0) is None
    assert upstream.requests[2][1]["if-none-match"] == '"1"'


async def test_not_modified_counts_as_unchanged() -> None:
    """On the server: no failure, a fresh last success, and the count of unchanged readings."""
    with source() as upstream:
        upstream.say("/t", GOOD, ETag='"1"')
        feed = f"kind: poll, every: 50ms, timeout: 40ms, url: '{upstream.url}/t'"
        config = f"feeds: {{f: {{{feed}, fields: {{last: last}}}}}}\nboards: {{b: {{feeds: [f]}}}}"
        with serving(config) as server:
            until(lambda: server.rows("b"))
            before = server.feed("f")["last_success"]
            upstream.say("/t", b"", 304)
            health = until(lambda: (h := server.feed("f"))["unchanged"] >= 3 and h)
            assert (health["quality"], health["failures"]) == ("live", 0)
            assert health["last_success"] > before
            assert server.rows("b") == ROWS


async def test_not_modified_without_anything_before_is_an_error(
    upstream: Source, poll: Poll
) -> None:
    """There is nothing that could be confirmed."""
    upstream.say("/t", b"", 304)
    assert (await failure(poll())).why == "HTTP 304 Not Modified"


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'[{"symbol": "A"}]', b'{"a": 1}'])
async def test_an_unusable_document_is_not_remembered(
    upstream: Source, poll: Poll, body: bytes
) -> None:
    """Otherwise its 304 would confirm what never was; it is asked for in full again."""
    upstream.say("/t", body, ETag='"bad"')
    feed = poll()
    await failure(feed)
    upstream.say("/t", GOOD, ETag='"good"')
    assert (await read(feed)).rows == ROWS
    assert "if-none-match" not in upstream.requests[1][1]


async def test_an_unusable_document_does_not_replace_a_validator(
    upstream: Source, poll: Poll
) -> None:
    """The next request asks for what is newer than the last document that could be used."""
    feed = poll()
    for body, etag in ((GOOD, '"good"'), (b"<html>", '"bad"'), (GOOD, '"new"')):
        upstream.say("/t", body, ETag=etag)
        if etag == '"bad"':
            await failure(feed)
        else:
            await feed.read(0)
    assert upstream.requests[2][1]["if-none-match"] == '"good"'


async def test_a_validator_that_is_gone_is_not_sent(upstream: Source, poll: Poll) -> None:
    """A document without a validator makes the next request unconditional."""
    upstream.say("/t", GOOD, ETag='"1"')
    feed = poll()
    await feed.read(0)
    upstream.say("/t", GOOD)
    await feed.read(0)
    await feed.read(0)
    assert "if-none-match" not in upstream.requests[2][1]


# -- one request per symbol


def tell(upstream: Source, **lasts: Any) -> None:
    """Let the source answer /q/SYMBOL with a quote, or with a status where it is an int < 600."""
    for symbol, last in lasts.items():
        upstream.say(f"/q/{symbol}", {"last": last})


async def test_each_symbol_has_its_request(upstream: Source, poll: Poll) -> None:
    """The symbol in the url is the row's, where the document does not name it."""
    tell(upstream, btc=1, eth=2)
    reading = await read(poll("/q/{symbol}", symbols=["btc", "eth"]))
    assert reading.rows == {"btc": {"last": 1}, "eth": {"last": 2}}
    assert reading.complete


@pytest.mark.parametrize(
    ("symbol", "path"),
    [
        ("BTC/USD", "/q/BTC%2FUSD"),
        ("A&B=C", "/q/A%26B%3DC"),
        ("^GSPC", "/q/%5EGSPC"),
        ("50%", "/q/50%25"),
        ("a b", "/q/a%20b"),
        ("A?x#y", "/q/A%3Fx%23y"),
        ("Zürich", "/q/Z%C3%BCrich"),
        ("BRK.B", "/q/BRK.B"),
    ],
)
async def test_a_symbol_is_quoted_into_the_url(
    upstream: Source, poll: Poll, symbol: str, path: str
) -> None:
    """No symbol changes the rest of the url."""
    upstream.say(path, {"last": 5})
    assert (await read(poll("/q/{symbol}", symbols=[symbol]))).rows == {symbol: {"last": 5}}
    assert upstream.requests[0][0] == path


async def test_a_symbol_may_stand_in_the_query(upstream: Source, poll: Poll) -> None:
    """Every place of the url is filled."""
    upstream.say("/q", {"last": 5})
    await read(poll("/q?s={symbol}&t={symbol}", symbols=["A&B"]))
    assert upstream.requests[0][0] == "/q?s=A%26B&t=A%26B"


class CountingSource:
    """Holds requests back until as many are under way as may be, and counts them."""

    def __init__(self, expected: int) -> None:
        self.now = self.most = 0
        self._lock = threading.Lock()
        self._together = threading.Barrier(expected)

    def respond(self, handler: Handler) -> None:
        """Answer together with the others that are expected."""
        with self._lock:
            self.now += 1
            self.most = max(self.most, self.now)
        self._together.wait(PATIENCE)
        with self._lock:
            self.now -= 1
        handler.answer(200, b'{"last": 1}')


@pytest.mark.parametrize("concurrency", [1, 2, 4])
async def test_no_more_requests_are_under_way_than_allowed(
    upstream: Source, poll: Poll, concurrency: int
) -> None:
    """The source sees exactly so many at once, and all of them in the end."""
    counting = CountingSource(concurrency)
    symbols = [f"S{i}" for i in range(8)]
    for symbol in symbols:
        upstream.script[f"/q/{symbol}"] = counting.respond
    reading = await read(poll("/q/{symbol}", symbols=symbols, concurrency=concurrency))
    assert len(reading.rows) == 8
    assert counting.most == concurrency


async def test_requests_that_fail_keep_their_rows_and_are_told(
    upstream: Source, poll: Poll
) -> None:
    """The others bring news; in words it is said how many failed and why the first did."""
    tell(upstream, a=1, b=2, c=3)
    feed = poll("/q/{symbol}", symbols=["a", "b", "c"])
    assert (await read(feed)).trouble is None
    upstream.say("/q/b", b"", 503)
    upstream.say("/q/c", b"<html>")
    tell(upstream, a=10)
    reading = await read(feed)
    assert reading.rows == {"a": {"last": 10}, "b": {"last": 2}, "c": {"last": 3}}
    assert reading.kept == {"b", "c"}
    assert reading.trouble == "2 of 3 requests failed; first: HTTP 503 Service Unavailable"
    assert str(reading.rejections[0]) == "row 'b': HTTP 503 Service Unavailable"


async def test_a_symbol_that_never_answered_waits(upstream: Source, poll: Poll) -> None:
    """It has no row, but it is known that one is missing."""
    tell(upstream, a=1)
    reading = await read(poll("/q/{symbol}", symbols=["a", "b"]))
    assert (reading.rows, reading.kept) == ({"a": {"last": 1}}, {"b"})


async def test_all_requests_failing_is_a_failure(upstream: Source, poll: Poll) -> None:
    """The longest wait that a source asked for counts."""
    upstream.say("/q/a", b"", 503, Retry_After="7")
    upstream.say("/q/b", b"", 429, Retry_After="30")
    error = await failure(poll("/q/{symbol}", symbols=["a", "b", "c"]))
    assert error.why == (
        "all 3 requests failed; first: HTTP 503 Service Unavailable, asks to wait 7 s"
    )
    assert error.retry_after == 30


async def test_a_wait_asked_for_by_one_symbol_holds_for_the_feed(
    upstream: Source, poll: Poll
) -> None:
    """A source that limits one request limits the next ones as well."""
    tell(upstream, a=1)
    upstream.say("/q/b", b"", 429, Retry_After="30")
    assert (await read(poll("/q/{symbol}", symbols=["a", "b"]))).retry_after == 30


async def test_all_unchanged_is_one_confirmation(upstream: Source, poll: Poll) -> None:
    """Each url has its own validator; one that is new makes it a reading with all rows."""
    for symbol in "ab":
        upstream.say(f"/q/{symbol}", {"last": 1}, ETag=f'"{symbol}"')
    feed = poll("/q/{symbol}", symbols=["a", "b"])
    await feed.read(0)
    for symbol in "ab":
        upstream.say(f"/q/{symbol}", b"", 304)
    assert await feed.read(0) is None
    sent = sorted((path, headers["if-none-match"]) for path, headers in upstream.requests[2:])
    assert sent == [("/q/a", '"a"'), ("/q/b", '"b"')]
    tell(upstream, b=2)
    assert (await read(feed)).rows == {"a": {"last": 1}, "b": {"last": 2}}


PER_SYMBOL = """
feeds:
  f:
    kind: poll
    every: 50ms
    timeout: 45ms
    stale_after: 400ms
    url: "{url}/q/{{symbol}}"
    symbols: [a, b]
    fields: {{last: last}}
boards:
  b: {{feeds: [f], flush: 20ms}}
"""


def test_a_row_whose_request_keeps_failing_grows_stale_alone() -> None:
    """The feed stays live, says what troubles it, and the row is live again with its source."""
    with source() as upstream:
        tell(upstream, a=1, b=2)
        with serving(PER_SYMBOL.format(url=upstream.url)) as server:
            until(lambda: len(server.rows("b")) == 2)
            upstream.say("/q/b", b"", 500)
            until(lambda: server.rows("b")["b"].get("quality") == "stale")
            assert server.rows("b")["a"] == {"last": 1}
            assert server.rows("b")["b"]["last"] == 2
            words = "1 of 2 requests failed; first: HTTP 500 Internal Server Error"
            health = until(lambda: (h := server.feed("f"))["trouble"] == words and h)
            assert (health["quality"], health["failures"]) == ("live", 0)
            tell(upstream, b=3)
            until(lambda: server.rows("b")["b"] == {"last": 3})
            until(lambda: server.feed("f")["trouble"] is None)


def test_a_row_is_live_again_when_its_source_confirms_it() -> None:
    """After one failed request all symbols answer 304: nothing is wrong any more."""
    with source() as upstream:
        tell(upstream, a=1, b=2)
        for symbol in "ab":
            upstream.say(f"/q/{symbol}", {"last": 1}, ETag='"1"')
        with serving(PER_SYMBOL.format(url=upstream.url)) as server:
            until(lambda: len(server.rows("b")) == 2)
            upstream.say("/q/a", b"", 304)
            upstream.say("/q/b", b"", 500)
            until(lambda: server.feed("f")["trouble"])
            upstream.say("/q/b", b"", 304)
            confirmed = server.feed("f")["unchanged"]
            until(lambda: server.feed("f")["unchanged"] > confirmed + 12)
            assert server.feed("f")["trouble"] is None
            assert "quality" not in server.rows("b")["b"]


def test_a_row_that_cannot_be_read_grows_stale_though_its_document_is_confirmed() -> None:
    """A 304 confirms the rows that were read of it, and no others."""
    a, b = {"symbol": "A", "last": 1}, {"symbol": "B", "last": 2}
    with source() as upstream:
        upstream.confirm("/t", [a, b])
        config = PER_SYMBOL.format(url=upstream.url).replace("/q/{symbol}", "/t")
        with serving(config.replace("    symbols: [a, b]\n", "")) as server:
            until(lambda: len(server.rows("b")) == 2)
            upstream.confirm("/t", [a, b | {"last": "?"}])
            until(lambda: server.rows("b")["B"].get("quality") == "stale")
            confirmed = server.feed("f")["unchanged"]
            until(lambda: server.feed("f")["unchanged"] > confirmed + 5)
            assert server.rows("b") == {"A": {"last": 1}, "B": {"last": 2, "quality": "stale"}}


async def test_a_refused_row_is_kept_while_its_document_is_confirmed(
    upstream: Source, poll: Poll
) -> None:
    """News of another symbol must not remove it: its document still lists it."""
    keys: dict[str, Any] = {"symbols": ["x", "y"], "rows": "rows", "key": "symbol"}
    a, b = {"symbol": "A", "last": 1}, {"symbol": "B", "last": 2}
    upstream.say("/q/x", {"rows": [a, b]})
    upstream.say("/q/y", {"rows": [{"symbol": "C", "last": 3}]})
    feed = poll("/q/{symbol}", **keys)
    await feed.read(0)
    upstream.say("/q/x", {"rows": [a, b | {"last": "?"}]}, ETag='"1"')
    assert (await read(feed)).kept == {"B"}
    upstream.say("/q/x", b"", 304)
    assert (await read(feed)).kept == {"B"}


# -- what rows remember


async def test_kept_blanks_outlast_a_document_without_the_row(upstream: Source, poll: Poll) -> None:
    """With `missing: keep` and `blanks: keep` a row that pauses loses nothing."""
    feed = poll(fields={"last": "last", "bid": "bid"}, missing="keep", blanks="keep")
    seen: dict[str, Any] = {}
    for document in (
        [{"symbol": "A", "last": 1, "bid": 0.9}],
        [{"symbol": "B", "last": 2}],
        [{"symbol": "A", "last": 3}],
    ):
        upstream.say("/t", document)
        seen |= (await read(feed)).rows
    assert seen == {"A": {"last": 3, "bid": 0.9}, "B": {"last": 2}}


async def test_kept_blanks_outlast_a_rejected_row(upstream: Source, poll: Poll) -> None:
    """What the board kept of the row while it was broken is kept afterwards as well."""
    feed = poll(fields={"last": "last", "bid": "bid"}, blanks="keep")
    for a in ({"last": 1, "bid": 0.9}, {"last": "?"}, {"last": 3}):
        upstream.say("/t", [{"symbol": "A", **a}, {"symbol": "B", "last": 2}])
        reading = await read(feed)
    assert reading.rows["A"] == {"last": 3, "bid": 0.9}


async def test_a_broken_row_is_kept_and_the_others_go_on(upstream: Source, poll: Poll) -> None:
    """It is still listed; only its value cannot be read."""
    feed = poll()
    upstream.say("/t", [{"symbol": "A", "last": 1}, {"symbol": "B", "last": 2}])
    await feed.read(0)
    upstream.say("/t", [{"symbol": "A", "last": "?"}, {"symbol": "B", "last": 3}])
    reading = await read(feed)
    assert (reading.rows, reading.kept) == ({"B": {"last": 3}}, {"A"})
    assert (reading.complete, reading.rejected) == (True, 1)


async def test_missing_rows_may_be_kept(upstream: Source, poll: Poll) -> None:
    """With `missing: keep` no reading is complete."""
    upstream.say("/t", GOOD)
    assert (await read(poll())).complete
    assert not (await read(poll(missing="keep"))).complete


# -- formats


async def test_csv_is_polled_as_well(upstream: Source, poll: Poll) -> None:
    """With its delimiter, in the encoding that the response declares."""
    body = "symbol;last;name\nA;1;Zürich\n".encode("latin-1")
    upstream.say("/t", body, Content_Type="text/csv; charset=iso-8859-1")
    fields = {"last": "last", "name": "name"}
    reading = await read(poll(format="csv", delimiter=";", fields=fields))
    assert reading.rows == {"A": {"last": 1, "name": "Zürich"}}


async def test_the_config_s_encoding_counts_before_the_declared_one(
    upstream: Source, poll: Poll
) -> None:
    """Sources declare wrong encodings."""
    body = '[{"symbol": "Zürich", "last": 1}]'.encode("latin-1")
    upstream.say("/t", body, Content_Type="application/json; charset=utf-8")
    assert list((await read(poll(encoding="latin-1"))).rows) == ["Zürich"]


async def test_an_unknown_declared_encoding_is_said_in_words(upstream: Source, poll: Poll) -> None:
    """With the name that the source gave."""
    upstream.say("/t", GOOD, Content_Type="application/json; charset=klingon")
    assert (await failure(poll())).why == "unknown text encoding 'klingon'"


async def test_compressed_responses_are_read(upstream: Source, poll: Poll) -> None:
    """The source is told that gzip will do."""
    upstream.say("/t", gzip.compress(orjson.dumps(GOOD)), Content_Encoding="gzip")
    assert (await read(poll())).rows == ROWS
    assert "gzip" in upstream.requests[0][1]["accept-encoding"]


async def test_a_compressed_response_that_breaks_off_is_an_error(
    upstream: Source, poll: Poll
) -> None:
    """Half a table must not remove the other half of a board."""
    table = "symbol,last\n" + "".join(f"S{i * 7919 % 10_007},{i}\n" for i in range(5000))
    whole = gzip.compress(table.encode())
    upstream.say("/t", whole[: len(whole) // 2], Content_Encoding="gzip")
    await failure(poll(format="csv"))


# -- redirects


def redirect(upstream: Source, path: str, location: str, status: int = 302) -> None:
    """Let the source redirect ``path``."""
    upstream.say(path, b"moved", status, Location=location)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("location", ["/new", "new?x=1", "{url}/new"])
async def test_redirects_within_the_host_are_followed(
    upstream: Source, poll: Poll, status: int, location: str
) -> None:
    """By default, whether the location is relative or whole."""
    redirect(upstream, "/t", location.format(url=upstream.url), status)
    upstream.say("/new", GOOD)
    assert (await read(poll())).rows == ROWS


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("http://elsewhere.invalid/secret-path?k=secret", "http://elsewhere.invalid"),
        ("//elsewhere.invalid/", "http://elsewhere.invalid"),
        ("https://127.0.0.1/", "https://127.0.0.1"),
        ("http://127.0.0.1:1/", "http://127.0.0.1"),
        ("http://user:secret@elsewhere.invalid/", "http://elsewhere.invalid"),
    ],
)
async def test_redirects_to_another_host_are_refused(
    upstream: Source, poll: Poll, location: str, shown: str
) -> None:
    """Another scheme or port is another host; the words do not show the path."""
    redirect(upstream, "/t", location, 301)
    words = f"HTTP 301 redirects to {shown}; `redirects: same-host` does not allow it"
    assert (await failure(poll())).why == words


async def test_redirects_anywhere_are_followed_where_allowed(upstream: Source, poll: Poll) -> None:
    """With `redirects: any` another host may answer."""
    with source() as other:
        other.say("/new", GOOD)
        redirect(upstream, "/t", other.url + "/new")
        assert (await read(poll(redirects="any"))).rows == ROWS


async def test_no_redirect_is_followed_where_none_is_allowed(upstream: Source, poll: Poll) -> None:
    """Not even within the host."""
    redirect(upstream, "/t", "/new", 307)
    words = "HTTP 307 redirects to http://127.0.0.1; `redirects: none` does not allow it"
    assert (await failure(poll(redirects="none"))).why == words
    assert upstream.asked("/new") == 0


@pytest.mark.parametrize("allowed", ["any", "same-host"])
async def test_a_redirect_to_another_scheme_is_never_followed(
    upstream: Source, poll: Poll, allowed: str
) -> None:
    """A source does not make this program read files."""
    redirect(upstream, "/t", "file:///secrets.json")
    assert (await failure(poll(redirects=allowed))).why.startswith("HTTP 302 redirects to file://")


@pytest.mark.parametrize(("count", "good"), [(5, True), (6, False)])
async def test_at_most_five_redirects_are_followed(
    upstream: Source, poll: Poll, count: int, good: bool
) -> None:
    """The sixth is one too many."""
    redirect(upstream, "/t", "/r1")
    for i in range(1, count):
        redirect(upstream, f"/r{i}", f"/r{i + 1}")
    upstream.say(f"/r{count}", GOOD)
    if good:
        assert (await read(poll())).rows == ROWS
    else:
        assert (await failure(poll())).why == "more than 5 redirects"


async def test_a_redirect_loop_ends(upstream: Source, poll: Poll) -> None:
    """After six requests."""
    redirect(upstream, "/t", "/t")
    assert (await failure(poll())).why == "more than 5 redirects"
    assert upstream.asked("/t") == 6


async def test_a_redirect_without_a_location_is_an_error(upstream: Source, poll: Poll) -> None:
    """It leads nowhere."""
    upstream.say("/t", b"", 302)
    assert (await failure(poll())).why == "HTTP 302 Found"


@pytest.mark.parametrize("location", ["http://[/", "http://h:x/", "http://\x7f/", "http:///"])
async def test_a_broken_location_is_an_error(upstream: Source, poll: Poll, location: str) -> None:
    """Whatever the source writes there, it is no defect of this program."""
    redirect(upstream, "/t", location)
    assert (await failure(poll(redirects="any"))).why


@pytest.mark.parametrize("header", ["Authorization", "X-Api-Key", "Cookie"])
async def test_headers_of_the_config_do_not_follow_a_redirect_to_another_host(
    upstream: Source, poll: Poll, header: str
) -> None:
    """They hold the secrets of the source that was configured (curl's and browsers' rule)."""
    with source() as other:
        other.say("/new", GOOD)
        redirect(upstream, "/t", other.url + "/new")
        await read(poll(redirects="any", headers={header: "s3cret"}))
        assert "s3cret" not in str(other.requests)


# -- statuses and Retry-After


async def test_the_source_s_own_words_are_added_to_a_status(upstream: Source, poll: Poll) -> None:
    """Where its page is JSON and has a message."""
    upstream.say("/t", {"message": "plan has ended"}, 403)
    assert (await failure(poll())).why == "HTTP 403 Forbidden; the source says: plan has ended"


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (204, "HTTP 204 No Content"),
        (206, "HTTP 206 Partial Content"),
        (400, "HTTP 400 Bad Request"),
        (401, "HTTP 401 Unauthorized"),
        (403, "HTTP 403 Forbidden"),
        (404, "HTTP 404 Not Found"),
        (418, "HTTP 418 I'm a Teapot"),
        (429, "HTTP 429 Too Many Requests"),
        (500, "HTTP 500 Internal Server Error"),
        (503, "HTTP 503 Service Unavailable"),
        (599, "HTTP 599"),
    ],
)
async def test_a_status_other_than_ok_is_said_in_the_standard_s_words(
    poll: Poll, status: int, words: str
) -> None:
    """Also where its body could be used."""
    answer = httpx.Response(status, content=orjson.dumps(GOOD))
    error = await failure(poll(transport=ScriptedTransport(answer)))
    assert (error.why, error.retry_after) == (words, None)


def http_date(seconds: float) -> str:
    """Return the HTTP date so many seconds from now."""
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("120", 120),
        (" 5 ", 5),
        ("0", 0),
        ("999999", RETRY_AFTER_LIMIT),
        ("9" * 400, RETRY_AFTER_LIMIT),
        ("in 600 s", 600),
        ("in 1000000 s", RETRY_AFTER_LIMIT),
        ("in -600 s", 0),
        ("Thu, 20 Nov 2025 12:00:00", 0),
    ],
)
async def test_retry_after_is_passed_on(poll: Poll, header: str, wait: float) -> None:
    """Seconds or a date (RFC 9110, 10.2.3), at most an hour; the words say it as well."""
    if header.startswith("in "):
        header = http_date(float(header.split()[1]))
    answer = httpx.Response(429, headers={"Retry-After": header})
    error = await failure(poll(transport=ScriptedTransport(answer)))
    assert error.retry_after == pytest.approx(wait, abs=30)
    assert ", asks to wait " in error.why


@pytest.mark.parametrize("header", ["soon", "-5", "1.5", "", "²", "Thu, 99 Nov 2025", "0 0 0"])
async def test_a_broken_retry_after_is_ignored(poll: Poll, header: str) -> None:
    """The status is still an error."""
    headers = [(b"Retry-After", header.encode("latin-1"))]
    answer = httpx.Response(503, headers=headers)
    error = await failure(poll(transport=ScriptedTransport(answer)))
    assert (error.why, error.retry_after) == ("HTTP 503 Service Unavailable", None)


async def test_a_large_error_page_does_not_hide_its_status(upstream: Source, poll: Poll) -> None:
    """What the source asks for is obeyed, however long its page."""
    upstream.say("/t", b"x" * 5000, 429, Retry_After="60")
    error = await failure(poll(max_bytes=1000))
    assert "HTTP 429" in error.why
    assert error.retry_after == 60


# -- secrets

SECRET = "s3cr3t"


def fail_with(error: Exception) -> ScriptedTransport:
    """Return a network on which each request fails so."""
    return ScriptedTransport(error)


@pytest.mark.parametrize(
    "transport",
    [
        fail_with(httpx.ConnectError("[Errno 111] Connection refused")),
        fail_with(httpx.ConnectTimeout("")),
        fail_with(httpx.ReadError("")),
        fail_with(httpx.RemoteProtocolError("Server disconnected without sending a response.")),
        fail_with(httpx.ProxyError("403 Forbidden")),
        fail_with(httpx.UnsupportedProtocol("Request URL has an unsupported protocol")),
        ScriptedTransport(httpx.Response(500)),
        ScriptedTransport(httpx.Response(200, content=b"<html>")),
        ScriptedTransport(httpx.Response(301, headers={"Location": f"http://x.invalid/?k={SECRET}"})),
        ScriptedTransport(httpx.Response(200, headers={"Content-Length": "99999999"})),
    ],
)  # fmt: skip
async def test_words_never_hold_the_url_or_a_header(
    poll: Poll, transport: ScriptedTransport
) -> None:
    """Keys stand in paths, queries, user info and headers."""
    url = f"http://user:{SECRET}@h.invalid/{SECRET}/t?key={SECRET}"
    feed = poll(url, transport=transport, headers={"Authorization": f"Bearer {SECRET}"})
    error = await failure(feed)
    assert error.why
    assert SECRET not in error.why


async def test_words_about_one_of_many_requests_hold_no_url(upstream: Source, poll: Poll) -> None:
    """Rejections name the symbol, trouble names the reason."""
    tell(upstream, a=1)
    feed = poll(f"/q/{{symbol}}?key={SECRET}", symbols=["a", "b"])
    reading = await read(feed)
    assert SECRET not in f"{reading.trouble} {list(map(str, reading.rejections))}"


@pytest.mark.parametrize("status", [200, 401])
async def test_a_source_that_repeats_a_key_does_not_make_it_public(
    upstream: Source, poll: Poll, status: int
) -> None:
    """Sources say which key they do not know; ``/api/feeds`` is for everybody."""
    upstream.say("/t", {"message": f"Unknown key {SECRET}"}, status)
    error = await failure(poll(f"/t?key={SECRET}", rows="data"))
    assert SECRET not in error.why


CONFIG_WITH_KEY = """
feeds: {f: {kind: poll, every: 5s, url: "http://x/", headers: {K: "KEY"}, fields: {last: x}}}
boards: {b: {feeds: [f]}}
"""


@pytest.mark.parametrize("end", ["\n", "\r", "\x00"])
async def test_a_header_that_cannot_be_sent_is_not_shown(
    upstream: Source, poll: Poll, end: str
) -> None:
    """A key out of the environment with a line break at its end is still a secret."""
    text = CONFIG_WITH_KEY.replace("KEY", "${KEY}")
    with pytest.raises(ConfigError) as caught:
        settings(text, KEY=f"Bearer {SECRET}{end}x")
    assert "expected printable ASCII text" in str(caught.value)
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        f"http://x.invalid/v6/{SECRET}abcdefghijklmnopq/latest",
        f"http://user:{SECRET}@x.invalid/",
        f"http://x.invalid/?key={SECRET}%2Fx",
    ],
)
async def test_secrets_anywhere_in_the_url_are_not_repeated(poll: Poll, url: str) -> None:
    """A source that quotes the address it was asked for does not make its key public."""
    answer = httpx.Response(403, content=orjson.dumps({"message": f"no access to {url}"}))
    error = await failure(poll(url, transport=ScriptedTransport(answer)))
    assert "no access to" in error.why
    assert SECRET not in error.why


async def test_a_header_beyond_ascii_is_said_in_words(upstream: Source, poll: Poll) -> None:
    """It is a mistake of the config, no defect of this program."""
    with pytest.raises(ConfigError, match="expected printable ASCII text"):
        settings(CONFIG_WITH_KEY.replace("KEY", "Zürich"))


# -- what is sent


async def test_a_source_s_cookies_do_not_pile_up(upstream: Source, poll: Poll) -> None:
    """A source that sets another cookie each time must not make requests longer and longer."""
    feed = poll()
    for i in range(10):
        upstream.say("/t", GOOD, Set_Cookie=f"k{i}=v; Path=/")
        await read(feed)
    assert len(upstream.requests[-1][1].get("cookie", "")) <= len("k0=v")


async def test_the_program_names_itself(upstream: Source, poll: Poll) -> None:
    """Operators of a source can see who asks."""
    upstream.say("/t", GOOD)
    await read(poll())
    assert upstream.requests[0][1]["user-agent"] == f"ticker/{__version__}"


async def test_the_config_s_headers_are_sent(upstream: Source, poll: Poll) -> None:
    """They may replace the program's own."""
    upstream.say("/t", GOOD)
    await read(poll(headers={"X-Api-Key": "k", "user-agent": "me", "Accept": "text/csv"}))
    sent = upstream.requests[0][1]
    assert (sent["x-api-key"], sent["user-agent"], sent["accept"]) == ("k", "me", "text/csv")


async def test_the_query_is_sent_as_it_is_written(upstream: Source, poll: Poll) -> None:
    """Nothing of the url is lost or quoted twice."""
    upstream.say("/t", GOOD)
    await read(poll("/t?ids=a%2Cb&x=1,2&y=%25"))
    assert upstream.requests[0][0] == "/t?ids=a%2Cb&x=1,2&y=%25"


# -- bounds


async def test_a_response_that_announces_too_much_is_refused(upstream: Source, poll: Poll) -> None:
    """Its body is not even read."""
    upstream.say("/t", b" " * 5000)
    words = "response of 5,000 bytes; max_bytes is 1,000"
    assert (await failure(poll(max_bytes=1000))).why == words


async def test_a_response_that_turns_out_too_large_is_refused(poll: Poll) -> None:
    """Its reading ends at the limit."""

    async def flood() -> AsyncIterator[bytes]:
        while True:
            yield b" " * 100

    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=flood()))
    words = "response of more than 1,000 bytes, which is max_bytes"
    assert (await failure(poll(transport=transport, max_bytes=1000))).why == words


async def test_a_response_may_be_as_large_as_the_limit(upstream: Source, poll: Poll) -> None:
    """Not one byte less."""
    body = orjson.dumps(GOOD)
    upstream.say("/t", body)
    assert (await read(poll(max_bytes=len(body)))).rows == ROWS
    await failure(poll(max_bytes=len(body) - 1))


async def peak(feed: PollFeed) -> int:
    """Return the most memory, in bytes, that a reading which fails holds at once."""
    tracemalloc.start()
    try:
        words = (await failure(feed)).why
        assert "max_bytes" in words or "was not asked for" in words, words
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


async def test_a_flood_costs_no_more_memory_than_the_limit(upstream: Source, poll: Poll) -> None:
    """Fifty megabytes without a length are not kept."""

    def flood(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        chunk = b" " * 65_536
        for _ in range(800):
            handler.wfile.write(chunk)
        handler.close_connection = True

    upstream.script["/t"] = flood
    assert await peak(poll(max_bytes=MEGABYTE)) < 5 * MEGABYTE


def bomb(megabytes: int, layers: int) -> bytes:
    """Return zeros, compressed ``layers`` times."""
    data = bytes(megabytes * MEGABYTE)
    for _ in range(layers):
        data = gzip.compress(data, 9)
    return data


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(
            n,
        )
        for n in (1, 2)
    ],
)
async def test_a_gzip_bomb_costs_no_more_memory_than_the_limit(
    upstream: Source, poll: Poll, layers: int
) -> None:
    """Forty megabytes in a few kilobytes are an error, and are never held."""
    encoding = ", ".join(["gzip"] * layers)
    upstream.say("/t", bomb(40, layers), Content_Encoding=encoding)
    assert await peak(poll(max_bytes=MEGABYTE)) < 10 * MEGABYTE


async def test_more_rows_than_allowed_are_an_error(upstream: Source, poll: Poll) -> None:
    """``max_rows`` bounds the board."""
    upstream.say("/t", [{"symbol": f"S{i}", "last": i} for i in range(11)])
    assert len((await read(poll(max_rows=11))).rows) == 11
    assert (await failure(poll(max_rows=10))).why == "expected at most 10 rows at '@', got 11"


def hanging(released: threading.Event) -> Callable[[Handler], None]:
    """Return an answer that never comes."""

    def hang(_: Handler) -> None:
        released.wait(PATIENCE)

    return hang


@pytest.fixture
def released() -> Iterator[threading.Event]:
    """Return an event for which sources wait; it is set at the end."""
    event = threading.Event()
    yield event
    event.set()


async def test_a_source_that_never_answers_is_given_up(
    upstream: Source, poll: Poll, released: threading.Event
) -> None:
    """After the timeout, in words."""
    upstream.script["/t"] = hanging(released)
    assert (await failure(poll(timeout=0.1))).why == "no answer within 0.1 s"


async def test_a_source_that_drips_is_given_up(
    upstream: Source, poll: Poll, released: threading.Event
) -> None:
    """The timeout is for the whole reading, not for each byte."""

    def drip(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not released.wait(0.02):
            handler.wfile.write(b" ")

    upstream.script["/t"] = drip
    assert (await failure(poll(timeout=0.2))).why == "no answer within 0.2 s"


async def test_the_timeout_is_for_all_requests_of_a_reading(
    upstream: Source, poll: Poll, released: threading.Event
) -> None:
    """One that hangs does not cost the others their answer."""
    tell(upstream, a=1, c=3)
    upstream.script["/q/b"] = hanging(released)
    reading = await read(poll("/q/{symbol}", symbols=["a", "b", "c"], timeout=0.5, concurrency=2))
    assert sorted(reading.rows) == ["a", "c"]
    assert reading.trouble == "1 of 3 requests failed; first: no answer within 0.5 s"


async def test_a_reading_that_was_given_up_can_be_repeated(
    upstream: Source, poll: Poll, released: threading.Event
) -> None:
    """The connection that hung is not used again."""
    upstream.script["/t"] = hanging(released)
    feed = poll(timeout=0.5)
    await failure(feed)
    upstream.say("/t", GOOD)
    assert (await read(feed)).rows == ROWS


class LateLoopFeed(PollFeed):
    """A feed whose deadline passes while the loop is busy with the body."""

    busy = 0.1

    async def _body(self, response: httpx.Response) -> bytes:
        try:
            return await super()._body(response)
        finally:
            time.sleep(self.busy)  # noqa: ASYNC251 - as decompressing, or another feed, does


def test_a_timeout_while_a_response_is_closed_costs_no_connection(upstream: Source) -> None:
    """Otherwise the feed asks nothing any more as soon as all its connections are lost.

    On the loop that the server runs on.
    """
    uvloop = pytest.importorskip("uvloop")

    def flood(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        handler.wfile.write(b" " * 5000)

    async def lose_then_read() -> Reading:
        keys = {"kind": "poll", "every": 1.0, "url": upstream.url + "/t", "timeout": 0.05}
        keys |= {"fields": {"last": "last"}, "concurrency": 1, "max_bytes": 1000}
        feed = LateLoopFeed(PollSettings.model_validate(keys))
        try:
            upstream.script["/t"] = flood
            await failure(feed)
            upstream.say("/t", GOOD)
            feed.busy = 0.0
            for _ in range(10):  # a slow machine may need more than one
                with suppress(FeedError):
                    return await read(feed)
            return await read(feed)
        finally:
            await feed.close()

    assert uvloop.run(lose_then_read()).rows == ROWS


async def test_a_cancelled_reading_ends(
    upstream: Source, poll: Poll, released: threading.Event
) -> None:
    """The end of the program does not wait for a source."""
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()

    def hang(_: Handler) -> None:
        loop.call_soon_threadsafe(asked.set)
        released.wait(PATIENCE)

    upstream.script["/t"] = hang
    task = asyncio.create_task(poll().read(0))
    async with asyncio.timeout(PATIENCE):
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# -- no answer at all


async def test_a_refused_connection_is_said_in_words(poll: Poll, unused_port: int) -> None:
    """Nobody listens there."""
    assert (await failure(poll(f"http://127.0.0.1:{unused_port}/"))).why == "connection refused"


async def test_a_connection_refused_by_every_address_of_a_name_is_said_in_words(
    poll: Poll, unused_port: int
) -> None:
    """``localhost`` may have two."""
    words = {"connection refused", "cannot connect"}
    assert (await failure(poll(f"http://localhost:{unused_port}/"))).why in words


async def test_an_unknown_host_is_said_in_words(poll: Poll) -> None:
    """RFC 6761: `.invalid` never exists."""
    assert (await failure(poll("http://nowhere.invalid/"))).why == "host name not found"


async def test_plain_http_where_tls_is_expected_is_said_in_words(
    upstream: Source, poll: Poll
) -> None:
    """Somebody wrote https for http."""
    url = upstream.url.replace("http:", "https:")
    assert (await failure(poll(url + "/t"))).why.startswith("TLS: ")


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"", "broken HTTP response: Server disconnected without sending a response."),
        (b"hello\r\n\r\n", "broken HTTP response: "),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[", "broken HTTP response: peer closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n[", "broken HTTP response: "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "broken HTTP response: "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n[", "broken HTTP response: "),
        (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 50_000, "broken HTTP response: "),
        (
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n[]",
            "content encoding of the response is broken",
        ),
    ],
)
async def test_a_broken_response_is_said_in_words(
    upstream: Source, poll: Poll, answer: bytes, words: str
) -> None:
    """Whatever comes over the wire, it is the source's failure."""
    upstream.script["/t"] = lambda handler: handler.raw(answer)
    assert (await failure(poll())).why.startswith(words)


async def test_a_host_that_cannot_be_is_a_failure(poll: Poll) -> None:
    """A name with too long a part is no defect of this program."""
    assert (await failure(poll(f"http://{'x' * 70}.invalid/"))).why


def test_a_port_beyond_all_ports_is_a_mistake_of_the_config() -> None:
    """It is told with its line, before anything is read."""
    with pytest.raises(ConfigError, match="port from 1 to 65535"):
        settings(CONFIG_WITH_KEY.replace("http://x/", "http://127.0.0.1:99999/"))


@pytest.fixture
def unused_port() -> int:
    """Return a port on which nobody listens."""
    with source() as gone:
        return int(gone.url.rpartition(":")[2])


# -- what people see of a reading


async def test_exchanges_tell_of_each_request_of_the_last_reading(
    upstream: Source, poll: Poll
) -> None:
    """Status, size and time of redirects and answers alike."""
    redirect(upstream, "/t", "/new")
    upstream.say("/new", GOOD)
    feed = poll()
    await feed.read(0)
    await feed.read(0)
    sizes = [(exchange.status, exchange.size) for exchange in feed.exchanges]
    assert sizes == [(302, 5), (200, len(orjson.dumps(GOOD)))]
    assert all(exchange.seconds > 0 for exchange in feed.exchanges)


async def test_closing_twice_or_before_the_first_reading_does_nothing(poll: Poll) -> None:
    """The end of the program may come at any time."""
    feed = poll()
    await feed.close()
    await feed.close()


async def test_an_answer_that_waited_for_us_is_as_old_as_its_request(
    upstream: Source, poll: Poll, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the process was stopped while it lay there: it is no fresher for that."""
    upstream.say("/t", GOOD)
    feed = poll(every=10.0, timeout=2.0)
    configured = feed._settings
    now = [1_000.0]
    monkeypatch.setattr("ticker.producer.time", lambda: now[0])
    producer = Producer({}, Hub({}))
    producer.put("f", configured, feed)
    await producer.tick("f")
    assert producer.health("f").record.last_success == 1_000.0
    asked = feed.read

    async def stopped(at: float) -> Reading | None:
        reading = await asked(at)
        now[0] += 60.0
        return reading

    monkeypatch.setattr(feed, "read", stopped)
    now[0] = 1_010.0
    await producer.tick("f")
    assert producer.health("f").record.last_success == 1_010.0
