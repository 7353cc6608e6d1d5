"""Viewers of a soak: crowds that stay, flap, hide and read slowly, in processes of their own.

They are those of `ticker load`, so at the end each sampled one must have the server's exact state.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, field

from ticker.errors import TickerError
from ticker.load.histogram import Histogram
from ticker.load.run import Load, Result, Second, run
from ticker.load.worker import Profile

RAMP_SECONDS = 5.0
SAMPLED = 200
"""Viewers of a crowd that decode everything and go on where they were when they come back."""


@dataclass(frozen=True)
class Kind:
    """A crowd: its share of all viewers, what it watches, and how it behaves.

    ``move`` is the share of it that leaves each second and comes back at once.
    """

    name: str
    share: float
    board: str
    profile: Profile
    move: float
    deflate: bool = True


KINDS = (
    Kind("stay, mostly", 0.45, "prices", "viewers", 0.005),
    Kind("without deflate", 0.10, "prices", "viewers", 0.005, deflate=False),
    Kind("lose their connection every 5 s", 0.10, "mixed", "flappy", 0.0),
    Kind("hide and show their page", 0.15, "coins", "hidden", 0.005),
    Kind("a fifth reads 2 KB/s", 0.15, "wide", "slow", 0.005),
    Kind("watch games", 0.05, "games", "viewers", 0.01),
)
MEASURED = ("stay, mostly", "without deflate")
"""Those whose latency counts: the others are late on purpose."""


class Crowd(threading.Thread):
    """One kind of viewers, from the ramp to the proof at the end."""

    def __init__(self, kind: Kind, url: str, viewers: int, seconds: float, token: str) -> None:
        super().__init__(name=kind.name, daemon=True)
        self.kind, self._token = kind, token
        self._load = Load(
            urls=(url,),
            viewers=max(1, round(viewers * kind.share)),
            ramp=RAMP_SECONDS,
            duration=seconds,
            board=kind.board,
            procs=1,
            profile=kind.profile,
            deflate=kind.deflate,
            sample=SAMPLED,
            move=kind.move,
        )
        self._latest: Second | None = None
        self._before: Counter[int] = Counter()
        self.result: Result | None = None
        self.trouble: str | None = None

    def run(self) -> None:
        """Be viewers."""
        try:
            self.result = run(self._load, self._show, self._token)
        except TickerError as error:
            self.trouble = str(error)

    def _show(self, second: Second) -> None:
        self._latest = second

    @property
    def connected(self) -> int:
        """How many there are."""
        return self._latest.counts["connected"] if self._latest else 0

    def latency(self) -> Histogram:
        """Return the latencies since this was asked last."""
        latest = self._latest
        now = Counter(latest.latency.counts()) if latest else Counter[int]()
        new, self._before = now - self._before, now
        return Histogram(new)

    def wrong(self) -> list[str]:
        """Return in words what must not be, at the end."""
        if self.result is None:
            return [f"{self.kind.name}: {self.trouble or 'no result'}"]
        counts, proof = self.result.final.counts, self.result.proof
        found = {name: counts[name] for name in ("gaps", "backwards", "contradictions")}
        found["not as the server"] = proof.sampled - proof.converged
        return [f"{self.kind.name}: {what} {n}" for what, n in found.items() if n]


@dataclass
class Crowds:
    """All kinds of viewers."""

    all: list[Crowd] = field(default_factory=list)

    @classmethod
    def start(cls, url: str, viewers: int, seconds: float, token: str) -> Crowds:
        """Let them come; each crowd ends by itself."""
        crowds = [Crowd(kind, url, viewers, seconds, token) for kind in KINDS]
        for crowd in crowds:
            crowd.start()
        return cls(crowds)

    @property
    def connected(self) -> int:
        """How many there are."""
        return sum(crowd.connected for crowd in self.all)

    def latency(self) -> Histogram:
        """Return the latencies of those that are measured, since this was asked last."""
        together = Histogram()
        for crowd in self.all:
            if crowd.kind.name in MEASURED:
                together.merge(crowd.latency())
        return together

    def finish(self) -> None:
        """Wait until all have ended."""
        for crowd in self.all:
            crowd.join()

    def wrong(self) -> list[str]:
        """Return in words what must not be."""
        return [words for crowd in self.all for words in crowd.wrong()]

    def count(self, name: str) -> int:
        """Return the sum of a count over all, at the end."""
        return sum(it.result.final.counts[name] for it in self.all if it.result)

    @property
    def proof(self) -> tuple[int, int]:
        """How many were compared with the server at the end, and how many had its state."""
        proofs = [crowd.result.proof for crowd in self.all if crowd.result]
        return sum(it.sampled for it in proofs), sum(it.converged for it in proofs)

    @property
    def overloaded(self) -> str | None:
        """Why times say more of the viewers than of the server; None when they do not."""
        whys = (crowd.result.invalid() for crowd in self.all if crowd.result)
        return next((why for why in whys if why), None)
