"""Log lines: for people, for programs, without secrets, forgeries and repetitions."""

from __future__ import annotations

import errno
import io
import json
import logging
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from tests.support import PATIENCE, publish, quiet_server, until
from tests.test_cli import free_port, run, started
from ticker import logs
from ticker.live import LiveBoard

LOG = logging.getLogger("ticker.trial")


class Terminal(io.StringIO):
    """A stream at which a person looks."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """Leave logging and secrets as they were."""
    root = logging.getLogger()
    before = root.handlers[:], root.level, logs._secrets
    logs._secrets = logs._Secrets()
    root.handlers[:] = []  # pytest's own: they would be closed
    structlog.contextvars.clear_contextvars()
    yield
    root.handlers[:], level, logs._secrets = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    """Return the objects of a stream of JSON lines."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def told(message: str, *values: object, **extra: object) -> dict[str, Any]:
    """Return what a warning becomes."""
    stream = io.StringIO()
    logs.configure("json", stream)
    LOG.warning(message, *values, extra=extra)
    (line,) = lines(stream)
    return line


# -- forms


def test_a_line_for_programs() -> None:
    """One object with the four keys first, then the fields."""
    line = told("feed '%s' failed", "x", viewer="v1", number=7, ratio=0.5, good=True, none=None)
    assert list(line)[:4] == ["time", "level", "event", "logger"]
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "warning",
        "event": "feed 'x' failed",
        "logger": "ticker.trial",
        "viewer": "v1",
        "number": 7,
        "ratio": 0.5,
        "good": True,
        "none": None,
    }


def test_a_line_for_people() -> None:
    """The time of day, the level, what happened, and the fields; coloured for a terminal."""
    plain, coloured = io.StringIO(), Terminal()
    logs.configure("console", plain)
    LOG.info("all is well", extra={"viewer": "v1"})
    assert plain.getvalue()[8:] == " [info     ] all is well [ticker.trial] viewer=v1\n"
    logs.configure(None, coloured)
    LOG.info("all is well")
    assert "\x1b[" in coloured.getvalue()


def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    """As https://no-color.org asks for."""
    monkeypatch.setenv("NO_COLOR", "1")
    stream = Terminal()
    logs.configure(None, stream)
    LOG.info("all is well")
    assert "\x1b" not in stream.getvalue()


def test_a_file_is_for_programs_unless_it_is_said_otherwise() -> None:
    """Where nobody looks, and nothing is said, lines are JSON; also on a terminal, if asked for."""
    for style, stream in ((None, io.StringIO()), ("json", Terminal())):
        logs.configure(style, stream)
        LOG.info("x")
        assert lines(stream)[0]["event"] == "x"


def test_a_traceback_is_one_value_or_set_off() -> None:
    """Programs get one line; people get it below, so that no part of it looks like a line."""
    for style in ("json", "console"):
        stream = io.StringIO()
        logs.configure(style, stream)
        try:
            raise ValueError("bad\n12:00:00 [info] forged \x1b[31m")
        except ValueError:
            LOG.exception("unexpected")
        if style == "json":
            (line,) = lines(stream)
            assert line["exception"].endswith("forged \\x1b[31m")
        else:
            first, *rest = stream.getvalue().splitlines()
            assert "unexpected" in first
            assert rest[-1] == "    12:00:00 [info] forged \\x1b[31m"
            assert all(text.startswith("    ") for text in rest)


def test_debug_lines_and_those_of_libraries_are_left_out() -> None:
    """Warnings of libraries are not."""
    stream = io.StringIO()
    logs.configure("json", stream)
    LOG.debug("x")
    for library in ("httpx", "watchfiles.main"):
        logging.getLogger(library).info("x")
    logging.getLogger("uvicorn.error").warning("y", extra={"color_message": "\x1b[31my"})
    (line,) = lines(stream)
    assert (line["event"], "color_message" in line) == ("y", False)


# -- forgeries


@pytest.mark.parametrize("style", ["json", "console"])
@given(text=st.text(), field=st.text())
def test_whatever_comes_from_outside_is_one_line(style: str, text: str, field: str) -> None:
    """No line break of any kind, no control or direction character, not even half a character."""
    stream = io.StringIO()
    logs.configure(style, stream)
    LOG.warning("said: %s", text, extra={"field": field})
    written = stream.getvalue()
    assert written.endswith("\n")
    assert written[:-1].isprintable()


def test_a_value_is_bounded() -> None:
    """Who sends a megabyte does not fill the disk with it."""
    assert len(told("%s", "x" * 1_000_000)["event"]) == logs.LONGEST


# -- secrets


@pytest.mark.parametrize("style", ["json", "console"])
def test_secrets_are_in_no_line(style: str) -> None:
    """Neither in the words, nor in fields, tracebacks or URLs; the longest is replaced first."""
    logs.hide(["s3cret/token", "s3cret/token-and-more", ""])
    stream = io.StringIO()
    logs.configure(style, stream)
    try:
        raise ValueError("s3cret/token-and-more")
    except ValueError:
        LOG.exception("%s of s3cret/token", "?key=s3cret%2Ftoken", extra={"f": ["s3cret/token"]})
    assert "s3cret" not in stream.getvalue()
    assert "more" not in stream.getvalue().replace("and-more')", "")
    assert stream.getvalue().count(logs.HIDDEN) >= 4


def test_secrets_add_up_within_bounds() -> None:
    """Those of a config that was replaced still are secrets; the oldest are forgotten at last."""
    logs.hide(["first-secret"])
    logs.hide(["second-secret"])
    assert told("first-secret second-secret")["event"] == "*** ***"
    logs.hide(f"secret-{number}" for number in range(logs.SECRETS_KEPT))
    assert told("first-secret secret-7x")["event"] == "first-secret ***x"


def test_what_is_too_short_is_no_secret() -> None:
    """Otherwise nothing could be read."""
    logs.hide(["e", "abc"])
    assert told("letters abc")["event"] == "letters abc"


# -- repetitions


class Clock:
    """A clock that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def passes(repeats: logs.Repeats, *args: object, level: int = logging.WARNING) -> int | bool:
    """Whether a record of these arguments is written: how many were left out, if any were."""
    record = logging.LogRecord("n", level, "p", 1, "failed: %s", args, None)
    passed = repeats.filter(record)
    return getattr(record, "repeated", passed) if passed else False


def test_a_repetition_is_counted() -> None:
    """For a minute after it was written; then it is written again, with the count."""
    clock = Clock()
    repeats = logs.Repeats(60, clock=clock)
    assert passes(repeats, "x") is True
    assert passes(repeats, "y") is True
    for clock.now in (0.0, 30.0, 59.9):
        assert passes(repeats, "x") is False
    clock.now = 60.0
    assert passes(repeats, "x") == 3
    assert passes(repeats, "x") is False
    clock.now = 200.0
    assert passes(repeats, "y") is True


def test_what_is_no_warning_is_always_written() -> None:
    """A feed that is back, again and again, is news."""
    repeats = logs.Repeats()
    assert [passes(repeats, "x", level=logging.INFO) for _ in range(3)] == [True] * 3


def test_the_memory_of_repetitions_is_bounded() -> None:
    """What was not seen for longest is forgotten first."""
    clock = Clock()
    repeats = logs.Repeats(most=2, clock=clock)
    assert [passes(repeats, text) for text in "aba"] == [True, True, False]
    assert passes(repeats, "c") is True  # b is forgotten
    assert passes(repeats, "a") is False
    assert passes(repeats, "b") is True
    assert len(repeats._seen) == 2


def test_defects_of_another_kind_are_no_repetition() -> None:
    """Though they are told in the same words."""
    stream = io.StringIO()
    logs.configure("json", stream)
    for error in (ValueError("1"), ValueError("2"), TypeError("3")):
        try:
            raise error
        except (ValueError, TypeError):
            LOG.exception("flush failed")
    assert ["ValueError: 1" in line["exception"] for line in lines(stream)] == [True, False]


# -- whose line it is


def test_every_response_has_an_id() -> None:
    """Taken over where it is short and plain, else one of ours, never twice the same."""
    with quiet_server() as server:
        assert server.get("/healthz", X_Request_Id="a.B-9_").headers["x-request-id"] == "a.B-9_"
        own = set()
        for given in ("", "x" * 65, "a b", "a;b", "\xe9"):
            answer = httpx.get(
                f"{server.url}/", headers=[(b"x-request-id", given.encode("latin-1"))]
            )
            assert answer.headers["x-request-id"] != given
            own.add(answer.headers["x-request-id"])
        for path in ("/", "/nope", "/api/boards/nope", "/metrics", "/events?board=nope"):
            own.add(server.get(path).headers["x-request-id"])
        assert len(own) == 10
        assert {len(request) for request in own} == {16}


def test_a_viewers_upgrade_has_an_id() -> None:
    """Also when it is refused."""
    with quiet_server(viewers=1) as server, server.follow("b") as viewer:
        assert viewer.socket.response is not None
        assert viewer.socket.response.headers["x-request-id"]
        upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec-websocket-version": "13"}
        upgrade |= {"sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==", "x-request-id": "r1"}
        refused = httpx.get(f"{server.url}/ws", headers=upgrade)
        assert (refused.status_code, refused.headers["x-request-id"]) == (503, "r1")


def test_lines_say_which_request_and_viewer_they_are_about(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Those of a viewer have its own id and that of its request; those of its channel have none."""
    stream = io.StringIO()
    with quiet_server() as server, server.follow("b") as viewer:
        logs.configure("json", stream)
        viewer.wait("snapshot")
        assert viewer.socket.response is not None
        request = viewer.socket.response.headers["x-request-id"]
        with monkeypatch.context() as defect:
            defect.setattr(LiveBoard, "since", None)
            publish(server, "b", {"X": {"last": 1}})
            until(lambda: "broadcast failed" in stream.getvalue())
        viewer.socket.send(b"binary")
        until(lambda: not server.ticker.hub.viewers)
    said = {line["event"].split(" ")[-1]: line for line in lines(stream)}
    assert said["failed"].keys().isdisjoint({"viewer", "request"})
    assert said["message"]["viewer"] == viewer.messages[0]["viewer"]
    assert said["message"]["request"] == request


# -- the program


def test_serve_logs_json_into_a_file(tmp_path: Path) -> None:
    """Every line, from the first on."""
    with started("serve", "--port", str(free_port()), cwd=tmp_path):
        until(lambda: "serving stocks" in (tmp_path / "stderr").read_text(), what="the start")
    found = [json.loads(line) for line in (tmp_path / "stderr").read_text().splitlines()]
    assert "built-in demo" in found[0]["event"]
    assert any(line["event"].startswith("serving stocks") for line in found)
    assert all({"time", "level", "event", "logger"} <= line.keys() for line in found)


@pytest.mark.parametrize(
    ("options", "env"),
    [
        (["--log-format", "console"], {}),
        ([], {"TICKER_LOG_FORMAT": "console"}),
        (["--log-format", "console"], {"TICKER_LOG_FORMAT": "json"}),
    ],
)
def test_the_form_can_be_chosen(tmp_path: Path, options: list[str], env: dict[str, str]) -> None:
    """By the command line, else by the environment."""
    result = run("serve", "--host", "nowhere.invalid", *options, cwd=tmp_path, **env)
    assert "[warning  ] no config.yaml here" in result.stderr


def test_an_unknown_form_is_refused(tmp_path: Path) -> None:
    """With the ones there are."""
    result = run("serve", cwd=tmp_path, TICKER_LOG_FORMAT="xml")
    assert result.returncode == 2
    assert "'console'" in result.stderr
    assert "'json'" in result.stderr


def test_serve_on_a_terminal_is_for_people(tmp_path: Path) -> None:
    """Whoever starts it by hand sees lines, not objects."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "ticker", "serve", "--host", "nowhere.invalid"]
    environment = {k: v for k, v in os.environ.items() if k != "TICKER_LOG_FORMAT"}
    process = subprocess.Popen(command, cwd=tmp_path, stderr=theirs, env=environment)
    os.close(theirs)
    said = os.read(ours, 10_000).decode()
    process.wait(PATIENCE)
    os.close(ours)
    assert "no config.yaml here" in said
    assert "{" not in said


def test_a_line_that_cannot_be_written_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    """As on a full disk: nothing else is written instead of it, and the next one is whole."""

    class FullDisk(io.StringIO):
        full = True

        def write(self, text: str) -> int:
            if self.full:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(text)

    stream = FullDisk()
    logs.configure("json", stream)
    LOG.warning("one")
    stream.full = False
    LOG.warning("two")
    assert [line["event"] for line in lines(stream)] == ["two"]
    assert capsys.readouterr().err == ""
