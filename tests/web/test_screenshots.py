"""The pictures of the documentation, which can be taken again at any time: `make screenshots`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from .conftest import RunningServer

DIRECTORY = os.environ.get("TICKER_SCREENSHOTS")
CONFIG = Path(__file__).parents[2] / "config.yaml"
WARM = 60_000  # milliseconds in which the simulated day gets a history that can be looked at

pytestmark = pytest.mark.skipif(DIRECTORY is None, reason="TICKER_SCREENSHOTS names no directory")


@pytest.fixture(scope="module")
def demo() -> Iterator[RunningServer]:
    """Return a server of the shipped config that has been running for a while."""
    server = RunningServer(CONFIG, log=Path(os.devnull))
    yield server
    server.stop()


PICTURES: list[tuple[str, str, dict[str, Any], str]] = [
    ("screenshot", "#/stocks", {"viewport": {"width": 1280, "height": 720}}, ""),
    (
        "drawer",
        "#/stocks/NVDA",
        {"viewport": {"width": 1280, "height": 720}, "color_scheme": "dark"},
        ".uplot canvas",
    ),
    ("scores", "#/scores", {"viewport": {"width": 1280, "height": 720}}, ".card"),
    (
        "phone",
        "#/crypto",
        {"viewport": {"width": 360, "height": 640}, "color_scheme": "dark"},
        "tbody tr",
    ),
    (
        "wall",
        "?kiosk#/stocks",
        {"viewport": {"width": 1280, "height": 720}, "color_scheme": "dark"},
        ".wall-clock",
    ),
]


@pytest.mark.parametrize(("name", "address", "options", "shown"), PICTURES, ids=lambda part: part)
def test_screenshot(
    demo: RunningServer,
    new_page: Callable[..., Page],
    name: str,
    address: str,
    options: dict[str, Any],
    shown: str,
) -> None:
    """Each picture shows what its name says."""
    page = new_page(device_scale_factor=1.5, **options)
    page.goto(demo.url + address)
    if shown:
        expect(page.locator(shown).first).to_be_visible(timeout=WARM)
    if "stocks" in address:
        line = page.locator(".sparkline path").first
        expect(line).to_have_attribute("d", re.compile("(L[^L]+){30}"), timeout=WARM)
    page.wait_for_timeout(1_000)  # what came at once has faded
    page.screenshot(path=Path(str(DIRECTORY)) / f"{name}.png")
