"""Recorded polls of one source, one after the other: viewers are told what changed, exactly.

The source moves on only when the outcome of a poll was seen. What must change is worked out here
from the recorded documents with plain Python, not with the program.
"""

from __future__ import annotations

import csv
import gzip
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import orjson
import pytest

from tests.fixtures.recorded import Row, Rows, game, number, quote, row, scaled, shared_data
from tests.support import PATIENCE, Handler, serving, source, until

DATA = shared_data()

Patch = dict[str, Row | None]


# -- a source that moves on when it is told to


class Polls:
    """Answers with one document until it is told the next; knows which answer was taken.

    A request names the last answer that could be used, in If-None-Match: the reading of that one is
    then over, whether it changed anything or not.
    """

    def __init__(self, first: Any) -> None:
        self._lock = threading.Lock()
        self._taken = threading.Event()
        self._number = -1
        self.turn(first)

    def turn(self, document: Any) -> None:
        """Answer with ``document`` from now on."""
        with self._lock:
            self._body = orjson.dumps(document)
            self._number += 1
            self._taken.clear()

    def __call__(self, handler: Handler) -> None:
        """Answer a request."""
        with self._lock:
            etag, body = f'"{self._number}"', self._body
            known = handler.headers.get("If-None-Match") == etag
            if known:
                self._taken.set()
        if known:
            handler.answer(304)
        else:
            handler.answer(200, body, ETag=etag)

    def wait_until_taken(self) -> None:
        """Wait until the server has used the document and asked again."""
        assert self._taken.wait(PATIENCE), "the server did not come back"


# -- what must change


class Expected:
    """Works out the diff from one document's rows to the next."""

    def __init__(self, first: Rows) -> None:
        self._rows = first
        self._had = {symbol: set(known) for symbol, known in first.items()}

    def diff(self, rows: Rows) -> Patch:
        """Return what leads from the rows before to ``rows``."""
        patch: Patch = {symbol: None for symbol in self._rows if symbol not in rows}
        for symbol, now in rows.items():
            before = self._rows.get(symbol)
            had = self._had.setdefault(symbol, set())
            if before is None:  # a row that comes back says also what it has no more
                patch[symbol] = {**dict.fromkeys(had), **now}
            elif before != now:
                changed = {name: value for name, value in now.items() if before.get(name) != value}
                patch[symbol] = {**changed, **{name: None for name in before if name not in now}}
            had.update(now)
        self._rows = rows
        return patch


# -- the recordings


@dataclass(frozen=True)
class Recording:
    """Successive answers of a source, the YAML that maps them, and what each must give."""

    name: str
    documents: Callable[[], list[Any]]
    yaml: str
    rows: Callable[[Any], Rows]
    quiet: int
    """How many of them change nothing."""
    removals: int
    """How many rows go away on the way."""


def bodies(file: str) -> Callable[[], list[Any]]:
    """Return what reads the documents of a recording, one a line."""

    def read() -> list[Any]:
        path = DATA / file
        text = path.read_bytes()
        lines = (gzip.decompress(text) if file.endswith(".gz") else text).splitlines()
        return [json.loads(line)["body"] for line in lines]

    return read


def documents(*files: str) -> Callable[[], list[Any]]:
    """Return what reads the documents of a recording, one a file."""
    return lambda: [json.loads((DATA / file).read_text("utf-8")) for file in files]


def sectors(document: Any) -> Rows:
    """Return the rows of the sector feed."""
    return {
        symbol: row(
            name=r["name"],
            last=r["current_price"],
            change=r["daily_change"],
            change_pct=r["daily_change_percent"],
            volume=r["volume"],
            market=document["metadata"]["market_status"],
        )
        for symbol, r in document["sectors"].items()
    }


def indices(document: Any) -> Rows:
    """Return the rows of an index feed, whose change follows from last and open."""
    return {
        symbol: quote(
            last=r["current_price"], open=r["day_open"], high=r["day_high"], low=r["day_low"]
        )
        for symbol, r in document["indices"].items()
    }


def poloniex(document: Any) -> Rows:
    """Return the rows of Poloniex."""
    return {
        pair: row(
            last=float(r["last"]),
            bid=float(r["highestBid"]),
            ask=float(r["lowestAsk"]),
            change_pct=scaled(r["percentChange"], 100),
            volume=float(r["baseVolume"]),
        )
        for pair, r in document.items()
    }


def idax(document: Any) -> Rows:
    """Return the rows of IDAX, whose change follows from last and open."""
    return {
        r["pair"]: quote(last=float(r["last"]), open=float(r["open"]), volume=float(r["vol"]))
        for r in document["ticker"]
    }


def matches(document: Any) -> Rows:
    """Return the matches of a World Cup; a score is missing before it is played."""
    rows = {}
    for m in document["matches"]:
        score = m.get("score", {})
        home, away = score.get("ft", (None, None))
        rows[f"{m['date']} {m['team1']} {m['team2']}"] = game(
            home=m["team1"],
            away=m["team2"],
            home_score=home,
            away_score=away,
            status="final" if score else "scheduled",
            period=m["round"],
            penalties=score.get("p"),
            home_minutes=[goal["minute"] for goal in m["goals1"]] if "goals1" in m else None,
        )
    return rows


INDICES = """
    rows: indices
    key: symbol
    fields: {last: current_price, open: day_open, high: day_high, low: day_low}
"""
RECORDINGS = [
    Recording(
        "sectors",
        bodies("market_seq/deanfi_us_sector_indices_polls.jsonl"),
        """
    rows: sectors
    key: "@key"
    fields:
      name: name
      last: current_price
      change: daily_change
      change_pct: daily_change_percent
      volume: volume
      market: $.metadata.market_status
""",
        sectors,
        quiet=3,
        removals=1,
    ),
    Recording(
        "major indices",
        bodies("market_seq/deanfi_us_major_indices_polls.jsonl"),
        INDICES,
        indices,
        quiet=3,
        removals=0,
    ),
    Recording(
        "commodities",
        bodies("market_seq/deanfi_commodity_indices_polls.jsonl"),
        INDICES,
        indices,
        quiet=0,
        removals=0,
    ),
    Recording(
        "poloniex",
        documents(*(f"market_seq/poloniex_returnTicker_poll{i}.json" for i in (1, 2, 3))),
        """
    key: "@key"
    fields:
      last: last
      bid: highestBid
      ask: lowestAsk
      change_pct: {path: percentChange, scale: 100}
      volume: baseVolume
""",
        poloniex,
        quiet=0,
        removals=0,
    ),
    Recording(
        "idax",
        documents(*(f"market_seq/idax_ticker_poll{i}.json" for i in (1, 2))),
        """
    rows: ticker
    key: pair
    fields: {last: last, open: open, volume: vol}
""",
        idax,
        quiet=0,
        removals=0,
    ),
    Recording(
        "world cup",
        bodies("scores_seq/openfootball_worldcup_2026_versions.jsonl.gz"),
        """
    rows: matches
    key: join(' ', [date, team1, team2])
    fields:
      home: team1
      away: team2
      home_score: score.ft[0]
      away_score: score.ft[1]
      status: score.ft && 'final' || 'scheduled'
      period: round
      penalties: score.p
      home_minutes: goals1[].minute
""",
        matches,
        quiet=2,
        removals=45,
    ),
]


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_viewers_get_exactly_what_changed_between_two_polls(recording: Recording) -> None:
    """Each poll gives one diff of exactly its changes, or none when nothing changed."""
    config = f"""
feeds:
  f:
    kind: poll
    every: 50ms
    backoff_max: 100ms
    stale_after: 1m
    url: ${{SOURCE}}/polls
{recording.yaml}
boards:
  b: {{feeds: [f], flush: 10ms}}
"""
    first, *later = recording.documents()
    expected = Expected(recording.rows(first))
    polls = Polls(first)
    quiet = removals = 0
    with source() as upstream:
        upstream.script["/polls"] = polls
        with serving(config, SOURCE=upstream.url) as server:
            until(lambda: server.rows("b") == recording.rows(first), what="the first poll")
            with server.follow("b") as viewer:
                viewer.wait("snapshot")
                assert viewer.rows["b"] == recording.rows(first)
                for document in later:
                    seq = viewer.seqs["b"]
                    changes = expected.diff(recording.rows(document))
                    polls.turn(document)
                    if not changes:  # if a diff came all the same, the next seq would tell
                        quiet += 1
                        polls.wait_until_taken()
                        continue
                    removals += list(changes.values()).count(None)
                    diff = viewer.wait("diff")
                    assert (diff["prev"], diff["seq"]) == (seq, seq + 1)
                    assert diff["rows"] == changes
                polls.wait_until_taken()
                assert server.get("/api/boards/b").json()["seq"] == viewer.seqs["b"]
                assert viewer.rows["b"] == recording.rows(document)
                assert server.feed("f")["rejected"] == 0
    assert (quiet, removals) == (recording.quiet, recording.removals)


# -- a recording replayed


MINUTES = "lean_minute_5instruments_2018-04-04_05.csv"
NUMBERS = ("bid", "bid_size", "ask", "ask_size", "open", "high", "low", "last", "volume")


def minutes() -> Iterator[list[dict[str, str]]]:
    """Yield the records of each minute of the recorded quotes."""
    with (DATA / "market_seq" / MINUTES).open(newline="", encoding="utf-8") as lines:
        for _, records in groupby(csv.DictReader(lines), key=itemgetter("time")):
            yield list(records)


def fold(state: Rows, records: Iterable[dict[str, str]]) -> Rows:
    """Return the state after ``records``: a blank cell keeps what was there."""
    after = dict(state)
    for record in records:
        before = after.get(record["symbol"], {})
        new = row(**{name: number(record[name]) for name in NUMBERS})
        kept = {name: value for name, value in before.items() if not name.startswith("change")}
        after[record["symbol"]] = quote(**{**kept, **new, "venue": record["venue"]})
    return after


def test_a_replay_passes_through_the_states_of_its_file() -> None:
    """Every state a viewer sees is one of the file's, in order; the last is the whole file's."""
    config = f"""
feeds:
  tape:
    kind: replay
    every: 20ms
    file: market_seq/{MINUTES}
    speed: 60000
    key: symbol
    fields: {{venue: venue, {", ".join(f"{name}: {name}" for name in NUMBERS)}}}
boards:
  b: {{feeds: [tape], flush: 10ms}}
"""
    history: list[Rows] = [{}]
    for records in minutes():
        history.append(fold(history[-1], records))
    with serving(config, base=DATA) as server, server.follow("b") as viewer:
        viewer.wait("snapshot")
        places = [history.index(unrated(viewer.rows["b"]))]
        while viewer.feeds["b"]["tape"]["quality"] != "closed":
            if viewer.next()["type"] == "diff":
                places.append(history.index(unrated(viewer.rows["b"]), places[-1]))
        closed = {symbol: {**known, "quality": "closed"} for symbol, known in history[-1].items()}
        viewer.follow_until(lambda v: v.rows["b"] == closed)
        assert server.feed("tape")["rejected"] == 0
        assert len(places) > 10


def test_a_replay_of_whole_documents_ends_with_the_last() -> None:
    """Of 122 versions the last stays; matches whose teams became known leave their old rows."""
    config = """
feeds:
  cup:
    kind: replay
    every: 20ms
    file: scores_seq/openfootball_worldcup_2026_versions.jsonl.gz
    time: recorded_at
    speed: 3000000
    rows: body.matches
    key: join(' ', [date, team1, team2])
    missing: remove
    blanks: clear
    fields:
      home: team1
      away: team2
      home_score: score.ft[0]
      away_score: score.ft[1]
      status: score.ft && 'final' || 'scheduled'
      period: round
      penalties: score.p
      home_minutes: goals1[].minute
boards:
  b: {feeds: [cup], layout: scores, flush: 10ms}
"""
    last = matches(bodies("scores_seq/openfootball_worldcup_2026_versions.jsonl.gz")()[-1])
    with serving(config, base=DATA) as server:
        until(lambda: server.feed("cup")["quality"] == "closed", what="the end of the recording")
        closed = {match: {**known, "quality": "closed"} for match, known in last.items()}
        until(lambda: server.rows("b") == closed, what="the last version")
        assert server.feed("cup")["rejected"] == 0


def unrated(rows: Rows) -> Rows:
    """Return rows without their quality."""
    return {
        symbol: {name: value for name, value in known.items() if name != "quality"}
        for symbol, known in rows.items()
    }
