"""What a run says: on the terminal, as JSON, as one HTML file that needs nothing else."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

from rich.table import Table

from ticker import __version__
from ticker.load.run import Result, Second

WIDTH, HEIGHT, LEFT, BOTTOM = 720, 220, 64, 28
PERCENTS = (50, 90, 95, 99, 99.9)


def line(second: Second) -> str:
    """Return one second as a plain line."""
    c, latency = second.counts, second.latency
    return (
        f"{second.at:6.1f} s  {c['connected']:,} connected  {c['frames']:,} messages  "
        f"{c['bytes']:,} bytes  p50 {_ms(latency.percentile(50))}"
        f"  p99 {_ms(latency.percentile(99))}"
        f"  p99.9 {_ms(latency.percentile(99.9))}  gaps {c['gaps']}  duplicates {c['duplicates']}"
        f"  resyncs {c['resyncs']}{_moves(c)}  closes {second.closes or 'none'}"
        f"  generator cpu {second.cpu:.0%}"
        f" lag p99 {_ms(second.lag.percentile(99))}"
    )


def table(second: Second, before: Second | None) -> Table:
    """Return one second for a terminal that is drawn anew."""
    c = second.counts
    shown = Table(box=None, show_header=False)
    for name, count in c.items():
        shown.add_row(name, f"{count:,}")
    if before is not None:
        seconds = second.at - before.at
        for name, label in (("frames", "messages/s"), ("bytes", "bytes/s")):
            shown.add_row(label, f"{(c[name] - before.counts[name]) / seconds:,.0f}")
    for percent in PERCENTS:
        shown.add_row(f"latency p{percent:g}", _ms(second.latency.percentile(percent)))
    shown.add_row("generator", f"cpu {second.cpu:.0%}, lag p99 {_ms(second.lag.percentile(99))}")
    for code, count in second.closes.items():
        shown.add_row(f"closed {code}", f"{count:,}")
    return shown


def document(result: Result, failures: Sequence[str]) -> dict[str, Any]:
    """Return the whole run as JSON: what was asked, what was seen, every second."""
    return {
        "ticker": __version__,
        "load": asdict(result.load),
        "board": result.board,
        "metrics": result.metrics(),
        "connect_p99": result.final.connecting.percentile(99),
        "sampled": result.proof.sampled,
        "converged": result.proof.converged,
        "processes": processes(result),
        "closes": result.final.closes,
        "words": result.final.words,
        "generator": {"cpu": result.cpu, "lag_p99": result.final.lag.percentile(99)},
        "invalid": result.invalid(),
        "failures": list(failures),
        "latency": sorted(result.final.latency.counts().items()),
        "seconds": [
            {
                "at": round(second.at, 2),
                **second.counts,
                "p50": second.latency.percentile(50),
                "p99": second.latency.percentile(99),
                "cpu": second.cpu,
            }
            for second in result.seconds
        ],
    }


def processes(result: Result) -> list[dict[str, Any]]:
    """Return what became of each process: its viewers at the end, and where it was."""
    proof = result.proof
    return [
        {
            "url": url,
            "viewers": result.final.watching.get(url, 0),
            "answers": url not in proof.silent,
            "agrees": url in proof.agreed and url not in proof.apart,
            "at": proof.apart.get(url) or " ".join(map(str, proof.agreed.get(url, ()))) or None,
        }
        for url in result.load.urls
    ]


def summary(result: Result, failures: Sequence[str]) -> Iterable[str]:
    """Yield the lines that end a run."""
    for name, value in result.metrics().items():
        yield f"{name:>16}  {'not measured' if value is None else f'{value:,.1f}'}"
    viewers = result.load.viewers
    yield f"{'sampled':>16}  {result.proof.sampled:,} of {viewers:,} viewers decode everything"
    converged = f"{result.proof.converged:,} of them had the server's exact state at the end"
    yield f"{'converged':>16}  {converged}"
    for process in processes(result) if len(result.load.urls) > 1 else ():
        yield f"{process['url']:>30}  {process['viewers']:,} viewers, {_word(process)}"
    for words, count in result.final.words.items():
        yield f"{count:>16,}  x {words}"
    for failure in failures:
        yield f"failed: {failure}"
    if result.invalid():
        yield f"invalid: {result.invalid()}"


def _word(process: dict[str, Any]) -> str:
    """Return whether a process is as the others are."""
    if not process["answers"]:
        return "did not answer at the end"
    return f"{'agrees' if process['agrees'] else 'DOES NOT AGREE'} at {process['at']}"


def _moves(counts: dict[str, int]) -> str:
    """Return how viewers went from process to process, where they did."""
    if not counts["moves"] and not counts["reconnected"]:
        return ""
    return (
        f"  moves {counts['moves']}  reconnected {counts['reconnected']}"
        f"  snapshots again {counts['resnapshots']} of {counts['resnapshots'] + counts['resumed']}"
    )


def compare(now: dict[str, Any], base: dict[str, Any]) -> Iterable[str]:
    """Yield each metric beside that of an earlier run."""
    for name, value in now["metrics"].items():
        before = base.get("metrics", {}).get(name)
        if value is None or before is None:
            continue
        change = f"{(value - before) / before:+.1%}" if before else ""
        yield f"{name:>16}  {before:>14,.1f}  ->  {value:>14,.1f}  {change}"


def page(run: dict[str, Any]) -> str:
    """Return one HTML file with the figures and three plots."""
    seconds = run["seconds"]
    at = [second["at"] for second in seconds]
    frames = [0, *(b["frames"] - a["frames"] for a, b in pairwise(seconds))]
    latency = [(2 ** (bucket / 32), count) for bucket, count in run["latency"]]
    rows = "".join(
        f"<tr><th>{html.escape(name)}<td>{'–' if value is None else f'{value:,.1f}'}"
        for name, value in run["metrics"].items()
    )
    rows += "".join(
        f"<tr><th>{html.escape(process['url'])}<td>{process['viewers']:,} viewers, "
        f"{html.escape(_word(process))}"
        for process in run.get("processes", ())
    )
    verdict = run["invalid"] or "; ".join(run["failures"]) or "good"
    load = ", ".join(f"{name} {value}" for name, value in run["load"].items())
    plots = "".join(
        (
            _plot(
                "Latency over time (ms): p99 above p50",
                at,
                [[s["p50"] or 0 for s in seconds], [s["p99"] or 0 for s in seconds]],
            ),
            _plot(
                "Latency (ms) and how many messages had it",
                [value for value, _ in latency],
                [[count for _, count in latency]],
            ),
            _plot("Messages per second over time", at, [frames[: len(at)]]),
        )
    )
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>ticker load</title>"
        "<style>body{font:15px/1.5 system-ui;margin:2rem auto;max-width:46rem;padding:0 1rem}"
        "th{text-align:left;font-weight:400;padding-right:2rem}td{text-align:right}"
        "svg{width:100%;height:auto}table{font-variant-numeric:tabular-nums}"
        ":root{color-scheme:light dark}</style>"
        f"<h1>ticker load</h1><p>{html.escape(load)}<p><b>Verdict: {html.escape(verdict)}</b>"
        f"<table>{rows}</table>{plots}</html>"
    )


def _plot(title: str, xs: Sequence[float], lines: Sequence[Sequence[float]]) -> str:
    """Return a line plot as SVG with the ends of both axes written out."""
    top = max((max(line, default=0) for line in lines), default=0) or 1
    left, right = (min(xs, default=0), max(xs, default=1))
    span = right - left or 1

    def place(x: float, y: float) -> str:
        return (
            f"{LEFT + (x - left) / span * (WIDTH - LEFT - 8):.1f},"
            f"{HEIGHT - BOTTOM - y / top * (HEIGHT - BOTTOM - 12):.1f}"
        )

    number: Callable[[float], str] = lambda value: f"{value:,.4g}"  # noqa: E731 - one use, four places
    drawn = "".join(
        f'<polyline fill="none" stroke="{colour}" stroke-width="1.5" points="'
        f'{" ".join(place(x, y) for x, y in zip(xs, line, strict=False))}"/>'
        for line, colour in zip(lines, ("#1a7f5a", "#b3261e"), strict=False)
    )
    base = HEIGHT - BOTTOM
    return (
        f"<h2>{html.escape(title)}</h2>"
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(title)}">'
        f'<path d="M{LEFT} 12V{base}H{WIDTH - 8}" fill="none" stroke="currentColor"/>'
        f'<g font-size="12" fill="currentColor"><text x="{LEFT - 6}" y="20" text-anchor="end">'
        f'{number(top)}</text><text x="{LEFT - 6}" y="{base}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 8}">{number(left)}</text><text x="{WIDTH - 8}" '
        f'y="{HEIGHT - 8}" text-anchor="end">{number(right)}</text></g>{drawn}</svg>'
    )


def _ms(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f} ms"
