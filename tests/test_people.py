"""What admins see of viewers, and how they end one; connections that are renewed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from tests.support import PATIENCE, QUIET, Follower, Running, publish, serving, until
from tests.test_viewer import OneFrameConnection, board, tick
from tests.test_viewers import big, raw_viewer
from ticker import channel
from ticker.config import Server
from ticker.hub import Hub
from ticker.people import page_of
from ticker.protocol import CloseCode, Subscribe

TOKEN = "a-token-of-the-admins"
ADMIN = {"authorization": f"Bearer {TOKEN}"}
CONFIG = QUIET.format(heartbeat="5s", stall="20s", viewers=10_000, presence="0s")
CONFIG += f"access: {{admin_tokens: [{TOKEN}]}}\n"


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server with admins."""
    with serving(CONFIG) as running:
        until(lambda: running.get("/readyz").status_code == 200, what="the first reading")
        yield running


def asked(server: Running, method: str, path: str, body: Any = None) -> httpx.Response:
    """Ask as an admin."""
    content = None if body is None else orjson.dumps(body)
    return httpx.request(
        method, server.url + path, headers=ADMIN, content=content, timeout=PATIENCE
    )


def listed(server: Running, query: str = "") -> list[dict[str, Any]]:
    """Return the viewers that an admin sees."""
    viewers: list[dict[str, Any]] = asked(server, "GET", f"/api/viewers{query}").json()["viewers"]
    return viewers


def closed_with(viewer: Follower) -> int:
    """Return the code with which a viewer is closed."""
    with pytest.raises(ConnectionClosed) as closed:
        viewer.wait("never")
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/viewers"),
        ("DELETE", "/api/viewers/x"),
        ("GET", "/api/notices"),
        ("POST", "/api/notices"),
        ("DELETE", "/api/notices/x"),
    ],
)
def test_it_is_for_admins(server: Running, method: str, path: str) -> None:
    """Without a token nothing is told or done, whatever is sent."""
    for headers, status in (({}, 401), ({"authorization": "Bearer another"}, 403)):
        response = httpx.request(method, server.url + path, headers=headers, content=b"x" * 99_999)
        assert response.status_code == status


def test_a_viewer_is_told_of(server: Running) -> None:
    """Where it watches, since when, how it is and what it was sent."""
    before = monotonic()
    with server.follow("b", "c") as viewer:
        welcome = viewer.wait("welcome")
        viewer.follow_until(lambda v: v.rows.keys() == {"b", "c"})
        (seen,) = listed(server)
        assert 0 <= seen.pop("age") <= (monotonic() - before) * 1000 + 1
        sent = seen.pop("bytes")
        text = sum(len(orjson.dumps(message)) for message in viewer.messages)
        assert text / 4 < sent < text + 1000  # headers as well, and compressed
        assert seen == {
            "id": welcome["viewer"],
            "boards": ["b", "c"],
            "address": "127.0.0.1",
            "state": "live",
            "lag": 0,
            "transport": "websocket",
            "compresses": True,
        }
        viewer.send(type="pause")
        until(lambda: listed(server)[0]["state"] == "paused")
        assert listed(server)[0]["lag"] == 0


def test_an_address_is_kept() -> None:
    """Whoever accepts the connection knows it."""
    hub = Hub({})
    assert hub.join(OneFrameConnection(), address="192.0.2.7").address == "192.0.2.7"


def test_a_viewer_of_events_is_told_of(server: Running) -> None:
    """With what is known of it."""
    with httpx.stream("GET", f"{server.url}/events?board=b", timeout=PATIENCE):
        (seen,) = until(lambda: listed(server))
        known = {name: seen[name] for name in ("boards", "bytes", "transport", "compresses")}
        assert known == {"boards": ["b"], "bytes": None, "transport": "sse", "compresses": False}
    until(lambda: not listed(server))


def test_who_does_not_read_lags_and_for_how_long(server: Running) -> None:
    """From the moment it could take no more."""
    raw = raw_viewer(server, receive=4096)
    for value in range(30):
        publish(server, "b", big(value))
    (first,) = listed(server)
    assert first["state"] == "lagging"
    (second,) = until(lambda: [seen for seen in listed(server) if seen["lag"] > first["lag"]])
    assert second["lag"] <= second["age"]
    raw.close()
    publish(server, "b", {"A": {"last": 1}})
    until(lambda: not listed(server))


async def test_lag_lasts_until_the_present_is_reached() -> None:
    """Who takes one frame after the other is still behind."""
    live = board("a")
    tick(live)
    hub = Hub({"a": live})
    connection = OneFrameConnection()
    viewer = hub.join(connection)
    hub.subscribe(viewer, Subscribe(board="a"))
    since = viewer.behind_since
    assert since is not None
    for _ in range(3):
        tick(live)
        connection.drained()
        assert viewer.behind_since == since
    connection.drained()
    assert viewer.behind_since is None
    hub.close()


def test_many_are_listed_page_by_page(server: Running) -> None:
    """Each once, in the order of their ids; also those of one board only."""
    followers = [server.follow("b") for _ in range(4)] + [server.follow("c")]
    for follower in followers:
        follower.__enter__()
    until(lambda: len(listed(server, "?board=b")) == 4 and len(listed(server, "?board=c")) == 1)
    pages, after = [], ""
    while after is not None:
        page = asked(server, "GET", f"/api/viewers?limit=2&after={after}").json()
        pages.append([viewer["id"] for viewer in page["viewers"]])
        after = page["next"]
    assert [len(page) for page in pages] == [2, 2, 1]
    ids = [viewer_id for page in pages for viewer_id in page]
    assert all(one < next_ for one, next_ in pairwise(ids))
    assert set(ids) == {viewer.id for viewer in server.ticker.hub.viewers}
    for follower in followers:
        follower.__exit__()


async def test_a_list_is_made_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many there are, others have their turn; who leaves meanwhile is no harm."""
    monkeypatch.setattr(channel, "AT_ONCE", 1)
    hub = Hub({})
    viewers = [hub.join(OneFrameConnection()) for _ in range(5)]
    listing = asyncio.create_task(page_of(hub, 1000))
    for viewer in viewers:
        await asyncio.sleep(0)
        assert not listing.done()
        hub.leave(viewer)
    assert len((await listing)["viewers"]) == 5


def test_of_a_viewer_that_has_just_left_no_bytes_are_known(server: Running) -> None:
    """It may still be in a list that is being made: its socket is gone by then."""
    with server.follow("b") as viewer:
        name = viewer.wait("welcome")["viewer"]
        there = server.call(lambda: server.ticker.hub.find(name))
        assert there is not None
        assert server.call(there.connection.sent)
    until(lambda: server.call(lambda: server.ticker.hub.find(name)) is None)
    until(lambda: server.call(there.connection.sent) is None)


@pytest.mark.parametrize(
    ("query", "status"), [("?limit=0", 422), ("?limit=1001", 422), ("?board=nope", 404)]
)
def test_a_list_has_bounds(server: Running, query: str, status: int) -> None:
    """And says so."""
    assert asked(server, "GET", f"/api/viewers{query}").status_code == status


def test_a_viewer_is_ended_for_good(server: Running) -> None:
    """That one alone, with a code that says not to come back."""
    with server.follow("b") as viewer, server.follow("b") as other:
        path = f"/api/viewers/{viewer.wait('welcome')['viewer']}"
        assert asked(server, "DELETE", path).status_code == 204
        assert closed_with(viewer) == 4502
        assert viewer.messages[-1] == {"type": "goodbye", "code": 4502, "retry": None}
        assert CloseCode(4502).final
        gone = asked(server, "DELETE", path)
        assert (gone.status_code, gone.json()["detail"][:9]) == (404, "no viewer")
        other.send(type="ping")
        other.wait("pong")


def test_a_viewer_of_events_is_ended_for_good(server: Running) -> None:
    """It is told why, as its transport has no codes."""
    with httpx.stream("GET", f"{server.url}/events?board=b", timeout=PATIENCE) as response:
        lines = response.iter_lines()
        welcome = next(line for line in lines if "welcome" in line)
        viewer_id = orjson.loads(welcome.removeprefix("data: "))["viewer"]
        assert asked(server, "DELETE", f"/api/viewers/{viewer_id}").status_code == 204
        assert 'data: {"type":"goodbye","code":4502,"retry":null}' in list(lines)


# -- renewal


async def rotated(hub: Hub, ages: float) -> int:
    """Return how many viewers one sweep ends, ``ages`` seconds from now."""
    before = len(hub.viewers)
    await hub.sweep(monotonic() + ages)
    return before - len(hub.viewers)


async def test_old_connections_are_renewed_a_few_at_once() -> None:
    """Not before their time, give or take a fifth, and never more than one of a hundred."""
    hub = Hub({}, Server.model_construct(rotate=1000.0, stall_timeout=1e9))
    connections = [OneFrameConnection() for _ in range(300)]
    for connection in connections:
        hub.join(connection)
        connection.drained()
    assert await rotated(hub, 700.0) == 0
    assert await rotated(hub, 1300.0) == 3
    assert await rotated(hub, 1300.0) == 2  # of 297
    told = [c.taken[-1] for c in connections if c.taken[-1]["type"] == "goodbye"]
    assert told == [{"type": "goodbye", "code": 4003, "retry": [0.0, 1.0]}] * 5
    assert hub.closed == {"rotated": 5}
    hub.close()


async def test_who_came_together_does_not_go_together() -> None:
    """Each has a time of its own between 0.8 and 1.2 of what the config says."""
    hub = Hub({}, Server.model_construct(rotate=1000.0, stall_timeout=1e9))
    for _ in range(50):
        hub.join(OneFrameConnection())
    ends = []
    for ages in range(700, 1300, 10):
        while await rotated(hub, ages):
            ends.append(ages)
    assert len(ends) == 50
    assert 790 < min(ends) < 900 < 1100 < max(ends) < 1220
    hub.close()


async def test_nobody_is_renewed_where_the_config_says_nothing() -> None:
    """However old."""
    hub = Hub({}, Server.model_construct(stall_timeout=1e9))
    hub.join(OneFrameConnection())
    assert await rotated(hub, 1e6) == 0
    hub.close()


def test_a_renewed_viewer_is_told_to_come_back() -> None:
    """Goodbye and close code 4003, by the sweep of the real server."""
    config = CONFIG.replace("heartbeat: 5s", "rotate: 100ms, heartbeat: 5s")
    with serving(config) as server, server.follow() as viewer:
        assert closed_with(viewer) == 4003
        assert viewer.messages[-1]["code"] == 4003
