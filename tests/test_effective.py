"""``ticker config print``: what every key comes to, and where each value came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.test_cli import ROOT, run
from tests.test_examples import SECRETS
from ticker import configfile, effective
from ticker.scalars import size_text, time_text

CONFIG = """\
server: {port: 9000, max_message: 4KB, heartbeat: "${BEAT}"}
access:
  admin_tokens: [written-down-by-mistake, "${file:token}"]
feeds:
  coins:
    kind: poll
    every: 5s
    url: https://bob:pw@api.example.com/v1/4f2a9c7be1/t?symbol={symbol}&key=k3y
    symbols: [BTC, "007"]
    headers: {Authorization: "Bearer ${COINS_TOKEN}", Accept: text/plain}
    fields: {last: lastPrice, spread: {path: s, kind: price}}
boards:
  my-coins: {feeds: [coins], columns: [last, {field: spread, digits: 2}]}
"""


def printed(folder: Path, *options: str, text: str = CONFIG) -> Any:
    """Return the effective config as JSON has it."""
    (folder / "c.yaml").write_text(text)
    (folder / "token").write_text("a-token-from-a-file")
    command = ("config", "print", "-c", "c.yaml", *options)
    result = run(*command, cwd=folder, BEAT="3s", COINS_TOKEN="s3cret-t0ken")
    assert (result.returncode, result.stderr) == (0, "")
    return json.loads(result.stdout) if "json" in options else result.stdout


def said(value: Any, origin: str) -> dict[str, Any]:
    """Return a leaf."""
    return {"value": value, "from": origin}


def test_each_value_says_where_it_came_from(tmp_path: Path) -> None:
    """Default, line, environment, file, option; the short forms too."""
    found = printed(tmp_path, "--format", "json", "--port", "0")
    coins, board = found["feeds"]["coins"], found["boards"]["my-coins"]
    assert found["server"]["port"] == said(0, "--port")
    assert found["server"]["host"] == said("127.0.0.1", "default")
    assert found["server"]["max_message"] == said("4KB", "c.yaml:1")
    assert found["server"]["heartbeat"] == said("***", "${BEAT} at c.yaml:1")
    assert found["access"]["admin_tokens"] == [
        said("***", "c.yaml:3"),
        said("***", "${file:token} at c.yaml:3"),
    ]
    assert coins["every"] == said("5s", "c.yaml:7")
    assert coins["headers"] == {
        "Authorization": said("***", "${COINS_TOKEN} at c.yaml:10"),
        "Accept": said("***", "c.yaml:10"),
    }
    assert coins["url"]["value"] == "https://***@api.example.com/v1/***/t?symbol={symbol}&key=***"
    assert coins["fields"]["last"]["path"] == said("lastPrice", "c.yaml:11")
    assert coins["fields"]["last"]["kind"] == said("price", "default")
    assert board["columns"][0]["field"] == said("last", "c.yaml:13")
    assert board["columns"][0]["label"] == said("Last", "default")


def test_defaults_that_depend_on_other_keys_are_filled_in(tmp_path: Path) -> None:
    """As the program itself takes them."""
    found = printed(tmp_path, "--format", "json")
    coins = found["feeds"]["coins"]
    computed = {
        "timeout": "4s",
        "stale_after": "15s",
        "down_after": "1m",
        "rows": "[@]",
        "key": "@symbol",
        "blanks": "clear",
        "duplicates": "reject",
        "missing": "remove",
        "backoff_max": "5m",
        "max_bytes": "8MB",
    }
    assert {key: coins[key] for key in computed} == {
        key: said(value, "default") for key, value in computed.items()
    }
    assert coins["required"] == [said("last", "default")]
    assert found["boards"]["my-coins"]["title"] == said("My coins", "default")


def test_options_count_only_where_they_are_given(tmp_path: Path) -> None:
    """Without them the file's values stand."""
    server = printed(tmp_path, "--format", "json", "--host", "::1")["server"]
    assert server["host"] == said("::1", "--host")
    assert server["port"] == said(9000, "c.yaml:1")


def test_yaml_has_comments(tmp_path: Path) -> None:
    """One line for each value; no secret in any of them."""
    text = printed(tmp_path)
    for line in (
        "  port: 9000  # c.yaml:1",
        "  host: 127.0.0.1  # default",
        '      Authorization: "***"  # ${COINS_TOKEN} at c.yaml:10',
        '      - "007"  # c.yaml:9',
        "      - field: last  # c.yaml:13",
        "        digits: null  # default",
    ):
        assert line in text.splitlines()
    for secret in ("s3cret-t0ken", "written-down", "a-token", "bob", "pw", "4f2a9c7be1", "k3y"):
        assert secret not in text


@pytest.mark.parametrize(
    "config", [ROOT / "config.yaml", *(ROOT / "examples").glob("*.yaml")], ids=lambda p: p.name
)
def test_what_is_printed_is_a_config_that_means_the_same(config: Path) -> None:
    """It reads as what it was printed from, but for the secrets."""
    loaded = configfile.load(config, SECRETS)
    tree = effective.effective(loaded.settings, loaded.source, {})
    address = "https://api.example.com/" + ("{symbol}" if config.name == "shares.yaml" else "")
    text = effective.as_yaml(tree).replace('url: "***"', f'url: "{address}"')
    again = configfile.parse(text, "again", base=config.parent, env={})
    assert again.settings.effective().boards == loaded.settings.effective().boards
    plain = [name for name, feed in loaded.settings.feeds.items() if feed.kind != "poll"]
    for name in plain:
        assert again.settings.feeds[name] == loaded.settings.feeds[name].effective()
    once_more = effective.effective(again.settings, again.source, {})
    assert values(once_more) == values(tree)


def values(tree: effective.Tree) -> Any:
    """Return the values of a tree without where they came from, and without URLs."""
    if isinstance(tree, effective.Leaf):
        return tree.value
    if isinstance(tree, dict):
        return {key: values(inner) for key, inner in tree.items() if key != "url"}
    return [values(inner) for inner in tree]


def test_the_demo_can_be_printed(tmp_path: Path) -> None:
    """Where there is no config."""
    result = run("config", "print", cwd=tmp_path)
    assert result.returncode == 0
    assert "every: 250ms  # built-in demo:" in result.stdout


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.25, "250ms"),
        (1, "1s"),
        (90, "90s"),
        (120, "2m"),
        (86400, "24h"),
        (0, "0s"),
        (0.0005, "0.0005s"),
        (1.5, "1500ms"),
        (0.1, "100ms"),
        (1e-7, "0.0000001s"),
    ],
)
def test_lengths_of_time_are_written_as_people_do(seconds: float, text: str) -> None:
    """In the largest unit that needs no fraction."""
    assert time_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(16_000, "16KB"), (8_000_000, "8MB"), (1, "1B"), (1_500, "1500B")]
)
def test_sizes_are_written_as_people_do(size: int, text: str) -> None:
    """As above."""
    assert size_text(size) == text
