"""The twin of ``/ws`` as Server-Sent Events: the same messages, one way, resumed by event id."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Sequence

from fastapi import HTTPException

from ticker import protocol
from ticker.access import Access, Entry
from ticker.frame import Frame
from ticker.hub import Hub, Refused
from ticker.plain import CLOSE_SECONDS, PlainConnection
from ticker.protocol import CloseCode, ErrorCode
from ticker.viewer import Watch

RETRY_MS = 3000

_SEQ = re.compile(r"[0-9]{1,18}")


class EventConnection(PlainConnection):
    """A viewer's connection that is one HTTP response: one frame on its way at a time."""

    kind = "sse"

    def __init__(self) -> None:
        super().__init__()
        self._next: Frame | None = None
        self._wake = asyncio.Event()
        self._closed = False
        self._task: asyncio.Task[object] | None = None

    def write(self, frame: Frame, watch: Watch | None = None) -> None:  # noqa: ARG002 - no window
        """Put ``frame`` on its way."""
        self.traffic.sent(len(frame.text), len(frame.event))
        self._next, self.writable = frame, False
        self.on_full()
        self._wake.set()

    def close(self, code: CloseCode) -> None:  # noqa: ARG002 - an HTTP response has no codes
        """End the response; cut it off when the viewer does not read."""
        self._closed = True
        self._wake.set()
        if self._task is not None and not self.writable:
            asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._task.cancel)

    async def frames(self) -> AsyncIterator[Frame]:
        """Yield the frames; asked for the next, the one before has been taken by the server."""
        self._task = asyncio.current_task()
        while True:
            await self._wake.wait()
            self._wake.clear()
            frame, self._next = self._next, None
            if frame is not None:
                yield frame
            if self._closed:
                return
            if self._next is None:
                self.writable = True
                self.on_writable()


async def stream(
    hub: Hub, access: Access, entry: Entry, boards: Sequence[str], last_id: str | None
) -> AsyncIterator[bytes]:
    """Yield the events for a viewer of ``boards`` that has seen everything up to ``last_id``."""
    try:  # once more: many may have been let in before this one
        access.find_place(hub, entry.address)
    except HTTPException as refusal:
        yield protocol.error(ErrorCode.LIMIT, refusal.detail).event
        return
    connection = EventConnection()
    viewer = hub.join(connection, address=entry.address, may=entry.may)
    epoch, _, seq = (last_id or "").partition(":")
    try:
        for board in boards:
            live = hub.boards.get(board)
            resumes = live is not None and live.epoch == epoch and _SEQ.fullmatch(seq)
            known = {"epoch": epoch, "seq": int(seq)} if resumes else {}
            wanted = protocol.Subscribe.model_validate({"board": board, **known})
            try:
                hub.subscribe(viewer, wanted)
            except Refused as refused:
                yield protocol.error(refused.code, str(refused), board).event
        if not viewer.watches:
            return
        yield b"retry: %d\n\n" % RETRY_MS
        async for frame in connection.frames():
            yield frame.event
    finally:
        hub.leave(viewer)
