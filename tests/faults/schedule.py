"""Which faults come when: all of it follows from a seed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.world import World

Do = Callable[["World", random.Random, float], Awaitable[None]]

SHORTEST, LONGEST = 0.5, 6.0
EVERY = 1.2
"""Seconds between two faults, on average: so two to three are there at a time."""


@dataclass(frozen=True)
class Fault:
    """A way to make things ill for some seconds; what it did is undone when ``do`` returns.

    ``logs`` are patterns of log lines that it may cause, ``longest`` how long it may last.
    ``loses`` says that viewers who did nothing may lose their connection by it.
    """

    name: str
    do: Do
    logs: Sequence[str]
    longest: float
    loses: bool
    errors: Sequence[str] = ()
    """Patterns of log lines of level error that it may cause."""


FAULTS: dict[str, Fault] = {}


def fault(
    name: str,
    *,
    logs: Sequence[str] = (),
    longest: float = LONGEST,
    loses: bool = False,
    errors: Sequence[str] = (),
) -> Callable[[Do], Do]:
    """Register a fault by its name, which begins with what it is done to: ``upstream: drips``."""

    def register(do: Do) -> Do:
        assert name not in FAULTS, f"two faults '{name}'"
        FAULTS[name] = Fault(name, do, logs, longest, loses, errors)
        return do

    return register


@dataclass(frozen=True)
class Event:
    """One fault of a schedule: when it begins, for how long, and its own randomness."""

    at: float
    name: str
    seconds: float
    seed: int

    def __str__(self) -> str:
        return f"{self.at:6.2f} s  {self.name} for {self.seconds:.2f} s"


CLUSTERED = ("bus", "upstream", "viewers")
"""What faults in a cluster are done to."""


def plan(seed: int, seconds: float, only: str = "", *, cluster: bool = False) -> list[Event]:
    """Return the schedule of a seed: each fault comes before any comes again.

    ``only`` takes those whose name has it.
    """
    rng = random.Random(seed)
    names = [
        name
        for name in sorted(FAULTS)
        if only in name and (name.startswith(CLUSTERED) if cluster else not name.startswith("bus"))
    ]
    events: list[Event] = []
    deck: list[str] = []
    at = rng.uniform(0, EVERY)
    while at < seconds - SHORTEST:
        if not deck:
            deck = rng.sample(names, len(names))
        name = deck.pop()
        longest = min(FAULTS[name].longest, seconds - at)
        lasts = rng.uniform(min(SHORTEST, longest), longest)
        events.append(Event(round(at, 3), name, round(lasts, 3), rng.getrandbits(32)))
        at += rng.expovariate(1 / EVERY)
    return events
