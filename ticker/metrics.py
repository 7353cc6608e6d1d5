"""What Prometheus reads: the state as it is when it asks, so that a tick pays nothing but integers.

Label values are names of the config and words of this program, never an address, a secret or what a
viewer sent.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import accumulate
from time import monotonic
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, GCCollector, Metric, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.registry import Collector

from ticker import __version__
from ticker.cluster import Cluster
from ticker.health import Health
from ticker.hub import LOST
from ticker.live import LiveBoard
from ticker.members import CONFIG, VERSION, Members
from ticker.protocol import CloseCode
from ticker.quality import Quality
from ticker.siblings import Siblings
from ticker.store import Store
from ticker.traffic import LAG_BOUNDS, Lags

if TYPE_CHECKING:
    from ticker.runtime import Ticker

AT_ONCE = 500
"""Samples written before the loop turns: a few milliseconds."""

FRESH_SECONDS = 1.0
"""For so long what all workers told is told again: each that asks would have all of them work."""

Family = type[GaugeMetricFamily] | type[CounterMetricFamily]
GAUGE, COUNTER = GaugeMetricFamily, CounterMetricFamily

FEEDS: tuple[tuple[Family, str, str, Callable[[Health], float]], ...] = (
    (
        GAUGE,
        "ticker_feed_last_success_timestamp_seconds",
        "When a feed was last read with success; 0: never.",
        lambda health: health.record.last_success or 0,
    ),
    (
        GAUGE,
        "ticker_feed_duration_seconds",
        "How long the last reading of a feed took.",
        lambda health: health.duration or 0,
    ),
    (
        COUNTER,
        "ticker_feed_bytes_total",
        "Bytes that a feed got from the network.",
        lambda health: health.received,
    ),
    (GAUGE, "ticker_feed_rows", "Rows that a feed fills.", lambda health: health.rows),
    (
        COUNTER,
        "ticker_feed_rejected_total",
        "Rows that could not be mapped.",
        lambda health: health.rejected,
    ),
    (
        COUNTER,
        "ticker_feed_held_total",
        "Readings of rows held back until confirmed.",
        lambda health: health.held,
    ),
)
"""What is known of each feed's readings."""

BOARDS: tuple[tuple[Family, str, str, Callable[[LiveBoard], float]], ...] = (
    (GAUGE, "ticker_board_seq", "The seq of a board's last change.", lambda live: live.seq),
    (GAUGE, "ticker_board_rows", "Rows on a board.", lambda live: len(live.board)),
    (
        COUNTER,
        "ticker_board_changes_total",
        "Changed rows that were published.",
        lambda live: live.changes,
    ),
    (
        COUNTER,
        "ticker_board_flushes_total",
        "How often a board was looked at for changes.",
        lambda live: live.flushes,
    ),
    (
        COUNTER,
        "ticker_board_flush_seconds_total",
        "Time spent to look for changes and to publish them.",
        lambda live: live.flush_seconds,
    ),
)

BUS: tuple[tuple[Family, str, str, Callable[[Cluster], float]], ...] = (
    (GAUGE, "ticker_bus_up", "1 while the bus answers.", lambda c: c.answers),
    (
        GAUGE,
        "ticker_bus_followed",
        "1 while this process follows the bus.",
        lambda c: c.why is None,
    ),
    (GAUGE, "ticker_bus_poller", "1 in the process that reads the feeds.", lambda c: c.leads),
    (
        COUNTER,
        "ticker_bus_terms_total",
        "How often this process became the one that reads the feeds.",
        lambda c: c.counts.terms,
    ),
    (
        GAUGE,
        "ticker_bus_members",
        "Processes that the bus has heard of lately.",
        lambda c: len(c.members),
    ),
    (
        GAUGE,
        "ticker_bus_silence_seconds",
        "Since the bus answered last.",
        lambda c: c.age,
    ),
    (
        GAUGE,
        "ticker_bus_behind_seconds",
        "For how long a board has been behind what the bus has; 0: none is.",
        lambda c: c.following.behind,
    ),
    (
        COUNTER,
        "ticker_bus_reloads_total",
        "Boards that were read from the bus as a whole.",
        lambda c: c.counts.reloads,
    ),
)
"""What is known of the bus, where there is one."""

STORE: tuple[tuple[Family, str, str, Callable[[Store], float]], ...] = (
    (GAUGE, "ticker_store_up", "1 while boards are kept in the file.", lambda s: s.why is None),
    (
        COUNTER,
        "ticker_store_failures_total",
        "Times that the file could not be written to.",
        lambda s: s.failures,
    ),
    (
        COUNTER,
        "ticker_store_written_bytes_total",
        "Bytes that were given to the file to keep.",
        lambda s: s.written_bytes,
    ),
    (
        GAUGE,
        "ticker_store_written_timestamp_seconds",
        "When the file was last written to.",
        lambda s: s.written_at,
    ),
)
"""What is known of the file that boards are kept in, where there is one."""

STATES = ["live", "lagging", "paused"]
LEAVES = [str(code) for code in (1000, 1001, 1005, LOST, *map(int, CloseCode))]
DROPS = ["connection lost", *(code.reason for code in CloseCode)]
REFUSALS = ["full", "draining", "starting"]
"""Told as 0 before it first happens, as all of these: a rate needs a value to begin with."""

QUANTILES = {"p50": "0.5", "p99": "0.99", "max": "1"}


class Metrics(Collector):
    """Tells all of ``ticker`` in Prometheus's formats."""

    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._writing = asyncio.Lock()
        self._told: dict[str, tuple[float, bytes]] = {}  # of all workers: when, by content type
        self.siblings: Siblings | None = None
        """The other workers behind the same port, whose metrics are told, too."""

    def families(self) -> Iterable[Metric]:
        """Return what this process tells, made bit by bit."""
        return self._registry.collect()

    async def exposition(self, accept: str) -> tuple[bytes, str]:
        """Return everything in the format that ``accept`` asks for, and its content type.

        Written bit by bit, so that viewers do not wait for a thousand feeds. For a thread they
        might: a broadcast lets go of the interpreter at every viewer, and a thread that takes it
        keeps it for 5 ms.
        """
        encode, content_type = _encoder(accept)
        written = bytearray()
        async with self._writing:
            at, body = self._told.get(content_type, (float("-inf"), b""))
            if monotonic() - at < FRESH_SECONDS:
                return body, content_type
            all_workers = None if self.siblings is None else await self.siblings.families()
            for metric in all_workers or self.families():
                for start in range(0, max(1, len(metric.samples)), AT_ONCE):
                    written += _lines(encode, metric, start)
                    await asyncio.sleep(0)
            written += encode(_Only())
            if all_workers is not None:
                self._told[content_type] = monotonic(), bytes(written)
        return bytes(written), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield each family of metrics, made at the moment it is asked for."""
        yield from self._feeds()
        yield from self._boards()
        yield from self._viewers()
        yield from self._traffic()
        if self._ticker.cluster is not None and self._ticker.members is not None:
            yield from _bus(self._ticker.cluster, self._ticker.members)
        if (store := self._ticker.store) is not None:
            for kind, name, words, value in STORE:
                yield kind(name, words, value(store))
        yield from self._process()

    def _feeds(self) -> Iterator[Metric]:
        """Tell of the feeds that are read here now: they may come and go while this is written."""
        ticker = self._ticker

        def health() -> Iterator[tuple[str, Health]]:
            return ((name, ticker.producer.health(name)) for name in list(ticker.producer.names))

        yield _family(
            GAUGE,
            "ticker_feed_quality",
            "1 for the quality that a feed has, 0 for the others.",
            ["feed", "quality"],
            (((n, q.value), h.quality is q) for n, h in health() for q in Quality),
        )
        yield _family(
            COUNTER,
            "ticker_feed_reads_total",
            "Readings of a feed, by what came of them.",
            ["feed", "outcome"],
            (((n, what), count) for n, h in health() for what, count in h.outcomes().items()),
        )
        for kind, name, words, value in FEEDS:
            yield _family(kind, name, words, ["feed"], (((n,), value(h)) for n, h in health()))
        yield _family(
            COUNTER,
            "ticker_feed_skipped_total",
            "Runs left out because they came too late or would have overlapped.",
            ["feed"],
            (((n,), ticker.schedule.skipped(n)) for n, _ in health()),
        )
        yield _family(
            GAUGE,
            "ticker_feed_backoff_seconds",
            "How much later than its interval says a feed is read next; 0: it is not put off.",
            ["feed"],
            (((n,), ticker.schedule.put_off(n)) for n, _ in health()),
        )

    def _boards(self) -> Iterator[Metric]:
        boards = self._ticker.boards
        for kind, name, words, value in BOARDS:
            samples = (((board,), value(live)) for board, live in boards.items())
            yield _family(kind, name, words, ["board"], samples)
        watching = self._ticker.hub.watching()
        samples = (((board,), watching[board]) for board in boards)
        yield _family(
            GAUGE, "ticker_board_viewers", "Viewers that watch a board.", ["board"], samples
        )

    def _viewers(self) -> Iterator[Metric]:
        hub = self._ticker.hub
        states = Counter(viewer.state for viewer in hub.viewers)
        yield _by("state", GAUGE, "ticker_viewers", "Viewers by state.", states, STATES)
        yield GAUGE(
            "ticker_viewers_most", "Most viewers that are let in.", hub.settings.max_viewers
        )
        yield COUNTER("ticker_viewer_joins_total", "Viewers that were let in.", hub.joins)
        words = "Viewers that left, by close code; 1006: without one."
        yield _by("code", COUNTER, "ticker_viewer_leaves_total", words, hub.leaves, LEAVES)
        words = "Viewers that were not let in, by why."
        yield _by("why", COUNTER, "ticker_viewers_refused_total", words, hub.refused, REFUSALS)
        words = "Viewers that were ended or lost, by reason."
        yield _by("reason", COUNTER, "ticker_viewers_dropped_total", words, hub.closed, DROPS)

    def _traffic(self) -> Iterator[Metric]:
        traffic = self._ticker.hub.traffic
        yield COUNTER(
            "ticker_frames_sent_total", "Frames handed to viewers' connections.", traffic.frames
        )
        yield COUNTER(
            "ticker_frames_conflated_total",
            "Diffs that led a viewer which was behind or away to the present.",
            traffic.conflated,
        )
        sizes = {"plain": traffic.plain, "compressed": traffic.compressed}
        yield _by("form", COUNTER, "ticker_sent_bytes_total", "Bytes sent, by form.", sizes)
        yield COUNTER(
            "ticker_uncompressed_bytes_total",
            "Bytes of the same messages before they were compressed and framed.",
            traffic.uncompressed,
        )
        yield _histogram(
            "ticker_send_lag_seconds",
            "From a board's flush until a viewer's connection had the frame; of a viewer that was "
            "behind: since it fell behind.",
            traffic.lags,
        )

    def _process(self) -> Iterator[Metric]:
        ticker, reloads = self._ticker, self._ticker.reloads
        lag = {QUANTILES[name]: seconds for name, seconds in ticker.lag.quantiles().items()}
        words = "How late the event loop was in the last minute; quantile 1 is the maximum."
        yield _by("quantile", GAUGE, "ticker_loop_lag_seconds", words, lag)
        yield GAUGE("ticker_tasks", "Tasks of the event loop.", len(asyncio.all_tasks()))
        words = "Blocks of memory that Python's own allocator has given out."
        yield GAUGE("ticker_memory_blocks", words, sys.getallocatedblocks())
        outcomes = {"ok": reloads.ok, "failed": reloads.failed}
        words = "Times that the config was loaded again, by outcome."
        yield _by("outcome", COUNTER, "ticker_config_reloads_total", words, outcomes)
        yield GAUGE(
            "ticker_config_last_reload_successful",
            "1 while what was loaded last is in use, 0 after a config that was refused.",
            reloads.good,
        )
        yield GAUGE(
            "ticker_config_last_reload_success_timestamp_seconds",
            "When a config was last taken into use, at the start or later.",
            reloads.at or 0,
        )
        words = "1 while viewers are sent away because the server ends."
        yield GAUGE("ticker_draining", words, ticker.hub.draining)
        yield InfoMetricFamily("ticker_build", "What runs here.", {"version": __version__})


def _bus(cluster: Cluster, members: Members) -> Iterator[Metric]:
    """Tell of this process among others that serve the same boards."""
    counts = cluster.counts
    for kind, name, words, value in BUS:
        yield kind(name, words, value(cluster))
    entries = {"published": counts.published, "read": counts.read}
    words = "Entries that went over the bus; the poller reads its own, too."
    yield _by("way", COUNTER, "ticker_bus_entries_total", words, entries)
    sizes = {"published": counts.published_bytes, "read": counts.read_bytes}
    words = "Bytes of entries that went over the bus."
    yield _by("way", COUNTER, "ticker_bus_bytes_total", words, sizes)
    refused = {name: getattr(counts, name) for name in ("fenced", "elsewhere", "failed")}
    words = "Entries that were not published, by why."
    yield _by("why", COUNTER, "ticker_bus_refused_total", words, refused)
    words = "From asking the bus to take an entry until it had answered."
    yield _histogram("ticker_bus_publish_seconds", words, counts.lags)
    words = "Other processes that have another config."
    yield GAUGE("ticker_bus_config_differs", words, len(members.differing(CONFIG)))
    words = "Other processes that run another version of the program."
    yield GAUGE("ticker_bus_version_differs", words, len(members.differing(VERSION)))


def _family(
    kind: Family,
    name: str,
    words: str,
    labels: Sequence[str],
    samples: Iterable[tuple[Sequence[str], float]],
) -> Metric:
    family = kind(name, words, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def _by(
    label: str,
    kind: Family,
    name: str,
    words: str,
    values: Mapping[str, float],
    known: Iterable[str] = (),
) -> Metric:
    """Return a family of one label; what is ``known`` is told even where there is nothing yet."""
    told = {**dict.fromkeys(known, 0), **values}
    return _family(kind, name, words, [label], (((v,), count) for v, count in told.items()))


def _histogram(name: str, words: str, lags: Lags) -> Metric:
    bounds = [*map(str, LAG_BOUNDS), "+Inf"]
    buckets = list(zip(bounds, accumulate(lags.counts), strict=True))
    return HistogramMetricFamily(name, words, buckets, lags.seconds)


class _Only:
    """A registry of one family, or of none: then what is written is the end of the document."""

    def __init__(self, *metrics: Metric) -> None:
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _encoder(accept: str) -> tuple[Callable[[Collector], bytes], str]:
    """Return what writes the format that is accepted; what cannot be read asks for none."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):  # versions that are no numbers
        return choose_encoder("")


def _lines(encode: Callable[[Any], bytes], metric: Metric, start: int) -> bytes:
    """Return a piece of a family; what is said of the whole family comes with its first piece."""
    part = copy(metric)
    part.samples = metric.samples[start : start + AT_ONCE]
    text = encode(_Only(part)).removesuffix(encode(_Only()))
    if start == 0:
        return text
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"#"))
