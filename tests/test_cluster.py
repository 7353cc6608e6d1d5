"""Several processes, one poller: what viewers get from any of them, whoever dies."""

from __future__ import annotations

import time
from itertools import pairwise
from pathlib import Path

import orjson
import pytest

from tests.buses import members, redis
from tests.support import Handler, source, until

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


POLLED = """
server: {{port: 0}}
bus: {{url: "{url}"}}
feeds:
  f: {{kind: poll, every: 4s, url: "{source}/x", key: s, fields: {{last: p}}}}
boards:
  b: {{feeds: [f]}}
"""


def test_a_source_is_asked_once_per_interval_by_all_processes_together(
    config: Path, tmp_path: Path
) -> None:
    """Eight of them, and while the poller is killed too: no interval has two requests."""
    times: list[float] = []

    def answer(handler: Handler) -> None:
        times.append(time.monotonic())
        handler.answer(200, orjson.dumps([{"s": "A", "p": len(times)}]))

    with redis(tmp_path) as bus, source() as web:
        web.script["/x"] = answer
        config.write_text(POLLED.format(url=bus.url, source=web.url))
        with members(config, 8) as all_of_them:
            (poller,) = (m for m in all_of_them if m.polls)
            count = len(times)
            until(lambda: len(times) > count + 1)
            poller.kill()  # just after it has asked: whoever takes over must wait
            others = [m for m in all_of_them if m is not poller]
            until(lambda: [m for m in others if m.polls])
            assert len(times) == count + 2
            until(lambda: len(times) > count + 3)
            until(lambda: all(m.get("/api/boards/b")["rows"]["A"]["last"] > count for m in others))
    assert min(after - before for before, after in pairwise(times)) > 2
