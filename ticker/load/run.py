"""A whole load run: processes, what they report every second, the verdict."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any
from urllib.parse import urlsplit

import httpx

from ticker.errors import TickerError
from ticker.load import verdict
from ticker.load.histogram import Histogram
from ticker.load.proof import Proof
from ticker.load.viewer import Target
from ticker.load.worker import CONVERGE_SECONDS, SETTLE_SECONDS, Plan, Profile, main
from ticker.tail import bearer

SUMS = (
    "connected",
    "refused",
    "lost",
    "frames",
    "bytes",
    "diffs",
    "conflated",
    "snapshots",
    "gaps",
    "duplicates",
    "resyncs",
    "errors",
    "moves",
    "reconnected",
    "resumed",
    "resnapshots",
    "backwards",
    "contradictions",
)
GRACE_SECONDS = 30.0
"""How much longer than planned a process may take before it is ended."""


@dataclass(frozen=True, slots=True)
class Load:
    """What is asked of a run; times are in seconds.

    ``urls`` are of processes that serve the same boards. ``move`` is the share of the viewers that
    goes from one to another each second.
    """

    urls: tuple[str, ...]
    viewers: int
    ramp: float
    duration: float
    board: str | None
    procs: int
    profile: Profile
    deflate: bool
    sample: int
    move: float = 0.0


@dataclass
class Second:
    """What all viewers together saw up to one moment."""

    at: float
    counts: dict[str, int]
    latency: Histogram
    connecting: Histogram
    lag: Histogram
    cpu: float
    closes: dict[str, int]
    words: dict[str, int]
    watching: dict[str, int]
    """Viewers by process."""


@dataclass
class Result:
    """A whole run; ``seconds`` is its timeline."""

    load: Load
    board: str
    seconds: list[Second]
    final: Second
    proof: Proof
    cpu: float
    whole: bool
    """Whether every process came to its end."""

    def metrics(self) -> dict[str, float | None]:
        """Return what can be asserted; times are in milliseconds."""
        latency, counts = self.final.latency, self.final.counts
        return {
            "p50": latency.percentile(50),
            "p90": latency.percentile(90),
            "p95": latency.percentile(95),
            "p99": latency.percentile(99),
            "p999": latency.percentile(99.9),
            "max": latency.percentile(100),
            **{name: counts[name] for name in SUMS if name in verdict.METRICS},
            "resnapshot_percent": self._resnapshot_percent(),
            "unconverged": self.proof.sampled - self.proof.converged,
            "unreachable": len(self.proof.silent),
            "disagreeing": len(self.proof.apart),
            "messages_per_s": self.rate("frames"),
            "bytes_per_s": self.rate("bytes"),
        }

    def _resnapshot_percent(self) -> float | None:
        """Return the share of those that came back to go on and got a whole snapshot instead."""
        again, went_on = (self.final.counts[name] for name in ("resnapshots", "resumed"))
        return 100 * again / (again + went_on) if again + went_on else None

    def rate(self, name: str) -> float | None:
        """Return how much of ``name`` came per second, once all viewers were there."""
        load = self.load
        held = [s for s in self.seconds if load.ramp <= s.at <= load.ramp + load.duration]
        if len(held) < 2:
            return None
        first, last = held[0], held[-1]
        return (last.counts[name] - first.counts[name]) / (last.at - first.at)

    def invalid(self) -> str | None:
        """Return why the run proves nothing, None when it does."""
        if not self.whole:
            return "a generator process did not come to its end"
        return verdict.saturated(self.cpu, self.final.lag.percentile(99))


def run(load: Load, show: Callable[[Second], None], token: str | None = None) -> Result:
    """Run the load; ``show`` is called about once a second. Raises TickerError in words.

    ``token`` is no part of ``load``, which is written down.
    """
    headers = bearer(token)
    board = _examine(load, headers)
    targets = tuple(_target(url, load, board, headers) for url in load.urls)
    every = max(1, -(-load.viewers // load.sample))
    context = multiprocessing.get_context("spawn")
    processes: list[tuple[BaseProcess, Connection]] = []
    process: BaseProcess
    started = time.monotonic()
    try:
        for i in range(load.procs):
            share = load.viewers // load.procs + (i < load.viewers % load.procs)
            plan = Plan(
                targets,
                share,
                load.ramp,
                load.duration,
                load.profile,
                every,
                seed=i,
                move=load.move,
            )
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(target=main, args=(plan, theirs), daemon=True)
            process.start()
            theirs.close()
            processes.append((process, ours))
        return _collect(load, board, processes, started, show)
    finally:
        for process, pipe in processes:
            pipe.close()
            process.join(0.5)
            if process.is_alive():
                process.kill()
                process.join()


def _target(url: str, load: Load, board: str, headers: dict[str, str]) -> Target:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 80
    return Target(host, port, "/ws", board, load.deflate, headers=headers, url=url)


def _examine(load: Load, headers: dict[str, str]) -> str:
    """Return the board to watch, after a look at whether these are servers of ours."""
    board = load.board
    for url in load.urls:
        names = _boards(url, headers)
        board = board or names[0]
        if board not in names:
            raise TickerError(f"no board '{board}' at {url}; there are {', '.join(names)}")
    return board or ""


def _boards(url: str, headers: dict[str, str]) -> list[str]:
    """Return the names of the boards at ``url``."""
    if urlsplit(url).scheme != "http":
        raise TickerError(f"expected an address such as http://127.0.0.1:8000, got '{url}'")
    try:
        answer = httpx.get(f"{url}/api/boards", headers=headers, timeout=10)
        return [str(board["name"]) for board in answer.raise_for_status().json()["boards"]]
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise TickerError(f"cannot reach {url}: {error or type(error).__name__}") from None
    except (ValueError, LookupError, TypeError):
        raise TickerError(f"{url} does not answer like a ticker server") from None


def _collect(
    load: Load,
    board: str,
    processes: list[tuple[BaseProcess, Connection]],
    started: float,
    show: Callable[[Second], None],
) -> Result:
    """Follow the processes to their end, adding up what they say."""
    latest: dict[Connection, dict[str, Any]] = {}
    cpu: dict[Connection, tuple[float, float]] = {}
    busiest = 0.0
    seconds: list[Second] = []
    open_pipes = {pipe for _, pipe in processes}
    deadline = (
        started + load.ramp + load.duration + SETTLE_SECONDS + CONVERGE_SECONDS + GRACE_SECONDS
    )
    next_shown = started + 1
    with suppress(KeyboardInterrupt):  # what was seen so far is reported
        while open_pipes and time.monotonic() < deadline:
            for pipe, state in _states(open_pipes, timeout=0.2):
                if state is None:
                    open_pipes.discard(pipe)
                    continue
                if pipe in cpu and state["at"] - cpu[pipe][1] > 0.5:
                    used = (state["cpu"] - cpu[pipe][0]) / (state["at"] - cpu[pipe][1])
                    busiest = max(busiest, used) if not state.get("final") else busiest
                if not latest:  # from when on the ramp counts: processes take time to start
                    started = state["started"]
                cpu[pipe] = state["cpu"], state["at"]
                latest[pipe] = state
            if time.monotonic() >= next_shown and latest:
                next_shown += 1
                seconds.append(_sum(list(latest.values()), time.monotonic() - started, busiest))
                show(seconds[-1])
    if not latest:
        raise TickerError("no generator process said anything")
    finals = [state for state in latest.values() if state.get("final")]
    final = _sum(list(latest.values()), time.monotonic() - started, busiest)
    proof = Proof()
    for state in finals:
        proof.add(state)
    return Result(
        load,
        board,
        seconds,
        final,
        proof=proof,
        cpu=busiest,
        whole=len(finals) == len(processes),
    )


def _states(
    pipes: set[Connection], timeout: float
) -> Iterator[tuple[Connection, dict[str, Any] | None]]:
    """Yield what arrives on the pipes; None for one that has ended."""
    for ready in wait(list(pipes), timeout):
        pipe = next(p for p in pipes if p is ready)
        try:
            yield pipe, pipe.recv()
        except (EOFError, OSError):
            yield pipe, None


def _sum(states: list[dict[str, Any]], at: float, cpu: float) -> Second:
    second = Second(
        at, dict.fromkeys(SUMS, 0), Histogram(), Histogram(), Histogram(), cpu, {}, {}, {}
    )
    for state in states:
        for name in SUMS:
            second.counts[name] += state[name]
        second.latency.merge(Histogram(state["latency"]))
        second.connecting.merge(Histogram(state["connecting"]))
        second.lag.merge(Histogram(state["lag"]))
        for mine, said in (
            (second.closes, "closes"),
            (second.words, "words"),
            (second.watching, "watching"),
        ):
            theirs = state[said]
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
    return second
