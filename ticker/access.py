"""Who may do what: admins by a token that only they know."""

from __future__ import annotations

import hmac
from collections.abc import Sequence

from fastapi import HTTPException, Request

from ticker.config.server import Access as AccessSettings


class Access:
    """Judges requests by ``settings``, which a reload replaces."""

    def __init__(self, settings: AccessSettings) -> None:
        self.settings = settings

    def admin(self, request: Request) -> None:
        """Let an admin pass; a dependency of every address that changes something.

        Raises HTTPException: 404 where the config names no admin token, 401 without one, 403 with
        a wrong one.
        """
        known = self.settings.admin_tokens
        if not known:
            raise HTTPException(404, "no admin tokens in the config: access.admin_tokens")
        demand(request, known, "an admin token")


def bearer(authorization: str) -> str | None:
    """Return the token of an Authorization header (RFC 6750, 2.1), None for another."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" and token.strip() else None


def demand(request: Request, known: Sequence[str], what: str) -> None:
    """Let through who has one of the ``known`` tokens; ``what`` such a token is, in words.

    Raises HTTPException: 401 without one, 403 with a wrong one.
    """
    given = bearer(request.headers.get("authorization", ""))
    if given is None:
        raise HTTPException(401, f"{what} is needed", {"www-authenticate": "Bearer"})
    # every one is compared, and in constant time: how long it takes tells nothing
    right = [hmac.compare_digest(given.encode(), token.encode()) for token in known]
    if True not in right:
        raise HTTPException(403, f"not {what}")
