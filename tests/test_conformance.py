"""WebSockets by the book: the cases of `conformance.cases` on the real endpoint, on both loops."""

from __future__ import annotations

import json
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import cast

import pytest

from tests.conformance import cases, results
from tests.conformance.cases import (
    ASK,
    CASES,
    HANDSHAKES,
    MAX_MESSAGE,
    OFFERS,
    STAYS,
    UNNAMED,
    Case,
    Handshake,
    Pong,
    Said,
)
from tests.conformance.wire import (
    CLOSE,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    Frame,
    Wire,
    close,
    closing,
    frame,
    inflated,
)
from tests.support import QUIET, Running, publish, serving, until
from ticker.deflate import TAIL
from ticker.transport import FrameConnection
from ticker.viewer import NO_SOCKET

CONFIG = QUIET.format(heartbeat="1h", stall="20s", viewers=1_000, presence="0s").replace(
    "server:\n  {", f"server:\n  {{max_message: {MAX_MESSAGE // 1000}KB, messages_per_second: 0, "
)


@pytest.fixture(scope="module", params=["uvloop", "asyncio"])
def server(request: pytest.FixtureRequest) -> Iterator[Running]:
    """Return one server for all cases on each loop."""
    with serving(CONFIG, loop=request.param) as running:
        until(lambda: running.get("/readyz").status_code == 200, what="the first reading")
        yield running


@pytest.fixture(autouse=True)
def nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No violation is a defect of ours; that a viewer was ended is told by the hub."""
    yield
    for record in caplog.get_records("call"):
        if record.levelno >= logging.WARNING and record.name != "ticker.hub":
            assert record.getMessage() == "Unsupported upgrade request."  # uvicorn's, of 30.10


class Conversation:
    """A viewer that keeps to the steps of a case and takes nothing that is not among them."""

    def __init__(self, wire: Wire, case: Case) -> None:
        self._wire, self._case = wire, case
        headers = wire.open(*([f"Sec-WebSocket-Extensions: {case.offer}"] if case.offer else []))
        self.extensions = headers.get("sec-websocket-extensions", [])
        self._bits = 9 if "server_max_window_bits=9" in "".join(self.extensions) else 15
        self._next: Frame | None = None
        self._take(Said({"type": "welcome"}))

    def hold(self) -> None:
        """Go through all steps, and to the end of the connection."""
        case = self._case
        for step in case.steps:
            if isinstance(step, bytes):
                self._wire.send(step, chop=case.chop)
            else:
                self._take(step)
        if case.ends == STAYS:
            self._wire.send(close(1000))
        self._expect_close({STAYS: 1000, UNNAMED: None}.get(case.ends, case.ends))

    def _expect_close(self, code: int | None) -> None:
        found = self._peek()
        assert found is not None, "ended without a close frame"
        assert found.first == FIN | CLOSE, f"expected a close frame, got {found}"
        assert closing(found.payload) == code
        assert len(found.payload) <= 125
        assert found.payload[2:].decode() is not None
        self._wire.send(close(code))
        assert self._wire.is_over(), "there was more after the close frame"

    def _take(self, answer: Pong | Said) -> None:
        found = self._peek()
        matches = found is not None and self._matches(found, answer)
        assert matches or answer.maybe, f"expected {answer}, got {found}"
        if matches:
            self._next = None

    def _matches(self, found: Frame, answer: Pong | Said) -> bool:
        if isinstance(answer, Pong):
            return found.first == FIN | PONG and found.payload == answer.payload
        if found.first & ~RSV1 != FIN | TEXT:
            return False
        compressed = found.first & RSV1
        assert not compressed or self.extensions, "compressed, though that was not agreed"
        data = inflated([found.payload], self._bits)[0] if compressed else found.payload
        message = json.loads(data)
        return bool(message.items() >= answer.members.items())

    def _peek(self) -> Frame | None:
        if self._next is None:
            self._next = self._wire.frame()
            assert self._next is None or not self._next.masked, "masked (RFC 6455, 5.1)"
        return self._next


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_is_sent_is_answered_by_the_book(server: Running, case: Case) -> None:
    """What must come comes, nothing else does, and the connection ends as it must."""
    with Wire(server.url) as wire:
        Conversation(wire, case).hold()


@pytest.mark.parametrize("chop", [0, 1])
@pytest.mark.parametrize("case", HANDSHAKES, ids=str)
def test_the_opening_handshake(server: Running, case: Handshake, chop: int) -> None:
    """In one segment or octet by octet, it is answered with the status and headers of RFC 6455."""
    with Wire(server.url) as wire:
        wire.send(case.sends, chop=chop)
        status, headers = wire.head()
    assert status == case.status
    for name, value in case.has.items():
        assert headers.get(name) == [value], name
    for name in case.lacks:
        assert name not in headers


SUBSCRIBE = frame(TEXT, b'{"type":"subscribe","board":"b"}')


numbers = count(1)


def big() -> dict[str, dict[str, str]]:
    """Return rows that hardly compress, others each time."""
    number = next(numbers)
    return {f"S{i}": {"name": f"{number * (i + 1) * 7919 % 99991:x}" * 9} for i in range(300)}


@pytest.mark.parametrize("offer", OFFERS.values(), ids=OFFERS)
def test_what_is_compressed_can_be_read_as_was_agreed(server: Running, offer: str) -> None:
    """Snapshots and diffs, large and small, within the window that the viewer asked for (D 7.2)."""
    with Wire(server.url) as wire:
        agreed = "".join(
            wire.open(f"Sec-WebSocket-Extensions: {offer}")["sec-websocket-extensions"]
        )
        bits = 9 if "server_max_window_bits=9" in agreed else 15
        wire.send(SUBSCRIBE)
        for i in range(20):
            small = {"S1": {"last": next(numbers), "name": f"x{i}" * 20}}
            publish(server, "b", small if i % 7 else big())
        wire.send(frame(TEXT, ASK))
        window, seen, compressed = zlib.decompressobj(wbits=-bits), [], 0
        while "pong" not in seen:
            found = wire.frame()
            assert found is not None
            data = found.payload
            if found.first & RSV1:
                compressed += 1
                if "server_no_context_takeover" in agreed:
                    window = zlib.decompressobj(wbits=-bits)
                data = window.decompress(data + TAIL)
            seen.append(json.loads(data)["type"])
        assert "diff" in seen
        assert compressed > 1


@contextmanager
def full(server: Running) -> Iterator[Wire]:
    """Return a viewer that has not read for so long that nothing more can be sent to it."""
    with Wire(server.url, receive=4_096) as wire:
        wire.open()
        wire.send(SUBSCRIBE)
        (viewer,) = until(lambda: [v for v in server.ticker.hub.viewers if v.watches])
        while viewer.ready:
            publish(server, "b", big())
        yield wire


def rest(wire: Wire) -> list[Frame]:
    """Return all frames until the connection ends."""
    return list(iter(wire.frame, None))


def test_the_latest_ping_is_answered_once_its_sender_reads_again(server: Running) -> None:
    """Of those before some may go unanswered (5.5.3), or they would pile up."""
    with full(server) as wire:
        wire.send(*(frame(PING, b"%d" % i) for i in range(1_000)))
        pongs: list[bytes] = []
        while b"999" not in pongs:
            found = wire.frame()
            assert found is not None
            if found.first == FIN | PONG:
                pongs.append(found.payload)
        assert len(pongs) < 1_000


def test_a_ping_before_a_close_does_not_swallow_its_answer(server: Running) -> None:
    """Who has not read is answered its close like anybody else."""
    with full(server) as wire:
        wire.send(frame(PING) + close(1001))
        last = rest(wire)[-1]
        assert (last.first, closing(last.payload)) == (FIN | CLOSE, 1001)


@pytest.mark.parametrize("wrong", [frame(0x3), frame(TEXT, b"\xff")], ids=["opcode", "utf8"])
def test_nothing_follows_the_close_of_who_broke_the_rules(server: Running, wrong: bytes) -> None:
    """Not even what is published before the connection is gone (5.5.1)."""
    with Wire(server.url) as wire:
        wire.open()
        wire.send(SUBSCRIBE)
        (viewer,) = until(lambda: [v for v in server.ticker.hub.viewers if v.watches])
        (watch,) = viewer.watches.values()
        protocol = cast("FrameConnection", viewer.connection)._protocol

        def break_a_rule() -> tuple[bool, int]:
            protocol.data_received(wrong)
            return viewer.ready, watch.fd

        assert server.call(break_a_rule) == (False, NO_SOCKET)
        assert rest(wire)[-1].first == FIN | CLOSE


def test_who_ends_without_a_close_is_let_go(server: Running) -> None:
    """In the middle of a frame, too (7.1.1)."""
    with Wire(server.url) as wire:
        wire.open()
        wire.send(SUBSCRIBE + frame(TEXT, ASK)[:5])
        until(lambda: any(v.watches for v in server.ticker.hub.viewers))
        wire.say_no_more()
        rest(wire)
        until(lambda: not server.ticker.hub.viewers, what="the leave")


ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs/conformance.md").read_text()


@pytest.mark.parametrize("part", [cases.table, cases.differences, results.table, results.reasons])
def test_the_page_tells_the_cases_there_are(part: Callable[[], Iterable[str]]) -> None:
    """conformance.md has what the lists say: their numbers, and what is otherwise and why."""
    assert "\n" + "\n".join(part()) + "\n" in PAGE


def test_the_page_tells_numbers_and_versions() -> None:
    """Of cases, of the suite that is installed, and of the libraries that it judged."""
    assert (
        f"sends {len(CASES)} sequences of octets and {len(HANDSHAKES)} opening handshakes" in PAGE
    )
    assert f"autobahntestsuite {results.VERSION}," in PAGE
    assert f"autobahntestsuite=={results.VERSION}" in (ROOT / "Makefile").read_text()
    pinned = dict(
        re.findall(r"^(\S+)==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    )
    assert f"uvicorn {pinned['uvicorn']} and websockets {pinned['websockets']}" in PAGE


def test_the_list_has_every_case_once() -> None:
    """Under the numbers of the suite, whose cases of all but 9 and 12 are all there."""
    ids = [case.id for case in CASES]
    assert len(ids) == len(set(ids))
    found = Counter(case.split(".")[0] for case in ids)
    wanted = {group: number for group, (_, number) in results.GROUPS.items()}
    assert {g: found[g] for g in wanted if g not in {"9", "12"}} == {
        g: number for g, number in wanted.items() if g not in {"9", "12"}
    }
