"""The figures of one run, as Markdown tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from benches.measure import Row
from benches.servers import LIMIT, OURS, SERVERS
from benches.sipper import Drained
from benches.slow import Slow

TITLES = {server.name: server.title for server in SERVERS}


@dataclass
class Results:
    """Everything that one run measured."""

    in_c: bool
    side_by_side: list[Row] = field(default_factory=list)
    growth: list[Row] = field(default_factory=list)
    sizes: list[Row] = field(default_factory=list)
    slow: list[Slow] = field(default_factory=list)

    @classmethod
    def load(cls, saved: dict[str, Any]) -> Results:
        """Return what was saved as JSON."""
        slow = []
        for it in saved["slow"]:
            drained = Drained(**it["drained"]) if it["drained"] else None
            slow.append(Slow(**{**it, "drained": drained}))
        rows = {name: [Row(**row) for row in saved[name]] for name in ("side_by_side", "growth")}
        return cls(saved["in_c"], **rows, sizes=[Row(**row) for row in saved["sizes"]], slow=slow)


def find(rows: Iterable[Row], server: str, like: Row) -> Row | None:
    """Return the row of ``server`` that was measured beside ``like``."""
    for row in rows:
        same = (row.viewers, row.deflate, row.frame_bytes)
        if row.server == server and same == (like.viewers, like.deflate, like.frame_bytes):
            return row
    return None


def ratio(rows: Sequence[Row], row: Row, of: str = "cpu_us") -> str:
    """Return how many times the limit's a figure is."""
    limit = find(rows, LIMIT, row)
    if limit is None or not getattr(limit, of) or getattr(row, of) is None:
        return "–"
    value = getattr(row, of) / getattr(limit, of)
    return f"{value:.2f}" if value >= 1 else f"{value:.2f} (!)"


def table(head: Sequence[str], lines: Iterable[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table; all columns but the first ``left`` and the last are numbers."""
    marks = ["---" if i < left or i == len(head) - 1 else "---:" for i in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, marks, *lines])


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _notes(row: Row) -> str:
    return "; ".join(row.notes)


def side_by_side(rows: Sequence[Row]) -> str:
    """Return every server's figures, a table for each number of viewers and way to deflate."""
    parts = []
    head = [
        "server",
        "CPU µs per delivery",
        "x limit",
        "p50 ms",
        "p99 ms",
        "bytes",
        "delivered",
        "connect s",
        "connect CPU s",
        "KB per viewer",
        "server's core",
        "notes",
    ]
    for viewers, deflate in dict.fromkeys((row.viewers, row.deflate) for row in rows):
        these = [row for row in rows if (row.viewers, row.deflate) == (viewers, deflate)]
        these.sort(key=lambda row: list(TITLES).index(row.server))
        parts.append(f"**{viewers:,} viewers, {'all offer deflate' if deflate else 'no deflate'}**")
        parts.append(
            table(
                head,
                [
                    [
                        TITLES[row.server],
                        f"{row.cpu_us:.2f}",
                        ratio(rows, row),
                        _ms(row.p50),
                        _ms(row.p99),
                        f"{row.bytes:.0f}",
                        f"{min(row.delivered, 1):.0%}",
                        f"{row.connect_seconds:.2f}",
                        f"{row.connect_cpu:.2f}",
                        f"{row.kb_per_viewer:.1f}",
                        f"{row.server_core:.0%}",
                        _notes(row),
                    ]
                    for row in these
                ],
            )
        )
    return "\n\n".join(parts)


def growth(rows: Sequence[Row]) -> str:
    """Return cost per delivery against the number of viewers."""
    ours = [row for row in rows if row.server == OURS]
    first = ours[0].cpu_us
    return table(
        [
            "viewers",
            "ticker µs",
            "beside the fewest",
            "limit µs",
            "x limit",
            "p99 ms",
            "limit's p99 ms",
            "notes",
        ],
        [
            [
                f"{row.viewers:,}",
                f"{row.cpu_us:.2f}",
                f"{row.cpu_us / first - 1:+.0%}",
                f"{limit.cpu_us:.2f}" if (limit := find(rows, LIMIT, row)) else "–",
                ratio(rows, row),
                _ms(row.p99),
                _ms(limit.p99) if limit else "–",
                _both(row, limit),
            ]
            for row in ours
        ],
        left=0,
    )


def sizes(rows: Sequence[Row]) -> str:
    """Return cost per delivery against the size of a message."""
    ours = [row for row in rows if row.server == OURS]
    lines = []
    for row in ours:
        limit = find(rows, LIMIT, row)
        plain = next(r for r in ours if r.frame_bytes == row.frame_bytes and not r.deflate)
        lines.append(
            [
                "deflate" if row.deflate else "plain",
                f"{plain.bytes:,.0f}",
                f"{row.bytes:,.0f}",
                f"{row.bytes / plain.bytes:.0%}",
                f"{row.cpu_us:.2f}",
                f"{limit.cpu_us:.2f}" if limit else "–",
                ratio(rows, row),
                _ms(row.p99),
                _both(row, limit),
            ]
        )
    return table(
        [
            "",
            "plain bytes",
            "bytes sent",
            "of plain",
            "ticker µs",
            "limit µs",
            "x limit",
            "p99 ms",
            "notes",
        ],
        lines,
    )


def _both(row: Row, limit: Row | None) -> str:
    notes = [*row.notes, *(f"limit: {note}" for note in (limit.notes if limit else []))]
    return "; ".join(notes)


def slow(rows: Sequence[Slow]) -> str:
    """Return what slow viewers do to others, and what becomes of them."""
    lines = []
    for row in rows:
        drained = ["–"] * 5
        if row.drained:
            drained = [
                f"{row.drained.converged} of {row.drained.viewers}",
                f"{row.drained.median:.0f} / {row.drained.longest:.0f}",
                f"{row.drained.viewers_cpu:.0f}",
                f"{row.drained.lag}",
                f"{row.equal} of {row.drained.viewers}",
            ]
        grown = f"{row.growth / 1000:.0f}"
        lines.append(
            [
                row.title,
                f"{row.viewers}",
                f"{row.p50:.1f}",
                f"{row.p99:.1f}",
                f"{row.cpu_us:.2f}",
                grown,
                *drained,
                row.notes,
            ]
        )
    return table(
        [
            "",
            "slow viewers",
            "others' p50 ms",
            "others' p99 ms",
            "µs per delivery",
            "server grew KB in 5 s",
            "at the present again",
            "after ms, median / last",
            "of that the viewers' CPU ms",
            "then ticks behind, worst",
            "same rows as the server",
            "notes",
        ],
        lines,
    )


def lag(rows: Sequence[Row]) -> str:
    """Return how late our loop was."""
    return table(
        ["viewers", "p50 ms", "p99 ms", "longest ms", ""],
        [
            [
                f"{row.viewers:,}",
                *(f"{row.lag[name]:.1f}" for name in ("p50", "p99", "max")),
                "deflate" if row.deflate else "plain",
            ]
            for row in rows
            if row.lag
        ],
        left=0,
    )
