"""The bus: what processes that serve the same boards have in common.

One of them, the poller, reads the feeds; a lease says which. What it publishes goes to the others
entry by entry. The bus knows boards only by name and takes what they publish as bytes: it keeps per
board a *position* (epoch and seq), a *state* at some seq, and the last entries, among them all that
came after the state. Writing is one atomic step that checks the term of who writes and the position
it leads on from, so whatever a process believes, there is one line of entries.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ticker.errors import TickerError

PROTOCOL = 1
"""Version of what is on the bus, entries included."""

NEWS = ""
"""What is said to every process is read under this name, which no board has."""

NEWS_KEPT = 1_000
"""Most news that a process which does not read finds when it does."""

MEMBER_SECONDS = 5.0
"""A process that was not heard of for so long is a member no more."""


class BusError(TickerError):
    """The bus cannot do what it was asked to, now; in words."""


class Untaken(BusError):
    """What was asked for has certainly not been done, and will not be: no answer was lost."""


class Fenced(Untaken):
    """Somebody who is not, or not any more, the poller wanted to publish, or not in this memory."""

    def __init__(self, term: str) -> None:
        super().__init__(f"'{term}' is not the poller's term, or was of another memory")


class Elsewhere(Untaken):
    """The board is not where an entry leads on from."""

    def __init__(self, board: str, at: object, expected: object) -> None:
        where = f"at '{at}'" if at else "nowhere"
        super().__init__(f"board '{board}' is {where}, expected '{expected}'")


class OtherProtocol(BusError):
    """What is on the bus was written by another version of this program."""

    def __init__(self, version: str) -> None:
        super().__init__(f"what is there was written by protocol {version}, this is {PROTOCOL}")


@dataclass(frozen=True, slots=True)
class Position:
    """Where a board is."""

    epoch: str
    seq: int

    def __str__(self) -> str:
        return f"{self.epoch} {self.seq}"

    def reaches(self, other: Position) -> bool:
        """Whether it is where ``other`` is, or further on the same line."""
        return self.epoch == other.epoch and self.seq >= other.seq

    @classmethod
    def parse(cls, text: str) -> Position:
        """Return what was written."""
        epoch, _, seq = text.partition(" ")
        return cls(epoch, int(seq))


@dataclass(frozen=True, slots=True)
class Step:
    """An entry that leads a board from ``before`` to ``after``.

    Without ``before`` a new line begins, wherever the board is: what was kept is forgotten.
    ``state`` is the board's before the entry, where it is to be kept; a new line needs one. A bus
    with another ``memory`` than the one that is meant does not take it: before anything is added
    there, its poller has to find out what is forgotten.
    """

    board: str
    before: Position | None
    after: Position
    entry: bytes
    state: bytes | None = None
    memory: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """A board as it is on the bus; the entries end at ``position``, and reading goes on there."""

    position: Position | None
    state: bytes | None
    entries: Sequence[bytes]
    cursor: str


@dataclass(frozen=True, slots=True)
class Pulse:
    """What a beat learns.

    ``term`` is the poller's, empty when there is none. ``memory`` names what the bus remembers
    with: another one may have forgotten the latest. ``settled`` is the memory of which a poller has
    said that nothing is forgotten.
    """

    term: str
    memory: str
    settled: str
    positions: Mapping[str, Position] = field(default_factory=dict)
    members: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def poller(self) -> str:
        """The id of the process that reads the feeds, empty when there is none."""
        return self.term.partition(":")[2]


@dataclass(frozen=True, slots=True)
class Beat:
    """What a process says of itself again and again.

    ``card`` is what others may know of it, ``term`` its own if it is the poller, else empty.
    ``takes`` says that it becomes the poller if there is none, and if the bus still has the
    ``memory`` that the process knows (or none is known); times are in seconds.
    """

    member: str
    card: bytes
    term: str
    takes: bool
    lease: float
    settled: str = ""
    memory: str = ""

    def may_take(self, memory: str) -> bool:
        """Whether it becomes the poller of a bus with this memory, where there is none.

        After the memory has changed, who was the poller comes first: it alone knows all of it.
        """
        return self.takes and (bool(self.term) or self.memory in ("", memory))


class Bus(Protocol):
    """The seam. Every method raises BusError when the bus cannot do it, in bounded time.

    It is Untaken where nothing was done for certain; otherwise that is not known.
    """

    async def beat(self, beat: Beat) -> Pulse:
        """Say that a process lives, renew or take the lease; learn how everything is."""

    async def resign(self, term: str) -> None:
        """Give the lease back, if ``term`` still has it."""

    async def publish(self, term: str, step: Step) -> None:
        """Take a step, all of it or nothing. Raises Fenced or Elsewhere."""

    async def forget(self, term: str, boards: Sequence[str]) -> None:
        """Keep nothing of some boards any more. Raises Fenced."""

    async def load(self, board: str) -> Stored:
        """Return what there is of a board, of one moment."""

    async def read(
        self, cursors: Mapping[str, str], wait: float
    ) -> Mapping[str, Sequence[tuple[str, bytes]]]:
        """Return what came after each cursor, each with the cursor that is behind it.

        When there is nothing, wait for it up to so many seconds. Only one may read at a time.
        """

    async def latest(self) -> str:
        """Return the cursor behind the latest news."""

    async def say(self, news: bytes) -> None:
        """Tell every process that reads."""

    async def put(
        self,
        table: str,
        values: Mapping[str, bytes | None],
        lasts: float | None = None,
        *,
        term: str = "",
    ) -> None:
        """Keep values by key, for ``lasts`` seconds from now if so; None removes one.

        With a ``term`` only if it is the poller's. Raises Fenced.
        """

    async def get(self, table: str) -> Mapping[str, bytes]:
        """Return what is kept in a table."""

    async def close(self) -> None:
        """Release what it holds."""
