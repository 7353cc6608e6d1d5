"""The hub: who watches which board, and each published change to all of them at once."""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice
from time import monotonic, time
from typing import Any

from ticker import logs, protocol
from ticker.channel import Channel, in_turns
from ticker.config import Server
from ticker.frame import UNTOLD, Frame
from ticker.limits import Tally, home
from ticker.live import LiveBoard
from ticker.notices import Notice, Notices
from ticker.protocol import CloseCode, ErrorCode
from ticker.tokens import FREE, Pass
from ticker.traffic import Traffic
from ticker.viewer import NO_SOCKET, Connection, Viewer, Watch, nobody

log = logging.getLogger(__name__)

RATES = (10.0, 5.0, 2.0, 1.0, 0.5, 0.2, 0.1, 1 / 30, 1 / 60)
"""Frames per second that are served; few, so that viewers share frames and channels are bounded."""

SWEEP_SECONDS = 1.0

DRAIN_STEP = 0.1
DRAIN_AT_LEAST = 25
"""Viewers that are ended per step of a drain, however few there are: nobody waits for nothing."""

ROTATED_RETRY = (0.0, 1.0)
"""Range of seconds in which rotated viewers come back: few go at once, so at once."""

ROTATE_JITTER = 0.2
ROTATE_SHARE = 100
"""One of so many viewers, at least one, is rotated per sweep at most."""

QUIET_ENDS = {CloseCode.DRAINING, CloseCode.ROTATED}
"""Ends of viewers that are no news, and come by the thousand."""


Judge = Callable[[Viewer, float, int], CloseCode | None]
"""Says why a viewer must go, from its monotonic time and the epoch's ms; None when it may stay."""

LOST = 1006
"""The code of a connection that ended without a close frame (RFC 6455, 7.4.1)."""
CODES = {code.reason: code for code in CloseCode}
KNOWN_CODES = {*range(1000, 1016), *CloseCode}
"""Codes that are counted as they are; of others a viewer could make up thousands."""


class Refused(Exception):
    """A viewer or a subscription over a limit, or to a board that is not there or not for it."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        self.code = code
        super().__init__(message)


class Hub:
    """Viewers by board. Every method that is not ``async`` is plain and immediate."""

    def __init__(
        self,
        boards: dict[str, LiveBoard],
        settings: Server | None = None,
        page: str = "",
        judge: Judge = lambda *_: None,
    ) -> None:
        self.boards = boards
        self.settings = settings or Server()
        self._judge = judge
        self.page = page
        self.notices = Notices()
        self.on_forgotten: Callable[[list[str]], None] = nobody
        """Called with the ids of notices that were for a viewer alone, when it has left."""
        self.elsewhere: Callable[[], Mapping[str, int]] = dict
        """Returns how many viewers other processes have, by board."""
        self._told_elsewhere: Mapping[str, int] = {}
        self._moved: set[str] = set()  # boards that somebody joined or left since it was last told
        self.viewers: set[Viewer] = set()
        self.room = sys.maxsize
        """How many viewers fit: each is an open file, and feeds need some, too."""
        self.addresses = Tally()
        """How many viewers there are of each address (`limits.home`)."""
        self.draining = False
        self.starting = False
        """Whether there is nothing to show yet: boards are still to be read from elsewhere."""
        self._channels: dict[tuple[str, float], Channel] = {}
        self.closed: dict[str, int] = {}  # viewers that the server ended, by reason
        self.traffic = Traffic()
        self.joins = 0
        self.leaves: Counter[str] = Counter()  # by close code
        self.refused: Counter[str] = Counter()  # viewers that were not let in, by why

    @property
    def sweep_seconds(self) -> float:
        """How often every viewer is looked at."""
        return min(SWEEP_SECONDS, self.settings.heartbeat / 4)

    # -- viewers

    def count(self) -> dict[str, Any]:
        """Return how many viewers there are, by what they are doing and by board.

        Of boards those of other processes count, too.
        """
        states = Counter(viewer.state for viewer in self.viewers)
        boards = self.watching()
        boards.update(self.elsewhere())
        return {
            "now": len(self.viewers),
            "most": self.settings.max_viewers,
            **{state: states[state] for state in ("live", "lagging", "paused")},
            "boards": {name: boards[name] for name in self.boards},
        }

    @property
    def full(self) -> bool:
        """Whether another viewer must be refused."""
        return self.draining or len(self.viewers) >= min(self.settings.max_viewers, self.room)

    def join(self, connection: Connection, address: str = "", may: Pass = FREE) -> Viewer:
        """Take a new viewer from ``address``, which may watch what ``may`` says, and greet it."""
        viewer = Viewer(secrets.token_hex(6), connection, address, may)
        connection.on_lost = lambda why: self._lose(viewer, why)
        connection.traffic = self.traffic
        logs.about_viewer(viewer.id)
        self.viewers.add(viewer)
        self.joins += 1
        self.addresses.add(home(address))
        heartbeat, boards = self.settings.heartbeat, self.boards_for(viewer)
        viewer.write(protocol.welcome(viewer.id, heartbeat, boards, self.page, until=may.until))
        for notice in self.notices:
            if notice.board is None and notice.concerns(viewer.id, ()):
                viewer.tell(notice.id, notice.frame)
        return viewer

    def boards_for(self, viewer: Viewer) -> list[str]:
        """Return the names of the boards that a viewer may watch."""
        return [name for name in self.boards if viewer.may.allows(name)]

    def find(self, viewer_id: str) -> Viewer | None:
        """Return the viewer of that id, if there is one."""
        return next((viewer for viewer in self.viewers if viewer.id == viewer_id), None)

    def refuse(self, why: str = "") -> None:
        """Count a viewer that is not let in; ``why`` is a word of ours, never one of the viewer."""
        own = "draining" if self.draining else "starting" if self.starting else "full"
        self.refused[why or own] += 1

    def leave(self, viewer: Viewer, code: int = LOST) -> None:
        """Forget a viewer; harmless when it is already gone."""
        if viewer in self.viewers:
            self.viewers.remove(viewer)
            self.addresses.remove(home(viewer.address))
            self.leaves[str(int(code)) if code in KNOWN_CODES else "other"] += 1
        if forgotten := self.notices.left(viewer.id):
            self.on_forgotten(forgotten)
        viewer.set_ready(False)  # its socket may be another's soon
        for board in list(viewer.watches):
            self.unsubscribe(viewer, board)
        connection = viewer.connection
        connection.on_full = connection.on_writable = connection.on_lost = nobody

    def end(self, viewer: Viewer, code: CloseCode) -> None:
        """Close a viewer's connection with ``code``."""
        if viewer in self.viewers and code not in QUIET_ENDS:
            about = {"viewer": viewer.id}
            log.info("viewer %s is ended: %d %s", viewer.id, code, code.reason, extra=about)
        self._lose(viewer, code.reason)
        viewer.connection.close(code)

    def dismiss(self, viewer: Viewer, code: CloseCode, goodbye: Frame) -> None:
        """End a viewer with a goodbye, if it can take one."""
        if viewer.connection.writable:
            viewer.write(goodbye)
        self.end(viewer, code)

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
        if not viewer.may.allows(wanted.board):
            raise Refused(ErrorCode.NOT_ALLOWED, f"the token is not for board '{wanted.board}'")
        live = self.boards.get(wanted.board)
        if live is None:
            raise Refused(ErrorCode.UNKNOWN_BOARD, f"no board '{wanted.board}'")
        self.unsubscribe(viewer, wanted.board)
        most = self.settings.boards_per_viewer
        if len(viewer.watches) >= most:
            raise Refused(ErrorCode.LIMIT, f"at most {most} boards on one connection")
        channel = self._channel(live, wanted.rate)
        watch = Watch(viewer, live, channel)
        if wanted.epoch == live.epoch and wanted.seq is not None:
            watch.seq = wanted.seq
            watch.status_version = UNTOLD  # it may have changed while the viewer was away
        viewer.watches[live.name] = watch
        viewer.served = True
        channel.watches[watch] = None
        self._moved.add(live.name)
        if viewer.ready:
            watch.catch_up()
        for notice in self.notices:
            if notice.board == live.name:
                viewer.tell(notice.id, notice.frame)

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
            channel.end()
            del self._channels[board, channel.period]

    def _channel(self, live: LiveBoard, rate: float | None) -> Channel:
        period = 0.0
        if rate is not None and 1 / rate > live.flush_interval:
            period = 1 / next((r for r in RATES if r <= rate), RATES[-1])
        key = live.name, period
        if key not in self._channels:
            self._channels[key] = Channel(live, period, self.traffic)
        return self._channels[key]

    def forget(self, live: LiveBoard) -> list[Viewer]:
        """Let nobody watch a board any more; return who did."""
        channels = [c for (name, _), c in self._channels.items() if name == live.name]
        watching = [watch.viewer for channel in channels for watch in channel.watches]
        for viewer in watching:
            self.unsubscribe(viewer, live.name)
        return watching

    async def tell_gone(self, board: str, viewers: Iterable[Viewer]) -> None:
        """Tell viewers that there is no such board any more."""
        frame = protocol.error(ErrorCode.UNKNOWN_BOARD, f"no board '{board}' any more", board)
        async for viewer in in_turns(viewers):
            if viewer in self.viewers and board not in viewer.watches:  # else it is back already
                viewer.tell(f"board {board}", frame)

    async def tell_boards(self) -> None:
        """Tell everybody which boards there are for it."""
        frames: dict[tuple[str, ...], Frame] = {}  # one for all who may watch the same
        async for viewer in in_turns(list(self.viewers)):
            if viewer in self.viewers:  # others may have left while some had their turn
                boards = tuple(self.boards_for(viewer))
                if boards not in frames:
                    frames[boards] = protocol.boards(boards)
                viewer.tell("boards", frames[boards])

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

    def restart(self, live: LiveBoard) -> None:
        """Lead every viewer of a board to the present with a snapshot: it is of another epoch."""
        for channel in self._channels.values():
            if channel.live is live:
                channel.restart()

    def reply(self, viewer: Viewer, frame: Frame) -> None:
        """Answer a viewer; who does not read gets no answers, which it could not read either."""
        if viewer.connection.writable:
            viewer.write(frame)

    def pong(self, viewer: Viewer) -> None:
        """Answer a ping."""
        self.reply(viewer, protocol.pong(_now_ms()))

    # -- the passing of time

    async def sweep_forever(self) -> None:
        """Send heartbeats about the quiet and end who must go, about once a second."""
        while True:
            await asyncio.sleep(self.sweep_seconds)
            try:
                await self.sweep(monotonic())
            except Exception:  # a defect must not end heartbeats for good
                log.exception("sweep failed")

    async def sweep(self, now: float) -> None:
        """Look at every viewer once; ``now`` is of the monotonic clock."""
        self.notices.expire(_now_ms())
        await self._rotate_old(now)
        frames: dict[tuple[tuple[str, int], ...], Frame] = {}  # one for all who are at the same
        at = _now_ms()
        async for viewer in in_turns(list(self.viewers)):
            if viewer.stalled_for(now) > self.settings.stall_timeout:
                self.end(viewer, CloseCode.TOO_SLOW)
                continue
            code = self._judge(viewer, now, at)
            if code is not None:
                self.end(viewer, code)
                continue
            late = viewer.sweep() * self.sweep_seconds > self.settings.heartbeat
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
        while True:
            presence = self.settings.presence
            await asyncio.sleep(presence or SWEEP_SECONDS)
            if not presence:
                continue
            try:
                await self.tell_viewers()
            except Exception:  # a defect must not end it for good
                log.exception("counts of viewers failed")

    async def tell_viewers(self) -> None:
        """Tell it once, to all who watch a board that somebody joined or left since it was told.

        Those at other processes are counted, too, as they were heard of last.
        """
        moved, self._moved = self._moved, set()
        before, elsewhere = self._told_elsewhere, self.elsewhere()
        moved |= {b for b in self.boards if elsewhere.get(b, 0) != before.get(b, 0)}
        self._told_elsewhere = elsewhere
        for board in moved:
            channels = [c for (name, _), c in self._channels.items() if name == board]
            watches = [watch for channel in channels for watch in channel.watches]
            frame = protocol.viewers(board, len(watches) + elsewhere.get(board, 0))
            async for watch in in_turns(watches):
                watch.tell(frame)

    # -- what admins do

    async def post(self, notice: Notice) -> None:
        """Tell a notice to those whom it concerns. Raises TooManyNotices."""
        self.notices.post(notice)
        await self.announce(notice)

    async def announce(self, notice: Notice) -> None:
        """Tell a notice that was taken to those whom it concerns."""
        async for viewer in in_turns(list(self.viewers)):
            if self.notices.get(notice.id) is None:
                return  # it was taken back meanwhile
            if viewer in self.viewers and notice.concerns(viewer.id, viewer.watches):
                viewer.tell(notice.id, notice.frame)

    async def withdraw(self, notice_id: str) -> bool:
        """Take a notice back from everybody; return whether there was one."""
        notice = self.notices.get(notice_id)
        found = self.notices.withdraw(notice_id)
        frame = protocol.withdrawn(notice_id)
        told = [v for v in self.viewers if notice and notice.viewer in (None, v.id)]
        async for viewer in in_turns(told):
            if viewer in self.viewers and viewer.owed.pop(notice_id, None) is None:
                viewer.tell(notice_id, frame)
        return found

    def remove(self, viewer: Viewer) -> None:
        """End a viewer that is not to come back."""
        self.dismiss(viewer, CloseCode.REMOVED, protocol.goodbye(CloseCode.REMOVED, None))

    # -- the end of connections

    async def _rotate_old(self, now: float) -> None:
        """Send away a few of those who are connected for too long, where there is such a thing."""
        if not self.settings.rotate:
            return
        room = max(1, len(self.viewers) // ROTATE_SHARE)
        goodbye = protocol.goodbye(CloseCode.ROTATED, ROTATED_RETRY)
        async for viewer in in_turns(list(self.viewers)):
            if not room:
                return
            if viewer in self.viewers and now - viewer.joined > self.settings.rotate * _jitter(
                viewer.id
            ):
                self.dismiss(viewer, CloseCode.ROTATED, goodbye)
                room -= 1

    async def drain(self, seconds: float = 0.0) -> None:
        """Say goodbye to everybody and end their connections, spread over about ``seconds``.

        Not all at once: they go on to another server.
        """
        self.draining = True
        goodbye = protocol.goodbye(CloseCode.DRAINING, (0.0, self.settings.return_within))
        steps = max(1.0, seconds / DRAIN_STEP)
        at_once = max(DRAIN_AT_LEAST, math.ceil(len(self.viewers) / steps))
        while True:
            for viewer in list(islice(self.viewers, at_once)):
                self.dismiss(viewer, CloseCode.DRAINING, goodbye)
            if not self.viewers:
                return
            await asyncio.sleep(DRAIN_STEP)

    def close(self) -> None:
        """Stop every channel."""
        for viewer in list(self.viewers):
            self.leave(viewer)


def _jitter(viewer_id: str) -> float:
    """Return a viewer's steady factor, 0.8 to 1.2, so that who came together goes apart."""
    return 1 + ROTATE_JITTER * (int(viewer_id[:4], 16) / 0x8000 - 1)


def _now_ms() -> int:
    return round(time() * 1000)
