"""What nobody of ours would write to the bus: nobody is deaf for it, and it adds up to little."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.buses import Redis
from tests.illness import ForgetfulBus
from tests.support import Running, until
from tests.test_cluster import Process, soon
from tests.test_cluster import processes as in_process
from tests.test_cluster_people import bus as bus
from tests.test_cluster_people import (
    config,
    kept,
    notices,
    post,
    posted,
    process,
    processes,
    processes_beside,
    status,
)
from tests.test_people import asked
from ticker.bus import Beat, BusError, Pulse
from ticker.entry import Entry
from ticker.notices import HEARD_MAX, Notice, Notices

NOTICE = {"id": "x", "text": "Hello.", "level": "info", "at": 1, "until": 2**52}
NO_NOTICES = [
    {},
    {**NOTICE, "text": 1},
    {**NOTICE, "text": "x" * 501},
    {**NOTICE, "until": "soon"},
    {**NOTICE, "until": 2**70},
    {**NOTICE, "id": ""},
    {**NOTICE, "level": "shout"},
    {**NOTICE, "board": ["b"]},
]


# -- news and cards


async def test_news_that_cannot_be_read_make_nobody_deaf(caplog: pytest.LogCaptureFixture) -> None:
    """What came with them is taken, and no board is read as a whole."""
    bus = ForgetfulBus()
    async with in_process(bus) as (_, other):
        heard: list[Mapping[str, Any]] = []
        other.cluster.following.on("good", heard.append)
        reloads = other.cluster.counts.reloads
        for news in (
            b"",
            b"{",
            b"[1]",
            b"1",
            b"\xff",
            b'{"kind":[]}',
            b'{"kind":"nobody\'s"}',
            b"{}",
        ):
            await bus.say(news)
        await other.cluster.say("good")
        await soon(lambda: heard)
        assert other.cluster.counts.reloads == reloads
        assert "Traceback" not in caplog.text
        assert "news that cannot be read: b'{'" in caplog.text


@pytest.mark.parametrize("card", [b"", b"{", b"[]", b"1", b"null"])
async def test_a_card_that_cannot_be_read_is_nobodys(
    card: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is said to be the poller's: the others go on to beat."""
    async with in_process(ForgetfulBus()) as (poller, other):
        strange = {"stranger": card, poller.cluster.id: card}

        async def strangely(beat: Beat) -> Pulse:
            pulse = await other.link.bus.beat(beat)
            return replace(pulse, members={**pulse.members, **strange})

        monkeypatch.setattr(other.link, "beat", strangely)
        for _ in range(2):
            before = other.cluster.pulse
            await soon(lambda: other.cluster.pulse is not before)  # noqa: B023
        assert list(other.cluster.members) == [other.cluster.id]


def test_a_card_may_say_anything(bus: Redis) -> None:
    """Of what is no number there is none."""
    with processes(config(bus)) as (one,), one.follow("b") as viewer:
        viewer.wait("snapshot")
        strange: dict[str, Any] = {
            "viewers": {"b": "many"},
            "connected": [],
            "now": "now",
            "started": None,
        }
        for card in (strange, {"viewers": "all"}, {"host": 1, "pid": {}}):
            seconds, _ = bus.tell("TIME")
            text = f"{seconds}000 {orjson.dumps(card).decode()}"
            bus.tell("HSET", "{ticker}:members", "stranger", text)
            until(lambda: process(one).members.get("stranger") == card)  # noqa: B023
            told = status(one)
            assert told["viewers"]["everywhere"] == told["viewers"]["boards"]["b"] == 1
            assert len(told["bus"]["members"]) == 2
            assert one.get("/metrics").status_code == 200


# -- entries and states

NO_ENTRIES = [
    b"",
    b"[]",
    b'{"epoch":"e","prev":1,"seq":2}',
    b'{"epoch":"e","prev":1,"seq":"2","at":1}',
    b'{"epoch":"e","prev":1,"seq":2,"at":1}\n{"rows":{"A":5}}',
    b'{"epoch":"e","prev":1,"seq":9,"at":1}\n{"rows":{}}',
    b'{"epoch":"e","prev":1,"seq":1,"at":1,"feeds":{"f":{"quality":"good"}}}\n',
    b'{"epoch":"e","prev":1,"seq":2,"at":1,"look":{"title":1}}\n',
]


@pytest.mark.parametrize("data", NO_ENTRIES, ids=str)
def test_what_leads_nowhere_is_no_entry(data: bytes) -> None:
    """Said in one way, whatever is wrong with it."""
    with pytest.raises(ValueError, match="not an entry"):
        Entry.decode("b", data)


async def test_what_is_no_entry_is_passed_by(caplog: pytest.LogCaptureFixture) -> None:
    """By those who follow, who start, and who take over: one line tells of it each time."""
    bus = ForgetfulBus()
    async with in_process(bus) as (poller, other):
        for data in NO_ENTRIES:
            bus._add("b", data, 100)
        poller.say(2)
        await soon(lambda: other.last == 2)
        assert "Traceback" not in caplog.text
        assert "board 'b': not an entry" in caplog.text
        third = Process(bus, poller.source)
        third.start()
        try:
            await soon(lambda: third.last == 2)
        finally:
            third.stop()


async def test_a_state_that_is_none_is_put_right_by_who_takes_over() -> None:
    """With a new line; nobody is deaf until then."""
    bus = ForgetfulBus()
    async with in_process(bus) as (poller, other):
        bus._states["b"] = b'{"epoch":1}'
        third = Process(bus, poller.source)
        third.start()
        try:
            poller.stop()
            await soon(lambda: other.cluster.leads or third.cluster.leads)
            await soon(lambda: other.last == third.last == 1)
        finally:
            third.stop()


# -- questions


@contextmanager
def puts(running: Running, instead: Any) -> Iterator[list[str]]:
    """Let ``instead`` say what comes of what a process puts into tables; give their names."""
    real, bus, tables = process(running).bus.put, process(running).bus, []

    async def put(table: str, values: Any, *more: Any, **named: Any) -> None:
        tables.append(table)
        await instead(real, table, values, *more, **named)

    bus.put = put
    try:
        yield tables
    finally:
        del bus.put


def test_an_answer_that_cannot_be_read_is_none(bus: Redis) -> None:
    """Who gave it is named, as one that did not answer."""

    async def mumble(real: Any, table: str, values: Any, *more: Any, **named: Any) -> None:
        if table.startswith("answers "):
            values = dict.fromkeys(values, b"{")
        await real(table, values, *more, **named)

    with processes(config(bus), config(bus)) as (one, two), puts(two, mumble):
        page = asked(one, "GET", "/api/viewers")
        assert page.status_code == 200
        assert page.json() == {"viewers": [], "next": None, "silent": [process(two).id]}


def test_nobody_is_asked_for_a_viewer_that_cannot_be(bus: Redis) -> None:
    """However long its name is, the bus does not keep it."""
    with processes(config(bus), config(bus)) as (one, _):
        before = bus.tell("XLEN", "{ticker}:news")
        refused = asked(one, "DELETE", f"/api/viewers/{'f' * 5_000}")
        assert refused.status_code == 404
        assert len(refused.text) < 200
        body = {"text": "Hello.", "viewer": "f" * 5_000}
        assert asked(one, "POST", "/api/notices", body).status_code == 404
        assert bus.tell("XLEN", "{ticker}:news") == before


# -- answers of the bus that are lost


async def lost(real: Any, table: str, values: Any, *more: Any, **named: Any) -> None:
    """Do it, and say that it was not heard whether it was done."""
    await real(table, values, *more, **named)
    if any(value is not None for value in values.values()):
        raise BusError("no answer within 2 s")


def test_what_was_pushed_and_refused_is_not_kept(bus: Redis) -> None:
    """Who pushed it does so again: each try would be one more, for minutes."""
    with processes(config(bus)) as (one,):
        with puts(one, lost) as tables:
            refused = post(one, [{"symbol": "A", "last": 1}])
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        assert tables[0].startswith("body ")
        assert not bus.tell("KEYS", "*:body *")
        assert not kept(one)


def test_a_notice_that_was_refused_does_not_come_later(bus: Redis) -> None:
    """Whoever posted it does so again."""
    with processes(config(bus)) as (one,):
        with puts(one, lost):
            assert asked(one, "POST", "/api/notices", {"text": "Hello."}).status_code == 503
        one.call(process(one).following.on_missed)
        posted(one, "Once.")
        until(lambda: notices(one) == ["Once."])
        assert [n for n in bus.tell("HKEYS", "{ticker}:table:notices") if n] == [
            n["id"] for n in asked(one, "GET", "/api/notices").json()["notices"]
        ]


# -- notices


@pytest.mark.parametrize("wire", NO_NOTICES, ids=str)
def test_what_no_admin_could_post_is_no_notice(wire: Mapping[str, Any]) -> None:
    """It would go to every viewer, and stay."""
    with pytest.raises(ValueError, match="validation error"):
        Notice.read(wire)


def test_what_a_later_version_adds_is_left_out() -> None:
    """What is known of it is a notice."""
    assert Notice.read({**NOTICE, "colour": "red"}).wire() == NOTICE


def test_no_more_are_heard_of_than_may_be() -> None:
    """However many others tell."""
    known = Notices()
    heard = [known.hear(Notice.read({**NOTICE, "id": str(n)})) for n in range(HEARD_MAX + 5)]
    assert heard == [True] * HEARD_MAX + [False] * 5
    assert len(list(known)) == HEARD_MAX


def test_a_table_with_something_else_in_it_still_has_the_notices(bus: Redis) -> None:
    """What cannot be read is left where it is: another version may know what it is."""
    with processes(config(bus)) as (one,):
        posted(one, "Before.")
        bus.tell("HSET", "{ticker}:table:notices", "broken", "{", "other", '{"text":"?"}')
        posted(one, "After.")
        with processes_beside(config(bus), 2) as two:
            until(lambda: notices(two) == ["Before.", "After."])
        wrong = orjson.dumps({"kind": "notice", "from": "x", "notice": {**NOTICE, "until": "soon"}})
        bus.tell("XADD", "{ticker}:news", "*", "e", wrong.decode())
        posted(one, "At last.")
        assert notices(one) == ["Before.", "After.", "At last."]
        assert {"broken", "other"} <= set(bus.tell("HKEYS", "{ticker}:table:notices"))


def test_of_notices_that_were_heard_nothing_adds_up(bus: Redis) -> None:
    """Nothing is kept of those that are over, however long a process runs."""
    with processes(config(bus), config(bus)) as (one, two):
        for number in range(3):
            notice = posted(one, str(number))
            until(lambda: notices(two))
            asked(one, "DELETE", f"/api/notices/{notice['id']}")
            until(lambda: not notices(two))
        for each in one, two:
            until(lambda e=each: not e.ticker.bulletin._heard)  # type: ignore[misc]
