"""What operators do while people watch: boards, layouts, notices, access, ended connections."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import Complaints
from .scripted import COLUMNS, SITE, ScriptedServer
from .test_page import OVERFLOW, SOON, eventually

NewPage = Callable[..., Page]

BOARDS = {"stocks": "US stocks", "coins": "Coins"}
GAME = {"home": "Ashford", "away": "Brackley", "home_score": 2, "away_score": 1, "status": "live"}
NOW = 1_763_629_000_123
PHONE = {"width": 360, "height": 640}


@pytest.fixture
def server(page: Page) -> ScriptedServer:
    """Return a server with two boards, whose page is about to be opened."""
    return ScriptedServer(page, dict(BOARDS))


@pytest.fixture
def dashboard(server: ScriptedServer, page: Page) -> Page:
    """Return the page on the first board."""
    page.goto(f"{SITE}#/stocks")
    expect(page.locator("tbody tr")).to_have_count(2)
    return page


def titles(page: Page) -> Any:
    """Return the links of the navigation."""
    return page.get_by_role("navigation").get_by_role("link")


def state(page: Page) -> Any:
    """Return what the page says of itself."""
    return page.locator("#state-words")


# -- boards that come and go


def test_boards_come_and_go_in_the_navigation(dashboard: Page, server: ScriptedServer) -> None:
    """The list follows the server, with titles, and the board that is shown stays."""
    server.boards = {"new": "Newcomers", "stocks": "US stocks"}
    server.say(type="boards", boards=["new", "stocks"])
    expect(titles(dashboard)).to_have_text(["Newcomers", "US stocks"], timeout=SOON)
    expect(dashboard.locator("h1")).to_have_text("US stocks")
    expect(state(dashboard)).to_have_text("Live")


def test_a_board_is_kept_though_the_address_names_none(page: Page, server: ScriptedServer) -> None:
    """Another first board is not shown in place of the one that is read."""
    page.goto(SITE)
    expect(page.locator("h1")).to_have_text("US stocks")
    server.boards = {"new": "Newcomers", **BOARDS}
    server.say(type="boards", boards=["new", *BOARDS])
    expect(titles(page)).to_have_text(["Newcomers", "US stocks", "Coins"], timeout=SOON)
    expect(page.locator("h1")).to_have_text("US stocks")


def test_a_removed_board_says_so_and_comes_back(dashboard: Page, server: ScriptedServer) -> None:
    """Its rows stay and look old, other boards are offered; back again, it is live by itself."""
    del server.boards["stocks"]
    server.say(type="error", code="unknown_board", board="stocks", message="removed")
    server.say(type="boards", boards=["coins"])
    expect(state(dashboard)).to_have_text("The board US stocks is no longer there")
    expect(dashboard.locator("#announcer")).to_have_text("The board US stocks is no longer there")
    expect(dashboard.locator("main")).to_have_attribute("data-live", "no")
    expect(dashboard.locator("tbody tr")).to_have_count(2)
    others = dashboard.get_by_role("list", name="Other boards")
    expect(others.get_by_role("link")).to_have_text(["Coins"])
    server.boards["stocks"] = "US stocks, new"
    server.say(type="boards", boards=["coins", "stocks"])
    expect(state(dashboard)).to_have_text("Live")
    expect(others).to_be_hidden()
    expect(dashboard.locator("h1")).to_have_text("US stocks, new")
    expect(dashboard.locator("#empty")).to_have_text("")
    assert server.subscribes("stocks") == 1


def test_a_board_that_is_not_there_yet_is_shown_when_it_comes(
    page: Page, server: ScriptedServer
) -> None:
    """The page that was opened too early needs no reload."""
    page.goto(f"{SITE}#/soon")
    expect(state(page)).to_have_text("There is no board named soon")
    server.boards["soon"] = "Soon"
    server.say(type="boards", boards=[*server.boards])
    expect(page.locator("tbody tr")).to_have_count(2)
    expect(state(page)).to_have_text("Live")


# -- snapshots that come unasked


def test_other_columns_and_title_come_on_the_same_link(
    dashboard: Page, server: ScriptedServer
) -> None:
    """Head, cells, lines, drawer and title follow, without a new connection."""
    dashboard.goto(f"{SITE}#/stocks/AAPL")
    drawer = dashboard.locator(".drawer")
    expect(drawer).to_contain_text("190.00")
    columns = [
        {"field": "bid", "label": "Bid", "kind": "price"},
        {"field": "size", "label": "Size", "kind": "volume"},
    ]
    rows = {"AAPL": {"bid": 7.5, "size": 30}, "NEW": {"bid": 9.0, "size": 1}}
    server.snapshot(title="Bids", columns=columns, rows=rows)
    heads = dashboard.locator("thead th .label")
    expect(heads).to_have_text(["Symbol", "Bid", "Size"])
    expect(dashboard.locator("tbody .symbol")).to_have_text(["AAPL", "NEW"])
    expect(dashboard.locator("tbody tr").first.locator(".figure")).to_have_text(["7.50", "30"])
    expect(dashboard.locator("h1")).to_have_text("Bids")
    expect(titles(dashboard).first).to_have_text("Bids")
    expect(drawer.locator(".price")).to_have_text("7.50")
    expect(drawer.locator(".readout")).to_contain_text("7.50")
    line = dashboard.locator("tbody tr").first.locator(".sparkline path")
    assert "L" not in (line.get_attribute("d") or ""), "no line from one field to another"
    again = "symbols=AAPL&symbols=NEW&points=60"
    eventually(dashboard, lambda: again in server.histories)
    assert len(server.links) == 1


def test_another_layout_comes_on_the_same_link(dashboard: Page, server: ScriptedServer) -> None:
    """Quotes become scores, and quotes again."""
    server.snapshot(layout="scores", columns=[], rows={"G": GAME}, title="Games")
    expect(dashboard.locator(".card .team")).to_have_text(["Ashford", "Brackley"])
    expect(dashboard.locator("table.quotes")).to_have_count(0)
    server.snapshot()
    expect(dashboard.locator("tbody .symbol")).to_have_text(["AAPL", "MSFT"])
    assert len(server.links) == 1


def test_a_frame_follows_a_snapshot_that_comes_unasked(page: Page, server: ScriptedServer) -> None:
    """Also an embedded table has other columns, title and layout then."""
    page.goto(f"{SITE}embed/table?board=stocks")
    expect(page.locator("tbody tr")).to_have_count(2)
    columns = [{"field": "bid", "label": "Bid", "kind": "price"}]
    server.snapshot(title="Bids", columns=columns, rows={"AAPL": {"bid": 7.5}})
    expect(page.locator("thead th")).to_have_text(["Symbol", "Bid"])
    expect(page.locator("tbody .figure")).to_have_text(["7.50"])
    expect(page.get_by_role("table", name="Bids")).to_be_visible()
    server.snapshot(layout="scores", columns=columns, rows={"G": {**GAME, "bid": 7.5}})
    expect(page.locator("thead th")).to_have_text(["Game", "Bid"])
    server.snapshot(layout="scores", columns=[], rows={"G": GAME}, title="Games")
    expect(page.locator("thead th")).to_have_text(["Game", "Stands"])
    server.snapshot(layout="quotes")
    expect(page.locator("thead th")).to_have_text(["Symbol", "Last"])
    assert len(server.links) == 1


def test_a_frame_says_that_its_board_is_gone_until_it_is_back(
    page: Page, server: ScriptedServer
) -> None:
    """In words, and its rows look old meanwhile."""
    page.goto(f"{SITE}embed/table?board=stocks")
    expect(page.locator("tbody tr")).to_have_count(2)
    server.say(type="error", code="unknown_board", board="stocks", message="removed")
    expect(page.locator(".words .state")).to_have_text("The board US stocks is no longer there")
    expect(page.locator("html")).to_have_attribute("data-live", "no")
    server.say(type="boards", boards=["stocks"])
    expect(page.locator(".words .state")).to_have_text(re.compile("^as of"))
    expect(page.locator("html")).to_have_attribute("data-live", "yes")


def test_a_wall_follows_what_boards_there_are(page: Page, server: ScriptedServer) -> None:
    """It turns away from a board that is gone, takes new layouts, and shows notices."""
    page.goto(f"{SITE}?kiosk&seconds=600")
    expect(page.locator(".wall-title")).to_have_text("US stocks", timeout=SOON)
    server.snapshot(layout="scores", columns=[], rows={"G": GAME}, title="Games")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".wall-title")).to_have_text("Games")
    server.say(type="notice", id="a", text="Maintenance at 18:00", level="info")
    expect(page.locator(".wall-notes")).to_have_text("Maintenance at 18:00")
    del server.boards["stocks"]
    server.say(type="error", code="unknown_board", board="stocks", message="removed")
    server.say(type="boards", boards=["coins"])
    expect(page.locator(".wall-title")).to_have_text("Coins", timeout=SOON)
    assert len(server.links) == 1


# -- notices


def notices(page: Page) -> Any:
    """Return the texts of the notices."""
    return page.locator(".notice-words")


def notice(server: ScriptedServer, name: str, text: str | None, **more: Any) -> None:
    """Tell the viewers something."""
    server.say(type="notice", id=name, text=text, **{"level": "info", "at": NOW, **more})


def test_notices_come_change_and_go(dashboard: Page, server: ScriptedServer) -> None:
    """Warnings are alerts, all else is a status; text is text; what is withdrawn goes."""
    notice(server, "a", "<b>Maintenance</b> at 18:00")
    notice(server, "w", "Prices are late", level="warning")
    expect(notices(dashboard)).to_have_text(["Prices are late", "<b>Maintenance</b> at 18:00"])
    expect(dashboard.get_by_role("alert")).to_have_text(re.compile("Warning.*Prices are late"))
    expect(dashboard.locator("#notices[role=status]")).to_contain_text("Maintenance")
    notice(server, "a", "Maintenance at 19:00")
    expect(notices(dashboard)).to_have_text(["Prices are late", "Maintenance at 19:00"])
    notice(server, "w", None)
    expect(notices(dashboard)).to_have_text(["Maintenance at 19:00"])


def test_a_notice_is_only_for_its_board(dashboard: Page, server: ScriptedServer) -> None:
    """It is shown where it belongs."""
    notice(server, "a", "About coins", board="coins")
    notice(server, "b", "About all")
    expect(notices(dashboard)).to_have_text(["About all"])
    titles(dashboard).get_by_text("Coins").click()
    expect(notices(dashboard)).to_have_text(["About all", "About coins"])


def test_a_dismissed_notice_stays_away(dashboard: Page, server: ScriptedServer) -> None:
    """Also after a reload; the focus goes on to the next one."""
    for name in "abcdefg":
        notice(server, name, name * 3)
    expect(notices(dashboard)).to_have_text(["ggg", "fff", "eee", "ddd", "ccc"])
    dismiss = dashboard.get_by_role("button", name="Dismiss this notice")
    dismiss.first.press("Enter")
    expect(notices(dashboard)).to_have_text(["fff", "eee", "ddd", "ccc", "bbb"])
    expect(dismiss.first).to_be_focused()
    dashboard.reload()
    expect(dashboard.locator("tbody tr")).to_have_count(2)
    for name in "fg":
        notice(server, name, name * 3)
    expect(notices(dashboard)).to_have_text(["fff"])


def test_a_notice_ends_by_the_clock_of_the_server(dashboard: Page, server: ScriptedServer) -> None:
    """The page's own clock is far from it."""
    notice(server, "over", "over", until=NOW - 1)
    notice(server, "soon", "soon", until=NOW + 60_000)
    notice(server, "on", "on")
    expect(notices(dashboard)).to_have_text(["on", "soon"])
    notice(server, "soon", "soon", until=NOW + 1)
    expect(notices(dashboard)).to_have_text(["on"])


def test_notices_move_no_row(new_page: NewPage) -> None:
    """On a phone and on a wide screen rows stay where they are, and nothing is too wide."""
    for viewport in (PHONE, {"width": 1280, "height": 800}):
        page = new_page(viewport=viewport)
        server = ScriptedServer(page, dict(BOARDS))
        page.goto(f"{SITE}#/stocks")
        first = page.locator("tbody tr").first
        expect(first).to_be_visible()
        before = first.bounding_box()
        for name in "abcdef":
            notice(server, name, "word " * 60 + "x" * 100)
        expect(notices(page)).to_have_count(5)
        assert first.bounding_box() == before
        assert page.evaluate(OVERFLOW) <= 0
        said = page.locator(".said").bounding_box()
        assert said
        assert said["height"] <= 0.4 * viewport["height"] + 1


# -- access


def test_the_token_of_the_address_is_taken_kept_and_used(
    page: Page, server: ScriptedServer
) -> None:
    """It leaves the address, goes to socket and API, and lasts over a reload."""
    page.goto(f"{SITE}?token=s3cret&q=A#/stocks")
    expect(page.locator("tbody tr")).to_have_count(1)
    expect(page).to_have_url(f"{SITE}?q=A#/stocks")
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(1)
    eventually(page, lambda: [path for path, _ in server.asked].count("api/boards") == 2)
    assert all("token=s3cret" in link for link in server.links)
    bearers = {h.get("authorization") for path, h in server.asked if path.startswith("api/")}
    assert bearers == {"Bearer s3cret"}
    assert not any("authorization" in h for path, h in server.asked if path == "app.js")


@pytest.mark.parametrize("refusal", ["HTTP 401", "HTTP 403", "close 4501"])
def test_without_access_the_page_says_so_once(
    page: Page, server: ScriptedServer, complaints: Complaints, refusal: str
) -> None:
    """In plain words, and it does not try again and again."""
    if refusal == "close 4501":
        server.refusal = 4501
    else:
        server.answers["api/boards"] = (int(refusal[-3:]), {"detail": "no"})
    page.goto(SITE)
    advice = page.locator("#empty")
    expect(advice).to_contain_text("ask for a new one")
    expect(state(page)).to_have_text("Access is needed")
    links, asked = len(server.links), len(server.asked)
    page.clock.install()
    page.clock.fast_forward(600_000)
    expect(advice).to_contain_text("ask for a new one")
    assert (len(server.links), len(server.asked)) == (links, asked)
    complaints.clear()  # the browser tells of each refused request


def test_a_wall_without_access_says_so_once(page: Page, server: ScriptedServer) -> None:
    """It turns no page, which would connect again, and does not load itself again."""
    page.clock.install()
    page.goto(f"{SITE}?kiosk&seconds=5")
    expect(page.locator(".wall-title")).to_have_text("US stocks", timeout=SOON)
    server.refusal = 4501
    server.close(4501)
    expect(page.locator(".wall-words")).to_have_text(re.compile("^Access is needed"))
    page.clock.run_for(120_000)
    expect(page.locator(".wall-words")).to_have_text(re.compile("^Access is needed"))
    assert len(server.links) == 1
    assert [path for path, _ in server.asked].count("") == 1


def test_a_token_that_ends_leaves_rows_that_look_old(
    dashboard: Page, server: ScriptedServer
) -> None:
    """What was seen may be seen; that it is old is said."""
    server.refusal = 4501
    server.close(4501)
    expect(state(dashboard)).to_have_text("Access is needed")
    expect(dashboard.locator("tbody tr")).to_have_count(2)
    expect(dashboard.locator("main")).to_have_attribute("data-live", "no")


@pytest.mark.parametrize(
    ("code", "words"),
    [(4502, "an operator of the server ended"), (4503, "a limit of the server is reached")],
)
def test_final_closes_have_words(
    dashboard: Page, server: ScriptedServer, code: int, words: str
) -> None:
    """They say why, and a button connects again."""
    server.close(code)
    expect(state(dashboard)).to_have_text(re.compile(f"^Closed: {words}"))
    dashboard.get_by_role("button", name="Reconnect").click()
    expect(state(dashboard)).to_have_text("Live")
    assert len(server.links) == 2


@pytest.mark.parametrize("code", [4000, 4003])
def test_planned_closes_do_not_alarm(dashboard: Page, server: ScriptedServer, code: int) -> None:
    """The page says calmly that it comes back, and does, within the time it was given."""
    server.say(type="goodbye", code=code, retry=[1, 2])
    server.close(code)
    expect(state(dashboard)).to_have_text(re.compile("^Reconnecting in [12] s"))
    expect(dashboard.locator("#announcer")).to_have_text(re.compile("^Reconnecting: the server"))
    expect(state(dashboard)).to_have_text("Live", timeout=SOON)
    assert len(server.links) == 2


def test_columns_of_the_script_are_those_of_the_page(dashboard: Page) -> None:
    """The script of these tests shows what it says it does."""
    expect(dashboard.locator("thead th .label")).to_have_text(["Symbol", COLUMNS[0]["label"]])
