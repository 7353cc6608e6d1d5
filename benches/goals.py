"""The figures to reach, and whether a run reached them."""

from __future__ import annotations

from collections.abc import Iterator

from benches.report import Results, find, table
from benches.servers import LIMIT, OURS

MOST = 5_000


def goals(results: Results) -> str:
    """Return a table of what was to reach and what was reached."""
    return table(
        ["what", "must", "aim", "reached", ""],
        [[*it[:4], _verdict(*it[4:])] for it in _lines(results)],
    )


def _verdict(value: float, must: float, aim: float, doubtful: bool = False) -> str:
    """Return what was reached, in words; ``doubtful`` figures prove nothing either way."""
    words = "aim" if value <= aim else "must" if value <= must else "**missed**"
    return f"doubtful (would be: {words})" if doubtful else words


def _lines(
    results: Results,
) -> Iterator[tuple[str, str, str, str, float, float, float, bool]]:
    rows = results.side_by_side
    ours = {row.deflate: row for row in rows if row.server == OURS and row.viewers == MOST}
    for deflate, must, aim in ((False, 1.4, 1.15), (True, 1.45, 1.2)):
        row = ours.get(deflate)
        limit = find(rows, LIMIT, row) if row else None
        if row is None or limit is None:
            continue
        # less than the limit is not possible: the limit's own row was slow
        doubtful = row.doubtful or limit.doubtful or row.cpu_us < limit.cpu_us
        words = "all viewers offer deflate" if deflate else "no deflate"
        value = row.cpu_us / limit.cpu_us
        yield (
            f"CPU per delivery, 5,000 viewers, {words}",
            f"{must} x the limit", f"{aim} x", f"{value:.2f} x", value, must, aim, doubtful,
        )  # fmt: skip
        if row.p99 and limit.p99:
            value = row.p99 / limit.p99
            yield (
                f"p99 from publishing to receiving, 5,000 viewers, {words}",
                "1.6 x the limit's", "1.2 x", f"{value:.2f} x", value, 1.6, 1.2, doubtful,
            )  # fmt: skip
        value = row.connect_cpu
        yield (
            f"CPU for 5,000 viewers to connect and have their snapshot, {words}",
            "3 s", "1.5 s", f"{value:.2f} s", value, 3, 1.5, row.doubtful,
        )  # fmt: skip
    if len(ours) == 2:
        value = ours[True].bytes / ours[False].bytes
        yield (
            "bytes per delivery with deflate (5 rows with 2 fields)",
            "40% of plain", "30%", f"{value:.0%}", value, 0.4, 0.3, False,
        )  # fmt: skip
        value = ours[True].kb_per_viewer
        yield (
            "memory per connected viewer, deflate offered",
            "25 KB", "15 KB", f"{value:.1f} KB", value, 25, 15, False,
        )  # fmt: skip
    grown = [row for row in results.growth if row.server == OURS]
    if grown:
        costs = [row.cpu_us for row in grown]
        value = max(abs(cost / costs[0] - 1) for cost in costs)
        yield (
            "cost per delivery from 500 to 10,000 viewers",
            "flat within 15%", "", f"{value:.0%}", value, 0.15, 0,
            any(row.doubtful for row in grown),
        )  # fmt: skip
    if len(results.slow) == 3:
        quiet, never, link = results.slow
        for words, run in (("1% never read", never), ("20% read 2 KB/s", link)):
            value = run.p99 / quiet.p99 if quiet.p99 else 0.0
            yield (
                f"others' p99 when {words}",
                "unchanged within noise (15%)", "", f"{value:.2f} x", value, 1.15, 0, False,
            )  # fmt: skip
        if link.drained:
            lost = link.drained.viewers - min(link.drained.converged, link.equal)
            reached = f"{link.equal} of {link.drained.viewers} converge"
            yield (
                "20% on a link of 2 KB/s, then drained",
                "each converges, lag below 2 flushes once drained", "",
                f"{reached}, then at most {link.drained.lag} flushes behind",
                link.drained.lag + lost, 1, 0, False,
            )  # fmt: skip
