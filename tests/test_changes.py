"""What a reload would do, said beforehand."""

from __future__ import annotations

import pytest

from tests.support import settings
from ticker.changes import compare, without_restart

BASE = """
server: {port: 8000}
feeds:
  a: {kind: poll, every: 5s, url: "http://x/a", fields: {last: p}, headers: {X-Key: hidden-value}}
  b: {kind: simulate, symbols: {S: 1}}
boards:
  one: {feeds: [a]}
  two: {feeds: [b], columns: [last]}
"""

CHANGES = {
    "nothing": ("", "", []),
    "pace": ("every: 5s", "every: 6s, stale_after: 1m", ["feeds.a: changed (stale_after, every)"]),
    "source": ("http://x/a", "http://x/b", ["feeds.a: restarted (url)"]),
    "secret": ("hidden-value", "other-value", ["feeds.a: restarted (headers)"]),
    "mapping": (
        "{last: p}",
        "{last: p, bid: b}",
        ["feeds.a: restarted (fields)", "boards.one: changed (columns)"],
    ),
    "kind": (
        "{kind: simulate, symbols: {S: 1}}",
        "{kind: simulate, model: scores, teams: [X, Y]}",
        ["feeds.b: restarted (kind)"],
    ),
    "new feed": (
        "boards:",
        "  c: {kind: simulate, symbols: {S: 1}}\nboards:\n  three: {feeds: [c]}",
        ["feeds.c: added", "boards.three: added"],
    ),
    "gone": (
        "  two: {feeds: [b], columns: [last]}",
        "",
        ["boards.two: removed"],
    ),
    "newly shown": ("feeds: [a]", "feeds: [a, b]", ["boards.one: changed (feeds, columns)"]),
    "board": ("columns: [last]", "columns: [bid]", ["boards.two: changed (columns)"]),
    "port": ("port: 8000", "port: 80", ["server.port: needs a restart of the program"]),
    "workers": ("port: 8000", "workers: 1", []),
    "limit": ("port: 8000", "max_viewers: 5", ["server.max_viewers: changed"]),
    "token": (
        "feeds:\n",
        "access: {admin_tokens: [sixteen-letters-x]}\nfeeds:\n",
        ["access.admin_tokens: changed"],
    ),
}


@pytest.mark.parametrize(("old", "new", "lines"), CHANGES.values(), ids=CHANGES)
def test_each_change_is_named(old: str, new: str, lines: list[str]) -> None:
    """By what becomes of it and its keys, never by values."""
    assert BASE.count(old) == 1 or not old
    changes = compare(settings(BASE), settings(BASE.replace(old, new) if old else BASE))
    assert list(changes.lines()) == lines
    assert bool(changes) == bool(lines)


def test_a_feed_that_nobody_showed_begins_anew() -> None:
    """Its rows were kept nowhere."""
    hidden = settings(BASE.replace("  two: {feeds: [b], columns: [last]}", ""))
    lines = list(compare(hidden, settings(BASE)).lines())
    assert lines == ["feeds.b: restarted", "boards.two: added"]


def test_what_needs_a_restart_stays_as_it_is() -> None:
    """Until then the process keeps its own."""
    running, new = settings(BASE), settings(BASE.replace("8000", "80, max_viewers: 7"))
    kept = without_restart(running, new).server
    assert (kept.port, kept.max_viewers) == (8000, 7)
