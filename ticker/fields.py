"""The fields that have a name of their own in this program: kind, label, and what is derived.

Any other field may be mapped too; it is shown under its own name.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard


class Kind(enum.StrEnum):
    """How a field's values are read from a source and shown to people."""

    PRICE = "price"
    NUMBER = "number"
    PERCENT = "percent"
    VOLUME = "volume"
    TEXT = "text"
    TIME = "time"
    CLOCK = "clock"
    AUTO = "auto"

    @property
    def numeric(self) -> bool:
        """Whether values of this kind are numbers."""
        return self in {Kind.PRICE, Kind.NUMBER, Kind.PERCENT, Kind.VOLUME}


@dataclass(frozen=True, slots=True)
class Field:
    """One known field: its kind and the label people read."""

    kind: Kind
    label: str


KNOWN: Mapping[str, Field] = {
    # quotes
    "name": Field(Kind.TEXT, "Name"),
    "last": Field(Kind.PRICE, "Last"),
    "change": Field(Kind.PRICE, "Change"),
    "change_pct": Field(Kind.PERCENT, "Change %"),
    "open": Field(Kind.PRICE, "Open"),
    "high": Field(Kind.PRICE, "High"),
    "low": Field(Kind.PRICE, "Low"),
    "previous_close": Field(Kind.PRICE, "Prev. close"),
    "bid": Field(Kind.PRICE, "Bid"),
    "ask": Field(Kind.PRICE, "Ask"),
    "bid_size": Field(Kind.VOLUME, "Bid size"),
    "ask_size": Field(Kind.VOLUME, "Ask size"),
    "volume": Field(Kind.VOLUME, "Volume"),
    "quote_volume": Field(Kind.VOLUME, "Turnover"),
    "currency": Field(Kind.TEXT, "Currency"),
    "venue": Field(Kind.TEXT, "Venue"),
    "time": Field(Kind.TIME, "Time"),
    # scores
    "home": Field(Kind.TEXT, "Home"),
    "away": Field(Kind.TEXT, "Away"),
    "home_score": Field(Kind.NUMBER, "Home score"),
    "away_score": Field(Kind.NUMBER, "Away score"),
    "status": Field(Kind.TEXT, "Status"),
    "period": Field(Kind.AUTO, "Period"),
    "periods": Field(Kind.AUTO, "Period scores"),
    "clock": Field(Kind.CLOCK, "Clock"),
    "start": Field(Kind.TIME, "Start"),
    "league": Field(Kind.TEXT, "League"),
    "last_event": Field(Kind.TEXT, "Last event"),
    "clock_rate": Field(Kind.NUMBER, "Clock rate"),
    # set by the server
    "clock_at": Field(Kind.TIME, "Clock at"),
    "correction": Field(Kind.TEXT, "Correction"),
    "quality": Field(Kind.TEXT, "Quality"),
}

DERIVED = ("change", "change_pct")
REFERENCES = ("previous_close", "open")
SCORES = ("home_score", "away_score")
GUARDED = frozenset({*SCORES, "status"})
"""A feed whose rows can have one of these is guarded: see ``ticker.guard``."""

GUARDS = frozenset({"correction", "clock_at"})
"""Fields that the guard sets."""


def kind_of(field: str) -> Kind:
    """Return the kind of ``field``; fields without a name of their own are read as they come."""
    known = KNOWN.get(field)
    return known.kind if known else Kind.AUTO


def label_of(field: str) -> str:
    """Return what people read above the column of ``field``."""
    known = KNOWN.get(field)
    return known.label if known else field.replace("_", " ").capitalize()


def derivable(fields: Iterable[str]) -> set[str]:
    """Return which fields rows with ``fields`` get from this program."""
    given = set(fields)
    derived: set[str] = set()
    if "last" in given and given & set(REFERENCES):
        derived.update(DERIVED)
    if given & set(SCORES):
        derived.add("correction")
    if "clock" in given and given & GUARDED:
        derived.add("clock_at")
    return derived - given


def derive(row: dict[str, Any]) -> None:
    """Add ``change`` and ``change_pct`` where ``row`` has no own and a reference price.

    The reference is the previous close where there is one, else the open. ``change`` is exact for
    prices of up to 15 digits, ``change_pct`` is in percent with four decimals. What is too
    large for a number is left out.
    """
    last = row.get("last")
    reference = row.get("previous_close")
    if reference is None:
        reference = row.get("open")
    if not is_number(last) or not is_number(reference):
        return
    change = _difference(last, reference)
    if "change" not in row and math.isfinite(change):
        row["change"] = change
    if "change_pct" not in row and reference:
        percent = (last - reference) / reference * 100
        if math.isfinite(percent):
            row["change_pct"] = round(percent, 4)


_NUMERIC = frozenset({int, float})


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a JSON value is a number; true and false are none."""
    return type(value) in _NUMERIC


def _difference(one: float, other: float) -> float:
    """Return ``one - other`` without the noise of binary fractions: 0.3 - 0.1 is 0.2.

    A float holds 15 decimal digits of the larger number; what is beyond them is noise.
    """
    larger = max(abs(one), abs(other))
    if (isinstance(one, int) and isinstance(other, int)) or not larger:
        return one - other
    return round(one - other, 14 - math.floor(math.log10(larger)))
