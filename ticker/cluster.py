"""A process among others that serve the same boards: which of them polls, and what it says.

Whoever has the lease is the *poller*. Its boards go to the bus before it shows them itself; every
process, the poller too, goes where the bus's entries lead. Nothing that the poller believes counts
unless the bus took it, so it does not matter for how long it was asleep or cut off.
"""

from __future__ import annotations

import asyncio
import logging
import random
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from time import monotonic, time
from typing import Any

import orjson

from ticker.bus import (
    NEWS,
    Beat,
    Bus,
    BusError,
    Elsewhere,
    Fenced,
    Position,
    Pulse,
    Step,
    Stored,
)
from ticker.config import Bus as Settings
from ticker.entry import Entry
from ticker.hub import Hub
from ticker.live import LiveBoard
from ticker.traffic import Lags

log = logging.getLogger(__name__)

BEATS = 4
"""Beats per lease."""

READ_SECONDS = 1.0
"""How long a read waits for entries before it is asked again."""

RETRY_SECONDS = (0.05, 2.0)
"""Shortest and longest wait after the bus could not be read; random in between, ever longer."""

SILENT_SECONDS = 1.0
"""Entries that the bus has and that did not come for so long are fetched over another link."""

DOUBT_LEASES = 2
"""Leases without a word of the bus, or without a poller, after which no board can be trusted."""

STATE_BYTES = 64_000
"""A state is kept anew when entries of more than this, and of more than it, came after it."""

NOT_YET = "not connected yet"
"""Why the bus is not followed before it was asked for the first time."""

Heard = Callable[[Mapping[str, Any]], None]
Found = Mapping[str, Sequence[tuple[str, bytes]]]


@dataclass(slots=True)
class Counts:
    """What went over the bus: plain numbers, read when somebody asks for the metrics."""

    terms: int = 0
    """How often this process became the poller."""
    published: int = 0
    """Entries that the bus took."""
    published_bytes: int = 0
    read: int = 0
    """Entries that came over the bus, to the poller its own too."""
    read_bytes: int = 0
    fenced: int = 0
    """Entries refused because another process is the poller."""
    elsewhere: int = 0
    """Entries refused because the board is not where they lead on from."""
    failed: int = 0
    """Entries that the bus could not be asked to take."""
    reloads: int = 0
    """Boards that were read as a whole."""
    lags: Lags = field(default_factory=Lags)
    """How long publishing took, until the bus had answered."""


@dataclass(slots=True)
class _Since:
    """How much was published of a board since its state was kept."""

    entries: int = 0
    size: int = 0
    state: int = 0

    def is_much(self, kept: int) -> bool:
        """Whether it is time to keep the state again, of ``kept`` entries at most."""
        return self.entries >= kept // 2 or self.size > max(STATE_BYTES, self.state)


class Cluster:
    """Keeps boards where the bus says they are, and gets them there while this is the poller."""

    def __init__(
        self,
        bus: Bus,
        settings: Settings,
        boards: Mapping[str, LiveBoard],
        hub: Hub,
        card: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        """``card`` returns what the others may know of this process."""
        self.id = secrets.token_hex(6)
        self.bus = bus
        self.settings = settings
        self.pulse: Pulse | None = None
        """What the last good beat learned."""
        self.on_lead: Callable[[], None] = _nothing
        """Called when this process becomes the poller: boards are where the bus is."""
        self.on_follow: Callable[[], None] = _nothing
        """Called when it is the poller no more."""
        self.counts = Counts()
        self._boards, self._hub, self._card = boards, hub, card
        self._term = ""
        self._until = 0.0  # when the lease ends unless it is renewed, of the monotonic clock
        self._ready = False  # whether the boards are settled in this term
        self._memory = ""  # of which the boards are settled
        self._settling: asyncio.Task[None] | None = None
        self._begun: dict[str, _Since] = {}  # boards settled in this term
        self._cursors: dict[str, str] = {}
        self._reading: asyncio.Task[Any] | None = None
        self._heard_at = monotonic()
        self._well_since: float | None = None
        self._trouble: str | None = NOT_YET
        self._behind: dict[str, float] = {}  # boards behind the bus, and since when
        self._no_poller_since: float | None = None
        self._handlers: dict[str, Heard] = {}

    # -- what others ask

    @property
    def leads(self) -> bool:
        """Whether this process is the poller, as far as it can know."""
        return self._ready and bool(self._term) and monotonic() < self._until

    @property
    def why(self) -> str | None:
        """Why this process does not follow the bus; None when it does."""
        if self._trouble is not None:
            return self._trouble
        unread = [name for name in self._boards if name not in self._cursors]
        if unread:
            return f"not yet read from the bus: {', '.join(unread)}"
        now = monotonic()
        late = [n for n, since in self._behind.items() if now - since > 2 * SILENT_SECONDS]
        return f"behind the bus: {', '.join(late)}" if late else None

    @property
    def answers(self) -> bool:
        """Whether the bus answered when it was asked last."""
        return self._trouble is None

    @property
    def silence(self) -> float:
        """For how many seconds the bus has not answered."""
        return monotonic() - self._heard_at

    @property
    def behind(self) -> float:
        """For how many seconds a board has been behind the bus; 0 when none is."""
        return max((monotonic() - since for since in self._behind.values()), default=0.0)

    def on(self, kind: str, heard: Heard) -> None:
        """Let ``heard`` have every news of a kind, also what this process says."""
        self._handlers[kind] = heard

    async def say(self, kind: str, **about: Any) -> None:
        """Tell every process, this one too. Raises BusError."""
        await self.bus.say(orjson.dumps({"kind": kind, "from": self.id, **about}))

    # -- what the poller publishes

    async def publish(self, live: LiveBoard, entry: Entry) -> bool:
        """Publish an entry everywhere, here last; return False when the bus does not take it."""
        if not self.leads:
            return False
        try:
            if live.name not in self._begun:  # a board that came with a reload
                await self._begin(live, anew=False)
            since = self._begun[live.name]
            data = entry.encode()
            state = None
            if live.doubt is None and since.is_much(self.settings.kept):
                state = live.snapshot().text
            before, after = (Position(entry.epoch, seq) for seq in (entry.prev, entry.seq))
            asked = monotonic()
            await self.bus.publish(self._term, Step(live.name, before, after, data, state))
        except Elsewhere:
            self.counts.elsewhere += 1
            self._reload(live.name)  # what we do not know of was ours: its answer was lost
            return False
        except Fenced:
            self.counts.fenced += 1
            self._step_down("another process took over")
            return False
        except BusError as error:
            self.counts.failed += 1
            log.debug("board '%s' was not published: %s", live.name, error)
            return False
        self.counts.lags.add(monotonic() - asked)
        self.counts.published += 1
        self.counts.published_bytes += len(data)
        if state is not None:
            since.entries, since.size, since.state = 0, 0, len(state)
        since.entries, since.size = since.entries + 1, since.size + len(data)
        live.take(entry)  # if its echo was not quicker
        return True

    async def _begin(self, live: LiveBoard, *, anew: bool) -> None:
        """Let the bus have a board as it is here; ``anew`` in another epoch."""
        if anew:
            live.begin(secrets.token_hex(4))
            self._hub.restart(live)
        at = Position(live.epoch, live.seq)
        entry = Entry(live.name, live.epoch, live.seq, live.seq, live.at, feeds=live.feeds)
        state = live.snapshot().text
        await self.bus.publish(self._term, Step(live.name, None, at, entry.encode(), state))
        self._begun[live.name] = _Since(state=len(state))

    # -- beats

    async def beat_forever(self) -> None:
        """Live, and find out whether to poll, until cancelled."""
        every = self.settings.lease / BEATS
        while True:
            began = monotonic()
            try:
                await self._beat(began)
            except (BusError, TimeoutError) as error:
                self._failed(str(error) or "no answer")
            except Exception:  # a defect must not make this process deaf for good
                log.exception("the bus: beat failed")
            self._judge()
            await asyncio.sleep(max(0.01, began + every - monotonic()))

    async def _beat(self, began: float) -> None:
        lease = self.settings.lease
        held = bool(self._term) and began < self._until
        if held and self._hub.draining:
            await self.bus.resign(self._term)
            self._step_down("draining")
            held = False
        card = orjson.dumps({**self._card(), "now": round(time() * 1000)})
        settled = self._memory if held and self._ready else ""
        term = self._term if held else ""
        beat = Beat(self.id, card, term, self._takes(began, held=held), lease, settled)
        async with asyncio.timeout(self._until - monotonic() if held else 2 * lease):
            pulse = await self.bus.beat(beat)
        self._learn(pulse, began, held=held)

    def _takes(self, now: float, *, held: bool) -> bool:
        """Whether to become the poller if there is none.

        After trouble whoever was it comes first: it knows best what was published.
        """
        if self._hub.draining or (self.why is not None and not held):
            return False
        patient = self._well_since is not None and now - self._well_since > self.settings.lease
        return held or patient or not self._known

    @property
    def _known(self) -> bool:
        """Whether a poller was ever heard of."""
        return self.pulse is not None and bool(self.pulse.term or self.pulse.positions)

    def _learn(self, pulse: Pulse, began: float, *, held: bool) -> None:
        now = monotonic()
        if self._trouble is not None:
            log.info("the bus answers")
            self._trouble, self._well_since = None, now
        self._heard_at = now
        before, self.pulse = self.pulse, pulse
        if before is not None and before.memory != pulse.memory:
            log.warning("the bus has another memory than before")
            self._reload(*self._cursors)
        self._compare(pulse, now)
        self._no_poller_since = None if pulse.term else (self._no_poller_since or now)
        if pulse.poller != self.id:
            if self._term:
                self._step_down(f"{pulse.poller or 'nobody'} is the poller")
            return
        self._until = began + self.settings.lease
        if pulse.term == self._term and pulse.memory == self._memory:
            return
        if self._settling is not None and not self._settling.done():
            if pulse.term == self._term:
                return
            self._settling.cancel()
        goes_on = held and pulse.memory != self._memory and self._ready
        self._term, self._ready = pulse.term, False
        self._settling = asyncio.create_task(self._settle(pulse, goes_on=goes_on))

    def _compare(self, pulse: Pulse, now: float) -> None:
        """Find boards of which the bus has entries that do not come."""
        for name, at in pulse.positions.items():
            live = self._boards.get(name)
            if live is None:
                continue
            if at.epoch == live.epoch and at.seq <= live.seq:
                self._behind.pop(name, None)
            elif now - self._behind.setdefault(name, now) > SILENT_SECONDS:
                log.warning("board '%s': the bus is at %s, but nothing comes", name, at)
                self._reload(name)

    def _failed(self, why: str) -> None:
        if self._trouble in (None, NOT_YET):
            log.warning("the bus does not answer: %s", why)
        self._trouble, self._well_since = why, None
        if self._term and monotonic() >= self._until:
            self._step_down("the lease could not be renewed")

    def _judge(self) -> None:
        """Say of every board whether it can be trusted."""
        now, patience = monotonic(), DOUBT_LEASES * self.settings.lease
        why = None
        if now - self._heard_at > patience:
            why = f"bus: {self._trouble or 'no answer'}"
        elif self._no_poller_since is not None and now - self._no_poller_since > patience:
            why = "bus: no process reads the feeds"
        elif self._trouble is None and self.pulse is not None and self.why is not None:
            why = f"bus: {self.why}" if self._behind else None
        for live in self._boards.values():
            if live.doubt_all(why, time()):
                self._hub.publish(live)

    # -- becoming the poller, and ceasing to be

    async def _settle(self, pulse: Pulse, *, goes_on: bool) -> None:
        """Get this process and the bus to agree on every board, then read the feeds.

        Where the bus may have forgotten what viewers were shown, only a poller that ``goes_on`` can
        tell it; otherwise a new epoch begins.
        """
        try:
            forgets = pulse.settled != pulse.memory and not goes_on
            self._begun.clear()
            for live in list(self._boards.values()):
                await self._settle_board(live, forgets=forgets)
            self._memory = pulse.memory
            self._ready = True
            if goes_on:
                log.warning("the bus was told again what it had forgotten")
                return
            self.counts.terms += 1
            log.info("this process reads the feeds now, term %s", self._term)
            self.on_lead()
        except Fenced:
            self._step_down("another process took over")
        except BusError as error:
            log.warning("cannot become the poller: %s", error)
            self._step_down("the boards could not be settled")
        except Exception:
            log.exception("cannot become the poller")
            self._step_down("the boards could not be settled")

    async def _settle_board(self, live: LiveBoard, *, forgets: bool) -> None:
        stored = await self.bus.load(live.name)
        self._adopt(live, stored)
        at = stored.position
        if at is not None and at == Position(live.epoch, live.seq) and not forgets:
            sizes = sum(map(len, stored.entries))
            state = len(stored.state or b"")
            self._begun[live.name] = _Since(len(stored.entries), sizes, state)
            return
        shown = at is not None or live.seq > 0
        await self._begin(live, anew=forgets and shown)
        if forgets and shown:
            log.warning("board '%s' begins a new epoch: the bus may have forgotten", live.name)

    def _step_down(self, why: str) -> None:
        """Poll no more; what the bus says counts."""
        was_ready, self._term, self._ready = self._ready, "", False
        self._begun.clear()
        if self._settling is not None and self._settling is not asyncio.current_task():
            self._settling.cancel()
        if was_ready:
            log.warning("this process reads the feeds no more: %s", why)
            self.on_follow()
        self._reload(*self._cursors)  # the status of feeds was ours

    # -- following

    async def follow_forever(self) -> None:
        """Take what comes over the bus, until cancelled."""
        shortest, longest = RETRY_SECONDS
        wait = shortest
        while True:
            try:
                await self._follow()
                wait = shortest
            except BusError as error:
                log.debug("the bus cannot be read: %s", error)
                await asyncio.sleep(random.uniform(wait / 2, wait))  # noqa: S311 - no secret
                wait = min(2 * wait, longest)
            except Exception:  # a defect must not make this process deaf for good
                log.exception("the bus: reading failed")
                self._reload(*self._cursors)
                await asyncio.sleep(longest)

    async def _follow(self) -> None:
        if NEWS not in self._cursors:
            self._cursors[NEWS] = await self.bus.latest()
        for name, live in list(self._boards.items()):
            if name not in self._cursors:
                stored = await self.bus.load(name)
                self.counts.reloads += 1
                self._cursors[name] = stored.cursor
                self._adopt(live, stored)
        cursors = {n: c for n, c in self._cursors.items() if n == NEWS or n in self._boards}
        reading = self._reading = asyncio.create_task(self._read(cursors))
        try:
            await asyncio.wait([reading])
        finally:
            self._reading = None
            reading.cancel()
        if reading.cancelled():
            return  # what is to be read is another
        for name, entries in reading.result().items():
            for cursor, data in entries:
                if name not in self._cursors:
                    break  # to be loaded
                self._cursors[name] = cursor
                if name == NEWS:
                    self._hear(data)
                elif name in self._boards:
                    self._take(self._boards[name], data)

    async def _read(self, cursors: Mapping[str, str]) -> Found:
        return await self.bus.read(cursors, READ_SECONDS)

    def _take(self, live: LiveBoard, data: bytes) -> None:
        self.counts.read += 1
        self.counts.read_bytes += len(data)
        entry = Entry.decode(live.name, data)
        if live.take(entry):
            self._hub.publish(live)
        elif entry.epoch != live.epoch or entry.seq > live.seq:
            self._reload(live.name)

    def _adopt(self, live: LiveBoard, stored: Stored) -> None:
        """Go where the bus has a board, unless that is nowhere or behind what is here."""
        at = stored.position
        if at is None or stored.state is None:
            return
        if at.epoch == live.epoch and at.seq < live.seq:
            return
        entries = [Entry.decode(live.name, data) for data in stored.entries]
        if at.epoch == live.epoch:
            for entry in entries:
                if entry.seq > live.seq or entry.prev == entry.seq == live.seq:
                    live.take(entry)
        if at != Position(live.epoch, live.seq):
            another = at.epoch != live.epoch
            live.restore(stored.state, entries, time())
            if another:
                self._hub.restart(live)
        self._hub.publish(live)

    def _hear(self, data: bytes) -> None:
        news = orjson.loads(data)
        handler = self._handlers.get(news.get("kind", ""))
        if handler is None:
            return
        try:
            handler(news)
        except Exception:  # news from a defect elsewhere must not make this process deaf
            log.exception("news '%s' cannot be taken", news.get("kind"))

    def reread(self) -> None:
        """Look anew which boards are read: there are others now."""
        if self._reading is not None:
            self._reading.cancel()

    def _reload(self, *names: str) -> None:
        """Read boards from the bus as a whole."""
        for name in names:
            if name != NEWS:
                self._cursors.pop(name, None)
                self._behind.pop(name, None)
        self.reread()

    async def close(self) -> None:
        """Give the lease back and leave."""
        try:
            if self._term:
                async with asyncio.timeout(self.settings.lease):
                    await self.bus.resign(self._term)
        except (BusError, TimeoutError) as error:
            log.debug("the lease was not given back: %s", error)
        await self.bus.close()


def _nothing() -> None:
    """Do nothing."""
