"""The hub: who watches which board, and each published change to all of them at once."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from time import monotonic, time

from ticker import logs, protocol
from ticker.channel import Channel, in_turns, settle
from ticker.frame import UNTOLD, Frame
from ticker.live import LiveBoard
from ticker.protocol import CloseCode, ErrorCode
from ticker.traffic import Traffic
from ticker.viewer import NO_SOCKET, Connection, Viewer, Watch, nobody

log = logging.getLogger(__name__)

RATES = (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 1 / 30, 1 / 60)
"""Frames per second that are served; few, so that viewers share frames and channels are bounded."""

SWEEP_SECONDS = 1.0
GOODBYE_SECONDS = 1.0
"""Longest wait for goodbyes to be taken, where the server takes no ready frames."""

RETRY_SECONDS = (0.0, 30.0)
"""Range in which viewers come back after the server said goodbye: not all at once."""

LOST = 1006
"""The code of a connection that ended without a close frame (RFC 6455, 7.4.1)."""
CODES = {code.reason: code for code in CloseCode}
KNOWN_CODES = {*range(1000, 1016), *CloseCode}
"""Codes that are counted as they are; of others a viewer could make up thousands."""


class Refused(Exception):
    """A viewer or a subscription over a limit, or to a board that is not there."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class Hub:
    """Viewers by board. Every method that is not ``async`` is plain and immediate."""

    def __init__(
        self,
        boards: Mapping[str, LiveBoard],
        *,
        heartbeat: float = 5.0,
        stall_timeout: float = 20.0,
        max_viewers: int = 10_000,
        boards_per_viewer: int = 20,
        presence: float = 0.0,
        page: str = "",
    ) -> None:
        self.boards = boards
        self.page = page
        self._presence = presence
        self._moved: set[str] = set()  # boards that somebody joined or left since it was last told
        self.heartbeat = heartbeat
        self.max_viewers = max_viewers
        self._stall_timeout = stall_timeout
        self._sweep_seconds = min(SWEEP_SECONDS, heartbeat / 4)
        self._boards_per_viewer = boards_per_viewer
        self.viewers: set[Viewer] = set()
        self.draining = False
        self._channels: dict[tuple[str, float], Channel] = {}
        self.closed: dict[str, int] = {}  # viewers that the server ended, by reason
        self.traffic = Traffic()
        self.joins = 0
        self.leaves: Counter[str] = Counter()  # by close code
        self.refused: Counter[str] = Counter()  # viewers that were not let in, by why

    # -- viewers

    @property
    def full(self) -> bool:
        """Whether another viewer must be refused."""
        return self.draining or len(self.viewers) >= self.max_viewers

    def join(self, connection: Connection) -> Viewer:
        """Take a new viewer and greet it."""
        viewer = Viewer(secrets.token_hex(6), connection)
        connection.on_lost = lambda why: self._lose(viewer, why)
        connection.traffic = self.traffic
        logs.about_viewer(viewer.id)
        self.viewers.add(viewer)
        self.joins += 1
        viewer.write(protocol.welcome(viewer.id, self.heartbeat, list(self.boards), self.page))
        return viewer

    def refuse(self, why: str = "") -> None:
        """Count a viewer that is not let in; ``why`` is a word of ours, never one of the viewer."""
        self.refused[why or ("draining" if self.draining else "full")] += 1

    def leave(self, viewer: Viewer, code: int = LOST) -> None:
        """Forget a viewer; harmless when it is already gone."""
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            self.leaves[str(int(code)) if code in KNOWN_CODES else "other"] += 1
        viewer.set_ready(False)  # its socket may be another's soon
        for board in list(viewer.watches):
            self.unsubscribe(viewer, board)
        connection = viewer.connection
        connection.on_full = connection.on_writable = connection.on_lost = nobody

    def end(self, viewer: Viewer, code: CloseCode) -> None:
        """Close a viewer's connection with ``code``."""
        if viewer in self.viewers and not self.draining:
            about = {"viewer": viewer.id}
            log.info("viewer %s is ended: %d %s", viewer.id, code, code.reason, extra=about)
        self._lose(viewer, code.reason)
        viewer.connection.close(code)

    def _lose(self, viewer: Viewer, why: str) -> None:
        if viewer in self.viewers:
            self.closed[why] = self.closed.get(why, 0) + 1
            log.debug("viewer %s: %s", viewer.id, why, extra={"viewer": viewer.id})
            self.leave(viewer, CODES.get(why, LOST))

    # -- boards

    def subscribe(self, viewer: Viewer, wanted: protocol.Subscribe) -> None:
        """Let ``viewer`` watch a board from where it is; plain, so that nothing comes between.

        Raises Refused.
        """
        live = self.boards.get(wanted.board)
        if live is None:
            raise Refused(ErrorCode.UNKNOWN_BOARD, f"no board '{wanted.board}'")
        self.unsubscribe(viewer, wanted.board)
        if len(viewer.watches) >= self._boards_per_viewer:
            most = self._boards_per_viewer
            raise Refused(ErrorCode.LIMIT, f"at most {most} boards on one connection")
        channel = self._channel(live, wanted.rate)
        watch = Watch(viewer, live, channel)
        if wanted.epoch == live.epoch and wanted.seq is not None:
            watch.seq = wanted.seq
            watch.status_version = UNTOLD  # it may have changed while the viewer was away
        viewer.watches[live.name] = watch
        channel.watches[watch] = None
        self._moved.add(live.name)
        if viewer.ready:
            watch.catch_up()

    def unsubscribe(self, viewer: Viewer, board: str) -> None:
        """Stop ``viewer`` watching ``board``; harmless when it does not."""
        watch = viewer.watches.pop(board, None)
        if watch is None:
            return
        channel = watch.channel
        channel.watches.pop(watch, None)
        self._moved.add(board)
        watch.fd = NO_SOCKET  # a tick under way may still hold it
        viewer.connection.leave(watch)
        if not channel.watches:
            channel.task.cancel()
            del self._channels[board, channel.period]

    def _channel(self, live: LiveBoard, rate: float | None) -> Channel:
        period = 0.0
        if rate is not None and 1 / rate > live.flush_interval:
            period = 1 / next((r for r in RATES if r <= rate), RATES[-1])
        key = live.name, period
        if key not in self._channels:
            self._channels[key] = Channel(live, period, self.traffic)
        return self._channels[key]

    def watching(self) -> Counter[str]:
        """Return how many viewers watch each board that anybody watches."""
        found: Counter[str] = Counter()
        for (board, _), channel in self._channels.items():
            found[board] += len(channel.watches)
        return found

    # -- what goes out

    def publish(self, live: LiveBoard) -> None:
        """Tell every channel of a board that it moved on, or the status of its feeds."""
        for channel in self._channels.values():
            if channel.live is live:
                channel.wake.set()

    def reply(self, viewer: Viewer, frame: Frame) -> None:
        """Answer a viewer; who does not read gets no answers, which it could not read either."""
        if viewer.connection.writable:
            viewer.write(frame)

    def pong(self, viewer: Viewer) -> None:
        """Answer a ping."""
        self.reply(viewer, protocol.pong(_now_ms()))

    # -- the passing of time

    async def sweep_forever(self) -> None:
        """Send heartbeats about the quiet and end the stalled, about once a second."""
        while True:
            await asyncio.sleep(self._sweep_seconds)
            try:
                await self.sweep(monotonic())
            except Exception:  # a defect must not end heartbeats for good
                log.exception("sweep failed")

    async def sweep(self, now: float) -> None:
        """Look at every viewer once; ``now`` is of the monotonic clock."""
        frames: dict[tuple[tuple[str, int], ...], Frame] = {}  # one for all who are at the same
        at = _now_ms()
        async for viewer in in_turns(list(self.viewers)):
            if viewer.stalled_for(now) > self._stall_timeout:
                self.end(viewer, CloseCode.TOO_SLOW)
                continue
            late = viewer.sweep() * self._sweep_seconds > self.heartbeat
            if late and viewer.connection.writable and viewer in self.viewers:
                # a paused viewer learns how far the board is, any other where it is itself: while
                # one board is quiet, a tick of another may be on its way
                seqs = tuple(
                    (name, watch.live.seq if viewer.paused else watch.seq)
                    for name, watch in viewer.watches.items()
                )
                if seqs not in frames:
                    frames[seqs] = protocol.heartbeat(at, dict(seqs))
                viewer.write(frames[seqs])

    async def tell_viewers_forever(self) -> None:
        """Tell the viewers of a board how many they are, where that changed; or never."""
        while self._presence:
            await asyncio.sleep(self._presence)
            try:
                await self.tell_viewers()
            except Exception:  # a defect must not end it for good
                log.exception("counts of viewers failed")

    async def tell_viewers(self) -> None:
        """Tell it once, to all who watch a board that somebody joined or left since it was told."""
        moved, self._moved = self._moved, set()
        for board in moved:
            channels = [c for (name, _), c in self._channels.items() if name == board]
            watches = [watch for channel in channels for watch in channel.watches]
            frame = protocol.viewers(board, len(watches))
            async for watch in in_turns(watches):
                watch.tell(frame)

    async def drain(self) -> None:
        """Say goodbye to everybody and end their connections."""
        self.draining = True
        low, high = RETRY_SECONDS
        goodbye = protocol.goodbye(CloseCode.DRAINING, (low, high))
        viewers = list(self.viewers)
        sends = [v.write(goodbye) for v in viewers if v.connection.writable]
        await settle([send for send in sends if send is not None], GOODBYE_SECONDS)
        for viewer in viewers:
            self.end(viewer, CloseCode.DRAINING)

    def close(self) -> None:
        """Stop every channel."""
        for viewer in list(self.viewers):
            self.leave(viewer)


def _now_ms() -> int:
    return round(time() * 1000)
