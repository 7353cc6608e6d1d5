"""Headers of requests and responses: who somebody is, and what is wanted.

An input is the address, X-Forwarded-For, Origin, Host, and the value of any other header.
"""

from __future__ import annotations

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st
from starlette.datastructures import Headers

from tests.fuzz.kit import bounded, joined, parts
from ticker.access import Access, bearer
from ticker.config import Access as AccessSettings
from ticker.config import Server
from ticker.feeds.web import RETRY_AFTER_LIMIT, retry_seconds
from ticker.limits import home, viewer_address
from ticker.page import best

TRUSTED = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]
ACCESS = Access(AccessSettings(), Server(origins=["https://friend.example"]))
PORTS = {"http": 80, "https": 443}


def one(data: bytes) -> None:
    """Hold that nobody can claim to be somewhere else, and that any header is understood or not."""
    peer, forwarded, origin, host, other = (p.decode("latin-1") for p in parts(data, 5))
    with bounded():
        _address(peer, forwarded)
        _origin(origin, host)
        _other(other)


def _address(peer: str, forwarded: str) -> None:
    found = viewer_address(peer, forwarded, TRUSTED)
    assert home(home(found)) == home(found)
    alone = viewer_address(peer, "", TRUSTED)
    try:
        trusted = any(ip_address(alone) in network for network in TRUSTED)
    except ValueError:
        assert found == alone == peer
        return
    ip_address(found)
    assert trusted or found == alone, "somebody else's word counts"
    assert viewer_address("10.0.0.1", f"{forwarded},192.0.2.7", TRUSTED) == "192.0.2.7"
    assert viewer_address("10.0.0.1", f"{forwarded},192.0.2.1,x!", TRUSTED) == "10.0.0.1"


def _origin(origin: str, host: str) -> None:
    """Hold that a page counts as ours only where its origin is the host that was asked for."""
    values = {"host": host.encode("latin-1"), "origin": origin.encode("latin-1")}
    headers = Headers(raw=[(name.encode(), value) for name, value in values.items()])
    if not ACCESS._knows(headers) or origin in ACCESS.server.origins:
        return
    scheme, _, place = origin.lower().partition("://")
    assert scheme in PORTS
    assert place
    usual = f":{PORTS[scheme]}"
    assert place.removesuffix(usual) == host.lower().removesuffix(usual)


def _other(value: str) -> None:
    assert best(value, ["gzip", "br"]) in {"gzip", "br", "identity"}
    token = bearer(value)
    assert token is None or token.strip() == token != ""
    wait = retry_seconds(value)
    assert wait is None or 0 <= wait <= RETRY_AFTER_LIMIT


def inputs() -> st.SearchStrategy[bytes]:
    """Return addresses with and without ports, origins, and odd values."""
    places = (
        "10.0.0.1 192.0.2.9 ::1 fd00::1 ::ffff:10.0.0.1 fe80::1%eth0 2001:db8::1 x [::1]:80 1:2"
    )
    place = st.sampled_from([*places.split(), ""])
    hops = st.lists(st.one_of(place, st.text(max_size=9)), max_size=14).map(",".join)
    site = st.sampled_from(["http://x", "https://x:443", "http://x:80", "null", "https://x@y", ""])
    host = st.sampled_from(["x", "X", "x:80", "x:443", "", "y", "x:80:80"])
    others = [
        "gzip;q=0.5, br;q=9",
        "Bearer x",
        "²",
        "9" * 400,
        "Mon, 01 Jan 99999999999999999999 00:00:00 GMT",
        "Thu, 20 Nov 2025 10:00:00 +9999",
    ]
    other = st.one_of(st.sampled_from(others), st.text(max_size=40))
    return joined(
        *(s.map(lambda t: t.encode("latin-1", "replace")) for s in (place, hops, site, host, other))
    )
