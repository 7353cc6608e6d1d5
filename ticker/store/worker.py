"""A thread for what blocks, one thing after another, that nobody has to wait for.

Unlike an executor's it does not keep the process from ending: a disk may hang for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from typing import Any, TypeVar

T = TypeVar("T")

_Call = tuple[asyncio.Future[Any], Callable[..., Any], tuple[object, ...]]


class Worker:
    """A thread that begins with the first call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()
        self._thread: Thread | None = None

    async def do(self, call: Callable[..., T], *args: object) -> T:
        """Return what ``call`` returns in the thread, or raise what it raises.

        Whoever is cancelled waits no more; the call itself goes on.
        """
        if self._thread is None:
            self._thread = Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._calls.put((future, call, args))
        return await future

    def end(self) -> None:
        """Let the thread end after what it does."""
        self._calls.put(None)

    def _run(self) -> None:
        while (todo := self._calls.get()) is not None:
            future, call, args = todo
            if future.cancelled():
                continue
            result = error = None
            try:
                result = call(*args)
            except BaseException as raised:  # noqa: BLE001 - for who waits
                error = raised
            with suppress(RuntimeError):  # the loop has ended: nobody waits
                future.get_loop().call_soon_threadsafe(_settle, future, result, error)
            del todo, future, call, args, result, error  # nothing is held while it waits


def _settle(future: asyncio.Future[Any], result: object, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
