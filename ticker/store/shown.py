"""Where viewers have been led: the proof that what the store has is all that they were shown.

A seq of an epoch may be shown once, with one state; a line that goes on from an older seq would
show others under the same ones, and a viewer who knows them would be told wrong differences. So a
board goes on in its epoch only from the very seq that was shown last, and only where somebody can
tell which that was. Who can is one at a time:

- While a process runs, a few bytes per board in shared memory: written before anybody is shown
  anything, by a plain store to memory that no disk can hold up. The kernel keeps them when the
  process dies, at whatever instant, and not when the machine does. Who has them has locked them.
- After an orderly end, a file beside the database (``-shown``), written when all was on the disk
  and the shared memory was gone. It counts for that very database as it was left: for no copy, and
  not once somebody has written to it.

Both are used up at the start, for good, before anybody is shown anything: so a copy of either that
comes back later proves nothing. A crash in between leaves none, and boards begin anew.

That the rows at that seq are right is for the checksums (`database.sealed`) and for `around`: every
value is as it was written, and entries follow one another from the state to the seq without a gap.
Which of the disk's pages are old and which are new does not matter, then.
"""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import suppress
from fcntl import LOCK_EX, LOCK_NB, flock
from hashlib import blake2b
from pathlib import Path

from ticker.store.database import opened, sealed

BOARDS_MOST = 1_000
"""Boards that there is room for; of others nothing can be proved."""

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
"""Names the time since the machine was started, on Linux."""

MEMORY = "/dev/shm"  # noqa: S108 - shared memory; what is not ours is not used
"""Where shared memory is, unless the service manager gives a directory (``RUNTIME_DIRECTORY``)."""

_MAGIC = b"ticker 2"
_HEAD = struct.Struct("=8s16sQQ")  # what it is, boot, device and inode of the database
_END = struct.Struct("=8sQq")  # what it is, inode of the database, and when that was changed
_PLACE = struct.Struct("=16s8sq")  # board, epoch, seq
_SIZE = _HEAD.size + BOARDS_MOST * _PLACE.size
_WORD = 8
_NOWHERE = -1

_Known = dict[bytes, tuple[bytes, int]]


class Shown:
    """What was shown of the boards in ``database``, and what is. Raises OSError.

    It is then not known what was shown, and nobody will know of what is.
    """

    def __init__(self, database: Path) -> None:
        self._database, self._end = database, database.with_name(f"{database.name}-shown")
        self._path = _place(database)
        self._file: int | None = None
        with suppress(OSError):  # then only an orderly end can be proved
            self._file = _locked(self._path)
        try:
            self._known, self._why = self._take()
            if self._file is not None and not _filled(self._file):
                self._unlock()
            self._memory = mmap.mmap(-1 if self._file is None else self._file, _SIZE)
        except OSError:
            self._unlock()
            raise
        self._words = memoryview(self._memory).cast("q")
        self._places: dict[str, int] = {}
        self._epochs: dict[str, str] = {}
        self.bind()

    def _take(self) -> tuple[_Known, str | None]:
        """Return where boards were, and why that proves nothing; nobody can do so again."""
        found = _read(self._file, self._database)
        if os.path.lexists(self._end):
            found = _read_end(self._end, self._database)
            self._end.unlink()
            _sync(self._end.parent)
        return found

    def bind(self) -> None:
        """Be of the database that is there now. Raises OSError."""
        found = self._database.stat()
        self._memory[: _HEAD.size] = _HEAD.pack(_MAGIC, _boot(), found.st_dev, found.st_ino)

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
            start = _HEAD.size + len(self._places) * _PLACE.size
            place = self._places[board] = (start + _PLACE.size) // _WORD - 1
        if self._epochs.get(board) != epoch:
            self._words[place] = _NOWHERE  # nothing is proved in between
            end = place * _WORD
            self._memory[end - 24 : end] = _short(board, 16) + _short(epoch, 8)
            self._epochs[board] = epoch
        self._words[place] = seq  # one store: never half of it

    def forget(self, board: str) -> None:
        """Prove nothing of a board any more; its place stays its own."""
        if board in self._places:
            self.put(board, "", _NOWHERE)

    def close(self, *, ended: bool) -> None:
        """Let go of it; ``ended`` says that all that was shown is on the disk. Raises OSError."""
        places = self._memory[_HEAD.size :]
        self._words.release()
        self._memory.close()
        try:
            if ended:
                self._remove()  # before the other proof is there: see above
                self._write_end(places)
        finally:
            self._unlock()

    def _unlock(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _remove(self) -> None:
        with suppress(FileNotFoundError):
            if self._file is not None and _same(os.fstat(self._file), self._path.stat()):
                self._path.unlink()

    def _write_end(self, places: bytes) -> None:
        found = self._database.stat()
        data = _END.pack(_MAGIC, found.st_ino, found.st_ctime_ns) + places
        new = self._end.with_name(f"{self._end.name}-new")
        with new.open("wb") as file:
            file.write(sealed(data, self._end.name))
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._end)
        _sync(self._end.parent)


def _place(database: Path) -> Path:
    """Return where in shared memory is what was shown of a database."""
    folder = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0] or MEMORY
    name = blake2b(os.fsencode(database.resolve()), digest_size=12).hexdigest()
    return Path(folder, f"ticker-{os.geteuid()}-{name}")


def _locked(path: Path) -> int:
    """Open a file that nobody else has. Raises OSError."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    try:
        flock(file, LOCK_EX | LOCK_NB)
        found = os.fstat(file)
        if found.st_uid != os.geteuid() or not _same(found, path.stat()):
            raise PermissionError("it is somebody else's")
        os.ftruncate(file, _SIZE)
    except OSError:
        os.close(file)
        raise
    return file


def _filled(file: int) -> bool:
    """Have room for all of it, or none: a store to memory that is not there ends the process."""
    with suppress(OSError):
        if os.pwrite(file, bytes(_SIZE), 0) == _SIZE:
            return True
    os.ftruncate(file, 0)
    return False


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino)


def _sync(folder: Path) -> None:
    """Have it on the disk which files there are."""
    opened_folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(opened_folder)
    finally:
        os.close(opened_folder)


def _read(file: int | None, database: Path) -> tuple[_Known, str | None]:
    """Return where boards were when a process died, and why that proves nothing, if so."""
    data = b"" if file is None else os.pread(file, _SIZE, 0)
    if len(data) != _SIZE:
        return {}, "it is not known what was shown"
    magic, boot, device, inode = _HEAD.unpack_from(data)
    if magic != _MAGIC:
        return {}, "it is not known what was shown"
    if not any(boot) or boot != _boot():
        return {}, "the machine was started anew meanwhile"
    found = database.stat()
    if (device, inode) != (found.st_dev, found.st_ino):
        return {}, "the file is a copy"
    return _places(data[_HEAD.size :]), None


def _read_end(path: Path, database: Path) -> tuple[_Known, str | None]:
    """Return where boards were at an orderly end, and why that proves nothing, if so."""
    data = opened(path.read_bytes(), path.name) if path.is_file() else None
    if data is None or len(data) != _SIZE - _HEAD.size + _END.size:
        return {}, "it cannot be read what was shown"
    magic, inode, changed = _END.unpack_from(data)
    found = database.stat()
    if magic != _MAGIC or (inode, changed) != (found.st_ino, found.st_ctime_ns):
        return {}, "the file is a copy, or was changed by somebody"
    return _places(data[_END.size :]), None


def _places(data: bytes) -> _Known:
    return {b: (epoch, seq) for b, epoch, seq in _PLACE.iter_unpack(data) if seq >= 0 and any(b)}


def _short(name: str, size: int) -> bytes:
    """Return a name of any length as so many bytes."""
    return blake2b(name.encode(), digest_size=size).digest()


def _boot() -> bytes:
    """Return what names this boot; nothing but zeros where that is not known."""
    try:
        return bytes.fromhex(BOOT_ID.read_text().strip().replace("-", ""))[:16].ljust(16, b"\0")
    except (OSError, ValueError):
        return bytes(16)
