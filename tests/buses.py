"""Real parts for tests of a bus: servers of it, processes that meet there, and a cuttable link."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import httpx
import pytest
from redis import Redis as Client

from tests.support import PATIENCE, Follower, until
from tests.test_cli import free_port
from tests.tools import libraries, postgres_tool, tool
from ticker.bus import Bus
from ticker.bus.connect import connect
from ticker.bus.memory import MemoryBus
from ticker.config import Bus as Settings

POSTGRES_PASSWORD = "a-secret-of-tests"

START = 4 * PATIENCE
"""Longest wait for a start, in seconds: several at once on a machine that has other work to do."""


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

    def end(self) -> None:
        """End it in an orderly way."""
        self.signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE) == 0, self.said

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
            until(lambda m=member: m.ready, what="a member's start", patience=START)  # type: ignore[misc]
        yield running
    finally:
        for member in running:
            member.kill()  # harmless where it has ended


class Postgres:
    """A PostgreSQL of the test's own, which can be ended and started again.

    It refuses to run as root, so then it runs as nobody, in a directory of its own.
    """

    def __init__(self, **settings: str) -> None:
        self.port = free_port()
        self.url = f"postgresql://ticker:{POSTGRES_PASSWORD}@127.0.0.1:{self.port}/postgres"
        self._home = Path(tempfile.mkdtemp(prefix="ticker-postgres-", dir="/tmp"))
        self._data = self._home / "data"
        self._settings = {"fsync": "off", **settings}
        self.process: subprocess.Popen[bytes]
        password = self._home / "password"
        password.write_text(POSTGRES_PASSWORD)
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            for place in self._home, password:
                os.chown(place, nobody.pw_uid, nobody.pw_gid)
        login = ("--username=ticker", f"--pwfile={password}", "--auth=scram-sha-256")
        made = self._run("initdb", "--no-sync", "--no-instructions", *login)
        if made.returncode in {126, 127}:
            pytest.skip(f"nobody but root may run PostgreSQL here: {made.stderr}")
        assert made.returncode == 0, made.stderr

    def bus(self, prefix: str = "ticker", *, lease: float = 1.0, kept: int = 1_000) -> Bus:
        """Return one more bus that meets here."""
        return connect(Settings(url=self.url, prefix=prefix, lease=lease, kept=kept))

    def _command(self, program: str, *arguments: str) -> list[str]:
        found = postgres_tool(program)
        be: list[str] = []
        if os.geteuid() == 0:
            be = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        return [*be, found, "-D", str(self._data), *arguments]

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self._command(program, *arguments),
            cwd=self._home,
            env={**os.environ, **libraries(postgres_tool("postgres"))},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def start(self) -> None:
        """Start it, with what it has kept."""
        settings = {"port": str(self.port), "unix_socket_directories": str(self._home)}
        settings |= {"listen_addresses": "127.0.0.1", **self._settings}
        with (self._home / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command("postgres", *(f"--{k}={v}" for k, v in settings.items())),
                cwd=self._home,
                env={**os.environ, **libraries(postgres_tool("postgres"))},
                stdout=log,
                stderr=log,
            )
        until(self._answers, what="the bus's start", patience=START)

    def _answers(self) -> bool:
        assert self.process.poll() is None, (self._home / "log").read_text()
        with suppress(OSError):
            lines = (self._data / "postmaster.pid").read_text().split()
            return lines[:1] == [str(self.process.pid)] and lines[-1] in {"ready", "standby"}
        return False

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self._end(signal.SIGQUIT)

    def stop(self) -> None:
        """End it with everything put in order."""
        self._end(signal.SIGINT)

    def _end(self, how: signal.Signals) -> None:
        self.process.send_signal(how)
        self.process.wait(START)

    def stand_by(self) -> None:
        """Be a standby from the next start on, one without a server to follow."""
        (self._data / "standby.signal").touch()

    def promote(self) -> None:
        """Be a standby no more."""
        promoted = self._run("pg_ctl", "promote")
        assert promoted.returncode == 0, promoted.stderr

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of it."""
        for pid in [*self._children(), self.process.pid]:
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def _children(self) -> list[int]:
        found = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text()
        return [int(pid) for pid in found.split()]

    def remove(self) -> None:
        """End it and remove what it has kept."""
        if hasattr(self, "process") and self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.kill()
        shutil.rmtree(self._home)


@contextmanager
def postgres(*, started: bool = True, **settings: str) -> Iterator[Postgres]:
    """Run a PostgreSQL during the block."""
    server = Postgres(**settings)
    try:
        if started:
            server.start()
        yield server
    finally:
        server.remove()


# -- what the contract of the seam is tested on


class Place(Protocol):
    """Where buses meet: a server, or this very process."""

    def bus(self, prefix: str = "ticker", *, lease: float = 1.0, kept: int = 1_000) -> Bus:
        """Return one more bus that meets there."""


class Server(Place, Protocol):
    """A server that buses are on; the test may end and stop it."""

    url: str

    def start(self) -> None:
        """Start it, with what it has kept, if it keeps anything."""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""

    def kill(self) -> None:
        """End it at once."""


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


SERVERS: dict[str, Callable[[Path], AbstractContextManager[Server]]] = {
    "redis": redis,
    "valkey": valkey,
    "postgres": lambda _: postgres(),
}
"""Servers that buses can be on: each is started in a directory, and can be ended and stopped."""

PLACES: dict[str, Callable[[Path], AbstractContextManager[Place]]] = {"memory": memory, **SERVERS}
"""Everything that keeps the contract of the seam."""
