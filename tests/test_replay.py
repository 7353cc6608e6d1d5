"""A recorded file plays at its own pace times ``speed``; the times of the looks are chosen."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest

from ticker.config import ReplayFeed as ReplaySettings
from ticker.diff import Rows
from ticker.errors import ConfigError, FeedError
from ticker.feeds import Reading
from ticker.feeds.replay import RECORDS_PER_READ, ReplayFeed

from .support import serving, settings, until

START = 1_763_640_000
"""When recordings begin, in epoch seconds."""

NOW = 2_000_000_000.0
"""When they are played."""

TAPE = "time,symbol,last\n" + "".join(f"{START + i},A,{i}\n" for i in range(10))


def write(folder: Path, name: str, content: str | bytes) -> None:
    """Write a file."""
    Path(folder, name).write_bytes(content.encode() if isinstance(content, str) else content)


def remove(folder: Path, name: str) -> None:
    """Remove a file."""
    Path(folder, name).unlink()


Record = Callable[..., ReplayFeed]


@pytest.fixture
async def replay(tmp_path: Path) -> AsyncIterator[Record]:
    """Return what writes a recording and returns its feed; feeds are closed at the end."""
    feeds: list[ReplayFeed] = []

    def record(name: str, content: str | bytes, **keys: Any) -> ReplayFeed:
        write(tmp_path, name, content)
        keys = {"fields": {"last": "last"}, **keys, "kind": "replay", "file": name}
        feed = ReplayFeed(ReplaySettings.model_validate(keys, context={"base": tmp_path}))
        feeds.append(feed)
        return feed

    yield record
    for feed in feeds:
        await feed.close()


def lines(*documents: Any) -> bytes:
    """Return documents as JSON lines; bytes stand as they are."""
    return b"\n".join(d if isinstance(d, bytes) else orjson.dumps(d) for d in documents)


def quote(second: float, symbol: str = "A", last: Any = 1, **more: Any) -> dict[str, Any]:
    """Return a record."""
    return {"time": START + second, "symbol": symbol, "last": last, **more}


async def look(feed: ReplayFeed, second: float) -> Reading:
    """Look ``second`` seconds after the start; something must have fallen due."""
    reading = await feed.read(NOW + second)
    assert isinstance(reading, Reading)
    return reading


async def lasts(feed: ReplayFeed, seconds: Sequence[float]) -> list[Any]:
    """Return ``last`` of row A at each of these times, None where nothing fell due."""
    found: list[Any] = []
    for second in seconds:
        reading = await feed.read(NOW + second)
        shown = isinstance(reading, Reading) and reading.rows
        found.append(shown["A"]["last"] if shown else None)
    return found


async def refusal(feed: ReplayFeed, second: float = 0.0) -> str:
    """Return the words with which a look fails."""
    with pytest.raises(FeedError) as caught:
        await feed.read(NOW + second)
    return caught.value.why


# -- pace


@pytest.mark.parametrize(
    ("speed", "seconds", "expected"),
    [
        (1.0, [0, 0.5, 1, 1.5, 3, 3.9, 4], [0, None, 1, None, 3, None, 4]),
        (2.0, [0, 0.4, 0.5, 1, 2], [0, None, 1, 2, 4]),
        (0.5, [0, 1, 2, 3, 4], [0, None, 1, None, 2]),
        (128.0, [0, 0.03125, 0.0625], [0, 4, 8]),
        (1.0, [0, 100], [0, 9]),
    ],
)
async def test_records_fall_due_at_the_pace_of_the_recording(
    replay: Record, speed: float, seconds: list[float], expected: list[Any]
) -> None:
    """A second of the recording takes 1/speed seconds, from the first look on."""
    feed = replay("t.csv", TAPE, speed=speed)
    assert await lasts(feed, seconds) == expected


async def test_the_first_record_is_played_at_the_first_look(replay: Record) -> None:
    """However long ago it was recorded, and whenever the look comes."""
    feed = replay("t.csv", TAPE)
    assert await lasts(feed, [12_345.0]) == [0]


async def test_a_look_between_records_confirms_what_is_there(replay: Record) -> None:
    """It is a success without news."""
    feed = replay("t.csv", TAPE)
    await look(feed, 0)
    assert await feed.read(NOW + 0.5) is None


async def test_a_clock_set_back_plays_nothing_twice(replay: Record) -> None:
    """The recording waits until the clock is there again."""
    feed = replay("t.csv", TAPE)
    assert await lasts(feed, [0, 3, -3600, 2, 3, 4]) == [0, 3, None, None, None, 4]


async def test_all_that_fell_due_between_looks_is_played_in_order(replay: Record) -> None:
    """The later record of a row counts; rows of earlier ones come along."""
    tape = lines(quote(0, "A", 1), quote(1, "B", 2), quote(2, "A", 3), quote(3, "A", 4))
    feed = replay("t.jsonl", tape)
    await look(feed, 0)
    assert (await look(feed, 2.5)).rows == {"B": {"last": 2}, "A": {"last": 3}}


async def test_a_crowd_of_records_is_spread_over_looks(replay: Record) -> None:
    """Nothing is skipped, and no look takes for ever."""
    tape = "time,symbol,last\n" + "".join(f"{START},S{i},1\n" for i in range(RECORDS_PER_READ + 5))
    feed = replay("t.csv", tape)
    assert len((await look(feed, 0)).rows) == RECORDS_PER_READ
    rest = await look(feed, 0)
    assert (len(rest.rows), rest.ended) == (5, True)


async def test_a_record_that_is_late_in_the_file_is_played_at_once(replay: Record) -> None:
    """A little disorder of the recording neither stops nor reorders it."""
    tape = lines(quote(0, last=1), quote(2, last=2), quote(1, last=3), quote(3, last=4))
    feed = replay("t.jsonl", tape)
    assert await lasts(feed, [0, 1, 2, 3]) == [1, None, 3, 4]


# -- the end


async def test_the_end_closes_the_feed(replay: Record) -> None:
    """The last records come with the news that no more will, and every later look says so."""
    feed = replay("t.csv", TAPE)
    await look(feed, 0)
    reading = await look(feed, 100)
    assert (reading.rows, reading.ended) == ({"A": {"last": 9}}, True)
    again = await look(feed, 101)
    assert (again.rows, again.complete, again.ended) == ({}, False, True)


async def test_a_loop_begins_again(replay: Record) -> None:
    """The end is the beginning, and nothing is closed."""
    tape = lines(quote(0, last=1), quote(1, "B", last=2))
    feed = replay("t.jsonl", tape, loop=True)
    for second in (0, 1, 2, 3):
        reading = await look(feed, second)
        assert reading.rows
        assert not reading.ended


async def test_a_loop_shows_its_last_record(replay: Record) -> None:
    """Before the first record is played again, the last one was on the board."""
    tape = lines(quote(0, last=1), quote(1, last=2))
    feed = replay("t.jsonl", tape, loop=True)
    assert await lasts(feed, [0, 1]) == [1, 2]


async def test_a_loop_of_whole_lists_forgets_what_was(replay: Record) -> None:
    """With `missing: remove` the second round begins without the rows of the first."""
    tape = lines(
        {"time": START, "rows": [{"symbol": "A", "last": 1}]},
        {"time": START + 1, "rows": [{"symbol": "B", "last": 2}]},
    )
    feed = replay("t.jsonl", tape, loop=True, rows="rows", missing="remove")
    assert list((await look(feed, 0)).rows) == ["A"]
    second = await look(feed, 1)
    third = await look(feed, 2.5)
    assert len(second.rows) == len(third.rows) == 1


async def test_a_loop_of_one_moment_plays_once_per_look(replay: Record) -> None:
    """A recording without duration must not turn a core's whole time into nothing."""
    feed = replay("t.jsonl", lines(quote(0), b"broken"), loop=True)
    reading = await look(feed, 0)
    assert reading.rejected <= 1


def test_the_board_says_that_the_recording_has_ended(tmp_path: Path) -> None:
    """The feed and its rows are closed, with their last values."""
    write(tmp_path, "t.csv", TAPE)
    feed = "kind: replay, file: t.csv, speed: 1000, every: 20ms, fields: {last: last}"
    config = f"feeds: {{tape: {{{feed}}}}}\nboards: {{b: {{feeds: [tape], flush: 20ms}}}}"
    with serving(config, base=tmp_path) as server:
        closed = until(lambda: next((r for r in server.rows("b").values() if "quality" in r), None))
        assert closed == {"last": 9, "quality": "closed"}
        health = server.feed("tape")
        assert (health["quality"], health["why"]) == ("closed", "the recording has ended")


# -- files


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("t.csv", {}),
        ("t.csv.gz", {}),
        ("t.txt", {"format": "csv"}),
        ("t.txt.gz", {"format": "csv"}),
    ],
)
async def test_csv_is_read_plain_and_compressed(
    replay: Record, name: str, keys: dict[str, Any]
) -> None:
    """The name says what a file is, unless the config does."""
    tape = gzip.compress(TAPE.encode()) if name.endswith(".gz") else TAPE
    feed = replay(name, tape, **keys)
    assert await lasts(feed, [0, 100]) == [0, 9]


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.jsonl.gz", "t.ndjson.gz"])
async def test_json_lines_are_read_plain_and_compressed(replay: Record, name: str) -> None:
    """Blank lines and a byte order mark do not matter."""
    tape = b"\xef\xbb\xbf" + lines(quote(0, last=1), b"", b"  ", quote(1, last=2)) + b"\n\n"
    feed = replay(name, gzip.compress(tape) if name.endswith(".gz") else tape)
    assert await lasts(feed, [0, 100]) == [1, 2]


async def test_the_delimiter_is_the_config_s(replay: Record) -> None:
    """A csv may be written with semicolons."""
    feed = replay("t.csv", TAPE.replace(",", ";"), delimiter=";")
    assert await lasts(feed, [0, 100]) == [0, 9]


@pytest.mark.parametrize(
    ("name", "words"),
    [("none.csv", "no such file"), (".", "ends in none of .csv, .jsonl, .ndjson")],
)
def test_a_file_that_is_none_is_an_error_of_the_config(
    tmp_path: Path, name: str, words: str
) -> None:
    """The config is refused before anything is served."""
    feed = f"kind: replay, file: {name}, fields: {{last: last}}"
    with pytest.raises(ConfigError, match=words):
        settings(f"feeds: {{f: {{{feed}}}}}\nboards: {{b: {{feeds: [f]}}}}", base=tmp_path)


async def test_a_file_that_vanished_before_its_start_is_said_in_words(
    replay: Record, tmp_path: Path
) -> None:
    """It plays as soon as it is there."""
    feed = replay("t.csv", TAPE)
    remove(tmp_path, "t.csv")
    words = await refusal(feed)
    assert words.startswith("cannot read ")
    assert "No such file" in words
    write(tmp_path, "t.csv", TAPE)
    assert await lasts(feed, [5]) == [0]


async def test_a_file_that_vanishes_under_way_is_played_to_its_end(
    replay: Record, tmp_path: Path
) -> None:
    """It is open."""
    feed = replay("t.csv", TAPE)
    await look(feed, 0)
    remove(tmp_path, "t.csv")
    assert await lasts(feed, [3, 100]) == [3, 9]


async def test_a_loop_whose_file_vanished_fails_until_it_is_back(
    replay: Record, tmp_path: Path
) -> None:
    """The next round cannot begin; the look after its return begins it."""
    feed = replay("t.csv", TAPE, loop=True)
    await look(feed, 0)
    remove(tmp_path, "t.csv")
    await look(feed, 100)
    assert "No such file" in await refusal(feed, 101)
    assert "No such file" in await refusal(feed, 102)
    write(tmp_path, "t.csv", TAPE)
    assert await lasts(feed, [103]) == [0]


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("t.csv", b"", "expected CSV with a header line, got nothing"),
        ("t.csv", b"time,symbol,last\n", "no records in "),
        ("t.jsonl", b"", "no records in "),
        ("t.csv.gz", TAPE.encode(), "cannot read "),
        ("t.csv.gz", b"", "expected CSV with a header line, got nothing"),
        ("t.csv.gz", gzip.compress(b"x" * 99, mtime=0)[:20], "cannot read "),
        ("t.csv", TAPE.encode("utf-16"), "cannot read "),
        ("t.csv", b"time,symbol\n" + b"x" * 200_000, "expected CSV: field larger than"),
    ],
)
async def test_a_file_without_records_is_said_in_words(
    replay: Record, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    """Each look says it again, until the file is another."""
    feed = replay(name, content)
    assert words in await refusal(feed)
    assert words in await refusal(feed, 1)
    write(tmp_path, name, gzip.compress(TAPE.encode()) if ".gz" in name else b"")
    if ".gz" in name:
        assert await lasts(feed, [2]) == [0]


def long_tape() -> bytes:
    """Return a recording of several buffers, compressed; every second has its number."""
    tape = "time,symbol,last,noise\n" + "".join(
        f"{START + i},A,{i},{i * 7919 % 10_007}\n" for i in range(20_000)
    )
    return gzip.compress(tape.encode())


async def test_a_truncated_gzip_plays_what_is_there_then_fails(replay: Record) -> None:
    """What was recorded before the break is played; the break is said in words."""
    whole = long_tape()
    feed = replay("t.csv.gz", whole[: len(whole) // 2])
    assert await lasts(feed, [0, 100]) == [0, 100]
    words = ""
    for second in range(1000, 20_000, 1000):
        try:
            await feed.read(NOW + second)
        except FeedError as error:
            words = error.why
            break
    assert words.startswith("cannot read ")
    assert "end-of-stream" in words


async def test_what_fell_due_before_a_break_is_not_lost(replay: Record) -> None:
    """The failure belongs to the record that cannot be read, not to those before it."""
    tape = TAPE + f"{START + 10},A,{'x' * 200_000}\n"
    feed = replay("t.csv", tape)
    assert await lasts(feed, [0, 5.5]) == [0, 5]
    assert (await look(feed, 100)).rows == {"A": {"last": 9}}


# -- records that cannot be used


async def test_bad_lines_are_rejected_counted_and_named_by_their_number(replay: Record) -> None:
    """The good ones go on around them."""
    tape = lines(
        quote(0, last=1),
        b"<html>",
        b'{"time": ',
        {"symbol": "A", "last": 2},
        {"time": "soon", "symbol": "A", "last": 3},
        quote(1, last="closed"),
        quote(2, symbol=""),
        quote(2, last=4),
    )
    feed = replay("t.jsonl", tape)
    first, second = await look(feed, 0), await look(feed, 2)
    assert (first.rows, first.rejected) == ({"A": {"last": 1}}, 4)
    assert (second.rows, second.rejected) == ({"A": {"last": 4}}, 2)
    said = [str(r) for r in (*first.rejections, *second.rejections)]
    assert "row 'record 2': expected JSON, got a page of HTML beginning '<html>'" in said[0]
    assert "row 'record 3': expected JSON" in said[1]
    assert "row 'record 4': no time at 'time'" in said[2]
    assert "row 'record 5': expected a time (ISO 8601 or Unix), got 'soon'" in said[3]
    assert "last at 'last': expected a number, got 'closed'" in said[4]
    assert "expected a symbol of 1 to 100 characters, got 0" in said[5]


async def test_bad_lines_at_the_beginning_do_not_stop_a_recording(replay: Record) -> None:
    """They are rejected with the first record that has a time."""
    feed = replay("t.jsonl", lines(b"# a comment", b"# another", quote(0)))
    reading = await look(feed, 0)
    assert (reading.rows, reading.rejected) == ({"A": {"last": 1}}, 2)


async def test_reasons_are_remembered_for_the_first_bad_lines_only(replay: Record) -> None:
    """All are counted."""
    feed = replay("t.jsonl", lines(quote(0), *[b"broken"] * 500, quote(1)))
    reading = await look(feed, 1)
    assert (reading.rejected, len(reading.rejections)) == (500, 20)


@pytest.mark.parametrize("count", [1, 5, 500])
async def test_a_recording_without_times_is_refused_in_words(replay: Record, count: int) -> None:
    """The error names the first record and the path."""
    tape = "at,symbol,last\n" + "5,A,1\n" * count
    feed = replay("t.csv", tape)
    assert await refusal(feed) == "record 1: no time at 'time'"


async def test_a_recording_that_begins_with_its_newest_record_is_refused(replay: Record) -> None:
    """Played backwards it would be wrong from the first to the last value."""
    backwards = "time,symbol,last\n" + "".join(f"{START - i},A,{i}\n" for i in range(10))
    feed = replay("t.csv", backwards)
    words = "record 2 is older than the first; sort oldest first"
    assert await refusal(feed) == words
    assert await refusal(feed, 1) == words


async def test_newest_first_is_seen_where_several_records_share_a_time(replay: Record) -> None:
    """Recordings of several symbols have one record of each at every moment."""
    backwards = "time,symbol,last\n" + "".join(
        f"{START - i},{symbol},{i}\n" for i in range(10) for symbol in "AB"
    )
    feed = replay("t.csv", backwards)
    assert "sort oldest first" in await refusal(feed)


@pytest.mark.parametrize(
    ("times", "keys"),
    [
        (["2025-11-20T12:00:00Z", "2025-11-20T12:00:01Z"], {}),
        (["2025-11-20 07:00:00", "2025-11-20 07:00:01"], {"timezone": "America/New_York"}),
        (["1763640000000", "1763640001000"], {}),
        (["1763640000000000000", "1763640001000000000"], {}),
        (["20/11/2025 12.00.00", "20/11/2025 12.00.01"],
         {"time": {"path": "time", "format": "%d/%m/%Y %H.%M.%S"}}),
    ],
)  # fmt: skip
async def test_times_are_read_as_those_of_rows(
    replay: Record, times: list[str], keys: dict[str, Any]
) -> None:
    """Any unit, any format, any zone: the second record is one second later."""
    tape = f"time,symbol,last\n{times[0]},A,1\n{times[1]},A,2\n"
    feed = replay("t.csv", tape, **keys)
    assert await lasts(feed, [0, 0.9, 1]) == [1, None, 2]


# -- news and whole lists


async def test_records_are_news_about_their_row(replay: Record) -> None:
    """Blank cells keep what was there, and rows that are not mentioned stay."""
    tape = "time,symbol,last,bid\n" + "".join(
        f"{START + i},{cells}\n" for i, cells in enumerate(["A,1,0.9", "B,5,", "A,2,", "A,,1.9"])
    )
    fields = {"last": "last", "bid": "bid"}
    feed = replay("t.csv", tape, fields=fields)
    seen: Rows = {}
    for second in range(4):
        reading = await look(feed, second)
        assert not reading.complete
        seen |= reading.rows
    assert seen == {"A": {"last": 2, "bid": 1.9}, "B": {"last": 5}}


async def test_blanks_may_clear(replay: Record) -> None:
    """With `blanks: clear` a record is the whole row."""
    tape = "time,symbol,last,bid\n" + f"{START},A,1,0.9\n{START + 1},A,2,\n"
    fields = {"last": "last", "bid": "bid"}
    feed = replay("t.csv", tape, fields=fields, blanks="clear")
    await look(feed, 0)
    assert (await look(feed, 1)).rows == {"A": {"last": 2}}


def listing(second: int, *quotes: dict[str, Any]) -> dict[str, Any]:
    """Return a record that lists all rows."""
    return {"time": START + second, "rows": list(quotes)}


A, B = {"symbol": "A", "last": 1}, {"symbol": "B", "last": 2}


async def test_documents_that_list_all_rows_remove_the_missing(replay: Record) -> None:
    """With `missing: remove` the reading is complete: the last document that fell due counts."""
    tape = lines(listing(0, A, B), listing(1, A), listing(2, B), listing(3, B))
    feed = replay("t.jsonl", tape, rows="rows", missing="remove")
    first = await look(feed, 0)
    assert (sorted(first.rows), first.complete) == (["A", "B"], True)
    second = await look(feed, 2)
    assert (sorted(second.rows), second.complete) == (["B"], True)


async def test_a_row_that_is_broken_in_a_whole_list_stays(replay: Record) -> None:
    """It is still listed; only its value cannot be read."""
    tape = lines(listing(0, A, B), listing(1, A, {"symbol": "B", "last": "?"}), listing(2, A))
    feed = replay("t.jsonl", tape, rows="rows", missing="remove")
    await look(feed, 0)
    broken = await look(feed, 1)
    assert (sorted(broken.rows), broken.rejected) == (["A", "B"], 1)
    assert sorted((await look(feed, 2)).rows) == ["A"]


@pytest.mark.parametrize(
    "unusable",
    [
        pytest.param({}, id="no list"),
        pytest.param({"rows": []}, id="an empty list"),
        pytest.param({"rows": [{"symbol": "A", "last": "?"}]}, id="broken rows only"),
    ],
)
async def test_an_unusable_record_between_whole_lists_removes_nothing(
    replay: Record, unusable: dict[str, Any]
) -> None:
    """Where nothing else fell due in a look, all rows stay as they were."""
    tape = lines(listing(0, A, B), {"time": START + 1, **unusable}, listing(2, A, B))
    feed = replay("t.jsonl", tape, rows="rows", missing="remove")
    await look(feed, 0)
    reading = await look(feed, 1)
    assert reading.rejected == 1
    assert sorted(reading.rows) == ["A", "B"] or not reading.complete


async def test_closing_twice_or_before_the_first_look_does_nothing(replay: Record) -> None:
    """The end of the program may come at any time."""
    feed = replay("t.csv", TAPE)
    await feed.close()
    await look(feed, 0)
    await feed.close()
    await feed.close()
