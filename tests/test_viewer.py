"""One viewer that cannot take everything at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

import pytest

from tests.support import eventually
from ticker import channel
from ticker.entry import FeedStatus
from ticker.frame import Frame
from ticker.hub import Hub
from ticker.live import LiveBoard, Shape
from ticker.protocol import CloseCode, Subscribe
from ticker.quality import Quality
from ticker.traffic import Traffic
from ticker.viewer import NO_SOCKET, Watch


class OneFrameConnection:
    """A connection that takes one frame, and the next only after ``drained``."""

    fd = NO_SOCKET
    compresses = False
    kind = "websocket"

    def __init__(self) -> None:
        self.writable = True
        self.traffic = Traffic()
        self.taken: list[dict[str, object]] = []
        self.on_full: Callable[[], None] = lambda: None
        self.on_writable: Callable[[], None] = lambda: None
        self.on_lost: Callable[[str], None] = lambda _: None

    def write(self, frame: Frame, watch: Watch | None = None) -> None:
        assert self.writable, "written to a connection that is full"
        self.writable = False
        self.taken.append(json.loads(frame.text))
        self.on_full()

    def write_rest(self, data: bytes, sent: int) -> None:
        raise AssertionError("there is no socket")

    def leave(self, watch: Watch) -> None:
        """There is no window."""

    async def drain(self) -> None:
        """Nothing is read from this viewer."""

    def pending(self) -> int:
        return 0

    def sent(self) -> int | None:
        return None

    def close(self, code: CloseCode) -> None:
        """Be gone."""

    def drained(self) -> None:
        """Take another frame."""
        self.writable = True
        self.on_writable()


def board(name: str) -> LiveBoard:
    """Return a board that moves with each ``tick``."""
    return LiveBoard(name, "e", Shape("B", "quotes", [], ["f"], flush_interval=0.1))


def tick(live: LiveBoard) -> None:
    """Publish a change."""
    live.board.apply("f", {"A": {"last": live.seq}})
    live.flush(float(live.seq))


async def test_a_slow_viewer_of_two_busy_boards_is_told_of_both() -> None:
    """However fast the first board moves, the second has its turn."""
    boards = {"a": board("a"), "b": board("b")}
    hub = Hub(boards)
    connection = OneFrameConnection()
    viewer = hub.join(connection)
    for name in boards:
        hub.subscribe(viewer, Subscribe(board=name))
    for _ in range(10):
        for live in boards.values():
            tick(live)
        connection.drained()
    told = [message["board"] for message in connection.taken if "board" in message]
    assert told == ["a", "b"] * 5
    hub.close()


async def test_a_viewer_that_lags_gets_the_present_not_the_past() -> None:
    """What it is given after a while is one diff from where it is to now."""
    live = board("a")
    tick(live)
    hub = Hub({"a": live})
    connection = OneFrameConnection()
    viewer = hub.join(connection)
    hub.subscribe(viewer, Subscribe(board="a"))
    connection.drained()
    for _ in range(5):
        tick(live)
    connection.drained()
    assert [m["type"] for m in connection.taken] == ["welcome", "snapshot", "diff"]
    assert (connection.taken[2]["prev"], connection.taken[2]["seq"]) == (1, 6)
    hub.close()


async def test_a_viewer_that_takes_nothing_is_noticed_and_one_that_moves_is_not() -> None:
    """Slow is no reason to be ended; standing still is."""
    connection = OneFrameConnection()
    waiting = [1000]
    connection.pending = lambda: waiting[0]  # type: ignore[method-assign] # what is tested
    hub = Hub({})
    viewer = hub.join(connection)
    since = viewer.stalled_for(0.0)
    assert viewer.stalled_for(10.0) - since == 10.0
    waiting[0] = 900
    assert viewer.stalled_for(20.0) == 0.0
    assert viewer.stalled_for(25.0) == 5.0
    connection.drained()
    assert viewer.stalled_for(99.0) == 0.0
    hub.close()


async def test_who_leaves_during_a_tick_is_not_told_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Others have their turn while a tick goes out; what they change counts at once."""
    monkeypatch.setattr(channel, "AT_ONCE", 1)
    live = board("a")
    tick(live)
    hub = Hub({"a": live})
    connections = [OneFrameConnection() for _ in range(3)]
    viewers = [hub.join(connection) for connection in connections]
    for viewer, connection in zip(viewers, connections, strict=True):
        hub.subscribe(viewer, Subscribe(board="a"))
        connection.drained()
        connection.drained()
    tick(live)
    hub.publish(live)
    await eventually(lambda: len(connections[0].taken) == 3)
    hub.unsubscribe(viewers[1], "a")
    await eventually(lambda: len(connections[2].taken) == 3)
    assert len(connections[1].taken) == 2
    hub.close()


async def test_a_new_viewer_is_told_the_feeds_present_status() -> None:
    """Also where the status changed and no row did."""
    live = board("a")
    tick(live)
    hub = Hub({"a": live})
    first, second = OneFrameConnection(), OneFrameConnection()
    hub.subscribe(hub.join(first), Subscribe(board="a"))
    first.drained()
    live.report("f", FeedStatus(Quality.DOWN, why="HTTP 503"))
    assert live.flush(1.0)
    hub.subscribe(hub.join(second), Subscribe(board="a"))
    second.drained()
    assert second.taken[-1]["feeds"] == {"f": {"quality": "down", "why": "HTTP 503"}}
    hub.close()


async def test_only_who_is_ready_is_told_how_many_watch() -> None:
    """Who lags or pauses is counted, but told the next count that comes when it is ready."""
    live = board("a")
    tick(live)
    hub = Hub({"a": live, "b": board("b")})
    ready, lagging, paused = (OneFrameConnection() for _ in range(3))
    for connection in (ready, lagging, paused):
        viewer = hub.join(connection)
        hub.subscribe(viewer, Subscribe(board="a"))
        connection.drained()  # and so the snapshot comes
    ready.drained()
    viewer.pause()
    paused.drained()
    await hub.tell_viewers()
    said = {"type": "viewers", "board": "a", "viewers": 3}
    assert [c.taken[-1] == said for c in (ready, lagging, paused)] == [True, False, False]
    hub.leave(viewer)
    lagging.drained()
    await hub.tell_viewers()
    assert lagging.taken[-1] == {**said, "viewers": 2}
    hub.close()


async def test_who_leaves_a_board_during_the_count_is_told_nothing_more_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Others have their turn meanwhile; who changed to another board knows nothing of this one."""
    monkeypatch.setattr(channel, "AT_ONCE", 1)
    live = board("a")
    hub = Hub({"a": live})
    connections = [OneFrameConnection() for _ in range(2)]
    for connection in connections:
        viewer = hub.join(connection)
        hub.subscribe(viewer, Subscribe(board="a"))
        for _ in range(2):
            connection.drained()
    telling = asyncio.create_task(hub.tell_viewers())
    await eventually(lambda: connections[0].taken[-1]["type"] == "viewers")
    hub.unsubscribe(viewer, "a")
    await telling
    assert connections[1].taken[-1]["type"] == "snapshot"
    hub.close()


async def test_a_diff_to_the_present_is_counted_with_its_lag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Since the viewer fell behind; a pause that it asked for is none."""
    live = board("a")
    tick(live)
    hub, connection = Hub({"a": live}), OneFrameConnection()
    now = 1000.0
    monkeypatch.setattr("ticker.viewer.monotonic", lambda: now)
    viewer = hub.join(connection)
    connection.drained()
    hub.subscribe(viewer, Subscribe(board="a"))  # the snapshot fills it
    assert viewer.state == "lagging"
    tick(live)
    now += 4.0
    connection.drained()
    traffic = hub.traffic
    assert (traffic.conflated, sum(traffic.lags.counts), traffic.lags.seconds) == (1, 1, 4.0)
    connection.drained()
    viewer.pause()
    assert viewer.state == "paused"
    tick(live)
    now += 60.0
    viewer.resume()
    assert (traffic.conflated, sum(traffic.lags.counts)) == (2, 1)
    assert [message["type"] for message in connection.taken] == [
        *("welcome", "snapshot", "diff", "diff")
    ]
    hub.close()


class ReadyConnection(OneFrameConnection):
    """A connection that takes every frame."""

    def write(self, frame: Frame, watch: Watch | None = None) -> None:
        self.taken.append(json.loads(frame.text))

    def epochs(self) -> list[object]:
        """Return of which epochs it was told the whole."""
        return [m["epoch"] for m in self.taken if m["type"] == "snapshot"]


async def test_a_snapshot_is_not_told_on_when_its_epoch_is_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those who have not got it yet get the one of the new epoch."""
    monkeypatch.setattr(channel, "AT_ONCE", 1)
    live = board("a")
    tick(live)
    hub = Hub({"a": live})
    first, *others = connections = [ReadyConnection() for _ in range(3)]
    for connection in connections:
        hub.subscribe(hub.join(connection), Subscribe(board="a"))
    hub.restart(live)
    await eventually(lambda: len(first.epochs()) == 2)
    live.begin("new")
    hub.restart(live)
    await eventually(lambda: all(c.epochs()[-1] == "new" for c in connections))
    assert [c.epochs() for c in others] == [["e", "new"]] * 2
    hub.close()
