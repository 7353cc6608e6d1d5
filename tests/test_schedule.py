"""The schedule: steady offsets, never two ticks at once, nothing skipped in silence."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from ticker.schedule import FIRST_RUN_WITHIN, Schedule, offset

from .support import PATIENCE

EVERY = 0.05


class Metronome:
    """A tick that counts its runs and lets others wait for them."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self._ticked = asyncio.Condition()

    async def tick(self) -> float | None:
        """Take note of the time."""
        async with self._ticked:
            self.times.append(time.time())
            self._ticked.notify_all()
        return None

    async def runs(self, count: int) -> None:
        """Wait until there were ``count`` more runs from now on."""
        wanted = len(self.times) + count
        async with asyncio.timeout(PATIENCE), self._ticked:
            await self._ticked.wait_for(lambda: len(self.times) >= wanted)


class ScriptedTick:
    """A tick that does one step after the other, then nothing more."""

    def __init__(self, *steps: Callable[[], Awaitable[float | None]]) -> None:
        self._steps = list(steps)
        self.started: list[float] = []
        self.running = self.most = 0
        self._changed = asyncio.Condition()

    async def tick(self) -> float | None:
        """Do the next step."""
        self.running += 1
        self.most = max(self.most, self.running)
        async with self._changed:
            self.started.append(time.time())
            self._changed.notify_all()
        try:
            return await self._steps.pop(0)() if self._steps else None
        finally:
            self.running -= 1

    async def starts(self, count: int) -> None:
        """Wait until it was started ``count`` times."""
        async with asyncio.timeout(PATIENCE), self._changed:
            await self._changed.wait_for(lambda: len(self.started) >= count)


@pytest.fixture
async def schedule() -> AsyncIterator[Schedule]:
    """Return a schedule that is stopped at the end."""
    schedule = Schedule()
    yield schedule
    schedule.stop()


# -- offsets


def test_an_offset_is_steady() -> None:
    """It depends on the name only, so a restart changes nothing."""
    assert offset("coins") == pytest.approx(0.0566642184)
    assert offset("coins") != offset("shares")


def test_offsets_are_spread_over_the_interval() -> None:
    """A thousand feeds put about a hundred into each tenth."""
    tenths = [0] * 10
    for i in range(1000):
        share = offset(f"feed-{i}")
        assert 0 <= share < 1
        tenths[int(share * 10)] += 1
    assert min(tenths) > 60


def test_a_feed_is_read_right_after_the_start() -> None:
    """Nobody waits an hour for an hourly feed's first values."""

    async def tick() -> None:
        return None

    schedule = Schedule()
    before = time.time()
    for name in ("coins", "shares", "scores"):
        schedule.add(name, 3600, tick)
        first = schedule.next_run(name)
        assert first is not None
        assert before <= first <= time.time() + FIRST_RUN_WITHIN
        assert first - before == pytest.approx(offset(name) * FIRST_RUN_WITHIN, abs=0.2)


async def test_feeds_stay_spread_over_a_long_interval(schedule: Schedule) -> None:
    """After the first run a feed runs at its share of the interval, whenever it was started.

    Otherwise feeds of an hour would all fire within the same second of the hour.
    """
    early = [name for name in map(str, range(100)) if offset(name) < 0.2][:5]
    metronomes = {name: Metronome() for name in early}
    for name, metronome in metronomes.items():
        schedule.add(name, 3600, metronome.tick)
    schedule.start()
    await asyncio.gather(*(metronome.runs(1) for metronome in metronomes.values()))
    for name in early:
        following = schedule.next_run(name)
        assert following is not None
        assert following % 3600 == pytest.approx(offset(name) * 3600, abs=1)


async def test_a_feed_runs_again_and_again(schedule: Schedule) -> None:
    """Twenty runs of one interval each take twenty intervals and skip none."""
    metronome = Metronome()
    schedule.add("coins", EVERY, metronome.tick)
    schedule.start()
    await metronome.runs(1)
    await metronome.runs(20)
    mean = (metronome.times[-1] - metronome.times[1]) / (len(metronome.times) - 2)
    assert mean == pytest.approx(EVERY * (1 + schedule.skipped("coins") / 20), rel=0.3)


# -- slow ticks


async def test_a_slow_tick_is_never_overlapped_and_its_skipped_runs_are_counted(
    schedule: Schedule,
) -> None:
    """While it runs its other runs fall out; the next one comes after it, once."""
    metronome = Metronome()

    async def last_for_six_runs() -> None:
        await metronome.runs(6)

    slow = ScriptedTick(last_for_six_runs)
    schedule.add("slow", EVERY, slow.tick)
    schedule.add("metronome", EVERY, metronome.tick)
    schedule.start()
    await slow.starts(2)
    assert slow.most == 1
    assert 4 <= schedule.skipped("slow") <= 8 + schedule.skipped("metronome")


async def test_a_slow_feed_does_not_hold_up_the_others(schedule: Schedule) -> None:
    """The metronome ticks while the other tick never ends."""
    stuck = ScriptedTick(asyncio.Event().wait)
    metronome = Metronome()
    schedule.add("stuck", EVERY, stuck.tick)
    schedule.add("metronome", EVERY, metronome.tick)
    schedule.start()
    await stuck.starts(1)
    await metronome.runs(5)
    assert len(stuck.started) == 1


async def test_a_blocked_loop_makes_one_late_run_and_counts_the_others(schedule: Schedule) -> None:
    """After a pause one run tells all there is to tell."""

    async def block() -> None:
        time.sleep(EVERY * 6.5)  # noqa: ASYNC251 - blocking is what is tested

    ticks = ScriptedTick(block)
    schedule.add("blocked", EVERY, ticks.tick)
    schedule.start()
    await ticks.starts(2)
    assert schedule.skipped("blocked") >= 5
    skipped = schedule.skipped("blocked")
    await ticks.starts(5)
    waited = ticks.started[4] - ticks.started[1]
    assert waited > EVERY * 1.5, "the runs that were missed are not made up for"
    assert schedule.skipped("blocked") - skipped <= waited / EVERY


# -- back-off


@pytest.mark.parametrize("wait", [EVERY, 2.2 * EVERY, 6 * EVERY])
async def test_a_wait_moves_the_next_run_by_whole_intervals(
    schedule: Schedule, wait: float
) -> None:
    """The source is left alone for at least so long, and the feed's offset stays its own."""

    async def ask_to_wait() -> float:
        return wait

    ticks = ScriptedTick(ask_to_wait)
    schedule.add("coins", EVERY, ticks.tick)
    schedule.start()
    await ticks.starts(2)
    assert ticks.started[1] - ticks.started[0] >= wait
    following = schedule.next_run("coins")
    assert following is not None
    on_grid = following / EVERY - offset("coins")
    assert on_grid == pytest.approx(round(on_grid), abs=0.01)


async def test_waiting_is_not_skipping(schedule: Schedule) -> None:
    """Runs that were put off on purpose are not counted as left out."""

    async def ask_to_wait() -> float:
        return 6 * EVERY

    ticks = ScriptedTick(ask_to_wait)
    schedule.add("coins", EVERY, ticks.tick)
    schedule.start()
    await ticks.starts(2)
    late = ticks.started[1] - ticks.started[0] - 6 * EVERY
    assert schedule.skipped("coins") <= late / EVERY


@pytest.mark.parametrize("wait", [None, 0.0, -5.0])
async def test_no_wait_moves_nothing(schedule: Schedule, wait: float | None) -> None:
    """The next run is one interval away at most."""

    async def ask_for_nothing() -> float | None:
        return wait

    ticks = ScriptedTick(ask_for_nothing)
    schedule.add("coins", EVERY, ticks.tick)
    schedule.start()
    await ticks.starts(1)
    following = schedule.next_run("coins")
    assert following is not None
    assert (
        following <= time.time() + EVERY + 1
    )  # a clock that is looked at later, on a busy machine


async def test_a_wait_moves_only_its_own_feed(schedule: Schedule) -> None:
    """The others go on as they were."""

    async def ask_for_an_hour() -> float:
        return 3600.0

    waiting, metronome = ScriptedTick(ask_for_an_hour), Metronome()
    schedule.add("waiting", EVERY, waiting.tick)
    schedule.add("metronome", EVERY, metronome.tick)
    schedule.start()
    await waiting.starts(1)
    await metronome.runs(4)
    assert len(waiting.started) == 1
    following = schedule.next_run("waiting")
    assert following is not None
    assert following > time.time() + 3590


# -- defects and the end


async def test_a_tick_that_raises_runs_again(schedule: Schedule) -> None:
    """A defect in one reading does not end the feed."""

    async def break_down() -> None:
        raise RuntimeError("a defect")

    ticks = ScriptedTick(break_down, break_down)
    schedule.add("coins", EVERY, ticks.tick)
    schedule.start()
    await ticks.starts(4)


async def test_nothing_runs_after_the_stop(schedule: Schedule) -> None:
    """Ticks under way are cancelled, and there is no next run."""
    ended = asyncio.Event()

    async def last_for_ever() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    ticks = ScriptedTick(last_for_ever)
    schedule.add("coins", EVERY, ticks.tick)
    schedule.start()
    await ticks.starts(1)
    schedule.stop()
    async with asyncio.timeout(PATIENCE):
        await ended.wait()
    assert ticks.running == 0
    assert schedule.next_run("coins") is None


async def test_stopping_twice_or_before_the_start_does_nothing() -> None:
    """A start that failed half way can still be undone."""
    schedule = Schedule()
    schedule.stop()
    schedule.stop()


def test_an_unknown_feed_has_no_next_run() -> None:
    """Asking is no error."""
    assert Schedule().next_run("nobody") is None


# -- another interval


async def test_another_interval_keeps_the_feeds_own_offset(schedule: Schedule) -> None:
    """Its next run is at its share of the new one, and so are those after it."""
    metronome = Metronome()
    schedule.add("coins", 3600, metronome.tick)
    schedule.start()
    await metronome.runs(1)
    schedule.change("coins", 600)
    following = schedule.next_run("coins")
    assert following is not None
    assert following <= time.time() + 600
    assert following % 600 == pytest.approx(offset("coins") * 600, abs=0.01)
    changed = time.time()
    schedule.change("coins", EVERY)
    await metronome.runs(5)
    elapsed = round((metronome.times[-1] - changed) / EVERY)
    assert schedule.skipped("coins") <= elapsed - 5 + 1, "the longer interval counts for nothing"


async def test_a_feed_that_rests_runs_again_at_once_when_told(schedule: Schedule) -> None:
    """Without end it has no next run; ``soon`` is within a second, whatever the interval."""
    metronome = Metronome()
    schedule.add("coins", EVERY, metronome.tick)
    schedule.start()
    await metronome.runs(2)
    schedule.change("coins", float("inf"))
    assert schedule.next_run("coins") is None
    rested = len(metronome.times)
    await asyncio.sleep(EVERY * 4)
    assert len(metronome.times) <= rested + 1, "but for a run under way"
    schedule.change("coins", 3600, soon=True)
    following = schedule.next_run("coins")
    assert following is not None
    assert following <= time.time() + FIRST_RUN_WITHIN
    await metronome.runs(1)


async def test_another_interval_is_no_way_around_a_wait(schedule: Schedule) -> None:
    """A source that wants to be left alone for an hour is."""

    async def ask_for_an_hour() -> float:
        return 3600.0

    ticks = ScriptedTick(ask_for_an_hour)
    schedule.add("coins", 60, ticks.tick)
    schedule.start()
    await ticks.starts(1)
    for soon in (True, False):
        schedule.change("coins", EVERY, soon=soon)
        following = schedule.next_run("coins")
        assert following is not None
        assert following > time.time() + 3590


# -- at the end, and anew


async def test_a_run_that_is_due_at_the_end_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is started that would be cancelled before its first step."""
    schedule = Schedule()
    schedule.add("coins", EVERY, Metronome().tick)
    schedule.start()
    due = schedule.next_run("coins")
    assert due is not None
    time.sleep(max(0.0, due - time.time()))  # noqa: ASYNC251 - its turn comes with the end's
    schedule.stop()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not caplog.records


async def test_what_has_the_name_now_begins_at_once(schedule: Schedule) -> None:
    """Although the first run of what had it before is still under way."""

    async def hang() -> float | None:
        await asyncio.Event().wait()
        return None

    before, now = ScriptedTick(hang), Metronome()
    schedule.add("coins", 3600, before.tick)
    schedule.start()
    await before.starts(1)
    schedule.remove("coins")
    schedule.add("coins", 3600, now.tick)
    await now.runs(1)
