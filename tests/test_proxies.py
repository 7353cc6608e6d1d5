"""The proxies of deploy/, run for real, and `ticker probe`, which tells what they hold back."""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count, islice
from pathlib import Path
from typing import ClassVar

import httpx
import orjson
import pytest
from rich.console import Console
from websockets.exceptions import ConnectionClosed

from tests.buses import Member
from tests.support import PATIENCE, Follower, Running, publish, serving, until
from tests.test_cli import failed_in_one_line, free_port
from tests.test_cli import run as ticker
from tests.tools import DEPLOY, background, changed, tool
from ticker.errors import TickerError
from ticker.probe import lateness, probe
from ticker.protocol import CloseCode

TRUSTED = "trusted_proxies: [127.0.0.1], "
QUIET = f"""
server: {{{TRUSTED}heartbeat: 500ms, presence: 0s}}
feeds:
  still: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
  other: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
boards:
  b: {{feeds: [still], flush: 10ms}}
  c: {{feeds: [other], flush: 10ms}}
"""
BUSY = f"""
server: {{{TRUSTED}heartbeat: 500ms}}
feeds: {{f: {{kind: simulate, every: 50ms, symbols: {{SIM: 100, SAM: 20}}}}}}
boards: {{b: {{feeds: [f], flush: 20ms}}}}
"""
OPS = ["/metrics", "/status", "/api/status", "/api/viewers", "/api/notices", "/-/reload"]
HIDDEN = [
    *OPS,
    "/metrics/",
    "/metrics?x=1",
    "//metrics",
    "/%6detrics",
    "/static/..%2fmetrics",
    "/x/../api/viewers",
    "/api/viewers/9f3ac2d07b1e",
    "/-/",
]
VALUES = count(1)
"""Each is new to the board."""

Changes = tuple[tuple[str, str], ...]


def answering(url: str, log: Path) -> None:
    """Wait until a proxy answers."""

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    until(answers, what=f"the proxy's start ({log})")


@contextmanager
def nginx(server: Running | Member, folder: Path, *changes: tuple[str, str]) -> Iterator[str]:
    """Run deploy/nginx.conf before a server, with ``changes``; the value is its address."""
    port = free_port()
    site = changed(
        (DEPLOY / "nginx.conf").read_text(),
        ("listen 80 ", f"listen 127.0.0.1:{port} "),
        ("127.0.0.1:8000 ", f"{server.url.removeprefix('http://')} "),
        ("/var/cache/nginx/ticker", str(folder / "cache")),
        *changes,
    )
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    lines = [f"{kind}_temp_path {folder}/{kind};" for kind in kinds]
    user = "user root;" if os.getuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; events {{}}\n"
        f"http {{ access_log off; {' '.join(lines)}\n{site} }}"
    )
    arguments = ("-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "stderr")
    with background(tool("nginx"), *arguments, log=folder / "nginx.log"):
        url = f"http://127.0.0.1:{port}"
        answering(url, folder / "nginx.log")
        yield url


@contextmanager
def caddy(server: Running, folder: Path, *changes: tuple[str, str]) -> Iterator[str]:
    """Run deploy/Caddyfile before a server."""
    site = changed(
        (DEPLOY / "Caddyfile").read_text(),
        ("127.0.0.1:8000\n", f"{server.url.removeprefix('http://')}\n"),
        *changes,
    )
    with caddy_with(site, folder) as url:
        yield url


@contextmanager
def caddy_with(site: str, folder: Path) -> Iterator[str]:
    """Run a Caddyfile without certificates; the value is its address."""
    url = f"http://127.0.0.1:{free_port()}"
    here = f"\n{{\n\tadmin off\n}}\n\n{url} {{\n\tbind 127.0.0.1"
    (folder / "Caddyfile").write_text(changed(site, ("\nticker.example.com {", here)))
    arguments = ("run", "--adapter", "caddyfile", "--config", str(folder / "Caddyfile"))
    with background(tool("caddy"), *arguments, log=folder / "caddy.log", HOME=str(folder)):
        answering(url, folder / "caddy.log")
        yield url


PROXIES = {"nginx": nginx, "caddy": caddy}


@contextmanager
def ready(config: str) -> Iterator[Running]:
    """Run a server whose boards have been read."""
    with serving(config) as running:
        until(lambda: running.get("/readyz").status_code == 200, what="the first reading")
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server whose boards change only by `publish`."""
    with ready(QUIET) as running:
        yield running


@pytest.fixture(scope="module")
def busy() -> Iterator[Running]:
    """Return a server whose board changes all the time."""
    with ready(BUSY) as running:
        yield running


@pytest.fixture(scope="module", params=PROXIES)
def proxy(
    request: pytest.FixtureRequest, server: Running, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """Return the address of each proxy before the server."""
    folder = tmp_path_factory.mktemp(request.param)
    opened: AbstractContextManager[str] = PROXIES[request.param](server, folder)
    with opened as url:
        yield url


def follow(url: str, board: str = "b", **options: object) -> Follower:
    """Connect a viewer by way of a proxy."""
    return Follower(f"{url.replace('http', 'ws')}/ws?board={board}", **options)


# -- what gets through


def test_the_page_gets_through(proxy: str, server: Running) -> None:
    """As it is, with its headers, and once more for who has it already."""
    for path in ("/", "/app.js", f"/static/{server.ticker.page.version}/app.js", "/api/boards"):
        direct, through = server.get(path), httpx.get(proxy + path)
        assert through.content == direct.content
        for name in ("content-type", "content-security-policy", "cache-control", "etag"):
            assert through.headers.get(name) == direct.headers.get(name), name
    again = httpx.get(f"{proxy}/app.js", headers={"if-none-match": direct.headers.get("etag", "*")})
    assert again.status_code == 304


def test_ready_frames_stay_intact(proxy: str, server: Running) -> None:
    """Compressed ones too, over several fresh starts of the shared window, small and large."""
    with follow(proxy, origin=proxy) as one:
        assert one.socket.protocol.extensions
        one.wait("snapshot")
        for value in islice(VALUES, 150):
            publish(server, rows={"SIM": {"last": value}, "SAM": {"last": -value}})
        with follow(proxy, compression=None) as other:
            other.wait("snapshot")
            many = {f"S{n}": {"last": next(VALUES), "name": f"number {n}"} for n in range(3000)}
            seq = publish(server, rows=many)
            for viewer in (one, other):
                viewer.follow_until(lambda viewer: viewer.seqs.get("b") == seq)
                assert viewer.rows["b"] == server.rows("b")


def test_events_come_at_once(proxy: str, server: Running) -> None:
    """Each before the next is sent."""
    with events(proxy) as messages:
        assert next(m for m in messages if m["type"] == "snapshot")
        for value in islice(VALUES, 3):
            seq = publish(server, rows={"SIM": {"last": value}})
            assert next(m for m in messages if m["type"] == "diff")["seq"] == seq


@contextmanager
def events(url: str) -> Iterator[Iterator[dict[str, object]]]:
    """Follow a board's events."""
    with httpx.stream("GET", f"{url}/events?board=b", timeout=PATIENCE) as response:
        assert response.status_code == 200
        lines = response.iter_lines()
        yield (orjson.loads(line[5:]) for line in lines if line.startswith("data:"))


def test_the_server_sees_who_asks(proxy: str) -> None:
    """The viewer's address and the site's name; not what a viewer says of itself."""
    seen = httpx.get(f"{proxy}/api/you", headers={"x-forwarded-for": "203.0.113.7"}).json()
    host = proxy.removeprefix("http://")
    expected = {"address": "127.0.0.1", "host": host, "forwarded": "used"}
    assert seen == expected


@pytest.mark.parametrize("path", HIDDEN)
def test_what_is_for_ops_is_closed(proxy: str, path: str) -> None:
    """By whatever spelling; what is no spelling of it is unknown to the server."""
    for method in ("GET", "POST"):
        refused = httpx.request(method, proxy + path).status_code
        assert refused == 403 or (refused in {404, 405} and ".." in path), refused


def test_a_draining_server_says_goodbye_through_a_proxy(tmp_path: Path) -> None:
    """With our close code, which a proxy passes on."""
    with ready(QUIET) as server, nginx(server, tmp_path) as url, follow(url) as viewer:
        viewer.wait("snapshot")
        server.call(
            lambda: server.ticker.hub.end(next(iter(server.ticker.hub.viewers)), CloseCode.DRAINING)
        )
        with pytest.raises(ConnectionClosed) as closed:
            viewer.wait("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == CloseCode.DRAINING


# -- nginx's own


def test_nginx_keeps_the_page_s_files(server: Running, tmp_path: Path) -> None:
    """Each form of a file once: the second who asks is not the server's business."""
    path = f"/static/{server.ticker.page.version}/app.js"
    with nginx(server, tmp_path) as url:
        for coding in ("br", "gzip", "br", "gzip"):
            answer = httpx.get(url + path, headers={"accept-encoding": coding})
            assert answer.headers["content-encoding"] == coding
        assert len([file for file in (tmp_path / "cache").rglob("*") if file.is_file()]) == 2


def test_nginx_limits_the_connections_of_one_address(server: Running, tmp_path: Path) -> None:
    """Those above are told to come back later."""
    limit = ("limit_conn ticker_viewers 500", "limit_conn ticker_viewers 1")
    with nginx(server, tmp_path, limit) as url, follow(url) as viewer:
        viewer.wait("snapshot")
        assert httpx.get(f"{url}/api/boards").status_code == 503


BUFFERING = "proxy_buffering on;"
DEAF = f"{BUFFERING} proxy_ignore_headers X-Accel-Buffering;"


@pytest.mark.parametrize("told", [BUFFERING, DEAF])
def test_nginx_holds_nothing_back_from_who_reads(
    told: str, server: Running, tmp_path: Path
) -> None:
    """Not even where the site buffers: that costs only slow viewers, who then get old values."""
    with nginx(server, tmp_path, ("proxy_buffering off;", told)) as url:
        test_events_come_at_once(url, server)


# -- ticker probe


def probed(url: str) -> tuple[bool, str]:
    """Return what `ticker probe` finds."""
    said = io.StringIO()
    good = asyncio.run(probe(url, None, Console(file=said, width=1000, soft_wrap=True)))
    return good, said.getvalue()


def test_probe_finds_nothing_wrong(proxy: str) -> None:
    """With the files of deploy/ everything gets through."""
    good, said = probed(proxy)
    assert good, said
    for what in ("host", "address", "ops", "deflate", "websocket", "events", "idle"):
        assert f"ok   {what}" in said
    assert said.endswith("everything gets through\n")


def test_probe_of_the_server_itself(busy: Running) -> None:
    """Without a proxy there is one thing that cannot be judged."""
    good, said = probed(busy.url)
    assert good, said
    assert "note address" in said


UPGRADE = ("proxy_set_header Upgrade           $http_upgrade;", "")
HOST = ("proxy_set_header Host              $http_host;", "")
FORWARDED = ("proxy_set_header X-Forwarded-For   $remote_addr;", "")
FOREIGN = ("X-Forwarded-For   $remote_addr", "X-Forwarded-For   203.0.113.7")
WRONG: dict[str, tuple[Changes, str]] = {
    "no upgrade": ((UPGRADE,), "bad  websocket  no upgrade: HTTP 404: pass on Upgrade"),
    "no Host": ((HOST,), "bad  host       the server sees 'ticker', expected '127.0.0.1:"),
    "no X-Forwarded-For": ((FORWARDED,), "bad  address    nginx"),
    "no extensions": (
        (("proxy_buffer_size  4k;", 'proxy_set_header Sec-WebSocket-Extensions "";'),),
        "bad  deflate    not agreed",
    ),
    "no browsers": (
        (("proxy_buffer_size  4k;", "if ($http_origin) { return 403; }"),),
        "bad  websocket  the upgrade works, but not for browsers (HTTP 403",
    ),
    "ops for everybody": (
        (("deny all;", "return 200;"),),
        "bad  ops        open to everybody: /metrics",
    ),
    "a full house": (
        (("proxy_buffer_size  4k;", "return 503;"),),
        "bad  websocket  no upgrade: HTTP 503, the server or a limit",
    ),
    # a compressor keeps what it has until there is more; the server cannot see that
    "events are compressed": (
        (
            ("proxy_buffering off;", DEAF),
            ("gzip            off;", "gzip on; gzip_types text/event-stream; gzip_min_length 0;"),
        ),
        "bad  events     nothing came: a proxy holds /events back",
    ),
    "quiet connections are cut": (
        (("proxy_read_timeout 300s", "proxy_read_timeout 200ms"),),
        "bad  idle       a quiet connection ",
    ),
}


@pytest.fixture(scope="module")
def findings(
    server: Running, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[bool, str]]:
    """Return what `ticker probe` finds in each wrong case; it mostly waits, so several at once."""

    def look(case: str) -> tuple[bool, str]:
        with nginx(server, tmp_path_factory.mktemp("wrong"), *WRONG[case][0]) as url:
            return probed(url)

    tool("nginx")
    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(len(WRONG)) as pool:
        patch.setattr("ticker.probe.ASSUMED_HEARTBEAT", 0.5)
        return dict(zip(WRONG, pool.map(look, WRONG), strict=True))


@pytest.mark.parametrize("case", WRONG)
def test_probe_finds_what_is_wrong(case: str, findings: dict[str, tuple[bool, str]]) -> None:
    """Each mistake of a site by its name, with what to do."""
    good, said = findings[case]
    assert not good
    assert WRONG[case][1] in said, said


class Holding(BaseHTTPRequestHandler):
    """A proxy for plain requests that reads on for a while before it passes an answer on."""

    upstream: ClassVar[str]

    def do_GET(self) -> None:
        """Pass on the first events with the snapshot; keep the others for later."""
        with httpx.stream("GET", self.upstream + self.path, timeout=PATIENCE) as answer:
            self.send_response(answer.status_code)
            self.send_header("content-type", answer.headers["content-type"])
            self.end_headers()
            for line in answer.iter_lines():
                self.wfile.write(line.encode() + b"\n")
                if '"snapshot"' in line:
                    self.wfile.write(b"\n")
                    self.server.over.wait(PATIENCE)  # type: ignore[attr-defined]
                    return

    def log_message(self, *_: object) -> None:
        """Stay quiet."""


@contextmanager
def holding(upstream: str) -> Iterator[str]:
    """Run such a proxy."""
    handler = type("Handler", (Holding,), {"upstream": upstream})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.over = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.over.set()  # type: ignore[attr-defined]
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("board", "words"),
    [("quiet", "nothing came after the snapshot"), ("busy", "held back for ")],
)
def test_probe_finds_events_that_are_held_back(
    board: str, words: str, server: Running, busy: Running, tmp_path: Path
) -> None:
    """By whatever stands in between, and whether or not there are changes to compare."""
    behind = server if board == "quiet" else busy
    with holding(behind.url) as held:
        location = "location = /events {\n        proxy_pass http://"
        with nginx(behind, tmp_path, (f"{location}ticker", location + held)) as url:
            good, said = probed(url)
    assert not good
    assert f"bad  events     {words}" in said, said


def test_probe_finds_a_server_that_does_not_believe_its_proxy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It sees the proxy's address in place of the viewer's."""
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.9.9.9")
    with ready(QUIET.replace(TRUSTED, "")) as server, nginx(server, tmp_path, FOREIGN) as url:
        good, said = probed(url)
    assert not good
    assert "bad  address    the server sees 127.0.0.1 and does not believe X-Forw" in said, said


def test_probe_by_the_command_line(server: Running, tmp_path: Path) -> None:
    """Exit code 1 where something is wrong."""
    with nginx(server, tmp_path, ("deny all;", "return 200;")) as url:
        result = ticker("probe", url, "--board", "c")
    assert result.returncode == 1
    assert result.stdout.endswith("1 of 7 are bad\n")


def test_probe_of_nothing(server: Running) -> None:
    """One line where there is nothing to look at."""
    failed_in_one_line(ticker("probe", f"127.0.0.1:{free_port()}"), "cannot reach http://127")
    with pytest.raises(TickerError, match="unknown_board: no board 'no'"):
        asyncio.run(probe(server.url, "no", Console(file=io.StringIO())))


def test_lateness() -> None:
    """A seq has arrived with the first event that is not older than it."""
    assert lateness([(1, 0.0), (2, 1.0), (3, 2.0)], [(1, 0.5), (3, 2.5)], 9.0) == 1.5
    assert lateness([(1, 0.0), (2, 1.0)], [(1, 0.5)], 9.0) == 8.0
    assert lateness([(1, 0.0)], [], 9.0) == 0.0
    assert lateness([(5, 1.0)], [(5, 0.5)], 9.0) == 0.0
