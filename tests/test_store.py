"""The store: boards are there again after a restart, and say how old they are."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.buses import START, Member
from tests.support import Source, source, until

CONFIG = """
feeds:
  f: {{kind: poll, every: 500ms, timeout: 400ms, stale_after: 5m, url: "{url}/n", rows: rows,
      key: symbol, fields: {{last: last}}}}
boards:
  b: {{feeds: [f], columns: [last]}}
"""


@pytest.fixture
def web() -> Iterator[Source]:
    """Return a source that says one row."""
    with source() as web:
        say(web, 1)
        yield web


def say(web: Source, last: float) -> None:
    """Let the source say another value."""
    web.say("/n", {"rows": [{"symbol": "A", "last": last}]})


def config(folder: Path, web: Source, more: str = "") -> Path:
    """Return the config file for a source."""
    path = folder / "config.yaml"
    path.write_text(CONFIG.format(url=web.url) + more)
    return path


@contextmanager
def running(path: Path) -> Iterator[Member]:
    """Run the program; it is killed at the end, if it did not end before."""
    member = Member(path)
    try:
        until(lambda: member.ready, what="the start", patience=START)
        yield member
    finally:
        member.kill()  # harmless where it has ended


def board(member: Member) -> Any:
    """Return what the board is."""
    return member.get("/api/boards/b")


def test_a_board_goes_on_after_an_orderly_end(tmp_path: Path, web: Source) -> None:
    """In the same epoch; a viewer that comes back lacks nothing."""
    path = config(tmp_path, web)
    with running(path) as member:
        say(web, 2)
        until(lambda: board(member)["rows"]["A"]["last"] == 2)
        before = board(member)
        member.end()
    web.script.clear()  # it answers 404
    with running(path) as member:
        after = board(member)
        assert (after["epoch"], after["rows"]) == (before["epoch"], before["rows"])
        with member.follow("b", epoch=before["epoch"], seq=before["seq"]) as viewer:
            viewer.send(type="ping")
            viewer.wait("pong")
            assert "snapshot" not in [message["type"] for message in viewer.messages]


def test_a_board_goes_on_after_a_kill(tmp_path: Path, web: Source) -> None:
    """Once all that was shown is written."""
    path = config(tmp_path, web)
    with running(path) as member:
        say(web, 2)
        until(lambda: board(member)["rows"]["A"]["last"] == 2)
        before = board(member)
        at = member.get("/api/status")["now"]
        until(lambda: member.get("/api/status")["store"]["written"] > at)
        member.kill()
    web.script.clear()  # it answers 404
    with running(path) as member:
        assert board(member)["rows"] == before["rows"]
        assert board(member)["epoch"] == before["epoch"]


def test_store_off_keeps_nothing(tmp_path: Path, web: Source) -> None:
    """There is no file."""
    with running(config(tmp_path, web, "store: off")) as member:
        assert "store" not in member.get("/api/status")
        member.end()
    assert not list(tmp_path.glob("ticker.db*"))
