"""The `simulate` feed: one seeded step of a simulator per reading, whatever the clock says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ticker.config import SimulatedPrices, SimulatedScores
from ticker.diff import Rows
from ticker.feeds import Reading
from ticker.feeds.games import Games, Sport
from ticker.feeds.prices import PriceWalk


class SimulatedPriceFeed:
    """A random walk of prices; the same seed gives the same sequence."""

    def __init__(self, settings: SimulatedPrices) -> None:
        self._every = settings.every
        self._walk = PriceWalk(settings.symbols, seed=settings.seed, volatility=settings.volatility)

    async def read(self, now: float) -> Reading | None:  # noqa: ARG002 - steps, not the clock
        """Return the rows that traded in this step."""
        return Reading(self._walk.step(self._every))

    def adjust(self, settings: SimulatedPrices) -> None:
        """Go on in other steps."""
        self._every = settings.every

    def memory(self, *, settled: bool) -> Mapping[str, Any]:  # noqa: ARG002 - nothing to tell
        """Return nothing: where prices are is in the rows."""
        return {}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - as above
        """Go on from the prices that are shown."""
        self._walk.resume(rows)

    async def close(self) -> None:
        """Hold nothing."""


class SimulatedScoreFeed:
    """Games going through their states; the same seed gives the same games."""

    def __init__(self, settings: SimulatedScores) -> None:
        self._seconds = settings.every * settings.speed
        self._speed = settings.speed
        self._at = 0.0
        self._games = Games(
            Sport(settings.sport),
            settings.teams,
            seed=settings.seed,
            league=settings.league,
            speed=settings.speed,
        )

    async def read(self, now: float) -> Reading | None:
        """Return all games after this step."""
        self._at = now
        return Reading(self._games.step(self._seconds, round(now * 1000)), complete=True)

    def adjust(self, settings: SimulatedScores) -> None:
        """Go on in other steps."""
        self._seconds = settings.every * settings.speed

    def memory(self, *, settled: bool) -> Mapping[str, Any]:  # noqa: ARG002 - games only go on
        """Return how far the games are."""
        return {"at": self._at, **self._games.position()} if self._at else {}

    def resume(self, rows: Rows, memory: Mapping[str, Any], now: float) -> None:  # noqa: ARG002 - not all is in them
        """Go on with the games where they would be by now."""
        if memory:
            self._games.resume(memory)
            passed = (now - memory["at"]) * self._speed
            self._games.step(passed, round(now * 1000))

    async def close(self) -> None:
        """Hold nothing."""
