"""Turns of the loop, and lines: who asks for much waits for itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from ticker.turns import TURN_SECONDS, Full, Line, Turns


class Pieces:
    """Work of so many pieces, each of which fills a turn; writes its name down for each."""

    def __init__(self, name: str, count: int, done: list[str]) -> None:
        self.name, self.left, self.done = name, count, done

    def __call__(self) -> bool:
        """Do one piece."""
        self.left -= 1
        self.done.append(self.name)
        return self.left > 0


async def turns_until(true: Callable[[], object]) -> int:
    """Return how many turns of the loop it took."""
    for turn in range(1_000):
        if true():
            return turn
        await asyncio.sleep(0)
    raise AssertionError("it is never done")


async def test_what_is_little_is_done_at_once() -> None:
    """There is nobody to wait for."""
    done: list[str] = []
    turns = Turns()
    assert turns.do("a", Pieces("a", 3, done))
    assert done == ["a", "a", "a"]
    assert len(turns) == 0


async def test_a_turn_of_the_loop_has_room_for_so_much() -> None:
    """The rest is done in those to come, one piece in each."""
    done: list[str] = []
    turns = Turns()
    assert not turns.do("a", Pieces("a", 10, done), TURN_SECONDS)
    assert done == ["a"]
    assert await turns_until(lambda: len(done) == 10) >= 8
    assert len(turns) == 0


async def test_addresses_take_turns() -> None:
    """One that asks for little is not behind all that another has asked for."""
    done: list[str] = []
    turns = Turns()
    for _ in range(50):
        turns.do("much", Pieces("much", 20, done), TURN_SECONDS)
    turns.do("little", Pieces("little", 2, done), TURN_SECONDS)
    await turns_until(lambda: done.count("little") == 2)
    assert len(done) < 8


async def test_what_fails_is_not_tried_again_and_stops_nobody() -> None:
    """The loop tells of it; the next ones are done."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, about: told.append(about))
    done: list[str] = []
    turns = Turns()
    turns.charge(TURN_SECONDS)

    def fails() -> bool:
        raise ZeroDivisionError

    turns.do("a", fails)
    turns.do("b", Pieces("b", 1, done))
    await turns_until(lambda: done and told)
    assert len(turns) == 0


async def test_who_waits_for_a_turn_and_leaves_holds_nobody_up() -> None:
    """Its turn passes."""
    turns = Turns()
    turns.charge(TURN_SECONDS)
    waits = [asyncio.create_task(turns.take("a", TURN_SECONDS)) for _ in range(3)]
    await asyncio.sleep(0)
    waits[1].cancel()
    await waits[2]
    assert waits[0].done()


async def test_in_a_line_one_is_in_at_a_time_and_addresses_take_turns() -> None:
    """Whoever comes from another address is next but one."""
    line, inside, order = Line(10), 0, []

    async def visit(address: str) -> None:
        nonlocal inside
        async with line.place(address):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1
            order.append(address)

    await asyncio.gather(*(visit(address) for address in "aaaab"))
    assert order == ["a", "a", "b", "a", "a"]


async def test_a_line_is_only_so_long_and_who_leaves_it_holds_nobody_up() -> None:
    """The one too many is told; the places of those who leave are free."""
    line = Line(2)
    async with line.place("a"):
        waits = [asyncio.create_task(visited(line)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await visited(line)
        waits[0].cancel()
    await waits[1]
    await visited(line)


async def test_who_leaves_a_line_as_it_is_let_in_lets_the_next_in() -> None:
    """Or nobody would ever be let in again."""
    line = Line(5)
    waits: list[asyncio.Task[None]] = []
    async with line.place("a"):
        waits += [asyncio.create_task(visited(line)) for _ in range(2)]
        await asyncio.sleep(0)
    waits[0].cancel()
    await waits[1]


async def visited(line: Line) -> None:
    """Be in the line's place for a moment."""
    async with line.place("a"):
        await asyncio.sleep(0)
