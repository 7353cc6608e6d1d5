"""Merge patches over rows."""

from __future__ import annotations

import hypothesis.strategies as st
from hypothesis import given

from ticker import diff
from ticker.diff import Patch, Rows

FIELD = st.sampled_from("abc")
VALUE = st.one_of(st.integers(), st.text(max_size=3), st.lists(st.integers(), max_size=2))
STATE = st.dictionaries(st.sampled_from("XYZ"), st.dictionaries(FIELD, VALUE))
PATCH = st.dictionaries(
    st.sampled_from("XYZ"), st.none() | st.dictionaries(FIELD, st.none() | VALUE)
)


def rfc7396(target: object, patch: object) -> object:
    """MergePatch as RFC 7396, section 2, writes it, for comparison."""
    if not isinstance(patch, dict):
        return patch
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = rfc7396(result.get(name), value)
    return result


@given(STATE, PATCH)
def test_apply_is_rfc_7396(rows: Rows, patch: Patch) -> None:
    """Our two levels do what the RFC's recursion does."""
    assert diff.apply(rows, patch) == rfc7396(rows, patch)


@given(STATE, PATCH)
def test_apply_leaves_its_argument_alone(rows: Rows, patch: Patch) -> None:
    """Whoever holds the old rows still holds them."""
    before = {symbol: dict(row) for symbol, row in rows.items()}
    diff.apply(rows, patch)
    assert rows == before


@given(STATE, STATE)
def test_compare_leads_from_one_row_to_the_other(rows: Rows, others: Rows) -> None:
    """Applying what compare found gives the new row."""
    for old in rows.values():
        for new in others.values():
            assert diff.apply({"r": old}, {"r": diff.compare(old, new)}) == {"r": new}


@given(st.dictionaries(FIELD, VALUE))
def test_compare_of_equal_rows_is_empty(row: dict[str, object]) -> None:
    """Equal states give no diff."""
    assert diff.compare(row, dict(row)) == {}


@given(STATE, PATCH.filter(lambda patch: None not in patch.values()), PATCH)
def test_merge_does_both(rows: Rows, first: Patch, second: Patch) -> None:
    """One merged patch does what two do, when none of them removes and brings back a row."""
    both = diff.apply(diff.apply(rows, first), second)
    assert diff.apply(rows, diff.merge(first, second)) == both


def test_merge_of_two_changes_has_both() -> None:
    """What the second does not name stays as the first has it."""
    first: Patch = {"A": {"last": 1, "name": "x"}, "B": {"last": 5}}
    second: Patch = {"A": {"last": 2}, "B": None}
    assert diff.merge(first, second) == {"A": {"last": 2, "name": "x"}, "B": None}


def test_merge_of_a_removal_and_a_full_return() -> None:
    """A row that comes back, clearing what it had, replaces the removal."""
    rows: Rows = {"A": {"last": 1, "name": "x"}}
    gone: Patch = {"A": None}
    back: Patch = {"A": {"last": 2, "name": None}}
    assert diff.apply(rows, diff.merge(gone, back)) == {"A": {"last": 2}}
