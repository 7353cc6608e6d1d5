"""The page for who runs the server, with answers that the test writes."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .axe import axe_core, found
from .conftest import Complaints, RunningServer
from .scripted import SITE, ScriptedServer
from .test_page import OVERFLOW, PRICES, run_stocks, show

NewPage = Callable[..., Page]
Serve = Callable[..., RunningServer]

NOW = 1_763_629_000_123
MINUTE = 60_000


def feed(quality: str, **more: Any) -> dict[str, Any]:
    """Return a feed as ``/api/feeds`` tells it."""
    facts = {"kind": "poll", "every": 5000, "quality": quality, "why": None, "since": NOW - MINUTE}
    health = {"last_success": NOW - 3000, "duration": 48.2, "failures": 0, "skipped": 0}
    return {**facts, **health, "rejected": 0, "rejected_now": 0, "rejections": [], **more}


CALM: dict[str, Any] = {
    "version": "1.2.3",
    "started": NOW - 26 * 60 * MINUTE,
    "now": NOW,
    "config": {
        "loaded_at": NOW - 60 * MINUTE,
        "ok": True,
        "error": None,
        "tried_at": NOW - 60 * MINUTE,
        "reloads": 2,
        "failures": 0,
        "pending": [],
    },
    "viewers": {"now": 1234, "most": 5000, "live": 1200, "lagging": 4, "paused": 30, "boards": {}},
    "closed": {"too_slow": 3, "rotated": 120},
    "boards": [
        {"name": "stocks", "title": "US stocks", "rows": 500, "quality": "live", "viewers": 1200},
        {"name": "coins", "title": "Coins", "rows": 20, "quality": "delayed", "viewers": 34},
    ],
    "feeds": {"coins": feed("delayed"), "nyse": feed("live")},
    "loop_lag": {"p50": 0.4, "p99": 3.1, "max": 12.0},
    "ready": {"status": "ready", "waiting": {}},
    "something": {"of": "a later version"},
}
ERROR = "config.yaml:12:3: feeds.nyse.every: expected a duration such as 5s, got <b>fast</b>"
REJECTION = "row 7: field last: expected a number, got 'n/a'"
TROUBLE: dict[str, Any] = {
    **CALM,
    "config": {
        **CALM["config"],
        "ok": False,
        "error": ERROR,
        "failures": 3,
        "pending": ["server.port"],
    },
    "feeds": {
        **CALM["feeds"],
        "tokyo": feed(
            "down",
            why="HTTP 503 Service Unavailable",
            failures=9,
            last_success=NOW - 20 * MINUTE,
            rejected=12,
            rejected_now=2,
            rejections=[REJECTION],
        ),
        "x" * 64: feed("stale", why="no reading for 20 s " + "y" * 200),
    },
    "ready": {"status": "waiting", "waiting": {"tokyo": "feed tokyo: not read yet"}},
}
STATUS = TROUBLE


@pytest.fixture
def server(page: Page) -> ScriptedServer:
    """Return a server that is well."""
    server = ScriptedServer(page, {})
    server.answers["api/status"] = (200, copy.deepcopy(CALM))
    return server


def verdict(page: Page) -> Any:
    """Return the line that says whether everything is well."""
    return page.locator("#verdict .words")


def fact(page: Page, part: str, label: str) -> Any:
    """Return the words of a fact."""
    line = page.locator(f"#{part} div").filter(has=page.get_by_text(label, exact=True))
    return line.locator("dd")


def asked(server: ScriptedServer) -> int:
    """Return how often the page has asked."""
    return sum(path == "api/status" for path, _ in server.asked)


def test_it_says_first_that_all_is_well(page: Page, server: ScriptedServer) -> None:
    """Then what is known of each part, as words and figures."""
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text("All is well")
    expect(page.locator("#causes li")).to_have_count(0)
    expect(page.locator("#feeds .name-words")).to_have_text(["coins", "nyse"])
    expect(page.locator("#feeds .quality")).to_have_text(["◔ delayed", "✓ live"])
    expect(page.locator("#feeds > li").last).to_contain_text(re.compile("Last success.*3 s ago"))
    expect(page.locator("#boards tr").first).to_have_text("US stocks✓ live5001,200")
    expect(fact(page, "config", "Error")).to_have_text("none")
    expect(fact(page, "viewers", "Now")).to_have_text("1,234")
    expect(fact(page, "closed", "rotated")).to_have_text("120")
    expect(fact(page, "program", "Version")).to_have_text("1.2.3")


BUS: dict[str, Any] = {
    "process": "a1",
    "poller": "b2",
    "why": None,
    "age": 120,
    "feeds": {"poller": "b2", "age": 400},
    "members": [
        {
            "id": name,
            "host": f"<i>{name}</i>",
            "pid": 4711,
            "version": "1.2.3",
            "ready": True,
            "draining": False,
            "poller": name == "b2",
            "viewers": 600,
            "same_config": name == "a1",
            "same_version": True,
            "up": 3 * MINUTE,
        }
        for name in ("a1", "b2")
    ],
}


def test_it_tells_of_the_other_processes(page: Page, server: ScriptedServer) -> None:
    """Where there are any: who reads the feeds, who differs; in words, whatever is in them."""
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text("All is well")
    expect(page.locator("#bus-part")).to_be_hidden()
    server.answers["api/status"] = (200, {**CALM, "bus": BUS})
    page.reload()
    expect(verdict(page)).to_have_text("One thing needs attention")
    expect(page.locator("#causes li")).to_have_text(["Process <i>b2</i>, 4711 has another config"])
    rows = page.locator("#members tr")
    expect(rows).to_have_count(2)
    expect(rows.first).to_contain_text("✓ ready, this one")
    expect(rows.last).to_contain_text("! ready, reads the feeds, another config")
    expect(fact(page, "bus", "Bus")).to_have_text("followed")
    axe = axe_core()
    if axe is not None:
        assert found(page, axe) == []
    page.set_viewport_size({"width": 360, "height": 800})
    assert page.evaluate(OVERFLOW) <= 0


def test_it_names_all_that_needs_attention(page: Page, server: ScriptedServer) -> None:
    """Errors are told as text, whatever is in them, and feeds in trouble stand first."""
    server.answers["api/status"] = (200, TROUBLE)
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text("5 things need attention")
    causes = page.locator("#causes")
    for words in (
        ERROR,
        "server.port counts only after a restart",
        "tokyo: down",
        "feed tokyo: not read yet",
    ):
        expect(causes).to_contain_text(words)
    expect(fact(page, "config", "Error")).to_have_text(ERROR)
    expect(page.locator("#feeds .quality .word")).to_have_text(["down", "stale", "delayed", "live"])
    first = page.locator("#feeds > li").first
    expect(first).to_contain_text("12, 2 of the last reading")
    notes = ["HTTP 503 Service Unavailable", REJECTION]
    expect(first.locator(".feed-notes li")).to_have_text(notes)


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"config": None, "viewers": 3, "boards": {}, "feeds": [], "closed": "x", "loop_lag": []},
        {"boards": [None, {}], "feeds": {"a": None}, "now": "noon", "ready": "yes"},
    ],
)
def test_what_is_missing_is_a_dash(page: Page, server: ScriptedServer, status: Any) -> None:
    """A server that says less, or other things, breaks nothing, and is not taken to be well."""
    server.answers["api/status"] = (200, status)
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text(re.compile("attention"))
    expect(fact(page, "config", "Loaded")).to_have_text("–")
    expect(fact(page, "viewers", "At most")).to_have_text("–")
    expect(page.locator("#program")).to_contain_text("– typical")


def test_it_reads_again_and_rests_while_hidden(page: Page, server: ScriptedServer) -> None:
    """Every five seconds; not while nobody looks; at once when somebody does again."""
    page.clock.install()
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text("All is well")
    server.answers["api/status"] = (200, TROUBLE)
    page.clock.run_for(5_000)
    expect(verdict(page)).to_have_text("5 things need attention")
    seen = asked(server)
    show(page, "hidden")
    page.clock.run_for(60_000)
    assert asked(server) <= seen + 1, "one may have been under way"
    server.answers["api/status"] = (200, CALM)
    show(page, "visible")
    expect(verdict(page)).to_have_text("All is well")


def test_a_token_is_asked_for_kept_and_sent(
    page: Page, server: ScriptedServer, complaints: Complaints
) -> None:
    """Where the server wants one; a wrong one is said to be wrong; without one nothing is asked."""
    server.answers["api/status"] = (401, {})
    page.clock.install()
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text("A token is needed")
    page.clock.run_for(60_000)
    assert asked(server) == 1
    field = page.get_by_label("Token for this page")
    field.fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_have_text("This token is not accepted")
    server.answers["api/status"] = (200, CALM)
    field.fill("right")
    page.get_by_role("button", name="Show the status").click()
    expect(verdict(page)).to_have_text("All is well")
    expect(field).to_be_hidden()
    page.reload()
    expect(verdict(page)).to_have_text("All is well")
    bearers = [h.get("authorization") for path, h in server.asked if path == "api/status"]
    assert bearers == [None, "Bearer wrong", "Bearer right", "Bearer right"]
    complaints.clear()  # the browser tells of each refused request


@pytest.mark.parametrize("status", [404, 500])
def test_a_server_that_does_not_tell_is_not_well(
    page: Page, server: ScriptedServer, complaints: Complaints, status: int
) -> None:
    """What was seen before stays, looks old, and is read again."""
    page.clock.install()
    page.goto(f"{SITE}status")
    expect(verdict(page)).to_have_text("All is well")
    server.answers["api/status"] = (status, {})
    page.clock.run_for(5_000)
    expect(verdict(page)).to_contain_text(f"HTTP {status}")
    expect(page.locator("#report")).to_have_attribute("data-old", "yes")
    expect(page.locator("#feeds > li")).to_have_count(2)
    server.answers["api/status"] = (200, CALM)
    page.clock.run_for(5_000)
    expect(verdict(page)).to_have_text("All is well")
    complaints.clear()  # the browser tells of each refused request


def test_a_server_has_it_among_its_files(serve: Serve, page: Page, complaints: Complaints) -> None:
    """At its short address, as it is sent: joined, minified, below the server's own policy."""
    page.goto(f"{run_stocks(serve, PRICES).url}status")
    expect(page.locator("#verdict")).to_have_attribute("data-kind", re.compile("."))
    assert page.locator("script[src*='/static/']").count() == 1
    complaints[:] = [words for words in complaints if "404" not in words]


def test_it_fits_a_phone(new_page: NewPage) -> None:
    """Nothing is wider than a narrow screen, however long names and errors are."""
    page = new_page(viewport={"width": 360, "height": 640})
    server = ScriptedServer(page, {})
    server.answers["api/status"] = (200, TROUBLE)
    page.goto(f"{SITE}status")
    expect(page.locator("#feeds > li")).to_have_count(4)
    assert page.evaluate(OVERFLOW) <= 0


@pytest.mark.parametrize("status", [CALM, TROUBLE, None], ids=["calm", "trouble", "token"])
def test_axe_finds_nothing(
    page: Page, server: ScriptedServer, complaints: Complaints, status: Any
) -> None:
    """No rule of axe-core is broken, whatever the scheme and the width."""
    axe = axe_core()
    if axe is None:
        missing = "axe-core is not installed"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    server.answers["api/status"] = (401 if status is None else 200, status)
    page.goto(f"{SITE}status")
    expect(verdict(page)).not_to_have_text("Reading…")
    violations = found(page, axe)
    assert not violations, "\n".join(violations)
    complaints.clear()
