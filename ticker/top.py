"""``ticker top``: how feeds, boards and viewers of a running server are, on the terminal."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from time import monotonic
from typing import Any, NamedTuple

import httpx
import orjson
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ticker.errors import TickerError, one_line
from ticker.quality import Quality
from ticker.tail import base, bearer

EVERY_SECONDS = 1.0
TIMEOUT_SECONDS = 5.0
UNKNOWN = "–"
STATES = ("live", "lagging", "paused")

STYLES = {
    Quality.LIVE: "green",
    Quality.DELAYED: "cyan",
    Quality.STALE: "yellow",
    Quality.DOWN: "bold red",
    Quality.CLOSED: "dim",
}

ALIKE: dict[str, Callable[[list[float]], float]] = {
    "ticker_board_changes_total": max,
    "ticker_config_last_reload_successful": min,
    "ticker_draining": max,
    "ticker_loop_lag_seconds": max,
}
"""What several workers do not add up to."""

WORST_FIRST = [Quality.DOWN, Quality.STALE, Quality.DELAYED, Quality.LIVE, Quality.CLOSED]


@dataclass(frozen=True, slots=True)
class Seen:
    """What the server said at one moment.

    ``moment`` is of the monotonic clock, ``now`` is the server's, in epoch milliseconds. Samples
    are named by their metric and the value of their label, where they have one.
    """

    moment: float
    now: float
    feeds: dict[str, dict[str, Any]]
    boards: list[dict[str, Any]]
    samples: dict[tuple[str, str], float]
    bus: dict[str, Any] | None = None
    """How the processes are that serve the same boards, where there are several."""

    def get(self, name: str, label: str = "") -> float:
        """Return a sample's value; 0 where there is none."""
        return self.samples.get((f"ticker_{name}", label), 0.0)

    def total(self, name: str) -> float:
        """Return the sum over a metric's labels."""
        return sum(value for (n, _), value in self.samples.items() if n == f"ticker_{name}")

    def buckets(self) -> list[tuple[float, float]]:
        """Return the upper bounds of lags, and how many lags were not above each."""
        name = "ticker_send_lag_seconds_bucket"
        return sorted((float(le), value) for (n, le), value in self.samples.items() if n == name)


class Column(NamedTuple):
    """A column, and how wide the terminal must be to have it."""

    title: str
    from_width: int = 0
    right: bool = True
    rest: bool = False
    """Whether it has what the others leave."""


FEEDS = (
    Column("feed", right=False),
    Column("quality", right=False),
    Column("age"),
    Column("rows", 50),
    Column("took", 80),
    Column("failures", 80),
    Column("next", 60),
    Column("why", right=False, rest=True),
)
MEMBERS = (
    Column("process", right=False),
    Column("state", right=False, rest=True),
    Column("viewers"),
    Column("up", 50),
)
BOARDS = (
    Column("board", right=False),
    Column("seq", 50),
    Column("rows"),
    Column("viewers"),
    Column("changes/s"),
)


async def watch(url: str, token: str | None, out: Console, *, once: bool) -> None:
    """Show the server at ``url`` until stopped, or ``once``.

    Raises TickerError for what is no address, and once also when the server does not answer.
    """
    where, headers = base(url), bearer(token)
    async with httpx.AsyncClient(
        base_url=where, headers=headers, timeout=TIMEOUT_SECONDS
    ) as client:
        if once:
            _, shown = await _look(client, None, out.width)
            out.print(shown, soft_wrap=False)
        else:
            await _watch_forever(client, out)


async def _watch_forever(client: httpx.AsyncClient, out: Console) -> None:
    seen: Seen | None = None
    shown: RenderableType = ""
    screen = Live(console=out, screen=True, auto_refresh=False)
    with screen if out.is_terminal else nullcontext() as live:
        while True:
            due = monotonic() + EVERY_SECONDS
            try:
                seen, shown = await _look(client, seen, out.width)
                now = shown
            except TickerError as error:  # what was seen last stays, but not as if it were so now
                now = Group(Text(f"{error}; trying again", style="bold red"), shown)
            if live is None:
                out.print(now, soft_wrap=False)
            else:
                live.update(now, refresh=True)
            await asyncio.sleep(max(0.0, due - monotonic()))


async def _look(
    client: httpx.AsyncClient, before: Seen | None, width: int
) -> tuple[Seen, RenderableType]:
    """Return how the server is, and the picture of it. Raises TickerError."""
    base = str(client.base_url).rstrip("/")
    try:
        seen = await _read(client)
        return seen, picture(base, seen, before, width)
    except httpx.HTTPStatusError as error:
        status, path = error.response, error.request.url.path
        words = f"{base}{path}: HTTP {status.status_code} {status.reason_phrase}"
        raise TickerError(one_line(words)) from None
    except httpx.HTTPError as error:
        why = one_line(str(error)) or type(error).__name__
        raise TickerError(f"cannot reach {base}: {why}") from None
    except (ValueError, LookupError, TypeError, AttributeError):
        raise TickerError(f"{base} does not answer like a ticker server") from None


async def _read(client: httpx.AsyncClient) -> Seen:
    feeds, boards, metrics = [
        (await client.get(path)).raise_for_status()
        for path in ("/api/feeds", "/api/boards", "/metrics")
    ]
    status = await client.get("/api/status")
    families = text_string_to_metric_families(metrics.text)
    samples = together(sample for family in families for sample in family.samples)
    return Seen(
        monotonic(),
        parsedate_to_datetime(metrics.headers["date"]).timestamp() * 1000,
        orjson.loads(feeds.content)["feeds"],
        orjson.loads(boards.content)["boards"],
        samples,
        orjson.loads(status.content).get("bus") if status.is_success else None,
    )


def together(samples: Iterable[Sample]) -> dict[tuple[str, str], float]:
    """Return samples of at most one label by name and label; those of several workers are one."""
    found: dict[tuple[str, str], list[float]] = {}
    for sample in samples:
        labels = [value for name, value in sample.labels.items() if name != "worker"]
        if len(labels) < 2:
            found.setdefault((sample.name, "".join(labels)), []).append(sample.value)
    return {key: ALIKE.get(key[0], sum)(values) for key, values in found.items()}


def picture(base: str, seen: Seen, before: Seen | None, width: int) -> RenderableType:
    """Return what is shown of ``seen`` on a terminal of ``width``; rates are since ``before``."""
    return Group(
        _head(base, seen),
        _numbers(seen, before),
        Text(),
        _table(FEEDS, width, _feed_rows(seen)),
        Text(),
        _table(BOARDS, width, _board_rows(seen, before)),
        *_bus(seen.bus, width),
    )


def _bus(bus: dict[str, Any] | None, width: int) -> list[RenderableType]:
    """Return how the bus and the processes on it are, where there is one."""
    if bus is None:
        return []
    state = Text("followed") if bus["why"] is None else Text(one_line(bus["why"]), "bold red")
    head = Text("bus     ").append(state)
    if bus["poller"] is None:
        head.append("  no process reads the feeds", "bold red")
    return [Text(), head, _table(MEMBERS, width, _member_rows(bus))]


def _member_rows(bus: dict[str, Any]) -> Iterable[Sequence[Text | str]]:
    for member in bus["members"]:
        yield _member_row(member, own=member["id"] == bus["process"])


def _member_row(member: dict[str, Any], *, own: bool) -> Sequence[Text | str]:
    state = "draining" if member["draining"] else "ready" if member["ready"] else "not ready"
    words = [state, *(["reads the feeds"] if member["poller"] else [])]
    words += ["this one"] if own else []
    words += [f"another {what}" for what in ("config", "version") if not member[f"same_{what}"]]
    viewers = UNKNOWN if member["viewers"] is None else f"{member['viewers']:,}"
    place = f"{member['host']}, {member['pid']}"
    return place, ", ".join(words), viewers, _span(member["up"])


def _head(base: str, seen: Seen) -> Text:
    version = next((label for name, label in seen.samples if name == "ticker_build_info"), "")
    head = Text(f"ticker {one_line(version)}")
    head.append(f"  {datetime.fromtimestamp(seen.now / 1000).astimezone():%H:%M:%S}")
    if seen.get("draining"):
        head.append("  draining", "bold red")
    if not seen.get("config_last_reload_successful"):
        head.append("  config refused", "bold red")
    return head.append(f"  {base}", "bold")


def _numbers(seen: Seen, before: Seen | None) -> Text:
    """Return what is not a table, in lines that fit into 50 columns."""
    states = [f"{seen.get('viewers', state):,.0f} {state}" for state in STATES]
    joins = _rate(seen, before, "viewer_joins_total")
    leaves = _rate(seen, before, "viewer_leaves_total")
    frames = _rate(seen, before, "frames_sent_total")
    kilobytes = _rate(seen, before, "sent_bytes_total", unit=1000)
    half, nearly_all = (_ms(lag(seen, before, share)) for share in (0.5, 0.99))
    late = [_ms(seen.get("loop_lag_seconds", quantile)) for quantile in ("0.5", "0.99", "1")]
    return Text(
        f"viewers {seen.total('viewers'):,.0f} of {seen.get('viewers_most'):,.0f}\n"
        f"        {', '.join(states)}\n"
        f"        {joins} joins/s, {leaves} leaves/s\n"
        f"sent    {frames} frames/s, {kilobytes} kB/s\n"
        f"lag     p50 {half}, p99 {nearly_all}\n"
        f"loop    p50 {late[0]}, p99 {late[1]}, max {late[2]}"
    )


def _feed_rows(seen: Seen) -> Iterable[Sequence[Text | str]]:
    feeds = sorted(seen.feeds.items(), key=lambda f: (WORST_FIRST.index(f[1]["quality"]), f[0]))
    for name, feed in feeds:
        quality = Quality(feed["quality"])
        success, following = feed["last_success"], feed["next_run"]
        took = feed["duration"]
        yield (
            name,
            Text(quality.value, STYLES[quality]),
            _span(None if success is None else seen.now - success),
            f"{feed['rows']:,}",
            UNKNOWN if took is None else f"{took:,} ms",
            f"{feed['failures']:,}",
            _span(None if following is None else following - seen.now),
            feed["why"] or "",
        )


def _board_rows(seen: Seen, before: Seen | None) -> Iterable[Sequence[Text | str]]:
    for board in seen.boards:
        name = board["name"]
        yield (
            name,
            f"{board['seq']:,}",
            f"{board['rows']:,}",
            f"{seen.get('board_viewers', name):,.0f}",
            _rate(seen, before, "board_changes_total", name),
        )


def _table(
    columns: Sequence[Column], width: int, rows: Iterable[Sequence[Text | str]]
) -> RenderableType:
    shown = [place for place, column in enumerate(columns) if width >= column.from_width]
    table = Table(box=None, pad_edge=False, expand=any(column.rest for column in columns))
    for place in shown:
        column = columns[place]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            ratio=1 if column.rest else None,
            no_wrap=True,
            overflow="ellipsis",
        )
    for row in rows:  # as Text: what a server says is no markup
        table.add_row(
            *(Text(one_line(c)) if isinstance(c, str) else c for c in (row[p] for p in shown))
        )
    return table


# -- numbers


def _rate(
    seen: Seen, before: Seen | None, name: str, label: str | None = None, unit: float = 1
) -> str:
    """Return how much a counter grew in a second; nothing is known of one that began anew."""
    if before is None:
        return UNKNOWN
    now, then = (s.total(name) if label is None else s.get(name, label) for s in (seen, before))
    if now < then:
        return UNKNOWN
    return f"{(now - then) / (seen.moment - before.moment) / unit:,.1f}"


def lag(seen: Seen, before: Seen | None, share: float) -> float | None:
    """Return the lag that this share of frames did not exceed since ``before``, or ever.

    None where there was no frame. Within a bucket lags are taken to be evenly spread, and above the
    last bound to be at it, as Prometheus has it.
    """
    then = dict(before.buckets()) if before else {}
    counts = [(bound, count - then.get(bound, 0)) for bound, count in seen.buckets()]
    if not counts or counts[-1][1] <= 0:
        return None
    rank = share * counts[-1][1]
    for (low, below), (bound, count) in pairwise([(0.0, 0.0), *counts]):
        if count >= rank:
            if bound == float("inf"):
                return low
            return low + (bound - low) * (rank - below) / (count - below)
    return None


def _ms(seconds: float | None) -> str:
    return UNKNOWN if seconds is None else f"{seconds * 1000:,.1f} ms"


def _span(milliseconds: float | None) -> str:
    """Return a length of time in its largest unit; what should be over by now is 0."""
    if milliseconds is None:
        return UNKNOWN
    seconds = max(0.0, milliseconds / 1000)
    for unit, length in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds:.0f} s"
