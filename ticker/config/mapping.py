"""How a document becomes rows."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from ticker import fields as known_fields
from ticker.config.parts import FieldName, Strict, ValueKind, rule, time_zone
from ticker.fields import Kind
from ticker.scalars import Integer, Number, Path, Symbol, Text, expected


def _rule(value: Any) -> Any:
    if value is None:
        raise expected("a path or a mapping with `path`", value)
    return {"path": value} if isinstance(value, str) else value


def _layout(value: str) -> str:
    """Return a format of strptime; raise the rule for what is none."""
    try:
        datetime.strptime("", value)
    except ValueError as error:
        if "does not match" in str(error):  # as it should: an empty text is no time
            return value
    except re.error:  # a directive that comes twice
        pass
    else:
        return value
    raise expected("a strptime format such as %d %B %Y, each part once", value)


class FieldRule(Strict):
    """How one field is read: where it is, and what is made of it."""

    path: Path
    """JMESPath inside the row, `$.path` from the document's root, `@key` or `@symbol`."""
    kind: ValueKind | None = None
    """price, number, percent, volume, text, time, clock or auto; default by the field's name."""
    scale: Number = 1.0
    """Numbers are multiplied by this: 100 turns a fraction into percent."""
    map: dict[Text, Text] = {}
    """Values to replace, as text: `{in: live, post: final}`. Others stay as they are."""
    format: Annotated[Text, AfterValidator(_layout)] | None = None
    """strptime format of a time that is neither ISO nor a Unix time, such as `%d %B %Y`."""

    def kind_of(self, name: str) -> Kind:
        """Return the kind with its default filled in, for the field ``name``."""
        return self.kind or (Kind.TIME if self.format else known_fields.kind_of(name))


Located = Annotated[FieldRule, BeforeValidator(_rule, Text | FieldRule)]
"""A rule, or only its path."""


class RowMapping(Strict):
    """How a document becomes rows; shared by `poll` and `replay`."""

    format: Literal["json", "csv", "jsonl"] | None = None
    delimiter: Annotated[Text, Field(min_length=1, max_length=1)] = ","
    """What stands between two cells of a csv."""
    rows: Path | None = None
    """JMESPath to a list of rows, or to an object whose members are the rows. Default: the whole
    document; for replay, and with `{symbol}` in the url, the document as one row (`[@]`)."""
    where: Path | None = None
    """JMESPath inside a row; rows for which it is not true are left out."""
    check: Path | None = None
    """JMESPath on the document; where it is not true the reading is an error."""
    key: Path | None = None
    """The row's symbol: JMESPath inside a row, `@key` for the member's name, `@symbol` for the
    one in the url. Default: `symbol`, or `@symbol` with `{symbol}` in the url."""
    fields: Annotated[
        dict[FieldName, Located],
        Field(min_length=1),
    ]
    """Field of the board and where it is read: a path, or a mapping with `path` and more."""
    only: list[Symbol] = []
    """Symbols to keep; default all."""
    skip: list[Symbol] = []
    """Symbols to leave out."""
    required: list[FieldName] | None = None
    """Fields without which a row is rejected. Default: `last`, where it is mapped and blanks are
    not kept."""
    blanks: Literal["clear", "keep"] | None = None
    """A field without a value clears what was there, or keeps it. Default: clear (replay: keep)."""
    duplicates: Literal["reject", "merge"] | None = None
    """A symbol that comes twice: reject the later row, or lay it over the earlier one.
    Default: reject (replay: merge)."""
    missing: Literal["remove", "keep"] | None = None
    """Rows that a reading no longer has: remove or keep them. Default: remove (replay: keep)."""
    empty: Literal["error", "allow"] = "error"
    """Whether a reading without any row is an error."""
    max_rows: Annotated[Integer, Field(ge=1)] = 10_000
    """More rows than this are an error."""
    timezone: Annotated[Text, AfterValidator(time_zone)] = "UTC"
    """Time zone of times that do not name theirs."""

    @field_validator("required")
    @classmethod
    def _mapped(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        for name in value or ():
            if name not in info.data.get("fields", {name}):
                raise rule(f"'{name}' is not among the fields")
        return value

    def mapping(self, *, single: bool = False, cumulative: bool = False) -> Self:
        """Return the settings with the mapping's defaults filled in.

        ``single``: the document itself is the row where no ``rows`` are named; ``cumulative``: it
        is news about rows, not the list of all of them, where nothing says either.
        """
        rules = {
            name: rule.model_copy(update={"kind": rule.kind_of(name)})
            for name, rule in self.fields.items()
        }
        in_url = "{symbol}" in getattr(self, "url", "")
        blanks = self.blanks or ("keep" if cumulative else "clear")
        needs_last = "last" in self.fields and blanks != "keep"
        return self.model_copy(
            update={
                "fields": rules,
                "rows": self.rows or ("[@]" if single else "@"),
                "key": self.key or ("@symbol" if in_url else "symbol"),
                "blanks": blanks,
                "duplicates": self.duplicates or ("merge" if cumulative else "reject"),
                "missing": self.missing or ("keep" if cumulative else "remove"),
                "required": (["last"] if needs_last else [])
                if self.required is None
                else self.required,
            }
        )

    @property
    def provides(self) -> set[str]:
        """The mapped fields and what is derived from them."""
        return set(self.fields) | known_fields.derivable(self.fields)
