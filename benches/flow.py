"""How the page keeps up: delay, frames, long tasks, memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from playwright.sync_api import Browser
from websockets.sync.client import connect

from benches.chromium import TRACED, Server, Tab, Trace, percentile
from benches.figure import Figure

SECONDS = 10
WARM_SECONDS = 2
CONVERGE_MS = 10_000
TALL = 2_500
"""A window that shows about 60 rows."""
SCROLL_PX = 12_000
SCROLL_PX_PER_SECOND = 3_000
FILL_SECONDS = 60
"""Until histories and caches are as long as they ever get."""
SAMPLE_SECONDS = 10

# every row that the page shows has the price that the server has
SAME = """async (board) => {
    const {rows} = await (await fetch(`api/boards/${board}`)).json();
    const text = (row, part) => row.querySelector(part)?.textContent ?? "";
    const shown = [...document.querySelectorAll("tbody tr")].filter((row) => row.offsetHeight > 0)
        .map((row) => [rows[text(row, ".symbol")], text(row, "td.kind-price").replaceAll(",", "")])
        .filter(([row]) => row);
    const wrong = shown.filter(([row, price]) => Number(price) !== row.last);
    return shown.length > 0 ? wrong.length : -1;
}"""


@contextmanager
def counted(server: Server, board: str) -> Iterator[list[int]]:
    """Be a second viewer; append the number of rows of each diff that goes out."""
    rows: list[int] = []
    link = connect(f"ws://127.0.0.1:{server.port}/ws?board={board}", max_size=None)

    def read() -> None:
        for text in link:
            message = orjson.loads(text)
            if message["type"] == "diff":
                rows.append(len(message["rows"]))

    thread = threading.Thread(target=read)
    thread.start()
    try:
        yield rows
    finally:
        link.close()
        thread.join()


def under_load(
    tab: Tab, server: Server, board: str, rows: int, rate: float
) -> tuple[dict[str, Any], float, dict[str, float]]:
    """Let rows change; return what the probe saw, updates a second, and what it cost by kind."""
    server.load(board, rows, rate, WARM_SECONDS)
    server.answer()
    with counted(server, board) as out:
        before = tab.metrics()
        tab.page.evaluate("probe.begin()")
        server.load(board, rows, rate, SECONDS)
        took = server.answer()["took"]
        seen = tab.page.evaluate("probe.end()")
        after = tab.metrics()
    return seen, sum(out) / took, {name: after[name] - before[name] for name in after}


def delay(browser: Browser, server: Server) -> Iterator[Figure]:
    """Measure from publishing to painting, at 1,000 row updates a second."""
    tab = Tab(browser)
    tab.open(server, "busy")
    seen, rate, _ = under_load(tab, server, "busy", 40, 25)
    tab.close()
    note = f"{rate:,.0f} updates/s, median {percentile(seen['delays'], 0.5):.0f} ms"
    value = percentile(seen["delays"], 0.95)
    yield Figure("published to painted, 1,000 row updates/s, p95", "ms", 100, 33, value, note=note)


def frames(browser: Browser, server: Server) -> Iterator[Figure]:
    """Measure frames at 5,000 row updates a second."""
    tab = Tab(browser, height=TALL)
    tab.open(server, "busy")
    seen, rate, cost = under_load(tab, server, "busy", 200, 25)
    visible = tab.page.evaluate(
        "[...document.querySelectorAll('tbody tr')].filter((row) => {"
        " const box = row.getBoundingClientRect();"
        " return box.bottom > 0 && box.top < innerHeight; }).length"
    )
    tab.close()
    times = seen["frames"]
    each = {name: cost[name] * 1000 / max(1, seen["painted"]) for name in cost}
    note = f"{rate:,.0f} updates/s, {visible} of 200 rows visible, {seen['painted']} paints"
    what = "5,000 row updates/s, time between frames, p95"
    yield Figure(what, "ms", 33, 16.7, percentile(times, 0.95), note=note)
    rest = f"layout {each['LayoutDuration']:.1f}, style {each['RecalcStyleDuration']:.1f}"
    note = f"{rest}, in all {each['TaskDuration']:.1f} ms"
    what = "5,000 row updates/s, script for each paint"
    yield Figure(what, "ms", 4, 4, each["ScriptDuration"], note=note)


def burst(browser: Browser, server: Server) -> Iterator[Figure]:
    """Send 50,000 row updates within two seconds."""
    tab = Tab(browser)
    tab.open(server, "burst")
    browser.start_tracing(page=tab.page, categories=TRACED)
    with counted(server, "burst") as out:
        server.load("burst", 1_000, 25, 2)
        server.answer()
    tab.page.wait_for_timeout(500)  # the last of it arrives and is painted
    trace = Trace(browser.stop_tracing())
    wrong = tab.page.evaluate(SAME, "burst")
    for _ in range(CONVERGE_MS // 100):
        if wrong == 0:
            break
        tab.page.wait_for_timeout(100)
        wrong = tab.page.evaluate(SAME, "burst")
    tab.close()
    costs = ", ".join(f"{name} {ms:.0f}" for name, ms in trace.costs().items())
    print(f"burst, ms of the main thread: {costs}", flush=True)
    note = f"{sum(out):,} went out, {'converges' if wrong == 0 else f'{wrong} rows stay wrong'}"
    what = "burst of 50,000 row updates in 2 s, longest task"
    yield Figure(what, "ms", 200, 50, trace.longest_task(), note=note)


def large(browser: Browser, server: Server) -> Iterator[Figure]:
    """Open 5,000 rows and scroll them while some change."""
    tab = Tab(browser)
    opened = tab.open(server, "large")
    yield Figure("5,000 rows, first quote painted", "s", 1.5, 1.5, opened / 1000)
    tab.page.wait_for_timeout(1_000)  # what is still to be built
    server.load("large", 100, 5, 2 * SCROLL_PX / SCROLL_PX_PER_SECOND)
    tab.page.evaluate("probe.begin()")
    gesture = {"x": 640, "y": 500, "yDistance": -SCROLL_PX, "speed": SCROLL_PX_PER_SECOND}
    tab.tools.send("Input.synthesizeScrollGesture", gesture)
    times = tab.page.evaluate("probe.end()")["frames"]
    server.answer()
    tab.close()
    fps = 1000 * len(times) / sum(times)
    note = f"500 updates/s, longest frame {max(times):.0f} ms"
    yield Figure("5,000 rows, frames while scrolling", "/s", 55, 55, fps, more=True, note=note)


def memory(browser: Browser, server: Server, minutes: float) -> Iterator[Figure]:
    """Watch the heap of 500 rows over minutes."""
    tab = Tab(browser)
    tab.open(server, "many")
    server.load("many", 20, 25, FILL_SECONDS + minutes * 60 + SAMPLE_SECONDS)
    tab.page.wait_for_timeout(FILL_SECONDS * 1000)
    heap = tab.heap()
    yield Figure("heap with 500 rows, after a collection", "MB", 20, 10, heap)
    before = tab.metrics()["Nodes"]
    samples = [heap]
    for _ in range(round(minutes * 60 / SAMPLE_SECONDS)):
        tab.page.wait_for_timeout(SAMPLE_SECONDS * 1000)
        samples.append(tab.heap())
    nodes = tab.metrics()["Nodes"]
    server.answer()
    tab.close()
    note = f"over {minutes:g} minutes, 500 row updates/s"
    yield Figure("growth of the heap", "MB/h", 2, 0.5, slope(samples), note=note)
    note = f"from {before:,.0f} to {nodes:,.0f}"
    yield Figure("growth of the number of nodes", "%", 2, 0, 100 * (nodes / before - 1), note=note)


def slope(samples: list[float]) -> float:
    """Return the growth per hour of values taken every ``SAMPLE_SECONDS``, by least squares."""
    middle, mean = (len(samples) - 1) / 2, sum(samples) / len(samples)
    rise = sum((i - middle) * (it - mean) for i, it in enumerate(samples))
    run = sum((i - middle) ** 2 for i in range(len(samples)))
    return rise / run * 3600 / SAMPLE_SECONDS
