"""The text of a config: settings that can be used and written again, or problems that say where."""

from __future__ import annotations

import warnings
from pathlib import Path

from hypothesis import strategies as st

from tests.fuzz.kit import ODD_TEXT, bounded, encodable
from ticker import configfile, protocol, redact
from ticker.configfile import Loaded
from ticker.effective import as_json, as_yaml, effective
from ticker.errors import ConfigError
from ticker.feeds.make import make

ENV = {"NAME": "value of the environment", "EMPTY": ""}
LONGEST = 1_000_000
"""Characters of everything that is said about one config."""


def one(data: bytes) -> None:
    """Hold that whatever is wrong is a problem with a place, and that what is right can be used."""
    text = data.decode("utf-8", "replace")
    with warnings.catch_warnings(), bounded():
        warnings.simplefilter("error")
        try:
            loaded = _parsed(text)
        except ConfigError as error:
            _are_told(error, text)
            return
    assert _parsed(text).settings == loaded.settings, "the same text says something else"
    _can_be_used(loaded)
    whole = as_yaml(effective(loaded.settings, loaded.source, {}))
    if redact.MASK not in whole:
        assert _parsed(whole).settings.effective() == loaded.settings.effective()


def _parsed(text: str) -> Loaded:
    return configfile.parse(text, "fuzz.yaml", base=Path(__file__).parent, env=ENV, read=_read)


def _read(name: str) -> str:
    if name == "there":
        return "text of a file\n"
    raise FileNotFoundError(2, "No such file or directory")


def _are_told(error: ConfigError, text: str) -> None:
    lines = text.count("\n") + text.count("\r") + text.count("\x85") + 2
    lines += text.count("\u2028") + text.count("\u2029")
    assert error.problems, "nothing is said to be wrong"
    for problem in error.problems:
        assert problem.message, "no words"
        assert problem.line >= 1, problem
        assert problem.column >= 1, problem
        assert problem.line <= lines, problem
    assert len(str(error)) < LONGEST, "too many words"
    str(error).encode()


def _can_be_used(loaded: Loaded) -> None:
    settings = loaded.settings.effective()
    encodable(settings.model_dump(mode="json"))
    as_json(effective(loaded.settings, loaded.source, {})).encode()
    for name, board in settings.boards.items():
        protocol.snapshot(
            name,
            epoch="e",
            seq=1,
            at=1,
            title=board.title or "",
            layout=board.layout,
            columns=[column.model_dump(mode="json") for column in board.columns],
            rows={},
            feeds={},
        )
    for feed in settings.feeds.values():
        make(feed)


KEYS = st.sampled_from(
    [
        "server",
        "feeds",
        "boards",
        "access",
        "bus",
        "host",
        "port",
        "workers",
        "heartbeat",
        "max_message",
        "rotate",
        "origins",
        "every",
        "kind",
        "simulate",
        "poll",
        "replay",
        "stream",
        "push",
        "url",
        "fields",
        "symbols",
        "seed",
        "file",
        "recording",
        "speed",
        "loop",
        "title",
        "layout",
        "columns",
        "flush",
        "history",
        "live",
        "idle",
        "calendar",
        "hours",
        "timezone",
        "days",
        "delay",
        "stale_after",
        "headers",
        "tokens",
        "subscribe",
        "event",
        "match",
        "where",
        "check",
        "rows",
        "key",
        "only",
        "format",
        "delimiter",
        "encoding",
        "max_rows",
        "field",
        "label",
        "digits",
        "map",
        "scale",
        "path",
        "keys",
        "algorithm",
        "viewers",
        "operations",
        "trusted_proxies",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            "1",
            "0",
            "-1",
            "5s",
            "250ms",
            "1h",
            "1e999",
            ".5",
            "ON",
            "null",
            "~",
            "true",
            "{}",
            "[]",
            "[a]",
            "{a:",
            "1}",
            "*a",
            "&a",
            "x",
            "${NAME}",
            "${NO}",
            "${file:x}",
            "$${",
            "'x'",
            '"\\ud800"',
            "!!int",
            "2001-01-01",
            "http://x/",
            "ws://x/",
            "8MB",
            "0x1F",
            "1_000",
            "prices",
            "scores",
            "a.b",
        ]
    ),
    st.integers(0, 9).map(lambda n: "9" * 10**3 * n),
    ODD_TEXT,
)


def inputs() -> st.SearchStrategy[bytes]:
    """Return configs of which a few values are others, and lines that look like some."""
    line = st.builds(
        lambda depth, dash, key, value: f"{'  ' * depth}{dash}{key}: {value}",
        st.integers(0, 3),
        st.sampled_from(["", "", "", "- "]),
        st.one_of(KEYS, VALUES),
        VALUES,
    )
    lines = st.lists(line, max_size=12).map("\n".join)
    changed = st.builds(
        lambda feed, board, server: GOOD.format(feed=feed, board=board, server=server),
        *[st.builds("{}: {}".format, KEYS, VALUES)] * 3,
    )
    return st.one_of(lines, changed).map(lambda text: text.encode("utf-8", "replace"))


GOOD = """\
server: {{{server}}}
feeds:
  f: {{kind: simulate, symbols: {{A: 1}}, {feed}}}
boards:
  b: {{feeds: [f], {board}}}
"""
