"""A process that shows boards and keeps them, to be killed; and who remembers what it has shown.

It runs the store's own code on a real file, without HTTP: so it starts in no time, and can be
killed a hundred times.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from time import time
from typing import Any

import orjson

from tests.buses import START
from tests.support import until
from ticker import diff, store
from ticker.board import Diff
from ticker.entry import FeedStatus
from ticker.live import LiveBoard, Shape
from ticker.quality import Quality
from ticker.store import Store, shown

NAMES = ("a", "b")
SYMBOLS = 12
POINTS = 20

_context = get_context("forkserver")
_context.set_forkserver_preload(["tests.storing"])


def board(name: str, epoch: str = "new") -> LiveBoard:
    """Return an empty board, with a history."""
    return LiveBoard(name, epoch, shape("one"))


def shape(title: str) -> Shape:
    """Return a shape that says ``title``."""
    return Shape(title, "quotes", [], ["f"], 0.0, "v", POINTS)


class Boards:
    """Boards that change at random."""

    def __init__(self, path: Path, seed: int, names: tuple[str, ...] = NAMES) -> None:
        self.boards = {name: board(name, f"{seed}-{name}") for name in names}
        self.store = Store(path, self.boards)
        self.dice = random.Random(seed)

    async def load(self) -> None:
        """Be where the store says, and go on reading."""
        await self.store.load()
        self.store.settle()
        for live in self.boards.values():
            live.inherit({"f": ["v", "w"]})
            live.pending(time())

    def change(self, live: LiveBoard) -> None:
        """Let something on a board be pending."""
        dice, chance = self.dice, self.dice.random()
        symbols = [f"S{dice.randrange(SYMBOLS)}" for _ in range(1 + dice.randrange(3))]
        if chance < 0.03:
            live.reshape(shape(str(dice.random())))
        elif chance < 0.1:
            live.report("f", FeedStatus(Quality.LIVE, round(time() * 1000), why=str(chance)))
        elif chance < 0.25:
            live.board.remove("f", symbols)
        else:
            rows = {s: {"v": dice.randrange(1000), dice.choice("wx"): chance} for s in symbols}
            live.board.apply("f", rows)

    async def step(self) -> LiveBoard | None:
        """Publish a change of a board; return the board, if it has one."""
        live = self.dice.choice(list(self.boards.values()))
        self.change(live)
        entry = live.pending(time())
        if entry is None or not await self.store.publish(live, entry):
            return None
        return live


def answers(live: LiveBoard, seqs: list[int]) -> dict[str, Any]:
    """Return by seq what a viewer there is told: None, a patch, or all rows."""
    found: dict[str, Any] = {}
    for seq in seqs:
        match live.board.since(seq):
            case None:
                found[str(seq)] = ["nothing", None]
            case Diff(_, _, rows):
                found[str(seq)] = ["diff", rows]
            case whole:
                found[str(seq)] = ["all", dict(whole.rows)]
    return found


def seen(what: str, live: LiveBoard) -> dict[str, Any]:
    """Return what viewers see of a board; at the start also what those are told who come back."""
    place = {"what": what, "board": live.name, "epoch": live.epoch, "seq": live.seq}
    told: dict[str, Any] = {**place, "rows": dict(live.board.snapshot().rows), "time": time()}
    if what == "start":
        told["since"] = answers(live, list(range(max(0, live.seq - 600), live.seq + 3)))
    return told


async def _show(path: Path, told: Path, seed: int, seconds: float) -> None:
    running = Boards(path, seed)
    with told.open("ab", buffering=0) as file:

        def tell(what: str, live: LiveBoard) -> None:
            file.write(orjson.dumps(seen(what, live)) + b"\n")

        await running.load()
        for live in running.boards.values():
            tell("start", live)
        running.store.start()
        telling = asyncio.create_task(_tell_written(running, file.write))
        while not telling.done():
            if (changed := await running.step()) is not None:
                tell("shown", changed)
            await asyncio.sleep(running.dice.random() * seconds)


async def _tell_written(running: Boards, write: Callable[[bytes], object]) -> None:
    """Tell when all that was shown has been written."""
    while True:
        before = [live.seq for live in running.boards.values()]
        enough = running.store.transactions + 2  # one may be under way
        while running.store.transactions < enough:
            running.store._work.set()
            await asyncio.sleep(0.01)
        if before == [live.seq for live in running.boards.values()]:
            write(b'{"what":"written"}\n')


def show(path: Path, told: Path, seed: int, seconds: float, boot: Path) -> None:
    """Show boards until killed, and tell in the file ``told`` what was shown after it was.

    ``boot`` has the name of this boot.
    """
    store.RETRY_SECONDS = 0.01, 0.05
    shown.BOOT_ID = boot
    asyncio.run(_show(path, told, seed, seconds))


class Witness:
    """Starts processes that show the boards of one file, and knows all that they have shown."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path = folder / "t.db"
        self.told = folder / "told"
        self.boot = folder / "boot"
        self.boot.write_text("00112233-4455-6677-8899-aabbccddeeff")
        self.dice = random.Random(seed)
        self.rows: dict[tuple[str, str, int], diff.Rows] = {}
        """Rows that were shown, by board, epoch and seq."""
        self.last: dict[str, tuple[str, int, float]] = {}
        """Of each board the epoch, seq and time that were shown last."""
        self.times: dict[tuple[str, str, int], float] = {}
        self.lost: list[float] = []
        """Seconds of what was shown that each start lacked, board by board."""
        self.went_on = self.began = 0

    @contextmanager
    def showing(self, seconds: float = 0.004) -> Iterator[ForkServerProcess]:
        """Let a process show during the block; it is killed at the end."""
        self.told.write_bytes(b"")
        seed = self.dice.randrange(1 << 30)
        arguments = self.path, self.told, seed, seconds, self.boot
        process = _context.Process(target=show, args=arguments)
        process.start()
        try:
            until(lambda: self.told.read_bytes().count(b"\n") >= len(NAMES), patience=START)
            yield process
        finally:
            process.kill()
            process.join()
        self.judge()

    def wait(self, lines: int) -> None:
        """Wait until so much has been told."""
        until(lambda: self.told.read_bytes().count(b"\n") >= lines, patience=START)

    def wait_written(self) -> None:
        """Wait until all that was shown is written."""
        until(lambda: b"written" in self.told.read_bytes(), patience=START)

    def judge(self) -> None:
        """Judge how the process started, then remember what it showed."""
        lines = self.told.read_bytes().split(b"\n")[:-1]  # the last may be half a line
        for told in map(orjson.loads, lines):
            self.hear(told)

    def hear(self, told: dict[str, Any]) -> None:
        """Judge what was seen, and remember it."""
        if told["what"] == "start":
            self._judge_start(told)
        if told["what"] != "written":
            self._remember(told)

    def _remember(self, told: dict[str, Any]) -> None:
        place = told["board"], told["epoch"], told["seq"]
        known = self.rows.setdefault(place, told["rows"])
        assert known == told["rows"], f"{place} was shown with other rows"
        self.times[place] = told["time"]
        self.last[told["board"]] = told["epoch"], told["seq"], told["time"]

    def _judge_start(self, told: dict[str, Any]) -> None:
        name, epoch, seq, rows = (told[part] for part in ("board", "epoch", "seq", "rows"))
        if name not in self.last:
            return
        last, last_seq, last_time = self.last[name]
        if epoch == last:
            assert seq in (last_seq, last_seq + 1), f"{name} goes on at {seq} after {last_seq}"
            self.went_on += 1
            self.lost.append(0.0)
            self._judge_since(told)
        else:
            assert not any(place[:2] == (name, epoch) for place in self.rows), "an old epoch"
            self.began += 1
            kept = self._kept(name, rows)
            assert kept is not None, f"{name} has rows that were never shown: {rows}"
            self.lost.append(max(0.0, last_time - kept))
        if epoch == last and seq == last_seq:
            assert rows == self.rows[name, epoch, seq]

    def _kept(self, name: str, rows: diff.Rows) -> float | None:
        """Return when rows were shown last; None when never."""
        shown = [(place, time) for place, time in self.times.items() if place[0] == name]
        times = [time for place, time in shown if self.rows[place] == rows]
        if not rows:  # all of it is lost
            times.append(min(time for _, time in shown))
        return max(times, default=None)

    def _judge_since(self, told: dict[str, Any]) -> None:
        """Every viewer of the epoch, wherever it was, gets the rows."""
        for seq, (kind, said) in told["since"].items():
            place = told["board"], told["epoch"], int(seq)
            if kind == "all":
                assert said == told["rows"]
            elif kind == "nothing":
                assert int(seq) == told["seq"]
            elif place in self.rows:
                assert diff.apply(self.rows[place], said) == told["rows"], place
