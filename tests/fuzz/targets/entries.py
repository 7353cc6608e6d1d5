"""What a process reads of a bus: taken where it leads on, left where it cannot be read.

An input is where a board is said to be, its state, an entry that is kept, what comes next, and
the past of a row.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any

import orjson
from hypothesis import strategies as st

from tests.fuzz.kit import SCALARS, bounded, documents, joined, json_text, parts
from ticker.bus import Position
from ticker.entry import Entry
from ticker.live import LiveBoard, Shape

EPOCH = "k3x9"
SHAPE = Shape("B", "quotes", [{"field": "last"}], ["f"], 0.1, "last", 30)


def one(data: bytes) -> None:
    """Hold that what cannot be read is a ValueError and changes nothing, and the rest is whole."""
    place, state, kept, coming, past = parts(data, 5)
    with bounded():
        with suppress(ValueError):
            position = Position.parse(place.decode("utf-8", "replace"))
            assert Position.parse(str(position)) == position
        live = _board()
        _restored(live, state, kept, past)
        _taken(live, coming)


def _board() -> LiveBoard:
    live = LiveBoard("b", EPOCH, SHAPE)
    live.board.apply("f", {"A": {"last": 1, "name": "x"}, "B": {"last": 2}})
    live.flush(1.0)
    return live


def _restored(live: LiveBoard, state: bytes, kept: bytes, past: bytes) -> None:
    """Hold that a board is restored whole or not at all."""
    before = _seen(live)
    entries = []
    with suppress(ValueError):
        entries.append(Entry.decode("b", kept))
    try:
        live.restore(state or live.state(EPOCH, 1), entries, 2.0, {"A": past, "B": past})
    except ValueError:
        assert _seen(live) == before, "it is restored in part"
        return
    _seen(live)
    for symbol in ("A", "B"):
        orjson.dumps(live.history_of(symbol))
        live.packed(symbol)


def _taken(live: LiveBoard, coming: bytes) -> None:
    """Hold that an entry that can be read says the same once more, and is taken as it is."""
    try:
        entry = Entry.decode("b", coming)
    except ValueError:
        return
    again = Entry.decode("b", entry.encode())
    assert (again, again.frame.text) == (entry, entry.frame.text) or not entry.rows
    before = _seen(live)
    if live.take(entry):
        assert live.seq == entry.seq
    else:
        assert _seen(live) == before
    _seen(live)


def _seen(live: LiveBoard) -> Any:
    """Return what viewers would be told now; fail when that cannot be."""
    whole = orjson.loads(live.snapshot().text)
    assert whole["rows"] == live.board.snapshot().rows
    live.status()
    live.wire()
    for seq in range(3):
        live.since(seq)
    return whole


@cache
def good() -> tuple[bytes, bytes, bytes]:
    """Return a state, an entry and a past as this program writes them."""
    live = _board()
    state = live.state(EPOCH, 1)
    live.board.apply("f", {"A": {"last": 3}}, complete=True)
    entry = live.pending(2.0)
    assert entry is not None
    live.take(entry)
    return state, entry.encode(), live.packed("A") or b""


def inputs() -> st.SearchStrategy[bytes]:
    """Return states and entries of which a few values are others, and other documents."""
    state, entry, past = good()
    head, _, text = entry.partition(b"\n")
    odd = st.one_of(SCALARS, documents())

    def another(document: Any) -> st.SearchStrategy[bytes]:
        keys = st.sampled_from([*document, "feeds", "look", "rows"])
        return st.dictionaries(keys, odd, max_size=2).map(lambda more: json_text(document | more))

    first = another(orjson.loads(head))
    rows = st.dictionaries(st.sampled_from(["A", "B", "C"]), odd, max_size=2)
    second = st.one_of(st.just(text), rows.map(lambda r: json_text({"rows": r})), st.just(b""))
    coming = st.builds(lambda one, two: one + b"\n" + two, first, second)
    packs = st.one_of(st.just(past), st.binary(max_size=60).map(lambda b: past[:20] + b))
    place = st.one_of(st.just(b"k3x9 1"), st.binary(max_size=9))
    entries = st.one_of(coming, st.just(entry), st.binary(max_size=9))
    states = st.one_of(another(orjson.loads(state)), st.just(b""))
    return joined(place, states, entries, entries, packs)
