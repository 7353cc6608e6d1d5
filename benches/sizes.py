"""What the page loads: bytes on the wire, requests, and the time to the first quote."""

from __future__ import annotations

import http.client
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser

from benches.chromium import Server, Tab, percentile
from benches.figure import Figure

WEB = Path(__file__).parent.parent / "web"
LOADED = {".html", ".css", ".js", ".svg", ".ico", ".woff2", ".webmanifest"}
CHART = "uplot"
LOADS = 30
SETTLE_MS = 1_000
"""What is fetched within this time after the first quote is part of the first view."""


def first_view(browser: Browser, server: Server) -> Iterator[Figure]:
    """Count what is fetched until the page is there."""
    tab = Tab(browser)
    asked: dict[str, str] = {}
    sizes: dict[str, float] = {}
    tab.tools.on("Network.requestWillBeSent", lambda e: asked.update(_request(e)))
    tab.tools.on(
        "Network.loadingFinished", lambda e: sizes.update({e["requestId"]: e["encodedDataLength"]})
    )
    tab.tools.send("Network.enable")
    tab.open(server, "few")
    tab.page.wait_for_timeout(SETTLE_MS)
    tab.close()
    counted = {it: url for it, url in asked.items() if CHART not in url.lower()}
    kb = sum(sizes.get(it, 0.0) for it in counted) / 1000
    here = urlsplit(server.url).netloc
    others = [url for url in asked.values() if urlsplit(url).netloc != here]
    yield Figure("first view, bytes on the wire", "KB", 40, 25, kb, note="headers included")
    yield Figure("first view, requests", "", math.inf, 6, len(counted))
    yield Figure("first view, requests to others", "", 0, 0, len(others))


def _request(event: dict[str, Any]) -> dict[str, str]:
    return {event["requestId"]: event["request"]["url"]}


def everything(_: Browser, server: Server) -> Iterator[Figure]:
    """Add up all files of the page, as they are served."""
    files = [it for it in sorted(WEB.rglob("*")) if it.suffix in LOADED]
    link = http.client.HTTPConnection("127.0.0.1", server.port)
    total = plain = 0
    for file in files:
        link.request("GET", f"/{file.relative_to(WEB)}", headers={"accept-encoding": "gzip"})
        answer = link.getresponse()
        total += len(answer.read())
        plain += answer.getheader("content-encoding") is None
    link.close()
    note = f"{len(files)} files, {plain} of them not compressed"
    yield Figure("all that can ever be loaded", "KB", 100, 60, total / 1000, note=note)


def loads(browser: Browser, server: Server) -> Iterator[Figure]:
    """Load the page many times, with nothing cached."""
    times = []
    for _ in range(LOADS):
        tab = Tab(browser)
        times.append(tab.open(server, "few"))
        tab.close()
    note = f"{LOADS} loads, median {percentile(times, 0.5):.0f} ms"
    yield Figure("first quote painted, p95", "ms", 500, 250, percentile(times, 0.95), note=note)
