"""The page is calm: what no tool finds, watched while boards change for half a minute."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect

from .conftest import (
    CHROMIUM_ARGS,
    Complaints,
    RunningServer,
    ScriptedSource,
    configure,
    executable,
)

Serve = Callable[..., RunningServer]

WITNESS = (Path(__file__).parent / "witness.js").read_text()
SOON = 10_000
RUN_SECONDS = 30
LEAST_CHANGES = 100
"""Changes of the page in a run, below which it proves nothing."""
FLASHES = 3
"""Flashes a second that are safe (WCAG 2.3.1)."""
GAP_MS = 4_900
"""Between two announcements: 5 s, less what a timer may be early."""
SHIFT = 0.005
"""Layout shift that is 0.00 to two digits: figures that are flush right begin elsewhere."""
REQUESTS = 30
"""Requests of a first view: each module is one."""
NODES = 24
"""More nodes that are no growth: texts that were empty before. A leak is in the hundreds."""

PRICES = {
    "kind": "simulate",
    "every": "50ms",
    "volatility": 10,  # prices that soon have a digit more or less
    "symbols": {f"SYM{i}": 10.0 ** (i % 7 - 1) for i in range(40)},
}
GAMES = {
    "kind": "simulate",
    "model": "scores",
    "every": "200ms",
    "sport": "basketball",
    "speed": 12,  # no quarter ends in the run: then cards get another column
    "teams": [f"Team {letter}" for letter in "ABCDEFGHIJKL"],
}
BOARDS = {
    "quotes": {"layout": "quotes", "feeds": ["prices"], "flush": "50ms"},
    "scores": {"layout": "scores", "feeds": ["games"], "flush": "50ms"},
    "flaky": {"layout": "quotes", "feeds": ["flaky"], "flush": "50ms", "columns": ["last"]},
}
ROWS = "tbody tr, .card"


@dataclass
class Watched:
    """What was noted of one page."""

    shifts: list[dict[str, Any]]
    changes: int
    flashes: float
    gaps: list[float]
    running: int
    nodes_before: int = 0
    nodes_after: int = 0


@dataclass
class Run:
    """What was noted of all pages in half a minute."""

    origin: str
    pages: dict[str, Watched] = field(default_factory=dict)
    addresses: list[str] = field(default_factory=list)
    complaints: Complaints = field(default_factory=Complaints)


def flapping() -> ScriptedSource:
    """Return a source that fails and recovers, over and over."""
    source = ScriptedSource([])
    asked = 0

    def rows() -> list[dict[str, Any]]:
        nonlocal asked
        asked += 1
        source.status = (
            200 if asked % 12 < 6 else 500 + asked // 12 % 10
        )  # each time with other words
        return [{"symbol": "A", "last": float(asked)}]

    source.rows = rows
    return source


@pytest.fixture(scope="module")
def run(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Return what was noted of pages on several boards, watched at the same time."""
    source = flapping()
    flaky = source.feed(every="100ms", stale_after="300ms", backoff_max="200ms")
    config = tmp_path_factory.mktemp("calm") / "config.yaml"
    feeds = {"prices": PRICES, "games": GAMES, "flaky": flaky}
    configure(config, feeds, BOARDS)
    server = RunningServer(config)
    try:
        server.wait_for("readyz")
        yield watch(browser, server)
    finally:
        server.stop()
        source.close()


def watch(browser: Browser, server: RunningServer) -> Run:
    """Open a page for each board and width, and one without motion; note what happens there."""
    run = Run(server.url)
    pages: dict[str, Page] = {}
    for width in (360, 1280):
        for board in ("quotes", "scores"):
            pages[f"{board} at {width}"] = opened(browser, run, board, width)
    for board in ("quotes", "scores"):
        pages[f"{board} still"] = opened(browser, run, board, 1280, reduced_motion="reduce")
    pages["flaky"] = opened(browser, run, "flaky", 1280)
    before = {name: nodes(page) for name, page in pages.items()}
    for page in pages.values():
        page.evaluate("witness.begin()")
    for name, page in pages.items():
        when(page, f"witness.seconds() >= {RUN_SECONDS}", within=2 * RUN_SECONDS * 1_000)
        watched = Watched(**page.evaluate("witness.report()"))
        watched.nodes_before, watched.nodes_after = before[name], nodes(page)
        run.pages[name] = watched
    for page in pages.values():
        page.context.close()
    return run


def opened(browser: Browser, run: Run, board: str, width: int, **options: Any) -> Page:
    """Return a page that shows the rows of a board."""
    size = {"width": width, "height": 800}
    page = browser.new_context(locale="en-US", viewport=size, **options).new_page()  # type: ignore[arg-type]
    page.add_init_script(WITNESS)
    page.on("request", lambda request: run.addresses.append(request.url))
    run.complaints.watch(page)
    page.goto(f"{run.origin}#/{board}")
    expect(page.locator(ROWS).first).to_be_visible(timeout=SOON)
    when(page, f"witness.changes() > {LEAST_CHANGES}")  # it has settled
    return page


def when(page: Page, test: str, within: int = SOON) -> None:
    """Wait until an expression is true in the page; ``within`` milliseconds."""
    page.evaluate(f"witness.when(() => {test}, {within})")


def nodes(page: Page) -> int:
    """Return how many nodes the page holds, in its document or not, after a collection."""
    devtools = page.context.new_cdp_session(page)
    devtools.send("HeapProfiler.collectGarbage")
    count: int = devtools.send("Memory.getDOMCounters")["nodes"]
    devtools.detach()
    return count


LIVELY = ["quotes at 360", "quotes at 1280", "scores at 360", "scores at 1280"]


@pytest.mark.parametrize("name", LIVELY)
def test_nothing_shifts(run: Run, name: str) -> None:
    """While values change, nothing else moves."""
    watched = run.pages[name]
    assert watched.changes > LEAST_CHANGES
    assert sum(shift["value"] for shift in watched.shifts) < SHIFT, watched.shifts


@pytest.mark.parametrize("name", LIVELY)
def test_nothing_flashes_often(run: Run, name: str) -> None:
    """No cell flashes more often than is safe, however often its value changes."""
    assert 0 < run.pages[name].flashes <= FLASHES


@pytest.mark.parametrize("name", ["quotes still", "scores still"])
def test_less_motion_is_none(run: Run, name: str) -> None:
    """Where less motion is asked for, nothing is animated, on any board."""
    watched = run.pages[name]
    assert watched.changes > LEAST_CHANGES
    assert (watched.flashes, watched.running) == (0, 0)


def test_announcements_keep_their_distance(run: Run) -> None:
    """A feed that fails and recovers all the time is told, not more than once in five seconds."""
    gaps = run.pages["flaky"].gaps
    assert gaps, "nothing was said"
    assert min(gaps) >= GAP_MS


@pytest.mark.parametrize("name", LIVELY)
def test_nodes_do_not_pile_up(run: Run, name: str) -> None:
    """After half a minute of changes the page holds as many nodes as before."""
    watched = run.pages[name]
    assert watched.nodes_after <= watched.nodes_before + NODES


def test_nobody_else_is_asked(run: Run) -> None:
    """Every request goes to the server of the page."""
    assert {urlsplit(address).netloc for address in run.addresses} == {urlsplit(run.origin).netloc}


def test_the_browser_has_no_complaint(run: Run) -> None:
    """Half a minute of several boards leaves nothing in the browser's console."""
    assert run.complaints == []


@pytest.fixture
def board(serve: Serve) -> RunningServer:
    """Return a server with one lively board."""
    server = serve({"prices": PRICES}, {"quotes": {"feeds": ["prices"], "flush": "50ms"}})
    server.wait_for("readyz")
    return server


def test_a_first_view_asks_little(board: RunningServer, page: Page) -> None:
    """Until the first rows are there, few requests have been made."""
    addresses: list[str] = []
    page.on("request", lambda request: addresses.append(request.url))
    page.goto(board.url)
    expect(page.locator(ROWS).first).to_be_visible()
    assert len(addresses) <= REQUESTS, addresses


def test_pause_is_soon_reached(board: RunningServer, page: Page) -> None:
    """Pause is among the first three stops of the Tab key."""
    page.goto(board.url)
    expect(page.locator(ROWS).first).to_be_visible()
    stops = []
    for _ in range(3):
        page.keyboard.press("Tab")
        stops.append(page.evaluate("document.activeElement.textContent.trim()"))
    assert "Pause" in stops


HIDE = """
    let isHidden = false;
    const held = [];
    const frame = requestAnimationFrame;
    requestAnimationFrame = (paint) => frame((now) => (isHidden ? held.push(paint) : paint(now)));
    const state = () => (isHidden ? "hidden" : "visible");
    Object.defineProperty(document, "visibilityState", {get: state});
    globalThis.hide = (hidden) => {
        isHidden = hidden;
        document.dispatchEvent(new Event("visibilitychange"));
        if (!hidden) held.splice(0).forEach(requestAnimationFrame);
    };
"""
"""A hidden tab, as browsers have it: no frames. Headless Chromium takes no tab for hidden."""


def test_a_hidden_tab_is_not_painted(board: RunningServer, page: Page) -> None:
    """Changes that arrive while nobody looks touch no element, and are shown later."""
    page.add_init_script(HIDE + WITNESS)
    with page.expect_websocket() as link:
        page.goto(board.url)
    expect(page.locator(ROWS).first).to_be_visible()
    before = page.evaluate(
        "hide(true), new Promise((done) => setTimeout(done)).then(witness.changes)"
    )
    for _ in range(20):
        link.value.wait_for_event("framereceived")
    assert page.evaluate("witness.changes()") == before
    page.evaluate("hide(false)")
    when(page, f"witness.changes() > {before}")


@pytest.fixture
def remembering(browser: Browser) -> Iterator[Page]:
    """Return a page of a Chromium that keeps pages one goes away from, as it does for people."""
    mine = browser.browser_type.launch(
        executable_path=executable(),
        args=CHROMIUM_ARGS,
        ignore_default_args=["--disable-back-forward-cache"],
    )
    yield mine.new_page()
    mine.close()


def test_back_is_live_again(board: RunningServer, remembering: Page) -> None:
    """Who goes away and comes back has the same page, at once, and it is live."""
    page = remembering
    page.add_init_script(WITNESS)
    page.goto(board.url)
    expect(page.locator(ROWS).first).to_be_visible()
    page.evaluate("addEventListener('pageshow', ({persisted}) => { witness.isKept = persisted; })")
    page.goto(f"{board.url}healthz")
    page.go_back(wait_until="commit")  # a page that was kept does not load
    when(page, "witness.isKept")
    expect(page.locator("#state")).to_have_attribute("data-kind", "live", timeout=SOON)
    cell = page.locator("tbody .figure").first
    expect(cell).not_to_have_text(cell.inner_text(), timeout=SOON)
