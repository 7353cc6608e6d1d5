"""Simulated prices: a seeded random walk per symbol, with the numbers a real quote has.

Pure: time comes in as seconds, randomness as a seed. Prices are counted in whole ticks, so every
value is the float nearest to a decimal with the tick's digits: 190.12, never 190.11999999999998.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping

from ticker.diff import Row, Rows
from ticker.fields import is_number

YEAR = 1_000_000.0
"""Seconds in which the walk spends one year's ``volatility``. A trading year has 5.9 million; the
shorter one lets a share of 190.12 at 0.2 move by about four ticks per second."""

HALF_LIFE = 7200.0
"""Seconds in which half of the distance to the previous close is taken back. With ``YEAR`` it keeps
a walk at 0.2 within about 2 % of that close (one standard deviation), for however long it runs."""

FARTHEST = math.log(10)
"""No price leaves the range from a tenth to ten times its previous close."""

TICKS = (
    # below this price, decimals of the tick
    (0.00001, 12),  # coins far below a cent, as exchanges that do not quote them by the thousand
    (0.01, 8),  # small coins: one hundred-millionth, the unit of bitcoin
    (1.0, 4),  # US shares below a dollar: Regulation NMS, rule 612
    (5_000.0, 2),  # US shares: the cent
    (100_000.0, 1),  # indices, bitcoin in dollars
    (math.inf, 0),  # dear shares and bitcoin in yen
)
"""Tick sizes. A symbol keeps the tick of its previous close, as exchanges set it per instrument."""

TRADE = 20_000.0
"""Turnover of a middling trade, in the currency of the price."""

LARGEST_TRADE = 100_000_000
LARGEST_VOLUME = 2**53 - 1  # what a browser can count


def decimals_of(price: float) -> int:
    """Return how many decimals the tick of a symbol at ``price`` has: the tick is ``10 ** -n``."""
    return next(decimals for below, decimals in TICKS if price < below)


class PriceWalk:
    """Quotes of ``symbols``, given as name to previous close.

    Every symbol has a generator of its own, made of ``seed`` and its name: the same seed and steps
    give the same rows on any machine, whatever other symbols there are. ``volatility`` is like an
    annual one (0.2 is a calm share, 0.8 a coin); see ``YEAR``. Raises ValueError for a price that
    is not a positive number.
    """

    def __init__(self, symbols: Mapping[str, float], *, seed: int, volatility: float = 0.2) -> None:
        self._walks = {
            symbol: _Walk(symbol, close, seed, volatility) for symbol, close in symbols.items()
        }
        self._shown = False

    def step(self, seconds: float) -> Rows:
        """Let ``seconds`` pass; return whole new rows of the symbols that traded meanwhile.

        The first call returns every symbol.
        """
        every, self._shown = not self._shown, True
        return {s: walk.row() for s, walk in self._walks.items() if walk.advance(seconds) or every}

    def resume(self, rows: Rows) -> None:
        """Go on from quotes that were given by a walk like this one."""
        for symbol, walk in self._walks.items():
            if symbol in rows:
                walk.resume(rows[symbol])


class _Walk:
    """One symbol. Prices are in ticks; ``_log`` is ln(price / previous close) before rounding."""

    def __init__(self, symbol: str, close: float, seed: int, volatility: float) -> None:
        if not 0 < close < math.inf:
            raise ValueError(f"symbol {symbol!r}: expected a price above 0, got {close!r}")
        self._name = f"{seed}:{symbol}"
        rng = self._random = random.Random(self._name)  # noqa: S311 (a demo, no secret)
        self._scale: int = 10 ** decimals_of(close)
        self._close: int = max(1, round(close * self._scale))
        self._sigma = volatility / math.sqrt(YEAR)  # per square root of a second
        self._rate = rng.uniform(0.4, 3.0)  # trades per second
        self._size = min(LARGEST_TRADE, max(1.0, TRADE / close))  # units in a middling trade
        self._log = _clamp(rng.gauss(0.0, volatility / 50))  # the gap over night
        self._open = self._last = self._high = self._low = self._ticks()
        self._volume = round(self._size * rng.uniform(500, 5_000))  # the opening auction
        self._idle = 0.0  # seconds since the last trade
        self._quote()

    def resume(self, row: Row) -> None:
        """Go on from a quote, unless it is of another walk."""
        names = "last", "open", "high", "low", "bid", "ask", "previous_close"
        found = [row.get(name) for name in names]
        if not all(is_number(value) and value > 0 for value in [*found, row.get("volume")]):
            return
        last, opened, high, low, bid, ask, close = (round(v * self._scale) for v in found if v)
        if close != self._close:
            return
        self._last, self._open, self._high, self._low = last, opened, high, low
        self._bid, self._ask, self._volume = bid, ask, row["volume"]
        self._log = _clamp(math.log(max(1, last) / close))
        # other trades than those that there were: the volume is never the same twice
        self._random = random.Random(f"{self._name}:{self._volume}")  # noqa: S311 (as above)

    def advance(self, seconds: float) -> bool:
        """Let ``seconds`` pass; return whether the symbol traded."""
        self._idle += max(0.0, seconds)
        if self._random.random() >= -math.expm1(-self._rate * max(0.0, seconds)):
            return False
        self._move(self._idle)
        self._last = self._ticks()
        self._high = max(self._high, self._last)
        self._low = min(self._low, self._last)
        trades = max(1.0, self._rate * self._idle)
        size = min(LARGEST_TRADE, self._size * self._random.lognormvariate(0.0, 1.0))
        self._volume = min(LARGEST_VOLUME, self._volume + max(1, round(trades * size)))
        self._quote()
        self._idle = 0.0
        return True

    def row(self) -> Row:
        """Return the quote as a new row."""
        scale = self._scale  # dividing whole numbers gives the float nearest to the decimal
        return {
            "last": self._last / scale,
            "open": self._open / scale,
            "high": self._high / scale,
            "low": self._low / scale,
            "volume": self._volume,
            "bid": self._bid / scale,
            "ask": self._ask / scale,
            "previous_close": self._close / scale,
        }

    def _move(self, seconds: float) -> None:
        """Walk for ``seconds``: the exact step of an Ornstein-Uhlenbeck process, for any length."""
        pull = math.log(2) / HALF_LIFE
        deviation = self._sigma * math.sqrt(-math.expm1(-2 * pull * seconds) / (2 * pull))
        kept = self._log * math.exp(-pull * seconds)
        self._log = _clamp(kept + self._random.gauss(0.0, deviation))

    def _ticks(self) -> int:
        return max(1, round(self._close * math.exp(self._log)))

    def _quote(self) -> None:
        """Set bid and ask around ``_last``, which traded at one of them; no bid is below a tick."""
        spread = max(1, round(self._last * self._random.uniform(0.00005, 0.0002)))
        sold = self._random.random() < 0.5
        self._bid = self._last if sold else max(1, self._last - spread)
        self._ask = self._bid + spread


def _clamp(log: float) -> float:
    return max(-FARTHEST, min(FARTHEST, log))
