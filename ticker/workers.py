"""Several workers behind one port: the parent that starts them, looks after them and ends them.

Each worker is a whole ticker on the bus, in an interpreter of its own, started by this process's
own command line; it accepts from a socket of its own. Of 2,000 connections two such sockets got
between 48% and 52%, whether they came at once or one by one; of a socket that both workers share
one got 21% when they came at once. The parent keeps all of these sockets open, too: who waits to be
accepted when a worker dies is served by the next one, where otherwise every such connection is
reset. So a worker that dies costs only the connections that it had.

The parent serves nothing itself and imports little. To the workers it is what a service manager is
to a ticker: each tells it by sd_notify that it is ready, reloads, or lives, and it tells the real
service manager, if there is one, what that comes to.
"""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from ticker import listener, logs, notify
from ticker.config import Settings
from ticker.configfile import Loaded
from ticker.errors import TickerError
from ticker.health import back_off
from ticker.worker import HELD, Worker

log = logging.getLogger(__name__)

STEADY_SECONDS = 10.0
"""A worker that lived for so long is started again at once, whatever was before."""

BACK_OFF_SECONDS = (0.5, 30.0)
"""Waits before a worker that ends at once again and again: from twice the first to the second."""

GIVE_UP = 5
"""When each worker has ended at once so often in a row, the parent ends, too."""

PATIENCE_SECONDS = 30.0
"""A worker whose loop does not turn for so long is killed, unless WATCHDOG_USEC says otherwise."""

LOOK_SECONDS = 0.5
"""How often it is looked whether the workers live."""

ASLEEP_SECONDS = 5.0
"""When the parent is so late itself, the machine slept or stood still, and workers may be, too."""


@dataclass(slots=True)
class _Post:
    """What one worker does, whichever process it is now; times are of the monotonic clock."""

    number: int
    ear: socket.socket
    """Where the worker speaks, as to a service manager."""
    listener: socket.socket | None
    process: asyncio.subprocess.Process | None = None
    ready: bool = False
    reloading: bool = False
    heard_at: float = 0.0
    failures: int = 0
    """How often in a row it ended soon after its start."""


def serve(loaded: Loaded, host: str | None, port: int | None, count: int) -> int:
    """Serve with ``count`` workers until a signal; return the exit code.

    Raises TickerError when the address cannot be had.
    """
    server = loaded.settings.server
    logs.hide(loaded.secrets)
    first = listener.listen(server, host, port)
    listener.share(first)
    listener.raise_file_limit(server.max_viewers, count)
    try:
        place = tempfile.TemporaryDirectory(prefix="ticker-", ignore_cleanup_errors=True)
        parent = _Parent(loaded.settings, first, count, Path(place.name))
    except OSError as error:
        where = tempfile.gettempdir()
        raise TickerError(f"no place for the workers' sockets in {where}: {error}") from None
    with place:
        return asyncio.run(parent.run())


class _Parent:
    """Keeps workers running until it is told to end."""

    def __init__(self, settings: Settings, first: socket.socket, count: int, place: Path) -> None:
        self._boards, self._server = settings.boards, settings.server
        self._first, self._family, self._address = first, first.family, first.getsockname()
        self._count, self._place = count, place
        self._lifeline, self._held = os.pipe()  # the second is in no worker: it ends with us
        self._patience = 2 * notify.watchdog_seconds() or PATIENCE_SECONDS
        self._ending = asyncio.Event()
        self._gave_up = False
        self._announced = self._reloading = False  # as the service manager knows it
        self._posts = [self._post(number) for number in range(1, count + 1)]

    def _post(self, number: int) -> _Post:
        ear = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        ear.setblocking(False)
        ear.bind(str(self._ear(number)))
        return _Post(number, ear, self._first if number == 1 else None)

    def _ear(self, number: int) -> Path:
        return self._place / f"notify-{number}"

    async def run(self) -> int:
        """Run the workers to their end; return the exit code."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end, number)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        boards = ", ".join(self._boards)
        where = listener.shown(self._first)
        log.info("serving %s on http://%s with %d workers", boards, where, self._count)
        for post in self._posts:
            loop.add_reader(post.ear, self._hear, post)
        watching = asyncio.create_task(self._watch_forever())
        await asyncio.gather(*map(self._keep, self._posts))
        watching.cancel()
        return 1 if self._gave_up else 0

    # -- one worker

    async def _keep(self, post: _Post) -> None:
        """Run a worker again and again, until the end."""
        while not self._ending.is_set():
            began = monotonic()
            how = await self._live(post)
            if self._ending.is_set():
                break
            steady = monotonic() - began >= STEADY_SECONDS
            post.failures = 0 if steady else post.failures + 1
            wait = back_off(post.failures, *BACK_OFF_SECONDS)
            if all(it.process is None and it.failures >= GIVE_UP for it in self._posts):
                log.error("worker %d ended: %s; they all do, at once: giving up", post.number, how)
                self._gave_up = True
                self._drain()
                break
            when = f"in {wait:g} s" if wait else "now"
            log.warning("worker %d ended: %s; it is started again %s", post.number, how, when)
            if wait:
                self._close(post)  # who comes meanwhile goes to another
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._ending.wait(), wait)
        self._close(post)

    async def _live(self, post: _Post) -> str:
        """Start a worker and wait for its end; return in words how it ended."""
        try:
            process = post.process = await self._start(post)
        except (OSError, TickerError) as error:
            return f"not started: {error}"
        post.heard_at = monotonic()
        log.info("worker %d is process %d", post.number, process.pid)
        if self._ending.is_set():
            process.terminate()
        code = await process.wait()
        self._hear(post)  # what it said last
        post.process, post.ready, post.reloading = None, False, False
        self._announce()
        return f"killed by signal {-code}" if code < 0 else f"exit code {code}"

    async def _start(self, post: _Post) -> asyncio.subprocess.Process:
        if post.listener is None:
            post.listener = listener.beside(self._server, self._family, self._address)
        files = post.listener.fileno(), self._lifeline
        worker = Worker(post.number, self._count, *files, self._place)
        manager = {
            "NOTIFY_SOCKET": str(self._ear(post.number)),
            "WATCHDOG_USEC": str(round(self._patience * 1_000_000)),
        }
        inherited = {name: text for name, text in os.environ.items() if name != "WATCHDOG_PID"}
        signal.pthread_sigmask(signal.SIG_BLOCK, HELD)  # inherited
        try:
            return await asyncio.create_subprocess_exec(
                sys.executable,
                *sys.orig_argv[1:],
                "--worker",
                str(worker),
                pass_fds=files,
                env=inherited | manager,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, HELD)

    def _close(self, post: _Post) -> None:
        if post.listener is not None:
            post.listener.close()
            post.listener = None

    # -- what workers say

    def _hear(self, post: _Post) -> None:
        """Take in what a worker has said."""
        with suppress(BlockingIOError):
            while True:
                words = post.ear.recv(4096).decode(errors="replace").splitlines()
                post.heard_at = monotonic()
                post.ready = post.ready or "READY=1" in words
                post.reloading = "RELOADING=1" in words or (
                    post.reloading and "READY=1" not in words
                )
                self._announce()

    def _announce(self) -> None:
        """Tell the service manager what has changed."""
        if self._ending.is_set():
            return
        if not self._announced:
            if all(post.ready for post in self._posts):
                self._announced = True
                log.info("all workers are ready")
                notify.ready()
            return
        reloading = any(post.reloading for post in self._posts)
        if reloading != self._reloading:
            self._reloading = reloading
            (notify.reloading if reloading else notify.ready)()

    async def _watch_forever(self) -> None:
        """End workers whose loop turns no more; say that ours does."""
        told, every = monotonic(), notify.watchdog_seconds()
        while True:
            slept = monotonic()
            await asyncio.sleep(LOOK_SECONDS)
            now = monotonic()
            for post in self._posts:
                if now - slept > ASLEEP_SECONDS:
                    post.heard_at = now
                speaks = post.ready or self._ending.is_set()
                silent = now - post.heard_at
                if speaks and post.process is not None and silent > self._patience:
                    words = "worker %d does nothing for %.0f s: it is killed"
                    log.error(words, post.number, silent)
                    self._signal(post, signal.SIGKILL)
            if every and now - told + LOOK_SECONDS > every:
                notify.alive()
                told = now

    # -- what is asked for

    def _reload(self) -> None:
        """Let all workers read the config again."""
        for post in self._posts:
            post.reloading = post.ready
            self._signal(post, signal.SIGHUP)
        self._announce()

    def _end(self, number: int) -> None:
        """Let all workers say goodbye and end; at the second signal end at once."""
        if self._ending.is_set():
            for post in self._posts:
                self._signal(post, signal.SIGKILL)
            shutil.rmtree(self._place, ignore_errors=True)
            os._exit(128 + number)
        log.info("draining %d workers", self._count)
        notify.stopping()
        self._drain()

    def _drain(self) -> None:
        self._ending.set()
        self._patience = max(self._patience, PATIENCE_SECONDS)
        for post in self._posts:
            post.heard_at = monotonic()
            self._signal(post, signal.SIGTERM)
            self._close(post)  # when the workers close theirs, nobody waits there for nobody

    def _signal(self, post: _Post, number: signal.Signals) -> None:
        if post.process is not None:
            with suppress(ProcessLookupError):
                post.process.send_signal(number)
