"""Where to listen, and the limits of viewers."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

from ticker.config.parts import Secret, Strict, Wait, address, rule
from ticker.scalars import Duration, Integer, Size, Text

ORIGIN = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:.]+\])(:[1-9]\d{0,4})?")
"""As browsers write it (RFC 6454, 6.2), so that texts can be compared."""


def _origin(value: str) -> str:
    usual = {"http": ":80", "https": ":443"}.get(value.partition(":")[0], "")
    if not ORIGIN.fullmatch(value) or value.endswith(usual):
        raise rule(
            "expected an origin as browsers write it, such as https://intranet.example.com:8443: "
            "in small letters, with a port only where it is not the usual one, without a path"
        )
    return address(value)


Origin = Annotated[Text, AfterValidator(_origin)]


class Server(Strict):
    """Where to listen, and the limits of viewers."""

    host: Text = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every IPv4 interface."""
    port: Annotated[Integer, Field(ge=0, le=65_535)] = 8000
    """Port to listen on; 0 takes a free one."""
    heartbeat: Annotated[Duration, Field(ge=0.5, le=3600)] = 5.0
    """A viewer to whom nothing was sent for so long gets a heartbeat."""
    stall_timeout: Wait = 20.0
    """A viewer that accepts nothing for so long is closed as too slow (4001)."""
    max_viewers: Annotated[Integer, Field(ge=1)] = 10_000
    """More are answered with 503 and Retry-After."""
    boards_per_viewer: Annotated[Integer, Field(ge=1)] = 20
    """Boards that one connection may watch."""
    max_message: Size = 16_000
    """Longest message a viewer may send; a longer one closes it (1009)."""
    rotate: Annotated[Duration, Field(ge=0)] = 0.0
    """A connection that is older, give or take a fifth, is renewed (4003); 0 for never."""
    drain_delay: Annotated[Duration, Field(ge=0, le=3600)] = 0.0
    """At the end, time between `/readyz` saying so and the first goodbye, for a load balancer to
    notice."""
    drain: Annotated[Duration, Field(gt=0, le=3600)] = 10.0
    """At the end, time for goodbyes and requests under way; viewers are ended over half of it, and
    after it everything is cut off."""
    return_within: Annotated[Duration, Field(ge=0, le=3600)] = 30.0
    """Viewers are asked to come back at a random time within this after the end."""
    presence: Annotated[Duration, Field(ge=0, le=3600)] = 5.0
    """A board's viewers are told how many they are, when that changed, at most once in this time;
    0 for never."""
    origins: list[Origin] = []
    """Other sites, such as `https://intranet.example.com`, whose pages may frame `/embed/` and
    read what is served here."""


class Access(Strict):
    """Who may do what. Without admin tokens nobody can change anything over the network."""

    admin_tokens: list[Secret] = []
    """Tokens of those who may reload, end viewers and tell notices; several while one replaces
    another."""


RESTART = {"host", "port", "heartbeat", "max_message", "origins"}
"""Keys of `server` that count only after a restart."""
