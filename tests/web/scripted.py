"""A server that says what a test wants, inside the browser: its files, its lists, its socket."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import Page, Route, WebSocketRoute

WEB = Path(__file__).parents[2] / "web"
SITE = "http://ticker.test/"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
COLUMNS = [{"field": "last", "label": "Last", "kind": "price"}]
ROWS = {"AAPL": {"last": 190.0}, "MSFT": {"last": 411.0}}


class ScriptedServer:
    """Serves the page, and answers its viewer.

    ``boards`` are titles by name; ``answers`` are status and document by path; ``sent`` are the
    messages of the viewer, ``links`` the addresses of its connections, ``asked`` its requests by
    path with their headers, ``histories`` the queries of those for the past of rows.
    """

    def __init__(self, page: Page, boards: dict[str, str]) -> None:
        self.boards = boards
        self.answers: dict[str, tuple[int, Any]] = {}
        self.welcome: dict[str, Any] = {}
        self.refusal: int | None = None  # a close code
        self.sent: list[dict[str, Any]] = []
        self.links: list[str] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.histories: list[str] = []
        self._epochs = 0
        self._socket: WebSocketRoute | None = None
        page.route(SITE + "**", self._answer)
        page.route_web_socket("ws://ticker.test/**", self._connected)

    def say(self, **message: Any) -> None:
        """Send a message."""
        assert self._socket is not None
        self._socket.send(json.dumps(message))

    def snapshot(self, board: str = "stocks", **more: Any) -> None:
        """Send a snapshot of a new epoch."""
        self._epochs += 1
        facts = {"epoch": f"e{self._epochs}", "seq": 1, "at": 1_763_629_000_123, "feeds": {}}
        message = {"layout": "quotes", "columns": COLUMNS, "rows": ROWS, **facts, **more}
        title = more.get("title", self.boards.get(board, board))
        self.say(type="snapshot", board=board, **{**message, "title": title})

    def close(self, code: int) -> None:
        """End the connection."""
        assert self._socket is not None
        self._socket.close(code=code)

    def subscribes(self, board: str) -> int:
        """Return how often the viewer asked for a board on open connections."""
        wanted = {"type": "subscribe", "board": board}
        return sum(wanted.items() <= message.items() for message in self.sent)

    def _answer(self, route: Route) -> None:
        request = route.request
        path = urlsplit(request.url).path.removeprefix("/")
        self.asked.append((path, request.headers))
        file = WEB / (path or "index.html")
        headers = {"content-security-policy": POLICY}
        if path in self.answers:
            status, document = self.answers[path]
            route.fulfill(status=status, json=document, headers=headers)
        elif path == "api/boards":
            boards = [{"name": name, "title": title} for name, title in self.boards.items()]
            route.fulfill(json={"boards": boards})
        elif path.endswith("/history"):
            self.histories.append(urlsplit(request.url).query)
            route.fulfill(json={"rows": {}})
        elif file.is_file():
            route.fulfill(path=file, headers=headers)
        elif (html := file.with_name(f"{file.name}.html")).is_file():
            route.fulfill(path=html, headers=headers)
        else:
            route.fulfill(status=404, json={"detail": "nothing here"})

    def _connected(self, socket: WebSocketRoute) -> None:
        self.links.append(socket.url)
        self._socket = socket
        if self.refusal is not None:
            socket.close(code=self.refusal)
            return
        socket.on_message(self._heard)
        welcome = {"protocol": 1, "viewer": "v", "heartbeat": 60, "boards": list(self.boards)}
        self.say(type="welcome", **{**welcome, **self.welcome})
        for board in parse_qs(urlsplit(socket.url).query).get("board", []):
            self._subscribed(board)

    def _heard(self, text: str | bytes) -> None:
        message = json.loads(text)
        self.sent.append(message)
        if message["type"] == "subscribe":
            self._subscribed(message["board"])
        if message["type"] == "ping":
            self.say(type="pong", at=1_763_629_000_123)

    def _subscribed(self, board: str) -> None:
        if board in self.boards:
            self.snapshot(board)
        else:
            self.say(type="error", code="unknown_board", board=board, message=f"no board '{board}'")
