"""Questions to every process that serves the same boards, and what each of them answers.

A question is news; who answers keeps the answer in a table of the question's own, which is soon
forgotten, and says so. Nobody waits for long: who did not answer in time is named.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ticker.bus import BusError
from ticker.cluster import Cluster
from ticker.tasks import end

log = logging.getLogger(__name__)

ANSWER_SECONDS = 2.0
"""How long answers are waited for."""

KEPT_SECONDS = 60.0
"""How long an answer may be fetched."""

AT_ONCE = 32
"""More questions of others under way are not answered: each may cost a moment."""

Answer = Callable[[Mapping[str, Any]], Awaitable[Any]]
"""Answers one kind of question, from what it is about, with something that JSON can say."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What was answered, by process, this one first; and the processes that did not answer."""

    by: dict[str, Any]
    silent: list[str]


@dataclass(slots=True)
class _Asked:
    """A question under way: who has not answered yet."""

    left: set[str]
    heard: set[str] = field(default_factory=set)
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Questions:
    """Asks the only process that there is."""

    own = ""
    """The id of this process; empty where it is alone."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}

    def answer(self, kind: str, answer: Answer) -> None:
        """Let ``answer`` answer every question of a kind, also those of this process."""
        self._answers[kind] = answer

    async def ask(
        self,
        kind: str,
        *,
        of: str | None = None,  # noqa: ARG002 - there is nobody else
        patience: float = ANSWER_SECONDS,  # noqa: ARG002
        **about: Any,
    ) -> Answers:
        """Ask every process, or ``of`` one alone, and wait at most ``patience`` seconds."""
        return Answers({self.own: await self._answers[kind](about)}, [])

    async def close(self) -> None:
        """Answer no more."""


class SharedQuestions(Questions):
    """Asks every process of a cluster, and answers what others ask."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self.own = cluster.id
        self._cluster = cluster
        self._asked: dict[str, _Asked] = {}
        self._answering: set[asyncio.Task[None]] = set()
        cluster.following.on("question", self._hear_question)
        cluster.following.on("answer", self._hear_answer)

    async def ask(
        self, kind: str, *, of: str | None = None, patience: float = ANSWER_SECONDS, **about: Any
    ) -> Answers:
        """Ask every process, or ``of`` one alone, and wait at most ``patience`` seconds."""
        asked = {self.own, *self._cluster.members} if of is None else {of}
        others = asyncio.create_task(
            self._ask_others(asked - {self.own}, kind, of, patience, about)
        )
        try:
            found = {}
            if self.own in asked:
                found[self.own] = await self._answers[kind](about)
            found |= await others
        finally:
            others.cancel()
        return Answers(found, sorted(asked - found.keys()))

    async def _ask_others(
        self,
        others: set[str],
        kind: str,
        of: str | None,
        patience: float,
        about: Mapping[str, Any],
    ) -> dict[str, Any]:
        cluster = self._cluster
        if not others:
            return {}
        question = secrets.token_hex(8)
        asked = self._asked[question] = _Asked(others)
        try:
            async with asyncio.timeout(patience):
                await cluster.say("question", question=kind, id=question, about=about, of=of)
                await asked.done.wait()
        except TimeoutError:
            pass  # who did not answer is named
        except BusError as error:
            log.debug("question '%s' cannot be asked: %s", kind, error)
        finally:
            del self._asked[question]
        try:
            async with asyncio.timeout(patience):
                found = await cluster.bus.get(_table(question)) if asked.heard else {}
        except (BusError, TimeoutError) as error:
            log.debug("answers to '%s' cannot be read: %s", kind, error)
            found = {}
        return dict(_read(kind, found))

    def _hear_question(self, news: Mapping[str, Any]) -> None:
        of = news["of"]
        if news["from"] == self.own or (of is not None and of != self.own):
            return
        if news["question"] not in self._answers or len(self._answering) >= AT_ONCE:
            return  # who asks goes on without us
        task = asyncio.create_task(self._reply(news))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _reply(self, news: Mapping[str, Any]) -> None:
        cluster = self._cluster
        kind, question = news["question"], news["id"]
        try:
            said = orjson.dumps(await self._answers[kind](news["about"]))
            await cluster.bus.put(_table(question), {cluster.id: said}, KEPT_SECONDS)
            await cluster.say("answer", id=question)
        except BusError as error:
            log.debug("question '%s' cannot be answered: %s", kind, error)
        except Exception:  # what others ask must not be more than a line in the log
            log.exception("question '%s' cannot be answered", kind)

    def _hear_answer(self, news: Mapping[str, Any]) -> None:
        asked = self._asked.get(news["id"])
        if asked is None:
            return
        asked.heard.add(news["from"])
        if asked.heard >= asked.left:
            asked.done.set()

    async def close(self) -> None:
        """Answer no more."""
        await end(self._answering)


def _read(kind: str, found: Mapping[str, bytes]) -> Iterator[tuple[str, Any]]:
    """Yield each answer with its process; who says what cannot be read has not answered."""
    for member, said in sorted(found.items()):
        try:
            yield member, orjson.loads(said)
        except orjson.JSONDecodeError:
            log.warning("process %s: its answer to '%s' cannot be read", member, kind)


def _table(question: str) -> str:
    return f"answers {question}"
