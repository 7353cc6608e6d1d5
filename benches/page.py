"""Puts the figures of a run into docs/performance.md, and a plot beside it."""

from __future__ import annotations

from pathlib import Path

from benches import plot, report
from benches.goals import goals
from benches.report import Results

DOCS = Path(__file__).parent.parent / "docs"
PAGE = DOCS / "performance.md"
PLOT = DOCS / "performance.svg"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"


def write(results: Results) -> None:
    """Write page and plot. Raises ValueError when the page has no place for them."""
    insert(body(results), BEGIN, END)
    PLOT.write_text(plot.svg(results.side_by_side))
    print(f"wrote {PAGE} and {PLOT}")


def insert(text: str, begin: str, end: str, page: Path = PAGE) -> None:
    """Put text between two marks. Raises ValueError when the page does not have them."""
    before, begun, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(end)
    if not begun or not ended:
        raise ValueError(f"{page}: expected {begin} and {end}")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{end}{after}")


def body(results: Results) -> str:
    """Return everything that stands between the marks."""
    parts = [f"The limit ran in {'C' if results.in_c else 'Python, for want of a compiler'}."]
    if results.side_by_side:
        parts += [
            "### Figures to reach",
            goals(results),
            "### Servers side by side",
            "![CPU per delivery against the number of viewers](performance.svg)",
            report.side_by_side(results.side_by_side),
            "### How late the loop is",
            "From `/healthz` after each run: the last minute, so connecting is part of it.",
            report.lag(results.side_by_side),
        ]
    if results.growth:
        parts += [
            "### Growth",
            "No deflate, 10 diffs a second.",
            report.growth(results.growth),
        ]
    if results.sizes:
        parts += [
            "### Sizes",
            "1,000 viewers, 10 diffs a second. The limit sends as many bytes as this project does.",
            report.sizes(results.sizes),
        ]
    if results.slow:
        parts += [
            "### Slow viewers",
            "2,000 viewers and the slow besides, messages of 1 KB, 10 diffs a second, no deflate.",
            report.slow(results.slow),
        ]
    return "\n\n".join(parts)
