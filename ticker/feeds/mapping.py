"""A document -> rows, as the config's paths say. General: it knows no provider.

A row that cannot be mapped is rejected with its reason, the others go on; a document that is not
what was configured raises MappingError, so that a wrong page never empties a board.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import jmespath
from jmespath.exceptions import JMESPathError

from ticker import fields
from ticker.config import FieldRule, RowMapping
from ticker.diff import Row, Rows
from ticker.errors import FeedError, MappingError, one_line
from ticker.feeds import REASONS_KEPT, Rejection, values
from ticker.feeds.values import describe
from ticker.fields import Kind
from ticker.scalars import SYMBOL_LIMIT, split_path


class Place(NamedTuple):
    """Where a path is read: the row, its member's name, the url's symbol, the document."""

    row: Any
    key: str | None
    symbol: str | None
    root: Any


Reader = Callable[[Place], Any]


@dataclass(slots=True)
class Mapped:
    """What a document gave."""

    rows: Rows = field(default_factory=dict)
    refused: set[str] = field(default_factory=set)
    """Symbols whose row was rejected."""
    unnamed: int = 0
    """Rejected rows of which not even the symbol is known."""
    rejected: int = 0
    rejections: list[Rejection] = field(default_factory=list)

    def reject(self, symbol: str, why: str, *, named: bool) -> None:
        """Count a row that could not be mapped, and remember the first ones."""
        self.rejected += 1
        self.unnamed += not named
        self.refused.add(symbol)
        if len(self.rejections) < REASONS_KEPT:
            self.rejections.append(Rejection(symbol[:SYMBOL_LIMIT], why))


class Mapper:
    """Maps documents by one feed's settings.

    ``single`` makes the document itself the row where the config names no ``rows``; ``cumulative``
    takes it for news about rows, not for the list of all of them, where the config says neither.
    """

    def __init__(
        self, settings: RowMapping, *, single: bool = False, cumulative: bool = False
    ) -> None:
        self._settings = settings = settings.mapping(single=single, cumulative=cumulative)
        self._rows_path = settings.rows or "@"
        self._rows = reader(self._rows_path)
        self._where = reader(settings.where) if settings.where else None
        self._check = reader(settings.check) if settings.check else None
        match = getattr(settings, "match", None)
        self._match = reader(match) if match else None
        self._key_path = settings.key or "symbol"
        self._key = reader(self._key_path)
        self._fields = [
            (name, rule.path, reader(rule.path), _converter(name, rule, settings.timezone))
            for name, rule in settings.fields.items()
        ]
        self._only = frozenset(settings.only)
        self._skip = frozenset(settings.skip)
        self._keep_blanks = settings.blanks == "keep"
        self._merge = settings.duplicates == "merge"
        self.removes_missing = settings.missing == "remove"
        self._required = settings.required or []

    def map(self, document: Any, *, before: Mapping[str, Row], symbol: str | None = None) -> Mapped:
        """Return the rows of ``document``. ``before`` is what kept blanks are filled from.

        Raises MappingError when the document is not what was configured.
        """
        mapped = Mapped()
        count = self.add(document, mapped, before=before, symbol=symbol)
        self.judge(mapped, count)
        return mapped

    def matches(self, document: Any) -> bool:
        """Whether ``document`` is one that has rows. Raises FeedError where ``check`` fails."""
        self._examine(document, None)
        if self._match is None:
            return True
        try:
            return _true(self._match(Place(document, None, None, document)))
        except ValueError:  # what it cannot be applied to is something else
            return False

    def add(
        self,
        document: Any,
        mapped: Mapped,
        *,
        before: Mapping[str, Row],
        symbol: str | None = None,
    ) -> int:
        """Map one more document into ``mapped``, as ``map`` does; return how many rows it has."""
        self._examine(document, symbol)
        count = 0
        for place in self._places(document, symbol):
            count += 1
            self._map_row(place, count, mapped, before)
        return count

    def judge(self, mapped: Mapped, count: int) -> None:
        """Raise FeedError when nothing came of ``count`` rows, and that is not normal."""
        if mapped.rejected and not mapped.rows:
            first = mapped.rejections[0]
            raise FeedError(f"none of {mapped.rejected} rows could be mapped; first: {first}")
        if not mapped.rows and self._settings.empty == "error":
            what = f"none of {count} rows is left by where, only and skip" if count else "no rows"
            raise FeedError(
                f"{what} at '{self._rows_path}'; if that is normal write `empty: allow`"
            )

    def remembered(self, before: Rows, rows: Rows) -> Rows:
        """Return what blanks of later documents are filled from; bounded as rows are."""
        if not self._keep_blanks:
            return rows
        known = {**{s: row for s, row in before.items() if s not in rows}, **rows}
        surplus = max(0, len(known) - self._settings.max_rows)
        return dict(islice(known.items(), surplus, None))

    def _examine(self, document: Any, symbol: str | None) -> None:
        """Raise FeedError when the config's ``check`` is not true of the document."""
        if self._check is None:
            return
        try:
            found = self._check(Place(document, None, symbol, document))
        except ValueError as error:
            raise FeedError(f"check '{self._settings.check}': {error}") from None
        if not _true(found):
            raise FeedError(f"check '{self._settings.check}' is not true{said(document)}")

    def _places(self, document: Any, symbol: str | None) -> Iterator[Place]:
        """Yield each row of the document with what is around it."""
        try:
            found = self._rows(Place(document, None, symbol, document))
        except ValueError as error:
            raise FeedError(f"rows '{self._rows_path}': {error}") from None
        if not isinstance(found, (dict, list)):
            got = describe(found) + said(document)
            raise MappingError(self._rows_path, "a list or an object", got)
        if len(found) > self._settings.max_rows:
            most = self._settings.max_rows
            raise MappingError(self._rows_path, f"at most {most} rows", str(len(found)))
        if isinstance(found, dict):
            for key, row in found.items():
                yield Place(row, key, symbol, document)
        else:
            for row in found:
                yield Place(row, None, symbol, document)

    def _map_row(self, place: Place, count: int, mapped: Mapped, before: Mapping[str, Row]) -> None:
        symbol = place.key or place.symbol or f"#{count}"
        named = place.key is not None
        try:
            if self._where is not None and not _true(self._where(place)):
                return
            symbol, named = _symbol(self._key(place), self._key_path, place), True
            if symbol in self._skip or (self._only and symbol not in self._only):
                return
            if symbol in mapped.rows and not self._merge:
                mapped.reject(symbol, "the symbol came twice; the first row counts", named=True)
                return
            row = self._row(place)
            if self._keep_blanks or symbol in mapped.rows:
                row = {**(mapped.rows.get(symbol) or before.get(symbol) or {}), **row}
            self._demand(row, place)
        except ValueError as error:
            mapped.reject(symbol, str(error), named=named)
            return
        mapped.rows[symbol] = row

    def _row(self, place: Place) -> Row:
        row: Row = {}
        for name, path, read, convert in self._fields:
            try:
                value = convert(read(place))
            except ValueError as error:
                raise ValueError(f"{name} at '{path}': {error}") from None
            if value is not None:
                row[name] = value
        return row

    def _demand(self, row: Row, place: Place) -> None:
        """Raise ValueError when a row has nothing in it, or lacks what it must have."""
        if not row and not isinstance(place.row, (dict, list)):
            raise ValueError(f"expected an object, got {describe(place.row)}")
        if not row:
            raise ValueError(f"no value for {', '.join(self._settings.fields)}")
        for name in self._required:
            if name not in row:
                raise ValueError(f"{name}: no value at '{self._settings.fields[name].path}'")


def reader(path: str) -> Reader:
    """Return a function that reads ``path`` (see ``scalars.check_path``) at a place.

    It raises ValueError where the path cannot be applied.
    """
    if path == "@key":
        return lambda place: place.key
    if path == "@symbol":
        return lambda place: place.symbol
    from_root, text = split_path(path)
    expression = jmespath.compile(text)
    steps = _steps(expression.parsed)
    if steps is not None:
        return lambda place: _walk(place.root if from_root else place.row, steps)

    def search(place: Place) -> Any:
        try:
            return expression.search(place.root if from_root else place.row)
        except TypeError as error:
            if "not supported between" in str(error):
                return None  # what cannot be compared is null, says JMESPath
            raise ValueError(one_line(f"cannot be applied: {error}")) from None
        except Exception as error:  # noqa: BLE001 - its functions raise whatever values make them
            words = (
                str(error) if isinstance(error, JMESPathError) else f"cannot be applied: {error}"
            )
            raise ValueError(one_line(words)) from None

    return search


def _steps(node: Any) -> list[str | int] | None:
    """Return the names and indexes of an expression that has nothing else in it, otherwise None.

    Nearly every path is one; walking it ourselves is ten times as fast as the library's visitor.
    """
    match node["type"]:
        case "identity" | "current":
            return []
        case "field" | "index":
            return [node["value"]]
        case "subexpression" | "index_expression":
            parts = [_steps(child) for child in node["children"]]
            return None if None in parts else [step for part in parts for step in part or ()]
        case _:
            return None


def _walk(value: Any, steps: list[str | int]) -> Any:
    """Return what is at the end of ``steps``, None where one leads nowhere, as JMESPath has it."""
    for step in steps:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, dict) else None
        else:
            inside = isinstance(value, list) and -len(value) <= step < len(value)
            value = value[step] if inside else None
    return value


def _converter(name: str, rule: FieldRule, timezone: str) -> Callable[[Any], Any]:
    """Return what turns a raw value into the field's, by the rule and the field's name."""
    kind = rule.kind_of(name)
    zone = ZoneInfo(timezone)
    words = rule.map

    def convert(raw: Any) -> Any:
        if words and raw is not None and not isinstance(raw, (dict, list)):
            raw = words.get(values.text(raw) or "", raw)
        if kind is Kind.TIME:
            return values.time_ms(raw, zone, rule.format)
        value = values.convert(raw, kind)
        if rule.scale != 1 and fields.is_number(value):
            # 0.07 * 100 is 7, not 7.000000000000001
            return values.number(float(f"{value * rule.scale:.15g}"))
        return value

    return convert


def _symbol(raw: Any, path: str, place: Place) -> str:
    if raw is None or isinstance(raw, (bool, dict, list)):
        if not isinstance(place.row, (dict, list)):
            raise ValueError(f"expected an object, got {describe(place.row)}")
        raise ValueError(f"no symbol: expected text at '{path}', got {describe(raw)}")
    symbol = str(raw).strip()
    if not 0 < len(symbol) <= SYMBOL_LIMIT:
        raise ValueError(f"expected a symbol of 1 to {SYMBOL_LIMIT} characters, got {len(symbol)}")
    if not symbol.isprintable():
        raise ValueError(f"expected a printable symbol, got {symbol!r}")
    return symbol


def _true(value: Any) -> bool:
    """Whether JMESPath counts a value as true: numbers are, whatever they are."""
    return value is not None and value is not False and value not in ("", [], {})


def said(document: Any) -> str:
    """Return the message that many sources put into a document which is not what was asked for."""
    if isinstance(document, dict):
        for name in (
            "description",
            "message",
            "msg",
            "error",
            "Error Message",
            "Information",
            "Note",
        ):
            if isinstance(document.get(name), str) and document[name].strip():
                return f"; the source says: {document[name].strip()[:120]}"
    return ""
