"""Single values as sources write them become values of a row, or words that say why not."""

from __future__ import annotations

import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ticker.feeds import values
from ticker.fields import Kind

NEW_YORK = ZoneInfo("America/New_York")
NOON = 1_763_640_000_000  # 2025-11-20T12:00:00Z in epoch milliseconds

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=30)
)
documents = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)


def refusal(convert: Any, *arguments: Any) -> str:
    """Return the words with which a value is refused."""
    with pytest.raises(ValueError, match=r".") as caught:
        convert(*arguments)
    return str(caught.value)


# -- numbers


@pytest.mark.parametrize(
    ("raw", "number"),
    [
        (1, 1),
        (0, 0),
        (-3, -3),
        (1.5, 1.5),
        ("1", 1),
        (" 1.50 ", 1.5),
        ("1,234.50", 1234.5),
        ("1,234,567", 1_234_567),
        ("-1,234", -1234),
        ("+3", 3),
        ("−3", -3),
        ("−1,234.5", -1234.5),
        ("-0.58%", -0.58),
        ("12 %", 12),
        ("1.2e-7", 1.2e-7),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("007", 7),
        ("0.00000001", 1e-8),
        (2**53, 2**53),
        (2**53 + 1, float(2**53 + 1)),
        ("9" * 19, 1e19),
        ("9" * 40, 1e40),
    ],
)
def test_numbers_are_read_from_numbers_and_text(raw: Any, number: float) -> None:
    """Thousands, signs, exponents and percent signs are understood."""
    assert values.number(raw) == number


@pytest.mark.parametrize("raw", ["", " ", "-", "--", "N/A", "n/a", "NA", "null", "None"])
def test_blank_numbers_are_no_value(raw: str) -> None:
    """What sources write for nothing is nothing, not zero."""
    assert values.number(raw) is None


@pytest.mark.parametrize(
    ("raw", "got"),
    [
        ("1,23", "'1,23'"),
        ("1,2345", "'1,2345'"),
        ("1.234,50", "'1.234,50'"),
        ("1 234", "'1 234'"),
        ("$5", "'$5'"),
        ("5 USD", "'5 USD'"),
        ("NaN", "'NaN'"),
        ("Infinity", "'Infinity'"),
        ("-inf", "'-inf'"),
        ("0x10", "'0x10'"),
        ("1_000", "'1_000'"),
        ("--3", "'--3'"),
        (".", "'.'"),
        ("%", "'%'"),
        pytest.param(
            "e5",
            "'e5'",
        ),
        (",", "','"),
        (True, "true"),
        (False, "false"),
        ([1], "a list of 1"),
        ({"a": 1}, "an object with 1 members"),
        ("x" * 100, f"'{'x' * 40}…'"),
    ],
)
def test_what_is_no_number_is_said_in_words(raw: Any, got: str) -> None:
    """The error says what came, shortened; true is not 1, and 1,23 is not guessed at."""
    assert refusal(values.number, raw) == f"expected a number, got {got}"


@pytest.mark.parametrize("raw", [1, "1", "+3", "-1,234", "12%", 2**53, "9007199254740992"])
def test_what_has_no_decimals_is_an_integer(raw: Any) -> None:
    """Viewers see 3, not 3.0."""
    assert type(values.number(raw)) is int


@pytest.mark.parametrize(
    "raw", ["1e400", "-1e400", "9" * 400, "9" * 5000, math.inf, -math.inf, math.nan]
)
def test_numbers_that_are_not_finite_are_refused(raw: Any) -> None:
    """No row has a number that JSON cannot carry."""
    got = values.describe(raw)
    assert refusal(values.number, raw) == f"expected a finite number, got {got}"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (None, "null"),
        ("x" * 40, f"'{'x' * 40}'"),
        ("x" * 41, f"'{'x' * 40}…'"),
        (10**60, "1" + "0" * 39),
    ],
)
def test_what_came_is_told_in_at_most_forty_characters(raw: Any, words: str) -> None:
    """A message has to be short, whatever a source sends."""
    assert values.describe(raw) == words


@pytest.mark.parametrize("raw", [2**53 + 1, "9007199254740993", 2**64 - 1])
def test_integers_that_browsers_would_round_are_floats(raw: Any) -> None:
    """What is beyond 2**53 is rounded here already, so that every viewer sees the same."""
    assert isinstance(values.number(raw), float)


@pytest.mark.parametrize("read", [values.number, lambda raw: values.time_ms(raw, UTC)])
def test_integers_beyond_every_float_are_refused(read: Any) -> None:
    """JMESPath's to_number makes such integers out of text; they are wrong values, no defect."""
    with pytest.raises(ValueError, match="expected"):
        read(10**400)


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**53), 2**53))
def test_a_number_survives_being_written_as_text(number: float) -> None:
    """Whatever Python writes as a number is read as the same number."""
    assert values.number(repr(number)) == number


# -- text


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("  Zürich ", "Zürich"),
        ("", None),
        ("   ", None),
        (5, "5"),
        (1.5, "1.5"),
        (True, "true"),
        (False, "false"),
        ("N/A", "N/A"),
    ],
)
def test_text_is_taken_without_space_around_it(raw: Any, text: str | None) -> None:
    """Numbers and booleans are written as JSON writes them; nothing left is no value."""
    assert values.convert(raw, Kind.TEXT) == text


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([1, 2], "expected text, got a list of 2"),
        ({}, "expected text, got an object with 0 members"),
        ("x" * 1001, "expected at most 1000 characters, got 1001"),
    ],
)
def test_what_is_no_text_is_said_in_words(raw: Any, words: str) -> None:
    """Structures are no text, and a cell is no place for a book."""
    assert refusal(values.convert, raw, Kind.TEXT) == words


# -- clocks


@pytest.mark.parametrize(
    ("raw", "clock"),
    [
        ("PT11M43.00S", "11:43"),
        ("PT00M00.00S", "0:00"),
        ("PT1H2M3S", "62:03"),
        ("PT45M", "45:00"),
        ("PT7.5S", "0:07"),
        ("45'+2", "45'+2"),
        (" 12:30 ", "12:30"),
        ("", None),
        (90, "90"),
    ],
)
def test_clocks_are_minutes_and_seconds(raw: Any, clock: str | None) -> None:
    """ISO 8601 durations are written as a scoreboard writes them; other text stays."""
    assert values.convert(raw, Kind.CLOCK) == clock


# -- values of any kind


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("1.5", 1.5),
        ("1,234", 1234),
        ("-0.58%", -0.58),
        ("007", "007"),
        ("-01", "-01"),
        ("0", 0),
        ("0.5", 0.5),
        ("abc", "abc"),
        ("1e400", "1e400"),
        ("NA", "NA"),
        ("N/A", None),
        ("-", None),
        ("", None),
        (None, None),
        (True, True),
        (7, 7),
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
    ],
)
def test_auto_keeps_what_comes_but_reads_numbers(raw: Any, value: Any) -> None:
    """Text that is a number becomes one, except where zeros before it say that it is a name."""
    assert values.convert(raw, Kind.AUTO) == value


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"a": 1}, "expected a value, got an object with 1 members"),
        ([0] * 201, "expected at most 200 entries, got 201"),
        ("x" * 1001, "expected at most 1000 characters, got 1001"),
        (math.nan, "expected a finite number, got nan"),
    ],
)
def test_auto_refuses_what_is_no_cell(raw: Any, words: str) -> None:
    """A cell has a bounded size and is no object."""
    assert refusal(values.convert, raw, Kind.AUTO) == words


DEEP = f"expected at most {values.DEPTH_LIMIT} levels of lists and objects"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        pytest.param(orjson.loads("[" * 300 + "]" * 300), DEEP, id="300 lists in each other"),
        pytest.param([[[[[]]]]], DEEP, id="five lists in each other"),
        pytest.param([{"a": {"b": {"c": {"d": 1}}}}], DEEP, id="deep objects"),
        pytest.param([[{"a": [{}]}]], DEEP, id="lists and objects"),
        pytest.param(
            ["x" * 1001], "expected at most 1000 characters, got 1001", id="long text inside"
        ),
        pytest.param(
            [{"x" * 1001: 1}], "expected at most 1000 characters, got 1001", id="a long name"
        ),
        pytest.param([[0] * 201], "expected at most 200 entries, got 201", id="a long list inside"),
        pytest.param(
            [dict.fromkeys(map(str, range(201)))],
            "expected at most 200 members, got 201",
            id="a large object",
        ),
        pytest.param([math.nan], "expected a finite number, got nan", id="not finite"),
    ],
)
def test_a_list_in_a_cell_is_bounded_in_depth_and_size(raw: Any, words: str) -> None:
    """What a cell must not be does not come in inside a list; nesting must not break encoding."""
    assert refusal(values.convert, raw, Kind.AUTO) == words


@pytest.mark.parametrize(
    "raw",
    [
        [0] * values.LIST_LIMIT,
        [dict.fromkeys(map(str, range(values.LIST_LIMIT)))],
        ["x" * values.TEXT_LIMIT],
        [[[[1, None, True]]]],
        [{"a": {"b": {"c": 1}}}],
        [{"a": [{"b": "x"}]}],
    ],
)
def test_a_list_in_a_cell_may_be_as_large_as_its_limits(raw: Any) -> None:
    """Up to there it comes in as it is."""
    assert values.convert(raw, Kind.AUTO) == raw


def test_text_may_be_as_long_as_its_limit() -> None:
    """One character more is too many."""
    assert values.text("x" * values.TEXT_LIMIT) == "x" * values.TEXT_LIMIT


@given(documents, st.sampled_from(list(Kind)))
def test_any_value_is_converted_or_refused(raw: Any, kind: Kind) -> None:
    """No JSON value in no kind raises anything but ValueError."""
    with suppress(ValueError):
        values.time_ms(raw, UTC) if kind is Kind.TIME else values.convert(raw, kind)


# -- times


@pytest.mark.parametrize(
    "raw",
    [
        "2025-11-20T12:00:00Z",
        "2025-11-20T12:00:00.000+00:00",
        "2025-11-20T07:00:00-05:00",
        "2025-11-20 12:00:00",
        " 2025-11-20T12:00 ",
        "20251120T120000Z",
        "Thu, 20 Nov 2025 12:00:00 GMT",
        "Thu, 20 Nov 2025 07:00:00 -0500",
        "20 Nov 2025 12:00:00 +0000",
        1_763_640_000,
        1_763_640_000.0,
        "1763640000",
        "1763640000.0",
        1_763_640_000_000,
        "1763640000000",
        1_763_640_000_000_000,
        "1763640000000000",
        1_763_640_000_000_000_000,
        "1763640000000000000",
    ],
)
def test_times_become_epoch_milliseconds(raw: Any) -> None:
    """ISO 8601, RFC 2822 and Unix times in s, ms, µs and ns are the same moment."""
    assert values.time_ms(raw, UTC) == NOON


@pytest.mark.parametrize(
    ("raw", "at"),
    [
        (0, 0),
        (-1, -1000),
        (1.0005, 1000),
        ("2025-11-20", NOON - 43_200_000),
        (99_999_999_999, 99_999_999_999_000),
        (100_000_000_000, 100_000_000_000),
        (99_999_999_999_999, 99_999_999_999_999),
        (100_000_000_000_000, 100_000_000_000),
    ],
)
def test_small_unix_times_are_seconds(raw: Any, at: int) -> None:
    """Below 1e11 a Unix time counts as seconds, then as milliseconds, from 1e14 on as µs."""
    assert values.time_ms(raw, UTC) == at


@pytest.mark.parametrize("raw", [None, "", " ", "-", "N/A", "null"])
def test_blank_times_are_no_value(raw: Any) -> None:
    """What sources write for nothing is nothing, not 1970."""
    assert values.time_ms(raw, UTC) is None


@pytest.mark.parametrize(
    ("raw", "zone", "at"),
    [
        ("2025-11-20T07:00:00", NEW_YORK, NOON),
        ("2025-07-01T08:00:00", NEW_YORK, 1_751_371_200_000),
        ("2025-11-20T12:00:00Z", NEW_YORK, NOON),
        ("Thu, 20 Nov 2025 07:00:00", NEW_YORK, NOON),
        ("2025-11-20T21:00:00", ZoneInfo("Asia/Tokyo"), NOON),
        (1_763_640_000, NEW_YORK, NOON),
    ],
)
def test_the_zone_is_for_times_that_name_none(raw: Any, zone: ZoneInfo, at: int) -> None:
    """Summer time included; a time that names its zone, and a Unix time, need none."""
    assert values.time_ms(raw, zone) == at


@pytest.mark.parametrize(
    ("raw", "layout", "at"),
    [
        ("20 November 2025", "%d %B %Y", NOON - 43_200_000),
        ("20/11/2025 12:00", "%d/%m/%Y %H:%M", NOON),
        ("20251120", "%Y%m%d", NOON - 43_200_000),
        (20251120, "%Y%m%d", NOON - 43_200_000),
        ("20.11.2025 07:00:00 -0500", "%d.%m.%Y %H:%M:%S %z", NOON),
    ],
)
def test_a_layout_reads_any_other_time(raw: Any, layout: str, at: int) -> None:
    """The config's strptime format counts, whatever the text could be otherwise."""
    assert values.time_ms(raw, UTC, layout) == at


def test_a_time_in_a_layout_is_of_the_zone_too() -> None:
    """As any time that names none."""
    assert values.time_ms("20/11/2025 07:00", NEW_YORK, "%d/%m/%Y %H:%M") == NOON


@pytest.mark.parametrize(
    "raw", ["yesterday", "12:30", "2025-13-01", "Thu", True, [1], {"t": 1}, "1e9", ",", "0 0 0 0"]
)
def test_what_is_no_time_is_said_in_words(raw: Any) -> None:
    """The error says what was expected and what came."""
    words = refusal(values.time_ms, raw, UTC)
    assert words == f"expected a time (ISO 8601 or Unix), got {values.describe(raw)}"


@pytest.mark.parametrize("raw", [1e20, "99999999999999999999999", -1e30, math.inf, math.nan])
def test_unix_times_out_of_all_bounds_are_refused(raw: Any) -> None:
    """No unit makes a moment of such a number."""
    finite = math.isfinite(float(raw))
    expected = f"Unix time, got {float(raw):g}" if finite else f"finite number, got {raw}"
    assert refusal(values.time_ms, raw, UTC) == f"expected a {expected}"


def test_a_time_that_does_not_fit_its_layout_is_refused() -> None:
    """The error names the layout."""
    assert "%d %B %Y" in refusal(values.time_ms, "2025-11-20", UTC, "%d %B %Y")


@given(
    st.datetimes(datetime(1974, 1, 1), datetime(2200, 1, 1)), st.sampled_from([1, 1e3, 1e6, 1e9])
)
def test_the_unit_of_a_unix_time_is_found(moment: datetime, unit: float) -> None:
    """From 1974 on the size of the number says whether it is s, ms, µs or ns."""
    second = int(moment.replace(tzinfo=UTC).timestamp())
    assert values.time_ms(int(second * unit), UTC) == second * 1000


@given(st.text(max_size=40) | st.from_regex(r"[A-Z][a-z]{2}, \d+ [A-Z][a-z]{2} \d+ [\d:]+ .*"))
def test_any_text_is_a_time_or_refused(raw: str) -> None:
    """No text raises anything but ValueError."""
    with suppress(ValueError):
        values.time_ms(raw, NEW_YORK)
