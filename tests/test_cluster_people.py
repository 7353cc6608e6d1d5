"""Several processes on one bus: viewers, notices, pushes and how it all is, from any of them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import orjson
import pytest

from tests.buses import Member, Redis, members, redis
from tests.support import PATIENCE, Follower, Running, serving, until
from tests.test_cli import run
from tests.test_people import asked, closed_with
from ticker import members as members_module
from ticker.changes import fingerprint
from ticker.configfile import load
from ticker.notices import NOTICES_MAX

METRICS = Path(__file__).parent.parent / "docs/metrics.md"
TOKEN = "a-token-of-the-admins"
PUSH = "a-token-of-the-desk-1"
CONFIG = """
server: {{heartbeat: 5s, presence: 100ms}}
access: {{admin_tokens: [a-token-of-the-admins]}}
bus: {{url: "{url}", lease: {lease}}}
feeds:
  still: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
  other: {{kind: simulate, every: 24h, symbols: {{SIM: 200}}}}
  desk: {{kind: push, every: 50ms, tokens: [{push}], fields: {{last: last}}, max_bytes: 10KB}}
boards:
  b: {{title: The board, feeds: [still], flush: 10ms}}
  c: {{feeds: [other], flush: 10ms}}
  p: {{feeds: [desk], flush: 10ms}}
"""


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Redis]:
    """Return a bus of the test's own."""
    with redis(tmp_path) as server:
        yield server


def config(bus: Redis, lease: str = "1s") -> str:
    """Return the config of a process on ``bus``."""
    return CONFIG.format(url=bus.url, lease=lease, push=PUSH)


@contextmanager
def processes(*configs: str | Path) -> Iterator[list[Running]]:
    """Run a server for each config; the first is the poller, and all know of each other."""
    with ExitStack() as stack:
        running: list[Running] = []
        for text in configs:
            running.append(stack.enter_context(serving(text)))
            until(lambda: is_ready(running[-1]), what="a process to be ready")
        until(lambda: all(len(process(r).members) == len(configs) for r in running))
        yield running


def is_ready(running: Running) -> bool:
    """Whether viewers may come."""
    return running.get("/readyz").status_code == 200


def process(running: Running) -> Any:
    """Return the part of a process that is among others."""
    return running.ticker.cluster


def post(running: Running, body: Any, **query: str) -> httpx.Response:
    """Push to the feed `desk`."""
    return httpx.post(
        running.url + "/api/feeds/desk",
        content=body if isinstance(body, bytes) else orjson.dumps(body),
        headers={"authorization": f"Bearer {PUSH}", "content-type": "application/json"},
        params=query,
        timeout=PATIENCE,
    )


def notices(running: Running) -> list[str]:
    """Return the texts that a process tells."""
    return [n["text"] for n in asked(running, "GET", "/api/notices").json()["notices"]]


def posted(running: Running, text: str, **more: Any) -> dict[str, Any]:
    """Post a notice and return it."""
    response = asked(running, "POST", "/api/notices", {"text": text, **more})
    assert response.status_code == 201, response.text
    notice: dict[str, Any] = response.json()
    return notice


def status(running: Running) -> dict[str, Any]:
    """Return everything at once."""
    found: dict[str, Any] = running.get("/api/status").json()
    return found


# -- notices


def test_a_notice_is_told_by_all_and_taken_back_by_any(bus: Redis) -> None:
    """Who watches elsewhere is told once, who comes later, too; any process takes it back."""
    with (
        processes(config(bus), config(bus)) as (one, two),
        one.follow("b") as here,
        two.follow("b") as there,
    ):
        for viewer in here, there:
            viewer.wait("snapshot")
        notice = posted(one, "Hello.")
        for viewer in here, there:
            assert viewer.wait("notice") == {"type": "notice", **notice}
        with two.follow("c") as later:
            assert later.wait("notice")["text"] == "Hello."
        assert asked(two, "DELETE", f"/api/notices/{notice['id']}").status_code == 204
        for viewer in here, there:
            assert viewer.wait("notice") == {"type": "notice", "id": notice["id"], "text": None}
        until(lambda: notices(one) == notices(two) == [])
        assert asked(one, "DELETE", f"/api/notices/{notice['id']}").status_code == 404
        for viewer in here, there:
            assert sum(m["type"] == "notice" for m in viewer.messages) == 2


def test_a_process_that_starts_tells_what_holds(bus: Redis) -> None:
    """What is over is not told, and nobody keeps it."""
    with processes(config(bus)) as (one,):
        posted(one, "It holds.")
        posted(one, "It is over soon.", **{"for": "1ms"})
        with serving(config(bus)) as two:
            until(lambda: notices(two) == ["It holds."])
            assert len([name for name in on_bus(two, "notices") if name]) == 1


def test_no_more_notices_than_may_be_however_they_are_posted(bus: Redis) -> None:
    """The limit is one for all processes."""
    with processes(config(bus), config(bus)) as both:
        for number in range(NOTICES_MAX):
            posted(both[number % 2], str(number))
        for one in both:
            refused = asked(one, "POST", "/api/notices", {"text": "One more."})
            assert refused.status_code == 409
            assert "at most 20" in refused.json()["detail"]
            until(lambda one=one: len(notices(one)) == NOTICES_MAX)  # type: ignore[misc]


def test_a_notice_finds_a_viewer_at_another_process(bus: Redis) -> None:
    """It alone is told; when it has left nobody keeps the notice."""
    with processes(config(bus), config(bus)) as (one, two), one.follow("b") as other:
        with two.follow("b") as viewer:
            name = viewer.wait("welcome")["viewer"]
            posted(one, "For you.", viewer=name)
            assert viewer.wait("notice")["text"] == "For you."
            until(lambda: notices(one) == notices(two) == ["For you."])
        until(lambda: notices(one) == notices(two) == [])
        other.send(type="ping")
        other.wait("pong")
        assert "notice" not in {m["type"] for m in other.messages}
        nobody = asked(one, "POST", "/api/notices", {"text": "For you.", "viewer": name})
        assert nobody.status_code == 404


def test_an_emptied_bus_is_told_the_notices_again(bus: Redis) -> None:
    """By somebody who knows them; a process that starts then knows them, too."""
    with processes(config(bus), config(bus)) as (one, two):
        posted(one, "It holds.")
        until(lambda: notices(two) == ["It holds."])
        bus.kill()
        until(lambda: process(one).why and process(two).why)
        refused = asked(one, "POST", "/api/notices", {"text": "Not now."})
        assert refused.status_code == 503
        assert int(refused.headers["retry-after"]) > 0
        bus.start()
        with serving(config(bus)) as three:
            until(lambda: notices(three) == ["It holds."])
            assert notices(one) == notices(two) == ["It holds."]


def test_a_table_that_was_emptied_is_no_withdrawal(bus: Redis) -> None:
    """Somebody has flushed the bus: what is known is put back."""
    with processes(config(bus), config(bus)) as (one, two):
        posted(one, "It holds.")
        until(lambda: notices(two) == ["It holds."])
        with socket.create_connection(("127.0.0.1", bus.port)) as link:
            link.sendall(b"FLUSHALL\r\n")
            assert link.recv(100).startswith(b"+OK")
        with serving(config(bus)) as three:
            until(lambda: notices(three) == ["It holds."])
            assert notices(one) == notices(two) == ["It holds."]


def test_news_that_were_missed_are_made_up_for(bus: Redis) -> None:
    """A process that did not read for a while goes where the table is."""
    with processes(config(bus), config(bus)) as (one, two):
        gone = posted(one, "Before.")
        until(lambda: notices(two) == ["Before."])

        async def deaf() -> None:
            process(two).following._hear = lambda _: None

        asyncio.run_coroutine_threadsafe(deaf(), two.loop).result(PATIENCE)
        asked(one, "DELETE", f"/api/notices/{gone['id']}")
        posted(one, "Meanwhile.")
        assert notices(two) == ["Before."]
        two.call(process(two).following.on_missed)
        until(lambda: notices(two) == ["Meanwhile."])


# -- how many, and who


def counted(viewer: Follower, count: int) -> None:
    """Wait until a viewer is told that so many watch."""
    while viewer.wait("viewers")["viewers"] != count:
        pass


def test_viewers_are_counted_at_all_processes(bus: Redis) -> None:
    """Whoever joins or leaves anywhere; a bus that is away leaves the others' last count."""
    with processes(config(bus), config(bus)) as (one, two), one.follow("b") as first:
        counted(first, 1)
        with two.follow("b") as second:
            counted(second, 2)
            counted(first, 2)
            for each in one, two:
                until(lambda e=each: status(e)["viewers"]["boards"]["b"] == 2)  # type: ignore[misc]
                viewers = status(each)["viewers"]
                assert (viewers["now"], viewers["everywhere"]) == (1, 2)
            bus.kill()
            until(lambda: process(one).why)
            assert status(one)["viewers"]["boards"]["b"] == 2
            bus.start()
        counted(first, 1)


def test_viewers_of_all_processes_are_listed_and_ended(bus: Redis) -> None:
    """In one order, page by page, each with its process."""
    with processes(config(bus), config(bus)) as (one, two), ExitStack() as stack:
        everybody = [stack.enter_context(r.follow("b")) for r in (one, two, one, two, two)]
        ids = [viewer.wait("welcome")["viewer"] for viewer in everybody]
        for viewer in everybody:
            viewer.wait("snapshot")
        where = {id_: process(r).id for id_, r in zip(ids, (one, two, one, two, two), strict=True)}
        for each in one, two:
            found, after = [], ""
            while True:
                page = asked(each, "GET", f"/api/viewers?limit=2&board=b&after={after}").json()
                assert page["silent"] == []
                found += page["viewers"]
                after = page["next"]
                if after is None:
                    break
            assert [viewer["id"] for viewer in found] == sorted(ids)
            assert {viewer["id"]: viewer["process"] for viewer in found} == where
        assert asked(one, "GET", "/api/viewers?board=c").json()["viewers"] == []
        assert asked(one, "DELETE", f"/api/viewers/{ids[1]}").status_code == 204
        assert closed_with(everybody[1]) == 4502
        assert asked(one, "DELETE", f"/api/viewers/{ids[1]}").status_code == 404


def test_who_does_not_answer_is_named(bus: Redis, tmp_path: Path) -> None:
    """A process that stands still does not hold up the list for long."""
    file = tmp_path / "ticker.yaml"
    file.write_text(config(bus))
    with members(file, 1) as (still,), processes_beside(config(bus), 2) as one:
        name = next(m for m in process(one).members if m != process(one).id)
        still.signal(signal.SIGSTOP)
        with one.follow("b") as viewer:
            viewer.wait("snapshot")
            page = asked(one, "GET", "/api/viewers").json()
            assert [len(page["viewers"]), page["silent"]] == [1, [name]]
            unknown = asked(one, "DELETE", "/api/viewers/ffffffffffff")
            assert unknown.status_code in {404, 503}  # 404 once it is a member no more
        still.signal(signal.SIGCONT)


@contextmanager
def processes_beside(text: str, count: int) -> Iterator[Running]:
    """Run a server beside others, and wait until it knows them all."""
    with serving(text) as running:
        until(lambda: is_ready(running) and len(process(running).members) == count)
        yield running


# -- how the feeds are, and pushes


def test_any_process_says_how_the_feeds_are(bus: Redis) -> None:
    """The same as the poller, with how old it is, and who the poller is."""
    with processes(config(bus), config(bus)) as (one, two):
        assert process(one).leads
        own, other = (r.get("/api/feeds").json() for r in (one, two))
        assert own["feeds"].keys() == other["feeds"].keys() == {"still", "other", "desk"}
        for name in "still", "other":
            assert other["feeds"][name] == own["feeds"][name]
        assert own["poller"] == other["poller"] == process(one).id
        assert 0 <= other["age"] < PATIENCE * 1000
        assert status(two)["feeds"]["still"]["attempts"] == 1
        assert two.get("/metrics").status_code == 200


def test_what_is_pushed_anywhere_reaches_the_boards_everywhere(bus: Redis) -> None:
    """And whoever pushes is told what came of it, at any process alike."""
    with processes(config(bus), config(bus)) as (one, two):
        for number, each in enumerate((one, two), 1):
            answer = post(each, [{"symbol": "A", "last": number}, {"symbol": "B", "last": "soon"}])
            assert answer.status_code == 200, answer.text
            told = answer.json()
            assert (told["rows"], told["rejected"]) == (1, 1)
            assert "row 'B'" in told["rejections"][0]
            until(lambda n=number: two.rows("p").get("A") == {"last": n})  # type: ignore[misc]
            until(lambda n=number: one.rows("p").get("A") == {"last": n})  # type: ignore[misc]
            assert post(each, b"{").status_code == 422
            assert post(each, b"x" * 10_001).status_code == 413
            assert post(each, {}, complete="no").status_code == 422
        assert post(two, [{"symbol": "C", "last": 3}], complete="true").status_code == 200
        until(lambda: one.rows("p") == two.rows("p") == {"C": {"last": 3}})
        until(lambda: not kept(two), what="the bus to forget")


def kept(running: Running) -> dict[str, bytes]:
    """Return what the bus keeps of what was pushed."""
    return on_bus(running, "pushed desk")


def on_bus(running: Running, table: str) -> dict[str, bytes]:
    """Return what a table has."""
    found = asyncio.run_coroutine_threadsafe(process(running).bus.get(table), running.loop)
    return dict(found.result(PATIENCE))


def test_without_a_poller_pushes_are_to_come_again(bus: Redis) -> None:
    """Nothing is taken that nobody would look at."""
    with processes(config(bus), config(bus)) as (one, two):
        bus.kill()
        for each in one, two:
            refused = post(each, [{"symbol": "A", "last": 1}])
            assert refused.status_code == 503
            assert int(refused.headers["retry-after"]) > 0


def test_nothing_that_was_accepted_is_lost_with_the_poller(bus: Redis, tmp_path: Path) -> None:
    """A poller that dies before it has looked at it: the next one does."""
    file = tmp_path / "ticker.yaml"
    file.write_text(config(bus).replace("every: 50ms", "every: 1h"))
    with members(file, 1) as (poller,), processes_beside(config(bus), 2) as other:
        until(lambda: poller.polls)
        for number in range(3):
            assert post(other, [{"symbol": "A", "last": number}]).status_code == 200
        assert post(other, [{"symbol": "B", "last": 9}]).status_code == 200
        assert len(kept(other)) == 4
        poller.kill()
        until(lambda: other.rows("p") == {"A": {"last": 2}, "B": {"last": 9}})
        until(lambda: not kept(other), what="the bus to forget")
        assert process(other).leads


# -- reloads


def with_change(text: str, *changes: tuple[str, str]) -> str:
    """Return a config with other words."""
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


CHANGES = {
    "a board is added": [("boards:\n", "boards:\n  d: {feeds: [other], flush: 10ms}\n")],
    "a board goes": [("  c: {feeds: [other], flush: 10ms}\n", "")],
    "a title is another": [("The board", "Another")],
    "columns are others": [
        ("feeds: [still], flush", "columns: [last, open], feeds: [still], flush")
    ],
    "a feed is added": [
        (
            "feeds:\n  still",
            "feeds:\n  more: {kind: simulate, every: 24h, symbols: {NEW: 5}}\n  still",
        ),
        ("feeds: [still]", "feeds: [still, more]"),
    ],
    "a feed is another": [("{SIM: 100}", "{SIM: 100, TWO: 7}")],
    "a feed is taken from a board": [("feeds: [still]", "feeds: [still, other]")],  # backwards
}


def seen(running: Running) -> dict[str, Any]:
    """Return what viewers see, but for times."""
    found = {}
    for board in running.get("/api/boards").json()["boards"]:
        message = running.get(f"/api/boards/{board['name']}").json()
        message.pop("at")
        message["feeds"] = {n: f["quality"] for n, f in message["feeds"].items()}
        found[board["name"]] = message
    return found


@pytest.mark.parametrize("order", ["poller first", "follower first"])
@pytest.mark.parametrize("what", CHANGES)
def test_boards_converge_whoever_reloads_first(
    what: str, order: str, bus: Redis, tmp_path: Path
) -> None:
    """Viewers of both are told over the same connection, and see the same in the end."""
    before, after = config(bus), with_change(config(bus), *CHANGES[what])
    if what.startswith("a feed is taken"):
        before, after = after, before
    files = [tmp_path / "one.yaml", tmp_path / "two.yaml"]
    for file in files:
        file.write_text(before)
    with processes(*files) as both, ExitStack() as stack:
        viewers = [stack.enter_context(r.follow("b", "c")) for r in both]
        for viewer in viewers:
            viewer.follow_until(lambda v: v.rows.keys() == {"b", "c"})
        turns = list(zip(both, files, strict=True))
        for running, file in turns if order == "poller first" else reversed(turns):
            file.write_text(after)
            reloads = running.ticker.reloads
            until(lambda r=reloads: r.ok == 1, what="the reload")  # type: ignore[misc]
        one, two = both
        expected = list(load(files[0], {}).settings.boards)
        until(lambda: list(seen(one)) == list(seen(two)) == expected)
        until(lambda: is_ready(one) and is_ready(two))
        until(lambda: seen(one) == seen(two), what="both to say the same")
        final = seen(one)
        for viewer in viewers:
            if "d" in expected:
                viewer.follow_until(lambda v: v.messages[-1].get("boards") == expected)
                viewer.send(type="subscribe", board="d")
            if "c" not in expected:
                viewer.follow_until(lambda v: v.messages[-1]["type"] == "error")
                viewer.follow_until(lambda v: v.messages[-1].get("boards") == expected)
            viewer.follow_until(
                lambda v: all(
                    v.rows.get(n) == message["rows"]
                    and v.seqs[n] == message["seq"]
                    and v.feeds[n].keys() == message["feeds"].keys()
                    for n, message in final.items()
                    if n != "p"
                )
            )
            looks = [m for m in viewer.messages if m["type"] == "snapshot" and m["board"] == "b"]
            assert looks[-1]["title"] == final["b"]["title"]
            assert looks[-1]["columns"] == final["b"]["columns"]
        if what == "a title is another":
            for viewer in viewers:
                viewer.follow_until(lambda v: "boards" in {m["type"] for m in v.messages})


def is_live(viewer: Follower, board: str) -> bool:
    """Whether a viewer is told that every feed of a board is live."""
    feeds = viewer.feeds.get(board, {}).values()
    return bool(feeds) and all(feed["quality"] == "live" for feed in feeds)


def test_a_board_that_the_poller_does_not_have_is_doubted(bus: Redis, tmp_path: Path) -> None:
    """Nobody fills it: its last state is not shown as if it were the present one."""
    file = tmp_path / "one.yaml"
    file.write_text(config(bus))
    with processes(file, config(bus)) as (one, two), two.follow("c") as viewer:
        viewer.follow_until(lambda v: is_live(v, "c"))
        file.write_text(with_change(config(bus), *CHANGES["a board goes"]))
        until(lambda: one.ticker.reloads.ok)
        viewer.follow_until(lambda v: v.feeds["c"]["other"]["quality"] == "stale")
        assert "does not have this board" in viewer.feeds["c"]["other"]["why"]
        file.write_text(config(bus))
        viewer.follow_until(lambda v: is_live(v, "c"))


@pytest.mark.parametrize("what", ["a board is added", "a feed is added"])
def test_a_rollout_that_adds_something_goes_on(what: str, bus: Redis) -> None:
    """Who has it is ready although the poller lacks it: that one is ended only then."""
    with processes(config(bus), with_change(config(bus), *CHANGES[what])) as (one, two):
        assert process(one).leads
        assert is_ready(two)
        if what == "a board is added":
            with two.follow("d") as viewer:
                viewer.follow_until(lambda v: "d" in v.feeds)
                assert viewer.feeds["d"]["other"]["quality"] == "stale"


def test_an_admin_reloads_all_processes(bus: Redis, tmp_path: Path) -> None:
    """Each its own file; what is wrong at one is told with its name."""
    files = [tmp_path / "one" / "t.yaml", tmp_path / "two" / "t.yaml"]
    for file in files:
        file.parent.mkdir()
        file.write_text(config(bus))
    with processes(*files) as (one, two):
        answer = asked(one, "POST", "/-/reload")
        assert answer.status_code == 200
        told = answer.json()
        assert told["changes"] == [] == told["silent"]
        assert told["processes"].keys() == {process(one).id, process(two).id}
        assert one.ticker.reloads.ok == two.ticker.reloads.ok == 1
        files[1].write_text("boards: 1")
        refused = asked(one, "POST", "/-/reload")
        assert refused.status_code == 422
        assert process(two).id in refused.json()["detail"]
        assert "error" not in refused.json()["processes"][process(one).id]


# -- how the processes are


def test_another_config_is_noticed(
    bus: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Said once in the log, and wherever ops look; a server's own address is its own business."""
    monkeypatch.setattr(members_module, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(members_module, "LOOK_SECONDS", 0.05)
    same = config(bus).replace("server: {", "server: {port: 0, max_viewers: 5, ")
    other = config(bus).replace("SIM: 200", "SIM: 201")
    with processes(config(bus), same, other) as (one, two, three):
        name = process(three).id
        for each in one, two:
            shown = {m["id"]: m for m in status(each)["bus"]["members"]}
            assert [m for m, card in shown.items() if not card["same_config"]] == [name]
            assert all(card["same_version"] for card in shown.values())
            assert "ticker_bus_config_differs 1.0" in each.get("/metrics").text
        assert "ticker_bus_config_differs 2.0" in three.get("/metrics").text
        # one and two say it of three, three of both
        until(lambda: said(caplog) == 4)
        looks = count_looks(one)
        until(lambda: looks() > 3, what="more looks")
        assert said(caplog) == 4


def said(caplog: pytest.LogCaptureFixture) -> int:
    """Return how often it was logged that a config is another."""
    return sum("has another config" in record.message for record in caplog.records)


def count_looks(running: Running) -> Callable[[], int]:
    """Return what says how often a process has compared itself with the others since."""
    looks: list[float] = []
    part: Any = running.ticker.members
    before = part._say

    def say(now: float) -> None:
        looks.append(now)
        before(now)

    part._say = say
    return lambda: len(looks)


def test_of_a_secret_only_that_it_differs_can_be_seen(bus: Redis) -> None:
    """Another token is another config; its name is too short to find the token out."""
    texts = [config(bus), config(bus).replace("-admins]", "-admind]")]
    names = []
    for text in texts:
        with serving(text) as running:
            names.append(fingerprint(running.ticker.settings))
            assert TOKEN not in orjson.dumps(status(running)).decode()
    assert names[0] != names[1]
    assert {len(name) for name in names} == {6}


def test_the_status_names_the_processes(bus: Redis) -> None:
    """Which is the poller, how many viewers each has, and whether they are ready."""
    with processes(config(bus), config(bus)) as (one, two), two.follow("b") as viewer:
        viewer.wait("snapshot")

        def told(running: Running) -> dict[str, dict[str, Any]]:
            return {m["id"]: m for m in status(running)["bus"]["members"]}

        until(lambda: told(one)[process(two).id]["viewers"] == 1)
        for each in one, two:
            bus_status = status(each)["bus"]
            assert bus_status["process"] == process(each).id
            assert bus_status["poller"] == process(one).id
            assert bus_status["why"] is None
        until(lambda: all(member["ready"] for member in told(two).values()))
        shown = told(two)
        assert [shown[process(r).id]["poller"] for r in (one, two)] == [True, False]
        assert all(m["pid"] > 0 and m["host"] and not m["draining"] for m in shown.values())


def test_top_shows_the_processes(bus: Redis) -> None:
    """Each with its state, and whether the bus is followed, from any of them."""
    other = config(bus).replace("SIM: 200", "SIM: 201")
    with processes(config(bus), other) as (_, two):
        until(lambda: all(m["ready"] for m in status(two)["bus"]["members"]))
        shown = run("top", two.url, "--once", COLUMNS="100")
        assert shown.returncode == 0, shown.stderr
        lines = [" ".join(line.split()) for line in shown.stdout.splitlines()]
        start = lines.index("bus followed")
        assert lines[start + 1] == "process state viewers up"
        assert sum("ready, reads the feeds, another config 0" in line for line in lines) == 1
        assert sum(f"{os.getpid()} ready, this one 0" in line for line in lines) == 1


# -- the end of one of them


def test_a_poller_that_drains_hands_over_at_once(bus: Redis, tmp_path: Path) -> None:
    """Well before its lease would have ended, and its viewers go on elsewhere by a diff."""
    file, lease = tmp_path / "ticker.yaml", 6.0
    file.write_text(moving(config(bus, lease=f"{lease:g}s")))
    with members(file, 2) as both:
        ready = monotonic()
        poller, other = sorted(both, key=lambda m: not m.polls)
        with poller.follow("b") as lost, other.follow("b") as viewer:
            # who is new, or had trouble, leaves the lease to the others for as long as it lasts
            for each in lost, viewer:
                each.follow_until(lambda v: monotonic() - ready > 1.5 * lease and v.seqs)
            poller.signal(signal.SIGTERM)
            began = monotonic()
            assert closed_with(lost) == 4000
            until(lambda: other.polls)
            before = viewer.seqs["b"]
            viewer.follow_until(lambda v: v.seqs["b"] > before)
            assert monotonic() - began < lease
            with going_on(lost, other) as back:
                back.follow_until(lambda v: v.seqs["b"] > before)
                assert "snapshot" not in {m["type"] for m in back.messages}
        until(lambda: len(other.get("/api/status")["bus"]["members"]) == 1)


def moving(text: str) -> str:
    """Return a config whose board `b` moves on and on."""
    return with_change(
        text, ("every: 24h, symbols: {SIM: 100}", "every: 50ms, symbols: {SIM: 100}")
    )


@contextmanager
def going_on(viewer: Follower, where: Running | Member) -> Iterator[Follower]:
    """Let a viewer of `b` come back, somewhere else, with what it has."""
    back = where.follow("b", epoch=viewer.epochs["b"], seq=viewer.seqs["b"])
    back.rows, back.seqs = dict(viewer.rows), dict(viewer.seqs)
    with back:
        yield back


def test_a_rotated_viewer_goes_on_elsewhere(bus: Redis) -> None:
    """By a diff, as if it had never been away."""
    text = moving(config(bus))
    rotating = text.replace("server: {", "server: {rotate: 500ms, ")
    with processes(rotating, text) as (one, two), one.follow("b") as viewer:
        assert closed_with(viewer) == 4003
        with going_on(viewer, two) as back:
            back.follow_until(lambda v: v.seqs["b"] > viewer.seqs["b"] + 3)
            assert "snapshot" not in {m["type"] for m in back.messages}
