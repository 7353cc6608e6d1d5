"""What the page loads: bytes on the wire, requests, and the time to the first quote."""

from __future__ import annotations

import gzip
import math
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from playwright.sync_api import Browser

from benches.chromium import Server, Tab, percentile
from benches.figure import Figure

WEB = Path(__file__).parent.parent / "web"
ENTRY = "app.js"
OTHERS = ("embed/", "example.", "node_modules/")
"""Pages beside the dashboard."""
LOADED = {".css", ".js", ".svg", ".woff2"}
IMPORT = re.compile(r'^(?:import|export|\}) [^"\n]*"(\.[^"]+)"', re.MULTILINE)
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
    """Add up all files of the page, as they are served, with what it loads later."""
    page = fetched(server.url)
    base = re.search(rb'"\./(static/[^/]+/)', gzip.decompress(page))
    kept = server.url + (base[1].decode() if base else "")
    sizes = {file: len(fetched(kept + file)) for file in sorted(loadable())}
    print("\n".join(f"{size:7,} {file}" for file, size in sizes.items()), flush=True)
    total = (len(page) + sum(sizes.values())) / 1000
    chart = "with" if any(CHART in file.lower() for file in sizes) else "without"
    note = f"{1 + len(sizes)} files, {chart} the chart's library"
    yield Figure("all that can ever be loaded", "KB", 100, 60, total, note=note)


def fetched(url: str) -> bytes:
    """Return a file as it is on the wire."""
    with urlopen(Request(url, headers={"accept-encoding": "gzip"})) as answer:
        content: bytes = answer.read()
        return content


def loadable() -> set[str]:
    """Return the files that the page's HTML leads to, sooner or later.

    The script it begins with has in it what it imports; all other modules come one by one.
    """
    found = [it.relative_to(WEB).as_posix() for it in WEB.rglob("*") if it.suffix in LOADED]
    files = {it for it in found if not it.startswith(OTHERS)}
    scripts = {it for it in files if it.endswith(".js")}
    later = imported(scripts - imported({ENTRY}))
    return (files - scripts) | {ENTRY} | later


def imported(modules: set[str]) -> set[str]:
    """Return modules and all that they import."""
    reached: set[str] = set()
    ahead = set(modules)
    while ahead:
        module = ahead.pop()
        reached.add(module)
        folder = posixpath.dirname(module)
        names = IMPORT.findall((WEB / module).read_text())
        ahead |= {posixpath.normpath(posixpath.join(folder, it)) for it in names} - reached
    return reached


def loads(browser: Browser, server: Server) -> Iterator[Figure]:
    """Load the page many times, with nothing cached."""
    times = []
    for _ in range(LOADS):
        tab = Tab(browser)
        times.append(tab.open(server, "few"))
        tab.close()
    note = f"{LOADS} loads, median {percentile(times, 0.5):.0f} ms"
    yield Figure("first quote painted, p95", "ms", 500, 250, percentile(times, 0.95), note=note)
