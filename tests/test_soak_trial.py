"""A minute of the soak against the real server: everything in it works. Times are not judged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from benches.soak import KINDS
from benches.soak_load import RAMP_SECONDS


def test_a_minute_of_it(tmp_path: Path) -> None:
    """All viewers end with the server's state, visitors meet no trouble, the log has no defect."""
    out = tmp_path / "soak.json"
    command = [sys.executable, "-m", "benches.soak", "--minutes", "1", "--warm-up", "10"]
    done = subprocess.run(
        [*command, "--viewers", "200", "--out", str(out)],
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    seen = json.loads(out.read_text())
    assert 0 < seen["converged"] == seen["sampled"]
    assert seen["at"][-1] > 60 + RAMP_SECONDS
    assert {kind.name for kind in KINDS} == set(seen["series"])
    assert max(seen["series"]["viewers"]) > 100
    assert seen["reloads"] >= 5
    for what in ("requests", "events", "pushes 200", "renewals", "never read"):
        assert seen["done"][what] > 0, what
    assert any("config not reloaded" in words for words in seen["log"])
