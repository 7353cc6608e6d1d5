"""A config that changes while it runs: a difference, and nobody loses a connection."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from tests.support import (
    PATIENCE,
    Follower,
    Handler,
    Running,
    Source,
    serving,
    settings,
    source,
    until,
)
from ticker.errors import TickerError
from ticker.feeds import Reading
from ticker.feeds.poll import PollFeed
from ticker.hub import Hub
from ticker.producer import Producer

PRICES = {
    "kind": "poll",
    "every": "100ms",
    "fields": {"last": "price", "name": "name"},
    "missing": "remove",
}


class Ops:
    """Somebody who edits the config file of a running server."""

    def __init__(self, file: Path, url: str) -> None:
        self.file = file
        self.config: dict[str, Any] = {
            "server": {"heartbeat": "1s", "presence": "0s"},
            "feeds": {
                "a": {**deepcopy(PRICES), "url": f"{url}/a"},
                "b": {**deepcopy(PRICES), "url": f"{url}/b"},
            },
            "boards": {
                "one": {"feeds": ["a"], "flush": "10ms", "columns": ["last"]},
                "two": {"feeds": ["b"], "flush": "10ms"},
            },
        }
        self.save()

    def save(self) -> None:
        """Replace the file as careful editors do: by a whole new one."""
        new = self.file.with_name(".new")
        new.write_text(json.dumps(self.config, indent=1))  # JSON is YAML, too
        new.replace(self.file)


@pytest.fixture
def api() -> Iterator[Source]:
    """A source with two feeds, which confirms what it said before."""
    with source() as api:
        api.confirm("/a", [{"symbol": "A", "price": 1, "name": "first"}])
        api.confirm("/b", [{"symbol": "B", "price": 2, "name": "second"}])
        yield api


@pytest.fixture
def ops(tmp_path: Path, api: Source) -> Ops:
    """A config file with two feeds on a board each."""
    return Ops(tmp_path / "config.yaml", api.url)


@pytest.fixture
def server(ops: Ops) -> Iterator[Running]:
    """A server that follows the file, with all boards filled."""
    with serving(ops.file) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="the first readings")
        yield server


def reloaded(server: Running, times: int = 1) -> None:
    """Wait until the config was reloaded so often."""
    until(lambda: server.ticker.reloads.ok >= times, what="a reload")


def filled(server: Running, board: str) -> None:
    """Wait until a board has rows."""
    until(lambda: server.ticker.boards[board].seq > 0, what="rows")


def kinds(viewer: Follower) -> list[str]:
    """Return the types of what a viewer was told, but for heartbeats."""
    return [m["type"] for m in viewer.messages if m["type"] != "heartbeat"]


def test_what_is_not_touched_goes_on(ops: Ops, server: Running, api: Source) -> None:
    """A feed that stays keeps what it knows, and its board its seq, its epoch and its history."""
    filled(server, "one")
    before = server.ticker.boards["one"]
    seq, epoch, history = before.seq, before.epoch, before.history
    with server.follow("one") as viewer:
        viewer.wait("snapshot")
        ops.config["feeds"]["b"]["every"] = "150ms"
        ops.config["boards"]["two"]["columns"] = ["name"]
        ops.save()
        reloaded(server)
        asked = api.asked("/a")
        until(lambda: api.asked("/a") > asked + 3, what="more polls")
        viewer.wait("heartbeat")
        assert kinds(viewer) == ["welcome", "snapshot"]
    live = server.ticker.boards["one"]
    assert (live.seq, live.epoch, live.history) == (seq, epoch, history)
    unconditional = [h for path, h in api.requests if "if-none-match" not in h and path == "/a"]
    assert len(unconditional) == 1


def test_another_interval_restarts_nothing(ops: Ops, server: Running, api: Source) -> None:
    """The feed goes on at another pace, and still asks only for what is new."""
    with server.follow("one") as viewer:
        viewer.wait("snapshot")
        ops.config["feeds"]["a"]["every"] = "24h"
        ops.save()
        reloaded(server)
        until(lambda: server.feed("a")["every"] == 86_400_000, what="the new interval")
        assert server.feed("a")["next_run"] > server.feed("a")["last_attempt"]
        ops.config["feeds"]["a"]["every"] = "50ms"
        ops.save()
        reloaded(server, 2)
        api.confirm("/a", [{"symbol": "A", "price": 3, "name": "first"}])
        assert viewer.wait("diff")["rows"] == {"A": {"last": 3}}
    assert (
        sum("if-none-match" not in headers for path, headers in api.requests if path == "/a") == 1
    )


def test_another_source_takes_over(ops: Ops, server: Running, api: Source) -> None:
    """What the old one said stays until the new one has answered; then it is one diff."""
    api.confirm("/c", [{"symbol": "C", "price": 5}])
    with server.follow("one") as viewer:
        viewer.wait("snapshot")
        ops.config["feeds"]["a"] |= {"url": f"{api.url}/c", "missing": "keep"}
        ops.save()
        assert viewer.wait("diff")["rows"] == {"A": None, "C": {"last": 5}}
        assert kinds(viewer) == ["welcome", "snapshot", "diff"]
    assert server.feed("a")["quality"] == "live"


def test_a_feed_that_goes_takes_its_rows_along(ops: Ops, server: Running, api: Source) -> None:
    """And is asked no more."""
    ops.config["boards"]["one"]["feeds"] = ["a", "b"]
    ops.save()
    with server.follow("one") as viewer:
        viewer.follow_until(lambda v: v.rows.get("one", {}).keys() == {"A", "B"})
        ops.config["boards"]["one"]["feeds"] = ["a"]
        del ops.config["feeds"]["b"], ops.config["boards"]["two"]
        ops.save()
        viewer.follow_until(lambda v: v.rows["one"].keys() == {"A"})
        viewer.follow_until(lambda v: v.feeds["one"].keys() == {"a"})
    asked = api.asked("/b")
    assert "b" not in server.get("/api/feeds").json()["feeds"]
    seen = api.asked("/a")
    until(lambda: api.asked("/a") > seen + 3, what="more polls")
    assert api.asked("/b") <= asked + 1  # one may have been under way


def test_a_new_board_has_at_once_what_its_feed_said(ops: Ops, server: Running) -> None:
    """The source only confirms it from now on; viewers are told that there is a board."""
    with server.follow("one") as viewer:
        viewer.wait("snapshot")
        ops.config["boards"]["three"] = {"feeds": ["b", "a"], "title": "Third"}
        ops.save()
        assert viewer.wait("boards")["boards"] == ["one", "two", "three"]
        viewer.send(type="subscribe", board="three")
        viewer.follow_until(lambda v: v.rows.get("three", {}).keys() == {"A", "B"})
        assert {s["quality"] for s in viewer.feeds["three"].values()} == {"live"}
        assert "quality" not in viewer.rows["three"]["A"]
    assert server.get("/api/boards").json()["boards"][2]["title"] == "Third"


def test_who_is_ready_stays_ready(ops: Ops, server: Running, api: Source) -> None:
    """A new feed whose source does not answer yet is no reason to send viewers elsewhere."""
    hold = threading.Event()

    def answer(_: Handler) -> None:
        hold.wait(PATIENCE)

    api.script["/slow"] = answer
    ops.config["feeds"]["c"] = {**deepcopy(PRICES), "url": f"{api.url}/slow", "every": "60s"}
    ops.config["boards"]["three"] = {"feeds": ["c"]}
    ops.save()
    reloaded(server)
    until(lambda: api.asked("/slow"), what="a request")
    assert server.get("/readyz").status_code == 200
    hold.set()


def test_a_feed_that_nobody_showed_is_read_anew(ops: Ops, server: Running) -> None:
    """Its rows were kept nowhere."""
    ops.config["boards"].pop("two")
    ops.save()
    reloaded(server)
    ops.config["boards"]["late"] = {"feeds": ["b"]}
    ops.save()
    until(lambda: "late" in server.ticker.boards and server.rows("late"), what="its rows")


def test_a_board_that_goes_says_so(ops: Ops, server: Running) -> None:
    """Its viewers stay connected, also those that are paused, and may watch another."""
    with server.follow("one") as viewer, server.follow("two") as other:
        viewer.wait("snapshot")
        viewer.send(type="pause")
        other.wait("snapshot")
        del ops.config["boards"]["one"]
        ops.save()
        gone = viewer.wait("error")
        assert (gone["code"], gone["board"]) == ("unknown_board", "one")
        assert viewer.wait("boards")["boards"] == ["two"]
        viewer.send(type="resume")
        viewer.send(type="subscribe", board="two")
        viewer.follow_until(lambda v: v.rows.get("two"))
        assert other.wait("boards")["boards"] == ["two"]
        assert "error" not in kinds(other)
    assert server.get("/api/boards/one").status_code == 404
    assert server.get("/events?board=one").status_code == 404


def test_another_title_is_told_to_everybody(ops: Ops, server: Running) -> None:
    """Who does not watch the board has it in a list."""
    with server.follow("two") as viewer:
        viewer.wait("snapshot")
        ops.config["boards"]["one"]["title"] = "First"
        ops.save()
        assert viewer.wait("boards")["boards"] == ["one", "two"]


def test_a_board_that_comes_back_is_another(ops: Ops, server: Running) -> None:
    """Nobody resumes the old one by mistake."""
    epoch = server.ticker.boards["one"].epoch
    board = ops.config["boards"].pop("one")
    ops.save()
    reloaded(server)
    ops.config["boards"]["one"] = board
    ops.save()
    reloaded(server, 2)
    assert server.ticker.boards["one"].epoch != epoch
    filled(server, "one")
    with server.follow("one", epoch=epoch, seq=1) as viewer:
        assert viewer.wait("snapshot")["rows"]


@pytest.mark.parametrize("paused", [False, True])
def test_columns_reach_viewers_as_a_snapshot(ops: Ops, server: Running, paused: bool) -> None:
    """On the same connection, in the same epoch; also who is paused, or away, learns of them."""
    filled(server, "one")
    seq = server.ticker.boards["one"].seq
    with server.follow("one") as viewer:
        viewer.wait("snapshot")
        if paused:
            viewer.send(type="pause")
            viewer.send(type="ping")
            viewer.wait("pong")
        ops.config["boards"]["one"] |= {"columns": ["name", "last"], "title": "One"}
        ops.save()
        reloaded(server)
        if paused:
            viewer.send(type="resume")
        snapshot = viewer.wait("snapshot")
    assert [column["field"] for column in snapshot["columns"]] == ["name", "last"]
    assert (snapshot["title"], snapshot["epoch"]) == ("One", server.ticker.boards["one"].epoch)
    assert snapshot["seq"] == seq + 1
    with server.follow("one", epoch=snapshot["epoch"], seq=seq) as returned:
        assert returned.wait("snapshot")["title"] == "One"


def test_columns_that_come_from_the_feed_follow_it(ops: Ops, server: Running) -> None:
    """A board without columns shows what its feeds provide, also what they provide now."""
    with server.follow("two") as viewer:
        viewer.wait("snapshot")
        ops.config["feeds"]["b"]["fields"]["bid"] = "price"
        ops.save()
        fields = [column["field"] for column in viewer.wait("snapshot")["columns"]]
        assert "bid" in fields
        viewer.follow_until(lambda v: v.rows["two"]["B"].get("bid") == 2)


MISTAKES = {
    "not yaml": "feeds: {a: [",
    "half": '{"server": {"heartbeat": "1s"}, "feeds": {"a": {"kind": "po',
    "empty": "",
    "wrong value": "feeds: {a: {kind: simulate, symbols: {A: 1}, every: soon}}",
    "binary": "\x00\x01",
}


@pytest.mark.parametrize("text", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_changes_nothing(ops: Ops, server: Running, api: Source, text: str) -> None:
    """The old config runs on, and everybody may know why, until the file is mended."""
    with server.follow("one") as viewer:
        viewer.wait("snapshot")
        ops.file.write_text(text)
        until(lambda: server.ticker.reloads.error, what="the error")
        config = server.get("/api/feeds").json()["config"]
        assert config["error"].startswith(f"{ops.file}:1:")
        assert not config["ok"]
        assert server.get("/api/status").json()["config"]["failures"] >= 1
        api.confirm("/a", [{"symbol": "A", "price": 7, "name": "first"}])
        assert viewer.wait("diff")["rows"] == {"A": {"last": 7}}
        ops.save()
        until(lambda: server.ticker.reloads.good, what="the mended file")
        assert server.get("/api/feeds").json()["config"]["error"] is None
        assert set(kinds(viewer)) == {"welcome", "snapshot", "diff"}


def test_a_file_that_is_gone_or_a_folder_is_a_mistake(ops: Ops, server: Running) -> None:
    """Until it is a file again."""
    ops.file.unlink()
    until(lambda: "cannot read" in (server.ticker.reloads.error or ""), what="the missing file")
    ops.file.mkdir()
    until(lambda: "directory" in (server.ticker.reloads.error or ""), what="the folder")
    ops.file.rmdir()
    ops.config["boards"]["one"]["title"] = "Back"
    ops.save()
    until(lambda: server.ticker.boards["one"].shape.title == "Back", what="the file")


def test_a_mounted_file_is_followed(ops: Ops, tmp_path: Path) -> None:
    """As Kubernetes mounts them: a link to a file below a link to a folder, which is exchanged."""
    mount = tmp_path / "mount"
    mount.mkdir()

    def put(version: str) -> None:
        (mount / version).mkdir()
        ops.save()
        shutil.copy(ops.file, mount / version / "config.yaml")
        (mount / "..tmp").symlink_to(version)
        (mount / "..tmp").replace(mount / "..data")

    put("..1")
    (mount / "config.yaml").symlink_to("..data/config.yaml")
    with serving(mount / "config.yaml") as server:
        ops.config["boards"]["one"]["title"] = "Exchanged"
        put("..2")
        shutil.rmtree(mount / "..1")
        until(lambda: server.ticker.boards["one"].shape.title == "Exchanged", what="a reload")
        ops.config["boards"]["one"]["title"] = "Again"
        put("..3")
        until(lambda: server.ticker.boards["one"].shape.title == "Again", what="a reload")


def test_a_secret_in_a_file_of_its_own_is_followed(ops: Ops, tmp_path: Path, api: Source) -> None:
    """Whoever rotates it need not touch the config."""
    secret = tmp_path / "secrets" / "key"
    secret.parent.mkdir()
    secret.write_text("old-secret")
    ops.config["feeds"]["a"]["headers"] = {"X-Key": "${file:secrets/key}"}
    ops.save()
    with serving(ops.file) as server:
        until(lambda: any(h.get("x-key") == "old-secret" for _, h in api.requests), what="the key")
        secret.write_text("new-secret")
        until(lambda: any(h.get("x-key") == "new-secret" for _, h in api.requests), what="the key")
        assert server.ticker.reloads.ok == 1


def test_the_same_content_is_no_reload(ops: Ops, server: Running) -> None:
    """Files are touched for many reasons."""
    ops.save()
    os.utime(ops.file)
    ops.config["boards"]["one"]["title"] = "Other"
    ops.save()
    reloaded(server)
    assert server.ticker.reloads.ok == 1


def test_a_storm_ends_with_the_last_version(ops: Ops, server: Running) -> None:
    """A hundred versions, some of them broken, in a second or two; viewers see none of it."""
    with server.follow("two") as viewer:
        viewer.wait("snapshot")
        for count in range(100):
            ops.config["boards"]["one"]["title"] = f"Version {count}"
            ops.config["feeds"]["a"]["every"] = f"{100 + count}ms"
            ops.save()
            if count % 10 == 5:
                ops.file.write_text("feeds: {")
        until(lambda: server.ticker.boards["one"].shape.title == "Version 99", what="the last")
        until(lambda: server.feed("a")["every"] == 199, what="the last interval")
        viewer.wait("heartbeat")
        assert set(kinds(viewer)) == {"welcome", "snapshot", "boards"}  # as titles changed


def test_where_no_thread_can_be_had_the_file_is_followed_later(
    ops: Ops, server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is short of memory for a while heeds its file and signals after that."""
    reloader, to_thread = server.app.state.reloader, asyncio.to_thread
    refused: list[object] = []

    async def refuse(function: Any, *args: Any) -> Any:
        if len(refused) < 3:
            refused.append(function)
            raise RuntimeError("can't start new thread")
        return await to_thread(function, *args)

    monkeypatch.setattr(asyncio, "to_thread", refuse)
    server.call(reloader.hear)
    until(lambda: refused, what="a reload that fails")
    ops.config["boards"]["one"]["title"] = "Another"
    ops.save()
    until(lambda: len(refused) == 3 or server.ticker.reloads.ok, what="more of them")
    until(lambda: server.ticker.boards["one"].look.title == "Another", what="the new title")
    before = server.ticker.reloads.ok
    server.call(reloader.hear)
    until(lambda: server.ticker.reloads.ok > before, what="a reload by a signal")


def test_two_reloads_at_once_are_one_after_the_other(ops: Ops, server: Running) -> None:
    """Both end well, and the jobs of the schedule are there once."""
    reloader = server.app.state.reloader

    async def both() -> None:
        ops.config["feeds"]["a"]["every"] = "120ms"
        ops.save()
        await asyncio.gather(reloader.reload(), reloader.reload(), reloader.look())

    asyncio.run_coroutine_threadsafe(both(), server.loop).result(PATIENCE)
    assert server.feed("a")["every"] == 120


def test_an_admin_may_ask_for_it(ops: Ops) -> None:
    """And is told what has changed, or what is wrong; nobody else may."""
    ops.config["access"] = {"admin_tokens": ["token-of-an-admin"]}
    ops.save()
    with serving(ops.file) as server:
        admin = {"authorization": "Bearer token-of-an-admin"}
        url = f"{server.url}/-/reload"
        assert httpx.post(url).status_code == 401
        assert httpx.post(url, headers={"authorization": "Bearer guessed"}).status_code == 403
        answer = httpx.post(url, headers=admin)
        assert answer.json() == {"changes": [], "pending": []}
        ops.file.write_text("feeds: {")
        refused = httpx.post(url, headers=admin)
        assert refused.status_code == 422
        assert f"{ops.file}:1:9: not YAML" in refused.json()["detail"]


def test_the_demo_has_no_file() -> None:
    """Asked to reload it says so."""
    with serving(
        "feeds: {f: {kind: simulate, symbols: {A: 1}}}\nboards: {b: {feeds: [f]}}"
    ) as server:
        reload = asyncio.run_coroutine_threadsafe(server.app.state.reloader.reload(), server.loop)
        with pytest.raises(TickerError, match="no file"):
            reload.result(PATIENCE)


def test_keys_that_need_a_restart_are_named(ops: Ops, server: Running) -> None:
    """And the rest of the file counts at once."""
    ops.config["server"] |= {"port": 1234, "heartbeat": "30s", "max_viewers": 1}
    ops.save()
    reloaded(server)
    assert server.ticker.reloads.pending == ["server.port", "server.heartbeat"]
    assert server.ticker.hub.settings.heartbeat == 1.0
    with server.follow("one") as viewer:
        assert viewer.wait("welcome")["heartbeat"] == 1
        assert server.get("/events?board=one").status_code == 503


# -- together with everything else


def test_a_feed_moves_to_another_board(ops: Ops, server: Running) -> None:
    """What it said moves along, though its source only confirms it; the other board lets go."""
    filled(server, "two")
    with server.follow("one", "two") as viewer:
        viewer.follow_until(lambda v: v.rows.keys() == {"one", "two"})
        ops.config["boards"]["one"]["feeds"] = ["b"]
        ops.config["boards"]["two"]["feeds"] = ["a"]
        ops.save()
        viewer.follow_until(lambda v: v.rows["one"].keys() == {"B"})
        viewer.follow_until(lambda v: v.rows["two"].keys() == {"A"})
    assert server.ticker.reloads.good


def test_a_row_that_was_late_is_not_late_for_ever(ops: Ops, server: Running, api: Source) -> None:
    """What was late of one source is not of the next."""
    api.script.pop("/late", None)
    ops.config["feeds"]["a"] |= {
        "url": f"{api.url}/{{symbol}}",
        "symbols": ["x", "y"],
        "stale_after": "200ms",
        "down_after": "1h",
    }
    api.confirm("/x", {"symbol": "X", "price": 1})
    api.confirm("/y", {"symbol": "Y", "price": 1})
    ops.save()
    until(lambda: server.rows("one").keys() == {"x", "y"}, what="the rows")
    api.say("/y", {}, status=503)
    until(lambda: server.rows("one")["y"].get("quality") == "stale", what="the late row")
    api.confirm("/y", {"symbol": "Y", "price": 2})
    ops.config["feeds"]["a"] |= {"stale_after": "1m", "max_rows": 7}
    ops.save()
    until(lambda: server.rows("one")["y"].get("last") == 2, what="the new source")
    until(lambda: "quality" not in server.rows("one")["y"], what="a row that is not late")


def test_what_follows_a_recording_that_has_ended_is_judged(
    ops: Ops, server: Running, tmp_path: Path, api: Source
) -> None:
    """It is not closed because the recording was over."""
    poll = ops.config["feeds"]["a"]
    file = tmp_path / "tape.jsonl"
    file.write_text('{"time": "2026-01-01T00:00:00Z", "symbol": "T", "last": 1}\n')
    ops.config["feeds"]["a"] = {"kind": "replay", "file": str(file), "fields": {"last": "last"}}
    ops.save()
    until(lambda: server.feed("a")["quality"] == "closed", what="the end of the recording")
    api.say("/a", {}, status=503)
    ops.config["feeds"]["a"] = poll | {"stale_after": "1s", "down_after": "2s"}
    ops.save()
    until(lambda: server.feed("a")["quality"] == "down", what="a feed that is down")
    assert "HTTP 503" in server.feed("a")["why"]


def test_rows_held_back_count_on(ops: Ops, server: Running, api: Source) -> None:
    """A feed that begins anew has a guard that begins anew, but its number does not stand still."""
    feed = ops.config["feeds"]["a"]
    feed["fields"] = {"home_score": "score", "status": "status"}

    def flap(score: int) -> None:
        held = server.ticker.producer.health("a").held
        api.confirm("/a", [{"symbol": "G", "score": score, "status": "live"}])
        until(lambda: server.rows("one").get("G", {}).get("home_score") == score, what="a goal")
        api.say("/a", [{"symbol": "G", "score": 0, "status": "live"}])
        until(lambda: server.ticker.producer.health("a").held > held, what="a row held back")

    ops.save()
    for score in (1, 2):
        flap(score)
    assert server.feed("a")["held"] == 2
    feed["max_rows"] = 7
    ops.save()
    reloaded(server, 2)
    flap(3)
    assert server.feed("a")["held"] == 3


def test_a_reading_under_way_ends_with_its_feed(
    ops: Ops, server: Running, api: Source, caplog: pytest.LogCaptureFixture
) -> None:
    """A feed that is gone asks for none of its other symbols, and fails in silence."""
    asked, answer = threading.Event(), threading.Event()

    def respond(handler: Handler) -> None:
        asked.set()
        answer.wait(PATIENCE)
        handler.answer(200, b"{}")

    names = [f"s{number}" for number in range(20)]
    for name in names:
        api.script[f"/{name}"] = respond
    keep = ops.config["feeds"]["a"]
    ops.config["feeds"]["a"] = keep | {
        "url": f"{api.url}/{{symbol}}",
        "symbols": names,
        "concurrency": 1,
        "every": "1h",
        "timeout": "50m",
    }
    ops.save()
    assert asked.wait(PATIENCE)
    old = server.ticker.producer.feed("a")
    assert isinstance(old, PollFeed)
    ops.config["feeds"]["a"] = keep
    ops.save()
    reloaded(server, 2)
    until(lambda: server.ticker.producer.feed("a") is not old, what="the other feed")
    seen = api.asked("/a")
    answer.set()
    until(lambda: api.asked("/a") > seen + 3, what="more polls")
    assert sum(api.asked(f"/{name}") for name in names) == 1
    assert old._client is None
    assert not [record for record in caplog.records if record.exc_info]


def test_a_sign_of_life_removes_nothing(ops: Ops, server: Running) -> None:
    """Of a feed that hears news, which begins anew; the first rows replace those it had."""
    url, token = f"{server.url}/api/feeds/desk", "push-token-0123456789"
    authorized = {"authorization": f"Bearer {token}"}
    ops.config["feeds"]["desk"] = {
        "kind": "push",
        "every": "10ms",
        "tokens": [token],
        "match": "last",
        "fields": {"last": "last"},
    }
    ops.config["boards"]["one"]["feeds"] = ["desk"]
    ops.save()
    reloaded(server)
    rows = [{"symbol": name, "last": 1} for name in "VW"]
    assert httpx.post(url, json=rows[0], headers=authorized).status_code == 200
    assert httpx.post(url, json=rows[1], headers=authorized).status_code == 200
    until(lambda: server.rows("one").keys() == {"V", "W"}, what="rows")
    ops.config["feeds"]["desk"]["max_rows"] = 7
    ops.save()
    reloaded(server, 2)
    attempts = server.feed("desk")["attempts"]
    assert httpx.post(url, json={"symbol": "?"}, headers=authorized).status_code == 200
    until(lambda: server.feed("desk")["attempts"] > attempts + 3, what="looks")
    assert server.rows("one").keys() == {"V", "W"}
    assert httpx.post(url, json=rows[0], headers=authorized).status_code == 200
    until(lambda: server.rows("one").keys() == {"V"}, what="the rows there are now")


def test_a_push_that_nobody_will_look_at_is_refused(ops: Ops, server: Running) -> None:
    """Its feed began anew while the body came; whoever pushes it again is heard."""
    url, token = f"{server.url}/api/feeds/desk", "push-token-0123456789"
    authorized = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    desk: dict[str, Any] = {
        "kind": "push",
        "every": "10ms",
        "tokens": [token],
        "fields": {"last": "last"},
    }
    ops.config["feeds"]["desk"] = desk
    ops.config["boards"]["one"]["feeds"] = ["desk"]
    ops.save()
    reloaded(server)
    body = b'{"symbol": "V", "last": 1}'

    def pieces() -> Iterator[bytes]:
        yield body[:9]
        until(lambda: server.ticker.producer.feed("desk")._bodies, what="a body under way")  # type: ignore[union-attr] # a push feed
        desk["max_rows"] = 7
        ops.save()
        reloaded(server, 2)
        yield body[9:]

    refused = httpx.post(url, content=pieces(), headers=authorized, timeout=PATIENCE)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert "anew" in refused.json()["detail"]
    assert httpx.post(url, content=body, headers=authorized).status_code == 200
    until(lambda: server.rows("one").keys() == {"V"}, what="the row")


def test_what_a_request_began_is_not_about_it(ops: Ops, api: Source) -> None:
    """Log lines of feeds and boards do not say for ever that they are of a reload's request."""
    tags: dict[str, dict[str, Any]] = {}

    class Tags(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            tags[record.getMessage()] = structlog.contextvars.get_contextvars()

    ops.config["access"] = {"admin_tokens": ["token-of-an-admin"]}
    ops.save()
    handler = Tags()
    logging.getLogger().addHandler(handler)
    try:
        with serving(ops.file) as server:
            filled(server, "two")
            api.say("/c", {}, status=503)
            reloader = server.app.state.reloader
            reloader.look = reloader.heed_forever  # never ends: only the request reloads
            ops.config["feeds"]["c"] = {**deepcopy(PRICES), "url": f"{api.url}/c"}
            ops.config["boards"]["one"]["feeds"] = ["a", "c"]
            ops.save()
            admin = {"authorization": "Bearer token-of-an-admin"}
            told = httpx.post(f"{server.url}/-/reload", headers=admin).json()
            assert "feeds.c: added" in told["changes"]
            api.say("/b", {}, status=503)
            until(lambda: {w.split(":")[0] for w in tags} >= {"feed 'b' failed", "feed 'c' failed"})
    finally:
        logging.getLogger().removeHandler(handler)
    assert not any(tags[words] for words in tags if " failed: " in words)


def test_whoever_looks_meanwhile_gets_an_answer(ops: Ops, server: Running) -> None:
    """Feeds and boards come and go under those who ask about them, also while it drains."""
    server.call(lambda: setattr(server.ticker.hub, "draining", True))
    feed, board = ops.config["feeds"]["b"], ops.config["boards"]["two"]
    for count in range(1, 11):
        if count % 2:
            del ops.config["feeds"]["b"], ops.config["boards"]["two"]
        else:
            ops.config["feeds"]["b"], ops.config["boards"]["two"] = feed, board
        ops.save()
        while server.ticker.reloads.ok < count:
            for path in ("/metrics", "/api/status", "/api/feeds", "/api/boards", "/healthz"):
                assert server.get(path).status_code == 200, path
            assert server.get("/readyz").json()["status"] == "draining"
            assert server.get("/api/boards/two/history").status_code in {200, 404}


def test_a_feed_that_cannot_be_closed_is_told(
    ops: Ops, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """And everything else goes on."""
    feed = server.ticker.producer.feed("a")
    assert isinstance(feed, PollFeed)
    closes = feed.close

    async def close() -> None:
        await closes()
        raise OSError("broken")

    feed.close = close  # type: ignore[method-assign] # a close that fails
    ops.config["feeds"]["a"]["max_rows"] = 7
    ops.save()
    until(lambda: "a reload left to do has failed" in caplog.text, what="the failure")
    assert "never retrieved" not in caplog.text
    reloaded(server)


class Closing:
    """A feed that is closed only when another is, too; or not at all."""

    def __init__(self, *, begun: asyncio.Event, waits: bool = False, fails: bool = False) -> None:
        self._begun, self._waits, self._fails = begun, waits, fails
        self.closed = False

    async def read(self, now: float) -> Reading | None:
        """Say nothing."""

    def adjust(self, settings: Any) -> None:
        """Be the same."""

    async def close(self) -> None:
        """Wait, fail, or say that it has begun."""
        if self._fails:
            raise OSError("broken")
        if self._waits:
            await self._begun.wait()
        self._begun.set()
        self.closed = True


async def test_feeds_are_closed_together(caplog: pytest.LogCaptureFixture) -> None:
    """None waits for the one before it, and one that fails leaves none open."""
    begun = asyncio.Event()
    feeds = [
        Closing(begun=begun, fails=True),
        Closing(begun=begun, waits=True),
        Closing(begun=begun),
    ]
    producer = Producer({}, Hub({}))
    configured = settings(
        "feeds: {f: {kind: simulate, symbols: {A: 1}}}\nboards: {b: {feeds: [f]}}"
    )
    for number, feed in enumerate(feeds):
        producer.put(str(number), configured.feeds["f"], feed)
    async with asyncio.timeout(PATIENCE):
        await producer.close()
    assert [feed.closed for feed in feeds] == [False, True, True]
    assert "cannot close a feed: broken" in caplog.text
