"""What the workers of one machine tell each other for whoever reads their metrics.

A scrape of the shared port reaches any worker. That one asks the others, each over a Unix socket
in a directory that only this user can enter, and tells all of it, each sample with the label
`worker`. Who is asked writes its families, one line of JSON each, and an empty line at the end.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import orjson
from prometheus_client import Metric
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.samples import Sample

log = logging.getLogger(__name__)

ANSWER_SECONDS = 3.0
"""How long the others may take to answer: a scrape waits for ten."""

LONGEST_FAMILY = 64_000_000
"""Bytes of one family, at most."""


class Siblings:
    """Worker ``number`` of ``count``, and the others; ``own`` returns its own families."""

    def __init__(
        self, number: int, count: int, place: Path, own: Callable[[], Iterable[Metric]]
    ) -> None:
        self._number, self._count, self._place, self._own = number, count, place, own
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Answer the others from now on."""
        path = self._path(self._number)
        try:
            path.unlink(missing_ok=True)  # of who was this worker before
            self._server = await asyncio.start_unix_server(self._tell, path)
        except OSError as error:  # no reason to serve nobody
            log.warning("the other workers cannot ask for metrics: %s", error)

    def close(self) -> None:
        """Answer nobody any more."""
        if self._server is not None:
            self._server.close()

    async def families(self) -> list[Metric]:
        """Return the families of all workers, each sample with its worker's number."""
        answers = await asyncio.gather(*map(self._ask, range(1, self._count + 1)))
        merged: dict[str, Metric] = {}
        for number, families in enumerate(answers, 1):
            for family in families or ():
                samples, family.samples = family.samples, []
                into = merged.setdefault(family.name, family).samples
                into += [s._replace(labels={"worker": str(number), **s.labels}) for s in samples]
                await asyncio.sleep(0)
        up = GaugeMetricFamily(
            "ticker_worker_up",
            "1 for a worker whose metrics are here, 0 for one that did not answer.",
            labels=["worker"],
        )
        for number, answer in enumerate(answers, 1):
            up.add_metric([str(number)], answer is not None)
        return [*merged.values(), up]

    def _path(self, number: int) -> Path:
        return self._place / f"metrics-{number}"

    async def _tell(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                for family in self._own():
                    samples = [(s.name, s.labels, s.value) for s in family.samples]
                    said = family.name, family.documentation, family.type, samples
                    writer.write(orjson.dumps(said) + b"\n")
                    await writer.drain()
                    await asyncio.sleep(0)  # viewers do not wait for all
                writer.write(b"\n")
                await writer.drain()
        except (OSError, TimeoutError) as error:
            log.debug("a sibling does not listen: %s", error)
        finally:
            writer.close()

    async def _ask(self, number: int) -> list[Metric] | None:
        """Return the families of a worker; None when it does not answer."""
        if number == self._number:
            own = []
            for family in self._own():
                own.append(family)
                await asyncio.sleep(0)  # viewers do not wait for all
            return own
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                reader, writer = await asyncio.open_unix_connection(
                    self._path(number), limit=LONGEST_FAMILY
                )
                try:
                    return [_family(line) async for line in _lines(reader)]
                finally:
                    writer.close()
        except (OSError, TimeoutError, EOFError, TypeError, ValueError) as error:
            log.warning("worker %d does not tell its metrics: %s", number, error or "no answer")
            return None


async def _lines(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield each line up to the empty one. Raises EOFError when that does not come."""
    while (line := await reader.readline()) != b"\n":
        if not line.endswith(b"\n"):
            raise EOFError("it breaks off")
        yield line


def _family(line: bytes) -> Metric:
    name, words, kind, samples = orjson.loads(line)
    family = Metric(name, words, kind)
    family.samples = [Sample(*sample) for sample in samples]
    return family
