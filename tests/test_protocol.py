"""Every message of the wire, and every close code."""

from __future__ import annotations

import re
from collections.abc import Callable

import orjson
import pytest
from websockets.frames import Frame as WebSocketFrame
from websockets.streams import StreamReader

from ticker import protocol
from ticker.frame import UNTOLD, Frame
from ticker.protocol import BadMessage, CloseCode, ErrorCode


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 200_000])
def test_a_frame_is_what_rfc_6455_says(size: int) -> None:
    """An independent parser reads back one final, unmasked text frame."""
    text = b"x" * size
    reader = StreamReader()
    reader.feed_data(Frame(text).websocket)
    parsing = WebSocketFrame.parse(reader.read_exact, mask=False, max_size=None)
    with pytest.raises(StopIteration) as done:
        next(parsing)
    frame = done.value.value
    assert (frame.fin, frame.opcode, bytes(frame.data)) == (True, 1, text)
    assert reader.buffer == b""


def test_each_form_of_a_frame_is_made_once() -> None:
    """What goes to every viewer is the same object."""
    frame = Frame(b"{}")
    assert frame.websocket is frame.websocket
    assert frame.event is frame.event


def test_what_is_of_a_board_knows_its_place() -> None:
    """Viewers are told from it where they are."""
    found = protocol.diff("b", epoch="e1", prev=1, seq=2, at=5, rows={})
    assert (found.epoch, found.prev, found.seq) == ("e1", 1, 2)
    whole = protocol.snapshot(
        "b", epoch="e1", seq=2, at=5, title="B", layout="quotes", columns=[], rows={}, feeds={}
    )
    assert (whole.epoch, whole.prev, whole.seq) == ("e1", UNTOLD, 2)


def test_an_event_carries_its_place() -> None:
    """The id resumes a board; messages without a place have none."""
    found = protocol.diff("b", epoch="e1", prev=1, seq=2, at=5, rows={})
    assert found.event.startswith(b"id: e1:2\ndata: {")
    assert found.event.endswith(b"}\n\n")
    assert protocol.pong(1).event.startswith(b"data: ")


@pytest.mark.parametrize(
    ("say", "message"),
    [
        (
            lambda: protocol.welcome("v1", 5, ["b"], "p"),
            {
                "type": "welcome",
                "protocol": 1,
                "viewer": "v1",
                "heartbeat": 5,
                "boards": ["b"],
                "page": "p",
            },
        ),
        (
            lambda: protocol.welcome("v1", 2.5, [], until=9),
            {
                "type": "welcome",
                "protocol": 1,
                "viewer": "v1",
                "heartbeat": 2.5,
                "boards": [],
                "page": "",
                "until": 9,
            },
        ),
        (
            lambda: protocol.snapshot(
                "b",
                epoch="e",
                seq=3,
                at=9,
                title="B",
                layout="quotes",
                columns=[{"field": "last"}],
                rows={"A": {"last": 1}},
                feeds={"f": {"quality": "live"}},
            ),
            {
                "type": "snapshot",
                "board": "b",
                "epoch": "e",
                "seq": 3,
                "at": 9,
                "title": "B",
                "layout": "quotes",
                "columns": [{"field": "last"}],
                "rows": {"A": {"last": 1}},
                "feeds": {"f": {"quality": "live"}},
            },
        ),
        (
            lambda: protocol.diff("b", epoch="e", prev=3, seq=5, at=9, rows={"A": None}),
            {"type": "diff", "board": "b", "prev": 3, "seq": 5, "at": 9, "rows": {"A": None}},
        ),
        (
            lambda: protocol.status("b", {"f": {"quality": "stale"}}),
            {"type": "status", "board": "b", "feeds": {"f": {"quality": "stale"}}},
        ),
        (lambda: protocol.viewers("b", 3), {"type": "viewers", "board": "b", "viewers": 3}),
        (lambda: protocol.boards(["a", "b"]), {"type": "boards", "boards": ["a", "b"]}),
        (
            lambda: protocol.heartbeat(9, {"b": 5}),
            {"type": "heartbeat", "at": 9, "seqs": {"b": 5}},
        ),
        (
            lambda: protocol.error(ErrorCode.UNKNOWN_BOARD, "no"),
            {"type": "error", "code": "unknown_board", "message": "no"},
        ),
        (
            lambda: protocol.error(ErrorCode.LIMIT, "no", "b"),
            {"type": "error", "code": "limit", "message": "no", "board": "b"},
        ),
        (
            lambda: protocol.notice("n1", "Hello", level="info", at=5, until=9, board=None),
            {"type": "notice", "id": "n1", "text": "Hello", "level": "info", "at": 5, "until": 9},
        ),
        (
            lambda: protocol.notice("n1", "Hello", level="info", at=5, until=9, board="b"),
            {
                "type": "notice",
                "id": "n1",
                "text": "Hello",
                "level": "info",
                "at": 5,
                "until": 9,
                "board": "b",
            },
        ),
        (lambda: protocol.withdrawn("n1"), {"type": "notice", "id": "n1", "text": None}),
        (
            lambda: protocol.goodbye(CloseCode.DRAINING, (0, 30)),
            {"type": "goodbye", "code": 4000, "retry": [0, 30]},
        ),
        (
            lambda: protocol.goodbye(CloseCode.LIMIT, None),
            {"type": "goodbye", "code": 4503, "retry": None},
        ),
        (lambda: protocol.token(9), {"type": "token", "until": 9}),
        (lambda: protocol.token(None), {"type": "token", "until": None}),
        (lambda: protocol.pong(9), {"type": "pong", "at": 9}),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_server_messages(say: Callable[[], Frame], message: dict[str, object]) -> None:
    """Each message is exactly what docs/protocol.md shows."""
    assert orjson.loads(say().text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"type":"subscribe","board":"b"}', protocol.Subscribe(board="b")),
        (
            '{"type":"subscribe","board":"b","epoch":"e","seq":7,"rate":2}',
            protocol.Subscribe(board="b", epoch="e", seq=7, rate=2),
        ),
        ('{"type":"unsubscribe","board":"b"}', protocol.Unsubscribe(board="b")),
        ('{"type":"pause"}', protocol.Pause()),
        ('{"type":"resume"}', protocol.Resume()),
        ('{"type":"ping","more":1}', protocol.Ping()),
    ],
)
def test_viewer_messages(text: str, message: protocol.ViewerMessage) -> None:
    """Each message is understood; keys of later versions are ignored."""
    assert protocol.parse(text) == message


@pytest.mark.parametrize(
    ("text", "words", "fatal"),
    [
        ("", "expected a JSON object", True),
        ("{", "expected a JSON object", True),
        ("[]", "expected a JSON object", True),
        ("7", "expected a JSON object", True),
        ("[" * 100_000, "expected a JSON object", True),
        ("{}", "expected type subscribe, unsubscribe, pause, resume, ping or token", False),
        ('{"type":"shout"}', "expected type subscribe", False),
        ('{"type":7}', "expected type subscribe", False),
        ('{"type":"subscribe"}', "board: Field required", False),
        ('{"type":"subscribe","board":7}', "board: Input should be a valid string", False),
        ('{"type":"subscribe","board":""}', "board: ", False),
        ('{"type":"subscribe","board":"b","seq":-1}', "seq: ", False),
        ('{"type":"subscribe","board":"b","seq":"7"}', "seq: ", False),
        ('{"type":"subscribe","board":"b","seq":1e400}', "expected a JSON object", True),
        ('{"type":"subscribe","board":"b","rate":0}', "rate: ", False),
    ],
)
def test_bad_viewer_messages(text: str, words: str, fatal: bool) -> None:
    """What is no JSON object ends the connection; everything else is only answered."""
    with pytest.raises(BadMessage, match=f"^{re.escape(words)}") as caught:
        protocol.parse(text)
    assert caught.value.fatal is fatal


@pytest.mark.parametrize("query", [{"epoch": "e"}, {"seq": "7"}])
def test_half_a_place_resumes_nothing(query: dict[str, str]) -> None:
    """A seq means nothing without its epoch."""
    assert protocol.parse_query(query, ["a"]) == [protocol.Subscribe(board="a")]


def test_a_query_has_place_and_rate() -> None:
    """The rate is for all of its boards."""
    query = {"epoch": "e", "seq": "7", "rate": "2.5"}
    assert protocol.parse_query(query, ["a"]) == [
        protocol.Subscribe(board="a", epoch="e", seq=7, rate=2.5)
    ]
    assert [found.rate for found in protocol.parse_query(query, ["a", "b"])] == [2.5, 2.5]


def test_a_query_resumes_only_one_board() -> None:
    """An epoch belongs to one board."""
    query = {"epoch": "e", "seq": "7"}
    assert protocol.parse_query(query, ["a"]) == [protocol.Subscribe(board="a", epoch="e", seq=7)]
    assert protocol.parse_query(query, ["a", "b"]) == [
        protocol.Subscribe(board="a"),
        protocol.Subscribe(board="b"),
    ]


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"epoch": "e", "seq": "x"}, "expected numbers as seq and rate"),
        ({"rate": "fast"}, "expected numbers as seq and rate"),
        ({"rate": "-1"}, "rate: Input should be greater than 0"),
        ({"rate": "inf"}, "rate: "),
        ({"rate": "nan"}, "rate: "),
        ({"epoch": "e", "seq": "-1"}, "seq: "),
        ({"epoch": "e" * 65, "seq": "1"}, "epoch: "),
    ],
)
def test_a_bad_query_is_told(query: dict[str, str], words: str) -> None:
    """Numbers that are none are named, not guessed."""
    with pytest.raises(BadMessage, match=f"^{words}") as caught:
        protocol.parse_query(query, ["a"])
    assert caught.value.fatal is False


@pytest.mark.parametrize(
    ("seconds", "there"), [(None, None), (0, 0), (1.5, 1500), (1e9 + 0.0006, 1_000_000_000_001)]
)
def test_times_on_the_wire_are_whole_milliseconds(seconds: float | None, there: int | None) -> None:
    """No time stays none."""
    assert protocol.ms(seconds) == there


@pytest.mark.parametrize("code", list(CloseCode))
def test_close_codes_carry_their_rule(code: CloseCode) -> None:
    """Below 4500 the viewer comes back; the reason fits a close frame."""
    assert code.final is (code.value >= 4500)
    assert 4000 <= code < 5000
    assert 0 < len(code.reason.encode()) <= 123
