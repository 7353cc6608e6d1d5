"""The contract of the seam: what every bus does, whatever it is on."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from itertools import count
from time import monotonic

import pytest

from tests.buses import PLACES, SERVERS, Place, Server
from tests.support import PATIENCE
from ticker import bus as seam
from ticker.bus import (
    NEWS,
    NEWS_KEPT,
    Beat,
    Bus,
    BusError,
    Elsewhere,
    Fenced,
    OtherProtocol,
    Position,
    Pulse,
    Step,
    Stored,
)
from ticker.bus.memory import MemoryBus

LONG = 60.0
"""A lease that does not end during a test."""

Make = Callable[..., Bus]
_PREFIXES = (f"test-{i}" for i in count())


@pytest.fixture(scope="module", params=PLACES)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """Return where buses meet, of every kind that there is."""
    with PLACES[request.param](tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture(params=SERVERS)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    """Return a server of the test's own, which it may end and stop."""
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param)) as found:
        yield found


@pytest.fixture
async def make(place: Place) -> AsyncIterator[Make]:
    """Return a function that makes buses, which meet where no other test is."""
    prefix, made = next(_PREFIXES), list[Bus]()

    def one_more(other: str = "", **options: int) -> Bus:
        made.append(place.bus(prefix + other, **options))
        return made[-1]

    yield one_more
    for bus in made:
        await bus.close()


def beat(
    member: str, term: str = "", *, takes: bool = True, lease: float = LONG, **more: str
) -> Beat:
    """Return a beat of a member."""
    card = more.pop("card", f"card of {member}").encode()
    return Beat(member, card, term, takes, lease, **more)


def at(seq: int, epoch: str = "e1") -> Position:
    """Return a position."""
    return Position(epoch, seq)


def step(seq: int, *, state: bool = False, size: int = 0) -> Step:
    """Return the step to a seq from the one before."""
    before = b"state %d" % (seq - 1) if state else None
    return Step("b", at(seq - 1), at(seq), b"entry %d" % seq + b"." * size, before)


NEW = Step("b", None, at(0), b"entry 0", b"state 0")
"""A new line at seq 0."""


async def eventually(ask: Callable[[], Awaitable[object]]) -> None:
    """Ask until the answer is true."""
    async with asyncio.timeout(PATIENCE):
        while not await ask():  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.01)


async def led(bus: Bus, *seqs: int) -> str:
    """Become the poller, begin a line and lead it along ``seqs``; return the term."""
    term = (await bus.beat(beat("p"))).term
    await bus.publish(term, NEW)
    for seq in seqs:
        await bus.publish(term, step(seq))
    return term


# -- the lease


async def test_one_of_many_takes_the_lease(make: Make) -> None:
    """Many ask at the same time, all of them learn who has it."""
    buses = [make() for _ in range(8)]
    pulses = await asyncio.gather(*(bus.beat(beat(f"m{i}")) for i, bus in enumerate(buses)))
    (term,) = {pulse.term for pulse in pulses}
    assert term
    assert pulses[0].poller in {f"m{i}" for i in range(8)}


async def test_who_does_not_want_the_lease_does_not_take_it(make: Make) -> None:
    """It stays free for who does."""
    one, other = make(), make()
    assert (await one.beat(beat("a", takes=False))).term == ""
    assert (await other.beat(beat("b"))).poller == "b"
    assert (await one.beat(beat("a", takes=False))).poller == "b"


async def test_a_lease_lasts_as_long_as_it_is_renewed(make: Make) -> None:
    """Others ask all the time and do not get it."""
    holder, other = make(), make()
    term = (await holder.beat(beat("a", lease=2.0))).term
    began = monotonic()
    while monotonic() < began + 2.5:
        assert (await holder.beat(beat("a", term, lease=2.0))).term == term
        assert (await other.beat(beat("b"))).term == term


async def test_a_lease_that_is_not_renewed_ends(make: Make) -> None:
    """Another takes it, and who had it cannot renew it any more."""
    holder, other = make(), make()
    term = (await holder.beat(beat("a", lease=0.2))).term

    async def taken() -> bool:
        return (await other.beat(beat("b"))).poller == "b"

    await eventually(taken)
    assert (await holder.beat(beat("a", term))).poller == "b"


async def test_a_lease_that_is_given_back_is_free_at_once(make: Make) -> None:
    """Only who has it can give it back."""
    holder, other = make(), make()
    term = (await holder.beat(beat("a"))).term
    await other.resign("1:b")
    await other.resign("")
    assert (await other.beat(beat("b"))).term == term
    await holder.resign(term)
    assert (await other.beat(beat("b"))).poller == "b"


async def test_terms_never_repeat(make: Make) -> None:
    """Not even those of the same process."""
    bus, terms = make(), set()
    for _ in range(20):
        term = (await bus.beat(beat("a"))).term
        terms.add(term)
        await bus.resign(term)
    assert len(terms) == 20


async def test_a_lease_may_be_made_longer_by_its_holder(make: Make) -> None:
    """The length of the latest beat counts."""
    holder, other = make(), make()
    term = (await holder.beat(beat("a", lease=5.0))).term
    await holder.beat(beat("a", term, lease=0.1))

    async def taken() -> bool:
        return (await other.beat(beat("b"))).poller == "b"

    await eventually(taken)


async def test_only_the_poller_settles(make: Make) -> None:
    """What it says is told to all of them; the memory has one name."""
    poller, other = make(), make()
    term = (await poller.beat(beat("a"))).term
    early = await other.beat(beat("b", settled="no"))
    assert early.settled == ""
    await poller.beat(beat("a", term, settled="m1"))
    late = await other.beat(beat("b"))
    assert late.settled == "m1"
    assert late.memory == early.memory != ""


# -- steps


async def test_a_line_is_kept_as_it_was_published(make: Make) -> None:
    """Position, state and entries; a beat tells the position, too."""
    poller, other = make(), make()
    term = await led(poller, 1, 2)
    await poller.publish(term, step(3, state=True))
    stored = await other.load("b")
    assert stored.position == at(3)
    assert stored.state == b"state 2"
    assert stored.entries == [b"entry 0", b"entry 1", b"entry 2", b"entry 3"]
    assert (await other.beat(beat("o"))).positions == {"b": at(3)}


async def test_nothing_is_there_of_a_board_that_nobody_published(make: Make) -> None:
    """Reading begins with what is published first."""
    bus = make()
    stored = await bus.load("b")
    assert (stored.position, stored.state, list(stored.entries)) == (None, None, [])
    await led(bus)
    found = await bus.read({"b": stored.cursor}, LONG)
    assert [data for _, data in found["b"]] == [b"entry 0"]


async def refused(bus: Bus, term: str, kind: type[BusError], wrong: Step) -> None:
    """Assert that a step is refused and changes nothing."""
    before = await bus.load("b")
    with pytest.raises(kind):
        await bus.publish(term, wrong)
    assert await bus.load("b") == before


async def test_a_step_of_an_old_term_is_refused(make: Make) -> None:
    """Whoever has the lease now, and if it is the same process."""
    old, new = make(), make()
    term = await led(old, 1)
    await old.resign(term)
    await refused(old, term, Fenced, step(2, state=True))
    later = (await new.beat(beat("n"))).term
    await refused(old, term, Fenced, step(2, state=True))
    await refused(old, term, Fenced, NEW)
    await new.publish(later, step(2))
    await new.resign(later)
    again = (await old.beat(beat("p"))).term
    await refused(old, term, Fenced, step(3))
    await old.publish(again, step(3))


async def test_a_step_without_a_term_is_refused(make: Make) -> None:
    """Also while nobody has the lease."""
    bus = make()
    for term in ("", "1:p", "0:"):
        await refused(bus, term, Fenced, NEW)


async def test_a_step_for_another_memory_is_refused(make: Make) -> None:
    """Whoever has the lease: before anything is added, it has to find out what is forgotten."""
    bus = make()
    term = await led(bus, 1)
    memory = (await bus.beat(beat("p", term))).memory
    await refused(bus, term, Fenced, replace(step(2), memory=f"{memory}x"))
    await bus.publish(term, replace(step(2), memory=memory))


async def test_a_step_after_the_lease_ended_is_refused(make: Make) -> None:
    """Though nobody else has taken it."""
    bus = make()
    term = await led(bus, 1)
    await bus.beat(beat("p", term, lease=0.1))

    async def free() -> bool:
        return (await bus.beat(beat("o", takes=False))).term == ""

    await eventually(free)
    await refused(bus, term, Fenced, step(2))


async def test_a_step_from_elsewhere_is_refused(make: Make) -> None:
    """Before, behind, of another epoch, or of a board that is nowhere; words say where it is."""
    bus = make()
    term = await led(bus, 1, 2)
    for before in (at(1), at(3), at(2, "e2")):
        await refused(bus, term, Elsewhere, Step("b", before, at(9), b"x", b"y"))
    with pytest.raises(Elsewhere, match="board 'b' is at 'e1 2', expected 'e1 1'"):
        await bus.publish(term, step(2))
    with pytest.raises(Elsewhere, match="board 'c' is nowhere, expected 'e1 1'"):
        await bus.publish(term, Step("c", at(1), at(2), b"x"))
    assert (await bus.load("c")).position is None
    await bus.publish(term, step(3))


async def test_a_new_line_forgets_what_was_kept(make: Make) -> None:
    """Who reads gets its first entry, however soon it came."""
    bus = make()
    term = await led(bus, *range(1, 50))
    cursor = (await bus.load("b")).cursor
    await bus.publish(term, Step("b", None, at(7, "e2"), b"new", b"new state"))
    stored = await bus.load("b")
    assert (stored.position, stored.state, list(stored.entries)) == (
        at(7, "e2"),
        b"new state",
        [b"new"],
    )
    found = await bus.read({"b": cursor}, LONG)
    assert [data for _, data in found["b"]] == [b"new"]


async def test_no_more_than_what_is_to_be_kept_is_kept(make: Make) -> None:
    """The last entries, among them all that came after the state."""
    bus = make(kept=100)
    term = await led(bus)
    for seq in range(1, 351):
        await bus.publish(term, step(seq, state=seq % 50 == 0))
    stored = await bus.load("b")
    assert [*stored.entries] == [b"entry %d" % seq for seq in range(251, 351)]
    assert stored.state == b"state 349"


async def test_a_board_that_is_forgotten_is_as_if_it_had_never_been(make: Make) -> None:
    """Only the poller forgets; others stay, and it may come again for those who go on reading."""
    bus = make()
    term = await led(bus, 1)
    await bus.publish(term, Step("c", None, at(0), b"c0", b"c state"))
    await bus.publish(term, Step("d", None, at(0), b"d0", b"d state"))
    with pytest.raises(Fenced):
        await bus.forget("1:o", ["b"])
    assert (await bus.load("b")).position == at(1)
    await bus.forget(term, ["b", "c", "never"])
    for board in "b", "c":
        stored = await bus.load(board)
        assert (stored.position, stored.state, list(stored.entries)) == (None, None, [])
    assert (await bus.beat(beat("o"))).positions == {"d": at(0)}
    assert (await bus.load("d")).state == b"d state"
    cursor = (await bus.load("b")).cursor
    await bus.publish(term, NEW)
    found = await bus.read({"b": cursor}, LONG)
    assert [data for _, data in found["b"]] == [b"entry 0"]


def number(data: bytes | None) -> int:
    """Return the seq of an entry or state."""
    assert data is not None
    return int(data.split()[1])


async def read_to(bus: Bus, stored: Stored, last: int) -> list[int]:
    """Read on from what was loaded until the entry of seq ``last``; return all seqs read."""
    cursor, seqs = stored.cursor, list[int]()
    while not seqs or seqs[-1] != last:
        found = (await bus.read({"b": cursor}, LONG)).get("b", ())
        seqs += [number(data) for _, data in found]
        cursor = found[-1][0] if found else cursor
    return seqs


async def test_what_is_loaded_is_of_one_moment_and_reading_goes_on_there(make: Make) -> None:
    """Whenever it is loaded while others publish: nothing is missed, nothing doubled."""
    last, dice = 400, random.Random(5)
    poller = make(kept=150)
    term = await led(poller)
    done = asyncio.Event()

    async def publish() -> None:
        for seq in range(1, last):
            await poller.publish(term, step(seq, state=dice.random() < 0.05 or seq % 100 == 0))
            await asyncio.sleep(0)
        await done.wait()
        await poller.publish(term, step(last))

    async def follow(bus: Bus) -> None:
        stored = await bus.load("b")
        assert stored.position is not None
        seqs = [number(data) for data in stored.entries]
        assert seqs == list(range(seqs[0], stored.position.seq + 1))
        assert seqs[0] <= number(stored.state) + 1 <= stored.position.seq + 1
        read = await read_to(bus, stored, last)
        assert read == list(range(stored.position.seq + 1, last + 1))

    async def visit() -> None:
        async with asyncio.TaskGroup() as visitors:
            for bus in [make() for _ in range(6)]:
                for _ in range(dice.randrange(30)):
                    await asyncio.sleep(0)
                stored = await bus.load("b")
                assert stored.position is not None
                visitors.create_task(follow(bus))
            done.set()

    async with asyncio.timeout(4 * PATIENCE), asyncio.TaskGroup() as tasks:
        tasks.create_task(publish())
        tasks.create_task(visit())


# -- reading


async def test_many_names_are_read_at_once(make: Make) -> None:
    """Boards and the news, each with its own cursor; names without anything new are left out."""
    bus = make()
    news = await bus.latest()
    term = await led(bus, 1)
    await bus.publish(term, Step("c", None, at(0), b"c0", b"state"))
    await bus.say(b"hear")
    await bus.say(b"ye")
    stored = await bus.load("b")
    await bus.publish(term, step(2))
    cursors = {"b": stored.cursor, "c": "0", "d": "0", NEWS: news}
    found = await bus.read(cursors, LONG)
    told = {name: [data for _, data in entries] for name, entries in found.items()}
    assert told == {"b": [b"entry 2"], "c": [b"c0"], NEWS: [b"hear", b"ye"]}
    again = await bus.read({n: entries[0][0] for n, entries in found.items()}, LONG)
    assert {n: [data for _, data in e] for n, e in again.items()} == {NEWS: [b"ye"]}


async def test_the_latest_news_are_those_that_were_said_last(make: Make) -> None:
    """Who begins to read there hears only what comes."""
    bus, other = make(), make()
    await bus.say(b"old")
    cursor = await other.latest()
    await bus.say(b"new")
    found = await other.read({NEWS: cursor}, LONG)
    assert [data for _, data in found[NEWS]] == [b"new"]
    assert await bus.latest() == found[NEWS][-1][0]


async def test_news_that_nobody_reads_are_bounded(make: Make) -> None:
    """The latest are found."""
    bus = make()
    for i in range(NEWS_KEPT + 50):
        await bus.say(b"%d" % i)
    cursor, heard = "0", list[int]()
    while not heard or heard[-1] != NEWS_KEPT + 49:
        found = (await bus.read({NEWS: cursor}, LONG))[NEWS]
        heard += [int(data) for _, data in found]
        cursor = found[-1][0]
    assert heard == list(range(50, NEWS_KEPT + 50))


async def test_who_waits_is_woken(make: Make) -> None:
    """By an entry and by news; without them the wait ends by itself."""
    reader, writer = make(), make()
    assert not await reader.read({"b": "0", NEWS: "0"}, 0.05)
    reading = asyncio.create_task(reader.read({"b": "0", NEWS: "0"}, LONG))
    assert not (await asyncio.wait([reading], timeout=0.2))[0]
    term = await led(writer)
    found = await asyncio.wait_for(reading, PATIENCE)
    cursors = {"b": found["b"][-1][0], NEWS: "0"}
    reading = asyncio.create_task(reader.read(cursors, LONG))
    await writer.say(b"hear")
    assert (await asyncio.wait_for(reading, PATIENCE)).keys() == {NEWS}
    await writer.resign(term)


async def test_a_read_that_is_cancelled_harms_nothing(make: Make) -> None:
    """The next one gets what came meanwhile, once."""
    reader, writer = make(), make()
    term = await led(writer)
    cursor = (await reader.load("b")).cursor
    for seq in range(1, 30):
        reading = asyncio.create_task(reader.read({"b": cursor}, LONG))
        for _ in range(seq % 7):
            await asyncio.sleep(0)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        await writer.publish(term, step(seq))
        found = await asyncio.wait_for(reader.read({"b": cursor}, LONG), PATIENCE)
        ((cursor, data),) = found["b"]
        assert data == b"entry %d" % seq


async def test_what_is_cancelled_harms_nothing(make: Make) -> None:
    """Answers that nobody waits for any more are not taken for those of others."""
    bus = make()
    term = await led(bus)
    for turns in range(30):
        waits = asyncio.create_task(bus.beat(beat("p", term)))
        loads = asyncio.create_task(bus.load("b"))
        for _ in range(turns % 10):
            await asyncio.sleep(0)
        waits.cancel()
        loads.cancel()
        await asyncio.gather(waits, loads, return_exceptions=True)
        assert await bus.get("nothing") == {}
        assert (await bus.load("b")).position == at(0)


# -- tables and members


async def test_tables_keep_values(make: Make) -> None:
    """Until they are removed, each by itself."""
    bus, other = make(), make()
    await bus.put("t", {"a": b"1", "ä b": b"2"})
    await other.put("t", {"a": None, "c": b"3", "none": None})
    await other.put("u", {"a": b"4"})
    await other.put("u", {})
    assert await bus.get("t") == {"ä b": b"2", "c": b"3"}
    assert await bus.get("u") == {"a": b"4"}
    assert await bus.get("nothing") == {}
    await bus.put("t", {"ä b": None, "c": None})
    assert await other.get("t") == {}


async def test_a_table_lasts_as_long_as_it_was_told(make: Make) -> None:
    """From the last time that it was told; other tables stay."""
    bus, other = make(), make()
    await bus.put("t", {"a": b"1"}, lasts=0.1)
    await bus.put("t", {"b": b"2"}, lasts=LONG)
    await bus.put("s", {"a": b"1"}, lasts=0.1)
    await bus.put("u", {"a": b"1"})

    async def gone() -> bool:
        return await other.get("s") == {}

    await eventually(gone)
    assert await other.get("t") == {"a": b"1", "b": b"2"}
    assert await other.get("u") == {"a": b"1"}


async def test_members_know_each_other(make: Make) -> None:
    """By the card of their last beat."""
    buses = [make() for _ in range(3)]
    for i, bus in enumerate(buses):
        await bus.beat(beat(f"m{i}"))
    await buses[0].beat(beat("m0", card="a new one"))
    pulse = await buses[1].beat(beat("m1"))
    assert pulse.members == {"m0": b"a new one", "m1": b"card of m1", "m2": b"card of m2"}


async def test_members_that_are_not_heard_of_vanish(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that beat stay."""
    bus, gone = make(), make()
    monkeypatch.setattr(sys.modules[type(bus).__module__], "MEMBER_SECONDS", 0.5)
    await gone.beat(beat("gone"))

    async def alone() -> bool:
        return (await bus.beat(beat("here"))).members.keys() == {"here"}

    assert not await alone()
    await eventually(alone)


# -- what is not ours


async def test_data_of_another_protocol_is_refused(
    make: Make, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By everything that reads or writes boards, in words; what is there stays as it is."""
    bus = make()
    if not hasattr(place, "url"):
        pytest.skip("what is in a process was written by its own version")
    module = sys.modules[type(bus).__module__]
    monkeypatch.setattr(module, "PROTOCOL", 2)
    term = await led(bus, 1)
    before = await bus.load("b")
    monkeypatch.setattr(module, "PROTOCOL", 1)
    for ask in (
        lambda: bus.beat(beat("p", term)),
        lambda: bus.publish(term, step(2)),
        lambda: bus.publish(term, NEW),
        lambda: bus.load("b"),
        lambda: bus.read({"b": "0"}, LONG),
        lambda: bus.read({"b": before.cursor}, 0.01),
    ):
        with pytest.raises(OtherProtocol, match=r"written by protocol 2, this is 1"):
            await ask()
    monkeypatch.setattr(module, "PROTOCOL", 2)
    assert await bus.load("b") == before


async def test_other_prefixes_are_strangers(make: Make) -> None:
    """They have leases, members, boards, news and tables of their own."""
    ours, theirs = make(), make("-other")
    term = await led(ours, 1)
    await ours.say(b"hear")
    await ours.put("t", {"a": b"1"})
    pulse = await theirs.beat(beat("t"))
    assert (pulse.poller, *pulse.members) == ("t", "t")
    assert not pulse.positions
    assert (await theirs.load("b")).position is None
    assert not await theirs.read({"b": "0", NEWS: "0"}, 0.05)
    assert await theirs.get("t") == {}
    await theirs.resign(term)
    with pytest.raises(Fenced):
        await theirs.publish(term, NEW)
    assert (await ours.beat(beat("p", term))).term == term


# -- bytes


async def test_every_byte_comes_as_it_was_sent(make: Make) -> None:
    """In entries, states, news, tables and cards."""
    data = bytes(range(256)) + b"\r\n\0" + "ü".encode()
    bus = make()
    cursor = await bus.latest()
    term = (await bus.beat(Beat("m", data, "", takes=True, lease=LONG))).term
    await bus.publish(term, Step("b", None, at(0), data, data[::-1]))
    await bus.say(data)
    await bus.put("t", {"a": data, "empty": b""})
    stored = await bus.load("b")
    assert (stored.state, list(stored.entries)) == (data[::-1], [data])
    found = await bus.read({"b": "0", NEWS: cursor}, LONG)
    assert [data for _, data in found["b"]] == [data for _, data in found[NEWS]] == [data]
    assert await bus.get("t") == {"a": data, "empty": b""}
    assert (await bus.beat(beat("o"))).members["m"] == data


async def test_big_entries_come_whole(make: Make) -> None:
    """Of 5 MB, states too."""
    bus, other = make(), make()
    big = random.Random(1).randbytes(5_000_000)
    term = (await bus.beat(beat("p"))).term
    await bus.publish(term, Step("b", None, at(0), b"small", big[::-1]))
    await bus.publish(term, Step("b", at(0), at(1), big))
    stored = await other.load("b")
    assert stored.state == big[::-1]
    assert stored.entries[1] == big
    found = await other.read({"b": "0"}, LONG)
    assert [data for _, data in found["b"]] == [b"small", big]


# -- a server that is gone


def everything(bus: Bus, term: str) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return every method with something to do."""
    return {
        "beat": lambda: bus.beat(beat("p", term)),
        "resign": lambda: bus.resign(term),
        "forget": lambda: bus.forget(term, ["b"]),
        "publish": lambda: bus.publish(term, NEW),
        "load": lambda: bus.load("b"),
        "read": lambda: bus.read({"b": "0"}, 0.1),
        "latest": bus.latest,
        "say": lambda: bus.say(b"hear"),
        "put": lambda: bus.put("t", {"a": b"1"}),
        "get": lambda: bus.get("t"),
    }


async def all_fail(bus: Bus, term: str) -> None:
    """Assert that every method says in words and in bounded time that it cannot, repeatedly."""
    asked = everything(bus, term)
    for _ in range(2):
        async with asyncio.timeout(PATIENCE):
            found = await asyncio.gather(*(ask() for ask in asked.values()), return_exceptions=True)
        for name, error in zip(asked, found, strict=True):
            assert isinstance(error, BusError), (name, error)
            assert str(error), name
            assert "\n" not in str(error)


async def works(bus: Bus) -> str:
    """Wait until every method does what it should; return the term."""
    pulse: Pulse | None = None

    async def answers() -> bool:
        nonlocal pulse
        try:
            pulse = await bus.beat(beat("p", pulse.term if pulse else "", lease=30.0))
        except BusError:
            return False
        return pulse.poller == "p"

    await eventually(answers)
    assert pulse is not None
    for name, ask in everything(bus, pulse.term).items():
        if name != "resign":
            await asyncio.wait_for(ask(), PATIENCE)
    return pulse.term


async def test_a_server_that_is_gone_is_said_so_in_time(server: Server) -> None:
    """By every method; each works again when the server is back, though it forgot everything."""
    bus = server.bus(lease=0.5)
    term = await works(bus)
    server.kill()
    await all_fail(bus, term)
    server.start()
    await works(bus)
    await bus.close()


async def test_a_server_that_does_not_answer_is_said_so_in_time(server: Server) -> None:
    """By every method, whether it has a connection or not; each works again when it answers."""
    bus, fresh = server.bus(lease=0.5), server.bus(lease=0.5)
    term = await works(bus)
    server.signal(signal.SIGSTOP)
    try:
        await all_fail(bus, term)
        await all_fail(fresh, term)
    finally:
        server.signal(signal.SIGCONT)
    await bus.resign(term)
    await works(bus)
    await fresh.load("b")
    await bus.close()
    await fresh.close()


def test_the_words_of_another_protocol_name_both() -> None:
    """Which wrote it, and which cannot read it."""
    assert str(OtherProtocol("2")) == (
        f"what is there was written by protocol 2, this is {seam.PROTOCOL}"
    )


async def test_tables_that_have_ended_take_no_room() -> None:
    """Nobody has to ask for them: answers to questions are never asked for again."""
    bus = MemoryBus()
    await bus.put("answers", {"k": b"v"}, 0.0)
    await bus.put("other", {"k": b"v"})
    assert list(bus._tables) == ["other"]
