"""Boards on other people's pages: the client and its example, the tape and the table for frames."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from .conftest import ROOT, Complaints, RunningServer, ScriptedSource
from .test_page import OVERFLOW, PRICES, SOON, rising, row, stocks

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
