"""The configs that ship with the program are good, for the program and for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # it ships no types
import pytest
from ruamel.yaml import YAML
from typer.testing import CliRunner

from ticker import configfile
from ticker.cli import app

ROOT = Path(__file__).parents[1]
NAMES = ("ALPHAVANTAGE_KEY", "COINGECKO_KEY", "OXR_APP_ID", "QUOTES_KEY")
SECRETS = dict.fromkeys(NAMES, "secret")
EXAMPLES = sorted(ROOT.glob("examples/*.yaml"))
CONFIGS = [ROOT / "config.yaml", *EXAMPLES]


def validator() -> Any:
    """Return what checks a document by the schema of the config file."""
    return jsonschema.Draft202012Validator(configfile.json_schema())


def test_there_are_examples() -> None:
    """The folder of examples is not empty."""
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_is_good(config: Path) -> None:
    """It has no problem, and nothing about it is odd."""
    assert configfile.load(config, SECRETS).warnings == ()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_is_good_by_the_schema(config: Path) -> None:
    """An editor that knows the schema underlines nothing in it."""
    document = YAML(typ="safe", pure=True).load(config)
    errors = [f"{e.json_path}: {e.message}" for e in validator().iter_errors(document)]
    assert errors == []


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.name)
def test_a_shipped_config_names_its_schema(config: Path) -> None:
    """Its first line leads editors to the schema in the root."""
    first = config.read_text("utf-8").splitlines()[0]
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (config.parent / named).resolve() == ROOT / "config.schema.json"


@pytest.mark.parametrize("config", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_polite(config: Path) -> None:
    """No source of an example is asked more often than every ten seconds."""
    feeds = configfile.load(config, SECRETS).settings.feeds
    assert all(feed.every >= 10 for feed in feeds.values() if not feed.listens)


def test_the_schema_in_the_root_is_the_programs() -> None:
    """config.schema.json is what `ticker schema` prints."""
    printed = CliRunner().invoke(app, ["schema"]).stdout
    assert (ROOT / "config.schema.json").read_text("utf-8") == printed
    assert json.loads(printed) == configfile.json_schema()


def test_the_schema_is_one() -> None:
    """It is a valid JSON Schema."""
    validator().check_schema(configfile.json_schema())
