"""The drawer of a row in a real browser, against a real server."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from .conftest import ROOT, Complaints, RunningServer, ScriptedSource
from .test_page import GAMES, OVERFLOW, QUOTES, SOON, rising, row, run_stocks, stocks

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]
NewPage = Callable[..., Page]

CHART = ROOT / "web" / "vendor" / "uplot" / "uPlot.iife.min.js"
LIBRARY = "**/vendor/uplot/*.js"
STYLE = "**/vendor/uplot/*.css"
HISTORY = "**/history?*"
NARROW = {"width": 320, "height": 640}
START = 1_767_605_400_000

FIELDS = ("name", "last", "change", "change_pct", "volume", "previous_close", "high", "low", "note")

# Stands for the library: keeps what it is given, tells its owner of cursors and follows the window.
NAMED_FAKE = """
window.uPlot = class FakePlot {
    static paths = {stepped: () => null};
    static drawn = [];
    constructor(options, data, target) {
        this.options = options;
        this.cursor = {idx: null};
        this.root = target.appendChild(document.createElement("canvas"));
        this.over = this.root;
        FakePlot.last = this;
        FakePlot.made = (FakePlot.made ?? 0) + 1;
        this.follow = () => this.setSize();
        addEventListener("resize", this.follow);
        this.setData(data);
    }
    setData(data) { this.data = data; FakePlot.drawn.push(document.timeline.currentTime); }
    setSize() {}
    valToPos(value) { return value; }
    setCursor({left}) {
        const i = this.data[0].findIndex(time => time >= left);
        this.cursor = {idx: left < 0 || i < 0 ? null : i};
        this.options.hooks.setCursor[0](this);
    }
    destroy() {
        removeEventListener("resize", this.follow);
        this.root.remove();
    }
};
"""

# What the page of the dashboard does for its views, as small as it can be.
TRIAL = """async () => {
    const { Client } = await import("/client.js");
    const { Drawer } = await import("/ui/drawer.js");
    const { Settings } = await import("/core/settings.js");
    const client = new Client(document.baseURI);
    const stars = new Set();
    const lists = {
        has: (board, symbol) => stars.has(board + symbol),
        toggle: (board, symbol) => stars.delete(board + symbol) || stars.add(board + symbol),
    };
    const trial = window.trial = { client, said: [], closed: [], alerts: [] };
    let frame = 0;
    const paint = now => {
        frame = 0;
        if (!trial.store || trial.isPaused) return;
        trial.drawer.paint(trial.store, trial.store.take(), now);
    };
    const request = () => { frame ||= requestAnimationFrame(paint); };
    trial.drawer = new Drawer({
        client, lists, request, settings: new Settings(() => localStorage), now: () => client.now(),
        say: words => trial.said.push(words), alert: symbol => trial.alerts.push(symbol),
    });
    trial.drawer.onclose = symbol => trial.closed.push(symbol);
    client.listen(request);
    setInterval(request, 1000);
    trial.show = (board, symbol) => {
        trial.store = client.watch(board);
        trial.drawer.show(trial.store, symbol);
    };
}"""


def answer(at: list[int], value: list[float | None]) -> Callable[[Route], None]:
    """Return a server's history of every symbol that is asked for."""

    def fulfil(route: Route) -> None:
        symbol = re.search(r"symbols=([^&]*)", route.request.url)
        assert symbol is not None
        rows = {symbol[1]: {"at": at, "value": value}}
        route.fulfill(json={"board": "stocks", "rows": rows})

    return fulfil


def ready(page: Page, server: RunningServer) -> None:
    """Go to the dashboard, with a drawer that can be opened, a fake chart and an empty history."""
    page.route(
        LIBRARY, lambda route: route.fulfill(body=NAMED_FAKE, content_type="text/javascript")
    )
    page.route(STYLE, lambda route: route.fulfill(body="", content_type="text/css"))
    page.route(HISTORY, answer([], []))
    page.goto(server.url)
    expect(page.locator("tbody tr, .card").first).to_be_visible()
    page.evaluate(TRIAL)


def show(page: Page, symbol: str, board: str = "stocks") -> Locator:
    """Open the drawer of a row, and wait until it tells something of it."""
    page.evaluate("([board, symbol]) => trial.show(board, symbol)", [board, symbol])
    drawer = page.get_by_role("dialog")
    expect(drawer.locator(".source li").first).to_be_visible(timeout=SOON)
    return drawer


def feed(source: ScriptedSource) -> dict[str, Any]:
    """Return the config of a feed with all fields of these tests."""
    return source.feed(fields={name: name for name in FIELDS})


def field(drawer: Locator, label: str) -> Locator:
    """Return the value beside a label."""
    line = drawer.locator(".fields div").filter(has=drawer.page.get_by_text(label, exact=True))
    return line.locator("dd")


def drawn(page: Page) -> Any:
    """Return the values of the picture as it is now."""
    return page.evaluate("uPlot.last.data[1]")


def until(page: Page, condition: str) -> None:
    """Wait frame by frame for a JavaScript condition, which the content policy forbids to eval."""
    happened = page.evaluate(
        f"""async soon => {{
            const end = performance.now() + soon;
            while (!({condition}) && performance.now() < end) {{
                await new Promise(requestAnimationFrame);
            }}
            return Boolean({condition});
        }}""",
        SOON,
    )
    assert happened, condition


def wait_for_picture(page: Page) -> None:
    """Wait until the chart has drawn once."""
    until(page, "window.uPlot?.last?.data[0].length > 0")


def test_a_row_is_told_in_full(serve: Serve, source: Source, page: Page) -> None:
    """The drawer has name, price with signed change, all fields with labels, and the source."""
    rows = [
        row("AAPL", 191.5, name="Apple", previous_close=190, high=192, low=189, note="<b>ex</b>")
    ]
    ready(page, stocks(serve, feed(source(rows))))
    drawer = show(page, "AAPL")
    expect(drawer).to_have_accessible_name("AAPL")
    expect(drawer.locator(".name")).to_have_text("Apple")
    expect(drawer.locator(".price")).to_have_text("191.50")
    expect(drawer.locator(".movement")).to_have_text("+1.50 (+0.79%)")
    expect(drawer.locator(".movement")).to_have_attribute("data-direction", "up")
    expect(field(drawer, "Prev. close")).to_have_text("190.00")
    expect(field(drawer, "Note")).to_have_text("<b>ex</b>")
    expect(drawer.locator(".chart-facts")).to_contain_text("Day’s low 189.00 · high 192.00")
    expect(drawer.locator(".trust")).to_have_text(re.compile(r"^Live, last change .* ago$"))
    expect(drawer.locator(".source li")).to_have_text(
        re.compile(r"^nyse: live · since \d\d:\d\d · last read")
    )
    expect(drawer.locator(".source p")).to_have_text(re.compile(r"at \d\d:\d\d:\d\d, .* ago$"))


def test_a_missing_value_is_a_dash(serve: Serve, source: Source, page: Page) -> None:
    """A column of the board that a row does not have stays in its place, with a dash."""
    ready(page, stocks(serve, feed(source([{"symbol": "A", "last": 1}, row("B")]))))
    expect(field(show(page, "A"), "Volume")).to_have_text("–")


def test_beside_the_table_both_can_be_used(serve: Serve, source: Source, page: Page) -> None:
    """On a wide screen the page stays usable, and nothing of the table's head is covered."""
    ready(page, stocks(serve, feed(source(rising()))))
    drawer = show(page, "UP")
    assert page.evaluate("!document.querySelector('dialog').matches(':modal')")
    for name in ["Pause", "Symbol", "Last"]:
        page.get_by_role("button", name=name, exact=True).click()
    page.get_by_role("searchbox").fill("FLAT")
    panel = drawer.bounding_box()
    table = page.locator(".region").bounding_box()
    assert panel is not None
    assert table is not None
    assert table["x"] + table["width"] <= panel["x"]


def test_a_narrow_screen_gets_a_sheet(serve: Serve, source: Source, new_page: NewPage) -> None:
    """On a narrow screen the drawer is modal, as wide as the screen, and never wider."""
    page = new_page(viewport=NARROW)
    long = row("W" * 60, 123456789012.25, name="N" * 200, change=-1e9, note="x" * 500)
    ready(page, stocks(serve, feed(source([long]))))
    drawer = show(page, "W" * 60)
    assert page.evaluate("document.querySelector('dialog').matches(':modal')")
    assert drawer.evaluate("e => e.scrollWidth - e.clientWidth") <= 0
    assert page.evaluate(OVERFLOW) <= 0


def test_the_voice_of_the_page_is_heard_over_it(
    serve: Serve, source: Source, new_page: NewPage
) -> None:
    """What is said aloud is in the drawer while all else is inert, and goes back in any case."""
    page = new_page(viewport=NARROW)
    ready(page, stocks(serve, feed(source(rising()))))
    for _ in range(2):
        drawer = show(page, "UP")
        expect(drawer.locator("#announcer")).to_have_count(1)
        page.keyboard.press("Escape")
        expect(page.locator("body > #announcer")).to_have_count(1)
    drawer = show(page, "UP")
    for width, inside in ((1280, 0), (320, 1)):
        page.set_viewport_size({"width": width, "height": 800})
        expect(drawer.locator("#announcer")).to_have_count(inside)


def test_a_screen_that_turns_keeps_the_drawer(
    serve: Serve, source: Source, new_page: NewPage
) -> None:
    """From narrow to wide the drawer stays open, and the page can be used again."""
    page = new_page(viewport=NARROW)
    ready(page, stocks(serve, feed(source(rising()))))
    drawer = show(page, "UP")
    page.set_viewport_size({"width": 1280, "height": 800})
    until(page, "!document.querySelector('dialog').matches(':modal')")
    expect(drawer).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    assert page.evaluate("trial.closed") == []


@pytest.mark.parametrize("width", [320, 1280])
@pytest.mark.parametrize("way", ["Escape", "button"])
def test_closing_gives_the_focus_back(
    serve: Serve, source: Source, new_page: NewPage, width: int, way: str
) -> None:
    """The focus moves in at opening; closing gives it back and tells the owner, once."""
    page = new_page(viewport={"width": width, "height": 700})
    ready(page, stocks(serve, feed(source(rising()))))
    search = page.get_by_role("searchbox")
    search.focus()
    drawer = show(page, "UP")
    expect(drawer.get_by_role("heading", name="UP")).to_be_focused()
    if way == "Escape":
        page.keyboard.press("Escape")
    else:
        drawer.get_by_role("button", name="Close").click()
    expect(drawer).to_have_count(0)
    expect(search).to_be_focused()
    assert page.evaluate("[trial.closed, trial.drawer.symbol]") == [["UP"], None]


def test_another_row_takes_the_place(serve: Serve, source: Source, page: Page) -> None:
    """Showing another row while it is open changes everything that is shown."""
    ready(page, stocks(serve, feed(source([row("A", 1, name="First"), row("B", 2)]))))
    show(page, "A")
    drawer = show(page, "B")
    expect(drawer.get_by_role("heading", level=2)).to_have_text("B")
    expect(drawer.locator(".name")).to_have_text("")
    expect(drawer.locator(".price")).to_have_text("2.00")
    assert page.evaluate("trial.closed") == []


def test_star_and_alert(serve: Serve, source: Source, page: Page) -> None:
    """The star is kept for the row, and the button of alerts asks for the row's dialog."""
    ready(page, stocks(serve, feed(source([row("A")]))))
    drawer = show(page, "A")
    star = drawer.get_by_role("button", name="Star")
    expect(star).to_have_attribute("aria-pressed", "false")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    drawer.get_by_role("button", name="Alert…").click()
    assert page.evaluate("trial.alerts") == ["A"]


def test_only_what_differs_is_written(serve: Serve, source: Source, page: Page) -> None:
    """While a price moves, the text nodes of what stays are not touched, and none is replaced."""
    prices = source([row("A", 1.0, note="same")])
    ready(page, stocks(serve, feed(prices)))
    drawer = show(page, "A")
    expect(drawer.locator(".price")).to_have_text("1.00")
    wait_for_picture(page)
    page.evaluate(
        """() => {
            trial.touched = new Set();
            const note = ({target, type}) => {
                const place = target.parentElement;
                trial.touched.add(`${type} ${place.closest("dd") ? "dd" : place.className}`);
            };
            const all = {subtree: true, characterData: true, childList: true};
            const drawer = document.querySelector("dialog");
            new MutationObserver(changes => changes.forEach(note)).observe(drawer, all);
        }"""
    )
    prices.rows = [row("A", 2.0, note="same")]
    expect(drawer.locator(".price")).to_have_text("2.00", timeout=SOON)
    until(page, "trial.touched.size > 0")
    touched = page.evaluate("[...trial.touched]")
    assert "characterData price" in touched
    assert not [what for what in touched if "childList" in what or "dd" in what]


def test_a_row_that_leaves_says_so(serve: Serve, source: Source, page: Page) -> None:
    """When the row is no longer on the board, its last values stay, and that is said."""
    prices = source([row("A", 5), row("B")])
    ready(page, stocks(serve, feed(prices)))
    drawer = show(page, "A")
    expect(drawer.locator(".price")).to_have_text("5.00")
    prices.rows = [row("B")]
    expect(drawer.locator(".trust")).to_have_text("No longer on this board", timeout=SOON)
    expect(drawer.locator(".price")).to_have_text("5.00")


def test_a_row_that_never_was(serve: Serve, source: Source, page: Page) -> None:
    """A link to a symbol that the board does not have opens a drawer that says so."""
    ready(page, stocks(serve, feed(source([row("A")]))))
    page.evaluate("trial.show('stocks', 'NIL')")
    drawer = page.get_by_role("dialog", name="NIL")
    expect(drawer).to_contain_text("This row is not on the board", timeout=SOON)


def test_a_failing_feed_says_so(serve: Serve, source: Source, page: Page) -> None:
    """Quality with its age and the feed's reason are told in words."""
    prices = source([row("A")])
    ready(page, stocks(serve, feed(prices)))
    drawer = show(page, "A")
    prices.status = 503
    expect(drawer.locator(".trust")).to_have_text(re.compile("^Stale, last change"), timeout=SOON)
    line = re.compile(r"^nyse: stale · since .* · last read .* ago · .*503.*$")
    expect(drawer.locator(".source li")).to_have_text(line, timeout=SOON)


def test_without_the_chart_all_else_works(
    serve: Serve, source: Source, page: Page, complaints: Complaints
) -> None:
    """Where the library is not installed that is said in words, and prices go on.

    However often it is tried, its style is in the page once.
    """
    ready(page, stocks(serve, feed(source(rising()))))
    page.route(LIBRARY, lambda route: route.fulfill(status=404))
    drawer = show(page, "UP")
    expect(drawer.locator(".chart-notice").first).to_contain_text("The chart is not installed")
    price = drawer.locator(".price")
    expect(price).not_to_have_text(price.inner_text(), timeout=SOON)
    page.keyboard.press("Escape")
    with page.expect_response(LIBRARY):
        show(page, "UP")
    expect(drawer.locator(".chart-notice").first).to_contain_text("The chart is not installed")
    assert page.locator("link[href*=uPlot]").count() == 1
    assert [text for text in complaints if "404" not in text] == []
    complaints.clear()


def test_history_comes_before_what_is_live(serve: Serve, source: Source, page: Page) -> None:
    """The picture begins with the server's history, keeps its gaps, and goes on live."""
    prices = source([row("A", 7.0)])
    ready(page, stocks(serve, feed(prices)))
    page.route(HISTORY, answer([START, START + 60_000, START + 120_000], [5.0, None, 6.0]))
    drawer = show(page, "A")
    until(page, "window.uPlot?.last?.data[1][0] === 5")
    assert drawn(page)[:4] == [5.0, None, 6.0, 7.0]
    prices.rows = [row("A", 8.0)]
    until(page, "uPlot.last.data[1].at(-1) === 8")
    label = re.compile(r"^A since .*\d\d:\d\d: from 5\.00 to [78]\.00, low 5\.00, high [78]\.00$")
    expect(drawer.get_by_role("img")).to_have_accessible_name(label)


def test_a_value_that_is_cleared_is_a_gap(serve: Serve, source: Source, page: Page) -> None:
    """While a row has no price the line has a gap, and goes on after it."""
    prices = source([row("A", 7.0)])
    ready(page, stocks(serve, feed(prices)))
    page.route(HISTORY, answer([START], [5.0]))
    show(page, "A")
    until(page, "window.uPlot?.last?.data[1].at(-1) === 7")
    prices.rows = [{"symbol": "A", "name": "A"}]
    until(page, "uPlot.last.data[1].at(-1) === null")
    prices.rows = [row("A", 8.0)]
    until(page, "uPlot.last.data[1].at(-1) === 8")


@pytest.mark.parametrize("status", [404, 500])
def test_without_history_the_chart_begins_here(
    serve: Serve, source: Source, page: Page, complaints: Complaints, status: int
) -> None:
    """An older server, or one that fails, has no history: the chart says when its own begins."""
    ready(page, stocks(serve, feed(source(rising()))))
    page.route(HISTORY, lambda route: route.fulfill(status=status))
    drawer = show(page, "UP")
    expect(drawer.get_by_text(re.compile(r"^History begins \d\d:\d\d$"))).to_be_visible()
    wait_for_picture(page)
    complaints[:] = [text for text in complaints if str(status) not in text]


def test_absurd_history_is_survived(serve: Serve, source: Source, page: Page) -> None:
    """Times and values that make no sense are left out; the rest is drawn."""
    ready(page, stocks(serve, feed(source([row("A", 7.0)]))))
    at: list[Any] = [START, START - 5, "soon", 9e18, START + 60_000, None]
    page.route(HISTORY, answer(at, [5.0, 1.0, 2.0, 3.0, 1e300, 4.0]))
    show(page, "A")
    until(page, "window.uPlot?.last?.data[1][0] === 5")
    assert drawn(page)[:3] == [5.0, None, 7.0]


def test_a_range_shows_the_end(serve: Serve, source: Source, page: Page) -> None:
    """A range button narrows the picture to the end of the history, and says that it is chosen."""
    now = int(time.time() * 1000)
    ready(page, stocks(serve, feed(source([row("A", 9.0)]))))
    page.route(HISTORY, answer([now - 7_200_000, now - 1_200_000, now - 60_000], [1.0, 2.0, 3.0]))
    drawer = show(page, "A")
    until(page, "window.uPlot?.last?.data[1][0] === 1")
    for name, first in [("1 h", 1.0), ("15 min", 2.0), ("5 min", 2.0), ("All", 1.0)]:
        button = drawer.get_by_role("button", name=name, exact=True)
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        until(page, f"uPlot.last.data[1][0] === {first}")
        expect(drawer.locator(".ranges [aria-pressed=true]")).to_have_count(1)
    until(page, "uPlot.last.data[0][0] < Date.now() - 7_000_000")


def test_a_paused_page_draws_what_is_asked_for(serve: Serve, source: Source, page: Page) -> None:
    """While the page paints nothing, a chart that is opened is drawn, and so is another range."""
    now = int(time.time() * 1000)
    ready(page, stocks(serve, feed(source([row("A", 9.0)]))))
    page.route(HISTORY, answer([now - 7_200_000, now - 1_200_000], [1.0, 2.0]))
    page.evaluate("trial.store = trial.client.watch('stocks')")
    until(page, "trial.store.ready")
    page.evaluate("trial.isPaused = true")
    drawer = show(page, "A")
    until(page, "window.uPlot?.last?.data[1][0] === 1")
    drawer.get_by_role("button", name="15 min").click()
    until(page, "uPlot.last.data[1][0] === 2")


def test_the_cursor_follows_the_keys(serve: Serve, source: Source, page: Page) -> None:
    """Arrow keys, Home and End move the cursor; the readout says time and value, once aloud."""
    ready(page, stocks(serve, feed(source([row("A", 7.0)]))))
    page.route(HISTORY, answer([START, START + 60_000, START + 120_000], [5.0, None, 6.0]))
    drawer = show(page, "A")
    until(page, "window.uPlot?.last?.data[1][0] === 5")
    readout = drawer.locator(".readout")
    picture = drawer.get_by_role("img")
    picture.focus()
    expect(picture).to_have_accessible_description(readout.inner_text())
    for key, words in [
        ("Home", "5.00"),
        ("ArrowRight", "not known"),
        ("ArrowRight", "6.00"),
        ("ArrowLeft", "not known"),
        ("ArrowLeft", "5.00"),
        ("ArrowLeft", "5.00"),
        ("End", "7.00"),
    ]:
        page.keyboard.press(key)
        expect(readout).to_have_text(re.compile(rf"^\d\d:\d\d:\d\d: {words}$"))
    assert page.evaluate("trial.said.length") == 6
    drawer.get_by_role("button", name="Star").focus()
    until(page, "uPlot.last.cursor.idx === null")


def test_colours_follow_the_scheme(serve: Serve, source: Source, new_page: NewPage) -> None:
    """The line has the page's colour for up or down, also after the scheme changes."""
    page = new_page(color_scheme="light", viewport={"width": 1280, "height": 800})
    ready(page, stocks(serve, feed(source([row("A", 7.0, previous_close=8.0)]))))
    show(page, "A")
    wait_for_picture(page)
    colour = "uPlot.last.options.series[1].stroke()"
    down = "getComputedStyle(document.documentElement).getPropertyValue('--down').trim()"
    light = page.evaluate(colour)
    assert light == page.evaluate(down)
    page.emulate_media(color_scheme="dark")
    until(page, f"{colour} !== '{light}' && {colour} === {down}")


def test_four_pictures_a_second(serve: Serve, source: Source, page: Page) -> None:
    """However often prices change, pictures are at least a quarter of a second apart."""
    server = run_stocks(serve, {**feed(source(rising())), "every": "50ms", "timeout": "40ms"})
    ready(page, server)
    show(page, "UP")
    until(page, "window.uPlot?.drawn.length > 12")
    times = page.evaluate("uPlot.drawn.slice(4)")
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) >= 249  # in milliseconds, which the browser rounds


def test_a_hundred_openings_leave_nothing(serve: Serve, source: Source, page: Page) -> None:
    """Neither elements nor listeners grow with the number of openings."""
    ready(page, stocks(serve, feed(source([row("A"), row("B")]))))
    browser = page.context.new_cdp_session(page)

    def counters() -> tuple[int, int]:
        browser.send("HeapProfiler.collectGarbage")
        found = browser.send("Memory.getDOMCounters")
        return found["nodes"], found["jsEventListeners"]

    def open_and_close(times: int) -> None:
        page.evaluate(
            """async times => {
                for (let i = 0; i < times; i++) {
                    trial.show("stocks", i % 2 ? "A" : "B");
                    await new Promise(requestAnimationFrame);
                    await new Promise(requestAnimationFrame);
                    trial.drawer.close();
                }
            }""",
            times,
        )

    show(page, "A")
    open_and_close(10)
    nodes, listeners = counters()
    open_and_close(100)
    more_nodes, more_listeners = counters()
    assert more_nodes - nodes < 50
    assert more_listeners - listeners < 10
    assert page.locator("canvas").count() == 0
    assert page.evaluate("uPlot.made") > 100


def test_a_game_has_periods_and_events(serve: Serve, source: Source, page: Page) -> None:
    """A game is named by its teams and has its score by period, no chart."""
    game = {
        "symbol": "g1",
        "home": "Ashford",
        "away": "<i>Brackley</i>",
        "home_score": 3,
        "away_score": 1,
        "status": "live",
        "period": "2nd half",
        "clock": "67'",
        "periods": [[1, 1], [2, 0]],
        "league": "Cup",
        "last_event": "Goal, Ashford 66'",
    }
    games = source([game])
    names = {name: name for name in game if name != "symbol"}
    board = {"layout": "scores", "title": "Tonight", "feeds": ["cup"]}
    server = serve({"cup": games.feed(fields=names)}, {"games": board})
    ready(page, server)
    drawer = show(page, "g1", "games")
    expect(drawer).to_have_accessible_name("Ashford – <i>Brackley</i>")
    expect(drawer.locator(".game-state")).to_have_text("Live · 2nd half · 67'")
    lines = drawer.locator(".game-score tr")
    expect(lines.nth(1).locator("th, td")).to_have_text(["Ashford", "1", "2", "3"])
    expect(lines.nth(2).locator("th, td")).to_have_text(["<i>Brackley</i>", "1", "0", "1"])
    expect(field(drawer, "League")).to_have_text("Cup")
    games.rows = [{**game, "home_score": 4, "last_event": "Goal, Ashford 70'"}]
    events = ["Goal, Ashford 70'", "Goal, Ashford 66'"]
    expect(drawer.locator(".events li")).to_have_text(events, timeout=SOON)
    expect(drawer.locator(".chart")).to_have_count(0)


def test_simulated_games_open(serve: Serve, new_page: NewPage) -> None:
    """Games as the demo has them open on a narrow screen, and stay in it."""
    page = new_page(viewport=NARROW)
    games = {**GAMES, "teams": ["W" * 200, "Brackley"], "league": "L" * 200}
    server = serve({"league": games}, {"games": {"layout": "scores", "feeds": ["league"]}})
    ready(page, server)
    page.evaluate("trial.store = trial.client.watch('games')")
    until(page, "trial.store.ready && trial.store.rows.size > 0")
    drawer = show(page, page.evaluate("[...trial.store.rows.keys()][0]"), "games")
    assert drawer.evaluate("e => e.scrollWidth - e.clientWidth") <= 0


@pytest.mark.skipif(not CHART.exists(), reason="the chart is not installed")
def test_the_real_chart_draws(serve: Serve, source: Source, page: Page) -> None:
    """The library itself draws within the page's content policy, and ends with the drawer."""
    ready(page, stocks(serve, feed(source(rising()))))
    page.unroute(LIBRARY)
    page.unroute(STYLE)
    page.route(HISTORY, answer([START, START + 60_000, START + 90_000], [5.0, None, 1e29]))
    drawer = show(page, "UP")
    canvas = drawer.locator("canvas")
    expect(canvas).to_be_visible(timeout=SOON)
    page.keyboard.press("Tab")
    drawer.get_by_role("img").focus()
    page.keyboard.press("Home")
    expect(drawer.locator(".readout")).to_have_text(re.compile(r": 5\.00$"))
    page.keyboard.press("Escape")
    expect(page.locator("canvas, .uplot")).to_have_count(0)


def test_the_board_may_come_later(serve: Serve, source: Source, page: Page) -> None:
    """A drawer opened by a link before the board has come fills itself when it comes."""
    prices = source([])
    prices.status = 503
    server = serve({"nyse": feed(prices)}, {"stocks": {**QUOTES, "feeds": ["nyse"]}})
    page.route(
        LIBRARY, lambda route: route.fulfill(body=NAMED_FAKE, content_type="text/javascript")
    )
    page.route(STYLE, lambda route: route.fulfill(body="", content_type="text/css"))
    page.route(HISTORY, answer([], []))
    page.goto(server.url)
    page.evaluate(TRIAL)
    page.evaluate("trial.show('stocks', 'A')")
    expect(page.get_by_role("dialog")).to_contain_text("This row is not on the board")
    prices.rows, prices.status = [row("A", 5)], 200
    expect(page.get_by_role("dialog").locator(".price")).to_have_text("5.00", timeout=SOON)
