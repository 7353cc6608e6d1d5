"""Whoever has the token may push rows, within bounds, and is told what became of them."""

from __future__ import annotations

import asyncio
import gzip
import threading
import tracemalloc
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from typer.testing import CliRunner

from tests.fixtures.recorded import shared_data
from ticker.cli import app
from ticker.config import PollFeed as PollSettings
from ticker.config import PushFeed as PushSettings
from ticker.errors import ConfigError
from ticker.feeds import NOTHING, Reading, push
from ticker.feeds.mapping import Mapped
from ticker.feeds.poll import PollFeed
from ticker.feeds.push import BODIES_AT_ONCE, JSON, LINES, PushFeed, Refused
from ticker.feeds.web import Body

from .support import PATIENCE, Running, eventually, serving, settings, source, until

TOKEN = "push-token-0123456789"
OTHER = "another-token-0123456789"
MEGABYTE = 1_000_000

CONFIG = """
feeds:
  desk:
    kind: push
    every: 10ms
    tokens: ["${TOKEN}", "${OTHER}"]
    max_bytes: 100KB
    max_rows: 1000
    fields: {last: last, volume: volume}
  sim: {kind: simulate, every: 24h, symbols: {SIM: 1}}
boards:
  b: {feeds: [desk], flush: 10ms}
  c: {feeds: [sim]}
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server with a feed to push to."""
    with serving(CONFIG, TOKEN=TOKEN, OTHER=OTHER) as running:
        yield running


def post(
    server: Running,
    body: Any,
    path: str = "/api/feeds/desk",
    token: str | None = TOKEN,
    media: str | None = JSON,
    **headers: str,
) -> httpx.Response:
    """Push ``body``: bytes and pieces as they are, anything else as JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        named["Authorization"] = f"Bearer {token}"
    if media is not None:
        named["Content-Type"] = media
    raw = isinstance(body, bytes) or hasattr(body, "__next__")
    content = body if raw else orjson.dumps(body)
    return httpx.post(server.url + path, content=content, headers=named, timeout=PATIENCE)


def shows(server: Running, rows: dict[str, Any]) -> None:
    """Wait until board ``b`` has exactly ``rows``."""
    until(lambda: server.rows("b") == rows, what=f"{rows}")


def test_what_is_pushed_is_shown(server: Running) -> None:
    """One row, a list, lines, compressed; news keep what they do not mention."""
    row = {"symbol": "V", "last": 1, "volume": 5, "unknown": {"x": 1}}
    answer = post(server, row, "/api/feeds/desk?complete=true")
    assert (answer.status_code, answer.json()) == (
        200,
        {"rows": 1, "rejected": 0, "rejections": []},
    )
    post(server, [{"symbol": "V", "last": 2}, {"symbol": "B", "last": "7"}])
    lines = (
        b'{"symbol": "C", "last": 1}\n\n{"symbol": "C", "last": 3}\r\n[{"symbol": "D", "last": 4}]'
    )
    assert post(server, lines, media=f"{LINES}; charset=utf-8").json()["rows"] == 2
    packed = gzip.compress(orjson.dumps({"symbol": "E", "last": 9}))
    assert post(server, packed, token=OTHER, Content_Encoding="gzip").status_code == 200
    plain = {"B": {"last": 7}, "C": {"last": 3}, "D": {"last": 4}, "E": {"last": 9}}
    shows(server, {"V": {"last": 2, "volume": 5}, **plain})


def test_a_complete_push_removes_the_others(server: Running) -> None:
    """Only when it says so; rows it could not map stay."""
    post(server, [{"symbol": s, "last": 1} for s in "ABC"], "/api/feeds/desk?complete=true")
    shows(server, {s: {"last": 1} for s in "ABC"})
    body = [{"symbol": "A", "last": 2}, {"symbol": "B", "last": "soon"}]
    post(server, body, "/api/feeds/desk?complete=true")
    shows(server, {"A": {"last": 2}, "B": {"last": 1}})


def test_rows_that_cannot_be_mapped_are_told(server: Running) -> None:
    """With their reasons, the first twenty; the others count. So does /api/feeds."""
    before = server.feed("desk")["rejected"]
    wrong = [{"symbol": f"W{n}", "last": "soon"} for n in range(50)]
    told = post(server, [{"symbol": "A", "last": 1}, *wrong]).json()
    assert (told["rows"], told["rejected"], len(told["rejections"])) == (1, 50, 20)
    assert told["rejections"][0] == "row 'W0': last at 'last': expected a number, got 'soon'"
    until(lambda: server.feed("desk")["rejected"] == before + 50, what="the count")
    assert "row 'W19'" in str(server.feed("desk")["rejections"])
    lines = b'{"symbol": "A", "last": 1}\nnonsense\n{"last": 2}'
    told = post(server, lines, media=LINES).json()
    assert told["rejections"][0].startswith("row 'line 2': expected JSON, got text beginning")
    assert (told["rows"], told["rejected"]) == (1, 2)


@pytest.mark.parametrize(
    ("status", "words", "given"),
    [
        (401, "a token of this feed is needed", {"token": None}),
        (401, "a token of this feed is needed", {"token": None, "Authorization": "Basic eA=="}),
        (403, "not a token of this feed", {"token": "wrong"}),
        (403, "not a token of this feed", {"token": TOKEN[:-1]}),
        (403, "not a token of this feed", {"token": f"{TOKEN}x"}),
        (404, "no feed 'sim' to push to", {"path": "/api/feeds/sim"}),
        (404, "no feed 'none' to push to", {"path": "/api/feeds/none", "token": None}),
        (413, "body of more than 100,000 bytes, which is max_bytes", {"body": b"x" * 100_001}),
        (413, "body of more than 100,000 bytes", {"body": iter([b" " * 60_000] * 2)}),
        (413, "body of more than 100,000 bytes", {"body": gzip.compress(b"x" * 50 * MEGABYTE),
                                                  "Content_Encoding": "gzip"}),
        (415, "expected application/json or application/x-ndjson, got ''", {"media": None}),
        (415, "got 'text/csv'", {"media": "text/csv"}),
        (415, "expected gzip or none, got 'br'", {"Content_Encoding": "br"}),
        (422, "expected JSON, got text beginning 'nonsense'", {"body": b"nonsense"}),
        (422, "expected JSON, got an empty response", {"body": b""}),
        (422, "no rows", {"body": b"\n \n", "media": LINES}),
        (422, "no rows at '[@][]'", {"body": []}),
        (422, "row 'A': last at 'last': expected a number", {"body": {"symbol": "A", "last": "?"}}),
        (422, "expected an object, got 7", {"body": 7}),
        (422, "at most 1000 rows", {"body": [{"symbol": f"S{n}", "last": n} for n in range(1001)]}),
        (422, "at most 1000 rows", {"body": b"\n".join(b'{"symbol": "S%d", "last": 1}' % n
                                                       for n in range(1001)), "media": LINES}),
        (422, "the compressed body breaks off", {"body": b"x", "Content_Encoding": "gzip"}),
        (422, "encoding of the body is broken", {"body": b"xx", "Content_Encoding": "gzip"}),
        (422, "the compressed body breaks off", {"body": gzip.compress(b"[1, 2]")[:-9],
                                                 "Content_Encoding": "gzip"}),
    ],
)  # fmt: skip
def test_what_is_not_taken(server: Running, status: int, words: str, given: dict[str, Any]) -> None:
    """Each with its status and in words; the board stays as it was."""
    post(server, {"symbol": "A", "last": 1}, "/api/feeds/desk?complete=true")
    shows(server, {"A": {"last": 1}})
    answer = post(server, **{"body": {"symbol": "A", "last": 2}, **given})
    assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert TOKEN not in answer.text
    post(server, {"symbol": "B", "last": 2})
    shows(server, {"A": {"last": 1}, "B": {"last": 2}})


def test_other_methods_are_as_before(server: Running) -> None:
    """The address is only for pushing."""
    assert server.get("/api/feeds/desk").status_code == 404
    assert server.get("/api/feeds").status_code == 200


def test_a_hundred_megabytes_are_not_kept(server: Running) -> None:
    """What is too long is neither read to its end nor gathered."""
    server.get("/healthz")
    tracemalloc.start()
    try:
        chunk = b" " * 100_000
        answer = post(server, iter([chunk] * 1000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert answer.status_code == 413
    assert peak < 20 * MEGABYTE


def test_a_pusher_that_hangs_up_is_no_defect(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Half a body is nothing."""

    def half() -> Iterator[bytes]:
        yield b'{"symbol": "H",'
        raise ConnectionError

    with pytest.raises(ConnectionError):
        post(server, half())
    post(server, {"symbol": "Z", "last": 1})
    until(lambda: "Z" in server.rows("b"), what="the next push")
    assert "H" not in server.rows("b")
    assert not [record for record in caplog.records if record.exc_info]


def test_pushes_at_once_are_all_taken(server: Running) -> None:
    """Or refused with 429, to come back: in the end each row is there."""

    def push_rows(n: int) -> None:
        while (answer := post(server, {"symbol": f"P{n}", "last": n})).status_code == 429:
            assert answer.headers["retry-after"] == "1"
        assert answer.status_code == 200

    post(server, {"symbol": "A", "last": 1}, "/api/feeds/desk?complete=true")
    threads = [threading.Thread(target=push_rows, args=[n]) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    shows(server, {"A": {"last": 1}, **{f"P{n}": {"last": n} for n in range(20)}})


def test_a_feed_to_which_nothing_is_pushed_grows_old() -> None:
    """It says so, does not keep the server from being ready, and comes back to life."""
    config = CONFIG.replace(
        "every: 10ms", "every: 10ms, stale_after: 300ms".replace(", ", "\n    ")
    )
    with serving(config, TOKEN=TOKEN, OTHER=OTHER) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="readiness")
        assert server.feed("desk")["why"] == "no reading yet"
        post(server, {"symbol": "A", "last": 1})
        shows(server, {"A": {"last": 1}})
        until(lambda: server.feed("desk")["quality"] == "stale", what="silence")
        assert server.rows("b") == {"A": {"last": 1, "quality": "stale"}}
        post(server, {"symbol": "A", "last": 1})
        shows(server, {"A": {"last": 1}})


# -- the feed by itself


def feed(**keys: Any) -> PushFeed:
    """Return a feed."""
    defaults = {"kind": "push", "tokens": [TOKEN], "fields": {"last": "last"}}
    return PushFeed(PushSettings.model_validate(defaults | keys))


async def pieces(*chunks: bytes) -> AsyncIterator[bytes]:
    """Yield the pieces of a body."""
    for chunk in chunks:
        yield chunk


async def pushed(feed: PushFeed, document: Any, **options: Any) -> Mapped:
    """Push a document in two pieces."""
    body = orjson.dumps(document)
    return await feed.take_in(pieces(body[:3], body[3:]), **options)


async def taken(feed: PushFeed, now: float = 0.0) -> Reading:
    """Look at a feed to which something was pushed."""
    reading = await feed.read(now)
    assert isinstance(reading, Reading)
    return reading


async def test_nothing_pushed_is_nothing_heard() -> None:
    """Neither success nor failure."""
    desk = feed()
    assert await desk.read(0) is NOTHING
    await pushed(desk, {"symbol": "A", "last": 1})
    assert (await taken(desk)).rows == {"A": {"last": 1}}
    assert await desk.read(0) is NOTHING


async def test_bodies_under_way_are_bounded() -> None:
    """One more is refused while they are, and taken when one is done."""
    desk, more = feed(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"symbol": "A",'
        await more.wait()
        yield b'"last": 1}'

    under_way = [asyncio.create_task(desk.take_in(slow())) for _ in range(BODIES_AT_ONCE)]
    await eventually(lambda: desk._bodies == BODIES_AT_ONCE)
    with pytest.raises(Refused) as refused:
        await pushed(desk, {"symbol": "A", "last": 1})
    assert refused.value.status == 429
    more.set()
    await asyncio.gather(*under_way)
    assert len((await pushed(desk, {"symbol": "A", "last": 1})).rows) == 1


async def test_a_body_must_come_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins and does not go on gives up its place."""
    monkeypatch.setattr(push, "BODY_SECONDS", 0.05)
    desk = feed()

    async def stalled() -> AsyncIterator[bytes]:
        yield b"["
        await asyncio.Event().wait()

    with pytest.raises(Refused) as refused:
        await desk.take_in(stalled())
    assert refused.value.status == 408
    assert desk._bodies == 0


async def test_what_match_does_not_match_is_a_sign_of_life() -> None:
    """No row is touched by it, whatever the body is said to be."""
    desk = feed(match="symbol")
    await pushed(desk, {"symbol": "A", "last": 1})
    await taken(desk)
    assert (await pushed(desk, {"ping": 1}, complete=True)).rows == {}
    beat = await taken(desk)
    assert (beat.rows, beat.complete, beat.kept) == ({}, False, set())


async def test_an_empty_body_may_be_allowed() -> None:
    """Then it is a sign of life, and a complete one removes all rows."""
    desk = feed(empty="allow")
    await pushed(desk, {"symbol": "A", "last": 1})
    await pushed(desk, [], complete=True)
    reading = await taken(desk)
    assert (reading.rows, reading.complete) == ({}, True)


async def test_rows_in_one_look_are_merged_in_order() -> None:
    """A complete body replaces what came before it, news after it come on top."""
    desk = feed()
    await pushed(desk, [{"symbol": "A", "last": 1}, {"symbol": "B", "last": 1}])
    await pushed(desk, {"symbol": "B", "last": 2}, complete=True)
    await pushed(desk, {"symbol": "C", "last": 3})
    reading = await taken(desk)
    assert (reading.rows, reading.complete) == ({"B": {"last": 2}, "C": {"last": 3}}, True)


async def test_a_rejected_row_is_uncertain_until_it_comes_good() -> None:
    """Alone in its body or among others; its reason stays as long."""
    desk = feed()
    await pushed(desk, [{"symbol": "A", "last": 1}, {"symbol": "B", "last": 1}])
    await taken(desk)
    with pytest.raises(Refused):
        await pushed(desk, {"symbol": "A", "last": "?"})
    await pushed(desk, [{"symbol": "B", "last": "?"}, {"symbol": "C", "last": 1}])
    reading = await taken(desk)
    assert (reading.kept, reading.rejected, len(reading.rejections)) == ({"A", "B"}, 2, 2)
    await pushed(desk, [{"symbol": "A", "last": 2}, {"symbol": "B", "last": 2}])
    reading = await taken(desk)
    assert (reading.kept, reading.rejected, list(reading.rejections)) == (set(), 0, [])


async def test_what_follows_the_end_of_gzip_is_not_kept() -> None:
    """Nor does it count for more than it is."""
    desk = feed(max_bytes=10_000)
    body = gzip.compress(b'{"symbol": "A", "last": 1}')
    assert len((await desk.take_in(pieces(body, b"x" * 1_000), encoding="gzip")).rows) == 1
    gathered = Body("gzip", 10_000)
    assert all(gathered.add(chunk) for chunk in [body, *[b"x" * 1_000] * 100])
    assert len(gathered._decompressor.unused_data) == 0
    with pytest.raises(Refused) as refused:
        await desk.take_in(pieces(body, *[b"x" * 1_000] * 100), encoding="gzip")
    assert refused.value.status == 413


async def test_it_shows_what_a_poll_shows() -> None:
    """A recorded answer that is pushed gives the rows of a poll."""
    binance = (shared_data() / "market/binance_ticker_24hr.json").read_bytes()
    fields = {"last": "lastPrice", "change_pct": "priceChangePercent", "time": "closeTime"}
    with source() as upstream:
        upstream.say("/t", binance)
        poll = PollFeed(
            PollSettings.model_validate(
                {"kind": "poll", "every": 10.0, "url": f"{upstream.url}/t", "fields": fields}
            )
        )
        polled = await poll.read(0)
        await poll.close()
    assert polled is not None
    assert len(polled.rows) == 200
    desk = feed(fields=fields)
    await desk.take_in(pieces(binance))
    assert (await taken(desk)).rows == polled.rows
    lines = b"\n".join(orjson.dumps(row) for row in orjson.loads(binance))
    again = feed(fields=fields)
    await again.take_in(pieces(lines), media=LINES, complete=True)
    assert (await taken(again)).rows == polled.rows


# -- around it


def test_try_says_how_to_push(tmp_path: Path) -> None:
    """There is nothing to ask."""
    config = tmp_path / "p.yaml"
    config.write_text(CONFIG.replace("${TOKEN}", TOKEN).replace("${OTHER}", OTHER))
    result = CliRunner().invoke(app, ["try", "desk", "--config", str(config)])
    assert result.exit_code == 0
    assert "/api/feeds/desk" in result.output
    assert TOKEN not in result.output


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("", "tokens"),
        ("tokens: [], ", "tokens"),
        ("tokens: [short], ", "tokens"),
        (f"tokens: [{TOKEN}], url: https://x.example, ", "unknown key"),
    ],
)
def test_a_wrong_config_is_said(keys: str, words: str) -> None:
    """Without showing a secret."""
    config = (
        f"feeds: {{p: {{kind: push, {keys}fields: {{last: l}}}}}}\nboards: {{b: {{feeds: [p]}}}}"
    )
    with pytest.raises(ConfigError) as caught:
        settings(config)
    assert words in str(caught.value)
