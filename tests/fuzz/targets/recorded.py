"""Files that are played: recordings and replays come to an end, or say what is wrong with them.

An input is the kind of file, and its content.
"""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import strategies as st

from tests.fuzz.kit import (
    SCALARS,
    bounded,
    documents,
    encodable,
    is_one_line,
    joined,
    json_text,
    parts,
    run,
)
from tests.fuzz.targets.mapping import shown
from ticker import configfile
from ticker.config import Settings
from ticker.errors import FeedError
from ticker.feeds import Reading
from ticker.feeds.make import make

CONFIG = """
feeds:
  recording: {{kind: replay, recording: {0}/file.jsonl, feed: f, {1}}}
  recording.gz: {{kind: replay, recording: {0}/file.jsonl.gz, feed: f, {1}}}
  csv: {{kind: replay, file: {0}/file.csv, {1}}}
  jsonl: {{kind: replay, file: {0}/file.jsonl, {1}}}
  jsonl.gz: {{kind: replay, file: {0}/file.jsonl.gz, {1}}}
boards: {{b: {{feeds: [csv]}}}}
"""
MAPPING = "speed: 1e9, key: symbol, fields: {last: last, name: name, time: time}"
LOOKS = 300
"""Looks after which everything has been read: a file of the longest input has fewer readings."""


@cache
def settings() -> Settings:
    """Return a config whose feeds play files of one directory."""
    directory = Path(mkdtemp(prefix="ticker-fuzz-"))
    for name in ("csv", "jsonl", "jsonl.gz"):
        (directory / f"file.{name}").touch()
    text = CONFIG.format(directory, MAPPING)
    return configfile.parse(text, "fuzz.yaml", base=directory, env={}).settings


def one(data: bytes) -> None:
    """Hold that a file is read to its end, and that nothing but words comes of what is wrong."""
    kind, content = parts(data, 2)
    feeds: dict[str, Any] = dict(settings().feeds)
    feed = feeds.get(kind.decode("latin-1"))
    if feed is None:
        return
    file = Path(feed.recording if "recording" in type(feed).model_fields else feed.file)
    file.write_bytes(content)
    with bounded():
        run(_played(feed))


async def _played(settings: Any) -> None:
    feed = make(settings)
    now = 1e9
    try:
        for look in range(LOOKS):
            try:
                reading = await feed.read(now + look * 1e6)
            except FeedError as error:
                is_one_line(error.why, 1_000)
                continue
            if not isinstance(reading, Reading):
                continue
            shown(reading.rows)
            encodable([str(rejection) for rejection in reading.rejections])
            if reading.ended:
                return
    finally:
        await feed.close()


def inputs() -> st.SearchStrategy[bytes]:
    """Return recordings and replays of which a few values are others."""
    good = {"at": 1, "feed": "f", "reading": 0, "url": "http://x/", "status": 200}
    good |= {"headers": {"content-type": "application/json"}, "body": '[{"symbol":"A","last":1}]'}
    keys = st.sampled_from([*good, "symbol", "error", "body_base64"])
    odd = st.one_of(SCALARS, documents(), st.sampled_from(["A", "Nw==", 404, 304]))
    line = st.dictionaries(keys, odd, max_size=2).map(lambda more: json_text(good | more))
    record = st.dictionaries(st.sampled_from(["time", "symbol", "last"]), odd, max_size=3)
    lines = st.lists(st.one_of(line, record.map(json_text)), max_size=4).map(b"\n".join)
    whole = lines.map(lambda text: text + b"\n")
    rows = st.lists(st.text(max_size=12), max_size=3).map(
        lambda found: "\n".join(["time,symbol,last", "1,A,2", *found]).encode("utf-8", "replace")
    )
    pressed = st.one_of(whole.map(gzip.compress), whole.map(lambda t: gzip.compress(t)[:-9]), whole)
    return st.one_of(
        joined(st.sampled_from([b"recording", b"jsonl"]), whole),
        joined(st.sampled_from([b"recording.gz", b"jsonl.gz"]), pressed),
        joined(st.just(b"csv"), rows),
    )
