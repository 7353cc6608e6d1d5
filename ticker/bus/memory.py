"""The bus inside one process: for several applications in one, and for tests of what uses a bus."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from time import monotonic

from ticker.bus import (
    MEMBER_SECONDS,
    NEWS,
    NEWS_KEPT,
    Beat,
    Elsewhere,
    Fenced,
    Position,
    Pulse,
    Step,
    Stored,
)


class MemoryBus:
    """Everything is in here; whoever has this object shares it. ``kept`` entries per board."""

    def __init__(self, kept: int = 1_000) -> None:
        self._kept = kept
        self.memory = "here"
        self._term, self._until, self._terms = "", 0.0, 0
        self._settled = ""
        self._cards: dict[str, tuple[float, bytes]] = {}
        self._positions: dict[str, Position] = {}
        self._states: dict[str, bytes | None] = {}
        self._lines: dict[str, deque[tuple[int, bytes]]] = {}
        self._tables: dict[str, dict[str, bytes]] = {}
        self._ends: dict[str, float] = {}
        self._count = 0
        self._bell = asyncio.Event()

    async def beat(self, beat: Beat) -> Pulse:
        """Say that a process lives, renew or take the lease; learn how everything is."""
        now = monotonic()
        if now >= self._until:
            self._term = ""
        if self._term and self._term == beat.term:
            self._until = now + beat.lease
            self._settled = beat.settled or self._settled
        elif not self._term and beat.may_take(self.memory):
            self._terms += 1
            self._term, self._until = f"{self._terms}:{beat.member}", now + beat.lease
        self._cards[beat.member] = now, beat.card
        self._cards = {m: c for m, c in self._cards.items() if now - c[0] <= MEMBER_SECONDS}
        cards = {member: card for member, (_, card) in self._cards.items()}
        return Pulse(self._term, self.memory, self._settled, dict(self._positions), cards)

    async def resign(self, term: str) -> None:
        """Give the lease back, if ``term`` still has it."""
        if term == self._term:
            self._until = 0.0

    async def publish(self, term: str, step: Step) -> None:
        """Take a step, all of it or nothing. Raises Fenced or Elsewhere."""
        self._check(term)
        if step.memory not in ("", self.memory):
            raise Fenced(term)
        at = self._positions.get(step.board)
        if step.before is None:
            self._lines.pop(step.board, None)
        elif at != step.before:
            raise Elsewhere(step.board, at, step.before)
        self._add(step.board, step.entry, self._kept)
        self._positions[step.board] = step.after
        if step.state is not None:
            self._states[step.board] = step.state

    async def forget(self, term: str, boards: Sequence[str]) -> None:
        """Keep nothing of some boards any more. Raises Fenced."""
        self._check(term)
        for board in boards:
            for kept in (self._lines, self._positions, self._states):
                kept.pop(board, None)

    def _check(self, term: str) -> None:
        if term != self._term or monotonic() >= self._until:
            raise Fenced(term)

    def _add(self, name: str, data: bytes, kept: int) -> None:
        self._count += 1
        self._lines.setdefault(name, deque(maxlen=kept)).append((self._count, data))
        self._bell.set()
        self._bell = asyncio.Event()

    async def load(self, board: str) -> Stored:
        """Return what there is of a board, of one moment."""
        line = self._lines.get(board, ())
        cursor = str(line[-1][0]) if line else "0"
        entries = [data for _, data in line]
        return Stored(self._positions.get(board), self._states.get(board), entries, cursor)

    async def read(
        self, cursors: Mapping[str, str], wait: float
    ) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return what came after each cursor; wait for it up to so many seconds."""
        bell = self._bell
        found = dict(self._after(cursors))
        if not found:
            try:
                async with asyncio.timeout(wait):
                    await bell.wait()
            except TimeoutError:
                return {}
            found = dict(self._after(cursors))
        return found

    def _after(
        self, cursors: Mapping[str, str]
    ) -> Iterator[tuple[str, Sequence[tuple[str, bytes]]]]:
        for name, cursor in cursors.items():
            line = self._lines.get(name, ())
            newer = [(str(place), data) for place, data in line if place > int(cursor)]
            if newer:
                yield name, newer

    async def latest(self) -> str:
        """Return the cursor behind the latest news."""
        line = self._lines.get(NEWS)
        return str(line[-1][0]) if line else "0"

    async def say(self, news: bytes) -> None:
        """Tell every process that reads."""
        self._add(NEWS, news, NEWS_KEPT)

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        lasts: float | None = None,
        *,
        term: str = "",
    ) -> None:
        """Keep values by key, for ``lasts`` seconds from now if so; None removes one."""
        if term:
            self._check(term)
        for ended in [name for name, end in self._ends.items() if monotonic() >= end]:
            del self._tables[ended], self._ends[ended]
        kept = dict(self._tables.get(table, {}))
        for name, value in values.items():
            if value is None:
                kept.pop(name, None)
            else:
                kept[name] = value
        self._tables[table] = kept
        if lasts is not None:
            self._ends[table] = monotonic() + lasts

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what is kept in a table."""
        if monotonic() >= self._ends.get(table, float("inf")):
            return {}
        return dict(self._tables.get(table, {}))

    async def close(self) -> None:
        """Release what it holds: nothing."""
