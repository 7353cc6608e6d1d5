"""How many watch a board: told by the real server to all who do, and only when it changes."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

import httpx
import orjson
import pytest

from tests.support import PATIENCE, Follower, Running, publish, quiet_server

PRESENCE = 0.3


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server that counts often."""
    with quiet_server(presence=f"{PRESENCE * 1000:.0f}ms") as running:
        yield running


def told(viewer: Follower, count: int) -> None:
    """Wait until ``viewer`` is told that so many watch `b`."""
    while (message := viewer.wait("viewers"))["viewers"] != count:
        assert message.keys() == {"type", "board", "viewers"}
    assert message["board"] == "b"


@pytest.mark.parametrize("compression", ["deflate", None])
def test_everybody_is_told_who_joins_and_leaves(server: Running, compression: str | None) -> None:
    """Whoever joined is told, too, at any rate and whether it compresses or not."""
    url = f"{server.url.replace('http', 'ws')}/ws?board=b&rate=1"
    with server.follow("b") as first:
        told(first, 1)
        with Follower(url, compression=compression) as second:
            told(second, 2)
            told(first, 2)
        told(first, 1)


def test_a_board_of_others_is_no_news(server: Running) -> None:
    """What is told is told to those who watch that board, after its snapshot."""
    with server.follow("c") as viewer:
        assert viewer.wait("viewers") == {"type": "viewers", "board": "c", "viewers": 1}
        assert [m["type"] for m in viewer.messages] == ["welcome", "snapshot", "viewers"]
        with server.follow("b") as other:
            told(other, 1)
        viewer.send(type="ping")
        assert viewer.next()["type"] == "pong"


def test_a_count_that_does_not_change_is_told_once(server: Running) -> None:
    """While another board is counted again and again, this one stays quiet."""
    with server.follow("c") as viewer:
        viewer.wait("viewers")
        for _ in range(3):
            with server.follow("b") as other:
                told(other, 1)
        viewer.send(type="ping")
        assert viewer.next()["type"] == "pong"


def test_it_is_told_at_most_once_in_that_time(server: Running) -> None:
    """However many come and go."""
    with server.follow("b") as viewer:
        start = monotonic()
        told(viewer, 1)
        for _ in range(20):
            with server.follow("b"):
                pass
        told(viewer, 1)
        counts = sum(message["type"] == "viewers" for message in viewer.messages)
        assert counts <= (monotonic() - start) / PRESENCE + 1


def test_diffs_go_on_around_it(server: Running) -> None:
    """A count between two diffs of a shared window leaves no gap; the viewer's inflater checks."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        for value in range(20):
            with server.follow("b") as other:
                publish(server, "b", {"A": {"last": value}})
                other.wait("viewers")
        viewer.follow_until(lambda v: v.rows["b"].get("A") == {"last": 19})
        assert any(message["type"] == "viewers" for message in viewer.messages)


def test_events_carry_it_too(server: Running) -> None:
    """As one more message without an id: a resume goes on from the diff before."""
    with httpx.stream("GET", f"{server.url}/events?board=b", timeout=PATIENCE) as response:
        events: list[list[str]] = [[]]
        for line in response.iter_lines():
            events[-1].append(line)
            if not line:
                if any('"viewers"' in part for part in events[-1]):
                    break
                events.append([])
    (data, end) = events[-1]
    assert orjson.loads(data.removeprefix("data: ")) == {
        "type": "viewers",
        "board": "b",
        "viewers": 1,
    }
    assert end == ""


def test_it_may_be_switched_off() -> None:
    """With 0 nobody is told anything, and nothing runs for it."""
    with quiet_server(heartbeat="500ms", presence="0s") as server, server.follow("b") as viewer:
        with server.follow("b") as other:
            other.wait("heartbeat")
        viewer.wait("heartbeat")
        assert "viewers" not in {message["type"] for message in viewer.messages}
        assert server.ticker.hub.settings.presence == 0


def test_counts_do_not_hold_heartbeats_back() -> None:
    """However often a viewer is told how many they are, its quiet board is vouched for in time."""
    with quiet_server(heartbeat="1s", presence="100ms") as server, server.follow("b") as viewer:
        told(viewer, 1)
        start = monotonic()
        while "heartbeat" not in {message["type"] for message in viewer.messages}:
            assert monotonic() - start < PATIENCE, "no heartbeat"
            with server.follow("b"):
                told(viewer, 2)
            told(viewer, 1)
