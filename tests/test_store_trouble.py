"""The store where the disk, the file or somebody else makes trouble: viewers notice nothing."""

from __future__ import annotations

import asyncio
import os
import random
import socket
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from pathlib import Path
from threading import Event

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.storing import NAMES, Boards, Witness, board, seen
from tests.support import eventually
from ticker import store
from ticker.entry import Entry
from ticker.store import Store, around, database
from ticker.store.database import Database, Statement


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a disk again at once."""
    monkeypatch.setattr(store, "RETRY_SECONDS", (0.01, 0.02))


async def nothing_more() -> None:
    """Have nothing to keep at the end."""


@asynccontextmanager
async def running(
    path: Path, seed: int = 1, names: tuple[str, ...] = NAMES
) -> AsyncIterator[Boards]:
    """Keep boards in a file during the block; it ends in an orderly way."""
    boards = Boards(path, seed, names)
    await boards.load()
    boards.store.start()
    try:
        yield boards
    finally:
        await boards.store.close(nothing_more)


async def publish(boards: Boards, count: int = 30) -> None:
    """Publish so many changes, as fast as the loop takes them."""
    for _ in range(count):
        await boards.step()
        await asyncio.sleep(0)


async def written(boards: Boards) -> None:
    """Wait until all that was published is written."""
    enough = boards.store.transactions + 2
    while boards.store.transactions < enough and boards.store.why is None:
        boards.store._work.set()
        await asyncio.sleep(0.01)


def states(boards: Boards) -> dict[str, tuple[str, int, object]]:
    """Return where the boards are."""
    return {n: (b.epoch, b.seq, dict(b.board.snapshot().rows)) for n, b in boards.boards.items()}


async def goes_on(path: Path, before: dict[str, tuple[str, int, object]]) -> None:
    """After an orderly end everything is there again, in the same epoch."""
    async with running(path, 99) as boards:
        assert states(boards) == before
        assert boards.store.why is None


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """Return a directory on a small disk of its own."""
    with mounted(tmp_path / "disk", "400k") as place:
        yield place


@pytest.fixture
def scarce(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have less shared memory than it takes."""
    with mounted(tmp_path / "memory", "16k") as place:
        monkeypatch.setenv("RUNTIME_DIRECTORY", str(place))
        yield


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """Have a disk of a size there during the block."""
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def remount(place: Path, how: str) -> None:
    """Let a disk be only read, or written to again."""
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


def remove(path: Path) -> None:
    """Remove whatever it is."""
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()


def aside(path: Path) -> list[Path]:
    """Return the bad files that were put aside, oldest first."""
    return sorted(path.parent.glob(f"{path.name}.bad-*Z"))


def fill(place: Path) -> Path:
    """Leave no room on a disk; return the file that has it all."""
    filler = place / "filler"
    with filler.open("ab", buffering=0) as file:
        for size in 65536, 4096, 1:
            try:
                while file.write(bytes(size)) == size:
                    pass
            except OSError:
                continue
    return filler


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of trouble."""
    return [r.getMessage() for r in caplog.records if r.levelname in ("WARNING", "ERROR")]


# -- disks


async def test_a_full_disk_costs_nothing_but_what_was_to_be_kept(
    small: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once; when there is room again everything is kept anew."""
    path = small / "t.db"
    async with running(path) as boards:
        refills: list[int] = []
        boards.store.on_refill = lambda: refills.append(1)
        await publish(boards)
        await written(boards)
        filler = fill(small)
        while boards.store.why is None:
            await publish(boards, 5)
        failures = boards.store.failures
        await publish(boards, 50)
        await eventually(lambda: boards.store.failures > failures + 2)
        assert boards.store.wire()["status"] == "failing"
        assert warnings(caplog) == [
            f"store: {path}: the disk is full; nothing is kept until that is over"
        ]
        filler.unlink()
        await eventually(lambda: boards.store.why is None)
        assert refills
        await publish(boards)
        before = states(boards)
    await goes_on(path, before)
    assert len(warnings(caplog)) == 1


async def test_a_disk_that_is_full_at_the_start(small: Path) -> None:
    """What is there is shown; when there is room it goes on."""
    path = small / "t.db"
    async with running(path) as boards:
        await publish(boards)
        before = states(boards)
    filler = fill(small)
    async with running(path) as boards:
        assert {n: s[2] for n, s in states(boards).items()} == {n: s[2] for n, s in before.items()}
        await publish(boards, 100)
        filler.unlink()
        await written(boards)
        assert boards.store.why is None
        before = states(boards)
    await goes_on(path, before)


@pytest.mark.usefixtures("scarce")
async def test_shared_memory_that_is_full(tmp_path: Path) -> None:
    """It is not written to, which would end the process; an orderly end is proved all the same."""
    path = tmp_path / "t.db"
    async with running(path) as boards:
        assert boards.store._shown is not None
        assert boards.store._shown._file is None
        await publish(boards)
        before = states(boards)
    await goes_on(path, before)


async def test_a_disk_that_is_full_at_the_end(small: Path) -> None:
    """What is not kept is not taken to be: boards begin anew."""
    path = small / "t.db"
    async with running(path) as boards:
        await publish(boards)
        await written(boards)
        filler = fill(small)
        while boards.store.why is None:
            await publish(boards, 5)
        before = states(boards)
    filler.unlink()
    async with running(path) as boards:
        assert all(states(boards)[name][0] != before[name][0] for name in NAMES)


async def test_a_disk_that_can_only_be_read(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What is there is shown, in a new epoch; once it can be written to, it is."""
    path = small / "t.db"
    async with running(path) as boards:
        await publish(boards)
        before = states(boards)
    remount(small, "ro")
    async with running(path) as boards:
        assert {n: s[2] for n, s in states(boards).items()} == {n: s[2] for n, s in before.items()}
        assert all(states(boards)[name][0] != before[name][0] for name in NAMES)
        assert "Read-only file system" in (boards.store.why or "")
        await publish(boards)
        remount(small, "rw")
        await eventually(lambda: boards.store.why is None)
        assert len(warnings(caplog)) == 1
        before = states(boards)
    await goes_on(path, before)


class Stuck(Database):
    """A disk that takes nothing until it is let."""

    let = Event()

    def write(self, statements: Iterable[Statement]) -> None:
        """Wait, then write."""
        self.let.wait()
        super().write(statements)


@pytest.fixture
def stuck(monkeypatch: pytest.MonkeyPatch) -> Iterator[Event]:
    """Have a disk that takes nothing until the event is set."""
    Stuck.let = Event()
    monkeypatch.setattr(store, "Database", Stuck)
    yield Stuck.let
    Stuck.let.set()


async def test_a_disk_that_hangs_holds_nobody_up(
    tmp_path: Path, stuck: Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing waits for it, and nothing grows; when it goes on, so does everything."""
    monkeypatch.setattr(store, "PENDING_BYTES", 20_000)
    monkeypatch.setattr(store, "VALUES_BYTES", 50_000)
    refills: list[int] = []
    path = tmp_path / "t.db"
    async with running(path) as boards:
        boards.store.on_refill = lambda: refills.append(1)
        await eventually(lambda: boards.store._work.is_set() is False)
        for number in range(300):
            await publish(boards, 10)
            await boards.store.put("said:a", {f"S{number % 7}": bytes(1_000)})
            await boards.store.put("history:1:a", {"gone": None})
            assert sum(line.size for line in boards.store._lines.values()) <= 2 * 20_000
            assert boards.store._values_size <= 50_000
            assert len(boards.store._values) <= 2_000
        stuck.set()
        await eventually(lambda: refills)
        await publish(boards)
        before = states(boards)
    await goes_on(path, before)


async def test_an_end_while_the_disk_hangs(
    tmp_path: Path, stuck: Event, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is waited for, but not for ever; nothing is proved."""
    monkeypatch.setattr(store, "CLOSE_SECONDS", 0.3)
    async with running(tmp_path / "t.db") as boards:
        await publish(boards)
    assert warnings(caplog)[-1].endswith("it takes too long to end")
    assert not (tmp_path / "t.db-shown").exists()


async def test_a_start_while_the_disk_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is waited for, but not for ever; once it answers, everything is kept."""
    path, let = tmp_path / "t.db", Event()

    class Slow(Database):
        def __init__(self, path: Path) -> None:
            let.wait()
            super().__init__(path)

    monkeypatch.setattr(store, "LOAD_SECONDS", 0.2)
    with monkeypatch.context() as patch:
        patch.setattr(store, "Database", Slow)
        async with running(path) as boards:
            assert "does not answer" in (boards.store.why or "")
            await publish(boards)
            let.set()
            await eventually(lambda: boards.store.why is None)
            before = states(boards)
    monkeypatch.setattr(store, "LOAD_SECONDS", 20.0)
    await goes_on(path, before)


def test_a_process_ends_although_its_disk_hangs(tmp_path: Path) -> None:
    """Also the interpreter waits for no thread."""
    program = """
import asyncio, threading
from ticker.store.worker import Worker

async def main():
    worker = Worker("store")
    try:
        async with asyncio.timeout(0.1):
            await worker.do(threading.Event().wait)
    except TimeoutError:
        worker.end()
        print("ended")

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "ended\n"


# -- what is in the file's place


def _directory(path: Path) -> None:
    path.mkdir()


def _socket(path: Path) -> None:
    with closing(socket.socket(socket.AF_UNIX)) as one:
        one.bind(os.path.relpath(path))  # such a name must be short


@pytest.mark.parametrize("make", [_directory, os.mkfifo, _socket])
async def test_something_else_in_its_place(
    tmp_path: Path, make: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """It is left alone; nothing waits for it; without it everything is kept."""
    path = tmp_path / "t.db"
    make(path)
    async with running(path) as boards:
        assert boards.store.why
        await publish(boards)
        assert len(warnings(caplog)) == 1
        remove(path)
        await eventually(lambda: boards.store.why is None)
        before = states(boards)
    await goes_on(path, before)


def _foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE songs (title TEXT)")
        other.commit()


def _newer(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute(f"PRAGMA application_id = {database.APPLICATION}")
        other.execute(f"PRAGMA user_version = {database.LAYOUT + 1}")
        other.execute("CREATE TABLE boards (title TEXT)")
        other.commit()


BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "garbage": (lambda path: path.write_bytes(random.Random(1).randbytes(9_999)), "not a database"),
    "text": (lambda path: path.write_text("hello"), "not a database"),
    "foreign": (_foreign, "of another program"),
    "newer": (_newer, "written by layout 2"),
}


@pytest.mark.parametrize("what", BAD)
async def test_a_bad_file_is_put_aside(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As it was; the log says why; the last three stay."""
    make, why = BAD[what]
    path = tmp_path / "t.db"
    for _ in range(5):
        path.unlink(missing_ok=True)
        make(path)
        data = path.read_bytes()
        async with running(path) as boards:
            assert boards.store.why is None
            await publish(boards)
        assert why in warnings(caplog)[-1]
        kept = aside(path)
        assert kept[-1].read_bytes() == data
    assert len(kept) == 3
    assert len(warnings(caplog)) == 5


@pytest.mark.parametrize("what", ["missing", "empty", "empty wal", "directories"])
async def test_nothing_there_is_no_trouble(
    tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A file is begun."""
    path = tmp_path / "a" / "b" / "t.db" if what == "directories" else tmp_path / "t.db"
    if what in ("empty", "empty wal"):
        path.touch()
    if what == "empty wal":
        path.with_name("t.db-wal").touch()
    async with running(path) as boards:
        await publish(boards)
        before = states(boards)
    assert path.stat().st_mode & 0o777 == 0o600 or what != "missing"
    await goes_on(path, before)
    assert not warnings(caplog)


async def test_two_with_the_same_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second keeps nothing, and takes nothing from the first."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    path = tmp_path / "t.db"
    async with running(path) as first:
        await publish(first)
        await written(first)
        async with running(path, 2) as second:
            assert second.store.wire()["status"] == "failing"
            await publish(second)
        assert len(warnings(caplog)) == 1
        assert "another process uses it" in warnings(caplog)[0]
        await publish(first)
        before = states(first)
    await goes_on(path, before)


async def test_who_waits_for_a_file_has_it_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a server is replaced by another one beside it; nothing of the first is told on."""
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.01)
    path = tmp_path / "t.db"
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(running(path))
        await publish(first)
        async with running(path, 2) as second:
            await publish(second)
            assert "another process uses it" in (second.store.why or "")
            await stack.aclose()
            await eventually(lambda: second.store.why is None)
            await publish(second)
            before = states(second)
    await goes_on(path, before)


def flipped(path: Path) -> None:
    """Flip a bit of the proof."""
    proof = path.with_name("t.db-shown")
    data = bytearray(proof.read_bytes())
    data[100] ^= 1
    proof.write_bytes(data)


def cut_off(path: Path) -> None:
    """Leave half of the proof."""
    proof = path.with_name("t.db-shown")
    os.truncate(proof, proof.stat().st_size // 2)


def gone(path: Path) -> None:
    """Leave nothing of the proof."""
    path.with_name("t.db-shown").unlink()


def copied(path: Path) -> None:
    """Put a copy of the database in its place."""
    copy = path.with_name("copy")
    copy.write_bytes(path.read_bytes())
    copy.replace(path)


def written_to(path: Path) -> None:
    """Write to the database."""
    with closing(sqlite3.connect(path)) as somebody:
        somebody.execute("DELETE FROM kept")
        somebody.execute("INSERT INTO kept VALUES ('x', 'y', x'00')")
        somebody.commit()


@pytest.mark.parametrize("what", [flipped, cut_off, gone, copied, written_to])
async def test_an_orderly_end_proves_nothing_of_anything_else(
    tmp_path: Path, what: Callable[[Path], None]
) -> None:
    """The rows are there, in a new epoch."""
    path = tmp_path / "t.db"
    async with running(path) as boards:
        await publish(boards)
        before = states(boards)
    what(path)
    async with running(path, 2) as boards:
        for name, (epoch, _, rows) in states(boards).items():
            assert epoch != before[name][0]
            assert rows == before[name][2]


async def test_the_proof_of_an_orderly_end_counts_once(tmp_path: Path) -> None:
    """One that is put back later is of a file that was something else."""
    path, proof = tmp_path / "t.db", tmp_path / "t.db-shown"
    async with running(path) as boards:
        await publish(boards)
    kept = proof.read_bytes()
    async with running(path, 2) as boards:
        assert not proof.exists()
        await publish(boards)
        before = states(boards)
    proof.write_bytes(kept)
    async with running(path, 3) as boards:
        assert all(states(boards)[name][0] != before[name][0] for name in NAMES)


async def test_a_file_that_goes_bad_while_it_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another is begun, with everything."""
    path = tmp_path / "t.db"
    async with running(path) as boards:
        await publish(boards)
        await written(boards)
        assert boards.store._database is not None
        boards.store._database._connection.execute("DROP TABLE entries")
        await publish(boards)
        await eventually(lambda: boards.store.failures)
        await eventually(lambda: boards.store.why is None)
        await publish(boards)
        before = states(boards)
    assert len(aside(path)) == 1
    await goes_on(path, before)


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_file_that_somebody_takes_away_while_it_is_used(
    tmp_path: Path, replaced: bool
) -> None:
    """It is noticed, and another is begun, with everything."""
    path = tmp_path / "t.db"
    async with running(path) as boards:
        await publish(boards)
        await written(boards)
        copied = path.read_bytes()
        path.unlink()
        if replaced:
            path.write_bytes(copied)
        await publish(boards)
        await eventually(lambda: boards.store.failures)
        await eventually(lambda: boards.store.why is None)
        await publish(boards)
        before = states(boards)
    await goes_on(path, before)


async def test_a_defect_does_not_leave_half_a_transaction(tmp_path: Path) -> None:
    """What cannot be written is no reason to give the file up."""
    path = tmp_path / "t.db"
    async with running(path) as boards:
        await written(boards)
        boards.store._values.append(("DELETE FROM kept WHERE part = ?", [("\ud800",)]))
        boards.store._work.set()
        await eventually(lambda: boards.store.failures)
        await eventually(lambda: boards.store.why is None)
        await publish(boards)
        before = states(boards)
    assert not aside(path)
    await goes_on(path, before)


# -- boards that come and go


async def test_boards_come_and_go(tmp_path: Path) -> None:
    """While it runs and between; of those that are gone nothing stays."""
    path = tmp_path / "t.db"
    async with running(path, names=("a", "b", "c")) as boards:
        await publish(boards)
        await boards.store.put("said:a", {"S1": b"{}"})
        await boards.store.put("said:b", {"S1": b"{}"})
        await written(boards)
        del boards.boards["a"]
        boards.boards["d"] = board("d", "of d")
        boards.boards["d"].inherit({"f": ["v", "w"]})
        await publish(boards, 60)
        before = states(boards)
    async with running(path, names=("c", "d")) as boards:
        assert states(boards) == {name: before[name] for name in ("c", "d")}
    with closing(sqlite3.connect(path)) as file:
        for query in "SELECT name FROM boards", "SELECT DISTINCT board FROM entries":
            assert {name for (name,) in file.execute(query)} <= {"c", "d"}
        assert file.execute("SELECT part FROM kept").fetchall() == []


async def test_what_failed_to_be_forgotten_is_forgotten_later(small: Path) -> None:
    """Also where the disk was full just then."""
    path = small / "t.db"
    async with running(path) as boards:
        await boards.store.put("said:a", {"S1": b"{}"})
        await boards.store.put("history:3:a", {"S1": b"{}"})
        await publish(boards)
        await written(boards)
        filler = fill(small)
        while boards.store.why is None:
            await publish(boards, 5)
        del boards.boards["a"]
        failures = boards.store.failures
        await eventually(lambda: boards.store.failures > failures)
        filler.unlink()
        await eventually(lambda: boards.store.why is None)
    async with running(path, names=("b",)):
        pass
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT name FROM boards").fetchall() == [("b",)]
        assert file.execute("SELECT part FROM kept").fetchall() == []


# -- what leads where


def entries(*steps: tuple[str, int, int]) -> list[Entry]:
    """Return entries of an epoch from seq to seq."""
    return [Entry("b", epoch, prev, seq, 0) for epoch, prev, seq in steps]


@pytest.mark.parametrize(
    ("seq", "stored", "found"),
    [
        (2, ["e01", "e12", "e23"], ["e01", "e12", "e23"]),
        (2, ["e12", "e22", "e23"], ["e12", "e22", "e23"]),
        (2, ["e23", "e34"], ["e23", "e34"]),
        (2, ["e34"], []),
        (5, ["e01", "e12"], []),
        (5, ["e01", "e12", "e45", "e56"], ["e45", "e56"]),
        (5, ["e01", "e12", "e67"], []),
        (2, ["e12", "e34"], ["e12"]),
        (2, ["d01", "e12", "d23"], ["e12"]),
        (0, [], []),
    ],
)
def test_only_entries_around_the_state_count(seq: int, stored: list[str], found: list[str]) -> None:
    """Without a gap between them and it."""
    made = entries(*[(name[0], int(name[1]), int(name[2])) for name in stored])
    chosen = [f"{e.epoch}{e.prev}{e.seq}" for e in around("e", seq, made)]
    assert chosen == found


# -- everything at random


class Crash:
    """Ends a store as a kill does: what SQLite would still do is undone."""

    def __init__(self, kept: Store) -> None:
        files = {p: p.read_bytes() for p in kept.path.parent.glob(f"{kept.path.name}*")}
        assert kept._database is not None
        assert kept._shown is not None
        kept._database._connection.close()
        kept._shown.close(ended=False)
        for path in kept.path.parent.glob(f"{kept.path.name}*"):
            if path not in files:
                path.unlink()
        for path, data in files.items():
            path.write_bytes(data)


OPERATIONS = st.lists(
    st.sampled_from(["step"] * 12 + ["write"] * 3 + ["kill", "cut", "end"]), max_size=60
)


@settings(max_examples=25)
@given(OPERATIONS, st.integers(0, 1 << 20))
def test_any_sequence_of_events_keeps_the_promises(
    tmp_path_factory: pytest.TempPathFactory, operations: list[str], seed: int
) -> None:
    """What there is after a restart was shown, and leads every viewer to the same rows."""
    witness = Witness(tmp_path_factory.mktemp("store"), seed)

    async def start() -> Boards:
        boards = Boards(witness.path, witness.dice.randrange(1 << 30), NAMES)
        await boards.load()
        for live in boards.boards.values():
            witness.hear(seen("start", live))
        return boards

    async def run() -> None:
        boards = await start()
        for operation in [*operations, "kill"]:
            match operation:
                case "step":
                    if (live := await boards.step()) is not None:
                        witness.hear(seen("shown", live))
                    continue
                case "write":
                    await boards.store.write()
                    continue
                case "end":
                    went_on = witness.went_on
                    await boards.store.close(nothing_more)
                    boards = await start()
                    assert witness.went_on == went_on + len(NAMES)
                    continue
            Crash(boards.store)
            log = witness.path.with_name("t.db-wal")
            if operation == "cut" and log.exists():
                os.truncate(log, witness.dice.randrange(log.stat().st_size + 1))
            boards = await start()
        await boards.store.close(nothing_more)

    asyncio.run(run())
