"""The series of a soak as small plots in one SVG, legible in light and in dark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benches.soak import Soak

WIDTH, PANEL_WIDTH, PANEL_HEIGHT = 760, 380, 150
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 30, 24
FIRST, SECOND = "#2e86ab", "#e4572e"

PANELS: tuple[tuple[str, float, dict[str, str]], ...] = (
    ("memory, MB", 1e6, {"rss": "resident", "uss": "its own pages"}),
    ("blocks, thousands", 1e3, {"blocks": "that Python has given out"}),
    ("how many", 1, {"descriptors": "descriptors", "viewers": "viewers"}),
    ("how many", 1, {"tasks": "tasks"}),
    ("latency, ms", 1, {"p99": "p99", "p50": "p50"}),
    ("loop lag of the last minute, ms", 1, {"lag99": "p99", "lag50": "p50"}),
)
"""What each plot is of, what its values are divided by, and its series in words."""

STYLE = (
    "text{font:12px system-ui,sans-serif;fill:#444}.axis{stroke:#999;fill:none}"
    ".warm{fill:#999;fill-opacity:.18}"
    "@media(prefers-color-scheme:dark){text{fill:#ccc}}"
)


def svg(soak: Soak) -> str:
    """Return the plots; what is left out at the beginning is shaded, trends are dashed."""
    rows = -(-len(PANELS) // 2)
    height = rows * PANEL_HEIGHT + 22
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-labelledby="title desc">',
        '<title id="title">What the server held, and how late it was, over a soak</title>',
        f'<desc id="desc">{_description(soak)}</desc>',
        f"<style>{STYLE}</style>",
    ]
    for number, (title, scale, names) in enumerate(PANELS):
        left, top = number % 2 * PANEL_WIDTH, number // 2 * PANEL_HEIGHT
        parts.append(f'<g transform="translate({left} {top})">')
        parts += _panel(soak, title, scale, names)
        parts.append("</g>")
    parts.append(
        f'<text x="{WIDTH // 2}" y="{height - 8}" text-anchor="middle">minutes; '
        "shaded: left out; dashed: the trend of the rest</text>"
    )
    return "\n".join([*parts, "</svg>", ""])


def _description(soak: Soak) -> str:
    """Return in words what the plots show."""
    trends = soak.trends()
    said = [
        f"{title}: "
        + ", ".join(f"{words} {trends[name].level / scale:,.1f}" for name, words in names.items())
        for title, scale, names in PANELS
    ]
    return "Levels after the warm-up. " + ". ".join(said) + "."


def _panel(soak: Soak, title: str, scale: float, names: Mapping[str, str]) -> list[str]:
    lines = [[value / scale for value in soak.series[name]] for name in names]
    top = 1.1 * max(max(line) for line in lines) or 1.0
    end = max(soak.at[-1], 1.0)

    def place(at: float, value: float) -> str:
        x = LEFT + at / end * (PANEL_WIDTH - LEFT - RIGHT)
        y = PANEL_HEIGHT - BOTTOM - value / top * (PANEL_HEIGHT - BOTTOM - TOP)
        return f"{x:.1f} {y:.1f}"

    base = PANEL_HEIGHT - BOTTOM
    highest = f"{top:,.{0 if top >= 100 else 1}f}"
    legend = "; ".join(
        f'<tspan fill="{colour}">{words}</tspan>'
        for words, colour in zip(names.values(), (FIRST, SECOND), strict=False)
    )
    warm, _ = place(min(soak.warm, end), 0).split()
    parts = [
        f'<text x="{LEFT}" y="18">{title}: {legend}</text>',
        f'<rect class="warm" x="{LEFT}" y="{TOP}" width="{float(warm) - LEFT:.1f}" '
        f'height="{base - TOP}"/>',
        f'<path class="axis" d="M{LEFT} {TOP}V{base}H{PANEL_WIDTH - RIGHT}"/>',
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{highest}</text>',
        f'<text x="{LEFT - 6}" y="{base}" text-anchor="end">0</text>',
        f'<text x="{LEFT}" y="{base + 15}">0</text>',
        f'<text x="{PANEL_WIDTH - RIGHT}" y="{base + 15}" text-anchor="end">{end / 60:.0f}</text>',
    ]
    trends = soak.trends()
    middle = (soak.warm + end) / 2
    for name, line, colour in zip(names, lines, (FIRST, SECOND), strict=False):
        way = "L".join(place(at, value) for at, value in zip(soak.at, line, strict=True))
        parts.append(f'<path fill="none" stroke="{colour}" stroke-width="1.5" d="M{way}"/>')
        found = trends[name]
        ends = [
            place(at, (found.level + found.slope * (at - middle)) / scale)
            for at in (min(soak.warm, end), end)
        ]
        parts.append(
            f'<path fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="5 4" '
            f'd="M{ends[0]}L{ends[1]}"/>'
        )
    return parts
