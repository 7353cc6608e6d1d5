"""The whole server, from a source to viewers."""

from __future__ import annotations

import resource
import time

import pytest

from tests.support import quiet_server, serving, source, until
from ticker.listener import raise_file_limit

CONFIG = """
feeds:
  coins: {{kind: poll, every: 100ms, url: "{url}/t", fields: {{last: last, open: open}}}}
boards:
  b: {{feeds: [coins], flush: 20ms}}
"""


def test_a_change_at_the_source_reaches_a_viewer() -> None:
    """What the source says next arrives as one diff of exactly that."""
    with source() as upstream:
        upstream.say("/t", [{"symbol": "A", "last": "1,234.5", "open": 1000}])
        with serving(CONFIG.format(url=upstream.url)) as server:
            until(lambda: server.rows("b"))
            with server.follow("b") as viewer:
                viewer.wait("snapshot")
                assert viewer.rows["b"]["A"] == {
                    "last": 1234.5,
                    "open": 1000,
                    "change": 234.5,
                    "change_pct": 23.45,
                }
                upstream.say("/t", [{"symbol": "A", "last": 1235, "open": 1000}])
                assert viewer.wait("diff")["rows"] == {
                    "A": {"last": 1235, "change": 235, "change_pct": 23.5}
                }


def test_health_says_how_late_the_loop_is() -> None:
    """A loop that was blocked shows, in milliseconds."""
    with quiet_server() as server:
        server.call(lambda: time.sleep(0.3))
        until(lambda: server.get("/healthz").json()["loop_lag"]["max"] > 150)


def test_the_file_limit_is_raised(caplog: pytest.LogCaptureFixture) -> None:
    """To what the system allows, and one line says how many viewers fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 1024), hard))
        raise_file_limit(10**9)
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == hard
        assert "room for" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
