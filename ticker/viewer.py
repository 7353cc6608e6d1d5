"""One viewer over its connection: where it is on each board, and whether it keeps up.

A viewer holds one seq per board and no queue. While it cannot take more, ticks pass it by; when it
can again, one diff leads from where it is to the present (conflation).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ticker.deflate import OUTSIDE, UNCOMPRESSED
from ticker.frame import UNTOLD, Frame
from ticker.live import LiveBoard
from ticker.protocol import CloseCode
from ticker.tokens import FREE, Pass
from ticker.traffic import Traffic

if TYPE_CHECKING:
    from ticker.channel import Channel


NO_SOCKET = -1


class Connection(Protocol):
    """What carries frames to one viewer; the seam between viewers and servers.

    ``on_full`` is called when the connection takes no more frames, ``on_writable`` when it does
    again, ``on_lost`` with the reason when it turns out to be dead. All are set by the viewer.
    ``traffic`` counts what is written; it is set by the hub.
    """

    traffic: Traffic

    on_full: Callable[[], None]
    on_writable: Callable[[], None]
    on_lost: Callable[[str], None]

    @property
    def writable(self) -> bool:
        """Whether a frame may be written now."""

    @property
    def fd(self) -> int:
        """The socket to which bytes may be written while ``writable``; NO_SOCKET if there is none.

        What it does not take goes to ``write_rest``.
        """

    @property
    def compresses(self) -> bool:
        """Whether the viewer agreed to compress."""

    @property
    def kind(self) -> str:
        """How frames travel: ``websocket`` or ``sse``."""

    def write(self, frame: Frame, watch: Watch | None = None) -> Awaitable[None] | None:
        """Send ``frame``; only while ``writable``. None when it is already on its way.

        ``watch`` is given with a frame of its channel.
        """

    def write_rest(self, data: bytes, sent: int) -> None:
        """Send what the socket did not take of ``data``: all but the first ``sent`` bytes."""

    def leave(self, watch: Watch) -> None:
        """Take note that no more frames of the watch's channel will come."""

    async def drain(self) -> None:
        """Wait until ``writable``."""

    def pending(self) -> int:
        """Return how many bytes still wait to be sent, 0 where that is not known."""

    def sent(self) -> int | None:
        """Return how many bytes were sent, None where that is not known."""

    def close(self, code: CloseCode) -> None:
        """End the connection with ``code``, without waiting for a peer that does not read."""


def nobody(*_: object) -> None:
    """Do nothing: nobody listens, not yet or not any more."""


class Watch:
    """One board as one viewer watches it: the seq and status the viewer has."""

    __slots__ = (
        "channel",
        "fd",
        "live",
        "place",
        "quiet",
        "seq",
        "status_version",
        "swept",
        "viewer",
    )

    def __init__(self, viewer: Viewer, live: LiveBoard, channel: Channel) -> None:
        self.viewer, self.live, self.channel = viewer, live, channel
        self.seq = self.swept = self.status_version = UNTOLD
        self.fd = viewer.connection.fd if viewer.ready else NO_SOCKET
        """The socket while the viewer is ready; this and the place are all that a tick looks at."""
        self.place = OUTSIDE if viewer.connection.compresses else UNCOMPRESSED
        self.quiet = 0
        """Sweeps of the hub since the viewer was told rows or status of the board."""

    def deliver(self, frame: Frame) -> Awaitable[None] | None:
        """Send ``frame`` if it leads on from where the viewer is, else what it lacks."""
        viewer = self.viewer
        if not viewer.ready:
            return None  # what is skipped here, since(seq) repeats once the viewer is ready
        if self.seq != frame.prev:
            return self.catch_up()
        self.channel.handed += 1
        self.seq = frame.seq  # from here on only the write can fail, and that drops the viewer
        return viewer.connection.write(frame, self)

    def catch_up(self) -> Awaitable[None] | None:
        """Lead the viewer to the present: what it lacks of the rows, then of the status."""
        waiting = None
        frame = self.live.since(self.seq)
        if frame is not None:
            if frame.prev == UNTOLD:  # a snapshot says the status too
                self.status_version = self.live.status_version
            else:
                self._count()
            self.seq = frame.seq
            waiting = self.viewer.connection.write(frame)
        return self.tell_status() or waiting

    def _count(self) -> None:
        """Count a diff to the present, and for how long the viewer had been behind, if it was."""
        traffic, behind = self.channel.traffic, self.viewer.behind_since
        traffic.conflated += 1
        if behind is not None:
            traffic.lags.add(monotonic() - behind)

    def tell_status(self) -> Awaitable[None] | None:
        """Send the feeds' status if the viewer is ready and has an older one."""
        if not self.viewer.ready or self.status_version == self.live.status_version:
            return None
        if self.seq == UNTOLD:
            return None  # the snapshot will say it
        self.status_version = self.live.status_version
        self.quiet = 0
        return self.viewer.connection.write(self.live.status())

    def tell(self, frame: Frame) -> None:
        """Send a frame that has no seq, if the viewer is ready, still watches and knows the board.

        Anybody else gets the next one: such a frame tells only of the present. It tells nothing of
        the rows, so the board stays as quiet as it was.
        """
        watches = self.viewer.watches.get(self.live.name) is self
        if self.viewer.ready and watches and self.seq != UNTOLD:
            self.viewer.connection.write(frame)

    def sweep(self) -> int:
        """Return for how many sweeps the viewer was told nothing of the board, with this one."""
        moved = self.seq != self.swept
        self.swept, self.quiet = self.seq, 0 if moved else self.quiet + 1
        return self.quiet


class Viewer:
    """One connection that watches boards. ``ready`` says whether it takes frames now."""

    __slots__ = (
        "_pending",
        "_stalled_at",
        "address",
        "behind_since",
        "connection",
        "id",
        "joined",
        "may",
        "owed",
        "paused",
        "quiet",
        "ready",
        "served",
        "watches",
    )

    def __init__(
        self,
        viewer_id: str,
        connection: Connection,
        address: str = "",
        may: Pass = FREE,
    ) -> None:
        self.id = viewer_id
        self.connection = connection
        self.address = address
        self.may = may
        self.joined = monotonic()
        self.served = False
        """Whether it ever watched a board."""
        self.behind_since: float | None = None
        """When it could take no more, until it is at the present again; of the monotonic clock."""
        self.watches: dict[str, Watch] = {}
        self.owed: dict[str, Frame] = {}
        """What it is told as soon as it can be, by what that is about: of each thing the latest."""
        self.paused = False
        self.ready = connection.writable
        self.quiet = 0
        """Sweeps of the hub since something was sent that is not about a board."""
        self._stalled_at: float | None = None
        self._pending = 0
        connection.on_full = self._fall_behind
        connection.on_writable = self.catch_up

    @property
    def state(self) -> str:
        """What it does: `paused`, `live`, or `lagging` when it cannot take what there is."""
        return "paused" if self.paused else "live" if self.ready else "lagging"

    def write(self, frame: Frame) -> Awaitable[None] | None:
        """Send a frame that is not about a board; only while the connection is writable."""
        self.quiet = 0
        return self.connection.write(frame)

    def tell(self, about: str, frame: Frame) -> None:
        """Send a frame that is not about a board's rows, now or as soon as that is possible."""
        self.owed[about] = frame
        self._settle()

    def _settle(self) -> None:
        while self.owed and self.connection.writable:
            self.write(self.owed.pop(next(iter(self.owed))))

    def sweep(self) -> int:
        """Return for how many sweeps nothing was sent that is about its quietest board, or none."""
        self.quiet += 1
        return min(
            self.quiet, max([watch.sweep() for watch in self.watches.values()], default=self.quiet)
        )

    def set_ready(self, ready: bool) -> None:
        """Take frames, or none, on every board."""
        self.ready = ready
        fd = self.connection.fd if ready else NO_SOCKET
        for watch in self.watches.values():
            watch.fd = fd

    def _fall_behind(self) -> None:
        self.set_ready(False)
        self._stalled_at, self._pending = monotonic(), self.connection.pending()
        if self.behind_since is None and not self.paused:
            self.behind_since = self._stalled_at

    def stalled_for(self, now: float) -> float:
        """Return for how many seconds the viewer has taken nothing of what waits for it.

        ``now`` is of the monotonic clock. Ask regularly: progress is what changed since last time.
        """
        if self._stalled_at is None:
            return 0.0
        pending = self.connection.pending()
        if pending < self._pending:  # slow, but it moves
            self._stalled_at, self._pending = now, pending
        return now - self._stalled_at

    def catch_up(self) -> None:
        """Go on after not having been ready: lead every board to the present."""
        self._stalled_at = None
        self._settle()  # first: busy boards could take all the room there is, again and again
        self.set_ready(self.connection.writable and not self.paused)
        for name, watch in list(self.watches.items()):
            if not self.ready:
                return  # comes again as soon as the connection is writable
            before = watch.seq
            watch.catch_up()
            if watch.seq != before:  # served: next time the other boards come first
                self.watches[name] = self.watches.pop(name)
        if self.ready:
            self.behind_since = None

    def pause(self) -> None:
        """Take nothing but heartbeats."""
        self.paused = True
        self.behind_since = None
        self.set_ready(False)

    def resume(self) -> None:
        """Take frames again, beginning with what was missed."""
        self.paused = False
        if self.connection.writable:
            self.catch_up()
