"""The config: one YAML file, read into frozen settings with every default in one place.

``ticker.configfile`` finds all problems of a file at once. Here lengths of time are in seconds and
sizes in bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from ticker import fields as known_fields
from ticker.config.bus import Bus
from ticker.config.feeds import (
    Feed,
    NewsFeed,
    PollFeed,
    PushFeed,
    RecordedFeed,
    ReplayFeed,
    SimulatedPrices,
    SimulatedScores,
    StreamFeed,
)
from ticker.config.mapping import FieldRule, RowMapping
from ticker.config.pace import Calendar, Rhythm
from ticker.config.parts import FieldName, Name, Strict, ValueKind, rule
from ticker.config.server import Access, Key, Server
from ticker.fields import Kind
from ticker.scalars import Duration, Integer, Text

__all__ = [
    "Access",
    "BoardSettings",
    "Bus",
    "Calendar",
    "Column",
    "Feed",
    "FieldRule",
    "Key",
    "NewsFeed",
    "PollFeed",
    "PushFeed",
    "RecordedFeed",
    "ReplayFeed",
    "Rhythm",
    "RowMapping",
    "Server",
    "Settings",
    "SimulatedPrices",
    "SimulatedScores",
    "StreamFeed",
]


def _column(value: Any) -> Any:
    return {"field": value} if isinstance(value, str) else value


def _store(value: str) -> str:
    is_word = value in {"on", "true", "yes", "false", "no", "null", "~", ""}
    if is_word or "\0" in value or "://" in value:
        raise rule(f"expected the path of a file, or off, got '{value}'")
    return value


class Column(Strict):
    """One column of a board."""

    field: FieldName
    """The field it shows."""
    label: Text | None = None
    """What people read above it; default by the field's name."""
    kind: ValueKind | None = None
    """How it is shown; default by the field's name."""
    digits: Annotated[Integer, Field(ge=0, le=12)] | None = None
    """Decimals; default as many as the value needs."""


class BoardSettings(Strict):
    """A table that people watch."""

    title: Text | None = None
    """What people read above it; default the board's name."""
    layout: Literal["quotes", "scores"] = "quotes"
    """A table of quotes or cards of scores."""
    feeds: Annotated[list[Text], Field(min_length=1)]
    """The feeds that fill it."""
    flush: Annotated[Duration, Field(ge=0.01, le=60)] = 0.1
    """Changes are published at most once in this time."""
    history: Annotated[Integer, Field(ge=0, le=2000)] = 240
    """Points kept of each row's past, for at most 24 hours; 0 keeps none."""
    columns: list[Annotated[Column, BeforeValidator(_column, Text | Column)]] = []
    """Fields to show, in order: a name, or a mapping with `field` and more. Default by what the
    feeds provide."""


class Settings(Strict):
    """The whole config."""

    server: Server = Server()
    """Where to listen, and limits."""
    access: Access = Access()
    """Who may do what."""
    bus: Bus | None = None
    """Where processes that serve the same boards meet; without it there is one process."""
    store: Annotated[Text, AfterValidator(_store)] = "ticker.db"
    """The file in which a process without a bus keeps its boards for after a restart; or `off`."""
    feeds: Annotated[dict[Name, Feed], Field(min_length=1)]
    """The sources, by name."""
    boards: Annotated[dict[Name, BoardSettings], Field(min_length=1)]
    """What people watch, by name."""

    def effective(self) -> Settings:
        """Return the settings with defaults that depend on other keys filled in."""
        boards = {
            name: board.model_copy(
                update={"title": self.title(name), "columns": list(self.columns(name))}
            )
            for name, board in self.boards.items()
        }
        feeds = {name: feed.effective() for name, feed in self.feeds.items()}
        return self.model_copy(update={"feeds": feeds, "boards": boards})

    def title(self, board: str) -> str:
        """Return what people read above ``board``."""
        return self.boards[board].title or board.replace("-", " ").replace("_", " ").capitalize()

    def columns(self, board: str) -> Iterator[Column]:
        """Yield the columns of ``board`` with every default filled in."""
        settings = self.boards[board]
        columns = settings.columns
        if not columns and settings.layout == "quotes":
            provided = self.provided(board)
            names = [name for name in DEFAULT_COLUMNS if name in provided]
            own = [n for n in self._mapped(board) if n not in known_fields.KNOWN]
            columns = [Column(field=name) for name in (*names, *own)]
        for column in columns:
            yield Column(
                field=column.field,
                label=column.label or known_fields.label_of(column.field),
                kind=column.kind or known_fields.kind_of(column.field),
                digits=column.digits,
            )

    def tracked(self, board: str) -> str | None:
        """Return the field whose past ``board`` keeps, None for none: scores have no curve."""
        settings = self.boards[board]
        if settings.layout == "scores" or not settings.history:
            return None
        columns = list(self.columns(board))
        if "last" in self.provided(board) | {column.field for column in columns}:
            return "last"
        prices = (column.field for column in columns if column.kind is Kind.PRICE)
        return next(prices, None)

    def provided(self, board: str) -> set[str]:
        """Return the fields that the feeds of ``board`` can fill."""
        return set().union(*(self.feeds[name].provides for name in self.boards[board].feeds))

    def _mapped(self, board: str) -> dict[str, None]:
        feeds = [self.feeds[name] for name in self.boards[board].feeds]
        return {f: None for feed in feeds if isinstance(feed, RowMapping) for f in feed.fields}


DEFAULT_COLUMNS = ("last", "change", "change_pct", "bid", "ask", "volume")
