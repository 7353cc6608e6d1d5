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
from dataclasses import replace
from time import monotonic, time
from typing import Any

import orjson

from ticker.bus import (
    MEMBER_SECONDS,
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
from ticker.entry import Backlog, Entry
from ticker.fields import is_number
from ticker.following import RETRY_SECONDS, Following, nothing, place, read
from ticker.hub import Hub
from ticker.live import LiveBoard, State
from ticker.tasks import end
from ticker.traffic import BusTraffic

log = logging.getLogger(__name__)

BEATS = 4
"""Beats per lease, or while a member is not yet forgotten, if that is shorter."""

CERTAIN_SECONDS = 0.02
"""How often it is looked whether a lease that is in question is held."""

DOUBT_LEASES = 2
"""Leases without a word of the bus, or without a poller, after which no board can be trusted."""

CLOCKS_SECONDS = 2.0
"""Clocks that seem to differ by less may agree: what a beat tells is not of this moment."""

SURE_LEASES = 0.5
"""Leases for which there must be a poller again before boards are trusted again: what it finds to
be old by now it has said then."""

DECLINED_SECONDS = 60.0
"""Longest time for which a process that could not become the poller does not want to."""

SILENCE = "bus: it does not answer as it should"
NO_POLLER = "bus: no process reads the feeds"
NOTHING_TAKEN = "bus: it takes no changes"
NOTHING_COMES = "bus: changes do not come"
"""What viewers are told; what exactly is wrong is for the log and `/readyz`, not for everybody."""


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
        self.on_lead: Callable[[], None] = nothing
        """Called when this process becomes the poller."""
        self.on_refill: Callable[[], None] = nothing
        """Called when the bus has forgotten what this process, the poller, had told it."""
        self.on_forget: Callable[[Sequence[str]], None] = nothing
        """Called with boards that the bus had, and that are no more."""
        self.on_follow: Callable[[], None] = nothing
        """Called when it is the poller no more."""
        self.counts = BusTraffic()
        self.following = Following(bus, boards, hub, self.counts)
        """What this process, as any other, takes from the bus."""
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
        self._begun: dict[str, Backlog] = {}  # boards settled in this term
        self._unsure: set[str] = set()  # boards of which the bus may have taken another entry
        self._refused: str | None = None  # why the bus takes nothing
        self._refused_since = self._refused_at = 0.0
        self._heard_at = monotonic()
        self._well_since: float | None = None
        self._trouble: str | None = "not connected yet"
        self._refusals = 0  # how often this process could not become the poller, in a row
        self._shy_until = 0.0  # until when it does not want to, of the monotonic clock
        self._failures = 0  # beats in a row
        self._doubt: str | None = None  # why nothing can be trusted
        self._sure_since: float | None = None  # since when all seems well again after that
        self._no_poller_since: float | None = None
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
            told = {member: read(card) for member, card in self.pulse.members.items()}
            cards = {member: card for member, card in told.items() if card and "gone" not in card}
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
        if unread := self.following.unread:
            return f"not yet read from the bus: {', '.join(unread)}"
        if late := self.following.late(monotonic(), self._patience):
            return f"behind the bus: {', '.join(late)}"
        return self._takes_nothing

    @property
    def answers(self) -> bool:
        """Whether the bus answered when it was asked last."""
        return self._trouble is None

    async def say(self, kind: str, **about: Any) -> None:
        """Tell every process, this one too. Raises BusError."""
        await self.bus.say(orjson.dumps({"kind": kind, "from": self.id, **about}))

    @property
    def _takes_nothing(self) -> str | None:
        """Why the bus has taken nothing of what this process reads for too long."""
        now = monotonic()
        if self._refused is None or not self._term:  # an answer may come when it polls no more
            return None
        if now - self._refused_at > self._retried:
            return None  # what it did not take has become what it has
        late = now - self._refused_since > self._patience
        return f"the bus takes no changes: {self._refused}" if late else None

    @property
    def _patience(self) -> float:
        """For how many seconds a word of the bus, or of a poller, is waited for."""
        return DOUBT_LEASES * self.settings.lease

    @property
    def _retried(self) -> float:
        """In how many seconds what the bus did not take has certainly been tried again."""
        longest = max((live.flush_interval for live in self._boards.values()), default=0.0)
        return longest + 2 * self._patience

    # -- what the poller publishes

    async def publish(self, live: LiveBoard, entry: Entry) -> bool:
        """Publish an entry everywhere, here last; return False when the bus does not take it."""
        if not self.leads:
            return False
        try:
            if live.name not in self._begun:  # a board that came with a reload
                await self._begin(live, anew=False)
            backlog = self._begun.get(live.name) or Backlog()
            data = entry.encode()
            state = None
            if backlog.is_much(self.settings.kept):
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
            backlog = self._begun[live.name] = Backlog(state=len(state))
        backlog.add(1, len(data))
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
        if stored.position is not None and stored.position.reaches(place(live)):
            # what we did not know of was ours: its answer was lost
            self.following.adopt(live, stored)
            self._unsure.discard(live.name)
        elif self.leads and self.pulse is not None:
            log.warning("the bus has forgotten where board '%s' is", live.name)
            self._start_settling(self.pulse, goes_on=True)

    async def _begin(self, live: LiveBoard, *, anew: bool) -> None:
        """Let the bus have a board as it is here; ``anew`` in another epoch."""
        here = place(live)
        at = Position(secrets.token_hex(4), live.seq + 1) if anew else here
        if anew:  # before: who takes it may die of it
            why = "the bus may have forgotten some of the one before"
            log.warning("board '%s' begins a new epoch, %s: %s", live.name, at.epoch, why)
        entry = Entry(live.name, at.epoch, at.seq, at.seq, live.at, feeds=live.feeds)
        state = live.state(at.epoch, at.seq)
        await self._step(Step(live.name, None, at, entry.encode(), state))
        if anew and here == place(live):
            live.begin(at.epoch)
            self._hub.restart(live)
        if at != place(live):
            raise BusError(f"board '{live.name}' has moved meanwhile")
        self._begun[live.name] = Backlog(state=len(state))

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
            self.following.renew()
        if before is not None and (
            before.term != pulse.term or (before.settled and not pulse.settled)
        ):
            self.following.on_missed()  # perhaps somebody has emptied the bus
        self.following.compare(pulse, now)
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
        now = read(card).get("now")
        ahead = now / 1000 - time() if is_number(now) else 0.0
        self.ahead = ahead if abs(ahead) > CLOCKS_SECONDS else 0.0

    def _failed(self, why: str) -> None:
        if not self._failures:
            log.warning("the bus does not answer: %s", why)
        self._trouble, self._well_since = why, None
        self._failures += 1
        if self._term and monotonic() >= self._until:
            self._step_down("the lease could not be renewed")

    def _judge(self) -> None:
        """Say of every board whether it can be trusted."""
        now, patience = monotonic(), self._patience
        why = None
        if now - self._heard_at > patience:
            why = SILENCE
        elif self._no_poller_since is not None and now - self._no_poller_since > patience:
            why = NO_POLLER
        elif self._poller_is_stuck:
            why = NOTHING_TAKEN
        if why is not None:
            self._sure_since = None
        elif self._doubt is not None and not self._is_sure(now):
            why = self._doubt
        self._doubt = why
        late = self.following.late(now, self._patience)
        for name, live in self._boards.items():
            nothing = NOTHING_COMES if name in late else None
            if live.doubt_all(why or self.unserved.get(name) or nothing, time()):
                self._hub.publish(live)

    def _is_sure(self, now: float) -> bool:
        """Whether there was a poller for long enough to tell how old all is after a doubt."""
        pulse = self.pulse
        if pulse is None or not pulse.term or pulse.settled != pulse.memory:
            self._sure_since = None
            return False
        self._sure_since = self._sure_since or now
        return now - self._sure_since >= SURE_LEASES * self.settings.lease

    @property
    def _poller_is_stuck(self) -> bool:
        """Whether the bus takes nothing of what the poller reads, as that one says."""
        if self._term:
            return self._takes_nothing is not None
        card = self.pulse.members.get(self.pulse.poller) if self.pulse is not None else None
        return card is not None and "stuck" in read(card)

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
        stored, past = await self.following.load(live)
        at, before = stored.position, live.seq
        if not goes_on or (at is not None and at.reaches(place(live))):
            self.following.adopt(live, stored, past)
        agrees = at == place(live) and _can_be_read(stored)
        if goes_on:  # somebody may have shown an entry of which we do not know, and which is lost
            forgets = live.name in self._unsure and live.seq == before
        else:
            forgets = forgets or not agrees
        if agrees and not forgets:
            sizes = sum(map(len, stored.entries))
            state = len(stored.state or b"")
            self._begun[live.name] = Backlog(len(stored.entries), sizes, state)
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
        self.following.reload()  # the status of feeds was ours

    # -- the boards, and the end

    def reread(self) -> None:
        """Look anew which boards there are: others than before."""
        for name in self._begun.keys() - self._boards.keys():
            del self._begun[name]
        self.following.reread()

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


def _can_be_read(stored: Stored) -> bool:
    """Whether a process that starts can go where the bus has a board."""
    try:
        State.decode(stored.state or b"")
    except ValueError:
        return False
    return True
