"""Several processes, one poller: what viewers get from any of them, whoever dies."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.buses import Member, members, redis
from tests.support import until

CONFIG = """
server: {{port: 0}}
bus: {{url: "{url}"}}
feeds:
  f: {{kind: simulate, every: 100ms, symbols: {{A: 10, B: 20}}}}
boards:
  b: {{feeds: [f]}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return where a config goes."""
    return tmp_path / "ticker.yaml"


def test_viewers_of_another_process_do_not_notice_that_the_poller_is_killed(
    config: Path, tmp_path: Path
) -> None:
    """Neither snapshot nor gap; whoever watched the dead one goes on elsewhere by a diff."""
    with redis(tmp_path) as bus:
        config.write_text(CONFIG.format(url=bus.url))
        with members(config, 2) as both:
            (poller,) = (m for m in both if m.polls)
            (other,) = (m for m in both if m is not poller)
            with poller.follow("b") as lost, other.follow("b") as viewer:
                for each in lost, viewer:
                    each.follow_until(lambda v: v.seqs.get("b", 0) > 5)
                poller.kill()
                before = viewer.seqs["b"]
                viewer.follow_until(lambda v: v.seqs["b"] > before + 5)
                assert [m["type"] for m in viewer.messages].count("snapshot") == 1
            until(lambda: other.polls)
            back = other.follow("b", epoch=lost.epochs["b"], seq=lost.seqs["b"])
            back.rows, back.seqs = dict(lost.rows), dict(lost.seqs)
            with back:
                back.follow_until(lambda v: v.seqs["b"] > lost.seqs["b"] + 5)
                assert not [m for m in back.messages if m["type"] == "snapshot"]


def test_a_bus_that_is_not_there_at_the_start_is_waited_for(config: Path, tmp_path: Path) -> None:
    """The log says so, once; viewers are to stay away until it is there."""
    words = "the bus does not answer: "
    with redis(tmp_path, started=False) as bus:
        config.write_text(CONFIG.format(url=bus.url))
        member = Member(config)
        try:
            until(lambda: words in member.said, what="a word in the log")
            waiting = until(lambda: member.get("/readyz"))
            assert waiting["status"] == "waiting"
            assert "bus" in waiting["waiting"]
            bus.start()
            until(lambda: member.ready)
            assert member.said.count(words) == 1
        finally:
            member.kill()
