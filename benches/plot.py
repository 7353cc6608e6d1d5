"""A plot of cost against viewers as an SVG that can be read in light and in dark."""

from __future__ import annotations

import math
from collections.abc import Sequence

from benches.measure import Row
from benches.servers import SERVERS

WIDTH, HEIGHT = 760, 420
LEFT, RIGHT, TOP, BOTTOM = 60, 250, 30, 370
COLOURS = ("#8a8a8a", "#e4572e", "#2e86ab", "#3a9d5d", "#9b5de5", "#c98a00", "#d0407e")


def svg(rows: Sequence[Row]) -> str:
    """Return the plot: CPU per delivery on a logarithmic scale; dashed where viewers deflate."""
    counts = sorted({row.viewers for row in rows})
    costs = [row.cpu_us for row in rows if row.cpu_us]
    low, high = min(costs, default=1) * 0.8, max(costs, default=10) * 1.2

    def x(viewers: int) -> float:
        span = counts[-1] - counts[0] or 1
        return LEFT + (viewers - counts[0]) / span * (WIDTH - LEFT - RIGHT)

    def y(cost: float) -> float:
        return BOTTOM - math.log(cost / low) / math.log(high / low) * (BOTTOM - TOP)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'role="img" aria-label="CPU per delivery against viewers">',
        "<style>text{font:12px system-ui,sans-serif;fill:#444}.axis{stroke:#9994}"
        "@media(prefers-color-scheme:dark){text{fill:#ccc}}</style>",
        f'<text x="{LEFT}" y="16">CPU µs per delivery; dashed: all viewers offer deflate</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) // 2}" y="{HEIGHT - 8}" text-anchor="middle">'
        "viewers</text>",
    ]
    for cost in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000):
        if low <= cost <= high:
            at = y(cost)
            parts.append(f'<path class="axis" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/>')
            parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{cost}</text>')
    for count in counts:
        at = x(count)
        parts.append(f'<path class="axis" d="M{at:.1f} {TOP}V{BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{BOTTOM + 18}" text-anchor="middle">{count:,}</text>')
    entry = 0
    for server, colour in zip(SERVERS, COLOURS, strict=True):
        for deflate in (False, True):
            points = [r for r in rows if r.server == server.name and r.deflate == deflate]
            if not points:
                continue
            points.sort(key=lambda row: row.viewers)
            style = f'fill="none" stroke="{colour}" stroke-width="2"'
            style += ' stroke-dasharray="5 4"' if deflate else ""
            way = "L".join(f"{x(row.viewers):.1f} {y(row.cpu_us):.1f}" for row in points)
            parts.append(f'<path {style} d="M{way}"/>')
            parts += [
                f'<circle cx="{x(r.viewers):.1f}" cy="{y(r.cpu_us):.1f}" r="3" fill="{colour}"/>'
                for r in points
            ]
            at = TOP + 12 + 20 * entry
            entry += 1
            begin = WIDTH - RIGHT + 14
            parts.append(f'<path {style} d="M{begin} {at}h22"/>')
            label = server.name + (", deflate" if deflate else "")
            parts.append(f'<text x="{begin + 30}" y="{at + 4}">{label}</text>')
    return "\n".join([*parts, "</svg>", ""])
