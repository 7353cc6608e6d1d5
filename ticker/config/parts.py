"""What the models of the config are made of."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo
from pydantic_core import PydanticCustomError

from ticker.fields import Kind
from ticker.scalars import Duration, Text, expected

FieldName = Annotated[Text, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]
Name = Annotated[Text, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,63}$")]
Period = Annotated[Duration, Field(ge=0.01, le=86_400)]
Wait = Annotated[Duration, Field(gt=0)]
Keep = Annotated[Duration, Field(ge=0, le=86_400)]
ValueKind = Annotated[Kind, Field(strict=False)]  # a file has text, not members of an enum


def rule(message: str) -> PydanticCustomError:
    """Return the error for a value that breaks a rule between keys."""
    return PydanticCustomError("rule", "{message}", {"message": message})


def address(value: str) -> str:
    """Return a URL whose port can be one; raise the rule otherwise."""
    try:
        valid = urlsplit(value).port != 0
    except ValueError:
        valid = False
    if not valid:
        raise rule("expected an address with a port from 1 to 65535, or none")
    return value


def time_zone(value: str) -> str:
    """Return the name of a time zone; raise what was expected otherwise."""
    try:
        ZoneInfo(value)
    except (ValueError, OSError, LookupError):
        raise expected("a time zone such as Europe/Berlin", value) from None
    return value


def _hard_to_guess(value: str) -> str:
    if len(value) < SHORTEST_SECRET:
        raise rule(f"expected at least {SHORTEST_SECRET} characters")
    return value


SHORTEST_SECRET = 16
Secret = Annotated[
    Text,
    AfterValidator(_hard_to_guess),
    Field(json_schema_extra={"writeOnly": True, "minLength": SHORTEST_SECRET}),
]
"""Shown nowhere; write it as `${NAME}` or `${file:PATH}`."""


def not_below(key: str, value: float | None, info: ValidationInfo) -> float | None:
    """Return seconds that are not below those at ``key``, which comes before; or raise the rule."""
    least = info.data.get(key)
    if value is not None and least is not None and value < least:
        raise rule(f"must not be below {key} ({least:g} s), got {value:g} s")
    return value


class Strict(BaseModel):
    """Base of every part of the config: frozen, and no key that is not known."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )
