"""Compresses answers beside the loop: one at a time, behind all that viewers wait for."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from gzip import compress
from weakref import WeakKeyDictionary

from ticker.frame import Frame

LEVEL = 5
NICENESS = 10
"""The thread has what the loop leaves of the core, even where there is but one."""


class Packer:
    """Gives answers as gzip has them; what many ask for is compressed once."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "packer", _yield_the_core)
        self._kept: WeakKeyDictionary[Frame, asyncio.Future[bytes]] = WeakKeyDictionary()

    async def packed(self, body: bytes) -> bytes:
        """Return a body compressed."""
        return await self._begin(body)

    async def frame(self, frame: Frame) -> bytes:
        """Return the text of a frame compressed, which is kept as long as the frame is."""
        packing = self._kept.get(frame)
        if packing is None:
            packing = self._kept[frame] = self._begin(frame.text)
        return await asyncio.shield(packing)  # others may wait for it, too

    def _begin(self, body: bytes) -> asyncio.Future[bytes]:
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, lambda: compress(body, LEVEL, mtime=0))


def _yield_the_core() -> None:
    if sys.platform != "linux":  # elsewhere a thread has no priority of its own
        return
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
