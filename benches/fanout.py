"""Servers side by side, broadcasting to thousands of viewers: `python -m benches.fanout`.

Each server has one core and the viewers another, on loopback. Figures are good for comparison
within one run only; *the limit* is a bare `send` to every connection.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from benches import proc
from benches.crowd import Crowd, Tally
from benches.peers import bare_epoll
from ticker.load.histogram import Histogram
from ticker.load.viewer import Target

HERE = Path(__file__).parent
RATE = 10
WATCHERS = 100
STEP = 100
"""Viewers that connect at the same time."""
CONNECT_SECONDS = 30.0
"""Longest time for all to connect; those that are not there by then are not waited for."""
SETTLE_SECONDS = 1.5
START_SECONDS = 20.0
SATURATED = 0.93
"""Share of the viewers' core above which figures say more about the viewers than the server."""
DISTURBED = 0.10
"""Share of the server's core that went to others, above which a row says so."""

LIMIT = "limit"


@dataclass(frozen=True)
class Server:
    """A server to measure: how it is started and what it does with deflate."""

    name: str
    title: str
    command: Callable[[Options], list[str]]
    deflates: bool = True
    """Whether it compresses when viewers offer it; where not, that run would be the same again."""
    ours: bool = False
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Options:
    """What a server is started with."""

    port: int = 0
    size: int | None = None
    frame_bytes: int = 246
    program: Path | None = None
    rate: float = RATE

    def common(self) -> list[str]:
        """Return the options that all have."""
        return ["--port", str(self.port), "--rate", str(self.rate), "--hold"]


@dataclass
class Row:
    """One server with so many viewers."""

    server: str
    viewers: int
    deflate: bool
    connected: int = 0
    connect_seconds: float = 0.0
    connect_cpu: float = 0.0
    cpu_us: float = 0.0
    server_core: float = 0.0
    delivered: float = 0.0
    p50: float | None = None
    p99: float | None = None
    bytes: float = 0.0
    kb_per_viewer: float = 0.0
    generator_core: float = 0.0
    notes: list[str] = field(default_factory=list)
    invalid: bool = False


def _python(module: str) -> Callable[[Options], list[str]]:
    def command(options: Options) -> list[str]:
        size = ["--size", str(options.size)] if options.size else []
        return [sys.executable, "-m", f"benches.peers.{module}", *options.common(), *size]

    return command


def _limit(options: Options) -> list[str]:
    size = ["--frame-bytes", str(options.frame_bytes)]
    how = ["--program", str(options.program)] if options.program else ["--python"]
    module = "benches.peers.bare_epoll"
    return [sys.executable, "-m", module, *options.common(), *size, *how]


def _node(options: Options) -> list[str]:
    size = ["--size", str(options.size)] if options.size else []
    return ["node", str(HERE / "peers" / "node_ws.mjs"), *options.common(), *size]


def _no_picows() -> str | None:
    return None if importlib.util.find_spec("picows") else "picows is not installed"


def _no_node() -> str | None:
    if shutil.which("node") is None:
        return "there is no node"
    if not (HERE / "node_modules" / "ws").is_dir():
        return "ws is not installed (npm install --prefix benches)"
    return None


SERVERS = [
    Server(LIMIT, "the limit: bare `send`", _limit),
    Server("ticker", "**ticker**", _python("ticker_server"), ours=True),
    Server("picows", "picows", _python("picows_server"), deflates=False, missing=_no_picows),
    Server("node-ws", "Node `ws`", _node, deflates=False, missing=_no_node),
    Server("websockets", "`websockets.broadcast`", _python("websockets_broadcast")),
    Server("fastapi", "FastAPI, one `send_text` after the other", _python("fastapi_sequential")),
    Server("fastapi-gather", "FastAPI, `asyncio.gather` over all", _python("fastapi_gather")),
]


@contextlib.contextmanager
def running(server: Server, options: Options, core: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on its core; it is ended in any case."""
    free = os.sched_getaffinity(0)
    with tempfile.TemporaryFile() as words:
        os.sched_setaffinity(0, {core})  # inherited, by all its threads
        try:
            process = subprocess.Popen(
                server.command(options), stdout=subprocess.DEVNULL, stderr=words
            )
        finally:
            os.sched_setaffinity(0, free)
        try:
            if not _listens(process, options.port):
                words.seek(0)
                raise RuntimeError(f"{server.name} does not start: {words.read()[-2000:].decode()}")
            time.sleep(0.5)
            yield process
        finally:
            process.kill()
            process.wait()


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a server takes connections; return whether it does."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def together(tallies: Sequence[Tally]) -> Tally:
    """Return the sum of tallies, but for the latencies, which are those of the last."""
    first, last = tallies
    return Tally(
        connected=first.connected + last.connected,
        refused=first.refused + last.refused,
        lost=first.lost + last.lost,
        frames=first.frames + last.frames,
        bytes=first.bytes + last.bytes,
        cpu=first.cpu + last.cpu,
        gaps=first.gaps + last.gaps,
        words=first.words | last.words,
        latency=last.latency,
    )


class Measurement:
    """One server, so many viewers: connect, settle, measure."""

    def __init__(
        self, server: Server, viewers: int, deflate: bool, options: Options, seconds: float
    ) -> None:
        self._server, self._seconds = server, seconds
        self._options = replace(options, port=free_port())
        self._server_core, self._viewers_core = proc.cores()
        self._rate = options.rate
        self.row = Row(server.name, viewers, deflate)

    def run(self, during: Callable[[int], None] | None = None) -> Row:
        """Return the figures; ``during`` is called with the server's pid while it broadcasts."""
        target = Target(
            "127.0.0.1",
            self._options.port,
            board="stocks" if self._server.ours else None,
            deflate=self.row.deflate,
            protocol=self._server.ours,
        )
        with running(self._server, self._options, self._server_core) as process:
            core = self._viewers_core
            crowds = [Crowd(target, sampled=sampled, core=core) for sampled in (False, True)]
            try:
                self._measure(process.pid, crowds, during)
            finally:
                for crowd in crowds:
                    crowd.end()
        return self.row

    def _measure(self, pid: int, crowds: list[Crowd], during: Callable[[int], None] | None) -> None:
        row = self.row
        self._look(crowds)  # they have started when they answer
        memory = proc.rss_bytes(pid)
        self._connect(pid, crowds)
        os.kill(pid, signal.SIGUSR2)
        time.sleep(SETTLE_SECONDS)
        for crowd in crowds:
            crowd.do("clear")
        cores = self._server_core, self._viewers_core
        before, cpu, began = self._look(crowds), proc.cpu_seconds(pid), time.monotonic()
        busy = [proc.busy_seconds(core) for core in cores]
        if during is not None:
            during(pid)
        time.sleep(max(0.0, began + self._seconds - time.monotonic()))
        cpu = proc.cpu_seconds(pid) - cpu
        took = time.monotonic() - began
        after = self._look(crowds)
        busy = [proc.busy_seconds(core) - was for core, was in zip(cores, busy, strict=True)]
        frames = after.frames - before.frames
        row.connected = after.connected
        row.cpu_us = cpu / frames * 1e6 if frames else 0.0
        row.server_core = cpu / took
        row.delivered = frames / (self._rate * took * max(1, row.connected))
        latency = Histogram(after.latency)
        row.p50, row.p99 = latency.percentile(50), latency.percentile(99)
        row.bytes = (after.bytes - before.bytes) / frames if frames else 0.0
        row.kb_per_viewer = (proc.rss_bytes(pid) - memory) / max(1, row.connected) / 1000
        row.generator_core = (after.cpu - before.cpu) / took
        self._judge(busy, took, after)

    def _judge(self, busy: list[float], took: float, after: Tally) -> None:
        row = self.row
        if row.connected < row.viewers:
            row.notes.append(f"only {row.connected:,} connected")
        if row.server_core > 0.97:
            row.notes.append("core full")
        if busy[1] / took > SATURATED and row.server_core < 0.97:
            row.invalid = True
            row.notes.append("invalid: the viewers' core was full")
        if busy[0] / took - row.server_core > DISTURBED:
            row.notes.append("disturbed by other programs")
        if after.lost:
            row.notes.append(f"{after.lost:,} lost")
        if after.gaps:
            row.notes.append(f"{after.gaps:,} gaps")

    def _look(self, crowds: list[Crowd]) -> Tally:
        for crowd in crowds:
            crowd.begin("tally")
        return together([crowd.result() for crowd in crowds])

    def _connect(self, pid: int, crowds: list[Crowd]) -> None:
        """Connect everybody, the watchers evenly among the others."""
        row = self.row
        watchers = min(WATCHERS, row.viewers // 5)
        cpu, began = proc.cpu_seconds(pid), time.monotonic()
        deadline = began + CONNECT_SECONDS
        done = done_watchers = 0
        while done < row.viewers and (left := deadline - time.monotonic()) > 0:
            done = min(done + STEP, row.viewers)
            watch = done * watchers // row.viewers - done_watchers
            done_watchers += watch
            step = min(STEP, row.viewers - (done - STEP))
            crowds[0].begin("connect", step - watch, left)
            crowds[1].begin("connect", watch, left)
            for crowd in crowds:
                crowd.result()
        each = 2 if self._server.ours else 1
        while (seen := self._look(crowds)).frames < each * seen.connected:
            if time.monotonic() > deadline + 2:
                row.notes.append("not everybody has the first message")
                break
            time.sleep(0.02)
        row.connect_seconds = time.monotonic() - began
        row.connect_cpu = proc.cpu_seconds(pid) - cpu


def choose(names: str | None) -> list[Server]:
    """Return the servers of a list of names, those that can run; the limit is always first."""
    wanted = set(names.split(",")) if names else {server.name for server in SERVERS}
    unknown = wanted - {server.name for server in SERVERS}
    if unknown:
        raise SystemExit(
            f"no server '{min(unknown)}'; there are {', '.join(s.name for s in SERVERS)}"
        )
    chosen = []
    for server in SERVERS:
        if server.name in wanted | {LIMIT}:
            why = server.missing()
            if why:
                print(f"{server.name} is left out: {why}")
            else:
                chosen.append(server)
    return chosen


HEAD = (
    f"{'server':16}{'viewers':>8} {'':8}{'us/delivery':>12}{'x limit':>8}{'p50 ms':>8}{'p99 ms':>8}"
    f"{'bytes':>8}{'delivered':>10}{'connect s':>10}{'CPU s':>7}{'KB each':>8}{'core':>6}{'gen':>5}"
)


def line(row: Row, limit: Row | None) -> str:
    """Return a row as text, beside the limit's."""
    ratio = f"{row.cpu_us / limit.cpu_us:.2f}" if limit and limit.cpu_us else "-"
    return (
        f"{row.server:16}{row.viewers:8,} {'deflate' if row.deflate else 'plain':8}"
        f"{row.cpu_us:12.2f}{ratio:>8}{row.p50 or 0:8.1f}{row.p99 or 0:8.1f}"
        f"{row.bytes:8.0f}{row.delivered:10.1%}{row.connect_seconds:10.2f}{row.connect_cpu:7.2f}"
        f"{row.kb_per_viewer:8.1f}{row.server_core:6.0%}{row.generator_core:5.0%}"
        f"  {'; '.join(row.notes)}"
    )


def side_by_side(
    servers: Sequence[Server],
    counts: Sequence[int],
    deflates: Sequence[bool],
    given: Options,
    seconds: float,
) -> list[Row]:
    """Measure every server; the limit sends as many bytes as this project does."""
    rows = []
    print(HEAD)
    for viewers in counts:
        for deflate in deflates:
            done: dict[str, Row] = {}
            order = sorted(servers, key=lambda server: not server.ours)  # its bytes are the limit's
            options = given
            for server in order:
                if deflate and not server.deflates:
                    continue
                row = Measurement(server, viewers, deflate, options, seconds).run()
                done[server.name] = row
                if server.ours:
                    options = replace(options, frame_bytes=payload_bytes(row.bytes))
                rows.append(row)
                print(line(row, done.get(LIMIT)), flush=True)
            if "ticker" in done:
                print(f"{'':33}{'ticker':>12}{done['ticker'].cpu_us / done[LIMIT].cpu_us:8.2f}")
    return rows


def payload_bytes(frame: float) -> int:
    """Return the payload of a frame of so many bytes."""
    return round(frame) - (2 if frame < 128 else 4)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m benches.fanout", description=__doc__)
    parser.add_argument("--viewers", default="500,2000,5000", help="how many, separated by commas")
    parser.add_argument("--seconds", type=float, default=6, help="length of each measurement")
    parser.add_argument("--deflate", action=argparse.BooleanOptionalAction, help="default: both")
    parser.add_argument("--only", help="names of servers, separated by commas")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    given = parser.parse_args()
    proc.raise_file_limit()
    counts = [int(count) for count in given.viewers.split(",")]
    deflates = [False, True] if given.deflate is None else [given.deflate]
    with tempfile.TemporaryDirectory() as directory:
        program = bare_epoll.compile_c(Path(directory))
        print(f"{proc.processor()}; the limit runs in {'C' if program else 'Python'}")
        options = Options(program=program)
        rows = side_by_side(choose(given.only), counts, deflates, options, given.seconds)
    if given.out:
        given.out.write_text(json.dumps({"rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
