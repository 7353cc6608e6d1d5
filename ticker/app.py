"""The application: wires feeds, boards, hub and page together, and serves HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from ticker import __version__, api
from ticker.access import Access
from ticker.config import Settings
from ticker.feeds.make import make
from ticker.history import History
from ticker.hub import Hub
from ticker.lag import LoopLag
from ticker.live import LiveBoard
from ticker.page import Page, web_directory
from ticker.producer import Producer
from ticker.protocol import ms
from ticker.quality import Quality
from ticker.schedule import Schedule
from ticker.websocket import WebSocketEndpoint

log = logging.getLogger(__name__)

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors "
)
"""Content-Security-Policy, but for who may put a page into a frame."""

SECURITY_HEADERS = {
    "content-security-policy": f"{POLICY}'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}
"""What every HTTP response has, unless it says something else itself."""


class Ticker:
    """Everything that runs for one config, in the order in which it depends on each other."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.boards = {name: _board(settings, name) for name in settings.boards}
        server = settings.server
        self.access = Access(settings.access)
        self.page = Page(web_directory(), _embedded(server.origins))
        self.hub = Hub(
            self.boards,
            heartbeat=server.heartbeat,
            stall_timeout=server.stall_timeout,
            max_viewers=server.max_viewers,
            boards_per_viewer=server.boards_per_viewer,
            presence=server.presence,
            page=self.page.version,
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
        forever += [self.hub.tell_viewers_forever(), self.lag.measure_forever()]
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
                f
                for f, s in live.feeds.items()
                if s.at is None
                and s.quality != Quality.DOWN
                and self.settings.feeds[f].kind != "push"  # which may come only when we are ready
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
    _add_headers(app, settings.server.origins)
    api.add_routes(app, ticker)
    app.add_route("/{path:path}", ticker.page.respond, methods=["GET", "HEAD"])
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


class SecurityHeaders:
    """Adds the headers that every HTTP response has, where it does not have its own."""

    def __init__(self, app: Any, headers: dict[str, str]) -> None:
        self._app = app
        self._headers = [(k.encode(), v.encode()) for k, v in headers.items()]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass everything on; WebSockets without a look."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = list(message.get("headers", []))
                named = {name for name, _ in own}
                message["headers"] = own + [h for h in self._headers if h[0] not in named]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _add_headers(app: FastAPI, origins: list[str]) -> None:
    """Add the headers of every response; ``origins`` are other sites that may read them all."""
    headers = dict(SECURITY_HEADERS)
    if origins:
        headers["cross-origin-resource-policy"] = "cross-origin"
        app.add_middleware(CORSMiddleware, allow_origins=origins)
    app.add_middleware(SecurityHeaders, headers=headers)  # outermost: also for preflights


def _embedded(origins: list[str]) -> dict[str, str]:
    """Return the headers of pages that are made for frames: here, and on sites of ``origins``."""
    return {
        "content-security-policy": POLICY + " ".join(["'self'", *origins]),
        "cross-origin-opener-policy": "unsafe-none",  # opened from a frame they stay related to it
    }


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
