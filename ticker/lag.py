"""How late the event loop is: what every viewer waits for when one thing takes too long."""

from __future__ import annotations

import asyncio
from collections import deque
from time import monotonic

STEP_SECONDS = 0.1
KEPT = 600
"""Measurements remembered: a minute of them."""


class LoopLag:
    """Measures by how much a sleep of a tenth of a second is late, again and again."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)

    async def measure_forever(self) -> None:
        """Measure until cancelled."""
        while True:
            due = monotonic() + STEP_SECONDS
            await asyncio.sleep(STEP_SECONDS)
            self._late.append(max(0.0, monotonic() - due))

    def quantiles(self) -> dict[str, float]:
        """Return the last minute's median, 99th percentile and maximum, in seconds."""
        late = sorted(self._late) or [0.0]
        last = len(late) - 1
        return {"p50": late[last // 2], "p99": late[last * 99 // 100], "max": late[-1]}

    def wire(self) -> dict[str, float]:
        """Return the same in milliseconds."""
        return {name: round(seconds * 1000, 2) for name, seconds in self.quantiles().items()}
