"""Boards on other people's pages: the client and its example, the tape and the table for frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import ROOT, Complaints, RunningServer, ScriptedSource
from .test_page import GAMES, OVERFLOW, PRICES, SOON, eventually, rising, row, stocks

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]
NewPage = Callable[..., Page]

WEB = ROOT / "web"


# -- the client, on a page of one's own


def test_the_documented_script_is_the_example() -> None:
    """Whoever copies from client.md has what is tested here."""
    text = (ROOT / "docs/client.md").read_text()
    assert re.findall(r"```js\n(.*?)```", text, re.DOTALL)[0] == (WEB / "example.js").read_text()


def test_everything_of_the_client_is_documented() -> None:
    """Each public method and property of `Client` is in client.md."""
    text = (ROOT / "docs/client.md").read_text()
    source = (WEB / "client.js").read_text().partition("export class Client")[2]
    names = re.findall(r"^  (?:get |set |async )?([a-z]\w*)(?:\(| = )", source, re.MULTILINE)
    assert {"watch", "history", "interval", "latency"} <= set(names)
    for name in set(names) - {"constructor"}:
        assert re.search(rf"^\| .*`{name}\b", text, re.MULTILINE), name


def test_the_example_shows_live_rows(serve: Serve, source: Source, page: Page) -> None:
    """The copied page has a line per row, follows the feed, and says that it is live."""
    page.goto(stocks(serve, source(rising()).feed()).url + "example.html")
    price = page.locator("tbody tr").filter(has_text="UP").locator("td").nth(1)
    expect(price).to_have_text(re.compile(r"^\d+$"))
    expect(price).not_to_have_text(price.inner_text(), timeout=SOON)
    expect(page.locator("#state")).to_have_text(re.compile(r"^live, as of \d"))


def test_the_example_says_what_is_stale(serve: Serve, source: Source, page: Page) -> None:
    """A row of a source that fails is called stale, in a word."""
    prices = source([row("A", 1)])
    page.goto(stocks(serve, prices.feed()).url + "example.html")
    quality = page.locator("tbody td").last
    expect(quality).to_have_text("live", timeout=SOON)
    prices.status = 503
    expect(quality).to_have_text("stale", timeout=SOON)


# -- the tape

BELT = "document.querySelector('.belt').getAnimations()[0]"
OFFSET = "document.querySelector('.belt').getBoundingClientRect().left"


def item(page: Page, symbol: str) -> Locator:
    """Return the place of a row on the tape, not that of its copy."""
    return page.locator(".belt ul:not([aria-hidden]) li").filter(has_text=symbol)


def tape(page: Page, server: RunningServer, search: str = "?board=stocks") -> None:
    """Open a tape."""
    page.goto(f"{server.url}embed/tape.html{search}")


def test_the_tape_moves_and_changes_in_place(serve: Serve, source: Source, page: Page) -> None:
    """Rows pass by from right to left; a new price does not make a new row."""
    tape(page, stocks(serve, source(rising()).feed()))
    figure = item(page, "UP").locator(".figure")
    expect(figure).to_have_text(re.compile(r"^\d+\.00$"))
    item(page, "UP").evaluate("e => window.first = e")
    before = page.evaluate(OFFSET)
    eventually(page, lambda: page.evaluate(OFFSET) < before)
    expect(figure).not_to_have_text(figure.inner_text(), timeout=SOON)
    assert item(page, "UP").evaluate("e => e === window.first")


def test_the_tape_has_no_seam(serve: Serve, source: Source, page: Page) -> None:
    """A copy follows, as long as the tape itself, which is at least as wide as the screen."""
    tape(page, stocks(serve, source([row("A"), row("B")]).feed()))
    expect(page.locator("li")).to_have_count(4)
    widths = page.evaluate("[...document.querySelectorAll('.belt ul')].map(e => e.offsetWidth)")
    assert widths[0] == widths[1] >= page.evaluate("document.querySelector('.window').offsetWidth")


def test_the_copy_is_for_eyes_only(serve: Serve, source: Source, page: Page) -> None:
    """Screen readers and the Tab key meet each row once."""
    tape(page, stocks(serve, source([row("A"), row("B")]).feed()))
    expect(page.get_by_role("listitem")).to_have_count(2)
    stops = page.evaluate("[...document.querySelectorAll('a, button')].map(e => e.tabIndex)")
    assert sorted(stops) == [-1, -1, 0, 0, 0, 0]


def test_the_tape_can_be_paused(serve: Serve, page: Page) -> None:
    """By its button, which says what it does; the pointer holds it as long as it is there."""
    tape(page, stocks(serve, PRICES))
    expect(item(page, "AAPL")).to_be_visible()
    assert page.evaluate(f"{BELT}.playState") == "running"
    page.locator(".window").hover()
    assert page.evaluate(f"{BELT}.playState") == "paused"
    page.get_by_role("button", name="Pause the tape").click()
    page.mouse.move(1, 700)
    assert page.evaluate(f"{BELT}.playState") == "paused"
    page.get_by_role("button", name="Move the tape").click()
    page.mouse.move(1, 700)
    assert page.evaluate(f"{BELT}.playState") == "running"


def test_a_row_with_the_focus_is_in_sight(serve: Serve, source: Source, new_page: NewPage) -> None:
    """The tape stops, and the row that the Tab key reached is on the screen."""
    page = new_page(viewport={"width": 320, "height": 50})
    tape(page, stocks(serve, source([row(f"ROW{i}") for i in range(9)]).feed()))
    expect(item(page, "ROW8")).to_have_count(1)
    for name in ("ROW0", "ROW1", "ROW2", "ROW3", "ROW4"):
        page.keyboard.press("Tab")
        expect(item(page, name).locator("a")).to_be_focused()
        expect(item(page, name)).to_be_in_viewport(ratio=0.9)
    assert page.evaluate(f"{BELT}.playState") == "paused"


def test_with_less_motion_the_tape_lies_still(serve: Serve, new_page: NewPage) -> None:
    """It can be scrolled instead, and each row is there once."""
    page = new_page(viewport={"width": 320, "height": 50}, reduced_motion="reduce")
    tape(page, stocks(serve, PRICES))
    expect(page.locator("li:visible")).to_have_count(3)
    assert page.evaluate(f"{BELT} === undefined")
    assert page.evaluate("(e => e.scrollWidth > e.clientWidth)(document.querySelector('.window'))")
    expect(page.get_by_role("button")).to_have_count(0)


@pytest.mark.parametrize("view", ["tape", "table"])
def test_a_frame_shows_what_was_asked_for(serve: Serve, page: Page, view: str) -> None:
    """Symbols are in the order of the address, and one that is not there is named."""
    server = stocks(serve, PRICES)
    page.goto(f"{server.url}embed/{view}.html?board=stocks&symbols=MSFT,ZZZ,AAPL")
    symbols = page.locator("ul:not([aria-hidden]) .symbol, tbody .symbol")
    expect(symbols).to_have_text(["MSFT", "ZZZ", "AAPL"])
    expect(page.locator(".badge", has_text="not here").first).to_be_visible()
    expect(page.locator(".state")).to_have_text("Not on this board: ZZZ")


@pytest.mark.parametrize("view", ["tape", "table"])
@pytest.mark.parametrize(
    ("search", "words"),
    [
        ("?board=nowhere", "There is no board named nowhere"),
        ("", "This address names no board: add ?board=NAME"),
        ("?board=%E0%A4%A&symbols=,,&columns=%00&theme=pink", "There is no board named"),
    ],
)
def test_a_frame_says_that_a_board_is_not_there(
    serve: Serve, page: Page, view: str, search: str, words: str
) -> None:
    """An address that names no board, or nonsense, is answered in words."""
    page.goto(f"{stocks(serve, PRICES).url}embed/{view}.html{search}")
    expect(page.locator(".state")).to_contain_text(words)


@pytest.mark.parametrize("view", ["tape", "table"])
def test_a_frame_says_what_is_old(
    serve: Serve, source: Source, page: Page, complaints: Complaints, view: str
) -> None:
    """A row of a failing source is called stale; a lost connection is told with the time."""
    prices = source([row("A", 1)])
    server = stocks(serve, prices.feed())
    page.goto(f"{server.url}embed/{view}.html?board=stocks")
    expect(page.locator(".state")).to_have_text(re.compile(r"^as of \d\d:\d\d:\d\d$"), timeout=SOON)
    prices.status = 503
    expect(page.locator(".badge").first).to_have_text("stale", timeout=SOON)
    server.stop()
    lost = re.compile(r"^(Reconnecting|Connecting).*as of \d\d:\d\d:\d\d$")
    expect(page.locator(".state")).to_have_text(lost, timeout=SOON)
    expect(page.locator("html")).to_have_attribute("data-live", "no")
    complaints[:] = [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text]


@pytest.mark.parametrize("view", ["tape", "table"])
def test_a_frames_links_lead_to_the_dashboard(serve: Serve, page: Page, view: str) -> None:
    """In a tab of its own, which cannot reach back."""
    server = stocks(serve, PRICES)
    page.goto(f"{server.url}embed/{view}.html?board=stocks")
    expect(page.locator(".symbol", has_text="AAPL").first).to_be_visible()
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="US stocks").click()
    assert opened.value.url == f"{server.url}#/stocks"
    assert opened.value.evaluate("window.opener") is None


@pytest.mark.parametrize("view", ["tape", "table"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_frames_colours_can_be_told(
    serve: Serve, new_page: NewPage, view: str, theme: str
) -> None:
    """The theme of the address wins over that of the system; the ground can be left out."""
    other = "dark" if theme == "light" else "light"
    page = new_page(color_scheme=other, viewport={"width": 320, "height": 100})
    url = f"{stocks(serve, PRICES).url}embed/{view}.html?board=stocks&theme={theme}"
    page.goto(url)
    expect(page.locator("body")).to_have_css("background-color", GROUND[theme])
    page.goto(f"{url}&ground=none")
    expect(page.locator("body")).to_have_css("background-color", "rgba(0, 0, 0, 0)")


GROUND = {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 30)"}


@pytest.mark.parametrize("view", ["tape", "table"])
def test_a_frame_holds_absurd_rows(
    serve: Serve, source: Source, new_page: NewPage, view: str
) -> None:
    """Markup is text; nothing is wider than the frame; what is missing is a dash."""
    markup = "<img src=x onerror=alert(1)>"
    rows = [row(markup, change=-1e300, change_pct=1e9), row("W" * 60, None), row("שלום", 1e300)]
    page = new_page(viewport={"width": 320, "height": 120})
    page.goto(f"{stocks(serve, source(rows).feed()).url}embed/{view}.html?board=stocks")
    symbols = page.locator("ul:not([aria-hidden]) .symbol, tbody .symbol")
    expect(symbols).to_have_text([markup, "W" * 60, "שלום"])
    assert page.locator("img").count() == 0
    assert page.evaluate(OVERFLOW) <= 0


def test_games_pass_by_in_words(serve: Serve, page: Page) -> None:
    """A board of scores has its games on the tape, and in the table."""
    server = serve({"league": GAMES}, {"games": {"layout": "scores", "feeds": ["league"]}})
    server.wait_for("readyz")
    tape(page, server, "?board=games")
    game = re.compile(r"^\w+ (\d+–\d+|–) \w+(Live|Break|Starts|Final)")
    expect(page.locator("li").first).to_have_text(game)
    page.goto(f"{server.url}embed/table.html?board=games")
    expect(page.locator("tbody tr").first).to_have_text(game)


# -- the table


def test_the_table_shows_the_columns_of_the_address(serve: Serve, page: Page) -> None:
    """In its order; one that is not there is named."""
    server = stocks(serve, PRICES)
    page.goto(f"{server.url}embed/table.html?board=stocks&columns=change_pct,nope,last")
    heads = page.locator("thead th")
    expect(heads).to_have_text(["Symbol", "Change %", "Last"])
    expect(page.locator(".state")).to_have_text("No such column: nope")


def test_the_table_follows_rows_that_come_and_go(serve: Serve, source: Source, page: Page) -> None:
    """Values change, rows come in the order of the board, and rows that end go."""
    prices = source([row("A", 1), row("B", 1)])
    page.goto(f"{stocks(serve, prices.feed()).url}embed/table.html?board=stocks")
    expect(page.locator("tbody tr")).to_have_count(2)
    prices.rows = [row("B", 2), row("C", 3)]
    expect(page.locator("tbody .symbol")).to_have_text(["B", "C"], timeout=SOON)
    expect(page.locator("tbody tr").first.locator(".figure").first).to_have_text("2.00")
