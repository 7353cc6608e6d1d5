"""What several processes have in common."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from ticker.config.parts import Name, Strict, address, rule
from ticker.scalars import Duration, Integer, Text

SCHEMES = ("redis", "rediss", "valkey", "valkeys")

NEEDED = (
    "more than one worker needs a bus, over which one tells the others what it reads: "
    "add, for example, `bus: {url: redis://localhost:6379/0}` to the config"
)


def _url(value: str) -> str:
    scheme = urlsplit(address(value)).scheme
    if scheme not in SCHEMES:
        raise rule(f"expected a URL that begins with {'://, '.join(SCHEMES)}://")
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
