"""What Prometheus is told of the real server: every metric, after a run in which all happens."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from time import time

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse
from websockets.exceptions import InvalidStatus

from tests.support import PATIENCE, Running, publish, quiet_server, serving, settings, source, until
from tests.test_viewers import big, raw_viewer
from ticker import __version__
from ticker.bus import BusError, Elsewhere, Fenced
from ticker.bus.memory import MemoryBus
from ticker.config import Server
from ticker.hub import Hub
from ticker.metrics import AT_ONCE
from ticker.quality import Quality
from ticker.runtime import Ticker
from ticker.traffic import LAG_BOUNDS, Lags

ALL_DOCS = (Path(__file__).parent.parent / "docs/metrics.md").read_text()
DOCS = ALL_DOCS.partition("## Workers")[0]  # of a process alone
OPEN = "application/openmetrics-text; version=1.0.0"

CONFIG = """
server: {{max_viewers: 2, presence: 0s}}
feeds:
  still: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
  coins: {{kind: poll, every: 100ms, url: "{url}/secret-path", fields: {{last: last}}}}
  games:
    kind: poll
    every: 100ms
    url: "{url}/games"
    fields: {{home_score: home, away_score: away, status: status}}
boards:
  b: {{feeds: [still], flush: 10ms}}
  c: {{feeds: [coins], flush: 10ms}}
  g: {{feeds: [games], layout: scores, flush: 10ms}}
"""

Told = dict[str, float]


def tell(server: Running) -> Told:
    """Return each sample by its name and labels, as they are written."""
    told = {}
    for family in parse(server.get("/metrics").text):
        for sample in family.samples:
            labels = ",".join(f"{k}={v}" for k, v in sorted(sample.labels.items()))
            told[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return told


@dataclass
class Run:
    """What was told in the middle of the run, and after it."""

    middle: Told
    end: Told
    text: str
    families: list[Metric]
    began: float
    large: int
    """Large changes that were published."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Let a feed be good and fail; let viewers join, pause, lag, be refused and leave."""
    began = time()
    rows = tmp_path_factory.mktemp("source") / "rows.json"
    rows.write_text(json.dumps([{"symbol": "A", "last": 1}, {"symbol": "B"}]))
    with source() as upstream, serving(CONFIG.format(url=upstream.url)) as server:
        ticker = server.ticker
        upstream.serve_file("/secret-path", rows)
        upstream.say("/games", [{"symbol": "G", "home": 2, "away": 0, "status": "live"}])
        coins, games = ticker.producer.health("coins"), ticker.producer.health("games")
        until(lambda: coins.unchanged and games.rows and server.get("/readyz").status_code == 200)
        upstream.say("/games", [{"symbol": "G", "home": 0, "away": 0, "status": "live"}])
        until(lambda: games.held)
        upstream.say("/secret-path", b"no", status=503)
        until(lambda: ticker.schedule.put_off("coins"))
        with server.follow("b") as viewer:
            viewer.wait("snapshot")
            publish(server, "b", {"X": {"name": "compressible " * 20}})
            viewer.wait("diff")
            raw = raw_viewer(server, receive=4096)
            (slow,) = until(lambda: [v for v in ticker.hub.viewers if v.id != viewer_id(viewer)])
            with pytest.raises(InvalidStatus), server.follow("b"):
                pass
            viewer.send(type="pause")
            until(lambda: any(v.paused for v in ticker.hub.viewers))
            value = 0
            while slow.ready or slow.watches["b"].seq == ticker.boards["b"].seq:
                publish(server, "b", big(value := value + 1))
            middle = tell(server)
            raw.settimeout(PATIENCE)
            while slow.watches["b"].seq != ticker.boards["b"].seq:
                raw.recv(1_000_000)
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()
            until(lambda: slow not in ticker.hub.viewers)
        until(lambda: not ticker.hub.viewers)
        server.call(lambda: ticker.lag._late.append(99.0))
        text = server.get("/metrics").text
        yield Run(middle, tell(server), text, list(parse(text)), began, value)


def viewer_id(viewer: object) -> str:
    """Return the id that a follower was welcomed with."""
    return str(viewer.messages[0]["viewer"])  # type: ignore[attr-defined] # a Follower


MIDDLE = {
    "ticker_viewers{state=live}": 0,
    "ticker_viewers{state=lagging}": 1,
    "ticker_viewers{state=paused}": 1,
    "ticker_viewers_most": 2,
    "ticker_board_viewers{board=b}": 2,
    "ticker_board_viewers{board=c}": 0,
    "ticker_viewer_joins_total": 2,
    "ticker_viewers_refused_total{why=full}": 1,
    "ticker_viewers_refused_total{why=draining}": 0,
    "ticker_viewer_leaves_total{code=1000}": 0,
}

END = {
    "ticker_viewers{state=live}": 0,
    "ticker_viewers{state=lagging}": 0,
    "ticker_viewers{state=paused}": 0,
    "ticker_board_viewers{board=b}": 0,
    "ticker_viewer_leaves_total{code=1000}": 1,
    "ticker_viewer_leaves_total{code=1006}": 1,
    "ticker_viewer_leaves_total{code=4001}": 0,
    "ticker_viewers_dropped_total{reason=connection lost}": 1,
    "ticker_viewers_dropped_total{reason=too slow}": 0,
    "ticker_feed_quality{feed=still,quality=live}": 1,
    "ticker_feed_quality{feed=still,quality=down}": 0,
    "ticker_feed_rows{feed=still}": 1,
    "ticker_feed_rows{feed=coins}": 1,
    "ticker_feed_rejected_total{feed=coins}": 1,
    "ticker_feed_bytes_total{feed=still}": 0,
    "ticker_feed_backoff_seconds{feed=still}": 0,
    "ticker_feed_skipped_total{feed=still}": 0,
    "ticker_feed_reads_total{feed=still,outcome=ok}": 1,
    "ticker_feed_reads_total{feed=still,outcome=failed}": 0,
    "ticker_feed_reads_total{feed=coins,outcome=ok}": 1,
    "ticker_board_rows{board=b}": 502,
    "ticker_board_rows{board=c}": 1,
    "ticker_loop_lag_seconds{quantile=1}": 99,
    "ticker_config_reloads_total{outcome=ok}": 0,
    "ticker_config_reloads_total{outcome=failed}": 0,
    "ticker_config_last_reload_successful": 1,
    "ticker_draining": 0,
    f"ticker_build_info{{version={__version__}}}": 1,
}

ABOVE_ZERO = [
    "ticker_feed_duration_seconds{feed=coins}",
    "ticker_feed_reads_total{feed=coins,outcome=unchanged}",
    "ticker_feed_reads_total{feed=coins,outcome=failed}",
    "ticker_feed_bytes_total{feed=coins}",
    "ticker_feed_held_total{feed=games}",
    "ticker_feed_backoff_seconds{feed=coins}",
    "ticker_board_seq{board=b}",
    "ticker_board_flush_seconds_total{board=b}",
    "ticker_frames_conflated_total",
    "ticker_send_lag_seconds_sum",
    "ticker_sent_bytes_total{form=plain}",
    "ticker_sent_bytes_total{form=compressed}",
    "ticker_tasks",
    "ticker_memory_blocks",
    "process_resident_memory_bytes",
    "python_gc_collections_total{generation=0}",
]


@pytest.mark.parametrize(("sample", "value"), MIDDLE.items())
def test_the_middle_of_the_run(run: Run, sample: str, value: float) -> None:
    """One viewer is paused, one lags, one more was refused."""
    assert run.middle[sample] == value


@pytest.mark.parametrize(("sample", "value"), END.items())
def test_the_end_of_the_run(run: Run, sample: str, value: float) -> None:
    """Everybody has left, one feed fails."""
    assert run.end[sample] == value


@pytest.mark.parametrize("sample", ABOVE_ZERO)
def test_it_is_counted(run: Run, sample: str) -> None:
    """Values that a busy machine changes are above zero."""
    assert run.end[sample] > 0


def test_a_feed_has_one_quality(run: Run) -> None:
    """There is a series for each, so that a rule can name the one it is about."""
    for feed in ("still", "coins", "games"):
        found = [run.end[f"ticker_feed_quality{{feed={feed},quality={q.value}}}"] for q in Quality]
        assert sorted(found) == [0, 0, 0, 0, 1]


def test_times_are_seconds_of_the_clock(run: Run) -> None:
    """Of the run, that is."""
    for name in (
        "ticker_feed_last_success_timestamp_seconds{feed=coins}",
        "ticker_config_last_reload_success_timestamp_seconds",
    ):
        assert run.began <= run.end[name] <= time()


def test_a_board_counts_what_it_publishes(run: Run) -> None:
    """Rows and flushes: the first row, the one of the test, and 500 in each large change."""
    assert run.end["ticker_board_changes_total{board=b}"] == 2 + 500 * run.large
    assert run.end["ticker_board_seq{board=b}"] == 2 + run.large
    assert run.end["ticker_board_flushes_total{board=b}"] >= 2 + run.large


def test_every_diff_has_its_lag(run: Run) -> None:
    """The histogram is cumulative and has no more than there were frames."""
    bounds = [*map(str, LAG_BOUNDS), "+Inf"]
    buckets = [run.end[f"ticker_send_lag_seconds_bucket{{le={bound}}}"] for bound in bounds]
    assert buckets == sorted(buckets)
    assert buckets[-1] == run.end["ticker_send_lag_seconds_count"]
    assert 2 <= buckets[-1] < run.end["ticker_frames_sent_total"]


def test_compression_shows(run: Run) -> None:
    """What went out is told beside what it was made of."""
    sent = run.end["ticker_sent_bytes_total{form=compressed}"]
    sent += run.end["ticker_sent_bytes_total{form=plain}"]
    assert sent != run.end["ticker_uncompressed_bytes_total"] > 1000


def test_no_address_and_no_viewer_is_in_it(run: Run) -> None:
    """Who reads metrics learns no secret, and labels are few."""
    assert "secret-path" not in run.text
    assert "127.0.0.1" not in run.text
    assert all(set(s.labels) <= LABELS for f in run.families for s in f.samples)


LABELS = {
    *("feed", "quality", "outcome", "board", "state", "code", "why", "reason", "form", "le"),
    *("quantile", "version", "generation", "way"),
}


# -- the store


KEPT = """
feeds: {f: {kind: simulate, every: 24h, symbols: {A: 1}}}
boards: {b: {feeds: [f], flush: 10ms}}
"""


@contextmanager
def keeping(folder: Path) -> Iterator[Running]:
    """Run a server that keeps its boards in a file."""
    path = folder / "config.yaml"
    path.write_text(KEPT)
    with serving(path) as server:
        yield server


def test_a_server_tells_of_its_store(tmp_path: Path) -> None:
    """Whether it is well, and what was written; one without has nothing to tell."""
    with keeping(tmp_path) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="the first reading")
        publish(server, "b", {"A": {"last": 2}})
        until(lambda: tell(server)["ticker_store_written_bytes_total"] > 0)
        told = tell(server)
        assert told["ticker_store_up"] == 1
        assert told["ticker_store_failures_total"] == 0
        assert told["ticker_store_written_timestamp_seconds"] >= server.ticker.started
    with serving(KEPT) as server:
        assert "ticker_store_up" not in tell(server)


# -- the bus

SHARED = """
bus: {url: "redis://127.0.0.1:1", lease: 4s}
feeds: {f: {kind: simulate, every: 24h, symbols: {A: 1}}}
boards: {b: {feeds: [f], flush: 10ms}}
"""


@pytest.fixture
def bus(monkeypatch: pytest.MonkeyPatch) -> MemoryBus:
    """Return the bus on which every server of the test is."""
    bus = MemoryBus()
    monkeypatch.setattr("ticker.runtime.connect", lambda _: bus)
    return bus


@contextmanager
def polling() -> Iterator[Running]:
    """Run a server that has read its feed, for the others too."""
    with serving(SHARED) as server:
        until(lambda: server.get("/readyz").status_code == 200, what="the first reading")
        yield server


def test_the_poller_tells_of_the_bus(bus: MemoryBus) -> None:
    """What it published, and that it read it again."""
    with polling() as server:
        cluster = server.ticker.cluster
        assert cluster is not None
        before = tell(server)
        publish(server, "b", {"A": {"last": 2}})
        until(lambda: tell(server)["ticker_bus_entries_total{way=read}"] >= 2)
        told = tell(server)
        assert told["ticker_bus_up"] == told["ticker_bus_poller"] == told["ticker_bus_members"] == 1
        assert told["ticker_bus_terms_total"] == 1
        assert told["ticker_bus_behind_seconds"] == 0
        assert told["ticker_bus_silence_seconds"] >= 0
        assert told["ticker_bus_reloads_total"] >= 1
        published = "ticker_bus_entries_total{way=published}"
        assert told[published] == before[published] + 1
        assert told["ticker_bus_bytes_total{way=read}"] > 0
        grown = told["ticker_bus_bytes_total{way=published}"]
        assert grown > before["ticker_bus_bytes_total{way=published}"]
        assert told["ticker_bus_publish_seconds_count"] == told[published]
        assert "ticker_feed_rows{feed=f}" in told


def test_entries_that_the_bus_does_not_take_are_counted(
    bus: MemoryBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By why."""
    with polling() as server:
        cluster, live = server.ticker.cluster, server.ticker.boards["b"]
        assert cluster is not None

        def refuse(error: BusError) -> None:
            async def publish(term: str, step: object) -> None:
                raise error

            def apply() -> None:
                monkeypatch.setattr(bus, "publish", publish)
                live.board.apply("f", {"A": {"last": id(error)}})
                live.changed.set()

            server.call(apply)

        refuse(BusError("no"))
        until(lambda: cluster.counts.failed)
        refuse(Elsewhere("b", None, None))
        until(lambda: cluster.counts.elsewhere)
        refuse(Fenced("no"))
        until(lambda: cluster.counts.fenced)
        told = tell(server)
        for why in ("failed", "elsewhere", "fenced"):
            assert told[f"ticker_bus_refused_total{{why={why}}}"] >= 1


def test_who_reads_no_feeds_tells_of_none(bus: MemoryBus) -> None:
    """Such as one that is about to end, and has given the lease back."""
    with polling() as server:
        server.ticker.hub.draining = True
        until(lambda: tell(server)["ticker_bus_poller"] == 0)
        told = tell(server)  # a moment later: an answer is not of one moment
        assert told["ticker_bus_terms_total"] == 1
        assert not [name for name in told if name.startswith("ticker_feed_")]


def test_without_a_bus_nothing_is_told_of_one(run: Run) -> None:
    """One process alone is not down, and nobody's poller."""
    assert not [name for name in run.end if name.startswith("ticker_bus_")]


# -- the documentation


def exposed(families: list[Metric]) -> set[str]:
    """Return the names of our families as they are written."""
    names = {f"{f.name}_total" if f.type == "counter" else f.name for f in families}
    return {name for name in names if name.startswith("ticker_")}


def test_the_documentation_names_every_metric_and_no_other(
    run: Run, bus: MemoryBus, tmp_path: Path
) -> None:
    """In a table, each with its labels, its meaning and an example that uses it."""
    table = re.findall(r"^\| `(ticker_\w+)` \|(.*?)\| (.+) \| `(.+)` \|$", DOCS, re.MULTILINE)
    with polling() as server, keeping(tmp_path) as alone:
        others = [parse(one.get("/metrics").text) for one in (server, alone)]
        families = [*run.families, *chain(*others)]
    assert {name for name, *_ in table} == exposed(families)
    assert len(table) == len(exposed(families))
    labels: dict[str, set[str]] = {}
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels[name] = {label for sample in family.samples for label in sample.labels}
    for name, told, meaning, example in table:
        assert set(re.findall(r"`(\w+)`", told)) == labels[name], name
        assert meaning
        assert name in example
        mentioned = {n.removesuffix("_bucket") for n in re.findall(r"ticker_\w+", example)}
        assert mentioned <= exposed(families), example


# -- formats


def parse_all_open(text: str) -> list[Metric]:
    """Return what OpenMetrics's own parser finds."""
    return list(parse_open(text))  # type: ignore[no-untyped-call] # the library's


def test_openmetrics_is_told_to_who_asks(run: Run) -> None:
    """It parses by its own, stricter rules, and has the same families."""
    with quiet_server() as server:
        answer = server.get("/metrics", accept=OPEN)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        assert answer.text.count("# EOF\n") == 1
        found = {f.name for f in parse_all_open(answer.text)}
        plain = server.get("/metrics")
        assert found == {f.name.removesuffix("_info") for f in parse(plain.text)}
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert plain.headers["cache-control"] == "no-store"
        assert plain.headers["content-encoding"] == "gzip"
        assert exposed(list(parse(plain.text))) == exposed(run.families)


@pytest.mark.parametrize("version", ["1.x", "x", "1.0.0,text/plain;version=2.", "-1", "1..0"])
def test_a_version_that_is_none_is_no_defect(version: str) -> None:
    """Whoever asks gets a document, whatever they accept."""
    with quiet_server() as server:
        answer = server.get("/metrics", accept=f"application/openmetrics-text; version={version}")
        assert answer.status_code == 200
        assert answer.text.startswith("# HELP")


MANY = AT_ONCE // 2  # so that their qualities are more than one piece


@pytest.mark.parametrize("accept", ["", OPEN])
async def test_many_feeds_are_told_in_pieces(accept: str) -> None:
    """The loop turns meanwhile, and what comes out is one well-formed document."""
    feeds = [f"  f{i}: {{kind: simulate, every: 24h, symbols: {{A: 1}}}}" for i in range(MANY)]
    ticker = Ticker(settings("\n".join(["feeds:", *feeds, "boards: {b: {feeds: [f0]}}"])))
    for name in ticker.settings.feeds:
        ticker.schedule.add(name, 86_400, lambda: asyncio.sleep(0, None))
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(turn())
    body, _ = await ticker.metrics.exposition(accept)
    task.cancel()
    families = {f.name: f for f in (parse_all_open if accept else parse)(body.decode())}
    qualities = families["ticker_feed_quality"].samples
    assert len(qualities) == MANY * len(Quality)
    assert len({s.labels["feed"] for s in qualities}) == MANY
    assert turns >= MANY * len(Quality) / AT_ONCE


def test_feeds_and_boards_are_those_there_are_now() -> None:
    """Nothing is remembered of a board that went."""
    with quiet_server() as server:
        assert "ticker_board_seq{board=c}" in tell(server)
        server.call(lambda: server.ticker.boards.pop("c"))
        assert "ticker_board_seq{board=c}" not in tell(server)


def test_reloads_are_told() -> None:
    """As whoever loads the config notes them."""
    with quiet_server() as server:
        reloads = server.ticker.reloads
        reloads.ok, reloads.failed, reloads.error, reloads.at = 3, 2, "c.yaml:1:1: no", 1234.5
        told = tell(server)
        assert told["ticker_config_reloads_total{outcome=ok}"] == 3
        assert told["ticker_config_reloads_total{outcome=failed}"] == 2
        assert told["ticker_config_last_reload_successful"] == 0
        assert told["ticker_config_last_reload_success_timestamp_seconds"] == 1234.5


# -- the counts


@pytest.mark.parametrize("code", [1000, 1001, 4999])
def test_leaves_are_counted_by_the_viewers_code(code: int) -> None:
    """One that nobody knows is `other`: a viewer must not make up labels."""
    with quiet_server() as server, server.follow("b") as viewer:
        viewer.wait("snapshot")
        viewer.socket.close(code)
        leaves = server.ticker.hub.leaves
        until(leaves.total)
        assert leaves == {"other" if code == 4999 else str(code): 1}


def test_leaves_are_counted_by_the_servers_code() -> None:
    """And the reason is counted as it always was."""
    with quiet_server() as server, server.follow("b") as viewer:
        viewer.wait("snapshot")
        viewer.socket.send(b"binary")
        hub = server.ticker.hub
        until(lambda: not hub.viewers)
        assert (hub.leaves, hub.closed) == ({"4500": 1}, {"bad message": 1})


def test_readers_of_events_are_counted() -> None:
    """They join, are sent plain bytes and leave without a code."""
    with quiet_server() as server:
        with httpx.stream("GET", f"{server.url}/events?board=b", timeout=PATIENCE) as answer:
            received = 0
            for chunk in answer.iter_bytes():
                received += len(chunk)
                if b"snapshot" in chunk:
                    break
        hub = server.ticker.hub
        until(lambda: not hub.viewers)
        assert (hub.joins, hub.leaves) == (1, {"1006": 1})
        assert hub.traffic.plain == received - len(b"retry: 3000\n\n")
        assert not hub.traffic.compressed


def test_refusals_say_why() -> None:
    """Full and draining are not the same to ops."""
    hub = Hub({}, Server.model_construct(max_viewers=0))
    hub.refuse()
    hub.draining = True
    hub.refuse()
    hub.refuse("not allowed")
    assert hub.refused == {"full": 1, "draining": 1, "not allowed": 1}


def test_who_wants_few_frames_is_not_late() -> None:
    """Waiting for the next frame of a slow rate is no lag."""
    with quiet_server() as server, server.follow("b", rate=1) as viewer:
        viewer.wait("snapshot")
        for value in range(3):
            publish(server, "b", {"X": {"last": value}})
            viewer.wait("diff")
        lags = server.ticker.hub.traffic.lags
        until(lambda: sum(lags.counts) == 3)  # counted once its batch is out
        assert lags.seconds < 1.5  # two of the three waited for almost a second each


@pytest.mark.parametrize(
    ("seconds", "bucket"), [(0, 0), (0.001, 0), (0.0011, 1), (30, 13), (31, 14), (1e9, 14)]
)
def test_a_lag_is_in_the_bucket_of_its_bound(seconds: float, bucket: int) -> None:
    """Bounds belong to their bucket, as Prometheus has it."""
    lags = Lags()
    lags.add(seconds, 250)
    assert lags.counts[bucket] == 250
    assert lags.seconds == seconds * 250
