"""One worker against two, the generator's share counted out: `python -m benches.workers`.

On a machine with two cores the viewers' process takes from the same cores as the workers, so what
arrives says little. Instead each configuration gets the same viewers, few enough that all of them
are served, and of every process is counted what CPU time it takes, without viewers and with them.
From that follows how many deliveries there could be if each worker had a core of its own:

    capacity of a worker = (1 - CPU it takes without viewers) / CPU of each delivery beyond that

and, as viewers are not spread quite evenly, all workers together have what the fullest one lets
them: the least of capacity / share of the deliveries. The bus and the parent are told beside it; on
exactly two cores they take their part of these.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benches import proc
from benches.crowd import Crowd
from benches.servers import free_port
from ticker.load.viewer import Target

STEP = 100
"""Viewers that connect at the same time."""
START_SECONDS = 30.0
SETTLE_SECONDS = 2.0
IDLE_SECONDS = 5.0
BOARD = "stocks"
SYMBOLS = 40

CONFIG = """
server: {{port: {port}, workers: {workers}, max_viewers: 100000}}
{bus}
feeds:
  f: {{kind: simulate, every: 100ms, seed: 7, symbols: {{{symbols}}}}}
boards:
  {board}: {{feeds: [f], flush: 100ms}}
"""


@dataclass(frozen=True)
class Configuration:
    """How many workers there are, whether on a bus, and how many viewers for each that is alone."""

    workers: int
    bus: bool
    times: int = 1


CONFIGURATIONS = {
    "alone": Configuration(1, bus=False),
    "one on the bus": Configuration(1, bus=True),
    "two workers": Configuration(2, bus=True),
    "two, full": Configuration(2, bus=True, times=2),
}
"""Of two workers each has half of the viewers, or, in the last one, as many as the one alone."""


@dataclass
class Worker:
    """One worker: its share of a core without viewers and with them, and what it delivered."""

    idle: float
    core: float
    delivered: float

    @property
    def each(self) -> float:
        """CPU seconds of each delivery, beyond what it takes without viewers."""
        return max(self.core - self.idle, 1e-9) / max(self.delivered, 1e-9)

    @property
    def capacity(self) -> float:
        """Deliveries per second when it has a core of its own, and all of it."""
        return (1 - self.idle) / self.each


@dataclass
class Result:
    """One configuration in one round; shares are of a core, the rest is per second."""

    name: str
    viewers: int
    received: float
    workers: list[Worker] = field(default_factory=list)
    parent: float = 0.0
    bus: float = 0.0
    notes: list[str] = field(default_factory=list)

    @property
    def delivered(self) -> float:
        """What all workers delivered."""
        return sum(worker.delivered for worker in self.workers)

    @property
    def capacity(self) -> float:
        """Deliveries per second when each worker has a core of its own."""
        return min(w.capacity * self.delivered / max(w.delivered, 1e-9) for w in self.workers)

    @property
    def simple(self) -> float:
        """The same as if all that the busiest takes were for deliveries."""
        return self.delivered / max(worker.core for worker in self.workers)

    def line(self) -> str:
        """Return it as text."""
        workers = ", ".join(
            f"{w.delivered:,.0f}/s {w.idle:.1%} -> {w.core:.1%} ({w.each * 1e6:.2f} us each)"
            for w in self.workers
        )
        notes = f"; {'; '.join(self.notes)}" if self.notes else ""
        return (
            f"{self.name:15} {workers}; parent {self.parent:.1%}, bus {self.bus:.1%}; "
            f"capacity {self.capacity:,.0f}/s (simple {self.simple:,.0f}/s){notes}"
        )


class Served:
    """A running server, from outside."""

    def __init__(self, parent: int, port: int, workers: int, bus: int | None) -> None:
        self.port, self.bus, self._workers = port, bus, workers
        self.parent = parent if workers > 1 else None
        self.processes = proc.children(parent) if workers > 1 else [parent]

    def cpu(self) -> dict[str, float]:
        """Return the CPU seconds of each process, workers by the number of their process."""
        found = {str(pid): proc.cpu_seconds(pid) for pid in self.processes}
        found["parent"] = proc.cpu_seconds(self.parent) if self.parent else 0.0
        found["bus"] = proc.cpu_seconds(self.bus) if self.bus else 0.0
        return found

    def frames(self) -> list[float]:
        """Return how many frames each worker has sent."""
        found = samples(self.port, "ticker_frames_sent")
        return [found[str(number)] for number in range(1, self._workers + 1)]


def samples(port: int, name: str) -> dict[str, float]:
    """Return the samples of a metric by worker; a process alone is worker 1."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    return {
        sample.labels.get("worker", "1"): sample.value
        for family in text_string_to_metric_families(text)
        if family.name == name
        for sample in family.samples
    }


@contextmanager
def bus(directory: str) -> Iterator[tuple[int, str]]:
    """Run a Redis; yield its process and its URL."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", directory, "--save", ""]
    with subprocess.Popen(["redis-server", *options], stdout=subprocess.DEVNULL) as process:
        try:
            yield process.pid, f"redis://127.0.0.1:{port}"
        finally:
            process.kill()


@contextmanager
def served(workers: int, *, with_bus: bool) -> Iterator[Served]:
    """Run a server with so many workers, all ready; worker n is on core n, as far as there are."""
    port = free_port()
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as directory, bus(directory) as (bus_pid, url):
        log = Path(directory, "log")
        config = Path(directory, "config.yaml")
        symbols = ", ".join(f"S{number}: {100 + number}" for number in range(SYMBOLS))
        what = f"bus: {{url: '{url}'}}" if with_bus else ""
        config.write_text(
            CONFIG.format(port=port, workers=workers, bus=what, symbols=symbols, board=BOARD)
        )
        command = [sys.executable, "-m", "ticker", "serve", "--config", str(config)]
        with log.open("w") as words, subprocess.Popen(command, stderr=words) as process:
            try:
                _await_start(process, port, workers, log)
                running = Served(process.pid, port, workers, bus_pid if with_bus else None)
                started = re.findall(r"worker \d+ is process (\d+)", log.read_text())
                running.processes = [int(pid) for pid in started] or running.processes
                for pid, core in zip(running.processes, cores, strict=False):
                    for task in Path(f"/proc/{pid}/task").iterdir():
                        os.sched_setaffinity(int(task.name), {core})
                yield running
            finally:
                process.kill()  # its workers end with it
        _await_end(running.processes)


def _await_start(process: subprocess.Popen[bytes], port: int, workers: int, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            up = samples(port, "ticker_worker_up")
            ready = urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=10)
            ready.close()
            if workers == 1 or list(up.values()) == [1] * workers:
                return
        except OSError:
            time.sleep(0.1)
    raise RuntimeError(f"the server does not start: {log.read_text()[-2000:]}")


def _await_end(processes: list[int]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and any(Path(f"/proc/{pid}").exists() for pid in processes):
        time.sleep(0.1)


def measure(name: str, viewers: int, seconds: float) -> Result:
    """Return what one configuration takes."""
    configuration = CONFIGURATIONS[name]
    viewers *= configuration.times
    core = proc.cores()[1]
    with served(configuration.workers, with_bus=configuration.bus) as running:
        time.sleep(SETTLE_SECONDS)
        idle = _shares(running, IDLE_SECONDS)
        crowd = Crowd(Target("127.0.0.1", running.port, board=BOARD), sampled=False, core=core)
        try:
            for done in range(0, viewers, STEP):
                crowd.do("connect", min(STEP, viewers - done), START_SECONDS)
            time.sleep(SETTLE_SECONDS)
            sent, seen, began = running.frames(), crowd.tally(), time.monotonic()
            loaded = _shares(running, seconds)
            frames, tally = running.frames(), crowd.tally()
            took = time.monotonic() - began
        finally:
            crowd.end()
        delivered = [(now - was) / took for now, was in zip(frames, sent, strict=True)]
        result = Result(name, tally.connected, (tally.frames - seen.frames) / took)
        result.workers = [
            Worker(idle[str(pid)], loaded[str(pid)], each)
            for pid, each in zip(running.processes, delivered, strict=True)
        ]
        result.parent, result.bus = loaded["parent"], loaded["bus"]
        if tally.connected < viewers or tally.lost or tally.gaps:
            words = f"{tally.connected:,} connected, {tally.lost:,} lost, {tally.gaps:,} gaps"
            result.notes.append(words)
        if abs(result.received / result.delivered - 1) > 0.02:
            result.notes.append(f"{result.received:,.0f}/s received: the viewers were late")
        return result


def _shares(running: Served, seconds: float) -> dict[str, float]:
    """Return the share of a core that each process takes in so many seconds."""
    before, began = running.cpu(), time.monotonic()
    time.sleep(seconds)
    after, took = running.cpu(), time.monotonic() - began
    return {name: (after[name] - before[name]) / took for name in after}


def main() -> None:
    """Measure all configurations, in turns, and say how they compare."""
    parser = argparse.ArgumentParser(prog="python -m benches.workers", description=__doc__)
    parser.add_argument("--viewers", type=int, default=2_000, help="of one worker")
    parser.add_argument("--seconds", type=float, default=10, help="length of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median counts")
    parser.add_argument("--out", type=Path, help="where to write the figures as JSON")
    given = parser.parse_args()
    if shutil.which("redis-server") is None:
        raise SystemExit("there is no redis-server")
    proc.raise_file_limit()
    print(f"{proc.processor()}; {given.viewers:,} viewers")
    results: dict[str, list[Result]] = {name: [] for name in CONFIGURATIONS}
    for _ in range(given.rounds):
        for name, found in results.items():
            found.append(measure(name, given.viewers, given.seconds))
            print(found[-1].line(), flush=True)
    for what in ("capacity", "simple"):
        median = {n: statistics.median(getattr(r, what) for r in f) for n, f in results.items()}
        print(f"{what}: {', '.join(f'{name} {value:,.0f}/s' for name, value in median.items())}")
        for two in ("two workers", "two, full"):
            for one in ("alone", "one on the bus"):
                print(f"  {two} against {one}: {median[two] / median[one]:.2f} x")
    if given.out:
        figures = {name: [asdict(result) for result in found] for name, found in results.items()}
        given.out.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
