"""One encoded message in every form in which it is sent; each form is made at most once.

WebSocket forms are one unmasked, final text frame (RFC 6455, 5.2), with RSV1 set where the message
is compressed (RFC 7692, 6.1).
"""

from __future__ import annotations

import struct
from functools import cached_property
from time import monotonic

from ticker import deflate
from ticker.deflate import UNCOMPRESSED, Packed, SharedWindow

UNTOLD = -1
"""The seq of a viewer that has no snapshot yet, and ``prev`` of a frame that needs none."""

_PLAIN = 0x81
_COMPRESSED = 0xC1


class Frame:
    """A message; ``prev`` and ``seq`` are its place in the board of ``epoch``, where it has one."""

    def __init__(
        self, text: bytes, *, epoch: str = "", prev: int = UNTOLD, seq: int = UNTOLD
    ) -> None:
        self.text = text
        self.epoch = epoch
        self.prev = prev
        self.seq = seq
        self._alone: dict[int, bytes | None] = {}

    @cached_property
    def websocket(self) -> bytes:
        """The plain WebSocket frame."""
        return _framed(_PLAIN, self.text)

    def alone(self, bits: int) -> bytes | None:
        """Return the frame compressed on its own for a window of ``bits``; None if not smaller."""
        if bits not in self._alone:
            packed = deflate.alone(self.text, bits)
            self._alone[bits] = packed and _framed(_COMPRESSED, packed)
        return self._alone[bits]

    @property
    def shareable(self) -> bool:
        """Whether it goes through shared windows: a large one would hold up everybody."""
        return len(self.text) < deflate.QUICK_FROM

    @cached_property
    def event(self) -> bytes:
        """The message as a Server-Sent Event; its id, where it has one, resumes a board."""
        head = f"id: {self.epoch}:{self.seq}\n" if self.epoch else ""
        return b"%bdata: %b\n\n" % (head.encode(), self.text)

    @cached_property
    def string(self) -> str:
        """The message as text, for servers that take no ready frames."""
        return self.text.decode()


class SharedWindows:
    """The shared windows of one channel: one for each size that its viewers asked for."""

    def __init__(self) -> None:
        self._windows: dict[int, SharedWindow] = {}
        self._seats: dict[int, int] = {}
        self._frame: Frame | None = None
        self._packed: dict[int, Packed] = {}

    def forms(self, frame: Frame) -> dict[int, tuple[bytes, int]]:
        """Return what each place that viewers are at is sent of ``frame``, and where that leads."""
        forms = {UNCOMPRESSED: (frame.websocket, UNCOMPRESSED)}
        if not frame.shareable:  # all members get it alone, so all may step in with the next one
            for window in self._windows.values():
                window.restart()
            return forms
        for bits, seats in self._seats.items():
            if not seats:
                continue
            packed = self.pack(frame, bits)
            forms[packed.members] = packed.data, packed.after
        return forms

    def sit(self, bits: int) -> None:
        """Count a viewer that has stepped into the window of ``bits``."""
        self._seats[bits] = self._seats.get(bits, 0) + 1

    def rise(self, bits: int) -> None:
        """Count a viewer that has left it; an empty window costs nothing."""
        self._seats[bits] -= 1

    def pack(self, frame: Frame, bits: int) -> Packed:
        """Return ``frame`` as the window of ``bits`` has it, compressed at the first call for it.

        Frames must come in order: what was packed once leads on from the one before.
        """
        if frame is not self._frame:
            self._frame = frame
            self._packed = {}
        packed = self._packed.get(bits)
        if packed is None:
            if bits not in self._windows:
                self._windows[bits] = SharedWindow(bits)
            raw = self._windows[bits].pack(frame.text, monotonic())
            packed = self._packed[bits] = raw._replace(data=_framed(_COMPRESSED, raw.data))
        return packed


def is_compressed(websocket: bytes) -> bool:
    """Whether a WebSocket frame made here holds a compressed message."""
    return websocket[0] == _COMPRESSED


def _framed(first: int, payload: bytes) -> bytes:
    """Return a WebSocket frame with ``first`` as its first byte."""
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", first, size)
    elif size < 65_536:
        head = struct.pack("!BBH", first, 126, size)
    else:
        head = struct.pack("!BBQ", first, 127, size)
    return head + payload
