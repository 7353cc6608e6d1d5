"""The board's laws, held over arbitrary histories, and its rules one by one."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
)

from ticker import board as board_module
from ticker import diff
from ticker.board import Board, Claim, Claims, Diff, Snapshot
from ticker.diff import Rows
from ticker.quality import Quality

SYMBOLS = st.sampled_from("ABCDEF")
FIELDS_ALL = ["last", "open", "volume", "name", "change"]
FIELDS = st.sampled_from(FIELDS_ALL)
VALUES = st.one_of(
    st.integers(-3, 3), st.floats(-2, 2, allow_nan=False), st.sampled_from(["", "x", "y"])
)
ROWS = st.dictionaries(SYMBOLS, st.dictionaries(FIELDS, VALUES, min_size=1), max_size=6)


class Histories(RuleBasedStateMachine):
    """Two feeds fill a board in any way; viewers of any age ask it at any time."""

    viewers = Bundle("viewers")

    @initialize(limit=st.sampled_from([0, 2, 1000]))
    def start(self, limit: int) -> None:
        # once a tombstone is gone a row that returns may not clear what it had: no merge then
        self.board = Board(["one", "two"], tombstone_limit=limit)
        self.now = 0.0
        self.forgets = limit < 1000
        self.published: list[tuple[Rows, Diff]] = []
        self.said: dict[str, Rows] = {"one": {}, "two": {}}

    @rule(feed=st.sampled_from(["one", "two"]), rows=ROWS, complete=st.booleans())
    def apply(self, feed: str, rows: Rows, complete: bool) -> None:
        self.board.apply(feed, {s: dict(row) for s, row in rows.items()}, complete=complete)
        self.said[feed] = dict(rows) if complete else {**self.said[feed], **rows}

    @rule(feed=st.sampled_from(["one", "two"]), symbols=st.sets(SYMBOLS))
    def remove(self, feed: str, symbols: set[str]) -> None:
        self.board.remove(feed, symbols)
        for symbol in symbols:
            self.said[feed].pop(symbol, None)

    @rule(quality=st.sampled_from(list(Quality)), late=st.frozensets(SYMBOLS))
    def rate(self, quality: Quality, late: frozenset[str]) -> None:
        self.board.rate("one", quality, late)

    @rule(feeds=st.sampled_from([["one", "two"], ["two", "one"]]), without=st.booleans())
    def reorder(self, feeds: list[str], without: bool) -> None:
        if without:  # a feed goes, and comes back empty
            self.board.reorder(feeds[:1])
            self.said[feeds[1]] = {}
        self.board.reorder(feeds)

    @rule()
    def renew(self) -> None:
        self.board.renew()

    @rule(passes=st.sampled_from([0.1, board_module.TOMBSTONE_SECONDS + 1]))
    def flush(self, passes: float) -> None:
        self.now += passes
        self.forgets |= passes > board_module.TOMBSTONE_SECONDS
        before = copied(self.board)
        found = self.board.flush(self.now)
        if found is None:
            assert copied(self.board) == before, "a change that was not published"
            return
        assert diff.apply(before, found.rows) == copied(self.board)
        assert copied(self.board) != before, "a diff between equal states"
        self.published.append((before, found))

    @rule(target=viewers)
    def join(self) -> dict[str, Any]:
        return {"seq": self.board.seq, "rows": copied(self.board)}

    @rule(viewer=viewers)
    def catch_up(self, viewer: dict[str, Any]) -> None:
        match self.board.since(viewer["seq"]):
            case Diff(prev, seq, rows):
                assert prev == viewer["seq"]
                viewer["rows"], viewer["seq"] = diff.apply(viewer["rows"], rows), seq
            case Snapshot(seq, rows):
                viewer["rows"], viewer["seq"] = {s: dict(r) for s, r in rows.items()}, seq
        assert viewer["rows"] == copied(self.board)

    @invariant()
    def consecutive_diffs_merge(self) -> None:
        """What two diffs do one after the other, their merge does at once."""
        if len(self.published) < 2 or self.forgets:
            return
        (start, first), (_, second) = self.published[-2:]
        both = diff.apply(diff.apply(start, first.rows), second.rows)
        assert diff.apply(start, diff.merge(first.rows, second.rows)) == both

    @invariant()
    def every_feed_is_heard(self) -> None:
        """A flushed board has exactly the rows of its feeds."""
        if self.board._dirty:
            return
        assert copied(self.board).keys() == self.said["one"].keys() | self.said["two"].keys()


def copied(board: Board) -> Rows:
    """Return the published rows, apart from the board."""
    return {symbol: dict(row) for symbol, row in board.snapshot().rows.items()}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=2 * settings().max_examples, stateful_step_count=40)


def flushed(*readings: Rows, **options: Any) -> Board:
    """Return a board that published each reading of its one feed."""
    board = Board(["f"], **options)
    for now, rows in enumerate(readings):
        board.apply("f", rows, complete=True)
        board.flush(float(now))
    return board


def test_equal_readings_give_no_diff() -> None:
    """A reading that says the same again costs no seq."""
    board = flushed({"A": {"last": 1}})
    board.apply("f", {"A": {"last": 1}})
    assert board.flush(1.0) is None
    assert board.seq == 1


def test_a_change_that_is_taken_back_before_the_flush_gives_no_diff() -> None:
    """Only what viewers would see counts."""
    board = flushed({"A": {"last": 1}})
    board.apply("f", {"A": {"last": 2}})
    board.apply("f", {"A": {"last": 1}})
    assert board.flush(1.0) is None


def test_since_names_only_fields_newer_than_asked() -> None:
    """Each field remembers its own seq."""
    board = flushed({"A": {"last": 1, "volume": 5}}, {"A": {"last": 2, "volume": 5}})
    assert board.since(1) == Diff(1, 2, {"A": {"last": 2}})


def test_since_spans_many_seqs_with_the_latest_value() -> None:
    """A viewer that was away gets one diff, with the present in it."""
    board = flushed({"A": {"last": 1}}, {"A": {"last": 2}}, {"A": {"last": 3}})
    assert board.since(1) == Diff(1, 3, {"A": {"last": 3}})


def test_since_the_present_is_nothing() -> None:
    """Who is at the board's seq lacks nothing."""
    assert flushed({"A": {"last": 1}}).since(1) is None


def test_a_seq_from_the_future_gets_a_snapshot() -> None:
    """Such a viewer has another history, whatever it says."""
    assert isinstance(flushed({"A": {"last": 1}}).since(99), Snapshot)


def test_a_removed_row_is_told_as_null() -> None:
    """A tombstone keeps what is gone tellable."""
    board = flushed({"A": {"last": 1}, "B": {"last": 1}}, {"B": {"last": 1}})
    assert board.since(1) == Diff(1, 2, {"A": None})


def test_a_row_that_returns_clears_what_it_had_before() -> None:
    """A viewer that missed the removal must not keep old fields."""
    board = flushed({"A": {"last": 1, "name": "x"}}, {}, {"A": {"last": 1}})
    assert board.since(1) == Diff(1, 3, {"A": {"last": 1, "name": None}})


def test_whoever_is_older_than_the_tombstones_gets_a_snapshot() -> None:
    """Tombstones are bounded in number; beyond them only the whole state is true."""
    board = flushed({"A": {"last": 1}, "B": {"last": 1}}, {"B": {"last": 1}}, tombstone_limit=0)
    assert isinstance(board.since(1), Snapshot)
    assert board.since(2) is None


def test_tombstones_are_bounded_in_time() -> None:
    """After a while a removal is forgotten."""
    board = flushed({"A": {"last": 1}, "B": {"last": 1}}, {"B": {"last": 1}})
    board.apply("f", {"B": {"last": 2}})
    board.flush(board_module.TOMBSTONE_SECONDS * 2)
    assert isinstance(board.since(1), Snapshot)
    assert board.since(2) == Diff(2, 3, {"B": {"last": 2}})


def test_a_row_that_came_back_is_told_when_its_tombstone_is_gone() -> None:
    """What is forgotten is a removal that nobody needs to hear of."""
    both, one = {"A": {"last": 1}, "B": {"last": 1}}, {"B": {"last": 1}}
    board = flushed(both, one, both)
    board.apply("f", {"B": {"last": 2}})
    board.flush(board_module.TOMBSTONE_SECONDS * 2)
    assert board.since(1) == Diff(1, 4, {"A": {"last": 1}, "B": {"last": 2}})


def test_a_removal_of_what_is_not_there_changes_nothing() -> None:
    """As RFC 7396 has it; nor does anybody hear of it."""
    board = flushed({"A": {"last": 1}})
    board.advance({"B": None}, 1.0)
    assert board.snapshot() == Snapshot(2, {"A": {"last": 1}})
    assert board.since(1) == Diff(1, 2, {})


def test_kept_rows_survive_a_complete_reading() -> None:
    """A row whose own part of a reading failed stays."""
    board = flushed({"A": {"last": 1}, "B": {"last": 1}})
    board.apply("f", {"B": {"last": 2}}, complete=True, kept={"A"})
    board.flush(1.0)
    assert board.since(1) == Diff(1, 2, {"B": {"last": 2}})


def test_the_first_feed_wins_field_by_field() -> None:
    """Two feeds may fill one row; what only one knows is shown from it."""
    board = Board(["one", "two"])
    board.apply("two", {"A": {"last": 2, "name": "two"}})
    board.apply("one", {"A": {"last": 1}})
    board.flush(0.0)
    assert board.snapshot().rows == {"A": {"last": 1, "name": "two"}}


def test_a_row_stays_while_any_feed_has_it() -> None:
    """One feed's removal leaves the other's fields."""
    board = Board(["one", "two"])
    board.apply("one", {"A": {"last": 1}})
    board.apply("two", {"A": {"name": "x"}})
    board.flush(0.0)
    board.remove("one", ["A"])
    assert board.flush(1.0) == Diff(1, 2, {"A": {"last": None}})


def test_another_order_of_feeds_is_another_precedence() -> None:
    """And a feed that goes takes its rows along, whoever fills them from now on."""
    board = Board(["one", "two"])
    board.apply("one", {"A": {"last": 1}, "B": {"last": 1}})
    board.apply("two", {"A": {"last": 2}})
    board.flush(0.0)
    board.reorder(["two", "one"])
    assert board.flush(1.0) == Diff(1, 2, {"A": {"last": 2}})
    board.reorder(["two", "three"])
    assert board.flush(2.0) == Diff(2, 3, {"B": None})


def test_only_a_snapshot_leads_to_a_renewed_board() -> None:
    """So whoever comes later is shown what has changed beside the rows."""
    board = flushed({"A": {"last": 1}}, {"A": {"last": 2}})
    board.renew()
    assert board.since(2) == Snapshot(3, {"A": {"last": 2}})
    board.apply("f", {"A": {"last": 3}})
    assert board.flush(5.0) == Diff(3, 4, {"A": {"last": 3}})
    assert isinstance(board.since(2), Snapshot)
    assert board.since(3) == Diff(3, 4, {"A": {"last": 3}})


def test_quality_is_part_of_the_state() -> None:
    """A feed that goes down marks each of its rows; coming back clears the mark."""
    board = flushed({"A": {"last": 1}})
    board.rate("f", Quality.DOWN)
    assert board.flush(1.0) == Diff(1, 2, {"A": {"quality": "down"}})
    board.rate("f", Quality.LIVE)
    assert board.flush(2.0) == Diff(2, 3, {"A": {"quality": None}})


def test_late_rows_are_marked_alone() -> None:
    """A row can be stale while its feed is live."""
    board = flushed({"A": {"last": 1}, "B": {"last": 1}})
    board.rate("f", Quality.LIVE, {"B"})
    assert board.flush(1.0) == Diff(1, 2, {"B": {"quality": "stale"}})


def test_what_is_over_does_not_turn_stale() -> None:
    """A final game is closed, however its feed is."""
    board = flushed({"A": {"home_score": 1, "status": "final"}})
    board.rate("f", Quality.DOWN)
    assert board.flush(1.0) is None
    assert board.snapshot().rows["A"]["quality"] == "closed"


def test_older_finds_rows_by_their_own_time() -> None:
    """Rows without a time are never older, nor those of that very moment."""
    board = flushed({"A": {"time": 5}, "B": {"time": 15}, "C": {"last": 1}, "D": {"time": 10}})
    assert board.older("f", 10) == {"A"}


def test_new_rows_are_told_in_the_order_of_the_source() -> None:
    """A viewer that was there from the start shows what one that comes later does."""
    board = flushed({"C": {"last": 1}, "A": {"last": 1}, "B": {"last": 1}})
    found = board.since(0)
    assert isinstance(found, Diff)
    assert list(found.rows) == list(board.snapshot().rows) == ["C", "A", "B"]


def restored(rows: Rows, *feeds: str) -> Board:
    """Return a board of ``feeds`` that is at seq 5 elsewhere."""
    board = Board(feeds)
    board.restore(Snapshot(5, rows), [], 0.0)
    return board


def test_as_many_removals_are_told_as_are_kept_and_for_as_long() -> None:
    """Up to the limit, and up to the last second."""
    both, one = {"A": {"last": 1}, "B": {"last": 1}}, {"B": {"last": 1}}
    assert flushed(both, one, tombstone_limit=1).since(1) == Diff(1, 2, {"A": None})
    board = Board(["f"])
    for now, rows in ((10_000.0, both), (10_001.0, one)):
        board.apply("f", rows, complete=True)
        board.flush(now)
    board.advance({"B": {"last": 2}}, 10_001.0 + board_module.TOMBSTONE_SECONDS)
    assert board.since(1) == Diff(1, 3, {"A": None, "B": {"last": 2}})


def test_a_row_that_is_removed_again_is_told_of_when_the_first_removal_is_forgotten() -> None:
    """Of the two it is the second that counts."""
    row = {"A": {"last": 1}}
    board = flushed(row, {}, row)
    board.remove("f", ["A"])
    later = board_module.TOMBSTONE_SECONDS + 0.5
    board.flush(later)
    board.advance({"B": {"last": 1}}, later + 1)
    assert board.since(3) == Diff(3, 5, {"A": None, "B": {"last": 1}})


def test_what_is_published_at_once_has_removals_changes_and_what_they_clear() -> None:
    """In the order in which it came; nothing that is cleared is left in a row."""
    board = flushed({"A": {"last": 1, "name": "x"}, "B": {"last": 1, "name": "y"}})
    board.remove("f", ["A", "Z"])
    board.apply("f", {"B": {"last": 2}, "C": {"last": 3, "quality": "live"}})
    rows = {"A": None, "B": {"last": 2, "name": None}, "C": {"last": 3}}
    assert board.flush(1.0) == Diff(1, 2, rows)
    assert board.snapshot().rows == {"B": {"last": 2}, "C": {"last": 3}}
    board.apply("f", {"A": {"last": 5}})
    assert board.flush(2.0) == Diff(2, 3, {"A": {"last": 5, "name": None}})


def test_who_knows_a_removal_from_elsewhere_cannot_clear_what_the_row_had() -> None:
    """It is told as long as the row stays away; who missed it gets a snapshot once it is back."""
    board = Board(["f"])
    steps = [Diff(3, 4, {"A": None, "B": {"last": 1}}), Diff(4, 5, {"B": {"last": 2}})]
    board.restore(Snapshot(5, {"B": {"last": 2}}), steps, 7.0)
    assert board.since(3) == Diff(3, 5, {"A": None, "B": {"last": 2}})
    board.advance({"A": {"last": 1}}, 8.0)
    assert isinstance(board.since(3), Snapshot)
    assert board.since(4) == Diff(4, 6, {"B": {"last": 2}, "A": {"last": 1}})


def test_who_knows_the_return_of_a_row_from_elsewhere_can_clear_what_it_had() -> None:
    """It was cleared there."""
    board = Board(["f"])
    back = {"last": 1, "name": None}
    board.restore(
        Snapshot(5, {"A": {"last": 1}}), [Diff(3, 4, {"A": None}), Diff(4, 5, {"A": back})], 0.0
    )
    board.advance({"A": None}, 1.0)
    board.advance({"A": back}, 2.0)
    assert board.since(3) == Diff(3, 7, {"A": back})


def test_what_leads_on_from_a_state_elsewhere_is_published_here() -> None:
    """A removal and a renewal as well."""
    board = Board(["f"])
    steps = [Diff(5, 6, {"A": None}), Diff(6, 7, {})]
    board.restore(Snapshot(5, {"A": {"last": 2}}), steps, 0.0)
    assert board.seq == 7
    assert board.since(6) == Snapshot(7, {})


def provided(*feeds: str) -> Board:
    """Return a board whose feeds another process may go on with."""
    board = Board(feeds)
    board.provided = {feed: {"last", "quality"} for feed in feeds[:1]}
    return board


def test_a_board_of_one_feed_claims_only_what_its_source_says_of_quality() -> None:
    """Everything else is to be seen of what is published."""
    board = provided("f")
    board.apply("f", {"A": {"last": 1}, "B": {"last": 1, "quality": "closed"}})
    board.flush(0.0)
    assert board.claims == {"B": {"f": {"quality": "closed"}}}
    assert list(board.unkept) == ["B"]


def test_a_board_of_two_feeds_claims_each_row() -> None:
    """Also of a feed of which nobody knows yet what it can fill."""
    board = provided("one", "two")
    board.apply("one", {"A": {"last": 1}, "B": {"last": 1}})
    board.apply("two", {"B": {"last": 2, "name": "x"}})
    board.flush(0.0)
    assert board.claims == {"A": {"one": {}}, "B": {"one": {}, "two": {"last": 2, "name": "x"}}}
    board.remove("one", ["A"])
    board.flush(1.0)
    assert list(board.claims) == ["B"]
    assert list(board.unkept) == ["A", "B"]


def test_without_claims_every_feed_is_taken_to_have_said_everything() -> None:
    """Of what it can fill."""
    board = restored({"A": {"last": 1, "name": "x"}}, "one", "two")
    board.inherit({"one": ({"last"}, Quality.LIVE), "two": ({"name"}, Quality.LIVE)})
    assert board.said("one") == {"A": {"last": 1}}
    assert board.said("two") == {"A": {"name": "x"}}


def test_a_claim_may_be_newer_than_what_was_published() -> None:
    """Then it is pending."""
    board = restored({"A": {"last": 1}}, "one", "two")
    feeds = {"one": ({"last"}, Quality.LIVE), "two": ({"last"}, Quality.LIVE)}
    board.inherit(feeds, Claims(["one", "two"], {"A": {"two": {"last": 2}}}))
    assert board.flush(0.0) == Diff(5, 6, {"A": {"last": 2}})


def test_only_a_snapshot_leads_past_a_renewal_that_was_elsewhere() -> None:
    """Also where it lies behind the state that a process begins with."""
    board = Board(["f"])
    steps = [Diff(3, 4, {}), Diff(4, 5, {"A": {"last": 2}}), Diff(5, 6, {"A": {"last": 3}})]
    board.restore(Snapshot(5, {"A": {"last": 2, "name": "x"}, "B": {"last": 1}}), steps, 0.0)
    assert isinstance(board.since(3), Snapshot)
    assert board.since(4) == Diff(4, 6, {"A": {"last": 3}})
    assert len(board) == 2


def test_what_is_published_says_how_a_row_was_judged_unless_its_feed_is_as_bad() -> None:
    """Whoever goes on with a feed keeps its source's claim, and no more than that."""
    rows = {"A": {"last": 1, "quality": "stale"}, "B": {"last": 1, "quality": "delayed"}}
    board = restored(rows, "f")
    board.inherit({"f": ({"last"}, Quality.DELAYED)})
    assert board.flush(0.0) is None
    board.rate("f", Quality.LIVE)
    assert board.flush(0.0) == Diff(5, 6, {"B": {"quality": None}})


def test_whoever_goes_on_derives_anew_what_was_derived() -> None:
    """A change that the feed did not say follows its price; one that it said stays."""
    rows = {
        "A": {"last": 3, "open": 2, "change": 1, "change_pct": 50.0},
        "B": {"last": 3, "open": 2, "change": 7, "change_pct": 50.0},
    }
    board = restored(rows, "f")
    board.inherit({"f": ({"last", "open", "change", "change_pct"}, Quality.LIVE)})
    assert board.said("f") == {"A": {"last": 3, "open": 2}, "B": rows["B"]}
    assert board.flush(0.0) is None


def test_claims_tell_apart_what_two_feeds_said() -> None:
    """A row of the one, a row of the other, and a row of both that one of them shadows."""
    rows: Rows = {"A": {"last": 1}, "B": {"last": 2}, "C": {"last": 1, "name": "x"}}
    claims: dict[str, Claim] = {
        "A": {"one": {}},
        "B": {"two": {}},
        "C": {"one": {}, "two": {"last": 2}},
    }
    board = restored(rows, "one", "two")
    feeds = {"one": ({"last"}, Quality.LIVE), "two": ({"last", "name"}, Quality.LIVE)}
    board.inherit(feeds, Claims(["one", "two"], claims))
    assert board.said("one") == {"A": {"last": 1}, "C": {"last": 1}}
    assert board.said("two") == {"B": {"last": 2}, "C": {"last": 2, "name": "x"}}
    assert board.flush(0.0) is None
    assert not board.unkept
    board.remove("one", ["C"])
    assert board.flush(0.0) == Diff(5, 6, {"C": {"last": 2}})
    assert board.claims["C"] == {"two": {}}
    assert list(board.unkept) == ["C"]


def test_who_alone_fills_a_board_says_all_of_which_nothing_else_is_known() -> None:
    """Boards of one feed have no claims, but of rows whose quality is the source's."""
    rows = {"A": {"last": 1, "quality": "stale"}, "B": {"last": 1, "quality": "stale"}}
    board = restored(rows, "f")
    claims = Claims(["f"], {"B": {"f": {"quality": "stale"}}})
    board.inherit({"f": ({"last", "quality"}, Quality.STALE)}, claims)
    assert board.said("f") == {"A": {"last": 1}, "B": {"last": 1, "quality": "stale"}}
    assert not board.pending()
    assert claims.of("A") == {"f": {}}
    assert Claims(["one", "two"], {}).of("A") == {}


def test_a_claim_of_a_row_that_is_not_published_is_given_up() -> None:
    """It was kept for what the one before could not finish."""
    board = restored({"A": {"last": 1}}, "one", "two")
    feeds = {"one": ({"last"}, Quality.LIVE), "two": ({"last"}, Quality.LIVE)}
    board.inherit(feeds, Claims(["one", "two"], {"A": {"one": {}}, "Z": {"two": {}}}))
    assert list(board.claims) == ["A"]
    assert list(board.unkept) == ["Z"]


def test_rows_are_pending_where_the_feeds_of_a_board_are_others_than_claimed() -> None:
    """A row of a feed that is gone goes."""
    board = restored({"A": {"last": 1}, "B": {"last": 1}}, "two")
    claims = Claims(["one", "two"], {"A": {"one": {}}, "B": {"two": {}}})
    board.inherit({"two": ({"last"}, Quality.LIVE)}, claims)
    assert board.flush(0.0) == Diff(5, 6, {"A": None})


def test_who_reads_no_feeds_any_more_has_nothing_to_say() -> None:
    """What is published stays, and what others publish is taken."""
    board = flushed({"A": {"last": 1}})
    board.apply("f", {"A": {"last": 2}})
    board.disown()
    assert board.flush(1.0) is None
    assert board.said("f") == {}
    assert "A" in board
    assert "B" not in board
    board.advance({"A": {"last": 3}}, 1.0)
    assert board.snapshot() == Snapshot(2, {"A": {"last": 3}})


def test_what_was_not_taken_is_pending_again() -> None:
    """As far as it differs from what is published by then."""
    board = flushed({"A": {"last": 1}, "B": {"last": 1}})
    board.apply("f", {"A": {"last": 2}, "B": {"last": 2}})
    patch = board.pending()
    assert not board.pending()
    board.touch(patch)
    board.advance({"B": {"last": 2}}, 1.0)
    assert board.pending() == {"A": {"last": 2}}


@given(data=st.data(), limit=st.integers(0, 12))
@settings(max_examples=3 * settings().max_examples)
def test_a_board_restored_elsewhere_answers_like_the_original(
    data: st.DataObject, limit: int
) -> None:
    """From a whole state in the middle and the diffs around it, whoever then goes on publishing."""
    original = Board(["f"])
    states: dict[int, Rows] = {0: {}}
    diffs: list[Diff] = []
    wholes: dict[int, Snapshot] = {0: Snapshot(0, {})}

    def publish(board: Board, now: float) -> None:
        board.apply("f", data.draw(ROWS), complete=data.draw(st.booleans()))
        found = board.flush(now)
        if found is not None:
            diffs.append(found)
            states[board.seq] = copied(board)
            wholes[board.seq] = Snapshot(board.seq, copied(board))

    for now in range(limit):
        publish(original, float(now))
    first = data.draw(st.integers(0, original.seq))
    middle = data.draw(st.integers(first, original.seq))
    other = Board(["f"])
    other.restore(wholes[middle], [d for d in diffs if d.seq > first], 0.0)
    assert other.seq == original.seq
    assert copied(other) == copied(original)
    other.inherit({"f": ({*FIELDS_ALL}, Quality.LIVE)})
    assert not other.pending(), "who takes over has nothing to say yet"
    gone = {s for d in diffs if d.seq > first for s, row in d.rows.items() if row is None}
    for now in range(data.draw(st.integers(0, 3))):
        publish(other, float(now))
    for seq in range(first, other.seq):
        match other.since(seq):
            case Diff(_, _, rows):
                assert diff.apply(states[seq], rows) == copied(other)
            case Snapshot():
                assert gone, "only a row that comes back can have had fields of which nobody knew"
