"""The types of single values in the config: how text becomes a duration, a number, an expression.

Each turns YAML text into its value by the type that is expected, and says what it expected when it
cannot. Values that are not YAML text (settings built in Python) are taken strictly as they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Any

import jmespath
from jmespath.exceptions import JMESPathError
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema
from pydantic_core import PydanticCustomError

from ticker.yaml12 import Scalar

SYMBOL_LIMIT = 100

DIGITS_LIMIT = 18
"""What has more does not fit into 64 bits, nor into JSON."""

LONGEST = 1e9
"""Seconds of the longest duration, three decades: in milliseconds it is a number of JSON."""

LARGEST = 10**15
"""Bytes of the largest size."""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KB|MB|GB)")
_BYTES = {"B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3}
_INTEGER = re.compile(r"[-+]?\d{1,100}")
_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")


def expected(what: str, got: object) -> PydanticCustomError:
    """Return the error for a value of the wrong kind."""
    context = {"what": what, "shown": described(got)}
    return PydanticCustomError("expected", "expected {what}, got {shown}", context)


def described(got: object) -> str:
    """Return what came in a few words, without showing secrets."""
    if isinstance(got, Scalar) and got.hidden:
        return "another value"
    if isinstance(got, str):
        return f"'{got[:60]}'"
    if got is None:
        return "nothing"
    if isinstance(got, dict):
        return "a mapping"
    return "a list" if isinstance(got, list) else str(got)[:60]


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise expected("text", value)
    return str(value)


def _plain(value: Any) -> str | None:
    """Return the text of an unquoted scalar, None for anything else."""
    return str(value) if isinstance(value, Scalar) and value.plain else None


def _integer(value: Any) -> Any:
    text = _plain(value)
    if text is not None and _INTEGER.fullmatch(text):
        if len(text) > DIGITS_LIMIT:
            raise expected(f"a whole number of at most {DIGITS_LIMIT} digits", value)
        return int(text)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise expected("a whole number", value)


def _number(value: Any) -> Any:
    text = _plain(value)
    if text is not None and _NUMBER.fullmatch(text):
        number = float(text)
        if not math.isfinite(number):
            raise expected("a finite number", value)
        return number
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise expected("a number", value)


def _boolean(value: Any) -> Any:
    if isinstance(value, bool):
        return value
    text = _plain(value)
    if text in {"true", "false"}:
        return text == "true"
    raise expected("true or false", value)


def duration(value: Any) -> float:
    """Return a length of time in seconds."""
    if isinstance(value, str) and (match := _DURATION.fullmatch(value)):
        seconds = float(match[1]) * _SECONDS[match[2]]
        if seconds > LONGEST:
            raise expected(f"a duration of at most {LONGEST:.0e}s", value)
        return seconds
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    raise expected("a duration such as 250ms, 5s, 1m or 2h", value)


def size(value: Any) -> int:
    """Return a size in bytes."""
    if isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        size = float(match[1]) * _BYTES[match[2]]
        if size > LARGEST:
            raise expected(f"a size of at most {size_text(LARGEST)}", value)
        return int(size)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise expected("a size such as 512KB or 8MB", value)


def time_text(seconds: float) -> str:
    """Return a length of time as people write it: in the largest unit that needs no fraction."""
    return _in_units(seconds, _SECONDS) or f"{_digits(seconds)}s"


def size_text(size: float) -> str:
    """Return a size as people write it."""
    return _in_units(size, _BYTES) or f"{_digits(size)}B"


def _in_units(value: float, units: Mapping[str, float]) -> str | None:
    for unit, worth in sorted(units.items(), key=lambda item: -item[1]):
        count = round(value / worth)
        if count >= 1 and math.isclose(count * worth, value, rel_tol=1e-12):
            return f"{count}{unit}"
    return None


def _digits(value: float) -> str:
    """Return a number without an exponent."""
    return format(Decimal(repr(value)), "f").removesuffix(".0")


def is_symbol(value: Any) -> bool:
    """Whether a row can have it as its symbol."""
    return isinstance(value, str) and 0 < len(value) <= SYMBOL_LIMIT


def _symbol(value: Any) -> Any:
    if not is_symbol(value):
        raise expected(f"a symbol of 1 to {SYMBOL_LIMIT} characters", value)
    return str(value)


def split_path(text: str) -> tuple[bool, str]:
    """Return whether a path starts at the document's root (``$``), and its JMESPath expression."""
    from_root = text.startswith("$")
    return from_root, (text[1:].removeprefix(".") or "@") if from_root else text


def check_path(text: str) -> None:
    """Raise ValueError, in words, unless ``text`` is a path of the mapping language.

    That is a JMESPath expression, one from the root (``$.path``), ``@key`` or ``@symbol``.
    """
    if text in {"@key", "@symbol"}:
        return
    try:
        jmespath.compile(split_path(text)[1])
    except RecursionError:
        raise ValueError("not a JMESPath expression: too many levels") from None
    except JMESPathError as error:
        words = str(error).splitlines()[0].rstrip(":")
        hint = """; a key with spaces or dots is written '"like this"'""" if " " in text else ""
        raise ValueError(f"not a JMESPath expression: {words}{hint}") from None


def _path(value: str) -> str:
    try:
        check_path(value)
    except ValueError as error:
        raise PydanticCustomError("path", "{why}", {"why": str(error)}) from None
    return value


_DURATION_SCHEMA = {"type": "string", "pattern": f"^{_DURATION.pattern}$", "examples": ["5s"]}
_TEXT_SCHEMA = {"type": ["string", "number", "boolean"]}

Text = Annotated[str, BeforeValidator(_text)]
Integer = Annotated[int, BeforeValidator(_integer)]
Number = Annotated[float, BeforeValidator(_number)]
Boolean = Annotated[bool, BeforeValidator(_boolean)]
Duration = Annotated[
    float,
    BeforeValidator(duration),
    PlainSerializer(time_text, str, when_used="json"),
    WithJsonSchema(_DURATION_SCHEMA),
]
Size = Annotated[
    int,
    BeforeValidator(size),
    PlainSerializer(size_text, str, when_used="json"),
    Field(ge=1),
    WithJsonSchema({"type": "string", "pattern": f"^{_SIZE.pattern}$", "examples": ["8MB"]}),
]
Symbol = Annotated[str, BeforeValidator(_symbol), WithJsonSchema(_TEXT_SCHEMA)]
Path = Annotated[str, BeforeValidator(_text), AfterValidator(_path)]
