"""Tasks end, even those that miss that they are to."""

from __future__ import annotations

import asyncio

import pytest

from ticker import tasks


async def test_a_cancellation_that_gets_lost_is_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a task's end does not wait for ever."""
    monkeypatch.setattr(tasks, "AGAIN_SECONDS", 0.01)
    missed: list[bool] = []

    async def go_on() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if missed:
                    raise
                missed.append(True)

    task = asyncio.create_task(go_on())
    await asyncio.sleep(0)
    await tasks.end([task])
    assert task.cancelled()
    assert missed


async def test_what_went_wrong_in_a_task_does_not_hold_up_the_end() -> None:
    """Nor does a list without any."""

    async def fail() -> None:
        raise ValueError

    await tasks.end([asyncio.create_task(fail())])
    await tasks.end([])
