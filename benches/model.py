"""How far it carries: the arithmetic of docs/scaling.md, `python -m benches.model`.

All constants are measured: those of viewers in docs/performance.md, those of the bus in
`benches/bus.json`. Of what was measured at several sizes the ends make the model, and what is
between is compared with it.
"""

from __future__ import annotations

import argparse
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benches import page
from benches.bus import FIGURES
from benches.bus_readers import BEATS_PER_SECOND
from benches.report import table
from benches.servers import RATE

BEGIN, END = "<!-- model:begin -->", "<!-- model:end -->"
SCALING = page.DOCS / "scaling.md"
SHARE = 0.6
"""Share of a core that is used at most: the rest is for storms, reloads and the neighbours."""
BOARDS = 10
SIZES = (1_000, 5_000, 20_000, 100_000, 500_000, 1_000_000, 5_000_000)
MODELLED = "5,000 viewers, all offer deflate"
FARTHEST = 1_000
"""Most processes for which lines through what was measured are drawn out."""
TOLERANCE = 0.35
"""By how much a measured figure may differ from the model; the noise alone is a fifth."""

Line = tuple[float, float]
"""What it costs at all, and more for each process."""


@dataclass(frozen=True)
class Model:
    """What was measured, per viewer, per entry and per process."""

    delivery_us: float
    delivery_bytes: float
    connect_us: float
    viewer_kb: float
    entry_us: Line
    entry_bytes: Line
    beat_us: Line

    def per_process(self, rate: float) -> int:
        """Return how many viewers a process has room for, at ``rate`` diffs per second each."""
        return math.floor(SHARE * 1e6 / (rate * self.delivery_us))

    def processes(self, viewers: int, rate: float) -> int:
        """Return how many processes so many viewers need; each wants a core."""
        return math.ceil(viewers / self.per_process(rate))

    def redis_core(self, processes: int, entries: float) -> float:
        """Return the share of a core that Redis needs for ``entries`` per second, and beats."""
        return entries * at(self.entry_us, processes) / 1e6 + self.beats_core(processes)

    def beats_core(self, processes: int) -> float:
        """Return the share of a core that the beats need: each tells of all processes."""
        return processes * BEATS_PER_SECOND * at(self.beat_us, processes) / 1e6

    def most_processes(self, entries: float) -> int:
        """Return how many processes one bus carries, as far as anybody can tell."""
        counts = range(1, FARTHEST + 1)
        return max((n for n in counts if self.redis_core(n, entries) <= SHARE), default=1)


def at(line: Line, count: float) -> float:
    """Return what a line is at ``count``."""
    base, each = line
    return base + each * count


def through(points: Sequence[Mapping[str, float]], what: str) -> Line:
    """Return the line through the first and the last point."""
    first, last = points[0], points[-1]
    each = max(0.0, (last[what] - first[what]) / (last["readers"] - first["readers"]))
    return first[what] - each * first["readers"], each


def rows(text: str, heading: str) -> Iterator[dict[str, str]]:
    """Yield the rows of the Markdown table below ``heading``, by the names of its columns."""
    _, found, rest = text.partition(heading)
    if not found:
        raise SystemExit(f"docs/performance.md has no '{heading}'")
    lines = rest.split("\n\n| ", 1)[1].split("\n\n", 1)[0].splitlines()
    head, _, *body = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    for cells in body:
        yield dict(zip(head, cells, strict=False))


def number(text: str) -> float:
    """Return the number that a cell begins with."""
    return float(re.sub(r"[^\d.].*", "", text.replace(",", "")))


def ours(text: str, heading: str) -> dict[str, str]:
    """Return this project's row of a table of servers."""
    return next(row for row in rows(text, heading) if row["server"] == "**ticker**")


def load() -> tuple[Model, str, dict[str, Any]]:
    """Return the model and what it is made of: the page, and the figures of the bus."""
    text, bus = page.PAGE.read_text(), json.loads(FIGURES.read_text())
    viewers, points = ours(text, f"**{MODELLED}**"), bus["readers"]
    model = Model(
        delivery_us=number(viewers["CPU µs per delivery"]),
        delivery_bytes=number(viewers["bytes"]),
        connect_us=number(viewers["connect CPU s"]) / 5_000 * 1e6,
        viewer_kb=number(viewers["KB per viewer"]),
        entry_us=through(points, "entry_us"),
        entry_bytes=through(points, "out_bytes"),
        beat_us=through(points[1:], "beat_us"),  # of the fewest there are too few to measure
    )
    return model, text, bus


@dataclass(frozen=True)
class Check:
    """A measured figure beside the model's."""

    what: str
    model: float
    measured: float

    @property
    def deviation(self) -> float:
        """By how much the model is beside it."""
        return self.model / self.measured - 1


def checks(model: Model, text: str, bus: Mapping[str, Any]) -> Iterator[Check]:
    """Yield what was measured and is not what the model was made of."""
    for viewers in (500, 2_000):
        row = ours(text, f"**{viewers:,} viewers, all offer deflate**")
        core = viewers * RATE * model.delivery_us / 1e4
        yield Check(f"server's core, {viewers:,} viewers, %", core, number(row["server's core"]))
        connect = viewers * model.connect_us / 1e6
        yield Check(f"{viewers:,} viewers connect, CPU s", connect, number(row["connect CPU s"]))
        kb = number(row["KB per viewer"])
        yield Check(f"memory per viewer of {viewers:,}, KB", model.viewer_kb, kb)
    for row in rows(text, "### Growth"):
        if row["viewers"] == "10,000":
            us = number(row["ticker µs"])
            yield Check("µs per delivery, 10,000 viewers, no deflate", model.delivery_us, us)
    for point in bus["readers"][1:-1]:
        count = point["readers"]
        for what, line, name in (
            ("Redis: µs per entry", model.entry_us, "entry_us"),
            ("Redis: bytes out per entry", model.entry_bytes, "out_bytes"),
            ("Redis: µs per beat", model.beat_us, "beat_us"),
        ):
            if name == "beat_us" and point is bus["readers"][1]:
                continue  # the model is made of it
            yield Check(f"{what}, {count} processes", at(line, count), point[name])


def sizes(model: Model) -> str:
    """Return the table of how much of everything so many viewers need."""
    entries = BOARDS * RATE
    most = model.most_processes(entries)
    lines = []
    for viewers in SIZES:
        processes = model.processes(viewers, RATE)
        buses = math.ceil(processes / most)
        each = math.ceil(processes / buses)
        alone = processes == 1
        out = viewers * RATE * model.delivery_bytes
        lines.append(
            [
                f"{viewers:,}",
                f"{processes:,}",
                f"{viewers * model.viewer_kb / 1e6:,.1f}",
                f"{out * 8 / 1e6:,.0f}",
                "–" if alone else f"{entries * at(model.entry_bytes, processes) / 1e6:,.2f}",
                "–" if alone else f"{model.redis_core(each, entries):.1%}",
                "–" if alone else f"{model.beats_core(each):.1%}",
                "none" if alone else f"{buses}",
            ]
        )
    head = ["viewers", "processes", "memory GB", "Mbit/s to viewers", "bus MB/s"]
    head += ["Redis's core", "of that beats", "buses"]
    return table(head, lines, left=0)


def body(model: Model, found: Sequence[Check], most: int) -> str:
    """Return everything that stands between the marks."""
    entries = BOARDS * RATE
    constants = [
        ["CPU for a diff to a viewer", f"{model.delivery_us:.2f} µs"],
        ["bytes of it, compressed", f"{model.delivery_bytes:.0f}"],
        ["CPU for a viewer to connect and have its snapshot", f"{model.connect_us:.0f} µs"],
        ["memory of a viewer", f"{model.viewer_kb:.1f} KB"],
        ["Redis, for an entry", _line(model.entry_us, "µs")],
        ["bytes that Redis sends of an entry", _line(model.entry_bytes, "")],
        ["Redis, for a beat", _line(model.beat_us, "µs")],
    ]
    return "\n\n".join(
        (
            table(["measured", ""], constants),
            f"So a process has room for **{model.per_process(RATE):,} viewers** at {RATE:g} diffs "
            f"a second each, with {SHARE:.0%} of its core, and one bus for "
            f"**{model.most_processes(entries):,} processes** at {entries:g} entries a second "
            f"({BOARDS} boards) and a lease of one second. More than {most} processes were "
            f"not measured: there the lines are drawn out.",
            sizes(model),
            "The model beside what was measured and is not in it:",
            table(
                ["", "model", "measured", "deviation"],
                [
                    [it.what, f"{it.model:,.2f}", f"{it.measured:,.2f}", f"{it.deviation:+.0%}"]
                    for it in found
                ],
            ),
        )
    )


def _line(line: Line, unit: str) -> str:
    return f"{line[0]:,.1f} + {line[1]:,.2f} for each process {unit}".strip()


def main() -> None:
    """Print the tables; the exit code says whether the model is near what was measured."""
    parser = argparse.ArgumentParser(prog="python -m benches.model", description=__doc__)
    parser.add_argument("--write", action="store_true", help="into docs/scaling.md")
    given = parser.parse_args()
    model, text, bus = load()
    found = list(checks(model, text, bus))
    text = body(model, found, bus["readers"][-1]["readers"])
    print(text)
    if given.write:
        page.insert(text, BEGIN, END, SCALING)
    far = [it.what for it in found if abs(it.deviation) > TOLERANCE]
    if far:
        raise SystemExit(f"more than {TOLERANCE:.0%} beside the model: {'; '.join(far)}")


if __name__ == "__main__":
    main()
