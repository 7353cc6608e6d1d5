"""The store: boards are there again after a restart, and say how old they are."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest

from tests.buses import START, Member
from tests.support import Running, Source, serving, source, until
from tests.test_metrics import SHARED
from ticker.bus.memory import MemoryBus

CONFIG = """
feeds:
  f: {{kind: poll, every: 500ms, timeout: 400ms, stale_after: 5m, url: "{url}/n", rows: rows,
      key: symbol, fields: {{last: last}}}}
boards:
  b: {{feeds: [f], columns: [last]}}
"""


@pytest.fixture
def web() -> Iterator[Source]:
    """Return a source that says one row."""
    with source() as web:
        say(web, 1)
        yield web


def say(web: Source, last: float) -> None:
    """Let the source say another value."""
    web.say("/n", {"rows": [{"symbol": "A", "last": last}]})


def config(folder: Path, web: Source, more: str = "") -> Path:
    """Return the config file for a source."""
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(url=web.url) + more)
    return path


@contextmanager
def running(path: Path) -> Iterator[Member]:
    """Run the program; it is killed at the end, if it did not end before."""
    member = Member(path)
    try:
        until(lambda: member.ready, what="the start", patience=START)
        yield member
    finally:
        member.kill()  # harmless where it has ended


def board(member: Member) -> Any:
    """Return what the board is."""
    return member.get("/api/boards/b")


def test_a_board_goes_on_after_an_orderly_end(tmp_path: Path, web: Source) -> None:
    """In the same epoch; a viewer that comes back lacks nothing."""
    path = config(tmp_path, web)
    with running(path) as member:
        say(web, 2)
        until(lambda: board(member)["rows"]["A"]["last"] == 2)
        before = board(member)
        member.end()
    web.script.clear()  # it answers 404
    with running(path) as member:
        after = board(member)
        assert (after["epoch"], after["rows"]) == (before["epoch"], before["rows"])
        with member.follow("b", epoch=before["epoch"], seq=before["seq"]) as viewer:
            viewer.send(type="ping")
            viewer.wait("pong")
            assert "snapshot" not in [message["type"] for message in viewer.messages]


def test_a_board_goes_on_after_a_kill(tmp_path: Path, web: Source) -> None:
    """Once all that was shown is written."""
    path = config(tmp_path, web)
    with running(path) as member:
        say(web, 2)
        until(lambda: board(member)["rows"]["A"]["last"] == 2)
        before = board(member)
        at = member.get("/api/status")["now"]
        until(lambda: member.get("/api/status")["store"]["written"] > at)
        member.kill()
    web.script.clear()  # it answers 404
    with running(path) as member:
        assert board(member)["rows"] == before["rows"]
        assert board(member)["epoch"] == before["epoch"]


def test_store_off_keeps_nothing(tmp_path: Path, web: Source) -> None:
    """There is no file."""
    with running(config(tmp_path, web, "store: off")) as member:
        assert "store" not in member.get("/api/status")
        member.end()
    assert not list(tmp_path.glob("ticker.db*"))


# -- what is different after it

TWO = """
feeds:
  f: {{kind: poll, every: {every}, url: "{url}/n", rows: rows, key: symbol, fields: {fields}}}
boards:
  {board}: {{feeds: [f], columns: [last], flush: 10ms, history: {history}}}
"""


def two(folder: Path, web: Source, **more: object) -> Path:
    """Return a config file; whatever it has may differ from one start to the next."""
    parts = {"every": "200ms", "fields": "{last: last}", "board": "b", "history": 300, **more}
    path = folder / "config.yaml"
    path.write_text(TWO.format(url=web.url, **parts))
    return path


def read_as(server: Running, last: float) -> None:
    """Wait until the board has this value."""
    until(lambda: server.rows("b").get("A", {}).get("last") == last, what=f"{last} to be read")


def test_a_source_that_is_down_leaves_rows_of_their_true_age(tmp_path: Path, web: Source) -> None:
    """They are there at once, marked, with the time of the last success."""
    path = config(tmp_path, web).with_name("config.yaml")
    path.write_text(path.read_text().replace("stale_after: 5m", "stale_after: 1s"))
    begun = time()
    with serving(path) as server:
        until(lambda: server.rows("b"), what="the first reading")
    ended = time()
    web.script.clear()
    until(lambda: time() - ended > 1.1, what="a row to be old")
    with serving(path) as server:
        message = server.get("/api/boards/b").json()
        assert message["rows"]["A"]["last"] == 1
        assert message["rows"]["A"]["quality"] == "stale"
        assert message["feeds"]["f"]["quality"] == "stale"
        assert begun <= message["feeds"]["f"]["at"] / 1000 <= ended


def test_nobody_is_asked_before_it_is_due_and_then_by_its_validator(
    tmp_path: Path, web: Source
) -> None:
    """A restart is no reason to ask again."""
    web.confirm("/n", {"rows": [{"symbol": "A", "last": 1}]})
    path = two(tmp_path, web, every="1h")
    with serving(path) as server:
        until(lambda: server.rows("b"), what="the first reading")
    with serving(path) as server:
        assert server.rows("b")["A"]["last"] == 1
        next_run = server.get("/api/feeds").json()["feeds"]["f"]["next_run"]
        assert next_run > (time() + 1800) * 1000
        assert web.asked("/n") == 1
    path = two(tmp_path, web, every="200ms")
    with serving(path):
        until(lambda: web.asked("/n") >= 2, what="another reading")
    assert "if-none-match" not in web.requests[0][1]
    assert "if-none-match" in web.requests[1][1]


def test_a_simulated_feed_goes_on(tmp_path: Path) -> None:
    """Where it was, not from the beginning."""
    path = tmp_path / "config.yaml"
    path.write_text(
        "feeds: {f: {kind: simulate, every: 20ms, symbols: {A: 100}}}\n"
        "boards: {b: {feeds: [f], flush: 10ms}}\n"
    )
    with serving(path) as server:
        until(lambda: server.ticker.boards["b"].seq > 5, what="some trades")
        volume = server.rows("b")["A"]["volume"]
    with serving(path) as server:
        assert server.ticker.boards["b"].seq > 5
        until(lambda: server.rows("b")["A"]["volume"] > volume, what="more of them")


@pytest.mark.parametrize("points", [300, 2])
def test_the_past_is_there_again(tmp_path: Path, web: Source, points: int) -> None:
    """Also where fewer points are kept from now on."""
    path = two(tmp_path, web)
    with serving(path) as server:
        for last in range(1, 6):
            say(web, last)
            read_as(server, last)
        before = server.get("/api/boards/b/history?symbol=A").json()["rows"]["A"]
    path = two(tmp_path, web, history=points)
    with serving(path) as server:
        after = server.get("/api/boards/b/history?symbol=A").json()["rows"]["A"]
    assert after["value"][-1] == before["value"][-1] == 5
    assert len(after["value"]) == min(points, len(before["value"]))


@pytest.mark.parametrize(
    "more",
    [
        {"board": "c"},
        {"fields": "{price: last}"},
        {"history": 5},
        {"history": 0},
    ],
    ids=str,
)
def test_another_config_after_the_restart(
    tmp_path: Path, web: Source, more: dict[str, object]
) -> None:
    """What was kept does no harm."""
    with serving(two(tmp_path, web)) as server:
        read_as(server, 1)
    path = two(tmp_path, web, **more)
    name = str(more.get("board", "b"))
    say(web, 7)
    for _ in range(2):
        with serving(path) as server:
            field = "price" if "fields" in more else "last"
            until(lambda: server.rows(name).get("A", {}).get(field) == 7, what="a reading")  # noqa: B023
            assert [b["name"] for b in server.get("/api/boards").json()["boards"]] == [name]
            store = server.ticker.store
            assert store is not None
            assert store.why is None


def test_a_feed_that_reads_otherwise_is_read_at_once_and_as_by_a_stranger(
    tmp_path: Path, web: Source
) -> None:
    """What its source confirms (304) would be what was read by the old config, and not be due."""
    web.confirm("/n", {"rows": [{"symbol": "A", "last": 1, "bid": 9}]})
    with serving(two(tmp_path, web, every="1h")) as server:
        read_as(server, 1)
    with serving(two(tmp_path, web, every="1h", fields="{last: bid}")) as server:
        read_as(server, 9)
    with serving(two(tmp_path, web, every="2h", fields="{last: bid}")) as server:
        read_as(server, 9)
        assert server.get("/api/feeds").json()["feeds"]["f"]["next_run"] > (time() + 1800) * 1000
    assert ["if-none-match" in headers for _, headers in web.requests] == [False, False]


def test_a_feed_that_is_gone(tmp_path: Path, web: Source) -> None:
    """Its rows go when another fills the board."""
    path = two(tmp_path, web)
    with serving(path) as server:
        read_as(server, 1)
    path.write_text(
        "feeds: {g: {kind: simulate, every: 50ms, symbols: {G: 1}}}\n"
        "boards: {b: {feeds: [g], flush: 10ms}}\n"
    )
    with serving(path) as server:
        until(lambda: set(server.rows("b")) == {"G"}, what="the other feed's rows alone")


def test_with_a_bus_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bus keeps boards, whatever `store` says."""
    monkeypatch.setattr("ticker.runtime.connect", lambda _: MemoryBus())
    path = tmp_path / "config.yaml"
    path.write_text(SHARED + "store: here.db\n")
    with serving(path) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="the first reading")
        assert server.ticker.store is None
    assert not list(tmp_path.glob("*.db*"))


def test_another_store_needs_a_restart(tmp_path: Path, web: Source) -> None:
    """A reload says so, and goes on with the one there is."""
    path = two(tmp_path, web)
    with serving(path) as server:
        read_as(server, 1)
        path.write_text(path.read_text() + "store: other.db\n")
        assert server.call(lambda: server.app.state.reloader) is not None
        until(
            lambda: "store" in server.get("/api/status").json()["config"].get("pending", []),
            what="the reload",
        )
    assert not (tmp_path / "other.db").exists()
    with serving(path) as server:
        read_as(server, 1)
    assert (tmp_path / "other.db").exists()


# -- viewers over kill -9


def test_viewers_who_come_back_after_a_kill_have_what_the_server_has(tmp_path: Path) -> None:
    """By a diff or by a snapshot, whichever is right."""
    path = tmp_path / "config.yaml"
    symbols = ", ".join(f"S{n}: {n + 1}" for n in range(40))
    path.write_text(
        f"feeds: {{f: {{kind: simulate, every: 50ms, symbols: {{{symbols}}}}}}}\n"
        "boards: {b: {feeds: [f], flush: 20ms}}\n"
    )
    dice = random.Random(1)
    known: dict[str, Any] = {}
    for _ in range(4):
        with running(path) as member, ExitStack() as stack:
            resume = {"epoch": known["epoch"], "seq": known["seq"]} if known else {}
            viewer = stack.enter_context(member.follow("b", **resume))
            if known:  # what it had before; a snapshot replaces it
                viewer.rows["b"], viewer.seqs["b"] = known["rows"], known["seq"]
                viewer.epochs["b"] = known["epoch"]
            start = len(viewer.messages)
            more = dice.randrange(5, 30)
            viewer.follow_until(lambda v: len(v.messages) > start + more)  # noqa: B023
            fresh = stack.enter_context(member.follow("b"))
            fresh.wait("snapshot")
            end = max(viewer.seqs["b"], fresh.seqs["b"]) + 3
            for one in viewer, fresh:
                one.follow_until(lambda v: v.seqs["b"] >= end)  # noqa: B023
            last = max(viewer.seqs["b"], fresh.seqs["b"])
            for one in viewer, fresh:
                one.follow_until(lambda v: v.seqs["b"] == last)  # noqa: B023
            assert viewer.rows["b"] == fresh.rows["b"]
            assert viewer.epochs["b"] == fresh.epochs["b"]
            member.kill()
            known = {"epoch": viewer.epochs["b"], "seq": last, "rows": viewer.rows["b"]}
