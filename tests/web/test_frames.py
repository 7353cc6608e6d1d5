"""Other sites in a real browser: who may frame embedded boards and import the page's modules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import Page, expect

from tests.support import QUIET, Running, serving, source
from tests.web.conftest import Complaints

SOON = 10_000.0
QUIETLY = QUIET.format(heartbeat="5s", stall="20s", viewers=100, presence="0s")

NewPage = Callable[..., Page]


@dataclass
class Sites:
    """A server of boards, and pages of another site that frame it and import from it."""

    server: Running
    friend: str
    stranger: str


@pytest.fixture(scope="module")
def sites() -> Iterator[Sites]:
    """Return a server and one site under two names, of which the config knows only the first."""
    with source() as site:
        friend = site.url.replace("127.0.0.1", "localhost")
        config = QUIETLY.replace("{heartbeat", f"{{origins: ['{friend}'], heartbeat")
        with serving(config) as server:
            for name, path in (("/embedded", "/embed/tape"), ("/dashboard", "/")):
                frame = f'<!doctype html><title>host</title><iframe src="{server.url}{path}">'
                site.say(name, frame.encode(), Content_Type="text/html")
            site.say("/favicon.ico", b"")
            site.say("/empty", b"<!doctype html><title>host</title>", Content_Type="text/html")
            yield Sites(server, friend, site.url)


def test_a_named_site_frames_an_embedded_board(sites: Sites, page: Page) -> None:
    """Its content is seen, and nothing is complained about."""
    page.goto(f"{sites.friend}/embedded")
    expect(page.frame_locator("iframe").locator("body")).not_to_be_empty(timeout=SOON)
    assert page.frames[1].url == f"{sites.server.url}/embed/tape"


@pytest.mark.parametrize(("site", "path"), [("friend", "/dashboard"), ("stranger", "/embedded")])
def test_nothing_else_is_framed(
    sites: Sites, page: Page, complaints: Complaints, site: str, path: str
) -> None:
    """Neither the dashboard, where a click could be stolen, nor anything by a stranger."""
    with page.expect_console_message(lambda said: "frame-ancestors" in said.text):
        page.goto(getattr(sites, site) + path)
    complaints.clear()


def test_a_named_site_imports_modules_and_reads_boards(sites: Sites, page: Page) -> None:
    """With what a module imports itself, from the address that is kept."""
    url = sites.server.url
    store = next(path for path in sites.server.ticker.page._kept if path.endswith("/store.js"))
    page.goto(f"{sites.friend}/empty")
    assert page.evaluate(f"import('{url}/{store}').then(m => typeof m.BoardStore)") == "function"
    read = f"fetch('{url}/api/boards').then(r => r.json()).then(b => b.boards.length)"
    assert page.evaluate(read) == 2


def test_a_stranger_reads_nothing(sites: Sites, page: Page, complaints: Complaints) -> None:
    """The browser keeps the answer from its scripts."""
    page.goto(f"{sites.stranger}/empty")
    read = f"fetch('{sites.server.url}/api/boards').then(() => 'read', () => 'refused')"
    assert page.evaluate(read) == "refused"
    complaints.clear()
