"""What of the code the tests must have run, line by line and branch by branch: `make coverage`.

Reads what `coverage combine` left, and fails below the bars.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from coverage import Coverage

from .test_layers import PURE

WHOLE = {f"ticker/{name}.py" for name in PURE} | {
    "ticker/protocol.py",
    "ticker/frame.py",
    "ticker/entry.py",
    "ticker/feeds/mapping.py",
    "ticker/feeds/values.py",
    "ticker/config/mapping.py",
}
"""The pure core, and what turns text into values: all of it."""

REST = 95.0
"""Percent of everything else together."""


def main() -> int:
    """Print what was not run; return 1 where that is too much."""
    measured = Coverage()
    measured.load()
    with TemporaryDirectory() as folder:
        found = Path(folder, "coverage.json")
        measured.json_report(outfile=str(found))
        report = json.loads(found.read_text())
    measured.report(show_missing=True, skip_covered=True, sort="cover")
    files = {name: file["summary"]["percent_covered"] for name, file in report["files"].items()}
    short = [
        f"{name}: expected 100%, got {files.get(name, 0):.1f}%"
        for name in sorted(WHOLE)
        if files.get(name, 0) < 100
    ]
    if (total := report["totals"]["percent_covered"]) < REST:
        short.append(f"everything: expected {REST:g}%, got {total:.1f}%")
    print("\n".join(short) or "as high as it must be")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
