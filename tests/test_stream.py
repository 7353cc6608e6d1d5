"""Streams are heard at once, connect anew by themselves, and never pass off old rows as new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from tests.fixtures.recorded import shared_data
from ticker import tryout
from ticker.cli import app
from ticker.config import PollFeed as PollSettings
from ticker.config import StreamFeed as StreamSettings
from ticker.errors import ConfigError, FeedError
from ticker.feeds import NOTHING, Reading, Silence, stream
from ticker.feeds.inbox import UNUSABLE_SECONDS, Delivery
from ticker.feeds.poll import PollFeed
from ticker.feeds.stream import THREAD_BYTES, StreamFeed, wait_after

from .support import PATIENCE, publish, quiet_server, serving, settings, source, until

TOKEN = "s3cret-token-0123456789"
ROW = {"symbol": "A", "last": 1}
MANY = 3_000

Talk = Callable[[ServerConnection], Awaitable[None]]
Listen = Callable[..., StreamFeed]


OPEN: list[StreamFeed] = []
"""The streams of the test that runs."""


async def close_all() -> None:
    """Close the streams; nothing of them is left."""
    while OPEN:
        feed = OPEN.pop()
        async with asyncio.timeout(PATIENCE):
            await feed.close()
        assert feed._task is None or feed._task.done()


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Return what makes a stream of a URL."""
    OPEN.clear()

    def make(url: str, **keys: Any) -> StreamFeed:
        defaults = {"kind": "stream", "url": url, "fields": {"last": "last"}, "backoff_max": 0.01}
        feed = StreamFeed(StreamSettings.model_validate(defaults | keys))
        OPEN.append(feed)
        return feed

    yield make
    await close_all()


async def look(feed: StreamFeed, now: float = 0.0) -> Reading:
    """Look at a feed until something was heard, or raise what went wrong."""
    async with asyncio.timeout(PATIENCE):
        while isinstance(taken := await feed.read(now), Silence):  # noqa: ASYNC110 - a look, as in production
            await asyncio.sleep(0.001)
        return taken


async def rows(feed: StreamFeed, count: int) -> dict[str, Any]:
    """Look at a feed, whatever fails, until it has told of ``count`` rows."""
    found: dict[str, Any] = {}
    async with asyncio.timeout(PATIENCE):
        while len(found) < count:
            with suppress(FeedError):
                found |= (await look(feed)).rows
    return found


async def failure(feed: StreamFeed) -> FeedError:
    """Return the first error of a feed."""
    try:
        while True:
            await look(feed)
    except FeedError as error:
        return error


# -- WebSockets


@asynccontextmanager
async def websocket(
    *talks: Talk, port: int = 0, outlived: bool = False, **options: Any
) -> AsyncIterator[str]:
    """Run a WebSocket server that talks to each connection in turn, the last talk again and again.

    A connection stays open until its talk is over. Streams end before it, unless it is outlived.
    """
    waiting = list(talks)

    async def talk(connection: ServerConnection) -> None:
        await (waiting.pop(0) if len(waiting) > 1 else waiting[0])(connection)

    async with serve(talk, "127.0.0.1", port, **options) as server:
        host, port = server.sockets[0].getsockname()
        try:
            yield f"ws://{host}:{port}/ws"
        finally:
            if not outlived:
                await close_all()


def saying(*messages: Any, then: Talk | None = None) -> Talk:
    """Return a talk that says ``messages``, then goes on with ``then``; default: waits."""

    async def talk(connection: ServerConnection) -> None:
        for message in messages:
            raw = isinstance(message, (bytes, str))
            await connection.send(message if raw else orjson.dumps(message).decode())
        await (then or ServerConnection.wait_closed)(connection)

    return talk


async def drop(connection: ServerConnection) -> None:
    """Break a connection off without a close."""
    connection.transport.abort()


@dataclass
class Peer:
    """One HTTP request at a server that says bytes, and when it says them."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> str:
        """Return the head of the request."""
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def send(self, *pieces: bytes | str) -> None:
        """Send each piece by itself."""
        for piece in pieces:
            self.writer.write(piece.encode() if isinstance(piece, str) else piece)
            await self.writer.drain()

    async def begin(self, *headers: str, status: str = "200 OK") -> None:
        """Begin a response that ends with the connection."""
        named = headers or ("Content-Type: text/event-stream",)
        await self.send("\r\n".join([f"HTTP/1.1 {status}", *named, "Connection: close", "", ""]))

    async def wait(self) -> None:
        """Wait until the other side is gone."""
        while await self.reader.read(1000):
            pass


Answer = Callable[[Peer], Awaitable[None]]


@asynccontextmanager
async def tcp(*answers: Answer) -> AsyncIterator[str]:
    """Run a server that answers each connection in turn, the last answer again and again."""
    waiting = list(answers)
    under_way: set[asyncio.Task[None] | None] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way.add(asyncio.current_task())
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await (waiting.pop(0) if len(waiting) > 1 else waiting[0])(Peer(reader, writer))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        await close_all()
        server.close()
        for task in under_way:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in under_way if task), return_exceptions=True)


async def test_messages_become_rows(listen: Listen) -> None:
    """Text and binary ones, one row or a list of rows; the latest of a symbol counts."""
    messages = [ROW, [{"symbol": "A", "last": 2}, {"symbol": "B", "last": 5}]]
    async with websocket(saying(*messages, orjson.dumps({"symbol": "C", "last": 7}))) as url:
        found = await rows(listen(url), 3)
    assert found == {"A": {"last": 2}, "B": {"last": 5}, "C": {"last": 7}}


async def test_silence_is_neither_success_nor_failure(listen: Listen) -> None:
    """A look at a connected feed that said nothing is NOTHING."""
    async with websocket(saying(ROW)) as url:
        feed = listen(url)
        assert await feed.read(0) is NOTHING
        await look(feed)
        assert await feed.read(0) is NOTHING


async def test_it_says_what_the_config_says(listen: Listen) -> None:
    """The subscribe texts, in order, after a handshake with the headers; late acks are heard."""
    asked: list[Any] = []

    async def talk(connection: ServerConnection) -> None:
        request = connection.request
        assert request is not None
        asked.extend([request.path, request.headers["X-Key"], request.headers["User-Agent"]])
        asked.extend([await connection.recv(), await connection.recv()])
        await saying({"data": [ROW]}, {"op": "subscribe", "success": True})(connection)

    keys = {"headers": {"X-Key": "k"}, "subscribe": ["one", "two"], "match": "data", "rows": "data"}
    async with websocket(talk) as url:
        feed = listen(url, **keys)
        assert await rows(feed, 1) == {"A": {"last": 1}}
    assert asked == ["/ws", "k", stream.AGENT, "one", "two"]


async def test_control_messages_are_life_without_rows(listen: Listen) -> None:
    """What `match` does not match is heard; also `missing: remove` takes it for no empty list."""
    seen = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        await connection.send(orjson.dumps([ROW]))
        await seen.wait()
        await saying({"event": "heartbeat"})(connection)

    async with websocket(talk) as url:
        feed = listen(url, match="[0].symbol", missing="remove")
        first = await look(feed)
        seen.set()
        beat = await look(feed)
    assert (first.rows, first.complete) == ({"A": {"last": 1}}, True)
    assert (beat.rows, beat.complete, beat.rejected) == ({}, False, 0)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("pong", "expected JSON, got text beginning 'pong'"),
        ("", "expected JSON, got an empty response"),
        (b"\x1f\x8b\x08\x00", "expected JSON, got text beginning"),
        ("7", "row '#1': expected an object, got 7"),
        ({"last": 1}, "row '#1': no symbol: expected text at 'symbol', got null"),
        ({"error": 1, "message": "bad key"}, "is not true; the source says: bad key"),
    ],
)
async def test_what_cannot_be_used_is_said(listen: Listen, message: Any, why: str) -> None:
    """Alone it is a failure; amid what can be used it is a rejection with the same reason."""
    async with websocket(saying(message)) as url:
        feed = listen(url, check="!error")
        assert why in (await failure(feed)).why
    async with websocket(saying(ROW, message, {"symbol": "B", "last": 2})) as url:
        feed = listen(url, check="!error")
        rejected, reasons, seen = 0, "", 0
        while seen < 2:
            reading = await look(feed)
            seen, rejected = seen + len(reading.rows), rejected + reading.rejected
            reasons = " ".join(map(str, reading.rejections))
        assert rejected == 1
        assert why in reasons


async def test_nothing_usable_for_long_is_a_failure(listen: Listen) -> None:
    """A source that has changed its words is not live because it talks."""
    async with websocket(saying(ROW)) as url:
        feed = listen(url)
        await look(feed, now=1000.0)
        feed._inbox.put(Delivery(error=FeedError("other words")))
        assert await feed.read(1000.0 + UNUSABLE_SECONDS) is NOTHING
        with pytest.raises(FeedError, match="other words"):
            await feed.read(1001.0 + UNUSABLE_SECONDS)


async def close_with_words(connection: ServerConnection) -> None:
    """Close with a code and a reason, in which a secret is repeated."""
    await connection.close(1008, f"bad key {TOKEN}")


async def wait(connection: ServerConnection) -> None:
    """Say nothing."""
    await connection.wait_closed()


@pytest.mark.parametrize(
    ("talk", "why"),
    [
        (saying(then=close_with_words), "the source closed: 1008 bad key ***"),
        (saying(then=ServerConnection.close), "the source closed: 1000"),
        (saying(then=drop), "the connection broke off"),
        (saying("x" * 70_000), "message of more than 60,000 bytes, which is max_bytes"),
        (wait, "nothing heard for 0.2 s"),
    ],
    ids=["closed with a reason", "closed", "dropped", "huge", "silent"],
)
async def test_each_end_is_said_in_words(listen: Listen, talk: Talk, why: str) -> None:
    """And none of them tells a secret."""
    async with websocket(talk) as url:
        feed = listen(url, subscribe=[f'{{"key": "{TOKEN}"}}'], silent_after=0.2, max_bytes=60_000)
        assert (await failure(feed)).why == why


@pytest.mark.parametrize(
    ("status", "headers", "body", "why"),
    [
        (401, {}, b'{"message": "no key %s"}' % TOKEN.encode(), "the source says: no key ***"),
        (302, {"Location": "/elsewhere"}, b"", "HTTP 302 Found"),
        (429, {"Retry-After": "7"}, b"", "HTTP 429 Too Many Requests, asks to wait 7 s"),
        (200, {}, b"<html>", "HTTP 200 OK"),
    ],
)
async def test_a_refused_handshake_is_said(
    listen: Listen, status: int, headers: dict[str, str], body: bytes, why: str
) -> None:
    """In the words of a poll; no redirect is followed, and Retry-After is passed on."""
    asked: list[str] = []

    def refuse(connection: ServerConnection, request: Request) -> Response:
        asked.append(request.path)
        response = connection.respond(HTTPStatus(status), body.decode())
        for name, value in headers.items():
            response.headers[name] = value
        return response

    async with websocket(wait, process_request=refuse) as url:
        error = await failure(listen(url, headers={"X-Key": TOKEN}))
    assert why in error.why
    assert TOKEN not in error.why
    assert error.retry_after == (7 if status == 429 else None)
    assert set(asked) == {"/ws"}


async def test_whoever_is_no_websocket_is_said(listen: Listen) -> None:
    """Nobody there, other bytes, no answer at all, plain text where TLS is expected."""
    async with websocket(wait) as url:
        pass
    assert "refused" in (await failure(listen(url))).why

    async def speak(peer: Peer) -> None:
        await peer.send(b"220 smtp.example.com\r\n")

    async with tcp(speak) as url:
        plain, safe = (url.replace("http", scheme) for scheme in ("ws", "wss"))
        assert "did not receive a valid HTTP response" in (await failure(listen(plain))).why
        assert "TLS" in (await failure(listen(safe))).why

    async with tcp(Peer.wait) as url:
        feed = listen(url.replace("http", "ws"), timeout=0.1)
        assert (await failure(feed)).why == "no connection within 0.1 s"


async def test_it_connects_anew(listen: Listen) -> None:
    """Each connection that failed is one failure, and rows are heard again."""
    talks = [saying({"symbol": "A", "last": n}, then=drop) for n in range(3)]
    async with websocket(*talks, saying({"symbol": "B", "last": 9})) as url:
        feed = listen(url)
        told: dict[str, Any] = {}
        failures = 0
        while "B" not in told:
            try:
                told |= (await look(feed)).rows
            except FeedError:
                failures += 1
        assert feed.reconnects == 3
        assert failures <= 3
        assert feed.connected
        assert told == {"A": {"last": 2}, "B": {"last": 9}}


async def test_it_survives_a_restart_of_its_source(listen: Listen) -> None:
    """The source goes away, its port refuses, and it is there again."""
    async with websocket(saying(ROW), outlived=True) as url:
        feed = listen(url)
        await look(feed)
        port = int(url.split(":")[2].partition("/")[0])
    assert "1001" in (await failure(feed)).why
    assert "refused" in (await failure(feed)).why
    async with websocket(saying({"symbol": "A", "last": 2}), port=port):
        assert await rows(feed, 1) == {"A": {"last": 2}}


async def test_what_may_have_been_missed_is_uncertain(listen: Listen) -> None:
    """After a loss each row is kept, not confirmed, until it is heard again."""
    both = [ROW, {"symbol": "B", "last": 5}]
    heard = asyncio.Event()

    async def first(connection: ServerConnection) -> None:
        await connection.send(orjson.dumps(both))
        await heard.wait()
        await drop(connection)

    async with websocket(first, saying({"symbol": "B", "last": 6})) as url:
        feed = listen(url)
        assert (await look(feed)).kept == set()
        heard.set()
        await failure(feed)
        again = await look(feed)
    assert (again.rows, again.kept) == ({"B": {"last": 6}}, {"A"})


async def test_a_storm_is_waited_out(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that closes at once, with or without a row, is asked less and less often."""
    waits: list[tuple[int, float]] = []

    def spy(failed: int, longest: float, share: float) -> float:
        waits.append((failed, wait_after(failed, longest, share)))
        return 0.0

    monkeypatch.setattr(stream, "wait_after", spy)
    async with websocket(saying(ROW, then=drop)) as url:
        feed = listen(url, backoff_max=60.0)
        async with asyncio.timeout(PATIENCE):
            while len(waits) < 8:
                with suppress(FeedError):
                    await feed.read(0)
                await asyncio.sleep(0.001)
    assert [failed for failed, _ in waits[:8]] == list(range(1, 9))
    assert all(wait <= 60 for _, wait in waits)
    assert waits[7][1] >= 30


@pytest.mark.parametrize(
    ("failed", "longest", "share", "seconds"),
    [(1, 60, 0, 1), (1, 60, 1, 0.5), (4, 60, 0, 8), (9, 60, 0, 60), (9, 60, 1, 30),
     (1, 0.1, 0, 0.1), (10_000, 60, 0, 60)],
)  # fmt: skip
def test_waits_double(failed: int, longest: float, share: float, seconds: float) -> None:
    """From a second to the longest, up to half of it less."""
    assert wait_after(failed, longest, share) == seconds


async def test_a_good_connection_starts_the_waits_anew(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was heard for long enough counts as the first that failed."""
    counts: list[int] = []

    def spy(failed: int, longest: float, share: float) -> float:
        counts.append(failed)
        return 0.0

    monkeypatch.setattr(stream, "wait_after", spy)
    monkeypatch.setattr(stream, "GOOD_SECONDS", 0.0)
    async with websocket(saying(ROW, then=drop)) as url:
        feed = listen(url)
        async with asyncio.timeout(PATIENCE):
            while len(counts) < 3:
                with suppress(FeedError):
                    await feed.read(0)
                await asyncio.sleep(0.001)
    assert set(counts) == {1}


async def test_retry_after_is_obeyed(listen: Listen, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source that asks for an hour is left alone for an hour."""
    asked = 0

    def refuse(connection: ServerConnection, _: Request) -> Response:
        nonlocal asked
        asked += 1
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "")
        response.headers["Retry-After"] = "3600"
        return response

    async with websocket(wait, process_request=refuse) as url:
        feed = listen(url)
        await failure(feed)
        await asyncio.sleep(0.1)  # many times the longest wait of the config
    assert asked == 1


async def test_a_flood_is_conflated(listen: Listen) -> None:
    """However much comes, a look gives each symbol once; the loop has its turns meanwhile."""
    messages = [{"symbol": f"S{n % 7}", "last": n} for n in range(MANY)]
    async with websocket(saying(*messages, {"symbol": "END", "last": 0})) as url:
        feed = listen(url)
        told: dict[str, Any] = {}
        looks = 0
        while "END" not in told:
            reading = await look(feed)
            assert len(reading.rows) <= 8
            told |= reading.rows
            looks += 1
    assert told["S0"] == {"last": MANY - 4}
    assert looks < MANY


async def test_memory_is_bounded_by_rows(listen: Listen) -> None:
    """Of ever new symbols the latest `max_rows` are known, also after a loss."""
    messages = [{"symbol": f"S{n}", "last": n} for n in range(200)]
    async with websocket(saying(*messages)) as url:
        feed = listen(url, max_rows=10)
        while "S199" not in (reading := await look(feed)).rows:
            assert len(reading.rows) <= 10
        feed._inbox.lose()
        assert len(feed._inbox._known) == len(feed._inbox._uncertain) == 10
        assert len(feed._inbox._waiting.rows) <= 10


async def test_a_long_message_is_mapped_aside(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a thread: viewers do not wait for it."""
    threads: list[Any] = []
    to_thread = asyncio.to_thread

    async def spy(function: Any, *arguments: Any) -> Any:
        threads.append(function)
        return await to_thread(function, *arguments)

    monkeypatch.setattr(asyncio, "to_thread", spy)
    many = [{"symbol": f"S{n}", "last": n} for n in range(1000)]
    assert len(orjson.dumps(many)) > THREAD_BYTES
    async with websocket(saying(ROW, many)) as url:
        assert len(await rows(listen(url), 1001)) == 1001
    assert len(threads) == 1


async def test_a_defect_is_told_and_survived(
    listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected error comes out of the next look, and the feed connects anew."""
    async with websocket(saying(ROW)) as url:
        feed = listen(url)
        real = feed._inbox.map
        monkeypatch.setattr(feed._inbox, "map", lambda _: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await look(feed)
        monkeypatch.setattr(feed._inbox, "map", real)
        assert await rows(feed, 1) == {"A": {"last": 1}}


async def test_blanks_keep_what_was_there(listen: Listen) -> None:
    """News about a row says what changed; a rejected one leaves it, uncertain."""
    fields = {"last": "last", "volume": "v"}
    news = [{"symbol": "A", "last": 1, "v": 2}, {"symbol": "A", "last": 3}]
    wrong = {"symbol": "A", "last": "soon"}
    async with websocket(saying(*news, wrong, {"symbol": "B", "last": 1})) as url:
        feed = listen(url, fields=fields)
        told: dict[str, Any] = {}
        kept: set[str] = set()
        while "B" not in told:
            reading = await look(feed)
            told, kept = told | reading.rows, reading.kept
    assert told["A"] == {"last": 3, "volume": 2}
    assert kept == {"A"}


async def test_a_feed_that_was_never_read_is_closed(listen: Listen) -> None:
    """Nothing has begun before the first look."""
    await listen("ws://127.0.0.1:1/").close()


# -- Server-Sent Events


def events(*pieces: str | bytes, then: Answer | None = Peer.wait) -> Answer:
    """Return an answer that says events piece by piece, then goes on; None: ends the response."""

    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.begin()
        await peer.send(*pieces)
        if then is not None:
            await then(peer)

    return answer


@pytest.mark.parametrize(
    "pieces",
    [
        ['data: {"symbol": "A", "last": 1}\n\n'],
        ['data: {"symbol": "A",\ndata: "last": 1}\n\n'],
        ['data: {"symbol": "A", "last": 1}\r\n', "\r\n"],
        ["\ufeffdata:{", '"symbol": "A", "la', 'st": 1}\r', "\n", "\r", "\n"],
        ["event: message\nid: 7\nretry: 10\n", 'data: {"symbol": "A", "last": 1}\n\n'],
    ],
    ids=["one", "two lines", "CRLF", "in pieces", "with all there is"],
)
async def test_events_become_rows(listen: Listen, pieces: list[str]) -> None:
    """As the standard has them, however they are cut into pieces."""
    async with tcp(events(*pieces)) as url:
        assert await rows(listen(url), 1) == {"A": {"last": 1}}


async def test_only_events_of_the_name_count(listen: Listen) -> None:
    """Others are signs of life; so are comments."""
    trade, other = (f'event: {name}\ndata: {{"symbol": "{name}", "last": 1}}\n\n' for name in "TO")
    nameless = 'data: {"symbol": "N", "last": 1}\n\n'
    async with tcp(events(other, nameless, trade)) as url:
        assert await rows(listen(url, event="T"), 1) == {"T": {"last": 1}}
    async with tcp(events(other, nameless, trade)) as url:
        assert await rows(listen(url, event="message"), 1) == {"N": {"last": 1}}
    async with tcp(events(": still here\n\n")) as url:
        assert (await look(listen(url))).rows == {}


async def test_what_events_say_must_be_usable(listen: Listen) -> None:
    """A line is no sign of life by itself."""
    async with tcp(events("data: soon\n\n", "nonsense\n\n", "data: later\n\n")) as url:
        assert "expected JSON" in (await failure(listen(url))).why


async def test_it_goes_on_after_the_last_event(listen: Listen) -> None:
    """Last-Event-ID is sent, and what the source has seen through stays certain."""
    asked: list[str] = []

    async def again(peer: Peer) -> None:
        asked.append(await peer.request())
        await peer.begin()
        await peer.send('data: {"symbol": "B", "last": 2}\n\n')
        await peer.wait()

    first = events('id: ä7\ndata: {"symbol": "A", "last": 1}\n\n', "data\n\n", then=None)
    async with tcp(first, again) as url:
        feed = listen(url)
        found = await rows(feed, 2)
        assert feed.reconnects == 1
    assert found == {"A": {"last": 1}, "B": {"last": 2}}
    assert "last-event-id: ä7\r\n" in asked[0].lower()
    assert feed._inbox._uncertain == {}


async def test_the_request_for_events(listen: Listen) -> None:
    """It names what is expected, this program, and the headers of the config."""
    heads: list[str] = []

    async def answer(peer: Peer) -> None:
        heads.append(await peer.request())
        await peer.begin()
        await peer.send(":\n\n")

    async with tcp(answer) as url:
        await look(listen(f"{url}/live?board=b", headers={"X-Key": "k", "accept": "text/x"}))
    head = heads[0].lower()
    assert head.startswith("get /live?board=b http/1.1\r\n")
    for line in ("x-key: k", "accept: text/x", "accept-encoding: identity", "user-agent: ticker/"):
        assert head.count(f"\r\n{line}") == 1
    assert head.count("\r\naccept:") == 1


def answering(status: str, *headers: str, body: bytes = b"") -> Answer:
    """Return an answer that is no stream."""

    async def answer(peer: Peer) -> None:
        await peer.request()
        await peer.begin(*headers, status=status)
        await peer.send(body)

    return answer


HUGE = "data: " + "x" * 300_000


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (events("data: 1", then=None), "the source ended the stream"),
        (events(then=None), "the source ended the stream"),
        (events(*[HUGE] * 5), "message of more than 1,000 bytes, which is max_bytes"),
        (events(*["id: 1\n"] * 90_000), "message of more than 1,000 bytes, which is max_bytes"),
        (events(), "nothing heard for 0.3 s"),
        (answering("200 OK", "Content-Type: text/html"), "expected text/event-stream, got content "
         "type 'text/html'"),
        (answering("200 OK", "Content-Type: text/event-stream", "Content-Encoding: gzip"),
         "content encoding 'gzip' was not asked for"),
        (answering("503 Busy", "Retry-After: 7"), "HTTP 503 Service Unavailable, asks to wait 7 s"),
        (answering("401 No", body=f'{{"message": "not {TOKEN}"}}'.encode()),
         "HTTP 401 Unauthorized; the source says: not ***"),
        (answering("302 Found", "Location: http://127.0.0.1:1/"), "HTTP 302 Found"),
        (answering("200 OK\r\n\x00"), "broken HTTP response"),
        (Peer.wait, "no connection within 0.2 s"),
    ],
    ids=["cut off", "empty", "huge", "endless", "silent", "a page", "gzip", "busy", "refused",
         "elsewhere", "no HTTP", "no answer"],
)  # fmt: skip
async def test_each_end_of_events_is_said(listen: Listen, answer: Answer, why: str) -> None:
    """In words, and none of them tells a secret."""
    async with tcp(answer) as url:
        limits = {"max_bytes": 1_000, "silent_after": 0.3}
        feed = listen(f"{url}/?key={TOKEN}", timeout=0.2 if answer is Peer.wait else 5.0, **limits)
        error = await failure(feed)
    assert error.why.startswith(why)
    assert TOKEN not in error.why


async def test_an_endless_answer_is_not_kept(listen: Listen) -> None:
    """An event that never ends is given up after `max_bytes`, not when the memory is full."""
    sent = 0

    async def pour(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.begin()
        while True:
            await peer.send(b"data: " + b"x" * 100_000 + b"\n")
            sent += 100_000

    async with tcp(pour) as url:
        feed = listen(url, max_bytes=1_000_000, backoff_max=60.0)
        await failure(feed)
    assert sent < 50_000_000


# -- all together


async def test_it_shows_what_a_poll_shows(listen: Listen) -> None:
    """Recorded answers over a WebSocket and as an event give the rows of a poll."""
    bitfinex = (shared_data() / "market/bitfinex_v2_tickers_all.json").read_bytes()
    keys: dict[str, Any] = {
        "where": "starts_with([0], 't')",
        "key": "[0]",
        "fields": {"last": "[7]", "bid": "[1]", "change_pct": {"path": "[6]", "scale": 100.0}},
    }
    with source() as upstream:
        upstream.say("/t", bitfinex)
        url = f"{upstream.url}/t"
        poll = PollFeed(
            PollSettings.model_validate({"kind": "poll", "every": 10.0, "url": url, **keys})
        )
        polled = await poll.read(0)
        await poll.close()
    assert polled is not None
    assert len(polled.rows) == 423
    async with websocket(saying(bitfinex)) as url:
        assert (await look(listen(url, rows="@", **keys))).rows == polled.rows
    async with tcp(events(b"data: " + bitfinex.replace(b"\n", b"") + b"\n\n")) as url:
        assert (await look(listen(url, **keys))).rows == polled.rows


BOARD = """
feeds:
  trades:
    kind: stream
    url: {url}
    every: 10ms
    stale_after: {stale}
    backoff_max: 20ms
    match: symbol
    fields: {{last: last}}
boards:
  b: {{feeds: [trades], flush: 10ms}}
"""


async def test_a_board_shows_a_stream(listen: Listen) -> None:
    """Its rows, its failures in words, and, once it is silent, how old it is."""
    more = asyncio.Event()

    async def talk(connection: ServerConnection) -> None:
        await saying(ROW, {"symbol": "B", "last": 1}, {"beat": 1}, then=drop)(connection)

    async def again(connection: ServerConnection) -> None:
        await more.wait()
        for n in range(10_000):
            await connection.send(orjson.dumps({"symbol": "B", "last": n}))
            await asyncio.sleep(0.01)

    def watch(url: str, loop: asyncio.AbstractEventLoop) -> None:
        with serving(BOARD.format(url=url, stale="300ms")) as server:
            until(lambda: len(server.rows("b")) == 2, what="two rows")
            until(lambda: server.feed("trades")["reconnects"] == 1, what="a reconnect")
            until(lambda: server.feed("trades")["quality"] == "stale", what="silence")
            assert server.feed("trades")["why"] == "the connection broke off"
            loop.call_soon_threadsafe(more.set)
            until(lambda: server.feed("trades")["quality"] == "live", what="life")
            until(lambda: server.rows("b")["A"].get("quality") == "stale", what="a late row")
            assert "quality" not in server.rows("b")["B"]
            assert server.feed("trades")["failures"] == 0
            assert server.feed("trades")["skipped"] < server.feed("trades")["attempts"]

    async with websocket(talk, again) as url:
        await asyncio.to_thread(watch, url, asyncio.get_running_loop())


async def test_one_ticker_listens_to_another(listen: Listen) -> None:
    """Over both live endpoints."""
    keys: dict[str, Any] = {"match": "rows", "rows": "rows", "key": "@key", "where": "@"}
    with quiet_server() as upstream:
        for path in ("/events?board=b", "/ws?board=b"):
            url = upstream.url.replace("http", "ws") if path.startswith("/ws") else upstream.url
            feed = listen(url + path, **keys)
            assert "SIM" in await rows(feed, 1)
            publish(upstream, rows={path: {"last": 7}})
            found: dict[str, Any] = {}
            while path not in found:
                found |= await rows(feed, 1)
            assert found[path] == {"last": 7}
        await close_all()


def test_try_listens_for_a_while(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`ticker try` shows what was heard; says what went wrong; and tells silence."""
    monkeypatch.setattr(tryout, "LISTEN_SECONDS", 0.5)
    config = tmp_path / "s.yaml"

    def tried(*talks: Talk) -> tuple[int, str]:
        async def run() -> tuple[int, str]:
            async with websocket(*talks) as url:
                config.write_text(BOARD.format(url=url, stale="30s"))
                arguments = ["try", "trades", "--config", str(config)]
                result = await asyncio.to_thread(CliRunner().invoke, app, arguments)
                return result.exit_code, result.output

        return asyncio.run(run())

    code, output = tried(saying(ROW, {"beat": 1}, "pong", {"symbol": "B", "last": 7}))
    assert code == 0
    assert "2 rows, 1 rejected" in output
    assert "expected JSON" in output
    code, output = tried(saying(then=close_with_words))
    assert code == 1
    assert "the source closed: 1008" in output
    code, output = tried(wait)
    assert code == 1
    assert "nothing heard" in output


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ("url: ftp://x.example", "url"),
        ("url: wss://x.example, event: trade", "is only for events (http, https); see the url"),
        ("url: https://x.example, subscribe: [a]", "is only for a WebSocket (ws, wss)"),
        ("url: wss://x.example:0", "expected an address with a port"),
        ("url: wss://x.example, down_after: 5s", "must not be below stale_after (30 s)"),
        ("url: wss://x.example, format: csv", "format"),
        ("url: wss://x.example, match: '['", "not a JMESPath expression"),
        ("url: wss://x.example, redirects: any", "unknown key"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_said(keys: str, words: str) -> None:
    """With what was expected."""
    config = (
        f"feeds:\n  s: {{kind: stream, {keys}, fields: {{last: l}}}}\nboards: {{b: {{feeds: [s]}}}}"
    )
    with pytest.raises(ConfigError) as caught:
        settings(config)
    assert words in str(caught.value)
