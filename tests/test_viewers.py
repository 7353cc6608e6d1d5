"""Viewers of the real server: what they are told, and what happens when they misbehave."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import Iterator
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from tests.support import PATIENCE, Follower, Running, publish, quiet_server, serving, until
from ticker import transport
from ticker.frame import Frame, SharedWindows, is_compressed
from ticker.transport import WRITE_HIGH


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return one server for all tests that do not need their own limits."""
    with quiet_server() as running:
        yield running


def gone(server: Running) -> bool:
    """Whether nothing of any viewer is left."""
    hub = server.ticker.hub
    return not hub.viewers and not hub._channels


@pytest.fixture(autouse=True)
def nothing_is_left(server: Running) -> Iterator[None]:
    """Every test must leave the server without viewers and channels."""
    yield
    until(lambda: gone(server), what="the end of every viewer")


# -- what is told


def test_welcome_comes_first_then_the_snapshot(server: Running) -> None:
    """A viewer knows whom it talks to before it is told anything else."""
    with server.follow("b") as viewer:
        welcome, snapshot = viewer.next(), viewer.next()
    assert welcome["type"] == "welcome"
    assert (welcome["protocol"], welcome["heartbeat"]) == (1, 5)
    assert welcome["boards"] == ["b", "c"]
    assert (snapshot["type"], snapshot["title"]) == ("snapshot", "The board")
    assert snapshot["feeds"]["still"]["quality"] == "live"


def test_the_sub_protocol_is_accepted_when_offered(server: Running) -> None:
    """It is never required."""
    offered: list[str] = ["other", "ticker.v1"]
    with Follower(f"{server.url.replace('http', 'ws')}/ws", subprotocols=offered) as viewer:
        assert viewer.socket.subprotocol == "ticker.v1"
    with server.follow() as viewer:
        assert viewer.socket.subprotocol is None


def test_several_boards_on_one_connection(server: Running) -> None:
    """Each board has its own line of seqs."""
    with server.follow("b", "c") as viewer:
        viewer.follow_until(lambda v: v.rows.keys() == {"b", "c"})
        publish(server, "c", {"X": {"last": 1}})
        assert viewer.wait("diff")["board"] == "c"
        viewer.send(type="unsubscribe", board="c")
        viewer.send(type="ping")
        viewer.wait("pong")
        publish(server, "c", {"X": {"last": 2}})
        publish(server, "b", {"Y": {"last": 1}})
        assert viewer.wait("diff")["board"] == "b"


def test_a_resume_is_one_diff(server: Running) -> None:
    """Epoch and seq save the snapshot, however many seqs lie between."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        epoch, seq = viewer.epochs["b"], viewer.seqs["b"]
    publish(server, "b", {"R": {"last": 1}})
    last = publish(server, "b", {"R": {"last": 2}})
    with server.follow("b", epoch=epoch, seq=seq) as viewer:
        viewer.rows["b"], viewer.seqs["b"] = {}, seq
        diff = viewer.wait("diff")
    assert (diff["prev"], diff["seq"]) == (seq, last)
    assert diff["rows"] == {"R": {"last": 2}}


def test_the_status_says_by_how_much_a_source_is_late() -> None:
    """Where the config says it, in milliseconds; it is delayed, then, not live."""
    config = """
        feeds: {late: {kind: simulate, delay: 15m, symbols: {A: 1}}}
        boards: {b: {feeds: [late]}}
    """
    with serving(config) as server, server.follow("b") as viewer:
        until(lambda: viewer.wait("diff"), what="a first price")
        snapshot = server.get("/api/boards/b").json()
    assert snapshot["feeds"]["late"]["delay"] == 900_000
    assert snapshot["feeds"]["late"]["quality"] == "delayed"
    assert snapshot["rows"]["A"]["quality"] == "delayed"


def test_a_resume_in_the_present_brings_only_the_status(server: Running) -> None:
    """Nothing is repeated, but the feeds may have changed meanwhile."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        epoch, seq = viewer.epochs["b"], viewer.seqs["b"]
    with server.follow("b", epoch=epoch, seq=seq) as viewer:
        assert [viewer.next()["type"], viewer.next()["type"]] == ["welcome", "status"]
        viewer.send(type="ping")
        assert viewer.next()["type"] == "pong"


@pytest.mark.parametrize("place", [{"epoch": "other", "seq": 1}, {"seq": 10**9}])
def test_another_epoch_or_a_seq_from_the_future_gets_a_snapshot(
    server: Running, place: dict[str, object]
) -> None:
    """Such a viewer has another history."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        place = {"epoch": viewer.epochs["b"], **place}
        viewer.send(type="subscribe", board="b", **place)
        viewer.wait("snapshot")


def test_a_viewer_that_is_ahead_is_not_led_back(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes from a process that was quicker: it is told what comes after what it has.

    Where there is no other process it cannot have more: then it gets what there is.
    """
    seq = publish(server, rows={"SIM": {"last": 1}})
    epoch = server.ticker.boards["b"].epoch
    with server.follow("b", epoch=epoch, seq=seq + 1) as viewer:
        viewer.wait("snapshot")
    monkeypatch.setattr(server.ticker.boards["b"], "shared", True)
    with server.follow("b", epoch=epoch, seq=seq + 1) as viewer:
        viewer.rows["b"], viewer.seqs["b"] = {"SIM": {"last": 2}}, seq + 1
        viewer.wait("status")
        publish(server, rows={"SIM": {"last": 2}})
        publish(server, rows={"SIM": {"last": 3}})
        diff = viewer.wait("diff")
        assert (diff["prev"], diff["seq"]) == (seq + 1, seq + 2)
        assert "snapshot" not in [message["type"] for message in viewer.messages]


def test_a_paused_viewer_gets_one_diff_when_it_resumes(server: Running) -> None:
    """What happened meanwhile is told at once, not tick by tick."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        viewer.send(type="pause")
        viewer.send(type="ping")
        viewer.wait("pong")
        before = viewer.seqs["b"]
        for value in range(5):
            last = publish(server, "b", {"P": {"last": value}})
        viewer.send(type="resume")
        diff = viewer.wait("diff")
    assert (diff["prev"], diff["seq"], diff["rows"]) == (before, last, {"P": {"last": 4}})


def test_a_viewer_may_ask_for_fewer_frames(server: Running) -> None:
    """At 10 frames a second, 30 quick changes are a handful of diffs that lead to the end."""
    with server.follow() as slow, server.follow("b") as fast:
        slow.send(type="subscribe", board="b", rate=10)
        slow.wait("snapshot")
        fast.wait("snapshot")
        for value in range(30):
            publish(server, "b", {"Q": {"last": value}})
        for viewer in (slow, fast):
            viewer.follow_until(lambda v: v.rows["b"].get("Q") == {"last": 29})
        slow_diffs = [m for m in slow.messages if m["type"] == "diff"]
        fast_diffs = [m for m in fast.messages if m["type"] == "diff"]
        assert len(slow_diffs) < len(fast_diffs) / 2
        assert slow.rows["b"] == fast.rows["b"] == server.rows("b")


def test_viewers_of_one_rate_share_a_channel(server: Running) -> None:
    """Channels are bounded by the rates that are served, whatever viewers ask for."""
    with server.follow() as viewer, server.follow("b", rate=0.3) as other:
        for rate in (0.21, 0.29, 0.4999):
            viewer.send(type="subscribe", board="b", rate=rate)
            viewer.wait("snapshot")
            other.send(type="ping")
            other.wait("pong")
        assert len(server.ticker.hub._channels) == 1


def test_a_broadcast_that_failed_is_repeated(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the board has nothing new to say, and whatever it was that failed."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        forms = SharedWindows.forms
        failed: list[Frame] = []

        def fail_once(windows: SharedWindows, frame: Frame) -> Any:
            if not failed:
                failed.append(frame)
                raise MemoryError
            return forms(windows, frame)

        monkeypatch.setattr(SharedWindows, "forms", fail_once)
        seq = publish(server, rows={"SIM": {"last": 7}})
        viewer.follow_until(lambda v: v.seqs["b"] >= seq)
        assert failed
        assert viewer.rows["b"]["SIM"]["last"] == 7


def test_heartbeats_come_when_nothing_else_does() -> None:
    """They say where the boards are, also to a paused viewer."""
    with quiet_server(heartbeat="1s") as server, server.follow("b") as viewer:
        viewer.wait("snapshot")
        viewer.send(type="pause")
        viewer.send(type="ping")
        viewer.wait("pong")
        seq = publish(server, "b", {"H": {"last": 1}})
        assert viewer.wait("heartbeat")["seqs"] == {"b": seq}


def test_a_quiet_board_beside_a_busy_one_is_vouched_for() -> None:
    """A heartbeat comes for it, and says of the busy one where the viewer is, which is no gap."""
    with quiet_server(heartbeat="1s") as server, server.follow("b", "c") as viewer:
        viewer.follow_until(lambda v: v.rows.keys() == {"b", "c"})
        start = monotonic()
        while viewer.messages[-1]["type"] != "heartbeat":
            assert monotonic() - start < PATIENCE, "no heartbeat"
            publish(server, "b", {"H": {"last": monotonic()}})
            viewer.next()
        assert viewer.messages[-1]["seqs"] == viewer.seqs


def test_no_heartbeat_comes_while_every_board_is_busy() -> None:
    """What arrives says as much: a heartbeat would be one more message."""
    with quiet_server(heartbeat="1s") as server, server.follow("b", "c") as viewer:
        viewer.follow_until(lambda v: v.rows.keys() == {"b", "c"})
        start = monotonic()
        while monotonic() - start < 2:
            publish(server, "b", {"H": {"last": monotonic()}})
            publish(server, "c", {"H": {"last": monotonic()}})
            assert {viewer.next()["type"], viewer.next()["type"]} == {"diff"}


def test_the_end_of_the_server_is_announced() -> None:
    """Goodbye, a range of seconds to return in, and close code 4000."""
    with quiet_server() as server, server.follow("b") as viewer:
        viewer.wait("snapshot")
        server.ticker.hub.draining = True
        asyncio.run_coroutine_threadsafe(server.ticker.hub.drain(), server.loop)
        assert viewer.wait("goodbye") == {"type": "goodbye", "code": 4000, "retry": [0.0, 30.0]}
        with pytest.raises(ConnectionClosed) as closed:
            viewer.next()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 4000


# -- what viewers do wrong


def test_an_unknown_board_is_told_and_the_connection_goes_on(server: Running) -> None:
    """In the URL and in a message alike."""
    with server.follow("nope", "b") as viewer:
        assert viewer.wait("error") == {
            "type": "error",
            "code": "unknown_board",
            "message": "no board 'nope'",
            "board": "nope",
        }
        viewer.wait("snapshot")
        viewer.send(type="subscribe", board="<b>")
        assert viewer.wait("error")["code"] == "unknown_board"
        viewer.send(type="ping")
        viewer.wait("pong")


@pytest.mark.parametrize(
    "query", ["board=b&epoch=e&seq=x", "board=b&rate=fast", "board=" + "x" * 99]
)
def test_a_bad_query_is_told(server: Running, query: str) -> None:
    """The connection stands, so that the words can be read."""
    with Follower(f"{server.url.replace('http', 'ws')}/ws?{query}") as viewer:
        assert viewer.wait("error")["code"] == "bad_message"
        viewer.send(type="ping")
        viewer.wait("pong")


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ("{", 4500),
        ("[1]", 4500),
        (b"\x00\x01", 4500),
        ("x" * 20_000, 1009),
        ("[" * 10_000, 4500),
    ],
)
def test_what_is_no_message_ends_the_connection(
    server: Running, sent: str | bytes, code: int
) -> None:
    """With a close code, and an error in words where there is something to say."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        viewer.socket.send(sent)
        with pytest.raises(ConnectionClosed) as closed:
            viewer.wait("never")
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code
        if code == 4500:
            assert viewer.messages[-1]["code"] == "bad_message"


def test_an_unknown_type_is_only_told(server: Running) -> None:
    """Later versions of the page may know more than this server."""
    with server.follow("b") as viewer:
        viewer.send(type="shout")
        assert "expected type subscribe" in viewer.wait("error")["message"]
        viewer.send(type="ping")
        viewer.wait("pong")


def test_too_many_boards_are_refused() -> None:
    """The limit is told; what was subscribed stays."""
    with quiet_server() as server:
        hub = server.ticker.hub
        hub.settings = hub.settings.model_copy(update={"boards_per_viewer": 1})
        with server.follow("b", "c") as viewer:
            refused = viewer.wait("error")
            assert refused["code"] == "limit"
            assert refused["board"]
            viewer.send(type="subscribe", board="b")
            viewer.wait("snapshot")


def test_too_many_viewers_are_refused_before_the_upgrade() -> None:
    """With 503 and Retry-After, over WebSocket and Server-Sent Events."""
    with quiet_server(viewers=1) as server, server.follow("b") as viewer:
        viewer.wait("snapshot")
        with pytest.raises(InvalidStatus) as refused, server.follow("b"):
            pass
        for response in (refused.value.response, server.get("/events?board=b")):
            assert response.status_code == 503
            assert response.headers["Retry-After"] == "10"


def raw_viewer(server: Running, *, receive: int) -> socket.socket:
    """Return a socket that has upgraded and watches `b`, with a receive buffer of that size."""
    host, port = server.url.removeprefix("http://").split(":")
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
    raw.connect((host, int(port)))
    raw.sendall(
        b"GET /ws?board=b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while b"\r\n\r\n" not in head:
        head += raw.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return raw


def big(value: int) -> dict[str, dict[str, object]]:
    """Return rows of about 100 KB that all change with ``value``."""
    return {f"S{i}": {"name": f"{value}-{i}-" + "x" * 180} for i in range(500)}


def test_who_never_reads_is_ended_and_disturbs_nobody() -> None:
    """Memory stays bounded by the buffer and one message; the others get every diff."""
    with quiet_server(stall="1s") as server:
        stalled = raw_viewer(server, receive=4096)
        with server.follow("b") as viewer:
            viewer.wait("snapshot")
            hub = server.ticker.hub
            until(lambda: len(hub.viewers) == 2)
            for value in range(30):
                publish(server, "b", big(value))
                viewer.follow_until(lambda v: v.seqs["b"] == hub.boards["b"].seq)
                waiting = [v.connection.pending() for v in hub.viewers]
                assert max(waiting, default=0) < WRITE_HIGH + 150_000
            until(lambda: len(hub.viewers) == 1, what="the end of the stalled viewer")
            assert hub.closed == {"too slow": 1}
        stalled.close()


def test_who_reads_slowly_skips_to_the_present() -> None:
    """A viewer that fell behind gets one diff from where it is to now."""
    with quiet_server() as server:
        raw = raw_viewer(server, receive=4096)
        (viewer,) = until(lambda: server.ticker.hub.viewers)
        for value in range(200):
            publish(server, "b", big(value))
        assert not viewer.ready
        watch = viewer.watches["b"]
        behind = watch.seq
        assert behind < server.ticker.boards["b"].seq - 50
        drained = 0
        raw.settimeout(5)
        while watch.seq != server.ticker.boards["b"].seq:
            drained += len(raw.recv(1_000_000))
        assert drained < 60 * 110_000, "it was sent what it could have skipped"
        raw.close()


def test_who_vanishes_without_a_close_is_forgotten(server: Running) -> None:
    """A reset connection is noticed by itself."""
    raw = raw_viewer(server, receive=65_536)
    until(lambda: server.ticker.hub.viewers)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
    until(lambda: gone(server))


def test_who_answers_no_ping_is_ended_as_silent() -> None:
    """A half-open connection is found out; its close code says to come back."""
    with quiet_server(pings=0.2) as server:
        raw = raw_viewer(server, receive=65_536)
        raw.settimeout(5)
        received = b""
        while chunk := raw.recv(65_536):
            received += chunk
        assert received.endswith(b"\x88\x08" + struct.pack("!H", 4002) + b"silent")
        raw.close()


def test_a_reader_of_events_that_stalls_is_ended() -> None:
    """Server-Sent Events have the same limits as sockets."""
    with quiet_server(stall="1s") as server:
        host, port = server.url.removeprefix("http://").split(":")
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        raw.connect((host, int(port)))
        raw.sendall(b"GET /events?board=b HTTP/1.1\r\nHost: x\r\n\r\n")
        hub = server.ticker.hub
        until(lambda: hub.viewers)
        for value in range(30):
            publish(server, "b", big(value))
        until(lambda: not hub.viewers, what="the end of the stalled viewer")
        assert hub.closed == {"too slow": 1}
        raw.close()


def test_a_burst_of_connects_and_disconnects_leaves_nothing(server: Running) -> None:
    """Viewers, channels, tasks and sockets return to where they were."""
    raw_viewer(server, receive=65_536).close()
    until(lambda: gone(server))

    def tasks() -> int:
        return server.call(lambda: len(asyncio.all_tasks()))

    before = tasks()
    for _ in range(10):
        burst = [raw_viewer(server, receive=65_536) for _ in range(100)]
        publish(server, "b", {"Z": {"last": len(burst) * 7 + _}})
        for raw in burst:
            raw.close()
    until(lambda: gone(server))
    until(lambda: tasks() <= before, what="the end of every task")
    gc.collect()


def test_a_message_flood_is_read_at_the_pace_of_the_answers(server: Running) -> None:
    """Who does not read its answers is not listened to: nothing piles up."""
    raw = raw_viewer(server, receive=4096)
    (viewer,) = until(lambda: server.ticker.hub.viewers)
    text = orjson.dumps({"type": "subscribe", "board": "b"})
    frame = bytes([0x81, 0x80 | len(text)]) + bytes(4) + text
    publish(server, "b", big(0))
    raw.settimeout(0.5)
    with pytest.raises(TimeoutError):
        raw.sendall(frame * 1_000_000)
    assert viewer.connection.pending() < WRITE_HIGH + 250_000
    raw.close()


# -- over HTTP


def events(server: Running, path: str, count: int, **headers: str) -> list[dict[str, str]]:
    """Return the first events of a stream, as their fields."""
    found: list[dict[str, str]] = []
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.stream("GET", server.url + path, headers=named, timeout=10) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        event: dict[str, str] = {}
        for line in response.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event[name] = value
            elif "data" in event:
                found.append(event)
                event = {}
            if len(found) == count:
                break
    return found


def test_events_are_the_same_messages(server: Running) -> None:
    """Server-Sent Events carry welcome and snapshot, with a place to resume from."""
    welcome, snapshot = events(server, "/events?board=b", 2)
    assert orjson.loads(welcome["data"])["type"] == "welcome"
    message = orjson.loads(snapshot["data"])
    assert message == server.get("/api/boards/b").json()
    assert snapshot["id"] == f"{message['epoch']}:{message['seq']}"


def test_events_resume_by_their_last_id(server: Running) -> None:
    """A browser that reconnects by itself gets one diff."""
    place = events(server, "/events?board=b", 2)[1]["id"]
    publish(server, "b", {"E": {"last": 5}})
    _, found = events(server, "/events?board=b", 2, Last_Event_ID=place)
    assert orjson.loads(found["data"])["rows"] == {"E": {"last": 5}}


@pytest.mark.parametrize("place", ["", ":", "x", "e:-1", "e:" + "9" * 30, "e:1:2"])
def test_a_bad_last_event_id_gets_a_snapshot(server: Running, place: str) -> None:
    """It is a viewer without a history."""
    _, found = events(server, "/events?board=b", 2, Last_Event_ID=place)
    assert orjson.loads(found["data"])["type"] == "snapshot"


@pytest.mark.parametrize("path", ["/events?board=nope", "/api/boards/nope"])
def test_an_unknown_board_is_not_found(server: Running, path: str) -> None:
    """Over HTTP that is 404, in words."""
    response = server.get(path)
    assert response.status_code == 404
    assert response.json() == {"detail": "no board 'nope'"}


def test_the_snapshot_has_an_etag(server: Running) -> None:
    """Unchanged, it is not sent again; changed, it is."""
    response = server.get("/api/boards/b", accept_encoding="identity")
    etag = response.headers["etag"]
    message = response.json()
    assert etag == f'"{message["epoch"]}-{message["seq"]}"'
    assert server.get("/api/boards/b", If_None_Match=f'W/{etag}, "x"').status_code == 304
    publish(server, "b", {"T": {"last": message["seq"]}})
    assert server.get("/api/boards/b", If_None_Match=etag).status_code == 200


def test_a_snapshot_is_encoded_once_per_seq(server: Running) -> None:
    """However many ask for it, over whatever they ask."""
    live = server.ticker.boards["b"]
    frames = {id(server.call(live.snapshot)) for _ in range(5)}
    assert len(frames) == 1


def test_every_response_has_the_security_headers(server: Running) -> None:
    """Also errors, files and the page."""
    for path in ("/", "/api/boards", "/nope", "/api/boards/nope", "/config.schema.json"):
        headers = server.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"


def test_who_cannot_be_written_to_is_dropped_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Short of memory nobody knows what went out: who comes back gets what it lacks."""
    failed: list[object] = []

    def short(data: bytes) -> bool:
        if not failed:
            failed.append(data)
            raise MemoryError
        return is_compressed(data)

    with quiet_server() as server, server.follow("b") as one, server.follow("b") as other:
        for viewer in (one, other):
            viewer.wait("snapshot")
        one.send(type="pause")
        one.send(type="ping")
        one.wait("pong")
        publish(server, rows={"SIM": {"last": 1}})
        other.wait("diff")
        monkeypatch.setattr(transport, "is_compressed", short)
        one.send(type="resume")
        with pytest.raises(ConnectionClosed):
            one.wait("diff")
        publish(server, rows={"SIM": {"last": 2}})
        other.wait("diff")
    assert failed
