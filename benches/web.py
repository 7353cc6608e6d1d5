"""The page in Chromium, against its figures: `python -m benches.web`.

Server and Chromium have a core each. `MINUTES=10` is how long the heap is watched; `QUICK=1` makes
it three. Names of parts as arguments measure only those, and write nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial

from playwright.sync_api import Browser

from benches import audits, flow, page, proc, sizes
from benches.chromium import Server, both
from benches.figure import Figure, figures

BEGIN, END = "<!-- bench-web:begin -->", "<!-- bench-web:end -->"
MINUTES = float(os.environ.get("MINUTES", "3" if os.environ.get("QUICK") else "10"))

QUIET_LOAD = 1.0

Part = Callable[[Browser, Server], Iterator[Figure]]
PARTS: dict[str, Part] = {
    "view": sizes.first_view,
    "everything": sizes.everything,
    "loads": sizes.loads,
    "delay": flow.delay,
    "frames": flow.frames,
    "burst": flow.burst,
    "large": flow.large,
    "memory": partial(flow.memory, minutes=MINUTES),
    "shift": audits.shift,
    "axe": audits.axe,
    "lighthouse": audits.lighthouse,
}


def main() -> None:
    """Measure; print the table, and write it when all parts were measured."""
    names = sys.argv[1:] or list(PARTS)
    if unknown := set(names) - set(PARTS):
        raise SystemExit(f"no part '{min(unknown)}'; there are {', '.join(PARTS)}")
    load = os.getloadavg()[0]
    measured: list[Figure] = []
    with both() as (server, browser):
        version = browser.version
        for name in names:
            for figure in PARTS[name](browser, server):
                words = f"{figure.words(figure.value)}: {figure.verdict}"
                print(f"{figure.what}: {words} ({figure.note})", flush=True)
                measured.append(figure)
    text = f"Chromium {version}, {proc.processor()}. {quiet(load)}\n\n{figures(measured)}"
    if sys.argv[1:]:
        print(text)
    else:
        page.insert(text, BEGIN, END)


def quiet(load: float) -> str:
    """Say whether other programs ran before, by the load of the last minute."""
    if load < QUIET_LOAD:
        return "The machine was quiet."
    return f"**Other programs ran** (load {load:.1f}): what is a time is too long."


if __name__ == "__main__":
    main()
