"""Programs that are no Python packages: `scripts/install-test-tools` brings what Debian has."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import PATIENCE

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
UNPACKED = Path(sys.prefix) / "tools"


def tool(name: str) -> str:
    """Return the path of a program; skip the test where it is not to be had."""
    unpacked = sorted(UNPACKED.glob(f"*/usr/*bin/{name}"))
    places = [Path(sys.prefix) / "bin" / name, *unpacked]
    found = shutil.which(name) or next((str(p) for p in places if p.is_file()), None)
    if found is None:
        pytest.skip(f"{name} is not here: scripts/install-test-tools brings it")
    return found


def postgres_tool(name: str) -> str:
    """Return the path of a program of PostgreSQL's server, which Debian keeps out of the way."""
    places = [UNPACKED / "postgresql" / "usr/lib/postgresql", Path("/usr/lib/postgresql")]
    found = [path for place in places for path in sorted(place.glob(f"*/bin/{name}"))]
    return str(found[-1]) if found else tool(name)


def run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=False)


def libraries(program: str) -> dict[str, str]:
    """Return the environment in which an unpacked program finds what was unpacked with it."""
    if UNPACKED not in Path(program).parents:
        return {}
    package = UNPACKED / Path(program).relative_to(UNPACKED).parts[0]
    found = sorted(package.glob("usr/lib/*-linux-*"))
    return {"LD_LIBRARY_PATH": str(found[0])} if found else {}


@contextmanager
def background(*command: str, log: Path, **env: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program during the block; what it says goes to ``log``."""
    with log.open("wb") as said:
        process = subprocess.Popen(command, stdout=said, stderr=said, env=env, cwd=log.parent)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def changed(text: str, *changes: tuple[str, str]) -> str:
    """Return ``text`` with each change made; a text that is not there fails the test."""
    for old, new in changes:
        assert old in text, f"'{old}' is not there any more"
        text = text.replace(old, new)
    return text
