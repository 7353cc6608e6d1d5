"""One viewer over its connection: where it is on each board, and whether it keeps up.

A viewer holds one seq per board and no queue. While it cannot take more, ticks pass it by; when it
can again, one diff leads from where it is to the present (conflation).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from time import monotonic
from typing import TYPE_CHECKING, Protocol

from ticker.frame import UNTOLD, Frame, SharedWindows
from ticker.live import LiveBoard
from ticker.protocol import CloseCode

if TYPE_CHECKING:
    from ticker.hub import Channel


class Connection(Protocol):
    """What carries frames to one viewer; the seam between viewers and servers.

    ``on_full`` is called when the connection takes no more frames, ``on_writable`` when it does
    again, ``on_lost`` once when it turns out to be dead. All are set by the viewer.
    """

    on_full: Callable[[], None]
    on_writable: Callable[[], None]
    on_lost: Callable[[], None]

    @property
    def writable(self) -> bool:
        """Whether a frame may be written now."""

    def write(self, frame: Frame, windows: SharedWindows | None = None) -> Awaitable[None] | None:
        """Send ``frame``; only while ``writable``. None when it is already on its way.

        ``windows`` are those of the channel whose frame it is, None for any other frame.
        """

    def leave(self, windows: SharedWindows) -> None:
        """Take note that no more frames of ``windows`` will come."""

    async def drain(self) -> None:
        """Wait until ``writable``."""

    def pending(self) -> int:
        """Return how many bytes still wait to be sent, 0 where that is not known."""

    def close(self, code: CloseCode) -> None:
        """End the connection with ``code``, without waiting for a peer that does not read."""


class Watch:
    """One board as one viewer watches it: the seq and status the viewer has."""

    __slots__ = ("_connection", "channel", "live", "seq", "status_version", "viewer")

    def __init__(self, viewer: Viewer, live: LiveBoard, channel: Channel) -> None:
        self.viewer, self.live, self.channel = viewer, live, channel
        self._connection = viewer.connection
        self.seq = self.status_version = UNTOLD

    def deliver(self, frame: Frame) -> Awaitable[None] | None:
        """Send ``frame`` if it leads on from where the viewer is, else what it lacks."""
        viewer = self.viewer
        if not viewer.ready:
            return None  # what is skipped here, since(seq) repeats once the viewer is ready
        if self.seq != frame.prev:
            return self.catch_up()
        self.seq = frame.seq
        viewer.quiet = 0
        return self._connection.write(frame, self.channel.windows)  # as Viewer.write: a call less

    def catch_up(self) -> Awaitable[None] | None:
        """Lead the viewer to the present: what it lacks of the rows, then of the status."""
        waiting = None
        frame = self.live.since(self.seq)
        if frame is not None:
            self.seq = frame.seq
            if frame.prev == UNTOLD:  # a snapshot says the status too
                self.status_version = self.live.status_version
            waiting = self.viewer.write(frame)
        return self.tell_status() or waiting

    def tell_status(self) -> Awaitable[None] | None:
        """Send the feeds' status if the viewer is ready and has an older one."""
        if not self.viewer.ready or self.status_version == self.live.status_version:
            return None
        if self.seq == UNTOLD:
            return None  # the snapshot will say it
        self.status_version = self.live.status_version
        return self.viewer.write(self.live.status())


class Viewer:
    """One connection that watches boards. ``ready`` says whether it takes frames now."""

    __slots__ = (
        "_pending",
        "_stalled_at",
        "connection",
        "id",
        "paused",
        "quiet",
        "ready",
        "watches",
    )

    def __init__(self, viewer_id: str, connection: Connection) -> None:
        self.id = viewer_id
        self.connection = connection
        self.watches: dict[str, Watch] = {}
        self.paused = False
        self.ready = connection.writable
        self.quiet = 0
        """Sweeps of the hub since something was sent."""
        self._stalled_at: float | None = None
        self._pending = 0
        connection.on_full = self._fall_behind
        connection.on_writable = self.catch_up

    def write(self, frame: Frame) -> Awaitable[None] | None:
        """Send a frame that is not of a channel; only while the connection is writable."""
        self.quiet = 0
        return self.connection.write(frame)

    def _fall_behind(self) -> None:
        self.ready = False
        self._stalled_at, self._pending = monotonic(), self.connection.pending()

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
        self.ready = self.connection.writable and not self.paused
        for watch in self.watches.values():
            if not self.ready:
                return  # comes again as soon as the connection is writable
            watch.catch_up()

    def pause(self) -> None:
        """Take nothing but heartbeats."""
        self.paused, self.ready = True, False

    def resume(self) -> None:
        """Take frames again, beginning with what was missed."""
        self.paused = False
        if self.connection.writable:
            self.catch_up()
