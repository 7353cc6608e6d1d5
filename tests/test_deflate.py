"""One compressor for many viewers: whatever happens to them, each reads what it was sent."""

from __future__ import annotations

import zlib
from types import SimpleNamespace
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, rule
from websockets.datastructures import Headers
from websockets.http11 import Request
from websockets.server import ServerProtocol

from ticker import deflate, frame
from ticker.deflate import ANYWHERE, OUTSIDE, TAIL, SharedWindow
from ticker.frame import Frame, SharedWindows
from ticker.transport import DEFLATE, FrameConnection, SharedDeflate
from ticker.viewer import Watch


def unframed(data: bytes) -> tuple[bool, bytes]:
    """Return whether a WebSocket frame is compressed, and its payload (RFC 6455, 5.2)."""
    assert data[0] in {0x81, 0xC1}
    size, start = data[1], 2
    if size == 126:
        size, start = int.from_bytes(data[2:4], "big"), 4
    elif size == 127:
        size, start = int.from_bytes(data[2:10], "big"), 10
    assert len(data) == start + size
    return data[0] == 0xC1, data[start:]


class ReadingTransport:
    """The other end of a connection: reads each frame with its own decompressor, as a browser."""

    def __init__(self, bits: int, *, takeover: bool) -> None:
        self._bits, self._takeover = bits, takeover
        self._decompressor = zlib.decompressobj(-bits)
        self.texts: list[bytes] = []
        self.bytes = 0

    def write(self, data: bytes) -> None:
        self.bytes += len(data)
        compressed, payload = unframed(data)
        if compressed:
            if not self._takeover:
                self._decompressor = zlib.decompressobj(-self._bits)
            payload = self._decompressor.decompress(payload + TAIL)
        self.texts.append(payload)

    def get_extra_info(self, name: str) -> Any:
        return SimpleNamespace(fileno=lambda: 99) if name == "socket" else None


class UpgradedProtocol:
    """What is left of a connection after the upgrade: its transport and what was agreed."""

    writable_now = True

    def __init__(self, offer: str) -> None:
        headers = Headers()
        if offer:
            headers["Sec-WebSocket-Extensions"] = offer
        self.conn = ServerProtocol(extensions=[DEFLATE])
        _, self.conn.extensions = self.conn.process_extensions(headers)
        agreed = self.conn.extensions[0] if self.conn.extensions else None
        bits = agreed.local_max_window_bits if isinstance(agreed, SharedDeflate) else 15
        self.forget_request = lambda: None
        takeover = "server_no_context_takeover" not in offer
        self.transport = ReadingTransport(bits, takeover=takeover)


class Board:
    """What a channel is to a watch: its windows."""

    def __init__(self, frames: int = deflate.FRESH_FRAMES) -> None:
        self.windows = SharedWindows()
        if frames != deflate.FRESH_FRAMES:
            self.windows._windows = {b: SharedWindow(b, frames=frames) for b in range(9, 16)}


class Viewer:
    """A connection and what its viewer should have read."""

    ready = True

    def __init__(self, offer: str) -> None:
        self.protocol = UpgradedProtocol(offer)
        self.connection = FrameConnection(self.protocol)  # type: ignore[arg-type] # all it uses
        self.expected: list[bytes] = []
        self._watches: dict[Board, Watch] = {}

    def watch(self, board: Board) -> Watch:
        """Return this viewer's watch of ``board``."""
        if board not in self._watches:
            live = SimpleNamespace(status_version=0)
            self._watches[board] = Watch(self, live, board)  # type: ignore[arg-type] # all it uses
        return self._watches[board]

    def send(self, message: Frame, board: Board | None = None) -> None:
        """Send as a channel does: the form of the viewer's place, else what the connection says."""
        if board is None:
            self.connection.write(message)
        else:
            watch = self.watch(board)
            forms = board.windows.forms(message)
            if watch.place in forms:
                data, watch.place = forms[watch.place]
                self.protocol.transport.write(data)
            else:
                self.connection.write(message, watch)
        self.expected.append(message.text)
        assert self.protocol.transport.texts == self.expected

    def leave(self, board: Board) -> None:
        """Stop watching ``board``."""
        self.connection.leave(self._watches.pop(board))


OFFERS = [
    "",
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_max_window_bits=12; client_max_window_bits=12",
    "permessage-deflate; server_max_window_bits=9",
    "permessage-deflate; server_no_context_takeover",
]


class Interleavings(RuleBasedStateMachine):
    """Joins, skips, pauses, catch-ups, other boards' frames and leaves, in any order."""

    viewers = Bundle("viewers")

    @initialize(frames=st.sampled_from([1, 2, 5, 100]))
    def start(self, frames: int) -> None:
        self.boards = [Board(frames), Board(frames)]
        self.members: list[dict[Viewer, bool]] = [{}, {}]  # viewer -> whether it is ready
        self.count = 0

    def text(self, size: int) -> bytes:
        """Return a message that is like the others but new."""
        self.count += 1
        row = f'"S{self.count % 7}":{{"last":{self.count * 37 % 1000 / 10}}},'
        return (f'{{"type":"diff","seq":{self.count},"rows":{{' + row * size).encode()

    @rule(target=viewers, offer=st.sampled_from(OFFERS), boards=st.sets(st.sampled_from([0, 1])))
    def join(self, offer: str, boards: set[int]) -> Viewer:
        viewer = Viewer(offer)
        for board in boards:
            viewer.send(Frame(self.text(3)))
            self.members[board][viewer] = True
        return viewer

    @rule(board=st.sampled_from([0, 1]), size=st.sampled_from([1, 5, 40, 400]))
    def publish(self, board: int, size: int) -> None:
        message = Frame(self.text(size))
        for viewer, ready in self.members[board].items():
            if ready:
                viewer.send(message, self.boards[board])

    @rule(viewer=viewers, board=st.sampled_from([0, 1]), ready=st.booleans())
    def pause_or_resume(self, viewer: Viewer, board: int, ready: bool) -> None:
        if viewer in self.members[board]:
            self.members[board][viewer] = ready
            if ready:
                viewer.send(Frame(self.text(10)))

    @rule(viewer=viewers, size=st.sampled_from([1, 5, 40, 400]))
    def tell_something_else(self, viewer: Viewer, size: int) -> None:
        viewer.send(Frame(self.text(size)))

    @rule(viewer=viewers, board=st.sampled_from([0, 1]))
    def change_board(self, viewer: Viewer, board: int) -> None:
        if self.members[board].pop(viewer, None) is not None:
            viewer.watch(self.boards[board])
            viewer.leave(self.boards[board])
        else:
            self.members[board][viewer] = True

    @rule(viewer=consumes(viewers))
    def vanish(self, viewer: Viewer) -> None:
        for members in self.members:
            members.pop(viewer, None)


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)


def diffs(count: int) -> list[Frame]:
    """Return the diffs of a lively board, 5 rows of 2 fields each."""
    return [
        Frame(
            b'{"type":"diff","board":"stocks","prev":%d,"seq":%d,"at":17636290%05d,"rows":{%b}}'
            % (
                i,
                i + 1,
                i * 100,
                b",".join(
                    b'"SYM%d":{"last":%.2f,"change":%.2f}'
                    % ((i * 7 + j * 13) % 97, (i * 31 + j * 17) % 40000 / 100, i * j % 300 / 100)
                    for j in range(5)
                ),
            )
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("offer", OFFERS[1:5])
def test_a_viewer_in_step_gets_a_fraction_of_the_bytes(offer: str) -> None:
    """The window pays: less than four tenths of plain, for every size of window but the least."""
    viewer, board = Viewer(offer), Board()
    plain = 0
    for message in diffs(300):
        viewer.send(message, board)
        plain += len(message.websocket)
    assert viewer.protocol.transport.bytes < plain * (0.55 if "=9" in offer else 0.4)


def test_all_viewers_in_step_get_the_same_bytes() -> None:
    """Compressed once for everybody."""
    windows = SharedWindows()
    message = diffs(1)[0]
    assert windows.pack(message, 15).data is windows.pack(message, 15).data


def test_who_joins_steps_in_at_the_next_fresh_start() -> None:
    """Until then it gets frames that anybody can read."""
    first, later, board = Viewer(OFFERS[1]), Viewer(OFFERS[1]), Board()
    messages = diffs(deflate.FRESH_FRAMES * 2)
    for message in messages[:5]:
        first.send(message, board)
    for message in messages[5:]:
        first.send(message, board)
        later.send(message, board)
        if board.windows.pack(message, 15).before == ANYWHERE:
            break
    assert first.watch(board).place == later.watch(board).place != OUTSIDE


def test_a_window_starts_afresh_with_time() -> None:
    """A quiet board lets viewers in, too."""
    window = SharedWindow(15)
    assert window.pack(b"a", 0.0).before == ANYWHERE
    assert window.pack(b"b", 1.0).before != ANYWHERE
    assert window.pack(b"c", deflate.FRESH_SECONDS + 1).before == ANYWHERE


def test_tiny_frames_are_plain_outside_a_window() -> None:
    """Compressing them would make them larger."""
    assert Frame(b'{"type":"pong","at":1}').alone(15) is None


def test_a_frame_is_compressed_alone_once() -> None:
    """However many viewers catch up by it."""
    message = Frame(b"x" * 100_000)
    assert message.alone(15) is message.alone(15)
    assert len(message.alone(15) or b"") < 1_000


def test_incompressible_text_is_sent_plain() -> None:
    """Where compressing does not pay it is not done."""
    assert deflate.alone(bytes(range(256)) * 1, 15) is None


NEGOTIATIONS = [
    ("permessage-deflate", "permessage-deflate; client_no_context_takeover", True, 15),
    (
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_no_context_takeover",
        True,
        15,
    ),
    (
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        False,
        15,
    ),
    (
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; client_no_context_takeover; server_max_window_bits=10",
        True,
        10,
    ),
    ("permessage-deflate; server_max_window_bits=8", None, None, None),
    ("permessage-deflate; server_max_window_bits=16", None, None, None),
    ("permessage-deflate; server_max_window_bits", None, None, None),
    ("permessage-deflate; nonsense=1", None, None, None),
    ("permessage-deflate; client_max_window_bits=7", None, None, None),
    ("permessage-deflate; server_no_context_takeover=1", None, None, None),
    ("x-webkit-deflate-frame", None, None, None),
    (
        "permessage-deflate; server_max_window_bits=8, permessage-deflate",
        "permessage-deflate; client_no_context_takeover",
        True,
        15,
    ),
]


@pytest.mark.parametrize(("offer", "answer", "shares", "bits"), NEGOTIATIONS)
def test_negotiation(offer: str, answer: str | None, shares: bool | None, bits: int | None) -> None:
    """What a viewer asks of us is granted or declined (RFC 7692, 7.1)."""
    headers = Headers()
    headers["Sec-WebSocket-Extensions"] = offer
    found, extensions = ServerProtocol(extensions=[DEFLATE]).process_extensions(headers)
    assert found == answer
    if extensions:
        (agreed,) = extensions
        assert isinstance(agreed, SharedDeflate)
        assert (agreed.shares, agreed.local_max_window_bits) == (shares, bits)
        assert not hasattr(agreed, "encoder")
        assert not hasattr(agreed, "decoder")


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=60))
def test_nonsense_offers_never_crash(text: str) -> None:
    """A header that is no offer is declined or refused, by HTTP."""
    request = Request(
        "/ws",
        Headers(
            {
                "Host": "x",
                "Upgrade": "websocket",
                "Connection": "Upgrade",
                "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Extensions": text,
            }
        ),
    )
    response = ServerProtocol(extensions=[DEFLATE]).accept(request)
    assert response.status_code in {101, 400}


def test_the_bench_of_forms_is_complete() -> None:
    """Every form of one frame says the same text."""
    message: Any = diffs(1)[0]
    assert unframed(message.websocket) == (False, message.text)
    packed = frame.SharedWindows().pack(message, 15).data
    for data in (packed, message.alone(15)):
        compressed, payload = unframed(data)
        assert compressed
        assert zlib.decompressobj(-15).decompress(payload + TAIL) == message.text


def test_a_window_that_nobody_reads_costs_nothing() -> None:
    """After its last viewer has left a size is not compressed any more."""
    board, viewer, other = Board(), Viewer(OFFERS[1]), Viewer(OFFERS[3])
    messages = diffs(4)
    for one in (viewer, other):
        one.send(messages[0], board)
    assert len(board.windows.forms(messages[1])) == 3
    other.leave(board)
    assert len(board.windows.forms(messages[2])) == 2
    viewer.leave(board)
    assert len(board.windows.forms(messages[3])) == 1


def test_a_large_frame_goes_past_the_window_and_all_step_in_again() -> None:
    """Nobody waits for a compressor; the next frame starts afresh."""
    board, viewer = Board(), Viewer(OFFERS[1])
    first, second, third = diffs(3)
    viewer.send(first, board)
    viewer.send(Frame(b"x" * deflate.QUICK_FROM), board)
    assert viewer.watch(board).place == OUTSIDE
    viewer.send(second, board)
    assert viewer.watch(board).place != OUTSIDE
    viewer.send(third, board)
