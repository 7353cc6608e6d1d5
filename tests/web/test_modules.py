"""The page's own unit tests, which run under node."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

NODE = shutil.which("node")


@pytest.mark.skipif(NODE is None, reason="needs node 20 or later")
def test_the_modules_pass_their_tests_under_node() -> None:
    """Every `*.test.mjs` beside this file passes."""
    files = sorted(str(file) for file in Path(__file__).parent.glob("*.test.mjs"))
    assert files
    run = subprocess.run([str(NODE), "--test", *files], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout
