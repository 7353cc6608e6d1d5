"""Strangers at the real server: who gets in, who does not, how much of it, and what is told."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import httpx
import jwt
import orjson
import pytest
from fastapi import HTTPException
from starlette.requests import Request
from websockets.exceptions import ConnectionClosed

from tests.support import PATIENCE, QUIET, Follower, Running, publish, serving, until
from ticker.access import Access
from ticker.config import Access as AccessSettings
from ticker.config import Key
from ticker.config import Server as ServerSettings
from ticker.errors import TickerError
from ticker.headers import SECURITY_HEADERS
from ticker.hub import Hub
from ticker.tokens import Pass
from ticker.turns import Turns
from ticker.websocket import WebSocketEndpoint

SECRET = "a secret of more than 32 bytes, as it must be"
ADMIN = "a token of an admin, long enough"
TOKENS = "access: {viewers: token, keys: [{algorithm: HS256, key: '${KEY}'}]}"
PROXIED = "trusted_proxies: [127.0.0.0/8, '::1']"

UPGRADE = {
    "connection": "upgrade",
    "upgrade": "websocket",
    "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    "sec-websocket-version": "13",
}


def guarded(server: str = "", access: str = TOKENS, heartbeat: str = "5s") -> str:
    """Return a config with two quiet boards, and what is asked for in it."""
    quiet = QUIET.format(heartbeat=heartbeat, stall="20s", viewers=2000, presence="0s")
    extra = f"{server}, " if server else ""
    return quiet.replace("{heartbeat", f"{{{extra}heartbeat") + access


def token(seconds: float = 3600, key: str = SECRET, **claims: Any) -> str:
    """Return a token that ends in ``seconds``."""
    return jwt.encode({"exp": time.time() + seconds, **claims}, key, "HS256")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server that wants tokens and believes a proxy on this machine."""
    with serving(guarded(PROXIED), KEY=SECRET) as running:
        until(lambda: running.get("/readyz").status_code == 200)
        yield running


@pytest.fixture(scope="module")
def public() -> Iterator[Running]:
    """Return a server that wants none."""
    with serving(guarded(access="")) as running:
        until(lambda: running.get("/readyz").status_code == 200)
        yield running


@pytest.fixture(autouse=True)
def nobody_is_left(server: Running, public: Running) -> Iterator[None]:
    """After every test nobody is connected, and nobody is counted."""
    yield
    for running in (server, public):
        hub = running.ticker.hub
        until(lambda hub=hub: not hub.viewers)  # type: ignore[misc]
        assert len(hub.addresses) == 0


def ask(server: Running, path: str, **headers: str) -> httpx.Response:
    """Ask for ``path``, of ``/ws`` the upgrade, and return what is refused or answered."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if path.startswith("/ws"):
        named |= UPGRADE
    url = server.url + path
    with httpx.stream("GET", url, timeout=PATIENCE, headers=named, verify=False) as response:
        if response.status_code != 101 and "event-stream" not in response.headers["content-type"]:
            response.read()
        return response


def status(server: Running, path: str, **headers: str) -> int:
    """Return the status of ``path``."""
    return ask(server, path, **headers).status_code


def join(server: Running, path: str = "/ws?board=b", **headers: str) -> Follower:
    """Return a viewer that sends ``headers``; to be entered."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Follower(server.url.replace("http", "ws") + path, additional_headers=named)


def closed(viewer: Follower) -> int:
    """Return the code with which the server ends a viewer's connection."""
    with pytest.raises(ConnectionClosed) as caught:
        viewer.follow_until(lambda _: False)
    assert caught.value.rcvd is not None
    return int(caught.value.rcvd.code)


# -- tokens

LIVE = ["/ws", "/ws?board=b", "/events?board=b"]
LISTS = ["/api/boards", "/api/feeds"]
BOARD = ["/api/boards/b", "/api/boards/b/history"]
OPEN = ["/", "/app.js", "/embed/tape", "/healthz", "/readyz", "/config.schema.json"]

BAD = {
    "none": {},
    "empty": {"authorization": "Bearer"},
    "of another scheme": {"authorization": f"Basic {token()}"},
    "any text": {"authorization": "Bearer hello"},
    "expired": {"authorization": f"Bearer {token(-1)}"},
    "not valid yet": {"authorization": f"Bearer {token(nbf=time.time() + 99)}"},
    "of another key": {"authorization": f"Bearer {token(key='x' * 40)}"},
    "an admin's": {"authorization": f"Bearer {ADMIN}"},
    "5 KB": {"authorization": f"Bearer {token(name='x' * 4000)}"},
    "expired cookie": {"cookie": f"ticker_token={token(-1)}"},
    "another cookie": {"cookie": f"other={token()}"},
    "cookie of lines": {"cookie": 'ticker_token="\\015\\012x-injected: 1"'},
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("path", [*LIVE, *LISTS, *BOARD, "/api/boards/none"])
def test_without_a_good_token_nothing_is_told(server: Running, path: str, name: str) -> None:
    """401, before any upgrade, in a few words that have nothing of the token in them."""
    response = ask(server, path, **BAD[name])
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "x-injected" not in response.headers
    assert len(response.text) < 80
    assert not any(part[7:20] in response.text for part in BAD[name].values() if part[7:])


@pytest.mark.parametrize("path", [*LISTS, *BOARD, "/events?board=b"])
def test_a_token_of_10_kb_is_no_token(server: Running, path: str) -> None:
    """It is not looked at."""
    response = ask(server, path, authorization=f"Bearer {token(name='x' * 8000)}")
    assert (response.status_code, response.json()) == (401, {"detail": "token too long"})


@pytest.mark.parametrize("size", [4_500, 10_000, 60_000])
def test_an_upgrade_with_a_long_token_is_refused_at_once(server: Running, size: int) -> None:
    """Above 8 KB as an address or header that is too long; it is not left hanging."""
    long = "x" * size
    assert status(server, f"/ws?token={long}") == (401 if size < 8_000 else 414)
    for headers in ({"authorization": f"Bearer {long}"}, {"cookie": f"ticker_token={long}"}):
        assert status(server, "/ws", **headers) == (401 if size < 8_000 else 431)


WAYS: dict[str, dict[str, str]] = {
    "header": {"authorization": f"Bearer {token(boards=['b'])}"},
    "header in small letters": {"authorization": f"bearer {token(boards=['b'])}"},
    "cookie": {"cookie": f"a=1; ticker_token={token(boards=['b'])}; z=2"},
    "query": {},
}


@pytest.mark.parametrize("way", WAYS)
def test_a_good_token_opens_in_every_way(server: Running, way: str) -> None:
    """A header, a cookie, a parameter."""
    query = f"token={token(boards=['b'])}" if way == "query" else "x=1"
    for path in (*LISTS, *BOARD, "/events?board=b"):
        joined = "&" if "?" in path else "?"
        assert status(server, f"{path}{joined}{query}", **WAYS[way]) == 200
    with join(server, f"/ws?board=b&{query}", **WAYS[way]) as viewer:
        assert viewer.next()["boards"] == ["b"]
        assert viewer.wait("snapshot")["board"] == "b"


@pytest.mark.parametrize("path", OPEN)
def test_what_says_nothing_of_boards_is_open(server: Running, path: str) -> None:
    """The page itself, and whether the server is well."""
    assert status(server, path) == 200


def test_the_header_counts_before_the_query_and_that_before_the_cookie(server: Running) -> None:
    """What was meant for this request comes first; what the browser adds by itself is last."""
    b, c, bad = token(boards=["b"]), token(boards=["c"]), "nonsense"
    ways = [
        (f"/ws?token={c}", {"authorization": f"Bearer {b}", "cookie": f"ticker_token={bad}"}),
        (f"/ws?token={b}", {"cookie": f"ticker_token={bad}"}),
        (f"/ws?token={b}", {}),
    ]
    for path, headers in ways:
        with join(server, path, **headers) as viewer:
            assert viewer.next()["boards"] == ["b"]
    assert status(server, f"/ws?token={bad}", cookie=f"ticker_token={b}") == 401


@pytest.mark.parametrize("way", ["/ws?board={}", "/events?board={}", "/api/boards/{}"])
@pytest.mark.parametrize("board", ["b", "none"])
def test_a_token_for_other_boards_is_403(server: Running, way: str, board: str) -> None:
    """Whether the board is there is not told."""
    response = ask(server, way.format(board), authorization=f"Bearer {token(boards=['c'])}")
    assert response.status_code == 403
    assert f"the token is not for board '{board}'" in response.text


def test_a_board_for_everybody_that_is_not_there_is_404(server: Running) -> None:
    """As without tokens."""
    for path in ("/events?board=none", "/api/boards/none", "/api/boards/none/history"):
        assert status(server, path, authorization=f"Bearer {token()}") == 404


def test_lists_name_only_what_the_token_is_for(server: Running) -> None:
    """Boards, their feeds, and of these only the boards that may be known."""
    mine = {"authorization": f"Bearer {token(boards=['c', 'gone'])}"}
    assert [board["name"] for board in server.get("/api/boards", **mine).json()["boards"]] == ["c"]
    feeds = server.get("/api/feeds", **mine).json()["feeds"]
    assert {name: feed["boards"] for name, feed in feeds.items()} == {"other": ["c"]}
    everything = {"authorization": f"Bearer {token()}"}
    assert len(server.get("/api/boards", **everything).json()["boards"]) == 2
    assert server.get("/api/feeds", **everything).json()["feeds"].keys() == {"still", "other"}


def test_lists_are_not_kept_for_others(server: Running) -> None:
    """A cache between must ask, and the answer to who has no token is 401."""
    for path in (*LISTS, *BOARD):
        headers = server.get(path, Authorization=f"Bearer {token()}").headers
        assert headers["cache-control"] == "no-cache"


def test_the_welcome_tells_when_the_token_ends(server: Running, public: Running) -> None:
    """In epoch ms; without a token there is no end."""
    ends = int(time.time()) + 100
    with server.follow("b", token=jwt.encode({"exp": ends}, SECRET, "HS256")) as viewer:
        welcome = viewer.next()
        assert (welcome["until"], welcome["boards"]) == (ends * 1000, ["b", "c"])
    with public.follow("b", token="whatever") as viewer:
        assert "until" not in viewer.next()


def test_the_list_of_boards_is_told_as_the_token_allows(server: Running) -> None:
    """Also when it changes while somebody is there."""
    with server.follow(token=token(boards=["c"])) as some, server.follow(token=token()) as every:
        for viewer in (some, every):
            viewer.wait("welcome")
        told = server.ticker.hub.tell_boards()
        asyncio.run_coroutine_threadsafe(told, server.loop).result(PATIENCE)
        assert some.wait("boards")["boards"] == ["c"]
        assert every.wait("boards")["boards"] == ["b", "c"]


def test_how_the_server_is_is_for_admins_where_the_config_says_so(public: Running) -> None:
    """And says no secret."""
    access = TOKENS[:-1] + f", admin_tokens: ['{ADMIN}'], operations: admin}}"
    with serving(guarded(access=access), KEY=SECRET) as server:
        assert status(server, "/api/status", authorization=f"Bearer {token()}") == 403
        assert status(server, "/api/status") == 401
        answer = server.get("/api/status", Authorization=f"Bearer {ADMIN}")
        assert answer.status_code == 200
        assert not [s for s in (ADMIN, SECRET) if s in answer.text]
    assert status(public, "/api/status") == 200


def test_of_several_boards_the_others_are_errors(server: Running) -> None:
    """One allowed board is enough to be let in."""
    mine = token(boards=["c", "gone"])
    with server.follow("b", "c", token=mine) as viewer:
        viewer.wait("welcome")
        error = viewer.wait("error")
        assert (error["code"], error["board"]) == ("not_allowed", "b")
        assert viewer.wait("snapshot")["board"] == "c"
        for board, code in (("b", "not_allowed"), ("x", "not_allowed"), ("gone", "unknown_board")):
            viewer.send(type="subscribe", board=board)
            assert viewer.wait("error")["code"] == code
        publish(server, "b", {"A": {"last": 1}})
        publish(server, "c", {"A": {"last": 2}})
        assert viewer.wait("diff")["board"] == "c"


def test_of_several_boards_of_events_the_others_are_errors(server: Running) -> None:
    """As above, as events."""
    url = f"{server.url}/events?board=b&board=c&token={token(boards=['c'])}"
    with httpx.stream("GET", url, timeout=PATIENCE) as response:
        lines = (orjson.loads(line[5:]) for line in response.iter_lines() if line[:5] == "data:")
        seen = [next(lines) for _ in range(3)]
    told = {message["type"]: message for message in seen}
    assert told.keys() == {"welcome", "error", "snapshot"}
    assert (told["error"]["code"], told["error"]["board"]) == ("not_allowed", "b")
    assert (told["welcome"]["boards"], told["snapshot"]["board"]) == (["c"], "c")


# -- renewal and the end


def test_a_token_is_renewed_on_the_open_connection(server: Running) -> None:
    """Nothing is interrupted; the new one says what may be watched from now on."""
    with server.follow("b", token=token(60, boards=["b"])) as viewer:
        viewer.wait("snapshot")
        later = int(time.time()) + 7200
        new = jwt.encode({"exp": later, "boards": ["b", "c"]}, SECRET, "HS256")
        viewer.send(type="token", token=new)
        assert viewer.wait("token") == {"type": "token", "until": later * 1000}
        viewer.send(type="subscribe", board="c")
        assert viewer.wait("snapshot")["board"] == "c"
        publish(server, "b", {"R": {"last": time.time()}})
        assert viewer.wait("diff")["board"] == "b"
        (known,) = server.ticker.hub.viewers
        assert known.may == Pass(frozenset({"b", "c"}), later * 1000)


def test_boards_that_the_new_token_is_not_for_are_let_go_of(server: Running) -> None:
    """Each with an error."""
    with server.follow("b", "c", token=token()) as viewer:
        viewer.follow_until(lambda v: v.rows.keys() == {"b", "c"})
        viewer.send(type="token", token=token(boards=["c"]))
        assert viewer.wait("token")["until"]
        error = viewer.wait("error")
        assert (error["code"], error["board"]) == ("not_allowed", "b")
        publish(server, "b", {"L": {"last": time.time()}})
        publish(server, "c", {"L": {"last": time.time()}})
        assert viewer.wait("diff")["board"] == "c"


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "not a token"),
        ("nonsense", "not a token"),
        (token(-1), "token expired"),
        (token(key="x" * 40), "bad signature"),
        (token(boards="b"), "token whose boards are no list of names"),
        ("x" * 10_000, "token too long"),
        ("\r\n\x00é\ud83d\ude00", "not a token"),
    ],
)
def test_a_bad_renewal_leaves_the_old_token(server: Running, bad: str, words: str) -> None:
    """The viewer is told why and may try again."""
    ends = int(time.time()) + 100
    with server.follow("b", token=jwt.encode({"exp": ends}, SECRET, "HS256")) as viewer:
        viewer.wait("snapshot")
        text = orjson.dumps(
            {"type": "token", "token": bad.encode("utf-16", "surrogatepass").decode("utf-16")}
        )
        viewer.socket.send(text.decode())
        error = viewer.wait("error")
        assert (error["code"], error["message"]) == ("not_allowed", words)
        publish(server, "b", {"N": {"last": time.time()}})
        viewer.wait("diff")
        (known,) = server.ticker.hub.viewers
        assert known.may.until == ends * 1000


@pytest.mark.parametrize("message", [{}, {"token": None}, {"token": 7}, {"token": ["x"]}])
def test_a_token_that_is_no_text_is_a_bad_message(server: Running, message: Any) -> None:
    """Told by its name; the connection goes on."""
    with server.follow("b", token=token()) as viewer:
        viewer.send(type="token", **message)
        error = viewer.wait("error")
        assert error["code"] == "bad_message"
        assert error["message"].startswith("token: ")


def test_where_no_token_is_needed_any_is_taken(public: Running) -> None:
    """It has no end."""
    with public.follow("b") as viewer:
        viewer.send(type="token", token="whatever")
        assert viewer.wait("token")["until"] is None


def test_a_connection_ends_with_its_token() -> None:
    """4501, without a goodbye: a new token is needed, not another time."""
    config = guarded(heartbeat="500ms")
    with serving(config, KEY=SECRET) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        with (
            server.follow("b", token=token(2)) as viewer,
            server.follow("b", token=token()) as other,
        ):
            viewer.wait("snapshot")
            ends = viewer.messages[0]["until"]
            assert closed(viewer) == 4501
            assert time.time() * 1000 >= ends
            assert "goodbye" not in {message["type"] for message in viewer.messages}
            other.wait("heartbeat")
            assert server.ticker.hub.closed == {"not allowed": 1}


def test_events_end_with_their_token() -> None:
    """What comes back is asked for its token again."""
    with serving(guarded(heartbeat="500ms"), KEY=SECRET) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        short = token(2)
        url = f"{server.url}/events?board=b&token={short}"
        with httpx.stream("GET", url, timeout=PATIENCE) as response:
            assert response.status_code == 200
            assert "snapshot" in "".join(response.iter_lines())
        assert status(server, f"/events?board=b&token={short}") == 401


def change(server: Running, access: AccessSettings) -> None:
    """Let other settings count, as a reload does."""
    server.call(lambda: setattr(server.ticker.access, "settings", access))


def test_other_settings_count_for_whoever_comes_next() -> None:
    """Who is there stays until its token ends; who had none comes back with one."""
    other = Key(algorithm="HS256", key="another secret of more than 32 bytes")
    rotated = AccessSettings(viewers="token", keys=[other])
    with serving(guarded(heartbeat="500ms", access="")) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        with server.follow("b") as free:
            free.wait("snapshot")
            change(
                server, AccessSettings(viewers="token", keys=[Key(algorithm="HS256", key=SECRET)])
            )
            assert closed(free) == 4003
        assert status(server, "/ws?board=b") == 401
        with server.follow("b", token=token()) as old:
            old.wait("snapshot")
            change(server, rotated)
            old.wait("heartbeat")
            assert status(server, f"/ws?token={token()}") == 401
            old.send(type="token", token=token())
            assert old.wait("error")["code"] == "not_allowed"
            old.send(type="token", token=token(key=other.key))
            old.wait("token")
        change(server, AccessSettings())
        with server.follow("b") as viewer:
            viewer.wait("snapshot")


# -- secrets


class Log(logging.Handler):
    """What is written by a log that takes everything from INFO on, but of who asks here."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.text = ""

    def emit(self, record: logging.LogRecord) -> None:
        if not record.name.startswith(("httpx", "httpcore", "websockets")):
            self.text += self.format(record) + "\n"


@contextmanager
def written() -> Iterator[Log]:
    """Write a log; unlike pytest's it has no part in loggers that keep things to themselves."""
    log, root = Log(), logging.getLogger()
    before = root.level
    root.addHandler(log)
    root.setLevel(logging.INFO)
    try:
        yield log
    finally:
        root.removeHandler(log)
        root.setLevel(before)


def test_no_token_gets_into_a_log(server: Running) -> None:
    """Neither a good nor a bad one, in none of the ways in which it comes."""
    good, bad = token(), token(-1)
    with written() as log:
        told = use(server, good, bad)
    assert "WebSocket /ws" in log.text
    for secret in (good, bad, SECRET):
        for part in secret.split(".")[1:] or [secret]:
            assert part not in log.text
            assert part not in told


def use(server: Running, good: str, bad: str) -> str:
    """Send two tokens in every way, and return what a viewer was told."""
    for one in (good, bad):
        for path in ("/ws", "/events", "/api/boards/b", "/nowhere"):
            ask(server, f"{path}?board=b&token={one}") if one == bad or path != "/ws" else None
            ask(server, f"{path}?board=b&board=none", authorization=f"Bearer {bad}")
    with server.follow("b", token=good) as viewer:
        viewer.send(type="token", token=bad)
        viewer.wait("error")
        viewer.send(type="token", token=good, more=[])
        viewer.wait("token")
        viewer.socket.send(f"no JSON: {good}")
        assert closed(viewer) == 4500
        return orjson.dumps(viewer.messages).decode()


def test_a_refusal_is_not_an_error_of_the_server(
    server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Strangers cannot fill its log."""
    caplog.set_level(logging.WARNING)
    for _ in range(20):
        assert status(server, "/ws?board=b") == 401
    assert status(server, "/ws", authorization="x" * 10_000) == 431
    assert [r for r in caplog.records if r.name.startswith(("uvicorn", "ticker"))] == []


def test_no_answer_has_a_secret_in_it() -> None:
    """Whoever asks."""
    access = TOKENS[:-1] + f", admin_tokens: ['{ADMIN}']}}"
    with serving(guarded(access=access), KEY=SECRET) as server:
        mine = {"authorization": f"Bearer {token()}"}
        for path in (*OPEN, *LISTS, *BOARD):
            text = server.get(path, **mine).text
            assert SECRET not in text
            assert ADMIN not in text


# -- headers


REFUSED = {
    "no token": ("/ws?board=b", {}, 401),
    "another board": ("/ws?board=b", {"authorization": f"Bearer {token(boards=[])}"}, 403),
    "another site": ("/ws?board=b", {"origin": "https://evil.example"}, 403),
    "no token for events": ("/events?board=b", {}, 401),
    "another site's events": ("/events?board=b", {"origin": "https://evil.example"}, 403),
    "no token for boards": ("/api/boards", {}, 401),
    "nothing there": ("/nowhere", {}, 404),
    "no board": ("/api/boards/none", {"authorization": f"Bearer {token()}"}, 404),
    "a bad parameter": ("/api/boards/b/history?points=x", {}, 422),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals_have_the_security_headers(server: Running, name: str) -> None:
    """As every other answer."""
    path, headers, expected = REFUSED[name]
    response = ask(server, path, **headers)
    assert response.status_code == expected
    assert {k: response.headers[k] for k in SECURITY_HEADERS} == SECURITY_HEADERS
    assert all(len(response.headers.get_list(k)) == 1 for k in SECURITY_HEADERS)


def test_a_defect_has_them_too(public: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even the answer to what must not happen."""

    def defect() -> None:
        raise TickerError("a defect")

    monkeypatch.setattr(public.ticker.reports, "feeds", defect)
    response = public.get("/api/feeds")
    assert response.status_code == 500
    assert "defect" not in response.text
    assert {k: response.headers[k] for k in SECURITY_HEADERS} == SECURITY_HEADERS


# -- origins

FRIEND = "https://intranet.example.com"
ORIGINS = {
    "no page at all": ({}, True),
    "a page of this host": ({"host": "ticker.example", "origin": "https://ticker.example"}, True),
    "without TLS": ({"host": "ticker.example", "origin": "http://ticker.example"}, True),
    "with a port": ({"host": "ticker.example:8443", "origin": "https://ticker.example:8443"}, True),
    "a port that is the usual one": (
        {"host": "ticker.example:443", "origin": "https://ticker.example"},
        True,
    ),
    "in other letters": ({"host": "Ticker.Example", "origin": "https://ticker.example"}, True),
    "IPv6": ({"host": "[::1]:8000", "origin": "http://[::1]:8000"}, True),
    "a named site": ({"host": "ticker.example", "origin": FRIEND}, True),
    "another site": ({"host": "ticker.example", "origin": "https://evil.example"}, False),
    "another port": ({"host": "ticker.example", "origin": "https://ticker.example:8443"}, False),
    "the usual port of another scheme": (
        {"host": "ticker.example:80", "origin": "https://ticker.example"},
        False,
    ),
    "a name that begins like it": (
        {"host": "ticker.example", "origin": "https://ticker.example.evil.org"},
        False,
    ),
    "a name that ends like it": (
        {"host": "ticker.example", "origin": "https://evilticker.example"},
        False,
    ),
    "like a named site": ({"host": "ticker.example", "origin": FRIEND + ".evil.org"}, False),
    "a named site without TLS": (
        {"host": "ticker.example", "origin": FRIEND.replace("https", "http")},
        False,
    ),
    "no site": ({"host": "ticker.example", "origin": "null"}, False),
    "nothing": ({"host": "ticker.example", "origin": ""}, False),
    "a file": ({"host": "ticker.example", "origin": "file://"}, False),
    "an extension": ({"host": "abc", "origin": "chrome-extension://abc"}, False),
    "no scheme": ({"host": "ticker.example", "origin": "ticker.example"}, False),
    "with a path": ({"host": "ticker.example", "origin": "https://ticker.example/"}, False),
    "with a name": ({"host": "ticker.example", "origin": "https://x@ticker.example"}, False),
}


@pytest.fixture(scope="module")
def befriended() -> Iterator[Running]:
    """Return a server that names another site."""
    with serving(guarded(f"origins: ['{FRIEND}']", access="")) as running:
        yield running


@pytest.mark.parametrize("name", ORIGINS)
@pytest.mark.parametrize("path", ["/ws?board=b", "/events?board=b"])
def test_only_pages_of_this_host_and_of_named_sites_connect(
    befriended: Running, path: str, name: str
) -> None:
    """Browsers tell whose page it is; programs tell nothing."""
    headers, welcome = ORIGINS[name]
    assert status(befriended, path, **headers) == (
        403 if not welcome else 101 if path.startswith("/ws") else 200
    )
    until(lambda: not befriended.ticker.hub.viewers)


# -- addresses


def test_viewers_know_their_address(server: Running) -> None:
    """The one behind the proxy, in one way of writing."""
    mine = {"authorization": f"Bearer {token()}"}
    for forwarded, address in (
        ("198.51.100.1, 203.0.113.7", "203.0.113.7"),
        ("203.0.113.7, 127.0.0.9", "203.0.113.7"),
        ("2001:0DB8::7", "2001:db8::7"),
        ("nonsense", "127.0.0.1"),
    ):
        with join(server, x_forwarded_for=forwarded, **mine) as viewer:
            viewer.wait("welcome")
            assert [v.address for v in server.ticker.hub.viewers] == [address]
        until(lambda: not server.ticker.hub.viewers)


def test_without_trusted_proxies_nobody_is_believed(public: Running) -> None:
    """Also on this machine."""
    with join(public, x_forwarded_for="203.0.113.7") as viewer:
        viewer.wait("welcome")
        assert [v.address for v in public.ticker.hub.viewers] == ["127.0.0.1"]


@pytest.mark.parametrize("proxied", [True, False])
def test_places_are_limited_by_address(proxied: bool) -> None:
    """Over WebSocket and events together: 429 with Retry-After until somebody leaves."""
    config = guarded(f"viewers_per_address: 3{', ' + PROXIED if proxied else ''}", access="")
    with serving(config) as server, ExitStack() as stack:
        until(lambda: server.get("/readyz").status_code == 200)
        homes = ["2001:db8:0:7::1", "2001:db8:0:7::2", "2001:db8:0:7:ffff::1"]  # one home
        viewers = [stack.enter_context(join(server, x_forwarded_for=home)) for home in homes[:2]]
        events = f"{server.url}/events?board=b"
        last = {"x-forwarded-for": homes[2]}
        third = httpx.stream("GET", events, headers=last, timeout=PATIENCE)
        assert stack.enter_context(third).status_code == 200
        until(lambda: len(server.ticker.hub.viewers) == 3)
        for path in ("/ws", "/ws?board=b", "/events?board=b"):
            refused = ask(server, path, x_forwarded_for=homes[0])
            assert (refused.status_code, refused.headers["retry-after"]) == (429, "10")
            assert "too many viewers from one address" in refused.text
            assert {k: refused.headers[k] for k in SECURITY_HEADERS} == SECURITY_HEADERS
        elsewhere = status(server, "/ws?board=b", x_forwarded_for="2001:db8:0:8::1")
        assert elsewhere == (101 if proxied else 429)
        until(lambda: len(server.ticker.hub.viewers) == 3)
        viewers[0].socket.close()
        until(lambda: len(server.ticker.hub.viewers) == 2)
        with join(server, x_forwarded_for=homes[0]) as viewer:
            viewer.wait("snapshot")


def test_many_at_once_do_not_get_more_places() -> None:
    """Not even events, whose answer begins after the first look."""
    with serving(guarded("viewers_per_address: 3", access="")) as server, ExitStack() as stack:
        until(lambda: server.get("/readyz").status_code == 200)
        host, port = server.url.removeprefix("http://").split(":")
        links = [
            stack.enter_context(socket.create_connection((host, int(port)))) for _ in range(30)
        ]
        for link in links:
            link.sendall(b"GET /events?board=b HTTP/1.1\r\nHost: x\r\n\r\n")
        answers = []
        for link in links:
            link.settimeout(PATIENCE)
            answer = b""
            while not any(end in answer for end in (b"snapshot", b"too many viewers")):
                answer += link.recv(4096)
            answers.append(b"snapshot" in answer)
        assert sum(answers) == 3
        assert len(server.ticker.hub.viewers) == 3


def test_connects_are_limited_by_address() -> None:
    """A burst of 5, then 429 with the seconds to wait; whatever comes of them, and others go on."""
    with serving(guarded(f"connects_per_second: 0.05, {PROXIED}"), KEY=SECRET) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        mine = {"authorization": f"Bearer {token()}"}
        with join(server, x_forwarded_for="203.0.113.7", **mine) as viewer:
            viewer.wait("snapshot")
            for path in ("/ws", "/events?board=b", "/ws", "/events?board=b"):
                assert status(server, path, x_forwarded_for="203.0.113.7") == 401
            for path in ("/ws", "/events?board=b"):
                refused = ask(server, path, x_forwarded_for="203.0.113.7", **mine)
                assert refused.status_code == 429
                assert 10 <= int(refused.headers["retry-after"]) <= 20
            assert status(server, "/api/boards", x_forwarded_for="203.0.113.7", **mine) == 200
            assert status(server, "/ws", x_forwarded_for="203.0.113.8") == 401
            viewer.send(type="ping")
            viewer.wait("pong")


def test_a_storm_of_connects_is_served_without_limits(public: Running) -> None:
    """By default nobody is counted out: everybody of an office comes at once after a restart."""
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(public.follow("b"))
        until(lambda: len(public.ticker.hub.viewers) == 100)
        assert public.ticker.hub.addresses["127.0.0.1"] == 100


def knock(server: Running, path: str, address: str) -> bytes:
    """Ask for an upgrade or events as directly as can be, and hang up after what is first said."""
    host, port = server.url.removeprefix("http://").split(":")
    upgrade = UPGRADE if path.startswith("/ws") else {}
    headers = {"host": "x", "x-forwarded-for": address, **upgrade}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as link:
        link.sendall(f"GET {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return link.recv(12)


def test_nothing_is_left_of_a_thousand_who_came_and_went() -> None:
    """Hung up, closed, refused, ended: no place is lost, and nothing of an address is kept."""
    limits = f"viewers_per_address: 5, connects_per_second: 100, {PROXIED}, max_message: 1KB"
    with serving(guarded(limits), KEY=SECRET) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        hub, good = server.ticker.hub, token()
        ways = [
            (f"/ws?board=b&token={good}", b"HTTP/1.1 101"),
            ("/ws?board=b", b"HTTP/1.1 401"),
            (f"/events?board=b&token={good}", b"HTTP/1.1 200"),
            ("/events?board=b", b"HTTP/1.1 401"),
        ]
        for i in range(1000):
            path, answer = ways[i % 4]
            assert knock(server, path, f"2001:db8:{i:x}::1") == answer
        mine = {"authorization": f"Bearer {good}", "x_forwarded_for": "2001:db8:1::1"}
        for _ in range(10):
            with join(server, **mine) as viewer:
                viewer.wait("snapshot")
        until(lambda: not hub.viewers)
        with join(server, **mine) as viewer:
            viewer.send(type="ping", long="x" * 2000)
            assert closed(viewer) == 1009
        until(lambda: not hub.viewers)
        assert len(hub.addresses) == 0


# -- messages, and viewers that want nothing


def test_a_flood_of_messages_ends_its_viewer_alone() -> None:
    """4503, after a burst; the others notice nothing."""
    with serving(guarded("messages_per_second: 10", access="")) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        with server.follow("b") as other, server.follow("b") as viewer:
            viewer.wait("snapshot")
            for _ in range(20):
                viewer.send(type="ping")
            for _ in range(20):
                viewer.wait("pong")
            with suppress(ConnectionClosed):
                for _ in range(200):
                    viewer.send(type="nonsense")
            assert closed(viewer) == 4503
            limit = viewer.messages[-1]
            assert (limit["code"], limit["message"]) == ("limit", "at most 10 messages per second")
            assert sum(message["type"] == "error" for message in viewer.messages) < 150
            other.send(type="ping")
            other.wait("pong")
            assert server.ticker.hub.closed["limit"] == 1


def test_without_a_rate_messages_are_not_counted() -> None:
    """0 is no limit."""
    config = guarded("messages_per_second: 0", access="")
    with serving(config) as server, server.follow() as viewer:
        for _ in range(500):
            viewer.send(type="ping")
        for _ in range(500):
            viewer.wait("pong")


def test_who_watches_nothing_is_ended() -> None:
    """4503; who ever watched a board, or was refused one and then took another, stays."""
    with serving(guarded("subscribe_within: 300ms", "", heartbeat="500ms")) as server:
        until(lambda: server.get("/readyz").status_code == 200)
        with server.follow("b") as watches, server.follow("b") as watched:
            watched.wait("snapshot")
            watched.send(type="unsubscribe", board="b")
            with server.follow("none") as nothing:
                nothing.wait("welcome")
                nothing.send(type="ping")
                assert closed(nothing) == 4503
            for viewer in (watches, watched):
                viewer.send(type="ping")
                viewer.wait("pong")


# -- without the extension, and rules that stand alone


async def test_a_server_that_cannot_answer_in_http_refuses_plainly() -> None:
    """By a close before the upgrade, which it answers with 403 itself."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    settings = AccessSettings(viewers="token", keys=[Key(algorithm="HS256", key=SECRET)])
    access = Access(settings, ServerSettings())
    scope = {"type": "websocket", "query_string": b"token=x", "headers": [], "subprotocols": []}
    await WebSocketEndpoint(Hub({}), access, Turns())(scope, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


@pytest.mark.parametrize(
    ("operations", "authorization", "expected"),
    [
        ("open", "", 200),
        ("open", "Bearer nonsense", 200),
        ("admin", "", 401),
        ("admin", "Bearer nonsense", 403),
        ("admin", f"Bearer {SECRET}", 403),
        ("admin", f"Basic {ADMIN}", 401),
        ("admin", f"Bearer {ADMIN}", 200),
        ("admin", f"bearer  {ADMIN} ", 200),
    ],
)
def test_operations_are_open_or_for_admins(
    operations: Any, authorization: str, expected: int
) -> None:
    """As the config says."""
    settings = AccessSettings(admin_tokens=[ADMIN], operations=operations)
    access = Access(settings, ServerSettings())
    headers = [(b"authorization", authorization.encode())] if authorization else []
    request = Request({"type": "http", "headers": headers})
    if expected == 200:
        access.operations(request)
        return
    with pytest.raises(HTTPException) as caught:
        access.operations(request)
    assert caught.value.status_code == expected
    assert ADMIN not in caught.value.detail


def test_guesses_at_tokens_are_logged_and_do_not_shut_out_others(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the address, without the guess; the right token counts at any time."""
    access = f"access: {{admin_tokens: ['{ADMIN}']}}"
    with serving(guarded(PROXIED, access=access)) as server:
        for i in range(20):
            guess = f"Bearer a guess, the {i}th, of an admin's token"
            assert status(server, "/api/viewers", authorization=guess) == 403
        assert status(server, "/api/viewers", authorization=f"Bearer {ADMIN}") == 200
        lone = {"authorization": "Bearer x", "x_forwarded_for": "203.0.113.7"}
        assert status(server, "/api/viewers", **lone) == 403
    lines = [record.getMessage() for record in caplog.records if record.name == "ticker.access"]
    assert lines[0] == "refused a guess at an admin token, from 127.0.0.1"
    assert lines[-1].endswith("from 203.0.113.7")
    assert "guess, the" not in str(lines)


def test_events_ask_only_for_what_can_be_the_name_of_a_board(server: Running) -> None:
    """Also beside one that may be watched, where the answer has begun; each counts once."""
    mine = f"token={token(boards=['b'])}"
    for name in ("x" * 65, ""):
        assert status(server, f"/events?{mine}&board=b&board={name}") == 422
    url = f"{server.url}/events?{mine}" + "&board=b" * 500
    with httpx.stream("GET", url, timeout=PATIENCE) as response:
        lines = (orjson.loads(line[5:]) for line in response.iter_lines() if line[:5] == "data:")
        assert [next(lines)["type"] for _ in range(2)] == ["welcome", "snapshot"]
        publish(server, "b", {"E": {"last": time.time()}})
        assert next(lines)["type"] == "diff"


def test_strangers_learn_no_names_where_operations_are_for_admins() -> None:
    """Whether the server lives and is ready, and nothing else; admins learn more."""
    access = TOKENS[:-1] + f", admin_tokens: ['{ADMIN}'], operations: admin}}"
    config = guarded(access=access).replace(
        "boards:\n",
        "  late: {kind: poll, every: 1h, url: 'http://127.0.0.1:1/', fields: {last: l}}\nboards:\n"
        "  secret-plan: {feeds: [late]}\n",
    )
    with serving(config, KEY=SECRET) as server:
        for headers in ({}, {"authorization": f"Bearer {token()}"}):
            assert ask(server, "/readyz", **headers).json().keys() == {"status"}
            assert ask(server, "/healthz", **headers).json().keys() == {"status", "version"}
            for path in ("/metrics", "/api/status", "/api/you", "/openapi.json", "/status"):
                text = ask(server, path, **headers).text
                assert not [name for name in ("secret-plan", "late:", "still") if name in text]
            assert status(server, "/metrics", **headers) in {401, 403}
        mine = {"authorization": f"Bearer {ADMIN}"}
        assert ask(server, "/readyz", **mine).json().keys() == {"status", "waiting"}
        assert "viewers" in ask(server, "/healthz", **mine).json()
