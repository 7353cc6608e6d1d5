"""The sockets that viewers come to, and how many of them may be open."""

from __future__ import annotations

import logging
import resource
import socket
import sys
from typing import Any

from ticker.config import Server as ServerSettings
from ticker.errors import TickerError

log = logging.getLogger(__name__)

BACKLOG = 4096
OWN_FILES = 100
"""Open files that are no viewers, and are kept from them: sources, the listener, Python's own."""

UNSENT_LOW = 16 * 1024
"""TCP_NOTSENT_LOWAT: bytes the kernel takes before they can be sent. What waits there is stale by
the time it leaves, so little may; what waits here is skipped instead."""

GRACE_SECONDS = 10.0
"""How long after the stall timeout the kernel gives up on data that nobody takes."""


def listen(
    server: ServerSettings, host: str | None = None, port: int | None = None
) -> socket.socket:
    """Return the listening socket. Raises TickerError in words when it cannot be had."""
    host, port = host or server.host, server.port if port is None else port
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise TickerError(f"cannot listen on {host}:{port}: {_words(error)}") from None
    return _listening(server, family, address, f"{host}:{port}")


def share(listener: socket.socket) -> None:
    """Let others of this user listen beside ``listener``, which had its address for itself.

    Only now, so that it could not be had where another program listens.
    """
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def beside(server: ServerSettings, family: int, address: Any) -> socket.socket:
    """Return one more listening socket at an address that is shared. Raises TickerError."""
    where = f"{address[0]}:{address[1]}"
    return _listening(server, family, address, where, shared=True)


def shown(listener: socket.socket) -> str:
    """Return the address of a socket as it stands in URLs."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _listening(
    server: ServerSettings, family: int, address: Any, where: str, *, shared: bool = False
) -> socket.socket:
    try:
        listener = socket.socket(family, socket.SOCK_STREAM)
    except OSError as error:
        raise TickerError(f"cannot listen on {where}: {_words(error)}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted sockets inherit it
            give_up = round((server.stall_timeout + GRACE_SECONDS) * 1000)
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, give_up)
        if hasattr(socket, "TCP_NOTSENT_LOWAT"):
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_LOW)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise TickerError(f"cannot listen on {where}: {_words(error)}") from None
    return listener


def raise_file_limit(viewers: int, workers: int = 1) -> None:
    """Let the process have as many sockets as the system allows, and say how many viewers fit.

    Its ``workers`` may have as many each.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    fit = room(hard)
    each = f" in each of {workers} workers" if workers > 1 else ""
    words = f"room for {min(fit, viewers):,} viewers{each}"
    if fit < viewers:
        log.warning("%s: %d open files are allowed, max_viewers is %d", words, hard, viewers)
    else:
        log.info("%s (max_viewers), %s open files are allowed", words, f"{hard:,}")


def room(files: int) -> int:
    """Return how many viewers fit where so many open files are allowed."""
    return sys.maxsize if files == resource.RLIM_INFINITY else max(0, files - OWN_FILES)


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
