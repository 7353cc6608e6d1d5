"""Real parts for tests of a bus: servers of it, processes that meet there, and a cuttable link."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.support import PATIENCE, Follower, until
from tests.test_cli import free_port
from tests.tools import tool


class Redis:
    """A Redis or Valkey of the test's own, which can be ended and started again."""

    def __init__(self, directory: Path, program: str = "redis-server", *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self._directory, self._program, self._options = directory, tool(program), options
        self.process: subprocess.Popen[bytes]

    def start(self) -> None:
        """Start it, with what it saved when it ended before, if its options say so."""
        port, place = str(self.port), str(self._directory)
        quiet = ["--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--dir", place]
        self.process = subprocess.Popen(
            [self._program, "--port", port, *quiet, *self._options],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._answers, what="the bus's start")

    def _answers(self) -> bool:
        assert self.process.poll() is None, "the bus has ended"
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(100).startswith((b"+PONG", b"-NOAUTH"))
        return False

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


class Member:
    """``ticker serve`` as a process of its own, one of several on a bus."""

    def __init__(self, config: Path, *arguments: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (config.parent / f"log-{self.port}").open("ab")
        self.process = subprocess.Popen(
            [
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
            env=os.environ,
        )

    @property
    def said(self) -> str:
        """What it has logged."""
        return Path(self._log.name).read_text()

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
            member.kill()  # harmless where it has ended
