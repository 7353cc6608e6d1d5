"""Single values as sources write them -> values of a row.

Raises ValueError with what was expected and what came.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Any

from ticker.fields import Kind, is_number

TEXT_LIMIT = 1_000
"""Longest text in a cell, in characters."""

LIST_LIMIT = 200
"""Longest list in a cell."""

DEPTH_LIMIT = 4
"""Most levels of lists and objects in a cell that is a list."""

_BLANK_NUMBERS = {"", "-", "--", "n/a", "na", "null", "none"}
_BLANK_ANYTHING = {"-", "--", "n/a", "N/A"}  # where text is possible; NA may be Namibia
_NUMBER = re.compile(r"[-+−]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?\s*%?")
_BASIC_DATE = re.compile(r"(19|20)\d{6}")
_LEADING_ZEROS = re.compile(r"[-+]?0\d")
_ISO_DURATION = re.compile(r"PT(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)(?:\.\d+)?S)?")
_LARGEST_INTEGER = 2**53  # beyond it browsers round


def convert(raw: Any, kind: Kind) -> Any:
    """Return ``raw`` as a value of ``kind`` (times: see ``time_ms``), None where it is blank."""
    if raw is None:
        return None
    if kind.numeric:
        return number(raw)
    if kind is Kind.AUTO:
        return _auto(raw)
    if isinstance(raw, (dict, list)):
        raise ValueError(f"expected text, got {describe(raw)}")
    value = text(raw)
    return _clock(value) if kind is Kind.CLOCK and value else value


def number(raw: Any) -> float | int | None:
    """Return a number: from JSON as it is, from text with thousands, exponent or percent sign.

    ``"1,234.50"`` is 1234.5, ``"-0.58%"`` is -0.58, ``"N/A"`` and the like are None.
    """
    if is_number(raw):
        return _finite(raw, raw)
    if not isinstance(raw, str):
        raise ValueError(f"expected a number, got {describe(raw)}")
    stripped = raw.strip()
    if stripped.lower() in _BLANK_NUMBERS:
        return None
    if not _NUMBER.fullmatch(stripped):
        raise ValueError(f"expected a number, got {describe(raw)}")
    plain = stripped.rstrip("% ").replace(",", "").replace("−", "-")
    if plain.lstrip("+-").isdigit():
        return _finite(int(plain) if len(plain) < 20 else float(plain), raw)
    return _finite(float(plain), raw)


def text(raw: Any) -> str | None:
    """Return text without surrounding space; None where nothing is left."""
    if isinstance(raw, bool):
        return "true" if raw else "false"
    return _short(str(raw).strip()) or None


def time_ms(raw: Any, zone: tzinfo, layout: str | None = None) -> int | None:
    """Return epoch milliseconds from ISO 8601, RFC 2822, or Unix time in s, ms, µs or ns.

    ``layout`` is a strptime format for anything else; ``zone`` is for times that name none.
    """
    if raw is None or (isinstance(raw, str) and raw.strip().lower() in _BLANK_NUMBERS):
        return None
    if layout is not None:
        return _milliseconds(datetime.strptime(str(raw).strip(), layout), zone)
    unix = not (isinstance(raw, str) and _BASIC_DATE.fullmatch(raw.strip()))  # 20251120 is a day
    if (unix and is_number(raw)) or (
        unix and isinstance(raw, str) and re.fullmatch(r"-?\d+(\.\d+)?", raw.strip())
    ):
        return _from_unix(float(_finite(raw, raw) if is_number(raw) else raw))
    if isinstance(raw, str):
        for parse in (datetime.fromisoformat, parsedate_to_datetime):
            try:
                return _milliseconds(parse(raw.strip()), zone)
            except (ValueError, OverflowError):
                continue
    raise ValueError(f"expected a time (ISO 8601 or Unix), got {describe(raw)}")


def describe(raw: Any) -> str:
    """Return what came, short enough for a message."""
    if raw is None:
        return "null"
    if isinstance(raw, dict):
        return f"an object with {len(raw)} members"
    if isinstance(raw, list):
        return f"a list of {len(raw)}"
    shown = str(raw)
    if not isinstance(raw, str):
        return shown[:40].lower()
    return f"'{shown[:40]}…'" if len(shown) > 40 else f"'{shown}'"


def _auto(raw: Any) -> Any:
    """Return the value as it comes, only text that is a number becomes one."""
    if isinstance(raw, str):
        value = text(raw)
        if value in _BLANK_ANYTHING:
            return None
        if value and _NUMBER.fullmatch(value) and not _LEADING_ZEROS.match(value):
            try:
                return number(value)
            except ValueError:
                return value
        return value
    if isinstance(raw, bool):
        return raw
    if isinstance(raw, list):
        return _list(raw)
    if isinstance(raw, dict):
        raise ValueError(f"expected a value, got {describe(raw)}")
    return number(raw)


def _list(raw: Sequence[Any], depth: int = 1) -> list[Any]:
    if len(raw) > LIST_LIMIT:
        raise ValueError(f"expected at most {LIST_LIMIT} entries, got {len(raw)}")
    return [_entry(entry, depth) for entry in raw]


def _entry(raw: Any, depth: int) -> Any:
    """Return an entry of a list as it is, if it is of bounded depth, size and value."""
    if isinstance(raw, (list, dict)) and depth >= DEPTH_LIMIT:
        raise ValueError(f"expected at most {DEPTH_LIMIT} levels of lists and objects")
    if isinstance(raw, list):
        return _list(raw, depth + 1)
    if isinstance(raw, dict):
        if len(raw) > LIST_LIMIT:
            raise ValueError(f"expected at most {LIST_LIMIT} members, got {len(raw)}")
        return {_short(name): _entry(value, depth + 1) for name, value in raw.items()}
    if isinstance(raw, str):
        return _short(raw)
    return _finite(raw, raw) if is_number(raw) else raw


def _short(value: str) -> str:
    if len(value) > TEXT_LIMIT:
        raise ValueError(f"expected at most {TEXT_LIMIT} characters, got {len(value)}")
    return value


def _finite(value: float, raw: Any) -> float | int:
    try:
        if abs(value) > _LARGEST_INTEGER:
            value = float(value)
    except OverflowError:
        value = math.inf
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {describe(raw)}")
    return value


def _clock(value: str) -> str:
    """Return ``11:43`` for the ISO 8601 duration ``PT11M43.00S``; other text as it is."""
    match = _ISO_DURATION.fullmatch(value)
    if not match:
        return value
    hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return f"{hours * 60 + minutes}:{seconds:02}"


def _from_unix(value: float) -> int:
    for limit, factor in ((1e11, 1e3), (1e14, 1.0), (1e17, 1e-3), (1e20, 1e-6)):
        if abs(value) < limit:
            return round(value * factor)
    raise ValueError(f"expected a Unix time, got {value:g}")


def _milliseconds(moment: datetime, zone: tzinfo) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return round(moment.timestamp() * 1000)
