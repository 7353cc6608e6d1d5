"""What can go wrong, as values: each error keeps its facts and computes its own text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WORDS_LIMIT = 500

LINE_LIMIT = 400
"""Of a longer line of a config file the part around the mistake is shown."""


class TickerError(Exception):
    """Base of everything this program raises on purpose; its text is fit for people."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One finding in a config file: where it is (1-based), what it is about, what was expected."""

    file: str
    line: int
    column: int
    path: str
    message: str
    source: str = ""
    warning: bool = False

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        level = "warning: " if self.warning else ""
        head = f"{self.file}:{self.line}:{self.column}: {level}{where}{self.message}"
        if not self.source.strip():
            return head
        start = max(0, self.column - 1 - LINE_LIMIT // 2)
        shown = self.source[start : start + LINE_LIMIT]
        # tabs stay tabs, so that the caret stands under the same character
        pad = "".join("\t" if c == "\t" else " " for c in self.source[start : self.column - 1])
        return f"{head}\n    {shown}\n    {pad}^"


class ConfigError(TickerError):
    """A config that cannot be used, with every problem found in it."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


class FeedError(TickerError):
    """One reading of a feed failed: why in words, and when the source asked us to come back.

    ``retry_after`` is in seconds from now, or None when the source did not say.
    """

    def __init__(self, why: str, *, retry_after: float | None = None) -> None:
        self.why = one_line(why)
        self.retry_after = retry_after
        super().__init__(self.why)


def one_line(words: str) -> str:
    """Return words from outside as one line of bounded length: they go into logs."""
    printable = "".join(c if c.isprintable() else " " for c in words[:WORDS_LIMIT])
    return " ".join(printable.split())


class MappingError(FeedError):
    """A document is not what the config says: names the place, what was expected and what came."""

    def __init__(self, where: str, expected: str, got: str) -> None:
        self.where = where
        self.expected = expected
        self.got = got
        super().__init__(f"expected {expected} at '{where}', got {got}")
