"""Who may do what: viewers by a token or freely, within limits; admins by a token of their own."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from time import monotonic

from fastapi import HTTPException, Request
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection

from ticker import tokens
from ticker.config.server import Access as AccessSettings
from ticker.config.server import Server
from ticker.hub import Hub
from ticker.limits import Bucket, Buckets, home, viewer_address
from ticker.protocol import CloseCode
from ticker.tokens import FREE, BadToken, Pass
from ticker.viewer import Viewer

log = logging.getLogger(__name__)

RETRY_AFTER = 10
STARTING_RETRY = 1
"""Seconds after which a viewer for whom there was no place may come back."""


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody who may connect: from where, and what it may watch."""

    address: str
    may: Pass


REFUSALS = {401: "no token", 403: "not allowed", 429: "limit"}
"""Why viewers are not let in, in words that are counted."""


class Access:
    """Judges by ``settings`` and ``server``, which a reload replaces: nothing else is kept of them.

    What is refused before a viewer is connected is an HTTPException: over HTTP and WebSocket alike.
    """

    def __init__(self, settings: AccessSettings, server: Server) -> None:
        self.settings = settings
        self.server = server
        self._connects = Buckets()

    # -- before a viewer is connected

    def admit(self, connection: HTTPConnection, hub: Hub, boards: Sequence[str]) -> Entry:
        """Let somebody connect who wants to watch ``boards``, or none yet.

        Raises HTTPException: 503 and 429 with Retry-After, 401, 403.
        """
        try:
            return self._admitted(connection, hub, boards)
        except HTTPException as refusal:
            hub.refuse(REFUSALS.get(refusal.status_code, ""))
            raise

    def _admitted(self, connection: HTTPConnection, hub: Hub, boards: Sequence[str]) -> Entry:
        if not self._knows(connection.headers):
            raise HTTPException(403, "not from a page of another site")
        address = self.address_of(connection)
        rate = self.server.connects_per_second
        if rate:
            wait = self._connects.take(home(address), monotonic(), rate)
            if wait:
                raise _later(429, "too many connects from one address", ceil(wait))
        self.find_place(hub, address)
        may = self.viewer(connection)
        if boards and not any(map(may.allows, boards)):
            raise _not_allowed(boards[0])
        return Entry(address, may)

    def find_place(self, hub: Hub, address: str) -> None:
        """Do nothing if there is a place for one more from ``address``.

        Raises HTTPException: 503 or 429, with Retry-After.
        """
        if hub.starting:
            raise _later(503, "the boards were not yet read from the bus", STARTING_RETRY)
        if hub.full:
            raise _later(503, "no place for another viewer", RETRY_AFTER)
        most = self.server.viewers_per_address
        if most and hub.addresses[home(address)] >= most:
            raise _later(429, "too many viewers from one address", RETRY_AFTER)

    def address_of(self, connection: HTTPConnection) -> str:
        """Return where somebody is, as far as it can be believed."""
        peer = connection.client.host if connection.client else ""
        trusted = self.server.trusted_proxies
        # several headers are one list (RFC 9110, 5.3)
        forwarded = ",".join(connection.headers.getlist("x-forwarded-for")) if trusted else ""
        return viewer_address(peer, forwarded, trusted)

    def _knows(self, headers: Headers) -> bool:
        """Whether a request is from a page of this site, of a named one, or from no page at all."""
        origin = headers.get("origin")
        if origin is None or origin in self.server.origins:
            return True
        scheme, _, place = origin.lower().partition("://")
        usual = {"http": ":80", "https": ":443"}.get(scheme)
        host = headers.get("host", "").lower()
        return usual is not None and place != "" and place == host.removesuffix(usual)

    # -- what a viewer may watch

    def viewer(self, connection: HTTPConnection) -> Pass:
        """Return what the viewer of a request may watch. Raises HTTPException: 401."""
        if self.settings.viewers == "public":
            return FREE
        given = (
            bearer(connection.headers.get("authorization", ""))
            or connection.query_params.get("token")
            or connection.cookies.get(self.settings.cookie)
        )
        if not given:
            raise HTTPException(401, "a token is needed", {"www-authenticate": "Bearer"})
        try:
            return self.read(given)
        except BadToken as bad:
            raise HTTPException(401, str(bad), {"www-authenticate": "Bearer"}) from None

    def board(self, connection: HTTPConnection, name: str) -> None:
        """Let a viewer read a board, whether or not it is there. Raises HTTPException: 401, 403."""
        if not self.viewer(connection).allows(name):
            raise _not_allowed(name)

    def read(self, token: str) -> Pass:
        """Return what a viewer's token gives. Raises BadToken."""
        if self.settings.viewers == "public":
            return FREE
        return tokens.read(token, self.settings.keys)

    # -- while a viewer is connected

    def hears(self, messages: Bucket) -> bool:
        """Whether a viewer may say one more message; ``messages`` is its own bucket."""
        rate = self.server.messages_per_second
        return not rate or not messages.take(monotonic(), rate)

    def judge(self, viewer: Viewer, now: float, at: int) -> CloseCode | None:
        """Return why a viewer must go, None when it may stay.

        ``now`` is of the monotonic clock, ``at`` in epoch ms.
        """
        until = viewer.may.until
        if until is not None and at >= until:
            return CloseCode.NOT_ALLOWED
        if until is None and self.settings.viewers == "token":
            return CloseCode.ROTATED  # it came while everybody might: it may come back with a token
        waits = 0.0 if viewer.served else now - viewer.joined
        return CloseCode.LIMIT if waits > self.server.subscribe_within else None

    # -- admins

    def operations(self, request: Request) -> None:
        """Let through who may read how the server is; a dependency of such addresses.

        Raises HTTPException as ``admin`` does, where that is for admins.
        """
        if self.settings.operations == "admin":
            self.admin(request)

    def operates(self, request: Request) -> bool:
        """Whether somebody may read how the server is."""
        try:
            self.operations(request)
        except HTTPException:
            return False
        return True

    def admin(self, request: Request) -> None:
        """Let an admin pass; a dependency of every address that changes something.

        Raises HTTPException: 404 where the config names no admin token, 401 without one, 403 with
        a wrong one.
        """
        known = self.settings.admin_tokens
        if not known:
            raise HTTPException(404, "no admin tokens in the config: access.admin_tokens")
        self.demand(request, known, "an admin token")

    def demand(self, request: Request, known: Sequence[str], what: str) -> None:
        """Let through who has one of the ``known`` tokens; ``what`` such a token is, in words.

        Guesses are logged, not limited: a limit would let strangers shut out who comes from the
        same address. Raises HTTPException: 401 without one, 403 with a wrong one.
        """
        given = bearer(request.headers.get("authorization", ""))
        if given is None:
            raise HTTPException(401, f"{what} is needed", {"www-authenticate": "Bearer"})
        # every one is compared, and in constant time: how long it takes tells nothing
        right = [hmac.compare_digest(given.encode(), token.encode()) for token in known]
        if True not in right:
            log.warning("refused a guess at %s, from %s", what, self.address_of(request))
            raise HTTPException(403, f"not {what}")


def bearer(authorization: str) -> str | None:
    """Return the token of an Authorization header (RFC 6750, 2.1), None for another."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def _later(status: int, words: str, seconds: int) -> HTTPException:
    return HTTPException(status, words, {"retry-after": str(seconds)})


def _not_allowed(board: str) -> HTTPException:
    return HTTPException(403, f"the token is not for board '{board[:64]}'")
