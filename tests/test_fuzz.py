"""Inputs that were found by fuzzing, and a few made up: the rules of every target hold for them.

`make fuzz` looks for others, for as long as one likes.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import kit
from tests.fuzz.__main__ import run, shrunk
from tests.fuzz.worker import fails

MADE_UP = {"transport": 30}
"""So many inputs are made up of a target; of the others more, for they are quicker."""


@pytest.mark.parametrize("name", kit.TARGETS)
def test_every_input_of_the_corpus_keeps_the_rules(name: str) -> None:
    """Among them what has broken one."""
    files = kit.corpus(name)
    assert files
    one = kit.target(name).one
    broken = {file.name: why for file in files if (why := fails(one, file.read_bytes()))}
    assert not broken, "\n".join(f"{file}: {why}" for file, why in broken.items())


@pytest.mark.parametrize("name", kit.TARGETS)
def test_inputs_that_are_made_up_keep_the_rules(name: str) -> None:
    """By who knows the grammar."""
    target = kit.target(name)

    @settings(
        max_examples=MADE_UP.get(name, 100),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    @given(target.inputs())
    def hold(data: bytes) -> None:
        target.one(data)

    hold()


def test_a_broken_rule_is_found_and_its_input_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By chance alone, as where atheris is not installed; the same seed finds the same."""
    breaks = "import ticker.protocol as p; p.BadMessage.__str__ = lambda _: ''"
    (tmp_path / "sitecustomize.py").write_text(breaks)
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{Path.cwd()}")
    monkeypatch.setattr("tests.fuzz.__main__.FOUND", tmp_path)
    outcome = run("messages", 20, 1, plain=True)
    assert outcome.broken
    assert "messages/crash-" in str(outcome)
    (file,) = (tmp_path / "messages").glob("crash-*")
    assert file.read_bytes()


def test_a_run_in_which_nothing_breaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Says how often it looked."""
    monkeypatch.setattr("tests.fuzz.__main__.FOUND", tmp_path)
    outcome = run("messages", 1, 1, plain=True)
    assert not outcome.broken
    assert outcome.runs > 10
    assert str(outcome).endswith("nothing broke")


def test_an_input_is_made_smaller() -> None:
    """As long as it breaks the same rule."""

    def one(data: bytes) -> None:
        assert b"x" not in data

    assert shrunk(one, b"some text with an x in it" * 9) == b"x"
    assert shrunk(one, b"nothing") is None


def test_an_unknown_target_is_named() -> None:
    """With those that there are."""
    command = [sys.executable, "-m", "tests.fuzz", "nobody"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "no target nobody; there are config, entries" in done.stderr


@given(st.binary(max_size=99), st.binary(max_size=9))
def test_pieces_are_the_whole(data: bytes, sizes: bytes) -> None:
    """However it is cut."""
    assert b"".join(kit.pieces(data, sizes)) == data
