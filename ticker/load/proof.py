"""The proof at the end of a run: what processes say a board is, and whether viewers have just that.

Processes go on while they are asked, so they are compared at an epoch and seq at which all of them
have been seen; a viewer is compared there, too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ticker.load.viewer import Rows, apply

Key = tuple[str, int]
"""Epoch and seq."""

KEPT = 100
"""Last states that are kept of each process."""
TRIED = 3
"""Last common states at which viewers are looked for."""


class Told:
    """What each process has said, by epoch and seq; the first is as good as any."""

    def __init__(self, urls: Sequence[str]) -> None:
        self._states: dict[str, dict[Key, Rows]] = {url: {} for url in urls}

    def hear(self, url: str, key: Key, rows: Rows) -> None:
        """Take note of the state of one process."""
        states = self._states[url]
        states.setdefault(key, rows)
        if len(states) > KEPT:
            del states[next(iter(states))]

    def silent(self) -> list[str]:
        """Return who has said nothing."""
        return [url for url, states in self._states.items() if not states]

    def apart(self) -> dict[str, str]:
        """Return who does not agree with the most, and where it was last."""
        group = self._group()
        lasts = {url: next(reversed(states)) for url, states in self._states.items() if states}
        return {
            url: f"epoch {epoch}, seq {seq}"
            for url, (epoch, seq) in lasts.items()
            if url not in group
        }

    def settled(self) -> bool:
        """Whether all agree, but for those that had other rows: these never will."""
        group = self._group()
        return all(any(self._unlike(url, other) for other in group) for url in self.apart())

    def common(self) -> dict[str, dict[Key, Rows]]:
        """Return, of each that agrees with the most, its last states at which another was too."""
        group = self._group()
        found = {}
        for url in group:
            others = [self._states[other] for other in group if other != url] or [self._states[url]]
            states = self._states[url]
            keys = [key for key in states if any(key in other for other in others)]
            found[url] = {key: states[key] for key in keys[-TRIED:]}
        return found

    def _group(self) -> list[str]:
        """Return those that agree with one, as many as there are."""
        spoken = [url for url, states in self._states.items() if states]
        groups = [[other for other in spoken if self._agree(url, other)] for url in spoken]
        return max(groups, key=len, default=[])

    def _agree(self, one: str, other: str) -> bool:
        """Whether two were seen at the same place, and had the same rows wherever they were."""
        shared = self._states[one].keys() & self._states[other].keys()
        return bool(shared) and not self._unlike(one, other)

    def _unlike(self, one: str, other: str) -> bool:
        """Whether two had different rows at the same place."""
        mine, theirs = self._states[one], self._states[other]
        return any(mine[key] != theirs[key] for key in mine.keys() & theirs.keys())


@dataclass
class Proof:
    """What one generator process found out; ``converged`` of its ``sampled`` viewers are right."""

    sampled: int = 0
    converged: int = 0
    silent: list[str] = field(default_factory=list)
    apart: dict[str, str] = field(default_factory=dict)
    agreed: dict[str, Key] = field(default_factory=dict)
    """Where processes that agree were last seen to do so."""

    def add(self, other: Mapping[str, Any]) -> None:
        """Add what another generator process found out, as a mapping of its fields."""
        self.sampled += other["sampled"]
        self.converged += other["converged"]
        self.silent = sorted({*self.silent, *other["silent"]})
        self.apart = {**self.apart, **other["apart"]}
        self.agreed = {**self.agreed, **other["agreed"]}


def state_at(
    seq: int, base: int, rows: Rows, trail: Sequence[tuple[int, dict[str, Any]]]
) -> Rows | None:
    """Return what a viewer had at ``seq``; None when it was never there."""
    state = dict(rows)
    if base == seq:
        return state
    for reached, patch in trail:
        apply(state, patch)
        if reached == seq:
            return state
    return None
