"""Operators at work on a real server, seen by people who have its page open."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any

import httpx
import jwt
import pytest
from playwright.sync_api import Locator, Page, expect

from tests.support import source as own_site

from .conftest import Complaints, RunningServer, ScriptedSource
from .test_page import GAMES, PRICES, SOON, eventually, row

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]
NewPage = Callable[..., Page]

ADMIN = "an admin of these tests"
BEARER = {"authorization": f"Bearer {ADMIN}"}
SECRET = "a secret of these tests, long enough"
OPEN = {"admin_tokens": [ADMIN]}
CLOSED = {**OPEN, "viewers": "token", "keys": [{"algorithm": "HS256", "key": SECRET}]}

FEEDS = {"nyse": PRICES, "other": {**PRICES, "seed": 8, "symbols": {"BTC": 60_000}}}
STOCKS = {"title": "US stocks", "feeds": ["nyse"], "columns": ["last", "change_pct"]}
COINS = {"title": "Coins", "feeds": ["other"], "columns": ["last"]}
BOARDS = {"stocks": STOCKS, "coins": COINS}

GONE = "The board US stocks is no longer there"
QUIET = 1_500  # milliseconds in which an attempt that should not be made would have been made


@pytest.fixture
def server(serve: Serve) -> RunningServer:
    """Return a server with two boards, and admins."""
    return started(serve)


def started(serve: Serve, access: dict[str, Any] = OPEN, **more: Any) -> RunningServer:
    """Run a server with two boards, and wait for its rows."""
    server = serve(FEEDS, BOARDS, access=access, **more)
    server.wait_for("readyz")
    return server


def reconfigure(running: RunningServer, boards: dict[str, Any] = BOARDS, **more: Any) -> None:
    """Let a server have other boards, or other sections."""
    running.configure(more.pop("feeds", FEEDS), boards, **{"access": OPEN, **more})


class Dashboard:
    """The page on a board, and how often it connected; it is open when this is made."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.links: list[str] = []
        page.on("websocket", lambda socket: self.links.append(socket.url))
        page.goto(address)

    @property
    def state(self) -> Locator:
        """What the page says of itself."""
        return self.page.locator("#state-words")

    @property
    def rows(self) -> Locator:
        """Its rows."""
        return self.page.locator("tbody tr")

    @property
    def boards(self) -> Locator:
        """The links of the navigation."""
        return self.page.get_by_role("navigation").get_by_role("link")

    @property
    def notices(self) -> Locator:
        """The texts of the notices."""
        return self.page.locator(".notice-words")

    def is_live(self) -> None:
        """Wait until the page shows live rows."""
        expect(self.state).to_have_text("Live", timeout=SOON)
        expect(self.rows.first).to_be_visible(timeout=SOON)
        expect(self.page.locator("main")).to_have_attribute("data-live", "yes")


def opened(page: Page, server: RunningServer, search: str = "#/stocks") -> Dashboard:
    """Return the page on the first board, live."""
    dashboard = Dashboard(page, server.url + search)
    dashboard.is_live()
    return dashboard


def stays_quiet(page: Page, links: list[str], what: int) -> None:
    """Hold that the page connects no more than it has."""
    assert len(links) == what
    page.wait_for_timeout(QUIET)  # nothing can be waited for: it must not happen
    assert len(links) == what, links


def ask(server: RunningServer, method: str, path: str, **more: Any) -> Any:
    """Ask as an admin; return the document, if there is one."""
    response = httpx.request(method, server.url + path, headers=BEARER, **more)
    assert response.is_success, response.text
    return response.json() if response.content else None


def tell(server: RunningServer, text: str, **more: Any) -> str:
    """Tell a notice; return its id."""
    notice: str = ask(server, "POST", "api/notices", json={"text": text, **more})["id"]
    return notice


def token(seconds: float = 3600, **claims: Any) -> str:
    """Return a viewer's token that ends so many seconds from now."""
    return jwt.encode({"exp": time.time() + seconds, **claims}, SECRET, "HS256")


# -- the config changes while people watch


def test_columns_title_and_layout_follow_the_file(server: RunningServer, page: Page) -> None:
    """On the same connection, also to another layout and back."""
    dashboard = opened(page, server)
    heads = page.locator("thead th .label")
    reconfigure(server, {**BOARDS, "stocks": {**STOCKS, "columns": ["last", "open", "volume"]}})
    expect(heads).to_have_text(["Symbol", "Last", "Day range", "Open", "Volume"], timeout=SOON)
    reconfigure(server, {**BOARDS, "stocks": {**STOCKS, "title": "Shares"}})
    expect(page.locator("h1")).to_have_text("Shares", timeout=SOON)
    expect(dashboard.boards.first).to_have_text("Shares")
    expect(heads).to_have_text(["Symbol", "Last", "Change %", "Day range"])
    games = {"title": "Tonight", "feeds": ["league"], "layout": "scores"}
    reconfigure(server, {**BOARDS, "stocks": games}, feeds={**FEEDS, "league": GAMES})
    expect(page.locator(".card").first).to_be_visible(timeout=SOON)
    expect(page.locator("h1")).to_have_text("Tonight")
    reconfigure(server)
    expect(page.locator("tbody .symbol").first).to_have_text("AAPL", timeout=SOON)
    dashboard.is_live()
    assert len(dashboard.links) == 1


def test_a_board_is_added_removed_and_comes_back(server: RunningServer, page: Page) -> None:
    """The list follows; the board that is read says it is gone, and comes back by itself."""
    dashboard = opened(page, server)
    place = dashboard.rows.first.bounding_box()
    reconfigure(server, {**BOARDS, "new": {**COINS, "title": "Newcomers"}})
    expect(dashboard.boards).to_have_text(["US stocks", "Coins", "Newcomers"], timeout=SOON)
    reconfigure(server, {"coins": COINS}, feeds={"other": FEEDS["other"]})
    expect(dashboard.state).to_have_text(GONE, timeout=SOON)
    expect(dashboard.rows).to_have_count(3)
    expect(page.locator("main")).to_have_attribute("data-live", "no")
    others = page.get_by_role("list", name="Other boards").get_by_role("link")
    expect(others).to_have_text(["Coins"])
    assert dashboard.rows.first.bounding_box() == place, "rows stay where they are"
    reconfigure(server)
    dashboard.is_live()
    expect(dashboard.boards).to_have_text(["US stocks", "Coins"], timeout=SOON)
    assert len(dashboard.links) == 1


def test_the_way_to_another_board_is_open(server: RunningServer, page: Page) -> None:
    """Who was left without a board goes on with another one."""
    dashboard = opened(page, server)
    reconfigure(server, {"coins": COINS}, feeds={"other": FEEDS["other"]})
    page.get_by_role("list", name="Other boards").get_by_role("link").click(timeout=SOON)
    expect(page.locator("h1")).to_have_text("Coins")
    dashboard.is_live()
    assert len(dashboard.links) == 1


def test_a_board_that_never_was_comes_although_the_server_ends_idle_viewers(
    serve: Serve, page: Page
) -> None:
    """Who watches nothing is sent away; the page comes back, until the board is there."""
    server = started(serve, server={"subscribe_within": "1s"})
    dashboard = Dashboard(page, server.url + "#/soon")
    expect(dashboard.state).to_have_text("There is no board named soon")
    eventually(page, lambda: ask(server, "GET", "api/status")["closed"].get("limit"))
    said = page.locator("#announcer")
    expect(dashboard.state).to_have_text("There is no board named soon")
    expect(said).not_to_contain_text("limit")
    reconfigure(server, {**BOARDS, "soon": COINS}, server={"subscribe_within": "1s"})
    page.get_by_role("button", name="Reconnect").click()
    dashboard.is_live()


def test_a_feed_is_removed(server: RunningServer, page: Page, source: Source) -> None:
    """Its rows go, those of the other feed stay."""
    two = {**STOCKS, "feeds": ["nyse", "more"]}
    feeds = {**FEEDS, "more": source([row("MORE", 5.0)]).feed()}
    reconfigure(server, {**BOARDS, "stocks": two}, feeds=feeds)
    dashboard = opened(page, server)
    expect(dashboard.rows).to_have_count(4, timeout=SOON)
    reconfigure(server)
    expect(dashboard.rows).to_have_count(3, timeout=SOON)
    expect(page.locator("#feeds summary")).to_have_text(re.compile("1 feed, live"))
    assert len(dashboard.links) == 1


def test_a_broken_file_harms_nobody(server: RunningServer, page: Page, new_page: NewPage) -> None:
    """Viewers see nothing of it; `/status` says where the mistake is, until it is mended."""
    dashboard = opened(page, server)
    status = new_page()
    status.goto(f"{server.url}status")
    words = status.locator("#verdict .words")
    expect(words).to_have_text("All is well")
    server.write("boards:\n  stocks: {feeds: [nyse], layout: round}\n")
    expect(words).to_have_text(re.compile("attention"), timeout=SOON)
    expect(status.locator("#causes")).to_contain_text(re.compile(r"config0\.yaml:\d+:\d+: .*round"))
    dashboard.is_live()
    expect(dashboard.boards).to_have_text(["US stocks", "Coins"])
    reconfigure(server, {**BOARDS, "stocks": {**STOCKS, "title": "Mended"}})
    expect(dashboard.boards.first).to_have_text("Mended", timeout=SOON)
    expect(words).to_have_text("All is well", timeout=SOON)
    assert len(dashboard.links) == 1


# -- notices


def test_notices_to_all_to_a_board_and_withdrawn(server: RunningServer, page: Page) -> None:
    """Each is told once it is posted, where it belongs, and goes when it is taken back."""
    dashboard = opened(page, server)
    tell(server, "About coins", board="coins")
    everybody = tell(server, "Maintenance at <18:00>")
    expect(dashboard.notices).to_have_text(["Maintenance at <18:00>"], timeout=SOON)
    warning = tell(server, "Prices are late", board="stocks", level="warning")
    both = ["Prices are late", "Maintenance at <18:00>"]
    expect(dashboard.notices).to_have_text(both, timeout=SOON)
    ask(server, "DELETE", f"api/notices/{warning}")
    expect(dashboard.notices).to_have_text(both[1:], timeout=SOON)
    dashboard.boards.last.click()
    expect(dashboard.notices).to_have_text(["About coins", *both[1:]], timeout=SOON)
    ask(server, "DELETE", f"api/notices/{everybody}")
    expect(dashboard.notices).to_have_text(["About coins"], timeout=SOON)


def test_a_notice_ends_when_its_time_is_over(server: RunningServer, page: Page) -> None:
    """Without a word of the server; who comes later is told what still holds."""
    dashboard = opened(page, server)
    tell(server, "soon over", **{"for": "3s"})
    tell(server, "stays")
    expect(dashboard.notices).to_have_text(["stays", "soon over"])
    expect(dashboard.notices).to_have_text(["stays"], timeout=SOON)
    page.reload()
    expect(dashboard.notices).to_have_text(["stays"], timeout=SOON)


def test_a_notice_to_one_viewer_is_for_nobody_else(
    server: RunningServer, page: Page, new_page: NewPage
) -> None:
    """Admins name it by the id of the list."""
    mine = opened(page, server, "#/stocks")
    other = opened(new_page(), server, "#/coins")
    (viewer,) = ask(server, "GET", "api/viewers?board=stocks")["viewers"]
    tell(server, "only you", viewer=viewer["id"])
    tell(server, "all of you")
    expect(mine.notices).to_have_text(["all of you", "only you"], timeout=SOON)
    expect(other.notices).to_have_text(["all of you"], timeout=SOON)


# -- connections that are ended


def test_a_viewer_that_an_admin_ended_stays_away(
    server: RunningServer, page: Page, complaints: Complaints
) -> None:
    """The page says who ended it; a person may come back, the page does not by itself."""
    dashboard = opened(page, server)
    (viewer,) = ask(server, "GET", "api/viewers")["viewers"]
    ask(server, "DELETE", f"api/viewers/{viewer['id']}")
    expect(dashboard.state).to_have_text(re.compile("^Closed: an operator of the server ended"))
    stays_quiet(page, dashboard.links, 1)
    page.get_by_role("button", name="Reconnect").click()
    dashboard.is_live()


WATCH_WORDS = """() => {
    window.heard = new Set();
    const note = () => {
        for (const id of ["state-words", "announcer"]) {
            window.heard.add(document.getElementById(id).textContent);
        }
    };
    new MutationObserver(note).observe(document.body,
        { subtree: true, childList: true, characterData: true });
}"""
CALM = re.compile(
    r"|Live|Connecting…|Reconnecting in \d+ s \((?P<why>[^)]+)\)(, as of [\d:]+( [AP]M)?)?"
    r"|Reconnecting: (?P<said>.+)"
)
"""What a page may say while nothing is wrong."""


def calm_words(page: Page, why: str) -> None:
    """Hold that since `WATCH_WORDS` the page said nothing that alarms, and said why."""
    heard = set(page.evaluate("[...window.heard]"))
    found = {words: CALM.fullmatch(words) for words in heard}
    assert all(found.values()), heard
    whys = {m["why"] or m["said"] for m in found.values() if m and (m["why"] or m["said"])}
    assert whys == {why}, heard


def test_a_restart_is_no_alarm(serve: Serve, page: Page, complaints: Complaints) -> None:
    """Drained, gone, back on the same port: the page resumes by itself, and says why it waits."""
    server = started(serve, server={"return_within": "1s"})
    dashboard = opened(page, server)
    page.evaluate(WATCH_WORDS)
    server.stop()
    expect(dashboard.state).to_have_text(re.compile("^Reconnecting in"))
    eventually(page, lambda: len(dashboard.links) >= 3)  # some find nobody there
    server.start()
    dashboard.is_live()
    calm_words(page, "the server will be back in a moment")
    complaints[:] = [words for words in complaints if "ERR_CONNECTION_REFUSED" not in words]


def test_renewed_connections_are_no_alarm(serve: Serve, page: Page) -> None:
    """The page comes back within a second or so, and resumes."""
    server = started(serve, server={"rotate": "1s"})
    dashboard = opened(page, server)
    page.evaluate(WATCH_WORDS)
    eventually(page, lambda: len(dashboard.links) >= 2)
    dashboard.is_live()
    assert "epoch=" in dashboard.links[-1]
    calm_words(page, "the server renews its connections")


# -- who has a token


def test_a_link_with_a_token_opens_the_page(serve: Serve, page: Page) -> None:
    """The token leaves the address, and counts for the socket, lists and the past of rows."""
    server = started(serve, CLOSED)
    dashboard = opened(page, server, f"?token={token()}#/stocks")
    expect(page).to_have_url(f"{server.url}#/stocks")
    expect(dashboard.boards).to_have_text(["US stocks", "Coins"])
    page.goto(f"{server.url}#/stocks/AAPL")
    expect(page.locator(".drawer")).to_contain_text("AAPL")
    page.reload()
    dashboard.is_live()


@pytest.mark.parametrize("search", ["#/stocks", "", "?token=bad#/stocks", "?token={old}#/stocks"])
def test_without_a_token_that_counts_access_is_needed(
    serve: Serve, page: Page, complaints: Complaints, search: str
) -> None:
    """Said once, and for good: nothing connects again and again."""
    server = started(serve, CLOSED)
    dashboard = Dashboard(page, server.url + search.format(old=token(-60)))
    expect(dashboard.state).to_have_text("Access is needed")
    expect(page.locator("#empty")).to_contain_text("ask for a new one")
    stays_quiet(page, dashboard.links, len(dashboard.links))
    assert len(dashboard.links) <= 1
    complaints.clear()  # the browser tells of each refused request


def test_a_token_that_ends_while_the_page_is_open(
    serve: Serve, page: Page, complaints: Complaints
) -> None:
    """The rows stay and look old; nothing is tried again, as nothing would be other."""
    server = started(serve, CLOSED)
    dashboard = opened(page, server, f"?token={token(4)}#/stocks")
    expect(dashboard.state).to_have_text("Access is needed", timeout=SOON)
    expect(dashboard.rows).to_have_count(3)
    expect(page.locator("main")).to_have_attribute("data-live", "no")
    stays_quiet(page, dashboard.links, 1)
    page.goto(f"{server.url}?token={token()}#/stocks")
    dashboard.is_live()


def test_a_token_that_ended_while_the_link_was_lost(
    serve: Serve, page: Page, complaints: Complaints
) -> None:
    """It is refused before the upgrade, of which browsers tell nothing: the list of boards does."""
    server = started(serve, CLOSED)
    dashboard = opened(page, server, f"?token={token()}#/stocks")
    server.stop()
    expect(dashboard.state).to_have_text(re.compile("^Reconnecting"))
    other = [{"algorithm": "HS256", "key": SECRET[::-1]}]
    reconfigure(server, access={**CLOSED, "keys": other})
    server.start()
    page.get_by_role("button", name="Reconnect").click()
    expect(dashboard.state).to_have_text("Access is needed", timeout=SOON)
    stays_quiet(page, dashboard.links, len(dashboard.links))
    complaints.clear()  # the browser tells of each refused request


def test_a_token_for_some_boards_limits_the_list(
    serve: Serve, page: Page, complaints: Complaints
) -> None:
    """Others are not in it; who asks for one by name is told, and may go on."""
    server = started(serve, CLOSED)
    dashboard = opened(page, server, f"?token={token(boards=['coins'])}")
    expect(dashboard.boards).to_have_text(["Coins"])
    expect(page.locator("h1")).to_have_text("Coins")
    page.goto(f"{server.url}#/stocks")
    page.reload()
    expect(dashboard.state).to_have_text("Access is needed", timeout=SOON)
    stays_quiet(page, dashboard.links, len(dashboard.links))
    dashboard.boards.first.click()
    dashboard.is_live()
    reconfigure(server, {**BOARDS, "new": COINS}, access=CLOSED)
    tell(server, "it is there")
    expect(dashboard.notices).to_have_text(["it is there"], timeout=SOON)
    expect(dashboard.boards).to_have_text(["Coins"])
    complaints.clear()  # the browser tells of each refused request


RENEWING = """<!doctype html><title>mine</title><p id="state"></p><script type="module">
import { Client } from "{server}client.js";
let asked = 0;
const token = async () => (await fetch(`/my-token?${++asked}`)).text();
const client = new Client("{server}", { token });
const board = client.watch("stocks");
client.listen(() => {
  const said = `${client.state.kind}, ${board.rows.size} rows, token ${asked}`;
  document.querySelector("#state").textContent = said;
});
</script>"""


def test_a_page_of_ones_own_renews_its_token_on_the_open_connection(
    serve: Serve, page: Page
) -> None:
    """Asked for again before it ends; the connection goes on beyond the end of the first."""
    with own_site() as site:
        mine = site.url.replace("127.0.0.1", "localhost")
        server = started(serve, CLOSED, server={"origins": [mine]})
        site.say("/", RENEWING.replace("{server}", server.url).encode(), Content_Type="text/html")
        site.say("/favicon.ico", b"")
        site.script["/my-token"] = lambda answer: answer.answer(200, token(6).encode())
        dashboard = Dashboard(page, f"{mine}/")
        expect(page.locator("#state")).to_have_text("live, 3 rows, token 3", timeout=3 * SOON)
        assert len(dashboard.links) == 1
        assert ask(server, "GET", "api/status")["closed"] == {}


# -- status, for admins


def test_status_asks_for_the_admin_token(serve: Serve, page: Page, complaints: Complaints) -> None:
    """A wrong one is said to be wrong; with the right one mistakes of the file are told."""
    access = {**OPEN, "operations": "admin"}
    server = started(serve, access)
    page.goto(f"{server.url}status")
    words = page.locator("#verdict .words")
    expect(words).to_have_text("A token is needed")
    field = page.get_by_label("Token for this page")
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This token is not accepted")
    field.fill(ADMIN)
    page.keyboard.press("Enter")
    expect(words).to_have_text("All is well")
    server.write('{"feeds": {"nyse":\n  {"kind": "simulate", "every": "fast"}}}')
    where = re.compile(r"config0\.yaml:2:\d+: feeds\.nyse.*'?fast'?")
    expect(page.locator("#causes")).to_contain_text(where, timeout=SOON)
    reconfigure(server, access=access)
    expect(words).to_have_text("All is well", timeout=SOON)
    complaints.clear()  # the browser tells of each refused request


# -- frames and walls


@pytest.mark.parametrize("frame", ["tape", "table"])
def test_frames_take_tokens(
    serve: Serve, page: Page, new_page: NewPage, complaints: Complaints, frame: str
) -> None:
    """With one they are live; refused, they say so and leave it at that."""
    server = started(serve, CLOSED)
    address = f"{server.url}embed/{frame}?board=stocks"
    page.goto(f"{address}&token={token(boards=['stocks'])}")
    expect(page.locator("html")).to_have_attribute("data-live", "yes", timeout=SOON)
    for refused in ("", f"&token={token(-60)}", f"&token={token(boards=['coins'])}"):
        other = Dashboard(new_page(), address + refused)
        words = other.page.locator(".words .state")
        expect(words).to_have_text("Access is needed", timeout=SOON)
        stays_quiet(other.page, other.links, 1)
    complaints.clear()  # the browser tells of each refused request


def test_a_frame_whose_token_ends_says_so(serve: Serve, page: Page) -> None:
    """And as of when its rows are."""
    server = started(serve, CLOSED)
    frame = Dashboard(page, f"{server.url}embed/table?board=stocks&token={token(4)}")
    expect(page.locator("html")).to_have_attribute("data-live", "yes", timeout=SOON)
    expect(page.locator(".words .state")).to_have_text(
        re.compile("^Access is needed, as of"), timeout=SOON
    )
    stays_quiet(page, frame.links, 1)


def test_walls_take_tokens(
    serve: Serve, page: Page, new_page: NewPage, complaints: Complaints
) -> None:
    """With one they turn among its boards; refused, they say so and neither connect nor load."""
    server = started(serve, CLOSED)
    page.goto(f"{server.url}?kiosk&seconds=600&token={token(boards=['coins'])}")
    expect(page.locator(".wall-title")).to_have_text("Coins", timeout=SOON)
    expect(page.locator(".wall-words")).to_have_text(re.compile("^Live"), timeout=SOON)
    other = Dashboard(new_page(), f"{server.url}?kiosk&seconds=3&token=bad")
    expect(other.page.locator(".wall-words")).to_have_text("Access is needed", timeout=SOON)
    stays_quiet(other.page, other.links, len(other.links))
    assert len(other.links) <= 1
    complaints.clear()  # the browser tells of each refused request
