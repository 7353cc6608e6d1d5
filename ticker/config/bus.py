"""What several processes have in common."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from ticker.config import redis_url
from ticker.config.parts import Name, Strict, address, rule
from ticker.scalars import Duration, Integer, Text

POSTGRES = ("postgresql", "postgres")
"""The first word of a URL of PostgreSQL; all others are Redis's."""

IN_PASSWORDS = "; in a password # is written as %23, / as %2F, ? as %3F and @ as %40"

LONGEST_SCHEMA = 63
"""Characters of a name in PostgreSQL; what comes after them it forgets."""


def _is_postgres(url: str) -> bool:
    return url.partition("://")[0] in POSTGRES


NEEDED = (
    "more than one worker needs a bus, over which one tells the others what it reads: "
    "add, for example, `bus: {url: redis://localhost:6379/0}` to the config"
)


def _url(value: str) -> str:
    if _is_postgres(value):
        _check_login(address(value))
        if find_spec("asyncpg") is None:
            raise rule("needs a library: pip install asyncpg")
        return value
    try:
        redis_url.parse(value)
    except ValueError as error:
        raise rule(str(error)) from None
    return value


def _check_login(url: str) -> None:
    """Raise the rule where a part of a password would be taken for something else, and be shown."""
    parts = urlsplit(url)
    pairs = parts.query.split("&") if parts.query else ()
    if "#" in url or "@" in parts.path or parts.netloc.count("@") > 1:
        raise rule(f"expected no # in it, and no @ but one before the host{IN_PASSWORDS}")
    if not all("=" in pair for pair in pairs):
        raise rule(f"expected NAME=VALUE behind the ?{IN_PASSWORDS}")


class Bus(Strict):
    """Where processes that serve the same boards meet. Without it there is one process."""

    url: Annotated[Text, AfterValidator(_url), Field(json_schema_extra={"writeOnly": True})]
    """The server, such as `redis://localhost:6379/0` or `postgresql://localhost/ticker`."""
    prefix: Name = "ticker"
    """Begins the names of all that is kept there; processes with another one are strangers."""
    lease: Annotated[Duration, Field(ge=0.2, le=60)] = 1.0
    """A process that reads the feeds and is not heard of for so long is replaced by another."""
    kept: Annotated[Integer, Field(ge=100, le=100_000)] = 1_000
    """Entries kept per board: viewers that were away for fewer lack no snapshot anywhere."""

    @field_validator("prefix")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        if _is_postgres(info.data.get("url", "")) and len(value) > LONGEST_SCHEMA:
            raise rule(f"expected at most {LONGEST_SCHEMA} characters, on PostgreSQL")
        return value

    @property
    def is_postgres(self) -> bool:
        """Whether the server is a PostgreSQL."""
        return _is_postgres(self.url)

    @property
    def secrets(self) -> set[str]:
        """The passwords of the URL, as they stand there and as they are."""
        parts = urlsplit(self.url)
        login = parts.netloc.rpartition("@")[0].partition(":")[2]
        query = (value for name, value in parse_qsl(parts.query) if name.endswith("password"))
        return {login, unquote(login), *query} - {""}
