"""Which values of a config file must not be shown, and problems of it that do not show them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

from ticker import redact
from ticker.config import Settings
from ticker.errors import Problem
from ticker.yaml12 import PathKey, Scalar, Source, Span

ANY = "*"

_SCHEME_ONLY = re.compile(r"\s*([A-Za-z]+\s+)?")
"""What may stand beside a reference without being a part of the secret: ``Bearer ${NAME}``."""

_UNFILLED = re.compile(r"\s*([A-Za-z]+\s+)?\$\{[^}]*\}\s*")
"""A reference that could not be filled, and nothing but it."""


class Hidden:
    """What of ``source`` must not be shown; its scalars are told so.

    That is every value into which something was filled, every key that the config calls a secret,
    and every URL with a secret in it.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._unknown: set[PathKey] = set()
        self._texts: set[str] = set()
        for span in source.spans:
            if span.value is not None:
                self._look_at(span.path, span.value)

    @property
    def filled(self) -> set[str]:
        """Every text that came from outside the file."""
        return {text for filled in self._source.filled.values() for text in filled.texts}

    def unknown(self, path: PathKey) -> None:
        """Hide what stands at a key that is not known: it may be a secret's, misspelt."""
        self._unknown.add(path)

    def problem(self, problem: Problem) -> Problem:
        """Return a problem whose words and line show no secret."""
        if not self._source.values:  # not YAML: nothing tells what stands where
            return replace(
                problem,
                message=redact.guessed(problem.message),
                source=redact.guessed(problem.source),
            )
        line = problem.source
        for span in self._source.spans:
            if span.start[0] <= problem.line <= span.end[0] and self._stands_here(span):
                line = _starred(line, problem.line, span)
        return replace(problem, message=redact.without(problem.message, self._texts), source=line)

    def _look_at(self, path: PathKey, value: Scalar) -> None:
        if _UNFILLED.fullmatch(value):
            return  # nothing stood for it, and its name is no secret
        if hides(self._source, path):
            self._texts |= {str(value), *self._filled_in(path)}
        elif redact.has_secret(value):
            self._texts |= set(redact.url_secrets(value))
        else:
            return
        value.hidden = True

    def _filled_in(self, path: PathKey) -> list[str]:
        filled = self._source.filled.get(path)
        return filled.texts if filled else []

    def _stands_here(self, span: Span) -> bool:
        """Whether the file itself has a secret at ``span``, not only a reference to one."""
        if span.value is None:
            return True
        filled = self._source.filled.get(span.path)
        if is_secret(span.path) or self._is_unknown(span.path):
            return filled is None or not _SCHEME_ONLY.fullmatch(filled.literal)
        return redact.has_secret(filled.literal if filled else span.value)

    def _is_unknown(self, path: PathKey) -> bool:
        """Whether a value stands at or below a key that is not known; there may be many."""
        return any(path[:length] in self._unknown for length in range(1, len(path) + 1))


def hides(source: Source, path: PathKey) -> bool:
    """Whether nothing of the value at ``path`` may be shown."""
    filled = source.filled.get(path)
    return bool(filled and filled.references) or is_secret(path)


def is_secret(path: PathKey) -> bool:
    """Whether the config calls what stands at ``path`` a secret, or a part with secrets in it.

    A single value where there should be such a part is a secret in the wrong place.
    """
    return any(
        all(one in (ANY, other) for one, other in zip(place, path, strict=False))
        for place in _places()
    )


@cache
def _places() -> frozenset[PathKey]:
    """Return the paths of the config that hold secrets, by its schema."""
    schema = Settings.model_json_schema()
    return frozenset(_secrets(schema, schema.get("$defs", {}), ()))


def _secrets(part: Any, models: Mapping[str, Any], path: PathKey) -> Iterator[PathKey]:
    if not isinstance(part, dict):
        return
    if part.get("writeOnly"):
        yield path
    if "$ref" in part:
        yield from _secrets(models[part["$ref"].rpartition("/")[2]], models, path)
    for name, inner in part.get("properties", {}).items():
        yield from _secrets(inner, models, (*path, name))
    for several in ("additionalProperties", "items"):
        yield from _secrets(part.get(several), models, (*path, ANY))
    for choice in ("anyOf", "oneOf", "allOf"):
        for inner in part.get(choice, ()):
            yield from _secrets(inner, models, path)


def _starred(line: str, number: int, span: Span) -> str:
    """Return a line with what stands in ``span`` as stars, so that carets keep their place."""
    start = span.start[1] - 1 if span.start[0] == number else 0
    end = span.end[1] - 1 if span.end[0] == number else len(line)
    return line[:start] + "*" * len(line[start:end]) + line[max(start, end) :]
