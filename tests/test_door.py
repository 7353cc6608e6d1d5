"""Open files run out: who is there is served, the feeds are read, and it comes back by itself."""

from __future__ import annotations

import os
import resource
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.exceptions import InvalidStatus

from tests.buses import START, Member
from tests.support import Follower, Source, source, until
from ticker.listener import OWN_FILES

CONFIG = """
feeds:
  f: {{kind: poll, every: 100ms, url: "{url}/n", rows: rows, key: symbol, fields: {{last: last}},
      backoff_max: 500ms, headers: {{connection: close}}}}
boards:
  b: {{feeds: [f], flush: 20ms}}
"""


@pytest.fixture
def feed() -> Iterator[Source]:
    """Return a source that takes a new connection for each answer."""
    with source() as running:
        running.say("/n", {"rows": [{"symbol": "A", "last": 1}]}, connection="close")
        yield running


@pytest.fixture
def member(tmp_path: Path, feed: Source) -> Iterator[Member]:
    """Run a server in a process of its own."""
    config = tmp_path / "config.yaml"
    config.write_text(CONFIG.format(url=feed.url))
    running = Member(config)
    try:
        until(lambda: running.ready, what="a start", patience=START)
        yield running
    finally:
        running.kill()


def _last(viewer: Follower) -> object:
    return viewer.rows.get("b", {}).get("A", {}).get("last")


def _limit(member: Member, files: int) -> None:
    hard = resource.prlimit(member.process.pid, resource.RLIMIT_NOFILE)[1]
    resource.prlimit(member.process.pid, resource.RLIMIT_NOFILE, (files, hard))


def _files(member: Member) -> int:
    return len(list(Path(f"/proc/{member.process.pid}/fd").iterdir()))


def _cpu(member: Member) -> float:
    fields = Path(f"/proc/{member.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_no_file_left_shuts_the_door_and_nothing_else(member: Member, feed: Source) -> None:
    """The viewer inside sees what the feed says next; who knocked is let in afterwards."""
    with member.follow("b") as viewer, ExitStack() as stack:
        viewer.wait("snapshot")
        hard = resource.prlimit(member.process.pid, resource.RLIMIT_NOFILE)[1]
        _limit(member, _files(member) - 3)
        knocking = [
            stack.enter_context(socket.create_connection(("127.0.0.1", member.port)))
            for _ in range(5)
        ]
        for knock in knocking:  # now: who says nothing for long is ended once it is in
            knock.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
        until(lambda: "no open file is left" in member.said, what="a word of it")
        before, began = _cpu(member), time.monotonic()
        viewer.follow_until(lambda v: v.feeds["b"]["f"]["quality"] == "down", START)
        viewer.wait("heartbeat", START)
        assert _cpu(member) - before < (time.monotonic() - began) / 2
        _limit(member, hard)
        feed.say("/n", {"rows": [{"symbol": "A", "last": 2}]}, connection="close")
        viewer.follow_until(lambda v: _last(v) == 2, START)
        for knock in knocking:
            knock.settimeout(START)
            assert knock.recv(100).startswith(b"HTTP/1.1 200")
        assert member.said.count("no open file is left") == 1


def test_viewers_leave_files_to_the_feeds(member: Member, feed: Source) -> None:
    """As many as fit are let in, the next is told to come later, and the feed is read on."""
    _limit(member, OWN_FILES + 2)
    with ExitStack() as stack:
        viewers = [stack.enter_context(member.follow("b")) for _ in range(2)]

        def refused() -> int | None:
            try:
                with member.follow("b"):
                    return None
            except InvalidStatus as refusal:
                return refusal.response.status_code

        assert until(refused, what="a refusal") == 503
        feed.say("/n", {"rows": [{"symbol": "A", "last": 2}]}, connection="close")
        for viewer in viewers:
            viewer.follow_until(lambda v: _last(v) == 2, START)
