"""A process that starts late or takes over knows exactly what the poller knew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from websockets.asyncio.server import serve

from tests.buses import redis
from tests.illness import ForgetfulBus, IllLink
from tests.support import PATIENCE, settings, source
from ticker import keep, runtime
from ticker.bus import Beat, Fenced
from ticker.bus.memory import MemoryBus
from ticker.bus.redis import RedisBus
from ticker.feeds.make import make
from ticker.runtime import Ticker

LEASE = 0.4


class Members:
    """Processes, each a Ticker of its own, that share a bus in this one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bus = ForgetfulBus(kept=100)
        self.links: list[IllLink] = []
        monkeypatch.setattr(runtime, "connect", self._connect)
        monkeypatch.setattr(keep, "KEEP_SECONDS", 0.05)

    def kept(self, table: str, key: str) -> bytes:
        """Return what is kept on the bus, empty when there is nothing."""
        return self.bus._tables.get(table, {}).get(key, b"")

    def _connect(self, _: object) -> IllLink:
        self.links.append(IllLink(self.bus))
        return self.links[-1]

    @asynccontextmanager
    async def start(self, config: str, base: Path = Path()) -> AsyncIterator[Ticker]:
        """Run a process until the end of the block; it is ended in order."""
        text = f"bus: {{url: 'redis://none', lease: {LEASE}s, kept: 100}}\n{config}"
        ticker = Ticker(settings(text, base=base))
        async with ticker.running():
            assert ticker.cluster is not None
            await come(lambda: ticker.cluster and ticker.cluster.why is None)
            yield ticker

    async def kill(self, ticker: Ticker) -> None:
        """Let a process be heard of no more: nothing that it does from now on counts."""
        assert ticker.cluster is not None
        link = ticker.cluster.bus
        assert isinstance(link, IllLink)
        link.cut = True
        # stopped as by a signal: it does not even know
        ticker.schedule.stop()


async def come(look: Callable[[], object]) -> Any:
    """Wait until ``look`` is true, and return it."""
    async with asyncio.timeout(PATIENCE):
        while not (found := look()):  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)
    return found


def leads(ticker: Ticker) -> bool:
    """Whether a process is the poller."""
    return ticker.cluster is not None and ticker.cluster.leads and bool(ticker.producer.names)


def rows(ticker: Ticker, board: str = "b") -> Any:
    """Return the rows of a board."""
    return ticker.boards[board].board.snapshot().rows


def past(ticker: Ticker, board: str = "b") -> dict[str, Any]:
    """Return the past of all rows of a board."""
    live = ticker.boards[board]
    return {s: str(live.history_of(s)) for s in live.board.snapshot().rows}


def same(one: Ticker, other: Ticker) -> bool:
    """Whether two processes are at the same seq."""
    return one.boards["b"].seq == other.boards["b"].seq > 0


@pytest.fixture
def members(monkeypatch: pytest.MonkeyPatch) -> Members:
    """Return where processes meet."""
    return Members(monkeypatch)


NAMES = ", ".join(f"{chr(65 + n)}: {10 + n}" for n in range(26))
QUOTES = f"""
feeds:
  f: {{kind: simulate, every: 20ms, symbols: {{{NAMES}}}}}
boards:
  b: {{feeds: [f], flush: 20ms, history: 10}}
"""


TWO = """
feeds:
  one: {kind: simulate, every: 20ms, symbols: {A: 10, B: 20}}
  two: {kind: simulate, every: 20ms, symbols: {B: 10, Z: 20}}
boards:
  b: {feeds: [one, two], flush: 20ms}
"""


async def test_the_past_of_a_late_process_is_the_pollers(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All points of all rows, of before it was started too; and it goes on so elsewhere."""
    monkeypatch.setattr(keep, "PAST_SECONDS", 0.2)
    async with members.start(QUOTES) as first:
        await come(lambda: first.boards["b"].seq > 150)  # more than there are entries
        async with members.start(QUOTES) as late:
            await come(lambda: late.boards["b"].seq > 180)
            await come(lambda: same(first, late))
            assert past(late) == past(first)
            history = late.boards["b"].history
            assert history is not None
            assert any(history[s].at[0] < late.started * 1000 for s in rows(late))
            before = late.boards["b"].seq
            await members.kill(first)
            await come(lambda: leads(late) and late.boards["b"].seq > before + 30)
            async with members.start(QUOTES) as last:
                await come(lambda: same(late, last))
                assert past(last) == past(late)


async def test_prices_go_on_where_they_were(members: Members) -> None:
    """No price jumps back to the start of the walk."""
    config = QUOTES.replace("every: 20ms", "every: 20ms, volatility: 10")
    async with members.start(config) as first, members.start(config) as other:
        await come(lambda: first.boards["b"].seq > 40 and same(first, other))
        before = {s: dict(row) for s, row in rows(first).items()}
        await members.kill(first)
        seq = other.boards["b"].seq

        def go_on() -> bool:
            for symbol, row in rows(other).items():
                assert row["volume"] >= before[symbol]["volume"]
                assert row["high"] >= before[symbol]["high"]
                assert row["open"] == before[symbol]["open"]
            return leads(other) and other.boards["b"].seq > seq + 20

        await come(go_on)


async def test_games_go_on_where_they_were(members: Members) -> None:
    """No score falls, and none begins anew."""
    config = """
feeds:
  f: {kind: simulate, model: scores, every: 20ms, speed: 900, sport: basketball,
      teams: [One, Two, Three, Four], keep_finals: 0s}
boards:
  b: {feeds: [f], flush: 20ms, layout: scores}
"""
    async with members.start(config) as first, members.start(config) as other:
        await come(lambda: any(row.get("home_score", 0) > 9 for row in rows(first).values()))
        await come(lambda: members.kept("feeds", "f"))
        await members.kill(first)
        before = {s: dict(row) for s, row in rows(other).items()}
        held = other.boards["b"].seq
        await come(lambda: leads(other) and other.boards["b"].seq > held + 3)
        for symbol, row in rows(other).items():
            was = before.get(symbol)
            if was and was["start"] == row["start"]:
                assert row.get("home_score", 0) >= was.get("home_score", 0)
        assert other.producer.health("f").held == 0


def poll(url: str, **keys: object) -> str:
    """Return the config of a feed that polls."""
    more = "".join(f", {k}: {orjson.dumps(v).decode()}" for k, v in keys.items())
    return f"kind: poll, every: 1s, url: {url}, key: s, fields: {{last: p, open: o}}{more}"


def board(*feeds: str, layout: str = "quotes") -> str:
    """Return a config of feeds `one`, `two`, ... on board `b`."""
    names = ["one", "two", "three"][: len(feeds)]
    lines = [f"  {name}: {{{feed}}}" for name, feed in zip(names, feeds, strict=True)]
    shown = f"  b: {{feeds: [{', '.join(names)}], flush: 20ms, layout: {layout}}}"
    return "\n".join(["feeds:", *lines, "boards:", shown])


async def test_a_source_that_was_just_asked_is_not_asked_again(members: Members) -> None:
    """The new poller asks when it is due, and then only for what has changed."""
    with source() as web:
        web.confirm("/x", [{"s": "A", "p": 5, "o": 4}])
        config = board(poll(f"{web.url}/x").replace("every: 1s", "every: 5s"))
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: rows(other))
            await come(lambda: b"If-None" in members.kept("feeds", "one"))
            first_at = first.producer.health("one").last_attempt
            await members.kill(first)
            await come(lambda: leads(other))
            assert web.asked("/x") == 1
            due = other.schedule.next_run("one")
            assert due is not None
            assert first_at is not None
            assert 2 < due - first_at < 8
            await come(lambda: web.asked("/x") == 2)
            assert "if-none-match" in web.requests[1][1]
            await come(lambda: other.producer.health("one").unchanged == 1)
            assert rows(other) == {"A": {"last": 5, "open": 4, "change": 1, "change_pct": 25.0}}
            assert other.boards["b"].seq == first.boards["b"].seq


async def test_what_a_source_asked_for_is_kept(members: Members) -> None:
    """It wanted to be left alone for an hour: that counts for whoever polls."""
    with source() as web:
        web.say("/x", b"", status=503, Retry_After="3600")
        config = board(poll(f"{web.url}/x"))
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: other.boards["b"].feeds["one"].quality == "down")
            await come(lambda: b'"wait":36' in members.kept("asked", "one"))
            told = other.boards["b"].feeds["one"]
            await members.kill(first)
            await come(lambda: leads(other))
            due = other.schedule.next_run("one")
            assert due is not None
            assert due - (told.since or 0) / 1000 > 3500
            assert web.asked("/x") == 1
            await asyncio.sleep(1.2)  # feeds are judged twice meanwhile
            assert other.boards["b"].feeds["one"] == told


async def test_an_overdue_source_is_asked_at_once(members: Members) -> None:
    """Its turn was while nobody polled."""
    with source() as web:
        web.say("/x", [{"s": "A", "p": 5, "o": 4}])
        config = board(poll(f"{web.url}/x"))
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: web.asked("/x") == 2)
            await members.kill(first)
            await come(lambda: leads(other) and web.asked("/x") == 3)


async def test_a_feed_that_is_ill_says_the_same_after_a_move(members: Members) -> None:
    """Since when and why; nothing is live, or stale, for a moment."""
    with source() as web:
        web.say("/x", [{"s": "A", "p": 5, "o": 4}])
        config = board(poll(f"{web.url}/x", stale_after="1500ms", down_after="60s"))
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: rows(other))
            web.say("/x", b"no", status=500)
            await come(lambda: other.boards["b"].feeds["one"].quality == "stale")
            told, seq = other.boards["b"].feeds["one"], other.boards["b"].seq
            assert rows(other)["A"]["quality"] == "stale"
            await asyncio.sleep(0.2)
            await members.kill(first)
            await come(lambda: leads(other))
            await come(lambda: other.producer.health("one").attempts > 1)
            assert other.boards["b"].feeds["one"].says_as(told)
            assert other.boards["b"].feeds["one"].since == told.since
            assert other.boards["b"].feeds["one"].at == told.at
            assert other.boards["b"].seq == seq


async def test_each_feed_goes_on_with_its_own_rows(members: Members) -> None:
    """A symbol of one does not live on because another was taken to have said it."""
    push = "kind: push, tokens: [a-long-enough-token], key: s, fields: {last: p, name: n}"
    with source() as web:
        web.say("/x", [{"s": "A", "p": 5, "o": 4}, {"s": "B", "p": 6, "o": 4}])
        config = board(push, poll(f"{web.url}/x"))
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: rows(first))
            feed: Any = first.producer.feed("one")
            await feed.take_in(chunks([{"s": "B", "p": 7}, {"s": "C", "p": 8, "n": "see"}]))
            await come(lambda: rows(other).get("C") and same(first, other))
            before = {s: dict(row) for s, row in rows(other).items()}
            assert before["B"]["last"] == 7
            web.say("/x", [{"s": "D", "p": 1}])
            await members.kill(first)
            await come(lambda: "D" in rows(other))
            assert "A" not in rows(other)
            assert rows(other)["C"]["last"] == 8
            assert rows(other)["B"] == {"last": 7}
            feed = other.producer.feed("one")
            await feed.take_in(chunks([{"s": "C", "p": 9}]))
            await come(lambda: rows(other)["C"] == {"last": 9, "name": "see"})


async def chunks(document: Any) -> AsyncIterator[bytes]:
    """Yield a document as it is pushed."""
    yield orjson.dumps(document)


async def test_a_score_that_falls_is_held_back_by_a_new_poller_too(members: Members) -> None:
    """What was admitted counts, whoever admitted it; kept results stay."""

    def game(name: str, home: int, status: str = "live") -> dict[str, Any]:
        return {"s": name, "home_score": home, "away_score": 0, "status": status}

    fields = "{home_score: home_score, away_score: away_score, status: status}"
    with source() as web:
        web.say("/x", [game("G", 2), game("F", 1, "final")])
        feed = poll(f"{web.url}/x").replace("{last: p, open: o}", fields)
        config = board(feed, layout="scores")
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: rows(other))
            web.say("/x", [game("G", 2)])
            await come(lambda: first.producer.health("one").attempts > 2)
            await come(lambda: b'"F"' in members.kept("feeds", "one"))
            assert "F" in rows(first)
            await members.kill(first)
            asked = web.asked("/x")
            web.say("/x", [game("G", 1)])
            await come(lambda: web.asked("/x") > asked and other.producer.health("one").attempts)
            assert rows(other)["G"]["home_score"] == 2
            assert other.producer.health("one").held == 1
            await come(lambda: rows(other)["G"]["home_score"] == 1)  # confirmed
            assert rows(other)["F"]["status"] == "final"


async def test_a_recording_goes_on_at_its_place(members: Members, tmp_path: Path) -> None:
    """What is over is not shown again."""
    start = 1_763_629_000
    lines = [{"time": start + n * 0.05, "s": "A", "p": n} for n in range(2000)]
    (tmp_path / "r.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    config = board("kind: replay, file: r.jsonl, every: 20ms, key: s, fields: {last: p}")
    async with (
        members.start(config, tmp_path) as first,
        members.start(config, tmp_path) as other,
    ):
        await come(lambda: rows(other).get("A", {}).get("last", 0) > 10)
        await come(lambda: members.kept("feeds", "one"))
        seen: list[int] = []
        await members.kill(first)
        before = rows(other)["A"]["last"]
        await come(
            lambda: (
                seen.append(rows(other)["A"]["last"]) or leads(other)  # type: ignore[func-returns-value]
            )
        )
        await come(
            lambda: (
                seen.append(rows(other)["A"]["last"]) or seen[-1] > before + 20  # type: ignore[func-returns-value]
            )
        )
        assert seen == sorted(seen)


async def test_whoever_cannot_take_over_leaves_it_to_others(
    members: Members, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It says so, gives the lease back, and does not want it again at once."""
    makes: list[object] = []

    def fails(feed: Any) -> Any:
        makes.append(feed)
        if len(makes) == 1:
            raise OSError("no such file")
        return make(feed)

    monkeypatch.setattr("ticker.runtime.make", fails)
    async with members.start(QUOTES) as first:
        await come(lambda: makes)
        assert first.cluster is not None
        await come(lambda: not first.cluster.term)  # type: ignore[union-attr]
        assert not first.producer.names
        async with members.start(QUOTES) as other:
            await come(lambda: leads(other) or leads(first))
            await come(lambda: rows(first))
    assert "cannot become the poller" in caplog.text
    assert len(makes) <= 3


async def test_polling_again_and_again_leaves_nothing_behind(members: Members) -> None:
    """Tasks, feeds and jobs are those of one that became the poller once."""
    async with members.start(QUOTES) as only:
        cluster = only.cluster
        assert cluster is not None
        await come(lambda: leads(only) and rows(only))
        tasks = len(asyncio.all_tasks())
        for _ in range(20):
            cluster._step_down("a test")
            assert not only.producer.names
            assert only.boards["b"].history is not None
            assert only.boards["b"].history.touched is None
            await members.bus.resign(members.bus._term)
            await come(lambda: leads(only))
        seq = only.boards["b"].seq
        await come(lambda: only.boards["b"].seq > seq)
        await come(lambda: len(asyncio.all_tasks()) <= tasks + 1)
        assert len(only.schedule._scheduler.get_jobs()) <= 2


async def test_only_the_poller_keeps(members: Members) -> None:
    """What comes late of one that was replaced is refused."""
    async with members.start(QUOTES) as only:
        await come(lambda: leads(only))
        with pytest.raises(Fenced):
            await members.bus.put("feeds", {"f": b"{}"}, term="0:somebody")


async def test_what_is_kept_is_refused_in_any_other_term(tmp_path: Path) -> None:
    """By a Redis, too: in the step in which it is written."""
    with redis(tmp_path) as server:
        bus = RedisBus(server.url, "t", patience=PATIENCE, kept=100)
        try:
            term = (await bus.beat(Beat("m", b"{}", "", takes=True, lease=60))).term
            await bus.put("t", {"a": b"1", "b": b"2"}, term=term)
            await bus.put("t", {"a": None, "c": b"3"}, term=term)
            for other in "0:m", "9:m", "nobody":
                with pytest.raises(Fenced):
                    await bus.put("t", {"b": None, "d": b"4"}, term=other)
            assert await bus.get("t") == {"b": b"2", "c": b"3"}
            await bus.resign(term)
            with pytest.raises(Fenced):
                await bus.put("t", {"b": None}, term=term)
        finally:
            await bus.close()


async def test_an_emptied_bus_is_refilled(members: Members) -> None:
    """By the poller, which goes on: past, claims and memories are there again."""
    async with members.start(TWO) as only:
        await come(lambda: leads(only) and rows(only) and flat(members.bus) >= {"A", "Z", ""})
        members.bus.revert(vars(ForgetfulBus()), memory="another")
        await come(lambda: flat(members.bus) >= {"A", "Z", ""} and members.kept("feeds", "one"))
        async with members.start(TWO) as late:
            await come(lambda: same(only, late))
            assert past(late) == past(only)


async def test_a_stream_is_let_go_and_connected_anew(members: Members) -> None:
    """One connection at a time; what is said partly is laid over what the other heard."""
    open_now: list[Any] = []

    async def speak(socket: Any) -> None:
        open_now.append(socket)
        await socket.wait_closed()
        open_now.remove(socket)

    async with serve(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        feed = f"kind: stream, url: 'ws://127.0.0.1:{port}', key: s, fields: {{last: p, name: n}}"
        config = board(feed)
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: open_now)
            await open_now[0].send(orjson.dumps({"s": "A", "p": 1, "n": "see"}).decode())
            await come(lambda: rows(other) and same(first, other))
            cluster = first.cluster
            assert cluster is not None
            cluster._step_down("a test")
            await come(lambda: leads(other) or leads(first))
            await come(lambda: len(open_now) == 1)
            poller = other if leads(other) else first
            await come(lambda: getattr(poller.producer.feed("one"), "connected", False))
            await open_now[0].send(orjson.dumps({"s": "A", "p": 2}).decode())
            await come(lambda: rows(other) == rows(first) == {"A": {"last": 2, "name": "see"}})
            assert poller.boards["b"].feeds["one"].quality == "live"
    assert not open_now


async def test_what_is_gone_is_kept_no_more(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, and what was kept of them, go from the bus."""
    monkeypatch.setattr(keep, "PAST_SECONDS", 0.0)
    monkeypatch.setattr("ticker.history.GONE_MS", 0)
    async with members.start(QUOTES) as only:
        await come(lambda: leads(only) and rows(only))
        await come(lambda: "A" in flat(members.bus))
        only.boards["b"].board.remove("f", ["A"])
        only.boards["b"].changed.set()
        only.schedule.stop()
        await come(lambda: "A" not in flat(members.bus))


def flat(bus: MemoryBus) -> set[str]:
    """Return the keys of everything that is kept of board `b`."""
    return {key for table, kept in bus._tables.items() if table.endswith(":b") for key in kept}


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"7", b"null", b"[]", b'{"at": "now"}', b'{"f": 1}']
)
async def test_what_is_kept_and_cannot_be_read_keeps_nobody_from_taking_over(
    members: Members, data: bytes
) -> None:
    """It is as if it were not there."""
    for table in (keep.FEEDS, keep.ASKED, *keep.tables("b")):
        await members.bus.put(table, {"f": data, "A": data, keep.WHOLE: data})
    async with members.start(QUOTES) as only:
        await come(lambda: leads(only) and len(rows(only)) == 26)


async def test_of_boards_that_are_no_more_nothing_is_kept(members: Members) -> None:
    """Whoever kept it: here one that ended before the config had another board."""
    async with members.start(TWO) as before:
        await come(lambda: leads(before) and flat(members.bus) >= {"A", "Z", ""})
    async with members.start(TWO.replace("  b:", "  other:")) as after:
        await come(lambda: leads(after) and not flat(members.bus))
        await come(lambda: "b" not in members.bus._positions)


async def test_an_emptied_bus_is_told_again_when_sources_were_asked(members: Members) -> None:
    """Else whoever takes over would ask them at once."""
    with source() as web:
        web.say("/x", [{"s": "A", "p": 5, "o": 4}])
        config = board(poll(f"{web.url}/x").replace("every: 1s", "every: 60s"))
        async with members.start(config) as only:
            asked = await come(lambda: rows(only) and members.kept("asked", "one"))
            members.bus.revert(vars(ForgetfulBus()), memory="another")
            assert not members.kept("asked", "one")
            await come(lambda: members.kept("asked", "one") == asked)


async def test_no_feed_begins_when_the_others_have_been_closed(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process may become the poller while it ends: that is over before its feeds are closed."""
    ended: list[str] = []
    async with members.start(QUOTES) as only:
        assert only.cluster is not None
        for name, part in ("cluster", only.cluster), ("feeds", only.producer):

            async def close(name: str = name, closes: Any = part.close) -> None:
                ended.append(name)
                await closes()

            monkeypatch.setattr(part, "close", close)
    assert ended == ["cluster", "feeds"]


async def test_a_source_is_not_asked_sooner_because_clocks_differ(members: Members) -> None:
    """That of the poller before was ten minutes behind, and so is what it kept."""
    with source() as web:
        web.say("/x", [{"s": "A", "p": 5, "o": 4}])
        config = board(poll(f"{web.url}/x").replace("every: 1s", "every: 60s"))
        async with members.start(config) as first, members.start(config) as other:
            await come(lambda: rows(other) and members.kept("asked", "one"))
            asked = orjson.loads(members.kept("asked", "one"))
            assert other.cluster is not None
            other.cluster._see_clock = lambda pulse: None  # type: ignore[method-assign]
            other.cluster.ahead = -600.0
            await members.kill(first)
            told = orjson.dumps({**asked, "at": asked["at"] - 600})
            members.bus._tables["asked"] = {"one": told}
            await come(lambda: leads(other))
            due = other.schedule.next_run("one")
            assert due is not None
            assert due - asked["at"] > 20
            assert other.cluster.ahead == 0.0
