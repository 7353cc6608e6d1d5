"""permessage-deflate (RFC 7692) with one compressor for all viewers of a channel.

A viewer's decompressor remembers the last bytes it made (its window), and a compressor may refer
to them. Usually that takes a compressor per viewer. Here all viewers that were given the same
frames share one: a *shared window*. Each frame it makes has a `before` and an `after`, names of the
window's state; it can be read by whoever is at its `before`. Now and then the window starts afresh:
that frame refers to nothing (its `before` is ANYWHERE), so whoever joined, skipped a frame or was
given something else meanwhile steps in there. Until then such a viewer gets frames that are
compressed on their own, which anybody can read, or plain ones.

Pure: time is an argument.
"""

from __future__ import annotations

import zlib
from itertools import count
from typing import NamedTuple

ANYWHERE = 0
"""The `before` of a frame that refers to nothing: who is in no window may step in."""

OUTSIDE = -1
"""The place of a viewer in no window."""

UNCOMPRESSED = -2
"""The place of a viewer that did not agree to compress."""

FRESH_FRAMES = 128
FRESH_SECONDS = 20.0
"""A window starts afresh after so many frames or seconds: who waits outside may step in. Each fresh
start costs one frame that is hardly smaller than plain."""

ALONE_FROM = 256
"""Bytes from which a frame is tried compressed on its own; smaller ones hardly shrink."""

LEAVE_FROM = 4_096
"""Bytes from which a viewer leaves its window for a frame compressed on its own: what is saved at
once is more than what the frames until the next fresh start cost."""

QUICK_FROM = 65_536
"""Bytes from which speed counts for more than size: nobody may wait for a compressor."""

TAIL = b"\x00\x00\xff\xff"
"""The end of a sync flush, which RFC 7692 leaves out (7.2.1)."""

_places = count(1)


class Packed(NamedTuple):
    """A compressed message, where it can be read from, and where that leads.

    ``members`` is the place of those who have read all messages so far; it is ``before``, but at a
    fresh start, where others may step in as well.
    """

    data: bytes
    before: int
    after: int
    members: int


class SharedWindow:
    """One compressor whose output is read by all who have read it from a fresh start on."""

    def __init__(
        self, bits: int, *, frames: int = FRESH_FRAMES, seconds: float = FRESH_SECONDS
    ) -> None:
        self.bits = bits
        self._frames, self._seconds = frames, seconds
        self._compressor = zlib.compressobj(wbits=-bits)
        self._place = next(_places)
        self._left = 0
        self._until = 0.0

    def restart(self) -> None:
        """Start afresh with the next message."""
        self._left = 0

    def pack(self, text: bytes, now: float) -> Packed:
        """Compress the next message of the window; ``now`` is in seconds of any one clock."""
        members, self._place = self._place, next(_places)
        before = members
        if self._left <= 0 or now >= self._until:
            self._compressor = zlib.compressobj(wbits=-self.bits)
            before = ANYWHERE
            self._left, self._until = self._frames, now + self._seconds
        self._left -= 1
        data = self._compressor.compress(text) + self._compressor.flush(zlib.Z_SYNC_FLUSH)
        return Packed(data.removesuffix(TAIL), before, self._place, members)


def alone(text: bytes, bits: int) -> bytes | None:
    """Return ``text`` compressed so that anybody can read it; None where that does not pay."""
    if len(text) < ALONE_FROM:
        return None
    level = 1 if len(text) >= QUICK_FROM else zlib.Z_DEFAULT_COMPRESSION
    compressor = zlib.compressobj(level, wbits=-bits)
    data = compressor.compress(text) + compressor.flush(zlib.Z_SYNC_FLUSH)
    packed = data.removesuffix(TAIL)
    return packed if len(packed) < len(text) else None
