"""A server under steady load with churn, for long: `python -m benches.soak --minutes 30 --write`.

The server is `ticker serve` on a core of its own; viewers of all kinds come, go, go on, hide, read
slowly or never, others ask and push, the source falls ill and the config changes. Every few seconds
is taken what the server holds and how late it is. The first minutes are always left out: until then
everything fills up that has a bound. Of the rest, the slope over time says whether anything grows.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benches import proc, soak_plot, soak_server
from benches.page import DOCS, insert
from benches.report import table
from benches.servers import Options, Server, free_port, running
from benches.soak_load import RAMP_SECONDS, Crowds
from benches.soak_server import ADMIN, SYMBOLS, VERSIONS, Coins, Reloads, Version
from benches.soak_visitors import LONG_SECONDS, Visitors
from benches.trend import Trend, trend
from benches.web import quiet
from tests.support import source

PAGE, PLOT = DOCS / "reliability.md", DOCS / "soak.svg"
BEGIN, END = "<!-- bench-soak:begin -->", "<!-- bench-soak:end -->"

SAMPLE_SECONDS = 5.0
WARM_SECONDS = 300.0
"""Left out at the beginning, of every run that says something."""
RELOAD_SECONDS = 60.0
STEADY = 0.9
"""Share of the viewers that must be there all the time: or the machine had too much to do."""
DAY, HOUR, MB = 86_400.0, 3_600.0, 1e6

LEVELS = {"warning", "error", "critical"}


@dataclass(frozen=True)
class Kind:
    """A series: its name, unit, what a slope is told per, and whether it decides the verdict."""

    name: str
    what: str
    unit: str
    per: str
    scale: float = 1.0
    decides: bool = False

    def slope(self, value: float) -> str:
        """Return a slope in words."""
        seconds = DAY if self.per == "day" else HOUR
        return f"{value * seconds / self.scale:+,.2f}"

    @property
    def each(self) -> str:
        """The time that a slope is told for, in words."""
        return "a day" if self.per == "day" else "an hour"

    def level(self, value: float) -> str:
        """Return a value in words."""
        return f"{value / self.scale:,.{0 if self.unit == '' else 1}f} {self.unit}".strip()


KINDS = (
    Kind("rss", "resident memory (RSS)", "MB", "day", MB, decides=True),
    Kind("pss", "its proportional share (PSS)", "MB", "day", MB, decides=True),
    Kind("uss", "its own pages (USS)", "MB", "day", MB, decides=True),
    Kind("blocks", "blocks that Python's allocator has given out", "", "day", decides=True),
    Kind("descriptors", "descriptors", "", "hour", decides=True),
    Kind("threads", "threads", "", "hour", decides=True),
    Kind("tasks", "tasks", "", "hour", decides=True),
    Kind("viewers", "viewers connected", "", "hour"),
    Kind("p50", "latency, p50", "ms", "hour"),
    Kind("p99", "latency, p99", "ms", "hour"),
    Kind("lag50", "loop lag, p50", "ms", "hour"),
    Kind("lag99", "loop lag, p99", "ms", "hour"),
    Kind("cpu", "server's core", "%", "hour"),
)


@dataclass
class Soak:
    """Everything that one run measured."""

    minutes: float
    warm: float
    viewers: int
    load: float
    """Other programs' load before the run."""
    at: list[float] = field(default_factory=list)
    """Seconds since the start."""
    series: dict[str, list[float]] = field(default_factory=dict)
    reloads: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    done: dict[str, int] = field(default_factory=dict)
    trouble: dict[str, int] = field(default_factory=dict)
    """What went wrong with visitors, in words."""
    log: dict[str, int] = field(default_factory=dict)
    """Warnings and errors of the server's log, numbers taken out."""
    wrong: list[str] = field(default_factory=list)
    """What must not be, in words."""
    sampled: int = 0
    converged: int = 0
    overloaded: str | None = None

    def add(self, at: float, values: Mapping[str, float]) -> None:
        """Take a sample."""
        self.at.append(round(at, 2))
        for name, value in values.items():
            self.series.setdefault(name, []).append(round(value, 3))

    @property
    def tells(self) -> bool:
        """Whether it is long enough to say something of slopes."""
        return self.warm >= WARM_SECONDS and self.minutes >= 5

    @property
    def _start(self) -> int:
        """The first sample after the warm-up."""
        return next((i for i, at in enumerate(self.at) if at >= self.warm), len(self.at))

    def trends(self) -> dict[str, Trend]:
        """Return the trend of each series after the warm-up."""
        start = self._start
        times = self.at[start:]
        return {kind.name: trend(times, self.series[kind.name][start:]) for kind in KINDS}

    @property
    def unsteady(self) -> str | None:
        """Why slopes say little, in words: the load was not the same all the time."""
        least = min(self.series["viewers"][self._start :], default=0)
        if least >= STEADY * self.viewers:
            return None
        return f"at times only {least:,.0f} of {self.viewers:,} viewers were connected"

    def failures(self) -> list[str]:
        """Return in words why a run is not good."""
        failures = list(self.wrong)
        failures += [f"visitors: {words}" for words in self.trouble]
        failures += [f"log: {words}" for words in self.log if words.startswith("defect")]
        if self.tells:
            found = self.trends()
            growing = [kind for kind in KINDS if kind.decides and found[kind.name].grows]
            failures += [f"{it.what} grows: {_growth(it, found[it.name])}" for it in growing]
            failures += [f"the load was not steady: {self.unsteady}"] if self.unsteady else []
        return failures


def soak(minutes: float, viewers: int, warm: float, say: Callable[[str], None] = print) -> Soak:
    """Run server, crowds and visitors for ``warm`` seconds and ``minutes``."""
    result = Soak(minutes, warm, viewers, os.getloadavg()[0])
    ours, theirs = proc.cores()
    os.sched_setaffinity(0, {theirs})
    proc.raise_file_limit()
    seconds = warm + minutes * 60
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        polled = stack.enter_context(source())
        Coins(SYMBOLS).serve(polled)
        config, log, port = folder / "soak.yaml", folder / "log", free_port()

        def write(version: Version) -> None:
            soak_server.write(config, version, port, polled.url)

        write(VERSIONS[0])
        command = [sys.executable, "-m", "ticker", "serve", "--config", str(config)]
        server = Server("ticker", "ticker", lambda _: command, ours=True)
        process = stack.enter_context(running(server, Options(port=port), ours, log))
        url = f"http://127.0.0.1:{port}"
        _wait_until_ready(url)
        crowds = Crowds.start(url, viewers, seconds, soak_server.token(LONG_SECONDS))
        visitors = Visitors(port, each=max(1, viewers // 200))
        reloads = Reloads(write, min(RELOAD_SECONDS, seconds / 10))
        for thread in (visitors, reloads):
            thread.start()
        try:
            _sample(result, process.pid, url, crowds, seconds, say)
        finally:
            reloads.stop()
            visitors.stop()
        crowds.finish()
        if process.poll() is not None:
            result.wrong.append(f"the server ended with {process.returncode}")
        result.reloads = reloads.count
        result.done, result.trouble = dict(visitors.done), dict(visitors.trouble)
        result.wrong += crowds.wrong()
        result.sampled, result.converged = crowds.proof
        names = ("frames", "diffs", "snapshots", "resumed", "resnapshots", "reconnected", "moves")
        result.counts = {name: crowds.count(name) for name in (*names, "lost", "refused")}
        result.overloaded = crowds.overloaded
        result.log = _edges(log)
    return result


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 30
    while httpx.get(f"{url}/readyz").status_code != 200:
        if time.monotonic() > deadline:
            raise SystemExit("the server does not become ready")
        time.sleep(0.1)


def _sample(
    result: Soak, pid: int, url: str, crowds: Crowds, seconds: float, say: Callable[[str], None]
) -> None:
    """Take a sample every few seconds, until the crowds are about to end."""
    every = min(SAMPLE_SECONDS, seconds / 40)
    began = time.monotonic()
    spent = proc.cpu_seconds(pid)
    headers = {"Authorization": f"Bearer {ADMIN}"}
    wait = threading.Event()
    with httpx.Client(base_url=url, timeout=30, headers=headers) as client:
        number, before = 0, 0.0
        while (due := every * (number := number + 1)) < RAMP_SECONDS + seconds - every:
            wait.wait(max(0.0, began + due - time.monotonic()))
            try:
                told = _told(client.get("/metrics").text)
                held = {
                    **proc.memory(pid),
                    "descriptors": proc.descriptors(pid),
                    "threads": proc.threads(pid),
                }
                now, used = time.monotonic() - began, proc.cpu_seconds(pid)
            except (OSError, httpx.HTTPError) as error:
                result.wrong.append(f"after {due:.0f} s: {type(error).__name__} {error}")
                return
            latency = crowds.latency()
            cpu = 100 * (used - spent) / (now - before)
            spent, before = used, now
            result.add(
                now,
                {
                    **held,
                    **told,
                    "p50": latency.percentile(50) or 0.0,
                    "p99": latency.percentile(99) or 0.0,
                    "cpu": cpu,
                },
            )
            say(_line(result))


def _told(text: str) -> dict[str, float]:
    """Return what the server's own metrics say."""
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    lag = "ticker_loop_lag_seconds"
    return {
        "blocks": samples["ticker_memory_blocks",],
        "tasks": samples["ticker_tasks",],
        "viewers": sum(value for name, value in samples.items() if name[0] == "ticker_viewers"),
        "lag50": samples[lag, "0.5"] * 1000,
        "lag99": samples[lag, "0.99"] * 1000,
    }


def _edges(log: Path) -> dict[str, int]:
    """Return how often the log has which warning or error.

    A traceback is a defect, whatever its level, and so is a line that is no JSON. A mistake in the
    config is an error that was made on purpose.
    """
    seen: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            seen[f"defect: {line[:80]}"] += 1
            continue
        if entry["level"] in LEVELS:
            level = "defect" if "exception" in entry else entry["level"]
            event = re.sub(r"\S*/\S*", "…", entry["event"])
            last = entry.get("exception", "").rstrip().rpartition("\n")[2]
            words = f"{event.strip()} {last}".strip()
            seen[f"{level}: {re.sub(r'[0-9]+', 'N', words)[:120]}"] += 1
    return dict(seen.most_common())


def _line(soak: Soak) -> str:
    last = {name: values[-1] for name, values in soak.series.items()}
    return "  ".join(
        [f"{soak.at[-1]:7.1f} s", *(f"{k.name} {k.level(last[k.name])}" for k in KINDS)]
    )


def _growth(kind: Kind, found: Trend) -> str:
    """Return in words what a slope is, and how much of it there is at least and at most."""
    low, high = kind.slope(found.low), kind.slope(found.high)
    return f"{kind.slope(found.slope)} {kind.unit} {kind.each} ({low} to {high})".replace("  ", " ")


def _verdict(found: Trend) -> str:
    if found.flat:
        return "0 is within"
    return "**grows**" if found.grows else "falls"


def figures(soak: Soak) -> str:
    """Return a table of levels and slopes."""
    found = soak.trends()
    return table(
        ["what", "level", "slope", "95% from", "to", ""],
        [
            [
                kind.what,
                kind.level(found[kind.name].level),
                f"{kind.slope(found[kind.name].slope)} {kind.unit}".strip() + f" {kind.each}",
                kind.slope(found[kind.name].low),
                kind.slope(found[kind.name].high),
                _verdict(found[kind.name]),
            ]
            for kind in KINDS
        ],
    )


def body(soak: Soak) -> str:
    """Return everything that stands between the marks of the page."""
    rss, blocks = soak.trends()["rss"], soak.trends()["blocks"]
    counts = soak.counts
    seen = max(abs(rss.low), abs(rss.high)) * DAY / MB
    parts = [
        f"{proc.processor()}. {quiet(soak.load)} {soak.minutes:g} minutes, after "
        f"{soak.warm / 60:g} that are left out; {soak.viewers:,} viewers and the others; "
        f"{soak.reloads} versions of the config.",
        "![Memory, descriptors, tasks, latency and loop lag over the run](soak.svg)",
        figures(soak),
        f"A steady growth of the memory by more than {seen:,.1f} MB a day "
        f"({100 * seen * MB / rss.level:,.1f}% of it) would lie outside of what was seen. "
        f"Of the blocks, which are not rounded to pages, that is "
        f"{100 * max(abs(blocks.low), abs(blocks.high)) * DAY / blocks.level:,.1f}% a day.",
        f"Viewers received {counts['frames']:,} frames. They left or lost their connection "
        f"{counts['moves'] + counts['reconnected']:,} times on their own or the server's account, "
        f"besides those that break off every few seconds; of those that came back knowing where "
        f"they were {counts['resumed']:,} went on by a diff or nothing, and "
        f"{counts['resnapshots']:,} were given a snapshot, as a changed board wants it. "
        f"At the end {soak.converged:,} of {soak.sampled:,} that decode everything had exactly the "
        f"server's state.",
    ]
    if soak.overloaded:
        parts.append(f"**Times are those of the viewers**: {soak.overloaded}.")
    failures = soak.failures()
    parts.append(
        "What must not be: " + ("; ".join(failures) if failures else "nothing was seen of it") + "."
    )
    lines = [[words, f"{count:,}"] for words, count in [*soak.done.items(), *soak.log.items()]]
    parts.append("What visitors did, and the server's log (numbers are N):")
    parts.append(table(["what", "times"], sorted(lines)))
    return "\n\n".join(parts)


def write(soak: Soak) -> None:
    """Write the page and its plot. Raises ValueError when the page has no place for them."""
    insert(body(soak), BEGIN, END, PAGE)
    PLOT.write_text(soak_plot.svg(soak))
    print(f"wrote {PAGE} and {PLOT}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what the command line asks for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benches.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="after the warm-up")
    parser.add_argument("--viewers", type=int, default=1_000, help="in all crowds together")
    parser.add_argument(
        "--warm-up",
        type=float,
        default=WARM_SECONDS,
        metavar="SECONDS",
        help=f"what is left out; a run with less than {WARM_SECONDS:g} says nothing of slopes",
    )
    parser.add_argument("--out", type=Path, help="where to write all samples, as JSON")
    parser.add_argument("--write", action="store_true", help="into docs/reliability.md")
    parser.add_argument("--page", type=Path, help="write the page from an earlier --out")
    given = parser.parse_args(arguments)
    if given.page:
        result = Soak(**json.loads(given.page.read_text()))
    else:
        result = soak(given.minutes, given.viewers, given.warm_up)
    if given.out:
        given.out.write_text(json.dumps(asdict(result)) + "\n")
    if given.write or given.page:
        if not result.tells:
            raise SystemExit("too short to say anything: nothing was written")
        write(result)
    print(figures(result))
    for words, count in [*result.done.items(), *result.log.items()]:
        print(f"{count:>9,}  x {words}")
    print(f"{result.converged:,} of {result.sampled:,} viewers had the server's exact state")
    failures = result.failures()
    for words in failures:
        print(f"failed: {words}")
    if result.overloaded:
        print(f"times say nothing: {result.overloaded}")
    if not result.tells:
        print("a trial: slopes say nothing")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
