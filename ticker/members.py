"""The processes that serve the same boards: what each says of itself, and whether they agree."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from time import monotonic
from typing import Any

from ticker.cluster import Cluster
from ticker.errors import one_line
from ticker.questions import Questions

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0

PATIENCE_SECONDS = 10.0
"""For so long others may have another config or version before it is logged: files change one by
one."""

UNSERVED = "bus: the process that reads the feeds does not have this board"

CONFIG, VERSION = "config", "version"
"""What all processes should have in common."""


class Members:
    """Looks at what the others say of themselves."""

    def __init__(self, cluster: Cluster, questions: Questions, boards: Mapping[str, Any]) -> None:
        """``boards`` has the names of those that there are here."""
        self._cluster, self._questions, self._boards = cluster, questions, boards
        self._since: dict[tuple[str, str, Any], float | None] = {}  # None: it was logged
        self._asked: tuple[str, Any] | None = None  # the poller, and its config when it was asked
        self._served: frozenset[str] = frozenset()
        questions.answer("boards", self._own_boards)

    async def _own_boards(self, _: Mapping[str, Any]) -> list[str]:
        return list(self._boards)

    def watching(self) -> Counter[str]:
        """Return how many viewers the others have by board, as they said last."""
        found: Counter[str] = Counter()
        for card in self._others().values():
            viewers = card.get("viewers")
            if isinstance(viewers, dict):
                found.update({board: _number(count) for board, count in viewers.items()})
        return found

    def connected(self) -> int:
        """Return how many viewers the others have, as they said last."""
        return sum(_number(card.get("connected")) for card in self._others().values())

    def differing(self, what: str) -> list[str]:
        """Return the ids of those that have another config or version than this process."""
        return [member for member, card in self._others().items() if self._differs(card, what)]

    def wire(self) -> dict[str, Any]:
        """Return how the bus and the processes on it are."""
        cluster = self._cluster
        return {
            "process": cluster.id,
            "poller": cluster.poller or None,
            "why": cluster.why,
            "age": round(cluster.age * 1000),
            "members": [
                self._member(member, card) for member, card in sorted(cluster.members.items())
            ],
        }

    def _member(self, member: str, card: Mapping[str, Any]) -> dict[str, Any]:
        """Return one member; what an other version does not say of itself is null."""
        return {
            "id": member,
            **{key: card.get(key) for key in ("host", "pid", "version", "ready", "draining")},
            "poller": member == self._cluster.poller,
            "viewers": card.get("connected"),
            "same_config": not self._differs(card, CONFIG),
            "same_version": not self._differs(card, VERSION),
            # both of its own clock
            "up": max(0, _number(card.get("now")) - _number(card.get("started"))),
        }

    def _others(self) -> dict[str, Mapping[str, Any]]:
        return {m: card for m, card in self._cluster.members.items() if m != self._cluster.id}

    def _differs(self, card: Mapping[str, Any], what: str) -> bool:
        own = self._cluster.members.get(self._cluster.id, {})
        return bool(own) and card.get(what) != own.get(what)

    # -- looking again and again

    async def look_forever(self) -> None:
        """Say once who differs, and which boards the poller does not have."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                self._say(monotonic())
                await self._compare_boards()
            except Exception:  # a defect must not end it for good
                log.exception("the processes cannot be compared")

    def _say(self, now: float) -> None:
        differences = set(self._differences())
        self._since = {d: since for d, since in self._since.items() if d in differences}
        for difference in differences:
            since = self._since.setdefault(difference, now)
            if since is not None and now - since >= PATIENCE_SECONDS:
                member, what, _ = difference
                card = self._others().get(member, {})
                where = f"{one_line(str(card.get('host')))}, pid {card.get('pid')}"
                log.warning("process %s (%s) has another %s than this one", member, where, what)
                self._since[difference] = None

    def _differences(self) -> Iterator[tuple[str, str, Any]]:
        for member, card in self._others().items():
            for what in (CONFIG, VERSION):
                if self._differs(card, what):
                    yield member, what, card.get(what)

    async def _compare_boards(self) -> None:
        """Let boards be doubted that nobody fills: the poller has another config."""
        cluster = self._cluster
        poller = cluster.poller
        if poller not in self.differing(CONFIG):
            self._asked, cluster.unserved = None, {}
            return
        asked = poller, cluster.members[poller].get(CONFIG)
        if asked != self._asked:
            answers = await self._questions.ask("boards", of=poller)
            if poller not in answers.by:
                return
            self._asked, self._served = asked, frozenset(answers.by[poller])
        cluster.unserved = {name: UNSERVED for name in self._boards if name not in self._served}


def _number(said: object) -> int:
    """Return a number of a card; 0 where there is none."""
    return said if isinstance(said, int) else 0
