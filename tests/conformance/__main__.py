"""Runs the Autobahn test suite's fuzzing client against ticker's transport: `make conformance`.

Fails when anything is found that `results` does not state.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.conformance.results import GROUPS, PARTS, Part, unexpected

START = "import site; site.addsitedir({!r}); from autobahntestsuite.wstest import run; run()"
"""Not its own script: its packages are where that would not look for them."""

Found = dict[str, dict[str, Any]]


@contextmanager
def echo(loop: str) -> Iterator[int]:
    """Run the echo on a loop, and return its port."""
    command = [sys.executable, "-m", "tests.conformance.echo", loop]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Client:
    """The fuzzing client, as it was installed with Python 2 in a folder."""

    def __init__(self, python: str, folder: Path) -> None:
        self._command = [python, "-c", START.format(str(folder))]

    def run(self, port: int, way: str, cases: list[str]) -> Found:
        """Run cases and return what was found of each."""
        with tempfile.TemporaryDirectory() as folder:
            spec = Path(folder) / "spec.json"
            server = {"agent": "ticker", "url": f"ws://127.0.0.1:{port}/{way}"}
            spec.write_text(
                json.dumps(
                    {
                        "outdir": folder,
                        "servers": [server],
                        "cases": cases,
                        "exclude-cases": [],
                        "exclude-agent-cases": {},
                    }
                )
            )
            command = [*self._command, "-m", "fuzzingclient", "-s", str(spec)]
            done = subprocess.run(
                command, cwd=folder, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            report = Path(folder) / "index.json"
            if not report.exists():
                sys.exit(f"the fuzzing client failed:\n{done.stdout.decode()[-2000:]}")
            found: Found = json.loads(report.read_text())["ticker"]
            return found


def run(client: Client, part: Part, port: int) -> tuple[int, list[str]]:
    """Run a part; return how many cases it has, and what was found otherwise than stated.

    Those are run once more: the client gives some cases a second, too little on a busy machine.
    """
    found = client.run(port, part.way, [f"{group}.*" for group in part.groups])
    again = unexpected(found)
    if again:
        found |= client.run(port, part.way, again)
    wrong = [
        f"{case}: {found[case]['behavior']}, close {found[case]['behaviorClose']} "
        f"({found[case].get('remoteCloseCode')})"
        for case in unexpected(found)
    ]
    print(f"{part}: {len(found)} cases, {len(again)} run again", *wrong, sep="\n  ", flush=True)
    return len(found), wrong


def main() -> None:
    """Run every part, two at a time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("python", help="Python 2.7 with which the suite was installed")
    parser.add_argument("folder", type=Path, help="where it was installed")
    arguments = parser.parse_args()
    client = Client(arguments.python, arguments.folder)
    with echo("uvloop") as uvloop, echo("asyncio") as asyncio, ThreadPoolExecutor(2) as pool:
        ports = {"uvloop": uvloop, "asyncio": asyncio}
        done = list(pool.map(lambda part: run(client, part, ports[part.loop]), PARTS))
    ran, wrong = sum(cases for cases, _ in done), [line for _, lines in done for line in lines]
    every = sum(number for _, number in GROUPS.values())
    known = {case for part in PARTS if part.loop == "uvloop" for case in part.groups}
    print(f"{ran} runs of {every} cases in {len(known)} groups, {len(wrong)} not as stated")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
