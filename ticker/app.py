"""The application: wires feeds, boards, hub and page together, and serves HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator, Container, Sequence
from gzip import compress
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.staticfiles import StaticFiles

from ticker import __version__, configfile, events
from ticker.config import Settings
from ticker.feeds.make import make
from ticker.history import History
from ticker.hub import Hub
from ticker.lag import LoopLag
from ticker.live import LiveBoard
from ticker.producer import Producer
from ticker.protocol import ms
from ticker.quality import Quality
from ticker.schedule import Schedule
from ticker.websocket import RETRY_AFTER, WebSocketEndpoint

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}

HISTORY_ROWS = 200
"""Most rows in one answer about the past: what a page shows, and a few milliseconds of work."""

COMPRESS_FROM = 1_000
"""Shorter answers fit into a packet as they are."""


class Ticker:
    """Everything that runs for one config, in the order in which it depends on each other."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.boards = {name: _board(settings, name) for name in settings.boards}
        server = settings.server
        self.hub = Hub(
            self.boards,
            heartbeat=server.heartbeat,
            stall_timeout=server.stall_timeout,
            max_viewers=server.max_viewers,
            boards_per_viewer=server.boards_per_viewer,
        )
        feeds = {name: (feed, make(feed)) for name, feed in settings.feeds.items()}
        self.producer = Producer(feeds, self.boards, self.hub)
        self.schedule = Schedule()
        self.lag = LoopLag()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read, publish and sweep until the end of the block."""
        forever = [self.producer.publish_forever(live) for live in self.boards.values()]
        forever += [self.producer.judge_forever(), self.hub.sweep_forever()]
        forever += [self.lag.measure_forever()]
        tasks = [asyncio.create_task(coroutine) for coroutine in forever]
        for name, feed in self.settings.feeds.items():
            self.schedule.add(name, feed.every, _tick(self.producer, name))
        self.schedule.start()
        try:
            yield
        finally:
            self.schedule.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.hub.close()
            await self.producer.close()

    def feeds(self) -> dict[str, Any]:
        """Return the health of every feed, as ``/api/feeds`` says it."""
        return {
            name: {
                **self.producer.wire(name),
                "next_run": ms(self.schedule.next_run(name)),
                "skipped": self.schedule.skipped(name),
            }
            for name in self.settings.feeds
        }

    def unready(self) -> dict[str, str]:
        """Return why viewers should not come yet: by board, empty when they may."""
        if self.hub.draining:
            return {"server": "draining"}
        waiting = {}
        for name, live in self.boards.items():
            unread = [
                f for f, s in live.feeds.items() if s.at is None and s.quality != Quality.DOWN
            ]
            if unread:
                waiting[name] = f"waiting for the first reading of {', '.join(unread)}"
        return waiting


def create_app(settings: Settings) -> FastAPI:
    """Return the application for ``settings``; ``app.state.ticker`` is what runs in it."""
    ticker = Ticker(settings)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with ticker.running():
            yield

    app = App(
        title="ticker",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.ticker = ticker
    app.state.live = WebSocketEndpoint(ticker.hub)
    app.add_middleware(SecurityHeaders)
    _add_api(app, ticker)
    app.mount("/", Page(directory=web_directory(), html=True), name="web")
    return app


class App(FastAPI):
    """FastAPI with a short cut: the live endpoint is a bare ASGI application in front of it.

    A route of FastAPI and what lies before it cost more than all else of a connection.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve ``/ws`` directly, everything else as FastAPI does."""
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            await self.state.live(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)


class Page(StaticFiles):
    """The page's files: always asked for, by ETag, so that old and new modules never mix."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """Return a file, or 304 when the browser has it."""
        response = super().file_response(*args, **kwargs)
        response.headers["cache-control"] = "no-cache"
        return response


class SecurityHeaders:
    """Adds the headers that every HTTP response has."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._headers = [(k.encode(), v.encode()) for k, v in SECURITY_HEADERS.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on; WebSockets without a look."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *self._headers]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_api(app: FastAPI, ticker: Ticker) -> None:
    """Add the HTTP addresses."""

    @app.get("/api/boards")
    async def boards() -> dict[str, Any]:
        """List the boards."""
        return {
            "boards": [
                {
                    "name": live.name,
                    "title": live.title,
                    "layout": live.layout,
                    "rows": len(live.board),
                    "epoch": live.epoch,
                    "seq": live.seq,
                    "quality": live.quality.value,
                    "feeds": list(live.feeds),
                }
                for live in ticker.boards.values()
            ]
        }

    @app.get("/api/boards/{name}", response_model=None)
    async def board(name: str, request: Request) -> Response:
        """Return a board's snapshot message; 304 where the viewer has it already."""
        live = ticker.boards.get(name)
        if live is None:
            return _problem(404, f"no board '{name[:64]}'")
        headers = {"etag": live.etag, "cache-control": "no-cache"}
        known = [
            tag.strip().removeprefix("W/")
            for tag in request.headers.get("if-none-match", "").split(",")
        ]
        if (live.etag in known or "*" in known) and not live.told_since_flush:
            return Response(status_code=304, headers=headers)
        return await _answer(request, live.snapshot().text, headers)

    @app.get("/api/boards/{name}/history", response_model=None)
    async def history(
        name: str,
        request: Request,
        symbols: Annotated[list[str] | None, Query()] = None,
        points: Annotated[int | None, Query(ge=2, le=2000)] = None,
    ) -> Response:
        """Return the past of a board's rows."""
        live = ticker.boards.get(name)
        if live is None:
            return _problem(404, f"no board '{name[:64]}'")
        rows = live.board.snapshot().rows
        asked = islice(rows, HISTORY_ROWS) if symbols is None else _symbols(symbols, rows)
        wanted = list(asked)
        if len(wanted) > HISTORY_ROWS:
            return _problem(400, f"at most {HISTORY_ROWS} symbols at once, got {len(wanted)}")
        body = orjson.dumps(live.past(wanted, points))
        return await _answer(request, body, {"cache-control": "no-cache"})

    @app.get("/api/feeds")
    async def feeds() -> dict[str, Any]:
        """Say how every feed is."""
        return {"feeds": ticker.feeds()}

    @app.get("/events", response_model=None)
    async def event_stream(
        board: Annotated[list[str], Query(min_length=1)],
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Send the messages of boards as Server-Sent Events."""
        unknown = [name for name in board if name not in ticker.boards]
        if unknown:
            return _problem(404, f"no board '{unknown[0][:64]}'")
        if ticker.hub.full:
            return _problem(503, "no place for another viewer", {"retry-after": str(RETRY_AFTER)})
        return StreamingResponse(
            events.stream(ticker.hub, board, last_event_id),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    @app.get("/healthz")
    async def healthz() -> dict[str, Any]:
        """Say that the process lives, and how well: viewers, and how late its loop is."""
        return {
            "status": "ok",
            "version": __version__,
            "viewers": len(ticker.hub.viewers),
            "closed": ticker.hub.closed,
            "loop_lag": ticker.lag.wire(),
        }

    @app.get("/readyz", response_model=None)
    async def readyz() -> Response:
        """Say whether viewers may come, and why not."""
        waiting = ticker.unready()
        status = "waiting" if waiting else "ready"
        body = {"status": status, "waiting": waiting}
        return JSONResponse(body, status_code=503 if waiting else 200)

    schema = configfile.json_schema()

    @app.get("/config.schema.json")
    async def config_schema() -> dict[str, Any]:
        """Return the JSON Schema of the config file."""
        return schema


def web_directory() -> Path:
    """Return where the page is: inside the installed package, or beside it in a checkout."""
    installed = Path(str(resources.files("ticker"))) / "web"
    return installed if installed.is_dir() else installed.parent.parent / "web"


def _board(settings: Settings, name: str) -> LiveBoard:
    board = settings.boards[name]
    tracked = settings.tracked(name)
    return LiveBoard(
        name,
        epoch=secrets.token_hex(4),
        title=board.title or name.replace("-", " ").replace("_", " ").capitalize(),
        layout=board.layout,
        columns=[
            column.model_dump(mode="json", exclude_none=True) for column in settings.columns(name)
        ],
        feeds=board.feeds,
        flush_interval=board.flush,
        history=History(tracked, board.history) if tracked else None,
    )


def _tick(producer: Producer, name: str) -> Any:
    async def tick() -> float | None:
        return await producer.tick(name)

    return tick


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def _symbols(asked: Sequence[str], rows: Container[str]) -> dict[str, None]:
    """Return each symbol that is asked for once: a symbol as it is, other text split at commas."""
    parts = (part for text in asked for part in ([text] if text in rows else text.split(",")))
    return dict.fromkeys(filter(None, parts))


async def _answer(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """Return JSON, compressed where that is worth it and the client accepts it."""
    headers["vary"] = "accept-encoding"
    if len(body) >= COMPRESS_FROM and _accepts_gzip(request.headers.get("accept-encoding", "")):
        # in a thread: a large document must not hold up the viewers
        body = await asyncio.to_thread(compress, body, 5, mtime=0)
        headers["content-encoding"] = "gzip"
        if "etag" in headers:  # other bytes of the same state (RFC 9110, 8.8.3)
            headers["etag"] = f"W/{headers['etag']}"
    return Response(body, media_type="application/json", headers=headers)


def _accepts_gzip(accepted: str) -> bool:
    """Whether a client takes gzip: named, and not with a weight of 0 (RFC 9110, 12.5.3)."""
    codings = (coding.replace(" ", "").lower().split(";") for coding in accepted.split(","))
    return any(c[0] == "gzip" and c[1:] not in (["q=0"], ["q=0.0"]) for c in codings)
