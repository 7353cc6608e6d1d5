"""A cluster that is made ill at random, shortly; ``make faults-cluster`` does it at length."""

from __future__ import annotations

from pathlib import Path

from tests.faults.cluster import run


def test_nothing_is_lost_or_doubled_whatever_is_killed_paused_or_cut(tmp_path: Path) -> None:
    """In the end all viewers see what the source said, and who came back needed no snapshot."""
    verdict = run(tmp_path, seed=4, faults=8, members=3, viewers=60)
    assert verdict.wrong == [], verdict
    assert verdict.snapshots == 0, verdict
    assert verdict.epochs <= 1 + verdict.said, verdict
