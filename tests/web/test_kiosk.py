"""A screen on the wall: it shows the boards by turns, as large as they fit, and needs nobody."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from .conftest import Complaints, RunningServer, ScriptedSource
from .test_page import GAMES, PRICES, QUOTES, SOON, eventually, last, row, show, wait_for_another

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]
NewPage = Callable[..., Page]

WALL = {"width": 1920, "height": 1080}
REFUSED = "ERR_CONNECTION_REFUSED"

SEEN = """() => {
    const main = document.querySelector("main").getBoundingClientRect();
    const heading = document.querySelector(".quotes thead th");
    const head = heading?.getBoundingClientRect().bottom ?? main.top;
    const scroller = document.querySelector(".region") ?? document.querySelector("#content");
    const bottom = scroller.getBoundingClientRect().bottom;
    const seen = { whole: [], cut: [], below: bottom - main.bottom };
    for (const box of document.querySelectorAll(".quotes tbody tr:not(.spacer), .card")) {
        const { top, bottom: end } = box.getBoundingClientRect();
        if (end <= head + 1 || top >= bottom - 2) continue;
        const isWhole = top >= head - 2 && end <= bottom + 2;
        const name = box.querySelector(".symbol, .team").textContent;
        (isWhole ? seen.whole : seen.cut).push(name);
    }
    return seen;
}"""
"""Which rows or cards of the wall are to be seen whole, and which are cut through."""


def run(serve: Serve, symbols: int = 3, teams: int = 6) -> RunningServer:
    """Run a server with a board of prices and one of games."""
    names = {f"SYM{i}": 100.0 + i for i in range(symbols)}
    games = {**GAMES, "keep_finals": "0s", "teams": [f"Team {i}" for i in range(teams)]}
    boards = {
        "stocks": {**QUOTES, "title": "US stocks", "feeds": ["prices"]},
        "games": {"title": "Tonight", "layout": "scores", "feeds": ["league"]},
    }
    server = serve({"prices": {**PRICES, "symbols": names}, "league": games}, boards)
    server.wait_for("readyz")
    return server


def hang(page: Page, server: RunningServer, search: str = "") -> None:
    """Open the wall of ``server``, and wait until it shows something."""
    page.goto(f"{server.url}?kiosk{search}")
    expect(page.locator(".wall-head")).to_be_visible()
    expect(page.locator("tbody tr, .card").first).to_be_visible()


def title(page: Page) -> Any:
    """Return the title on the wall."""
    return page.locator(".wall-title")


@pytest.fixture
def wall(new_page: NewPage) -> Page:
    """Return a large page."""
    return new_page(viewport=WALL)


def test_the_boards_take_turns(serve: Serve, wall: Page) -> None:
    """One after the other, for ever, in the order of the address."""
    hang(wall, run(serve), "&boards=games,stocks&seconds=3")
    for name in ("Tonight", "US stocks", "Tonight"):
        expect(title(wall)).to_have_text(name, timeout=SOON)


def test_there_are_no_controls(serve: Serve, wall: Page) -> None:
    """Nothing can be clicked, nothing scrolls, and the pointer is not there."""
    hang(wall, run(serve), "&boards=stocks")
    for role in ("button", "link", "searchbox"):
        names = [e.inner_text() for e in wall.get_by_role(role).all() if not is_of_table(e)]
        assert names == []
    expect(wall.locator("html")).to_have_css("cursor", "none")
    assert wall.evaluate("document.documentElement.scrollHeight <= innerHeight")


def is_of_table(element: Any) -> bool:
    """Return whether an element is a heading or a symbol, which look like text and do nothing."""
    return bool(element.evaluate("e => e.closest('table') !== null"))


@pytest.mark.parametrize("size", [(1920, 1080), (3840, 2160), (1080, 1920)])
@pytest.mark.parametrize("board", ["stocks", "games"])
def test_letters_are_as_large_as_the_screen_allows(
    serve: Serve, new_page: NewPage, size: tuple[int, int], board: str
) -> None:
    """What fits on one page is there as a whole, in letters that can be read from afar."""
    page = new_page(viewport={"width": size[0], "height": size[1]})
    hang(page, run(serve, symbols=8), f"&boards={board}")
    seen = page.evaluate(SEEN)
    assert len(seen["whole"]) == {"stocks": 8, "games": 3}[board]
    assert (seen["cut"], seen["below"] <= 0) == ([], True)
    letters = page.evaluate("parseFloat(getComputedStyle(document.documentElement).fontSize)")
    assert min(size) / 45 < letters < min(size) / 15
    assert page.evaluate(
        "(e => e.scrollWidth <= e.clientWidth)(document.querySelector('#content'))"
    )


@pytest.mark.parametrize("board", ["stocks", "games"])
def test_pages_turn_where_not_all_fits(serve: Serve, wall: Page, board: str) -> None:
    """Every row is seen whole on some page, and none is cut through on any."""
    hang(wall, run(serve, symbols=40, teams=60), f"&boards={board}&seconds=3")
    seen: set[str] = set()
    turn = wall.locator(".wall-page")
    expect(turn).to_have_text(re.compile(r"^1 of \d+$"))
    count = int(turn.inner_text().split()[-1])
    assert 2 <= count <= 5
    for number in range(1, count + 1):
        expect(turn).to_have_text(f"{number} of {count}", timeout=SOON)
        eventually(wall, lambda: wall.evaluate(SEEN)["cut"] == [])  # games that begin grow
        there = wall.evaluate(SEEN)
        assert there["below"] <= 0
        seen.update(there["whole"])
    assert len(seen) >= {"stocks": 40, "games": 25}[board]  # games change places meanwhile


def is_full(page: Page, least: int) -> bool:
    """Return whether so many rows can be seen whole."""
    return len(page.evaluate(SEEN)["whole"]) >= least


def test_a_very_long_table_is_seen_to_its_end(serve: Serve, wall: Page) -> None:
    """Every row has its turn, also where not all rows are in the page."""
    wall.clock.install()
    hang(wall, run(serve, symbols=700), "&boards=stocks&seconds=60")
    turn = wall.locator(".wall-page")
    expect(turn).to_have_text(re.compile(r"^1 of \d\d$"))
    count = int(turn.inner_text().split()[-1])
    seen: set[str] = set()
    for number in range(1, count + 1):
        expect(turn).to_have_text(f"{number} of {count}")
        eventually(wall, partial(is_full, wall, 1 if number == count else 700 // count))
        there = wall.evaluate(SEEN)
        assert there["cut"] == []
        seen.update(there["whole"])
        wall.clock.fast_forward("01:00")
    assert len(seen) == 700


def test_keys_of_the_page_are_not_those_of_the_wall(serve: Serve, wall: Page) -> None:
    """No dialog opens that nobody sees, and the data are not paused."""
    hang(wall, run(serve), "&boards=stocks")
    for key in ("?", ",", "c", "f", "a", "p"):
        wall.keyboard.press(key)
    wait_for_another(wall, "SYM0", last(wall, "SYM0"))
    wall.locator("tbody tr").first.dispatch_event("keydown", {"key": "p", "bubbles": True})
    expect(wall.locator(".wall-words")).to_have_text(re.compile("^Live"))
    expect(wall.locator("dialog")).to_have_count(0)


def test_rows_that_come_later_fit_too(serve: Serve, source: Source, wall: Page) -> None:
    """The letters become smaller when more rows come."""
    prices = source([row("A")])
    server = serve({"nyse": prices.feed()}, {"stocks": {**QUOTES, "feeds": ["nyse"]}})
    hang(wall, server)
    size = "parseFloat(getComputedStyle(document.documentElement).fontSize)"
    before = wall.evaluate(size)
    prices.rows = [row(f"R{i}") for i in range(14)]
    expect(wall.locator("tbody tr")).to_have_count(14, timeout=SOON)
    eventually(wall, lambda: len(wall.evaluate(SEEN)["whole"]) == 14)
    assert wall.evaluate(size) < before


def test_the_wall_says_how_it_is(
    serve: Serve, source: Source, wall: Page, complaints: Complaints
) -> None:
    """Live with the time of the data; a failing feed, a board that is not there, a lost server."""
    prices = source([row("A")])
    server = serve({"nyse": prices.feed()}, {"stocks": {**QUOTES, "feeds": ["nyse"]}})
    hang(wall, server, "&boards=stocks,nowhere")
    words = wall.locator(".wall-words")
    expect(words).to_have_text(re.compile(r"^Live, as of \d\d:\d\d:\d\d$"), timeout=SOON)
    expect(wall.locator(".wall-clock")).to_have_text(re.compile(r"^\d\d:\d\d$"))
    notes = wall.locator(".wall-notes")
    expect(notes).to_have_text("There is no board named nowhere")
    prices.status = 503
    expect(notes).to_contain_text("nyse: stale since", timeout=SOON)
    server.stop()
    lost = re.compile(r"^(Reconnecting|Connecting).*")
    expect(words).to_have_text(lost, timeout=SOON)
    expect(wall.locator("#board")).to_have_attribute("data-live", "no")
    complaints[:] = [text for text in complaints if REFUSED not in text]


def test_a_restart_is_survived_by_the_wall(
    serve: Serve, wall: Page, complaints: Complaints
) -> None:
    """It is live again by itself, without being loaded anew."""
    wall.add_init_script("Math.random = () => 0.02")  # waits are random: here they are short
    server = run(serve)
    hang(wall, server, "&boards=stocks")
    wall.evaluate("window.witness = true")
    server.stop()
    expect(wall.locator("#board")).to_have_attribute("data-live", "no", timeout=SOON)
    server.start()
    expect(wall.locator(".wall-words")).to_have_text(re.compile("^Live"), timeout=30_000)
    wait_for_another(wall, "SYM0", last(wall, "SYM0"))
    assert wall.evaluate("window.witness")
    complaints[:] = [text for text in complaints if REFUSED not in text]


def test_a_hidden_wall_stays_connected(serve: Serve, wall: Page) -> None:
    """A screen that the system believes to be hidden goes on."""
    wall.clock.install()
    hang(wall, run(serve), "&boards=stocks")
    show(wall, "hidden")
    wall.clock.fast_forward("06:00")
    expect(wall.locator(".wall-words")).to_have_text(re.compile("^Live"), timeout=SOON)


def versions() -> Iterator[str]:
    """Yield what the server calls its page: another version from the second connection on."""
    yield "one"
    while True:
        yield "two"


def test_a_new_version_is_loaded(serve: Serve, wall: Page) -> None:
    """When the server has another page than at first, the wall loads it within half a minute."""
    wall.add_init_script("Math.random = () => 0.02")
    names = versions()
    links: list[WebSocketRoute] = []

    def welcome(link: WebSocketRoute) -> None:
        server = link.connect_to_server()
        links.append(link)

        def say(message: str | bytes) -> None:
            told = json.loads(message)
            if told["type"] == "welcome":
                told["page"] = next(names)
            link.send(json.dumps(told))

        server.on_message(say)

    wall.route_web_socket(re.compile("/ws"), welcome)
    hang(wall, run(serve), "&boards=stocks")
    with wall.expect_navigation():
        links[-1].close(code=4000)
    expect(wall.locator("tbody tr")).to_have_count(3)
    assert "kiosk" in wall.url


def test_space_holds_and_escape_leaves(serve: Serve, wall: Page) -> None:
    """The rotation can be held; who leaves gets the ordinary page with the board."""
    wall.clock.install()
    hang(wall, run(serve), "&boards=stocks,games")
    wall.keyboard.press("Space")
    expect(wall.locator(".wall-notes")).to_have_text("Rotation paused")
    wall.clock.fast_forward("02:00")
    expect(title(wall)).to_have_text("US stocks")
    wall.keyboard.press("Space")
    wall.clock.fast_forward("00:25")
    expect(title(wall)).to_have_text("Tonight")
    wall.keyboard.press("Escape")
    expect(wall.get_by_role("link", name="Tonight")).to_have_attribute("aria-current", "page")
    assert "kiosk" not in wall.url


def test_the_mouse_brings_a_hint(serve: Serve, wall: Page) -> None:
    """With buttons for what the keys do; after some seconds it is gone again."""
    wall.clock.install()
    hang(wall, run(serve), "&boards=stocks,games")
    hold = wall.get_by_role("button", name="Pause (Space)")
    expect(hold).to_be_hidden()
    wall.mouse.move(100, 100)
    hold.click()
    expect(wall.locator(".wall-notes")).to_have_text("Rotation paused")
    wall.clock.fast_forward("00:05")
    expect(wall.get_by_role("button", name="Go on (Space)")).to_be_hidden()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_theme_of_the_address_counts(serve: Serve, new_page: NewPage, theme: str) -> None:
    """Whatever the system says."""
    other = "dark" if theme == "light" else "light"
    page = new_page(viewport=WALL, color_scheme=other)
    hang(page, run(serve), f"&boards=stocks&theme={theme}")
    ground = {"light": "rgb(246, 247, 248)", "dark": "rgb(13, 16, 20)"}[theme]
    expect(page.locator("body")).to_have_css("background-color", ground)


def test_the_picture_wanders(serve: Serve, wall: Page) -> None:
    """By a few pixels each minute, so that nothing burns in; everything stays on the screen."""
    wall.clock.install()
    hang(wall, run(serve), "&boards=stocks")
    place = "document.querySelector('.wall-head').getBoundingClientRect().toJSON()"
    before = wall.evaluate(place)
    wall.clock.fast_forward("01:05")
    eventually(wall, lambda: wall.evaluate(place) != before)
    after = wall.evaluate(place)
    assert 0 < abs(after["left"] - before["left"]) <= 8
    assert after["left"] > 0
    assert after["right"] < WALL["width"]


def test_the_screen_is_kept_awake(serve: Serve, wall: Page) -> None:
    """A lock is asked for, and again when the page is seen again."""
    wall.add_init_script(
        """window.asked = 0;
        const request = async () => { window.asked += 1; return { released: true }; };
        Object.defineProperty(navigator, "wakeLock", { value: { request } });"""
    )
    hang(wall, run(serve), "&boards=stocks")
    eventually(wall, lambda: wall.evaluate("window.asked") == 1)
    show(wall, "visible")
    eventually(wall, lambda: wall.evaluate("window.asked") == 2)


def test_a_page_that_did_not_start_is_loaded_again(
    serve: Serve, wall: Page, complaints: Complaints
) -> None:
    """A module that could not be had at first does not keep the wall dark for ever."""
    wall.clock.install()
    server = run(serve)
    wall.route("**/client.js", lambda route: route.abort())
    wall.goto(f"{server.url}?kiosk&boards=stocks")
    wall.unroute("**/client.js")
    with wall.expect_navigation():
        wall.clock.fast_forward("00:41")
    expect(wall.locator(".wall-title")).to_have_text("US stocks")
    complaints.clear()


@pytest.mark.parametrize("trouble", ["an error in the page", "a final close"])
def test_trouble_ends_with_a_new_page(
    serve: Serve, wall: Page, complaints: Complaints, trouble: str
) -> None:
    """What the page cannot mend itself is over when it is loaded again, minutes later at most."""
    links: list[WebSocketRoute] = []

    def keep(link: WebSocketRoute) -> None:
        link.connect_to_server()
        links.append(link)

    wall.route_web_socket(re.compile("/ws"), keep)
    wall.clock.install()
    hang(wall, run(serve), "&boards=stocks")
    expect(wall.locator(".wall-words")).to_have_text(re.compile("^Live"))
    if trouble == "a final close":
        links[-1].close(code=4503)
        expect(wall.locator(".wall-words")).to_contain_text("a limit of the server is reached")
        wall.clock.fast_forward("00:02")  # one tick takes note of it
    else:
        wall.evaluate("void Promise.reject(new Error('broken'))")
        eventually(wall, lambda: complaints != [])
    with wall.expect_navigation():
        wall.clock.fast_forward("05:01")
    expect(wall.locator(".wall-words")).to_have_text(re.compile("^Live"), timeout=SOON)
    complaints[:] = [text for text in complaints if "broken" not in text]


def test_cards_that_grow_are_not_cut(serve: Serve, source: Source, wall: Page) -> None:
    """A card that gets more lines, when its game begins, is still there as a whole."""
    wanted = ("home", "away", "status", "home_score", "away_score", "last_event", "league")
    rows = [{"symbol": f"G{i}", "home": f"H{i}", "away": "A", "status": "live"} for i in range(9)]
    games = source(rows)
    feed = games.feed(fields={name: name for name in wanted})
    hang(wall, serve({"league": feed}, {"games": {"layout": "scores", "feeds": ["league"]}}))
    eventually(wall, lambda: len(wall.evaluate(SEEN)["whole"]) == 9)
    games.rows = [{**row, "last_event": "Goal"} for row in rows]
    expect(wall.locator(".event").first).to_have_text("Goal", timeout=SOON)
    eventually(wall, lambda: len(wall.evaluate(SEEN)["whole"]) == 9)
