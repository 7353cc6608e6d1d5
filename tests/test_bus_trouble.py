"""A process whose bus is not there, or refuses it: what it says, and that it shows no password."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.buses import Member, redis
from tests.support import until
from tests.test_cli import run

PASSWORD = "pa55/w0rd-c0ffee112233"
WRITTEN = "pa55%2Fw0rd-c0ffee112233"
CONFIG = """
server: {{port: 0}}
bus: {{url: "{url}"}}
access: {{admin_tokens: [adm1n-9f27c1d0b84e]}}
feeds:
  f: {{kind: simulate, every: 100ms, symbols: {{A: 10, B: 20}}}}
boards:
  b: {{feeds: [f]}}
"""
ADDRESSES = ("/readyz", "/healthz", "/status", "/api/status", "/api/feeds", "/metrics")
COMMANDS = (["check"], ["config", "print"], ["config", "print", "--format", "json"])


@contextmanager
def member(config: Path) -> Iterator[Member]:
    """Run a process during the block, whether it becomes ready or not."""
    running = Member(config)
    try:
        yield running
    finally:
        running.kill()


def why(running: Member) -> str:
    """Return why a process does not follow its bus, as /readyz says it."""
    answer = running.get("/readyz") or {}
    return str(answer.get("waiting", {}).get("bus", ""))


def shown(text: str) -> list[str]:
    """Return the parts of the password that a text shows."""
    return [part for part in ("pa55", "w0rd", "c0ffee", "112233") if part in text]


def test_a_bus_that_is_not_there_at_the_start_is_waited_for(tmp_path: Path) -> None:
    """The process starts, says why it is not ready, once, and is ready when the bus comes."""
    config = tmp_path / "ticker.yaml"
    with redis(tmp_path, started=False) as bus:
        config.write_text(CONFIG.format(url=bus.url))
        with member(config) as running:
            until(lambda: f"connecting to 127.0.0.1:{bus.port}" in why(running), what="the reason")
            assert httpx.get(running.url + "/readyz").status_code == 503
            assert httpx.get(running.url + "/healthz").status_code == 200
            until(lambda: "the bus does not answer" in running.said)
            tried = running.get("/api/status")["now"]
            until(lambda: running.get("/api/status")["now"] > tried + 3_000, what="some attempts")
            assert running.said.count("the bus does not answer") == 1
            bus.start()
            until(lambda: running.ready, what="readiness")
            assert "the bus answers" in running.said
        assert "Traceback" not in running.said


def test_a_board_that_is_no_more_leaves_nothing_on_the_bus(tmp_path: Path) -> None:
    """After a reload, and after a start with another config; the others stay."""
    config = tmp_path / "ticker.yaml"
    with redis(tmp_path) as bus:
        three = CONFIG.format(url=bus.url) + "  c: {feeds: [f]}\n  d: {feeds: [f]}\n"
        two, one = (three.partition(f"  {name}:")[0] for name in "dc")

        def kept() -> set[str]:
            return {key.rpartition(":")[2] for key in bus.tell("KEYS", "{ticker}:entries:*")}

        config.write_text(three)
        with member(config) as running:
            until(lambda: kept() == {"b", "c", "d"}, what="all boards")
            config.write_text(two)
            running.signal(signal.SIGHUP)
            until(lambda: kept() == {"b", "c"}, what="one fewer")
        config.write_text(one)
        with member(config):
            until(lambda: kept() == {"b"}, what="one fewer")
        assert not bus.tell("EXISTS", "{ticker}:state:c", "{ticker}:state:d")
        assert bus.tell("HKEYS", "{ticker}:positions") == ["b"]


def test_no_password_of_a_bus_is_shown(tmp_path: Path) -> None:
    """Refused or not, in the log, at any address, by commands, and when a reload changes it."""
    config = tmp_path / "ticker.yaml"
    with redis(tmp_path) as bus:
        where = f"127.0.0.1:{bus.port}"
        bus.tell("ACL", "SETUSER", "ticker", "on", ">another-word", "~*", "+@all")
        config.write_text(CONFIG.format(url=f"redis://ticker:{WRITTEN}@{where}"))
        with member(config) as running:
            refused = "the server refuses the name or the password"
            until(lambda: why(running) == refused, what="the reason")
            bus.tell("ACL", "SETUSER", "ticker", f">{PASSWORD}")
            until(lambda: running.ready, what="readiness")
            config.write_text(CONFIG.format(url=f"redis://ticker:x{WRITTEN}@{where}/1"))
            running.signal(signal.SIGHUP)
            until(lambda: "bus" in running.said.rpartition("reload")[2], what="a reload")
            for address in ADDRESSES:
                for token in ("wrong", "adm1n-9f27c1d0b84e"):
                    found = httpx.get(
                        running.url + address, headers={"authorization": f"Bearer {token}"}
                    )
                    assert not shown(f"{found.headers} {found.text}"), address
            config.write_text(CONFIG.format(url=f"redis://ticker:{WRITTEN}@{where}/{PASSWORD}"))
            running.signal(signal.SIGHUP)
            until(lambda: "number of a database" in running.said, what="a reload that fails")
            assert not shown(running.said)
        for text in f"redis://ticker:{WRITTEN}@{where}", f"redis://ticker:{PASSWORD}@{where}":
            (tmp_path / "config.yaml").write_text(CONFIG.format(url=text))
            for command in COMMANDS:
                result = run(*command, cwd=tmp_path)
                assert result.returncode == (0 if WRITTEN in text else 1)
                assert not shown(result.stdout + result.stderr), command
