"""Whether a run was good: assertions in words, and when a run proves nothing."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ticker.errors import TickerError

METRICS = {
    "p50": "ms",
    "p90": "ms",
    "p95": "ms",
    "p99": "ms",
    "p999": "ms",
    "max": "ms",
    "connected": "",
    "refused": "",
    "lost": "",
    "gaps": "",
    "duplicates": "",
    "resyncs": "",
    "conflated": "",
    "errors": "",
    "moves": "",
    "reconnected": "",
    "resumed": "",
    "resnapshots": "",
    "resnapshot_percent": "",
    "backwards": "",
    "contradictions": "",
    "unconverged": "",
    "unreachable": "",
    "disagreeing": "",
    "messages_per_s": "",
    "bytes_per_s": "",
}
"""What can be asserted, with its unit."""

SATURATED_CPU = 0.95
SATURATED_LAG_MS = 100.0

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    ">=": operator.ge,
    "==": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}
_ASSERTION = re.compile(r"(\w+)\s*(<=|>=|==|<|>)\s*([\d.]+)\s*(ms|s)?")


@dataclass(frozen=True, slots=True)
class Assertion:
    """One condition on a metric; times are in milliseconds."""

    text: str
    metric: str
    holds: Callable[[float], bool]

    def check(self, metrics: Mapping[str, float | None]) -> str | None:
        """Return what is wrong, None when it holds. What was not measured does not hold."""
        found = metrics.get(self.metric)
        if found is None:
            return f"{self.text}: nothing was measured"
        return None if self.holds(found) else f"{self.text}: it is {found:g}"


def parse(text: str) -> list[Assertion]:
    """Return the assertions of ``p99<100ms,gaps==0``. Raises TickerError in words."""
    return [_parse_one(part.strip()) for part in text.split(",") if part.strip()]


def _parse_one(text: str) -> Assertion:
    match = _ASSERTION.fullmatch(text)
    if not match or match[1] not in METRICS:
        known = ", ".join(METRICS)
        raise TickerError(f"cannot read assertion '{text}'; expected such as p99<100ms, of {known}")
    metric, compare, number, unit = match.groups()
    if bool(unit) != (METRICS[metric] == "ms"):
        needs = "a unit, ms or s" if METRICS[metric] == "ms" else "no unit"
        raise TickerError(f"assertion '{text}': {metric} has {needs}")
    limit = float(number) * (1000 if unit == "s" else 1)
    return Assertion(text, metric, lambda found: _OPERATORS[compare](found, limit))


def saturated(cpu: float, lag_p99: float | None) -> str | None:
    """Return why the generator itself was too slow to measure anything, None when it was not.

    ``cpu`` is the busiest process's share of a core, ``lag_p99`` is in milliseconds.
    """
    if cpu > SATURATED_CPU:
        return f"a generator process used {cpu:.0%} of its core"
    if lag_p99 is not None and lag_p99 > SATURATED_LAG_MS:
        return f"the generator's loop was late by {lag_p99:.0f} ms (p99)"
    return None
