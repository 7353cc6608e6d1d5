"""Alerts from the key that sets one to the words that tell it, in the real page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import Complaints, RunningServer, ScriptedSource
from .test_page import GAMES, QUOTES, SOON, eventually, row, show

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]

# Tabs that hold the lock of who tells, or wait for it.
HELD = """navigator.locks.query().then(({held, pending}) => [...held, ...pending].length)"""
# Whether this tab holds it and another one waits. A lock of its own tells which tab this is.
TELLS = """new Promise((done) => navigator.locks.request("me", async () => {
    const {held, pending} = await navigator.locks.query();
    const tabs = (locks, wanted) =>
        locks.filter(({name}) => name === wanted).map(({clientId}) => clientId);
    const [me] = tabs(held, "me");
    const [holder] = tabs(held, "ticker.alerts");
    done(holder === me && tabs(pending, "ticker.alerts").some((waiting) => waiting !== me));
}))"""
TOLD = "AAPL rose above 191.00: 192.50"


@pytest.fixture
def prices(source: Source) -> ScriptedSource:
    """Return a source with two prices."""
    return source([row("AAPL", 190.0), row("MSFT", 411.0)])


@pytest.fixture
def dashboard(serve: Serve, prices: ScriptedSource, page: Page) -> Page:
    """Return the dashboard of a server with a board of those prices and one of games."""
    feeds = {"nyse": prices.feed(), "league": {**GAMES, "speed": 1}}
    boards = {
        "stocks": {**QUOTES, "title": "US stocks", "feeds": ["nyse"]},
        "games": {"title": "Tonight", "layout": "scores", "feeds": ["league"]},
    }
    server = serve(feeds, boards)
    server.wait_for("readyz")
    page.goto(f"{server.url}#/stocks")
    expect(page.locator("tbody tr").first).to_be_visible(timeout=SOON)
    return page


def set_alert(page: Page, level: str) -> None:
    """Set an alert at a level for the first row, by keyboard, and leave the dialog."""
    page.locator("tbody tr").first.locator("[tabindex='0'], a, button").first.focus()
    page.keyboard.press("a")
    field = page.get_by_label("Tell me when the price reaches")
    expect(field).to_be_focused()
    field.fill(level)
    page.keyboard.press("Enter")
    items = page.get_by_role("dialog").locator("li")
    expect(items.filter(has_text=f"rises to {float(level):.2f}")).to_have_count(1)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)


def messages(page: Page) -> Any:
    """Return the messages that are shown."""
    return page.locator(".toast p")


def rise(prices: ScriptedSource, last: float) -> None:
    """Let the price of AAPL be another."""
    prices.rows = [row("AAPL", last), row("MSFT", 411.0)]


def subscribed(sent: list[dict[str, Any]]) -> set[str]:
    """Return the boards that are subscribed after some messages of a page opened at `stocks`."""
    boards = {"stocks"}  # by the address of the connection
    for message in sent:
        if message["type"] == "subscribe":
            boards.add(message["board"])
        elif message["type"] == "unsubscribe":
            boards.discard(message["board"])
    return boards


def wait_for_price(page: Page, text: str) -> None:
    """Wait until the page shows a price."""
    expect(page.locator("tbody tr").first.locator("td.kind-price .figure").first).to_have_text(
        text, timeout=SOON
    )


def test_an_alert_is_told_once(dashboard: Page, prices: ScriptedSource) -> None:
    """A level set by keyboard is told when the price is there, counted while hidden, once."""
    set_alert(dashboard, "191")
    show(dashboard, "hidden")
    rise(prices, 192.5)
    expect(messages(dashboard)).to_have_text([TOLD], timeout=SOON)
    expect(dashboard).to_have_title("(1) US stocks – ticker")
    for last in (190.0, 193.0):
        rise(prices, last)
        wait_for_price(dashboard, f"{last:.2f}")
    expect(messages(dashboard)).to_have_text([TOLD])


def test_the_dialog_and_what_tells_know_the_same_alerts(dashboard: Page) -> None:
    """Alerts of the dashboard are listed by the dialog that is opened next, also after a reload."""
    set_alert(dashboard, "191")
    dashboard.reload()
    expect(dashboard.locator("tbody tr").first).to_be_visible(timeout=SOON)
    dashboard.locator("tbody tr").first.locator("[tabindex='0'], a, button").first.focus()
    dashboard.keyboard.press("a")
    items = dashboard.get_by_role("dialog").locator("li")
    expect(items).to_contain_text(["AAPL rises to 191.00"])


def test_an_alert_that_cannot_be_shown_is_not_counted_as_told(
    dashboard: Page, prices: ScriptedSource, complaints: Complaints
) -> None:
    """Without the part that shows messages an alert waits, and the next page tells it."""
    dashboard.route("**/toasts.js", lambda route: route.abort())
    set_alert(dashboard, "191")
    rise(prices, 192.5)
    wait_for_price(dashboard, "192.50")
    dashboard.unroute_all()
    dashboard.reload()
    expect(messages(dashboard)).to_have_text([TOLD], timeout=SOON)
    complaints[:] = [text for text in complaints if "ERR_FAILED" not in text]


def test_a_board_is_let_go_with_its_last_alert(dashboard: Page, prices: ScriptedSource) -> None:
    """A board elsewhere is watched while it has alerts; the board that is shown always is."""
    sent: list[dict[str, Any]] = []
    dashboard.on(
        "websocket",
        lambda socket: socket.on("framesent", lambda text: sent.append(json.loads(text))),
    )
    dashboard.reload()
    expect(dashboard.locator("tbody tr").first).to_be_visible(timeout=SOON)
    set_alert(dashboard, "191")
    dashboard.goto(dashboard.url.replace("#/stocks", "#/games"))
    eventually(dashboard, lambda: subscribed(sent) == {"stocks", "games"})
    rise(prices, 192.5)
    expect(messages(dashboard)).to_have_text([TOLD], timeout=SOON)
    eventually(dashboard, lambda: subscribed(sent) == {"games"})


def test_of_several_tabs_one_tells(
    dashboard: Page, prices: ScriptedSource, complaints: Complaints
) -> None:
    """The tab that was looked at last tells; when it is closed, another one does."""
    other = dashboard.context.new_page()
    complaints.watch(other)
    other.goto(dashboard.url)
    expect(other.locator("tbody tr").first).to_be_visible(timeout=SOON)
    set_alert(other, "191")
    eventually(other, lambda: dashboard.evaluate(HELD) == 2)
    show(dashboard, "visible")
    eventually(other, lambda: dashboard.evaluate(TELLS))
    rise(prices, 192.5)
    expect(messages(dashboard)).to_have_text([TOLD], timeout=SOON)
    wait_for_price(other, "192.50")
    assert messages(other).count() == 0
    set_alert(other, "200")
    dashboard.close()
    rise(prices, 201.0)
    expect(messages(other)).to_have_text(["AAPL rose above 200.00: 201.00"], timeout=SOON)


def test_without_locks_every_tab_tells(dashboard: Page, prices: ScriptedSource) -> None:
    """Pages without https have no locks: an alert that is told twice beats one that is not."""
    dashboard.add_init_script("Object.defineProperty(navigator, 'locks', {value: undefined});")
    dashboard.reload()
    expect(dashboard.locator("tbody tr").first).to_be_visible(timeout=SOON)
    set_alert(dashboard, "191")
    rise(prices, 192.5)
    expect(messages(dashboard)).to_have_text([TOLD], timeout=SOON)
