"""A bus or a network that is ill: viewers keep their sockets and what they see, and are told so."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis as Client

from tests.buses import Member, Redis, redis
from tests.crowd import Crowd, Visitor, crowd
from tests.faults.cluster import Growing, torture
from tests.illness import Proxy, proxy
from tests.support import Running, Source, serving, source, until
from ticker import cluster

CONFIG = """
bus: {{url: "{bus}", lease: {lease}, prefix: {prefix}}}
feeds:
  f: {{kind: poll, every: 250ms, timeout: 200ms, url: "{source}/n", rows: rows, key: symbol,
      fields: {{last: last}}}}
boards:
  b: {{feeds: [f], columns: [last]}}
"""
PERSISTENT = ("--appendonly", "yes", "--appendfsync", "always")


@dataclass
class Site:
    """Two servers on a bus, each over a link of its own, with viewers of both."""

    bus: Redis
    feed: Source
    growing: Growing
    links: list[Proxy]
    servers: list[Running]
    viewers: Crowd

    @property
    def poller(self) -> int:
        """Which of the servers is the poller; waited for."""
        return until(lambda: [n for n, s in enumerate(self.servers) if _leads(s)], what="one")[0]

    def at(self, number: int) -> list[Visitor]:
        """Return the visitors of a server."""
        return self.viewers.visitors[number :: len(self.servers)]

    def see(self, true: Callable[[Visitor], object], what: str) -> None:
        """Wait until something is true of every viewer."""
        until(lambda: self.viewers.all(true), what=what)

    def move(self) -> None:
        """Wait until every viewer has seen what was read after now."""
        value = self.growing.value + 1
        self.see(lambda v: v.rows.get("S0", {}).get("last", 0) >= value, "a change everywhere")

    def settle(self) -> None:
        """Wait until every viewer sees the truth, and nobody has seen anything wrong."""
        self.growing.frozen = True
        truth = self.growing.truth
        self.see(lambda v: {s: r["last"] for s, r in v.rows.items()} == truth, "the truth")
        until(lambda: len({str(_where(s)) for s in self.servers}) == 1, what="the same place")
        self.see(lambda v: v.feeds["f"]["quality"] == "live", "live feeds")
        assert self.viewers.wrong == []
        assert [v.connects for v in self.viewers.visitors] == [1] * len(self.viewers.visitors)

    def epochs(self) -> set[int]:
        """Return how many epochs viewers have been in."""
        return {len(v.epochs) for v in self.viewers.visitors}

    def ready(self, number: int) -> dict[str, Any]:
        """Return what a server says of being ready."""
        found: dict[str, Any] = self.servers[number].get("/readyz").json()
        return found

    def stale(self, why: str, *numbers: int) -> None:
        """Wait until viewers, of some servers or of all, are told why all is stale."""
        there = [v for n in numbers for v in self.at(n)] or self.viewers.visitors
        until(lambda: all(v.feeds["f"].get("why") == why for v in there), what=why)
        assert {v.feeds["f"]["quality"] for v in there} == {"stale"}

    def never_stale(self, *numbers: int) -> None:
        """Check that viewers of some servers, or of all, were never told of a doubt."""
        there = [v for n in numbers for v in self.at(n)] or self.viewers.visitors
        assert not [why for v in there for why in v.whys if why.startswith("bus:")]


def _leads(server: Running) -> bool:
    return server.ticker.cluster is not None and server.ticker.cluster.leads


def _where(server: Running) -> Any:
    board = server.get("/api/boards/b").json()
    return board["epoch"], board["seq"], board["rows"]


@contextmanager
def site(
    folder: Path,
    *options: str,
    lease: str = "1s",
    count: int = 2,
    prefix: str = "ticker",
    bus: Redis | None = None,
    direct: bool = False,
) -> Iterator[Site]:
    """Run a bus, servers and viewers, who all have seen something.

    ``direct`` is without the links between: those take a connection even where there is no bus.
    """
    growing = Growing()
    with ExitStack() as stack:
        feed = stack.enter_context(source())
        feed.script["/n"] = growing.answer
        bus = bus or stack.enter_context(redis(folder, "redis-server", *options))
        links = [stack.enter_context(proxy(bus.port)) for _ in range(count)]
        texts = [
            CONFIG.format(
                bus=bus.url if direct else link.url, source=feed.url, lease=lease, prefix=prefix
            )
            for link in links
        ]
        servers = [stack.enter_context(serving(text)) for text in texts]
        for server in servers:
            until(lambda s=server: s.get("/readyz").status_code == 200, what="a start")  # type: ignore[misc]
        there = stack.enter_context(crowd([server.url for server in servers], 2 * count))
        found = Site(bus, feed, growing, links, servers, there)
        found.see(lambda v: v.feeds and v.feeds["f"]["quality"] == "live", "first rows")
        yield found


# -- the bus forgets


@pytest.mark.parametrize("options", [PERSISTENT, ()], ids=["persistent", "empty"])
def test_a_bus_that_was_restarted_within_the_lease_goes_on(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    """What it forgot is told again: the same epoch, no snapshot, nobody reads boards as a whole."""
    with site(tmp_path, *options, lease="10s", direct=True) as ill:
        poller = ill.poller
        ill.move()
        ill.bus.kill()
        ill.bus.start()
        ill.move()
        ill.settle()
        assert ill.poller == poller
        assert ill.epochs() == {1}
        assert sum(v.snapshots for v in ill.viewers.visitors) == 0


@pytest.mark.parametrize("options", [PERSISTENT, ()], ids=["persistent", "empty"])
def test_a_bus_that_was_away_for_longer_begins_a_new_epoch_and_it_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, options: tuple[str, ...]
) -> None:
    """Meanwhile everything is stale, and why; `/readyz` says it too; then all is well by itself."""
    with site(tmp_path, *options) as ill:
        ill.bus.kill()
        ill.stale(cluster.SILENCE)
        assert "bus" in ill.ready(0)["waiting"]
        ill.bus.start()
        ill.move()
        ill.settle()
        assert ill.epochs() == {2}
        assert caplog.text.count("begins a new epoch") == 1
        assert ill.ready(0)["status"] == ill.ready(1)["status"] == "ready"


def test_after_a_fail_over_to_a_replica_that_is_behind_all_agree(tmp_path: Path) -> None:
    """Nobody's values go back, and nobody stays with what the replica never had."""
    (tmp_path / "other").mkdir()
    with redis(tmp_path / "other") as replica, site(tmp_path, lease="5s") as ill:
        with Client(port=replica.port) as client:
            client.replicaof("127.0.0.1", str(ill.bus.port))
            until(lambda: client.info("replication")["master_link_status"] == "up")
            ill.move()
            client.replicaof("NO", "ONE")  # promoted: from now on it hears no more
        ill.move()
        ill.move()
        for link in ill.links:
            link.lead(replica.port)
        ill.bus.kill()
        ill.move()
        ill.settle()


def test_when_the_memory_changes_the_bus_is_not_stormed(tmp_path: Path) -> None:
    """Each process reads a board as a whole at most once more, and beats no faster than ever."""
    with site(tmp_path, count=4) as ill:
        ill.bus.kill()
        ill.stale(cluster.SILENCE)
        ill.bus.start()
        ill.move()
        ill.settle()
        with Client(port=ill.bus.port) as client:
            stats = client.info("commandstats")
            uptime = client.info("server")["uptime_in_seconds"] + 1
        loads = stats["cmdstat_xrange"]["calls"]
        assert loads <= 4 * 2 + 2, "a load for each that stepped down or begins anew, and two more"
        commands = stats["cmdstat_evalsha"]["calls"] + stats["cmdstat_xread"]["calls"]
        assert commands / uptime < 4 * (4 + 2 + 8), "beats, publishing, reading"


# -- the bus is slow, full, stopped, or does not hear one of us


def test_a_slow_bus_is_a_late_one_and_nothing_else(tmp_path: Path) -> None:
    """Answers that take 0.4 s: the lease is kept, and nothing is called stale."""
    with site(tmp_path, lease="2s") as ill:
        poller = ill.poller
        for link in ill.links:
            link.delay = 0.2
        for _ in range(3):
            ill.move()
        assert ill.poller == poller
        for link in ill.links:
            link.heal()
        ill.settle()
        ill.never_stale()
        assert ill.epochs() == {1}


def test_a_bus_that_pauses_everybody_is_waited_for(tmp_path: Path) -> None:
    """It has forgotten nothing: the same epoch, whoever polls then."""
    with site(tmp_path) as ill:
        with Client(port=ill.bus.port) as client:
            client.client_pause(4000)
        ill.stale(cluster.SILENCE)
        ill.move()
        ill.settle()
        assert ill.epochs() == {1}


def test_a_bus_without_memory_left_takes_nothing_and_that_is_said(tmp_path: Path) -> None:
    """Its words are for the log and `/readyz`."""
    with site(tmp_path) as ill, Client(port=ill.bus.port) as client:
        client.config_set("maxmemory", 1)
        until(
            lambda: all(
                v.feeds["f"].get("why") in {cluster.NOTHING_TAKEN, cluster.SILENCE}
                for v in ill.viewers.visitors
            ),
            what="a doubt",
        )
        assert "maxmemory" in str(ill.ready(0)["waiting"]["bus"])
        client.config_set("maxmemory", 0)
        ill.move()
        ill.settle()
        assert ill.epochs() == {1}


def test_a_bus_that_is_stopped_is_alive_and_says_nothing(tmp_path: Path) -> None:
    """Connections stay and nothing comes: that is noticed by the clock alone."""
    with site(tmp_path) as ill:
        ill.bus.signal(signal.SIGSTOP)
        ill.stale(cluster.SILENCE)
        ill.bus.signal(signal.SIGCONT)
        ill.move()
        ill.settle()
        assert ill.epochs() == {1}


@pytest.mark.parametrize("how", ["cut", "swallowed"])
@pytest.mark.parametrize("who", ["poller", "other"])
def test_a_link_of_one_process_is_its_own_trouble(tmp_path: Path, how: str, who: str) -> None:
    """The others go on, and poll if need be; their viewers are told of no doubt."""
    with site(tmp_path) as ill:
        poller = ill.poller
        number = poller if who == "poller" else 1 - poller
        link, rest = ill.links[number], 1 - number
        if how == "cut":
            link.cut()
        else:
            link.swallows = True
        ill.stale(cluster.SILENCE, number)
        assert "bus" in ill.ready(number)["waiting"]
        assert ill.poller == rest
        value = ill.growing.value + 1
        until(lambda: all(v.rows["S0"]["last"] >= value for v in ill.at(rest)), what="changes")
        link.heal()
        if how == "swallowed":
            link.lead(ill.bus.port)
        ill.move()
        ill.settle()
        ill.never_stale(rest)
        assert ill.epochs() == {1}
        assert sum(v.snapshots for v in ill.viewers.visitors) == 0


def test_what_grew_old_while_the_bus_was_away_is_never_called_live(tmp_path: Path) -> None:
    """When it answers again nobody knows yet how old all is; the source is ill meanwhile."""
    with site(tmp_path) as ill:
        feed = ill.servers[0].ticker.settings.feeds["f"]
        limits = feed.freshness_at(feed.every)
        ill.feed.script["/n"] = lambda handler: handler.answer(503)
        for link in ill.links:
            link.cut()
        ill.stale(cluster.SILENCE)
        told = [len(v.statuses) for v in ill.viewers.visitors]
        last = max(v.feeds["f"]["at"] for v in ill.viewers.visitors) / 1000
        until(lambda: time.time() > last + limits.stale_after, what="old age")
        for link in ill.links:
            link.heal()
        ill.see(lambda v: not v.feeds["f"].get("why", "bus:").startswith("bus:"), "the feed's why")
        later = zip(ill.viewers.visitors, told, strict=True)
        assert {s["f"]["quality"] for v, n in later for s in v.statuses[n:]} <= {"stale", "down"}


def test_two_clusters_on_one_bus_know_nothing_of_each_other(tmp_path: Path) -> None:
    """Each has its prefix, its poller, its epoch and its rows."""
    with site(tmp_path) as one, site(tmp_path, prefix="other", bus=one.bus) as other:
        other.growing.value += 1_000
        one.move()
        other.move()
        assert one.poller in {0, 1}
        assert other.poller in {0, 1}
        one.settle()
        other.settle()
        assert _where(one.servers[0])[0] != _where(other.servers[0])[0]


# -- processes that sleep, are cut off, or have another clock


def test_a_poller_that_slept_polls_no_more_and_its_late_step_is_refused(tmp_path: Path) -> None:
    """It wakes, finds another poller, follows it, and so do its viewers."""
    with torture(tmp_path, 1, 2, 6) as (ill, growing):
        poller = until(lambda: ill.poller)
        assert poller is not None
        (other,) = (p for p in ill.places if p is not poller)
        poller.member.signal(signal.SIGSTOP)
        until(lambda: other.member.polls, what="another poller")
        value = growing.value + 3
        until(lambda: growing.value >= value)
        poller.member.signal(signal.SIGCONT)
        until(lambda: not poller.member.polls, what="the end of its term")
        growing.frozen = True
        truth = growing.truth
        until(
            lambda: ill.viewers.all(lambda v: {s: r["last"] for s, r in v.rows.items()} == truth),
            what="the truth",
        )
        until(lambda: poller.where == other.where, what="the same place")
        assert ill.viewers.wrong == []
        assert {len(v.epochs) for v in ill.viewers.visitors} == {1}


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@contextmanager
def namespace() -> Iterator[tuple[str, str, str, str]]:
    """Make a network of one's own, linked to here; skip the test where that is not allowed.

    Yields its name, our address and its own on the link, and the link's name.
    """
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and `ip`")
    name, here = f"ticker{os.getpid()}", f"tk{os.getpid()}"
    net = f"10.213.{os.getpid() % 250}"
    try:
        _run("ip", "netns", "add", name)
        _run("ip", "link", "add", here, "type", "veth", "peer", "name", "away", "netns", name)
    except subprocess.CalledProcessError as error:
        with suppress(subprocess.CalledProcessError):
            _run("ip", "netns", "del", name)
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
    try:
        _run("ip", "addr", "add", f"{net}.1/24", "dev", here)
        _run("ip", "link", "set", here, "up")
        _run("ip", "-n", name, "addr", "add", f"{net}.2/24", "dev", "away")
        _run("ip", "-n", name, "link", "set", "away", "up")
        _run("ip", "-n", name, "link", "set", "lo", "up")
        yield name, f"{net}.1", f"{net}.2", here
    finally:
        with suppress(subprocess.CalledProcessError):
            _run("ip", "link", "del", here)
        _run("ip", "netns", "del", name)


SIMULATED = """
server: {{host: 0.0.0.0, port: 0}}
bus: {{url: "{bus}"}}
feeds:
  f: {{kind: simulate, every: 100ms, symbols: {{A: 10, B: 20}}}}
boards:
  b: {{feeds: [f]}}
"""


@contextmanager
def ended(member: Member) -> Iterator[Member]:
    """Have a process that is ready, until the end of the block."""
    try:
        until(lambda: member.ready, what="a start")
        yield member
    finally:
        if member.process.poll() is None:
            member.kill()


def test_a_poller_in_a_network_that_is_cut_off_is_replaced_and_follows_when_it_is_back(
    tmp_path: Path,
) -> None:
    """No packet comes through and nobody says so: its lease runs out on both sides."""
    configs = [tmp_path / "inside.yaml", tmp_path / "outside.yaml"]
    with namespace() as (name, here, away, link):
        bind = ("--bind", f"127.0.0.1 {here}", "--protected-mode", "no")
        with redis(tmp_path, "redis-server", *bind) as bus:
            for config, address in zip(configs, (here, "127.0.0.1"), strict=True):
                config.write_text(SIMULATED.format(bus=f"redis://{address}:{bus.port}"))
            cut_off = Member(configs[0], within=("ip", "netns", "exec", name))
            cut_off.url = f"http://{away}:{cut_off.port}"
            with ended(cut_off), ended(Member(configs[1])) as other, other.follow("b") as viewer:
                viewer.follow_until(lambda v: v.seqs.get("b", 0) > 5)
                assert cut_off.polls
                _run("ip", "link", "set", link, "down")
                until(lambda: other.polls, what="another poller")
                until(lambda: not cut_off.polls, what="the end of its term")
                before = viewer.seqs["b"]
                viewer.follow_until(lambda v: v.seqs["b"] > before + 5)
                _run("ip", "link", "set", link, "up")
                until(lambda: cut_off.ready, what="that it follows again")
                later = other.get("/api/boards/b")
                until(lambda: cut_off.get("/api/boards/b")["seq"] >= later["seq"])
                assert cut_off.get("/api/boards/b")["epoch"] == later["epoch"]
                assert other.polls
                assert not cut_off.polls
                assert [m["type"] for m in viewer.messages].count("snapshot") == 1
                whys = [f.get("why", "") for f in viewer.feeds["b"].values()]
                assert not [why for why in whys if why.startswith("bus:")]


ANOTHER_CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long shift(void) { return atol(getenv("CLOCK_SHIFT")); }

int clock_gettime(clockid_t id, struct timespec *now) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(id, now);
  if (id == CLOCK_REALTIME) now->tv_sec += shift();
  return failed;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec exact;
  int failed = clock_gettime(CLOCK_REALTIME, &exact);
  now->tv_sec = exact.tv_sec;
  now->tv_usec = exact.tv_nsec / 1000;
  return failed;
}
time_t time(time_t *now) {
  struct timespec exact;
  clock_gettime(CLOCK_REALTIME, &exact);
  if (now) *now = exact.tv_sec;
  return exact.tv_sec;
}
"""


def test_clocks_that_are_minutes_apart_change_nothing_about_who_polls(tmp_path: Path) -> None:
    """Leases count by the bus's clock and the monotonic one; whoever takes over is as fresh."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("another clock needs a C compiler")
    (tmp_path / "clock.c").write_text(ANOTHER_CLOCK)
    library = str(tmp_path / "clock.so")
    _run(compiler, "-shared", "-fPIC", "-o", library, str(tmp_path / "clock.c"), "-ldl")
    config = tmp_path / "ticker.yaml"

    def shifted(seconds: int) -> Member:
        return Member(config, LD_PRELOAD=library, CLOCK_SHIFT=str(seconds))

    with redis(tmp_path) as bus:
        config.write_text(SIMULATED.format(bus=bus.url))
        with (
            ended(shifted(-600)) as slow,
            ended(shifted(600)) as fast,
            ended(Member(config)) as right,
            right.follow("b") as viewer,
        ):
            viewer.follow_until(lambda v: v.seqs.get("b", 0) > 5)
            apart = abs(slow.get("/api/status")["now"] - fast.get("/api/status")["now"])
            assert apart > 1_000_000
            assert [m.polls for m in (slow, fast, right)] == [True, False, False]
            began = time.monotonic()
            viewer.follow_until(lambda v: time.monotonic() > began + 2.5)  # more than two leases
            assert [m.polls for m in (slow, fast, right)] == [True, False, False]
            slow.kill()
            until(lambda: fast.polls or right.polls, what="another poller")
            before = viewer.seqs["b"]
            viewer.follow_until(lambda v: v.seqs["b"] > before + 5)
            if fast.polls:
                fast.kill()
                until(lambda: right.polls, what="another poller")
                before = viewer.seqs["b"]
                viewer.follow_until(lambda v: v.seqs["b"] > before + 5)
            told = [m["feeds"] for m in viewer.messages if m["type"] == "status"]
            bad = [f for feeds in told for f in feeds.values() if f["quality"] != "live"]
            assert bad == []
            assert [m["type"] for m in viewer.messages].count("snapshot") == 1
