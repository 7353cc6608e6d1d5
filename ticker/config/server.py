"""Where to listen, and the limits of viewers."""

from __future__ import annotations

import re
from ipaddress import ip_network
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from ticker import tokens
from ticker.config.parts import Secret, Strict, Wait, address, rule
from ticker.limits import Network as IPNetwork
from ticker.scalars import Duration, Integer, Number, Size, Text, expected

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


def _network(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value)
    except ValueError:
        raise expected("a network such as 10.0.0.0/8 or fd00::/8, or an address", value) from None


Network = Annotated[
    IPNetwork,
    BeforeValidator(_network),
    WithJsonSchema({"type": "string", "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]}),
]


def _rate(value: float) -> float:
    if 0 < value < SLOWEST:
        raise rule(f"expected at least {SLOWEST} per second, or 0 for no limit, got {value:g}")
    return value


SLOWEST = 0.01
Rate = Annotated[Number, Field(ge=0, le=100_000), AfterValidator(_rate)]


MOST_WORKERS = 256


class Server(Strict):
    """Where to listen, and the limits of viewers."""

    host: Text = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every IPv4 interface."""
    port: Annotated[Integer, Field(ge=0, le=65_535)] = 8000
    """Port to listen on; 0 takes a free one."""
    workers: Annotated[Integer, Field(ge=1, le=MOST_WORKERS)] = 1
    """Processes that share the port, each on a core of its own; more than one need a `bus`."""
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
    trusted_proxies: list[Network] = []
    """Networks of the proxies before this server whose X-Forwarded-For is believed."""
    viewers_per_address: Annotated[Integer, Field(ge=0)] = 0
    """More from one address are answered with 429 and Retry-After; 0 for no such limit."""
    connects_per_second: Rate = 0.0
    """Connects of one address, with a small burst; more get 429 and Retry-After; 0 for
    no such limit."""
    messages_per_second: Rate = 50.0
    """Messages that a viewer may send, with a burst; more close it (4503). 0 for no such limit."""
    subscribe_within: Wait = 30.0
    """A viewer that watches nothing for so long after connecting is closed (4503)."""


class Key(Strict):
    """A key that viewers' tokens are checked with."""

    algorithm: tokens.Algorithm
    """How tokens are signed: with a shared secret, or a key pair whose public key is here."""
    key: Secret
    """A secret of at least 32 bytes, or the public key in PEM."""

    @field_validator("key")
    @classmethod
    def _fits(cls, value: str, info: ValidationInfo) -> str:
        algorithm = info.data.get("algorithm")
        if algorithm is not None:
            try:
                tokens.verifying_key(algorithm, value)
            except ValueError as error:
                raise rule(str(error)) from None
        return value


class Access(Strict):
    """Who may do what. Without admin tokens nobody can change anything over the network."""

    keys: list[Key] = []
    """Keys that viewers' tokens are checked with; several while one replaces another."""
    viewers: Literal["public", "token"] = "public"
    """Who may watch: everybody, or who has a token."""
    cookie: Annotated[Text, Field(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}$")] = "ticker_token"
    """Name of the cookie in which a viewer may have its token."""
    admin_tokens: list[Secret] = []
    """Tokens of those who may reload, end viewers and tell notices; several while one replaces
    another."""
    operations: Literal["open", "admin"] = "open"
    """Who may read how the server is: everybody, or admins."""

    @field_validator("viewers")
    @classmethod
    def _has_keys(cls, value: str, info: ValidationInfo) -> str:
        if value == "token" and info.data.get("keys") == []:
            raise rule("tokens need `keys` to be checked with")
        return value

    @field_validator("operations")
    @classmethod
    def _has_admins(cls, value: str, info: ValidationInfo) -> str:
        if value == "admin" and info.data.get("admin_tokens") == []:
            raise rule("admins need `admin_tokens`")
        return value


RESTART = {"host", "port", "workers", "heartbeat", "max_message", "origins"}
"""Keys of `server` that count only after a restart."""
