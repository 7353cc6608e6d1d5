"""The security headers of every response: what pages may load, and who may frame and read them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

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


def security_headers(origins: Sequence[str]) -> dict[str, str]:
    """Return the headers of every response; pages of ``origins`` may use what is served here."""
    headers = dict(SECURITY_HEADERS)
    if origins:
        headers["cross-origin-resource-policy"] = "cross-origin"
    return headers


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
