"""Addresses behind proxies, and buckets: rules without a clock of their own."""

from __future__ import annotations

from collections import Counter
from ipaddress import ip_network
from time import perf_counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.limits import (
    BURST_SECONDS,
    LEAST_BURST,
    Bucket,
    Buckets,
    Tally,
    home,
    viewer_address,
)

INSIDE = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]

ADDRESSES = {
    "nobody between": ("203.0.113.7", "", "203.0.113.7"),
    "a stranger's word is not believed": ("203.0.113.7", "198.51.100.1", "203.0.113.7"),
    "one proxy": ("10.0.0.1", "203.0.113.7", "203.0.113.7"),
    "two proxies": ("10.0.0.1", "203.0.113.7, 10.0.0.2", "203.0.113.7"),
    "what the viewer wrote itself": ("10.0.0.1", "8.8.8.8, 203.0.113.7", "203.0.113.7"),
    "a viewer that says it is a proxy": (
        "10.0.0.1",
        "8.8.8.8, 10.9.9.9, 203.0.113.7",
        "203.0.113.7",
    ),
    "a proxy that tells nothing": ("10.0.0.1", "", "10.0.0.1"),
    "proxies alone": ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
    "no address": ("10.0.0.1", "203.0.113.7, unknown", "10.0.0.1"),
    "nothing between commas": ("10.0.0.1", "203.0.113.7,,", "10.0.0.1"),
    "lines that are no lines": ("10.0.0.1", "203.0.113.7\r\nX: y", "10.0.0.1"),
    "too many to be looked at": ("10.0.0.1", "8.8.8.8" + ",10.0.0.2" * 5_000, "10.0.0.2"),
    "with a port": ("10.0.0.1", "203.0.113.7:5555", "203.0.113.7"),
    "IPv6": ("fd00::1", "2001:DB8::7", "2001:db8::7"),
    "IPv6 with a port": ("fd00::1", "[2001:db8::7]:5555", "2001:db8::7"),
    "IPv6 written out": ("fd00::1", "2001:0db8:0:0:0:0:0:0007", "2001:db8::7"),
    "IPv4 written as IPv6": ("::ffff:10.0.0.1", "::ffff:203.0.113.7", "203.0.113.7"),
    "a zone": ("fe80::1%eth0", "", "fe80::1"),
    "no network at all": ("testclient", "203.0.113.7", "testclient"),
    "nothing": ("", "203.0.113.7", ""),
}


@pytest.mark.parametrize("name", ADDRESSES)
def test_the_address_is_the_last_that_can_be_believed(name: str) -> None:
    """The rightmost one that is no trusted proxy."""
    peer, forwarded, address = ADDRESSES[name]
    assert viewer_address(peer, forwarded, INSIDE) == address


@given(st.text(max_size=40), st.text(max_size=200))
def test_nothing_that_is_written_there_is_an_error(peer: str, forwarded: str) -> None:
    """Whoever sent it; and without trusted proxies nothing of it counts."""
    viewer_address(peer, forwarded, INSIDE)
    viewer_address("10.0.0.1", forwarded, INSIDE)
    assert viewer_address("203.0.113.7", forwarded, []) == "203.0.113.7"
    home(peer)


@pytest.mark.parametrize(
    ("address", "counts_as"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::", "2001:db8:1:2::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("testclient", "testclient"),
        ("a:b", "a:b"),
    ],
)
def test_of_ipv6_a_whole_home_counts_as_one(address: str, counts_as: str) -> None:
    """It has 18 quintillion addresses to choose from."""
    assert home(address) == counts_as


# -- buckets


@pytest.mark.parametrize(("rate", "burst"), [(0.1, 5), (1, 5), (10, 20), (50, 100), (2.5, 5)])
@pytest.mark.parametrize("now", [0.0, 12_345.678, 1e9])
def test_a_burst_and_then_the_rate(rate: float, burst: int, now: float) -> None:
    """What comes in two seconds, at least five; then one per 1/rate seconds."""
    bucket = Bucket()
    assert sum(bucket.take(now, rate) == 0 for _ in range(burst * 3)) == burst
    wait = bucket.take(now, rate)
    assert wait == pytest.approx(1 / rate, rel=1e-3, abs=1e-5)
    assert bucket.take(now + wait / 2, rate) > 0
    assert bucket.take(now + wait + 1e-5, rate) == 0
    assert bucket.take(now + wait + 1e-5, rate) > 0


@given(
    rate=st.floats(0.01, 1000),
    gaps=st.lists(st.floats(0, 30), max_size=200),
)
def test_never_more_than_burst_and_rate(rate: float, gaps: list[float]) -> None:
    """In any time from the start; and who keeps to the rate is never refused."""
    burst = max(LEAST_BURST, BURST_SECONDS * rate)
    bucket, steady, now, taken = Bucket(), Bucket(), 1000.0, 0
    for gap in gaps:
        now += gap
        taken += bucket.take(now, rate) == 0
        assert taken <= burst + (now - 1000.0) * rate + 1
    for i in range(50):
        assert steady.take(1000.0 + i / rate, rate) == 0


@given(
    st.floats(0.1, 100),
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 20)), max_size=100),
)
def test_forgetting_changes_nothing(rate: float, takes: list[tuple[str, float]]) -> None:
    """Many buckets that forget judge as one kept for good for each name."""
    forgetful, kept, now = Buckets(), {name: Bucket() for name in "abc"}, 50.0
    for name, gap in takes:
        now += gap
        assert forgetful.take(name, now, rate) == kept[name].take(now, rate)


def test_buckets_that_are_full_again_are_forgotten() -> None:
    """Names that come no more take no memory."""
    buckets = Buckets()
    for i in range(1000):
        buckets.take(f"first {i}", 100.0, 10)
    assert len(buckets) == 1000
    buckets.take("later", 103.0, 10)
    assert len(buckets) == 1001
    buckets.take("much later", 106.0, 10)
    assert len(buckets) == 2


def test_names_are_bounded() -> None:
    """However many addresses somebody has; the oldest are forgotten first."""
    buckets = Buckets(most=100)
    for i in range(10_000):
        buckets.take(str(i), 100.0, 1)
        assert len(buckets) <= 200
    for _ in range(LEAST_BURST - 1):
        assert buckets.take("9999", 100.0, 1) == 0
    assert buckets.take("9999", 100.0, 1) > 0


def test_a_bucket_costs_next_to_nothing() -> None:
    """Far below a connect's 300 µs, also with all names in use."""
    buckets = Buckets()
    began = perf_counter()
    for i in range(100_000):
        buckets.take(str(i), i / 10_000, 10)
    assert perf_counter() - began < 10  # 0.1 s on an idle machine


@given(st.lists(st.tuples(st.booleans(), st.sampled_from("abc"))))
def test_a_tally_counts(moves: list[tuple[bool, str]]) -> None:
    """As many as were added and not removed; nothing is kept of none."""
    tally, counts = Tally(), Counter[str]()
    for adds, name in moves:
        if adds:
            tally.add(name)
            counts[name] += 1
        else:
            tally.remove(name)
            counts[name] = max(0, counts[name] - 1)
        assert tally[name] == counts[name]
    assert len(tally) == len(+counts)
