"""The servers to measure: how each is started, and what it is started with."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
RATE = 10
START_SECONDS = 20.0

LIMIT = "limit"
OURS = "ticker"


@dataclass(frozen=True)
class Server:
    """A server to measure: how it is started and what it does with deflate."""

    name: str
    title: str
    command: Callable[[Options], list[str]]
    deflates: bool = True
    """Whether it compresses when viewers offer it; where not, that run would be the same again."""
    ours: bool = False
    missing: Callable[[], str | None] = lambda: None


@dataclass(frozen=True)
class Options:
    """What a server is started with."""

    port: int = 0
    size: int | None = None
    frame_bytes: int = 246
    program: Path | None = None
    rate: float = RATE

    def common(self) -> list[str]:
        """Return the options that all have."""
        return ["--port", str(self.port), "--rate", str(self.rate), "--hold"]


def _python(module: str) -> Callable[[Options], list[str]]:
    def command(options: Options) -> list[str]:
        size = ["--size", str(options.size)] if options.size else []
        return [sys.executable, "-m", f"benches.peers.{module}", *options.common(), *size]

    return command


def _limit(options: Options) -> list[str]:
    size = ["--frame-bytes", str(options.frame_bytes)]
    how = ["--program", str(options.program)] if options.program else ["--python"]
    module = "benches.peers.bare_epoll"
    return [sys.executable, "-m", module, *options.common(), *size, *how]


def _node(options: Options) -> list[str]:
    size = ["--size", str(options.size)] if options.size else []
    return ["node", str(HERE / "peers" / "node_ws.mjs"), *options.common(), *size]


def _no_picows() -> str | None:
    return None if importlib.util.find_spec("picows") else "picows is not installed"


def _no_node() -> str | None:
    if shutil.which("node") is None:
        return "there is no node"
    if not (HERE / "node_modules" / "ws").is_dir():
        return "ws is not installed (npm install --no-save --prefix benches ws)"
    return None


SERVERS = [
    Server(LIMIT, "the limit: bare `send`", _limit),
    Server(OURS, "**ticker**", _python("ticker_server"), ours=True),
    Server("picows", "picows", _python("picows_server"), deflates=False, missing=_no_picows),
    Server("node-ws", "Node `ws`", _node, deflates=False, missing=_no_node),
    Server("websockets", "`websockets.broadcast`", _python("websockets_broadcast")),
    Server("fastapi", "FastAPI, one `send_text` after the other", _python("fastapi_sequential")),
    Server("fastapi-gather", "FastAPI, `asyncio.gather` over all", _python("fastapi_gather")),
]


@contextlib.contextmanager
def running(
    server: Server, options: Options, core: int, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server on its core; it is ended in any case. What it logs is kept in ``log``."""
    free = os.sched_getaffinity(0)
    with log.open("w+b") if log else tempfile.TemporaryFile() as words:
        os.sched_setaffinity(0, {core})  # inherited, by all its threads
        try:
            process = subprocess.Popen(
                server.command(options), stdout=subprocess.DEVNULL, stderr=words
            )
        finally:
            os.sched_setaffinity(0, free)
        try:
            if not _listens(process, options.port):
                words.seek(0)
                raise RuntimeError(f"{server.name} does not start: {words.read()[-2000:].decode()}")
            time.sleep(0.5)
            yield process
        finally:
            process.kill()
            process.wait()


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a server takes connections; return whether it does."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port)).close()
            return True
        time.sleep(0.05)
    return False


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def choose(names: str | None) -> list[Server]:
    """Return the servers of a list of names, those that can run; the limit is always first."""
    wanted = set(names.split(",")) if names else {server.name for server in SERVERS}
    unknown = wanted - {server.name for server in SERVERS}
    if unknown:
        raise SystemExit(
            f"no server '{min(unknown)}'; there are {', '.join(s.name for s in SERVERS)}"
        )
    chosen = []
    for server in SERVERS:
        if server.name in wanted | {LIMIT}:
            why = server.missing()
            if why:
                print(f"{server.name} is left out: {why}")
            else:
                chosen.append(server)
    return chosen


def payload_bytes(frame: float) -> int:
    """Return the payload of a frame of so many bytes."""
    return round(frame) - (2 if frame < 128 else 4)
