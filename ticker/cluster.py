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
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic, time
from typing import Any

import orjson

from ticker import keep
from ticker.bus import (
    MEMBER_SECONDS,
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
    Untaken,
)
from ticker.config import Bus as Settings
from ticker.entry import Entry
from ticker.fields import is_number
from ticker.hub import Hub
from ticker.live import LiveBoard, State
from ticker.tasks import end
from ticker.traffic import Lags

log = logging.getLogger(__name__)

BEATS = 4
"""Beats per lease, or while a member is not yet forgotten, if that is shorter."""

READ_SECONDS = 1.0
"""How long a read waits for entries before it is asked again."""

RETRY_SECONDS = (0.05, 2.0)
"""Shortest and longest wait after the bus could not be read; random in between, ever longer."""

SILENT_SECONDS = 1.0
"""Entries that the bus has and that did not come for so long are fetched over another link."""

SPREAD_SECONDS = 0.5
"""Boards that every process has to read anew are read at random times within so long."""

CERTAIN_SECONDS = 0.02
"""How often it is looked whether a lease that is in question is held."""

MISSED_SECONDS = 3.0
"""Between two readings; after more than this news may have been missed, however many are kept."""

CLOCKS_SECONDS = 2.0
"""Clocks that seem to differ by less may agree: what a beat tells is not of this moment."""

DOUBT_LEASES = 2
"""Leases without a word of the bus, or without a poller, after which no board can be trusted."""

DECLINED_SECONDS = 60.0
"""Longest time for which a process that could not become the poller does not want to."""

STATE_BYTES = 64_000
"""A state is kept anew when entries of more than this, and of more than it, came after it."""

SILENCE = "bus: it does not answer as it should"
NO_POLLER = "bus: no process reads the feeds"
NOTHING_TAKEN = "bus: it takes no changes"
NOTHING_COMES = "bus: changes do not come"
"""What viewers are told; what exactly is wrong is for the log and `/readyz`, not for everybody."""

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
        self.prepare: Callable[[], Awaitable[None]] = _prepared
        """Called before this process becomes the poller: boards are where the bus is."""
        self.on_lead: Callable[[], None] = _nothing
        """Called when this process becomes the poller."""
        self.on_refill: Callable[[], None] = _nothing
        """Called when the bus has forgotten what this process, the poller, had told it."""
        self.on_forget: Callable[[Sequence[str]], None] = _nothing
        """Called with boards that the bus had, and that are no more."""
        self.on_follow: Callable[[], None] = _nothing
        """Called when it is the poller no more."""
        self.on_look: Callable[[], None] = _nothing
        """Called when a board looks otherwise than before, because the poller says so."""
        self.on_missed: Callable[[], None] = _nothing
        """Called when news may have been missed, and before the first are heard."""
        self.counts = Counts()
        self.ahead = 0.0
        """By how many seconds the clock of the poller is ahead of ours, or was of the one before;
        0 where they may agree, or where that is not known."""
        self._clock = b""  # the card that told so
        self.unserved: Mapping[str, str] = {}
        """Boards that cannot be trusted although the bus is well, and why."""
        self._boards, self._hub, self._card = boards, hub, card
        self._term = ""
        self._dropped = ""  # a term that was given up: what was sent in it may still come
        self._until = 0.0  # when the lease ends unless it is renewed, of the monotonic clock
        self._ready = False  # whether the boards are settled in this term
        self._led = False  # whether `on_lead` was called, and `on_follow` not since
        self._memory = ""  # of which the boards are settled
        self._hurry = asyncio.Event()  # set where the next beat should not wait
        self._settling: asyncio.Task[None] | None = None
        self._goes_on = False  # whether it was the poller before, too
        self._begun: dict[str, _Since] = {}  # boards settled in this term
        self._unsure: set[str] = set()  # boards of which the bus may have taken another entry
        self._refused: str | None = None  # why the bus takes nothing
        self._refused_since = self._refused_at = 0.0
        self._cursors: dict[str, str] = {}
        self._reading: asyncio.Task[Any] | None = None
        self._heard_at = monotonic()
        self._well_since: float | None = None
        self._trouble: str | None = "not connected yet"
        self._refusals = 0  # how often this process could not become the poller, in a row
        self._shy_until = 0.0  # until when it does not want to, of the monotonic clock
        self._behind: dict[str, tuple[Position, float]] = {}  # where boards are to be, since when
        self._fetched: dict[str, float] = {}  # when such a board was last read as a whole
        self._failures = 0  # beats in a row
        self._spread = False  # whether many processes read boards anew now
        self._no_poller_since: float | None = None
        self._handlers: dict[str, Heard] = {}
        hub.starting = True
        self.reread()
        self._read_at = monotonic()
        self._cards: tuple[Pulse | None, dict[str, dict[str, Any]]] = None, {}

    # -- what others ask

    @property
    def leads(self) -> bool:
        """Whether this process is the poller, as far as it can know."""
        return self._ready and bool(self._term) and monotonic() < self._until

    async def certain(self) -> None:
        """Wait until it is certain whether this process is the poller."""
        while self._term and not self.leads:  # noqa: ASYNC110 - time alone ends a lease
            await asyncio.sleep(CERTAIN_SECONDS)

    @property
    def term(self) -> str:
        """The term of this process while it is the poller, else empty."""
        return self._term if self.leads else ""

    @property
    def poller(self) -> str:
        """The id of the process that reads the feeds, as far as is known; empty for none."""
        return self.pulse.poller if self.pulse is not None else ""

    @property
    def members(self) -> Mapping[str, Mapping[str, Any]]:
        """What every process says of itself, by id, as the last good beat had it."""
        known, cards = self._cards
        if known is not self.pulse and self.pulse is not None:
            read = {member: _object(card) for member, card in self.pulse.members.items()}
            cards = {member: card for member, card in read.items() if card and "gone" not in card}
            self._cards = self.pulse, cards
        return cards

    @property
    def age(self) -> float:
        """How long ago the bus answered a beat, in seconds."""
        return monotonic() - self._heard_at

    @property
    def why(self) -> str | None:
        """Why this process does not follow the bus; None when it does."""
        if self._trouble is not None:
            return self._trouble
        unread = [name for name in self._boards if name not in self._cursors]
        if unread:
            return f"not yet read from the bus: {', '.join(unread)}"
        if late := self._late(monotonic()):
            return f"behind the bus: {', '.join(late)}"
        return self._takes_nothing

    @property
    def answers(self) -> bool:
        """Whether the bus answered when it was asked last."""
        return self._trouble is None

    @property
    def behind(self) -> float:
        """For how many seconds a board has been behind the bus; 0 when none is."""
        return max((monotonic() - since for _, since in self._behind.values()), default=0.0)

    def on(self, kind: str, heard: Heard) -> None:
        """Let ``heard`` have every news of a kind, also what this process says."""
        self._handlers[kind] = heard

    async def say(self, kind: str, **about: Any) -> None:
        """Tell every process, this one too. Raises BusError."""
        await self.bus.say(orjson.dumps({"kind": kind, "from": self.id, **about}))

    def _late(self, now: float) -> list[str]:
        """Return the boards of which entries do not come, over no link."""
        patience = max(2 * SILENT_SECONDS, DOUBT_LEASES * self.settings.lease)
        return [name for name, (_, since) in self._behind.items() if now - since > patience]

    @property
    def _takes_nothing(self) -> str | None:
        """Why the bus has taken nothing of what this process reads for too long."""
        now = monotonic()
        if self._refused is None or not self._term:  # an answer may come when it polls no more
            return None
        if now - self._refused_at > self._retried:
            return None  # what it did not take has become what it has
        late = now - self._refused_since > DOUBT_LEASES * self.settings.lease
        return f"the bus takes no changes: {self._refused}" if late else None

    @property
    def _retried(self) -> float:
        """In how many seconds what the bus did not take has certainly been tried again."""
        longest = max((live.flush_interval for live in self._boards.values()), default=0.0)
        return longest + 2 * DOUBT_LEASES * self.settings.lease

    # -- what the poller publishes

    async def publish(self, live: LiveBoard, entry: Entry) -> bool:
        """Publish an entry everywhere, here last; return False when the bus does not take it."""
        if not self.leads:
            return False
        try:
            if live.name not in self._begun:  # a board that came with a reload
                await self._begin(live, anew=False)
            since = self._begun.get(live.name) or _Since()
            data = entry.encode()
            state = None
            if since.is_much(self.settings.kept):
                state = live.state(live.epoch, live.seq)
            before, after = (Position(entry.epoch, seq) for seq in (entry.prev, entry.seq))
            asked = monotonic()
            await self._step(Step(live.name, before, after, data, state))
        except Fenced:
            self.counts.fenced += 1
            self._hurry.set()  # another process took over, or the bus has forgotten: ask which
            return False
        except BusError as error:
            log.debug("board '%s' was not published: %s", live.name, error)
            now = monotonic()
            if self._refused is None or now - self._refused_at > self._retried:
                self._refused_since = now
            self._refused, self._refused_at = str(error), now
            if isinstance(error, Elsewhere):
                self.counts.elsewhere += 1
                await self._find(live)
            else:
                self.counts.failed += 1
            return False
        self._refused = None
        self.counts.lags.add(monotonic() - asked)
        self.counts.published += 1
        self.counts.published_bytes += len(data)
        if state is not None:
            since.entries, since.size, since.state = 0, 0, len(state)
        since.entries, since.size = since.entries + 1, since.size + len(data)
        live.take(entry)  # if its echo was not quicker
        return True

    async def _step(self, step: Step) -> None:
        """Have the bus take a step; until it has answered, nobody knows where the board is."""
        if self.pulse is not None:
            step = replace(step, memory=self.pulse.memory)
        unsure = step.board in self._unsure
        self._unsure.add(step.board)
        try:
            await self.bus.publish(self._term, step)
        except Untaken:
            if not unsure:  # of an earlier one the answer was lost
                self._unsure.discard(step.board)
            raise
        self._unsure.discard(step.board)

    async def _find(self, live: LiveBoard) -> None:
        """Find out why the bus has a board elsewhere than its poller."""
        try:
            stored = await self.bus.load(live.name)
        except BusError:
            return  # it is asked again with the next entry
        if stored.position is not None and stored.position.reaches(_place(live)):
            self._adopt(live, stored)  # what we did not know of was ours: its answer was lost
            self._unsure.discard(live.name)
        elif self.leads and self.pulse is not None:
            log.warning("the bus has forgotten where board '%s' is", live.name)
            self._start_settling(self.pulse, goes_on=True)

    async def _begin(self, live: LiveBoard, *, anew: bool) -> None:
        """Let the bus have a board as it is here; ``anew`` in another epoch."""
        here = _place(live)
        at = Position(secrets.token_hex(4), live.seq + 1) if anew else here
        if anew:  # before: who takes it may die of it
            why = "the bus may have forgotten some of the one before"
            log.warning("board '%s' begins a new epoch, %s: %s", live.name, at.epoch, why)
        entry = Entry(live.name, at.epoch, at.seq, at.seq, live.at, feeds=live.feeds)
        state = live.state(at.epoch, at.seq)
        await self._step(Step(live.name, None, at, entry.encode(), state))
        if anew and here == _place(live):
            live.begin(at.epoch)
            self._hub.restart(live)
        if at != _place(live):
            raise BusError(f"board '{live.name}' has moved meanwhile")
        self._begun[live.name] = _Since(state=len(state))

    # -- beats

    async def beat_forever(self) -> None:
        """Live, and find out whether to poll, until cancelled."""
        every = min(self.settings.lease, MEMBER_SECONDS) / BEATS
        while True:
            began = monotonic()
            try:
                await self._live(began)
            except Exception:  # a defect must not make this process deaf for good
                log.exception("the bus: beat failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.01, began + self._pause(every) - monotonic())):
                    await self._hurry.wait()
            self._hurry.clear()

    async def _live(self, began: float) -> None:
        """Beat once, and say what follows from what was heard or not."""
        try:
            await self._beat(began)
            self._failures = 0
        except (BusError, TimeoutError) as error:
            self._failed(str(error) or "no answer before the lease ended")
        finally:
            self._judge()

    def _pause(self, every: float) -> float:
        """Return for how long to wait between beats: ever longer while there is no answer."""
        if not self._failures or self._term:
            return every
        longest = min(every * 2.0 ** min(self._failures, 30), max(every, RETRY_SECONDS[1]))
        return random.uniform(longest / 2, longest)  # noqa: S311 - no secret

    async def _beat(self, began: float) -> None:
        lease = self.settings.lease
        if self._term and began >= self._until:
            self._step_down("the lease ran out")
        if self._dropped:  # never used again, so that nothing of it comes late
            await self.bus.resign(self._dropped)
            self._dropped = ""
        held = bool(self._term)
        if held and self._hub.draining:
            await self.bus.resign(self._term)
            self._step_down("draining")
            held = False
        settled = self._memory if held and self._ready else ""
        term = self._term if held else ""
        memory = self.pulse.memory if self.pulse is not None else ""
        takes = self._takes(began, held=held)
        beat = Beat(self.id, self._about, term, takes, lease, settled, memory)
        async with asyncio.timeout(self._until - monotonic() if held else None):
            pulse = await self.bus.beat(beat)
        self._learn(pulse, began, beat)
        if self.leads and (gone := sorted(pulse.positions.keys() - self._boards.keys())):
            await self._forget(gone)

    @property
    def _about(self) -> bytes:
        """What the others may know of this process, now."""
        about = {**self._card(), "now": round(time() * 1000)}
        if self._takes_nothing:
            about["stuck"] = True
        return orjson.dumps(about)

    async def _forget(self, gone: Sequence[str]) -> None:
        """Let the bus forget boards, and what is kept of them; if it cannot, with the next beat."""
        try:
            await self.bus.forget(self._term, gone)
        except BusError as error:
            log.debug("boards that are no more are kept for longer: %s", error)
            return
        log.info("the bus has forgotten boards that are no more: %s", ", ".join(gone))
        self.on_forget(gone)

    def _takes(self, now: float, *, held: bool) -> bool:
        """Whether to become the poller if there is none.

        After trouble whoever was it comes first: it knows best what was published.
        """
        if self._hub.draining or (self.why is not None and not held):
            return False
        if now < self._shy_until:
            return False
        patient = self._well_since is not None and now - self._well_since > self.settings.lease
        return held or patient or not self._known

    @property
    def _known(self) -> bool:
        """Whether a poller was ever heard of."""
        return self.pulse is not None and bool(self.pulse.term or self.pulse.positions)

    def _learn(self, pulse: Pulse, began: float, beat: Beat) -> None:
        now = monotonic()
        if self._trouble is not None:
            times = f", asked {self._failures + 1} times" if self._failures else ""
            log.info("the bus answers%s", times)
            self._trouble, self._well_since = None, now
        self._heard_at = now
        before, self.pulse = self.pulse, pulse
        if before is not None and before.memory != pulse.memory:
            log.warning("the bus was restarted, emptied or replaced: it has another memory")
            self._well_since = now  # nothing is read anew: its poller tells what is another
            self._cursors.pop(NEWS, None)
            self.reread()
        if before is not None and (
            before.term != pulse.term or (before.settled and not pulse.settled)
        ):
            self.on_missed()  # whatever led to it, perhaps that somebody has emptied the bus
        self._compare(pulse, now)
        self._see_clock(pulse)
        self._no_poller_since = None if pulse.term else (self._no_poller_since or now)
        if pulse.poller != self.id or pulse.term == self._dropped:
            if self._term:
                self._step_down(f"{pulse.poller or 'nobody'} is the poller")
            return
        if now - began >= self.settings.lease:
            self._dropped = pulse.term  # it was over before the answer came
            return
        self._until = began + self.settings.lease
        remembers = pulse.memory == self._memory and beat.settled in ("", pulse.settled)
        if pulse.term == self._term and (self._settling_now or remembers):
            return
        goes_on = bool(beat.term) and (self._ready or (self._settling_now and self._goes_on))
        if self._led and remembers:  # the lease had ended: whoever had it meanwhile knows better
            self._step_down("the lease ran out")
            goes_on = False
        self._term = pulse.term
        self._start_settling(pulse, goes_on=goes_on)

    def _see_clock(self, pulse: Pulse) -> None:
        """Take note of how far ahead the poller's clock is: times that it keeps are of that one."""
        card = pulse.members.get(pulse.poller)
        if card is None or card == self._clock or pulse.poller == self.id:
            return
        self._clock = card
        now = _object(card).get("now")
        ahead = now / 1000 - time() if is_number(now) else 0.0
        self.ahead = ahead if abs(ahead) > CLOCKS_SECONDS else 0.0

    def _compare(self, pulse: Pulse, now: float) -> None:
        """Find boards of which the bus has entries that do not come."""
        if pulse.settled != pulse.memory:
            self._behind.clear()  # what it has may be older than what is here
            return
        for name, live in self._boards.items():
            here = _place(live)
            at = pulse.positions.get(name)
            wanted, since = self._behind.pop(name, (None, now))
            # it may be on another line by now, or have been forgotten: nothing leads there any more
            if wanted is None or here.reaches(wanted) or at is None or not at.reaches(wanted):
                wanted, since = at, now
            if wanted is None or here.reaches(wanted):
                continue
            self._behind[name] = wanted, since
            if now - max(since, self._fetched.get(name, 0.0)) > SILENT_SECONDS:
                log.warning("board '%s': the bus is at %s, but nothing comes", name, wanted)
                self._fetched[name] = now
                self._reload(name, spread=True)

    def _failed(self, why: str) -> None:
        if not self._failures:
            log.warning("the bus does not answer: %s", why)
        self._trouble, self._well_since = why, None
        self._failures += 1
        if self._term and monotonic() >= self._until:
            self._step_down("the lease could not be renewed")

    def _judge(self) -> None:
        """Say of every board whether it can be trusted."""
        now, patience = monotonic(), DOUBT_LEASES * self.settings.lease
        why = None
        if now - self._heard_at > patience:
            why = SILENCE
        elif self._no_poller_since is not None and now - self._no_poller_since > patience:
            why = NO_POLLER
        elif self._poller_is_stuck:
            why = NOTHING_TAKEN
        late = self._late(now)
        for name, live in self._boards.items():
            nothing = NOTHING_COMES if name in late else None
            if live.doubt_all(why or self.unserved.get(name) or nothing, time()):
                self._hub.publish(live)

    @property
    def _poller_is_stuck(self) -> bool:
        """Whether the bus takes nothing of what the poller reads, as that one says."""
        if self._term:
            return self._takes_nothing is not None
        card = self.pulse.members.get(self.pulse.poller) if self.pulse is not None else None
        return card is not None and "stuck" in _object(card)

    # -- becoming the poller, and ceasing to be

    @property
    def _settling_now(self) -> bool:
        return self._settling is not None and not self._settling.done()

    def _start_settling(self, pulse: Pulse, *, goes_on: bool) -> None:
        if self._settling is not None:
            self._settling.cancel()
        self._ready, self._goes_on = False, goes_on
        self._settling = asyncio.create_task(self._settle(pulse, goes_on=goes_on))

    async def _settle(self, pulse: Pulse, *, goes_on: bool) -> None:
        """Get this process and the bus to agree on every board, then read the feeds.

        Where the bus may have forgotten what viewers were shown, only a poller that ``goes_on`` can
        tell it; otherwise a new epoch begins.
        """
        try:
            forgets = pulse.settled != pulse.memory and not goes_on
            self._begun.clear()
            for live in list(self._boards.values()):
                await self._settle_board(live, forgets=forgets, goes_on=goes_on)
            if not goes_on:
                await self.prepare()
            await self._tell_settled(pulse.memory)
            self._memory = pulse.memory
            self._unsure.clear()
            self._ready, self._refused = True, None
            if goes_on:
                log.warning("the bus was told again what it had forgotten")
                self.on_refill()
                return
            self.counts.terms += 1
            log.info("this process reads the feeds now, term %s", self._term)
            self._led = True
            self.on_lead()
            self._refusals, self.ahead = 0, 0.0  # times that are kept are ours now
        except Fenced:
            self._step_down("another process took over")
        except BusError as error:
            log.warning("cannot become the poller: %s", error)
            self._decline()
        except Exception:
            log.exception("cannot become the poller")
            self._decline()

    async def _tell_settled(self, memory: str) -> None:
        """Have the bus know that nothing is forgotten, before there is more to forget."""
        lease = self.settings.lease
        beat = Beat(self.id, self._about, self._term, takes=False, lease=lease, settled=memory)
        if (await self.bus.beat(beat)).term != beat.term:
            raise Fenced(beat.term)

    def _decline(self) -> None:
        """Leave the polling to another process, and do not want it for a while."""
        wait = min(DECLINED_SECONDS, self.settings.lease * 2**self._refusals)
        self._refusals = min(self._refusals + 1, 10)
        self._shy_until = monotonic() + random.uniform(wait, 2 * wait)  # noqa: S311 - no secret
        self._step_down("the feeds could not be taken over")

    async def _settle_board(self, live: LiveBoard, *, forgets: bool, goes_on: bool) -> None:
        stored, past = await self._load(live)
        at, before = stored.position, live.seq
        if not goes_on or (at is not None and at.reaches(_place(live))):
            self._adopt(live, stored, past)
        agrees = at == _place(live) and _can_be_read(stored)
        if goes_on:  # somebody may have shown an entry of which we do not know, and which is lost
            forgets = live.name in self._unsure and live.seq == before
        else:
            forgets = forgets or not agrees
        if agrees and not forgets:
            sizes = sum(map(len, stored.entries))
            state = len(stored.state or b"")
            self._begun[live.name] = _Since(len(stored.entries), sizes, state)
            return
        anew = forgets and (at is not None or live.seq > 0)
        await self._begin(live, anew=anew)

    def _step_down(self, why: str) -> None:
        """Poll no more; what the bus says counts."""
        led, self._led, self._ready = self._led, False, False
        self._dropped, self._term = self._term or self._dropped, ""
        self._well_since = monotonic()  # others first
        self._refused = None
        self._begun.clear()
        if self._settling is not None and self._settling is not asyncio.current_task():
            self._settling.cancel()
        if led:
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
        for name in self._cursors.keys() - self._boards.keys() - {NEWS}:
            del self._cursors[name]  # if it comes back, it is another board
        if NEWS not in self._cursors:
            self._cursors[NEWS] = await self.bus.latest()
            self._read_at = monotonic()
            self.on_missed()
        if self._spread:
            self._spread = False
            await asyncio.sleep(random.uniform(0, SPREAD_SECONDS))  # noqa: S311 - no secret
        for name, live in list(self._boards.items()):
            if name not in self._cursors:
                stored, past = await self._load_here(live)
                self.counts.reloads += 1
                self._cursors[name] = stored.cursor
                self._adopt(live, stored, past)
        self._hub.starting = False
        cursors = {n: c for n, c in self._cursors.items() if n == NEWS or n in self._boards}
        reading = self._reading = asyncio.create_task(self._read(cursors))
        try:
            await asyncio.wait([reading])
        finally:
            self._reading = None
            reading.cancel()
        if reading.cancelled():
            return  # what is to be read is another
        found = reading.result()
        if monotonic() - self._read_at > MISSED_SECONDS:
            self.on_missed()
        self._read_at = monotonic()
        for name, entries in found.items():
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
        for entry in self._entries(live, [data]):
            self._take_entry(live, entry)

    def _take_entry(self, live: LiveBoard, entry: Entry) -> None:
        if live.take(entry):
            self._hub.publish(live)
            if entry.look is not None:
                self.on_look()
        elif entry.epoch != live.epoch or entry.seq > live.seq:
            self._reload(live.name, spread=True)

    async def _load_here(self, live: LiveBoard) -> tuple[Stored, Mapping[str, bytes] | None]:
        """Load a board, once more where it began a new epoch here before there was an answer."""
        while True:
            epoch = live.epoch
            found = await self._load(live)
            if live.epoch == epoch:
                return found

    async def _load(self, live: LiveBoard) -> tuple[Stored, Mapping[str, bytes] | None]:
        """Return what the bus has of a board, and its rows' past where that is needed."""
        stored, past = await self.bus.load(live.name), None
        if live.history is not None and self._is_far(live, stored):
            past = await keep.past(self.bus, live.name)  # before the entries that come after it
            stored = await self.bus.load(live.name)
        return stored, past

    def _is_far(self, live: LiveBoard, stored: Stored) -> bool:
        """Whether the entries that are kept do not lead to where the bus has a board."""
        at = stored.position
        if at is None or at.epoch != live.epoch:
            return at is not None
        entries = self._entries(live, stored.entries)
        return bool(entries) and live.seq < entries[0].prev

    def _adopt(
        self, live: LiveBoard, stored: Stored, past: Mapping[str, bytes] | None = None
    ) -> None:
        """Go where the bus has a board, unless that is nowhere or behind what is here."""
        at = stored.position
        if at is None or stored.state is None:
            return
        if at.epoch == live.epoch and at.seq < live.seq:
            return  # what we have shown was forgotten there; whoever polls finds out
        entries = self._entries(live, stored.entries)
        if at.epoch == live.epoch:
            for entry in entries:
                if entry.seq > live.seq or entry.prev == entry.seq == live.seq:
                    live.take(entry)
        look = live.look
        if at != _place(live):
            another = at.epoch != live.epoch
            try:
                live.restore(stored.state, entries, time(), past)
            except ValueError as error:  # whoever polls puts it right
                log.warning("board '%s': the bus has a state that is none: %s", live.name, error)
                return
            if another:
                self._hub.restart(live)
        self._hub.publish(live)
        if live.look != look:
            self.on_look()

    def _entries(self, live: LiveBoard, found: Sequence[bytes]) -> list[Entry]:
        """Return entries that came over the bus; of what is none, no more than a line is kept."""
        entries = []
        for data in found:
            try:
                entries.append(Entry.decode(live.name, data))
            except ValueError as error:
                log.warning("board '%s': %s: %.100r", live.name, error, data)
        return entries

    def _hear(self, data: bytes) -> None:
        news = _object(data)
        if not news:
            log.warning("news that cannot be read: %.100r", data)
        handler = self._handlers.get(str(news.get("kind")))
        if handler is None:
            return
        try:
            handler(news)
        except Exception:  # news from a defect elsewhere must not make this process deaf
            log.exception("news '%s' cannot be taken", news["kind"])

    def reread(self) -> None:
        """Look anew which boards are read: there are others now."""
        for known in (self._cursors, self._begun, self._behind, self._fetched):
            for name in known.keys() - self._boards.keys() - {NEWS}:
                del known[name]
        for live in self._boards.values():
            live.shared = True
        if self._reading is not None:
            self._reading.cancel()

    def _reload(self, *names: str, spread: bool = False) -> None:
        """Read boards from the bus as a whole; ``spread``: the others do so now, too."""
        for name in names:
            if name != NEWS:
                self._cursors.pop(name, None)
        self._spread = spread
        if self._reading is not None:
            self._reading.cancel()

    async def close(self) -> None:
        """Give the lease back and leave."""
        if self._settling is not None:
            await end([self._settling])
        try:
            if self._term:
                async with asyncio.timeout(self.settings.lease):
                    await self.bus.resign(self._term)
            gone = orjson.dumps({"gone": True})  # nobody waits for what it has to say
            async with asyncio.timeout(self.settings.lease):
                last = Beat(self.id, gone, term="", takes=False, lease=self.settings.lease)
                await self.bus.beat(last)
        except (BusError, TimeoutError) as error:
            log.debug("the bus was not told of the end: %s", error)
        await self.bus.close()


async def _prepared() -> None:
    """Do nothing."""


def _object(data: bytes) -> dict[str, Any]:
    """Return what another process says; nothing where that is not as we would say it."""
    try:
        said = orjson.loads(data)
    except orjson.JSONDecodeError:
        said = None
    return said if isinstance(said, dict) else {}


def _can_be_read(stored: Stored) -> bool:
    """Whether a process that starts can go where the bus has a board."""
    try:
        State.decode(stored.state or b"")
    except ValueError:
        return False
    return True


def _place(live: LiveBoard) -> Position:
    """Return where a board is here."""
    return Position(live.epoch, live.seq)


def _nothing(*_: object) -> None:
    """Do nothing."""
