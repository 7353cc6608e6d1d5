"""Where viewers have been led: the proof that what the store has is all that they were shown.

A few bytes per board, written before anybody is shown anything, in memory that the kernel keeps
when the process dies. With a power cut they may be older than what was shown, so they prove
something only in the same boot, or after an orderly end; and only for the very file they were
written beside: a copy that was put back may be older than what viewers know.
"""

from __future__ import annotations

import mmap
import struct
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path

BOARDS_MOST = 1_000
"""Boards that there is room for; of others nothing can be proved."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Names the time since the machine was started, on Linux."""

_HEAD = struct.Struct("=8s16sqqq")  # what it is, boot, inode, when the database changed, ended
_PLACE = struct.Struct("=16s8sq")  # board, epoch, seq
_SEQ = struct.Struct("=q")
_MAGIC = b"ticker 1"
_SIZE = _HEAD.size + BOARDS_MOST * _PLACE.size
_NOWHERE = -1


class Shown:
    """The file at ``path``, beside the ``database``. Raises OSError when it cannot be written."""

    def __init__(self, path: Path, database: Path) -> None:
        self._database = database
        self._known, self._why = _read(path, database)
        path.unlink(missing_ok=True)  # never written to where another process may look at it
        with path.open("x+b") as file:
            file.write(bytes(_SIZE))  # not sparse: a full disk must not be found out later
            file.flush()
            self._memory = mmap.mmap(file.fileno(), _SIZE)
        self._places: dict[str, int] = {}
        self._epochs: dict[str, str] = {}
        self._head(ended=False)

    def doubt(self, board: str, epoch: str, seq: int) -> str | None:
        """Return why a board at this position may not be all that was shown; None if it is."""
        if self._why is not None:
            return self._why
        shown = self._known.get(_short(board, 16))
        if shown is None:
            return "it is not known what was shown"
        if shown[0] != _short(epoch, 8):
            return "another epoch was shown"
        if shown[1] != seq:
            return f"seq {shown[1]} was shown, {seq} was kept"
        return None

    def put(self, board: str, epoch: str, seq: int) -> None:
        """Note that viewers are about to be led there."""
        place = self._places.get(board)
        if place is None:
            if len(self._places) >= BOARDS_MOST:
                return
            place = self._places[board] = _HEAD.size + len(self._places) * _PLACE.size
        last = place + _PLACE.size - _SEQ.size
        if self._epochs.get(board) != epoch:
            _SEQ.pack_into(self._memory, last, _NOWHERE)  # nothing is proved in between
            self._memory[place:last] = _short(board, 16) + _short(epoch, 8)
            self._epochs[board] = epoch
        _SEQ.pack_into(self._memory, last, seq)

    def forget(self, board: str) -> None:
        """Prove nothing of a board any more; its place stays its own."""
        if board in self._places:
            self.put(board, "", _NOWHERE)

    def _head(self, *, ended: bool) -> None:
        found = self._database.stat()
        changed = found.st_ctime_ns if ended else 0
        _HEAD.pack_into(self._memory, 0, _MAGIC, _boot(), found.st_ino, changed, ended)
        self._memory.flush()

    def close(self, *, ended: bool) -> None:
        """Let go of the file; ``ended`` says that all that was shown is on the disk."""
        if ended:
            with suppress(OSError):
                self._head(ended=True)
        self._memory.close()


def _read(path: Path, database: Path) -> tuple[dict[bytes, tuple[bytes, int]], str | None]:
    """Return where boards were, and why that proves nothing, if it does not."""
    try:
        data = path.read_bytes()
        found = database.stat()
    except OSError:
        return {}, "it is not known what was shown"
    if len(data) != _SIZE:
        return {}, "it cannot be read what was shown"
    magic, boot, inode, changed, ended = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        return {}, "it cannot be read what was shown"
    if inode != found.st_ino or (ended and changed != found.st_ctime_ns):
        return {}, "the file is a copy, or was changed by somebody"
    if not ended and (not any(boot) or boot != _boot()):
        return {}, "the machine was started anew meanwhile"
    places = _PLACE.iter_unpack(data[_HEAD.size :])
    return {board: (epoch, seq) for board, epoch, seq in places if seq >= 0}, None


def _short(name: str, size: int) -> bytes:
    """Return a name of any length as so many bytes."""
    return blake2b(name.encode(), digest_size=size).digest()


def _boot() -> bytes:
    """Return what names this boot; nothing but zeros where that is not known."""
    try:
        return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)
