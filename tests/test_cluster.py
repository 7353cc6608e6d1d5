"""Several processes, one poller: what viewers get from any of them, whoever dies."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.buses import Member, members, redis
from tests.illness import ForgetfulBus, IllLink
from tests.support import PATIENCE, Handler, source, until
from ticker import cluster
from ticker.bus import Beat, BusError, Fenced, Position, Step, Stored
from ticker.cluster import Cluster
from ticker.config import Bus as Settings
from ticker.diff import Rows
from ticker.entry import Entry
from ticker.hub import Hub
from ticker.live import LiveBoard, Shape
from ticker.producer import Producer

CONFIG = """
server: {{port: 0}}
bus: {{url: "{url}"}}
feeds:
  f: {{kind: simulate, every: 100ms, symbols: {{A: 10, B: 20}}}}
boards:
  b: {{feeds: [f]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where a config goes."""
    return tmp_path / "ticker.yaml"


def test_viewers_of_another_process_do_not_notice_that_the_poller_is_killed(
    config: Path, tmp_path: Path
) -> None:
    """Neither snapshot nor gap; whoever watched the dead one goes on elsewhere by a diff."""
    with redis(tmp_path) as bus:
        config.write_text(CONFIG.format(url=bus.url))
        with members(config, 2) as both:
            (poller,) = (m for m in both if m.polls)
            (other,) = (m for m in both if m is not poller)
            with poller.follow("b") as lost, other.follow("b") as viewer:
                for each in lost, viewer:
                    each.follow_until(lambda v: v.seqs.get("b", 0) > 5)
                poller.kill()
                before = viewer.seqs["b"]
                viewer.follow_until(lambda v: v.seqs["b"] > before + 5)
                assert [m["type"] for m in viewer.messages].count("snapshot") == 1
            until(lambda: other.polls)
            back = other.follow("b", epoch=lost.epochs["b"], seq=lost.seqs["b"])
            back.rows, back.seqs = dict(lost.rows), dict(lost.seqs)
            with back:
                back.follow_until(lambda v: v.seqs["b"] > lost.seqs["b"] + 5)
                assert not [m for m in back.messages if m["type"] == "snapshot"]


def test_a_bus_that_is_not_there_at_the_start_is_waited_for(config: Path, tmp_path: Path) -> None:
    """The log says so, once; viewers are to stay away until it is there."""
    words = "the bus does not answer: "
    with redis(tmp_path, started=False) as bus:
        config.write_text(CONFIG.format(url=bus.url))
        member = Member(config)
        try:
            until(lambda: words in member.said, what="a word in the log")
            waiting = until(lambda: member.get("/readyz"))
            assert waiting["status"] == "waiting"
            assert "bus" in waiting["waiting"]
            bus.start()
            until(lambda: member.ready)
            assert member.said.count(words) == 1
        finally:
            member.kill()


POLLED = """
server: {{port: 0}}
bus: {{url: "{url}"}}
feeds:
  f: {{kind: poll, every: 4s, url: "{source}/x", key: s, fields: {{last: p}}}}
boards:
  b: {{feeds: [f]}}
"""


def test_a_source_is_asked_once_per_interval_by_all_processes_together(
    config: Path, tmp_path: Path
) -> None:
    """Eight of them, and while the poller is killed too: no interval has two requests."""
    times: list[float] = []

    def answer(handler: Handler) -> None:
        times.append(time.monotonic())
        handler.answer(200, orjson.dumps([{"s": "A", "p": len(times)}]))

    with redis(tmp_path) as bus, source() as web:
        web.script["/x"] = answer
        config.write_text(POLLED.format(url=bus.url, source=web.url))
        with members(config, 8) as all_of_them:
            (poller,) = (m for m in all_of_them if m.polls)
            count = len(times)
            until(lambda: len(times) > count + 1)
            poller.kill()  # just after it has asked: whoever takes over must wait
            others = [m for m in all_of_them if m is not poller]
            until(lambda: [m for m in others if m.polls])
            assert len(times) == count + 2
            until(lambda: len(times) > count + 3)
            until(lambda: all(m.get("/api/boards/b")["rows"]["A"]["last"] > count for m in others))
    assert min(after - before for before, after in pairwise(times)) > 2


# -- what goes wrong between one process and the bus, on command


class Process:
    """A process of a cluster without its server: board `b`, whose one feed is the test.

    What the feed says, whoever polls reads: it is in ``source``.
    """

    def __init__(self, bus: ForgetfulBus, source: list[int], lease: float = 1.0) -> None:
        self.link = IllLink(bus)
        self.source = source
        self.live = LiveBoard("b", f"epoch-of-{id(self)}", Shape("B", "quotes", [], ["f"], 0.01))
        self.live.disown()
        self.boards = {"b": self.live}
        self.hub = Hub(self.boards)
        self.settings = Settings(url="redis://nowhere", lease=lease)
        self.cluster = Cluster(self.link, self.settings, self.boards, self.hub)
        self.cluster.on_lead = self._lead
        self.cluster.on_follow = self.live.disown
        self.producer = Producer(self.boards, self.hub, publisher=self.cluster.publish)
        self.tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to beat, follow and publish."""
        forever = [self.cluster.beat_forever(), self.cluster.following.forever()]
        forever += [self.producer.publish_forever(self.live)]
        self.tasks = [asyncio.create_task(coroutine) for coroutine in forever]

    def stop(self) -> None:
        """End as if killed."""
        for task in self.tasks:
            task.cancel()

    def _lead(self) -> None:
        self.live.inherit({"f": ["last"]})
        self.say(*self.source[-1:])

    def say(self, *last: int) -> None:
        """Let the feed say a value, which this process reads if it is the poller."""
        self.source += last
        if self.live.owned and last:
            self.live.board.apply("f", {"A": {"last": last[0]}})
            self.live.changed.set()

    @property
    def rows(self) -> Rows:
        """What viewers are shown."""
        return dict(self.live.board.snapshot().rows)

    @property
    def last(self) -> Any:
        """The value that viewers are shown."""
        return self.rows.get("A", {}).get("last")

    @property
    def place(self) -> Position:
        """Where the board is."""
        return Position(self.live.epoch, self.live.seq)


async def soon(look: Callable[[], object]) -> None:
    """Wait until ``look`` is true."""
    async with asyncio.timeout(PATIENCE):
        while not look():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


@asynccontextmanager
async def processes(bus: ForgetfulBus, count: int = 2) -> AsyncIterator[list[Process]]:
    """Run processes; the first of them is the poller and has said 1, which all show."""
    source: list[int] = []
    running = [Process(bus, source) for _ in range(count)]
    try:
        running[0].start()
        await soon(lambda: running[0].cluster.leads)
        for other in running[1:]:
            other.start()
        running[0].say(1)
        await soon(lambda: all(process.last == 1 for process in running))
        await soon(lambda: all(p.cluster.pulse and p.cluster.pulse.settled for p in running))
        yield running
    finally:
        for process in running:
            process.stop()


async def test_a_step_whose_answer_was_lost_is_published_once() -> None:
    """It comes back to the poller as it does to others; what is read next leads on from there."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        place = poller.place
        poller.link.loses_answers = 3
        for value in 2, 3, 4, 5:
            poller.say(value)
            await soon(lambda v=value: poller.last == other.last == v)  # type: ignore[misc]
        assert poller.place == other.place == Position(place.epoch, place.seq + 4)


async def test_an_emptied_bus_is_told_again_by_a_poller_whose_lease_holds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Epoch and seq go on; the others take no board as a whole, and one who starts finds it."""
    bus = ForgetfulBus()
    async with processes(bus, 3) as (poller, *others):
        place, loads = poller.place, [p.link.loads for p in others]
        bus.revert(vars(ForgetfulBus()), memory="another")
        await soon(lambda: "told again" in caplog.text)
        poller.say(2)
        await soon(lambda: all(p.last == 2 for p in others))
        assert {p.place for p in (poller, *others)} == {Position(place.epoch, place.seq + 1)}
        assert [p.link.loads for p in others] == loads
        new = Process(bus, poller.source)
        new.start()
        await soon(lambda: new.place == poller.place and new.last == 2)
        new.stop()


async def test_a_bus_emptied_by_hand_is_told_again() -> None:
    """Its memory has the same name, terms begin anew: what is missing shows all the same."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        place = poller.place
        other.link.cut = True  # else it might be the first to find that there is no poller
        bus.revert({k: v for k, v in vars(ForgetfulBus()).items() if k != "memory"})
        poller.say(2)
        await soon(lambda: poller.last == 2)
        other.link.cut = False
        await soon(lambda: other.last == 2)
        assert poller.place == other.place == Position(place.epoch, place.seq + 1)
        await soon(lambda: bus._settled == bus.memory)


async def test_a_bus_that_went_back_while_an_answer_was_lost_gets_a_new_epoch(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The others may have shown what nobody knows any more: their viewers begin anew."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        before, saved = poller.place, bus.saved()
        poller.link.swallows = True
        poller.cluster.reread()
        poller.link.holds_answers = 1
        poller.say(2)
        await soon(lambda: other.last == 2)
        assert poller.last == 1
        bus.revert(saved, memory="the replica's")
        await soon(lambda: poller.live.epoch != before.epoch)
        poller.link.answers.set()
        poller.say(3)
        await soon(lambda: other.last == poller.last == 3)
        assert poller.place == other.place
        assert poller.live.epoch != before.epoch
        assert "new epoch" in caplog.text


async def test_a_new_epoch_begins_where_nobody_knows_what_was_forgotten() -> None:
    """Its poller is gone with it; all who are left agree again."""
    bus = ForgetfulBus()
    async with processes(bus, 3) as (poller, *others):
        saved, epoch = bus.saved(), poller.live.epoch
        poller.say(2)
        await soon(lambda: all(p.last == 2 for p in others))
        poller.stop()
        bus.revert(saved, memory="the replica's")
        await soon(lambda: any(p.cluster.leads for p in others))
        await soon(lambda: others[0].place == others[1].place != poller.place)
        assert others[0].live.epoch != epoch
        assert others[0].rows == others[1].rows == poller.rows


async def test_of_a_bus_with_another_memory_nobody_becomes_the_poller_before_the_old_one() -> None:
    """One that beats a moment earlier would have to begin a new epoch."""
    bus = ForgetfulBus()
    knows = Beat("other", b"{}", "", takes=True, lease=1, memory="here")
    bus.memory = "another"
    assert (await bus.beat(knows)).poller == ""
    assert (await bus.beat(Beat("poller", b"{}", "1:poller", True, 1, "", "here"))).term


async def test_a_term_that_was_given_up_is_never_used_again() -> None:
    """What was sent in it may still be on its way, and must be refused when it comes."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        term, step = poller.link.steps[-1]
        poller.cluster._step_down("a test")
        await soon(lambda: poller.cluster.leads or other.cluster.leads)
        with pytest.raises(Fenced):
            await bus.publish(term, step)
        await soon(lambda: poller.place == other.place)


async def test_where_the_bus_takes_nothing_every_board_is_stale_and_says_so() -> None:
    """Also where beats are well; it is lifted with the first step that is taken."""
    bus = ForgetfulBus()
    async with processes(bus) as both:
        poller, other = both
        poller.link.refuses = "OOM command not allowed when used memory > 'maxmemory'."
        poller.say(2)
        await soon(lambda: all(p.live.doubt == cluster.NOTHING_TAKEN for p in both))
        assert "OOM" in str(poller.cluster.why)
        assert other.last == poller.last == 1
        poller.link.refuses = ""
        await soon(lambda: all(p.live.doubt is None and p.last == 2 for p in both))
        assert poller.cluster.why is None


async def test_what_was_refused_and_is_no_longer_wanted_is_no_trouble() -> None:
    """The feed is back where the board is: there is nothing left to publish."""
    bus = ForgetfulBus()
    async with processes(bus) as both:
        poller = both[0]
        poller.link.refuses = "OOM"
        poller.say(2)
        await soon(lambda: all(p.live.doubt == cluster.NOTHING_TAKEN for p in both))
        poller.say(1)
        await soon(lambda: all(p.live.doubt is None for p in both))
        assert poller.cluster.why is None


async def test_entries_that_do_not_come_are_fetched_over_another_link() -> None:
    """And where that does not work either the board is stale, until it does."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        other.link.swallows = True
        poller.say(2)
        await soon(lambda: other.last == 2)
        assert other.live.doubt is None
        other.link.no_loads = True
        poller.say(3)
        await soon(lambda: other.live.doubt == cluster.NOTHING_COMES)
        assert other.cluster.why is not None
        other.link.no_loads = other.link.swallows = False
        await soon(lambda: other.last == 3 and other.live.doubt is None)
        assert other.cluster.why is None


async def test_a_process_that_is_cut_off_is_stale_and_no_poller_until_it_is_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Another polls meanwhile; the edge is logged, not each beat."""
    caplog.set_level(logging.INFO)
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        poller.link.holds_answers = 1
        poller.say(-1)
        await soon(lambda: poller.link.holds_answers == 0)
        poller.link.cut = True
        await soon(lambda: poller.live.doubt == cluster.SILENCE and other.cluster.leads)
        assert not poller.cluster.leads
        poller.link.answers.set()  # a late one, which is of no interest any more
        other.say(2)
        await soon(lambda: other.last == 2)
        assert poller.last != 2
        assert other.live.doubt is None
        poller.link.cut = False
        await soon(lambda: poller.last == 2 and poller.live.doubt is None)
        assert poller.place == other.place
        assert poller.cluster.why is None
        assert caplog.text.count("the bus does not answer") == 1


async def test_beats_that_fail_come_ever_later_and_never_in_step() -> None:
    """A bus that comes back is not asked by everybody at once; its poller does not wait."""
    process = Process(ForgetfulBus(), [])
    assert process.cluster._pause(0.25) == 0.25
    process.cluster._failures = 10
    pauses = {process.cluster._pause(0.25) for _ in range(100)}
    assert 1.0 <= min(pauses) < max(pauses) <= 2.0
    assert len(pauses) > 50


async def test_a_lease_that_was_over_before_it_was_heard_of_is_nobodys(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is given back, and another process polls without a word of the one that was late."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        other.link.late = 1.2
        poller.stop()
        terms = bus._terms
        await soon(lambda: bus._terms > terms + 1)  # it has taken it, and was late, and again
        assert "reads the feeds no more" not in caplog.text
        assert other.cluster.counts.terms == 0
        other.link.late = 0.0
        await soon(lambda: other.cluster.leads)


async def test_a_viewer_ahead_of_a_process_is_told_nothing_until_that_is_there() -> None:
    """It comes from a process that was quicker: a snapshot would lead it back."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        other.link.swallows = True
        other.cluster.reread()
        seq = other.live.seq
        poller.say(2)
        await soon(lambda: poller.last == 2)
        assert other.live.seq == seq
        assert other.live.since(poller.live.seq) is None
        other.link.swallows = False
        await soon(lambda: other.last == 2)
        assert other.live.since(poller.live.seq) is None


# -- what happens while something else is under way


async def test_a_poller_that_cannot_tell_an_emptied_bus_again_reads_no_more() -> None:
    """What it reads belongs to whoever takes over."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        poller.link.refuses = "OOM"
        bus.revert(vars(ForgetfulBus()), memory="another")
        await soon(lambda: not poller.live.owned)
        await soon(lambda: other.cluster.leads)
        assert not poller.cluster.leads
        other.say(2)
        await soon(lambda: poller.last == other.last == 2)


async def test_an_answer_for_a_term_that_was_given_up_meanwhile_does_not_count() -> None:
    """The lease is given back, and taken again at best in another term."""
    bus = ForgetfulBus()
    async with processes(bus, 1) as (poller,):
        cluster, pulse = poller.cluster, poller.cluster.pulse
        assert pulse is not None
        beat = Beat(cluster.id, b"{}", pulse.term, takes=True, lease=1)
        cluster._step_down("a test")
        cluster._learn(pulse, time.monotonic(), beat)
        assert not cluster._term
        await soon(lambda: cluster.leads)
        assert cluster.term != pulse.term


async def test_who_polls_is_known_to_have_forgotten_nothing_before_it_reads() -> None:
    """It may die right after its first entry: that is no reason for another epoch."""
    bus, told = ForgetfulBus(), []
    process = Process(bus, [])
    process.cluster.on_lead = lambda: told.append(bus._settled)
    process.start()
    await soon(lambda: told)
    process.stop()
    assert told == [bus.memory]


async def test_a_poller_whose_lease_was_anothers_meanwhile_begins_anew() -> None:
    """It was asleep; what it had read is older than what the other one has published."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        other.link.cut = True  # it would take over otherwise
        epoch, seq = poller.live.epoch, poller.live.seq
        bus._until = 0.0  # from here on the poller has no turn
        term = (await bus.beat(Beat("third", b"{}", "", takes=True, lease=1))).term
        entry = Entry("b", epoch, seq, seq + 1, 0, {"A": {"last": 5}})
        before, after = Position(epoch, seq), Position(epoch, seq + 1)
        await bus.publish(term, Step("b", before, after, entry.encode()))
        await bus.resign(term)
        poller.source.append(5)
        await soon(lambda: poller.cluster.counts.terms == 2)
        assert poller.last == 5


async def test_a_process_does_not_wait_for_what_the_bus_has_no_more() -> None:
    """It was behind on a line of entries that has ended: nothing leads there."""
    bus = ForgetfulBus()
    async with processes(bus) as (poller, other):
        other.link.swallows = other.link.no_loads = True
        other.cluster.reread()
        poller.say(2)
        await soon(lambda: poller.last == 2)
        await soon(lambda: other.cluster.following._behind.get("b", (None,))[0] == poller.place)
        await poller.cluster._begin(poller.live, anew=True)
        other.link.swallows = other.link.no_loads = False
        await soon(lambda: other.place == poller.place)
        await soon(lambda: not other.cluster.following.behind)


async def test_processes_are_heard_of_however_long_the_lease_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who is silent for some seconds is a member no more."""
    monkeypatch.setattr(cluster, "MEMBER_SECONDS", 0.1)
    bus, heard = ForgetfulBus(), set[float]()
    process = Process(bus, [], lease=60)
    process.start()

    def beats() -> int:
        heard.update(at for at, _ in bus._cards.values())
        return len(heard)

    await soon(lambda: beats() > 3)
    process.stop()


async def test_a_board_that_began_a_new_epoch_is_not_led_back_by_an_older_answer() -> None:
    """It was asked for before, over another link."""
    bus = ForgetfulBus()
    async with processes(bus, 1) as (poller,):
        load, asked, answered = poller.link.load, asyncio.Event(), asyncio.Event()
        begun: list[str] = []

        async def late(board: str) -> Stored:
            stored = await load(board)
            asked.set()
            await answered.wait()
            return stored

        poller.link.load = late  # type: ignore[method-assign]
        poller.hub.restart = lambda live: begun.append(live.epoch)  # type: ignore[method-assign]
        poller.cluster.following.reload("b")
        await asked.wait()
        await poller.cluster._begin(poller.live, anew=True)
        answered.set()
        poller.say(2)
        await soon(lambda: poller.last == 2)
        assert begun == [poller.live.epoch]


async def test_a_defect_after_a_beat_does_not_end_beats(caplog: pytest.LogCaptureFixture) -> None:
    """It is for the log; a process that beats no more would be deaf for good."""
    bus, judged = ForgetfulBus(), list[bool]()
    async with processes(bus, 1) as (process,):
        judge = process.cluster._judge

        def fails() -> None:
            judged.append(True)
            if len(judged) == 1:
                raise ValueError("a card that is not JSON")
            judge()

        process.cluster._judge = fails  # type: ignore[method-assign]
        await soon(lambda: len(judged) > 1)
        assert "beat failed" in caplog.text


async def test_a_bus_that_cannot_forget_a_board_is_no_worse() -> None:
    """It is asked again with the next beat."""
    bus, asked = ForgetfulBus(), list[Sequence[str]]()
    async with processes(bus, 1) as (poller,):
        forget, forgotten = poller.link.forget, list[str]()

        async def fails(term: str, boards: Sequence[str]) -> None:
            asked.append(boards)
            if len(asked) < 3:
                raise BusError("out of memory")
            await forget(term, boards)

        poller.link.forget = fails  # type: ignore[method-assign]
        poller.cluster.on_forget = forgotten.extend
        bus._positions["gone"] = Position("e", 1)
        await soon(lambda: asked)
        await asyncio.sleep(0)
        assert poller.cluster.answers
        await soon(lambda: forgotten == ["gone"])
        assert "gone" not in bus._positions


def test_time_does_not_go_back_with_another_poller() -> None:
    """Its clock may be behind; one that was ahead by far is not followed."""
    live = LiveBoard("b", "e", Shape("B", "quotes", [], ["f"], 0.1, "last", 8))
    live.shared = True
    times = []
    for now, value in (100.0, 1), (70.0, 2), (130.0, 3), (9e6, 4), (160.0, 5):
        live.board.apply("f", {"A": {"last": value}})
        live.flush(now)
        times.append(live.at)
    assert times == [100_000, 100_000, 130_000, 9_000_000_000, 160_000]
