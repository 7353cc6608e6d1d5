"""``python -m tests.fuzz [TARGET ...] --seconds N``: looks for input that breaks a rule.

Each target has a process of its own. What was found lies in ``.fuzz/TARGET``: inputs that went
somewhere new, and those that broke something. ``--shrink FILE`` makes such an input smaller.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz import kit, worker

FOUND = Path(".fuzz")

GRACE_SECONDS = 180
"""How much longer than asked a process may take: it starts, and ends what it has begun."""

_STEP = re.compile(r"^#(\d+)\s.*?(?:cov: (\d+))?(?:\s|$)", re.MULTILINE)
_COVERED = re.compile(r"cov: (\d+)")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one target: how often it ran, and how much of the code that reached."""

    target: str
    runs: int
    coverage: tuple[int, int] | None
    words: str
    broken: bool

    def __str__(self) -> str:
        reached = f", coverage {self.coverage[0]} to {self.coverage[1]}" if self.coverage else ""
        return f"{self.target}: {self.runs:,} runs{reached}: {self.words}"


def main() -> int:
    """Run as the arguments say; 1 where something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(kit.TARGETS))
    parser.add_argument("--seconds", type=int, help="for each target (60)")
    parser.add_argument("--minutes", type=float, help="for all of them together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plain", action="store_true", help="without atheris")
    parser.add_argument("--shrink", type=Path, metavar="FILE", help="make an input smaller")
    options = parser.parse_args()
    targets = options.targets or kit.TARGETS
    if unknown := set(targets) - set(kit.TARGETS):
        parser.error(f"no target {', '.join(sorted(unknown))}; there are {', '.join(kit.TARGETS)}")
    if options.shrink:
        return _shrink(targets[0], options.shrink)
    seconds = options.seconds or 60
    if options.minutes:
        seconds = max(1, round(options.minutes * 60 / len(targets)))
    outcomes = []
    for name in targets:
        outcomes.append(run(name, seconds, options.seed, plain=options.plain))
        print(outcomes[-1], flush=True)
    return int(any(outcome.broken for outcome in outcomes))


def run(name: str, seconds: int, seed: int, *, plain: bool = False) -> Outcome:
    """Run one target in a process of its own."""
    found = FOUND / name
    (found / "corpus").mkdir(parents=True, exist_ok=True)
    (kit.CORPUS / name).mkdir(parents=True, exist_ok=True)
    before = set(found.glob("*-*"))
    command = [sys.executable, "-m", "tests.fuzz.worker", name, f"--seconds={seconds}"]
    command += [f"--seed={seed}", f"--found={found}", *(["--plain"] if plain else [])]
    log = found / "log"
    with log.open("wb") as output:
        try:
            code = subprocess.run(
                command,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds + GRACE_SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            code = -1
    text = log.read_text(errors="replace")
    steps = [int(step[1]) for step in _STEP.finditer(text)]
    covered = [int(step[1]) for step in _COVERED.finditer(text)]
    broke = sorted(set(found.glob("*-*")) - before)
    words = "nothing broke"
    if code:
        words = f"BROKEN (exit {code}), see {log}; with {', '.join(map(str, broke)) or 'no input'}"
    reached = (covered[0], covered[-1]) if covered else None
    return Outcome(name, max(steps, default=0), reached, words, broken=bool(code))


def _shrink(name: str, file: Path) -> int:
    one = kit.target(name).one
    small = shrunk(one, file.read_bytes())
    if small is None:
        print("it breaks nothing")
        return 1
    file.with_suffix(".small").write_bytes(small)
    print(f"{_kind(worker.fails(one, small))}\n{len(small)} bytes: {small!r:.2000}")
    return 0


def shrunk(one: Callable[[bytes], None], data: bytes) -> bytes | None:
    """Return the smallest part of ``data`` found that fails in the same way; None: it does not."""
    wanted = _kind(worker.fails(one, data))
    if not wanted:
        return None
    size = len(data)
    while size:
        at = 0
        while at < len(data):
            smaller = data[:at] + data[at + size :]
            if _kind(worker.fails(one, smaller)) == wanted:
                data = smaller
            else:
                at += size
        size //= 2
    return data


def _kind(failure: str | None) -> str:
    """Return what a failure is, and where: an input that fails otherwise is another one."""
    if failure is None:
        return ""
    lines = failure.strip().splitlines()
    places = [line for line in lines if line.lstrip().startswith("File ")]
    return f"{places[-1].strip()} {lines[-1].partition(':')[0]}"


if __name__ == "__main__":
    sys.exit(main())
