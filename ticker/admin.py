"""The HTTP addresses for admins: the config, who watches, and notices to them."""

from __future__ import annotations

import logging
import secrets
import unicodedata
from heapq import nsmallest
from operator import attrgetter
from time import monotonic, time
from typing import TYPE_CHECKING, Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ticker.api import ADMIN, body, problems
from ticker.channel import in_turns
from ticker.config.parts import rule
from ticker.errors import TickerError
from ticker.feeds.push import JSON
from ticker.hub import Hub
from ticker.notices import Notice, TooManyNotices
from ticker.scalars import Duration
from ticker.viewer import Viewer

if TYPE_CHECKING:
    from ticker.reload import Reloader
    from ticker.runtime import Ticker

log = logging.getLogger(__name__)

LIMIT, LIMIT_MAX = 200, 1000
"""Viewers in one answer."""

BODY_MAX = 8_000
"""Longest request in bytes: a notice in any script."""

WEEK = 7 * 86_400.0
UNFIT = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that are no text of one line (Unicode, general categories)."""


def router(ticker: Ticker, reloader: Reloader) -> APIRouter:
    """Return the addresses for admins."""
    routes = APIRouter(
        dependencies=[ADMIN, Depends(ticker.access.admin)], responses=problems(401, 403, 404)
    )
    _add_reload(routes, reloader)
    _add_viewers(routes, ticker.hub)
    _add_notices(routes, ticker.hub)
    return routes


# -- the config


def _add_reload(routes: APIRouter, reloader: Reloader) -> None:
    @routes.post("/-/reload", response_model=None, responses=problems(422))
    async def reload() -> Response:
        """Read the config file again; say what has changed, or what is wrong with it."""
        try:
            changes = await reloader.reload()
        except TickerError as error:
            raise HTTPException(422, str(error)) from None
        return _json({"changes": list(changes.lines()), "pending": changes.pending})


# -- viewers


def _add_viewers(routes: APIRouter, hub: Hub) -> None:
    @routes.get("/api/viewers", response_model=None)
    async def viewers(
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
        after: Annotated[str, Query(max_length=64)] = "",
        board: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """List viewers in the order of their ids, those ``after`` an id."""
        if board is not None:
            _known(hub, board)
        return _json(await page_of(hub, limit, after, board))

    @routes.delete("/api/viewers/{viewer_id}", status_code=204)
    async def remove(viewer_id: str) -> None:
        """End a viewer, which is not to come back by itself."""
        viewer = hub.find(viewer_id)
        if viewer is None:
            raise HTTPException(404, f"no viewer '{viewer_id[:64]}'")
        hub.remove(viewer)


async def page_of(hub: Hub, limit: int, after: str = "", board: str | None = None) -> Any:
    """Return at most ``limit`` viewers, those after an id, and after which id to go on.

    The loop turns meanwhile: nobody waits for the list, however long it is.
    """
    found = [
        viewer
        async for viewer in in_turns(list(hub.viewers))
        if viewer.id > after and (board is None or board in viewer.watches)
    ]
    page = nsmallest(limit + 1, found, key=attrgetter("id"))
    now = monotonic()
    shown = [_wire(viewer, now) async for viewer in in_turns(page[:limit])]
    return {"viewers": shown, "next": page[limit - 1].id if len(page) > limit else None}


def _wire(viewer: Viewer, now: float) -> dict[str, Any]:
    """Return what admins see of a viewer; times in milliseconds, ``now`` is monotonic."""
    state = viewer.state
    behind = viewer.behind_since if state == "lagging" else None
    return {
        "id": viewer.id,
        "boards": list(viewer.watches),
        "address": viewer.address,
        "age": _ms(now - viewer.joined),
        "state": state,
        "lag": 0 if behind is None else _ms(now - behind),
        "bytes": viewer.connection.sent(),
        "transport": viewer.connection.kind,
        "compresses": viewer.connection.compresses,
    }


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


# -- notices


def _fit(text: str) -> str:
    if not text.strip() or any(unicodedata.category(c) in UNFIT for c in text):
        raise rule("expected one line of text, without control characters")
    return text


class NoticeRequest(BaseModel):
    """A notice as admins write it: to everybody, or to one board or one viewer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_fit)]
    level: Literal["info", "warning"] = "info"
    board: str | None = None
    viewer: str | None = None
    lasts: Annotated[Duration, Field(gt=0, le=WEEK, alias="for")] = 600.0

    @model_validator(mode="after")
    def _one_aim(self) -> NoticeRequest:
        if self.board is not None and self.viewer is not None:
            raise rule("expected a board or a viewer, not both")
        return self


def _add_notices(routes: APIRouter, hub: Hub) -> None:
    @routes.post(
        "/api/notices",
        status_code=201,
        responses=problems(409, 413, 422),
        openapi_extra=body(**{JSON: NoticeRequest.model_json_schema()}),
    )
    async def post(request: Request) -> Response:
        """Tell people something."""
        asked = await _asked(request)
        if asked.board is not None:
            _known(hub, asked.board)
        if asked.viewer is not None and hub.find(asked.viewer) is None:
            raise HTTPException(404, f"no viewer '{asked.viewer[:64]}'")
        at = round(time() * 1000)
        notice = Notice(
            secrets.token_hex(6),
            asked.text,
            asked.level,
            at,
            at + round(asked.lasts * 1000),
            asked.board,
            asked.viewer,
        )
        try:
            await hub.post(notice)
        except TooManyNotices as error:
            raise HTTPException(409, str(error)) from None
        log.info("notice %s to %s", notice.id, asked.board or asked.viewer or "everybody")
        return _json(notice.wire(), 201)

    @routes.get("/api/notices", response_model=None)
    async def notices() -> Response:
        """List the notices that are told, oldest first."""
        return _json({"notices": [notice.wire() for notice in hub.notices]})

    @routes.delete("/api/notices/{notice_id}", status_code=204)
    async def withdraw(notice_id: str) -> None:
        """Take a notice back."""
        if not await hub.withdraw(notice_id):
            raise HTTPException(404, f"no notice '{notice_id[:64]}'")
        log.info("notice %s is withdrawn", notice_id)


async def _asked(request: Request) -> NoticeRequest:
    """Return what a request asks for. Raises HTTPException in words.

    FastAPI would read bodies of any length, and before it asks who sends them.
    """
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_MAX:
            raise HTTPException(413, f"at most {BODY_MAX:,} bytes")
    try:
        return NoticeRequest.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = "".join(f"{part}: " for part in first["loc"])
        raise HTTPException(422, f"{where}{first['msg']}") from None


def _known(hub: Hub, board: str) -> None:
    """Raise HTTPException unless there is such a board."""
    if board not in hub.boards:
        raise HTTPException(404, f"no board '{board[:64]}'")


def _json(body: dict[str, Any], status: int = 200) -> Response:
    """Return an answer that nobody keeps: it is of the moment, and not for everybody."""
    headers = {"cache-control": "no-store"}
    return Response(orjson.dumps(body), status, headers, "application/json")
