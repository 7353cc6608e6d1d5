"""How feeds are, told by any process: those who do not read them ask the one that does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import Any

from ticker.cluster import Cluster
from ticker.config import Settings
from ticker.health import Health
from ticker.live import LiveBoard
from ticker.questions import Questions

FRESH_SECONDS = 1.0
"""What was told so lately is not asked for again: strangers may ask any process."""

ANSWER_SECONDS = 1.0

Feeds = Mapping[str, Any]


class Reports:
    """Knows how every feed is, or was when the process that reads them last said so."""

    def __init__(
        self,
        cluster: Cluster | None,
        questions: Questions,
        own: Callable[[], Feeds],
        boards: Mapping[str, LiveBoard],
    ) -> None:
        """``own`` returns how the feeds are that this process reads."""
        self._cluster, self._questions, self._own, self._boards = cluster, questions, own, boards
        self._turn = asyncio.Lock()
        self._known: Feeds | None = None
        self._known_at = self._asked_at = float("-inf")
        questions.answer("feeds", self._answer)

    async def _answer(self, _: Mapping[str, Any]) -> Feeds:
        return self._own()

    async def feeds(self, settings: Settings) -> tuple[Feeds, dict[str, Any]]:
        """Return how every feed is, and what of that is known: by whom, and how old it is in ms.

        The latter is empty without a bus. Of feeds that nobody has told of, there is what the
        boards say.
        """
        cluster = self._cluster
        if cluster is None:
            return self._own(), {}
        if cluster.leads:
            return self._own(), {"poller": cluster.id, "age": 0}
        async with self._turn:  # who comes meanwhile is told the same
            if monotonic() - self._asked_at > FRESH_SECONDS:
                await self._ask(cluster.poller)
        if self._known is None:
            return self._by_boards(settings), {"poller": cluster.poller or None, "age": None}
        age = round((monotonic() - self._known_at) * 1000)
        return self._doubted(self._known), {"poller": cluster.poller or None, "age": age}

    async def _ask(self, poller: str) -> None:
        if poller:
            answers = await self._questions.ask("feeds", of=poller, patience=ANSWER_SECONDS)
            if found := answers.by.get(poller):
                self._known, self._known_at = found, monotonic()
        self._asked_at = monotonic()

    def _doubted(self, feeds: Feeds) -> Feeds:
        """Return them as the boards show them here: without the bus nothing is known for sure."""
        doubted = {
            name: {"quality": status.quality.value, "why": status.why}
            for live in self._boards.values()
            if live.doubt is not None
            for name, status in live.shown().items()
        }
        return {name: {**feed, **doubted.get(name, {})} for name, feed in feeds.items()}

    def _by_boards(self, settings: Settings) -> Feeds:
        found = {}
        for name, feed in settings.feeds.items():
            health = Health()
            shown = [live for live in self._boards.values() if name in live.feeds]
            for live in shown[:1]:
                health.inherit(live.shown()[name], {}, time())
            found[name] = {
                "kind": feed.kind,
                "every": None,
                "boards": [live.name for live in shown],
                **health.wire(),
                "next_run": None,
                "skipped": 0,
            }
        return found
