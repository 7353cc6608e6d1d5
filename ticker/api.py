"""The HTTP addresses for programs: boards, their history, feeds, events, health."""

from __future__ import annotations

from collections.abc import Container, Sequence
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.security import HTTPBearer
from starlette.requests import ClientDisconnect

from ticker import __version__, configfile, events
from ticker.config import PushFeed
from ticker.feeds.push import JSON, LINES, Refused
from ticker.frame import Frame
from ticker.live import LiveBoard
from ticker.packer import Packer
from ticker.page import best, listed
from ticker.protocol import BoardName
from ticker.pushes import Pushes
from ticker.turns import Full, Line

if TYPE_CHECKING:
    from ticker.runtime import Ticker

HISTORY_ROWS = 200
"""Most rows in one answer of history: more than a page shows at once."""

LATER = {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
"""What is refused with these may be pushed again a moment later."""

HISTORIES_WAITING = 1_000
"""Requests for history that may wait for those before: one at a time is answered."""

ROW_SECONDS = 0.0005
"""What telling the past of a row takes, about."""

COMPRESS_FROM = 1_000
"""Shorter answers fit into a packet as they are."""


def bearer_token(name: str, description: str) -> Any:
    """Return what declares that an address heeds a token; who judges it is `Access`."""
    scheme = HTTPBearer(scheme_name=name, description=description, auto_error=False)
    return Depends(scheme)


VIEWER = bearer_token("viewer", "A viewer's token, where the config wants one")
ADMIN = bearer_token("admin", "An admin's token")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the declaration of answers that say in `detail` what is wrong."""
    schema = {"type": "object", "required": ["detail"], "properties": {"detail": {}}}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {JSON: {"schema": schema}}}
        for status in statuses
    }


def body(**schemas: dict[str, Any]) -> dict[str, Any]:
    """Return the declaration of a body that the address reads by itself, by media type."""
    content = {media: {"schema": schema} for media, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


def add_routes(app: FastAPI, ticker: Ticker) -> None:
    """Add the HTTP addresses."""
    packer, histories = Packer(), Line(HISTORIES_WAITING)

    @app.get("/api/boards", dependencies=[VIEWER], responses=problems(401))
    async def boards(request: Request, response: Response) -> dict[str, Any]:
        """List the boards that the viewer may watch."""
        may = ticker.access.viewer(request)
        response.headers["cache-control"] = "no-cache"
        boards = ticker.boards.values()
        return {"boards": [live.wire() for live in boards if may.allows(live.name)]}

    @app.get(
        "/api/boards/{name}",
        response_model=None,
        dependencies=[VIEWER],
        responses={304: {"description": "What the viewer has"}, **problems(401, 403, 404)},
    )
    async def board(name: str, request: Request) -> Response:
        """Return a board's snapshot message; 304 where the viewer has it already."""
        ticker.access.board(request, name)
        live = ticker.boards.get(name)
        if live is None:
            return _problem(404, f"no board '{name[:64]}'")
        headers = {"etag": live.etag, "cache-control": "no-cache"}
        tags = listed(request.headers.get("if-none-match", ""))
        known = [tag.removeprefix("W/") for tag in tags]
        if (live.etag in known or "*" in known) and not live.told_since_flush:
            return Response(status_code=304, headers=headers)
        return await _answer(request, live.snapshot(), headers, packer)

    @app.get(
        "/api/boards/{name}/history",
        response_model=None,
        dependencies=[VIEWER],
        responses=problems(400, 401, 403, 404, 503),
    )
    async def history(
        name: str,
        request: Request,
        symbols: Annotated[list[str] | None, Query()] = None,
        points: Annotated[int | None, Query(ge=2, le=2000)] = None,
    ) -> Response:
        """Return the history of a board's rows."""
        ticker.access.board(request, name)
        live = ticker.boards.get(name)
        if live is None:
            return _problem(404, f"no board '{name[:64]}'")
        rows = live.board.snapshot().rows
        asked = islice(rows, HISTORY_ROWS) if symbols is None else _symbols(symbols, rows)
        wanted = list(asked)
        if len(wanted) > HISTORY_ROWS:
            return _problem(400, f"at most {HISTORY_ROWS} symbols at once, got {len(wanted)}")
        address = ticker.access.address_of(request)
        try:
            async with histories.place(address):
                body = await _history(ticker, address, live, wanted, points)
                return await _answer(request, body, {"cache-control": "no-cache"}, packer)
        except Full:
            return _problem(503, "too many ask for history", {"retry-after": "1"})

    @app.get("/api/feeds", dependencies=[VIEWER], responses=problems(401))
    async def feeds(request: Request, response: Response) -> dict[str, Any]:
        """Say how every feed is that fills a board of the viewer's, and how the config is."""
        may = ticker.access.viewer(request)
        response.headers["cache-control"] = "no-cache"
        known, told_by = await ticker.reports.feeds(ticker.settings)
        told = {
            name: {**feed, "boards": list(filter(may.allows, feed["boards"]))}
            for name, feed in known.items()
            if may.boards is None or any(map(may.allows, feed["boards"]))
        }
        return {"feeds": told, "config": ticker.reloads.wire(), **told_by}

    @app.get("/api/status", dependencies=[ADMIN], responses=problems(401, 403))
    async def status(request: Request) -> dict[str, Any]:
        """Say everything at once, for people who run it."""
        ticker.access.operations(request)
        return await ticker.status()

    @app.post(
        "/api/feeds/{name}",
        response_model=None,
        dependencies=[bearer_token("feed", "A token of the feed")],
        responses=problems(400, 401, 403, 404, 408, 413, 415, 422, 429, 503),
        openapi_extra=body(**{JSON: {}, LINES: {"type": "string"}}),
    )
    async def push(name: str, request: Request, *, complete: bool = False) -> Response:
        """Take in what somebody pushes to a feed."""
        settings = ticker.settings.feeds.get(name)
        if not isinstance(settings, PushFeed):
            return _problem(404, f"no feed '{name[:64]}' to push to")
        ticker.access.demand(request, settings.tokens, "a token of this feed")
        return await _take_in(ticker.pushes, name, settings, request, complete=complete)

    @app.get("/api/you")
    async def you(request: Request, response: Response) -> dict[str, Any]:
        """Say how this server sees who asks: what proxies in between passed on."""
        response.headers["cache-control"] = "no-store"
        address = ticker.access.address_of(request)
        told = ",".join(request.headers.getlist("x-forwarded-for"))
        used = address in map(str.strip, told.split(","))
        return {
            "address": address,
            "host": request.headers.get("host"),
            "forwarded": ("used" if used else "ignored") if told else "absent",
        }

    @app.get(
        "/events",
        response_model=None,
        dependencies=[VIEWER],
        responses={
            200: {"content": {"text/event-stream": {}}, "description": "The messages"},
            **problems(401, 403, 404, 429, 503),
        },
    )
    async def event_stream(
        request: Request,
        board: Annotated[list[BoardName], Query(min_length=1)],
        last_event_id: Annotated[str | None, Header()] = None,
    ) -> Response:
        """Send the messages of boards as Server-Sent Events."""
        board = list(dict.fromkeys(board))
        entry = ticker.access.admit(request, ticker.hub, board)
        unknown = [name for name in board if entry.may.allows(name) and name not in ticker.boards]
        if unknown:
            return _problem(404, f"no board '{unknown[0][:64]}'")
        return StreamingResponse(
            events.stream(ticker.hub, ticker.access, entry, board, last_event_id),
            media_type="text/event-stream",
            headers={"cache-control": "no-store", "x-accel-buffering": "no"},
        )

    @app.get(
        "/metrics",
        response_model=None,
        dependencies=[ADMIN],
        responses={
            200: {"content": {"text/plain": {}}, "description": "All that is counted"},
            **problems(401, 403),
        },
    )
    async def metrics(request: Request) -> Response:
        """Tell Prometheus everything that is counted."""
        ticker.access.operations(request)
        accept = ",".join(listed(request.headers.get("accept", "")))
        body, media_type = await ticker.metrics.exposition(accept)
        return await _answer(request, body, {"cache-control": "no-store"}, packer, media_type)

    @app.get("/healthz")
    async def healthz(request: Request) -> dict[str, Any]:
        """Say that the process lives, and how well: viewers, and how late its loop is."""
        lives = {"status": "ok", "version": __version__}
        if not ticker.access.operates(request):
            return lives
        return {
            **lives,
            "viewers": len(ticker.hub.viewers),
            "closed": ticker.hub.closed,
            "loop_lag": ticker.lag.wire(),
        }

    @app.get("/readyz", response_model=None, responses={503: {"description": "Not now, and why"}})
    async def readyz(request: Request) -> Response:
        """Say whether viewers may come, and why not."""
        waiting = ticker.unready()
        status = "draining" if ticker.hub.draining else "waiting" if waiting else "ready"
        body: dict[str, Any] = {"status": status}
        if ticker.access.operates(request):
            body["waiting"] = waiting  # names boards and feeds
        return JSONResponse(body, status_code=503 if waiting else 200)

    schema = configfile.json_schema()

    @app.get("/config.schema.json")
    async def config_schema() -> dict[str, Any]:
        """Return the JSON Schema of the config file."""
        return schema


async def _take_in(
    pushes: Pushes, name: str, settings: PushFeed, request: Request, *, complete: bool
) -> Response:
    """Give a request's body to a feed, piece by piece, and say what became of it."""
    headers = request.headers
    size = headers.get("content-length", "")
    try:
        told = await pushes.take_in(
            name,
            settings,
            request.stream(),
            media=headers.get("content-type", "").partition(";")[0].strip().lower(),
            encoding=headers.get("content-encoding", "").strip().lower(),
            size=int(size) if size.isdecimal() else None,
            complete=complete,
        )
    except Refused as refused:
        later = {"retry-after": "1"} if refused.status in LATER else None
        return _problem(refused.status, refused.why, later)
    except ClientDisconnect:
        return _problem(400, "the body breaks off")
    return JSONResponse(told)


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)


def _symbols(asked: Sequence[str], rows: Container[str]) -> dict[str, None]:
    """Return each symbol that is asked for once: a symbol as it is, other text split at commas."""
    parts = (part for text in asked for part in ([text] if text in rows else text.split(",")))
    return dict.fromkeys(filter(None, parts))


async def _history(
    ticker: Ticker, address: str, live: LiveBoard, symbols: Sequence[str], points: int | None
) -> bytes:
    """Return the history of rows, row by row: a long one takes a millisecond."""
    found: dict[str, orjson.Fragment] = {}
    for symbol in symbols:
        await ticker.turns.take(address, ROW_SECONDS)
        history = live.history_of(symbol, points)
        if history is not None:
            found[symbol] = orjson.Fragment(orjson.dumps(history))
    return orjson.dumps(
        {
            "board": live.name,
            "epoch": live.epoch,
            "seq": live.seq,
            "at": live.at,
            "field": live.history.field if live.history else None,
            "rows": found,
        }
    )


async def _answer(
    request: Request,
    body: bytes | Frame,
    headers: dict[str, str],
    packer: Packer,
    media_type: str = JSON,
) -> Response:
    """Return a text, compressed where that is worth it and the client accepts it."""
    headers["vary"] = "accept, accept-encoding" if media_type != JSON else "accept-encoding"
    coding = best(request.headers.get("accept-encoding", ""), ["gzip"])
    content = body.text if isinstance(body, Frame) else body
    if len(content) >= COMPRESS_FROM and coding == "gzip":
        packing = packer.frame(body) if isinstance(body, Frame) else packer.packed(body)
        content = await packing
        headers["content-encoding"] = "gzip"
        if "etag" in headers:  # other bytes of the same state (RFC 9110, 8.8.3)
            headers["etag"] = f"W/{headers['etag']}"
    return Response(content, media_type=media_type, headers=headers)
