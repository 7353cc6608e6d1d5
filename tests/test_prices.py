"""The simulated prices keep the promises of real quotes, for any seed, price and step."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.diff import Rows
from ticker.feeds.prices import PriceWalk, decimals_of

SHARES = {"AAPL": 190.12, "MSFT": 411.02, "NVDA": 875.28}
PRICES = ("last", "open", "high", "low", "bid", "ask", "previous_close")

seeds = st.integers(0, 2**32)
closes = st.floats(1e-8, 1e6)
volatilities = st.floats(0.0, 3.0)
steps = st.lists(st.floats(0.0, 100_000.0), min_size=1, max_size=20)


def run(walk: PriceWalk, steps: list[float]) -> list[Rows]:
    """Return the rows of each step."""
    return [walk.step(seconds) for seconds in steps]


def quotes(close: float, seed: int, volatility: float, steps: list[float]) -> list[dict[str, Any]]:
    """Return every row that one symbol had."""
    walk = PriceWalk({"X": close}, seed=seed, volatility=volatility)
    return [rows["X"] for rows in run(walk, steps) if rows]


@given(closes, seeds, volatilities, steps)
def test_last_and_open_lie_between_low_and_high(
    close: float, seed: int, volatility: float, steps: list[float]
) -> None:
    """The day's range holds the open and the last price."""
    for row in quotes(close, seed, volatility, steps):
        assert row["low"] <= row["last"] <= row["high"]
        assert row["low"] <= row["open"] <= row["high"]


@given(closes, seeds, volatilities, steps)
def test_last_lies_between_bid_and_ask(
    close: float, seed: int, volatility: float, steps: list[float]
) -> None:
    """Bid and ask are apart and enclose the last price."""
    for row in quotes(close, seed, volatility, steps):
        assert row["bid"] < row["ask"]
        assert row["bid"] <= row["last"] <= row["ask"]


@given(closes, seeds, volatilities, steps)
def test_prices_are_positive_multiples_of_the_tick(
    close: float, seed: int, volatility: float, steps: list[float]
) -> None:
    """Written out, a price has at most the decimals of its tick, and it is above 0."""
    tick = Decimal(1).scaleb(-decimals_of(close))
    for row in quotes(close, seed, volatility, steps):
        for field in PRICES:
            assert row[field] > 0
            assert Decimal(repr(row[field])) % tick == 0


@given(closes, seeds, volatilities, steps)
def test_volume_high_and_low_only_grow(
    close: float, seed: int, volatility: float, steps: list[float]
) -> None:
    """From one row to the next, volume and high never fall, and low never rises."""
    rows = quotes(close, seed, volatility, steps)
    for before, after in pairwise(rows):
        assert before["volume"] <= after["volume"]
        assert before["high"] <= after["high"]
        assert before["low"] >= after["low"]


@given(seeds, steps)
def test_same_seed_and_steps_give_the_same_rows(seed: int, steps: list[float]) -> None:
    """A walk can be repeated."""
    once = run(PriceWalk(SHARES, seed=seed), steps)
    assert once == run(PriceWalk(SHARES, seed=seed), steps)


@given(seeds, steps)
def test_other_symbols_change_nothing(seed: int, steps: list[float]) -> None:
    """A symbol walks alone as it does behind others."""
    alone = run(PriceWalk({"AAPL": 190.12}, seed=seed), steps)
    among = run(PriceWalk({"NEW": 3.5, "MSFT": 411.02, "AAPL": 190.12}, seed=seed), steps)
    assert [rows.get("AAPL") for rows in among] == [rows.get("AAPL") for rows in alone]


def test_rows_do_not_depend_on_the_process() -> None:
    """Another interpreter, with another hash seed, gets the same rows."""
    program = (
        "import orjson; from ticker.feeds.prices import PriceWalk;"
        "walk = PriceWalk({'AAPL': 190.12}, seed=7); walk.step(60);"
        "print(orjson.dumps(walk.step(60)).decode())"
    )
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    walk = PriceWalk({"AAPL": 190.12}, seed=7)
    walk.step(60)
    assert orjson.loads(printed.stdout) == walk.step(60)


def test_seeds_differ() -> None:
    """Another seed is another day."""
    assert PriceWalk(SHARES, seed=1).step(60) != PriceWalk(SHARES, seed=2).step(60)


def test_symbols_differ() -> None:
    """Two symbols with the same price and seed do not move together."""
    rows = PriceWalk({"A": 50.0, "B": 50.0}, seed=1).step(600)
    assert rows["A"] != rows["B"]


def test_first_step_returns_every_symbol() -> None:
    """A board is full from its first tick, even if no time passed."""
    assert PriceWalk(SHARES, seed=1).step(0).keys() == SHARES.keys()


def test_without_time_nothing_trades() -> None:
    """A step of no length returns no row after the first."""
    walk = PriceWalk(SHARES, seed=1)
    walk.step(0)
    assert walk.step(0) == {}


def test_some_symbols_trade_in_a_step() -> None:
    """In a quarter of a second, some of many symbols trade, but not all."""
    walk = PriceWalk({f"S{n}": 100.0 for n in range(300)}, seed=1)
    walk.step(0)
    assert 50 < len(walk.step(0.25)) < 150


def test_every_trade_adds_volume() -> None:
    """A row is returned only where something was traded."""
    walk = PriceWalk(SHARES, seed=1)
    before = walk.step(0)
    for symbol, row in walk.step(60).items():
        assert row["volume"] > before[symbol]["volume"]


def test_rows_are_new() -> None:
    """Who gets a row owns it: later steps leave it as it was."""
    walk = PriceWalk(SHARES, seed=1)
    first = walk.step(0)
    kept = {symbol: dict(row) for symbol, row in first.items()}
    second = walk.step(600)
    assert first == kept
    assert all(second[symbol] is not first[symbol] for symbol in SHARES)


def test_share_moves_within_seconds() -> None:
    """A share of 190.12 shows several prices within ten seconds."""
    walk = PriceWalk({"AAPL": 190.12}, seed=1)
    seen = {row["last"] for _ in range(40) for row in walk.step(0.25).values()}
    assert len(seen) >= 5


def test_previous_close_is_the_configured_price() -> None:
    """The starting price is yesterday's close, and stays so."""
    walk = PriceWalk(SHARES, seed=1)
    walk.step(0)
    rows = walk.step(3_600)
    assert {symbol: row["previous_close"] for symbol, row in rows.items()} == SHARES


def test_open_is_near_the_previous_close() -> None:
    """The gap over night is small and, over many symbols, goes both ways."""
    rows = PriceWalk({f"S{n}": 100.0 for n in range(100)}, seed=1).step(0)
    opens = [row["open"] for row in rows.values()]
    assert 97 < min(opens) < 100 < max(opens) < 103


def test_a_month_stays_near_the_previous_close() -> None:
    """After 30 days of minutes, the range is within a tenth of the close, and not narrow."""
    walk = PriceWalk({f"S{n}": 190.12 for n in range(5)}, seed=1)
    last: Rows = {}
    for _ in range(30 * 24 * 60):
        last |= walk.step(60)
    for row in last.values():
        assert 0.9 < row["low"] / 190.12 < 0.98
        assert 1.02 < row["high"] / 190.12 < 1.1


def test_one_huge_step_is_like_many() -> None:
    """A step of a year ends where a walk would be, not at its edge."""
    walk = PriceWalk({f"S{n}": 100.0 for n in range(100)}, seed=1)
    assert all(90 < row["last"] < 110 for row in walk.step(365 * 86_400).values())


def test_volatility_scales_the_moves() -> None:
    """A coin at 0.8 has a wider range than the same coin at 0.1."""

    def spread(volatility: float) -> float:
        walk = PriceWalk({"X": 1_000.0}, seed=1, volatility=volatility)
        row = [walk.step(10) for _ in range(500)][-1]["X"]
        return float(row["high"] - row["low"])

    assert spread(0.8) > 4 * spread(0.1)


def test_volume_stays_countable_in_a_browser() -> None:
    """Even the cheapest coin after ages has a volume that JavaScript reads exactly."""
    walk = PriceWalk({"X": 1e-8}, seed=1)
    assert walk.step(1e12)["X"]["volume"] == 2**53 - 1


@pytest.mark.parametrize(
    ("price", "decimals"),
    [
        (1e-8, 12),
        (0.00001234, 8),
        (0.00999, 8),
        (0.01, 4),
        (0.9999, 4),
        (1.0, 2),
        (190.12, 2),
        (4_999.99, 2),
        (5_000.0, 1),
        (97_000.5, 1),
        (100_000.0, 0),
        (1e6, 0),
    ],
)
def test_tick_table(price: float, decimals: int) -> None:
    """The tick follows the price as the table says."""
    assert decimals_of(price) == decimals


@pytest.mark.parametrize("price", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_price_is_refused(price: float) -> None:
    """A start that no price can have is an error that names the symbol."""
    with pytest.raises(ValueError, match="symbol 'X': expected a price above 0"):
        PriceWalk({"X": price}, seed=1)
