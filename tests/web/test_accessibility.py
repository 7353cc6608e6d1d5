"""What axe-core finds on the page: nothing, in every state, scheme and width."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .axe import axe_core, found
from .conftest import Complaints, RunningServer, ScriptedSource

Serve = Callable[..., RunningServer]
Source = Callable[[Any], ScriptedSource]

SOON = 10_000
ROWS = {"quotes": ".quotes tbody tr", "scores": ".card"}

QUOTES = [
    {
        "symbol": f"SYM{i}",
        "name": f"Company {i}",
        "last": 100.5 + i,
        "change": i - 2.0,
        "change_pct": (i - 2.0) / 10,
        "volume": 1_000 * i,
    }
    for i in range(5)
]
GAMES = [
    {
        "symbol": f"game{i}",
        "home": f"Home {i}",
        "away": f"Away {i}",
        "home_score": i,
        "away_score": 1,
        "status": status,
        "period": 2,
        "clock": "12:30",
        "league": "League",
        "last_event": "Goal",
        "periods": [[0, 1], [i, 0]],
    }
    for i, status in enumerate(["live", "break", "scheduled", "final", "postponed"])
]


@dataclass
class Scene:
    """A page on a board, and what stands behind it."""

    page: Page
    server: RunningServer
    source: ScriptedSource


def live(scene: Scene) -> None:
    """Nothing is wrong."""
    expect(scene.page.locator("#state")).to_have_attribute("data-kind", "live")


def paused(scene: Scene) -> None:
    """The reader has pressed Pause."""
    scene.page.get_by_role("button", name="Pause").click()
    expect(scene.page.locator("#state")).to_have_attribute("data-kind", "paused")


def stale(scene: Scene) -> None:
    """The source fails: its rows are old."""
    scene.source.status = 503
    stale = scene.page.locator("[data-quality=stale]")
    expect(stale).not_to_have_count(0, timeout=SOON)


def reconnecting(scene: Scene) -> None:
    """The server is gone."""
    scene.server.stop()
    state = scene.page.locator("#state")
    expect(state).to_have_attribute("data-kind", "waiting", timeout=SOON)


def empty(scene: Scene) -> None:
    """The source answers, and has nothing; the server begins anew, as games that are over stay."""
    scene.source.rows = []
    scene.server.stop()
    scene.server.start()
    scene.page.get_by_role("button", name="Reconnect").click()
    expect(scene.page.locator("#empty")).to_contain_text("No rows yet", timeout=SOON)


def settings(scene: Scene) -> None:
    """The settings are open."""
    opened(scene, "Settings")


def help_(scene: Scene) -> None:
    """The help is open."""
    opened(scene, "Help")


def columns(scene: Scene) -> None:
    """The view of the board is being chosen."""
    opened(scene, "View")


def details(scene: Scene) -> None:
    """The drawer shows a row in full."""
    symbol = scene.source.rows[0]["symbol"]
    scene.page.goto(f"{scene.server.url}#/board/{symbol}")
    expect(scene.page.locator(".drawer")).to_be_visible(timeout=SOON)


def opened(scene: Scene, button: str) -> None:
    """Open the dialog of a button."""
    scene.page.get_by_role("button", name=button, exact=True).click()
    expect(scene.page.get_by_role("dialog")).to_be_visible(timeout=SOON)


STATES = [live, paused, stale, reconnecting, empty, details]
DIALOGS = [settings, help_, columns]  # the same on every board
CASES = [*product(ROWS, STATES), *product(["quotes"], DIALOGS)]


@pytest.fixture(scope="module")
def axe() -> str:
    """Return the source of axe-core."""
    source = axe_core()
    if source is not None:
        return source
    missing = "axe-core is not installed: `make test` and `make bench-web` do that"
    if os.environ.get("CI"):
        pytest.fail(missing)
    pytest.skip(missing)


@pytest.fixture
def scene(serve: Serve, source: Source, page: Page, board: str) -> Scene:
    """Return a page with rows on it."""
    rows = source(QUOTES if board == "quotes" else GAMES)
    page.add_init_script("Math.random = () => 0.99")  # waits are long: the state lasts
    server = serve({"nyse": feed(rows)}, {"board": {"layout": board, "feeds": ["nyse"]}})
    page.goto(server.url)
    expect(page.locator(ROWS[board])).to_have_count(len(QUOTES), timeout=SOON)
    return Scene(page, server, rows)


def feed(rows: ScriptedSource) -> dict[str, Any]:
    """Return the config of a feed of quotes or games that may be without rows."""
    fields = {field: field for field in [*QUOTES[0], *GAMES[0]] if field != "symbol"}
    return rows.feed(fields=fields, empty="allow", down_after="1m")


@pytest.mark.parametrize(("board", "state"), CASES, ids=lambda it: getattr(it, "__name__", it))
def test_axe_finds_nothing(
    axe: str, scene: Scene, state: Callable[[Scene], None], complaints: Complaints
) -> None:
    """No rule of axe-core is broken, whatever the scheme and the width."""
    state(scene)
    violations = found(scene.page, axe)
    assert not violations, "\n".join(violations)
    expected = re.compile("ERR_CONNECTION_REFUSED|WebSocket connection|uPlot|404")
    complaints[:] = [words for words in complaints if not expected.search(words)]
