"""Real parts for tests of a bus: servers of it, processes that meet there, and a cuttable link."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
from redis import Redis as Client

from tests.support import PATIENCE, Follower, until
from tests.test_cli import free_port
from tests.tools import libraries, tool
from ticker.bus import Bus
from ticker.bus.connect import connect
from ticker.bus.memory import MemoryBus
from ticker.config import Bus as Settings


class Redis:
    """A Redis or Valkey of the test's own, which can be ended and started again."""

    def __init__(self, directory: Path, program: str = "redis-server", *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._directory, self._program, self._options = directory, tool(program), options
        self.process: subprocess.Popen[bytes]

    def bus(self, prefix: str = "ticker", *, lease: float = 1.0, kept: int = 1_000) -> Bus:
        """Return one more bus that meets here."""
        return connect(Settings(url=self.url, prefix=prefix, lease=lease, kept=kept))

    def start(self) -> None:
        """Start it, with what it saved when it ended before, if its options say so."""
        self.process = subprocess.Popen(
            [self._program, *self._arguments()],
            env={**os.environ, **libraries(self._program)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, what="the bus's start")

    def _arguments(self) -> list[str]:
        port, place = str(self.port), str(self._directory)
        quiet = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1"]
        return ["--port", port, "--dir", place, *quiet, *self._options]

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the bus has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        return False

    def tell(self, *command: str | int) -> Any:
        """Have it do something, as somebody who may do everything."""
        with Client(port=self.port, protocol=2, decode_responses=True) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(PATIENCE)


@contextmanager
def redis(
    directory: Path, program: str = "redis-server", *options: str, started: bool = True
) -> Iterator[Redis]:
    """Run a Redis during the block."""
    server = Redis(directory, program, *options)
    if started:
        server.start()
    try:
        yield server
    finally:
        if hasattr(server, "process"):
            server.kill()


class Sentinel(Redis):
    """A Sentinel that knows a server as `boards`."""

    def __init__(self, directory: Path, watched: Redis) -> None:
        super().__init__(directory)
        self._config = directory / "sentinel.conf"
        self._config.write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {directory}\n"
            f"sentinel monitor boards 127.0.0.1 {watched.port} 1\n"
            "sentinel down-after-milliseconds boards 400\n"
            "sentinel failover-timeout boards 3000\n"
        )

    def _arguments(self) -> list[str]:
        return [str(self._config), "--sentinel"]


class Member:
    """``ticker serve`` as a process of its own, one of several on a bus."""

    def __init__(
        self, config: Path, *arguments: str, port: int = 0, within: Sequence[str] = (), **env: str
    ) -> None:
        """``within`` begins the command: a program that runs it elsewhere."""
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (config.parent / f"log-{self.port}").open("ab")
        self._begun = self._log.tell()  # another had the port before
        self.process = subprocess.Popen(
            [
                *within,
                sys.executable,
                "-m",
                "ticker",
                "serve",
                "--config",
                str(config),
                "--port",
                str(self.port),
                *arguments,
            ],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **env},
        )

    @property
    def said(self) -> str:
        """What it has logged."""
        return Path(self._log.name).read_bytes()[self._begun :].decode()

    def get(self, path: str) -> Any:
        """Return the JSON at ``path``; None while there is no answer."""
        with suppress(httpx.TransportError):
            return httpx.get(self.url + path, timeout=PATIENCE).json()
        assert self.process.poll() is None, self.said
        return None

    @property
    def ready(self) -> bool:
        """Whether viewers may come."""
        return (self.get("/readyz") or {}).get("status") == "ready"

    @property
    def polls(self) -> bool:
        """Whether it is the poller, by its log; who was killed says nothing."""
        lines = [line for line in self.said.splitlines() if "this process reads the feeds" in line]
        return bool(lines) and "now" in lines[-1]

    def follow(self, *boards: str, **query: object) -> Follower:
        """Connect a viewer that follows the protocol."""
        parts = [f"board={board}" for board in boards] + [f"{k}={v}" for k, v in query.items()]
        return Follower(f"ws://127.0.0.1:{self.port}/ws?{'&'.join(parts)}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        self.process.wait(PATIENCE)
        self._log.close()


@contextmanager
def members(config: Path, count: int, *arguments: str) -> Iterator[list[Member]]:
    """Run so many processes with the same config until the end of the block."""
    running = [Member(config, *arguments) for _ in range(count)]
    try:
        for member in running:
            until(lambda m=member: m.ready, what="a member's start")  # type: ignore[misc]
        yield running
    finally:
        for member in running:
            if member.process.poll() is None:
                member.kill()


# -- what the contract of the seam is tested on


class Place(Protocol):
    """Where buses meet: a server, or this very process."""

    def bus(self, prefix: str = "ticker", *, lease: float = 1.0, kept: int = 1_000) -> Bus:
        """Return one more bus that meets there."""


class Memory:
    """Buses in this process: those of one prefix are one."""

    def __init__(self) -> None:
        self._buses: dict[str, MemoryBus] = {}

    def bus(self, prefix: str = "ticker", *, lease: float = 1.0, kept: int = 1_000) -> Bus:
        """Return the bus of a prefix."""
        return self._buses.setdefault(prefix, MemoryBus(kept))


@contextmanager
def memory(directory: Path) -> Iterator[Memory]:
    """Let buses meet in this process during the block."""
    yield Memory()


@contextmanager
def valkey(directory: Path) -> Iterator[Redis]:
    """Run a Valkey during the block."""
    with redis(directory, "valkey-server") as server:
        yield server


SERVERS: dict[str, Callable[[Path], AbstractContextManager[Redis]]] = {
    "redis": redis,
    "valkey": valkey,
}
"""Servers that buses can be on: each is started in a directory, and can be ended and stopped."""

PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {"memory": memory, **SERVERS}
"""Everything that keeps the contract of the seam."""
