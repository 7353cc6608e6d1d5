"""What several processes have in common."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, ValidationInfo, field_validator

from ticker.config.parts import Name, Strict, address, rule
from ticker.scalars import Duration, Integer, Text

POSTGRES = ("postgresql", "postgres")
SCHEMES = ("redis", "rediss", "valkey", "valkeys", *POSTGRES)
LONGEST_SCHEMA = 63
"""Characters of a name in PostgreSQL; what comes after them it forgets."""


def _scheme(url: str) -> str:
    return urlsplit(url).scheme


def _url(value: str) -> str:
    scheme = _scheme(address(value))
    if scheme not in SCHEMES:
        raise rule(f"expected a URL that begins with {'://, '.join(SCHEMES)}://")
    if scheme in POSTGRES and find_spec("asyncpg") is None:
        raise rule("needs a library: pip install asyncpg")
    return value


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
        url = info.data.get("url")
        if url is not None and _scheme(url) in POSTGRES and len(value) > LONGEST_SCHEMA:
            raise rule(f"expected at most {LONGEST_SCHEMA} characters, on PostgreSQL")
        return value

    @property
    def is_postgres(self) -> bool:
        """Whether the server is a PostgreSQL."""
        return _scheme(self.url) in POSTGRES
