"""The whole server while a source fails: a good reading, the fault, then recovery.

During every fault the board keeps its last state, ``/api/feeds`` says in words what happened, and
another feed goes on; afterwards everything is live again. Faults are scripted at a real source.
"""

from __future__ import annotations

import gzip
import itertools
import re
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import Any

import orjson
import pytest

from .support import Handler, Running, Source, serving, source, until

CONFIG = """
feeds:
  broken:
    kind: poll
    every: 100ms
    timeout: 90ms
    stale_after: 300ms
    down_after: 1m
    backoff_max: 100ms
    url: "{url}/t"
    where: "!hidden"
    fields: {{last: last, name: name}}
    {more}
  other:
    kind: poll
    every: 50ms
    timeout: 45ms
    url: "{url}/other"
    fields: {{last: last}}
boards:
  b: {{feeds: [broken], flush: 20ms}}
  o: {{feeds: [other], flush: 20ms}}
"""

BEFORE = [{"symbol": "A", "last": 1, "name": "Alpha"}, {"symbol": "B", "last": 2}]
AFTER = [{"symbol": "A", "last": 10}, {"symbol": "B", "last": 20}]


@dataclass
class Stage:
    """What a fault may use: the source, and an event that ends it."""

    upstream: Source
    over: threading.Event = field(default_factory=threading.Event)


Break = Callable[[Stage], None]


@dataclass(frozen=True)
class Fault:
    """A way to fail: what the source does, what is said of it, what the config needs for it."""

    name: str
    begin: Break
    words: str
    more: str = ""


def said(body: Any, status: int = 200, **headers: str) -> Break:
    """Return a fault that is one answer."""
    return lambda stage: stage.upstream.say("/t", body, status, **headers)


def raw(data: bytes) -> Break:
    """Return a fault that is these bytes, then the end of the connection."""

    def begin(stage: Stage) -> None:
        stage.upstream.script["/t"] = lambda handler: handler.raw(data)

    return begin


def redirected(location: str) -> Break:
    """Return a fault that sends the poll elsewhere."""
    return said(b"", 302, Location=location)


def silent(stage: Stage) -> None:
    """Let the source not answer at all."""

    def respond(_: Handler) -> None:
        stage.over.wait()

    stage.upstream.script["/t"] = respond


def dripping(stage: Stage) -> None:
    """Let the source send a byte now and then."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        while not stage.over.wait(0.02):
            handler.wfile.write(b" ")

    stage.upstream.script["/t"] = respond


def flooding(stage: Stage) -> None:
    """Let the source send 50 MB without saying so before."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.close_connection = True
        for _ in range(800):
            handler.wfile.write(b" " * 65_536)

    stage.upstream.script["/t"] = respond


def announcing(stage: Stage) -> None:
    """Let the source announce 50 MB."""

    def respond(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "50000000")
        handler.end_headers()
        handler.close_connection = True

    stage.upstream.script["/t"] = respond


def compressed(body: bytes) -> Break:
    """Return a fault whose body is declared as gzip."""
    return said(body, Content_Encoding="gzip")


def rows(**last: Any) -> list[dict[str, Any]]:
    """Return a document of quotes."""
    return [{"symbol": symbol, "last": value} for symbol, value in last.items()]


GOOD_BYTES = orjson.dumps(BEFORE)
JSON = "expected JSON, got text beginning"
ANYWHERE = "redirects: any"

FAULTS = [
    Fault("host name not found", redirected("http://nowhere.invalid/"), "^host name not found$",
          ANYWHERE),
    Fault("never answers", silent, r"^no answer within 0\.09 s$"),
    Fault("drips", dripping, r"^no answer within 0\.09 s$"),
    Fault("301 to another host", said(b"", 301, Location="http://elsewhere.invalid/x?key=secret"),
          "^HTTP 301 redirects to http://elsewhere.invalid; `redirects: same-host` does not allow"),
    Fault("404", said(b"no such page", 404), "^HTTP 404 Not Found$"),
    Fault("429", said(b"", 429, Retry_After="1"),
          "^HTTP 429 Too Many Requests, asks to wait 1 s$"),
    Fault("500", said(GOOD_BYTES, 500), "^HTTP 500 Internal Server Error$"),
    Fault("503", said(b"<html>", 503), "^HTTP 503 Service Unavailable$"),
    Fault("JSON cut, length right", said(GOOD_BYTES[:-20]), f"^{JSON} '\\[{{"),
    Fault("connection closed too early",
          raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + GOOD_BYTES[:20]),
          "^broken HTTP response: peer closed connection"),
    Fault("connection closed at once", raw(b""), "^broken HTTP response: Server disconnected"),
    Fault("no HTTP", raw(b"SSH-2.0-OpenSSH_9.6\r\n\r\n"), "^broken HTTP response: "),
    Fault("HTML with 200", said(b"<!DOCTYPE html><title>Maintenance</title>"),
          "^expected JSON, got a page of HTML beginning '<!DOCTYPE html><title>Maintenance"),
    Fault("wrong encoding", said('[{"symbol": "Zürich", "last": 1}]'.encode("latin-1"),
          Content_Type="application/json; charset=utf-8"), f"^{JSON} '\\[{{\"symbol\": \"Z"),
    Fault("50 MB streamed", flooding,
          "^response of more than 1,000,000 bytes, which is max_bytes$", "max_bytes: 1MB"),
    Fault("50 MB announced", announcing,
          "^response of 50,000,000 bytes; max_bytes is 8,000,000$"),
    Fault("NaN", said(b'[{"symbol": "A", "last": NaN}]'), f"^{JSON} "),
    Fault("Infinity", said(b'[{"symbol": "A", "last": -Infinity}]'), f"^{JSON} "),
    Fault("key missing in all rows", said([{"ticker": "A", "last": 1}, {"ticker": "B", "last": 2}]),
          "^none of 2 rows could be mapped; first: row '#1': no symbol: expected text at 'symbol'"),
    Fault("value missing in all rows", said([{"symbol": "A", "price": 1}]),
          "^none of 1 rows could be mapped; first: row 'A': no value for last, name"),
    Fault("a symbol of 10,000 characters", said(rows(**{"x" * 10_000: 1})),
          "first: row '#1': expected a symbol of 1 to 100 characters, got 10000$"),
    Fault("deep nesting", said(b"[" * 100_000), f"^{JSON} '\\[\\[\\["),
    Fault("gzip bomb", compressed(gzip.compress(bytes(2_000_000))),
          "^response of more than 100,000 bytes, which is max_bytes$", "max_bytes: 100KB"),
    Fault("broken gzip", compressed(b"\x1f\x8b\x08\x00 no gzip at all"),
          "^content encoding of the response is broken$"),
    Fault("gzip that is none", compressed(GOOD_BYTES),
          "^content encoding of the response is broken$"),
    Fault("gzip cut short", compressed(gzip.compress(GOOD_BYTES)[:-30]),
          "^the compressed response breaks off$"),
    Fault("empty body", said(b""), "^expected JSON, got an empty response$"),
    Fault("204", said(b"", 204), "^HTTP 204 No Content$"),
    Fault("empty list", said([]),
          "^no rows at '@'; if that is normal write `empty: allow`$"),
    Fault("null", said(None), "^expected a list or an object at '@', got null$"),
    Fault("nothing left by where", said([{"symbol": "A", "last": 1, "hidden": True}]),
          "^none of 1 rows is left by where, only and skip at '@'; if that is normal write "),
    Fault("nothing left by only", said(rows(C=3)),
          "^none of 1 rows is left by where, only and skip at '@'", "only: [A, B]"),
    Fault("an error as an object", said({"error": "invalid key"}),
          "^none of 1 rows could be mapped; first: row 'error': expected an object, got 'invalid"),
    Fault("too many rows", said(rows(**{f"S{i}": i for i in range(50)})),
          "^expected at most 40 rows at '@', got 50$", "max_rows: 40"),
    Fault("redirect loop", redirected("/t"), "^more than 5 redirects$"),
    Fault("redirect to a file", redirected("file:///secrets.json"), "^HTTP 302 redirects to file://",
          ANYWHERE),
]  # fmt: skip


class Progress:
    """What the other source says: a number that grows with every request."""

    def __init__(self, upstream: Source) -> None:
        self._count = itertools.count(1)
        upstream.script["/other"] = lambda handler: handler.answer(
            200, orjson.dumps(rows(X=next(self._count)))
        )


@contextmanager
def fed(more: str = "") -> Iterator[tuple[Stage, Running]]:
    """Run a source and a server that has read it well."""
    with source() as upstream:
        stage = Stage(upstream)
        Progress(upstream)
        upstream.say("/t", BEFORE)
        try:
            with serving(CONFIG.format(url=upstream.url, more=more)) as server:
                until(lambda: len(server.rows("b")) == 2 and server.rows("o"), what="a reading")
                yield stage, server
        finally:
            stage.over.set()


def failed(server: Running, words: str) -> dict[str, Any]:
    """Wait until the feed is stale for the expected reason, and return its health."""

    def look() -> dict[str, Any] | None:
        health = server.feed("broken")
        stale = health["quality"] == "stale" and health["failures"]
        return health if stale and re.search(words, str(health["why"])) else None

    try:
        return until(look, what=words, patience=5) or {}
    except AssertionError:
        pytest.fail(f"expected {words!r}, got {server.feed('broken')['why']!r}")


def advances(server: Running) -> None:
    """Wait until the other feed has brought three values more."""
    before = server.rows("o")["X"]["last"]
    until(lambda: server.rows("o")["X"]["last"] >= before + 3, what="news of the other feed")


def recovered(stage: Stage, server: Running) -> None:
    """Let the source be good again and wait until that is to be seen everywhere."""
    stage.over.set()
    stage.upstream.say("/t", AFTER)
    expected = {"A": {"last": 10}, "B": {"last": 20}}
    until(lambda: server.rows("b") == expected, what="the recovery")
    health = server.feed("broken")
    assert (health["quality"], health["why"]) == ("live", None)
    assert (health["failures"], health["trouble"]) == (0, None)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_costs_freshness_and_nothing_else(
    fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """The board keeps its values and says they are old, others go on, recovery is complete."""
    with fed(fault.more) as (stage, server):
        fault.begin(stage)
        health = failed(server, fault.words)
        assert re.search(fault.words, health["last_error"])
        kept = until(
            lambda: (r := server.rows("b"))["A"].get("quality") == "stale" and r, what="stale rows"
        )
        assert kept == {
            "A": {"last": 1, "name": "Alpha", "quality": "stale"},
            "B": {"last": 2, "quality": "stale"},
        }
        advances(server)
        assert server.get("/healthz").status_code == 200
        recovered(stage, server)
        assert "Traceback" not in caplog.text
    told = [r.getMessage() for r in caplog.records if "'broken' failed" in r.getMessage()]
    assert len(told) <= 2, "edges are logged, not every failure"


# -- faults below HTTP


def test_a_source_that_is_gone_refuses_connections_and_may_come_back() -> None:
    """The same address answers again after the source was restarted there."""
    with source() as gone:
        closed = gone.url
    with fed(ANYWHERE) as (stage, server):
        redirected(closed)(stage)
        failed(server, "^connection refused$")
        advances(server)
        recovered(stage, server)


def test_tls_to_a_plain_port_is_said_in_words() -> None:
    """Somebody wrote https for http."""
    with fed(ANYWHERE) as (stage, server):
        redirected(stage.upstream.url.replace("http:", "https:"))(stage)
        failed(server, "^TLS: ")
        advances(server)
        recovered(stage, server)


@contextmanager
def tls(folder: Path) -> Iterator[str]:
    """Run a server whose certificate nobody but itself signed; yield its address."""
    openssl = which("openssl")
    if openssl is None:
        pytest.skip("no openssl here to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    names = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    subprocess.run([openssl, "req", *kind, *names, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server = QuietServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class QuietServer(ThreadingHTTPServer):
    """Does not print what goes wrong in a handshake."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet."""


def test_a_certificate_that_nobody_signed_is_refused_in_words(tmp_path: Path) -> None:
    """Prices from a stranger are no prices."""
    with tls(tmp_path) as address, fed(ANYWHERE) as (stage, server):
        redirected(address)(stage)
        failed(server, "^TLS: self[- ]signed certificate$")
        advances(server)
        recovered(stage, server)


# -- faults in single rows


ROW_FAULTS = [
    ("value missing", [{"symbol": "A", "last": 5}, {"symbol": "B", "price": 6}],
     {"A": 5, "B": 2}, "row 'B': no value for last, name"),
    ("value of the wrong kind", rows(A=5, B="closed"),
     {"A": 5, "B": 2}, "row 'B': last at 'last': expected a number, got 'closed'"),
    ("name too long", [{"symbol": "A", "last": 5}, {"symbol": "B", "last": 6, "name": "x" * 2000}],
     {"A": 5, "B": 2}, "row 'B': name at 'name': expected at most 1000 characters, got 2000"),
    ("symbol twice", [*rows(A=5, B=6), *rows(A=7)],
     {"A": 5, "B": 6}, "row 'A': the symbol came twice; the first row counts"),
    ("symbol of 10,000 characters", rows(A=5, B=6, **{"x" * 10_000: 7}),
     {"A": 5, "B": 6}, "row '#3': expected a symbol of 1 to 100 characters, got 10000"),
    ("a row that is none", [*rows(A=5, B=6), "n/a"],
     {"A": 5, "B": 6}, "row '#3': expected an object, got 'n/a'"),
    pytest.param("key missing", [{"symbol": "A", "last": 5}, {"last": 6}],
     {"A": 5, "B": 2}, "row '#2': no symbol: expected text at 'symbol', got null"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "document", "lasts", "words"),
    ROW_FAULTS,
    ids=lambda value: value if isinstance(value, str) and " " in value[:40] else "",
)
def test_a_broken_row_is_rejected_in_words_and_the_others_go_on(
    name: str, document: Any, lasts: dict[str, Any], words: str
) -> None:
    """What the board had of it stays, growing stale; the feed is live; then all is good again."""
    with fed() as (stage, server):
        stage.upstream.say("/t", document)
        health = until(lambda: (h := server.feed("broken"))["rejected_now"] and h)
        assert (health["rejections"], health["rejected_now"]) == ([words], 1)
        assert (health["quality"], health["failures"]) == ("live", 0)
        until(lambda: server.rows("b")["A"]["last"] == 5, what="news of the good row")
        kept = server.rows("b")
        assert {symbol: row["last"] for symbol, row in kept.items()} == lasts
        if lasts["B"] == 2:
            until(lambda: server.rows("b")["B"].get("quality") == "stale", what="a stale row")
        assert "quality" not in server.rows("b")["A"]
        advances(server)
        recovered(stage, server)
        assert server.feed("broken")["rejected_now"] == 0


def test_a_cell_nested_without_end_does_not_break_its_board() -> None:
    """One value of one row must not cost all viewers all rows."""
    nested = b'[{"symbol": "A", "last": 5, "own": %b}]' % (b"[" * 300 + b"]" * 300)
    config = """
feeds:
  f: {{kind: poll, every: 50ms, url: "{url}/t", fields: {{last: last, own: own}}}}
boards:
  b: {{feeds: [f], flush: 20ms}}
"""
    with source() as upstream:
        upstream.say("/t", rows(A=1))
        with serving(config.format(url=upstream.url)) as server:
            until(lambda: server.rows("b"))
            upstream.say("/t", nested)
            asked = upstream.asked("/t")
            until(lambda: upstream.asked("/t") > asked + 4)
            assert server.get("/api/boards/b").status_code == 200


ODD_CELLS = """
feeds:
  f: {{kind: poll, every: 50ms, url: "{url}/t", {keys}}}
boards:
  b: {{feeds: [f], flush: 20ms}}
"""


def test_a_status_that_is_a_list_does_not_stop_its_board() -> None:
    """Other rows of the same reading are published."""
    keys = "fields: {last: last, status: {path: s, kind: auto}}"
    with source() as upstream:
        upstream.say("/t", [{"symbol": "A", "last": 1, "s": [1]}, {"symbol": "B", "last": 2}])
        with serving(ODD_CELLS.format(url=upstream.url, keys=keys)) as server:
            until(lambda: upstream.asked("/t") > 5)
            assert server.rows("b")["B"] == {"last": 2}


def test_a_time_that_is_text_does_not_stop_the_judgement(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With `kind: text` a time says nothing of a row's age."""
    keys = "row_stale_after: 1m, fields: {last: last, time: {path: t, kind: text}}"
    with source() as upstream:
        upstream.say("/t", [{"symbol": "A", "last": 1, "t": "noon"}])
        with serving(ODD_CELLS.format(url=upstream.url, keys=keys)) as server:
            until(lambda: upstream.asked("/t") > 5)
            assert server.feed("f")["quality"] == "live"
            assert "Traceback" not in caplog.text


# -- before the first good reading


def test_a_feed_that_never_answered_is_down_and_its_board_ready_and_empty() -> None:
    """Viewers are not kept waiting for a source that may never come; then it comes."""
    with source() as upstream:
        stage = Stage(upstream)
        Progress(upstream)
        upstream.say("/t", b"", 503)
        with serving(CONFIG.format(url=upstream.url, more="")) as server:
            words = "HTTP 503 Service Unavailable"
            until(lambda: (h := server.feed("broken"))["quality"] == "down" and h["why"] == words)
            assert server.rows("b") == {}
            until(lambda: server.get("/readyz").status_code == 200)
            advances(server)
            recovered(stage, server)


def test_not_modified_without_ever_having_answered_is_a_failure() -> None:
    """There is nothing that it could confirm; the next requests are unconditional."""
    with source() as upstream:
        stage = Stage(upstream)
        Progress(upstream)
        upstream.say("/t", b"", 304, ETag='"1"')
        with serving(CONFIG.format(url=upstream.url, more="")) as server:
            until(lambda: server.feed("broken")["why"] == "HTTP 304 Not Modified")
            assert server.feed("broken")["quality"] == "down"
            asked = upstream.asked("/t")
            until(lambda: upstream.asked("/t") >= asked + 2)
            assert not any("if-none-match" in headers for _, headers in upstream.requests)
            advances(server)
            recovered(stage, server)


# -- what viewers and sources see


def test_viewers_are_told_what_is_wrong_and_that_it_is_over() -> None:
    """A status names the reason, a diff marks every row; both come back with the source."""
    with fed() as (stage, server), server.follow("b") as viewer:
        viewer.wait("snapshot")
        stage.upstream.say("/t", b"", 503)
        viewer.follow_until(lambda v: v.feeds["b"]["broken"]["quality"] == "stale")
        assert viewer.feeds["b"]["broken"]["why"] == "HTTP 503 Service Unavailable"
        viewer.follow_until(lambda v: v.rows["b"]["A"].get("quality") == "stale")
        assert viewer.rows["b"]["A"] == {"last": 1, "name": "Alpha", "quality": "stale"}
        stage.upstream.say("/t", AFTER)
        viewer.follow_until(lambda v: v.rows["b"] == {"A": {"last": 10}, "B": {"last": 20}})
        viewer.follow_until(lambda v: v.feeds["b"]["broken"]["quality"] == "live")
        assert "why" not in viewer.feeds["b"]["broken"]


def test_a_source_that_asks_to_be_left_alone_is_left_alone() -> None:
    """With Retry-After of a minute nothing more is asked, while the other feed goes on."""
    with fed() as (stage, server):
        stage.upstream.say("/t", b"", 429, Retry_After="60")
        words = "HTTP 429 Too Many Requests, asks to wait 60 s"
        health = until(lambda: (h := server.feed("broken"))["last_error"] == words and h)
        health = until(
            lambda: (h := server.feed("broken"))["next_run"] - h["last_attempt"] > 1e4 and h
        )
        assert 59_900 <= health["next_run"] - health["last_attempt"] <= 60_300
        asked = stage.upstream.asked("/t")
        advances(server)
        assert stage.upstream.asked("/t") == asked


def test_a_source_that_fails_is_asked_less_and_less() -> None:
    """The wait doubles from the second failure on, and ends with the first success."""
    patient = CONFIG.replace("backoff_max: 100ms", "backoff_max: 1m")
    with source() as upstream:
        Progress(upstream)
        upstream.say("/t", b"", 500)
        with serving(patient.format(url=upstream.url, more="")) as server:
            health = until(lambda: (h := server.feed("broken"))["failures"] >= 4 and h)
            health = until(
                lambda: (h := server.feed("broken"))["next_run"] - h["last_attempt"] > 700 and h
            )
            assert health["skipped"] <= 1


def test_the_end_of_the_server_during_a_reading_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whoever stops the server sees no traceback, whatever is under way."""
    with source() as upstream:
        stage = Stage(upstream)
        silent(stage)
        feed = f"kind: poll, every: 1m, timeout: 30s, url: '{upstream.url}/t'"
        config = f"feeds: {{f: {{{feed}, fields: {{last: last}}}}}}\nboards: {{b: {{feeds: [f]}}}}"
        try:
            with serving(config):
                until(lambda: upstream.asked("/t"))
        finally:
            stage.over.set()
    assert "Traceback" not in caplog.text
