"""What scores are shown: sources flap, so a reading that takes something back must be confirmed.

A row is *doubtful* when a score is lower than the one admitted, or its status goes back. It is held
back, and what was admitted stays, until the next reading is doubtful in the same way or the row
itself says that it is a correction. Finals that vanish are kept for a while, and rows with a clock
say since when it shows what it shows.
"""

from __future__ import annotations

from collections.abc import Collection, Container, Mapping
from dataclasses import dataclass
from typing import Any

from ticker.diff import Row, Rows
from ticker.fields import SCORES, is_number
from ticker.quality import OVER

ANOTHER_GAME_MS = 3_600_000
"""A start that moves by more is another game's: postponements on the day are shorter."""

# tuples, not sets: what a source says there may be anything, also a list
_FINALS = tuple(OVER)
RUNNING = ("live", "break", "suspended")
"""Values of a game's ``status`` while it has begun and is not over."""

_CLOCK = ("clock", "period", "status", "clock_rate")
_UNMARKED = frozenset({"", "false", "0", "no"})


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A row that waits to be confirmed, and which fields take something back."""

    row: Row
    ways: frozenset[str]


class Guard:
    """The rows of one feed that are shown: at most ``most``; ``keep_finals`` is in seconds.

    ``cumulative`` says that readings are news: who says nothing of a row says it again.
    """

    def __init__(self, *, keep_finals: float, most: int, cumulative: bool = False) -> None:
        self.held = 0
        """How many readings of rows were held back, in all."""
        self.last_held: str | None = None
        """The row that was held back last and why, in words."""
        self._keep_finals, self._most, self._cumulative = keep_finals, most, cumulative
        self._admitted: Rows = {}
        self._doubts: dict[str, _Doubt] = {}
        self._gone: dict[str, float] = {}  # finals that vanished, and when in epoch seconds

    def memory(self) -> dict[str, Any]:
        """Return what another process needs to go on, besides the rows that are shown."""
        doubts = {s: [doubt.row, sorted(doubt.ways)] for s, doubt in self._doubts.items()}
        return {"doubts": doubts, "gone": dict(self._gone)}

    def inherit(self, rows: Mapping[str, Row], memory: Mapping[str, Any]) -> None:
        """Go on where another process was, which showed ``rows``."""
        self._admitted = dict(rows)
        doubts = memory.get("doubts", {}).items()
        self._doubts = {s: _Doubt(row, frozenset(w)) for s, (row, w) in doubts if s in rows}
        self._gone = {s: at for s, at in memory.get("gone", {}).items() if s in rows}

    @property
    def rows(self) -> Rows:
        """The rows that are shown."""
        return self._admitted

    def admit(
        self,
        rows: Mapping[str, Row],
        now: float,
        *,
        complete: bool = False,
        kept: Container[str] = (),
    ) -> Rows:
        """Return what to show for a reading, which itself stays as it is.

        ``kept`` are symbols of which it says nothing new; ``now`` is in epoch seconds.
        """
        before, self._doubts = self._doubts, {}
        shown: Rows = {}
        for symbol, row in rows.items():
            doubt = before.pop(symbol, None)
            shown[symbol] = self._judge(symbol, row, doubt, now, heard=symbol not in kept)
        for symbol, doubt in before.items():
            if symbol in kept:
                self._doubts[symbol] = doubt
            elif self._cumulative:
                shown[symbol] = self._confirmed(symbol, doubt, now)
        if complete:
            self._admitted = shown | self._missing(shown, kept, now)
            return self._admitted
        self._admitted.update(shown)
        while len(self._admitted) > self._most:  # the board drops its oldest rows, too
            self._admitted.pop(next(iter(self._admitted)))
        return shown

    def confirm(self, now: float) -> Rows | None:
        """Take it that the source says again what it said before.

        Returns all rows to show, None when they are those that are shown.
        """
        doubts, self._doubts = self._doubts, {}
        changed = {symbol: self._confirmed(symbol, doubt, now) for symbol, doubt in doubts.items()}
        over = [symbol for symbol, since in self._gone.items() if not self._keeps(since, now)]
        for symbol in over:
            del self._gone[symbol]
            self._admitted.pop(symbol, None)
        self._admitted.update(changed)
        return self._admitted if changed or over else None

    def _judge(
        self, symbol: str, row: Row, doubt: _Doubt | None, now: float, *, heard: bool
    ) -> Row:
        """Return the row to show; ``heard`` is false for one that the source did not say again."""
        marked = _marked(row)
        if "correction" in row:  # the source's mark; the field is ours
            row = {field: value for field, value in row.items() if field != "correction"}
        known = self._admitted.get(symbol)
        if known is None or _another_game(known, row):
            return _clocked(row, None, now)
        ways = _doubtful(known, row)
        if not ways or marked or (heard and doubt is not None and doubt.ways == ways):
            return _successor(known, row, now)
        self._doubts[symbol] = _Doubt(row, ways)
        if heard:
            self.held += 1
            self.last_held = f"row '{symbol}': " + ", ".join(
                f"{field} {known[field]} became {row[field]}" for field in sorted(ways)
            )
        return known

    def _confirmed(self, symbol: str, doubt: _Doubt, now: float) -> Row:
        known = self._admitted.get(symbol)
        return (
            _clocked(doubt.row, None, now) if known is None else _successor(known, doubt.row, now)
        )

    def _missing(self, shown: Collection[str], kept: Container[str], now: float) -> Rows:
        """Return the rows that stay although a complete reading lacks them."""
        lacking = {s: row for s, row in self._admitted.items() if s not in shown}
        stay = {s: row for s, row in lacking.items() if s in kept}
        finals = {s for s, row in lacking.items() if s not in kept and row.get("status") in _FINALS}
        gone = {s: since for s, since in self._gone.items() if s in finals}
        gone |= {s: now for s in lacking if s in finals and s not in gone}
        gone = {s: since for s, since in gone.items() if self._keeps(since, now)}
        while gone and len(gone) + len(stay) + len(shown) > self._most:  # the oldest go first
            gone.pop(next(iter(gone)))
        self._gone = gone
        return {s: row for s, row in lacking.items() if s in stay or s in gone}

    def _keeps(self, since: float, now: float) -> bool:
        return abs(now - since) < self._keep_finals


def _marked(row: Row) -> bool:
    """Whether the source itself calls the row a correction."""
    mark = row.get("correction")
    return mark is not None and str(mark).strip().lower() not in _UNMARKED


def _doubtful(known: Row, row: Row) -> frozenset[str]:
    """Return the fields in which ``row`` takes back what is known."""
    ways = {field for field in SCORES if _lower(row.get(field), known.get(field))}
    before, after = known.get("status"), row.get("status")
    begun, running = before in (*RUNNING, "final"), after in RUNNING
    if (begun and after == "scheduled") or (before == "final" and running):
        ways.add("status")
    return frozenset(ways)


def _another_game(known: Row, row: Row) -> bool:
    """Whether a symbol now stands for another game than before."""
    before, after = known.get("start"), row.get("start")
    if is_number(before) and is_number(after) and abs(after - before) > ANOTHER_GAME_MS:
        return True
    return any(f in known and f in row and known[f] != row[f] for f in ("home", "away"))


def _successor(known: Row, row: Row, now: float) -> Row:
    """Return ``row`` as it is shown after ``known``: with what was corrected, and its clock."""
    was = [known.get(field) for field in SCORES]
    fell = any(_lower(row.get(field), known.get(field)) for field in SCORES)
    rose = any(_lower(known.get(field), row.get(field)) for field in SCORES)
    if fell:
        words = "–".join(f"{score:.15g}" if is_number(score) else "?" for score in was)
        row = {**row, "correction": f"was {words}"}
    elif "correction" in known and not rose and row.get("status") != "scheduled":
        row = {**row, "correction": known["correction"]}
    return _clocked(row, known, now)


def _clocked(row: Row, known: Row | None, now: float) -> Row:
    """Return ``row`` with the time at which its clock was first seen as it is."""
    if "clock" not in row or "clock_at" in row:
        return row
    same = known is not None and all(known.get(field) == row.get(field) for field in _CLOCK)
    here = round(now * 1000)
    return {**row, "clock_at": known.get("clock_at", here) if known and same else here}


def _lower(one: object, other: object) -> bool:
    return is_number(one) and is_number(other) and one < other
