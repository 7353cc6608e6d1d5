"""What `mutmut run` found, against what tests/mutants.md explains: `make mutants`.

Fails where a mutant survived that nobody has explained, and where one is explained that is no more.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

EXPLAINED = Path(__file__).with_suffix(".md")
SURVIVED = {"survived", "no tests", "suspicious", "not checked"}

Change = tuple[str, tuple[str, ...]]
"""A file, and the lines that go and come; without the space in front of them."""


def mutmut(*arguments: str) -> str:
    """Return what mutmut prints."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def changes(file: str, diff: list[str]) -> Change:
    """Return a change as it is told of by the lines of a unified diff."""
    told = [line for line in diff if line[:1] in "+-" and line[:3] not in {"+++", "---"}]
    return file, tuple(f"{line[0]} {line[1:].strip()}" for line in told if line)


def explained() -> Counter[Change]:
    """Return the changes in tests/mutants.md; between two of them is an empty line."""
    found: Counter[Change] = Counter()
    file = ""
    for heading, diff in re.findall(
        r"^## ([^\n]*)|^```diff\n(.*?)^```$", EXPLAINED.read_text(), re.MULTILINE | re.DOTALL
    ):
        file = heading or file
        found.update(changes(file, each.splitlines()) for each in diff.split("\n\n") if diff)
    return found


def survivors() -> Counter[Change]:
    """Return the changes that no test noticed; print how many there were."""
    results = [
        (name.strip(), status.strip())
        for line in mutmut("results", "--all", "true").splitlines()
        for name, _, status in [line.rpartition(": ")]
    ]
    found: Counter[Change] = Counter()
    for name, status in results:
        if status in SURVIVED:
            lines = mutmut("show", name).splitlines()
            file = next(line[4:] for line in lines if line.startswith("+++ "))
            found[changes(file, lines[1:])] += 1
    counts = Counter(status for _, status in results)
    print(f"{len(results)} mutants: {', '.join(f'{n} {what}' for what, n in counts.items())}")
    return found


def main() -> int:
    """Print what is not explained, and what needs no explanation any more; return 1 for either."""
    survived, known = survivors(), explained()
    for title, changed in (("Not explained", survived - known), ("No more", known - survived)):
        for (file, lines), times in changed.items():
            print(f"{title}: {file}, {times} times", *lines, sep="\n    ")
    return 1 if survived != known else 0


if __name__ == "__main__":
    sys.exit(main())
