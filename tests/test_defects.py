"""A defect in one round of what runs for good is a traceback in the log, and the next round comes.

Boards, heartbeats, judgements of age and what other processes are told must not stop for good
because of one value that nobody thought of.
"""

from __future__ import annotations

import asyncio
import logging
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from ticker import bulletin, following, hub, keep, members, producer, pushes
from ticker.runtime import _warned

from .support import PATIENCE

SETTINGS: dict[str, Any] = {"settings": SimpleNamespace(presence=0.001, heartbeat=0.001)}
LOOPS: list[tuple[Any, str, str, dict[str, Any]]] = [
    (hub.Hub, "sweep_forever", "sweep", SETTINGS),
    (hub.Hub, "tell_viewers_forever", "tell_viewers", SETTINGS),
    (members.Members, "look_forever", "_say", {}),
    (keep.Keeper, "keep_forever", "keep", {}),
    (pushes.SharedPushes, "forget_forever", "_forget", {"_taken": {"f": []}}),
    (following.Following, "forever", "_follow", {"_boards": {}, "_reading": None}),
    (producer.Producer, "judge_forever", "_follow", {"_sources": {"f": None}}),
]
PAUSES: dict[ModuleType, dict[str, Any]] = {
    hub: {"SWEEP_SECONDS": 0},
    members: {"LOOK_SECONDS": 0},
    keep: {"KEEP_SECONDS": 0},
    pushes: {"LOOK_SECONDS": 0},
    following: {"RETRY_SECONDS": (0, 0)},
    producer: {"JUDGE_SECONDS": 0},
    bulletin: {"RETRY_SECONDS": 0},
}


class Defect(Exception):
    """Something that nobody thought of."""


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, pauses in PAUSES.items():
        for name, value in pauses.items():
            monkeypatch.setattr(module, name, value)


async def rounds(part: Any, forever: str, inner: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a loop until its inner step, which always fails, has been called three times."""
    called, enough = 0, asyncio.Event()

    def fail(*_: object, **__: object) -> None:
        nonlocal called
        called += 1
        if called >= 3:
            enough.set()
        raise Defect

    monkeypatch.setattr(part, inner, fail, raising=False)
    running = asyncio.create_task(getattr(part, forever)())
    done, _ = await asyncio.wait(
        [running, waiting := asyncio.create_task(enough.wait())],
        timeout=PATIENCE,
        return_when=asyncio.FIRST_COMPLETED,
    )
    assert waiting in done
    assert running not in done
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize(("kind", "forever", "inner", "has"), LOOPS, ids=str)
async def test_a_defect_does_not_end_what_runs_for_good(
    kind: Any,
    forever: str,
    inner: str,
    has: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is told each time."""
    part = kind.__new__(kind)
    for name, value in has.items():
        setattr(part, name, value)
    await rounds(part, forever, inner, monkeypatch)
    told = [record for record in caplog.records if record.exc_info]
    assert len(told) >= 2
    assert {record.exc_info[0] for record in told if record.exc_info} == {Defect}


async def test_a_defect_does_not_end_the_notices(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They are read again until that succeeds."""
    part = bulletin.SharedBulletin.__new__(bulletin.SharedBulletin)
    part._stale = asyncio.Event()
    part._stale.set()
    part._heard = {"n"}
    await rounds(part, "keep_forever", "_catch_up", monkeypatch)
    assert not part._catching_up
    assert not part._heard
    assert all(record.levelno == logging.ERROR for record in caplog.records)


async def test_an_errand_that_fails_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for it: the log alone can know."""

    async def errand() -> None:
        raise Defect

    await _warned(errand())
    (record,) = caplog.records
    assert record.getMessage() == "what a reload left to do has failed"
