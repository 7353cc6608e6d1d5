"""The config file: what is accepted, and what each mistake is called."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ticker import configfile
from ticker.config import PollFeed, ReplayFeed, SimulatedPrices
from ticker.errors import ConfigError, Problem

GOOD = """\
server: {port: 9000}
feeds:
  shares:
    kind: simulate
    symbols: {AAPL: 190.12}
  coins:
    kind: poll
    every: 5s
    url: https://api.example.com/t
    fields: {last: lastPrice}
boards:
  stocks: {feeds: [shares]}
  crypto: {feeds: [coins], columns: [last]}
"""


def parse(text: str, **env: str) -> configfile.Loaded:
    """Parse a config text."""
    return configfile.parse(text, "c.yaml", base=Path("/nowhere"), env=env)


def problems(text: str, **env: str) -> list[str]:
    """Return each problem's first line, without the file."""
    with pytest.raises(ConfigError) as caught:
        parse(text, **env)
    return [str(p).splitlines()[0].removeprefix("c.yaml:") for p in caught.value.problems]


def edited(old: str, new: str) -> str:
    """Return the good config with one mistake in it."""
    assert GOOD.count(old) == 1, old
    return GOOD.replace(old, new)


def test_a_good_config() -> None:
    """Values arrive as what they mean, defaults are filled in."""
    settings = parse(GOOD).settings
    coins = settings.feeds["coins"]
    assert isinstance(coins, PollFeed)
    assert (settings.server.port, coins.every, coins.deadline) == (9000, 5.0, 4.0)
    assert (coins.freshness.stale_after, coins.freshness.down_after) == (15.0, 60.0)
    assert coins.fields["last"].path == "lastPrice"


MISTAKES = {
    "half a character": (
        edited("stocks: {feeds", r'stocks: {title: "\ud800", feeds'),
        [r"12:19: boards.stocks.title: expected whole characters, got one of \ud800 to \udfff"],
    ),
    "a whole number that JSON has not": (
        edited("port: 9000", "max_viewers: 1234567890123456789"),
        [
            "1:23: server.max_viewers: expected a whole number of at most 18 digits,"
            " got '1234567890123456789'"
        ],
    ),
    "a size beyond all disks": (
        edited("port: 9000", "max_message: 1000001GB"),
        ["1:23: server.max_message: expected a size of at most 1000000GB, got '1000001GB'"],
    ),
    "a duration of centuries": (
        edited("port: 9000", "stall_timeout: 9999999h"),
        ["1:25: server.stall_timeout: expected a duration of at most 1e+09s, got '9999999h'"],
    ),
    "a format that says a part twice": (
        edited("{last: lastPrice}", '{time: {path: x, format: "%d %d"}}'),
        [
            "10:38: feeds.coins.fields.time.format: expected a strptime format such as %d %B %Y,"
            " each part once, got '%d %d'"
        ],
    ),
    "an expression of hundreds of levels": (
        edited("{last: lastPrice}", "{last: " + "(" * 500 + "}"),
        ["10:20: feeds.coins.fields.last: not a JMESPath expression: too many levels"],
    ),
    "hundreds of levels": ("[" * 500, ["1:1: more than 100000 values or 50 levels"]),
    "unknown key": (
        edited("    every: 5s\n", "    every: 5s\n    evry: 5s\n"),
        ["9:5: feeds.coins.evry: unknown key, did you mean 'every'?"],
    ),
    "unknown key far from any": (
        edited("port: 9000", "port: 9000, zzz: 1"),
        ["1:22: server.zzz: unknown key"],
    ),
    "unknown key in a simulation": (
        edited("    kind: simulate\n", "    kind: simulate\n    sed: 1\n"),
        ["5:5: feeds.shares.sed: unknown key, did you mean 'seed'?"],
    ),
    "unknown key in a field": (
        edited("{last: lastPrice}", "{last: {path: x, knd: text}}"),
        ["10:30: feeds.coins.fields.last.knd: unknown key, did you mean 'kind'?"],
    ),
    "unknown key in a column": (
        edited("columns: [last]", "columns: [{field: last, digit: 2}]"),
        ["13:52: boards.crypto.columns[0].digit: unknown key, did you mean 'digits'?"],
    ),
    "missing key": (
        edited("    url: https://api.example.com/t\n", ""),
        ["6:3: feeds.coins.url: required key is missing"],
    ),
    "missing part": (
        GOOD[: GOOD.index("boards:")],
        ["1:1: boards: required key is missing"],
    ),
    "duplicate key": (
        edited("    every: 5s\n", "    every: 5s\n    every: 6s\n"),
        ["9:5: feeds.coins.every: duplicate key, first on line 8"],
    ),
    "wrong number": (
        edited("port: 9000", "port: many"),
        ["1:16: server.port: expected a whole number, got 'many'"],
    ),
    "number in quotes": (
        edited("port: 9000", 'port: "9000"'),
        ["1:16: server.port: expected a whole number, got '9000'"],
    ),
    "number out of range": (
        edited("port: 9000", "port: 90000"),
        ["1:16: server.port: must be less than or equal to 65535, got '90000'"],
    ),
    "more digits than a whole number has": (
        edited("port: 9000", f"port: {'9' * 5000}"),
        [f"1:16: server.port: expected a whole number, got '{'9' * 60}'"],
    ),
    "more digits than a number has": (
        edited("190.12", "1e400"),
        ["5:21: feeds.shares.symbols.AAPL: expected a finite number, got '1e400'"],
    ),
    "more digits than a duration has": (
        edited("every: 5s", f"every: 5s\n    stale_after: {'9' * 400}s"),
        [f"9:18: feeds.coins.stale_after: expected a duration of at most 1e+09s, got '{'9' * 60}'"],
    ),
    "more digits than a size has": (
        edited("every: 5s", f"every: 5s\n    max_bytes: {'9' * 400}MB"),
        [f"9:16: feeds.coins.max_bytes: expected a size of at most 1000000GB, got '{'9' * 60}'"],
    ),
    "duration without unit": (
        edited("every: 5s", "every: 5"),
        ["8:12: feeds.coins.every: expected a duration such as 250ms, 5s, 1m or 2h, got '5'"],
    ),
    "no path of a field": (
        edited("{last: lastPrice}", "{last: }"),
        ["10:14: feeds.coins.fields.last: expected a path or a mapping with `path`, got nothing"],
    ),
    "nothing where something must be": (
        edited("every: 5s", "every:"),
        ["8:5: feeds.coins.every: expected a duration such as 250ms, 5s, 1m or 2h, got nothing"],
    ),
    "a list for a mapping": (
        edited("{AAPL: 190.12}", "[AAPL]"),
        ["5:14: feeds.shares.symbols: expected a mapping of keys to values, got a list"],
    ),
    "text for a list": (
        edited("[shares]", "shares"),
        ["12:19: boards.stocks.feeds: expected a list, got 'shares'"],
    ),
    "no feed at all": (
        edited("[shares]", "[]"),
        ["12:19: boards.stocks.feeds: expected at least 1 entries"],
    ),
    "timeout not below every": (
        edited("every: 5s", "every: 5s\n    timeout: 5s"),
        ["9:14: feeds.coins.timeout: must be below every (5 s), got 5 s"],
    ),
    "down before stale": (
        edited("every: 5s", "every: 5s\n    stale_after: 9s\n    down_after: 8s"),
        ["10:17: feeds.coins.down_after: must not be below stale_after (9 s), got 8 s"],
    ),
    "unknown kind": (
        edited("kind: poll", "kind: pol"),
        ["7:11: feeds.coins.kind: expected simulate, poll, replay, stream or push, got 'pol'"],
    ),
    "no kind": (
        edited("    kind: poll\n", ""),
        ["7:5: feeds.coins: expected simulate, poll, replay, stream or push as `kind`"],
    ),
    "unknown model": (
        edited("kind: simulate", "kind: simulate\n    model: price"),
        ["5:12: feeds.shares.model: expected prices or scores, got 'price'"],
    ),
    "a board naming a feed that is not there": (
        edited("[coins]", "[coin]"),
        ["13:20: boards.crypto.feeds[0]: no feed 'coin', did you mean 'coins'?"],
    ),
    "a board naming a feed twice": (
        edited("[coins]", "[coins, coins]"),
        ["13:27: boards.crypto.feeds[1]: feed 'coins' is named twice"],
    ),
    "unset environment": (
        edited("https://api.example.com/t", "https://api.example.com/${KEY}"),
        [
            "9:10: feeds.coins.url: environment variable 'KEY' is not set; "
            "set it or write ${KEY:-default}"
        ],
    ),
    "unset environment, and nothing else": (
        edited("https://api.example.com/t", "${KEY}"),
        [
            "9:10: feeds.coins.url: environment variable 'KEY' is not set; "
            "set it or write ${KEY:-default}"
        ],
    ),
    "unreadable file": (
        edited("https://api.example.com/t", "https://x/${file:secret}"),
        ["9:10: feeds.coins.url: cannot read file 'secret': No such file or directory"],
    ),
    "bad path": (
        edited("lastPrice", "last..Price"),
        ["10:20: feeds.coins.fields.last: not a JMESPath expression:"],
    ),
    "no url": (
        edited("https://api.example.com/t", "ftp://x"),
        [r"9:10: feeds.coins.url: expected text of the form ^https?://[^/\s]+, got 'ftp://x'"],
    ),
    "symbols missing for the url": (
        edited("com/t", "com/{symbol}"),
        ["6:3: feeds.coins.symbols: the url has {symbol} in it, so at least one must be listed"],
    ),
    "symbols that the url does not use": (
        edited("every: 5s", "every: 5s\n    symbols: [A]"),
        ["9:14: feeds.coins.symbols: needs {symbol} in the url; to keep only some rows use `only`"],
    ),
    "unknown time zone": (
        edited("every: 5s", "every: 5s\n    timezone: Mars/Base"),
        ["9:15: feeds.coins.timezone: expected a time zone such as Europe/Berlin, got 'Mars/Base'"],
    ),
    "unknown choice": (
        edited("feeds: [shares]", "feeds: [shares], layout: cards"),
        ["12:37: boards.stocks.layout: expected quotes or scores, got 'cards'"],
    ),
    "a store that is a word": (
        edited("feeds:\n  shares", "store: yes\nfeeds:\n  shares"),
        ["2:8: store: expected the path of a file, or off, got 'yes'"],
    ),
    "a store that is a url": (
        edited("feeds:\n  shares", "store: sqlite:///t.db\nfeeds:\n  shares"),
        ["2:8: store: expected the path of a file, or off, got 'sqlite:///t.db'"],
    ),
    "a store that no file can be": (
        edited("feeds:\n  shares", 'store: "a\\0b"\nfeeds:\n  shares'),
        ["2:8: store: expected the path of a file, or off, got 'a"],
    ),
    "replay of nothing": (
        edited(
            "kind: simulate\n    symbols: {AAPL: 190.12}",
            "kind: replay\n    file: a.csv\n    fields: {last: x}",
        ),
        ["5:11: feeds.shares.file: no such file: /nowhere/a.csv"],
    ),
    "replay of an unknown format": (
        edited(
            "kind: simulate\n    symbols: {AAPL: 190.12}",
            "kind: replay\n    file: a.txt\n    fields: {last: x}",
        ),
        [
            "5:11: feeds.shares.file: ends in none of .csv, .jsonl, .ndjson (or .gz); "
            "name the `format`"
        ],
    ),
    "a bad name of a field": (
        edited("{last: lastPrice}", "{Last: lastPrice}"),
        ["10:14: feeds.coins.fields.Last: expected text of the form ^[a-z][a-z0-9_]{0,39}$"],
    ),
    "not yaml": (
        "feeds: [",
        ["1:9: not YAML: expected the node content, but found '<stream end>'"],
    ),
    "a tab": (
        "feeds:\n\tx: 1",
        ["2:1: not YAML: found character '\\t' that cannot start any token"],
    ),
    "two documents": (
        "a: 1\n---\nb: 2",
        ["2:1: not YAML: but found another document expected a single document in the stream"],
    ),
    "empty": ("", ["1:1: boards: required key is missing", "1:1: feeds: required key is missing"]),
    "a list": ("- a", ["1:1: expected a mapping of keys to values, got a list"]),
    "a key that is a list": (edited("{AAPL: 190.12}", "{[A]: 1}"), []),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_each_mistake_is_named(name: str) -> None:
    """Where it is, what was expected and what came."""
    text, expected = MISTAKES[name]
    found = problems(text)
    if expected:
        assert len(found) == len(expected)
        for line, start in zip(found, expected, strict=True):
            assert line.startswith(start)
    else:
        assert found


@pytest.mark.parametrize(
    "origin",
    [
        "https://intranet.example.com",
        "http://localhost:3000",
        "http://[::1]:8080",
        "https://127.0.0.1",
    ],
)
def test_origins_are_as_browsers_write_them(origin: str) -> None:
    """A scheme, a host and perhaps a port."""
    text = edited("port: 9000", f"origins: ['{origin}']")
    assert parse(text).settings.server.origins == [origin]


@pytest.mark.parametrize(
    "origin",
    [
        "intranet.example.com",
        "https://",
        "https://intranet.example.com/",
        "https://intranet.example.com:443",
        "http://intranet.example.com:80",
        "https://intranet.example.com:99999",
        "https://Intranet.example.com",
        "https://me@intranet.example.com",
        "https://*.example.com",
        "https://a.example; script-src *",
        "https://a.example\n",
        "ftp://intranet.example.com",
        "null",
        "*",
    ],
)
def test_anything_else_is_no_origin(origin: str) -> None:
    """It would be compared with what browsers write, and never be the same, or say more."""
    text = edited("port: 9000", f"origins: [{json.dumps(origin)}]")
    (problem,) = problems(text)
    assert problem.startswith("1:20: server.origins[0]: expected an ")


def test_all_mistakes_are_found_at_once() -> None:
    """Ops mend a file in one go."""
    text = GOOD.replace("9000", "x").replace("5s", "5").replace("[coins]", "[c]")
    assert [line.split(": ")[1] for line in problems(text)] == [
        "server.port",
        "feeds.coins.every",
        "boards.crypto.feeds[0]",
    ]


def test_of_very_many_mistakes_the_first_are_told() -> None:
    """Each takes time; of a long line the part around the mistake is shown."""
    text = "{" + ", ".join(f"a{i}: 1" for i in range(2_000)) + "}"
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert 90 <= len(caught.value.problems) <= 100
    assert len(str(caught.value)) < 200_000
    for shown in map(str, caught.value.problems):
        head, line, caret = shown.splitlines()
        if "unknown key" in head:
            assert line[len(caret) - 1 :].startswith(head.split()[1].rstrip(":") + ":")


def test_a_problem_shows_its_line_and_a_caret() -> None:
    """The caret stands under the value, also behind tabs."""
    shown = str(Problem("c.yaml", 2, 5, "a.b", "wrong", "\tb: x"))
    assert shown == "c.yaml:2:5: a.b: wrong\n    \tb: x\n    \t   ^"


def test_symbols_stay_text() -> None:
    """YAML 1.1 would read them as booleans, numbers, times and nothing."""
    text = edited("{AAPL: 190.12}", "{ON: 1, NO: 2, TRUE: 3, 12:30: 4, 007: 5, NULL: 6, 1e5: 7}")
    shares = parse(text).settings.feeds["shares"]
    assert isinstance(shares, SimulatedPrices)
    assert list(shares.symbols) == ["ON", "NO", "TRUE", "12:30", "007", "NULL", "1e5"]


def test_symbols_in_lists_stay_text() -> None:
    """The same where a symbol is a value."""
    text = edited("every: 5s", "every: 5s\n    only: [ON, NO, TRUE, 12:30, 600519, NULL]")
    coins = parse(text).settings.feeds["coins"]
    assert isinstance(coins, PollFeed)
    assert coins.only == ["ON", "NO", "TRUE", "12:30", "600519", "NULL"]


def test_references_are_expanded() -> None:
    """Environment, default and escape."""
    headers = '{a: "${KEY}", b: "${NONE:-x y}", c: "$${KEY}", d: "${EMPTY:-z}"}'
    text = edited("every: 5s", f"every: 5s\n    headers: {headers}")
    coins = parse(text, KEY="k", EMPTY="").settings.feeds["coins"]
    assert isinstance(coins, PollFeed)
    assert coins.headers == {"a": "k", "b": "x y", "c": "${KEY}", "d": ""}


def test_secrets_come_from_files(tmp_path: Path) -> None:
    """``${file:PATH}`` is relative to the config, without the line's end."""
    (tmp_path / "key").write_text("secret\n")
    (tmp_path / "c.yaml").write_text(
        edited("every: 5s", 'every: 5s\n    headers: {a: "${file:key}"}')
    )
    coins = configfile.load(tmp_path / "c.yaml").settings.feeds["coins"]
    assert isinstance(coins, PollFeed)
    assert coins.headers == {"a": "secret"}


def test_an_expanded_value_is_never_shown() -> None:
    """A secret in the wrong place must not end in a log."""
    found = problems(edited("every: 5s", "every: ${KEY}"), KEY="hunter2")
    assert found
    assert "hunter2" not in "".join(found)


def test_anchors_work_and_bombs_do_not() -> None:
    """Aliases save typing; a file that grows without bound is refused."""
    assert parse(edited("[shares]", "&f [shares]").replace("{feeds: [coins]", "{feeds: *f"))
    levels = "".join(f"  a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 9))
    assert "more than" in problems(f"x:\n  a0: &a0 [1]\n{levels}")[0]


def test_columns_that_no_feed_fills_are_warned_of() -> None:
    """The board works, but a column stays empty."""
    (warning,) = parse(edited("columns: [last]", "columns: [last, bid]")).warnings
    assert str(warning).startswith("c.yaml:13:44: warning: boards.crypto.columns[1]: no feed fills")


def test_feeds_that_no_board_shows_are_warned_of() -> None:
    """Polling for nobody is probably a mistake."""
    (warning,) = parse(edited("  stocks: {feeds: [shares]}\n", "")).warnings
    assert str(warning).startswith("c.yaml:3:3: warning: feeds.shares: no board shows this feed")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot read: No such file"), (b"\xff\xfe", "not UTF-8"), (b" " * 2_000_000, "larger")],
)
def test_unusable_files(tmp_path: Path, content: bytes | None, words: str) -> None:
    """A file that is not there, no text, or absurdly large is one clear line."""
    file = tmp_path / "c.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=words):
        configfile.load(file)


def test_settings_are_frozen() -> None:
    """Nothing changes a config that runs."""
    settings = parse(GOOD).settings
    with pytest.raises(ValueError, match="frozen"):
        settings.server.port = 1


def test_default_columns_are_what_feeds_provide() -> None:
    """A board without columns shows what there is, derived fields included."""
    text = edited("{last: lastPrice}", "{last: l, open: o, market_cap: m}")
    settings = parse(text.replace(", columns: [last]", "")).settings
    columns = [(c.field, c.label, c.kind) for c in settings.columns("crypto")]
    assert columns == [
        ("last", "Last", "price"),
        ("change", "Change", "price"),
        ("change_pct", "Change %", "percent"),
        ("market_cap", "Market cap", "auto"),
    ]


def test_replay_knows_its_format_by_name(tmp_path: Path) -> None:
    """Also behind .gz."""
    (tmp_path / "a.csv.gz").touch()
    feed = "kind: replay\n    file: a.csv.gz\n    fields: {last: x}"
    (tmp_path / "c.yaml").write_text(edited("kind: simulate\n    symbols: {AAPL: 190.12}", feed))
    shares = configfile.load(tmp_path / "c.yaml").settings.feeds["shares"]
    assert isinstance(shares, ReplayFeed)
    assert shares.layout == "csv"


def test_the_demo_is_the_shipped_config() -> None:
    """What runs without a config file is good, warns of nothing and needs no network."""
    loaded = configfile.demo()
    assert not loaded.warnings
    assert {feed.kind for feed in loaded.settings.feeds.values()} == {"simulate"}
