"""What targets and those who run them have in common."""

from __future__ import annotations

import asyncio
import importlib
import time
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import orjson
from hypothesis import strategies as st

T = TypeVar("T")

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
TARGETS = sorted(file.stem for file in (HERE / "targets").glob("[a-z]*.py"))

LONGEST = 16_000
"""Bytes of the longest input; what grows faster than its input shows below that."""

CPU_SECONDS = 10.0
"""No input may take longer: a hundred times what the slowest one takes."""

CUT = b"\n---\n"
"""Stands between the parts of an input."""


class Target(Protocol):
    """A module of ``targets``."""

    def one(self, data: bytes) -> None:
        """Raise where a rule does not hold for ``data``."""

    def inputs(self) -> st.SearchStrategy[bytes]:
        """Return a strategy for inputs that go deep."""


def target(name: str) -> Target:
    """Return a target by its name."""
    return cast("Target", importlib.import_module(f"tests.fuzz.targets.{name}"))


def corpus(name: str) -> list[Path]:
    """Return the inputs that are kept of a target."""
    return sorted((CORPUS / name).glob("[!.]*"))


def parts(data: bytes, count: int) -> list[bytes]:
    """Return so many parts of an input; those that it does not have are empty."""
    found = data.split(CUT, count - 1)
    return found + [b""] * (count - len(found))


def joined(*strategies: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Return a strategy for inputs of parts."""
    return st.tuples(*strategies).map(CUT.join)


def pieces(data: bytes, sizes: bytes) -> list[bytes]:
    """Return ``data`` in pieces, as a network might give it; ``sizes`` says how."""
    if not sizes:
        return [data]
    found, at, turn = [], 0, 0
    while at < len(data):
        size = max(1, sizes[turn % len(sizes)])
        found.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return found


@contextmanager
def bounded() -> Iterator[None]:
    """Fail when the block takes too long, of this thread's own time: others do not count."""
    began = time.thread_time()
    yield
    taken = time.thread_time() - began
    assert taken < CPU_SECONDS, f"took {taken:.1f} s"


def encodable(value: Any) -> bytes:
    """Return a value as JSON; fail when that would not lead back to it."""
    text = orjson.dumps(value)
    assert orjson.loads(text) == value, "something else comes out of JSON again"
    return text


def is_one_line(words: str, longest: int) -> None:
    """Fail unless words are fit for a line of the log, and bounded."""
    assert words, "no words"
    assert words.isprintable(), f"more than one line: {words!r}"
    assert len(words) <= longest, f"{len(words)} characters"


@cache
def _runner() -> asyncio.Runner:
    return asyncio.Runner()


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end in the one loop that targets share."""
    return _runner().run(main)


# -- strategies

ODD_TEXT = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\0\t\r\n \"'\\/{}[]:,#&*!|>%@`$-\x1b\x85\u2028\u202e\ufeff\U0001f600٣²"),
    ),
    max_size=30,
)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -0.0, 1e308, -1e308, 5e-324, 2**53 + 1, 2**63, 10**30]),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    NUMBERS,
    ODD_TEXT,
    st.sampled_from(["AAPL", "1,234.50", "-0.5%", "N/A", "2025-11-20T10:00:00Z", "PT11M43.00S"]),
)


def documents(keys: st.SearchStrategy[str] = ODD_TEXT) -> st.SearchStrategy[Any]:
    """Return a strategy for anything that JSON can say, and a little more."""
    return st.recursive(
        SCALARS,
        lambda inner: st.one_of(
            st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)
        ),
        max_leaves=15,
    )


def json_text(document: Any) -> bytes:
    """Return a document as the JSON of sloppy sources: ``NaN`` and all."""
    import json

    return json.dumps(document).encode("utf-8", "surrogatepass")
