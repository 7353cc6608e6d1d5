"""Imports go down only (docs/design.md, layers)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "ticker"

LAYERS = [
    {"errors", "diff", "quality", "fields", "board", "deflate", "history", "guard", "redact"}
    | {"hours", "limits", "traffic"},
    {"frame", "logs", "tasks", "turns"},
    {"yaml12", "scalars", "tokens", "exchanges", "config", "hidden", "configfile", "effective"}
    | {"changes", "protocol", "notices", "entry"},
    {"feeds", "heads", "live", "listener", "packer", "transport", "plain", "viewer"},
    {"channel", "bus"},
    {"health", "hub", "lag", "pace"},
    {"access", "headers"},
    {"producer", "schedule", "websocket", "events", "cluster", "following", "keep", "store"}
    | {"questions", "bulletin", "people", "members", "reports", "pushes"},
    {"page", "bundle", "metrics", "notify", "siblings", "worker"},
    {"app", "api", "admin", "reload", "runtime"},
    {"server", "door", "workers", "tail", "tryout", "record", "load", "starter", "top"},
    {"probe"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}

PURE = LAYERS[0]
PURE_MAY_IMPORT = {
    "__future__",
    "array",
    "bisect",
    "collections",
    "dataclasses",
    "datetime",
    "enum",
    "ipaddress",
    "itertools",
    "math",
    "re",
    "typing",
    "urllib",
    "zlib",
} | {"ticker"}

MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name != "__init__.py")


def part_of(path: Path) -> str:
    """Return the part of the design that a file belongs to."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imports(path: Path) -> set[str]:
    """Return the modules that a file imports, but for type checking only."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def own(path: Path) -> set[str]:
    """Return the parts of this program that a file imports."""
    names = {name.split(".")[1] for name in imports(path) if name.startswith("ticker.")}
    return names & RANK.keys()


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path: Path) -> None:
    """A module imports only from its own layer and those below."""
    part = part_of(path)
    above = {name for name in own(path) if RANK[name] > RANK[part]}
    assert not above, f"{part} must not import {above}"


def test_feeds_and_hub_know_nothing_of_each_other() -> None:
    """The producer alone knows both."""
    for path in MODULES:
        if part_of(path) == "feeds":
            assert not own(path) & {"hub", "live", "viewer", "board"}, path
        if part_of(path) in {"hub", "viewer", "live", "websocket", "transport"}:
            assert "feeds" not in own(path), path


@pytest.mark.parametrize("name", sorted(PURE))
def test_pure_modules_ask_for_nothing(name: str) -> None:
    """No clock, no randomness, no I/O, no asyncio, no logging."""
    tops = {module.split(".")[0] for module in imports(PACKAGE / f"{name}.py")}
    assert tops <= PURE_MAY_IMPORT
