"""YAML text -> plain values that remember where they stand.

Scalars stay text: what a plain ``ON``, ``NO``, ``12:30`` or ``007`` means is decided by the type
that the config expects at its place, never by how it looks. ``${NAME}``, ``${NAME:-default}`` and
``${file:PATH}`` are replaced in values; ``$${`` writes a literal ``${``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from ticker.errors import Problem

NODE_LIMIT = 100_000
"""Aliases can make a small file large; no config of people has this many nodes."""

DEPTH_LIMIT = 50
TOO_LARGE = f"more than {NODE_LIMIT} values or {DEPTH_LIMIT} levels"

_REFERENCE = re.compile(r"\$\$\{|\$\{([^}]*)\}")
_NULLS = {"", "~", "null"}
_HALF = re.compile(r"[\ud800-\udfff]")
HALF_A_CHARACTER = r"expected whole characters, got one of \ud800 to \udfff"

PathKey = tuple[str | int, ...]
Mark = tuple[int, int]  # line and column, 1-based


class Scalar(str):
    """The text of a YAML scalar: whether it was plain (unquoted), and whether it may be shown."""

    plain: bool
    hidden: bool

    @classmethod
    def of(cls, text: str, *, plain: bool, hidden: bool = False) -> Scalar:
        """Return ``text`` with its two facts."""
        scalar = cls(text)
        scalar.plain, scalar.hidden = plain, hidden
        return scalar


@dataclass
class Filled:
    """What came into one value from outside the file."""

    references: list[str] = field(default_factory=list)
    """As the file has them, without defaults: ``${NAME}``, ``${file:PATH}``."""
    texts: list[str] = field(default_factory=list)
    """What stands for them."""
    literal: str = ""
    """What the file itself says: the text around the references, and their defaults."""


class Span(NamedTuple):
    """Where a value stands: from its first character to the one after its last.

    ``value`` is None where it is not a part of the data: under a key that came before.
    """

    path: PathKey
    start: Mark
    end: Mark
    value: Scalar | None


@dataclass
class Source:
    """A parsed file: its values, where each key and value stands, and what is wrong with it."""

    file: str
    text: str
    data: Any = None
    keys: dict[PathKey, Mark] = field(default_factory=dict)
    values: dict[PathKey, Mark] = field(default_factory=dict)
    filled: dict[PathKey, Filled] = field(default_factory=dict)
    spans: list[Span] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    @cached_property
    def _lines(self) -> list[str]:
        return self.text.splitlines()

    def at(self, path: PathKey) -> Any:
        """Return the value at ``path``, which is in the data."""
        value = self.data
        for part in path:
            value = value[part]
        return value

    def problem(self, path: PathKey, message: str, *, mark: Mark | None = None) -> Problem:
        """Return a problem at ``path``, or at the key above it that is in the file."""
        at = mark or self.values.get(path)
        for length in range(len(path) - 1, 0, -1):
            at = at or self.keys.get(path[:length]) or self.values.get(path[:length])
        line, column = at or (1, 1)
        source = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        return Problem(self.file, line, column, dotted(path), message, source)


def dotted(path: PathKey) -> str:
    """Return a path as people write it: ``boards.stocks.columns[2]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def load(
    text: str, file: str, *, env: Mapping[str, str], read: Callable[[str], str] | None = None
) -> Source:
    """Parse ``text``; every problem found is in the result's ``problems``.

    ``read`` returns the text of a file that ``${file:PATH}`` names (OSError when it cannot).
    """
    source = Source(file, text)
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer  # type: ignore[assignment] # declared as that very class
    try:
        node = yaml.compose(text)
    except _TooLarge as error:
        source.problems.append(source.problem((), str(error)))
        return source
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        at = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        words = " ".join(filter(None, (error.problem, error.context)))
        source.problems.append(source.problem((), f"not YAML: {words}", mark=at))
        return source
    except (YAMLError, ValueError) as error:
        source.problems.append(source.problem((), f"not YAML: {str(error).splitlines()[0]}"))
        return source
    if node is not None:
        _Reader(source, env, read or _read_file).read(node)
    return source


def _read_file(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")


class _Composer(Composer):
    """Builds the node tree, and stops where it gets too deep: each level costs time and stack."""

    def __init__(self, loader: Any) -> None:
        super().__init__(loader=loader)
        self.warn_double_anchors = False  # YAML 1.2 allows them, and it would go to stderr
        self._level = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Return the next node with all below it."""
        if self._level > DEPTH_LIMIT:
            raise _TooLarge(TOO_LARGE)
        self._level += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._level -= 1


class _Reader:
    """Walks the node tree once, filling a source."""

    def __init__(self, source: Source, env: Mapping[str, str], read: Callable[[str], str]) -> None:
        self._source, self._env, self._read = source, env, read
        self._count = 0

    def read(self, node: Node) -> None:
        try:
            self._source.data = self._value(node, ())
        except _TooLarge as error:
            self._source.problems.append(self._source.problem((), str(error)))

    def _value(self, node: Node, path: PathKey) -> Any:
        self._count += 1
        if self._count > NODE_LIMIT or len(path) > DEPTH_LIMIT:
            raise _TooLarge(TOO_LARGE)
        self._source.values[path] = _mark(node)
        if isinstance(node, MappingNode):
            return dict(self._pairs(node, path))
        if isinstance(node, SequenceNode):
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]
        assert isinstance(node, ScalarNode), "a YAML node is a mapping, a sequence or a scalar"  # noqa: S101 - tells the type checker
        return self._scalar(node, path)

    def _pairs(self, node: MappingNode, path: PathKey) -> Iterator[tuple[str, Any]]:
        seen: dict[str, int] = {}
        for key_node, value_node in node.value:
            at = _mark(key_node)
            if not isinstance(key_node, ScalarNode):
                self._problem(path, "a key must be text", at)
                continue
            key = str(key_node.value)
            if not _is_whole(key):
                self._problem(path, HALF_A_CHARACTER, at)
                continue
            inner = (*path, key)
            if key in seen:
                self._problem(inner, f"duplicate key, first on line {seen[key]}", at)
                self._source.spans.append(_span(value_node, inner, None))
                continue
            seen[key] = at[0]
            self._source.keys[inner] = at
            yield key, self._value(value_node, inner)

    def _scalar(self, node: ScalarNode, path: PathKey) -> Scalar | None:
        plain = not node.style
        text = str(node.value)
        if not _is_whole(text):
            self._problem(path, HALF_A_CHARACTER, _mark(node))
            return None
        if plain and text in _NULLS:
            # an empty value stands where the next thing begins, which may be lines below
            self._source.values[path] = self._source.keys.get(path, self._source.values[path])
            return None

        filled = Filled()

        def expand(match: re.Match[str]) -> str:
            if match[1] is None:
                return "${"
            try:
                return self._reference(match[1], filled)
            except LookupError as error:
                self._problem(path, str(error.args[0]), _mark(node))
                return match[0]

        expanded = _REFERENCE.sub(expand, text)
        if any(found[1] is not None for found in _REFERENCE.finditer(text)):
            filled.literal = _REFERENCE.sub(_default, text)
            self._source.filled[path] = filled
        scalar = Scalar.of(expanded, plain=plain, hidden=bool(filled.references))
        self._source.spans.append(_span(node, path, scalar))
        return scalar

    def _reference(self, inside: str, filled: Filled) -> str:
        """Return what ``${inside}`` stands for; LookupError with the words when nothing does."""
        name, has_default, default = inside.partition(":-")
        if inside.startswith("file:"):
            name = inside
            text = self._file(inside.removeprefix("file:"))
        elif name in self._env:
            text = self._env[name]
        elif has_default:
            text = default
        else:
            raise LookupError(
                f"environment variable '{name}' is not set; set it or write ${{{name}:-default}}"
            )
        filled.references.append(f"${{{name}}}")
        filled.texts.append(text)
        return text

    def _file(self, name: str) -> str:
        try:
            return self._read(name).rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8 text"
            raise LookupError(f"cannot read file '{name}': {why}") from None

    def _problem(self, path: PathKey, message: str, mark: Mark) -> None:
        self._source.problems.append(self._source.problem(path, message, mark=mark))


class _TooLarge(Exception):
    """The document has more nodes than any config needs."""


def _is_whole(text: str) -> bool:
    """Whether text has no half of a surrogate pair, which escapes can write and nobody can send."""
    return not _HALF.search(text)


def _default(match: re.Match[str]) -> str:
    """Return what a reference says itself: its default."""
    inside = match[1] or ""
    return "" if inside.startswith("file:") else inside.partition(":-")[2]


def _span(node: Node, path: PathKey, value: Scalar | None) -> Span:
    end = node.end_mark
    return Span(path, _mark(node), (end.line + 1, end.column + 1), value)


def _mark(node: Node) -> Mark:
    return node.start_mark.line + 1, node.start_mark.column + 1
