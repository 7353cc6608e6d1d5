"""Words to the service manager, where there is one: sd_notify(3) over NOTIFY_SOCKET."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from time import monotonic_ns

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
"""How often it is looked whether the program is ready."""


def ready() -> None:
    """Say that viewers may come: after the start, and after a reload."""
    _send("READY=1")


def reloading() -> None:
    """Say that the config is being read anew; ``ready`` must follow."""
    _send(f"RELOADING=1\nMONOTONIC_USEC={monotonic_ns() // 1000}")


def stopping() -> None:
    """Say that the end has begun."""
    _send("STOPPING=1")


def alive() -> None:
    """Say "I live", as a watchdog wants to hear again and again."""
    _send("WATCHDOG=1")


async def tell_forever(is_ready: Callable[[], bool]) -> None:
    """Say ``ready`` as soon as that is so, and from then on, where it is asked for, "I live".

    What says it is the loop that serves viewers: when it hangs, nobody says it.
    """
    while not is_ready():  # noqa: ASYNC110 - what is waited for sets no event
        await asyncio.sleep(LOOK_SECONDS)
    ready()
    while wait := watchdog_seconds():
        alive()
        await asyncio.sleep(wait)


def watchdog_seconds() -> float:
    """Return after how many seconds to say "I live": half of what is allowed; 0 for never."""
    if os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return 0.0
    text = os.environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isdecimal() else 0.0


def _send(words: str) -> None:
    """Send ``words``; never waits, and a manager that does not listen is no reason to fail."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address[:1] not in {"/", "@"}:
        return
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.setblocking(False)
            sender.connect(address.replace("@", "\0", 1) if address[0] == "@" else address)
            sender.send(words.encode())
    except OSError as error:
        log.debug("cannot notify %s: %s", address, error)
