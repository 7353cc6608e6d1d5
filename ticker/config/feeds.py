"""The feeds: each a source on a schedule, and how its documents become rows."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path as FilePath
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
    ValidationInfo,
    field_validator,
)

from ticker import fields as known_fields
from ticker.config.parts import (
    FieldName,
    Keep,
    Period,
    Secret,
    Strict,
    ValueKind,
    Wait,
    address,
    rule,
)
from ticker.quality import Freshness
from ticker.scalars import Boolean, Duration, Integer, Number, Path, Size, Symbol, Text, expected

HeaderName = Annotated[Text, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]+$")]
SUFFIXES: dict[str, Literal["csv", "jsonl"]] = {
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
}


def _rule(value: Any) -> Any:
    if value is None:
        raise expected("a path or a mapping with `path`", value)
    return {"path": value} if isinstance(value, str) else value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise expected("a time zone such as Europe/Berlin", value) from None
    return value


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


def _suffix(file: str) -> str:
    return FilePath(file.removesuffix(".gz")).suffix


def _tag(value: Any, key: str, default: str | None) -> str | None:
    found = value.get(key, default) if isinstance(value, dict) else getattr(value, key, None)
    return str(found) if isinstance(found, str) else None


HeaderValue = Annotated[Text, AfterValidator(_header)]


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

    every: Period

    @property
    def freshness(self) -> Freshness:
        """The limits with their defaults filled in."""
        stale = self.stale_after or max(5.0, 3 * self.every)
        return Freshness(stale, max(self.down_after or 4 * stale, stale), self.delay)

    @property
    def listens(self) -> bool:
        """Whether its source speaks by itself: looking at what came costs the source nothing."""
        return False

    @property
    def provides(self) -> set[str]:
        """The fields that rows of this feed can have."""
        raise NotImplementedError

    @field_validator("down_after")
    @classmethod
    def _after_stale(cls, value: float | None, info: ValidationInfo) -> float | None:
        stale = info.data.get("stale_after")
        if value is not None and stale is not None and value < stale:
            raise rule(f"must not be below stale_after ({stale:g} s), got {value:g} s")
        return value


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


class FieldRule(Strict):
    """How one field is read: where it is, and what is made of it."""

    path: Path
    """JMESPath inside the row, `$.path` from the document's root, `@key` or `@symbol`."""
    kind: ValueKind | None = None
    """price, number, percent, volume, text, time, clock or auto; default by the field's name."""
    scale: Number = 1.0
    """Numbers are multiplied by this: 100 turns a fraction into percent."""
    map: dict[Text, Text] = {}
    """Values to replace, as text: `{in: live, post: final}`. Others stay as they are."""
    format: Text | None = None
    """strptime format of a time that is neither ISO nor a Unix time, such as `%d %B %Y`."""


class RowMapping(Strict):
    """How a document becomes rows; shared by `poll` and `replay`."""

    format: Literal["json", "csv", "jsonl"] | None = None
    delimiter: Annotated[Text, Field(min_length=1, max_length=1)] = ","
    """What stands between two cells of a csv."""
    rows: Path | None = None
    """JMESPath to a list of rows, or to an object whose members are the rows. Default: the whole
    document; for replay, and with `{symbol}` in the url, the document as one row (`[@]`)."""
    where: Path | None = None
    """JMESPath inside a row; rows for which it is not true are left out."""
    check: Path | None = None
    """JMESPath on the document; where it is not true the reading is an error."""
    key: Path | None = None
    """The row's symbol: JMESPath inside a row, `@key` for the member's name, `@symbol` for the
    one in the url. Default: `symbol`, or `@symbol` with `{symbol}` in the url."""
    fields: Annotated[
        dict[FieldName, Annotated[FieldRule, BeforeValidator(_rule, Text | FieldRule)]],
        Field(min_length=1),
    ]
    """Field of the board and where it is read: a path, or a mapping with `path` and more."""
    only: list[Symbol] = []
    """Symbols to keep; default all."""
    skip: list[Symbol] = []
    """Symbols to leave out."""
    required: list[FieldName] | None = None
    """Fields without which a row is rejected. Default: `last`, where it is mapped and blanks are
    not kept."""
    blanks: Literal["clear", "keep"] | None = None
    """A field without a value clears what was there, or keeps it. Default: clear (replay: keep)."""
    duplicates: Literal["reject", "merge"] | None = None
    """A symbol that comes twice: reject the later row, or lay it over the earlier one.
    Default: reject (replay: merge)."""
    missing: Literal["remove", "keep"] | None = None
    """Rows that a reading no longer has: remove or keep them. Default: remove (replay: keep)."""
    empty: Literal["error", "allow"] = "error"
    """Whether a reading without any row is an error."""
    max_rows: Annotated[Integer, Field(ge=1)] = 10_000
    """More rows than this are an error."""
    timezone: Annotated[Text, AfterValidator(_zone)] = "UTC"
    """Time zone of times that do not name theirs."""

    @field_validator("required")
    @classmethod
    def _mapped(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        for name in value or ():
            if name not in info.data.get("fields", {name}):
                raise rule(f"'{name}' is not among the fields")
        return value

    @property
    def provides(self) -> set[str]:
        """The mapped fields and what is derived from them."""
        return set(self.fields) | known_fields.derivable(self.fields)


class PollFeed(RowMapping, FeedBase):
    """Reads a URL, or one URL per symbol, on a schedule."""

    kind: Literal["poll"]
    every: Period
    """Time between two polls."""
    timeout: Wait | None = None
    """Longest time for one poll, below `every`; default 0.8 times `every`, at most 10s."""
    url: Annotated[Text, Field(pattern=r"^https?://[^/\s]+"), AfterValidator(address)]
    """http or https; `{symbol}` in it makes one request for each of `symbols`."""
    symbols: Annotated[list[Symbol], Field(validate_default=True)] = []
    """What `{symbol}` in the url stands for."""
    concurrency: Annotated[Integer, Field(ge=1, le=64)] = 4
    """Requests under way at once, where there is one per symbol."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Request headers; write secrets as `${NAME}`."""
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

    @property
    def deadline(self) -> float:
        """The timeout with its default filled in, in seconds."""
        return self.timeout or min(10.0, 0.8 * self.every)

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
    time: Annotated[FieldRule, BeforeValidator(_rule, Text | FieldRule)] = FieldRule(path="time")
    """Where each record's time is: a path inside the record, or a mapping with `path` and more."""
    speed: Annotated[Number, Field(gt=0)] = 1.0
    """Recorded seconds per second."""
    loop: Boolean = False
    """Whether to begin again at the end."""
    keep_finals: Keep = 0.0
    """How long the result of a game stays after a record without it; 0s: not at all."""

    @cached_property
    def layout(self) -> Literal["csv", "jsonl"]:
        """The format with its default filled in."""
        return self.format or SUFFIXES[_suffix(self.file)]


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


class StreamFeed(NewsFeed):
    """Listens to a WebSocket or to Server-Sent Events."""

    kind: Literal["stream"]
    url: Annotated[Text, Field(pattern=r"^(wss?|https?)://[^/\s]+"), AfterValidator(address)]
    """ws or wss: a WebSocket; http or https: Server-Sent Events."""
    subscribe: list[Text] = []
    """Texts to send as soon as a WebSocket is connected."""
    event: Text | None = None
    """Server-Sent Events of this name only; default all."""
    headers: dict[HeaderName, HeaderValue] = {}
    """Request headers; write secrets as `${NAME}`."""
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
    | Annotated[ReplayFeed, Tag("replay")]
    | Annotated[StreamFeed, Tag("stream")]
    | Annotated[PushFeed, Tag("push")],
    Discriminator(
        lambda value: _tag(value, "kind", None),
        custom_error_type="kind",
        custom_error_message="expected simulate, poll, replay, stream or push",
    ),
]
