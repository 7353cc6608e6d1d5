"""``ticker tail``: a board's messages on the terminal, following the protocol as a page would."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import orjson
from rich.console import Console
from rich.text import Text
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from ticker import protocol
from ticker.errors import TickerError

WAIT_BASE, WAIT_MAX = 0.5, 15.0
MESSAGE_LIMIT = 64_000_000


async def follow(
    url: str, board: str | None, count: int, out: Console, err: Console, token: str | None = None
) -> None:
    """Print messages of ``board`` until ``count`` came (0: for ever).

    Raises TickerError when the first connection cannot be made or the server says not to come back.
    """
    where, headers = base(url), bearer(token)
    board = board or await first_board(where, headers)
    place: dict[str, Any] = {}  # epoch and seq, once known
    attempts, seen = 0, 0
    while True:
        try:
            async with connect(
                live_url(where, board, place),
                subprotocols=[SUBPROTOCOL],
                max_size=MESSAGE_LIMIT,
                additional_headers=headers,
            ) as socket:
                async for text in socket:
                    attempts = 0
                    if wrong := _understand(text, place, where):
                        raise TickerError(wrong)
                    out.print(Text(text if isinstance(text, str) else text.decode()))
                    seen += 1
                    if seen == count:
                        return
            why, code = "closed", socket.close_code
        except ConnectionClosed as closed:
            why, code = str(closed), closed.rcvd.code if closed.rcvd else None
        except (OSError, InvalidHandshake, TimeoutError) as error:
            if not seen or refused(error):
                raise TickerError(f"cannot follow {url}: {error}") from None
            why, code = str(error), None
        if code is not None and code >= FINAL_CODES:
            raise TickerError(f"the server ended this for good: {why}")
        attempts += 1
        wait = random.uniform(0, min(WAIT_MAX, WAIT_BASE * 2**attempts))  # noqa: S311 - full jitter
        err.print(Text(f"{why}; again in {wait:.1f} s"))
        await asyncio.sleep(wait)


FINAL_CODES = int(protocol.CloseCode.BAD_MESSAGE)
SUBPROTOCOL: Any = protocol.SUBPROTOCOL


def _understand(text: str | bytes, place: dict[str, Any], where: str) -> str | None:
    """Remember the place that a message leads to; return what is wrong with it or with us."""
    try:
        message = orjson.loads(text)
        if message["type"] == "snapshot":
            place["epoch"] = message["epoch"]
        if message["type"] in {"snapshot", "diff"}:
            place["seq"] = message["seq"]
        return f"{message['code']}: {message['message']}" if message["type"] == "error" else None
    except (ValueError, LookupError, TypeError):
        return f"{where} does not answer like a ticker server"


def base(url: str) -> str:
    """Return the address of a server, without a path. Raises TickerError for another text."""
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        named = bool(parts.hostname) and parts.port != 0  # one out of range raises
    except ValueError:
        named = False
    if not named or parts.scheme not in {"http", "https", "ws", "wss"}:
        raise TickerError(f"expected an address such as http://127.0.0.1:8000, got '{url}'")
    secure = parts.scheme in {"https", "wss"}
    return f"{'https' if secure else 'http'}://{parts.netloc}"


def bearer(token: str | None) -> dict[str, str]:
    """Return the header that shows a token, none without one.

    Raises TickerError for what is no token, without it: libraries would tell what they cannot send.
    """
    if not token:
        return {}
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise TickerError("the token has characters that no token has")
    return {"authorization": f"Bearer {token}"}


def refused(error: Exception) -> bool:
    """Whether a server answered an upgrade with what another attempt does not change."""
    return isinstance(error, InvalidStatus) and error.response.status_code in {401, 403}


def live_url(where: str, board: str, place: dict[str, Any]) -> str:
    """Return the address of the live endpoint; ``place`` is an epoch and seq to resume from."""
    query = urlencode({"board": board, **place})
    return f"{where.replace('http', 'ws', 1)}/ws?{query}"


async def first_board(where: str, headers: dict[str, str]) -> str:
    """Return the first board of a server. Raises TickerError when it does not answer as one."""
    try:
        async with httpx.AsyncClient(base_url=where, headers=headers, timeout=10) as client:
            listed = (await client.get("/api/boards")).raise_for_status().json()
        return str(listed["boards"][0]["name"])
    except (httpx.HTTPError, httpx.InvalidURL, InvalidURI) as error:
        raise TickerError(f"cannot reach {where}: {error or type(error).__name__}") from None
    except (ValueError, LookupError, TypeError):
        raise TickerError(f"{where} does not answer like a ticker server") from None
