"""What is pushed to a feed, at whichever process: it reaches the one that reads the feeds.

With a bus every body is kept there until what it says is published, so that a process that takes
over can take it in again. Some is then taken in twice, which changes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import orjson

from ticker.bus import BusError
from ticker.cluster import Cluster
from ticker.config import PushFeed as PushSettings
from ticker.feeds.mapping import Mapped
from ticker.feeds.push import PushFeed, Refused
from ticker.producer import Producer
from ticker.questions import Questions
from ticker.tasks import end

log = logging.getLogger(__name__)

TAKE_SECONDS = 5.0
"""How long the process that reads the feeds may take for one body."""

BODY_SECONDS = 600.0
"""How much longer than the interval of its feed a body is kept on the bus at most."""

WAITING_BODIES = 8
"""Bodies of the greatest size whose rows may wait to be published; more are refused."""

LOOK_SECONDS = 0.5
RETRY_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class _Taken:
    """A body that was taken in and is kept until its rows are published."""

    place: str
    """Where it stands among those of its feed, in any term."""
    body: str
    size: int
    looks: int
    """How often its feed is read by when it is surely read."""


class Pushes:
    """Takes in what is pushed to feeds where there is one process, which reads them."""

    def __init__(self, producer: Producer) -> None:
        self._producer = producer

    async def take_in(
        self,
        name: str,
        settings: PushSettings,  # noqa: ARG002 - the feed has its own
        chunks: AsyncIterator[bytes],
        *,
        media: str,
        encoding: str = "",
        size: int | None = None,
        complete: bool = False,
    ) -> dict[str, Any]:
        """Take in one body of feed ``name`` and return what became of it. Raises Refused."""
        feed = self._feed(name)
        mapped = await feed.take_in(
            chunks, media=media, encoding=encoding, size=size, complete=complete
        )
        self._check(name, feed)
        return _told(mapped)

    def lead(self) -> None:
        """Take note that this process reads the feeds."""

    def follow(self) -> None:
        """Take note that another process reads the feeds."""

    async def forget_forever(self) -> None:
        """Forget what need not be kept any more: nothing is."""

    async def close(self) -> None:
        """Do nothing more."""

    def _feed(self, name: str) -> PushFeed:
        feed = self._producer.feed(name)
        if not isinstance(feed, PushFeed):
            raise _later(f"feed '{name}' is not read where it was to be")
        return feed

    def _check(self, name: str, feed: PushFeed) -> None:
        """Raise Refused when nobody looks any more at what ``feed`` took in."""
        if self._producer.feed(name) is not feed:
            raise _later(f"feed '{name}' began anew meanwhile: push it again")


class SharedPushes(Pushes):
    """Lets the process that reads the feeds have what is pushed, at whichever."""

    def __init__(self, cluster: Cluster, questions: Questions, producer: Producer) -> None:
        super().__init__(producer)
        self._cluster, self._questions = cluster, questions
        self._desks: dict[str, PushFeed] = {}  # these take bodies from the network and no more
        self._taken: dict[str, list[_Taken]] = defaultdict(list)
        self._turns: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._recovering: asyncio.Task[None] | None = None
        self._count = 0
        questions.answer("push", self._answer)

    async def take_in(
        self,
        name: str,
        settings: PushSettings,
        chunks: AsyncIterator[bytes],
        *,
        media: str,
        encoding: str = "",
        size: int | None = None,
        complete: bool = False,
    ) -> dict[str, Any]:
        """Take in one body of feed ``name`` and return what became of it. Raises Refused."""
        desk = self._desks.setdefault(name, PushFeed(settings))
        desk.adjust(settings)
        async with desk.receiving(chunks, media=media, encoding=encoding, size=size) as content:
            about = {"feed": name, "media": media, "complete": complete}
            return await self._hand_over(settings, content, about)

    async def _hand_over(
        self, settings: PushSettings, content: bytes, about: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Let the process that reads the feeds have a body. Raises Refused."""
        cluster = self._cluster
        poller, body = cluster.poller, secrets.token_hex(8)
        if not poller:
            raise _later("no process reads the feeds")
        lasts = settings.every + BODY_SECONDS
        try:
            await cluster.bus.put(_body(body), {"content": content}, lasts)
            return await self._asked_to_take(poller, {**about, "body": body})
        except (BusError, Refused) as error:
            with suppress(BusError):  # it may be there although nobody said so
                await cluster.bus.put(_body(body), {"content": None})
            raise error if isinstance(error, Refused) else _later(f"the bus: {error}") from None

    async def _asked_to_take(self, poller: str, about: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the process that reads the feeds says to a body. Raises Refused."""
        answers = await self._questions.ask("push", of=poller, patience=TAKE_SECONDS, **about)
        said: dict[str, Any] | None = answers.by.get(poller)
        if said is None:
            raise _later("the process that reads the feeds does not answer")
        if "refused" in said:
            raise Refused(HTTPStatus(said["refused"]), said["why"])
        return said

    # -- where the feeds are read

    async def _answer(self, about: Mapping[str, Any]) -> dict[str, Any]:
        """Take in a body that the bus keeps, and have it kept until its rows are published."""
        try:
            return _told(await self._take(about))
        except Refused as refused:
            return {"refused": refused.status.value, "why": refused.why}
        except BusError as error:
            return {"refused": HTTPStatus.SERVICE_UNAVAILABLE.value, "why": f"the bus: {error}"}

    async def _take(self, about: Mapping[str, Any]) -> Mapped:
        cluster, name = self._cluster, about["feed"]
        if not cluster.leads:
            raise _later("another process reads the feeds by now")
        if self._recovering is not None:
            await asyncio.wait([self._recovering])
        self._feed(name)  # of others there are no turns
        async with self._turns[name]:  # they count in the order in which they are kept
            feed = self._feed(name)
            found = await cluster.bus.get(_body(about["body"]))
            if "content" not in found:
                raise _later("the bus has forgotten the body")
            content = found["content"]
            waiting = sum(taken.size for taken in self._taken[name])
            if waiting + len(content) > WAITING_BODIES * feed.settings.max_bytes:
                why = "so much waits to be read and published already"
                raise Refused(HTTPStatus.TOO_MANY_REQUESTS, why)
            mapped = await feed.take(content, about["media"], complete=about["complete"])
            self._check(name, feed)
            self._count += 1
            place = f"{int(cluster.term.partition(':')[0] or 0):016}.{self._count:016}"
            self._keep(name, place, about["body"], len(content))
            await cluster.bus.put(_kept(name), {place: orjson.dumps(about)})
            if not cluster.leads:
                raise _later("another process reads the feeds by now")
        return mapped

    def _keep(self, name: str, place: str, body: str, size: int) -> None:
        looks = self._producer.health(name).attempts + 2  # one may be under way that misses it
        self._taken[name].append(_Taken(place, body, size, looks))

    def lead(self) -> None:
        """Go on where the process was that read the feeds before."""
        self.follow()
        feeds = {name: self._producer.feed(name) for name in self._producer.names}
        pushed = {name: feed for name, feed in feeds.items() if isinstance(feed, PushFeed)}
        for feed in pushed.values():
            feed.on_hold = True  # what is older must not be shown after what is newer
        self._recovering = asyncio.create_task(self._recover(pushed))

    def follow(self) -> None:
        """Leave what is kept to whoever reads the feeds."""
        self._taken.clear()
        if self._recovering is not None:
            self._recovering.cancel()

    async def _recover(self, feeds: Mapping[str, PushFeed]) -> None:
        for name, feed in feeds.items():
            try:
                await self._recover_feed(name, feed)
            except Exception:  # a defect must not hold the others up
                log.exception("feed '%s': what was pushed cannot be taken in again", name)
            finally:
                feed.on_hold = False

    async def _recover_feed(self, name: str, feed: PushFeed) -> None:
        bus = self._cluster.bus
        kept = await self._asked(_kept(name))
        for place, wire in sorted(kept.items()):
            about = orjson.loads(wire)
            content = (await self._asked(_body(about["body"]))).get("content")
            if content is None:
                with suppress(BusError):
                    await bus.put(_kept(name), {place: None})
                continue
            with suppress(Refused):  # it was good where it came from
                await feed.take(content, about["media"], complete=about["complete"])
            self._keep(name, place, about["body"], len(content))
        if kept:
            log.info("feed '%s': %d pushed bodies are taken in again", name, len(kept))

    async def _asked(self, table: str) -> Mapping[str, bytes]:
        """Return what is in a table, as soon as the bus says so."""
        while True:
            try:
                return await self._cluster.bus.get(table)
            except BusError:
                await asyncio.sleep(RETRY_SECONDS)

    async def forget_forever(self) -> None:
        """Let the bus forget bodies whose rows are published, again and again."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            for name in list(self._taken):
                try:
                    await self._forget(name)
                except BusError as error:
                    log.debug("what was pushed is kept for longer: %s", error)
                except Exception:  # a defect must not end it for good
                    log.exception("feed '%s': what was pushed cannot be forgotten", name)

    async def _forget(self, name: str) -> None:
        bus, gone = self._cluster.bus, self._producer.feed(name) is None
        if not gone and not self._producer.is_published(name):
            return
        attempts = 0 if gone else self._producer.health(name).attempts
        done = [taken for taken in self._taken[name] if gone or attempts >= taken.looks]
        if done:
            await bus.put(_kept(name), dict.fromkeys(taken.place for taken in done))
            self._taken[name] = [taken for taken in self._taken[name] if taken not in done]
        for taken in done:
            await bus.put(_body(taken.body), {"content": None})

    async def close(self) -> None:
        """Do nothing more."""
        if self._recovering is not None:
            await end([self._recovering])


def _told(mapped: Mapped) -> dict[str, Any]:
    """Return what whoever pushed is told."""
    rejections = [str(rejection) for rejection in mapped.rejections]
    return {"rows": len(mapped.rows), "rejected": mapped.rejected, "rejections": rejections}


def _later(why: str) -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, why)


def _body(body: str) -> str:
    return f"body {body}"


def _kept(feed: str) -> str:
    return f"pushed {feed}"
