"""What the service manager is told, over a real socket."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.support import Handler, serving, source, until
from tests.test_cli import free_port, started
from tests.test_drain import SLOW
from ticker import notify

CONFIG = """
server: {port: %d}
feeds:
  coins: {kind: poll, every: 60s, timeout: 50s, url: "%s/t", fields: {last: last}}
boards:
  b: {feeds: [coins]}
"""


@pytest.fixture(params=["path", "abstract"])
def manager(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[socket.socket]:
    """Return the manager's end of NOTIFY_SOCKET."""
    address = str(tmp_path / "n") if request.param == "path" else f"@ticker-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address.replace("@", "\0"))
        listener.settimeout(SLOW)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        yield listener


def heard(manager: socket.socket) -> str:
    """Return the next thing that the manager is told."""
    return manager.recv(1000).decode()


def test_the_manager_follows_the_life_of_the_program(
    manager: socket.socket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ready once the first reading is there, alive from then on, and stopping at the end."""
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    answer = threading.Event()

    def respond(handler: Handler) -> None:
        answer.wait(SLOW)
        handler.answer(200, b'[{"symbol": "A", "last": 1}]')

    port = free_port()
    with source() as upstream:
        upstream.script["/t"] = respond
        (tmp_path / "config.yaml").write_text(CONFIG % (port, upstream.url))
        with started("serve", cwd=tmp_path) as process:
            until(lambda: upstream.asked("/t"), what="the first reading", patience=SLOW)
            assert httpx.get(f"http://127.0.0.1:{port}/readyz").status_code == 503
            manager.setblocking(False)
            with pytest.raises(BlockingIOError):
                heard(manager)
            manager.settimeout(SLOW)
            answer.set()
            assert [heard(manager) for _ in range(3)] == ["READY=1", "WATCHDOG=1", "WATCHDOG=1"]
            process.send_signal(signal.SIGTERM)
            while (said := heard(manager)) == "WATCHDOG=1":
                pass
            assert said == "STOPPING=1"
            assert process.wait(SLOW) == 0


def test_a_reload_is_told_once_viewers_may_come(manager: socket.socket, tmp_path: Path) -> None:
    """Before that "ready" would be a lie; what cannot be loaded is told to be over, too."""
    answer = threading.Event()

    def respond(handler: Handler) -> None:
        answer.wait(SLOW)
        handler.answer(200, b'[{"symbol": "A", "last": 1}]')

    with source() as upstream:
        upstream.script["/t"] = respond
        config = tmp_path / "config.yaml"
        config.write_text(CONFIG % (1, upstream.url))
        with serving(config) as server:
            until(lambda: upstream.asked("/t"), what="the first reading")
            config.write_text(CONFIG % (2, upstream.url))
            until(lambda: server.ticker.reloads.ok == 1, what="a reload")
            answer.set()
            assert heard(manager) == "READY=1"
            for text in (CONFIG % (3, upstream.url), "feeds: {"):
                config.write_text(text)
                assert heard(manager).startswith("RELOADING=1")
                assert heard(manager) == "READY=1"
        assert heard(manager) == "STOPPING=1"


def test_a_reload_is_told(manager: socket.socket) -> None:
    """With the time at which it began, as systemd wants it, and its end."""
    notify.reloading()
    notify.ready()
    words = heard(manager).splitlines()
    assert words[0] == "RELOADING=1"
    assert words[1].removeprefix("MONOTONIC_USEC=").isdecimal()
    assert heard(manager) == "READY=1"


@pytest.mark.parametrize("address", ["", "/nowhere/at/all", "@nobody-listens", "vsock:1:2"])
def test_without_a_manager_nothing_happens(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor with one that does not listen."""
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    notify.ready()


def test_a_manager_that_reads_nothing_holds_up_nobody(manager: socket.socket) -> None:
    """When its buffer is full, words are dropped."""
    for _ in range(10_000):
        notify.ready()
    assert heard(manager) == "READY=1"


@pytest.mark.parametrize(
    ("usec", "pid", "seconds"),
    [
        (None, None, 0.0),
        ("20000000", None, 10.0),
        ("20000000", "own", 10.0),
        ("20000000", "1", 0.0),
        ("x", None, 0.0),
    ],
)
def test_the_watchdog_is_told_where_it_asks_us(
    usec: str | None, pid: str | None, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice as often as it must; another process of the service is meant by another id."""
    for name, value in (("WATCHDOG_USEC", usec), ("WATCHDOG_PID", pid)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value.replace("own", str(os.getpid())))
    assert notify.watchdog_seconds() == seconds
