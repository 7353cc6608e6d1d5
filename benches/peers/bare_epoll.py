"""The limit: epoll, frames built once, a bare `send` to every connection.

It runs in C (`bare_epoll.c`) where there is a compiler, otherwise here, in Python.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import hashlib
import os
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_suffix(".c")
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def compile_c(directory: Path) -> Path | None:
    """Compile the program into ``directory``; None where that is not possible."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or not hasattr(select, "epoll"):
        return None
    program = directory / "bare_epoll"
    command = [compiler, "-O2", "-o", str(program), str(SOURCE)]
    done = subprocess.run(command, capture_output=True, check=False)
    return program if done.returncode == 0 else None


def framed(size: int) -> bytes:
    """Return a text frame whose payload has ``size`` bytes and says the time."""
    text = b'{"at":%d' % round(time.time() * 1000)
    text += b" " * (size - len(text) - 1) + b"}"
    if len(text) < 126:
        head = bytes((0x81, len(text)))
    elif len(text) < 65_536:
        head = bytes((0x81, 126)) + len(text).to_bytes(2, "big")
    else:
        head = bytes((0x81, 127)) + len(text).to_bytes(8, "big")
    return head + text


def answer(request: bytes) -> bytes:
    """Return the answer to an upgrade."""
    lines = request.split(b"\r\n")
    key = next(line[18:].strip() for line in lines if line.lower().startswith(b"sec-websocket-key"))
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )


class Limit:
    """The same loop as in C."""

    def __init__(self, port: int, size: int) -> None:
        self._size = size
        self._poll = select.epoll()
        self._new: dict[int, tuple[socket.socket, bytes]] = {}
        self._viewers: dict[int, socket.socket] = {}
        self._listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self._listener.setblocking(False)
        self._poll.register(self._listener, select.EPOLLIN)

    def run(self, rate: float) -> None:
        """Serve until a signal."""
        due = time.monotonic()
        while True:
            for number, _ in self._poll.poll(max(0.0, due - time.monotonic())):
                if number == self._listener.fileno():
                    self._accept()
                else:
                    self._receive(number)
            if time.monotonic() >= due:
                due = max(due + 1 / rate, time.monotonic())
                if BEGUN:
                    self._broadcast()

    def _broadcast(self) -> None:
        frame = framed(self._size)
        for viewer in self._viewers.values():
            with contextlib.suppress(OSError):
                viewer.send(frame)

    def _accept(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                viewer, _ = self._listener.accept()
                viewer.setblocking(False)
                viewer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._new[viewer.fileno()] = viewer, b""
                self._poll.register(viewer, select.EPOLLIN)

    def _receive(self, number: int) -> None:
        new = self._new.get(number)
        viewer = new[0] if new else self._viewers[number]
        try:
            data = viewer.recv(4096)
        except OSError:
            data = b""
        if not data:
            self._new.pop(number, None)
            self._viewers.pop(number, None)
            viewer.close()
        elif new:
            request = new[1] + data
            if b"\r\n\r\n" not in request:
                self._new[number] = viewer, request
                return
            viewer.send(answer(request))
            viewer.send(framed(30))
            del self._new[number]
            self._viewers[number] = viewer


BEGUN: list[int] = []


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=10, help="ticks per second")
    parser.add_argument("--frame-bytes", type=int, default=240, help="bytes of a frame's payload")
    parser.add_argument("--hold", action="store_true", help="tick only after SIGUSR2")
    parser.add_argument("--program", type=Path, help="the compiled program, where there is one")
    parser.add_argument("--python", action="store_true", help="do not compile")
    given = parser.parse_args()
    program = given.program
    if program is None and not given.python:
        program = compile_c(Path(tempfile.mkdtemp(prefix="bare-epoll-")))
    if program is not None:
        numbers = [given.port, given.rate, given.frame_bytes, int(given.hold)]
        os.execv(program, [str(program), *map(str, numbers)])
    if not given.hold:
        BEGUN.append(1)
    signal.signal(signal.SIGUSR2, lambda *_: BEGUN.append(1))
    Limit(given.port, given.frame_bytes).run(given.rate)


if __name__ == "__main__":
    main()
