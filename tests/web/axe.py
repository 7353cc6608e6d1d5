"""Runs axe-core, which looks for what keeps people out, on a page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from playwright.sync_api import Page

ROOT = Path(__file__).parents[2]
PLACES = [ROOT / ".venv", ROOT / "benches"]  # where the tests' tools or the bench's are installed
LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "forced_colors": "none"},
    "dark": {"color_scheme": "dark", "forced_colors": "none"},
    "forced colours": {"color_scheme": "light", "forced_colors": "active"},
}
WIDTHS = [360, 1280]
RUN = """axe.run(document, {resultTypes: ["violations"]}).then(({violations}) =>
    violations.flatMap(({id, help, nodes}) =>
        nodes.map(({target, failureSummary}) => ({id, help, target, failureSummary}))))"""


def axe_core() -> str | None:
    """Return the source of axe-core; None where it is not installed."""
    files = [place / "node_modules" / "axe-core" / "axe.min.js" for place in PLACES]
    return next((file.read_text() for file in files if file.is_file()), None)


def found(page: Page, axe: str) -> list[str]:
    """Return one line for each violation: where, which rule, what, in which looks."""
    page.evaluate(axe)
    lines: dict[str, list[str]] = {}
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 800})
        for look, media in LOOKS.items():
            page.emulate_media(**media)
            for it in page.evaluate(RUN):
                why = " ".join(it["failureSummary"].split())
                line = f"{' '.join(map(str, it['target']))}: {it['id']}: {why}"
                lines.setdefault(line, []).append(f"{look} at {width}")
    return [f"{line} ({', '.join(looks)})" for line, looks in lines.items()]
