"""The application: wires feeds, boards, hub and page together, and serves HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from ticker import __version__, admin, api, logs
from ticker.configfile import Loaded
from ticker.headers import SecurityHeaders, security_headers
from ticker.reload import Reloader
from ticker.runtime import Ticker
from ticker.tasks import end
from ticker.websocket import WebSocketEndpoint

log = logging.getLogger(__name__)


def create_app(loaded: Loaded) -> FastAPI:
    """Return the application for a config; ``app.state.ticker`` is what runs in it.

    ``app.state.reloader`` follows the file that the config is from, if it is from one.
    """
    settings = loaded.settings
    ticker = Ticker(settings, loaded.store)
    reloader = Reloader(ticker, loaded)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        async with ticker.running():
            forever = reloader.watch_forever(), reloader.heed_forever()
            tasks = [asyncio.create_task(coroutine) for coroutine in forever]
            yield {"turns": ticker.turns, "strangers": ticker.strangers}  # for the protocols
            await end(tasks)

    app = App(
        title="ticker",
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # loads scripts from elsewhere
        redoc_url=None,
    )
    app.state.ticker, app.state.reloader = ticker, reloader
    app.state.live = WebSocketEndpoint(ticker.hub, ticker.access, ticker.turns)
    app.state.headers = security_headers(settings.server.origins)
    if settings.server.origins:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.server.origins, allow_headers=["authorization"]
        )
    api.add_routes(app, ticker)
    app.include_router(admin.router(ticker, reloader))
    app.add_route("/{path:path}", ticker.page.respond, methods=["GET", "HEAD"])
    return app


class App(FastAPI):
    """FastAPI with a short cut: the live endpoint is a bare ASGI application in front of it.

    A route of FastAPI and what lies before it cost more than all else of a connection.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve ``/ws`` directly, everything else as FastAPI does; each with an id."""
        send = logs.identified(scope, send)
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            await self.state.live(scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    def build_middleware_stack(self) -> Any:
        """Return what every request goes through, the headers outermost: errors have them, too."""
        return SecurityHeaders(super().build_middleware_stack(), self.state.headers)
