"""What others' tools say of the page: layout shift, axe-core, Lighthouse."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser

from benches import proc
from benches.chromium import Server, Tab, pinned
from benches.figure import Figure
from tests.web.axe import axe_core, found
from tests.web.conftest import executable

HERE = Path(__file__).parent
WITNESS = (HERE.parent / "tests" / "web" / "witness.js").read_text()
LIGHTHOUSE = HERE / "node_modules" / "lighthouse" / "cli" / "index.js"
FORMS = {"mobile": [], "desktop": ["--preset=desktop"]}
LIMITS = {"performance": 0.95, "accessibility": 1.0, "best-practices": 1.0}
SECONDS = 10


def shift(browser: Browser, server: Server) -> Iterator[Figure]:
    """Watch boards change, wide and narrow."""
    worst, where = -1.0, ""
    for width in (360, 1280):
        for board in ("busy", "games"):
            tab = Tab(browser, width)
            tab.page.add_init_script(WITNESS)
            tab.page.goto(f"{server.url}#/{board}")
            tab.page.locator("tbody tr, .card").first.wait_for()
            tab.page.wait_for_timeout(1_000)  # it is built
            tab.page.evaluate("witness.begin()")
            server.load("busy", 40, 25, SECONDS)
            server.answer()
            total = sum(it["value"] for it in tab.page.evaluate("witness.report()")["shifts"])
            tab.close()
            if total > worst:
                worst, where = total, f"worst: {board} at {width} px"
    yield Figure("layout shift in 10 s of changes", "", 0.0, 0.0, round(worst, 2), note=where)


def axe(browser: Browser, server: Server) -> Iterator[Figure]:
    """Run axe-core over the live page; `tests/web/test_accessibility.py` has the other states."""
    source = axe_core()
    lines: list[str] = []
    for board in ("few", "games"):
        if source is None:
            break
        tab = Tab(browser)
        tab.page.goto(f"{server.url}#/{board}")
        tab.page.locator("tbody tr, .card").first.wait_for()
        lines += found(tab.page, source)
        tab.close()
    print("\n".join(lines), end="", flush=True)
    value = math.nan if source is None else len(lines)
    yield Figure("axe-core, violations", "", 0, 0, value)


def lighthouse(_: Browser, server: Server) -> Iterator[Figure]:
    """Run Lighthouse as a phone and as a desktop."""
    for form, options in FORMS.items():
        scores = _scores(f"{server.url}#/few", options)
        for name, must in LIMITS.items():
            what = f"Lighthouse, {form}, {name}"
            value = round(100 * scores.get(name, math.nan)) if name in scores else math.nan
            yield Figure(what, "", 100 * must, 100, value, more=True)


def _scores(url: str, options: list[str]) -> dict[str, float]:
    """Return the scores from 0 to 1 by category; none where Lighthouse cannot run."""
    chromium = executable()
    if not LIGHTHOUSE.is_file() or shutil.which("node") is None or chromium is None:
        return {}
    given = ["--quiet", "--output=json", f"--only-categories={','.join(LIMITS)}", *options]
    given.append("--chrome-flags=--headless=new --no-sandbox")
    with pinned(proc.cores()[1]):
        done = subprocess.run(
            ["node", str(LIGHTHOUSE), url, *given],
            env={**os.environ, "CHROME_PATH": chromium},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        print(done.stderr[-2000:], flush=True)
        return {}
    report = json.loads(done.stdout)
    for audit in report["audits"].values():
        if audit["score"] is not None and audit["score"] < 0.9:
            print(f"{audit['id']}: {audit['score']} {audit.get('displayValue', '')}", flush=True)
    return {
        name: it["score"] for name, it in report["categories"].items() if it["score"] is not None
    }
