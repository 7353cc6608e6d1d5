"""Build hook: puts the chart of the page, uPlot, beside the page's own files.

npm fetches exactly the version of ``web/package.json`` and checks it against the hash in
``web/package-lock.json``. Where that cannot be done the build goes on without a chart, and says so.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SECONDS = 60
"""Longest wait for npm: who builds without a network should not wait for long."""

LISTS = ("package.json", "package-lock.json")
FILES = ("dist/uPlot.iife.min.js", "dist/uPlot.min.css", "LICENSE")


class ChartHook(BuildHookInterface[Any]):
    """Runs before every wheel and every editable install."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:  # noqa: ARG002 - hatch's
        """Fetch the chart, unless it is there."""
        web = Path(self.root) / "web"
        chart = web / "vendor" / "uplot"
        wanted = json.loads((web / "package.json").read_text())["dependencies"]["uplot"]
        if _is_there(chart, wanted):
            return
        try:
            shutil.rmtree(chart, ignore_errors=True)  # none is better than another version
            _fetch(web, chart)
        except (OSError, subprocess.SubprocessError) as error:
            self.app.display_warning(
                f"The page is built without its chart (uPlot {wanted}): {_words(error)}. "
                "Everything else works; build again with npm and a network to have it."
            )


def _is_there(chart: Path, version: str) -> bool:
    files = [chart / Path(file).name for file in FILES]
    return all(file.is_file() for file in files) and f"(v{version})" in files[0].read_text()[:200]


def _fetch(web: Path, chart: Path) -> None:
    """Copy the chart's files into ``chart``. Raises OSError or SubprocessError when it cannot."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("there is no npm")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as there:
        for name in LISTS:
            shutil.copy(web / name, there)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        subprocess.run(  # noqa: S603 - fixed words; no pipe, which would outlast the timeout
            command,
            cwd=there,
            check=True,
            timeout=SECONDS,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        chart.mkdir(parents=True, exist_ok=True)
        for file in FILES:
            shutil.copy(Path(there) / "node_modules" / "uplot" / file, chart)


def _words(error: Exception) -> str:
    match error:
        case subprocess.CalledProcessError():
            return f"npm ended with {error.returncode}, perhaps there is no network"
        case subprocess.TimeoutExpired():
            return f"npm took longer than {SECONDS} s"
    return str(error)
