"""The door that viewers come in by: shut while the process has no open file left for anybody.

A loop that cannot take a connection is asked to by the kernel at once again, and again: it spins at
100% of a core. While the door is shut those who knock wait in the kernel's backlog, and all who are
in are served as ever.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
import socket
from collections.abc import Awaitable, Callable
from time import monotonic

from ticker.hub import Hub
from ticker.listener import room

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often it is looked at: for so long a loop spins at most."""

LEFT = 10
"""So many more files can be opened before connections are taken again."""

CALM_SECONDS = 10.0
"""Without a shortage for so long it is over: one is told once, not each time that it comes back."""


class Door:
    """Shuts and opens ``servers``, all of them servers of one listening socket."""

    def __init__(
        self,
        hub: Hub,
        servers: list[asyncio.Server],
        listener: socket.socket,
        listen: Callable[[socket.socket], Awaitable[asyncio.Server]],
    ) -> None:
        self._hub, self._servers, self._listen = hub, servers, listen
        self._spare = listener.dup()  # keeps the backlog, and needs no file to be opened
        self._short_at: float | None = None

    async def mind_forever(self) -> None:
        """Look again and again whether there are files left."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self.look()
            except OSError as error:  # taken by somebody else since it was looked
                log.debug("cannot listen again: %s", error)

    async def look(self) -> None:
        """Shut the door if there is no file left, open it if there are enough again."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        self._hub.room = room(soft)
        left = files_left(1 if self._servers else LEFT)
        if left == 0 and self._servers:
            for server in self._servers:
                server.close()
            self._servers.clear()
            if self._short_at is None:
                log.warning("no open file is left (%d are allowed): connections wait", soft)
        if left == 0:
            self._short_at = monotonic()
        elif not self._servers and left >= LEFT:
            spare = self._spare.dup()
            try:
                self._servers.append(await self._listen(self._spare))
            except OSError:
                spare.close()
                raise
            self._spare = spare
        elif self._short_at is not None and monotonic() - self._short_at > CALM_SECONDS:
            log.info("there are open files again, connections are taken")
            self._short_at = None

    def close(self) -> None:
        """Keep the socket open no longer."""
        self._spare.close()


def files_left(most: int) -> int:
    """Return how many more files this process may open now, ``most`` at most."""
    opened: list[int] = []
    try:
        while len(opened) < most:
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:  # this is what is asked
        pass
    finally:
        for file in opened:
            os.close(file)
    return len(opened)
