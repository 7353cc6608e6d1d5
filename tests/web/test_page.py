"""The page in a real browser, against a real server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import count
from time import time
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.support import until

from .conftest import Complaints, RunningServer, ScriptedSource

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]
NewPage = Callable[..., Page]

QUOTES = {"layout": "quotes", "columns": ["last", "change", "change_pct", "volume"]}
NARROW = {"width": 320, "height": 640}
SOON = 10_000  # milliseconds: what a feed, a board and a browser together need at most

PRICES = {
    "kind": "simulate",
    "model": "prices",
    "every": "100ms",
    "seed": 7,
    "symbols": {"AAPL": 190.12, "MSFT": 411.02, "ON": 72.5},
}
GAMES = {
    "kind": "simulate",
    "model": "scores",
    "every": "200ms",
    "seed": 3,
    "sport": "football",
    "speed": 600,
    "teams": ["Ashford", "Brackley", "Calder", "Dunmore", "Elmwood", "Farley"],
    "league": "Demo League",
}
WIDTHS = "[...document.querySelectorAll('thead th')].map(e => e.getBoundingClientRect().width)"
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def row(symbol: str, last: Any = 1.0, **more: Any) -> dict[str, Any]:
    """Return a row as a source has it."""
    return {"symbol": symbol, "last": last, "volume": 1000, **more}


def rising() -> Callable[[], list[dict[str, Any]]]:
    """Return a source's script: each time it is asked, the price is one higher."""
    prices = count(1)
    return lambda: [row("UP", float(next(prices))), row("FLAT", 5.0)]


def stocks(serve: Serve, feed: dict[str, Any]) -> RunningServer:
    """Run a server with one board of quotes, filled by ``feed``, and wait for its first rows."""
    server = run_stocks(serve, feed)
    server.wait_for("readyz")
    return server


def run_stocks(serve: Serve, feed: dict[str, Any]) -> RunningServer:
    """Run a server with one board of quotes, whether ``feed`` ever says anything or not."""
    return serve({"nyse": feed}, {"stocks": {**QUOTES, "title": "US stocks", "feeds": ["nyse"]}})


def symbols(page: Page) -> list[str]:
    """Return the symbols of the visible rows, from the top."""
    return page.locator("tbody tr:visible .symbol").all_inner_texts()


def last(page: Page, symbol: str) -> str:
    """Return the price that the page shows for ``symbol``."""
    line = page.locator("tbody tr").filter(has=page.get_by_text(symbol, exact=True))
    return line.locator("td.kind-price .figure").first.inner_text()


def wait_for_another(page: Page, symbol: str, price: str) -> None:
    """Wait until the page shows another price for ``symbol``."""
    line = page.locator("tbody tr").filter(has=page.get_by_text(symbol, exact=True))
    expect(line.locator("td.kind-price .figure").first).not_to_have_text(price, timeout=SOON)


def test_quotes_appear_and_change(serve: Serve, page: Page) -> None:
    """Prices of a feed are on the page, and follow the feed."""
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator("#state-words")).to_have_text("Live")
    wait_for_another(page, "AAPL", last(page, "AAPL"))


def test_a_change_has_sign_arrow_and_direction(serve: Serve, source: Source, page: Page) -> None:
    """A fall is told by minus, arrow and colour, not by colour alone."""
    page.goto(stocks(serve, source([row("DOWN", change=-1.5, change_pct=-2.5)]).feed()).url)
    cell = page.locator("td.kind-percent")
    expect(cell).to_have_text("−2.50%")
    expect(cell).to_have_attribute("data-direction", "down")
    arrow = cell.evaluate("e => getComputedStyle(e.firstChild, '::before').content")
    assert "▼" in arrow


def test_a_sparkline_grows_with_what_arrives(serve: Serve, source: Source, page: Page) -> None:
    """The sparkline has a point for each price that came."""
    page.goto(stocks(serve, source(rising()).feed()).url)
    line = page.locator("tbody tr").filter(has_text="UP").locator(".sparkline path")
    expect(line).to_have_attribute("d", re.compile("M.*L.*L"), timeout=SOON)


def test_scores_are_cards(serve: Serve, page: Page) -> None:
    """A game shows its teams, its scores and where it stands, in words."""
    url = serve({"league": GAMES}, {"games": {"layout": "scores", "feeds": ["league"]}}).url
    page.goto(f"{url}#/games")
    card = page.locator(".card[data-status=running]").first
    expect(card.locator(".team")).to_have_count(2)
    expect(card.locator(".score").first).to_have_text(re.compile(r"^\d+$"))
    expect(card.locator(".game")).to_have_text(re.compile(r"^(Live|Break) · "))
    expect(page.get_by_role("heading", name="Demo League")).to_be_visible()


def test_boards_are_listed_and_linked(serve: Serve, page: Page) -> None:
    """The list of boards leads from one to another, and the address names the board."""
    boards = {
        "stocks": {**QUOTES, "title": "US stocks", "feeds": ["prices"]},
        "games": {"title": "Tonight", "layout": "scores", "feeds": ["league"]},
    }
    page.goto(serve({"prices": PRICES, "league": GAMES}, boards).url)
    expect(page.get_by_role("heading", name="US stocks")).to_be_visible()
    page.get_by_role("link", name="Tonight").click()
    expect(page.locator(".card").first).to_be_visible()
    expect(page.get_by_role("link", name="Tonight")).to_have_attribute("aria-current", "page")
    assert page.url.endswith("#/games")
    page.go_back()
    expect(page.locator("tbody tr")).to_have_count(3)


def test_boards_that_were_left_leave_nothing(serve: Serve, page: Page) -> None:
    """Neither elements nor listeners grow with the number of boards that were looked at."""
    feed = {**PRICES, "symbols": {f"S{i}": 10.0 for i in range(60)}}
    boards = {name: {**QUOTES, "title": name, "feeds": ["prices"]} for name in ("one", "two")}
    server = serve({"prices": feed}, boards)
    server.wait_for("readyz")
    page.goto(server.url)
    browser = page.context.new_cdp_session(page)

    def switch(times: int) -> tuple[int, int]:
        for _ in range(times):
            for name in boards:
                page.evaluate("name => { location.hash = `#/${name}` }", name)
                expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
                expect(page.locator("tbody tr")).to_have_count(60)
        for _ in range(3):  # what one collection lets go of holds what the next one does
            page.wait_for_timeout(500)
            browser.send("HeapProfiler.collectGarbage")
        found = browser.send("Memory.getDOMCounters")
        return found["nodes"], found["jsEventListeners"]

    nodes, listeners = switch(3)
    more_nodes, more_listeners = switch(25)
    assert more_nodes - nodes < 12_000  # four boards that still wait for their end, of fifty
    assert more_listeners - listeners < 40  # each has ten


def test_an_unknown_board_is_named(serve: Serve, page: Page) -> None:
    """An address of a board that is not there says so, and leaves the list of boards."""
    page.goto(f"{stocks(serve, PRICES).url}#/nowhere")
    expect(page.locator("#state-words")).to_have_text("There is no board named nowhere")
    page.get_by_role("list", name="Other boards").get_by_role("link").click()
    expect(page.locator("#state-words")).to_have_text("Live")


def test_a_board_that_is_removed_while_it_is_watched_says_so(
    serve: Serve, page: Page, complaints: Complaints
) -> None:
    """After a restart without it the page stays up, with old rows that look old."""
    server = serve({"nyse": PRICES}, {"stocks": {"feeds": ["nyse"]}, "other": {"feeds": ["nyse"]}})
    page.goto(f"{server.url}#/stocks")
    expect(page.locator("tbody tr")).to_have_count(3)
    server.stop()
    server.configure({"nyse": PRICES}, {"renamed": {"feeds": ["nyse"]}})
    server.start()
    expect(page.locator("#state-words")).to_have_text(
        "The board Stocks is no longer there", timeout=30_000
    )
    expect(page.locator("#board")).to_have_attribute("data-live", "no")
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("list", name="Other boards").get_by_role("link", name="renamed").click()
    expect(page.locator("#state-words")).to_have_text("Live")
    complaints.clear()  # the browser tells of each refused connection


def test_markup_and_long_text_are_text(serve: Serve, source: Source, page: Page) -> None:
    """Markup, right-to-left text, emoji and long names are shown as they are, and nothing else."""
    markup = "<img src=x onerror=alert(1)><b>B</b>"
    hebrew, rocket = "שלום", "🚀"
    rows = [row(markup, name="<script>alert(1)</script>"), row(hebrew, name="W" * 200), row(rocket)]
    page.goto(stocks(serve, source(rows).feed()).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    assert symbols(page) == [markup, hebrew, rocket]
    expect(page.locator("tbody .name").first).to_have_text("<script>alert(1)</script>")
    assert page.locator("main img, main b, main script").count() == 0
    assert page.locator("tbody .symbol").nth(1).get_attribute("dir") == "auto"
    assert page.locator("tbody .name").nth(1).get_attribute("title") == "W" * 200
    heights = page.evaluate("[...document.querySelectorAll('tbody tr')].map(e => e.offsetHeight)")
    assert len(set(heights)) == 1


def test_missing_and_absurd_values_are_shown(serve: Serve, source: Source, page: Page) -> None:
    """What is missing is a dash, and what is too great still fits."""
    rows = [row("NONE", volume=None), row("HUGE", 1e300), row("TINY", 0.00000029)]
    page.goto(stocks(serve, source(rows).feed()).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(page.locator("tbody tr").first.locator("td.kind-volume")).to_have_text("–")
    assert last(page, "HUGE") == "1.00e+300"
    assert last(page, "TINY") == "0.00000029"


def test_sorting_is_stable_and_said(serve: Serve, source: Source, page: Page) -> None:
    """A header's button sorts, equal rows keep their order, aria-sort tells which way."""
    rows = [row("A", 2), row("B", 1), row("C", 2), row("D", 1), row("E", None)]
    page.goto(stocks(serve, source(rows).feed()).url)
    expect(page.locator("tbody tr")).to_have_count(5)
    head = page.get_by_role("columnheader", name="Last")
    button = head.get_by_role("button")
    expect(head).to_have_attribute("aria-sort", "none")
    button.click()
    expect(head).to_have_attribute("aria-sort", "descending")
    assert symbols(page) == ["A", "C", "B", "D", "E"]
    button.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
    assert symbols(page) == ["B", "D", "A", "C", "E"]
    button.click()
    expect(head).to_have_attribute("aria-sort", "none")
    assert symbols(page) == ["A", "B", "C", "D", "E"]


def test_sorting_follows_the_values(serve: Serve, source: Source, page: Page) -> None:
    """A sorted table stays sorted when values change."""
    prices = source([row("A", 1), row("B", 2)])
    page.goto(stocks(serve, prices.feed()).url)
    page.get_by_role("columnheader", name="Last").get_by_role("button").click()
    expect(page.locator("tbody tr .symbol")).to_have_text(["B", "A"])
    prices.rows = [row("A", 3), row("B", 2)]
    expect(page.locator("tbody tr .symbol")).to_have_text(["A", "B"], timeout=SOON)


def test_rows_out_of_sight_are_right_when_seen(serve: Serve, source: Source, page: Page) -> None:
    """A row below the screen shows the present when it is scrolled to, and soon without that."""
    rows = [row(f"R{i}", 1.0) for i in range(200)]
    prices = source(rows)
    page.goto(stocks(serve, prices.feed()).url)
    bottom = page.locator("tbody tr").last
    figure = bottom.locator(".figure").first
    expect(figure).to_have_text("1.00")
    prices.rows = [row(f"R{i}", 2.0) for i in range(200)]
    expect(figure).to_have_text("2.00", timeout=SOON)
    prices.rows = [row(f"R{i}", 3.0) for i in range(200)]
    bottom.scroll_into_view_if_needed()
    expect(figure).to_have_text("3.00", timeout=SOON)


def test_a_filter_shows_what_matches(serve: Serve, source: Source, page: Page) -> None:
    """The filter finds by symbol and by name, and says when nothing is found."""
    rows = [row("AAPL", name="Apple"), row("MSFT", name="Microsoft"), row("PINE", name="Pineapple")]
    page.goto(stocks(serve, source(rows).feed()).url)
    expect(page.locator("#counts")).to_have_text("3 rows")
    box = page.get_by_role("searchbox")
    box.fill("appl")
    expect(page.locator("#counts")).to_have_text("2 of 3 rows")
    assert symbols(page) == ["AAPL", "PINE"]
    box.fill("zzz")
    expect(page.locator("#empty")).to_have_text("No row matches “zzz”")


def test_a_pause_holds_and_counts(serve: Serve, source: Source, page: Page) -> None:
    """While paused nothing moves and the waiting changes are counted; resume catches up."""
    page.goto(stocks(serve, source(rising()).feed()).url)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Pause").click()
    held = last(page, "UP")
    waiting = re.compile(r"^Paused, ([2-9]|\d\d+) changes waiting$")
    expect(page.locator("#state-words")).to_have_text(waiting, timeout=SOON)
    assert last(page, "UP") == held
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#state-words")).to_have_text("Live")
    wait_for_another(page, "UP", held)


def test_pause_is_near_the_top(serve: Serve, page: Page) -> None:
    """The Pause button is the first stop of the Tab key."""
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Pause")).to_be_focused()


def test_a_hidden_tab_rests(serve: Serve, page: Page) -> None:
    """The server is told to send nothing to a hidden tab, and to go on when it is seen."""
    sent: list[str] = []
    page.on(
        "websocket",
        lambda link: link.on("framesent", lambda frame: sent.append(json.loads(frame)["type"])),
    )
    page.add_init_script(  # half a minute passes in a moment
        "const wait = setTimeout; setTimeout = (f, ms) => wait(f, ms === 30_000 ? 1 : ms);"
    )
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    show(page, "hidden")
    eventually(page, lambda: "pause" in sent)
    show(page, "visible")
    wait_for_another(page, "AAPL", last(page, "AAPL"))
    assert [kind for kind in sent if kind != "ping"] == ["pause", "resume"]


def test_a_tab_that_was_long_hidden_resumes(serve: Serve, page: Page) -> None:
    """After five minutes there is no connection; whoever comes back resumes where it was."""
    links: list[str] = []
    page.on("websocket", lambda link: links.append(link.url))
    page.clock.install()
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    show(page, "hidden")
    page.clock.fast_forward("05:01")
    expect(page.locator("#state-words")).to_contain_text("Resting")
    show(page, "visible")
    wait_for_another(page, "AAPL", last(page, "AAPL"))
    assert "seq=" in links[-1]


def eventually(page: Page, look: Callable[[], bool]) -> None:
    """Let the page's events come until ``look`` is true; fail the test when it does not come."""
    for _ in range(200):
        if look():
            return
        page.wait_for_timeout(25)  # between two looks
    pytest.fail("it did not happen")


def show(page: Page, state: str) -> None:
    """Tell a page that its tab is ``visible`` or ``hidden``."""
    page.evaluate(
        """state => {
            const own = {value: state, configurable: true};
            Object.defineProperty(document, "visibilityState", own);
            document.dispatchEvent(new Event("visibilitychange"));
        }""",
        state,
    )


def test_a_failing_feed_says_so(
    serve: Serve, source: Source, page: Page, complaints: Complaints
) -> None:
    """A feed that fails is stale with its reason, its rows too; both end when it recovers."""
    prices = source([row("A", 1)])
    page.goto(stocks(serve, prices.feed()).url)
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page.locator("#notes li")).to_have_count(0, timeout=SOON)
    prices.status = 503
    note = page.locator("#notes li")
    expect(note).to_have_text(re.compile(r"^nyse: stale since \d\d:\d\d – .*503"), timeout=SOON)
    expect(page.locator("tbody .badge")).to_have_text("stale", timeout=SOON)
    prices.status = 200
    expect(note).to_have_count(0, timeout=SOON)
    expect(page.locator("tbody .badge")).to_have_text("", timeout=SOON)


def test_an_empty_board_says_why(serve: Serve, source: Source, page: Page) -> None:
    """A board without rows tells which feed it waits for."""
    prices = source([])
    prices.status = 503
    page.goto(run_stocks(serve, prices.feed()).url)
    words = re.compile(r"^No rows yet – feed nyse: (stale|down) – waiting$")
    expect(page.locator("#empty")).to_have_text(words, timeout=SOON)


def test_a_restart_is_survived(serve: Serve, page: Page, complaints: Complaints) -> None:
    """When the server comes back on the same port, the page is live again by itself."""
    page.add_init_script("Math.random = () => 0.02")  # waits are random: here they are short
    server = stocks(serve, PRICES)
    page.goto(server.url)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.evaluate("window.witness = true")
    server.stop()
    expect(page.locator("#board")).to_have_attribute("data-live", "no", timeout=SOON)
    expect(page.locator("#state-words")).to_have_text(re.compile(r"^Reconnecting in \d+ s "))
    server.start()
    expect(page.locator("#state-words")).to_have_text("Live", timeout=30_000)
    wait_for_another(page, "AAPL", last(page, "AAPL"))
    assert page.evaluate("window.witness"), "the page was loaded anew"
    refused = "ERR_CONNECTION_REFUSED"
    complaints[:] = [text for text in complaints if refused not in text]


def test_after_a_kill_the_page_is_full_and_says_how_old_it_is(
    serve: Serve, source: Source, page: Page
) -> None:
    """Also while the sources are gone: rows are there at once, marked, as old as they are."""
    prices = source([row("A", 1), row("B", 2)])
    board = {**QUOTES, "title": "US stocks", "feeds": ["nyse"]}
    begun = time()
    server = serve({"nyse": prices.feed()}, {"stocks": board}, store="kept.db")
    server.wait_for("readyz")
    written: set[int] = set()

    def kept() -> bool:
        """Whether something was written that began to be written with the rows there."""
        if httpx.get(server.url + "api/boards/stocks").json()["rows"]:
            written.add(httpx.get(server.url + "api/status").json()["store"]["written"])
        return len(written) > 2

    until(kept, what="the rows to be on the disk")
    server.kill()
    killed = time()
    prices.close()  # refuses connections
    until(lambda: time() - killed > 3, what="the rows to be old")
    server.start()
    page.goto(server.url)
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(page.locator("tbody .badge").first).to_have_text(re.compile("^(stale|down)"))
    expect(page.locator("#notes li")).to_have_text(re.compile("^nyse: (stale|down) since "))
    page.locator("#feeds summary").click()
    words = page.locator("#feeds li")
    expect(words).to_have_text(re.compile(r" · last read \d+ s ago · "))
    seen, now = words.inner_text(), time()
    age = int(seen.partition("last read ")[2].split()[0])
    assert now - killed - 2 < age < now - begun + 2, seen


@pytest.mark.parametrize("board", ["stocks", "games"])
def test_a_narrow_screen_does_not_scroll_sideways(
    serve: Serve, source: Source, new_page: NewPage, board: str
) -> None:
    """At 320 pixels nothing is wider than the screen, however long the names are."""
    rows = [row("W" * 60, 1e12, name="W" * 200, change=-1e9, change_pct=1e9), row("A")]
    games = {**GAMES, "teams": ["W" * 200, "Brackley"], "league": "L" * 200}
    boards = {
        "stocks": {**QUOTES, "title": "T" * 200, "feeds": ["nyse"]},
        "games": {"layout": "scores", "title": "Tonight", "feeds": ["league"]},
    }
    page = new_page(viewport=NARROW)
    page.goto(f"{serve({'nyse': source(rows).feed(), 'league': games}, boards).url}#/{board}")
    expect(page.locator("tbody tr, .card").first).to_be_visible()
    assert page.evaluate(OVERFLOW) <= 0
    expect(page.get_by_role("button", name="Pause")).to_be_in_viewport(ratio=1)


def test_a_narrow_screen_can_show_all_columns(serve: Serve, new_page: NewPage) -> None:
    """Columns that step back on a narrow screen can be asked for; the table scrolls inside."""
    page = new_page(viewport=NARROW)
    page.goto(stocks(serve, PRICES).url)
    volume = page.get_by_role("columnheader", name="Volume")
    expect(page.locator("tbody tr")).to_have_count(3)
    expect(volume).to_be_hidden()
    page.get_by_role("button", name="All columns").click()
    expect(volume).to_be_visible()
    assert page.evaluate(OVERFLOW) <= 0


@pytest.mark.parametrize("width", [320, 768, 1280])
def test_columns_never_change_width(
    serve: Serve, source: Source, new_page: NewPage, width: int
) -> None:
    """Columns keep their width to the pixel when values of other lengths come and rows go."""
    prices = source([row("A", 1, change=0.1, change_pct=0.1), row("B", 1)])
    page = new_page(viewport={"width": width, "height": 640})
    page.goto(stocks(serve, prices.feed()).url)
    expect(page.locator("tbody tr")).to_have_count(2)
    before = page.evaluate(WIDTHS)
    prices.rows = [row("W" * 60, 123456789.123, name="N" * 99, change=-98765.4, change_pct=-1e6)]
    prices.rows += [row(f"R{i}") for i in range(60)]
    expect(page.locator("tbody tr")).to_have_count(61, timeout=SOON)
    assert page.evaluate(WIDTHS) == before
    prices.rows = [row("A", 7)]
    expect(page.locator("tbody tr")).to_have_count(1, timeout=SOON)
    assert page.evaluate(WIDTHS) == before


NOTE_ANIMATIONS = """
    const animate = Element.prototype.animate;
    Element.prototype.animate = function (...args) {
        document.documentElement.dataset.animated = "yes";
        return animate.apply(this, args);
    };
"""


def test_a_change_flashes(serve: Serve, source: Source, new_page: NewPage) -> None:
    """A price that changes flashes; one that does not, does not."""
    page = new_page()
    page.add_init_script(NOTE_ANIMATIONS)
    page.goto(stocks(serve, source(rising()).feed()).url)
    expect(page.locator("html[data-animated]")).to_have_count(1, timeout=SOON)
    flat = page.locator("tbody tr").filter(has_text="FLAT").locator(".figure").first
    assert flat.evaluate("e => e.getAnimations().length") == 0


def test_reduced_motion_is_still(serve: Serve, source: Source, new_page: NewPage) -> None:
    """Where less motion is asked for, values change without any animation."""
    page = new_page(reduced_motion="reduce")
    page.add_init_script(NOTE_ANIMATIONS)
    page.goto(stocks(serve, source(rising()).feed()).url)
    expect(page.locator("tbody tr")).to_have_count(2)
    for _ in range(2):
        wait_for_another(page, "UP", last(page, "UP"))
    assert page.locator("html[data-animated]").count() == 0
    assert page.evaluate("document.getAnimations().length") == 0


def test_only_states_and_notices_are_live(serve: Serve, page: Page) -> None:
    """Screen readers are told about the connection, politely, and never about each price."""
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#announcer")).to_have_text("Paused", timeout=SOON)
    regions = page.locator("[aria-live], [role=status], [role=alert], [role=log], output")
    expect(regions).to_have_text(["", "", "Paused"])  # warnings, notices, the state


# -- parts that work together


def test_a_row_can_be_opened_and_starred_while_the_page_is_paused(serve: Serve, page: Page) -> None:
    """A pause holds the values, not what people do."""
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.get_by_role("button", name="Pause").click()
    page.get_by_role("button", name="Star AAPL").click()
    expect(page.get_by_role("button", name="Star AAPL")).to_have_attribute("aria-pressed", "true")
    page.locator("#list").select_option(label="★ Starred")
    expect(page.locator("tbody tr:visible")).to_have_count(1)
    page.get_by_role("button", name="AAPL", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("Paused")
    expect(page).to_have_url(re.compile("#/stocks/AAPL$"))


def test_the_same_symbol_on_another_board_is_another_row(serve: Serve, page: Page) -> None:
    """A link from one row to the row of that name elsewhere opens that one."""
    boards = {name: {"feeds": ["nyse"], "title": name.upper()} for name in ("a", "b")}
    server = serve({"nyse": PRICES}, boards)
    page.goto(f"{server.url}#/a/AAPL")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.evaluate("location.hash = '#/b/AAPL'")
    expect(page.get_by_role("heading", name="B", exact=True)).to_be_visible()
    expect(page.get_by_role("dialog")).to_be_visible()
    expect(page).to_have_url(re.compile("#/b/AAPL$"))
    page.evaluate("location.hash = '#/nowhere/AAPL'")
    expect(page.locator("#state-words")).to_have_text("There is no board named nowhere")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("tbody tr")).to_have_count(0)


def test_the_filter_is_in_the_address_of_its_board(serve: Serve, page: Page) -> None:
    """It is read from a link, left behind with its board, and there again on the way back."""
    boards = {name: {"feeds": ["nyse"], "title": name.upper()} for name in ("a", "b")}
    server = serve({"nyse": PRICES}, boards)
    page.goto(f"{server.url}?q=msf#/a")
    expect(page.locator("tbody tr:visible")).to_have_count(1)
    page.get_by_role("link", name="B").click()
    expect(page.locator("tbody tr:visible")).to_have_count(3)
    expect(page).to_have_url(f"{server.url}#/b")
    page.go_back()
    expect(page.locator("#filter")).to_have_value("msf")
    expect(page.locator("tbody tr:visible")).to_have_count(1)
    page.locator("#filter").fill("aap")
    expect(page).to_have_url(f"{server.url}?q=aap#/a")
    page.reload()
    expect(page.locator("#filter")).to_have_value("aap")


def test_an_update_rate_is_asked_of_the_server(serve: Serve, page: Page) -> None:
    """Fewer frames come, and the page says so."""
    frames: list[str] = []
    page.on("websocket", lambda link: link.on("framereceived", lambda f: frames.append(str(f))))
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("r")
    expect(page.locator("#state-words")).to_have_text("Live, every 1 s")
    page.keyboard.press("r")
    expect(page.locator("#state-words")).to_have_text("Live, every 5 s")
    page.wait_for_timeout(500)  # what was under way has come
    before = sum('"diff"' in frame for frame in frames)
    page.wait_for_timeout(3_000)  # in which there would be thirty
    assert sum('"diff"' in frame for frame in frames) - before <= 1
    page.reload()
    expect(page.locator("#rate")).to_have_value("5")


def test_single_keys_do_what_help_says(serve: Serve, page: Page) -> None:
    """And nothing when they are switched off, or where letters are text."""
    page.goto(stocks(serve, PRICES).url)
    expect(page.locator("tbody tr")).to_have_count(3)
    page.keyboard.press("/")
    expect(page.locator("#filter")).to_be_focused()
    page.keyboard.type("p?s")
    expect(page.locator("#filter")).to_have_value("p?s")
    page.keyboard.press("Escape")
    expect(page.locator("#filter")).to_have_value("")
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Resume")).to_be_visible()
    page.keyboard.press("p")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Help")).to_be_visible()
    page.keyboard.press("p")  # is the dialog's, which has no use for it
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Help")).to_be_hidden()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.keyboard.press(",")
    page.get_by_label("Single keys do something").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("p")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
