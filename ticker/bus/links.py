"""Connections to the Redis or Valkey that has our keys, wherever it is by now.

A single server is where its URL says, by its name's latest address. Of several, Sentinels know
which is the primary, and the nodes of a cluster say which of them has a key. So a connection is
made to what is found at that moment; whoever learns that it is elsewhere drops it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import RedisError

from ticker.config.redis_url import SENTINEL, Address, Servers

# no `socket_timeout`: with it redis-py uses `wait_for`, which before Python 3.12 may miss that it
# is cancelled
COMMON: dict[str, Any] = {
    "protocol": 2,  # with nothing to be asked before the first command
    "driver_info": None,
    "socket_timeout": None,  # who asks has a limit for all of it
}


class NoLink(Unreachable):
    """No connection could be made, so nothing was asked."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.status_code = getattr(error, "status_code", None)


class _Finding:
    """A connection to what is found when it is made."""

    def __init__(self, *, find: Callable[[], Awaitable[Address]] | None, **options: Any) -> None:
        super().__init__(**options)
        self._find = find

    async def connect(self) -> None:
        """Find it, and connect. Raises NoLink."""
        try:
            if self._find is not None and not self.is_connected:  # type: ignore[attr-defined]
                self.host, self.port = await self._find()
            await super().connect()  # type: ignore[misc]
        except (RedisError, OSError) as error:
            raise NoLink(error) from None


class _Plain(_Finding, Connection):
    pass


class _Secure(_Finding, SSLConnection):
    pass


class _Socket(_Finding, UnixDomainSocketConnection):
    pass


class Links:
    """Makes connections to one of ``servers``; ``patience`` is in seconds."""

    def __init__(self, servers: Servers, patience: float) -> None:
        self._servers = servers
        self._share = patience / (len(servers.hosts) + 1)  # so that others are asked in time, too
        self._hosts = list(servers.hosts)
        self._moved: Address | None = None
        self._clients: list[Redis] = []

    def client(self) -> Redis:
        """Return one more client."""
        servers = self._servers
        login = {"username": servers.username, "password": servers.password}
        options: dict[str, Any] = {
            **COMMON,
            **login,
            "db": servers.db,
            "retry": Retry(NoBackoff(), 0),  # who asks knows better what to do
            "socket_connect_timeout": self._share,
        }
        if servers.path:
            options |= {"connection_class": _Socket, "find": None, "path": servers.path}
        else:
            kind = _Secure if servers.secure else _Plain
            options |= {"connection_class": kind, "find": self._find, **self._security()}
        self._clients.append(Redis.from_pool(ConnectionPool(**options)))
        return self._clients[-1]

    def _security(self) -> dict[str, Any]:
        options: dict[str, Any] = {
            name: value for name, value in self._servers.options.items() if name.startswith("ssl_")
        }
        if "ssl_check_hostname" in options or options.get("ssl_cert_reqs") == "none":
            options["ssl_check_hostname"] = options.get("ssl_check_hostname") == "true"
        return options

    async def _find(self) -> Address:
        if self._servers.kind == SENTINEL:
            return await self._ask_sentinels()
        return self._moved or self._hosts[0]

    async def _ask_sentinels(self) -> Address:
        said = "none answers in time"
        for host in list(self._hosts):
            try:
                async with asyncio.timeout(self._share):
                    found = await self._ask_sentinel(host)
                await self.moved(*found)
                return found  # noqa: TRY300 - the rest of the loop is for those that do not know
            except (RedisError, OSError) as error:  # a TimeoutError is an OSError
                said = str(error) or said
                self._rotate()
        raise Unreachable(f"no Sentinel knows a primary of '{self._servers.service}': {said}")

    async def _ask_sentinel(self, host: Address) -> Address:
        options, secure = self._servers.options, self._servers.secure
        login = {name: options.get(f"sentinel_{name}") for name in ("username", "password")}
        asked = {**COMMON, **login, "ssl": secure, **(self._security() if secure else {})}
        sentinel = Sentinel([host], sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
        try:
            found: Address = await sentinel.discover_master(self._servers.service)
        finally:
            await sentinel.aclose()
        return found

    def _rotate(self) -> None:
        self._hosts.append(self._hosts.pop(0))

    def lost(self) -> None:
        """Look elsewhere for it next time: it does not answer."""
        self._moved = None
        if len(self._hosts) > 1:
            self._rotate()

    async def moved(self, host: str = "", port: int = 0) -> None:
        """Drop all connections: it is at another address, to be found or that is known."""
        if port:
            known = host if host not in ("", "?") else (self._moved or self._hosts[0])[0]
            if self._moved == (known, port):
                return  # another was told so before, and dropped them
            self._moved = known, port
        for client in self._clients:
            await client.connection_pool.disconnect()

    async def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            await client.aclose()
