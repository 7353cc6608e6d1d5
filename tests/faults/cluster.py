"""A cluster that is made ill at random: kills, pauses and cuts of processes and of the bus.

``make faults-cluster`` runs it at length. All of a run follows from its seed, which is printed; the
order in which processes then do things does not: a seed that failed may have to be run a few times.
"""

from __future__ import annotations

import argparse
import random
import re
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import monotonic
from typing import Any

import orjson

from tests.buses import Member, Redis, redis
from tests.crowd import Crowd, crowd
from tests.illness import Proxy, proxy
from tests.support import Handler, source, until
from tests.test_cli import free_port

CONFIG = """
server: {{port: 0, connects_per_second: 0}}
bus: {{url: "{bus}"}}
feeds:
  f: {{kind: poll, every: 250ms, timeout: 200ms, url: "{source}/n", rows: rows, key: symbol,
      fields: {{last: last}}}}
boards:
  b: {{feeds: [f], columns: [last]}}
"""

SYMBOLS = [f"S{number}" for number in range(8)]
PATIENCE = 60.0


class Growing:
    """A source whose values only ever grow; how often it was asked, and what it said last."""

    def __init__(self) -> None:
        self.value = 0
        self.frozen = False
        self._lock = threading.Lock()

    def answer(self, handler: Handler) -> None:
        """Answer a request: each time other rows have moved."""
        with self._lock:
            self.value += not self.frozen
            body = orjson.dumps({"rows": [{"symbol": s, "last": v} for s, v in self.rows()]})
            handler.answer(200, body)

    def rows(self) -> list[tuple[str, int]]:
        """Return what it says."""
        return [(s, self.value - self.value % (i + 1)) for i, s in enumerate(SYMBOLS)]

    @property
    def truth(self) -> dict[str, int]:
        """What everybody has to see in the end."""
        return dict(self.rows())


class Place:
    """One process of the cluster, with a link to the bus of its own, on a port that stays."""

    def __init__(self, folder: Path, number: int, bus: int, url: str, stack: ExitStack) -> None:
        self.link: Proxy = stack.enter_context(proxy(bus))
        self.port = free_port()
        self.config = folder / f"{number}.yaml"
        self.config.write_text(CONFIG.format(bus=self.link.url, source=url))
        self.member = Member(self.config, port=self.port)
        stack.callback(self.end)

    def begin(self) -> None:
        """Start it again."""
        self.member = Member(self.config, port=self.port)

    def end(self) -> None:
        """Kill it, also while it is stopped."""
        if self.member.process.poll() is None:
            self.member.kill()

    @property
    def where(self) -> tuple[str, int, dict[str, Any]] | None:
        """Epoch, seq and values of the board here."""
        board = self.member.get("/api/boards/b")
        if not board or "epoch" not in board:
            return None
        return board["epoch"], board["seq"], {s: r["last"] for s, r in board["rows"].items()}


@dataclass
class Verdict:
    """What came of a run."""

    seed: int
    faults: Counter[str]
    returns: int
    snapshots: int
    wrong: list[str]
    epochs: int
    said: int
    gap: float

    def __str__(self) -> str:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}: {sum(self.faults.values())} faults ({kinds}); "
            f"lost, doubled or back: {len(self.wrong)}; "
            f"viewers came back {self.returns} times, with {self.snapshots} snapshots in the same "
            f"epoch; epochs seen {self.epochs}, begun in the logs {self.said}; "
            f"longest time without a change at a viewer {self.gap:.1f} s"
        )


class Torture:
    """Some processes, a bus and many viewers, and what is done to them."""

    def __init__(self, seed: int, places: list[Place], bus: Redis, viewers: Crowd) -> None:
        self.seed, self.places, self.bus, self.viewers = seed, places, bus, viewers
        self.rng = random.Random(seed)
        self.done: Counter[str] = Counter()
        self._healing: list[tuple[float, Any]] = []  # what is undone, and when
        self._ill: set[Any] = set()

    @property
    def poller(self) -> Place | None:
        """Who reads the feeds, by the logs."""
        return next((p for p in self.places if p not in self._ill and p.member.polls), None)

    def fault(self) -> None:
        """Do one thing, chosen at random, that is undone after a random time."""
        rng = self.rng
        kind = rng.choice(["kill", "stop", "cut", "swallow", "slow"] * 3 + ["kill bus", "stop bus"])
        seconds, poller_first, number = rng.uniform(0.2, 4), rng.random() < 0.5, rng.random()
        pause = rng.uniform(0.2, 2)
        if kind.endswith("bus"):
            target: Any = self.bus
        else:
            free = [p for p in self.places if p not in self._ill]
            target = self.poller if poller_first else None
            target = target or (free[int(number * len(free))] if free else None)
        if target is None or target in self._ill:
            kind = ""
        elif kind == "kill":
            target.end()
            self._later(seconds, target, target.begin)
        elif kind == "stop":
            target.member.signal(signal.SIGSTOP)
            self._later(seconds, target, lambda: target.member.signal(signal.SIGCONT))
        elif kind == "cut":
            target.link.cut()
            self._later(seconds, target, target.link.heal)
        elif kind == "swallow":
            target.link.swallows = True
            self._later(seconds, target, target.link.heal)
        elif kind == "slow":
            target.link.delay = 0.1
            self._later(seconds, target, target.link.heal)
        elif kind == "kill bus":
            self.bus.kill()
            self._later(seconds / 4, target, self.bus.start)
        else:
            self.bus.signal(signal.SIGSTOP)
            self._later(seconds, target, lambda: self.bus.signal(signal.SIGCONT))
        if kind:
            self.done[kind] += 1
        self.wait(pause)

    def _later(self, seconds: float, target: Any, heal: Any) -> None:
        self._ill.add(target)
        self._healing.append((monotonic() + seconds, (target, heal)))

    def wait(self, seconds: float) -> None:
        """Let time pass, and undo what is due."""
        end = monotonic() + seconds
        while True:
            self._healing.sort(key=lambda due: due[0])
            at = min([end, *(due for due, _ in self._healing[:1])])
            threading.Event().wait(max(0.0, at - monotonic()))
            if self._healing and self._healing[0][0] <= monotonic():
                _, (target, heal) = self._healing.pop(0)
                heal()
                self._ill.discard(target)
            elif monotonic() >= end:
                return

    def heal(self) -> None:
        """Undo everything."""
        while self._healing:
            self.wait(max(0.0, self._healing[0][0] - monotonic()) + 0.01)

    def verdict(self) -> Verdict:
        """Return what came of it; a log line is written by whoever begins an epoch."""
        visitors = self.viewers.visitors
        logs = [p.read_text() for p in self.places[0].config.parent.glob("log-*")]
        return Verdict(
            self.seed,
            self.done,
            sum(v.returns for v in visitors),
            sum(v.snapshots for v in visitors),
            self.viewers.wrong,
            len({epoch for v in visitors for epoch in v.epochs}),
            sum(len(re.findall("begins a new epoch", log)) for log in logs),
            max(v.gap for v in visitors),
        )


@contextmanager
def torture(folder: Path, seed: int, members: int, viewers: int) -> Iterator[tuple[Torture, Any]]:
    """Run processes, a bus that keeps what it took, a source, and viewers of all of them."""
    always = ("--appendonly", "yes", "--appendfsync", "always")
    growing = Growing()
    with ExitStack() as stack:
        feed = stack.enter_context(source())
        feed.script["/n"] = growing.answer
        bus = stack.enter_context(redis(folder, "redis-server", *always))
        places = [Place(folder, n, bus.port, feed.url, stack) for n in range(members)]
        for place in places:
            until(lambda p=place: p.member.ready, what="a start", patience=PATIENCE)  # type: ignore[misc]
        urls = [place.member.url for place in places]
        there = stack.enter_context(crowd(urls, viewers, seed))
        until(lambda: there.all(lambda v: v.seq > 0), what="first rows", patience=PATIENCE)
        yield Torture(seed, places, bus, there), growing


def run(folder: Path, seed: int, faults: int, members: int = 4, viewers: int = 500) -> Verdict:
    """Run it; raises AssertionError where anybody does not get where all others are."""
    with torture(folder, seed, members, viewers) as (ill, growing):
        while sum(ill.done.values()) < faults:
            ill.fault()
        ill.heal()
        truth: dict[str, int] = {}

        def agreed() -> bool:
            wheres = [place.where for place in ill.places]
            return wheres[0] is not None and wheres == [wheres[0]] * len(wheres)

        def arrived() -> bool:
            return ill.viewers.all(lambda v: {s: row["last"] for s, row in v.rows.items()} == truth)

        until(lambda: ill.poller, what=f"a poller (seed {seed})", patience=PATIENCE)
        growing.frozen = True
        truth.update(growing.truth)
        until(arrived, what=f"the truth at all viewers (seed {seed})", patience=PATIENCE)
        until(agreed, what=f"the same place everywhere (seed {seed})", patience=PATIENCE)
        return ill.verdict()


def kills(folder: Path, seed: int, count: int, members: int = 3, viewers: int = 60) -> list[float]:
    """Kill the poller so often; return each time the longest gap at a viewer of another process."""
    gaps = []
    with torture(folder, seed, members, viewers) as (ill, growing):
        for _ in range(count):
            poller = until(lambda: ill.poller, what="a poller", patience=PATIENCE)
            assert poller is not None
            before = growing.value
            until(lambda b=before: growing.value > b + 4, what="polls")  # type: ignore[misc]
            connects = [visitor.connects for visitor in ill.viewers.visitors]
            for visitor in ill.viewers.visitors:
                visitor.gap = 0.0
            poller.end()
            last = growing.value
            until(lambda v=last: growing.value > v + 4, what="polls", patience=PATIENCE)  # type: ignore[misc]
            pairs = zip(ill.viewers.visitors, connects, strict=True)
            gaps.append(max(visitor.gap for visitor, n in pairs if visitor.connects == n))
            poller.begin()
            until(lambda p=poller: p.member.ready, what="a start", patience=PATIENCE)  # type: ignore[misc]
        assert ill.viewers.wrong == []
    return gaps


def main() -> None:
    """Run it at length and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults cluster", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--viewers", type=int, default=500)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--kills", type=int, help="only kill the poller so often; print the gaps")
    args = parser.parse_args()
    print(f"seed {args.seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        if args.kills:
            gaps = sorted(kills(Path(folder), args.seed, args.kills))
            print(f"{len(gaps)} kills: gap median {median(gaps):.2f} s, most {gaps[-1]:.2f} s")
            return
        verdict = run(Path(folder), args.seed, args.faults, args.members, args.viewers)
    print(verdict)
    for what in verdict.wrong[:20]:
        print(" ", what)
    raise SystemExit(1 if verdict.wrong else 0)


if __name__ == "__main__":
    main()
