"""One figure of the page: what it must be, what it aims at, what it is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from benches.report import table


@dataclass(frozen=True)
class Figure:
    """A measured value beside its limits; ``more`` says that more is better.

    A limit that is infinite is none; a value that is no number was not measured.
    """

    what: str
    unit: str
    must: float
    aim: float
    value: float
    more: bool = False
    note: str = ""

    @property
    def verdict(self) -> str:
        """Say which limit was reached."""
        if math.isnan(self.value):
            return "not measured"
        sign = -1 if self.more else 1
        if sign * self.value <= sign * self.aim:
            return "aim"
        return "must" if sign * self.value <= sign * self.must else "**missed**"

    def words(self, value: float) -> str:
        """Return a value with its unit."""
        if not math.isfinite(value):
            return "–"
        digits = 0 if value == round(value) else 2 if abs(value) < 10 else 1 if value < 100 else 0
        number = f"{value:,.{digits}f}"
        return f"{number} {self.unit}".strip()


def figures(measured: Sequence[Figure]) -> str:
    """Return a Markdown table."""
    lines = [
        [it.what, it.words(it.must), it.words(it.aim), it.words(it.value), it.verdict, it.note]
        for it in measured
    ]
    return table(["what", "must", "aim", "reached", "", "besides"], lines)
