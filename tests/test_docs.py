"""The documentation tells everything there is, and nothing that is not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from ticker import config, configfile, protocol
from ticker.cli import app
from ticker.fields import KNOWN
from ticker.health import Health
from ticker.hub import RATES
from ticker.protocol import CloseCode, ErrorCode
from ticker.quality import Quality

ROOT = Path(__file__).parent.parent
CONFIG = (ROOT / "docs/config.md").read_text()
PROTOCOL = (ROOT / "docs/protocol.md").read_text()
README = (ROOT / "README.md").read_text()

MODELS = [
    value
    for value in vars(config).values()
    if isinstance(value, type) and issubclass(value, BaseModel) and value is not BaseModel
]
KEYS = sorted({(m.__name__, name) for m in MODELS for name in m.model_fields})


@pytest.mark.parametrize(("model", "key"), KEYS)
def test_every_key_is_in_config_md(model: str, key: str) -> None:
    """As the first cell of a table's row, or as a section's name."""
    assert re.search(rf"^\| .*`{key}`.* \||^## {key}$", CONFIG, re.MULTILINE), f"{model}.{key}"


def test_no_key_in_config_md_is_unknown() -> None:
    """What ops read must work."""
    told = set(re.findall(r"^\| `([a-z_]+)` \|", CONFIG, re.MULTILINE))
    assert told <= {key for _, key in KEYS} | KNOWN.keys()


@pytest.mark.parametrize(("model", "key"), KEYS)
def test_every_key_explains_itself(model: str, key: str) -> None:
    """The JSON Schema has a description for editors to show."""
    (found,) = [m for m in MODELS if m.__name__ == model]
    field = found.model_fields[key]
    assert field.description or key in {"kind", "every", "format"}


def messages(text: str = PROTOCOL) -> Iterator[dict[str, Any]]:
    """Yield every example message of protocol.md, or of a part of it."""
    for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL):
        yield from map(json.loads, re.findall(r"^\{.*?\}$(?!\n )", block, re.DOTALL | re.MULTILINE))


def test_every_message_is_in_protocol_md() -> None:
    """With an example of each type, in both directions."""
    server = {"welcome", "snapshot", "diff", "status", "viewers", "boards", "heartbeat"}
    server |= {"error", "goodbye"}
    server |= {"notice"}
    viewer = {"subscribe", "unsubscribe", "pause", "resume", "ping", "token"}
    assert {message["type"] for message in messages()} == server | {"pong", "token"} | viewer


def test_the_examples_are_what_the_server_makes() -> None:
    """Each server message has exactly the keys of its example."""
    made = {
        frame["type"]: frame.keys()
        for frame in map(
            json.loads,
            (
                protocol.welcome("v", 5, []).text,
                protocol.diff("b", epoch="e", prev=1, seq=2, at=3, rows={}).text,
                protocol.status("b", {}).text,
                protocol.viewers("b", 1).text,
                protocol.boards(["b"]).text,
                protocol.notice("n", "t", level="info", at=1, until=2, board="b").text,
                protocol.heartbeat(1, {}).text,
                protocol.error(ErrorCode.LIMIT, "m", "b").text,
                protocol.goodbye(CloseCode.DRAINING, (0, 1)).text,
                protocol.pong(1).text,
                protocol.token(1).text,
            ),
        )
    }
    server = PROTOCOL.partition("## What viewers say")[0]
    told = {message["type"]: message.keys() for message in messages(server)}
    assert {name: told[name] for name in made} == made


def test_viewer_examples_are_understood() -> None:
    """What protocol.md tells viewers to send parses."""
    for message in messages(PROTOCOL.partition("## What viewers say")[2]):
        assert protocol.parse(json.dumps(message)).type == message["type"]


@pytest.mark.parametrize("code", list(CloseCode))
def test_every_close_code_is_in_protocol_md(code: CloseCode) -> None:
    """With its name and whether to come back."""
    comes_back = "no" if code.final else "yes"
    assert re.search(rf"^\| {code.value} \| {code.reason} \| {comes_back}", PROTOCOL, re.MULTILINE)


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_error_code_is_in_protocol_md(code: ErrorCode) -> None:
    """In the table of errors."""
    assert f"| `{code.value}` |" in PROTOCOL


def test_every_quality_and_rate_is_in_protocol_md() -> None:
    """Words and numbers of the wire."""
    for quality in Quality:
        assert f"`{quality.value}`" in PROTOCOL
    served = re.search(r"Rates served are (.*?):", PROTOCOL, re.DOTALL)
    assert served
    words = re.split(r", | and ", served[1].replace("\n", " "))
    told = [1 / float(w[2:]) if w.startswith("1/") else float(w) for w in map(str.strip, words)]
    assert told == list(RATES)


@pytest.mark.parametrize("key", Health().wire())
def test_every_key_of_a_feeds_health_is_in_protocol_md(key: str) -> None:
    """What ops see in /api/feeds."""
    assert f"`{key}`" in PROTOCOL


def test_the_readmes_config_is_good() -> None:
    """A stranger copies it."""
    (text,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    loaded = configfile.parse(text, "README.md", base=ROOT, env={})
    assert not loaded.warnings


def test_the_first_config_of_config_md_is_good() -> None:
    """As above."""
    text = re.findall(r"```yaml\n(.*?)```", CONFIG, re.DOTALL)[0]
    loaded = configfile.parse(text, "config.md", base=ROOT, env={"COINS_TOKEN": "x"})
    assert not loaded.warnings


def test_the_readme_names_every_command() -> None:
    """Commands that nobody knows of are not there."""
    commands = {
        command.name or (command.callback.__name__ if command.callback else "")
        for command in app.registered_commands
    }
    known = set(re.findall(r"ticker (\w+)", README + CONFIG + (ROOT / "CHANGELOG.md").read_text()))
    known |= set(re.findall(r"`(\w+)`", (ROOT / "CHANGELOG.md").read_text()))
    assert commands <= known
    for group in app.registered_groups:
        for command in group.typer_instance.registered_commands if group.typer_instance else ():
            assert f"ticker {group.name} {command.name}" in README


@pytest.mark.parametrize("page", ["README.md", *(p.name for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    """Relative links name files of the repository."""
    file = ROOT / page if (ROOT / page).exists() else ROOT / "docs" / page
    for target in re.findall(r"\]\(([^)#:]+)\)", file.read_text()):
        assert (file.parent / target).exists(), target
