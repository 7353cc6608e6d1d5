"""A running server, sources that follow a script, and a browser, for the tests of the page."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

ROOT = Path(__file__).parents[2]
READY_SECONDS = 20.0
STOP_SECONDS = 10.0
CHROMIUM_ARGS = [
    "--no-sandbox",  # containers have no user namespaces
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class ScriptedSource:
    """A third-party API on this machine that says what the test wants.

    ``rows`` is the document, or a function that makes a new one for each request; ``status`` is
    the HTTP status of the next answers.
    """

    def __init__(self, rows: Any) -> None:
        self.rows = rows
        self.status = 200
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._server.server_port}/rows"

    def feed(self, **settings: Any) -> dict[str, Any]:
        """Return the config of a feed that polls it often and comes back soon after failures."""
        names = ("name", "last", "change", "change_pct", "volume")
        return {
            "kind": "poll",
            "every": "200ms",
            "url": self.url,
            "fields": {name: name for name in names},
            "required": [],
            "stale_after": "1s",
            "backoff_max": "300ms",
            **settings,
        }

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        source = self

        class Handler(BaseHTTPRequestHandler):
            """Answers every GET with the source's rows."""

            def do_GET(self) -> None:
                """Answer with what the source says now."""
                rows = source.rows() if callable(source.rows) else source.rows
                body = json.dumps(rows).encode()
                self.send_response(source.status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name
                """Say nothing."""

        return Handler


class RunningServer:
    """``ticker serve`` as a process of its own, on one port that outlives a restart."""

    def __init__(self, config: Path, log: Path | None = None) -> None:
        self._config = config
        self._log = log or config.with_suffix(".log")
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self.port}/"

    def configure(self, feeds: dict[str, Any], boards: dict[str, Any], **more: Any) -> None:
        """Write its config, which it follows while it runs."""
        configure(self._config, feeds, boards, **more)

    def write(self, text: str) -> None:
        """Write its config as it is, mistakes and all."""
        self._config.write_text(text)

    def start(self) -> None:
        """Start it and wait until it answers."""
        address = ["--host", "127.0.0.1", "--port", str(self.port)]
        command = [sys.executable, "-m", "ticker", "serve", "--config", str(self._config), *address]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        self.wait_for("healthz")

    def wait_for(self, path: str) -> None:
        """Wait for a 200 at ``path``: ``healthz`` once it runs, ``readyz`` once it has rows."""
        deadline = time.monotonic() + READY_SECONDS
        while not self._answers(path):
            if self._process is None or self._process.poll() is not None:
                pytest.fail(f"the server ended:\n{self._log.read_text()}")
            if time.monotonic() > deadline:
                pytest.fail(f"no 200 at {path} in time:\n{self._log.read_text()}")
            time.sleep(0.05)  # between two looks; the deadline is above

    def stop(self) -> None:
        """End it by its own handle, as an operator would."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            pytest.fail(f"the server did not stop in {STOP_SECONDS:g} s")
        finally:
            self._process = None

    def kill(self) -> None:
        """End it as a crash does: ``kill -9``."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    def _answers(self, path: str) -> bool:
        try:
            with urllib.request.urlopen(self.url + path, timeout=1) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def configure(
    config: Path,
    feeds: dict[str, Any],
    boards: dict[str, Any],
    server: dict[str, Any] | None = None,
    **more: Any,
) -> None:
    """Write a config with some feeds and boards, keys of ``server``, and ``more`` sections.

    Nothing is kept over a restart unless ``more`` says where.
    """
    settings = {"server": {"heartbeat": "1s", **(server or {})}, "store": "off", **more}
    config.write_text(json.dumps({**settings, "feeds": feeds, "boards": boards}))  # YAML, too


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Complaints(list[str]):
    """What the browser complained about: console errors, refused content, exceptions."""

    def watch(self, page: Page) -> None:
        """Collect the complaints of ``page``."""
        page.on("console", self._console)
        page.on("pageerror", lambda error: self.append(str(error)))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.append(message.text)


@pytest.fixture
def source() -> Iterator[Callable[[Any], ScriptedSource]]:
    """Return a function that starts a scripted source."""
    sources: list[ScriptedSource] = []

    def start(rows: Any) -> ScriptedSource:
        sources.append(ScriptedSource(rows))
        return sources[-1]

    yield start
    for started in sources:
        started.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., RunningServer]]:
    """Return a function that runs a server with some feeds and boards."""
    servers: list[RunningServer] = []

    def start(feeds: dict[str, Any], boards: dict[str, Any], **more: Any) -> RunningServer:
        config = tmp_path / f"config{len(servers)}.yaml"
        configure(config, feeds, boards, **more)
        servers.append(RunningServer(config))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def executable() -> str | None:
    """Return the Chromium to use; None is Playwright's own."""
    return os.environ.get("TICKER_CHROMIUM") or shutil.which("chromium")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return Chromium, kept no longer than a module: its event loop would be in others' way."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable(), args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture
def complaints() -> Complaints:
    """Return the list of what the browser complained about; a test may clear what it expects."""
    return Complaints()


@pytest.fixture
def new_page(browser: Browser, complaints: Complaints) -> Iterator[Callable[..., Page]]:
    """Return a function that opens a page with options of a browser context.

    At the end of the test there must be no complaint.
    """
    contexts: list[BrowserContext] = []

    def open_page(**options: Any) -> Page:
        context = browser.new_context(locale="en-US", **options)
        contexts.append(context)
        page = context.new_page()
        complaints.watch(page)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def page(new_page: Callable[..., Page]) -> Page:
    """Return a page in a window of usual size."""
    return new_page(viewport={"width": 1280, "height": 800})
