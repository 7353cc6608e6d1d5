"""What a viewer says of where it is: it is led to the present from there, or told everything.

An input is a URL's query and a Last-Event-ID.
"""

from __future__ import annotations

from contextlib import aclosing
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import orjson
from hypothesis import strategies as st

from tests.fuzz.kit import bounded, joined, parts, run
from ticker import diff, events, protocol
from ticker.access import Access, Entry
from ticker.config import Access as AccessSettings
from ticker.config import Server
from ticker.diff import Rows
from ticker.frame import Frame
from ticker.hub import Hub, Refused
from ticker.live import LiveBoard, Shape
from ticker.plain import PlainConnection
from ticker.protocol import BadMessage, CloseCode
from ticker.tokens import FREE
from ticker.viewer import Watch

EPOCH = "k3x9"
SEQS = 12
FIRST = 4
"""The oldest seq from which a diff leads on."""


class Listener(PlainConnection):
    """A connection that remembers what was written."""

    kind = "websocket"

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []

    def write(self, frame: Frame, watch: Watch | None = None) -> None:
        """Take a message."""
        self.heard.append(orjson.loads(frame.text))

    def close(self, code: CloseCode) -> None:
        """Do nothing: nobody ends it."""


@cache
def board() -> tuple[LiveBoard, list[Rows]]:
    """Return a board, and its rows at each seq."""
    live = LiveBoard("b", EPOCH, Shape("B", "quotes", [], ["f"], 0.1))
    states: list[Rows] = [{}]
    for seq in range(1, SEQS + 1):
        if seq == FIRST:
            live.board.renew()
        else:
            rows: Rows = {
                f"S{seq % 5}": {"last": seq},
                f"S{seq % 3}": {"name": str(seq), "last": 1},
            }
            live.board.apply("f", rows, complete=seq % 4 == 0)
            live.flush(float(seq))
        assert live.seq == seq
        states.append(dict(live.board.snapshot().rows))
    return live, states


def one(data: bytes) -> None:
    """Hold that whoever says to be at a seq has what there is afterwards, and nobody else's."""
    query, last_id = parts(data, 2)
    with bounded():
        run(_over_websocket(query))
        run(_as_events(last_id.decode("latin-1")))


async def _over_websocket(query: bytes) -> None:
    live, _ = board()
    hub = Hub({"b": live})
    found = parse_qs(query.decode("latin-1"))
    boards = list(dict.fromkeys(found.pop("board", [])))
    try:
        wanted = protocol.parse_query({name: texts[0] for name, texts in found.items()}, boards)
    except BadMessage as bad:
        assert 0 < len(str(bad)) <= 300
        assert str(bad).isprintable()
        return
    connection = Listener()
    viewer = hub.join(connection)
    for one in wanted:
        connection.heard.clear()
        try:
            hub.subscribe(viewer, one)
        except Refused as refused:
            protocol.error(refused.code, str(refused), one.board)
            continue
        _is_led(one.epoch, one.seq, connection.heard)
    hub.leave(viewer)
    assert not hub.watching()


async def _as_events(last_id: str) -> None:
    live, _ = board()
    hub = Hub({"b": live})
    entry = Entry("", FREE)
    access = Access(AccessSettings(), Server())
    heard = []
    stream: Any = events.stream(hub, access, entry, ["b"], last_id)
    async with aclosing(stream):
        async for chunk in stream:
            *_, text = chunk.rstrip(b"\n").split(b"\n")
            if text.startswith(b"data: "):
                heard.append(orjson.loads(text.removeprefix(b"data: ")))
            if heard and heard[-1]["type"] in {"snapshot", "diff", "status"}:
                break
    epoch, _, seq = last_id.partition(":")
    number = int(seq) if seq.isascii() and seq.isdecimal() and len(seq) < 19 else None
    _is_led(epoch, number, [m for m in heard if m["type"] != "welcome"])
    assert not hub.viewers


def _is_led(epoch: str | None, seq: int | None, heard: list[Any]) -> None:
    """Fail unless what was heard leads from there to the present."""
    live, states = board()
    known = epoch == EPOCH and seq is not None and FIRST <= seq <= SEQS
    first = heard[0]
    if not known:
        assert first["type"] == "snapshot", first
        assert first["rows"] == states[-1]
        assert (first["epoch"], first["seq"]) == (live.epoch, live.seq)
        return
    assert seq is not None
    if seq == SEQS:
        assert first["type"] != "snapshot"
        return
    assert (first["type"], first["prev"], first["seq"]) == ("diff", seq, live.seq)
    assert diff.apply(states[seq], first["rows"]) == states[-1]


def inputs() -> st.SearchStrategy[bytes]:
    """Return queries and ids that are nearly right."""
    numbers = [
        "0",
        "12",
        "4",
        "13",
        "-1",
        "1_0",
        "٣",
        " 5 ",
        "+5",
        "1e3",
        "nan",
        "inf",
        "9" * 5_000,
    ]
    number = st.one_of(st.sampled_from(numbers), st.integers(0, 14).map(str), st.text(max_size=3))
    epoch = st.sampled_from([EPOCH, EPOCH, EPOCH, "", "other", "%ff", "x" * 70])
    name = st.sampled_from(["board", "board", "epoch", "seq", "rate", "token"])
    query = st.lists(
        st.builds("{}={}".format, name, st.one_of(st.just("b"), number, epoch)), max_size=6
    ).map("&".join)
    resumed = st.builds(f"board=b&epoch={EPOCH}&seq={{}}".format, number)
    last_id = st.builds("{}:{}".format, epoch, number)
    encoded = st.one_of(query, resumed).map(lambda t: t.encode("utf-8", "replace"))
    return joined(encoded, last_id.map(lambda t: t.encode("latin-1", "replace")))
