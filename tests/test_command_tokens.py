"""Commands that watch a server bring their token along, and show it to nobody."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from rich.console import Console

from tests.support import PATIENCE, Running, eventually, serving, until
from tests.test_access import ADMIN, SECRET, TOKENS, guarded, token
from tests.test_cli import drop_viewers, run
from ticker.errors import TickerError
from ticker.tail import follow

COMMANDS = {
    "tail": ["tail", "{url}", "--count", "2"],
    "top": ["top", "{url}", "--once"],
    "load": ["load", "{url}", "--viewers", "3", "--ramp", "0", "--duration", "1"],
    "probe": ["probe", "{url}"],
}


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    """Return a server that wants tokens."""
    access = TOKENS[:-1] + f", admin_tokens: ['{ADMIN}']}}"
    config = guarded(access=access, heartbeat="500ms").replace("24h", "100ms")
    with serving(config, KEY=SECRET) as running:
        until(lambda: running.get("/readyz").status_code == 200)
        yield running


def command(name: str, server: Running, *more: str, secret: str = "") -> CompletedProcess[str]:
    """Run a command against the server, with a secret in its environment."""
    arguments = [part.format(url=server.url) for part in COMMANDS[name]]
    return run(*arguments, *more, TICKER_TOKEN=secret)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("way", ["option", "environment"])
def test_a_token_lets_a_command_in(server: Running, tmp_path: Path, name: str, way: str) -> None:
    """It is in nothing that is printed or written."""
    mine = token(boards=["b"])
    files = [tmp_path / "run.json", tmp_path / "run.html"] if name == "load" else []
    more = ["--out", str(files[0]), "--html", str(files[1])] if files else []
    if way == "option":
        result = command(name, server, *more, "--token", mine)
    else:
        result = command(name, server, *more, secret=mine)
    # a busy machine is too slow for a load test to prove anything (2)
    assert result.returncode in ({0, 2} if name == "load" else {0}), result.stdout + result.stderr
    assert name != "load" or "3 of them had the server's exact state" in result.stdout
    told = result.stdout + result.stderr + "".join(file.read_text() for file in files)
    assert not [part for part in mine.split(".") if part in told]


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ("", "HTTP 401"),
        (token(-1), "HTTP 401"),
        ("s3cr3t-0f-l1nes\r\nx: y", "the token has characters that no token has"),
        ("s3cr3t-0f-l1nesé", "the token has characters that no token has"),
    ],
)
def test_a_bad_token_is_told_in_one_line(server: Running, name: str, bad: str, words: str) -> None:
    """Without the token, which the libraries in between would show."""
    result = command(name, server, secret=bad)
    told = (result.stdout + result.stderr).replace("401 Unauthorized", "HTTP 401")
    assert result.returncode == 1
    assert words in told
    assert "Traceback" not in told
    assert not bad or bad[:12] not in told
    assert not bad or bad[-12:] not in told


def test_probe_says_when_a_token_is_needed(server: Running) -> None:
    """Instead of blaming the proxy."""
    result = command("probe", server, "--board", "b")
    assert "HTTP 401, the server refuses: is a token needed, or another?" in result.stdout


async def test_tail_does_not_ask_for_ever(server: Running) -> None:
    """Whose token opens nothing when it comes back ends, and says why."""
    out, err = Console(file=io.StringIO()), Console(file=io.StringIO())
    access = server.ticker.access
    settings = access.settings
    following = asyncio.create_task(follow(server.url, "b", 0, out, err, token()))
    await eventually(lambda: server.ticker.hub.viewers)
    try:
        access.settings = settings.model_copy(update={"keys": []})
        await asyncio.to_thread(drop_viewers, server)
        with pytest.raises(TickerError, match=r"cannot follow .* HTTP 401"):
            await asyncio.wait_for(following, PATIENCE)
    finally:
        access.settings = settings
