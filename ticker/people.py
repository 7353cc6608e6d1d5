"""Viewers of all processes: who they are, and how one of them is ended."""

from __future__ import annotations

from collections.abc import Mapping
from heapq import nsmallest
from operator import attrgetter
from time import monotonic
from typing import Any

from ticker.channel import in_turns
from ticker.errors import TickerError
from ticker.hub import Hub
from ticker.questions import Questions
from ticker.viewer import Viewer

LONGEST_ID = 64
"""No viewer's id is longer."""


class NotAllAnswered(TickerError):
    """A viewer was not found, and some processes did not answer: it may be at one of them."""

    def __init__(self, viewer: str, silent: list[str]) -> None:
        super().__init__(
            f"no viewer '{viewer}' where it could be asked; no answer of {', '.join(silent)}"
        )


class People:
    """Finds viewers wherever they are."""

    def __init__(self, hub: Hub, questions: Questions) -> None:
        self._hub, self._questions = hub, questions
        questions.answer("viewers", self._page)
        questions.answer("has viewer", self._has)
        questions.answer("remove viewer", self._remove)

    async def page(self, limit: int, after: str = "", board: str | None = None) -> Any:
        """Return at most ``limit`` viewers of all processes, and after which id to go on.

        Where there are more processes, each viewer is told with its own, and who did not answer.
        """
        answers = await self._questions.ask("viewers", limit=limit, after=after, board=board)
        if not self._questions.own:
            return answers.by[""]
        found = [
            {**viewer, "process": process}
            for process, page in answers.by.items()
            for viewer in page["viewers"]
        ]
        shown = nsmallest(limit, found, key=lambda viewer: str(viewer["id"]))
        more = len(found) > limit or any(page["next"] for page in answers.by.values())
        following = shown[-1]["id"] if more else None
        return {"viewers": shown, "next": following, "silent": answers.silent}

    async def has(self, viewer: str) -> bool:
        """Whether there is such a viewer, anywhere. Raises NotAllAnswered."""
        return await self._anywhere("has viewer", viewer)

    async def remove(self, viewer: str) -> bool:
        """End a viewer, which is not to come back; return whether there was one.

        Raises NotAllAnswered.
        """
        return await self._anywhere("remove viewer", viewer)

    async def _anywhere(self, kind: str, viewer: str) -> bool:
        if len(viewer) > LONGEST_ID:
            return False  # nobody need be asked
        if self._hub.find(viewer) is not None:
            answers = await self._questions.ask(kind, of=self._questions.own, viewer=viewer)
        else:
            answers = await self._questions.ask(kind, viewer=viewer)
        found = any(answers.by.values())
        if not found and answers.silent:
            raise NotAllAnswered(viewer, answers.silent)
        return found

    async def _page(self, about: Mapping[str, Any]) -> Any:
        return await page_of(self._hub, about["limit"], about["after"], about["board"])

    async def _has(self, about: Mapping[str, Any]) -> bool:
        return self._hub.find(about["viewer"]) is not None

    async def _remove(self, about: Mapping[str, Any]) -> bool:
        viewer = self._hub.find(about["viewer"])
        if viewer is not None:
            self._hub.remove(viewer)
        return viewer is not None


async def page_of(hub: Hub, limit: int, after: str = "", board: str | None = None) -> Any:
    """Return at most ``limit`` viewers, those after an id, and after which id to go on.

    The loop turns meanwhile: nobody waits for the list, however long it is.
    """
    found = [
        viewer
        async for viewer in in_turns(list(hub.viewers))
        if viewer.id > after and (board is None or board in viewer.watches)
    ]
    page = nsmallest(limit + 1, found, key=attrgetter("id"))
    now = monotonic()
    shown = [_wire(viewer, now) async for viewer in in_turns(page[:limit])]
    return {"viewers": shown, "next": page[limit - 1].id if len(page) > limit else None}


def _wire(viewer: Viewer, now: float) -> dict[str, Any]:
    """Return what admins see of a viewer; times in milliseconds, ``now`` is monotonic."""
    state = viewer.state
    behind = viewer.behind_since if state == "lagging" else None
    return {
        "id": viewer.id,
        "boards": list(viewer.watches),
        "address": viewer.address,
        "age": _ms(now - viewer.joined),
        "state": state,
        "lag": 0 if behind is None else _ms(now - behind),
        "bytes": viewer.connection.sent(),
        "transport": viewer.connection.kind,
        "compresses": viewer.connection.compresses,
    }


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))
