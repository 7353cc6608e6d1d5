"""What a worker knows of its part: one of several processes behind one port, started by a parent.

Its parent starts it by the parent's own command line and one more option, which says all of this.
"""

from __future__ import annotations

import logging
import os
import shutil
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

log = logging.getLogger(__name__)

HELD = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
"""Signals that wait from before a worker's first instruction until it knows what to do."""


@dataclass(frozen=True, slots=True)
class Worker:
    """One worker's part.

    ``number`` is from 1 to ``count``. Open files of these numbers are the socket that it serves on,
    and the end of a pipe that nobody writes to: it ends with the parent. ``place`` is a directory
    for this user's eyes alone, where the workers meet.
    """

    number: int
    count: int
    listener: int
    parent: int
    place: Path

    def __str__(self) -> str:
        return f"{self.number}/{self.count},{self.listener},{self.parent},{self.place}"

    @classmethod
    def parse(cls, text: str) -> Worker:
        """Return what was written. Raises ValueError."""
        which, listener, parent, place = text.split(",", 3)
        number, _, count = which.partition("/")
        return cls(int(number), int(count), int(listener), int(parent), Path(place))

    def follow_parent(self) -> None:
        """Heed signals from now on, and end well when the parent has ended, however it did."""
        threading.Thread(target=self._await_parent, name="parent", daemon=True).start()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)

    def _await_parent(self) -> None:
        os.read(self.parent, 1)
        log.warning("the parent has ended")
        shutil.rmtree(self.place, ignore_errors=True)  # nobody else does now
        os.kill(os.getpid(), signal.SIGTERM)
