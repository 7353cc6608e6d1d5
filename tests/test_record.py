"""Recording what sources say, and playing it: the same board out of the same recording."""

from __future__ import annotations

import asyncio
import base64
import errno
import gzip
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import orjson
import pytest
from typer.testing import CliRunner

from ticker import producer, protocol
from ticker import record as record_module
from ticker.cli import app
from ticker.config import Feed, PollFeed
from ticker.errors import ConfigError, FeedError
from ticker.feeds import Feed as AnyFeed
from ticker.feeds import Reading
from ticker.feeds.make import make
from ticker.feeds.poll import PollFeed as Poll
from ticker.feeds.secrets import Secrets
from ticker.hub import Hub
from ticker.live import LiveBoard, Shape
from ticker.producer import Producer
from ticker.record import Recording

from .support import PATIENCE, Handler, Source, serving, settings, source, until

CONFIG = """
feeds:
  f:
    KIND
    MAPPING
boards: {b: {layout: scores, feeds: [f], flush: 10ms}}
"""
GAMES = "rows: games, key: id, fields: {home_score: h, away_score: a, status: s, clock: c, note: n}"
SHARES = 'key: "@symbol", fields: {last: price, volume: v}'


def feed(kind: str, mapping: str, base: Path = Path()) -> Feed:
    """Return the settings of a feed; both parts are what stands in a flow mapping."""
    lines = "\n    ".join(part.replace(": ", ": ", 1) for part in _pairs(f"{kind}, {mapping}"))
    text = CONFIG.replace("KIND\n    MAPPING", lines)
    return settings(text, base=base).feeds["f"]


def _pairs(text: str) -> list[str]:
    """Split at the commas that are not within brackets."""
    parts, depth = [""], 0
    for char in text:
        depth += (char in "{[") - (char in "}]")
        if char == "," and not depth:
            parts.append("")
        else:
            parts[-1] += char
    return [part.strip() for part in parts]


class Clock:
    """The time, for whoever asks here: it stands until it is moved."""

    def __init__(self, now: float) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Return the clock of producer and recorder."""
    clock = Clock(1_790_000_000.0)
    monkeypatch.setattr(producer, "time", clock)
    monkeypatch.setattr(record_module, "time", clock)
    return clock


@pytest.fixture
def origin() -> Iterator[Source]:
    """Return a source."""
    with source() as origin:
        yield origin


class Stage:
    """A feed on a real board, tick by tick: what viewers get, byte for byte."""

    def __init__(self, configured: Feed, played: AnyFeed, clock: Clock) -> None:
        self._clock = clock
        columns = [{"field": "home_score"}]
        self.live = LiveBoard("b", "e", Shape("B", "scores", columns, ["f"], 0.01))
        boards = {"b": self.live}
        self.producer = Producer(boards, Hub(boards))
        self.producer.put("f", configured, played)
        self.producer.connect()
        self.played = played

    async def tick(self) -> bytes:
        """Read once; return what viewers get, and how the feed is."""
        await self.producer.tick("f")
        return self.told()

    def judge(self) -> bytes:
        """Let a second pass without reading; return the same."""
        self.producer._judge("f", self.producer._sources["f"], self._clock.now)
        return self.told()

    def told(self) -> bytes:
        """Return the next diff, encoded, and the feed's health but for times and looks."""
        health = self.producer.health("f").wire()
        for name in ("since", "attempts", "duration", "last_attempt", "last_success"):
            del health[name]
        del health["last_error_at"]
        before = self.live.seq
        diff: Any = self.live.board.flush(self._clock.now)
        if diff is None:
            return orjson.dumps(health)
        frame = protocol.diff("b", epoch="e", prev=before, seq=diff.seq, at=0, rows=diff.rows)
        return frame.text + orjson.dumps(health)

    def rows(self) -> bytes:
        """Return all rows, encoded."""
        return orjson.dumps(self.live.board.snapshot().rows)


Played = tuple[list[bytes], bytes]
"""What viewers got second by second, and the rows at the end."""


async def recorded(configured: PollFeed, file: Path, clock: Clock, count: int) -> Played:
    """Poll so many times, every five seconds, and record it."""
    recording = Recording(file, 10_000_000)
    witness = recording.witness("f", Secrets(configured))
    stage = Stage(configured, Poll(configured, witness=witness), clock)
    told = [await stage.tick()]
    for _ in range(count - 1):
        for _ in range(4):
            clock.now += 1
            told.append(stage.judge())
        clock.now += 1
        told.append(await stage.tick())
    await stage.producer.close()
    recording.close()
    assert recording.readings["f"] == count
    return told, stage.rows()


async def replayed(configured: Feed, clock: Clock, count: int, second: float) -> Played:
    """Look once in each recorded second, of which each takes ``second``, and once after the end."""
    stage = Stage(configured, make(configured), clock)
    told = []
    for _ in range(count * 5 - 4):
        told.append(await stage.tick())
        clock.now += second
    rows = stage.rows()
    await stage.tick()
    assert stage.producer.health("f").record.ended
    await stage.producer.close()
    return told, rows


def scripted(origin: Source, path: str, *answers: Callable[[Handler], None]) -> None:
    """Let the source answer one after the other."""
    waiting = list(answers)

    def respond(handler: Handler) -> None:
        waiting.pop(0)(handler)

    origin.script[path] = respond


def say(body: Any, status: int = 200, **headers: str) -> Callable[[Handler], None]:
    """Return an answer: bytes as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return lambda handler: handler.answer(status, data, **headers)


def games(home: int, away: int, status: str = "live", clock: str = "12:00") -> dict[str, Any]:
    """Return a document of two games."""
    ours = {"id": "A-B", "h": home, "a": away, "s": status, "c": clock, "n": "Zürich"}
    return {"games": [ours, {"id": "C-D", "h": 1, "a": 1, "s": "break", "c": clock}]}


A_DATE = format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True)
MOMENTS: list[Callable[[Handler], None]] = [
    say(games(0, 0), ETag='"1"'),
    say(b"", 304, ETag='"1"'),
    say({"message": "we are sorry"}, 500),
    say(b"<html>over quota</html>"),
    say(games(2, 0, clock="14:00")),
    say(games(1, 0), ETag='"2"'),  # takes a goal back
    say(b"", 304),  # and confirms it
    say(b"slow down", 429, Retry_After="17"),
    say(b"slow down", 503, Retry_After=A_DATE),
    say(b"\x00" * 3_000),  # more than max_bytes
    lambda handler: handler.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{"),
    lambda handler: handler.raw(b"no HTTP at all\r\n\r\n"),
    say(b"", 302, Location="http://elsewhere.example.com/"),
    say(
        json.dumps(games(2, 2), ensure_ascii=False).encode("latin-1"),
        Content_Type="application/json; charset=latin-1",
    ),
    say({"games": [{"id": "A-B", "h": "many"}, games(3, 3)["games"][1]]}),
    say(gzip.compress(orjson.dumps(games(3, 3))), Content_Encoding="gzip"),
    say({"games": []}),
    say({"games": [games(3, 4, "final")["games"][0]]}),  # the other one is gone
]


@pytest.mark.parametrize("speed", [1, 32])
async def test_the_same_board_out_of_the_same_recording(
    origin: Source, clock: Clock, tmp_path: Path, speed: int
) -> None:
    """Every diff, error and count is that of the live feed, byte for byte, each time."""
    scripted(origin, "/g", *MOMENTS)
    polled = feed(f"kind: poll, every: 5s, max_bytes: 2KB, url: {origin.url}/g", GAMES)
    assert isinstance(polled, PollFeed)
    live = await recorded(polled, tmp_path / "f.jsonl.gz", clock, len(MOMENTS))
    assert len(set(live[0])) > 10, "the script has something to tell"
    kind = f"kind: replay, recording: f.jsonl.gz, feed: f, speed: {speed}"
    kind += ", max_bytes: 2KB, stale_after: 15s"
    for _ in range(2):
        clock.now += 100_000
        replay = feed(kind, GAMES, tmp_path)
        assert await replayed(replay, clock, len(MOMENTS), 1.0 / speed) == live


async def test_one_request_per_symbol(origin: Source, clock: Clock, tmp_path: Path) -> None:
    """Symbols, their order, and those that fail are part of the recording."""
    mapping = SHARES + ", symbols: [A/B, '..', ON]"
    for symbol in ("A%2FB", "..", "ON"):
        good = {"price": 1.5, "v": len(symbol)}
        answers = [say(good), say(b"", 304), say(good | {"price": 2})]
        if symbol == "ON":
            answers[1] = say({"error": "unknown"}, 404)
        scripted(origin, f"/s/{symbol}x", *answers)
    polled = feed(f"kind: poll, every: 5s, url: '{origin.url}/s/{{symbol}}x'", mapping)
    assert isinstance(polled, PollFeed)
    live = await recorded(polled, tmp_path / "f.jsonl", clock, 3)
    assert b"1 of 3 requests failed" in live[0][5]
    replay = feed("kind: replay, recording: f.jsonl, feed: f, stale_after: 15s", SHARES, tmp_path)
    assert await replayed(replay, clock, 3, 1.0) == live


async def test_a_replay_keeps_the_distances(origin: Source, clock: Clock, tmp_path: Path) -> None:
    """At double speed, half of them; a look at which nothing is due confirms nothing."""
    scripted(origin, "/g", say(games(2, 0)), say(games(1, 0)), say(games(1, 0)))
    polled = feed(f"kind: poll, every: 5s, url: {origin.url}/g", GAMES)
    assert isinstance(polled, PollFeed)
    await recorded(polled, tmp_path / "f.jsonl", clock, 3)
    replay = feed("kind: replay, recording: f.jsonl, feed: f, speed: 2", GAMES, tmp_path)
    stage = Stage(replay, make(replay), clock)
    shown = []
    for _ in range(11):
        await stage.tick()
        shown.append(stage.live.board.snapshot().rows["A-B"]["home_score"])
        clock.now += 0.5
    assert shown == [2] * 10 + [1]  # 2.5 s to the doubt, 5 s to its confirmation
    health = stage.producer.health("f")
    assert (health.attempts, health.unchanged, health.quality) == (11, 0, "live")


async def test_a_loop_begins_again(origin: Source, clock: Clock, tmp_path: Path) -> None:
    """With what it began with, and never ends."""
    scripted(origin, "/g", say(games(0, 0)), say(games(1, 0)))
    polled = feed(f"kind: poll, every: 5s, url: {origin.url}/g", GAMES)
    assert isinstance(polled, PollFeed)
    await recorded(polled, tmp_path / "f.jsonl", clock, 2)
    replay = feed("kind: replay, recording: f.jsonl, feed: f, loop: true", GAMES, tmp_path)
    played = make(replay)
    scores = []
    for _ in range(12):
        reading = await played.read(clock.now)
        clock.now += 5
        if isinstance(reading, Reading):
            scores.append(reading.rows["A-B"]["home_score"])
    assert scores == [0, 1] * (len(scores) // 2)
    assert len(scores) >= 6


def test_a_server_plays_a_recording(origin: Source, tmp_path: Path, clock: Clock) -> None:
    """To its end, at high speed, then the feed is closed."""
    scripted(origin, "/g", *MOMENTS)
    polled = feed(f"kind: poll, every: 5s, max_bytes: 2KB, url: {origin.url}/g", GAMES)
    assert isinstance(polled, PollFeed)
    _, rows = asyncio.run(recorded(polled, tmp_path / "f.jsonl.gz", clock, len(MOMENTS)))
    pairs = _pairs(f"kind: replay, recording: f.jsonl.gz, feed: f, speed: 1000, {GAMES}")
    config = CONFIG.replace("KIND\n    MAPPING", "\n    ".join(pairs))
    producer.time = time.time  # type: ignore[attr-defined] # undone by the fixture
    with serving(config, base=tmp_path) as server:
        until(lambda: server.feed("f")["quality"] == "closed", what="the end")
        told = server.feed("f")
        assert told["why"] == "the recording has ended"
        shown = {s: {**row, "quality": None} for s, row in server.rows("b").items()}
        assert shown == {s: {**row, "quality": None} for s, row in orjson.loads(rows).items()}


# -- files that are no good

LINE = {"at": 1, "feed": "f", "reading": 0, "url": "u", "status": 200, "headers": {}, "body": "{}"}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no readings of feed 'f' in"),
        (orjson.dumps(LINE | {"feed": "g"}) + b"\n", "no readings of feed 'f' in"),
        (b"{}\n", "line 1: expected a line of `ticker record`"),
        (b"nonsense\n", "line 1: expected a line of `ticker record`"),
        (
            orjson.dumps({**LINE, "body": None, "status": "x"}) + b"\n",
            "the recorded answer is broken",
        ),
        (
            orjson.dumps({"at": 1, "feed": "f", "reading": 0}) + b"\n",
            "the recorded answer is broken",
        ),
    ],
)
async def test_a_file_that_is_none(tmp_path: Path, content: bytes, why: str) -> None:
    """The feed fails in words, and again when it is read again."""
    (tmp_path / "f.jsonl").write_bytes(content)
    played = make(feed("kind: replay, recording: f.jsonl, feed: f", GAMES, tmp_path))
    with pytest.raises(FeedError) as caught:
        await played.read(0)
    assert why in caught.value.why


async def test_a_file_that_breaks_off_is_played_so_far(tmp_path: Path) -> None:
    """As a crash leaves it: without the end of its gzip member, in the middle of a line."""
    line = orjson.dumps({**LINE, "body": orjson.dumps(games(1, 0)).decode()}) + b"\n"
    file = tmp_path / "f.jsonl.gz"
    with gzip.open(file, "wb") as packed:
        packed.write(line)
        packed.flush()
        there = file.stat().st_size
        packed.write(line * 2)
    file.write_bytes(file.read_bytes()[: there + 5])
    played = make(feed("kind: replay, recording: f.jsonl.gz, feed: f", GAMES, tmp_path))
    reading = await played.read(0)
    assert isinstance(reading, Reading)
    assert reading.rows["A-B"]["home_score"] == 1
    ended = await played.read(0)
    assert isinstance(ended, Reading)
    assert ended.ended


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("recording: none.jsonl, feed: f", "no such file"),
        ("recording: f.csv, feed: f", "expected a .jsonl or .jsonl.gz file"),
        ("recording: f.jsonl", "feed: required key is missing"),
        ("recording: f.jsonl, feed: f, file: f.jsonl", "file: unknown key"),
        ("recording: f.jsonl, feed: f, sped: 2", "did you mean 'speed'?"),
    ],
)
def test_mistakes_in_the_config(tmp_path: Path, keys: str, message: str) -> None:
    """In words, as all others."""
    (tmp_path / "f.jsonl").touch()
    with pytest.raises(ConfigError, match=r"feeds\.f") as caught:
        feed(f"kind: replay, {keys}", GAMES, tmp_path)
    assert message in str(caught.value)


# -- secrets

TOKEN, KEY, PART, PASSWORD = "to/ken+for=you", "query key&1", "a1b2c3d4e5", "pass:wörd"
SECRET_CONFIG = """
feeds:
  f:
    kind: poll
    every: 1s
    url: URL/v1/a1b2c3d4e5/t?ids=bitcoin&apikey=${KEY}
    headers: {Authorization: "Bearer ${TOKEN}", X-Other: "${file:other}"}
    key: id
    fields: {last: last, echo: echo}
  sim: {kind: simulate, symbols: {A: 1}}
boards: {b: {feeds: [f, sim]}}
"""


def test_no_secret_is_in_a_recording(origin: Source, tmp_path: Path) -> None:
    """From header, query, path, password or file, however the source repeats it."""
    other = "from-a-file"
    quoted = quote(KEY, safe="")
    echo = [TOKEN, KEY, quoted, PART, other, quote(TOKEN, safe=""), TOKEN.replace("/", "\\/")]
    echo += [quote_plus(KEY), quote(TOKEN, safe="").lower(), KEY.replace("&", "&amp;")]
    body = orjson.dumps([{"id": "bitcoin", "last": 1, "echo": " ".join(echo)}])
    path = "/v1/a1b2c3d4e5/t"
    origin.say(path, body, ETag=f'"{other}"', Content_Type=f"application/json; x={PART}")
    (tmp_path / "other").write_text(other + "\n")
    (tmp_path / "c.yaml").write_text(
        SECRET_CONFIG.replace("URL", origin.url).replace("${KEY}", "${QUOTED}")
    )
    out = tmp_path / "r.jsonl.gz"
    command = ["record", "f", "--config", str(tmp_path / "c.yaml"), "--out", str(out)]
    env = {"TOKEN": TOKEN, "QUOTED": quoted}
    result = CliRunner().invoke(app, [*command, "--for", "2s"], env=env)
    assert result.exit_code == 0, result.output
    assert "the time is over" in result.stdout
    text = gzip.decompress(out.read_bytes()).decode()
    (line, *_) = [json.loads(line) for line in text.splitlines()]
    (_, headers), *_ = origin.requests
    assert headers["authorization"] == f"Bearer {TOKEN}", "the source did get it"
    assert set(line) == {"at", "feed", "reading", "url", "status", "headers", "body"}
    assert set(line["headers"]) <= {"content-type", "etag", "date"}
    assert line["url"].endswith("/v1/***/t?ids=bitcoin&apikey=***")
    assert json.loads(line["body"])[0]["id"] == "bitcoin", "what is no secret stays"
    for secret in echo:
        assert secret not in text
        assert json.dumps(secret)[1:-1] not in text


def test_a_password_in_the_address_is_a_secret() -> None:
    """As it is, quoted, and as Basic authentication sends it; so is what a header sends so."""
    login = base64.b64encode(f"user:{PASSWORD}".encode()).decode()
    for keys in (
        f"url: 'http://user:{quote(PASSWORD, safe='')}@h.example/'",
        f"url: http://h.example/, headers: {{Authorization: Basic {login}}}",
    ):
        configured = feed(f"kind: poll, every: 5s, {keys}", GAMES)
        assert isinstance(configured, PollFeed)
        told = [PASSWORD, quote(PASSWORD), quote(PASSWORD, safe=""), login]
        assert Secrets(configured).out_of(" ".join(told)) == " ".join(["***"] * 4)


def test_what_is_no_secret_stays() -> None:
    """Symbols, media types and the names of what is sent are data."""
    keys = "url: 'http://h.example/v1/quotes?symbols=BTCUSDT,ETHUSDT,SOLUSDT&ids=bitcoin'"
    headers = "headers: {Accept: application/vnd.api+json;version=2, X-Region: europe}"
    configured = feed(f"kind: poll, every: 5s, {keys}, {headers}", GAMES)
    assert isinstance(configured, PollFeed)
    text = "BTCUSDT bitcoin europe quotes symbols application/vnd.api+json Bearer h.example"
    assert Secrets(configured, ["elsewhere"]).out_of(text) == text


def test_an_error_has_no_secret_in_it_either(origin: Source, tmp_path: Path) -> None:
    """Words of the program name no address; a source's page is a body like any other."""
    origin.say("/v1/a1b2c3d4e5/t", f"bad token {TOKEN}".encode("utf-16"), status=401)
    (tmp_path / "c.yaml").write_text(SECRET_CONFIG.replace("URL", origin.url))
    (tmp_path / "other").write_text("x")
    out = tmp_path / "r.jsonl"
    command = ["record", "f", "-c", str(tmp_path / "c.yaml"), "--out", str(out), "--for", "1s"]
    result = CliRunner().invoke(app, command, env={"TOKEN": TOKEN, "KEY": "secretkey"})
    assert result.exit_code == 0, result.output
    line = json.loads(out.read_text().splitlines()[0])
    assert line["status"] == 401
    assert base64.b64decode(line["body_base64"]).decode("utf-16") == "bad token ***"


# -- the command


def run(*arguments: str, **env: str) -> tuple[int, str]:
    """Run the command; return its code and what it says."""
    result = CliRunner().invoke(app, ["record", *arguments], env=env)
    error = result.exception
    return result.exit_code, result.output + str(error or "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["g", "--out", "r.jsonl"], "no feed 'g'; there are f, sim"),
        (["sim", "--out", "r.jsonl"], "feed 'sim' is of kind simulate; only poll feeds"),
        (["f", "--out", "r.csv"], "--out: expected a .jsonl or .jsonl.gz file, got 'r.csv'"),
        (["f", "--out", "other"], "--out: expected a .jsonl or .jsonl.gz file"),
        (["f", "--out", "old.jsonl"], "cannot write old.jsonl: File exists"),
        (["f", "--out", "no/r.jsonl"], "cannot write no/r.jsonl: No such file or directory"),
        (["f", "--out", "r.jsonl", "--for", "long"], "--for: expected a duration such as"),
        (["f", "--out", "r.jsonl", "--max-bytes", "1"], "--max-bytes: expected a size such as"),
    ],
)
def test_mistakes_on_the_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    """One clear line, and nothing is overwritten."""
    monkeypatch.chdir(tmp_path)
    Path("config.yaml").write_text(SECRET_CONFIG.replace("URL", "http://127.0.0.1:9"))
    Path("other").write_text("x")
    Path("old.jsonl").write_text("precious")
    code, told = run(*arguments, TOKEN="t", KEY="k")
    assert code != 0
    assert message in told
    assert Path("old.jsonl").read_text() == "precious"


def test_a_recording_is_bounded_in_bytes(origin: Source, tmp_path: Path) -> None:
    """It ends before the limit, with whole readings."""
    origin.say("/t", {"id": "A", "last": 1, "pad": "x" * 400})
    config = tmp_path / "c.yaml"
    config.write_text(
        f"feeds: {{f: {{kind: poll, every: 50ms, url: {origin.url}/t, rows: '[@]', key: id,"
        " fields: {last: last}}}\nboards: {b: {feeds: [f]}}\n"
    )
    out = tmp_path / "r.jsonl"
    code, told = run("f", "-c", str(config), "--out", str(out), "--max-bytes", "2KB")
    assert (code, "the file is full" in told) == (0, True), told
    assert 1000 < out.stat().st_size <= 2000
    assert all(json.loads(line)["feed"] == "f" for line in out.read_text().splitlines())


async def test_a_full_disk_ends_the_recording(tmp_path: Path) -> None:
    """In words; the feeds are not told, and nothing is raised into them."""

    class FullDisk(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    recording = Recording(tmp_path / "r.jsonl", 1000)
    recording._raw.close()
    recording._file = recording._raw = FullDisk()
    recording.write([LINE])
    assert recording.ended.is_set()
    assert recording.why == "cannot write: No space left on device"
    assert not recording.readings["f"]
    recording.close()


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for another process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_file_well(
    origin: Source, tmp_path: Path, number: signal.Signals
) -> None:
    """Also while the source makes it wait; the gzip member is closed."""
    calls: list[int] = []
    over = threading.Event()

    def respond(handler: Handler) -> None:
        calls.append(1)
        if len(calls) > 2:
            over.wait(PATIENCE)
        handler.answer(200, b'[{"id": "A", "last": 1}]')

    origin.script["/t"] = respond
    config = tmp_path / "c.yaml"
    config.write_text(
        f"feeds: {{f: {{kind: poll, every: 1s, url: {origin.url}/t, key: id,"
        " fields: {last: last}}}\nboards: {b: {feeds: [f]}}\n"
    )
    out = tmp_path / "r.jsonl.gz"
    command = [sys.executable, "-m", "ticker", "record", "f", "-c", str(config), "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until(lambda: len(calls) >= 3, what="a third poll")
    process.send_signal(number)
    told, complaints = process.communicate(timeout=PATIENCE)
    over.set()
    assert (process.returncode, "Traceback" in complaints) == (0, False), complaints
    assert "readings: f 2;" in told
    assert told.rstrip().endswith("stopped")
    assert len(gzip.decompress(out.read_bytes()).splitlines()) == 2
