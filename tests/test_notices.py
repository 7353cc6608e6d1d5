"""Notices: to everybody, one board or one viewer, whenever each can take them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import orjson
import pytest
from fastapi import HTTPException, Request
from starlette.types import Message

from tests.support import PATIENCE, Follower, Running, publish, serving, until
from tests.test_people import CONFIG, asked
from tests.test_viewer import OneFrameConnection, board, tick
from tests.test_viewers import big, raw_viewer
from ticker.admin import _asked
from ticker.hub import Hub
from ticker.notices import NOTICES_MAX, Notice, Notices, TooManyNotices
from ticker.protocol import Subscribe


@pytest.fixture
def server() -> Iterator[Running]:
    """Return a server with admins and without notices."""
    with serving(CONFIG) as running:
        until(lambda: running.get("/readyz").status_code == 200, what="the first reading")
        yield running


@pytest.fixture(scope="module")
def lasting() -> Iterator[Running]:
    """Return one server for everything that is refused."""
    with serving(CONFIG) as running:
        yield running


def posted(server: Running, text: str = "Hello.", **more: object) -> dict[str, Any]:
    """Post a notice and return it."""
    response = asked(server, "POST", "/api/notices", {"text": text, **more})
    assert response.status_code == 201, response.text
    notice: dict[str, Any] = response.json()
    return notice


def withdrawn(server: Running, notice: dict[str, Any]) -> None:
    """Withdraw a notice."""
    assert asked(server, "DELETE", f"/api/notices/{notice['id']}").status_code == 204


def knows_nothing_more(viewer: Follower) -> None:
    """Assert that nothing waits for the viewer but the answer to a ping."""
    viewer.send(type="ping")
    assert viewer.next()["type"] == "pong"


def test_everybody_is_told_once(server: Running) -> None:
    """Who is there, at once; who comes later, after the welcome; who pauses, too."""
    with server.follow("b") as viewer, server.follow("c") as paused:
        for follower in (viewer, paused):
            follower.wait("snapshot")
        paused.send(type="pause")
        knows_nothing_more(paused)
        notice = posted(server, level="warning", **{"for": "1h"})
        assert notice["until"] - notice["at"] == 3_600_000
        for follower in (viewer, paused):
            assert follower.next() == {"type": "notice", **notice}
            knows_nothing_more(follower)
        with server.follow("b") as later:
            kinds = [later.next()["type"] for _ in range(3)]
            assert kinds == ["welcome", "notice", "snapshot"]


def test_a_withdrawn_one_is_taken_back(server: Running) -> None:
    """From those who were told; others never hear of it."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        notice = posted(server)
        viewer.wait("notice")
        withdrawn(server, notice)
        assert viewer.next() == {"type": "notice", "id": notice["id"], "text": None}
        knows_nothing_more(viewer)
    with server.follow("b") as later:
        assert [later.next()["type"] for _ in range(2)] == ["welcome", "snapshot"]
        knows_nothing_more(later)
    gone = asked(server, "DELETE", f"/api/notices/{notice['id']}")
    assert (gone.status_code, gone.json()["detail"][:9]) == (404, "no notice")


def test_one_board_is_told(server: Running) -> None:
    """Who watches it, and who begins to."""
    with server.follow("b") as viewer, server.follow("c") as other:
        for follower in (viewer, other):
            follower.wait("snapshot")
        notice = posted(server, board="b")
        assert viewer.next() == {"type": "notice", **notice}
        knows_nothing_more(other)
        other.send(type="subscribe", board="b")
        assert [other.next()["type"] for _ in range(2)] == ["snapshot", "notice"]


def test_one_viewer_is_told(server: Running) -> None:
    """And when it leaves, the notice goes with it."""
    with server.follow("b") as viewer, server.follow("b") as other:
        viewer_id = viewer.next()["viewer"]
        for follower in (viewer, other):
            follower.wait("snapshot")
        notice = posted(server, viewer=viewer_id)
        assert viewer.next() == {
            "type": "notice",
            **{k: notice[k] for k in notice if k != "viewer"},
        }
        knows_nothing_more(other)
        assert asked(server, "GET", "/api/notices").json() == {"notices": [notice]}
    until(lambda: asked(server, "GET", "/api/notices").json() == {"notices": []})


def test_a_viewer_of_events_is_told(server: Running) -> None:
    """The same message; a resume goes on from the last diff, as it has no id."""
    notice = posted(server, "Grüße 🙂", board="b")
    with httpx.stream("GET", f"{server.url}/events?board=b", timeout=PATIENCE) as response:
        events = (line for line in response.iter_lines() if line.startswith("data: "))
        found = [orjson.loads(next(events).removeprefix("data: ")) for _ in range(3)]
    assert [message["type"] for message in found] == ["welcome", "notice", "snapshot"]
    assert found[1] == {"type": "notice", **notice}


def test_who_does_not_read_is_told_when_it_does(server: Running) -> None:
    """Between two messages that it could not take before; nothing waits for it meanwhile."""
    raw = raw_viewer(server, receive=4096)
    (viewer,) = until(lambda: server.ticker.hub.viewers)
    for value in range(30):
        publish(server, "b", big(value))
    assert not viewer.ready
    before = viewer.connection.pending()
    posted(server, "Are you there?")
    assert viewer.connection.pending() <= before
    assert viewer.owed
    raw.settimeout(PATIENCE)
    received = b""
    while b"Are you there?" not in received:
        received = received[-100:] + raw.recv(1_000_000)
    raw.close()


async def test_busy_boards_do_not_keep_a_notice_from_a_slow_viewer() -> None:
    """Who takes one frame at a time takes this one first."""
    live = board("a")
    tick(live)
    hub = Hub({"a": live})
    connection = OneFrameConnection()
    hub.subscribe(hub.join(connection), Subscribe(board="a"))
    connection.drained()
    await hub.post(Notice("n", "Hello.", "info", 0, 2**60, board="a"))
    for _ in range(2):
        tick(live)
        connection.drained()
    assert [m["type"] for m in connection.taken] == ["welcome", "snapshot", "notice", "diff"]
    await hub.withdraw("n")
    tick(live)
    connection.drained()
    assert connection.taken[-1] == {"type": "notice", "id": "n", "text": None}
    connection.drained()
    assert connection.taken[-1]["type"] == "diff"
    hub.close()


async def test_one_that_was_withdrawn_before_it_could_be_told_is_not_told() -> None:
    """Nobody needs to know."""
    hub = Hub({})
    connection = OneFrameConnection()
    hub.join(connection)
    await hub.post(Notice("n", "Hello.", "info", 0, 2**60))
    await hub.withdraw("n")
    connection.drained()
    assert [m["type"] for m in connection.taken] == ["welcome"]
    hub.close()


async def test_an_expired_one_is_forgotten_by_the_sweep() -> None:
    """Viewers know themselves when it ends."""
    hub = Hub({})
    await hub.post(Notice("n", "Hello.", "info", 0, 1))  # over since 1970
    assert list(hub.notices)
    await hub.sweep(0.0)
    assert not list(hub.notices)


def test_there_are_few_at_once() -> None:
    """One more is refused until one is over or withdrawn."""
    notices = Notices()
    for number in range(NOTICES_MAX):
        notices.post(Notice(str(number), "t", "info", 0, 100 + number))
    with pytest.raises(TooManyNotices):
        notices.post(Notice("one more", "t", "info", 99, 1000))
    notices.post(Notice("later", "t", "info", 100, 1000))
    assert notices.withdraw("later")
    assert not notices.withdraw("later")
    notices.post(Notice("another", "t", "info", 100, 1000))


def test_it_is_encoded_once(server: Running) -> None:
    """However many are told."""
    with server.follow() as one, server.follow() as other:
        posted(server)
        for viewer in (one, other):
            viewer.wait("notice")
        (notice,) = server.ticker.hub.notices
        frame = notice.frame
        with server.follow() as third:
            third.wait("notice")
        assert notice.frame is frame


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 422, "text: Field required"),
        ({"text": ""}, 422, "text: String should have at least 1"),
        ({"text": " "}, 422, "text: expected one line of text"),
        ({"text": "x" * 501}, 422, "text: String should have at most 500"),
        ({"text": "a\nb"}, 422, "text: expected one line of text"),
        ({"text": "a\x1b[31m"}, 422, "text: expected one line of text"),
        ({"text": "a", "level": "error"}, 422, "level: Input should be 'info' or 'warning'"),
        ({"text": "a", "for": "10"}, 422, "for: expected a duration such as 250ms"),
        ({"text": "a", "for": "169h"}, 422, "for: Input should be less than"),
        ({"text": "a", "for": "0s"}, 422, "for: Input should be greater than"),
        ({"text": "a", "fro": "1h"}, 422, "fro: Extra inputs"),
        ({"text": "a", "board": "b", "viewer": "v"}, 422, "expected a board or a viewer"),
        ({"text": "a", "board": "nope"}, 404, "no board 'nope'"),
        ({"text": "a", "viewer": "nope"}, 404, "no viewer 'nope'"),
        (["text"], 422, "Input should be an object"),
        ({"text": "x" * 10_000}, 413, "at most 8,000 bytes"),
    ],
)
def test_what_is_no_notice_is_refused(
    lasting: Running, body: object, status: int, words: str
) -> None:
    """In words that name the place."""
    response = asked(lasting, "POST", "/api/notices", body)
    assert response.status_code == status
    assert response.json()["detail"].startswith(words)


async def test_a_request_that_breaks_off_is_no_defect() -> None:
    """Nothing is posted, and the log has no traceback: connections may end at any time."""
    parts: list[Message] = [
        {"type": "http.request", "body": b'{"text": "Hel', "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive() -> Message:
        return parts.pop(0)

    with pytest.raises(HTTPException, match="the body breaks off") as caught:
        await _asked(Request({"type": "http", "headers": []}, receive))
    assert caught.value.status_code == 400


def test_the_twenty_first_is_refused(server: Running) -> None:
    """Until one is withdrawn."""
    notices = [posted(server, f"Number {number}.") for number in range(NOTICES_MAX)]
    refused = asked(server, "POST", "/api/notices", {"text": "One more."})
    assert (refused.status_code, refused.json()["detail"]) == (
        409,
        "at most 20 notices at once: withdraw one first",
    )
    withdrawn(server, notices[0])
    posted(server, "One more.")
    assert len(asked(server, "GET", "/api/notices").json()["notices"]) == NOTICES_MAX
