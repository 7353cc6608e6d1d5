"""What several processes have in common."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import AfterValidator, Field

from ticker.config import redis_url
from ticker.config.parts import Name, Strict, rule
from ticker.scalars import Duration, Integer, Text


def _url(value: str) -> str:
    try:
        redis_url.parse(value)
    except ValueError as error:
        raise rule(str(error)) from None
    return value


class Bus(Strict):
    """Where processes that serve the same boards meet. Without it there is one process."""

    url: Annotated[Text, AfterValidator(_url), Field(json_schema_extra={"writeOnly": True})]
    """The server, such as `redis://localhost:6379/0`."""
    prefix: Name = "ticker"
    """Begins the names of all that is kept there; processes with another one are strangers."""
    lease: Annotated[Duration, Field(ge=0.2, le=60)] = 1.0
    """A process that reads the feeds and is not heard of for so long is replaced by another."""
    kept: Annotated[Integer, Field(ge=100, le=100_000)] = 1_000
    """Entries kept per board: viewers that were away for fewer lack no snapshot anywhere."""

    @property
    def secrets(self) -> set[str]:
        """The passwords of the URL, as they stand there and as they are."""
        parts = urlsplit(self.url)
        login = parts.netloc.rpartition("@")[0].partition(":")[2]
        query = (value for name, value in parse_qsl(parts.query) if name.endswith("password"))
        return {login, unquote(login), *query} - {""}
