"""Turns of the loop: what strangers and viewers ask for is done between the ticks, bit by bit.

Each turn of the loop has a millisecond for it. What is more waits, and who asks is not read
meanwhile, so most of it waits where it came from. Addresses take turns: one that asks for much
waits for itself, and everybody else for one piece of its work.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from time import perf_counter

TURN_SECONDS = 0.001
"""How much is done for all of them in a turn of the loop, give or take one piece of work."""

Work = Callable[[], bool]
"""Does one piece of work, and returns whether there is more."""


class Turns:
    """Gives turns to those who ask, by address."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[tuple[Work, float]]] = {}  # whose turn is next comes first
        self._spent = 0.0
        self._begun = False

    def __len__(self) -> int:
        """How many wait for their turn."""
        return sum(map(len, self._waiting.values()))

    def do(self, address: str, work: Work, price: float = 0.0) -> bool:
        """Work for ``address``, now or when it is its turn; return whether all is done by now.

        A piece counts as ``price`` seconds at least, where more comes of it later.
        """
        self._begin()
        while not self._waiting and self._spent < TURN_SECONDS:
            if not self._run(work, price):
                return True
        self._wait(address, work, price)
        return False

    async def take(self, address: str, price: float) -> None:
        """Wait until something may be done for ``address`` that takes about ``price`` seconds."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def give() -> bool:
            if not turn.done():  # whoever waited may be gone
                turn.set_result(None)
            return False

        if not self.do(address, give, price):
            await turn

    def charge(self, price: float) -> None:
        """Count something that is done already, or will be, as so many seconds of this turn."""
        self._spent += price

    def _begin(self) -> None:
        """See to it that the next turn of the loop begins anew."""
        if not self._begun:
            self._begun = True
            asyncio.get_running_loop().call_soon(self._next)

    def _next(self) -> None:
        self._begun, self._spent = False, 0.0
        try:
            while self._waiting and self._spent < TURN_SECONDS:
                address, works = next(iter(self._waiting.items()))
                del self._waiting[address]
                work, price = works.popleft()
                if works:
                    self._waiting[address] = works  # after the others
                if self._run(work, price):
                    self._wait(address, work, price)
        finally:  # also when something failed: the others wait for their turn
            if self._waiting:
                self._begin()

    def _wait(self, address: str, work: Work, price: float) -> None:
        self._waiting.setdefault(address, deque()).append((work, price))

    def _run(self, work: Work, price: float) -> bool:
        began = perf_counter()
        try:
            return work()
        finally:
            self._spent += max(perf_counter() - began, price)


class Full(Exception):
    """So many wait already that another would wait for too long."""


class Line:
    """Lets in one at a time. Addresses take turns here, too, and no more than ``most`` wait."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._busy = False
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    @asynccontextmanager
    async def place(self, address: str) -> AsyncIterator[None]:
        """Wait until it is one's turn, which lasts as long as the block. Raises Full."""
        if self._busy:
            await self._wait(address)
        self._busy = True
        try:
            yield
        finally:
            self._next()

    async def _wait(self, address: str) -> None:
        if sum(map(len, self._waiting.values())) >= self._most:
            raise Full
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was just let in
                self._next()
            raise

    def _next(self) -> None:
        """Let the next one in, who is still there."""
        while self._waiting:
            address, turns = next(iter(self._waiting.items()))
            del self._waiting[address]
            turn = turns.popleft()
            if turns:
                self._waiting[address] = turns  # after the others
            if not turn.done():
                turn.set_result(None)  # it stays busy
                return
        self._busy = False
