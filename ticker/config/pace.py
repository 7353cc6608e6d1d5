"""How often a feed is read, by what goes on: in play or not, market open or closed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from datetime import date
from functools import cached_property
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import CoreSchema, core_schema

from ticker.config.parts import Period, Strict, not_below, rule, time_zone
from ticker.exchanges import Exchange
from ticker.hours import DAY_MINUTES, Hours, Span, Week
from ticker.scalars import Text, duration, expected, time_text

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_SPAN = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")
_DAY = "|".join(DAYS)
_DAYS = rf"({_DAY})(-({_DAY}))?(, *({_DAY})(-({_DAY}))?)*"


class Rhythm(Strict):
    """The two intervals of a feed that is not always worth the same effort."""

    live: Period
    """Time between two readings while a game runs or the market is open."""
    idle: Period | None
    """Time between two readings otherwise."""

    @field_validator("idle")
    @classmethod
    def _longer(cls, value: float | None, info: ValidationInfo) -> float | None:
        return not_below("live", value, info)


def _rhythm(value: Any) -> Any:
    if isinstance(value, Every):
        return {"live": float(value), "idle": value.idle}
    return value if isinstance(value, dict) else {"live": value, "idle": None}


class Every(float):
    """Seconds between two readings while it is live, and ``idle`` ones where there are others."""

    idle: float | None = None

    def __eq__(self, other: object) -> bool:
        same = float.__eq__(self, other)
        return same is True and (not isinstance(other, Every) or self.idle == other.idle)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = float.__hash__

    @classmethod
    def of(cls, rhythm: Rhythm) -> Every:
        """Return the intervals of the config."""
        every = cls(rhythm.live)
        every.idle = rhythm.idle
        return every

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Read a duration, or a mapping of two."""
        inner = handler.generate_schema(
            Annotated[Rhythm, BeforeValidator(_rhythm, Period | Rhythm)]
        )
        written = core_schema.plain_serializer_function_ser_schema(cls.written)
        return core_schema.no_info_after_validator_function(cls.of, inner, serialization=written)

    def written(self) -> str | dict[str, str]:
        """Return it as people write it."""
        if self.idle is None:
            return time_text(self)
        return {"live": time_text(self), "idle": time_text(self.idle)}


def _span(value: Any) -> Span:
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    if found:
        first, minute, last, other = map(int, found.groups())
        begin, end = first * 60 + minute, last * 60 + other
        timely = max(minute, other) < 60 and begin < DAY_MINUTES and end <= DAY_MINUTES
        if timely and begin != end:
            return begin, end if end > begin else end + DAY_MINUTES
    raise expected("hours such as 09:30-16:00, all day is 00:00-24:00", value)


def _span_text(span: Span) -> str:
    begin, end = span
    end = end if end <= DAY_MINUTES else end - DAY_MINUTES
    return f"{begin // 60:02}:{begin % 60:02}-{end // 60:02}:{end % 60:02}"


def _listed(value: Any) -> Any:
    """Return the parts of a text with commas; a list stays one."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


OneSpan = Annotated[
    tuple[int, int],
    BeforeValidator(_span, Text),
    PlainSerializer(_span_text, str, when_used="json"),
]
Spans = Annotated[list[OneSpan], BeforeValidator(_listed, Text | list[Text])]


def _holiday(value: Any) -> tuple[date, tuple[Span, ...]]:
    day, _, hours = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if not re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        raise expected("a day such as 2026-12-25, or with its hours 2026-11-27 09:30-13:00", value)
    try:
        found = date.fromisoformat(day)
    except ValueError:
        raise expected("a day of the calendar", value) from None
    return found, tuple(_span(part) for part in _listed(hours)) if hours else ()


def _holiday_text(holiday: tuple[date, tuple[Span, ...]]) -> str:
    day, spans = holiday
    return " ".join(filter(None, (day.isoformat(), ", ".join(map(_span_text, spans)))))


Holiday = Annotated[
    tuple[date, tuple[tuple[int, int], ...]],
    BeforeValidator(_holiday, Text),
    PlainSerializer(_holiday_text, str, when_used="json"),
]
NEVER = "never"


def _closed_every(value: Any) -> float:
    if value == NEVER or value == math.inf:
        return math.inf
    try:
        return duration(value)
    except ValueError:
        raise expected("a duration such as 5m, or never", value) from None


ClosedEvery = Annotated[
    float,
    BeforeValidator(_closed_every),
    Field(ge=1),
    PlainSerializer(lambda seconds: NEVER if math.isinf(seconds) else time_text(seconds), str),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+(\.\d+)?(ms|s|m|h)|never)$"}),
]


def _days(value: str) -> str:
    if not re.fullmatch(_DAYS, value):
        raise expected("days such as mon, mon-fri or 'sat, sun'", value)
    return value


DayNames = Annotated[
    Text, AfterValidator(_days), Field(json_schema_extra={"pattern": f"^{_DAYS}$"})
]


def _weekdays(names: str) -> Iterator[int]:
    """Yield the weekdays of ``mon-fri`` or ``sat, mon-wed``, Monday is 0; a range may wrap."""
    for part in names.split(","):
        first, _, last = part.strip().partition("-")
        begin = DAYS.index(first)
        for i in range((DAYS.index(last or first) - begin) % 7 + 1):
            yield (begin + i) % 7


def _exchange(value: str) -> str:
    try:
        Exchange(value)
    except ImportError:
        raise rule("needs the library: pip install 'ticker[calendars]'") from None
    except LookupError:
        raise expected("an exchange by its code, such as XNYS", value) from None
    except ValueError as error:
        raise rule(str(error)) from None
    return value


class Calendar(Strict):
    """When the market is open, and how often a feed is read while it is not."""

    timezone: Annotated[Text, AfterValidator(time_zone)] | None = None
    """Time zone of `open` and `holidays`."""
    exchange: Annotated[Text, AfterValidator(_exchange)] | None = None
    """Code of an exchange whose hours and holidays count, instead of `open` and `holidays`."""
    open: Annotated[dict[DayNames, Spans] | None, Field(validate_default=True)] = None
    """Days (`mon`, `mon-fri`, `sat, sun`) and their hours: `09:30-16:00`, one or several."""
    holidays: Annotated[list[Holiday], Field(max_length=2000)] = []
    """Closed days, or days with other hours: `2026-11-27 09:30-13:00`."""
    closed_every: ClosedEvery | None = None
    """Time between two readings while closed, or `never`; default `idle` of `every`, else ten
    times `every`, at least 1m."""

    @field_validator("open")
    @classmethod
    def _one_source(cls, value: dict[str, Any] | None, info: ValidationInfo) -> Any:
        if "exchange" not in info.data or "timezone" not in info.data:
            return value  # that mistake comes first
        by_exchange = info.data["exchange"] is not None
        if by_exchange == (value is not None):
            raise rule("name either `open` hours or an `exchange`")
        if value is None:
            return value
        if info.data["timezone"] is None:
            raise rule("needs the `timezone` of its hours")
        days = [day for names in value for day in _weekdays(names)]
        twice = next((name for i, name in enumerate(DAYS) if days.count(i) > 1), None)
        if twice is not None:
            raise rule(f"{twice} is named twice")
        if not any(value.values()):
            raise rule("is never open")
        return value

    @field_validator("holidays")
    @classmethod
    def _each_once(cls, value: list[tuple[date, Any]], info: ValidationInfo) -> Any:
        if value and info.data.get("exchange") is not None:
            raise rule("the exchange has its own holidays")
        days = [day for day, _ in value]
        twice = next((day for i, day in enumerate(days) if day in days[:i]), None)
        if twice is not None:
            raise rule(f"{twice} is named twice")
        return value

    @cached_property
    def hours(self) -> Hours:
        """When it is open."""
        if self.exchange is not None:
            exchange = Exchange(self.exchange)
            return Hours(ZoneInfo(self.timezone) if self.timezone else exchange.zone, exchange.on)
        zone = ZoneInfo(self.timezone or "UTC")
        days: list[list[Span]] = [[] for _ in DAYS]
        for names, spans in (self.open or {}).items():
            for day in _weekdays(names):
                days[day] = spans
        return Hours(zone, Week(zone, days, dict(self.holidays)).on)
