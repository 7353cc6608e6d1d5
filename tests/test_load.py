"""The load test tells the truth: what is right passes, what is wrong does not."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given
from websockets.sync.server import ServerConnection, serve

from tests.buses import redis
from tests.support import Running, serving, source, until
from tests.test_cli import failed_in_one_line, run
from ticker.errors import TickerError
from ticker.load import report, verdict
from ticker.load.histogram import Histogram
from ticker.load.proof import Told, state_at
from ticker.load.viewer import apply

LIVELY = """
feeds:
  f: {{kind: simulate, every: 50ms, symbols: {{{symbols}}}}}
boards:
  b: {{feeds: [f], flush: 50ms}}
  c: {{feeds: [f]}}
""".format(symbols=", ".join(f"S{i}: {i + 10}" for i in range(30)))

SHORT = ("--viewers", "20", "--ramp", "0.5", "--duration", "2")


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server with a lively board."""
    with serving(LIVELY) as running:
        yield running


def measured(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Return a run in which the generator kept up; a busy machine gets three attempts."""
    for _ in range(3):
        result = run("load", *arguments)
        if "invalid: the generator" not in result.stdout:
            break
    return result


def test_a_good_run_passes(server: Running, tmp_path: Path) -> None:
    """Exit code 0, every sampled viewer converges, both files are written and comparable."""
    out, html = tmp_path / "run.json", tmp_path / "run.html"
    asserted = "gaps==0,duplicates==0,unconverged==0,connected==20,p50<10s"
    arguments = [server.url, *SHORT, "--assert", asserted]
    result = measured(*arguments, "--out", str(out), "--html", str(html))
    assert result.returncode == 0, result.stdout + result.stderr
    document = json.loads(out.read_text())
    assert (document["sampled"], document["converged"]) == (20, 20)
    assert document["seconds"][-1]["frames"] > 20
    page = html.read_text()
    assert page.count("<svg") == 3
    assert "http" not in page.replace(server.url, ""), "the report needs something from elsewhere"
    again = measured(*arguments, "--compare", str(out))
    assert "->" in again.stdout


@pytest.mark.parametrize("profile", ["slow", "flappy", "hidden", "storm"])
def test_every_profile_converges(server: Running, profile: str) -> None:
    """Whatever viewers do, they end with the server's state, without a gap."""
    result = measured(server.url, *SHORT, "--profile", profile, "--assert", "gaps==0")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_viewers_that_hide_may_move_as_well(server: Running) -> None:
    """One that is going is told nothing more, and says nothing: no defect of the load test."""
    arguments = ("--profile", "hidden", "--move", "1", "--duration", "8", "--assert", "gaps==0")
    result = measured(server.url, "--viewers", "60", "--ramp", "0.5", *arguments)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Traceback" not in result.stderr


def test_without_deflate_and_with_two_processes(server: Running) -> None:
    """More bytes, the same truth."""
    result = measured(server.url, *SHORT, "--no-deflate", "--procs", "2", "--board", "c")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "20 of them had the server's exact state" in result.stdout


def test_an_assertion_that_does_not_hold_fails(server: Running) -> None:
    """Exit code 1 and which one, with what it was."""
    result = measured(server.url, *SHORT, "--assert", "connected==21")
    assert result.returncode == 1
    assert "failed: connected==21: it is 20" in result.stdout


def test_a_wrong_board_is_told(server: Running) -> None:
    """Before any viewer is made."""
    result = run("load", server.url, *SHORT, "--board", "nope")
    failed_in_one_line(result, f"no board 'nope' at {server.url}; there are b, c")


def test_something_else_is_told() -> None:
    """A server of another kind, and none at all."""
    with source() as upstream:
        failed_in_one_line(run("load", upstream.url, *SHORT), "cannot reach")
        upstream.say("/api/boards", {"x": 1})
        failed_in_one_line(run("load", upstream.url, *SHORT), "does not answer like a ticker")
    failed_in_one_line(run("load", "127.0.0.1:1", *SHORT), "cannot reach http://127.0.0.1:1")


def test_a_server_that_dies_midway_is_told(tmp_path: Path) -> None:
    """Exit code not 0, the partial result is saved."""
    out = tmp_path / "run.json"
    with serving(LIVELY) as dying:
        done: list[Any] = []
        arguments = ("load", dying.url, "--viewers", "20", "--ramp", "0", "--duration", "4")
        thread = threading.Thread(target=lambda: done.append(run(*arguments, "--out", str(out))))
        thread.start()
        until(lambda: len(dying.ticker.hub.viewers) >= 20)
    thread.join()
    assert done[0].returncode == 1
    assert "no viewer was connected at the end" in done[0].stdout
    document = json.loads(out.read_text())
    assert document["metrics"]["lost"] == 20
    assert document["metrics"]["connected"] == 0
    assert "Traceback" not in done[0].stderr


# -- a server that lies


def snapshot(seq: int, last: int) -> dict[str, Any]:
    """Return a snapshot message of one row."""
    return {
        "type": "snapshot",
        "board": "b",
        "epoch": "e",
        "seq": seq,
        "rows": {"A": {"last": last}},
    }


def tick(prev: int, seq: int, last: int) -> dict[str, Any]:
    """Return a diff message of one field."""
    rows = {"A": {"last": last}}
    return {"type": "diff", "board": "b", "prev": prev, "seq": seq, "at": 0, "rows": rows}


@contextmanager
def lying(messages: list[dict[str, Any]], claims: dict[str, Any]) -> Iterator[str]:
    """Run a server that says ``messages`` to each viewer, and ``claims`` as its REST snapshot."""

    def handle(connection: ServerConnection) -> None:
        for message in messages:
            connection.send(json.dumps(message))
        for _ in connection:
            pass

    def answer(connection: ServerConnection, request: Any) -> Any:
        if request.path.startswith("/ws"):
            return None
        boards = {"boards": [{"name": "b"}]}
        body = boards if request.path == "/api/boards" else claims
        return connection.respond(200, json.dumps(body))

    with serve(handle, "127.0.0.1", 0, process_request=answer, compression=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("messages", "claims", "words"),
    [
        ([snapshot(1, 1), tick(1, 2, 5)], snapshot(2, 6), "did not have the server's state"),
        ([snapshot(1, 1)], snapshot(2, 1), "did not have the server's state"),
        ([snapshot(1, 1), tick(2, 3, 5)], snapshot(1, 1), "gaps==0: it is 2"),
        ([snapshot(2, 1), tick(1, 2, 5)], snapshot(2, 1), "duplicates==0: it is 2"),
        ([snapshot(1, 1), snapshot(1, 1)], snapshot(1, 1), "resyncs==0: it is 2"),
        ([], snapshot(1, 1), "no viewer was told anything"),
    ],
    ids=["wrong value", "missing change", "gap", "duplicate", "second snapshot", "silence"],
)
def test_a_lie_is_found(messages: list[Any], claims: dict[str, Any], words: str) -> None:
    """Wrong values, gaps, repetitions and silence fail the run."""
    with lying(messages, claims) as url:
        asserted = "gaps==0,duplicates==0,resyncs==0"
        short = ("--viewers", "2", "--ramp", "0", "--duration", "1")
        result = measured(url, *short, "--assert", asserted)
    assert result.returncode == 1, result.stdout
    assert words in result.stdout
    assert "Traceback" not in result.stderr


# -- several processes


BUS = 'bus: {{url: "{url}"}}\n'
MOVING = ("--viewers", "30", "--ramp", "0.5", "--duration", "4", "--move", "0.4")
RIGHT = "gaps==0,duplicates==0,errors==0,backwards==0,contradictions==0,disagreeing==0"


@contextmanager
def together(directory: Path, count: int) -> Iterator[list[Running]]:
    """Run servers with a lively board that meet on a Redis."""
    with redis(directory) as bus, ExitStack() as stack:
        config = BUS.format(url=bus.url) + LIVELY
        servers = [stack.enter_context(serving(config)) for _ in range(count)]
        for server in servers:
            until(lambda s=server: s.get("/readyz").status_code == 200, what="a server's start")  # type: ignore[misc]
        yield servers


def test_viewers_move_between_processes(tmp_path: Path) -> None:
    """They go on where they were, by a diff; all processes agree at the end."""
    out, html = tmp_path / "run.json", tmp_path / "run.html"
    with together(tmp_path, 3) as servers:
        urls = [server.url for server in servers]
        asserted = f"{RIGHT},resnapshots==0,resnapshot_percent<=0,moves>5,resumed>5,connected==30"
        files = ("--out", str(out), "--html", str(html))
        result = measured(*urls, *MOVING, *files, "--assert", asserted)
    assert result.returncode == 0, result.stdout + result.stderr
    document = json.loads(out.read_text())
    assert (document["sampled"], document["converged"]) == (30, 30)
    assert [(p["url"], p["agrees"]) for p in document["processes"]] == [(u, True) for u in urls]
    assert sum(process["viewers"] for process in document["processes"]) == 30
    assert all(url in html.read_text() for url in urls)
    assert result.stdout.count("agrees at") == 3


def test_who_loses_a_process_goes_on_at_another(tmp_path: Path) -> None:
    """Nothing is lost; but nothing can be proven of a process that is not there any more."""
    out = tmp_path / "run.json"
    with together(tmp_path, 2) as servers, ExitStack() as stack:
        dying = stack.enter_context(serving(servers[0].ticker.settings))
        until(lambda: dying.get("/readyz").status_code == 200, what="the third server's start")
        done: list[Any] = []
        urls = (*(server.url for server in servers), dying.url)
        asserted = f"{RIGHT},connected==30,resnapshots==0,reconnected==10,lost==10"
        short = ("--viewers", "30", "--ramp", "0", "--duration", "6")
        arguments = ("load", *urls, *short, "--out", str(out), "--assert", asserted)
        thread = threading.Thread(target=lambda: done.append(run(*arguments)))
        thread.start()
        until(lambda: len(dying.ticker.hub.viewers) >= 10)
        stack.close()
        thread.join()
    assert done[0].returncode in {1, 2}, done[0].stdout + done[0].stderr  # 2: a busy machine
    failed = [line for line in done[0].stdout.splitlines() if line.startswith("failed")]
    assert failed == [f"failed: not there at the end, so nothing is proven of it: {dying.url}"]
    document = json.loads(out.read_text())
    assert [process["answers"] for process in document["processes"]] == [True, True, False]
    assert document["converged"] == 30


def test_a_process_with_another_state_is_found(tmp_path: Path) -> None:
    """One row is not what the others have, and nothing ever mends it."""
    with together(tmp_path, 3) as servers:
        liar = servers[1]
        live = liar.ticker.boards["b"]
        liar.call(lambda: live.board.snapshot().rows["S1"].update(note="no such thing"))
        result = measured(*(server.url for server in servers), *SHORT)
    assert result.returncode == 1
    (failed,) = [line for line in result.stdout.splitlines() if "does not agree" in line]
    assert failed.startswith(f"failed: {liar.url} does not agree with the others")


def test_processes_that_have_nothing_in_common_are_told(server: Running) -> None:
    """Each is right by itself; a viewer that goes to the other is led to another world."""
    with serving(LIVELY) as stranger:
        asserted = ("--assert", "resnapshots==0")
        result = measured(server.url, stranger.url, *SHORT, "--move", "0.5", *asserted)
    assert result.returncode == 1
    assert "does not agree with the others" in result.stdout
    assert "failed: resnapshots==0" in result.stdout


@pytest.mark.parametrize(
    ("one", "other", "words"),
    [
        (
            [snapshot(1, 1), tick(1, 2, 5), tick(2, 3, 7)],
            [snapshot(1, 1), tick(1, 2, 6), tick(2, 3, 7)],
            "two viewers were told different things of one step",
        ),
        ([snapshot(3, 7)], [snapshot(3, 7), snapshot(2, 5), snapshot(3, 7)], "back to the past"),
    ],
    ids=["contradiction", "back"],
)
def test_a_lie_of_one_of_two_is_found(one: list[Any], other: list[Any], words: str) -> None:
    """Although both have the same state at the end."""
    with lying(one, snapshot(3, 7)) as first, lying(other, snapshot(3, 7)) as second:
        short = ("--viewers", "2", "--ramp", "0", "--duration", "1")
        result = measured(first, second, *short)
    assert result.returncode == 1, result.stdout
    assert words in result.stdout


def test_who_hears_nothing_goes_to_another_process() -> None:
    """A process may be stopped, or cut off, with all its connections in place."""
    welcome = {"type": "welcome", "protocol": 1, "viewer": "v", "heartbeat": 0.2, "boards": ["b"]}
    says = [welcome, snapshot(1, 1)]
    with lying(says, snapshot(1, 1)) as first, lying(says, snapshot(1, 1)) as second:
        short = ("--viewers", "2", "--ramp", "0", "--duration", "3")
        result = measured(first, second, *short, "--assert", "reconnected>=2,lost>=2")
    assert result.returncode == 0, result.stdout
    assert "x nothing came for 3 heartbeats" in result.stdout


def told(*said: tuple[str, str, int, int]) -> Told:
    """Return what processes a, b and c said: name, epoch, seq and the only value."""
    heard = Told(["a", "b", "c"])
    for name, epoch, seq, value in said:
        heard.hear(name, (epoch, seq), {"A": {"last": value}})
    return heard


def test_processes_agree_where_they_met() -> None:
    """All of them with one at least, at a place where both were."""
    heard = told(("a", "e", 1, 1), ("b", "e", 1, 1), ("b", "e", 2, 2), ("c", "e", 2, 2))
    assert heard.apart() == {}
    assert heard.common()["c"] == {("e", 2): {"A": {"last": 2}}}


@pytest.mark.parametrize(
    "lie",
    [("c", "e", 2, 9), ("c", "f", 2, 2), ("c", "e", 3, 2)],
    ids=["another value", "another epoch", "never there"],
)
def test_a_process_that_was_never_like_the_others_is_apart(lie: tuple[str, str, int, int]) -> None:
    """Whether it lies or was elsewhere: nothing is proven of it."""
    heard = told(("a", "e", 2, 2), ("b", "e", 2, 2), lie)
    assert heard.apart() == {"c": f"epoch {lie[1]}, seq {lie[2]}"}
    assert heard.common().keys() == {"a", "b"}
    assert told(("a", "e", 2, 2)).silent() == ["b", "c"]


# -- the parts


@given(st.lists(st.floats(0.01, 1e6), min_size=1))
def test_percentiles_are_right_to_three_percent(values: list[float]) -> None:
    """Compared with the sorted values themselves."""
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    for percent in (50, 90, 99, 100):
        rank = -(-len(values) * percent // 100)
        exact = sorted(values)[max(0, rank - 1)]
        assert histogram.percentile(percent) == pytest.approx(exact, rel=0.03)


def test_histograms_add_up() -> None:
    """What two processes saw is what one would have seen."""
    one, two = Histogram(), Histogram()
    one.add(1)
    two.add(100)
    one.merge(Histogram(two.counts()))
    assert one.total == 2
    assert one.percentile(100) == pytest.approx(100, rel=0.03)
    assert Histogram().percentile(50) is None


@pytest.mark.parametrize(
    ("text", "found", "holds"),
    [
        ("p99<100ms", 99.0, True),
        ("p99<0.1s", 101.0, False),
        ("gaps==0", 0.0, True),
        ("messages_per_s>=10", 9.0, False),
        ("lost <= 3", 3.0, True),
        ("p99<100ms", None, False),
    ],
)
def test_assertions(text: str, found: float | None, holds: bool) -> None:
    """What was not measured never holds."""
    (assertion,) = verdict.parse(text)
    assert (assertion.check({assertion.metric: found}) is None) is holds


@pytest.mark.parametrize("text", ["p98<1ms", "gaps=0", "p99<100", "gaps<3ms", "p99", "p99<ms"])
def test_bad_assertions_are_told(text: str) -> None:
    """Unknown metrics, operators and units are named."""
    with pytest.raises(TickerError, match="assertion"):
        verdict.parse(text)


@pytest.mark.parametrize(
    ("cpu", "lag", "saturated"), [(0.5, 5, False), (0.99, 5, True), (0.5, 200, True)]
)
def test_a_saturated_generator_proves_nothing(cpu: float, lag: float, saturated: bool) -> None:
    """Then its own slowness would be taken for the server's."""
    assert bool(verdict.saturated(cpu, lag)) is saturated


def test_a_state_on_the_way_is_found() -> None:
    """The proof compares at a seq that both the viewer and the server have been at."""
    trail: list[tuple[int, dict[str, Any]]] = [
        (2, {"A": {"last": 2}}),
        (5, {"A": None, "B": {"last": 1}}),
    ]

    def base(seq: int) -> Any:
        return state_at(seq, 1, {"A": {"last": 1}}, trail)

    assert base(1) == {"A": {"last": 1}}
    assert base(2) == {"A": {"last": 2}}
    assert base(5) == {"B": {"last": 1}}
    assert base(4) is None


def test_apply_never_changes_a_row() -> None:
    """Rows of a snapshot that others hold stay as they were."""
    row = {"last": 1, "name": "x"}
    rows = {"A": row}
    apply(rows, {"A": {"last": 2, "name": None}})
    assert (rows, row) == ({"A": {"last": 2}}, {"last": 1, "name": "x"})


def test_data_is_text_in_the_report() -> None:
    """Markup in an address cannot get into the page."""
    run_ = {
        "load": {"url": "<script>"},
        "metrics": {"p50": None},
        "seconds": [],
        "latency": [],
        "invalid": None,
        "failures": ["<b>"],
    }
    page = report.page(run_)
    assert "<script>" not in page
    assert "&lt;b&gt;" in page
