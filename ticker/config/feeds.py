"""The feeds: each a source on a schedule."""

from __future__ import annotations

import math
import os
import re
from base64 import b64encode
from functools import cached_property
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal, Self
from urllib.parse import unquote, urlsplit

from pydantic import (
    AfterValidator,
    Discriminator,
    Field,
    PrivateAttr,
    Tag,
    ValidationInfo,
    field_validator,
)

from ticker import fields as known_fields
from ticker import redact
from ticker.config.mapping import FieldRule, Located, RowMapping
from ticker.config.pace import Calendar, Every
from ticker.config.parts import (
    Keep,
    Period,
    Secret,
    Strict,
    Wait,
    address,
    not_below,
    rule,
)
from ticker.quality import Freshness
from ticker.scalars import Boolean, Duration, Integer, Number, Path, Size, Symbol, Text

_NO_KEY = re.compile(r"[^\w.+/=-]+")
"""What stands between keys in a text."""
HeaderName = Annotated[Text, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
SUFFIXES: dict[str, Literal["csv", "jsonl"]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def _header(value: str) -> str:
    if not value.isascii() or not value.isprintable():
        raise rule("expected printable ASCII text: no line break, no umlaut")
    return value


def _existing(value: str, info: ValidationInfo) -> str:
    if info.data.get("format") is None and _suffix(value) not in SUFFIXES:
        raise rule(f"ends in none of {', '.join(SUFFIXES)} (or .gz); name the `format`")
    path = FilePath((info.context or {}).get("base", ""), value)
    if not path.is_file():
        raise rule(f"no such file: {path}")
    return os.fspath(path)


def _recording(value: str, info: ValidationInfo) -> str:
    if _suffix(value) != ".jsonl":
        raise rule("expected a .jsonl or .jsonl.gz file, as `ticker record` writes it")
    return _existing(value, info)


def _suffix(file: str) -> str:
    return FilePath(file.removesuffix(".gz")).suffix


def _tag(value: Any, key: str, default: str | None) -> str | None:
    found = value.get(key, default) if isinstance(value, dict) else getattr(value, key, None)
    return str(found) if isinstance(found, str) else None


HeaderValue = Annotated[Text, AfterValidator(_header), Field(json_schema_extra={"writeOnly": True})]


class FeedBase(Strict):
    """What every feed has: its schedule and when it counts as late."""

    stale_after: Wait | None = None
    """Without a success for so long the feed is stale; default three times `every`, at least 5s."""
    down_after: Wait | None = None
    """Without a success for so long the feed is down; default four times `stale_after`."""
    row_stale_after: Wait | None = None
    """A row whose own `time` is older is stale, however well the feed is; default: never."""
    delay: Annotated[Duration, Field(ge=0)] = 0.0
    """How late the source is by contract; with it the feed is `delayed`, not `live`."""
    calendar: Calendar | None = None
    """When the market is open; otherwise the feed is `closed` and read less often."""

    every: Period

    @property
    def freshness(self) -> Freshness:
        """The limits with their defaults filled in."""
        return self.freshness_at(self.every)

    def freshness_at(self, every: float) -> Freshness:
        """Return the limits for a feed that is read every ``every`` seconds just now."""
        slower = max(1.0, every / self.every)
        stale = self.stale_after * slower if self.stale_after else max(5.0, 3 * every)
        down = self.down_after * slower if self.down_after else 4 * stale
        return Freshness(stale, max(down, stale), self.delay)

    @property
    def closed_every(self) -> float:
        """Seconds between two readings while the market is closed; infinite for never."""
        told = self.calendar.closed_every if self.calendar else None
        return told or self.idle_every or max(60.0, 10 * self.every)

    @property
    def idle_every(self) -> float | None:
        """Seconds between two readings while nothing goes on; None: as always."""
        return None

    @property
    def listens(self) -> bool:
        """Whether its source speaks by itself: looking at what came costs the source nothing."""
        return False

    @property
    def provides(self) -> set[str]:
        """The fields that rows of this feed can have."""
        raise NotImplementedError

    def effective(self) -> Self:
        """Return the settings with defaults that depend on other keys filled in."""
        limits = self.freshness
        return self.model_copy(
            update={"stale_after": limits.stale_after, "down_after": limits.down_after}
        )

    @field_validator("down_after")
    @classmethod
    def _after_stale(cls, value: float | None, info: ValidationInfo) -> float | None:
        return not_below("stale_after", value, info)


class SimulatedPrices(FeedBase):
    """A seeded random walk of prices; needs no network."""

    kind: Literal["simulate"]
    model: Literal["prices"] = "prices"
    """What is simulated."""
    every: Period = 0.25
    """Time between two ticks."""
    seed: Integer = 1
    """The same seed gives the same prices."""
    symbols: Annotated[dict[Symbol, Annotated[Number, Field(gt=0)]], Field(min_length=1)]
    """Symbol and its previous close."""
    volatility: Annotated[Number, Field(gt=0, le=10)] = 0.2
    """How lively prices are; shares have about 0.2. A simulated year passes in 11 days."""

    @property
    def provides(self) -> set[str]:
        """The fields of a simulated quote."""
        names = ["last", "open", "high", "low", "volume", "bid", "ask", "previous_close"]
        return {*names, *known_fields.DERIVED}


class SimulatedScores(FeedBase):
    """Seeded games that go through all their states; needs no network."""

    kind: Literal["simulate"]
    model: Literal["scores"]
    """What is simulated."""
    every: Period = 1.0
    """Time between two ticks."""
    seed: Integer = 1
    """The same seed gives the same games."""
    sport: Literal["football", "basketball", "hockey"] = "football"
    """The rules of the game."""
    teams: Annotated[list[Text], Field(min_length=2, max_length=100)]
    """Team names, paired anew in each round."""
    league: Text | None = None
    """Name of the league."""
    speed: Annotated[Number, Field(gt=0, le=3600)] = 60.0
    """Game seconds per second: at 60 a football match takes two minutes."""
    keep_finals: Keep = 120.0
    """How long the result of a game stays after its round has ended."""

    @property
    def provides(self) -> set[str]:
        """The fields of a simulated game."""
        teams = ["home", "away", "league", "start"]
        game = ["home_score", "away_score", "status", "period", "periods", "last_event"]
        return {*teams, *game, "clock", "clock_rate", "clock_at"}


class WebFeed(FeedBase):
    """What feeds that ask a source over the web have in common."""

    url: Text
    """Where the source is."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Request headers; write secrets as `${NAME}`."""

    _filled: frozenset[str] = PrivateAttr(frozenset())

    def model_post_init(self, context: Any) -> None:
        """Remember what of the texts it sends was filled from outside the file."""
        filled = (context or {}).get("filled", ())
        texts = self.texts
        self._filled = frozenset(part for part in filled if any(part in text for text in texts))

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that the source is told."""
        return self.url, *self.headers.values()

    @property
    def sent(self) -> set[str]:
        """Every value that the source is told and that may be a secret."""
        url = urlsplit(self.url)
        login = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
        secrets = {*self.headers.values(), *redact.url_secrets(self.url), *self._filled}
        return secrets | ({b64encode(login.encode()).decode()} if "@" in url.netloc else set())

    @property
    def keys(self) -> set[str]:
        """The values among them that are surely no words, such as symbols, of the url's query."""
        sure = (v for v in self.sent if any(map(redact.looks_secret, v.split(","))))
        return {*self._filled, *sure}


class PollFeed(RowMapping, WebFeed):
    """Reads a URL, or one URL per symbol, on a schedule."""

    kind: Literal["poll"]
    every: Every
    """Time between two polls; or two of them, `{live: 5s, idle: 60s}`."""
    timeout: Wait | None = None
    """Longest time for one poll, below `every`; default 0.8 times `every`, at most 10s."""
    url: Annotated[Text, Field(pattern=r"^https?://[^/\s]+"), AfterValidator(address)]
    """http or https; `{symbol}` in it makes one request for each of `symbols`."""
    symbols: Annotated[list[Symbol], Field(validate_default=True)] = []
    """What `{symbol}` in the url stands for."""
    concurrency: Annotated[Integer, Field(ge=1, le=64)] = 4
    """Requests under way at once, where there is one per symbol."""
    format: Literal["json", "csv"] = "json"
    """What the document is."""
    encoding: Text | None = None
    """Text encoding; default: what the response says, else UTF-8."""
    max_bytes: Size = 8_000_000
    """A larger response is an error."""
    redirects: Literal["same-host", "any", "none"] = "same-host"
    """Which redirects are followed, at most five."""
    backoff_max: Wait = 300.0
    """Longest wait after failures; it doubles from `every`. `Retry-After` counts up to an hour."""
    keep_finals: Keep = 1800.0
    """How long the result of a game stays after the source has dropped it; 0s: not at all."""

    def effective(self) -> Self:
        """Return the settings with defaults that depend on other keys filled in."""
        mapped = super().effective().mapping(single=self.per_symbol)
        return mapped.model_copy(update={"timeout": self.deadline})

    @property
    def deadline(self) -> float:
        """The timeout with its default filled in, in seconds."""
        return self.timeout or min(10.0, 0.8 * self.every)

    @property
    def idle_every(self) -> float | None:
        """Seconds between two polls while no game runs or the market is closed."""
        return self.every.idle

    @property
    def per_symbol(self) -> bool:
        """Whether there is one request per symbol."""
        return "{symbol}" in self.url

    @field_validator("timeout")
    @classmethod
    def _below_every(cls, value: float | None, info: ValidationInfo) -> float | None:
        every = info.data.get("every")
        if value is not None and every is not None and value >= every:
            raise rule(f"must be below every ({every:g} s), got {value:g} s")
        return value

    @field_validator("symbols")
    @classmethod
    def _as_url_needs(cls, value: list[str], info: ValidationInfo) -> list[str]:
        url = info.data.get("url")
        if url is not None and ("{symbol}" in url) != bool(value):
            raise rule(
                "needs {symbol} in the url; to keep only some rows use `only`"
                if value
                else "the url has {symbol} in it, so at least one must be listed"
            )
        return value


class ReplayFeed(RowMapping, FeedBase):
    """Plays a recorded csv or jsonl file at its own pace times `speed`."""

    kind: Literal["replay"]
    every: Period = 0.25
    """Time between two looks at what is due."""
    file: Annotated[Text, AfterValidator(_existing)]
    """A .csv or .jsonl file, also with .gz; relative to the config file."""
    format: Literal["csv", "jsonl"] | None = None
    """Default: by the file's name."""
    time: Located = FieldRule(path="time")
    """Where each record's time is: a path inside the record, or a mapping with `path` and more."""
    speed: Annotated[Number, Field(gt=0)] = 1.0
    """Recorded seconds per second."""
    loop: Boolean = False
    """Whether to begin again at the end."""
    keep_finals: Keep = 0.0
    """How long the result of a game stays after a record without it; 0s: not at all."""

    def effective(self) -> Self:
        """Return the settings with defaults that depend on other keys filled in."""
        mapped = super().effective().mapping(single=True, cumulative=True)
        return mapped.model_copy(update={"format": self.layout})

    @cached_property
    def layout(self) -> Literal["csv", "jsonl"]:
        """The format with its default filled in."""
        return self.format or SUFFIXES[_suffix(self.file)]


class RecordedFeed(RowMapping, FeedBase):
    """Plays what `ticker record` wrote: what a poll feed made of it, at the same distances."""

    kind: Literal["replay"]
    every: Period = 0.05
    """Time between two looks at what is due; a look takes one recorded reading at most."""
    recording: Annotated[Text, AfterValidator(_recording)]
    """A file of `ticker record`; relative to the config file."""
    feed: Text
    """Whose readings of it."""
    format: Literal["json", "csv"] = "json"
    """What the documents are."""
    encoding: Text | None = None
    """Text encoding; default: what the response says, else UTF-8."""
    max_bytes: Size = 8_000_000
    """A larger response is an error."""
    speed: Annotated[Number, Field(gt=0)] = 1.0
    """Recorded seconds per second."""
    loop: Boolean = False
    """Whether to begin again at the end."""
    keep_finals: Keep = 1800.0
    """How long the result of a game stays after the source has dropped it, in recorded time."""

    def freshness_at(self, every: float) -> Freshness:  # noqa: ARG002 - looks are no readings
        """Return the limits, which are of recorded time; by default nothing is ever stale."""
        stale = (self.stale_after or math.inf) / self.speed
        down = self.down_after / self.speed if self.down_after else 4 * stale
        return Freshness(stale, max(down, stale), self.delay)

    @property
    def backoff_max(self) -> float:
        """Failures are part of the recording: nothing waits for them."""
        return self.every


Replayed = Annotated[
    Annotated[ReplayFeed, Tag("ReplayFeed")] | Annotated[RecordedFeed, Tag("RecordedFeed")],
    Discriminator(
        lambda value: (
            "RecordedFeed"
            if isinstance(value, RecordedFeed) or (isinstance(value, dict) and "recording" in value)
            else "ReplayFeed"
        )
    ),
]


class NewsFeed(RowMapping, FeedBase):
    """What `stream` and `push` have in common: documents come by themselves, and are news."""

    every: Period = 0.1
    """Time between two looks at what came."""
    stale_after: Wait | None = 30.0
    """Nothing heard for so long, the feed is stale."""
    match: Path | None = None
    """JMESPath on the document; one for which it is not true is heard, and has no rows."""
    format: Literal["json"] = "json"
    """What a document is."""
    rows: Path | None = "[@][]"
    """JMESPath to a list of rows, or to an object whose members are the rows. Default: the
    document is a row, or a list of rows."""
    blanks: Literal["clear", "keep"] | None = "keep"
    """A field without a value clears what was there, or keeps it."""
    duplicates: Literal["reject", "merge"] | None = "merge"
    """A symbol that comes twice in a document: reject the later row, or lay it over the earlier."""
    missing: Literal["remove", "keep"] | None = "keep"
    """Rows that a document does not have: remove or keep them."""
    keep_finals: Keep = 0.0
    """How long the result of a game stays after a document without it has removed it."""

    @property
    def listens(self) -> bool:
        """Always."""
        return True

    def effective(self) -> Self:
        """Return the settings with defaults that depend on other keys filled in."""
        return super().effective().mapping()


class StreamFeed(NewsFeed, WebFeed):
    """Listens to a WebSocket or to Server-Sent Events."""

    kind: Literal["stream"]
    url: Annotated[Text, Field(pattern=r"^(wss?|https?)://[^/\s]+"), AfterValidator(address)]
    """ws or wss: a WebSocket; http or https: Server-Sent Events."""
    subscribe: list[Text] = []
    """Texts to send as soon as a WebSocket is connected."""
    event: Text | None = None
    """Server-Sent Events of this name only; default all."""
    timeout: Wait = 10.0
    """Longest time for connecting."""
    silent_after: Wait = 30.0
    """Nothing at all heard for so long: connect anew."""
    max_bytes: Size = 1_000_000
    """A longer message ends the connection."""
    backoff_max: Wait = 60.0
    """Longest wait before connecting anew; it doubles from 1s. `Retry-After` counts to an hour."""
    empty: Literal["error", "allow"] = "allow"
    """Whether a document without any row is an error."""

    @property
    def texts(self) -> tuple[str, ...]:
        """Every text that the source is told."""
        return *super().texts, *self.subscribe

    @property
    def sent(self) -> set[str]:
        """Every value that the source is told and that may be a secret."""
        told = {part for text in self.subscribe for part in _NO_KEY.split(text)}
        return super().sent | set(filter(redact.looks_secret, told))

    @property
    def over_websocket(self) -> bool:
        """Whether it is a WebSocket, and not Server-Sent Events."""
        return self.url.startswith("ws")

    @field_validator("subscribe", "event")
    @classmethod
    def _as_url_is(cls, value: list[str] | str | None, info: ValidationInfo) -> Any:
        websocket = str(info.data.get("url", "")).startswith("ws")
        if value and info.data.get("url") and websocket != (info.field_name == "subscribe"):
            what = "a WebSocket (ws, wss)" if websocket is False else "events (http, https)"
            raise rule(f"is only for {what}; see the url")
        return value


class PushFeed(NewsFeed):
    """Takes what is posted to `/api/feeds/NAME`."""

    kind: Literal["push"]
    tokens: Annotated[list[Secret], Field(min_length=1)]
    """Tokens of those who may push; several while one replaces another."""
    max_bytes: Size = 1_000_000
    """A longer body, as sent or inflated, is refused."""


Simulated = Annotated[
    Annotated[SimulatedPrices, Tag("prices")] | Annotated[SimulatedScores, Tag("scores")],
    Discriminator(
        lambda value: _tag(value, "model", "prices"),
        custom_error_type="model",
        custom_error_message="expected prices or scores",
    ),
]
Feed = Annotated[
    Annotated[Simulated, Tag("simulate")]
    | Annotated[PollFeed, Tag("poll")]
    | Annotated[Replayed, Tag("replay")]
    | Annotated[StreamFeed, Tag("stream")]
    | Annotated[PushFeed, Tag("push")],
    Discriminator(
        lambda value: _tag(value, "kind", None),
        custom_error_type="kind",
        custom_error_message="expected simulate, poll, replay, stream or push",
    ),
]
