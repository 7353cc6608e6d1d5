"""Keeps a running ticker at what its config file says, without a viewer losing its connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import Context
from dataclasses import replace
from itertools import islice
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any

from watchfiles import awatch

from ticker import configfile, logs, notify
from ticker.changes import Changes, pending, without_restart
from ticker.configfile import Loaded
from ticker.errors import ConfigError, TickerError, one_line

if TYPE_CHECKING:
    from ticker.runtime import Ticker

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often the file is looked at although nothing was heard: not every file system tells."""

LINES_LOGGED = 20

TROUBLE = (OSError, RuntimeError, MemoryError)
"""A folder went, too many are watched, or there is no thread to do it: that passes."""

EVERYWHERE_SECONDS = 10.0
"""How long the other processes may take to reload before an admin is told without them."""


class Reloader:
    """Reads the config file again, on request or when it changes.

    A file that cannot be used changes nothing: what is wrong with it is logged once and kept in
    ``ticker.reloads``.
    """

    def __init__(self, ticker: Ticker, loaded: Loaded) -> None:
        self._ticker = ticker
        self._first = loaded.settings
        self._files, self._digest = loaded.files, loaded.digest
        self.announced = False
        """Whether the service manager was told that viewers may come."""
        self._turn = asyncio.Lock()
        ticker.questions.answer("reload", self._answer)
        self._asked = asyncio.Event()

    @property
    def file(self) -> Path | None:
        """The config file; None when the demo runs, which has none."""
        return self._files[0] if self._files else None

    def hear(self) -> None:
        """Reload soon: a signal asks for it."""
        self._asked.set()

    async def heed_forever(self) -> None:
        """Reload whenever that was asked for by a signal."""
        while True:
            await self._asked.wait()
            self._asked.clear()  # however often meanwhile, once more is enough
            with suppress(TickerError):  # it was told
                await self.reload()

    async def watch_forever(self) -> None:
        """Reload whenever the content of the file, or of one it refers to, is another."""
        while self._files:
            files = self._files
            try:
                async for _ in awatch(
                    # folders, because editors and mounts put another file in a file's place
                    *_folders(files),
                    watch_filter=None,
                    recursive=False,
                    yield_on_timeout=True,
                    rust_timeout=round(LOOK_SECONDS * 1000),
                ):
                    await self.look()
                    if self._files != files:
                        break
            except TROUBLE as error:
                log.warning("cannot watch %s: %s", self.file, one_line(str(error)))
                await asyncio.sleep(LOOK_SECONDS)
                with suppress(*TROUBLE):
                    await self.look()

    async def look(self) -> None:
        """Reload if there is something new; a mistake in it is for the log."""
        if await asyncio.to_thread(configfile.digest, self._files) != self._digest:
            with suppress(TickerError):  # it was told
                await self.reload()

    async def reload(self) -> Changes:
        """Read the file and go over to what it says; one at a time.

        Raises TickerError when it cannot be used; then nothing has changed.
        """
        if self.file is None:
            why = "the built-in demo runs: there is no file to read again"
            log.warning(why)
            raise TickerError(why)
        async with self._turn:
            with self._announced():
                return await self._reload(self.file)

    async def reload_everywhere(self) -> dict[str, Any]:
        """Let every process reload the file that it has; return what admins are told.

        ``detail`` says what is wrong where a process cannot use its file.
        """
        questions = self._ticker.questions
        answers = await questions.ask("reload", patience=EVERYWHERE_SECONDS)
        own = answers.by[questions.own]
        told = {"detail": own["error"]} if "error" in own else own
        if not questions.own:
            return dict(told)
        failed = [
            f"process {p}: {said['error']}" for p, said in answers.by.items() if "error" in said
        ]
        wrong = {"detail": "; ".join(failed)} if failed else {}
        return {**own, **wrong, "processes": answers.by, "silent": answers.silent}

    async def _answer(self, _: Mapping[str, Any]) -> dict[str, Any]:
        try:
            changes = await self.reload()
        except TickerError as error:
            return {"error": str(error)}
        return {"changes": list(changes.lines()), "pending": changes.pending}

    async def _reload(self, file: Path) -> Changes:
        reloads = self._ticker.reloads
        reloads.tried_at = time()
        try:
            self._digest = await asyncio.to_thread(configfile.digest, self._files)
            loaded = await asyncio.to_thread(configfile.load, file)
            settings = without_restart(self._ticker.settings, loaded.settings)
            plan = await asyncio.to_thread(self._ticker.plan, settings)
            # what begins now is not of the request that asks for it, nor are its log lines
            Context().run(self._ticker.apply, plan)
        except TickerError as error:
            raise self._failed(error) from None
        except Exception as error:  # a defect must not stop the watch for good
            log.exception("config not reloaded")
            raise self._failed(TickerError(f"unexpected {type(error).__name__}")) from error
        logs.hide(loaded.secrets)
        self._files, self._digest = loaded.files, loaded.digest
        reloads.ok, reloads.at, reloads.error = reloads.ok + 1, time(), None
        reloads.pending = pending(self._first, loaded.settings)
        told = "; ".join(islice(plan.changes.lines(), LINES_LOGGED)) or "nothing has changed"
        log.info("config reloaded: %s", told)
        if reloads.pending:
            log.warning("these count only after a restart: %s", ", ".join(reloads.pending))
        return plan.changes

    @contextmanager
    def _announced(self) -> Iterator[None]:
        """Tell the service manager that it begins, and that it is over, whatever came of it."""
        announced = self.announced  # otherwise "ready" would be too early
        if announced:
            notify.reloading()
        try:
            yield
        finally:
            if announced and not self._ticker.hub.draining:
                notify.ready()

    def _failed(self, error: TickerError) -> TickerError:
        """Take note of a file that cannot be used; return the error as others may see it."""
        reloads = self._ticker.reloads
        reloads.failed += 1
        told = _without_lines(error)
        if reloads.error != str(told):
            log.error("config not reloaded, the one before runs on: %s", told)
        reloads.error = str(told)
        return told


def _without_lines(error: TickerError) -> TickerError:
    """Return an error without the lines of the file that it is about: it is shown in one line."""
    if not isinstance(error, ConfigError):
        return error
    return ConfigError([replace(problem, source="") for problem in error.problems])


def _folders(files: Iterable[Path]) -> set[Path]:
    """Return where the files are, and where links lead."""
    found = {file.parent for file in files} | {file.resolve().parent for file in files}
    return {folder for folder in found if folder.is_dir()}
