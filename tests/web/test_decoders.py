"""Real decoders read shared windows: Chromium, Node `ws`, Python `websockets`."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from playwright.sync_api import Page

from tests.support import Running, publish, quiet_server
from ticker.deflate import ANYWHERE, FRESH_FRAMES

NODE = shutil.which("node")
NODE_MODULES = Path(__file__).parents[2] / ".venv" / "node_modules"

FOLLOW = """
    const state = {rows: {}, seq: -1, diffs: 0, gaps: 0, extensions: ""};
    const follow = (socket, text) => {
      const message = JSON.parse(text);
      if (message.type === "snapshot") {
        state.rows = message.rows; state.seq = message.seq;
      } else if (message.type === "diff") {
        if (message.prev !== state.seq) state.gaps += 1;
        state.seq = message.seq; state.diffs += 1;
        for (const [symbol, change] of Object.entries(message.rows)) {
          if (change === null) { delete state.rows[symbol]; continue; }
          const row = state.rows[symbol] ??= {};
          for (const [field, value] of Object.entries(change)) {
            if (value === null) delete row[field]; else row[field] = value;
          }
        }
      }
    };
"""


@pytest.fixture
def server() -> Iterator[Running]:
    """Return a server with a quiet board."""
    with quiet_server() as running:
        yield running


def in_step(server: Running) -> bool:
    """Whether every viewer reads the shared window."""
    viewers = server.call(lambda: list(server.ticker.hub.viewers))
    places = [watch.place for viewer in viewers for watch in viewer.watches.values()]
    return bool(places) and min(places) > ANYWHERE


def lively(server: Running, ticks: int = 2 * FRESH_FRAMES + 20) -> int:
    """Publish many diffs, across two fresh starts, one of them large; return the last seq."""
    last = 0
    for i in range(ticks):
        rows: dict[str, dict[str, Any]] = {
            f"S{(i + j) % 40}": {"last": (i * 31 + j * 7) % 9973 / 10, "volume": i * j}
            for j in range(5)
        }
        if i == ticks // 2:
            rows |= {f"BIG{j}": {"name": f"{j} " * 50} for j in range(100)}
        last = publish(server, "b", rows)
        if i == FRESH_FRAMES + 5:
            assert in_step(server)
    return last


def test_python_websockets_reads_a_shared_window(server: Running) -> None:
    """Its default offer asks for a window of 12 bits."""
    with server.follow("b") as viewer:
        viewer.wait("snapshot")
        assert "permessage-deflate" in str(viewer.socket.response.headers)  # type: ignore[union-attr] # upgraded
        last = lively(server)
        viewer.follow_until(lambda v: v.seqs["b"] == last)
        assert viewer.rows["b"] == server.rows("b")


def test_chromium_reads_a_shared_window(server: Running, page: Page) -> None:
    """It offers all there is; what it decodes is the server's state."""
    page.goto(server.url)
    page.evaluate(
        f"""() => {{
            {FOLLOW}
            window.state = state;
            window.socket = new WebSocket(location.origin.replace("http", "ws") + "/ws?board=b");
            window.socket.onmessage = (event) => follow(window.socket, event.data);
        }}"""
    )
    page.wait_for_function("() => window.state.seq >= 0")
    assert page.evaluate("() => window.socket.extensions").startswith("permessage-deflate")
    last = lively(server)
    page.wait_for_function("last => window.state.seq === last", arg=last)
    state = page.evaluate("() => window.state")
    assert state["gaps"] == 0
    assert state["rows"] == server.rows("b")


@pytest.mark.skipif(
    NODE is None or not (NODE_MODULES / "ws").is_dir(), reason="needs node and its package ws"
)
def test_node_ws_reads_a_shared_window(server: Running, tmp_path: Path) -> None:
    """The most used client of the server side."""
    script = tmp_path / "follow.cjs"
    script.write_text(
        dedent(f"""
            const WebSocket = require({json.dumps(str(NODE_MODULES / "ws"))});
            {FOLLOW}
            const socket = new WebSocket(process.argv[2]);
            socket.on("message", (data) => {{
              follow(socket, data.toString());
              if (state.seq >= 0 && !state.told) {{ state.told = true; console.log("ready"); }}
            }});
            process.stdin.on("data", (text) => {{
              const last = Number(text);
              const wait = setInterval(() => {{
                if (state.seq !== last) return;
                clearInterval(wait);
                state.extensions = socket.extensions;
                console.log(JSON.stringify(state));
                process.exit(0);
              }}, 10);
            }});
        """)
    )
    url = f"{server.url.replace('http', 'ws')}/ws?board=b"
    with subprocess.Popen(
        [str(NODE), str(script), url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            last = lively(server)
            process.stdin.write(f"{last}\n")
            process.stdin.flush()
            state = json.loads(process.stdout.readline())
        finally:
            process.kill()
    assert state["extensions"] == "permessage-deflate"
    assert state["gaps"] == 0
    assert state["rows"] == server.rows("b")


def test_several_boards_skips_and_resumes_in_one_browser(server: Running, page: Page) -> None:
    """A viewer of two boards that pauses and resumes reads everything right."""
    page.goto(server.url)
    page.evaluate(
        """() => {
            window.texts = [];
            window.socket = new WebSocket(
              location.origin.replace("http", "ws") + "/ws?board=b&board=c");
            window.socket.onmessage = (event) => window.texts.push(event.data);
        }"""
    )
    page.wait_for_function("() => window.texts.length >= 3")

    def say(kind: str) -> None:
        page.evaluate("kind => window.socket.send(JSON.stringify({type: kind}))", kind)

    for i in range(FRESH_FRAMES + 30):
        publish(server, "b", {"X": {"last": i}})
        publish(server, "c", {"Y": {"last": i, "name": f"{i} " * (400 if i % 50 == 7 else 1)}})
        if i == 40:
            say("pause")
        if i == 50:
            say("resume")
    for name in ("b", "c"):
        page.wait_for_function(
            """([board, seq]) => window.texts.some((text) => {
                const message = JSON.parse(text);
                return message.board === board && message.seq === seq;
            })""",
            arg=[name, server.ticker.boards[name].seq],
        )
    rows: dict[str, Any] = {}
    for text in page.evaluate("() => window.texts"):
        message = json.loads(text)
        if message["type"] == "snapshot":
            rows[message["board"]] = message["rows"]
        elif message["type"] == "diff":
            for symbol, change in message["rows"].items():
                rows[message["board"]].setdefault(symbol, {}).update(change)
    assert rows == {"b": server.rows("b"), "c": server.rows("c")}
