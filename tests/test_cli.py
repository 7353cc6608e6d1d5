"""The command line as a person uses it: a process, its output and its exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from rich.console import Console
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as ws_serve

from tests.support import PATIENCE, Running, publish, quiet_server, source, until
from ticker import __version__
from ticker.errors import TickerError
from ticker.tail import SUBPROTOCOL, base, follow

ROOT = Path(__file__).parent.parent
CONFIG = """
feeds:
  coins: {kind: poll, every: 60s, url: "%s/t", fields: {last: last}}
boards:
  b: {feeds: [coins]}
"""


def run(*arguments: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "ticker", *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **env},
        timeout=60,
        check=False,
    )


@contextmanager
def started(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a command, and end it at the end of the block."""
    with (cwd / "stderr").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "ticker", *arguments],
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            cwd=cwd,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(PATIENCE)
            if process.stdout:
                process.stdout.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def failed_in_one_line(result: subprocess.CompletedProcess[str], words: str) -> None:
    """Assert a clear failure: exit code not 0, the words, and no traceback."""
    assert result.returncode == 1
    assert words in result.stderr
    assert "Traceback" not in result.stderr + result.stdout


def test_version() -> None:
    """One line, the version."""
    assert run("version").stdout.strip() == __version__


def test_schema_is_json() -> None:
    """It can be piped into a file."""
    assert json.loads(run("schema").stdout)["title"] == "Settings"


def test_check_of_a_good_file() -> None:
    """Exit code 0 and a word of what is in it."""
    result = run("check", str(ROOT / "config.yaml"))
    assert result.returncode == 0
    assert "good: 4 feeds, 3 boards" in result.stdout


def test_check_of_a_bad_file(tmp_path: Path) -> None:
    """Exit code 1, every problem with file, line, column and caret."""
    (tmp_path / "c.yaml").write_text("feeds: {f: {kind: simulate, symbols: {A: x}, sed: 1}}\n")
    result = run("check", "c.yaml", cwd=tmp_path)
    failed_in_one_line(result, "c.yaml:1:46: feeds.f.sed: unknown key, did you mean 'seed'?")
    assert result.stderr.count("^") == 3


def test_check_is_offline(tmp_path: Path) -> None:
    """A source that cannot be reached is no problem of the file."""
    (tmp_path / "c.yaml").write_text(CONFIG % "http://nowhere.invalid")
    assert run("check", "c.yaml", cwd=tmp_path).returncode == 0


def test_check_says_the_name_of_any_file(tmp_path: Path) -> None:
    """Brackets in it are part of the name."""
    (tmp_path / "a[b].yaml").write_text(CONFIG % "http://nowhere.invalid")
    result = run("check", "a[b].yaml", cwd=tmp_path)
    assert result.stdout.startswith("a[b].yaml: good: ")


@pytest.mark.parametrize("command", [["check", "none.yaml"], ["serve", "-c", "none.yaml"]])
def test_a_file_that_is_not_there(command: list[str], tmp_path: Path) -> None:
    """One clear line."""
    failed_in_one_line(run(*command, cwd=tmp_path), "none.yaml:1:1: cannot read: No such file")


def test_a_directory_for_a_file(tmp_path: Path) -> None:
    """One clear line."""
    failed_in_one_line(run("serve", "-c", ".", cwd=tmp_path), "cannot read: Is a directory")


def test_a_port_in_use(tmp_path: Path) -> None:
    """One clear line that names the address."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--port", str(port), cwd=tmp_path)
        failed_in_one_line(result, f"cannot listen on 127.0.0.1:{port}: Address already in use")


def test_a_host_that_is_not_ours(tmp_path: Path) -> None:
    """One clear line."""
    failed_in_one_line(run("serve", "--host", "nowhere.invalid", cwd=tmp_path), "cannot listen on")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_serve_without_a_config_is_the_demo(tmp_path: Path, ending: signal.Signals) -> None:
    """It says so, serves, and ends quietly at a signal."""
    port = free_port()
    with started("serve", "--port", str(port), cwd=tmp_path) as process:
        until(lambda: answers(port, "/readyz"), what="the start")
        page = httpx.get(f"http://127.0.0.1:{port}/")
        assert page.status_code == 200
        assert "<html" in page.text
        process.send_signal(ending)
        assert process.wait(PATIENCE) == 0
    said = (tmp_path / "stderr").read_text()
    assert "built-in demo" in said
    assert f"serving stocks, crypto, scores on http://127.0.0.1:{port}" in said
    assert "Traceback" not in said


def test_check_says_what_a_reload_would_do(tmp_path: Path) -> None:
    """Without any value of the files."""
    (tmp_path / "old.yaml").write_text(CONFIG % "http://old.invalid")
    (tmp_path / "new.yaml").write_text(CONFIG % "http://new.invalid" + "  c: {feeds: [coins]}\n")
    same = run("check", "--diff", "old.yaml", "old.yaml", cwd=tmp_path)
    assert "nothing changes" in same.stdout
    result = run("check", "--diff", "old.yaml", "new.yaml", cwd=tmp_path)
    assert result.returncode == 0
    assert result.stdout.splitlines()[1:] == ["feeds.coins: restarted (url)", "boards.c: added"]
    assert "invalid" not in result.stdout


@pytest.mark.parametrize("has_file", [True, False])
def test_a_hangup_reads_the_config_again(tmp_path: Path, has_file: bool) -> None:
    """And is never the end of the process."""
    arguments = ["serve", "--port", str(free_port())]
    if has_file:
        (tmp_path / "c.yaml").write_text(CONFIG % "http://nowhere.invalid")
        arguments += ["-c", "c.yaml"]
    words = "config reloaded: nothing has changed" if has_file else "there is no file to read again"
    with started(*arguments, cwd=tmp_path) as process:
        log = tmp_path / "stderr"
        until(lambda: "serving" in log.read_text(), what="the start")
        until(lambda: answers(arguments[2]), what="the start")
        process.send_signal(signal.SIGHUP)
        until(lambda: words in log.read_text(), what="a reload")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0


def answers(port: str | int, path: str = "/healthz") -> bool:
    """Return whether a server answers with 200."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}{path}").status_code == 200
    except httpx.TransportError:
        return False


def test_try_shows_rows_and_rejections(tmp_path: Path) -> None:
    """One live reading: rows, rejected rows with reasons, timing, headers that matter."""
    with source() as upstream:
        upstream.say("/t", [{"symbol": "A", "last": "1.5"}, {"symbol": "B"}], ETag='"7"')
        (tmp_path / "c.yaml").write_text(CONFIG % upstream.url)
        result = run("try", "coins", "-c", "c.yaml", cwd=tmp_path)
    assert result.returncode == 0
    for words in (
        "HTTP 200",
        'etag: "7"',
        "1 rows, 1 rejected in",
        "1.5",
        "row 'B': no value for last",
    ):
        assert words in result.stdout


def test_try_of_a_source_that_fails(tmp_path: Path) -> None:
    """Exit code 1 and the reason in words."""
    with source() as upstream:
        (tmp_path / "c.yaml").write_text(CONFIG % upstream.url)
        result = run("try", "coins", "-c", "c.yaml", cwd=tmp_path)
    assert result.returncode == 1
    assert "HTTP 404 Not Found" in result.stdout


def test_try_of_a_feed_that_is_not_there(tmp_path: Path) -> None:
    """The feeds that are there are named."""
    (tmp_path / "c.yaml").write_text(CONFIG % "http://127.0.0.1:1")
    result = run("try", "coin", "-c", "c.yaml", cwd=tmp_path)
    failed_in_one_line(result, "no feed 'coin'; there are coins")


def test_tail_prints_what_comes(tmp_path: Path) -> None:
    """One message a line, of the first board when none is named."""
    with quiet_server() as server:
        result = run("tail", server.url, "--count", "2", cwd=tmp_path)
        welcome, snapshot = map(json.loads, result.stdout.splitlines())
        assert welcome["type"] == "welcome"
        assert snapshot == server.get("/api/boards/b").json()
        failed_in_one_line(run("tail", server.url, "nope"), "unknown_board: no board 'nope'")


def test_tail_of_something_else(tmp_path: Path) -> None:
    """A server of another kind, an address without a server, no address at all."""
    with source() as upstream:
        failed_in_one_line(run("tail", upstream.url), "cannot reach")
        upstream.say("/api/boards", [])
        failed_in_one_line(run("tail", upstream.url), "does not answer like a ticker server")
    failed_in_one_line(run("tail", f"http://127.0.0.1:{free_port()}"), "cannot reach")
    failed_in_one_line(run("tail", "ftp://x"), "expected an address such as")


def drop_viewers(server: Running) -> None:
    """Cut every viewer's connection, as a network does."""

    def cut() -> None:
        for viewer in list(server.ticker.hub.viewers):
            viewer.connection._transport.abort()  # type: ignore[attr-defined] # a cut cable

    server.call(cut)


def test_tail_reconnects_and_resumes(tmp_path: Path) -> None:
    """After a cut it goes on with one diff, not with a snapshot."""
    with quiet_server() as server, started("tail", server.url, "b", cwd=tmp_path) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert [json.loads(next(lines))["type"] for _ in range(2)] == ["welcome", "snapshot"]
        drop_viewers(server)
        until(lambda: not server.ticker.hub.viewers)
        publish(server, "b", {"A": {"last": 1}})
        kinds = [json.loads(next(lines))["type"] for _ in range(2)]
        assert kinds == ["welcome", "diff"]
    assert "again in" in (tmp_path / "stderr").read_text()


@pytest.mark.parametrize(
    "url",
    ["ftp://h", "http://", "http://[::1", "http://h:99999", "http://h:0", "http://h:x", "::", ""],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    """By all commands that follow a server, with an example of one."""
    with pytest.raises(TickerError, match=r"^expected an address such as http"):
        base(url)


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("h:8000", "http://h:8000"),
        ("ws://h/x?y", "http://h"),
        ("wss://[::1]:9", "https://[::1]:9"),
        ("https://h", "https://h"),
    ],
)
def test_an_address_may_be_written_in_many_ways(url: str, where: str) -> None:
    """What follows the port does not count."""
    assert base(url) == where


@pytest.mark.parametrize("said", ["hello", "7", "{}", '{"type":"error"}', '{"type":"diff"}', "[]"])
async def test_tail_says_when_a_server_is_none_of_ours(said: str) -> None:
    """Another program may answer under that address."""

    async def say(peer: ServerConnection) -> None:
        await peer.send(said)
        await peer.wait_closed()

    async with ws_serve(say, "127.0.0.1", 0, subprotocols=[SUBPROTOCOL]) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with pytest.raises(TickerError, match="does not answer like a ticker server"):
            await follow(f"127.0.0.1:{port}", "b", 1, Console(quiet=True), Console(quiet=True))
