"""Several workers behind one port: whoever dies, viewers of the others do not notice."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from prometheus_client import Metric
from prometheus_client.metrics_core import CounterMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import ConnectionClosed

from tests.buses import Member, redis
from tests.support import PATIENCE, Follower, quiet_server, until
from tests.test_cli import failed_in_one_line, free_port, run
from tests.test_drain import SLOW
from tests.test_metrics import ALL_DOCS
from ticker import metrics
from ticker.siblings import Siblings
from ticker.worker import Worker

CONFIG = """
server: {{host: "{host}", port: 0, workers: 2, {server}}}
bus: {{url: "{url}"}}
feeds:
  f: {{kind: simulate, every: 100ms, symbols: {{A: 10, B: 20}}}}
boards:
  b: {{feeds: [f]}}
"""
ALONE = """
server: {workers: 2}
feeds:
  f: {kind: simulate, every: 100ms, symbols: {A: 10, B: 20}}
boards:
  b: {feeds: [f]}
"""


class Workers(Member):
    """``ticker serve`` with two workers."""

    def lines(self, words: str) -> list[dict[str, Any]]:
        """Return the log lines with these words."""
        found = [line for line in self.said.splitlines() if words in line]
        return [orjson.loads(line) for line in found if line.startswith("{")]

    def processes(self, number: int) -> list[int]:
        """Return the ids of the processes that a worker was, the present one last."""
        return [int(pid) for pid in re.findall(rf"worker {number} is process (\d+)", self.said)]

    def families(self) -> dict[str, Metric]:
        """Return the metrics by name; none while there is no answer."""
        with suppress(httpx.TransportError):
            text = httpx.get(self.url + "/metrics", timeout=PATIENCE).text
            families = list(text_string_to_metric_families(text))
            assert len({family.name for family in families}) == len(families)
            return {family.name: family for family in families}
        return {}

    def viewers(self) -> dict[str, float]:
        """Return how many viewers each worker has."""
        found = {"1": 0.0, "2": 0.0}
        families = self.families()
        for sample in families["ticker_viewers"].samples if families else ():
            found[sample.labels["worker"]] += sample.value
        return found

    @property
    def whole(self) -> bool:
        """Whether all workers answer."""
        up = self.families().get("ticker_worker_up")
        return up is not None and [sample.value for sample in up.samples] == [1, 1]

    def ended(self) -> int:
        """Wait for the end and return the exit code."""
        return self.process.wait(SLOW)


@contextmanager
def workers(
    directory: Path, server: str = "drain: 10s", host: str = "127.0.0.1"
) -> Iterator[Workers]:
    """Run two workers and their bus."""
    with redis(directory) as bus:
        config = directory / "ticker.yaml"
        config.write_text(CONFIG.format(url=bus.url, server=server, host=host))
        running = Workers(config)
        try:
            until(lambda: running.lines("all workers are ready"), what="the start", patience=SLOW)
            yield running
        finally:
            running.kill()


@contextmanager
def viewers_of_both(running: Workers) -> Iterator[list[Follower]]:
    """Connect viewers until both workers have some; all have seen the poller live for a while."""
    with ExitStack() as stack:
        viewers: list[Follower] = []

        def another() -> bool:
            viewers.append(stack.enter_context(running.follow("b")))
            return min(running.viewers().values()) > 0

        until(another, what="viewers at both workers")
        for viewer in viewers:
            viewer.follow_until(lambda v: v.seqs.get("b", 0) > 5)
        yield viewers


def gone(pid: int) -> bool:
    """Whether a process has ended."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    with suppress(OSError):
        return stat.read_text().rpartition(")")[2].split()[0] == "Z"
    return True


def test_both_get_viewers_and_say_the_same(tmp_path: Path) -> None:
    """Each diff is the same text for viewers of both: one epoch, one line of seqs."""
    with workers(tmp_path) as running, viewers_of_both(running) as viewers:
        seq = max(viewer.seqs["b"] for viewer in viewers) + 5
        for viewer in viewers:
            viewer.follow_until(lambda v: v.seqs["b"] >= seq)
        assert len({viewer.epochs["b"] for viewer in viewers}) == 1
        said: dict[int, set[bytes]] = {}
        for viewer in viewers:
            for message in viewer.messages:
                if message["type"] == "diff" and message["prev"] == message["seq"] - 1:
                    said.setdefault(message["seq"], set()).add(orjson.dumps(message))
        assert len(said[seq]) == 1
        assert all(len(texts) == 1 for texts in said.values())


@pytest.mark.parametrize("number", [1, 2])
def test_a_killed_worker_comes_back_and_the_other_does_not_notice(
    tmp_path: Path, number: int
) -> None:
    """Its viewers go on at another by a diff; those of the other have neither snapshot nor gap."""
    with workers(tmp_path) as running, viewers_of_both(running) as viewers:
        os.kill(running.processes(number)[-1], signal.SIGKILL)
        lost = []
        for viewer in viewers:
            at = viewer.seqs["b"]
            try:
                viewer.follow_until(lambda v, at=at: v.seqs["b"] > at + 6)  # type: ignore[misc]
            except ConnectionClosed:
                lost.append(viewer)
            else:
                assert [m["type"] for m in viewer.messages].count("snapshot") == 1
        assert 0 < len(lost) < len(viewers)
        for viewer in lost:
            known = viewer.epochs["b"], viewer.seqs["b"]
            back = running.follow("b", epoch=known[0], seq=known[1])
            back.rows, back.seqs = dict(viewer.rows), dict(viewer.seqs)
            with back:
                back.follow_until(lambda v, at=known[1]: v.seqs["b"] > at + 3)  # type: ignore[misc]
                assert not [m for m in back.messages if m["type"] == "snapshot"]
        until(lambda: len(running.processes(number)) == 2, what="another process")
        until(lambda: running.whole, what="the worker's return", patience=SLOW)
        (line,) = running.lines(f"worker {number} ended")
        assert line["event"].endswith("killed by signal 9; it is started again now")


def test_log_lines_say_which_worker(tmp_path: Path) -> None:
    """Each worker's, and none of the parent's."""
    with workers(tmp_path) as running:
        assert {line["worker"] for line in running.lines("the bus answers")} == {1, 2}
        assert "worker" not in running.lines("all workers are ready")[0]


def test_at_the_end_all_viewers_are_told(tmp_path: Path) -> None:
    """A goodbye to viewers of both workers, exit code 0, and nothing left behind."""
    with workers(tmp_path, "return_within: 7s") as running, viewers_of_both(running) as viewers:
        processes = [running.processes(number)[-1] for number in (1, 2)]
        command = Path(f"/proc/{processes[0]}/cmdline").read_bytes().split(b"\0")
        place = Worker.parse(command[-2].decode()).place
        assert place.stat().st_mode & 0o777 == 0o700
        running.signal(signal.SIGTERM)
        for viewer in viewers:
            goodbye = {"type": "goodbye", "code": 4000, "retry": [0.0, 7.0]}
            assert viewer.wait("goodbye", SLOW) == goodbye
        assert running.ended() == 0
        assert all(map(gone, processes))
        assert not place.exists()
        assert not running.lines("started again")


def test_a_signal_to_the_whole_group_is_one(tmp_path: Path) -> None:
    """A terminal sends Ctrl-C to workers, too, and systemd SIGTERM: nobody is cut off by that."""
    with workers(tmp_path) as running, viewers_of_both(running) as viewers:
        processes = [running.processes(number)[-1] for number in (1, 2)]
        for pid in [running.process.pid, *processes]:
            os.kill(pid, signal.SIGINT)
        for viewer in viewers:
            viewer.wait("goodbye", SLOW)
        assert running.ended() == 0


def test_a_second_signal_ends_all_at_once(tmp_path: Path) -> None:
    """Whatever the first one still waits for."""
    with workers(tmp_path, "drain_delay: 1h") as running:
        processes = [running.processes(number)[-1] for number in (1, 2)]
        running.signal(signal.SIGTERM)
        until(lambda: len(running.lines("draining 0 viewers")) == 2, what="the first")
        running.signal(signal.SIGTERM)
        assert running.ended() == 128 + 15
        until(lambda: all(map(gone, processes)), what="the workers' end")


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    """Killed with -9 it says nothing; they say goodbye to their viewers and end."""
    with workers(tmp_path) as running, viewers_of_both(running) as viewers:
        processes = [running.processes(number)[-1] for number in (1, 2)]
        running.process.kill()
        for viewer in viewers:
            viewer.wait("goodbye", SLOW)
        until(lambda: all(map(gone, processes)), what="the workers' end", patience=SLOW)


def test_a_worker_that_is_asked_to_end_is_renewed(tmp_path: Path) -> None:
    """It says goodbye to its viewers, and another takes its place."""
    with workers(tmp_path) as running:
        os.kill(running.processes(2)[-1], signal.SIGTERM)
        until(lambda: len(running.processes(2)) == 2, what="another process", patience=SLOW)
        until(lambda: running.whole, what="the worker's return", patience=SLOW)
        assert "exit code 0" in running.lines("worker 2 ended")[0]["event"]


def test_a_reload_reaches_all(tmp_path: Path) -> None:
    """SIGHUP to the parent lets each worker read the config again."""
    with workers(tmp_path) as running:
        running.signal(signal.SIGHUP)
        until(lambda: len(running.lines("config reloaded")) == 2, what="the reload")
        assert {line["worker"] for line in running.lines("config reloaded")} == {1, 2}


def test_one_scrape_tells_of_all_workers(tmp_path: Path) -> None:
    """Each family once, each sample with its worker; feeds are told by the one that reads them."""
    with workers(tmp_path) as running:
        families = until(running.families)
        for family in families.values():
            assert all(sample.labels["worker"] in {"1", "2"} for sample in family.samples)
        both = {"ticker_board_seq", "ticker_viewers", "process_cpu_seconds", "ticker_build"}
        for name in both | {"python_gc_collections", "ticker_worker_up"}:
            samples = families.get(name, families.get(name + "_info"))
            assert samples is not None, name
            assert {sample.labels["worker"] for sample in samples.samples} == {"1", "2"}
        assert "| `ticker_worker_up` | `worker` |" in ALL_DOCS
        assert len({s.labels["worker"] for s in families["ticker_feed_rows"].samples}) == 1


def test_it_listens_where_the_config_says(tmp_path: Path) -> None:
    """On IPv6, too, on a free port that both workers share."""
    with workers(tmp_path, host="::1") as running:
        (line,) = running.lines("serving b on")
        where = f"http://[::1]:{running.port}"
        assert line["event"] == f"serving b on {where} with 2 workers"
        assert httpx.get(f"{where}/healthz", timeout=PATIENCE).json()["status"] == "ok"


# -- what cannot be


def test_a_port_in_use_is_said_once(tmp_path: Path) -> None:
    """Also where those who use it are workers, who would let others in."""
    with workers(tmp_path) as running:
        arguments = "serve", "--config", str(tmp_path / "ticker.yaml"), "--port", str(running.port)
        for more in ((), ("--workers", "1")):
            result = run(*arguments, *more)
            failed_in_one_line(result, f"cannot listen on 127.0.0.1:{running.port}: Address")
            assert result.stderr.count("cannot listen") == 1
            assert "is process" not in result.stderr


def test_workers_need_a_bus(tmp_path: Path) -> None:
    """It says what to add; one worker needs none."""
    config = tmp_path / "config.yaml"
    config.write_text(ALONE)
    words = "more than one worker needs a bus"
    result = run("check", str(config))
    failed_in_one_line(result, words)
    assert "config.yaml:2:19" in result.stderr
    config.write_text(ALONE.replace("workers: 2", "port: 0"))
    failed_in_one_line(run("serve", "-c", str(config), "--workers", "2"), words)
    assert "redis://localhost:6379/0" in run("serve", "-c", str(config), "--workers", "2").stderr


def test_a_bad_config_is_said_once(tmp_path: Path) -> None:
    """By the parent, before anything starts."""
    config = tmp_path / "config.yaml"
    config.write_text(ALONE.replace("every", "evry") + "bus: {url: 'redis://127.0.0.1:1'}\n")
    result = run("serve", "-c", str(config))
    failed_in_one_line(result, "unknown key")
    assert result.stderr.count("unknown key") == 1


@pytest.mark.parametrize("text", [None, ALONE.replace("workers: 2", "port: 0")])
def test_a_worker_serves_nothing_else(tmp_path: Path, text: str | None) -> None:
    """Neither the demo while the file is away, nor feeds of its own when the bus is not in it."""
    words = "config.yaml:1:1: cannot read"
    if text is not None:
        (tmp_path / "config.yaml").write_text(text)
        words = "config.yaml: more than one worker needs a bus"
    with socket.create_server(("127.0.0.1", 0)) as listener:
        part = Worker(1, 2, listener.fileno(), 0, tmp_path)
        failed_in_one_line(run("serve", "--worker", str(part), cwd=tmp_path), words)


def test_a_place_that_cannot_be_is_said(tmp_path: Path) -> None:
    """Where temporary files go, workers must be able to meet."""
    config = tmp_path / "config.yaml"
    config.write_text(ALONE + "bus: {url: 'redis://127.0.0.1:1'}\n")
    far = tmp_path / ("x" * 100)
    far.mkdir()
    result = run("serve", "-c", str(config), "--port", "0", TMPDIR=str(far))
    failed_in_one_line(result, f"no place for the workers' sockets in {far}: AF_UNIX path too long")
    assert not list(far.iterdir())


def test_workers_that_end_at_once_again_and_again(tmp_path: Path) -> None:
    """Each try waits longer; when all of them do, the parent ends, too."""
    port = free_port()
    (tmp_path / "config.yaml").write_text(ALONE + "bus: {url: 'redis://127.0.0.1:1'}\n")
    log = tmp_path / "log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-c", SHORT_LIVED, "serve", "--port", str(port)],
            stderr=stderr,
            cwd=tmp_path,
        )
        try:
            assert process.wait(SLOW) == 1
        finally:
            process.kill()
            process.wait(PATIENCE)
    said = log.read_text()
    for number in (1, 2):
        found = re.findall(rf"worker {number} ended: exit code 3; .*? (now|in \S+ s)", said)
        assert found[:4] == ["now", "in 0.02 s", "in 0.04 s", "in 0.08 s"]
    assert said.count("giving up") == 1
    assert "Traceback" not in said
    with socket.socket() as free:
        free.bind(("127.0.0.1", port))


SHORT_LIVED = """
import sys
from ticker import cli, workers
if "--worker" in sys.argv:
    sys.exit(3)
workers.BACK_OFF_SECONDS = (0.01, 0.1)
cli.main()
"""


# -- the service manager


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Return the manager's end of NOTIFY_SOCKET."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "n"))
        listener.settimeout(SLOW)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "n"))
        yield listener


def heard(manager: socket.socket) -> str:
    """Return the next thing that the manager is told, but that somebody lives."""
    while (words := manager.recv(1000).decode()) == "WATCHDOG=1":
        pass
    return words


def test_the_manager_hears_one_program(manager: socket.socket, tmp_path: Path) -> None:
    """Ready when all are; one reload, however many do it; nothing of a worker that is renewed."""
    with workers(tmp_path) as running:
        assert heard(manager) == "READY=1"
        os.kill(running.processes(1)[-1], signal.SIGKILL)
        until(lambda: len(running.processes(1)) == 2 and running.whole, patience=SLOW)
        running.signal(signal.SIGHUP)
        assert heard(manager).startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert heard(manager) == "READY=1"
        until(lambda: running.lines("config reloaded"))
        running.signal(signal.SIGTERM)
        assert heard(manager) == "STOPPING=1"
        assert running.ended() == 0
        manager.setblocking(False)
        with pytest.raises(BlockingIOError):
            heard(manager)


def test_a_worker_that_hangs_is_killed(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the time that the manager's watchdog gives; the manager hears that all is well."""
    monkeypatch.setenv("WATCHDOG_USEC", "6000000")
    with workers(tmp_path) as running:
        os.kill(running.processes(2)[-1], signal.SIGSTOP)
        until(lambda: len(running.processes(2)) > 1, what="another process", patience=SLOW)
        until(lambda: running.whole, what="the worker's return", patience=SLOW)
        assert "does nothing for" in running.said
        assert heard(manager) == "READY=1"
        assert manager.recv(1000) == b"WATCHDOG=1"


# -- what workers tell each other


def told(value: float) -> list[Metric]:
    """Return families of one worker."""
    family = CounterMetricFamily("ticker_things", "Things.", labels=["kind"])
    family.add_metric(["x"], value)
    return [family]


async def test_who_does_not_answer_is_named(tmp_path: Path) -> None:
    """One that is not there, one that breaks off, one of another version; others are told."""

    async def break_off(_: object, writer: Any) -> None:
        writer.write(b'["ticker_things","Things.","counter",[]]\n')
        writer.close()

    async def mumble(_: object, writer: Any) -> None:
        writer.write(b"1\n\n")
        writer.close()

    asked = Siblings(1, 5, tmp_path, lambda: told(1))
    other = Siblings(4, 5, tmp_path, lambda: told(4))
    await other.listen()
    broken = await asyncio.start_unix_server(break_off, tmp_path / "metrics-2")
    strange = await asyncio.start_unix_server(mumble, tmp_path / "metrics-5")
    async with broken, strange:
        things, up = await asked.families()
    other.close()
    assert [(s.labels, s.value) for s in things.samples] == [
        ({"worker": "1", "kind": "x"}, 1),
        ({"worker": "4", "kind": "x"}, 4),
    ]
    assert [s.value for s in up.samples] == [1, 0, 0, 1, 0]


def test_however_often_it_is_asked_all_workers_are_asked_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a while, and in each format: strangers may ask any of them."""
    asked: list[float] = []

    def counted() -> list[Metric]:
        asked.append(1)
        return told(1)

    with quiet_server() as running:
        running.ticker.metrics.siblings = Siblings(1, 1, tmp_path, counted)
        monkeypatch.setattr(metrics, "FRESH_SECONDS", 3600.0)
        first, again = (running.get("/metrics") for _ in range(2))
        assert first.content == again.content
        assert 'ticker_things_total{kind="x",worker="1"} 1.0' in first.text
        assert len(asked) == 1
        monkeypatch.setattr(metrics, "FRESH_SECONDS", 0.0)
        running.get("/metrics")
        assert len(asked) == 2


async def test_without_a_place_nobody_is_asked(tmp_path: Path) -> None:
    """It may be gone, as temporary files are; the worker serves all the same."""
    alone = Siblings(2, 2, tmp_path / "gone", lambda: told(2))
    await alone.listen()
    things, up = await alone.families()
    assert [s.labels["worker"] for s in things.samples] == ["2"]
    assert {s.labels["worker"]: s.value for s in up.samples} == {"1": 0, "2": 1}


def test_a_part_can_be_written_and_read() -> None:
    """As it stands on the command line, whatever signs the place has."""
    part = Worker(2, 3, 7, 9, Path("/tmp/a, b/ticker-x"))
    assert Worker.parse(str(part)) == part
