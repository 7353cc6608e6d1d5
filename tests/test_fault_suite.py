"""The fault suite: its oracle sees every kind of lie, its schedules follow from their seeds."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import pairwise
from time import time
from typing import Any

import orjson
import pytest

from tests.faults import run as suite
from tests.faults.oracle import KEEP, Oracle, State, Table, Terms
from tests.faults.schedule import FAULTS, plan
from tests.faults.sources import POISON
from tests.faults.world import ALWAYS, unexpected

SEED, SECONDS = 11, 10.0


async def test_some_seconds_in_which_everything_goes_wrong() -> None:
    """One fixed schedule; ``make faults`` has more of them, and longer ones."""
    verdict = await suite.run(SEED, SECONDS)
    assert verdict.count == 0, verdict.report


# -- schedules


def test_a_seed_gives_the_same_schedule_each_time() -> None:
    """Times, lengths, order, and the seed of each fault."""
    assert plan(7, 60) == plan(7, 60) != plan(8, 60)
    assert all(event.name in FAULTS for event in plan(7, 60))


def test_a_schedule_has_faults_at_the_same_time_and_each_before_any_again() -> None:
    """Three are there at a time, on average; none is forgotten."""
    events = plan(3, 600)
    alone = [name for name in FAULTS if not name.startswith("bus")]
    first = [event.name for event in events[: len(alone)]]
    assert sorted(first) == sorted(alone)
    assert all(a.at <= b.at for a, b in pairwise(events))
    overlaps = sum(b.at < a.at + a.seconds for a, b in pairwise(events))
    assert overlaps > len(events) / 2
    assert all(event.at + event.seconds <= 600.01 for event in events)


def test_faults_of_a_bus_come_where_there_is_one() -> None:
    """And there nothing is done to the process that a bus has several of."""
    kinds = {event.name.partition(":")[0] for event in plan(3, 600, cluster=True)}
    assert kinds == {"bus", "upstream", "viewers"}


# -- the oracle

ONE: Table = {"A": {"last": 1.0, "open": 1.0}, "B": {"last": 2.0, "open": 2.0}}
TWO: Table = {"A": {"last": 1.5, "open": 1.0}, "B": {"last": 2.5, "open": 2.0}}
GAME: Mapping[str, Any] = {
    "home": "Reds",
    "away": "Blues",
    "home_score": 2,
    "away_score": 1,
    "status": "live",
}


class Told:
    """An oracle whose sources have said some answers, and what a server makes of them."""

    def __init__(self, *answers: Table) -> None:
        self.oracle = Oracle({"b": Terms(2.0), "s": Terms(2.0, guarded=True)})
        for answer in answers:
            self.offer(answer)

    def offer(self, answer: Table, board: str = "b") -> None:
        """Let the source say something that is taken."""
        name = f"v{random.random()}"
        self.oracle.offered(board, answer, name).sent()
        self.oracle.asked(board, name)

    def snapshot(self, seq: int, rows: Table, epoch: str = "e", board: str = "b") -> State:
        """Let a viewer be shown a snapshot."""
        message = {"board": board, "epoch": epoch, "seq": seq, "rows": rows}
        return self.oracle.begin(orjson.dumps(message))

    def diff(self, state: State, seq: int, rows: Mapping[str, Any]) -> State:
        """Let it be led on."""
        message = {"board": "b", "prev": state.seq, "seq": seq, "rows": rows, "at": time() * 1000}
        return self.oracle.lead(state, orjson.dumps(message))

    def is_wrong(self, words: str) -> bool:
        """Whether the oracle said one thing, with these words."""
        return len(self.oracle.wrong) == 1 and words in self.oracle.wrong[0]


def test_what_is_true_is_not_complained_of() -> None:
    """Answers in their order, some of them passed by, and what the server adds to rows."""
    told = Told(ONE, TWO, ONE)
    state = told.snapshot(1, {"A": {**ONE["A"], "change": 0.0, "quality": "stale"}, "B": ONE["B"]})
    state = told.diff(state, 4, {"A": {"last": 1.5, "quality": None, "change": 0.5}, "B": TWO["B"]})
    told.diff(state, 5, {"A": {"last": 1, "change": 0}, "B": {"last": 2}})
    assert told.oracle.wrong == []
    assert told.oracle.shows_truth("b", ONE)


def test_a_row_of_another_answer_is_torn() -> None:
    """Values of one poll come together."""
    told = Told(ONE, TWO)
    told.snapshot(1, {"A": TWO["A"], "B": ONE["B"]})
    assert told.is_wrong("never so")


def test_a_row_whose_parts_do_not_fit_is_torn() -> None:
    """What is derived is derived from what is shown beside it."""
    told = Told(ONE)
    told.snapshot(1, {**ONE, "A": {**ONE["A"], "change": 0.5}})
    assert told.is_wrong("torn")


@pytest.mark.parametrize("rows", [{**ONE, "A": {"last": POISON, "open": 1.0}}, {"A": ONE["A"]}, {}])
def test_what_no_answer_said_was_never_so(rows: Table) -> None:
    """A made-up value, a row that is missing, and none at all after there were some."""
    told = Told(ONE)
    told.snapshot(1, ONE)
    told.snapshot(2, rows)
    assert told.oracle.count == 1


def test_an_older_answer_after_a_newer_one_is_a_step_back() -> None:
    """Also where other viewers were led there by other ways, or a new epoch begins."""
    told = Told(ONE, TWO)
    state = told.snapshot(1, TWO)
    told.diff(state, 2, ONE)
    assert told.is_wrong("back")
    again = Told(ONE, TWO)
    again.snapshot(7, TWO)
    again.snapshot(6, ONE)
    assert again.oracle.wrong == []  # it was before
    again.snapshot(0, ONE, "another")
    assert again.is_wrong("back")


def test_two_viewers_must_have_the_same_at_the_same_seq() -> None:
    """Whatever led them there."""
    told = Told(ONE, TWO)
    state = told.snapshot(1, ONE)
    told.diff(state, 2, TWO)
    told.snapshot(2, ONE)
    assert told.is_wrong("two states")


def test_an_answer_that_was_not_taken_cannot_be_shown() -> None:
    """The next request tells that it was not."""
    told = Told(ONE)
    name = told.oracle._truths["b"].frontier[-1].etag
    told.oracle.offered("b", TWO, "late")
    told.oracle.asked("b", name)
    told.snapshot(1, TWO)
    assert told.is_wrong("never so")


def test_a_request_cannot_name_an_answer_that_never_was() -> None:
    """Otherwise nothing that requests tell could be believed."""
    told = Told(ONE)
    told.oracle.asked("b", "made-up")
    assert told.is_wrong("asks with")


def test_what_is_not_marked_must_be_young() -> None:
    """Each row by itself; what is marked may be as old as it likes."""
    told = Told(ONE)
    state = told.snapshot(1, ONE)
    marked = told.diff(state, 2, {"A": {"quality": "stale"}, "B": {"quality": "down"}})
    told.oracle.age(marked, time() + 60)
    told.oracle.age(state, time() + 2)
    assert told.oracle.wrong == []
    told.oracle.age(state, time() + 5)
    assert told.is_wrong("silently old")


def test_a_row_that_cannot_be_read_grows_old_alone() -> None:
    """It stays as it was."""
    told = Told(ONE)
    told.oracle._truths["b"].good["B"] -= 60
    told.offer({"A": TWO["A"], "B": KEEP})
    state = told.snapshot(1, {"A": TWO["A"], "B": ONE["B"]})
    assert told.oracle.wrong == []
    told.oracle.age(state, time())
    assert told.is_wrong("'B'")


def test_a_feed_must_not_be_called_live_when_it_is_silent() -> None:
    """What is told of it is judged like rows."""
    told = Told(ONE)
    told.oracle.age_of_feed("b", {"quality": "stale"}, time() + 60, "")
    assert told.oracle.wrong == []
    told.oracle.age_of_feed("b", {"quality": "live"}, time() + 60, "")
    assert told.is_wrong("is called")


def test_scores_that_fall_wait_to_be_confirmed() -> None:
    """One answer is not enough; the second shows what was before."""
    told = Told()
    back = {**GAME, "home_score": 0}
    told.offer({"G": GAME}, "s")
    told.offer({"G": back}, "s")
    told.snapshot(1, {"G": GAME}, board="s")
    told.offer({"G": back}, "s")
    told.snapshot(2, {"G": {**back, "correction": "was 2–1"}}, board="s")
    assert told.oracle.wrong == []
    hasty = Told()
    hasty.offer({"G": GAME}, "s")
    hasty.offer({"G": back}, "s")
    hasty.snapshot(1, {"G": {**back, "correction": "was 2–1"}}, board="s")
    assert hasty.is_wrong("never so")


# -- log lines


def test_log_lines_that_nobody_meant_are_found() -> None:
    """Unknown words, errors whatever they say, and what is no line of ours."""
    fine = '{"level":"info","event":"feed \'prices\' is live"}'
    lines = [
        fine,
        '{"level":"warning","event":"surprise"}',
        '{"level":"error","event":"feed \'prices\' is live"}',
        '{"level":"info","event":"feed \'prices\' is live","exception":"Traceback"}',
        "Traceback (most recent call last):",
    ]
    assert unexpected(lines, ALWAYS) == lines[1:]
