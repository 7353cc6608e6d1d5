"""The process: one socket, one uvicorn, a goodbye to every viewer at the end."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
import threading
from contextlib import suppress
from types import FrameType
from typing import Any

import uvicorn
from fastapi import FastAPI

from ticker import logs, notify
from ticker.app import create_app
from ticker.config import Settings
from ticker.configfile import Loaded
from ticker.door import Door
from ticker.heads import HeadProtocol
from ticker.listener import BACKLOG, listen, raise_file_limit, shown
from ticker.reload import Reloader
from ticker.runtime import Ticker
from ticker.siblings import Siblings
from ticker.tasks import end
from ticker.transport import FrameProtocol
from ticker.worker import Worker

log = logging.getLogger(__name__)

COLLECT_AFTER = (10_000, 5, 100)
"""New objects until the youngest are collected, and how many such rounds until the older are.

What is gone after some minutes, as an event stream is, must not wait for the last round of all.
"""

REQUEST_SECONDS = 5.0
"""How long requests under way may take after the last goodbye."""

LEEWAY_SECONDS = 5.0
"""How long after the drain the process may take to end; then it is cut off, whatever hangs."""


class Server(uvicorn.Server):
    """uvicorn's server, saying goodbye before it closes connections.

    As one of several workers it is told by its parent what to do.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, worker: Worker | None = None) -> None:
        super().__init__(config)
        self._worker = worker
        self._ticker: Ticker = app.state.ticker
        self._reloader: Reloader = app.state.reloader
        self._door: Door | None = None
        self._minding: asyncio.Task[None] | None = None
        self._telling: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen, tell the service manager as soon as viewers may come, and heed SIGHUP."""
        if self._ticker.metrics.siblings is not None:
            await self._ticker.metrics.siblings.listen()
        await super().startup(sockets)
        if threading.current_thread() is threading.main_thread():
            hear = self._reloader.hear
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hear)
        self._telling = asyncio.create_task(notify.tell_forever(self._is_ready))
        if sockets:
            self._door = Door(self._ticker.hub, self.servers, sockets[0], self._listen)
            self._minding = asyncio.create_task(self._door.mind_forever())

    async def _listen(self, listener: socket.socket) -> asyncio.Server:
        """Take connections at ``listener``, as `startup` does."""

        def protocol() -> asyncio.Protocol:
            state, app = self.server_state, self.lifespan.state
            return HeadProtocol(config=self.config, server_state=state, app_state=app)

        loop = asyncio.get_running_loop()
        return await loop.create_server(protocol, sock=listener, backlog=BACKLOG)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take no more viewers from now on; end at once at the second signal.

        A worker does not: a terminal, or a service manager, sends the first to its parent, too,
        which sends it once more.
        """
        if self.should_exit:
            if self._worker is not None:
                return
            os._exit(128 + sig)
        self._ticker.hub.draining = True
        server = self._ticker.settings.server
        last = threading.Timer(server.drain_delay + server.drain + LEEWAY_SECONDS, _cut_off)
        last.daemon = True
        last.start()
        super().handle_exit(sig, frame)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drain the viewers within their time, then do what uvicorn does in what is left of it."""
        server, hub = self._ticker.settings.server, self._ticker.hub
        notify.stopping()
        hub.draining = True
        log.info("draining %d viewers", len(hub.viewers))
        await asyncio.sleep(server.drain_delay)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + server.drain
        with suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                await hub.drain(server.drain / 2)
        left: Any = min(REQUEST_SECONDS, max(0.0, deadline - loop.time()))
        self.config.timeout_graceful_shutdown = left  # seconds, though uvicorn says int
        if self._door is not None and self._minding is not None:
            await end([self._minding])
            self._door.close()
        await super().shutdown(sockets)
        if self._telling is not None:
            self._telling.cancel()
        if self._ticker.metrics.siblings is not None:
            self._ticker.metrics.siblings.close()

    def _is_ready(self) -> bool:
        self._reloader.announced = not self._ticker.unready()
        return self._reloader.announced


def _cut_off() -> None:
    """End the process although something in it does not end; the viewers are gone by now."""
    log.warning("something does not end: cut off")
    os._exit(0)


def configure(app: FastAPI, settings: Settings) -> uvicorn.Config:
    """Return uvicorn's configuration; everything that differs from its defaults has a reason."""
    return uvicorn.Config(
        app,
        http=HeadProtocol,
        ws=FrameProtocol,
        ws_per_message_deflate=False,  # a window and a compressor per viewer is what we do without
        ws_max_size=settings.server.max_message,
        access_log=False,  # costs per connection
        proxy_headers=False,  # whom to believe about addresses is for `server.trusted_proxies`
        log_config=None,  # logging is the program's
        server_header=False,
        backlog=BACKLOG,
    )


def spare_the_collector() -> None:
    """Let the garbage collector look at what is new, and seldom.

    Thousands of viewers are many objects that stay. Looking at all of them again and again while
    they connect costs more than their connecting.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AFTER)


def serve(
    loaded: Loaded, host: str | None = None, port: int | None = None, worker: Worker | None = None
) -> None:
    """Serve until a signal, on another ``host`` or ``port`` than the config's where they are given.

    A ``worker`` serves where its parent listens. Raises TickerError when the address cannot be had.
    """
    settings = loaded.settings
    logs.hide(loaded.secrets)
    if worker is None:
        listener = listen(settings.server, host, port)
        raise_file_limit(settings.server.max_viewers)
    else:
        listener = socket.socket(fileno=worker.listener)
    app = create_app(loaded)
    server = Server(configure(app, settings), app, worker)
    spare_the_collector()

    def asked_to_end(number: int, frame: FrameType | None) -> None:
        if not server.started:  # uvicorn does not listen yet, and when it is done asks once more
            server.handle_exit(number, frame)

    previous = signal.signal(signal.SIGTERM, asked_to_end)
    signal.signal(signal.SIGHUP, lambda *_: app.state.reloader.hear())  # likewise, until `startup`
    if worker is None:
        log.info("serving %s on http://%s", ", ".join(settings.boards), shown(listener))
    else:
        metrics = app.state.ticker.metrics
        metrics.siblings = Siblings(worker.number, worker.count, worker.place, metrics.families)
        worker.follow_parent()
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        pass
    finally:
        signal.signal(signal.SIGTERM, previous)
        listener.close()
