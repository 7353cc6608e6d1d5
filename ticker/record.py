"""``ticker record``: what poll feeds get from their sources, with its timing, into one file."""

from __future__ import annotations

import asyncio
import gzip
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import BinaryIO, cast

import orjson

from ticker.config import PollFeed as PollSettings
from ticker.errors import TickerError
from ticker.feeds.poll import PollFeed, Witness
from ticker.feeds.recorded import Line, lines
from ticker.feeds.secrets import Secrets
from ticker.hub import Hub
from ticker.producer import Producer
from ticker.schedule import Schedule


class Recording:
    """A file of recorded readings, of at most ``most`` bytes before compression."""

    def __init__(self, file: Path, most: int) -> None:
        try:
            raw = file.open("xb")
        except OSError as error:
            raise TickerError(f"cannot write {file}: {error.strerror}") from None
        self._raw: BinaryIO = raw
        self._file = (
            cast("BinaryIO", gzip.GzipFile(fileobj=raw, mode="wb")) if file.suffix == ".gz" else raw
        )
        self._most = most
        self.bytes = 0
        self.readings: Counter[str] = Counter()
        self.ended = asyncio.Event()
        """Whether there is no room left, here or on the disk."""
        self.why = ""

    def write(self, reading: list[Line]) -> None:
        """Add one reading, whole or not at all; it is in the file at once."""
        if self.ended.is_set() or not reading:
            return
        text = b"".join(orjson.dumps(line) + b"\n" for line in reading)
        if self.bytes + len(text) > self._most:
            self._end("the file is full")
            return
        try:
            self._file.write(text)
            self._file.flush()
            self._raw.flush()
        except OSError as error:
            self._end(f"cannot write: {error.strerror}")
            return
        self.bytes += len(text)
        self.readings[reading[0]["feed"]] += 1

    def close(self) -> None:
        """End the file."""
        with suppress(OSError):  # of a full disk, which `why` tells
            self._file.close()
        self._raw.close()

    def _end(self, why: str) -> None:
        self.why = why
        self.ended.set()

    def witness(self, feed: str, secrets: Secrets) -> Witness:
        """Return what a feed tells its readings."""
        return lambda heard: self.write(lines(feed, self.readings[feed], heard, time(), secrets))


@dataclass(frozen=True, slots=True)
class Recorded:
    """What came of it: why it ended, readings by feed, and bytes before compression."""

    why: str
    readings: Mapping[str, int]
    bytes: int


async def record(
    feeds: Mapping[str, PollSettings], foreign: frozenset[str], file: Path, most: int, length: float
) -> Recorded:
    """Read ``feeds`` as serving them does, for ``length`` seconds, and keep what they get.

    Ends early at ``most`` bytes, and when asked to by a signal. ``foreign`` are texts that may be
    secrets.
    """
    recording = Recording(file, most)
    try:
        schedule = Schedule()
        producer = Producer({}, Hub({}), schedule.change)
        for name, settings in feeds.items():
            witness = recording.witness(name, Secrets(settings, foreign))
            producer.put(name, settings, PollFeed(settings, witness=witness))
        why = await _read(producer, schedule, feeds, recording, length)
    finally:
        recording.close()
    return Recorded(why, {name: recording.readings[name] for name in feeds}, recording.bytes)


async def _read(
    producer: Producer,
    schedule: Schedule,
    feeds: Mapping[str, PollSettings],
    recording: Recording,
    length: float,
) -> str:
    """Run the feeds until the end, and say in words which end it was."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with suppress(NotImplementedError):  # Windows
            loop.add_signal_handler(number, stopped.set)
    ends = [asyncio.create_task(event.wait()) for event in (stopped, recording.ended)]
    judging = asyncio.create_task(producer.judge_forever())
    for name, settings in feeds.items():
        schedule.add(name, settings.every, _tick(producer, name))
    schedule.start()
    try:
        await asyncio.wait(ends, timeout=length, return_when=asyncio.FIRST_COMPLETED)
    finally:
        schedule.stop()
        for task in (judging, *ends):
            task.cancel()
        await asyncio.gather(judging, *ends, return_exceptions=True)
        await producer.close()
    return recording.why or ("stopped" if stopped.is_set() else "the time is over")


def _tick(producer: Producer, name: str) -> Callable[[], Awaitable[float | None]]:
    return lambda: producer.tick(name)
