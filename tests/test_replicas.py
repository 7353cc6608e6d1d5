"""Whoever takes a board's entries, from whenever on, has the board: rows, statuses and past."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import orjson
from hypothesis import given, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ticker.board import Claims
from ticker.entry import Entry, FeedStatus, Look
from ticker.live import LiveBoard, Shape
from ticker.quality import Quality

NOW = 1_763_629_000.0
FEEDS = ["one", "two"]
PROVIDED = {"one": {"last", "open", "change", "quality"}, "two": {"last", "name", "quality"}}
SYMBOLS = st.sampled_from("ABCD")
VALUES = st.one_of(st.integers(-3, 3), st.sampled_from([0.5, "x", None]))
ROW = st.fixed_dictionaries(
    {},
    optional={
        "last": VALUES,
        "open": st.integers(1, 3),
        "change": st.integers(-1, 1),
        "name": st.sampled_from("xyz"),
        "quality": st.sampled_from(["closed", "delayed", "stale", "live"]),
    },
)
ROWS = st.dictionaries(SYMBOLS, ROW, max_size=4)
KEPT = 12  # entries that whoever joins finds


def shape(title: str = "b") -> Shape:
    """Return what the board is."""
    return Shape(title, "quotes", [], FEEDS, 0.1, "last", 8)


def said(feed: str, rows: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rows as ``feed`` can say them."""
    fields = PROVIDED[feed]
    found = {s: {f: v for f, v in r.items() if f in fields} for s, r in rows.items()}
    return {s: {f: v for f, v in r.items() if v is not None} for s, r in found.items()}


def past(live: LiveBoard) -> dict[str, Any]:
    """Return the answers to all that can be asked of a board's past."""
    symbols = live.board.snapshot().rows
    return {s: str([live.history_of(s, points) for points in (None, 3)]) for s in symbols}


class Replicas(RuleBasedStateMachine):
    """One board whose feeds say anything, one that takes all entries, and some that join late."""

    @initialize()
    def start(self) -> None:
        self.now = NOW
        self.poller = LiveBoard("b", "e", shape())
        self.poller.provide(PROVIDED)
        self.replica = LiveBoard("b", "other", shape())
        self.replica.disown()
        self.told, self.late = dict(self.poller.feeds), dict.fromkeys(FEEDS, frozenset[str]())
        self.claims: dict[str, Any] = {}
        self.past: dict[str, bytes] = {}
        self.said: dict[str, dict[str, Any]] = {feed: {} for feed in FEEDS}
        first = Entry("b", "e", 0, 0, 0, feeds=self.poller.feeds)
        self.state, self.line, self.since = self.poller.snapshot().text, [first.encode()], 0
        self.replica.restore(self.state, [first], self.now)
        self.joined: list[LiveBoard] = []
        for feed in FEEDS:
            self.rate(feed, Quality.LIVE, frozenset())
        self.publish(1.0, refused=False)

    @rule(feed=st.sampled_from(FEEDS), rows=ROWS, complete=st.booleans())
    def say(self, feed: str, rows: dict[str, Any], complete: bool) -> None:
        self.poller.board.apply(feed, said(feed, rows), complete=complete)

    @rule(feed=st.sampled_from(FEEDS), symbols=st.sets(SYMBOLS))
    def remove(self, feed: str, symbols: set[str]) -> None:
        self.poller.board.remove(feed, symbols)

    @rule(
        feed=st.sampled_from(FEEDS),
        quality=st.sampled_from(list(Quality)),
        late=st.frozensets(SYMBOLS, max_size=1),
    )
    def rate(self, feed: str, quality: Quality, late: frozenset[str]) -> None:
        self.poller.board.rate(feed, quality, late)
        at = round(self.now * 1000)
        self.late[feed] = late
        was = self.told[feed]
        since = was.since if was.quality is quality else at
        self.told[feed] = FeedStatus(quality, since, at, None)
        self.poller.report(feed, self.told[feed])

    @rule(title=st.sampled_from(["b", "c"]))
    def reshape(self, title: str) -> None:
        self.poller.reshape(shape(title))
        self.replica.keep(shape(title))

    @rule(passes=st.sampled_from([0.05, 0.3, 5.0, 61.0]), refused=st.booleans())
    def publish(self, passes: float, refused: bool) -> None:
        """Let everybody take what is pending; a bus that refuses it at first changes nothing."""
        self.now += passes
        entry = self.poller.pending(self.now)
        if entry is None:
            return
        if refused:
            self.poller.redo(entry)
            again = self.poller.pending(self.now)
            assert again is not None
            assert again.encode() == entry.encode()
        self.keep_claims()
        data = entry.encode()
        assert Entry.decode("b", data) == entry
        assert Entry.decode("b", data).encode() == data
        self.line = [*self.line, data][-KEPT:]
        for live in (self.poller, self.replica, *self.joined):
            assert live.take(Entry.decode("b", data))

    def keep_claims(self) -> None:
        board = self.poller.board
        for symbol in board.unkept:
            self.claims[symbol] = board.claims.get(symbol)
        board.unkept.clear()

    @rule()
    def keep_state(self) -> None:
        entries = [Entry.decode("b", data) for data in self.line]
        if entries and entries[0].prev <= self.poller.seq:
            self.state = self.poller.snapshot().text

    @rule(symbols=st.sets(SYMBOLS))
    def keep_past(self, symbols: set[str]) -> None:
        for symbol in symbols:
            packed = self.poller.packed(symbol)
            if packed is None:
                self.past.pop(symbol, None)
            else:
                self.past[symbol] = packed

    def reaches(self) -> bool:
        """Whether what is kept leads to where the board is, of rows and of their past."""
        entries = [Entry.decode("b", data) for data in self.line]
        state, first = orjson.loads(self.state)["seq"], entries[0].prev
        return len(self.line) < KEPT and first <= state

    @precondition(lambda self: self.reaches())
    @rule()
    def join(self) -> None:
        """Start late, with the state, the entries around it, and the past as it was kept."""
        live = LiveBoard("b", "new", shape())
        live.disown()
        entries = [Entry.decode("b", data) for data in self.line]
        live.restore(self.state, entries, self.now, self.past)
        self.joined = [*self.joined, live][-3:]

    @rule(claimed=st.booleans())
    def move(self, claimed: bool) -> None:
        """Let the replica read the feeds: it says nothing by itself, and knows who said what.

        The one before may end with something that it had ``claimed`` and not published yet.
        """
        before, lost = self.poller, self.poller.pending(self.now) is not None
        if claimed or not lost:
            self.keep_claims()
        self.poller, self.replica = self.replica, before
        self.poller.inherit(PROVIDED, self.kept())
        self.told = dict(self.poller.feeds)
        if lost:
            self.late = dict.fromkeys(FEEDS, frozenset())
        for feed, late in self.late.items():
            self.poller.board.rate(feed, self.told[feed].quality, late)
        if not lost:
            assert self.poller.pending(self.now) is None
            assert not self.poller.board.unkept
            for feed in FEEDS:
                assert known(self.poller.board.said(feed)) == known(before.board.said(feed))
        before.disown()

    def kept(self) -> Claims:
        rows = {symbol: claim for symbol, claim in self.claims.items() if claim is not None}
        return Claims(FEEDS, orjson.loads(orjson.dumps(rows)))

    @invariant()
    def everybody_has_the_same(self) -> None:
        for live in (self.replica, *self.joined):
            assert shown(live) == shown(self.poller)
            assert past(live) == past(self.poller)
            first = Entry.decode("b", self.line[0]).prev
            for seq in range(first, live.seq):
                one, other = (applied(each, seq) for each in (live, self.poller))
                assert one == other


def shown(live: LiveBoard) -> Any:
    """Return the snapshot; of feeds the poller alone knows the very last success."""
    return timeless(orjson.loads(live.snapshot().text))


def timeless(message: Any) -> Any:
    """Return a message without the last success of feeds."""
    for status in message["feeds"].values():
        status.pop("at", None)
    return message


def known(rows: Any) -> dict[str, Any]:
    """Return rows without what can be derived again, which a feed may say or not."""
    return {s: {f: v for f, v in row.items() if f != "change"} for s, row in rows.items()}


def applied(live: LiveBoard, seq: int) -> Any:
    """Return what a viewer at ``seq`` is told, without what changes nothing where it is applied."""
    frame = live.since(seq)
    if frame is None:
        return None
    message = orjson.loads(frame.text)
    if message["type"] == "snapshot":
        return timeless(message)
    rows = message["rows"]
    return {s: row and {f: v for f, v in row.items() if v is not None} for s, row in rows.items()}


TestReplicas = Replicas.TestCase
TestReplicas.settings = settings(max_examples=settings().max_examples, stateful_step_count=40)

TEXT = st.text(max_size=5)
TIMES = st.none() | st.integers(0, 2**50)
STATUSES = st.builds(
    FeedStatus, st.sampled_from(list(Quality)), TIMES, TIMES, st.none() | TEXT, TIMES
)
CELLS = (
    st.none()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT
)
PATCHES = st.dictionaries(TEXT, st.none() | st.dictionaries(TEXT, CELLS, max_size=3), max_size=4)
LOOKS = st.none() | st.builds(Look, TEXT, TEXT, st.lists(st.dictionaries(TEXT, TEXT), max_size=2))


@given(TEXT, st.integers(0, 99), PATCHES, st.dictionaries(TEXT, STATUSES, max_size=3), LOOKS)
def test_an_entry_survives_the_way_to_others(
    epoch: str, seq: int, rows: Any, feeds: Any, look: Look | None
) -> None:
    """Whatever is in it, and the bytes for viewers are the same."""
    after = seq + bool(rows or look is not None)
    entry = Entry("b", epoch, seq, after, 7, rows, feeds, look)
    back = Entry.decode("b", entry.encode())
    assert back == entry
    assert back.encode() == entry.encode()
    if rows:
        assert back.frame.text == entry.frame.text


def test_who_comes_to_a_quiet_board_is_told_when_it_was_last_read() -> None:
    """Not when it was as of the last change, which may be hours ago."""
    live = LiveBoard("b", "e", shape())
    for at in (1_000, 9_000):
        live.report("one", FeedStatus(Quality.LIVE, 1_000, at, None))
        live.flush(at / 1000)
        for frame in (live.snapshot(), live.since(-1)):
            assert frame is not None
            assert orjson.loads(frame.text)["feeds"]["one"]["at"] == at
