"""The schedule: one APScheduler job per feed, never two at once, and nothing skipped in silence."""

from __future__ import annotations

import asyncio
import logging
import math
import zlib
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from time import time

from apscheduler.events import EVENT_JOB_SUBMITTED
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.date import DateTrigger
from apscheduler.triggers.interval import IntervalTrigger

FIRST_RUN_WITHIN = 1.0
"""Seconds after the start within which every feed is read for the first time."""

OVERDUE_WITHIN = 0.25
"""Seconds within which everything that is overdue is read, when another process has read it."""

SELDOM = 86_400.0
"""Seconds between two runs of what is not to run at all, if it ever came to that."""

FIRST = "#first"
"""Ends the id of a job that runs once; no feed's name has such a sign."""

FIRST_AT_ONCE = 1_000
"""One that is still under way is of a feed that is gone; what has the name now begins anyway."""

# what it warns of (late and overlapping runs) is counted here instead, per feed
logging.getLogger("apscheduler").setLevel(logging.ERROR)

Tick = Callable[[], Awaitable[float | None]]


class _Job:
    """One feed's timing."""

    def __init__(self, tick: Tick, every: float) -> None:
        self.tick, self.every = tick, every
        self.expected: datetime | None = None
        self.earliest = 0.0
        """Until when the source wants to be left alone, in epoch seconds."""
        self.skipped = 0
        self.put_off = 0.0
        self.running = False


class Schedule:
    """Runs each tick every so many seconds, at its own steady offset.

    A tick returns None, or for how many seconds at least it wants to be left alone.
    """

    def __init__(self) -> None:
        self._scheduler = AsyncIOScheduler(timezone=UTC)
        self._scheduler.add_listener(self._submitted, EVENT_JOB_SUBMITTED)
        self._jobs: dict[str, _Job] = {}

    def add(
        self, name: str, every: float, tick: Tick, *, last: float | None = None, wait: float = 0.0
    ) -> None:
        """Run ``tick`` every ``every`` seconds, the first time right after the start.

        What ran elsewhere before goes on: it ran ``last`` then (epoch seconds), and is to be left
        alone for ``wait`` seconds from there on. It runs as soon as it is due. Only then may
        ``every`` be infinite.
        """
        job = self._jobs[name] = _Job(tick, every)
        now = time()
        within, first = FIRST_RUN_WITHIN, now
        if last is not None:
            last = min(last, now)  # the clock there may be ahead
            job.earliest = last + wait
            within, first = OVERDUE_WITHIN, max(now, job.earliest)
        first += offset(name) * min(every, within)
        steady = min(every, SELDOM)
        job.expected = _on_grid(name, steady, first + steady / 2)
        due = last is None
        if last is not None and not math.isinf(every):
            turn = _on_grid(name, every, max(last + every / 2, job.earliest))
            due = turn.timestamp() <= now
            job.expected = job.expected if due else turn
        self._scheduler.add_job(
            self._run,
            _trigger(steady, job.expected),
            args=[name],
            id=name,
            coalesce=True,  # after a pause one run tells all there is to tell
            max_instances=1,
            misfire_grace_time=_grace(steady),
        )
        if math.isinf(every):
            job.expected = None
            self._scheduler.pause_job(name)
        if due:
            self._once(name, datetime.fromtimestamp(first, UTC))

    def change(self, name: str, every: float, *, soon: bool = False) -> None:
        """Run ``name`` every ``every`` seconds from now on, at its share of the new interval.

        Infinite is not at all, ``soon`` is at once as after the start; but nothing runs before
        the source wants to be asked again.
        """
        job = self._jobs[name]
        job.every = every
        if self._scheduler.get_job(name) is None:
            return  # stopped
        if math.isinf(every):
            job.expected = None
            self._scheduler.pause_job(name)
            return
        now = time()
        start = max(now, job.earliest)
        if soon:
            start += offset(name) * min(every, FIRST_RUN_WITHIN)
            self._once(name, datetime.fromtimestamp(start, UTC))
            start += every / 2
        job.expected = _on_grid(name, every, start)
        self._scheduler.modify_job(name, misfire_grace_time=_grace(every))
        self._scheduler.reschedule_job(name, trigger=_trigger(every, job.expected))

    def remove(self, name: str) -> None:
        """Run ``name`` no more; a run under way ends on its own."""
        self._jobs.pop(name, None)
        for job in (name, f"{name}{FIRST}"):
            with suppress(JobLookupError):  # a first run that is over has gone by itself
                self._scheduler.remove_job(job)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Look what is due only after the block: that takes time, with many changes too much."""
        if not self._scheduler.running:
            yield
            return
        self._scheduler.pause()
        try:
            yield
        finally:
            self._scheduler.resume()

    def start(self) -> None:
        """Begin; must be called in the running loop."""
        self._scheduler.start()

    def stop(self) -> None:
        """Start nothing more; ticks under way are cancelled."""
        if self._scheduler.running:
            self._scheduler.pause()  # the end is a turn of the loop away; until then nothing starts
            self._scheduler.shutdown(wait=False)

    def next_run(self, name: str) -> float | None:
        """Return when ``name`` runs next, in epoch seconds."""
        now = datetime.now(UTC)
        found = [self._scheduler.get_job(job) for job in (name, f"{name}{FIRST}")]
        # before the start jobs only have their trigger
        due = [
            job.next_run_time
            if hasattr(job, "next_run_time")
            else job.trigger.get_next_fire_time(None, now)
            for job in found
            if job is not None
        ]
        return min((at.timestamp() for at in due if at is not None), default=None)

    def skipped(self, name: str) -> int:
        """Return how many runs of ``name`` were left out because it or the process was busy."""
        return self._jobs[name].skipped

    def _once(self, name: str, at: datetime) -> None:
        # a job of its own: APScheduler counts intervals from the last run, and the grid is to stay
        self._scheduler.add_job(
            self._run,
            DateTrigger(at),
            args=[name],
            id=f"{name}{FIRST}",
            replace_existing=True,
            max_instances=FIRST_AT_ONCE,
        )

    def put_off(self, name: str) -> float:
        """Return by how many seconds the next run of ``name`` is later than its interval says."""
        return self._jobs[name].put_off

    async def _run(self, name: str) -> None:
        job = self._jobs.get(name)
        if job is None:
            return  # removed while this run was on its way
        if job.running:
            job.skipped += 1
            return
        if time() < job.earliest:
            return  # on its way when the wait was told
        job.running = True
        job.put_off = 0.0
        try:
            wait = await job.tick()
        except asyncio.CancelledError:
            if self._scheduler.running:
                raise
            return  # the end of the process, not of the job
        finally:
            job.running = False
        earliest = datetime.now(UTC) + timedelta(seconds=wait or 0.0)
        job.earliest = earliest.timestamp() if wait else 0.0
        scheduled = self._scheduler.get_job(name)
        if not wait or scheduled is None or scheduled.next_run_time is None:
            return
        if self._jobs.get(name) is not job:
            return  # the wait is not for what has the name now
        # later by whole intervals, so that the feed's offset stays its own
        behind = (earliest - scheduled.next_run_time).total_seconds()
        later = max(0, math.ceil(behind / job.every))
        job.put_off = later * job.every
        job.expected = scheduled.next_run_time + timedelta(seconds=job.put_off)
        scheduled.modify(next_run_time=job.expected)

    def _submitted(self, event: object) -> None:
        """Count the runs between this one and the one that was expected."""
        job = self._jobs.get(event.job_id)  # type: ignore[attr-defined] # APScheduler has no types
        if job is None:
            return  # a first run
        at = event.scheduled_run_times[-1]  # type: ignore[attr-defined] # as above
        if job.expected is not None:
            job.skipped += max(0, round((at - job.expected).total_seconds() / job.every))
        job.expected = at + timedelta(seconds=job.every)


def _on_grid(name: str, every: float, after: float) -> datetime:
    """Return the first of a feed's steady times from ``after`` on, in epoch seconds."""
    share = offset(name)
    return datetime.fromtimestamp((math.ceil(after / every - share) + share) * every, UTC)


def _trigger(every: float, first: datetime) -> IntervalTrigger:
    return IntervalTrigger(seconds=every, start_date=first, timezone=UTC)


def _grace(every: float) -> int:
    return max(1, math.ceil(every))


def offset(name: str) -> float:
    """Return a feed's steady share of its interval, 0 to 1, so that feeds do not fire together."""
    return zlib.crc32(name.encode()) / 2**32
