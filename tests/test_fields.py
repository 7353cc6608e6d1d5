"""What is derived from a row, and how fields are named."""

from __future__ import annotations

from typing import Any

import pytest

from ticker import fields


@pytest.mark.parametrize(
    ("row", "derived"),
    [
        ({"last": 191.31, "open": 190.12}, {"change": 1.19, "change_pct": 0.6259}),
        ({"last": 0.3, "previous_close": 0.1}, {"change": 0.2, "change_pct": 200.0}),
        ({"last": 2, "open": 1, "previous_close": 4}, {"change": -2, "change_pct": -50.0}),
        ({"last": 2.9e-7, "open": 3.1e-7}, {"change": -2e-8, "change_pct": -6.4516}),
        ({"last": 1, "open": 0}, {"change": 1}),
        ({"last": 1, "open": 0.9}, {"change": 0.1, "change_pct": 11.1111}),
        ({"last": 10**18 + 1, "open": 10**18}, {"change": 1, "change_pct": 0.0}),
        ({"last": 5127.2, "open": 7706.52}, {"change": -2579.32, "change_pct": -33.4693}),
        ({"last": 1}, {}),
        ({"open": 1}, {}),
        ({"last": "x", "open": 1}, {}),
        ({"last": True, "open": 1}, {}),
        ({"last": 2, "open": 1, "change": 7}, {"change_pct": 100.0}),
        ({"last": 2, "open": 1, "change": 7, "change_pct": 8}, {}),
        ({"last": 1e308, "open": -1e308}, {}),
        ({"last": 1e308, "open": 5e-324}, {"change": 1e308}),
    ],
)
def test_derive(row: dict[str, Any], derived: dict[str, float]) -> None:
    """Change has the prices' own decimals, and the source's value is never replaced."""
    whole = dict(row)
    fields.derive(whole)
    assert whole == {**row, **derived}


def test_derivable_needs_a_reference() -> None:
    """Without open or previous close nothing can be derived."""
    assert fields.derivable({"last", "open"}) == {"change", "change_pct"}
    assert fields.derivable({"last", "open", "change"}) == {"change_pct"}
    assert fields.derivable({"last"}) == set()


def test_what_the_guard_adds_to_scores() -> None:
    """A correction where there are scores, and the time of a game's clock."""
    assert fields.derivable({"home_score", "clock"}) == {"correction", "clock_at"}
    assert fields.derivable({"status", "clock", "clock_at"}) == set()
    assert fields.derivable({"clock"}) == set()


def test_known_fields_have_labels_and_kinds() -> None:
    """People read other words than programs."""
    assert fields.label_of("previous_close") == "Prev. close"
    assert fields.kind_of("previous_close") is fields.Kind.PRICE


def test_fields_without_a_name_of_their_own() -> None:
    """Any field may be mapped; it is shown under its own name."""
    assert fields.label_of("market_cap") == "Market cap"
    assert fields.kind_of("market_cap") is fields.Kind.AUTO
