"""The store against `kill -9` at any instant, and against what a power cut leaves of its files."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pytest

from tests.storing import NAMES, Witness

ROUNDS = int(os.environ.get("TICKER_STORE_ROUNDS", "8"))
"""How often each thing is done; more find more."""


def test_a_kill_at_any_instant_loses_next_to_nothing(tmp_path: Path) -> None:
    """Rows are those that were shown last, or a moment before; no seq has two states."""
    witness = Witness(tmp_path, 1)
    for _ in range(ROUNDS):
        with witness.showing(seconds=witness.dice.choice((0.001, 0.01, 0.2))):
            witness.wait(3 + witness.dice.randrange(60))
    assert witness.lost
    assert max(witness.lost) < 5, witness.lost  # on a machine that does other things
    assert median(witness.lost) < 1, witness.lost
    assert not list(tmp_path.glob("*.bad-*"))


def test_boards_that_are_still_go_on_in_their_epoch(tmp_path: Path) -> None:
    """All that was shown had been written when the process was killed."""
    witness = Witness(tmp_path, 2)
    with witness.showing(seconds=0.001):
        witness.wait(30)
    for _ in range(3):
        with witness.showing(seconds=1e9):
            witness.wait_written()
    assert witness.went_on >= 2 * len(NAMES)


def test_another_boot_begins_anew(tmp_path: Path) -> None:
    """The disk may lack what had been written."""
    witness = Witness(tmp_path, 2)
    for boot in "1", "2", "3":
        witness.boot.write_text(boot * 32)
        with witness.showing(seconds=1e9):
            witness.wait_written()
    assert witness.went_on == 0
    assert witness.began == 2 * len(NAMES)
    assert max(witness.lost) == 0  # nothing is lost all the same


def cut(path: Path, dice: random.Random) -> None:
    """Cut a file off."""
    os.truncate(path, dice.randrange(path.stat().st_size + 1))


def zero(path: Path, dice: random.Random) -> None:
    """Overwrite a page with zeros."""
    with path.open("r+b") as file:
        file.seek(4096 * dice.randrange(1 + path.stat().st_size // 4096))
        file.write(bytes(4096))


def flip(path: Path, dice: random.Random) -> None:
    """Flip some bits."""
    data = bytearray(path.read_bytes())
    for _ in range(1 + dice.randrange(8)):
        if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)


def remove(path: Path, _: random.Random) -> None:
    """Remove a file."""
    path.unlink()


Damage = Callable[[Path, random.Random], None]


@pytest.mark.parametrize("damage", [cut, zero, flip, remove], ids=lambda d: d.__name__)
def test_damaged_files_show_nothing_wrong(tmp_path: Path, damage: Damage) -> None:
    """Whatever a power cut, a bad disk or somebody has made of them."""
    witness = Witness(tmp_path, 3)
    for _ in range(ROUNDS // 2):
        with witness.showing(seconds=0.002):
            witness.wait(10 + witness.dice.randrange(60))
        places = [p for p in tmp_path.glob("t.db*") if ".bad-" not in p.name]
        damage(witness.dice.choice(sorted(places)), witness.dice)
    assert len({p.name[:30] for p in tmp_path.glob("*.bad-*")}) <= 3


def test_a_copy_that_is_put_back_begins_anew(tmp_path: Path) -> None:
    """Taken while it ran, put back in place: what was shown since is not in it."""
    witness = Witness(tmp_path, 4)
    for _ in range(ROUNDS // 4):
        with witness.showing(seconds=0.002):
            witness.wait(30 + witness.dice.randrange(60))
            copy = {file: file.read_bytes() for file in tmp_path.glob("t.db*")}
            witness.wait(150)
        for file, data in copy.items():
            file.write_bytes(data)
        began = witness.began
        with witness.showing(seconds=0.002):
            witness.wait(5)
        assert witness.began == began + len(NAMES)
