"""`ticker top`: what it shows of a real server, and what it says when there is none."""

from __future__ import annotations

import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import IO

import httpx
import pytest
from prometheus_client.samples import Sample
from rich.console import Console

from tests.support import PATIENCE, publish, quiet_server, serving, source, until
from tests.test_cli import failed_in_one_line, free_port, run, started
from ticker import __version__
from ticker.top import Seen, _look, lag, together

CONFIG = """
feeds:
  coins: {{kind: poll, every: 60s, url: "{url}/t", fields: {{last: last}}}}
  a-good-feed: {{kind: simulate, every: 24h, symbols: {{SIM: 100}}}}
boards:
  crypto: {{feeds: [coins]}}
  calm: {{feeds: [a-good-feed]}}
"""


def once(url: str, *, width: int = 120) -> list[str]:
    """Return the lines of one picture."""
    result = run("top", url, "--once", COLUMNS=str(width))
    assert result.returncode == 0, result.stderr
    return [line.rstrip() for line in result.stdout.splitlines()]


def test_one_picture_tells_all_there_is() -> None:
    """Feeds with the worst first, boards, viewers and the loop; rates are not known yet."""
    with source() as upstream:
        upstream.say("/t", b"", status=503)
        with serving(CONFIG.format(url=upstream.url)) as server, server.follow("calm") as viewer:
            viewer.wait("snapshot")
            until(lambda: server.feed("coins")["quality"] == "down")
            until(lambda: server.rows("calm"))
            shown = once(server.url)
    assert shown[0].startswith(f"ticker {__version__}  ")
    assert shown[0].endswith(server.url)
    assert shown[1:3] == ["viewers 1 of 10,000", "        1 live, 0 lagging, 0 paused"]
    assert shown[3] == "        – joins/s, – leaves/s"
    assert [line.split()[0] for line in shown[4:7]] == ["sent", "lag", "loop"]
    start = next(i for i, line in enumerate(shown) if line.startswith("feed "))
    assert " ".join(shown[start].split()) == "feed quality age rows took failures next why"
    assert shown[start + 1].split()[:4] == ["coins", "down", "–", "0"]
    assert shown[start + 1].endswith("HTTP 503 Service Unavailable")
    assert shown[start + 2].split()[:2] == ["a-good-feed", "live"]
    assert shown[start + 4].split() == ["board", "seq", "rows", "viewers", "changes/s"]
    assert shown[start + 5].split()[2:] == ["0", "0", "–"]
    assert shown[start + 6].split() == ["calm", "1", "1", "1", "–"]


@pytest.mark.parametrize("width", [40, 50, 60, 80])
def test_a_narrow_terminal_has_the_most_important(width: int) -> None:
    """No line is wider; what a feed is and why, a board's rows and viewers stay."""
    with source() as upstream:
        upstream.say("/t", b"", status=503)
        with serving(CONFIG.format(url=upstream.url)) as server:
            until(lambda: server.feed("coins")["quality"] == "down")
            shown = once(server.url, width=width)
    assert max(map(len, shown)) <= width
    (feed,) = [line for line in shown if line.startswith("coins")]
    assert "down" in feed
    assert "HTTP" in feed
    assert any(line.split()[:1] == ["crypto"] for line in shown)


async def test_rates_are_since_the_picture_before() -> None:
    """Changes of a board, joins and leaves in a second, and lags of that time only."""
    with quiet_server() as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            with server.follow("b") as viewer:
                viewer.wait("snapshot")
                publish(server, "b", {"X": {"last": 0}})
                viewer.wait("diff")
                traffic = server.ticker.hub.traffic
                until(lambda: sum(traffic.lags.counts) == 1)
                traffic.lags.add(20.0, 1000)
                before, _ = await _look(client, None, 100)
                publish(server, "b", {"X": {"last": 1}, "Y": {"last": 1}})
                viewer.wait("diff")
                until(lambda: sum(traffic.lags.counts) == 1002)
            until(lambda: not server.ticker.hub.viewers)
            seen, shown = await _look(client, before, 100)
    seconds = seen.moment - before.moment
    stream = io.StringIO()
    Console(file=stream, width=100).print(shown)
    text = stream.getvalue()
    assert f"0.0 joins/s, {1 / seconds:,.1f} leaves/s" in text
    (board,) = [line.split() for line in text.splitlines() if line.startswith("b ")]
    assert board[-1] == f"{2 / seconds:,.1f}"
    assert (lag(seen, None, 0.5) or 0) > 10
    assert (lag(seen, before, 0.99) or 99) < 10


@pytest.mark.parametrize(("share", "seconds"), [(0.25, 0.05), (0.5, 0.1), (0.75, 0.55), (1.0, 1.0)])
def test_a_lag_lies_within_its_bucket(share: float, seconds: float) -> None:
    """Evenly spread."""
    buckets = {"0.1": 50, "1.0": 100, "+Inf": 100}
    samples = {("ticker_send_lag_seconds_bucket", le): float(n) for le, n in buckets.items()}
    assert lag(Seen(0, 0, {}, [], samples), None, share) == pytest.approx(seconds)


def test_above_the_last_bound_is_the_last_bound() -> None:
    """Nothing more is known of it; and without frames there is no lag."""
    samples = {("ticker_send_lag_seconds_bucket", le): n for le, n in {"30": 1, "+Inf": 9}.items()}
    seen = Seen(0, 0, {}, [], dict(samples))
    assert lag(seen, None, 0.99) == 30
    assert lag(seen, seen, 0.99) is None
    assert lag(Seen(0, 0, {}, [], {}), None, 0.5) is None


class Reader:
    """Collects what a process writes, as it comes."""

    def __init__(self, stream: IO[str]) -> None:
        self.text = ""
        self._stream = stream
        Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for line in self._stream:
            self.text += line

    def wait(self, what: str) -> None:
        """Wait for ``what`` to come anew."""
        seen = len(self.text)
        until(lambda: what in self.text[seen:], what=what)


def test_a_server_that_is_away_is_waited_for(tmp_path: Path) -> None:
    """Before it begins and after it has gone it says so, and goes on when it is there."""
    port = free_port()
    (tmp_path / "top").mkdir()
    with started("top", f"127.0.0.1:{port}", cwd=tmp_path / "top") as top:
        assert top.stdout is not None
        reader = Reader(top.stdout)
        reader.wait(f"cannot reach http://127.0.0.1:{port}")
        with started("serve", "--port", str(port), cwd=tmp_path):
            reader.wait("viewers 0 of 10,000")
        reader.wait(f"cannot reach http://127.0.0.1:{port}")
        assert top.poll() is None


def test_a_terminal_is_one_screen() -> None:
    """It is drawn over and over, and given back at the end."""
    with quiet_server() as server:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "ticker", "top", server.url]
        process = subprocess.Popen(command, stdout=theirs, stderr=theirs)
        os.close(theirs)
        written = b""

        def reads(what: Callable[[bytes], bool]) -> None:
            nonlocal written
            while not what(written):
                try:
                    written += os.read(ours, 10_000)
                except OSError:  # the other side is closed
                    return

        reads(lambda text: text.count(b"viewers 0 of") >= 2)
        process.send_signal(signal.SIGINT)
        reads(lambda _: False)
        assert process.wait(PATIENCE) == 130
        os.close(ours)
    assert b"\x1b[?1049h" in written  # the other screen
    assert written.rindex(b"\x1b[?1049l") > written.rindex(b"viewers")
    assert b"Traceback" not in written


def test_a_token_goes_with_every_question() -> None:
    """From the option or the environment; refusals are told with their status."""
    with source() as upstream:
        upstream.say("/api/feeds", {}, status=401)
        asked = ["top", upstream.url, "--once"]
        for result in (run(*asked, "--token", "t1"), run(*asked, TICKER_TOKEN="t1")):
            failed_in_one_line(result, "/api/feeds: HTTP 401 Unauthorized")
            assert upstream.requests.pop()[1]["authorization"] == "Bearer t1"


def test_something_else_is_not_shown() -> None:
    """A server of another kind, an address without a server, no address at all."""
    with source() as upstream:
        for path in ("/api/feeds", "/api/boards", "/metrics"):
            upstream.say(path, [])
        words = f"{upstream.url} does not answer like a ticker server"
        failed_in_one_line(run("top", upstream.url, "--once"), words)
    failed_in_one_line(run("top", f"http://127.0.0.1:{free_port()}", "--once"), "cannot reach")
    failed_in_one_line(run("top", "ftp://x"), "expected an address such as")


def test_what_a_source_says_is_no_markup() -> None:
    """Nor does it draw on the terminal."""
    with source() as upstream:
        upstream.say("/t", [], status=200)
        with serving(CONFIG.format(url=upstream.url)) as server:
            health = server.ticker.producer.health("coins")
            until(lambda: health.record.failures)
            why = "[bold]loud[/bold] \x1b[31mred"
            health.record = replace(health.record, why=why)
            until(lambda: health.why == why)
            shown = "\n".join(once(server.url))
    assert "[bold]loud[/bold] [31mred" in shown
    assert "\x1b" not in shown


def test_workers_are_shown_as_one() -> None:
    """What they have is added up; of what is the same, or how bad it is, the most counts."""
    told = [
        ("ticker_viewers", {"state": "live"}, 3.0, 4.0, 7.0),
        ("ticker_viewers_most", {}, 10.0, 10.0, 20.0),
        ("ticker_board_changes_total", {"board": "b"}, 50.0, 51.0, 51.0),
        ("ticker_loop_lag_seconds", {"quantile": "1"}, 0.5, 0.1, 0.5),
        ("ticker_config_last_reload_successful", {}, 1.0, 0.0, 0.0),
    ]
    samples = [
        Sample(name, {"worker": str(number), **labels}, value)
        for name, labels, *values, _ in told
        for number, value in enumerate(values, 1)
    ]
    one = {(name, "".join(labels.values())): whole for name, labels, *_, whole in told}
    assert together(samples) == one
