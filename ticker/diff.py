"""Diffs: RFC 7396 merge patches over ``{symbol: row}``, two levels deep.

A row is a flat map of field to value, so a patch needs no recursion: ``None`` for a symbol removes
the row, ``None`` for a field clears it, anything else replaces it (arrays whole).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Row = dict[str, Any]
Rows = dict[str, Row]
RowPatch = dict[str, Any] | None
Patch = dict[str, RowPatch]


def compare(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that lead from row ``old`` to row ``new``; empty when they are equal."""
    if old.keys() == new.keys():  # nearly always, and faster
        return {field: value for field, value in new.items() if old[field] != value}
    patch = {field: value for field, value in new.items() if old.get(field) != value}
    return patch | {field: None for field in old if field not in new}


def apply(rows: Rows, patch: Patch) -> Rows:
    """Return ``rows`` after ``patch``, leaving the argument as it was."""
    result = dict(rows)
    for symbol, change in patch.items():
        if change is None:
            result.pop(symbol, None)
            continue
        row = {**result.get(symbol, {}), **change}
        result[symbol] = {field: value for field, value in row.items() if value is not None}
    return result


def merge(first: Patch, second: Patch) -> Patch:
    """Return the one patch that does what ``first`` and then ``second`` do.

    Merge patches compose only if a patch that brings a removed row back also clears the fields the
    row had before; diffs of a board do (see ``Board.flush``).
    """
    result = dict(first)
    for symbol, change in second.items():
        before = result.get(symbol)
        joined = before is not None and change is not None
        result[symbol] = {**before, **change} if joined else change  # type: ignore[dict-item] # joined
    return result
