"""The process: one socket, one uvicorn, a goodbye to every viewer at the end."""

from __future__ import annotations

import gc
import logging
import resource
import signal
import socket
from typing import Any

import uvicorn
from fastapi import FastAPI

from ticker.app import create_app
from ticker.config import Settings
from ticker.errors import TickerError
from ticker.transport import UNSENT_LOW, FrameProtocol

log = logging.getLogger(__name__)

BACKLOG = 4096
OWN_FILES = 100
"""Open files that are no viewers: sources, the listener, Python's own."""

COLLECT_AFTER = (10_000, 50, 100)
"""New objects until the youngest are collected, and how many such rounds until the older are."""

SHUTDOWN_SECONDS = 5
GRACE_SECONDS = 10.0
"""How long after the stall timeout the kernel gives up on data that nobody takes."""


class Server(uvicorn.Server):
    """uvicorn's server, saying goodbye before it closes connections."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the viewers, then do what uvicorn does."""
        await self._app.state.ticker.hub.drain()
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """Return the listening socket of ``settings``. Raises TickerError in words when it cannot."""
    server = settings.server
    where = f"{server.host}:{server.port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            server.host, server.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except (OSError, UnicodeError) as error:
        raise TickerError(f"cannot listen on {where}: {_words(error)}") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
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


def configure(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration; everything that differs from its defaults has a reason."""
    return uvicorn.Config(
        app,
        ws=FrameProtocol,
        ws_per_message_deflate=False,  # a window and a compressor per viewer is what we do without
        ws_max_size=settings.server.max_message,
        access_log=False,  # costs per connection
        proxy_headers=False,  # whom to believe about addresses is for `server.trusted_proxies`
        log_config=None,  # logging is the program's
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )


def spare_the_collector() -> None:
    """Let the garbage collector look at what is new, and seldom.

    Thousands of viewers are many objects that stay. Looking at all of them again and again while
    they connect costs more than their connecting.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def raise_file_limit(viewers: int) -> None:
    """Let the process have as many sockets as the system allows, and say how many viewers fit."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = max(0, hard - OWN_FILES) if hard != resource.RLIM_INFINITY else viewers
    words = f"room for {min(room, viewers):,} viewers"
    if room < viewers:
        log.warning("%s: %d open files are allowed, max_viewers is %d", words, hard, viewers)
    else:
        log.info("%s (max_viewers), %s open files are allowed", words, f"{hard:,}")


def serve(settings: Settings) -> None:
    """Serve until a signal. Raises TickerError when the address cannot be had."""
    listener = listen(settings)
    raise_file_limit(settings.server.max_viewers)
    app = create_app(settings)
    server = Server(configure(app, settings), app)
    spare_the_collector()
    host, port = listener.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("serving %s on http://%s:%d", ", ".join(settings.boards), shown, port)
    previous = signal.signal(signal.SIGTERM, _ended)  # uvicorn raises it once more when it is done
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
        listener.close()


def _ended(_signal: int, _frame: Any) -> None:
    """Let the process end normally: uvicorn has shut down by now."""


def _words(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
