"""Other sites: what a browser lets them read and frame, when the config names them and when not."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.support import PATIENCE, QUIET, Running, quiet_server, serving
from ticker.headers import POLICY, SECURITY_HEADERS

FRIEND = "https://intranet.example.com"
OTHER = "http://localhost:3000"
STRANGER = "https://intranet.example.com.evil.org"
CONFIG = QUIET.format(heartbeat="5s", stall="20s", viewers=100, presence="0s").replace(
    "{heartbeat", f"{{origins: ['{FRIEND}', '{OTHER}'], heartbeat"
)
PATHS = ["/app.js", "/api/boards", "/api/boards/b", "/api/feeds", "/healthz", "/"]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server that knows other sites."""
    with serving(CONFIG) as running:
        yield running


@pytest.fixture(scope="module")
def alone() -> Iterator[Running]:
    """Return a server that knows none."""
    with quiet_server() as running:
        yield running


@pytest.mark.parametrize("path", PATHS)
def test_a_named_site_may_read(server: Running, path: str) -> None:
    """Its own name is in the answer, and caches know that the answer depends on who asks."""
    for origin in (FRIEND, OTHER):
        headers = server.get(path, Origin=origin).headers
        assert headers["access-control-allow-origin"] == origin
        assert "access-control-allow-credentials" not in headers
    for asked in ({}, {"Origin": FRIEND}, {"Origin": STRANGER}):
        assert "origin" in server.get(path, **asked).headers["vary"].lower()


def test_a_named_site_may_import_modules_and_keep_them(server: Running) -> None:
    """At the address with the version, also when it asks whether there is something new."""
    path = f"/static/{server.ticker.page.version}/app.js"
    first = server.get(path, Origin=FRIEND)
    assert "accept-encoding" in first.headers["vary"]
    again = server.get(path, Origin=FRIEND, If_None_Match=first.headers["etag"])
    assert again.status_code == 304
    assert again.headers["access-control-allow-origin"] == FRIEND


def test_a_named_site_may_follow_events(server: Running) -> None:
    """EventSource asks as any other request does."""
    url, headers = f"{server.url}/events?board=b", {"origin": FRIEND}
    with httpx.stream("GET", url, headers=headers, timeout=PATIENCE) as response:
        assert response.headers["access-control-allow-origin"] == FRIEND


@pytest.mark.parametrize("path", PATHS)
def test_nobody_else_may_read(server: Running, alone: Running, path: str) -> None:
    """Neither a stranger where sites are named, nor anybody where none is."""
    assert "access-control-allow-origin" not in server.get(path, Origin=STRANGER).headers
    assert "access-control-allow-origin" not in alone.get(path, Origin=FRIEND).headers


def test_other_sites_may_only_read(server: Running) -> None:
    """A browser that asks first whether it may do more is told no; the answer is safe, too."""
    headers = {"origin": FRIEND, "access-control-request-method": "DELETE"}
    response = httpx.options(f"{server.url}/api/boards", headers=headers)
    assert response.status_code == 400
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("origin", [FRIEND, STRANGER])
def test_only_named_sites_may_send_a_token(server: Running, origin: str) -> None:
    """As a header, which a browser asks about first; cookies are not sent for them."""
    headers = {
        "origin": origin,
        "access-control-request-method": "GET",
        "access-control-request-headers": "authorization",
    }
    response = httpx.options(f"{server.url}/api/boards", headers=headers)
    assert response.status_code == (200 if origin == FRIEND else 400)
    allowed = response.headers["access-control-allow-headers"].lower()
    assert "authorization" in allowed.split(", ")
    assert "access-control-allow-credentials" not in response.headers
    known = response.headers.get("access-control-allow-origin")
    assert known == (FRIEND if origin == FRIEND else None)


@pytest.mark.parametrize("path", ["/embed/tape", "/embed/table", "/embed/tape.html"])
def test_pages_for_frames_may_be_framed(server: Running, alone: Running, path: str) -> None:
    """By pages of this server, and of the sites that are named."""
    for running, ancestors in ((server, f"'self' {FRIEND} {OTHER}"), (alone, "'self'")):
        headers = running.get(path).headers
        assert headers.get_list("content-security-policy") == [POLICY + ancestors]
        assert headers.get_list("cross-origin-opener-policy") == ["unsafe-none"]
        assert headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/", "/index.html", "/app.js", "/embed/none", "/api/boards"])
def test_nothing_else_may_be_framed(server: Running, path: str) -> None:
    """Whatever sites are named."""
    headers = server.get(path).headers
    policy = SECURITY_HEADERS["content-security-policy"]
    assert headers.get_list("content-security-policy") == [policy]
    assert headers.get_list("cross-origin-opener-policy") == ["same-origin"]


def test_resources_are_for_this_site_unless_others_are_named(
    server: Running, alone: Running
) -> None:
    """Scripts without CORS and pictures, too, stay here as long as no other site is named."""
    for path in PATHS:
        assert alone.get(path).headers["cross-origin-resource-policy"] == "same-origin"
        assert server.get(path).headers["cross-origin-resource-policy"] == "cross-origin"
