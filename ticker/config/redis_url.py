"""A URL of Redis or Valkey: which servers it names, and how they are spoken to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

PLAIN, SECURE, SOCKET = ("redis", "valkey"), ("rediss", "valkeys"), "unix"
ONE, SENTINEL, CLUSTER = "", "sentinel", "cluster"
SCHEMES = (*PLAIN, *SECURE, SOCKET)
"""The first word of a URL, all but the last also with ``+sentinel`` or ``+cluster`` behind it."""

PORT, SENTINEL_PORT = 6379, 26379

FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
CHOICES = {
    "ssl_cert_reqs": ("required", "optional", "none"),
    "ssl_check_hostname": ("true", "false"),
}
SECRETS = ("password", "sentinel_password")
OPTIONS = ("db", "username", *SECRETS, "sentinel_username", *FILES, *CHOICES)
"""What may stand in the query, as redis-py has it."""

HINT = "; in a password / is written as %2F, : as %3A, @ as %40 and [ as %5B"
PORT_EXPECTED = f"expected a port from 1 to 65535, or none{HINT}"

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Servers:
    """The servers of a URL.

    ``kind`` is `ONE`, `SENTINEL` or `CLUSTER`. ``hosts`` are those to ask first, none where
    ``path`` is the path of a socket; ``service`` is what Sentinels call the one that is wanted.
    """

    kind: str
    hosts: tuple[Address, ...] = ()
    path: str = ""
    secure: bool = False
    username: str | None = None
    password: str | None = None
    db: int = 0
    service: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


def parse(url: str) -> Servers:
    """Return what a URL names; raise ValueError with what was expected, without any part of it."""
    if "#" in url:
        raise ValueError("expected no # in it; in a password it is written as %23")
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(PORT_EXPECTED) from None
    word, _, kind = parts.scheme.partition("+")
    if word not in SCHEMES or kind not in (ONE, SENTINEL, CLUSTER) or (word == SOCKET and kind):
        raise ValueError(
            f"expected a URL that begins with {', '.join(SCHEMES[:-1])} or {SOCKET} and ://;"
            " where there are several servers with redis+sentinel or redis+cluster;"
            " of PostgreSQL with postgresql"
        )
    options = _options(parts, secure=word in SECURE)
    login, at, hosts = parts.netloc.rpartition("@")
    username, colon, password = map(unquote, login.partition(":"))
    if at and not colon:
        raise ValueError("expected NAME:PASSWORD or :PASSWORD before the @")
    where = [unquote(part) for part in parts.path.split("/")[1:] if part]
    service = where.pop(0) if kind == SENTINEL and where else ""
    path = unquote(parts.path) if word == SOCKET else ""
    if word == SOCKET and not path:
        raise ValueError("expected the path of a socket behind three slashes")
    return Servers(
        kind,
        _hosts(hosts, kind, path),
        path,
        word in SECURE,
        options.pop("username", username) or None,
        options.pop("password", password) or None,
        _db(options.pop("db", "") or "/".join([] if path else where), kind),
        _service(service, kind),
        options,
    )


def _options(parts: SplitResult, *, secure: bool) -> dict[str, str]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name, value in options.items():
        if name not in OPTIONS:
            raise ValueError(
                f"expected nothing behind the ? but {', '.join(OPTIONS)}; "
                "in a password ? is written as %3F"
            )
        if name.startswith("ssl_") and not secure:
            raise ValueError(f"{name} is for URLs that begin with {' or '.join(SECURE)}")
        if name in CHOICES and value not in CHOICES[name]:
            raise ValueError(f"expected {name} to be {' or '.join(CHOICES[name])}")
        if name in FILES and not (Path(value).is_absolute() and Path(value).is_file()):
            raise ValueError(f"expected {name} to be the whole path of a file that is there")
    return options


def _hosts(text: str, kind: str, path: str) -> tuple[Address, ...]:
    if path:
        if text:
            raise ValueError("expected three slashes before the path of a socket")
        return ()
    usual = SENTINEL_PORT if kind == SENTINEL else PORT
    hosts = tuple(_host(one, usual) for one in text.split(","))
    if len(hosts) > 1 and kind == ONE:
        raise ValueError("expected one host; several go with redis+sentinel or redis+cluster")
    return hosts


def _host(text: str, usual: int) -> Address:
    try:
        parts = urlsplit(f"//{text}")
        port = parts.port
    except ValueError:
        port = 0
    if port == 0:
        raise ValueError(PORT_EXPECTED)
    if not parts.hostname:
        raise ValueError(f"expected a host behind ://{HINT}")
    return unquote(parts.hostname), port or usual


def _db(text: str, kind: str) -> int:
    if kind == CLUSTER and text not in ("", "0"):
        raise ValueError("expected nothing behind the hosts: a cluster has no databases")
    if not (text or "0").isdecimal():
        raise ValueError("expected the number of a database behind the host, or nothing")
    return int(text or 0)


def _service(name: str, kind: str) -> str:
    if kind == SENTINEL and not name:
        raise ValueError("expected the name that Sentinels have for the service behind the hosts")
    return name
