"""Who comes from where, and how often: addresses behind proxies, counts, buckets that refill.

Times are in seconds of one clock, which the caller reads.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

HOPS = 10
"""Most proxies between a viewer and this server; what stands before is not looked at."""

HOME_BITS = 64
"""Of an IPv6 address that name whose it is: one home or machine has all addresses below."""

LEAST_BURST = 5
BURST_SECONDS = 2.0
"""What a bucket holds when full: what flows in within this time, and never less than the least."""

MOST_NAMES = 50_000
"""Names in one generation of `Buckets`: a few MB."""


def viewer_address(peer: str, forwarded: str, trusted: Iterable[Network]) -> str:
    """Return the address of the viewer behind the proxies that are trusted.

    ``forwarded`` is X-Forwarded-For, to which each proxy appends who asked it: read from the right,
    the first address that is no trusted proxy is the last that can be believed. What is not an
    address there ends the search.
    """
    found = _parsed(peer)
    if found is None:
        return peer
    networks = list(trusted)
    hops = forwarded.rsplit(",", HOPS)[-HOPS:] if forwarded else []
    while hops and any(found in network for network in networks):
        before = _parsed(_without_port(hops.pop().strip()))
        if before is None:
            break
        found = before
    return str(found)


def home(address: str) -> str:
    """Return what counts as one address: of IPv6 the network that one home has."""
    if ":" not in address:
        return address
    found = _parsed(address)
    if not isinstance(found, IPv6Address):
        return address
    bits = 128 - HOME_BITS
    return f"{IPv6Address(int(found) >> bits << bits)}/{HOME_BITS}"


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """Return an address, IPv4 where it only is written as IPv6, without a zone; None for others."""
    try:
        found = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(found, IPv6Address) and found.ipv4_mapped) or found


def _without_port(text: str) -> str:
    """Return ``1.2.3.4:80`` and ``[::1]:80``, as some proxies write them, without the port."""
    if text.startswith("["):
        return text[1:].partition("]")[0]
    return text.partition(":")[0] if text.count(":") == 1 else text


class Tally:
    """How many there are of each name; forgets a name with its last."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def __getitem__(self, name: str) -> int:
        return self._counts.get(name, 0)

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, name: str) -> None:
        """Count one more."""
        self._counts[name] = self[name] + 1

    def remove(self, name: str) -> None:
        """Count one less; harmless when there is none."""
        left = self[name] - 1
        if left > 0:
            self._counts[name] = left
        else:
            self._counts.pop(name, None)


class Bucket:
    """Lets through what comes at a rate, and a burst of it now and then: a token bucket.

    Of a bucket the time at which it is full again says everything.
    """

    __slots__ = ("full_at",)

    def __init__(self) -> None:
        self.full_at = 0.0

    def take(self, now: float, rate: float) -> float:
        """Take one of ``rate`` per second: 0, or the seconds until there is one to take."""
        full_at = max(self.full_at, now) + 1 / rate
        wait = full_at - now - _span(rate)
        if wait > 1e-6:  # less is what is lost in rounding
            return wait
        self.full_at = full_at
        return 0.0


class Buckets:
    """A bucket for each name. Full ones are forgotten: they are as good as new.

    Two generations are kept: a name that is used moves to the younger; when they change, the older
    goes as a whole.
    """

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._most = most
        self._young: dict[str, Bucket] = {}
        self._old: dict[str, Bucket] = {}
        self._turned_at = 0.0

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, name: str, now: float, rate: float) -> float:
        """Take one for ``name``, as from a `Bucket`."""
        # after its span a bucket is full; with too many names the older limits are forgotten sooner
        if now - self._turned_at > _span(rate) or len(self._young) >= self._most:
            self._turn(now, rate)
        bucket = self._young.get(name)
        if bucket is None:
            bucket = self._young[name] = self._old.pop(name) if name in self._old else Bucket()
        return bucket.take(now, rate)

    def _turn(self, now: float, rate: float) -> None:
        aged = now - self._turned_at > 2 * _span(rate)
        self._old, self._young = {} if aged else self._young, {}
        self._turned_at = now


def _span(rate: float) -> float:
    """Return the seconds in which an empty bucket fills."""
    return max(BURST_SECONDS, LEAST_BURST / rate)
