"""No secret is shown anywhere, even where a source repeats all that it was told.

The real program, as ops run it: its output, its log, every address, and what viewers get.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import httpx
import jwt
import orjson
import pytest

from tests.support import Follower, Handler, Source, source, until
from tests.test_cli import free_port, run
from ticker import configfile, redact
from ticker.errors import ConfigError

ADMIN = "adm1n-9f27c1d0b84e"
ENV = "env-77aa12cd55ef01"
LITERAL = "l1teral-40b6e5d2c3aa"
QUERY = "qu3ry-5b1c9d3e8f0022"
LOGIN, PASSWORD = "us3r-0d1e2f3a4b5c", "pa55-c0ffee112233"
PATH = "hushhushword"  # looks like none, but was filled in
FILE = "f1le-e7d6c5b4a39281"
BASIC = base64.b64encode(f"{LOGIN}:{PASSWORD}".encode()).decode()
SENT = (ENV, LITERAL, QUERY, LOGIN, PASSWORD, PATH, FILE, BASIC)
VIEWER_KEY = "v1ewer-3c2b1a09f8e7d6c5b4a39281706f5e4d"
PUSHER = "pu5her-8e7d6c5b4a3928"
VIEWER = jwt.encode({"exp": 4_000_000_000}, VIEWER_KEY, "HS256")
SIGNATURE = VIEWER.rpartition(".")[2]
EVERY = (ADMIN, VIEWER_KEY, PUSHER, SIGNATURE, *SENT)

ENVIRONMENT = {
    "ADMIN": ADMIN,
    "TOKEN": ENV,
    "PATH_KEY": PATH,
    "VIEWER_KEY": VIEWER_KEY,
    "PUSHER": PUSHER,
}


def shown(text: str) -> list[str]:
    """Return the secrets of which ``text`` shows the beginning or the end."""
    small = text.lower()
    return [s for s in EVERY if s[:8].lower() in small or s[-8:].lower() in small]


# -- a source that repeats what it was told


def says(status: int, document: Callable[[str], object]) -> Callable[[Handler, str], None]:
    """Return a way to repeat words: in a JSON document."""
    return lambda handler, words: handler.answer(status, orjson.dumps(document(words)))


def raw(text: str) -> Callable[[Handler, str], None]:
    """Return a way to repeat words: in the bytes of a response."""
    return lambda handler, words: handler.raw(text.format(words).encode())


def with_header(name: str, value: str, status: int = 200) -> Callable[[Handler, str], None]:
    """Return a way to repeat words: in a header of a response with a row."""
    body = b'[{"symbol": "A", "last": 1}]'
    return lambda h, words: h.answer(status, body, **{name: value.format(words)})


WAYS: dict[str, Callable[[Handler, str], None]] = {
    "message": says(403, lambda words: {"message": f"bad key {words}"}),
    "cut": says(403, lambda words: {"message": "x" * 110 + words}),
    "refusal": says(200, lambda words: {"error": words}),
    "other-type": says(200, lambda words: [{"symbol": "A", "last": words}]),
    "one-other-type": says(
        200, lambda words: [{"symbol": "A", "last": words}, {"symbol": "B", "last": 1}]
    ),
    "symbol": says(200, lambda words: [{"symbol": words, "last": "x"}, {"symbol": "B", "last": 1}]),
    "no-list": says(200, lambda words: words),
    "page": lambda handler, words: handler.answer(200, f"<html>{words}".encode()),
    "text": lambda handler, words: handler.answer(200, f"{'x' * 50}{words}".encode()),
    "reason": raw("HTTP/1.1 403 {0}\r\nContent-Length: 0\r\n\r\n"),
    "not-http": raw("{0} is what you sent\r\n\r\n"),
    "broken-header": raw("HTTP/1.1 200 OK\r\n{0} \x01: {0}\r\n\r\n"),
    "redirect": with_header("Location", "http://{0}.invalid/?k={0}", 302),
    "redirect-scheme": with_header("Location", "ftp://{0}/", 302),
    "redirect-no-host": with_header("Location", "http://xn--/{0}", 302),
    "redirect-nowhere": with_header("Location", "http://[{0}/", 302),
    "encoding": with_header("Content_Encoding", "{0}"),
    "charset": with_header("Content_Type", "application/json; charset={0}"),
    "etag": with_header("ETag", '"{0}"'),
    "length": with_header("Retry_After", "{0}", 429),
}
FEED = """
  {name}:
    kind: poll
    every: 10m
    timeout: 15s
    url: http://{login}@{host}/{name}/${{PATH_KEY}}?key={query}
    headers: {{X-Token: "Bearer ${{TOKEN}}", X-Key: {literal}, X-File: "${{file:secret}}"}}
    fields: {{last: last}}
"""


def script(upstream: Source) -> list[str]:
    """Let the source repeat every secret in every way; return the names of the feeds for that."""
    names = []
    for way in WAYS:
        for i, secret in enumerate(SENT):
            names.append(f"{way}-{i}")
            upstream.script[f"/{way}-{i}/{PATH}"] = partial(repeat, WAYS[way], secret)
    return names


def repeat(way: Callable[[Handler, str], None], words: str, handler: Handler) -> None:
    """Answer with the words."""
    way(handler, words)


def write_config(folder: Path, upstream: Source, names: list[str]) -> None:
    """Write a config whose feeds ask the source, each with all secrets."""
    url = httpx.URL(upstream.url)
    facts = {
        "host": f"{url.host}:{url.port}",
        "login": f"{LOGIN}:{PASSWORD}",
        "query": QUERY,
        "literal": LITERAL,
    }
    feeds = "".join(FEED.format(name=name, **facts) for name in names)
    feeds += '  pushed: {kind: push, every: 1s, tokens: ["${PUSHER}"], fields: {last: last}}\n'
    boards = f"boards:\n  b: {{feeds: [{', '.join(names)}]}}\n  c: {{feeds: [pushed]}}\n"
    keys = '[{algorithm: HS256, key: "${VIEWER_KEY}"}]'
    access = f'access: {{viewers: token, keys: {keys}, admin_tokens: ["${{ADMIN}}"]}}\n'
    (folder / "config.yaml").write_text(f"{access}feeds:{feeds}{boards}")
    (folder / "secret").write_text(f"{FILE}\n")


@dataclass
class Program:
    """`ticker serve`, and what it wrote."""

    url: str
    folder: Path

    def get(self, path: str, **headers: str) -> str:
        """Return an answer as a whole: its headers and its text."""
        response = httpx.get(self.url + path, headers=headers)
        return f"{response.status_code} {response.headers} {response.text}"

    def written(self) -> str:
        """Return all output so far."""
        return (self.folder / "stdout").read_text() + (self.folder / "stderr").read_text()


@contextmanager
def program(folder: Path) -> Iterator[Program]:
    """Run `ticker serve` as a process, until it is told to end."""
    port = free_port()
    command = [sys.executable, "-m", "ticker", "serve", "--port", str(port)]
    env = {**os.environ, **ENVIRONMENT}
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=err, env=env)
        found = Program(f"http://127.0.0.1:{port}", folder)

        def up() -> bool:
            assert process.poll() is None, found.written()
            try:
                return httpx.get(f"{found.url}/healthz").status_code == 200
            except httpx.TransportError:
                return False

        try:
            until(up, what="the start")
            yield found
        finally:
            process.terminate()
            process.wait(20)


ADDRESSES = (
    *("/", "/api/feeds", "/api/boards", "/api/boards/b", "/api/boards/b/history", "/healthz"),
    *("/readyz", "/config.schema.json", "/metrics", "/status", "/api/status", "/nothing"),
    *("/openapi.json", "/api/you", "/api/viewers", "/api/notices", "/embed/tape", "/client.js"),
    *("/api/feeds/pushed", "/-/reload", "/events?board=none", "/ws", "/docs"),
)
WATCHES = {"authorization": f"Bearer {VIEWER}"}


def test_a_server_shows_no_secret(tmp_path: Path) -> None:
    """Neither in its log, nor at any address, nor to a viewer."""
    with source() as upstream:
        names = script(upstream)
        write_config(tmp_path, upstream, names)
        with program(tmp_path) as server:
            tried: dict[str, dict[str, object]] = {}

            def all_read() -> bool:
                feeds = httpx.get(f"{server.url}/api/feeds", headers=WATCHES).json()["feeds"]
                tried.update((name, feeds[name]) for name in names)
                return all(feed["attempts"] for feed in tried.values())

            until(all_read, what="a reading of every feed", patience=60)
            for address in ADDRESSES:
                assert not shown(server.get(address)), address
                for token in ("wrong", VIEWER, ADMIN, PUSHER):
                    known = server.get(address, authorization=f"Bearer {token}")
                    assert not shown(known), address
                query = f"{'&' if '?' in address else '?'}token={VIEWER}"
                assert not shown(server.get(address + query)), address
            push(server)
            watch(server)
            url = f"{server.url.replace('http', 'ws')}/ws?board=b&token={VIEWER}"
            with Follower(url) as viewer:
                viewer.follow_until(lambda v: "b" in v.rows)
                assert viewer.feeds["b"].keys() == set(names)
                assert not shown(str(viewer.messages))
                viewer.send(type="token", token=f"{VIEWER}x")
                assert not shown(str(viewer.wait("error")))
            until(lambda: "refused a guess" in server.written())
            said = server.written()
            assert not shown(said)
            assert all(orjson.loads(line) for line in said.splitlines())
        assert "Traceback" not in said
    told = str(upstream.requests)
    # the login is sent as the one word that BASIC is
    assert [secret for secret in SENT if secret not in told] == [LOGIN, PASSWORD]
    fine = {name for name, feed in tried.items() if feed["last_error"] is None}
    silent = ("etag", "one-other-type", "symbol")
    assert {name.rpartition("-")[0] for name in fine} == set(silent), "a way did not fail"
    rejections = "".join(str(tried[f"one-other-type-{i}"]["rejections"]) for i in range(2))
    assert redact.MASK in rejections


def push(server: Program) -> None:
    """Push to a feed: with its token, and with others."""
    url = f"{server.url}/api/feeds/pushed"
    for token in (PUSHER, f"{PUSHER}x", ADMIN, VIEWER):
        headers = {"authorization": f"Bearer {token}"}
        for body, status in (([{"symbol": "A", "last": 1}], 200), ({}, 422)):
            answer = httpx.post(url, json=body, headers=headers)
            assert answer.status_code == (status if token == PUSHER else 403)
            assert not shown(f"{answer.headers} {answer.text}")


def watch(server: Program) -> None:
    """Run the commands that watch a server, with a token that counts and with others."""
    for token in (VIEWER, f"{VIEWER}x", ADMIN, f"{ADMIN}\n{VIEWER}"):
        for command in (["top", server.url, "--once"], ["tail", server.url, "b", "--count", "1"]):
            result = run(*command, TICKER_TOKEN=token)
            assert (result.returncode == 0) is (token == VIEWER), result.stderr
            assert "Traceback" not in result.stderr
            assert not shown(result.stdout + result.stderr), command
    result = run("probe", server.url, "--board", "c", TICKER_TOKEN=f"{VIEWER}x")
    assert not shown(result.stdout + result.stderr)


def test_commands_show_no_secret(tmp_path: Path) -> None:
    """`check`, `config print`, and `try` with one secret or another."""
    with source() as upstream:
        names = script(upstream)
        write_config(tmp_path, upstream, names)
        for command in (["check"], ["config", "print"], ["config", "print", "--format", "json"]):
            result = run(*command, cwd=tmp_path, **ENVIRONMENT)
            assert result.returncode == 0, result.stderr
            assert not shown(result.stdout + result.stderr), command
        for i, way in enumerate(("etag", "redirect", "charset", "symbol", "other-type", "cut")):
            result = run("try", f"{way}-{i}", cwd=tmp_path, **ENVIRONMENT)
            assert "Traceback" not in result.stderr
            assert redact.MASK in result.stdout
            assert not shown(result.stdout + result.stderr), way
        out = tmp_path / "recorded.jsonl"
        feeds = [f"{way}-{i}" for i, way in enumerate(("other-type", "symbol", "message", "etag"))]
        result = run(
            "record", *feeds, "--out", str(out), "--for", "2s", cwd=tmp_path, **ENVIRONMENT
        )
        assert "Traceback" not in result.stderr
        assert redact.MASK in out.read_text()
        assert not shown(result.stdout + result.stderr + out.read_text())


# -- a config that is wrong at the very place of a secret


FEEDS = """\
feeds:
  f:
    kind: poll
    every: 5s
    url: https://api.example.com/t
    fields: {last: last}
"""
BOARDS = "boards: {b: {feeds: [f]}}\n"
GOOD = FEEDS + BOARDS


def feed(**keys: str) -> str:
    """Return a config whose feed has more or other keys."""
    text = FEEDS
    for key, value in keys.items():
        text = re.sub(rf"^    {key}: .*\n", "", text, flags=re.MULTILINE)
        text += f"    {key}: {value}\n"
    return text + BOARDS


BROKEN = {
    "a token for the list": f"access: {{admin_tokens: {LITERAL}}}\n{GOOD}",
    "a list in the list": f"access: {{admin_tokens: [[{LITERAL}]]}}\n{GOOD}",
    "a short token": f"access: {{admin_tokens: [{LITERAL[-10:]}]}}\n{GOOD}",
    "a token too much": f"access: {{admin_tokens: [{LITERAL}], x: 1}}\n{GOOD}",
    "a token in a block": f"access:\n  admin_tokens:\n    - {LITERAL}\n    - [{LITERAL}]\n{GOOD}",
    "a token over two lines": f'access: {{admin_tokens: ["\n   {LITERAL}"], x: 1}}\n{GOOD}',
    "a misspelt key": f"access: {{admin_token: [{LITERAL}]}}\n{GOOD}",
    "a misplaced key": f"admin_tokens: [{LITERAL}]\n{GOOD}",
    "a misplaced token": f"access: {LITERAL}\n{GOOD}",
    "tokens twice": f"access: {{admin_tokens: [{LITERAL}], admin_tokens: [{LITERAL}]}}\n{GOOD}",
    "a token from the environment": f'access: {{admin_tokens: "${{TOKEN}}"}}\n{GOOD}',
    "a default for a token": f'access: {{admin_tokens: "${{NONE:-{LITERAL}}}"}}\n{GOOD}',
    "headers as text": feed(headers=LITERAL),
    "headers as a list": feed(headers=f"['X-Key: {LITERAL}']"),
    "a header as a list": feed(headers=f"{{X-Key: [{LITERAL}]}}"),
    "a header with an umlaut": feed(headers=f"{{X-Key: {LITERAL}ü}}"),
    "a header from the environment with an umlaut": feed(headers='{X-Key: "${TOKEN}ü"}'),
    "a header's default with an umlaut": feed(headers=f'{{X-Key: "${{NONE:-{LITERAL}ü}}"}}'),
    "a bad header's name": feed(headers=f"{{X Key: {LITERAL}}}"),
    "headers misspelt": feed(header=f"{{X-Key: {LITERAL}}}"),
    "a header twice": feed(headers=f"{{X-Key: {LITERAL}, X-Key: {LITERAL}}}"),
    "headers twice": GOOD.replace(
        "    every", f"    headers: {{}}\n    headers: {{X-Key: {LITERAL}}}\n    every"
    ),
    "a feed twice": GOOD.replace(
        "boards:", f"  f: {{kind: poll, headers: {{X-Key: {LITERAL}}}}}\nboards:"
    ),
    "a url's scheme": feed(url=f"ftp://{LOGIN}:{PASSWORD}@h.invalid/?key={QUERY}"),
    "a url's port": feed(url=f"http://{LOGIN}:{PASSWORD}@h.invalid:0/?key={QUERY}"),
    "a url without {symbol}": feed(url=f"http://h.invalid/?key={QUERY}", symbols="[a]"),
    "a url that is none": feed(url=f"http://[{LOGIN}:{PASSWORD}@h"),
    "a url in a line": f"feeds: {{f: {{kind: poll, url: http://h.invalid/?k={QUERY}}}}}\n{BOARDS}",
    "a url as an origin": f"server: {{origins: ['http://{LOGIN}:{PASSWORD}@h.invalid']}}\n{GOOD}",
    "a url from the environment": feed(url='"${TOKEN}"'),
    "a kind": feed(kind='"${TOKEN}"'),
    "a time": feed(every='"${TOKEN}"'),
    "a time zone": feed(timezone='"${TOKEN}"'),
    "a format": feed(format='"${TOKEN}"'),
    "a path": feed(key='"x ${TOKEN}"'),
    "a path with a sign": feed(key='"~${TOKEN}"'),
    "a path that breaks in the middle": feed(key='"${BROKEN}"'),
    "a file": "feeds: {f: {kind: replay, file: '${TOKEN}.csv', fields: {last: l}}}\n" + BOARDS,
    "a required field": feed(required='["${FIELD}"]'),
    "a number from a file": feed(max_rows='"${file:secret}"'),
    "a feed's name": FEEDS + 'boards: {b: {feeds: ["${TOKEN}"]}}\n',
    "an unclosed quote": f'access:\n  admin_tokens: ["{LITERAL}]\n{GOOD}',
    "an unclosed list": f"access: {{admin_tokens: [{LITERAL}\n{GOOD}",
    "a colon too much": feed(headers="").replace(
        "headers: ", f"headers:\n      X-Key: Bearer: {LITERAL}"
    ),
    "an alias": f"access: {{admin_tokens: [*{LITERAL}]}}\n{GOOD}",
    "a tag": f"access: {{admin_tokens: [!{LITERAL}! x]}}\n{GOOD}",
    "a directive": f"access: {{admin_tokens: [%{LITERAL}]}}\n{GOOD}",
    "a login beside a mistake": feed(url=f"'https://{LOGIN}:password@h"),
}
COMMANDS = (
    ["check", "c.yaml"],
    ["serve", "-c", "c.yaml"],
    ["try", "f", "-c", "c.yaml"],
    ["config", "print", "-c", "c.yaml"],
)
FIELD = "env_77aa12cd55ef01"


@pytest.mark.parametrize("name", BROKEN)
def test_a_problem_of_the_config_shows_no_secret(tmp_path: Path, name: str) -> None:
    """Neither in its words nor in the line of the file that it shows."""
    (tmp_path / "secret").write_text(FILE)
    env = {**ENVIRONMENT, "FIELD": FIELD, "BROKEN": f"x[{FIELD}"}
    with pytest.raises(ConfigError) as caught:
        configfile.parse(BROKEN[name], "c.yaml", base=tmp_path, env=env)
    words = str(caught.value)
    assert not shown(words.replace(FIELD, ENV)), words


@pytest.mark.parametrize(("name", "command"), list(zip(BROKEN, cycle(COMMANDS), strict=False))[:8])
def test_a_command_with_a_wrong_config_shows_no_secret(
    tmp_path: Path, name: str, command: list[str]
) -> None:
    """As above, as a process."""
    (tmp_path / "c.yaml").write_text(BROKEN[name])
    result = run(*command, cwd=tmp_path, **ENVIRONMENT)
    assert result.returncode == 1
    assert "c.yaml:" in result.stderr
    assert not shown(result.stdout + result.stderr)


def test_what_is_too_short_to_be_found_in_words_is_not_put_there(tmp_path: Path) -> None:
    """A secret of a few letters that stands where a list should be."""
    with pytest.raises(ConfigError) as caught:
        configfile.parse(f"access: {{admin_tokens: q7z}}\n{GOOD}", "c", base=tmp_path, env={})
    assert "expected a list, got another value" in str(caught.value)
    assert "q7z" not in str(caught.value)


def test_lines_still_show_what_is_no_secret() -> None:
    """A reference stays readable, and the caret stands under the place."""
    text = feed(headers='{X-Key: "Bearer ${TOKEN}", X Y: "${NONE}"}')
    with pytest.raises(ConfigError) as caught:
        configfile.parse(text, "c.yaml", base=Path(), env=ENVIRONMENT)
    line, caret = str(caught.value.problems[0]).splitlines()[1:3]
    assert line.strip() == 'headers: {X-Key: "Bearer ${TOKEN}", X Y: "${NONE}"}'
    with pytest.raises(ConfigError) as caught:
        configfile.parse(
            f"access: {{admin_tokens: [{LITERAL}], sever: 1}}\n{GOOD}", "c", base=Path(), env={}
        )
    line, caret = str(caught.value).splitlines()[1:3]
    assert line.strip() == f"access: {{admin_tokens: [{'*' * len(LITERAL)}], sever: *}}"
    assert line[len(caret) - 1 :].startswith("sever")


# -- the words themselves


@pytest.mark.parametrize(
    ("words", "clean"),
    [
        ("key abcdef123", "key ***"),
        ("key ABCDEF123!", "key ***!"),
        ("key abcdef1…", "key ***…"),
        ("key abcde", "key abcde"),
        ("abcdef123abcdef123", "******"),
        ("a%2Fb%2Fc%2Fd", "***"),
        ("a/b/c/d", "***"),
        ("nothing", "nothing"),
    ],
)
def test_words_without_secrets(words: str, clean: str) -> None:
    """In any case, cut short, as URLs have it."""
    assert redact.without(words, ["abcdef123", "a/b/c/d", "", "no"]) == clean


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("https://x.com/v3/ticker?a=1&b=", "https://x.com/v3/ticker?a=***&b="),
        ("https://x.com/{symbol}?s={symbol}", "https://x.com/{symbol}?s={symbol}"),
        ("https://bob:pw@x.com:99/#t", "https://***@x.com:99/#***"),
        ("https://x.com/9a8b7c6d5e/latest?4711", "https://x.com/***/latest?***"),
        ("https://[x", "***"),
    ],
)
def test_a_url_without_secrets(url: str, masked: str) -> None:
    """Login, query, fragment, and parts of the path that look like keys."""
    assert redact.masked_url(url) == masked
