"""What viewers may be shown, worked out from what the sources truly said, without ticker's code.

A source says each answer here before it sends it. The oracle follows what a server that took it
has to show, and judges each state that any viewer was led to:

- it is, as a whole, what the source said at one moment: no torn rows, nothing of an answer that
  was no good, nothing made up;
- seqs go forward in time: no state is older than one with a lower seq;
- all viewers have the same rows at the same seq;
- a row that is not marked is young: its source said it within the bound.

Whether an answer arrived is not known when it is sent. The next request tells, by the name of the
last answer in it (``If-None-Match``); until then both are possible.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from time import time
from typing import Any

import orjson

Row = Mapping[str, Any]
Table = Mapping[str, Row]

KEEP: dict[str, Any] = {}
"""Stands for a row that cannot be read: what is shown of it stays, and grows old."""

UNNAMED = ""
"""The symbol of a row that cannot be read, nor whose it is: no row that is missing may go."""

SLACK = 1.5
"""Seconds in which old age must show: feeds are judged twice a second."""

WRONG_KEPT = 40
PAST_KEPT = 24
STEPS_KEPT = 4_000
ANSWERS_KEPT = 40
FRONTIER_KEPT = 400
"""Where several processes take turns, any of the latest answers may have been the last one taken;
so many possibilities are followed at most."""
MARKS = ("stale", "down")
OVER = ("final", "abandoned", "cancelled")
BEGUN = ("live", "break", "suspended", "final")


@dataclass(frozen=True)
class Terms:
    """What is promised of a board that one feed of the same name fills; in seconds."""

    stale_after: float
    guarded: bool = False
    """Whether scores that fall wait to be confirmed."""
    row_stale_after: float | None = None


@dataclass(frozen=True)
class Node:
    """What is shown once certain answers were taken, the last of them ``etag``."""

    number: int
    etag: str | None
    rows: Table
    doubts: Mapping[str, tuple[frozenset[str], Row]] = field(default_factory=dict)
    fresh: bool = False
    """Whether the feed has just begun: it knows of no scores before."""


class State:
    """The rows of a board at a seq; one object for all viewers that were led there alike."""

    __slots__ = ("board", "epoch", "judged", "next", "number", "rows", "seq", "unmarked")

    def __init__(self, board: str, epoch: str, seq: int, rows: Table) -> None:
        self.board, self.epoch, self.seq, self.rows = board, epoch, seq, rows
        self.number = -1
        """Of the answer that it shows, as far as is known."""
        self.next: dict[bytes, State] = {}
        self.judged = 0.0
        self.unmarked = [
            symbol
            for symbol, row in rows.items()
            if row.get("quality") not in MARKS and row.get("status") not in OVER
        ]


@dataclass
class _Line:
    """The states of one epoch by seq, and which answers they show."""

    floor: int
    seqs: list[int] = field(default_factory=list)
    states: list[State] = field(default_factory=list)


class _Truth:
    """What one source said, and what can be shown of it."""

    def __init__(self) -> None:
        self.count = 0
        start = Node(0, None, {}, fresh=True)
        self.frontier = [start]
        self.past: deque[Node] = deque(maxlen=PAST_KEPT)
        """What was possible lately: a process that was killed may have kept no more."""
        self.where: dict[bytes, list[int]] = {}
        self.note(start)
        self.good: dict[str, float] = {}
        """When each row was last said, in epoch seconds."""
        self.prices: dict[str, set[float]] = {}
        self.good_at = 0.0
        """When the source last said anything that could be used."""

    def note(self, node: Node) -> None:
        self.where.setdefault(fingerprint(node.rows), []).append(node.number)

    def forget(self, node: Node) -> None:
        self.where[fingerprint(node.rows)].remove(node.number)


class Offer:
    """An answer that is being sent."""

    def __init__(self, truth: _Truth, symbols: list[str]) -> None:
        self._truth, self._symbols = truth, symbols

    def sent(self) -> None:
        """Take note that all of it has been sent by now."""
        self._truth.good_at = now = time()
        self._truth.good.update(dict.fromkeys(self._symbols, now))


class Oracle:
    """Judges what viewers are shown; ``wrong`` has all that must not be."""

    def __init__(self, boards: Mapping[str, Terms], shared: float | None = None) -> None:
        self.boards = boards
        self.shared = shared
        """Where several processes take turns at reading the sources: for so many seconds nobody may
        do so until that shows. Who of them took which answer is not known."""
        self.wrong: list[str] = []
        self.context: Callable[[], str] = str
        """Returns when and in what circumstances something happens, in words."""
        self.count = 0
        """How much was wrong, in all."""
        self.states = 0
        """States that were judged."""
        self.marked = 0
        """Those of them in which rows were stale or down."""
        self.lag = 0.0
        """How late this machine is just now, in seconds: so much later old age may show."""
        self.excused_until = 0.0
        self.restless = False
        """Whether feeds may begin anew at any moment, also while they are being answered."""
        self.poor_until = 0.0
        """Until when the process may have too little of something to answer, in epoch seconds."""
        self._truths = {name: _Truth() for name in boards}
        self._lines: dict[tuple[str, str], _Line] = {}
        self._starts: dict[bytes, State] = {}
        self._messages: dict[bytes, Any] = {}

    def complain(self, words: str) -> None:
        """Take note of something that must not be."""
        self.count += 1
        if len(self.wrong) < WRONG_KEPT:
            self.wrong.append(self.context() + words)

    def excuse(self, seconds: float) -> None:
        """Let old age show later for so long: the process cannot keep time."""
        self.excused_until = max(self.excused_until, time() + seconds)

    # -- what sources say

    def asked(self, feed: str, etag: str | None) -> None:
        """Hear a request, and the name of the last answer that was taken, if it is in it."""
        truth = self._truths[feed]
        if self.shared is not None:
            return
        if etag is None:
            if all(node.etag is not None for node in truth.frontier):
                self.forgot(feed)  # it begins anew: it has forgotten more than that
            return
        known = [node for node in truth.frontier if node.etag == etag]
        if not known:
            self.complain(f"feed '{feed}' asks with etag {etag}, which it cannot have now")
            return
        last = max(node.number for node in known)
        for node in truth.frontier:
            if node.number > last:
                truth.forget(node)  # it was not taken
        truth.frontier = known

    def offered(self, feed: str, rows: Table, etag: str | None) -> Offer:
        """Hear an answer before it is sent; ``rows`` has KEEP for those that cannot be read.

        It counts as young once it is ``sent``.
        """
        truth = self._truths[feed]
        truth.count += 1
        truth.past.extend(truth.frontier[-PAST_KEPT:])
        for symbol, row in rows.items():
            if "last" in row:
                truth.prices.setdefault(symbol, set()).add(row["last"])
        known = list(truth.frontier)
        if self.restless:
            known += [replace(node, doubts={}, fresh=True) for node in truth.frontier]
        # a feed that begins anew may have forgotten what it cannot read
        known += [replace(node, rows={}, doubts={}) for node in known if node.fresh and node.rows]
        self._extend(truth, [self._step(feed, node, rows, etag) for node in known])
        return Offer(truth, [symbol for symbol, row in rows.items() if row is not KEEP])

    def confirmed(self, feed: str, rows: Table) -> None:
        """Hear that the source says the same ``rows`` as before, in so many words."""
        truth = self._truths[feed]
        truth.count += 1
        truth.past.extend(truth.frontier[-PAST_KEPT:])
        steps = [self._confirm(truth, node) for node in truth.frontier if node.doubts]
        self._extend(truth, steps)
        Offer(truth, [symbol for symbol, row in rows.items() if row is not KEEP]).sent()

    def begun(self) -> None:
        """Hear that another process serves from now on, which may know nothing.

        Or what the one before had kept: a little less, perhaps, than that had shown.
        """
        for truth in self._truths.values():
            truth.count += 1
            nodes = [Node(truth.count, None, {}, fresh=True)]
            for node in [*truth.past, *truth.frontier[-PAST_KEPT:]]:
                nodes.append(Node(truth.count, node.etag, node.rows, node.doubts))
                nodes += [
                    Node(truth.count, tag, node.rows, fresh=True) for tag in (node.etag, None)
                ]
            self._extend(truth, nodes)

    def forgot(self, feed: str | None = None) -> None:
        """Hear that a feed, or all of them, may begin anew, and show what they showed."""
        for name, truth in self._truths.items():
            if feed in (None, name):
                truth.count += 1
                again = [Node(truth.count, None, n.rows, fresh=True) for n in truth.frontier]
                self._extend(truth, again)

    def _extend(self, truth: _Truth, nodes: list[Node]) -> None:
        known = {(n.etag, fingerprint(n.rows), repr(n.doubts), n.fresh) for n in truth.frontier}
        for node in nodes:
            name = (node.etag, fingerprint(node.rows), repr(node.doubts), node.fresh)
            if name not in known or not truth.where[name[1]]:
                known.add(name)
                truth.frontier.append(node)
            truth.note(node)
        if self.shared is not None:
            young = [n for n in truth.frontier if n.number > truth.count - ANSWERS_KEPT]
            truth.frontier = (young or truth.frontier)[-FRONTIER_KEPT:]

    def _step(self, feed: str, node: Node, said: Table, etag: str | None) -> Node:
        """Return what is shown once ``said`` was taken after ``node``."""
        number = self._truths[feed].count
        rows: dict[str, Row] = {}
        doubts: dict[str, tuple[frozenset[str], Row]] = {}
        missing = {symbol: KEEP for symbol in node.rows if symbol not in said}
        stay = missing if UNNAMED in said else {}
        for symbol, row in {**said, **stay}.items():
            known = node.rows.get(symbol)
            if row is KEEP:
                if known is not None:
                    rows[symbol] = known
                if symbol in node.doubts:
                    doubts[symbol] = node.doubts[symbol]
            elif not self.boards[feed].guarded or known is None or node.fresh:
                rows[symbol] = row
            else:
                ways = taken_back(known, row)
                if ways and node.doubts.get(symbol, (None,))[0] != ways:
                    rows[symbol], doubts[symbol] = known, (ways, row)
                else:
                    rows[symbol] = corrected(known, row)
        return Node(number, etag, rows, doubts)

    def _confirm(self, truth: _Truth, node: Node) -> Node:
        said = {symbol: row for symbol, (_, row) in node.doubts.items()}
        sure = {symbol: corrected(node.rows[symbol], row) for symbol, row in said.items()}
        return Node(truth.count, node.etag, {**node.rows, **sure})

    def truth(self, board: str) -> Table:
        """Return what everybody has to see once the last answer was taken."""
        return self._truths[board].frontier[-1].rows

    def said(self, board: str, symbol: str) -> set[float]:
        """Return all that a source ever said of the price of something."""
        return self._truths[board].prices.get(symbol, set())

    def shows_truth(self, board: str, rows: Table) -> bool:
        """Whether rows are what the source said last."""
        frontier, shown = self._truths[board].frontier, fingerprint(rows)
        sure = [n for n in frontier if n.etag == frontier[-1].etag and not n.doubts]
        return any(fingerprint(node.rows) == shown for node in sure)

    # -- what viewers get

    def read(self, text: bytes) -> Any:
        """Return a message; what many get is read once."""
        message = self._messages.get(text)
        if message is None:
            if len(self._messages) > STEPS_KEPT:
                self._messages.clear()
            message = self._messages[text] = orjson.loads(text)
        return message

    def begin(self, text: bytes, who: str = "a viewer") -> State:
        """Return the state that a snapshot gives, judged."""
        state = self._starts.get(text)
        if state is None:
            if len(self._starts) > STEPS_KEPT:
                self._starts.clear()
            message = self.read(text)
            state = State(message["board"], message["epoch"], message["seq"], message["rows"])
            state = self._starts[text] = self._place(state, who)
        return state

    def lead(self, state: State, text: bytes, who: str = "a viewer") -> State:
        """Return the state to which a diff leads from ``state``, judged."""
        found = state.next.get(text)
        if found is None:
            message = self.read(text)
            rows = patched(state.rows, message["rows"])
            found = State(state.board, state.epoch, message["seq"], rows)
            found = state.next[text] = self._place(found, who)
            self.age(found, message["at"] / 1000, who)
        return found

    def age(self, state: State, at: float, who: str = "a viewer") -> None:
        """Judge how old a state may be that is complete as of ``at``, in epoch seconds."""
        if at < state.judged + 0.2 or time() < self.excused_until:
            return
        state.judged = at
        terms, truth = self.boards[state.board], self._truths[state.board]
        late = SLACK + self.lag + (self.shared or 0.0)
        for symbol in state.unmarked:
            age = at - truth.good.get(symbol, 0.0)
            row = state.rows[symbol]
            if age > terms.stale_after + late:
                self.complain(
                    f"silently old: board '{state.board}' at seq {state.seq}, row '{symbol}' {row} "
                    f"is not marked {age:.2f} s after its source last said it; {who}"
                )
                return
            if terms.row_stale_after is not None and "time" in row:
                age = at - row["time"] / 1000
                if age > terms.row_stale_after + late:
                    self.complain(
                        f"silently old: board '{state.board}' at seq {state.seq}, row '{symbol}' "
                        f"{row} is not marked though its own time is {age:.2f} s ago; {who}"
                    )
                    return

    def age_of_feed(self, board: str, told: Mapping[str, Any], at: float, who: str) -> None:
        """Judge what is told of a board's feed at a time at which that must be up to date."""
        age = at - self._truths[board].good_at
        limit = self.boards[board].stale_after + SLACK + self.lag + (self.shared or 0.0)
        if told.get("quality") not in MARKS and age > limit and time() > self.excused_until:
            self.complain(f"feed '{board}' is called {told} after {age:.2f} s of silence; {who}")

    def _place(self, state: State, who: str) -> State:
        """Put a state where it belongs in its line; return the one that is already there."""
        board, epoch, seq = state.board, state.epoch, state.seq
        line = self._lines.get((board, epoch))
        if line is None:
            numbers = [
                known.number
                for (name, _), other in self._lines.items()
                if name == board
                for known in other.states[-1:]
            ]
            floor = 0 if self.shared is not None else max(numbers, default=0)
            line = self._lines[board, epoch] = _Line(floor)
        at = bisect_right(line.seqs, seq)
        if at and line.seqs[at - 1] == seq:
            there = line.states[at - 1]
            if there.rows != state.rows:
                self.complain(
                    f"two states at seq {seq} of board '{board}': {difference(there, state)}; {who}"
                )
            return there
        self.states += 1
        self.marked += any(row.get("quality") in MARKS for row in state.rows.values())
        floor = line.states[at - 1].number if at else line.floor
        state.number = self._find(state, floor, who)
        line.seqs.insert(at, seq)
        line.states.insert(at, state)
        before = state
        for later in line.states[at + 1 :]:
            if later.number < before.number:
                later.number = self._find(later, before.number, who)
            before = later
        return state

    def _find(self, state: State, floor: int, who: str) -> int:
        """Return the first answer not before ``floor`` that a state can show; complain of none."""
        truth = self._truths[state.board]
        self._fits(state, who)
        numbers = truth.where.get(fingerprint(state.rows), ())
        found = min((number for number in numbers if number >= floor), default=None)
        if found is not None:
            return found
        what = f"board '{state.board}' at seq {state.seq} of {state.epoch}"
        if numbers:
            self.complain(f"back: {what} shows answer {max(numbers)} after {floor}; {who}")
        else:
            why = difference_of(truth.frontier[-1].rows, state.rows)
            self.complain(f"never so: {what} is as its source never was: {why}; {who}")
        return floor

    def _fits(self, state: State, who: str) -> None:
        """Look whether what the server adds to rows fits to them."""
        for symbol, row in state.rows.items():
            if "change" in row and abs(row["change"] - (row["last"] - row["open"])) > 1e-6:
                self.complain(f"torn: row '{symbol}' is {row}; {who}")


ADDED = frozenset({"quality", "change", "change_pct", "clock_at"})


def fingerprint(rows: Table) -> bytes:
    """Return a name of rows as sources say them, however numbers are written."""
    return orjson.dumps({s: plain(r) for s, r in rows.items()}, option=orjson.OPT_SORT_KEYS)


def plain(row: Row) -> Row:
    """Return a row as its source can have said it."""
    return {
        name: float(value) if isinstance(value, int) else value
        for name, value in row.items()
        if name not in ADDED
    }


def patched(rows: Table, patch: Mapping[str, Any]) -> Table:
    """Return rows after a merge patch (RFC 7396)."""
    found = dict(rows)
    for symbol, change in patch.items():
        if change is None:
            found.pop(symbol, None)
        else:
            row = {**found.get(symbol, {}), **change}
            found[symbol] = {name: value for name, value in row.items() if value is not None}
    return found


def taken_back(known: Row, row: Row) -> frozenset[str]:
    """Return what of a game a row takes back: it must be said twice (docs/config.md)."""
    if known["home"] != row["home"]:
        return frozenset()  # another game
    ways = {score for score in ("home_score", "away_score") if row[score] < known[score]}
    running = row["status"] in BEGUN and row["status"] != "final"
    if (known["status"] in BEGUN and row["status"] == "scheduled") or (
        known["status"] == "final" and running
    ):
        ways.add("status")
    return frozenset(ways)


def corrected(known: Row, row: Row) -> Row:
    """Return a row as it is shown after ``known``: a score that was lowered says so."""
    if known["home"] != row["home"]:
        return row
    scores = ("home_score", "away_score")
    if any(row[score] < known[score] for score in scores):
        return {**row, "correction": f"was {known['home_score']:g}–{known['away_score']:g}"}
    rose = any(row[score] > known[score] for score in scores)
    if "correction" in known and not rose and row["status"] != "scheduled":
        return {**row, "correction": known["correction"]}
    return row


def difference(one: State, other: State) -> str:
    """Return in words how two states differ."""
    return difference_of(one.rows, other.rows)


def difference_of(expected: Table, got: Table) -> str:
    """Return in words the first rows that differ."""
    empty: Row = {"no": "row"}
    symbols = [
        symbol
        for symbol in {**expected, **got}
        if plain(expected.get(symbol, empty)) != plain(got.get(symbol, empty))
    ] or [symbol for symbol in expected if expected[symbol] != got.get(symbol)]
    parts = [f"'{s}' expected {expected.get(s)}, got {got.get(s)}" for s in symbols[:3]]
    return f"{len(symbols)} rows differ: " + "; ".join(parts)
