"""Chromium on a core of its own, and what its developer tools say of a page."""

from __future__ import annotations

import contextlib
import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, CDPSession, Page, sync_playwright

from benches import proc
from benches.servers import free_port
from tests.web.conftest import CHROMIUM_ARGS, executable

PROBE = (Path(__file__).parent / "probe.js").read_text()
MAIN_THREAD = "CrRendererMain"
TRACED = ["devtools.timeline", "disabled-by-default-devtools.timeline", "toplevel", "__metadata"]


class Server:
    """Our server on the first core, with boards that change when they are told to."""

    def __init__(self, core: int) -> None:
        self.port = free_port()
        command = [sys.executable, "-m", "benches.peers.page_server", str(self.port)]
        with pinned(core):
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        self.answer()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def load(self, board: str, rows: int, rate: float, seconds: float) -> None:
        """Let ``rows`` rows of a board change ``rate`` times a second."""
        order = {"board": board, "rows": rows, "rate": rate, "seconds": seconds}
        assert self.process.stdin
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()

    def answer(self) -> dict[str, float]:
        """Wait until a load is over; return the number of rows ``changed``, and the seconds."""
        assert self.process.stdout
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the server has ended")
        said: dict[str, float] = json.loads(line)
        return said

    def end(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def pinned(core: int) -> Iterator[None]:
    """Let what is started in the block run on one core."""
    free = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, free)


@contextlib.contextmanager
def both() -> Iterator[tuple[Server, Browser]]:
    """Run server and Chromium, each on its core where there are two."""
    cores = proc.cores()
    server = Server(cores[0])
    try:
        with pinned(cores[1]):
            playwright = sync_playwright().start()
            browser = playwright.chromium.launch(executable_path=executable(), args=CHROMIUM_ARGS)
        with pinned(cores[0]):  # what measures does not disturb the page
            yield server, browser
        browser.close()
        playwright.stop()
    finally:
        server.end()


class Tab:
    """A page in a context of its own: nothing is cached."""

    def __init__(self, browser: Browser, width: int = 1280, height: int = 800) -> None:
        size: Any = {"width": width, "height": height}
        self.context = browser.new_context(locale="en-US", viewport=size)
        self.page: Page = self.context.new_page()
        self.page.add_init_script(PROBE)
        self.tools: CDPSession = self.context.new_cdp_session(self.page)
        self.tools.send("Performance.enable")

    def open(self, server: Server, board: str) -> float:
        """Go to a board; return milliseconds from the beginning to the first painted quote."""
        self.page.goto(f"{server.url}#/{board}", wait_until="commit")
        first: float = self.page.evaluate("probe.first()")
        return first

    def metrics(self) -> dict[str, float]:
        """Return what the page has cost so far, in seconds, and how many nodes it holds."""
        said = self.tools.send("Performance.getMetrics")["metrics"]
        return {it["name"]: it["value"] for it in said}

    def heap(self) -> float:
        """Return the MB in use after a collection."""
        self.tools.send("HeapProfiler.collectGarbage")
        used: int = self.tools.send("Runtime.getHeapUsage")["usedSize"]
        return used / 1e6

    def close(self) -> None:
        """Close it."""
        self.context.close()


class Trace:
    """What the main thread of a page did."""

    def __init__(self, recorded: bytes) -> None:
        events = json.loads(recorded)["traceEvents"]
        names = {
            (e["pid"], e["tid"]): e["args"]["name"] for e in events if e["name"] == "thread_name"
        }
        threads = Counter(
            (e["pid"], e["tid"])
            for e in events
            if names.get((e["pid"], e["tid"])) == MAIN_THREAD and e["name"] == "FunctionCall"
        )
        busiest = threads.most_common(1)[0][0] if threads else None
        self._events = [e for e in events if (e["pid"], e["tid"]) == busiest and e.get("ph") == "X"]

    def longest_task(self) -> float:
        """Return the longest task, in milliseconds."""
        tasks = [e["dur"] for e in self._events if e["name"].endswith("RunTask")]
        return max(tasks, default=0) / 1000

    def costs(self) -> dict[str, float]:
        """Return milliseconds by what was done; what is done within counts for both."""
        sums: Counter[str] = Counter()
        for event in self._events:
            if not event["name"].endswith("RunTask"):
                sums[event["name"]] += event["dur"]
        return {name: dur / 1000 for name, dur in sums.most_common(10)}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that ``share`` of the values do not exceed; NaN without values."""
    ordered = sorted(values)
    return (
        ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
    )
