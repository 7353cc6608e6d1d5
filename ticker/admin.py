"""The HTTP addresses for admins: the config, who watches, and notices to them."""

from __future__ import annotations

import logging
import secrets
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import TYPE_CHECKING, Annotated, Any

import orjson
from fastapi import APIRouter, Depends, HTTPException, Query, Request, Response
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import ClientDisconnect

from ticker.api import ADMIN, body, problems
from ticker.bus import BusError
from ticker.config.parts import rule
from ticker.feeds.push import JSON
from ticker.hub import Hub
from ticker.notices import Level, Notice, TooManyNotices, Words
from ticker.people import NotAllAnswered, People
from ticker.scalars import Duration

if TYPE_CHECKING:
    from ticker.reload import Reloader
    from ticker.runtime import Ticker

log = logging.getLogger(__name__)

LIMIT, LIMIT_MAX = 200, 1000
"""Viewers in one answer."""

BODY_MAX = 8_000
"""Longest request in bytes: a notice in any script."""

RETRY_AFTER = "2"
"""Seconds after which the bus, or a process that did not answer, may do so."""

WEEK = 7 * 86_400.0
UNFIT = {"Cc", "Cs", "Zl", "Zp"}
"""Kinds of characters that are no text of one line (Unicode, general categories)."""


def router(ticker: Ticker, reloader: Reloader) -> APIRouter:
    """Return the addresses for admins."""
    routes = APIRouter(
        dependencies=[ADMIN, Depends(ticker.access.admin)], responses=problems(401, 403, 404)
    )
    _add_reload(routes, reloader)
    _add_viewers(routes, ticker.hub, ticker.people)
    _add_notices(routes, ticker)
    return routes


# -- the config


def _add_reload(routes: APIRouter, reloader: Reloader) -> None:
    @routes.post("/-/reload", response_model=None, responses=problems(422))
    async def reload() -> Response:
        """Let every process read its config file again; say what has changed, or what is wrong."""
        told = await reloader.reload_everywhere()
        if "detail" in told:
            return _json(told, 422)
        return _json(told)


# -- viewers


def _add_viewers(routes: APIRouter, hub: Hub, people: People) -> None:
    @routes.get("/api/viewers", response_model=None)
    async def viewers(
        limit: Annotated[int, Query(ge=1, le=LIMIT_MAX)] = LIMIT,
        after: Annotated[str, Query(max_length=64)] = "",
        board: Annotated[str | None, Query(max_length=64)] = None,
    ) -> Response:
        """List viewers in the order of their ids, those ``after`` an id."""
        if board is not None:
            _known(hub, board)
        return _json(await people.page(limit, after, board))

    @routes.delete("/api/viewers/{viewer_id}", status_code=204, responses=problems(503))
    async def remove(viewer_id: str) -> None:
        """End a viewer, which is not to come back by itself."""
        with _asked_everywhere():
            found = await people.remove(viewer_id)
        if not found:
            raise HTTPException(404, f"no viewer '{viewer_id[:64]}'")


@contextmanager
def _asked_everywhere() -> Iterator[None]:
    """Say it when what was asked could not be told to, or by, all processes."""
    try:
        yield
    except (BusError, NotAllAnswered) as error:
        raise HTTPException(503, str(error), {"retry-after": RETRY_AFTER}) from None


# -- notices


def _fit(text: str) -> str:
    if not text.strip() or any(unicodedata.category(c) in UNFIT for c in text):
        raise rule("expected one line of text, without control characters")
    return text


class NoticeRequest(BaseModel):
    """A notice as admins write it: to everybody, or to one board or one viewer."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    text: Annotated[Words, AfterValidator(_fit)]
    level: Level = "info"
    board: str | None = None
    viewer: str | None = None
    lasts: Annotated[Duration, Field(gt=0, le=WEEK, alias="for")] = 600.0

    @model_validator(mode="after")
    def _one_aim(self) -> NoticeRequest:
        if self.board is not None and self.viewer is not None:
            raise rule("expected a board or a viewer, not both")
        return self


def _add_notices(routes: APIRouter, ticker: Ticker) -> None:
    hub, people, bulletin = ticker.hub, ticker.people, ticker.bulletin

    @routes.post(
        "/api/notices",
        status_code=201,
        responses=problems(400, 409, 413, 422, 503),
        openapi_extra=body(**{JSON: NoticeRequest.model_json_schema()}),
    )
    async def post(request: Request) -> Response:
        """Tell people something."""
        asked = await _asked(request)
        if asked.board is not None:
            _known(hub, asked.board)
        with _asked_everywhere():
            if asked.viewer is not None and not await people.has(asked.viewer):
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
            with _asked_everywhere():
                await bulletin.post(notice)
        except TooManyNotices as error:
            raise HTTPException(409, str(error)) from None
        log.info("notice %s to %s", notice.id, asked.board or asked.viewer or "everybody")
        return _json(notice.wire(), 201)

    @routes.get("/api/notices", response_model=None)
    async def notices() -> Response:
        """List the notices that are told, oldest first."""
        return _json({"notices": [notice.wire() for notice in hub.notices]})

    @routes.delete("/api/notices/{notice_id}", status_code=204, responses=problems(503))
    async def withdraw(notice_id: str) -> None:
        """Take a notice back."""
        with _asked_everywhere():
            found = await bulletin.withdraw(notice_id)
        if not found:
            raise HTTPException(404, f"no notice '{notice_id[:64]}'")
        log.info("notice %s is withdrawn", notice_id)


async def _asked(request: Request) -> NoticeRequest:
    """Return what a request asks for. Raises HTTPException in words.

    FastAPI would read bodies of any length, and before it asks who sends them.
    """
    body = b""
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_MAX:
                raise HTTPException(413, f"at most {BODY_MAX:,} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "the body breaks off") from None
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
