"""The whole server, from a source to viewers."""

from __future__ import annotations

from tests.support import serving, source, until

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
