"""The effective config: every value with its default filled in, and where it came from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ticker import redact
from ticker.config import Settings
from ticker.hidden import hides
from ticker.yaml12 import PathKey, Source

DEFAULT = "default"

_SHORT = {"field", "path"}
"""Keys that a column or a field's rule needs: the value may stand there without the key."""

_PLAIN = re.compile(
    r"[A-Za-z_][\w.-]*(?: [A-Za-z_][\w.-]*)*"  # words
    r"|\d+(?:\.\d+)?[A-Za-z]+"  # 250ms, 16KB
    r"|\d+(?:\.\d+){2,}"  # 127.0.0.1
    r"|https?://[\w./?=&@*-]+"
)
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True, slots=True)
class Leaf:
    """A value as people write it, and where it came from."""

    value: Any
    origin: str


Tree = dict[str, "Tree"] | list["Tree"] | Leaf


def effective(settings: Settings, source: Source, flags: Mapping[PathKey, str]) -> Tree:
    """Return every value of ``settings``, which come from ``source``; secrets are masked.

    ``flags`` names the options of the command line that took the place of what the file says.
    """
    dumped = settings.effective().model_dump(mode="json")
    return _Origins(source, flags).tree(dumped, ())


class _Origins:
    """Knows where each value came from."""

    def __init__(self, source: Source, flags: Mapping[PathKey, str]) -> None:
        self._source, self._flags = source, flags

    def tree(self, value: Any, path: PathKey) -> Tree:
        if isinstance(value, dict) and value:
            return {key: self.tree(value[key], (*path, key)) for key in self._order(value, path)}
        if isinstance(value, list) and value:
            return [self.tree(inner, (*path, i)) for i, inner in enumerate(value)]
        return self._leaf(value, path)

    def _order(self, value: dict[str, Any], path: PathKey) -> list[str]:
        """Return the keys: first those of the file, as they stand there."""
        given = self._given(path)
        first = [key for key in given if key in value] if isinstance(given, dict) else []
        return [*first, *(key for key in value if key not in first)]

    def _leaf(self, value: Any, path: PathKey) -> Leaf:
        if path in self._flags:
            return Leaf(value, self._flags[path])
        if path[-1] in _SHORT and isinstance(self._given(path[:-1]), str):
            path = path[:-1]
        if self._given(path) is None:
            return Leaf(value, DEFAULT)
        where = f"{self._source.file}:{self._source.values[path][0]}"
        filled = self._source.filled.get(path)
        if filled and filled.references:
            where = f"{', '.join(filled.references)} at {where}"
        return Leaf(self._shown(value, path), where)

    def _shown(self, value: Any, path: PathKey) -> Any:
        if value not in ([], {}) and hides(self._source, path):
            return redact.MASK
        return redact.masked_url(value) if redact.has_secret(str(value)) else value

    def _given(self, path: PathKey) -> Any:
        """Return what the file says at ``path``, None for nothing."""
        return self._source.at(path) if path in self._source.values else None


def as_json(tree: Tree) -> str:
    """Return the tree as JSON: each value as ``{"value": ..., "from": ...}``."""
    return json.dumps(_plain(tree), indent=2, ensure_ascii=False) + "\n"


def _plain(tree: Tree) -> Any:
    if isinstance(tree, Leaf):
        return {"value": tree.value, "from": tree.origin}
    if isinstance(tree, dict):
        return {key: _plain(inner) for key, inner in tree.items()}
    return [_plain(inner) for inner in tree]


def as_yaml(tree: Tree) -> str:
    """Return the tree as a config file with a comment behind each value."""
    return "\n".join(_lines(tree)) + "\n"


def _lines(tree: Tree) -> list[str]:
    if isinstance(tree, Leaf):
        return [f"{_scalar(tree.value)}  # {tree.origin}"]
    lines: list[str] = []
    if isinstance(tree, dict):
        for key, inner in tree.items():
            below = _lines(inner)
            if isinstance(inner, Leaf):
                lines.append(f"{_scalar(key)}: {below[0]}")
            else:
                lines += [f"{_scalar(key)}:", *(f"  {line}" for line in below)]
        return lines
    for inner in tree:
        first, *rest = _lines(inner)
        lines += [f"- {first}", *(f"  {line}" for line in rest)]
    return lines


def _scalar(value: Any) -> str:
    """Return a value as YAML that the config reads as the same, and other programs too."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.fullmatch(value) and value.lower() not in _NOT_TEXT:
        return value
    return json.dumps(value.replace("${", "$${"), ensure_ascii=False)
