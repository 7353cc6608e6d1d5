"""``ticker probe``: what the proxies between a viewer and the server let through, and what not.

The server cannot see whether a proxy holds its events back or strips an upgrade; who comes by the
public address, as a browser does, can.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

import httpx
import orjson
from rich.console import Console
from rich.text import Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.extensions.permessage_deflate import PerMessageDeflate

from ticker.errors import TickerError, one_line
from ticker.tail import (
    MESSAGE_LIMIT,
    SUBPROTOCOL,
    base,
    bearer,
    first_board,
    live_url,
    refused,
)

ANSWER_SECONDS = 10.0
"""How long a request may take."""

HELD_SECONDS = 1.0
"""Events that come so much later than by WebSocket are held back: a busy machine is late by less,
and a proxy that fills its buffers by more."""

IDLE_SECONDS = 60.0
"""After so long without a word many proxies cut a connection."""

ASSUMED_HEARTBEAT = 5.0
"""Where no WebSocket says it, in seconds."""

OPS = ("/metrics", "/status", "/api/status", "/api/viewers", "/-/reload")
"""Addresses that are not for everybody."""

Times = list[tuple[int, float]]
"""Seqs in the order in which they came, each with the monotonic time."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where the board is that is watched, and the headers that let one watch it."""

    where: str
    board: str
    headers: dict[str, str] = field(repr=False)


@dataclass(slots=True)
class Report:
    """Prints findings as they are made, and counts those that are bad."""

    out: Console
    findings: int = 0
    bad: int = 0

    def good(self, what: str, words: str) -> None:
        """Say what works."""
        self._say("ok", what, words)

    def wrong(self, what: str, words: str) -> None:
        """Say what does not, and what to do."""
        self.bad += 1
        self._say("bad", what, words)

    def note(self, what: str, words: str) -> None:
        """Say what cannot be judged from here."""
        self._say("note", what, words)

    def _say(self, verdict: str, what: str, words: str) -> None:
        self.findings += 1
        self.out.print(Text(f"{verdict:<5}{what:<11}{one_line(words)}"))


@dataclass(slots=True)
class Watched:
    """What one way to the server brought: seqs, and how many messages after the snapshot."""

    times: Times = field(default_factory=list)
    later: int = 0

    def take(self, message: dict[str, Any], now: float) -> None:
        """Take note of a message."""
        if "seq" in message:
            self.times.append((message["seq"], now))
        if self.times and message["type"] != "snapshot":
            self.later += 1


async def probe(url: str, board: str | None, out: Console, token: str | None = None) -> bool:
    """Look at the server behind ``url``; return whether everything gets through.

    Raises TickerError when there is no ticker server to look at.
    """
    where, headers = base(url), bearer(token)
    board = board or await first_board(where, headers)
    report, way = Report(out), Way(where, board, headers)
    # without the token: what is for ops must be closed to everybody else
    async with httpx.AsyncClient(base_url=where, timeout=ANSWER_SECONDS) as http:
        await _requests(http, report)
        heartbeat = await _upgrade(way, report)
        await _live(http, way, heartbeat, report)
    failed = f"{report.bad} of {report.findings} are bad"
    out.print(failed if report.bad else "everything gets through")
    return not report.bad


# -- plain requests


async def _requests(http: httpx.AsyncClient, report: Report) -> None:
    """Judge what arrives of a plain request, and what is open to everybody."""
    try:
        answer = await http.get("/api/you")
        seen = answer.raise_for_status().json()
        address, forwarded, host = seen["address"], seen["forwarded"], str(seen["host"])
    except (httpx.HTTPError, ValueError, LookupError, TypeError) as error:
        raise TickerError(f"cannot ask {http.base_url}api/you: {_words(error)}") from None
    proxy = answer.headers.get("via") or answer.headers.get("server")  # ticker names none itself
    _host(host, http.base_url.netloc.decode(), report)
    if forwarded == "used":
        report.good("address", f"the server sees {address}, from X-Forwarded-For")
    elif forwarded == "ignored":
        report.wrong(
            "address",
            f"the server sees {address} and does not believe X-Forwarded-For: name the proxy in "
            "`server.trusted_proxies`",
        )
    elif proxy:
        report.wrong("address", f"{proxy} does not pass on X-Forwarded-For: all look alike")
    else:
        report.note("address", f"the server sees {address}; no proxy names itself")
    if proxy:
        await _ops(http, report)


def _host(host: str, expected: str, report: Report) -> None:
    if host.lower() == expected:
        report.good("host", f"the server sees {host}")
    else:
        report.wrong(
            "host",
            f"the server sees '{host}', expected '{expected}': pass on Host, with its port; "
            "browsers' Origin is compared with it",
        )


async def _ops(http: httpx.AsyncClient, report: Report) -> None:
    """Judge whether what is for ops is closed."""
    try:
        answers = [(path, await http.get(path)) for path in OPS]
    except httpx.HTTPError as error:
        report.wrong("ops", f"cannot ask: {_words(error)}")
        return
    opened = [path for path, answer in answers if answer.is_success]
    if opened:
        report.wrong("ops", f"open to everybody: {', '.join(opened)}")
    else:
        report.good("ops", f"closed: {', '.join(OPS)}")


# -- the upgrade


async def _upgrade(way: Way, report: Report) -> float | None:
    """Judge the upgrade as programs and as browsers ask for it; return the heartbeat in seconds."""
    try:
        async with _connect(way) as socket:
            heartbeat = await _welcomed(socket)
            _compression(socket, report)
    except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, ValueError) as error:
        report.wrong("websocket", _refused(error))
        return None
    try:
        async with _connect(way, origin=way.where) as socket:
            await _welcomed(socket)
    except InvalidStatus as error:
        status = error.response.status_code
        report.wrong(
            "websocket",
            f"the upgrade works, but not for browsers (HTTP {status} with Origin {way.where}): "
            "pass on Host with its port, or name the site in `server.origins`",
        )
    except (OSError, InvalidHandshake, ConnectionClosed, TimeoutError, ValueError) as error:
        report.wrong("websocket", _refused(error))
    else:
        report.good("websocket", "the upgrade works, for browsers too")
    return heartbeat


def _connect(way: Way, **options: Any) -> connect:
    return connect(
        live_url(way.where, way.board, {}),
        additional_headers=way.headers,
        subprotocols=[SUBPROTOCOL],
        max_size=MESSAGE_LIMIT,
        open_timeout=ANSWER_SECONDS,
        close_timeout=HELD_SECONDS,
        ping_interval=None,  # our pings would keep an idle connection alive
        **options,
    )


async def _welcomed(socket: ClientConnection) -> float:
    """Return the heartbeat, once a whole snapshot has come, too."""
    async with asyncio.timeout(ANSWER_SECONDS):
        welcome = orjson.loads(await socket.recv())
        message = orjson.loads(await socket.recv())
    if message["type"] == "error":
        raise TickerError(f"{message['code']}: {message['message']}")
    return float(welcome["heartbeat"])


def _compression(socket: ClientConnection, report: Report) -> None:
    extensions = socket.protocol.extensions
    deflate = next((e for e in extensions if isinstance(e, PerMessageDeflate)), None)
    if deflate is None:
        report.wrong("deflate", "not agreed: pass on Sec-WebSocket-Extensions")
    else:
        report.good("deflate", f"agreed, with a window of {deflate.remote_max_window_bits} bits")


def _refused(error: Exception) -> str:
    if not isinstance(error, InvalidStatus):
        return f"no upgrade: {_words(error)}"
    status = error.response.status_code
    if status in {429, 503}:
        return f"no upgrade: HTTP {status}, the server or a limit of the proxy is full"
    if refused(error):
        return f"no upgrade: HTTP {status}, the server refuses: is a token needed, or another?"
    return f"no upgrade: HTTP {status}: pass on Upgrade and Connection, by HTTP/1.1"


# -- what comes later


async def _live(http: httpx.AsyncClient, way: Way, heartbeat: float | None, report: Report) -> None:
    """Judge whether messages come when they are sent, and whether quiet connections stay.

    ``heartbeat`` is None where there is no WebSocket: events are judged all the same.
    """
    patience = HELD_SECONDS + 2.5 * min(heartbeat or ASSUMED_HEARTBEAT, IDLE_SECONDS)
    by_socket, by_events = Watched(), Watched()
    watching = [_watch(_event_messages(http, way), by_events, patience)]
    if heartbeat is not None:
        watching += [_paused(way, patience), _watch(_socket_messages(way), by_socket, patience)]
    end = monotonic() + patience
    broken, *ended = await asyncio.gather(*watching)
    _judge_events(lateness(by_socket.times, by_events.times, end), by_events, broken, report)
    if heartbeat is not None:
        _judge_idle(heartbeat, next(filter(None, ended), None), patience, report)


def _judge_events(late: float, watched: Watched, broken: str | None, report: Report) -> None:
    cure = "a proxy holds /events back: it must neither compress nor buffer them"
    if broken is not None:
        report.wrong("events", f"ended: {broken}")
    elif not watched.times:
        report.wrong("events", f"nothing came: {cure}")
    elif late > HELD_SECONDS:
        report.wrong("events", f"held back for {late:.1f} s or more: {cure}")
    elif not watched.later:
        report.wrong("events", f"nothing came after the snapshot: {cure}")
    else:
        report.good("events", f"they come at once: at most {late * 1000:.0f} ms behind")


def _judge_idle(heartbeat: float, ended: str | None, patience: float, report: Report) -> None:
    if heartbeat > IDLE_SECONDS / 2:
        report.wrong(
            "idle",
            f"`heartbeat` is {heartbeat:g} s: many proxies cut a connection that is quiet for "
            f"{IDLE_SECONDS:g} s",
        )
    elif ended is not None:
        report.wrong("idle", ended)
    else:
        report.good("idle", f"a quiet connection stayed for {patience:.0f} s, and heard heartbeats")


async def _watch(
    messages: AsyncIterator[dict[str, Any]], watched: Watched, patience: float
) -> str | None:
    """Take note of messages for ``patience`` seconds; return why it ended before, if it did."""
    try:
        async with asyncio.timeout(patience):
            async for message in messages:
                watched.take(message, monotonic())
    except TimeoutError:
        return None
    except (OSError, InvalidHandshake, ConnectionClosed, httpx.HTTPError, ValueError) as error:
        return _words(error)
    return "the connection was ended"


async def _socket_messages(way: Way) -> AsyncIterator[dict[str, Any]]:
    async with _connect(way) as socket:
        async for text in socket:
            yield orjson.loads(text)


async def _event_messages(http: httpx.AsyncClient, way: Way) -> AsyncIterator[dict[str, Any]]:
    timeout = httpx.Timeout(ANSWER_SECONDS, read=None)  # the caller's patience counts
    params = {"board": way.board}
    async with http.stream(
        "GET", "/events", params=params, headers=way.headers, timeout=timeout
    ) as answer:
        answer.raise_for_status()
        async for line in answer.aiter_lines():
            if line.startswith("data:"):
                yield orjson.loads(line[5:])


async def _paused(way: Way, patience: float) -> str | None:
    """Return what happens to a connection on which only heartbeats come, None if they do."""
    beats = 0
    try:
        async with asyncio.timeout(patience), _connect(way) as socket:
            await socket.send('{"type":"pause"}')
            async for text in socket:
                beats += orjson.loads(text)["type"] == "heartbeat"
    except TimeoutError:
        return None if beats else f"no heartbeat came within {patience:.0f} s"
    except (OSError, InvalidHandshake, ConnectionClosed, ValueError) as error:
        ended = _words(error)
    else:
        ended = "closed"
    return f"a quiet connection ended after {beats} heartbeats: {ended}"


def lateness(by_socket: Times, by_events: Times, end: float) -> float:
    """Return by how many seconds events were later than messages of a WebSocket, at the most.

    What came by WebSocket before the first event is left out: who connects first hears first. A seq
    has arrived with the first event that is not older; one that has not until ``end`` is late as
    long as that.
    """
    late, position = 0.0, 0
    for seq, came in by_socket:
        if not by_events or came < by_events[0][1]:
            continue
        while position < len(by_events) and by_events[position][0] < seq:
            position += 1
        arrived = by_events[position][1] if position < len(by_events) else end
        late = max(late, arrived - came)
    return late


def _words(error: Exception) -> str:
    return str(error) or type(error).__name__
